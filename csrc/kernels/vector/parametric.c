/* leaky_relu and elu with a parameter: an own pass over z, which computes s and s' together. The activations
 * with their usual constants are in activation_vectors.h, and in the products. And shares of activations. */
#include "vec.h"

#include "kernels/vector/vmath.h"

static ALWAYS_INLINE vec leaky_relu_of(vec slope, vec z, vec *derivative) {
    *derivative = vselect(vgt(z, vzero()), vset1(1), slope);
    return vselect(vlt(z, vzero()), vmul(z, slope), z);
}

/* alpha e^z is computed as alpha (e^z - 1) + alpha, as from a. */
static ALWAYS_INLINE vec elu_of(vec alpha, vec z, vec *derivative) {
    vec a = vselect(vlt(z, vzero()), vmul(alpha, vexpm1_below(z)), z);
    *derivative = vselect(vgt(z, vzero()), vset1(1), vadd(vmin(a, vzero()), alpha));
    return a;
}

typedef vec with_parameter(vec parameter, vec z, vec *derivative);

/* n <= VEC elements. */
static ALWAYS_INLINE void map_some(with_parameter *s, vec parameter, ptrdiff_t n, stored *a, stored *slope) {
    vec derivative, value = s(parameter, vload_first(a, n), &derivative);
    vstore_first(a, n, value);
    if (slope) vstore_first(slope, n, derivative);
}

static ALWAYS_INLINE void map(with_parameter *s, double parameter, ptrdiff_t m, ptrdiff_t n, stored *a,
                              ptrdiff_t lda, stored *slope, ptrdiff_t lds) {
    const vec p = vset1((real)parameter);
    for (ptrdiff_t i = 0; i < m; i++, a += lda) {
        ptrdiff_t j = 0;
        for (; j + VEC <= n; j += VEC) map_some(s, p, VEC, a + j, slope ? slope + j : NULL);
        if (j < n) map_some(s, p, n - j, a + j, slope ? slope + j : NULL);
        if (slope) slope += lds;
    }
}

void BPK_NAME(activate_parametric)(bpk_activation activation, double parameter, ptrdiff_t m, ptrdiff_t n,
                                   void *a, ptrdiff_t lda, void *slope, ptrdiff_t lds) {
    if (activation == BPK_LEAKY_RELU)
        map(leaky_relu_of, parameter, m, n, a, lda, slope, lds);
    else
        map(elu_of, parameter, m, n, a, lda, slope, lds);
}

/* n <= VEC elements. */
static ALWAYS_INLINE void mix_some(ptrdiff_t n, vec mix, stored *a, stored *slope, stored *difference) {
    const vec z = vload_first(difference, n), part = vsub(vload_first(a, n), z), one = vset1(1);
    vstore_first(difference, n, part);
    vstore_first(a, n, vfma(mix, part, z));
    if (slope) vstore_first(slope, n, vfma(mix, vsub(vload_first(slope, n), one), one));
}

void BPK_NAME(mix)(const bpk_mix_args *args) {
    const stored *mix = args->mix;
    for (ptrdiff_t i = 0; i < args->m; i++) {
        stored *a = (stored *)args->a + i * args->ld, *difference = (stored *)args->difference + i * args->ld,
               *slope = args->slope ? (stored *)args->slope + i * args->ld : NULL;
        for (ptrdiff_t j = 0, n; j < args->n; j += n) {
            n = args->n - j < VEC ? args->n - j : VEC;
            mix_some(n, vload_first(mix + j, n), a + j, slope ? slope + j : NULL, difference + j);
        }
    }
}
