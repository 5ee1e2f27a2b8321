/* Delta: the product alone, then the derivative on the tile while it is still in the first cache. */
#define ARGS bpk_delta_args
#include "tile_tpl.h"

static ALWAYS_INLINE void tile(int rows, int vecs, int masked, vmask tail, const ARGS *args, ptrdiff_t i) {
    vec acc[TILE_ROWS_MAX][TILE_VECS];
    tile_zero(rows, vecs, acc);
    tile_product(rows, vecs, masked, tail, args->k, (const real *)args->delta_next + i * args->ldn, args->ldn,
                 1, args->w, args->ldw, acc);
    real *delta = (real *)args->delta + i * args->ldd;
    EACH_ACCUMULATOR (r, j) tile_store(delta + r * args->ldd, acc[r][j], j, vecs, masked, tail);
    BPK_NAME(apply_derivative)(args->activation, rows, args->n, (const real *)args->a + i * args->lda,
                               args->lda, delta, args->ldd);
}

void BPK_NAME(delta)(const bpk_delta_args *args) { run_block(args); }
