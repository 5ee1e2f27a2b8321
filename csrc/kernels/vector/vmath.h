/* exp, expm1, tanh, sigmoid, log1p and the normal distribution on vectors: the same code for every width and
 * both dtypes, included after vec.h. Defined here. The comment on each polynomial gives its function. The
 * polynomials are near-minimax: computed by mpmath.chebyfit, and printed with more digits than the type
 * holds, highest power first.
 */
#ifndef BPK_VMATH_H
#define BPK_VMATH_H

static inline vec polynomial(vec x, const real *coefficients, int count) {
    vec y = vset1(coefficients[0]);
    for (int i = 1; i < count; i++) y = vfma(y, x, vset1(coefficients[i]));
    return y;
}

#define POLYNOMIAL(x, coefficients) polynomial(x, coefficients, (int)(sizeof(coefficients) / sizeof(real)))

/* (e^r - 1 - r) / r^2 on |r| <= ln(2)/2 */
static const real EXPM1[] = {
#if BPK_REAL_IS_DOUBLE
    2.0915442297780115216e-9,
    2.5106274733573294687e-8,
    2.7557271810219799569e-7,
    2.7557252833516909748e-6,
    2.4801587327007186731e-5,
    1.9841269876864354929e-4,
    1.3888888888883326674e-3,
    8.3333333333255446996e-3,
    0.041666666666666670074,
    0.16666666666666671438,
    0.5,
#else
    1.9891981314e-4f, 1.39345419283e-3f, 8.33331002423e-3f,
    0.0416664568097f, 0.166666666825f,   0.500000001429f,
#endif
};

/* (2 atanh(s) - 2 s) / s^3 as a polynomial in s^2 on s^2 <= 1/9 */
static const real ATANH[] = {
#if BPK_REAL_IS_DOUBLE
    0.15630577800922850446, 0.074921437955507673008, 0.10845178394880014822, 0.1173427906130319746,
    0.13335178631449255837, 0.15384543964860549287,  0.18181819897962714383, 0.22222222198236770557,
    0.28571428571600099292, 0.39999999999999522505,  0.66666666666666666886,
#else
    0.23224329224f, 0.217065758009f, 0.285923579943f, 0.399997063319f, 0.666666673205f,
#endif
};

/* r coth r as a polynomial in r^2 on |r| <= ln(2)/4 */
static const real COTH[] = {
#if BPK_REAL_IS_DOUBLE
    2.1187126183694134035e-5, -2.1163393983568624917e-4, 2.1164020226804389484e-3,
    -0.022222222221610917482, 0.33333333333333203867,    1,
#else
    -0.0221339965734f,
    0.333332514687f,
    1,
#endif
};

/* Below EXP_LOWEST e^x is zero, above EXP_HIGHEST infinite. x is limited to these bounds, so that the
 * exponent n of 2^n stays within the range of vscale. LN2_HIGH + LN2_LOW is ln 2. Without fma, n LN2_HIGH
 * must be exact, so LN2_HIGH has so few digits that it is (Cody and Waite, 1980). Above TANH_HIGHEST tanh
 * is 1. Below SIGMOID_LOWEST sigmoid is zero, because it is too small to be normal; above SIGMOID_HIGHEST it
 * is 1. */
#define SIGMOID_HIGHEST 40
#if BPK_REAL_IS_DOUBLE
#define EXP_LOWEST (-760.0)
#define EXP_HIGHEST 710.0
#define TANH_HIGHEST 22.0
#define SIGMOID_LOWEST (-709.0)
#if FUSED
#define LN2_HIGH 0x1.62e42fefa39efp-1
#define LN2_LOW 2.319046813846299615495e-17
#else
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW 1.90821492927058770002e-10
#endif
#else
#define EXP_LOWEST (-110.0f)
#define EXP_HIGHEST 89.0f
#define TANH_HIGHEST 10.0f
#define SIGMOID_LOWEST (-88.0f)
#if FUSED
#define LN2_HIGH 0x1.62e43p-1f
#define LN2_LOW (-1.9046542999577678785e-9f)
#else
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 1.42860682030941723e-6f
#endif
#endif

/* Splits x into n ln 2 + r, with n integral; returns e^r - 1. 1.4427 is log2 e. */
static inline vec reduced_expm1(vec x, vec *n) {
    *n = vround(vmul(x, vset1((real)1.44269504088896340736)));
    vec r = vfnma(*n, vset1((real)LN2_LOW), vfnma(*n, vset1((real)LN2_HIGH), x));
    return vfma(vmul(r, r), POLYNOMIAL(r, EXPM1), r);
}

/* e^x = r 2^n, with r between 0.7 and 1.5, which is returned. */
static inline vec reduced_exp(vec x, vec *n) {
    return vadd(vset1(1), reduced_expm1(vmax(vset1(EXP_LOWEST), vmin(vset1(EXP_HIGHEST), x)), n));
}

static inline vec vexp(vec x) {
    vec n, r = reduced_exp(x, &n);
    return vscale(r, n);
}

/* e^(x + low), where low is the rounding error of x: e^x (1 + low). */
static inline vec vexp_sum(vec x, vec low) {
#if FUSED
    vec e = vexp(x);
    return vfma(e, low, e);
#else /* e^x low, which is rounded here, may be denormal, and so zero */
    vec n, r = reduced_exp(x, &n);
    return vscale(vfma(r, low, r), n);
#endif
}

/* e^x - 1 for x <= 0, accurate near zero. Below -50 it is -1 in both dtypes. */
static inline vec vexpm1_below(vec x) {
    vec n, p = reduced_expm1(vmax(vset1(-50), x), &n);
    vec power = vpower(n);
    return vfma(power, p, vsub(power, vset1(1)));
}

