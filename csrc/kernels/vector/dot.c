/* Dot products of the rows of two matrices, both in blocks or both row-major. A tile is `rows` rows of x by
 * `columns` rows of w, which are columns of the result: at most DOT_SUMS dot products. In a tile of any
 * shape, a dot product is summed in the same order: first each lane, then the lanes in halves. */
#include "vec.h"

/* The most columns of a tile. */
enum { COLUMNS = 4 };

_Static_assert(DOT_SUMS >= COLUMNS && DOT_SUMS % VEC == 0,
               "a tile has at least one row; its dot products are reduced in groups of VEC");

/* Adds n <= VEC products to each dot product. */
static ALWAYS_INLINE void accumulate(int rows, int columns, ptrdiff_t n, const stored *x, ptrdiff_t ldx,
                                     const stored *w, ptrdiff_t ldw, vacc partial[DOT_SUMS]) {
    UNROLL
    for (int r = 0; r < rows; r++) {
        vec one = vload_first(x + r * ldx, n);
        UNROLL
        for (int c = 0; c < columns; c++) {
            vec other = vload_first(w + c * ldw, n);
            partial[r * columns + c] = vfma(one, other, partial[r * columns + c]);
        }
    }
}

/* sums[s] = the sum over the lanes of partial[s], for s < count <= VEC. */
static ALWAYS_INLINE void reduce(int count, vacc partial[VEC], real sums[VEC]) {
    if (2 * count <= VEC) {
        for (int s = 0; s < count; s++) sums[s] = vsum(partial[s]);
        return;
    }
    for (int s = count; s < VEC; s++) partial[s] = vzero();
    vtranspose(partial);
    for (int half = VEC / 2; half > 0; half /= 2)
        for (int s = 0; s < half; s++) partial[s] = vadd(partial[s], partial[s + half]);
    vstore(sums, partial[0]);
}

/* The dot products of rows i to i + rows of x and columns j to j + columns of the result. */
static ALWAYS_INLINE void dots(int rows, int columns, const bpk_dot_args *args, ptrdiff_t i, ptrdiff_t j) {
    vacc partial[DOT_SUMS];
    UNROLL
    for (int s = 0; s < rows * columns; s++) partial[s] = vzero();
    const int blocks = args->x_rows != 0;
    for (ptrdiff_t k = 0, width; k < args->k; k += width) {
        width = blocks ? width_of_block(args->k - k, VEC, TILE_VECS * VEC) : args->k;
        const ptrdiff_t ldx = blocks ? width : args->ldx, ldw = blocks ? width : args->ldw;
        const stored *x = (const stored *)args->x + k * args->x_rows + i * ldx;
        const stored *w = (const stored *)args->w + k * args->w_rows + (args->w_from + j) * ldw;
        ptrdiff_t left = args->k - k < width ? args->k - k : width, v = 0;
        for (; v + VEC <= left; v += VEC) accumulate(rows, columns, VEC, x + v, ldx, w + v, ldw, partial);
        if (v < left) accumulate(rows, columns, left - v, x + v, ldx, w + v, ldw, partial);
    }
    real sums[DOT_SUMS];
    if (DOT_SUMS == VEC)
        reduce(rows * columns, partial, sums);
    else
        UNROLL
    for (int s = 0; s < rows * columns; s += VEC)
        reduce(rows * columns - s < VEC ? rows * columns - s : VEC, partial + s, sums + s);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) {
            stored *sum = (stored *)args->sums + (i + r) * args->lds + j + c;
            real start = args->resume ? *sum : args->b ? ((const stored *)args->b)[j + c] : 0;
            *sum = start + sums[r * columns + c];
        }
}

/* Columns j to j + columns of the result: the rows in tiles, and the remaining rows one by one. */
static ALWAYS_INLINE void dot_columns(int columns, const bpk_dot_args *args, ptrdiff_t j) {
    const int rows = DOT_SUMS / columns;
    ptrdiff_t i = args->from;
    for (; i + rows <= args->to; i += rows) dots(rows, columns, args, i, j);
    for (; i < args->to; i++) dots(1, columns, args, i, j);
}

void BPK_NAME(dot)(const bpk_dot_args *args) {
    ptrdiff_t j = 0;
    for (; j + COLUMNS <= args->n; j += COLUMNS) dot_columns(COLUMNS, args, j);
    switch (args->n - j) {
        case 1: dot_columns(1, args, j); break;
        case 2: dot_columns(2, args, j); break;
        case 3: dot_columns(3, args, j); break;
    }
}
