/* Reductions of contiguous arrays x (n). */
#include "vec.h"

int BPK_NAME(all_finite)(ptrdiff_t n, const void *x) {
    const stored *p = x;
    const vec largest = vset1(REAL_MAX);
    ptrdiff_t i = 0;
    for (; i + VEC <= n; i += VEC)
        if (!vall(vle(vabs(vload(p + i)), largest))) return 0;
    return i == n || vall(vle(vabs(vload_first(p + i, n - i)), largest));
}

static ALWAYS_INLINE vec squared(vec x) { return vmul(x, x); }

/* Each group of 64 vectors is summed in `real`, and the sums of groups in double: W may have millions of
 * terms. */
static ALWAYS_INLINE double sum_of(vec (*term)(vec), ptrdiff_t n, const stored *p) {
    double total = 0;
    for (ptrdiff_t i = 0; i < n; i += 64 * VEC) {
        const ptrdiff_t end = n - i < 64 * VEC ? n : i + 64 * VEC;
        vec sum = vzero();
        ptrdiff_t j = i;
        for (; j + VEC <= end; j += VEC) sum = vadd(sum, term(vload(p + j)));
        if (j < end) sum = vadd(sum, term(vload_first(p + j, end - j)));
        total += (double)vsum(sum);
    }
    return total;
}

double BPK_NAME(sum_squares)(ptrdiff_t n, const void *x) { return sum_of(squared, n, x); }
double BPK_NAME(sum_absolute)(ptrdiff_t n, const void *x) { return sum_of(vabs, n, x); }
