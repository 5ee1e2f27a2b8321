/* The activations and their derivatives on one vector. name_value(z) is s(z). name_derivative is s', computed
 * from a for BPK_ACTIVATIONS_OF_A, and from z for BPK_ACTIVATIONS_OF_Z. The latter, and softplus, also have
 * name_with_slope(z), which computes s(z) and s'(z) at once. Defined here.
 */
#ifndef BPK_ACTIVATION_VECTORS_H
#define BPK_ACTIVATION_VECTORS_H

#include "kernels/vector/vmath.h"

static ALWAYS_INLINE vec identity_value(vec z) { return z; }
static ALWAYS_INLINE vec identity_derivative(vec a) {
    (void)a;
    return vset1(1);
}

static ALWAYS_INLINE vec relu_value(vec z) { return vmax(vzero(), z); }
static ALWAYS_INLINE vec relu_derivative(vec a) { return vselect(vgt(a, vzero()), vset1(1), vzero()); }

static ALWAYS_INLINE vec leaky_relu_value(vec z) {
    return vselect(vlt(z, vzero()), vmul(z, vset1((real)0.01)), z);
}
static ALWAYS_INLINE vec leaky_relu_derivative(vec a) {
    return vselect(vgt(a, vzero()), vset1(1), vset1((real)0.01));
}

static ALWAYS_INLINE vec sigmoid_value(vec z) { return vsigmoid(z); }
static ALWAYS_INLINE vec sigmoid_derivative(vec a) { return vmul(a, vsub(vset1(1), a)); }

static ALWAYS_INLINE vec tanh_value(vec z) { return vtanh(z); }
static ALWAYS_INLINE vec tanh_derivative(vec a) { return vfnma(a, a, vset1(1)); }

static ALWAYS_INLINE vec elu_value(vec z) { return vselect(vlt(z, vzero()), vexpm1_below(z), z); }
static ALWAYS_INLINE vec elu_derivative(vec a) {
    vec one = vset1(1);
    return vselect(vgt(a, vzero()), one, vadd(a, one));
}

/* The published constants c and c A (Klambauer et al., 2017), for which activations keep mean 0 and variance
 * 1 from layer to layer. */
#define SELU_ABOVE ((real)1.05070098735548049342)
#define SELU_BELOW ((real)1.75809934084737685994)

static ALWAYS_INLINE vec selu_value(vec z) {
    return vselect(vlt(z, vzero()), vmul(vset1(SELU_BELOW), vexpm1_below(z)), vmul(vset1(SELU_ABOVE), z));
}
static ALWAYS_INLINE vec selu_derivative(vec a) {
    return vselect(vgt(a, vzero()), vset1(SELU_ABOVE), vadd(a, vset1(SELU_BELOW)));
}

/* Computes s and s' from one exponential. softplus_derivative, from a, would compute another. */
static ALWAYS_INLINE vec softplus_with_slope(vec z, vec *slope) {
    vec e = vexp(vneg(vabs(z)));
    *slope = sigmoid_of(z, e);
    return vadd(vmax(vzero(), z), vlog1p_unit(e));
}
static ALWAYS_INLINE vec softplus_value(vec z) {
    vec slope;
    return softplus_with_slope(z, &slope);
}
static ALWAYS_INLINE vec softplus_derivative(vec a) { return vneg(vexpm1_below(vneg(a))); }

/* gelu, gelu_tanh and silu are z gate(z), with gate(z) + gate(-z) = 1. With t = |z|, `below` is gate(-t),
 * which is accurate where it is small, and `change` is the derivative of t gate(-t) with respect to t. */
static ALWAYS_INLINE vec gated(vec z, vec below, vec change, vec *slope) {
    vmask negative = vlt(z, vzero());
    vec one = vset1(1);
    *slope = vselect(negative, change, vsub(one, change));
    return vmul(z, vselect(negative, below, vsub(one, below)));
}

/* t = |z|, at most `farthest`, where gate(-t) is already zero. So nothing computed from t overflows. */
static ALWAYS_INLINE vec up_to(real farthest, vec z) { return vmin(vset1(farthest), vabs(z)); }

static ALWAYS_INLINE vec gelu_with_slope(vec z, vec *slope) {
    vec t = up_to(NORMAL_FARTHEST, z), bell = vbell(t), tail = vnormal_tail(t);
    vec density = vset1((real)0.398942280401432677940); /* p(0) = 1 / sqrt(2 pi) */
    return gated(z, vmul(bell, tail), vmul(bell, vfnma(t, density, tail)), slope);
}
static ALWAYS_INLINE vec gelu_value(vec z) {
    vec slope;
    return gelu_with_slope(z, &slope);
}
static ALWAYS_INLINE vec gelu_derivative(vec z) {
    vec slope;
    gelu_with_slope(z, &slope);
    return slope;
}

/* z sigmoid(x(z)), for an odd function x. With t = |z|, e is exp(-x(t)), and rise is t x'(t). */
static ALWAYS_INLINE vec sigmoid_gated(vec z, vec e, vec rise, vec *slope) {
    vec one = vset1(1), above = vdiv(one, vadd(one, e)), below = vmul(e, above);
    return gated(z, below, vmul(below, vfnma(rise, above, one)), slope);
}

/* 2 u(t) = t (A + B t^2), with A = 2 sqrt(2 / pi) and B = 0.044715 A. ..._LOW is the rounding error of a
 * constant: the exact A is GELU_TANH_A + GELU_TANH_A_LOW. */
