/* Reductions of contiguous arrays x (n). */
#include "vec.h"

int BPK_NAME(all_finite)(ptrdiff_t n, const void *x) {
    const stored *p = x;
    const vec largest = vset1(REAL_MAX);
    ptrdiff_t i = 0;
    for (; i + VEC <= n; i += VEC)
        if (!vall(vle(vabs(vload(p + i)), largest))) return 0;
    return vall(vle(vabs(vmload(vtail(n - i), p + i)), largest));
}

static ALWAYS_INLINE vec squared(vec x) { return vmul(x, x); }

/* Each group of 64 vectors is summed in `real`, and the sums of groups in double: W may have millions of
 * terms. */
static ALWAYS_INLINE double sum_of(vec (*term)(vec), ptrdiff_t n, const stored *p) {
    double total = 0;
    for (ptrdiff_t i = 0; i < n; i += 64 * VEC) {
        vec sum = vzero();
        for (ptrdiff_t j = i; j < n && j < i + 64 * VEC; j += VEC)
            sum = vadd(sum, term(vmload(vtail(n - j < VEC ? n - j : VEC), p + j)));
        total += (double)vsum(sum);
    }
    return total;
}

double BPK_NAME(sum_squares)(ptrdiff_t n, const void *x) { return sum_of(squared, n, x); }
double BPK_NAME(sum_absolute)(ptrdiff_t n, const void *x) { return sum_of(vabs, n, x); }
