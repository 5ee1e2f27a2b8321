/* Reductions of plain arrays x (n), one element at a time. */
#include <math.h>

#include "vec.h"

int BPK_NAME(all_finite)(ptrdiff_t n, const void *x) {
    const real *p = x;
    for (ptrdiff_t i = 0; i < n; i++)
        if (!isfinite(p[i])) return 0;
    return 1;
}

double BPK_NAME(sum_squares)(ptrdiff_t n, const void *x) {
    const real *p = x;
    double sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) sum += (double)p[i] * (double)p[i];
    return sum;
}

double BPK_NAME(sum_absolute)(ptrdiff_t n, const void *x) {
    const real *p = x;
    double sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) sum += fabs((double)p[i]);
    return sum;
}
