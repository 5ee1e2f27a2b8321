/* Whole products, cut into the blocks that kernels take. */
#include "panels.h"

ptrdiff_t panel_width(const bpk_kernels *kernels, ptrdiff_t left) {
    ptrdiff_t vectors = (left + kernels->vector - 1) / kernels->vector;
    ptrdiff_t most = kernels->panel / kernels->vector;
    if (vectors == most + 1) vectors = (vectors + 1) / 2;
    return (vectors < most ? vectors : most) * kernels->vector;
}

ptrdiff_t padded(const bpk_kernels *kernels, ptrdiff_t n) {
    return (n + kernels->vector - 1) / kernels->vector * kernels->vector;
}

static ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

void panels_pack(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const void *w, ptrdiff_t ldw,
                 void *panels) {
    for (ptrdiff_t j = 0, width; j < out; j += width) {
        width = panel_width(kernels, out - j);
        kernels->transpose(smaller(width, out - j), in, element(kernels, w, j * ldw), ldw,
                           element(kernels, panels, j * in), width);
    }
}

void panels_unpack(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const void *panels, void *w,
                   ptrdiff_t ldw) {
    for (ptrdiff_t j = 0, width; j < out; j += width) {
        width = panel_width(kernels, out - j);
        kernels->transpose(in, smaller(width, out - j), element(kernels, panels, j * in), width,
                           element(kernels, w, j * ldw), ldw);
    }
}

void panels_forward(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t width, const void *x,
                    ptrdiff_t ldx, const void *panels, const void *b, bpk_activation activation, void *a,
                    ptrdiff_t lda) {
    bpk_forward_args args = {.m = n, .k = in, .x = x, .ldx = ldx, .activation = activation, .lda = lda};
    for (ptrdiff_t j = 0; j < width; j += args.ldw) {
        args.ldw = panel_width(kernels, width - j);
        args.n = smaller(args.ldw, width - j);
        args.w = element(kernels, panels, j * in);
        args.b = b ? element(kernels, b, j) : NULL;
        args.a = element(kernels, a, j);
        kernels->forward(&args);
    }
}

void panels_update(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t width, const void *x,
                   ptrdiff_t ldx, const void *delta, ptrdiff_t ldd, void *panels, void *velocity,
                   const bpk_sgd *sgd) {
    bpk_update_args args = {.m = in, .k = n, .left = x, .ldl = ldx, .ldr = ldd, .sgd = sgd};
    for (ptrdiff_t j = 0; j < width; j += args.n) {
        args.n = args.ldw = args.ldv = panel_width(kernels, width - j);
        args.right = element(kernels, delta, j);
        args.w = element(kernels, panels, j * in);
        args.v = velocity ? element(kernels, velocity, j * in) : NULL;
        kernels->update(&args);
    }
}

void rows_delta(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, const void *delta_next,
                ptrdiff_t ldn, const void *w, ptrdiff_t ldw, const void *a, ptrdiff_t lda,
                bpk_activation activation, void *delta, ptrdiff_t ldd) {
    bpk_delta_args args = {.m = n,
                           .k = out,
                           .delta_next = delta_next,
                           .ldn = ldn,
                           .ldw = ldw,
                           .lda = lda,
                           .activation = activation,
                           .ldd = ldd};
    for (ptrdiff_t j = 0; j < in; j += args.n) {
        args.n = smaller(panel_width(kernels, in - j), in - j);
        args.w = element(kernels, w, j);
        args.a = element(kernels, a, j);
        args.delta = element(kernels, delta, j);
        kernels->delta(&args);
    }
}

void rows_update(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, const void *x,
                 ptrdiff_t ldx, const void *delta, ptrdiff_t ldd, void *w, ptrdiff_t ldw, void *velocity,
                 ptrdiff_t ldv, const bpk_sgd *sgd) {
    bpk_update_args args = {
        .m = out, .k = n, .left = delta, .ldl = ldd, .ldr = ldx, .ldw = ldw, .ldv = ldv, .sgd = sgd};
    for (ptrdiff_t j = 0; j < in; j += args.n) {
        args.n = smaller(panel_width(kernels, in - j), in - j);
        args.right = element(kernels, x, j);
        args.w = element(kernels, w, j);
        args.v = velocity ? element(kernels, velocity, j) : NULL;
        kernels->update(&args);
    }
}
