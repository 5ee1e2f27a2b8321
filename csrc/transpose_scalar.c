/* Transposition, one element at a time. */
#include "real.h"

void BPK_NAME(transpose)(ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst,
                         ptrdiff_t ldd) {
    const real *s = src; /* (rows, columns) */
    real *d = dst;       /* (columns, rows) */
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++) d[j * ldd + i] = s[i * lds + j];
}
