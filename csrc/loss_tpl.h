/* The losses: each row's loss, its accuracy where there is one, and its derivative. */
#include <math.h>

#include "vmath_tpl.h"

typedef struct {
    ptrdiff_t n;
    const real *a, *t; /* outputs; targets, or NULL */
    int64_t label;     /* where t is NULL */
    real *delta;       /* or NULL */
    double scale;
    const real *parameters; /* (n,), or NULL */
    double smoothing, most;
    int deviance;
} row;

static inline row row_of(const bpk_loss_args *args, ptrdiff_t i) {
    return (row){args->n,
                 (const real *)args->a + i * args->lda,
                 args->labels ? NULL : (const real *)args->targets + i * args->ldt,
                 args->labels ? args->labels[i] : 0,
                 args->delta ? (real *)args->delta + i * args->ldd : NULL,
                 args->scale[i],
                 args->parameters,
                 args->smoothing,
                 args->most,
                 args->deviance};
}

/* What is left of a row at j: the lanes to use, all of them but at the end. */
static inline vmask lanes(ptrdiff_t n, ptrdiff_t j) { return vtail(n - j < VEC ? n - j : VEC); }

/* sum (a - t)^2; delta = scale * factor * (a - t) */
static double squares(const row *r, double factor) {
    vec sum = vzero(), scale = vset1((real)(r->scale * factor));
    for (ptrdiff_t j = 0; j < r->n; j += VEC) {
        vmask m = lanes(r->n, j);
        vec difference = vsub(vmload(m, r->a + j), vmload(m, r->t + j));
        sum = vfma(difference, difference, sum);
        if (r->delta) vmstore(r->delta + j, m, vmul(scale, difference));
    }
    return (double)vsum(sum);
}

static double mse_row(const row *r, double *accuracy) {
    (void)accuracy;
    return squares(r, 2 / (double)r->n) / (double)r->n;
}

static double squared_error_row(const row *r, double *accuracy) {
    (void)accuracy;
    return squares(r, 1) / 2;
}

/* (1/n) sum d slope, where the slope is `above` for d = a - t > 0, -`below` for d < 0, and 0 or NaN as d is:
 * both are 1, or with the parameter q 1 - q and q. */
static double absolute(const row *r, int has_q) {
    vec sum = vzero(), one = vset1(1), scale = vset1((real)(r->scale / (double)r->n));
    for (ptrdiff_t j = 0; j < r->n; j += VEC) {
        vmask m = lanes(r->n, j);
        vec d = vsub(vmload(m, r->a + j), vmload(m, r->t + j));
        vec below = has_q ? vmload(m, r->parameters + j) : one, above = has_q ? vsub(one, below) : one;
        vec slope = vselect(vgt(d, vzero()), above, vselect(vlt(d, vzero()), vneg(below), d));
        sum = vfma(d, slope, sum);
        if (r->delta) vmstore(r->delta + j, m, vmul(scale, slope));
    }
    return (double)vsum(sum) / (double)r->n;
}

static double mae_row(const row *r, double *accuracy) {
    (void)accuracy;
    return absolute(r, 0);
}

static double quantile_row(const row *r, double *accuracy) {
    (void)accuracy;
    return absolute(r, 1);
}

static double huber_row(const row *r, double *accuracy) {
    (void)accuracy;
    vec sum = vzero(), half = vset1((real)0.5), scale = vset1((real)(r->scale / (double)r->n));
    for (ptrdiff_t j = 0; j < r->n; j += VEC) {
        vmask m = lanes(r->n, j);
        vec d = vsub(vmload(m, r->a + j), vmload(m, r->t + j)), most = vmload(m, r->parameters + j);
        vec c = vmax(vneg(most), vmin(most, d));
        sum = vfma(c, vfnma(half, c, d), sum);
        if (r->delta) vmstore(r->delta + j, m, vmul(scale, c));
    }
    return (double)vsum(sum) / (double)r->n;
}

/* What the deviance of poisson has besides: sum t log t - t. */
static double of_targets(const row *r) {
    double sum = 0;
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double t = (double)r->t[j];
        if (t > 0) sum += t * (log(t) - 1);
    }
    return sum;
}

