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
    vec t[VEC];
    if (rows == VEC && columns == VEC) { /* on AVX2, masked stores take several times as long */
        for (int i = 0; i < VEC; i++) t[i] = vload(src + i * lds);
        vtranspose(t);
        for (int j = 0; j < VEC; j++) vstore(dst + j * ldd, t[j]);
        return;
    }
    vmask across = vtail(columns), down = vtail(rows);
    for (int i = 0; i < VEC; i++) t[i] = i < rows ? vmload(across, src + i * lds) : vzero();
    vtranspose(t);
    for (int j = 0; j < VEC; j++)
        if (j < columns) vmstore(dst + j * ldd, down, t[j]);
}

/* The columns that a few rows are read on, before the next rows: some cache lines, so that each is read once
 * even if the rows displace each other from the cache, and the next ones are prefetched. */
enum { CHUNK = 256 / sizeof(stored) };

void BPK_NAME(transpose)(ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst,
                         ptrdiff_t ldd) {
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

/* Copies `rows` rows of `vecs` vectors, the last of them by its lanes in `tail`. */
static ALWAYS_INLINE void copy_vectors(int vecs, int masked, vmask tail, ptrdiff_t rows, const stored *src,
                                       ptrdiff_t lds, stored *dst, ptrdiff_t ldd) {
    for (ptrdiff_t i = 0; i < rows; i++, src += lds, dst += ldd) {
        UNROLL
        for (int v = 0; v < vecs - masked; v++) vstore(dst + v * VEC, vload(src + v * VEC));
        if (masked) vmstore(dst + (vecs - 1) * VEC, tail, vmload(tail, src + (vecs - 1) * VEC));
    }
}

void BPK_NAME(copy)(ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst,
                    ptrdiff_t ldd) {
    for (ptrdiff_t j = 0, width; j < columns; j += width) {
        const stored *s = (const stored *)src + j;
        stored *d = (stored *)dst + j;
        width = columns - j < 3 * VEC ? columns - j : 3 * VEC;
        vmask tail = vtail((width - 1) % VEC + 1);
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
