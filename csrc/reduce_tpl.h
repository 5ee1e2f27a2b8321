/* Passes over plain arrays. */
int BPK_NAME(all_finite)(ptrdiff_t n, const void *x) {
    const real *p = x;
    const vec most = vset1(REAL_MAX);
    ptrdiff_t i = 0;
    for (; i + VEC <= n; i += VEC)
        if (!vall(vle(vabs(vload(p + i)), most))) return 0;
    return vall(vle(vabs(vmload(vtail(n - i), p + i)), most));
}

/* In float64 from vector to vector, for a weight matrix has millions of squares. */
double BPK_NAME(sum_squares)(ptrdiff_t n, const void *x) {
    const real *p = x;
    double total = 0;
    for (ptrdiff_t i = 0; i < n; i += 64 * VEC) {
        vec sum = vzero();
        for (ptrdiff_t j = i; j < n && j < i + 64 * VEC; j += VEC) {
            vec v = vmload(vtail(n - j < VEC ? n - j : VEC), p + j);
            sum = vfma(v, v, sum);
        }
        total += (double)vsum(sum);
    }
    return total;
}