static double poisson_row(const row *r, double *accuracy) {
    (void)accuracy;
    vec sum = vzero(), scale = vset1((real)(r->scale / (double)r->n));
    for (ptrdiff_t j = 0; j < r->n; j += VEC) {
        vmask m = lanes(r->n, j);
        vec a = vmload(m, r->a + j), t = vmload(m, r->t + j), e = vexp(a);
        sum = vadd(sum, vselect(m, vfnma(t, a, e), vzero()));
        if (r->delta) vmstore(r->delta + j, m, vmul(scale, vsub(e, t)));
    }
    return ((double)vsum(sum) + (r->deviance ? of_targets(r) : 0)) / (double)r->n;
}

/* -log p of z >= 0 is log1p(exp(-z)), and of z < 0 that of -z, minus z. */
static double binary_cross_entropy_row(const row *r, double *accuracy) {
    vec sum = vzero(), right = vzero(), half = vset1((real)0.5), unit = vset1(1), most = vset1((real)r->most);
    vec scale = vset1((real)(r->scale / (double)r->n));
    for (ptrdiff_t j = 0; j < r->n; j += VEC) {
        vmask m = lanes(r->n, j);
        vec z = vmload(m, r->a + j), t = vmload(m, r->t + j), e = vexp(vneg(vabs(z)));
        vec loss = vadd(vfnma(z, t, vmax(vzero(), z)), vlog1p_unit(e));
        sum = vadd(sum, vselect(m, vmin(most, loss), vzero()));
        vec said = vselect(vgt(z, vzero()), unit, vzero()), is = vselect(vgt(t, half), unit, vzero());
        right = vadd(right, vselect(m, vsub(unit, vabs(vsub(said, is))), vzero()));
        if (r->delta) vmstore(r->delta + j, m, vmul(scale, vsub(sigmoid_of(z, e), t)));
    }
    *accuracy = (double)vsum(right) / (double)r->n;
    return (double)vsum(sum) / (double)r->n;
}

static real largest(ptrdiff_t n, const real *a) {
    vec best = vset1(a[0]);
    for (ptrdiff_t j = 0; j < n; j += VEC) {
        vmask m = lanes(n, j);
        best = vselect(m, vmax(best, vmload(m, a + j)), best);
    }
    return vmaximum(best);
}

/* The place of the largest; the last, where a NaN hides it. */
static ptrdiff_t first_equal(ptrdiff_t n, const real *a, real value) {
    ptrdiff_t i = 0;
    for (; i < n; i += VEC) {
        int lane = vfirst(veq(vmload(lanes(n, i), a + i), vset1(value)));
        if (lane < VEC && i + lane < n) return i + lane;
    }
    return n - 1;
}

/* The targets from j on: those given, or 1 for the label. */
static inline vec targets_at(const row *r, vmask m, ptrdiff_t j) {
    if (r->t) return vmload(m, r->t + j);
    ptrdiff_t lane = (ptrdiff_t)r->label - j;
    return lane >= 0 && lane < VEC ? vselect(vlane((int)lane), vset1(1), vzero()) : vzero();
}

/* With s = sum exp(a - max a): loss = log s - sum t (a - max a), and softmax = exp(a - max a) / s. Smoothing
 * keeps a part of t and shares out the rest, `equal` to each output.
 *
 * Each of max, s and softmax waits for the one before. So some rows at a time take one step after the other:
 * what one row waits for is done in the time of the others. The exponentials wait for s in delta, but for the
 * last vector of them: what was stored under a mask is slow to load. */
enum { ROWS_TOGETHER = 16 };

typedef struct {
    real top[ROWS_TOGETHER];
    vec last[ROWS_TOGETHER];
    double total[ROWS_TOGETHER], at_target[ROWS_TOGETHER];
} softmaxes;

/* Where the last vector of n begins. */
static inline ptrdiff_t last_vector(ptrdiff_t n) { return (n - 1) / VEC * VEC; }

