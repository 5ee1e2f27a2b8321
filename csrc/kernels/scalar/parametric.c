/* leaky_relu and elu with a parameter, by the C library's functions, and shares of activations: one element
 * at a time. */
#include <math.h>

#include "vec.h"

void BPK_NAME(activate_parametric)(bpk_activation activation, double parameter, ptrdiff_t m, ptrdiff_t n,
                                   void *a, ptrdiff_t lda, void *slope, ptrdiff_t lds) {
    const real p = (real)parameter;
    real *y = a;     /* (m, n) */
    real *d = slope; /* (m, n), or NULL */
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            const real z = y[i * lda + j];
            const int is_elu = activation == BPK_ELU;
            if (d) d[i * lds + j] = z > 0 ? 1 : is_elu && z < 0 ? (real)(p * exp((double)z)) : p;
            if (z < 0) y[i * lda + j] = is_elu ? (real)(p * expm1((double)z)) : p * z;
        }
}

void BPK_NAME(mix)(const bpk_mix_args *args) {
    const real *mix = args->mix; /* (n,) */
    real *a = args->a, *slope = args->slope, *difference = args->difference;
    for (ptrdiff_t i = 0; i < args->m; i++)
        for (ptrdiff_t j = 0; j < args->n; j++) {
            const ptrdiff_t at = i * args->ld + j;
            const real z = difference[at];
            difference[at] = a[at] - z;
            a[at] = z + mix[j] * difference[at];
            if (slope) slope[at] = 1 + mix[j] * (slope[at] - 1);
        }
}
