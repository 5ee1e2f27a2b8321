/* The activations and their derivatives, on matrices. */
#include "activation_vectors_tpl.h"

/* out <- s(a), or with `is_derivative` out <- out * s(a) */
static ALWAYS_INLINE void each(vec (*s)(vec), ptrdiff_t m, ptrdiff_t n, const real *a, ptrdiff_t lda,
                               real *out, ptrdiff_t ldo, int is_derivative) {
    for (ptrdiff_t i = 0; i < m; i++, a += lda, out += ldo) {
        ptrdiff_t j = 0;
        for (; j + VEC <= n; j += VEC) {
            vec y = s(vload(a + j));
            vstore(out + j, is_derivative ? vmul(vload(out + j), y) : y);
        }
        if (j < n) {
            vmask tail = vtail(n - j);
            vec y = s(vmload(tail, a + j));
            vmstore(out + j, tail, is_derivative ? vmul(vmload(tail, out + j), y) : y);
        }
    }
}

void BPK_NAME(activate)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda) {
    switch (activation) {
        case BPK_RELU: each(relu, m, n, a, lda, a, lda, 0); break;
        case BPK_LEAKY_RELU: each(leaky_relu, m, n, a, lda, a, lda, 0); break;
        case BPK_SIGMOID: each(vsigmoid, m, n, a, lda, a, lda, 0); break;
        case BPK_TANH: each(vtanh, m, n, a, lda, a, lda, 0); break;
        case BPK_IDENTITY:
        case BPK_N_ACTIVATIONS: break;
    }
}

void BPK_NAME(apply_derivative)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, const void *a,
                                ptrdiff_t lda, void *delta, ptrdiff_t ldd) {
    switch (activation) {
        case BPK_RELU: each(relu_derivative, m, n, a, lda, delta, ldd, 1); break;
        case BPK_LEAKY_RELU: each(leaky_relu_derivative, m, n, a, lda, delta, ldd, 1); break;
        case BPK_SIGMOID: each(sigmoid_derivative, m, n, a, lda, delta, ldd, 1); break;
        case BPK_TANH: each(tanh_derivative, m, n, a, lda, delta, ldd, 1); break;
        case BPK_IDENTITY:
        case BPK_N_ACTIVATIONS: break;
    }
}
