/* From one layout to another: rows into blocks, one vector at a time; transposition, VEC x VEC numbers at a
 * time. */
#include "vec.h"

int BPK_NAME(scatter)(ptrdiff_t n, const void *src, void *dst, ptrdiff_t rows, ptrdiff_t row) {
    const stored *from = src;
    stored *to = dst;
    const vec largest = vset1(REAL_MAX);
    int finite = 1;
    for (ptrdiff_t start = 0, width; start < n; start += width) {
        width = width_of_block(n - start, VEC, TILE_VECS * VEC);
        for (ptrdiff_t j = 0; j < width && start + j < n; j += VEC) {
            vmask m = vtail(n - start - j < VEC ? n - start - j : VEC);
            vec v = vmload(m, from + start + j);
            vmstore(to + start * rows + row * width + j, m, v);
            finite &= vall(vle(vabs(v), largest));
        }
    }
    return finite;
}

/* dst (columns, rows) = src (rows, columns)', with rows and columns of at most VEC. */
static ALWAYS_INLINE void transpose_square(ptrdiff_t rows, ptrdiff_t columns, const stored *src,
                                           ptrdiff_t lds, stored *dst, ptrdiff_t ldd) {
    vmask across = vtail(columns), down = vtail(rows);
    vec t[VEC];
    for (int i = 0; i < VEC; i++) t[i] = i < rows ? vmload(across, src + i * lds) : vzero();
    vtranspose(t);
    for (int j = 0; j < VEC; j++)
        if (j < columns) vmstore(dst + j * ldd, down, t[j]);
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
