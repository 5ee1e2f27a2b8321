/* The activations and their derivatives, one element at a time, by the C library's exp and tanh. */
#include <math.h>

#include "real.h"

static real activation_of(bpk_activation activation, real z) {
    switch (activation) {
        case BPK_RELU: return z < 0 ? 0 : z;
        case BPK_LEAKY_RELU: return z < 0 ? (real)0.01 * z : z;
        case BPK_SIGMOID: {
            real e = (real)exp(-fabs((double)z));
            return (z < 0 ? e : 1) / (1 + e);
        }
        case BPK_TANH: return (real)tanh((double)z);
        case BPK_IDENTITY:
        case BPK_N_ACTIVATIONS: break;
    }
    return z;
}

static real derivative_from(bpk_activation activation, real a) {
    switch (activation) {
        case BPK_RELU: return a > 0;
        case BPK_LEAKY_RELU: return a > 0 ? 1 : (real)0.01;
        case BPK_SIGMOID: return a * (1 - a);
        case BPK_TANH: return 1 - a * a;
        case BPK_IDENTITY:
        case BPK_N_ACTIVATIONS: break;
    }
    return 1;
}

void BPK_NAME(activate)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda) {
    real *y = a; /* (m, n) */
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++) y[i * lda + j] = activation_of(activation, y[i * lda + j]);
}

void BPK_NAME(apply_derivative)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, const void *a,
                                ptrdiff_t lda, void *delta, ptrdiff_t ldd) {
    const real *y = a; /* (m, n) */
    real *d = delta;   /* (m, n) */
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++) d[i * ldd + j] *= derivative_from(activation, y[i * lda + j]);
}
