/* From one layout to another: rows into blocks, one vector at a time; transposition, VEC x VEC numbers at a
 * time. */
#include "vec.h"

/* Copies n <= VEC elements; returns whether all are finite. */
static ALWAYS_INLINE int copy_some(ptrdiff_t n, const stored *from, stored *to) {
    vec v = vload_first(from, n);
    vstore_first(to, n, v);
    return vall(vle(vabs(v), vset1(REAL_MAX)));
}

int BPK_NAME(scatter)(ptrdiff_t n, const void *src, void *dst, ptrdiff_t rows, ptrdiff_t row) {
    int finite = 1;
    for (ptrdiff_t start = 0, width; start < n; start += width) {
        width = width_of_block(n - start, VEC, TILE_VECS * VEC);
        const ptrdiff_t columns = n - start < width ? n - start : width;
        const stored *from = (const stored *)src + start;
        stored *to = (stored *)dst + start * rows + row * width;
        ptrdiff_t j = 0;
        for (; j + VEC <= columns; j += VEC) finite &= copy_some(VEC, from + j, to + j);
        if (j < columns) finite &= copy_some(columns - j, from + j, to + j);
    }
    return finite;
}

/* dst (columns, rows) = src (rows, columns)', with rows and columns of at most VEC. */
static ALWAYS_INLINE void transpose_square(ptrdiff_t rows, ptrdiff_t columns, const stored *src,
                                           ptrdiff_t lds, stored *dst, ptrdiff_t ldd) {
    vec t[VEC];
    for (int i = 0; i < VEC; i++) t[i] = i < rows ? vload_first(src + i * lds, columns) : vzero();
    vtranspose(t);
    for (int j = 0; j < VEC; j++)
        if (j < columns) vstore_first(dst + j * ldd, rows, t[j]);
}

void BPK_NAME(transpose)(ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst,
                         ptrdiff_t ldd) {
    for (ptrdiff_t j = 0; j < columns; j += VEC)
        for (ptrdiff_t i = 0; i < rows; i += VEC) {
            ptrdiff_t high = rows - i, wide = columns - j;
            const stored *s = (const stored *)src + i * lds + j;
            stored *d = (stored *)dst + j * ldd + i;
            if (high >= VEC && wide >= VEC)
                transpose_square(VEC, VEC, s, lds, d, ldd);
            else
                transpose_square(high < VEC ? high : VEC, wide < VEC ? wide : VEC, s, lds, d, ldd);
        }
}
