/* The input stage: factors of columns, rows of tables by code, and periodic embeddings. */
#include "vec.h"

#include "kernels/vector/vmath.h"

static ALWAYS_INLINE void scale_some(ptrdiff_t n, const stored *x, const stored *factors, stored *out) {
    vstore_first(out, n, vmul(vload_first(x, n), vload_first(factors, n)));
}

void BPK_NAME(scale)(const bpk_scale_args *args) {
    const stored *x = args->x, *factors = args->factors;
    stored *out = args->out;
    for (ptrdiff_t i = 0; i < args->m; i++, x += args->ldx, out += args->ldo) {
        ptrdiff_t j = 0;
        for (; j + VEC <= args->n; j += VEC) scale_some(VEC, x + j, factors + j, out + j);
        if (j < args->n) scale_some(args->n - j, x + j, factors + j, out + j);
    }
}

/* The rows of a sum in `real`, whose rounding grows with their number. */
enum { SUM_ROWS = 256 };

/* The sums of n <= VEC columns of x * delta. */
static ALWAYS_INLINE vec product_sums(const bpk_scale_args *args, ptrdiff_t j, ptrdiff_t n) {
    const stored *x = (const stored *)args->x + j, *delta = (const stored *)args->delta + j;
    vec total = vzero();
    for (ptrdiff_t i = 0; i < args->m;) {
        const ptrdiff_t end = args->m - i < SUM_ROWS ? args->m : i + SUM_ROWS;
        vec sum = vzero();
        for (; i < end; i++, x += args->ldx, delta += args->ldo)
            sum = vfma(vload_first(x, n), vload_first(delta, n), sum);
        total = vadd(total, sum);
    }
    return total;
}

void BPK_NAME(scale_sums)(const bpk_scale_args *args) {
    stored *sums = args->out;
    ptrdiff_t j = 0;
    for (; j + VEC <= args->n; j += VEC) vstore(sums + j, product_sums(args, j, VEC));
    if (j < args->n) vstore_first(sums + j, args->n - j, product_sums(args, j, args->n - j));
}

/* The row of the table that code i names. The caller has checked that the table has it. */
static inline stored *row_of_code(const bpk_lookup_args *args, ptrdiff_t i) {
    return (stored *)args->table + (ptrdiff_t)((const stored *)args->codes)[i * args->ldc] * args->ldt;
}

static ALWAYS_INLINE void copy_some(ptrdiff_t n, const stored *from, stored *to) {
    vstore_first(to, n, vload_first(from, n));
}

void BPK_NAME(lookup)(const bpk_lookup_args *args) {
    stored *out = args->rows;
    for (ptrdiff_t i = 0; i < args->m; i++, out += args->ldr) {
        const stored *row = row_of_code(args, i);
        ptrdiff_t j = 0;
        for (; j + VEC <= args->n; j += VEC) copy_some(VEC, row + j, out + j);
        if (j < args->n) copy_some(args->n - j, row + j, out + j);
    }
}

static ALWAYS_INLINE void add_some(ptrdiff_t n, const stored *from, stored *to) {
    vstore_first(to, n, vadd(vload_first(to, n), vload_first(from, n)));
}

void BPK_NAME(lookup_add)(const bpk_lookup_args *args) {
    const stored *delta = args->rows;
    for (ptrdiff_t i = 0; i < args->m; i++, delta += args->ldr) {
        stored *row = row_of_code(args, i);
        ptrdiff_t j = 0;
        for (; j + VEC <= args->n; j += VEC) add_some(VEC, delta + j, row + j);
        if (j < args->n) add_some(args->n - j, delta + j, row + j);
    }
}

/* cos(2 pi r) and sin(2 pi r) / r as polynomials in r^2 on |r| <= 1/4 */
static const real COS_TURNS[] = {
#if BPK_REAL_IS_DOUBLE
    -0.035219604638146758369, 0.28185225938435092808,
    -1.7143794371382703398,   7.9035358711039378802,
    -26.426256769631195169,   60.244641371646725096,
    -85.456817206691517718,   64.939394022668280703,
    -19.739208802178717217,   1,
#else
    -24.9814344679f, 60.1438895603f, -85.453564761f, 64.9393464762f, -19.7392085477f, 1,
#endif
};
static const real SIN_TURNS[] = {
#if BPK_REAL_IS_DOUBLE
    -0.011683082881307492416, 0.10418309087064648376, -0.71811892189106583204, 3.8199524348668090197,
    -15.094642572701974217,   42.058693944828701411,  -76.70585975306072309,   81.605249276075050968,
    -41.341702240399760228,   6.2831853071795864769,
#else
    -14.3939662955f, 42.0097793032f, -76.704279876f, 81.605226174f, -41.3417021167f, 6.28318530707f,
#endif
};

static const double TWO_PI = 6.28318530717958647693, PER_TURN = 0.159154943091895335769;

/* Splits u turns into half turns and the rest r, |r| <= 1/4; returns the sign of an odd or even number of
 * half turns. */
static inline vec half_turns(vec u, vec *r) {
    const vec half = vset1((real)0.5);
    vec n = vround(vadd(u, u));
    *r = vfnma(n, half, u);
    vec odd = vabs(vfnma(vround(vmul(n, half)), vset1(2), n));
    return vfnma(odd, vset1(2), vset1(1));
}

/* x w + b / (2 pi): the angle 2 pi x w + b, in turns. */
static inline vec turns(vec x, real w, real b) {
    return vfma(x, vset1(w), vset1((real)((double)b * PER_TURN)));
}

static inline vec cos_turns(vec u) {
    vec r, sign = half_turns(u, &r);
    return vmul(sign, POLYNOMIAL(vmul(r, r), COS_TURNS));
}

