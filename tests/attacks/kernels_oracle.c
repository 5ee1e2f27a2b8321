/* Expected results of the kernels, in higher precision. */
#include "kernels_oracle.h"

#include <float.h>
#include <math.h>

static const long double PI = 3.14159265358979323846264338327950288L;
static const long double LEAK = 0.01L, CUBIC = 0.044715L;
static const long double SELU = 1.0507009873554804934193349852946L,
                         SELU_ALPHA = 1.6732632423543772848170429916717L;

static long double sigmoid(long double z) {
    long double e = expl(-fabsl(z));
    return (z < 0 ? e : 1) / (1 + e);
}
static long double normal_cdf(long double z) { return erfcl(-z * sqrtl(0.5L)) / 2; }
static long double normal_density(long double z) { return expl(-z * z / 2) / sqrtl(2 * PI); }
/* gelu_tanh is z (1 + tanh u) / 2 = z sigmoid(2 u), with u = sqrt(2 / pi) (z + CUBIC z^3). */
static long double twice_u(long double z) { return sqrtl(8 / PI) * (z + CUBIC * z * z * z); }
static long double twice_u_slope(long double z) { return sqrtl(8 / PI) * (1 + 3 * CUBIC * z * z); }

long double activation_of(bpk_activation activation, long double z) {
    switch (activation) {
        case BPK_RELU: return z < 0 ? 0 : z;
        case BPK_LEAKY_RELU: return z < 0 ? LEAK * z : z;
        case BPK_SIGMOID: return sigmoid(z);
        case BPK_TANH: return tanhl(z);
        case BPK_ELU: return z < 0 ? expm1l(z) : z;
        case BPK_SELU: return z < 0 ? SELU * SELU_ALPHA * expm1l(z) : SELU * z;
        case BPK_SOFTPLUS: return isnan(z) ? z : fmaxl(z, 0) + log1pl(expl(-fabsl(z)));
        case BPK_GELU: return z * normal_cdf(z);
        case BPK_GELU_TANH: return z * sigmoid(twice_u(z));
        case BPK_SILU: return z * sigmoid(z);
        case BPK_MISH: return z * tanhl(log1pl(expl(z)));
        default: return z;
    }
}

long double slope_from(bpk_activation activation, long double x) {
    if (bpk_needs_z(activation) && isinf(x)) return x > 0;
    switch (activation) {
        case BPK_RELU: return x > 0;
        case BPK_LEAKY_RELU: return x > 0 ? 1 : LEAK;
        case BPK_SIGMOID: return x * (1 - x);
        case BPK_TANH: return 1 - x * x;
        case BPK_ELU: return x > 0 ? 1 : x + 1;
        case BPK_SELU: return x > 0 ? SELU : x + SELU * SELU_ALPHA;
        case BPK_SOFTPLUS: return -expm1l(-x);
        case BPK_GELU: return normal_cdf(x) + x * normal_density(x);
        case BPK_GELU_TANH: {
            long double g = sigmoid(twice_u(x));
            return g + x * g * (1 - g) * twice_u_slope(x);
        }
        case BPK_SILU: {
            long double g = sigmoid(x);
            return g + x * g * (1 - g);
        }
        case BPK_MISH: {
            long double g = tanhl(log1pl(expl(x)));
            return g + x * (1 - g * g) * sigmoid(x);
        }
        default: return 1;
    }
}

/* The bounds of tests/support/helpers.py; bench/ulp.py measures the errors. */
double activation_ulp(bpk_activation activation) {
    switch (activation) {
        case BPK_LEAKY_RELU: return 1;
        case BPK_ELU:
        case BPK_SELU: return 2;
        case BPK_SIGMOID:
        case BPK_TANH:
        case BPK_SOFTPLUS: return 3;
        case BPK_SILU: return 4;
        case BPK_MISH:
        case BPK_GELU:
        case BPK_GELU_TANH: return 5;
        default: return 0;
    }
}

double largest_slope(bpk_activation activation) {
    if (activation == BPK_SELU) return 1.76;
    return bpk_needs_z(activation) ? 1.13 : 1;
}

static void exact_sum(ptrdiff_t k, const double *a, const double *b, double start, long double *sum,
                      double *magnitude) {
    long double s = start;
    double absolute = fabs(start);
    for (ptrdiff_t i = 0; i < k; i++) {
        s += (long double)a[i] * b[i];
        absolute += fabs(a[i] * b[i]);
    }
    *sum = s;
    *magnitude = absolute;
}

/* For float32: products of two floats are exact in double. */
static void double_sum(ptrdiff_t k, const double *a, const double *b, double start, long double *sum,
                       double *magnitude) {
    double s = start, absolute = fabs(start);
    for (ptrdiff_t i = 0; i < k; i++) {
        double term = a[i] * b[i];
        s += term;
        absolute += fabs(term);
    }
    *sum = s;
    *magnitude = absolute;
}

void exact_product(bpk_dtype dtype, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const double *left,
                   const double *right, const double *start, long double *sums, double *magnitudes) {
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++)
            (dtype == BPK_F64 ? exact_sum : double_sum)(k, left + i * k, right + j * k, start ? start[j] : 0,
                                                        &sums[i * n + j], &magnitudes[i * n + j]);
}

parameter sgd_step(const bpk_optimizer *sgd, parameter at, long double gradient) {
    if (sgd->weight_decay != 0) gradient += sgd->weight_decay * at.w;
    parameter to = at;
    long double step = gradient;
    if (sgd->momentum != 0) {
        to.v = sgd->momentum * at.v + gradient;
        step = sgd->nesterov ? gradient + sgd->momentum * to.v : to.v;
    }
    to.w = at.w - sgd->lr * step;
    return to;
}

double type_eps(bpk_dtype dtype) { return dtype == BPK_F64 ? DBL_EPSILON : FLT_EPSILON; }
double type_smallest(bpk_dtype dtype) { return dtype == BPK_F64 ? DBL_MIN : FLT_MIN; }

double unit_in_last_place(bpk_dtype dtype, double x) {
    double size = fmax(fabs(x), type_smallest(dtype));
    int exponent;
    frexp(size, &exponent);
    return ldexp(type_eps(dtype), exponent - 1);
}
