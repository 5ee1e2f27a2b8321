/* The activations and their derivatives on matrices. The loops are compiled once per activation, with the
 * activation as a constant. */
#include "vec.h"

#include "kernels/vector/activation_vectors.h"

/* out (m, n) <- s(a (m, n)); with is_derivative, out <- out * s', computed from a. */
static ALWAYS_INLINE void map(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, const stored *a,
                              ptrdiff_t lda, stored *out, ptrdiff_t ldo, int is_derivative) {
    for (ptrdiff_t i = 0; i < m; i++, a += lda, out += ldo) {
        ptrdiff_t j = 0;
        for (; j + VEC <= n; j += VEC) {
            vec x = vload(a + j);
            vstore(out + j, is_derivative ? vmul(vload(out + j), derivative_vector(activation, x))
                                          : activation_vector(activation, x));
        }
        if (j < n) {
            vmask tail = vtail(n - j);
            vec x = vmload(tail, a + j);
            vmstore(out + j, tail,
                    is_derivative ? vmul(vmload(tail, out + j), derivative_vector(activation, x))
                                  : activation_vector(activation, x));
        }
    }
}

/* z (m, n) is in a: slope (m, n) <- s'(z), then a (m, n) <- s(z). */
static ALWAYS_INLINE void map_with_slope(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, stored *a,
                                         ptrdiff_t lda, stored *slope, ptrdiff_t lds) {
    for (ptrdiff_t i = 0; i < m; i++, a += lda, slope += lds) {
        ptrdiff_t j = 0;
        for (; j + VEC <= n; j += VEC) {
            vec s, x = activation_with_slope(activation, vload(a + j), &s);
            vstore(a + j, x);
            vstore(slope + j, s);
        }
        if (j < n) {
            vmask tail = vtail(n - j);
            vec s, x = activation_with_slope(activation, vmload(tail, a + j), &s);
            vmstore(a + j, tail, x);
            vmstore(slope + j, tail, s);
        }
    }
}

void BPK_NAME(activate)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda) {
    if (activation == BPK_IDENTITY) return;
    switch (activation) {
#define VALUES(NAME, name) \
    case BPK_##NAME: map(BPK_##NAME, m, n, a, lda, a, lda, 0); break;
        BPK_ACTIVATIONS(VALUES)
#undef VALUES
        case BPK_SLOPE: break;
    }
}

void BPK_NAME(apply_derivative)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, const void *a,
                                ptrdiff_t lda, void *delta, ptrdiff_t ldd) {
    if (activation == BPK_IDENTITY) return;
    switch (activation) {
#define DERIVATIVES(NAME, name) \
    case BPK_##NAME: map(BPK_##NAME, m, n, a, lda, delta, ldd, 1); break;
        BPK_ACTIVATIONS(DERIVATIVES)
        DERIVATIVES(SLOPE, slope)
#undef DERIVATIVES
    }
}

void BPK_NAME(activate_with_slope)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a,
                                   ptrdiff_t lda, void *slope, ptrdiff_t lds) {
    switch (activation) {
#define BOTH(NAME, name) \
    case BPK_##NAME: map_with_slope(BPK_##NAME, m, n, a, lda, slope, lds); break;
        BPK_ACTIVATIONS(BOTH)
#undef BOTH
        case BPK_SLOPE: break;
    }
}
