/* What moves matrices from one layout to another, one element at a time. */
#include <math.h>

#include "scalar.h"

int BPK_NAME(scatter)(ptrdiff_t n, const void *src, void *dst, ptrdiff_t rows, ptrdiff_t row) {
    const real *from = src; /* (n,) */
    real *to = dst;
    int finite = 1;
    for (ptrdiff_t j = 0; j < n; j++) {
        to[place(rows, row, j)] = from[j];
        finite &= isfinite(from[j]) != 0;
    }
    return finite;
}

void BPK_NAME(transpose)(ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst,
                         ptrdiff_t ldd) {
    const real *s = src; /* (rows, columns) */
    real *d = dst;       /* (columns, rows) */
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++) d[j * ldd + i] = s[i * lds + j];
}
