/* The activations and their derivatives on matrices. The loops are compiled once per activation, with the
 * activation as a constant. */
#include "vec.h"

#include "kernels/vector/activation_vectors.h"

/* out (n) <- s(a (n)); with is_derivative, out <- out * s', computed from a. n <= VEC. */
static ALWAYS_INLINE void map_vector(bpk_activation activation, ptrdiff_t n, const stored *a, stored *out,
                                     int is_derivative) {
    vec x = vload_first(a, n);
    x = is_derivative ? vmul(vload_first(out, n), derivative_vector(activation, x))
                      : activation_vector(activation, x);
    vstore_first(out, n, x);
}

/* The same for rows of any length: out (m, n), a (m, n). Adjacent rows are one row: the rows of a tile are
 * too short for the loop to be fast. */
static ALWAYS_INLINE void map(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, const stored *a,
                              ptrdiff_t lda, stored *out, ptrdiff_t ldo, int is_derivative) {
    if (lda == n && ldo == n) {
        n *= m;
        m = 1;
    }
    for (ptrdiff_t i = 0; i < m; i++, a += lda, out += ldo) {
        ptrdiff_t j = 0;
        for (; j + VEC <= n; j += VEC) map_vector(activation, VEC, a + j, out + j, is_derivative);
        if (j < n) map_vector(activation, n - j, a + j, out + j, is_derivative);
    }
}

/* z (n) is in a: slope (n) <- s'(z), then a (n) <- s(z). n <= VEC. */
static ALWAYS_INLINE void map_vector_with_slope(bpk_activation activation, ptrdiff_t n, stored *a,
                                                stored *slope) {
    vec s, x = activation_with_slope(activation, vload_first(a, n), &s);
    vstore_first(a, n, x);
    vstore_first(slope, n, s);
}

/* The same for rows of any length: a (m, n), slope (m, n). */
static ALWAYS_INLINE void map_with_slope(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, stored *a,
                                         ptrdiff_t lda, stored *slope, ptrdiff_t lds) {
    for (ptrdiff_t i = 0; i < m; i++, a += lda, slope += lds) {
        ptrdiff_t j = 0;
        for (; j + VEC <= n; j += VEC) map_vector_with_slope(activation, VEC, a + j, slope + j);
        if (j < n) map_vector_with_slope(activation, n - j, a + j, slope + j);
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