static inline vec cos_sin_turns(vec u, vec *sine) {
    vec r, sign = half_turns(u, &r), squared = vmul(r, r);
    *sine = vmul(sign, vmul(r, POLYNOMIAL(squared, SIN_TURNS)));
    return vmul(sign, POLYNOMIAL(squared, COS_TURNS));
}

enum { TOGETHER = 4 }; /* outputs of the linear map in registers at once */

/* Rows i to i + rows of outputs o to o + n. rows <= VEC, n <= TOGETHER. */
static ALWAYS_INLINE void periodic_some(const bpk_periodic_args *args, ptrdiff_t i, ptrdiff_t rows,
                                        ptrdiff_t o, int n) {
    const stored *w = args->w, *b = args->b, *w2 = (const stored *)args->w2 + o,
                 *b2 = (const stored *)args->b2 + o;
    const vec x = vload_first((const stored *)args->x + i, rows);
    vec sums[TOGETHER];
    for (int p = 0; p < n; p++) sums[p] = vset1(b2[p]);
    for (ptrdiff_t k = 0; k < args->hidden; k++, w2 += args->n) {
        vec h = cos_turns(turns(x, w[k], b[k]));
        for (int p = 0; p < n; p++) sums[p] = vfma(h, vset1(w2[p]), sums[p]);
    }
    for (int p = 0; p < n; p++) vstore_first((stored *)args->out + (o + p) * args->ldo + i, rows, sums[p]);
}

static ALWAYS_INLINE void periodic_rows(const bpk_periodic_args *args, ptrdiff_t i, ptrdiff_t rows) {
    ptrdiff_t o = 0;
    for (; o + TOGETHER <= args->n; o += TOGETHER) periodic_some(args, i, rows, o, TOGETHER);
    switch (args->n - o) {
        case 3: periodic_some(args, i, rows, o, 3); break;
        case 2: periodic_some(args, i, rows, o, 2); break;
        case 1: periodic_some(args, i, rows, o, 1); break;
        default: break;
    }
}

void BPK_NAME(periodic)(const bpk_periodic_args *args) {
    ptrdiff_t i = 0;
    for (; i + VEC <= args->m; i += VEC) periodic_rows(args, i, VEC);
    if (i < args->m) periodic_rows(args, i, args->m - i);
}

/* The sums over rows for hidden unit k: of delta's outputs o to o + n times cos, and, with the first
 * outputs, of the derivative by the angle, and of x times it. */
typedef struct {
    vec outputs[TOGETHER], angle, x_angle;
} periodic_sums;

static ALWAYS_INLINE void add_rows(const bpk_periodic_args *args, ptrdiff_t k, ptrdiff_t i, ptrdiff_t rows,
                                   ptrdiff_t o, int n, periodic_sums *sums) {
    const stored *w2 = (const stored *)args->w2 + k * args->n, *delta = (const stored *)args->out + i;
    const vec x = vload_first((const stored *)args->x + i, rows);
    vec sine,
        cosine = cos_sin_turns(turns(x, ((const stored *)args->w)[k], ((const stored *)args->b)[k]), &sine);
    for (int p = 0; p < n; p++)
        sums->outputs[p] = vfma(cosine, vload_first(delta + (o + p) * args->ldo, rows), sums->outputs[p]);
    if (o > 0) return;
    vec through = vzero();
    for (ptrdiff_t q = 0; q < args->n; q++)
        through = vfma(vset1(w2[q]), vload_first(delta + q * args->ldo, rows), through);
    vec angle = vmul(sine, through); /* minus the derivative */
    sums->angle = vsub(sums->angle, angle);
    sums->x_angle = vfnma(x, angle, sums->x_angle);
    if (!args->dx) return;
    stored *dx = (stored *)args->dx + i;
    const vec by_x = vset1((real)TWO_PI * ((const stored *)args->w)[k]);
    vstore_first(dx, rows, vfnma(by_x, angle, vload_first(dx, rows)));
}

static ALWAYS_INLINE void periodic_sums_of(const bpk_periodic_args *args, ptrdiff_t k, ptrdiff_t o, int n) {
    periodic_sums sums;
    for (int p = 0; p < TOGETHER; p++) sums.outputs[p] = vzero();
    sums.angle = sums.x_angle = vzero();
    ptrdiff_t i = 0;
    for (; i + VEC <= args->m; i += VEC) add_rows(args, k, i, VEC, o, n, &sums);
    if (i < args->m) add_rows(args, k, i, args->m - i, o, n, &sums);
    for (int p = 0; p < n; p++) ((stored *)args->dw2)[k * args->n + o + p] += vsum(sums.outputs[p]);
    if (o > 0) return;
    ((stored *)args->dw)[k] += (real)TWO_PI * vsum(sums.x_angle);
    ((stored *)args->db)[k] += vsum(sums.angle);
}

void BPK_NAME(periodic_sums)(const bpk_periodic_args *args) {
    for (ptrdiff_t k = 0; k < args->hidden; k++)
        for (ptrdiff_t o = 0; o < args->n; o += TOGETHER) switch (args->n - o) {
                case 1: periodic_sums_of(args, k, o, 1); break;
                case 2: periodic_sums_of(args, k, o, 2); break;
                case 3: periodic_sums_of(args, k, o, 3); break;
                default: periodic_sums_of(args, k, o, TOGETHER); break;
            }
    for (ptrdiff_t o = 0; o < args->n; o++) {
        const stored *delta = (const stored *)args->out + o * args->ldo;
        vec sum = vzero();
        ptrdiff_t i = 0;
        for (; i + VEC <= args->m; i += VEC) sum = vadd(sum, vload(delta + i));
        if (i < args->m) sum = vadd(sum, vload_first(delta + i, args->m - i));
        ((stored *)args->db2)[o] += vsum(sum);
    }
}
