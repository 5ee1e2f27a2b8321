/* What moves matrices from one layout to another: a square of registers, or a vector, at a time. */
int BPK_NAME(scatter)(ptrdiff_t n, const void *src, void *dst, ptrdiff_t rows, ptrdiff_t row) {
    const real *from = src;
    real *to = dst;
    const vec most = vset1(REAL_MAX);
    int finite = 1;
    for (ptrdiff_t start = 0, width; start < n; start += width) {
        width = width_of_block(n - start, VEC, TILE_VECS * VEC);
        for (ptrdiff_t j = 0; j < width && start + j < n; j += VEC) {
            vmask m = vtail(n - start - j < VEC ? n - start - j : VEC);
            vec v = vmload(m, from + start + j);
            vmstore(to + start * rows + row * width + j, m, v);
            finite &= vall(vle(vabs(v), most));
        }
    }
    return finite;
}

/* dst (columns, rows) = src (rows, columns)', both at most VEC */
static ALWAYS_INLINE void square(ptrdiff_t rows, ptrdiff_t columns, const real *src, ptrdiff_t lds, real *dst,
                                 ptrdiff_t ldd) {
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
            const real *s = (const real *)src + i * lds + j;
            real *d = (real *)dst + j * ldd + i;
            if (high >= VEC && wide >= VEC)
                square(VEC, VEC, s, lds, d, ldd);
            else
                square(high < VEC ? high : VEC, wide < VEC ? wide : VEC, s, lds, d, ldd);
        }
}
