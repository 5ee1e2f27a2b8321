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
        if (j == columns) continue;
        /* The last VEC elements again: a tail in a vector of its own would read a cache line more. */
        if (columns > VEC)
            finite &= copy_some(VEC, from + columns - VEC, to + columns - VEC);
        else
            finite &= copy_some(columns, from, to);
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

/* The columns that a few rows are read on, before the next rows: some cache lines, so that each is read once
 * even if the rows displace each other from the cache, and the next ones are prefetched. */
enum { CHUNK = 256 / sizeof(stored) };

/* Matrices of up to so many rows or columns would leave most of a square empty, and are copied one by one. */
enum { FEW = 3 };

static void transpose_few(ptrdiff_t rows, ptrdiff_t columns, const stored *src, ptrdiff_t lds, stored *dst,
                          ptrdiff_t ldd) {
    for (ptrdiff_t j = 0; j < columns; j++)
        for (ptrdiff_t i = 0; i < rows; i++) dst[j * ldd + i] = src[i * lds + j];
}

void BPK_NAME(transpose)(ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst,
                         ptrdiff_t ldd) {
    if (rows <= FEW || columns <= FEW) return transpose_few(rows, columns, src, lds, dst, ldd);
    for (ptrdiff_t first = 0; first < columns; first += CHUNK) {
        const ptrdiff_t last = columns - first < CHUNK ? columns : first + CHUNK;
        for (ptrdiff_t i = 0; i < rows; i += VEC)
            for (ptrdiff_t j = first; j < last; j += VEC) {
                ptrdiff_t high = rows - i, wide = columns - j;
                const stored *s = (const stored *)src + i * lds + j;
                stored *d = (stored *)dst + j * ldd + i;
                if (high >= VEC && wide >= VEC)
                    transpose_square(VEC, VEC, s, lds, d, ldd);
                else
                    transpose_square(high < VEC ? high : VEC, wide < VEC ? wide : VEC, s, lds, d, ldd);
            }
    }
}

/* Copies `rows` rows of `vecs` vectors, of the last one only the first `tail` lanes if `masked`. */
static ALWAYS_INLINE void copy_vectors(int vecs, int masked, ptrdiff_t tail, ptrdiff_t rows,
                                       const stored *src, ptrdiff_t lds, stored *dst, ptrdiff_t ldd) {
    for (ptrdiff_t i = 0; i < rows; i++, src += lds, dst += ldd) {
        UNROLL
        for (int v = 0; v < vecs - masked; v++) vstore(dst + v * VEC, vload(src + v * VEC));
        if (masked) vstore_first(dst + (vecs - 1) * VEC, tail, vload_first(src + (vecs - 1) * VEC, tail));
    }
}

void BPK_NAME(copy)(ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst,
                    ptrdiff_t ldd) {
    for (ptrdiff_t j = 0, width; j < columns; j += width) {
        const stored *s = (const stored *)src + j;
        stored *d = (stored *)dst + j;
        width = columns - j < 3 * VEC ? columns - j : 3 * VEC;
        ptrdiff_t tail = (width - 1) % VEC + 1;
        switch ((width - 1) / VEC * 2 + (width % VEC != 0)) {
            case 0: copy_vectors(1, 0, tail, rows, s, lds, d, ldd); break;
            case 1: copy_vectors(1, 1, tail, rows, s, lds, d, ldd); break;
            case 2: copy_vectors(2, 0, tail, rows, s, lds, d, ldd); break;
            case 3: copy_vectors(2, 1, tail, rows, s, lds, d, ldd); break;
            case 4: copy_vectors(3, 0, tail, rows, s, lds, d, ldd); break;
            case 5: copy_vectors(3, 1, tail, rows, s, lds, d, ldd); break;
        }
    }
}
