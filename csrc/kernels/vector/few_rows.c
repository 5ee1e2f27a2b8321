/* The product of very few rows, which memory limits: several rows of the right matrix pass at once, and each
 * vector of the sums takes their products in turn. */
#include "vec.h"

/* At most so many factors from the left matrix are kept in registers: rows times depth. */
enum { MAX_ROWS = 2, MAX_DEPTH = 8 };

/* Adds the products with `depth` rows of w to `rows` rows of sums, which begin at zero if `first`. */
static ALWAYS_INLINE void pass(int rows, int depth, int first, ptrdiff_t n, const stored *x, ptrdiff_t ldx,
                               const stored *w, ptrdiff_t ldw, stored *sums, ptrdiff_t lds) {
    vec left[MAX_ROWS][MAX_DEPTH];
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int d = 0; d < depth; d++) left[r][d] = vset1(x[r * ldx + d]);
    ptrdiff_t j = 0;
    for (; j + VEC <= n; j += VEC) {
        vacc sum[MAX_ROWS];
        UNROLL
        for (int r = 0; r < rows; r++) sum[r] = first ? vzero() : vload(sums + r * lds + j);
        UNROLL
        for (int d = 0; d < depth; d++) {
            vec right = vload(w + d * ldw + j);
            UNROLL
            for (int r = 0; r < rows; r++) sum[r] = vfma(left[r][d], right, sum[r]);
        }
        UNROLL
        for (int r = 0; r < rows; r++) vstore(sums + r * lds + j, sum[r]);
    }
    if (j == n) return;
    const ptrdiff_t tail = n - j;
    for (int r = 0; r < rows; r++) {
        vacc sum = first ? vzero() : vload_first(sums + r * lds + j, tail);
        for (int d = 0; d < depth; d++) sum = vfma(left[r][d], vload_first(w + d * ldw + j, tail), sum);
        vstore_first(sums + r * lds + j, tail, sum);
    }
}

/* Rows i to i + rows, `most` rows of w at once, and the rest of them one by one. */
static ALWAYS_INLINE void pass_all(int rows, const bpk_few_rows_args *args, ptrdiff_t i) {
    const int most = MAX_DEPTH / rows;
    const stored *x = (const stored *)args->x + i * args->ldx, *w = args->w;
    stored *sums = (stored *)args->sums + i * args->lds;
    ptrdiff_t k = args->k % most;
    if (k == 0 && args->k > 0) {
        pass(rows, most, 1, args->n, x, args->ldx, w, args->ldw, sums, args->lds);
        k = most;
    } else {
        pass(rows, 0, 1, args->n, x, args->ldx, w, args->ldw, sums, args->lds);
        for (ptrdiff_t d = 0; d < k; d++)
            pass(rows, 1, 0, args->n, x + d, args->ldx, w + d * args->ldw, args->ldw, sums, args->lds);
    }
    for (; k < args->k; k += most)
        pass(rows, most, 0, args->n, x + k, args->ldx, w + k * args->ldw, args->ldw, sums, args->lds);
}

void BPK_NAME(few_rows)(const bpk_few_rows_args *args) {
    ptrdiff_t i = args->from;
    for (; i + 2 <= args->to; i += 2) pass_all(2, args, i);
    if (i < args->to) pass_all(1, args, i);
}
