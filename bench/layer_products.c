/* One of the products of a layer 784 -> 256 at 64 rows, in float32, as a training step makes it. For
 * emulated.py, which counts its instructions.
 *
 *     layer_products ISA forward|delta|update REPEATS
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/memory.h"
#include "trainer/products.h"

enum { ROWS = 64, IN = 784, OUT = 256 };

static float *matrix(ptrdiff_t elements) {
    float *p = allocate_unset(elements, sizeof *p);
    if (!p) exit(1);
    for (ptrdiff_t i = 0; i < elements; i++) p[i] = (float)(i % 17) / 17 - 0.5f;
    return p;
}

/* Matrices of the layer, in blocks: x (ROWS, IN), a and delta (ROWS, OUT), w and its velocity (IN, OUT). */
typedef struct {
    const bpk_kernels *kernels;
    ptrdiff_t width; /* OUT, padded */
    float *x, *a, *delta, *below, *w, *velocity, *b, *strip;
} layer;

static void forward(const layer *l) {
    const bpk_left left = {.at = l->x, .rows = ROWS};
    forward_product(l->kernels, (member){.count = 1}, ROWS, IN, l->width, &left, l->w, l->b, BPK_RELU, l->a,
                    ROWS, 0);
}

/* A block of columns of the delta below, from a strip of transposed weights. */
static void delta(const layer *l, ptrdiff_t j, ptrdiff_t n, ptrdiff_t width) {
    bpk_delta_args args = {.to = ROWS,
                           .n = n,
                           .k = OUT,
                           .delta_next = {.at = l->delta, .rows = ROWS},
                           .w = l->strip,
                           .ldw = padded(l->kernels, n),
                           .a = l->x + j * ROWS,
                           .lda = width,
                           .activation = BPK_RELU,
                           .delta = l->below + j * ROWS,
                           .ldd = width};
    l->kernels->delta(&args);
}

/* The rows of W that belong to a block of columns of x. */
static void update(const layer *l, ptrdiff_t j, ptrdiff_t n, ptrdiff_t width) {
    const bpk_move move = {.optimizer = {.rule = BPK_SGD, .momentum = 0.9},
                           .scale = 1,
                           .limit = INFINITY,
                           .shrink = 1,
                           .lr = 1e-9};
    for (ptrdiff_t k = 0, block; k < OUT; k += block) {
        block = block_width(l->kernels, OUT - k);
        ptrdiff_t at = k * IN + j * block;
        bpk_update_args args = {.to = n,
                                .n = block,
                                .filled = smaller(block, OUT - k),
                                .k = ROWS,
                                .left = l->x + j * ROWS,
                                .ldl = width,
                                .right = l->delta + k * ROWS,
                                .ldr = block,
                                .w = l->w + at,
                                .ldw = block,
                                .state = {l->velocity + at},
                                .ld_state = block,
                                .move = &move};
        l->kernels->update(&args);
    }
}

static void run(const layer *l, char product) {
    if (product == 'f') {
        forward(l);
        return;
    }
    for (ptrdiff_t j = 0, width; j < IN; j += width) {
        width = block_width(l->kernels, IN - j);
        (product == 'd' ? delta : update)(l, j, smaller(width, IN - j), width);
    }
}

int main(int argc, char **argv) {
    int isa = 0;
    if (argc != 4) return 2;
    while (isa < bpk_isa_count() && strcmp(bpk_isa_name(isa), argv[1]) != 0) isa++;
    if (!bpk_isa_runs(isa)) return 2;
    const bpk_kernels *kernels = bpk_isa_kernels(isa, BPK_F32);
    const ptrdiff_t width = padded(kernels, OUT), width_in = padded(kernels, IN);
    const layer l = {.kernels = kernels,
                     .width = width,
                     .x = matrix(ROWS * width_in),
                     .a = matrix(ROWS * width),
                     .delta = matrix(ROWS * width),
                     .below = matrix(ROWS * width_in),
                     .w = matrix(IN * width),
                     .velocity = matrix(IN * width),
                     .b = matrix(width),
                     .strip = matrix(width * kernels->panel)};
    for (int i = atoi(argv[3]); i > 0; i--) run(&l, argv[2][0]);
    printf("%g\n", (double)(l.a[5] + l.below[5] + l.w[5]));
    return 0;
}
