/* Delta: the product alone, then the derivative on the tile while it is still in the first cache. */
#define ARGS bpk_delta_args
#include "tile_tpl.h"

static ALWAYS_INLINE void tile(int rows, int vecs, int masked, vmask tail, const ARGS *args, ptrdiff_t i) {
    vec acc[TILE_ROWS_MAX][TILE_VECS];
    real *delta = (real *)args->delta + i * args->ldd;
    if (args->resume)
        tile_resume(rows, vecs, masked, tail, delta, args->ldd, acc);
    else
        tile_start(rows, vecs, masked, tail, NULL, acc);
    tile_rows_product(rows, vecs, masked, tail, args->k, &args->delta_next, i, args->w, args->ldw, acc);
    EACH_ACCUMULATOR (r, j) tile_store(delta + r * args->ldd, acc[r][j], j, vecs, masked, tail);
    BPK_NAME(apply_derivative)(args->activation, rows, args->n, (const real *)args->a + i * args->lda,
                               args->lda, delta, args->ldd);
}

void BPK_NAME(delta)(const bpk_delta_args *args) { run_block(args); }

/* Dot products of DOT rows of delta_next with DOT_COLUMNS rows of w: one vector full of sums. */
enum { DOT_COLUMNS = 4, DOT = VEC / DOT_COLUMNS };

static ALWAYS_INLINE void dots(int rows, int columns, const bpk_delta_args *args, ptrdiff_t i, ptrdiff_t j,
                               real sums[VEC]) {
    vec acc[VEC];
    for (int s = 0; s < VEC; s++) acc[s] = vzero();
    for (ptrdiff_t k = 0, width; k < args->k; k += width) {
        width = block_width(args->k - k);
        const real *x = (const real *)args->delta_next.at + k * args->delta_next.rows + i * width;
        const real *w = (const real *)args->w + k * args->w_rows + (args->w_from + j) * width;
        for (ptrdiff_t v = 0; v < width; v += VEC) UNROLL
        for (int r = 0; r < rows; r++) {
            vec left = vload(x + r * width + v);
            UNROLL
            for (int c = 0; c < columns; c++)
                acc[r * DOT_COLUMNS + c] = vfma(left, vload(w + c * width + v), acc[r * DOT_COLUMNS + c]);
        }
    }
    vtranspose(acc);
    for (int s = VEC / 2; s > 0; s /= 2)
        for (int t = 0; t < s; t++) acc[t] = vadd(acc[t], acc[t + s]);
    vstore(sums, acc[0]);
}

void BPK_NAME(delta_dot)(const bpk_delta_args *args) {
    real *delta = args->delta;
    for (ptrdiff_t j = 0; j < args->n; j += DOT_COLUMNS)
        for (ptrdiff_t i = args->from; i < args->to; i += DOT) {
            real sums[VEC];
            int rows = args->to - i < DOT ? (int)(args->to - i) : DOT;
            int columns = args->n - j < DOT_COLUMNS ? (int)(args->n - j) : DOT_COLUMNS;
            if (rows == DOT && columns == DOT_COLUMNS)
                dots(DOT, DOT_COLUMNS, args, i, j, sums);
            else if (rows == 1 && columns == DOT_COLUMNS)
                dots(1, DOT_COLUMNS, args, i, j, sums);
            else
                dots(rows, columns, args, i, j, sums);
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < columns; c++) {
                    real *sum = &delta[(i + r) * args->ldd + j + c];
                    *sum = (args->resume ? *sum : 0) + sums[r * DOT_COLUMNS + c];
                }
        }
    BPK_NAME(apply_derivative)(args->activation, args->to - args->from, args->n,
                               (const real *)args->a + args->from * args->lda, args->lda,
                               delta + args->from * args->ldd, args->ldd);
}
