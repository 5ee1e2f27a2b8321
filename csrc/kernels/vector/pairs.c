/* Forward with weights in pairs of bfloat16, which are widened in registers. A sum takes its terms in the
 * order of forward.c: the lower elements of a row of pairs, then its upper ones. */
#include "vec.h"

#if !BPK_REAL_IS_DOUBLE

#define ARGS bpk_forward_args
#define ALONG_ROWS 0
#include "kernels/vector/tiles.h"

#include "kernels/vector/forward_tile.h"

/* sums[i][j] += x[i rs] times the vector right[j]. */
static ALWAYS_INLINE void add_row(int rows, int vecs, const stored *x, ptrdiff_t rs,
                                  const vec right[TILE_VECS], vacc sums[TILE_ROWS_MAX][TILE_VECS]) {
    UNROLL
    for (int i = 0; i < rows; i++) {
        vec left = vset1(x[i * rs]);
        UNROLL
        for (int j = 0; j < vecs; j++) sums[i][j] = vfma(left, right[j], sums[i][j]);
    }
}

/* As tile_product of row-major rows of x, `rs` apart. */
static ALWAYS_INLINE void pairs_product(int rows, int vecs, ptrdiff_t depth, const stored *x, ptrdiff_t rs,
                                        const bfloat16_pair *w, ptrdiff_t ldw,
                                        vacc sums[TILE_ROWS_MAX][TILE_VECS]) {
    for (ptrdiff_t k = 0; k < depth; k += 2, w += ldw) {
        vec right[TILE_VECS];
        UNROLL
        for (int j = 0; j < vecs; j++) right[j] = vload_lower(w + j * VEC);
        add_row(rows, vecs, x + k, rs, right, sums);
        if (k + 1 == depth) break; /* the upper element has no element of x */
        __asm__("" : "+r"(w)); /* loads the pairs again: the accumulators leave no registers to keep them */
        UNROLL
        for (int j = 0; j < vecs; j++) right[j] = vload_upper_in_tile(w + j * VEC);
        add_row(rows, vecs, x + k + 1, rs, right, sums);
    }
}

static ALWAYS_INLINE void tile(int rows, int vecs, int last, ptrdiff_t tail, const ARGS *args, ptrdiff_t i) {
    const stored *x = args->x.at;
    const bfloat16_pair *w = args->w;
    vacc sums[TILE_ROWS_MAX][TILE_VECS];
    forward_start(rows, vecs, last, tail, args, i, sums);
    if (!args->x.rows)
        pairs_product(rows, vecs, args->k, x + i * args->x.ld, args->x.ld, w, args->ldw, sums);
    else
        for (ptrdiff_t k = 0, width; k < args->k; k += width) { /* a block of x has whole pairs */
            width = width_of_block(args->k - k, VEC, TILE_VECS * VEC);
            ptrdiff_t columns = args->k - k < width ? args->k - k : width;
            pairs_product(rows, vecs, columns, x + k * args->x.rows + i * width, width, w + k / 2 * args->ldw,
                          args->ldw, sums);
        }
    forward_end(rows, vecs, last, tail, args, i, sums);
}

void BPK_NAME(forward_pairs)(const bpk_forward_args *args) { run_kind((int)(args->n / VEC), WHOLE, 0, args); }

#endif