#define GELU_TANH_A ((real)1.59576912160573071176)
#define GELU_TANH_B ((real)0.0713548162726002487763)
#if BPK_REAL_IS_DOUBLE
#define GELU_TANH_A_LOW (-9.9693088091109203e-17)
#define GELU_TANH_B_LOW (-6.1751499181553155e-19)
#define GELU_TANH_FARTHEST 22.0
#else
#define GELU_TANH_A_LOW (-4.534068042e-8f)
#define GELU_TANH_B_LOW 2.3988323960e-9f
#define GELU_TANH_FARTHEST 11.0f
#endif

/* e^(-2 u(t)), with square = t^2. `low` collects the rounding errors of 2 u(t): where 2 u(t) is large, they
 * change many digits of the result. */
static ALWAYS_INLINE vec gelu_tanh_exp(vec t, vec square) {
    vec a = vset1(GELU_TANH_A), b = vset1(GELU_TANH_B);
    vec low = vfma(b, vrest(t, t, square), vfma(vset1(GELU_TANH_B_LOW), square, vset1(GELU_TANH_A_LOW)));
    vec cubic = vmul(b, square);
    low = vadd(low, vrest(b, square, cubic));
    vec sum = vadd(a, cubic), part = vsub(sum, a);
    low = vadd(low, vadd(vsub(cubic, part), vsub(a, vsub(sum, part))));
    vec x = vmul(t, sum);
    low = vfma(t, low, vrest(t, sum, x));
    return vexp_sum(vneg(x), vneg(low));
}

static ALWAYS_INLINE vec gelu_tanh_with_slope(vec z, vec *slope) {
    vec t = up_to(GELU_TANH_FARTHEST, z), square = vmul(t, t);
    vec rise = vmul(t, vfma(vset1(3 * GELU_TANH_B), square, vset1(GELU_TANH_A)));
    return sigmoid_gated(z, gelu_tanh_exp(t, square), rise, slope);
}
static ALWAYS_INLINE vec gelu_tanh_value(vec z) {
    vec slope;
    return gelu_tanh_with_slope(z, &slope);
}
static ALWAYS_INLINE vec gelu_tanh_derivative(vec z) {
    vec slope;
    gelu_tanh_with_slope(z, &slope);
    return slope;
}

static ALWAYS_INLINE vec silu_with_slope(vec z, vec *slope) {
    vec t = up_to(-EXP_LOWEST, z);
    return sigmoid_gated(z, vexp(vneg(t)), t, slope);
}
static ALWAYS_INLINE vec silu_value(vec z) {
    vec slope;
    return silu_with_slope(z, &slope);
}
static ALWAYS_INLINE vec silu_derivative(vec z) {
    vec slope;
    silu_with_slope(z, &slope);
    return slope;
}

/* With e = e^-|z|, tanh(log(1 + e^z)) is top / (top + rest), where top = e (e + 2) and rest = 2 for z < 0,
 * and top = 1 + 2 e and rest = 2 e^2 otherwise: of positive terms, so that no digits cancel. The derivative
 * is (top + 4 z e (1 + e) / (top + rest)) / (top + rest), with e^2 (1 + e) in place of e (1 + e) for z >= 0.
 */
static ALWAYS_INLINE vec mish_with_slope(vec z, vec *slope) {
    vec t = up_to(-EXP_LOWEST, z), e = vexp(vneg(t)), one = vset1(1), two = vset1(2), square = vmul(e, e);
    vmask negative = vlt(z, vzero());
    vec top = vselect(negative, vmul(e, vadd(e, two)), vadd(one, vadd(e, e)));
    vec part = vdiv(one, vadd(top, vselect(negative, two, vadd(square, square))));
    vec factor = vmul(vselect(negative, vneg(e), square), vadd(one, e));
    *slope = vmul(vfma(vmul(vmul(vset1(4), t), factor), part, top), part);
    return vmul(z, vmul(top, part));
}
static ALWAYS_INLINE vec mish_value(vec z) {
    vec slope;
    return mish_with_slope(z, &slope);
}
static ALWAYS_INLINE vec mish_derivative(vec z) {
    vec slope;
    mish_with_slope(z, &slope);
    return slope;
}

/* s(z). If `activation` is a compile-time constant, the switch disappears. */
static ALWAYS_INLINE vec activation_vector(bpk_activation activation, vec z) {
    switch (activation) {
#define VALUE(NAME, name) \
    case BPK_##NAME: return name##_value(z);
        BPK_ACTIVATIONS(VALUE)
#undef VALUE
        case BPK_SLOPE: break;
    }
    return z;
}

/* s', from a; or from z, if the activation needs z; or from s' itself, for BPK_SLOPE. */
static ALWAYS_INLINE vec derivative_vector(bpk_activation activation, vec from) {
    switch (activation) {
#define DERIVATIVE(NAME, name) \
    case BPK_##NAME: return name##_derivative(from);
        BPK_ACTIVATIONS(DERIVATIVE)
#undef DERIVATIVE
        case BPK_SLOPE: break;
    }
    return from;
}

/* Returns s(z); *slope is s'(z). */
static ALWAYS_INLINE vec activation_with_slope(bpk_activation activation, vec z, vec *slope) {
    switch (activation) {
#define AT_ONCE(NAME, name) \
    case BPK_##NAME: return name##_with_slope(z, slope);
        BPK_ACTIVATIONS_OF_Z(AT_ONCE)
        AT_ONCE(SOFTPLUS, softplus)
#undef AT_ONCE
        default: break;
    }
    vec a = activation_vector(activation, z);
    *slope = derivative_vector(activation, a);
    return a;
}

#endif
