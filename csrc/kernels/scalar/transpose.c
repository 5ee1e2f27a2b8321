/* From one layout to another, one element at a time. */
#include <math.h>

#include "vec.h"

int BPK_NAME(scatter)(ptrdiff_t n, const void *src, void *dst, ptrdiff_t rows, ptrdiff_t row) {
    const stored *from = src; /* (n,) */
    stored *to = dst;
    int finite = 1;
    for (ptrdiff_t j = 0; j < n; j++) {
        to[place(rows, row, j)] = from[j];
        finite &= isfinite(from[j]) != 0;
    }
    return finite;
}

void BPK_NAME(transpose)(ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst,
                         ptrdiff_t ldd) {
    const stored *s = src; /* (rows, columns) */
    stored *d = dst;       /* (columns, rows) */
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++) d[j * ldd + i] = s[i * lds + j];
}
