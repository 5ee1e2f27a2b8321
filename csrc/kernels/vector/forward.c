/* Forward: a tile starts from the bias, and its activations are computed while it is still in the first-level
 * cache. */
#include "vec.h"

#define ARGS bpk_forward_args
#include "kernels/vector/activation_vectors.h"
#include "kernels/vector/tile.h"

static ALWAYS_INLINE void tile(int rows, int vecs, int last, ptrdiff_t tail, const ARGS *args, ptrdiff_t i) {
    vacc sums[TILE_ROWS_MAX][TILE_VECS];
    stored *a = (stored *)args->a + i * args->lda;
    if (args->resume)
        tile_resume(rows, vecs, last, tail, a, args->lda, sums);
    else
        tile_start(rows, vecs, last, tail, args->b, sums);
    tile_rows_product(rows, vecs, last, tail, args->k, &args->x, i, args->w, args->ldw, sums);
    /* relu is computed in registers: it is so short that storing and loading would take longer. */
    const int is_relu = args->activation == BPK_RELU;
    if (is_relu)
        EACH_ACCUMULATOR (r, j) sums[r][j] = activation_vector(BPK_RELU, sums[r][j]);
    EACH_ACCUMULATOR (r, j) tile_store(a + r * args->lda, sums[r][j], j, vecs, last, tail);
    if (!is_relu) BPK_NAME(activate)(args->activation, rows, args->n, a, args->lda);
}

void BPK_NAME(forward)(const bpk_forward_args *args) { run_block(args, args->n); }