/* Sets *r with h = n ln(2)/2 + r, for the integer n nearest to h 2/ln 2; returns r coth r. */
static inline vec coth_of_rest(vec h, vec n, vec *r) {
    *r = vfnma(n, vset1((real)LN2_LOW / 2), vfnma(n, vset1((real)LN2_HIGH / 2), h));
    return POLYNOMIAL(vmul(*r, *r), COTH);
}

/* a b + c. Without fma, the rounding error of a b is added back, so that the result is rounded about once. */
static inline vec one_rounding(vec a, vec b, vec c) {
#if FUSED
    return vfma(a, b, c);
#else
    vec product = vmul(a, b);
    return vadd(product, vadd(vrest(a, b, product), c));
#endif
}

/* With c = r coth r, e^2r = (c + r) / (c - r); so with |x| = n ln(2)/2 + r,
 * tanh |x| = (2^n (c + r) - (c - r)) / (2^n (c + r) + (c - r)). Sorted by c and r, it is accurate near 0. */
static inline vec vtanh(vec x) {
    vec h = vmin(vset1(TANH_HIGHEST), vabs(x)), n = vround(vmul(h, vset1((real)2.88539008177792681472)));
    vec r, c = coth_of_rest(h, n, &r);
    vec power = vpower(n), below = vsub(power, vset1(1)), above = vadd(power, vset1(1));
    vec upper = one_rounding(below, c, vmul(above, r)), lower = one_rounding(above, c, vmul(below, r));
    return vcopysign(vdiv(upper, lower), x);
}

/* sigmoid(x) from e = exp(-|x|), which never overflows: 1 / (1 + e) for x >= 0, e / (1 + e) for x < 0. */
static inline vec sigmoid_of(vec x, vec e) {
    vec one = vset1(1);
    return vdiv(vselect(vlt(x, vzero()), e, one), vadd(one, e));
}

/* As tanh: with x/2 = n ln(2)/2 + r, sigmoid(x) = 2^n (c + r) / (2^n (c + r) + (c - r)). */
static inline vec vsigmoid(vec x) {
    x = vmax(vset1(SIGMOID_LOWEST), vmin(vset1(SIGMOID_HIGHEST), x));
    vec n = vround(vmul(x, vset1((real)1.44269504088896340736)));
    vec r, c = coth_of_rest(vmul(x, vset1((real)0.5)), n, &r);
    vec power = vpower(n), sum = vadd(c, r);
    return vdiv(vmul(power, sum), vfma(power, sum, vsub(c, r)));
}

/* log(1 + x) for x in [0, 1], as 2 atanh(s) with s = x / (2 + x). */
static inline vec vlog1p_unit(vec x) {
    vec first = vdiv(vadd(x, x), vadd(vset1(2), x)); /* 2 s; s itself may be denormal */
    vec s = vmul(vset1((real)0.5), first), t = vmul(s, s);
    return vfma(vmul(s, t), POLYNOMIAL(t, ATANH), first);
}

/* (t + k) erfcx(t / sqrt 2) / 2 as a polynomial in u = (t - k) / (t + k), for t from 0 to where P(-t) is no
 * longer a normal number: 14 in float32, 38 in float64. k is NORMAL_K. erfcx(t / sqrt 2) / 2 is
 * P(-t) e^(t^2/2), where P is the cumulative normal distribution. From NORMAL_FARTHEST on, e^(-t^2/2) is
 * zero, also where denormal numbers are flushed to zero. */
static const real NORMAL_TAIL[] = {
#if BPK_REAL_IS_DOUBLE
#define NORMAL_K 5.5
#define NORMAL_FARTHEST 39.0
    -2.6067747409681989918e-9, -5.7391041861814030205e-9, 2.2921608633735878305e-8, 5.0455356368504662155e-8,
    -1.7743314535572896881e-7, -2.6796598626179422946e-7, 1.4836373916276265796e-6, 4.4643706340921046133e-7,
    -1.2118742502261649083e-5, 1.6319965384111025539e-5,  7.141478894513676585e-5,  -3.245226531331884503e-4,
    2.6960401561454067716e-4,  2.4429826757304651542e-3,  -0.013923510567743595487, 0.045097580814684908385,
    -0.10970308995855986843,   0.21787243285797395559,    -0.36704906529362539999,  0.53559648906249432596,
    -0.68518342057433805354,   0.7737696342764067687,
#else
#define NORMAL_K 3.0f
#define NORMAL_FARTHEST 15.0f
    5.51746239384e-5f, 1.32825908652e-4f, -2.4448394209e-4f, -1.03389134814e-3f,
    1.02415766822e-3f, 6.96968954317e-3f, -0.0104623111579f, -0.0472627276894f,
    0.230017679713f,   -0.509331990241f,  0.729083690665f,
#endif
};
/* P(-t) e^(t^2/2) for t >= 0. */
static inline vec vnormal_tail(vec t) {
    vec r = vdiv(vset1(1), vadd(t, vset1(NORMAL_K)));
    vec u = vfma(vadd(t, t), r, vset1(-1)); /* most accurate near t = 0, where the polynomial is steep */
    return vmul(r, POLYNOMIAL(u, NORMAL_TAIL));
}

/* e^(-t^2/2). `low` is the rounding error of t^2: where t^2 is large, it changes many digits. */
static inline vec vbell(vec t) {
    vec half = vset1((real)-0.5), square = vmul(t, t), low = vrest(t, t, square);
    return vexp_sum(vmul(half, square), vmul(half, low));
}

#endif
