/* The product update on the caller's row-major matrices, by several workers. */
#include <math.h>

#include "platform/caches.h"
#include "platform/fp_mode.h"
#include "platform/memory.h"
#include "trainer/plain_call.h"

/* One call, shared by all its workers; the names are those of bpkern.h. */
typedef struct {
    const bpk_kernels *kernels;
    ptrdiff_t n, in, out;
    const void *x, *delta;
    ptrdiff_t ldx, ldd;
    void *w, *b, *vw, *vb;
    ptrdiff_t ldw, ldvw;
    const bpk_move *move;
    int tiles;       /* of a strip */
    ptrdiff_t group; /* the most blocks whose part of x is in panels at once */
    scratch scratch;
} call;

/* Rows of w that one call of the kernel updates. */
static ptrdiff_t strip_rows(const bpk_kernels *kernels, int tiles) { return tiles * kernels->update_rows; }

/* In batches of fewer rows, memory limits the speed of an update: it then reads w in the order of memory. */
enum { BOUND_BY_MEMORY = 32 };

static void update_strip(const call *c, bpk_update_args *args, ptrdiff_t row, ptrdiff_t j) {
    args->w = element(c->kernels, c->w, row * c->ldw + j);
    args->state[0] = c->vw ? element(c->kernels, c->vw, row * c->ldvw + j) : NULL;
    c->kernels->update(args);
}

/* For each group of blocks of w, all strips of its rows. The blocks of x are copied to the worker's panels,
 * if it has some; and delta to the shared scratch memory, if there is some: the columns of each strip become
 * a matrix (n, rows of the strip). */
static void update_blocks(const call *c, worker *me) {
    const bpk_kernels *kernels = c->kernels;
    const ptrdiff_t strip = strip_rows(kernels, c->tiles), panel_size = c->n * kernels->panel;
    void *panels = own_panel(&c->scratch, me), *shared = c->scratch.shared;
    share own;
    while (shared && take_piece(me, c->out, strip, &own.from, &own.to))
        for (ptrdiff_t i = own.from; i < own.to; i += strip) {
            ptrdiff_t rows = smaller(strip, c->out - i);
            kernels->copy(c->n, rows, element(kernels, c->delta, i), c->ldd,
                          element(kernels, shared, i * c->n), rows);
        }
    bpk_update_args args = {.k = c->n, .ldw = c->ldw, .ld_state = c->ldvw, .move = c->move};
    while (take_share(me, kernels, c->out, strip, c->in, &own))
        for (ptrdiff_t j = own.first, end; j < own.last; j = end) {
            ptrdiff_t width, g = 0;
            for (end = j; end < own.last && g < c->group; end += width, g++) {
                width = block_width(kernels, c->in - end);
                if (panels)
                    kernels->copy(c->n, smaller(width, c->in - end), element(kernels, c->x, end), c->ldx,
                                  element(kernels, panels, g * panel_size), width);
            }
            for (ptrdiff_t i = own.from; i < own.to; i += strip) {
                args.to = smaller(strip, own.to - i);
                args.left = element(kernels, shared ? shared : c->delta, shared ? i * c->n : i);
                args.ldl = shared ? args.to : c->ldd;
                g = 0;
                for (ptrdiff_t at = j; at < end; at += width, g++) {
                    width = block_width(kernels, c->in - at);
                    args.n = args.filled = smaller(width, c->in - at);
                    args.right =
                        panels ? element(kernels, panels, g * panel_size) : element(kernels, c->x, at);
                    args.ldr = panels ? width : c->ldx;
                    update_strip(c, &args, i, at);
                }
            }
        }
}

/* For each strip of rows of w, all its blocks. If there is shared scratch, x is copied to it, in blocks. */
static void update_rows(const call *c, worker *me) {
    const bpk_kernels *kernels = c->kernels;
    void *shared = c->scratch.shared;
    ptrdiff_t from, to, strip = strip_rows(kernels, c->tiles);
    while (shared && take_piece(me, c->n, 1, &from, &to))
        for (ptrdiff_t j = 0, width; j < c->in; j += width) {
            width = block_width(kernels, c->in - j);
            kernels->copy(to - from, smaller(width, c->in - j), element(kernels, c->x, from * c->ldx + j),
                          c->ldx, element(kernels, shared, j * c->n + from * width), width);
        }
    bpk_update_args args = {.k = c->n, .ldl = c->ldd, .ldw = c->ldw, .ld_state = c->ldvw, .move = c->move};
    while (take_piece(me, c->out, strip, &from, &to))
        for (ptrdiff_t i = from; i < to; i += strip)
            for (ptrdiff_t j = 0, width; j < c->in; j += width) {
                width = block_width(kernels, c->in - j);
                args.n = args.filled = smaller(width, c->in - j);
                args.to = smaller(strip, to - i);
                args.left = element(kernels, c->delta, i);
                args.right = shared ? element(kernels, shared, j * c->n) : element(kernels, c->x, j);
                args.ldr = shared ? width : c->ldx;
                update_strip(c, &args, i, j);
            }
}