/* Returns the last vector of them. */
static inline vec exponentials(const row *r, real top, double *total, double *at_target) {
    vec shift = vset1(top), sum = vzero(), along = vzero(), all = vzero(), e = vzero();
    for (ptrdiff_t j = 0; j < r->n; j += VEC) {
        vmask m = lanes(r->n, j);
        vec z = vsub(vmload(m, r->a + j), shift);
        e = vselect(m, vexp(z), vzero());
        sum = vadd(sum, e);
        if (r->t) along = vfma(vmload(m, r->t + j), vselect(m, z, vzero()), along);
        if (r->smoothing != 0) all = vadd(all, vselect(m, z, vzero()));
        if (r->delta && j < last_vector(r->n)) vstore(r->delta + j, e);
    }
    *total = (double)vsum(sum);
    *at_target = r->t ? (double)vsum(along) : (double)(r->a[r->label] - top);
    if (r->smoothing != 0)
        *at_target = (1 - r->smoothing) * *at_target + r->smoothing / (double)r->n * (double)vsum(all);
    return e;
}

static inline void softmax_delta(const row *r, vec last, double total) {
    double kept = 1 - r->smoothing, equal = r->smoothing / (double)r->n;
    vec norm = vset1((real)(r->scale / total)), scale = vset1((real)(r->scale * kept));
    vec share = vset1((real)(r->scale * equal));
    for (ptrdiff_t j = 0; j < r->n; j += VEC) {
        vmask m = lanes(r->n, j);
        vec e = j < last_vector(r->n) ? vload(r->delta + j) : last;
        vec d = vfnma(scale, targets_at(r, m, j), vmul(e, norm));
        if (r->smoothing != 0) d = vsub(d, share);
        vmstore(r->delta + j, m, d);
    }
}

static void cross_entropy_rows(const bpk_loss_args *args) {
    softmaxes s;
    for (ptrdiff_t from = 0, count; from < args->m; from += count) {
        count = args->m - from < ROWS_TOGETHER ? args->m - from : ROWS_TOGETHER;
        for (ptrdiff_t i = 0; i < count; i++) {
            row r = row_of(args, from + i);
            s.top[i] = largest(r.n, r.a);
        }
        for (ptrdiff_t i = 0; i < count; i++) {
            row r = row_of(args, from + i);
            s.last[i] = exponentials(&r, s.top[i], &s.total[i], &s.at_target[i]);
        }
        for (ptrdiff_t i = 0; i < count; i++) {
            row r = row_of(args, from + i);
            ptrdiff_t is = r.t ? first_equal(r.n, r.t, largest(r.n, r.t)) : r.label;
            args->row_accuracy[from + i] = first_equal(r.n, r.a, s.top[i]) == is;
            if (r.delta) softmax_delta(&r, s.last[i], s.total[i]);
        }
        for (ptrdiff_t i = 0; i < count; i++) {
            double loss = log(s.total[i]) - s.at_target[i];
            args->row_loss[from + i] = args->labels && loss > args->most ? args->most : loss;
        }
    }
}

/* The others take the rows one by one. */
#define ROW_BY_ROW(name)                                                \
    static void name##_rows(const bpk_loss_args *args) {                \
        for (ptrdiff_t i = 0; i < args->m; i++) {                       \
            row r = row_of(args, i);                                    \
            args->row_accuracy[i] = 0;                                  \
            args->row_loss[i] = name##_row(&r, &args->row_accuracy[i]); \
        }                                                               \
    }
ROW_BY_ROW(mse)
ROW_BY_ROW(squared_error)
ROW_BY_ROW(binary_cross_entropy)
ROW_BY_ROW(mae)
ROW_BY_ROW(huber)
ROW_BY_ROW(quantile)
ROW_BY_ROW(poisson)
#undef ROW_BY_ROW

void BPK_NAME(loss)(const bpk_loss_args *args) {
    switch (args->loss) {
#define ROWS(NAME, name) \
    case BPK_##NAME: name##_rows(args); break;
        BPK_LOSSES(ROWS)
#undef ROWS
        case BPK_N_LOSSES: break;
    }
}
