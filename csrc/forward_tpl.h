/* Forward: a tile starts from the bias, and its activation is taken while it is still in the first cache. */
#define ARGS bpk_forward_args
#include "activation_vectors_tpl.h"
#include "tile_tpl.h"

static ALWAYS_INLINE void tile(int rows, int vecs, int masked, vmask tail, const ARGS *args, ptrdiff_t i) {
    vec acc[TILE_ROWS_MAX][TILE_VECS];
    real *a = (real *)args->a + i * args->lda;
    if (args->resume)
        tile_resume(rows, vecs, masked, tail, a, args->lda, acc);
    else
        tile_start(rows, vecs, masked, tail, args->b, acc);
    tile_rows_product(rows, vecs, masked, tail, args->k, &args->x, i, args->w, args->ldw, acc);
    /* The one that is so short that to store and load would take longer. */
    const int is_relu = args->activation == BPK_RELU;
    if (is_relu)
        EACH_ACCUMULATOR (r, j) acc[r][j] = activation_vector(BPK_RELU, acc[r][j]);
    EACH_ACCUMULATOR (r, j) tile_store(a + r * args->lda, acc[r][j], j, vecs, masked, tail);
    if (!is_relu) BPK_NAME(activate)(args->activation, rows, args->n, a, args->lda);
}

void BPK_NAME(forward)(const bpk_forward_args *args) { run_block(args, args->n); }