/* Matrices narrower than this many columns are updated as their transposes. */
static ptrdiff_t narrow_columns(const bpk_kernels *kernels) { return kernels->vector / 2; }

/* Where w has very few columns, most of a vector would be empty: strips of rows of w and vw are transposed,
 * in the member's panel, updated as blocks, and transposed back. */
static void update_narrow(const call *c, worker *me) {
    const bpk_kernels *kernels = c->kernels;
    ptrdiff_t from, to, width = kernels->panel;
    void *w = own_panel(&c->scratch, me), *m = element(kernels, w, c->in * width);
    bpk_update_args args = {.to = c->in,
                            .k = c->n,
                            .left = c->x,
                            .ldl = c->ldx,
                            .ldr = c->ldd,
                            .w = w,
                            .state = {c->vw ? m : NULL},
                            .move = c->move};
    args.ldw = args.ld_state = width;
    while (take_piece(me, c->out, width, &from, &to))
        for (ptrdiff_t i = from; i < to; i += width) {
            args.n = args.filled = smaller(width, to - i);
            args.right = element(kernels, c->delta, i);
            void *own_w = element(kernels, c->w, i * c->ldw);
            void *own_m = c->vw ? element(kernels, c->vw, i * c->ldvw) : NULL;
            kernels->transpose(args.n, c->in, own_w, c->ldw, w, width);
            if (own_m) kernels->transpose(args.n, c->in, own_m, c->ldvw, m, width);
            kernels->update(&args);
            kernels->transpose(c->in, args.n, w, width, own_w, c->ldw);
            if (own_m) kernels->transpose(c->in, args.n, m, width, own_m, c->ldvw);
        }
}

static void update_by(void *context, worker *me) {
    const call *c = context;
    const bpk_kernels *kernels = c->kernels;
    fp_mode mode = fp_enter();
    if (c->in < narrow_columns(kernels))
        update_narrow(c, me);
    else if (c->n < BOUND_BY_MEMORY)
        update_rows(c, me);
    else
        update_blocks(c, me);
    ptrdiff_t from, to;
    while (take_piece(me, c->out, kernels->vector, &from, &to)) {
        bpk_bias_args bias = {.n = to - from,
                              .k = c->n,
                              .delta = element(kernels, c->delta, from),
                              .ldd = c->ldd,
                              .b = element(kernels, c->b, from),
                              .state = {c->vb ? element(kernels, c->vb, from) : NULL},
                              .move = c->move};
        kernels->update_bias(&bias);
    }
    fp_leave(mode);
}

/* The panels of x, each n rows high, that take a quarter of the second cache: at least one, at most all. */
static ptrdiff_t panels_at_once(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in) {
    const double panel = (double)n * (double)kernels->panel * (double)kernels->real_size;
    const double fit = (double)second_level_cache() / 4 / larger((ptrdiff_t)panel, 1);
    return larger(smaller((ptrdiff_t)fit, in / kernels->panel + 1), 1);
}

bpk_status bpk_sgd_update(const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                          void *w, ptrdiff_t ldw, void *b, const void *delta, ptrdiff_t ldd, const void *x,
                          ptrdiff_t ldx, void *vw, ptrdiff_t ldvw, void *vb, const bpk_optimizer *sgd) {
    const bpk_move move = {
        .optimizer = {.rule = BPK_SGD, .nesterov = sgd->nesterov, .momentum = sgd->momentum},
        .scale = 1,
        .limit = INFINITY,
        .decay = sgd->weight_decay,
        .shrink = 1,
        .lr = sgd->lr,
        .correction = 1};
    call c = {.kernels = kernels,
              .n = n,
              .in = in,
              .out = out,
              .x = x,
              .ldx = ldx,
              .delta = delta,
              .ldd = ldd,
              .w = w,
              .ldw = ldw,
              .b = b,
              .vw = vw,
              .ldvw = ldvw,
              .vb = vb,
              .move = &move};
    bpk_status status = BPK_OK;
    threads = useful_threads(kernels, threads, out, in);
    const int reused = out > reused_rows(kernels);
    /* Weights that do not stay in the second cache are read one tile high: more rows at once would be more
     * streams than prefetching follows. */
    const double bytes = 2.0 * (double)in * (double)out * (double)kernels->real_size;
    const int streamed = bytes > (double)second_level_cache();
    c.tiles = n >= BOUND_BY_MEMORY || in <= kernels->panel ? 4 : streamed ? 1 : 2;
    c.group = panels_at_once(kernels, n, in);
    if (in < narrow_columns(kernels))
        status = make_scratch(kernels, &c.scratch, threads, 2 * in, 0, 0);
    else if (n < BOUND_BY_MEMORY && reused && (streamed || conflicts(kernels, ldx)))
        status = make_scratch(kernels, &c.scratch, threads, 0, n, padded(kernels, in));
    else if (n >= BOUND_BY_MEMORY && n <= MOST_COPIED)
        status = make_scratch(kernels, &c.scratch, threads, reused ? n * c.group : 0,
                              in > kernels->panel ? n : 0, padded(kernels, out));
    if (status == BPK_OK) pieces_run(threads, update_by, &c);
    release(c.scratch.memory);
    return status;
}
