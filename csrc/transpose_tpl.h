/* Transposition, a square of registers at a time. */
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
