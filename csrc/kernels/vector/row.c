/* One row through a layer, whose weights are read once, in order. A block has too few sums to hide the
 * latency of fma, so up to AT_ONCE blocks of the same width are computed side by side; four blocks of
 * TILE_VECS vectors fit in the registers of every ISA. Each sum takes its terms in the order of forward.c,
 * and has the same bits. */
#include "vec.h"

#include "kernels/vector/activation_vectors.h"

enum { AT_ONCE = 4 };

/* A loop over the accumulators of `blocks` blocks of `vecs` vectors. */
#define EACH_SUM(c, j)                      \
    UNROLL                                  \
    for (int c = 0; c < blocks; c++) UNROLL \
    for (int j = 0; j < vecs; j++)

/* The blocks' sums over k rows of reals; w is the first block, and the blocks are `apart` elements apart. */
static ALWAYS_INLINE void sum_reals(int blocks, int vecs, ptrdiff_t k, const stored *x, const stored *w,
                                    ptrdiff_t apart, vacc sums[AT_ONCE][TILE_VECS]) {
    for (ptrdiff_t i = 0; i < k; i++, w += vecs * VEC) {
        vec left = vset1(x[i]);
        EACH_SUM (c, j) sums[c][j] = vfma(left, vload(w + c * apart + j * VEC), sums[c][j]);
    }
}

#if !BPK_REAL_IS_DOUBLE
/* The same over k rows in pairs. The upper half of an odd last row of pairs has no element of x. */
static ALWAYS_INLINE void sum_pairs(int blocks, int vecs, ptrdiff_t k, const stored *x,
                                    const bfloat16_pair *w, ptrdiff_t apart, vacc sums[AT_ONCE][TILE_VECS]) {
    for (ptrdiff_t i = 0; i + 1 < k; i += 2, w += vecs * VEC) {
        vec left = vset1(x[i]), next = vset1(x[i + 1]);
        EACH_SUM (c, j) {
            const bfloat16_pair *p = w + c * apart + j * VEC;
            sums[c][j] = vfma(next, vload_upper(p), vfma(left, vload_lower(p), sums[c][j]));
        }
    }
    if (k % 2 == 0) return;
    vec left = vset1(x[k - 1]);
    EACH_SUM (c, j) sums[c][j] = vfma(left, vload_lower(w + c * apart + j * VEC), sums[c][j]);
}
#endif

/* Computes `blocks` blocks of `vecs` vectors, from column `from` on. */
static ALWAYS_INLINE void run_blocks(int blocks, int vecs, int pairs, const bpk_row_args *args,
                                     ptrdiff_t from) {
    const ptrdiff_t width = vecs * VEC;
    const stored *b = (const stored *)args->b + from;
    stored *a = (stored *)args->a + from;
    vacc sums[AT_ONCE][TILE_VECS];
    EACH_SUM (c, j) sums[c][j] = vload(b + c * width + j * VEC);
#if !BPK_REAL_IS_DOUBLE
    if (pairs) {
        const ptrdiff_t rows = rows_of_pairs(args->k);
        sum_pairs(blocks, vecs, args->k, args->x, (const bfloat16_pair *)args->w + from * rows, width * rows,
                  sums);
    }
#endif
    if (!pairs)
        sum_reals(blocks, vecs, args->k, args->x, (const stored *)args->w + from * args->k, width * args->k,
                  sums);
    const int is_relu = args->activation == BPK_RELU;
    EACH_SUM (c, j) {
        vec z = is_relu ? activation_vector(BPK_RELU, sums[c][j]) : sums[c][j];
        vstore(a + c * width + j * VEC, z);
    }
}

static ALWAYS_INLINE void run_row(int pairs, const bpk_row_args *args) {
    for (ptrdiff_t from = args->from, next; from < args->to; from = next) {
        const ptrdiff_t width = width_of_block(args->n - from, VEC, TILE_VECS * VEC);
        int blocks = 1;
        for (next = from + width; blocks < AT_ONCE && next < args->to; blocks++, next += width)
            if (width_of_block(args->n - next, VEC, TILE_VECS * VEC) != width) break;
#define RUN(count, v) \
    if (v <= TILE_VECS && blocks == count && width == v * VEC) run_blocks(count, v, pairs, args, from);
#define RUN_COUNTS(v) RUN(1, v) RUN(2, v) RUN(3, v) RUN(4, v)
        RUN_COUNTS(1)
        RUN_COUNTS(2)
        RUN_COUNTS(3)
#undef RUN_COUNTS
#undef RUN
    }
    if (args->activation != BPK_RELU)
        BPK_NAME(activate)(args->activation, 1, args->to - args->from, (stored *)args->a + args->from, 0);
}

void BPK_NAME(forward_row)(const bpk_row_args *args) { run_row(0, args); }

#if !BPK_REAL_IS_DOUBLE
void BPK_NAME(forward_row_pairs)(const bpk_row_args *args) { run_row(1, args); }
#endif
