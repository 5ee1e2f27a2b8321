/* The activations and their derivatives, one element at a time, by the C library's functions, in double.
 * name_value(z) is s(z), and name_derivative is s' from a or from z, as in ../vector/activation_vectors.h. */
#include <math.h>

#include "vec.h"

static double identity_value(double z) { return z; }
static double identity_derivative(double a) {
    (void)a;
    return 1;
}

static double relu_value(double z) { return z < 0 ? 0 : z; }
static double relu_derivative(double a) { return a > 0; }

static double leaky_relu_value(double z) { return z < 0 ? (real)0.01 * z : z; }
static double leaky_relu_derivative(double a) { return a > 0 ? 1 : (real)0.01; }

static double sigmoid_value(double z) {
    double e = exp(-fabs(z));
    return (z < 0 ? e : 1) / (1 + e);
}
static double sigmoid_derivative(double a) { return a * (1 - a); }

static double tanh_value(double z) { return tanh(z); }
static double tanh_derivative(double a) { return 1 - a * a; }

static double elu_value(double z) { return z < 0 ? expm1(z) : z; }
static double elu_derivative(double a) { return a > 0 ? 1 : a + 1; }

/* c and c A of selu. */
static const double selu_above = 1.05070098735548049342, selu_below = 1.75809934084737685994;

static double selu_value(double z) { return z < 0 ? selu_below * expm1(z) : selu_above * z; }
static double selu_derivative(double a) { return a > 0 ? selu_above : a + (real)selu_below; }

static double softplus_value(double z) { return (z > 0 ? z : 0) + log1p(exp(-fabs(z))); }
static double softplus_derivative(double a) { return -expm1(-a); }

/* |z|, at most `farthest`, where the gate of gelu, gelu_tanh or silu is already zero. */
static double up_to(double farthest, double z) { return fabs(z) > farthest ? farthest : fabs(z); }

/* P(-t), the cumulative normal distribution, for t >= 0: erfc(x + low) / 2, where low is the rounding error
 * of x = t / sqrt 2. low changes many digits of the result, so it is included to first order, by the
 * logarithmic derivative of erfc. A few digits of that are enough: about -(x + sqrt(x^2 + 4 / pi)). */
static double normal_below(double t) {
    const double root = 0.70710678118654752440, root_low = -4.8336466567264565e-17; /* sum: 1 / sqrt 2 */
    double x = t * root, low = fma(t, root, -x) + t * root_low;
    return 0.5 * erfc(x) * (1 - (x + sqrt(x * x + 1.27323954473516268615)) * low); /* 4 / pi */
}

static double gelu_value(double z) {
    double below = normal_below(up_to(40, z));
    return z * (z < 0 ? below : 1 - below);
}
static double gelu_derivative(double z) {
    double t = up_to(40, z), square = t * t, low = fma(t, t, -square);
    double density = 0.39894228040143267794 * exp(-square / 2) * (1 - low / 2);
    double below = normal_below(t) - t * density;
    return z < 0 ? below : 1 - below;
}

/* exp(-2 u(t)) with 2 u(t) = a t + b t^3. `low` is the sum of the rounding errors of all terms. */
static double gelu_tanh_exp(double t) {
    const double a = 1.59576912160573071176, a_low = -9.9693088091109203e-17;
    const double b = 0.0713548162726002487763, b_low = -6.1751499181553155e-19;
    double square = t * t, cube = square * t;
    double cube_low = fma(square, t, -cube) + fma(t, t, -square) * t;
    double first = a * t, third = b * cube, sum = first + third;
    double low = first > third ? first - sum + third : third - sum + first;
    low += fma(a, t, -first) + a_low * t + fma(b, cube, -third) + b * cube_low + b_low * cube;
    return exp(-sum) * (1 - low);
}

static double gelu_tanh_value(double z) {
    double e = gelu_tanh_exp(up_to(25, z));
    return z * ((z < 0 ? e : 1) / (1 + e));
}
static double gelu_tanh_derivative(double z) {
    double t = up_to(25, z), e = gelu_tanh_exp(t);
    double rise = t * (1.59576912160573071176 + 3 * 0.0713548162726002487763 * t * t);
    double below = e / (1 + e) * (1 - rise / (1 + e));
    return z < 0 ? below : 1 - below;
}

static double silu_value(double z) { return z * sigmoid_value(z); }
static double silu_derivative(double z) {
    double t = up_to(800, z), e = exp(-t);
    double below = e / (1 + e) * (1 - t / (1 + e));
    return z < 0 ? below : 1 - below;
}

static double mish_value(double z) { return z * tanh(softplus_value(z)); }
static double mish_derivative(double z) {
    double t = copysign(up_to(800, z), z), g = tanh(softplus_value(t));
    return g + t * (1 - g * g) * sigmoid_value(t);
}

static real activation_of(bpk_activation activation, real z) {
    switch (activation) {
#define VALUE(NAME, name) \
    case BPK_##NAME: return (real)name##_value(z);
        BPK_ACTIVATIONS(VALUE)
#undef VALUE
        case BPK_SLOPE: break;
    }
    return z;
}

/* s', from a; or from z, if the activation needs z; or from s' itself, for BPK_SLOPE. */
static real derivative_from(bpk_activation activation, real from) {
    switch (activation) {
#define DERIVATIVE(NAME, name) \
    case BPK_##NAME: return (real)name##_derivative(from);
        BPK_ACTIVATIONS(DERIVATIVE)
#undef DERIVATIVE
        case BPK_SLOPE: break;
    }
    return from;
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

void BPK_NAME(activate_with_slope)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a,
                                   ptrdiff_t lda, void *slope, ptrdiff_t lds) {
    real *y = a;     /* (m, n) */
    real *s = slope; /* (m, n) */
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            real z = y[i * lda + j], value = activation_of(activation, z);
            s[i * lds + j] = derivative_from(activation, bpk_needs_z(activation) ? z : value);
            y[i * lda + j] = value;
        }
}
