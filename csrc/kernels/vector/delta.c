/* Delta: a tile of the product, then its factor s' while the tile is still in the first-level cache. */
#include "vec.h"

#define ARGS bpk_delta_args
#define ALONG_ROWS 0
#include "kernels/vector/activation_vectors.h"
#include "kernels/vector/tiles.h"

static ALWAYS_INLINE void tile(int rows, int vecs, int last, ptrdiff_t tail, const ARGS *args, ptrdiff_t i) {
    vacc sums[TILE_ROWS_MAX][TILE_VECS];
    stored *delta = (stored *)args->delta + i * args->ldd;
    if (args->resume)
        tile_resume(rows, vecs, last, tail, delta, args->ldd, sums);
    else
        tile_start(rows, vecs, last, tail, NULL, sums);
    tile_rows_product(rows, vecs, last, tail, args->k, &args->delta_next, i, args->w, args->ldw, sums);
    const stored *a = (const stored *)args->a + i * args->lda;
    /* relu is computed in registers, as in forward.c. */
    const int is_relu = args->activation == BPK_RELU;
    if (is_relu)
        EACH_ACCUMULATOR (r, j) {
            vec slope = derivative_vector(BPK_RELU, tile_load(a + r * args->lda, j, vecs, last, tail));
            sums[r][j] = vmul(sums[r][j], slope);
        }
    EACH_ACCUMULATOR (r, j) tile_store(delta + r * args->ldd, sums[r][j], j, vecs, last, tail);
    if (!is_relu) BPK_NAME(apply_derivative)(args->activation, rows, args->n, a, args->lda, delta, args->ldd);
}

void BPK_NAME(delta)(const bpk_delta_args *args) { run_block(args, args->n); }
