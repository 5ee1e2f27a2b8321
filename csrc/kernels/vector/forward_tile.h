/* How a tile of the product forward starts and ends: forward.c and pairs.c differ in between. Defined here,
 * after tile.h. */
#ifndef BPK_FORWARD_TILE_H
#define BPK_FORWARD_TILE_H

#include "kernels/vector/activation_vectors.h"

/* The sums of earlier parts, or the bias. */
static ALWAYS_INLINE void forward_start(int rows, int vecs, int last, ptrdiff_t tail,
                                        const bpk_forward_args *args, ptrdiff_t i,
                                        vacc sums[TILE_ROWS_MAX][TILE_VECS]) {
    if (args->resume)
        tile_resume(rows, vecs, last, tail, (const stored *)args->a + i * args->lda, args->lda, sums);
    else
        tile_start(rows, vecs, last, tail, args->b, sums);
}

/* Stores the activations. relu is computed in registers: it is so short that storing and loading would take
 * longer. */
static ALWAYS_INLINE void forward_end(int rows, int vecs, int last, ptrdiff_t tail,
                                      const bpk_forward_args *args, ptrdiff_t i,
                                      vacc sums[TILE_ROWS_MAX][TILE_VECS]) {
    stored *a = (stored *)args->a + i * args->lda;
    const int is_relu = args->activation == BPK_RELU;
    if (is_relu)
        EACH_ACCUMULATOR (r, j) sums[r][j] = activation_vector(BPK_RELU, sums[r][j]);
    /* A half vector of a padded block is stored with its padding: it is read again at once, and what was
     * stored by a mask would have to reach the cache first. */
    if (last == HALVED && args->n % VEC == 0)
        EACH_ACCUMULATOR (r, j) vstore(a + r * args->lda + j * VEC, sums[r][j]);
    else
        EACH_ACCUMULATOR (r, j) tile_store(a + r * args->lda, sums[r][j], j, vecs, last, tail);
    if (!is_relu) BPK_NAME(activate)(args->activation, rows, args->n, a, args->lda);
}

#endif
