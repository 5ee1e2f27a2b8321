/* Delta: the product, then the derivative on the tile while it is still in the first cache. */
#define ARGS bpk_delta_args
#include "activation_vectors_tpl.h"
#include "tile_tpl.h"

static ALWAYS_INLINE void tile(int rows, int vecs, int masked, vmask tail, const ARGS *args, ptrdiff_t i) {
    vec acc[TILE_ROWS_MAX][TILE_VECS];
    real *delta = (real *)args->delta + i * args->ldd;
    if (args->resume)
        tile_resume(rows, vecs, masked, tail, delta, args->ldd, acc);
    else
        tile_start(rows, vecs, masked, tail, NULL, acc);
    tile_rows_product(rows, vecs, masked, tail, args->k, &args->delta_next, i, args->w, args->ldw, acc);
    const real *a = (const real *)args->a + i * args->lda;
    /* In the tile, as in forward_tpl.h. */
    const int is_relu = args->activation == BPK_RELU;
    if (is_relu)
        EACH_ACCUMULATOR (r, j) {
            vec slope = derivative_vector(BPK_RELU, tile_load(a + r * args->lda, j, vecs, masked, tail));
            acc[r][j] = vmul(acc[r][j], slope);
        }
    EACH_ACCUMULATOR (r, j) tile_store(delta + r * args->ldd, acc[r][j], j, vecs, masked, tail);
    if (!is_relu) BPK_NAME(apply_derivative)(args->activation, rows, args->n, a, args->lda, delta, args->ldd);
}

void BPK_NAME(delta)(const bpk_delta_args *args) { run_block(args, args->n); }
