/* Sweep: a tile of weights is moved along its gradient, and the next mini-batch is multiplied by it while it
 * is still in registers. The sums of the products are the activations in memory, in the first-level cache;
 * or registers, if both batches are one row. */
#include "vec.h"

/* The rows of w that belong to one block of x, which begins at column `first` and is `width` wide: rows
 * `from` to `to`, counted from `first`. n: columns of w. */
typedef struct {
    const bpk_sweep_args *args;
    ptrdiff_t from, to, n;
    const stored *x, *next_x; /* (.., width) */
    ptrdiff_t first, width;
    stored *w;
} x_block;

#define ARGS x_block
#define ALONG_ROWS 1
#include "kernels/vector/tiles.h"

#include "kernels/vector/spend.h"
#include "kernels/vector/sweep_row.h"

/* sums (vecs) += next_x (rows) moved (rows, vecs) */
static ALWAYS_INLINE void add_products(int rows, int vecs, const stored *next_x,
                                       vacc moved[TILE_ROWS_MAX][TILE_VECS], vacc sums[TILE_VECS]) {
    UNROLL
    for (int i = 0; i < rows; i++) {
        vec left = vset1(next_x[i]);
        UNROLL
        for (int j = 0; j < vecs; j++) sums[j] = vfma(left, moved[i][j], sums[j]);
    }
}

/* Moves rows i to i + rows of the weights, by the gradient of k rows; `moved` are the new weights. */
static ALWAYS_INLINE void move_tile(int rows, int vecs, const x_block *block, ptrdiff_t k, ptrdiff_t i,
                                    vacc moved[TILE_ROWS_MAX][TILE_VECS]) {
    const bpk_sweep_args *args = block->args;
    const ptrdiff_t width = vecs * VEC;
    const tile_weights to = {.w = block->w + i * width,
                             .ldw = width,
                             .state = args->state,
                             .at = (block->first + i) * width,
                             .ld_state = width,
                             .n = width};
    tile_start(rows, vecs, WHOLE, 0, NULL, moved);
    tile_product(rows, vecs, WHOLE, 0, k, block->x + i, block->width, args->delta, args->ldd, moved);
    spend_tile(rows, vecs, WHOLE, 0, args->move, &to, moved);
}

static ALWAYS_INLINE void tile(int rows, int vecs, int last, ptrdiff_t tail, const x_block *block,
                               ptrdiff_t i) {
    const bpk_sweep_args *args = block->args;
    vacc moved[TILE_ROWS_MAX][TILE_VECS];
    move_tile(rows, vecs, block, args->k, i, moved);
    stored *a = args->a;
    const stored *next_x = block->next_x + i;
    for (ptrdiff_t r = 0; r < args->next_k; r++, a += args->lda, next_x += block->width) {
        vacc sums[TILE_VECS];
        UNROLL
        for (int j = 0; j < vecs; j++) sums[j] = tile_load(a, j, vecs, last, tail);
        add_products(rows, vecs, next_x, moved, sums);
        UNROLL
        for (int j = 0; j < vecs; j++) tile_store(a, sums[j], j, vecs, last, tail);
    }
}

/* The rows of a tile if both batches are one row: half of what is in registers otherwise is enough. */
enum { SINGLE_ROWS = 4 };

/* The tiles of a block of x if the batch is one row, and the next one is one row or none. */
static ALWAYS_INLINE void run_single(int vecs, const x_block *block, vacc sums[TILE_VECS]) {
    vacc moved[TILE_ROWS_MAX][TILE_VECS];
    const int next = block->args->next_k > 0;
    ptrdiff_t i = block->from;
    for (; i + SINGLE_ROWS <= block->to; i += SINGLE_ROWS) {
        move_tile(SINGLE_ROWS, vecs, block, 1, i, moved);
        if (next) add_products(SINGLE_ROWS, vecs, block->next_x + i, moved, sums);
    }
    for (; i < block->to; i++) {
        move_tile(1, vecs, block, 1, i, moved);
        if (next) add_products(1, vecs, block->next_x + i, moved, sums);
    }
}

/* All blocks of x: those between rows `from` and `to`. */
static ALWAYS_INLINE void sweep(int vecs, const bpk_sweep_args *args) {
    const ptrdiff_t width = vecs * VEC;
    const int single = args->k == 1 && args->next_k <= 1;
    vacc sums[TILE_VECS];
    UNROLL
    for (int j = 0; j < vecs; j++) sums[j] = args->b ? vload((const stored *)args->b + j * VEC) : vzero();
    for (ptrdiff_t r = 0; r < args->next_k; r++) UNROLL
    for (int j = 0; j < vecs; j++) vstore((stored *)args->a + r * args->lda + j * VEC, sums[j]);
    x_block block = {.args = args, .n = width};
    for (ptrdiff_t c = 0; c < args->to; c += block.width) {
        block.width = width_of_block(args->in - c, VEC, TILE_VECS * VEC);
        block.first = c;
        block.from = args->from > c ? args->from - c : 0;
        block.to = args->to - c < block.width ? args->to - c : block.width;
        block.x = (const stored *)args->x + c * args->x_rows;
        block.next_x = args->next_k ? (const stored *)args->next_x + c * args->x_rows : NULL;
        block.w = (stored *)args->w + c * width;
        if (single)
            run_single(vecs, &block, sums);
        else if (block.from < block.to)
            run_rows(vecs, WHOLE, 0, &block);
    }
    if (single && args->next_k) UNROLL
    for (int j = 0; j < vecs; j++) vstore((stored *)args->a + j * VEC, sums[j]);
    if (args->next_k) BPK_NAME(activate)(args->activation, args->next_k, args->n, args->a, args->lda);
}

/* Functions for the same reason as the kinds of blocks in tiles.h. */
#define FUNCTION(vecs) \
    static NOINLINE void sweep_##vecs(const bpk_sweep_args *args) { sweep(vecs, args); }
FUNCTION(1)
FUNCTION(2)
FUNCTION(3)
#undef FUNCTION

void BPK_NAME(sweep)(const bpk_sweep_args *args) {
    const int by_rows = sweeps_by_rows(args);
    switch ((args->n + VEC - 1) / VEC) {
        case 1: (by_rows ? sweep_by_rows_1 : sweep_1)(args); break;
        case 2: (by_rows ? sweep_by_rows_2 : sweep_2)(args); break;
        case 3: (by_rows ? sweep_by_rows_3 : sweep_3)(args); break;
    }
}
