/* The losses. Each row gives its loss, its accuracy if the loss has one, and its delta. */
#include <math.h>

#include "vec.h"

#include "kernels/vector/vmath.h"

typedef struct {
    ptrdiff_t n;
    const stored *a, *t; /* (n,) outputs; (n,) targets, or NULL: the target is label */
    int64_t label;
    stored *delta; /* (n,) scale * derivative; or NULL */
    double scale;
    const real *parameters; /* (n,), or NULL */
    const bpk_loss_settings *settings;
} row;

static inline row loss_row(const bpk_loss_args *args, ptrdiff_t i) {
    return (row){args->n,
                 (const stored *)args->a + i * args->lda,
                 args->labels ? NULL : (const stored *)args->targets + i * args->ldt,
                 args->labels ? args->labels[i] : 0,
                 args->delta ? (stored *)args->delta + i * args->ldd : NULL,
                 args->scale[i],
                 args->parameters,
                 args->settings};
}

/* The mask of the vector that begins at element j of n. */
static inline vmask mask_at(ptrdiff_t n, ptrdiff_t j) { return vtail(n - j < VEC ? n - j : VEC); }

/* Returns sum (a - t)^2; delta = scale * factor * (a - t). */
static double squares(const row *r, double factor) {
    vec sum = vzero(), scale = vset1((real)(r->scale * factor));
    for (ptrdiff_t j = 0; j < r->n; j += VEC) {
        vmask m = mask_at(r->n, j);
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

/* mae and quantile: returns (1/n) sum d slope, with d = a - t; delta = scale / n * slope. The slope is
 * `above` if d > 0, -`below` if d < 0, and d itself if d is 0 or NaN. mae has above = below = 1; quantile has
 * above = 1 - q and below = q, with its parameter q. */
static double absolute(const row *r, int has_q) {
    vec sum = vzero(), one = vset1(1), scale = vset1((real)(r->scale / (double)r->n));
    for (ptrdiff_t j = 0; j < r->n; j += VEC) {
        vmask m = mask_at(r->n, j);
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
        vmask m = mask_at(r->n, j);
        vec d = vsub(vmload(m, r->a + j), vmload(m, r->t + j)), limit = vmload(m, r->parameters + j);
        vec c = vmax(vneg(limit), vmin(limit, d));
        sum = vfma(c, vfnma(half, c, d), sum);
        if (r->delta) vmstore(r->delta + j, m, vmul(scale, c));
    }
    return (double)vsum(sum) / (double)r->n;
}

/* The part of the deviance that depends only on the targets: sum t log t - t, with 0 for t = 0. */
static double target_deviance(const row *r) {
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
        vmask m = mask_at(r->n, j);
        vec a = vmload(m, r->a + j), t = vmload(m, r->t + j), e = vexp(a);
        sum = vadd(sum, vselect(m, vfnma(t, a, e), vzero()));
        if (r->delta) vmstore(r->delta + j, m, vmul(scale, vsub(e, t)));
    }
    return ((double)vsum(sum) + (r->settings->deviance ? target_deviance(r) : 0)) / (double)r->n;
}

/* With p = sigmoid(z), the loss of z is -t log p - (1-t) log(1-p) = max(z, 0) - z t + log(1 + e^-|z|). */
static double binary_cross_entropy_row(const row *r, double *accuracy) {
    vec sum = vzero(), right = vzero(), half = vset1((real)0.5), unit = vset1(1),
        cap = vset1((real)r->settings->cap);
    vec scale = vset1((real)(r->scale / (double)r->n));
    for (ptrdiff_t j = 0; j < r->n; j += VEC) {
        vmask m = mask_at(r->n, j);
        vec z = vmload(m, r->a + j), t = vmload(m, r->t + j), e = vexp(vneg(vabs(z)));
        vec loss = vadd(vfnma(z, t, vmax(vzero(), z)), vlog1p_unit(e));
        loss = vfma(vzero(), z, loss); /* NaN for an infinite z, also on the right side */
        sum = vadd(sum, vselect(m, vmin(cap, loss), vzero()));
        vec predicted = vselect(vgt(z, vzero()), unit, vzero());
        vec actual = vselect(vgt(t, half), unit, vzero());
        right = vadd(right, vselect(m, vsub(unit, vabs(vsub(predicted, actual))), vzero()));
        if (r->delta) vmstore(r->delta + j, m, vmul(scale, vsub(sigmoid_of(z, e), t)));
    }
    *accuracy = (double)vsum(right) / (double)r->n;
    return (double)vsum(sum) / (double)r->n;
}

/* The largest of a (n). */
static real largest(ptrdiff_t n, const stored *a) {
    vec best = vset1(a[0]);
    for (ptrdiff_t j = 0; j < n; j += VEC) {
        vmask m = mask_at(n, j);
        best = vselect(m, vmax(best, vmload(m, a + j)), best);
    }
    return vmaximum(best);
}

/* The first index of a (n) whose element equals `value`; the last index if no element does, which happens
 * only if a contains NaN. */
static ptrdiff_t first_equal(ptrdiff_t n, const stored *a, real value) {
    ptrdiff_t i = 0;
    for (; i < n; i += VEC) {
        int lane = vfirst(veq(vmload(mask_at(n, i), a + i), vset1(value)));
        if (lane < VEC && i + lane < n) return i + lane;
    }
    return n - 1;
}

/* The vector of targets from element j on: those of t, or 1 at the label and 0 elsewhere. */
static inline vec targets_at(const row *r, vmask m, ptrdiff_t j) {
    if (r->t) return vmload(m, r->t + j);
    ptrdiff_t lane = (ptrdiff_t)r->label - j;
    return lane >= 0 && lane < VEC ? vselect(vlane((int)lane), vset1(1), vzero()) : vzero();
}

/* Cross-entropy, with s = sum exp(a - max a): loss = log s - sum t (a - max a), and the softmax is
 * exp(a - max a) / s. Label smoothing e replaces t by (1 - e) t + e / n.
 *
 * Of one row, max, s and softmax wait for each other. So ROWS_TOGETHER rows make each of these steps
 * together, and hide each other's latency. The exponentials are kept in delta until s is known, except the
 * last vector, which stays in a register: loading what was stored under a mask is slow. */
enum { ROWS_TOGETHER = 16 };

/* Of each row: max a, the last vector of exponentials, s, and sum t (a - max a). */
typedef struct {
    real top[ROWS_TOGETHER];
    vec last[ROWS_TOGETHER];
    double total[ROWS_TOGETHER], at_target[ROWS_TOGETHER];
} softmaxes;

/* The index at which the last vector of n elements begins. */
static inline ptrdiff_t last_vector(ptrdiff_t n) { return (n - 1) / VEC * VEC; }

/* Writes exp(a - top) to delta, if wanted, except the last vector, which is returned. *total is the sum of
 * all exponentials, or NaN if any a is not finite, also one whose exponential is 0; *at_target is the sum of
 * t (a - top) with smoothed t. */
static inline vec exponentials(const row *r, real top, double *total, double *at_target) {
    const double smoothing = r->settings->smoothing;
    vec shift = vset1(top), sum = vzero(), of_targets = vzero(), of_all = vzero(), e = vzero();
    for (ptrdiff_t j = 0; j < r->n; j += VEC) {
        vmask m = mask_at(r->n, j);
        vec a = vmload(m, r->a + j), z = vsub(a, shift);
        e = vselect(m, vexp(z), vzero());
        sum = vadd(sum, vfma(vzero(), a, e));
        if (r->t) of_targets = vfma(vmload(m, r->t + j), vselect(m, z, vzero()), of_targets);
        if (smoothing != 0) of_all = vadd(of_all, vselect(m, z, vzero()));
        if (r->delta && j < last_vector(r->n)) vstore(r->delta + j, e);
    }
    *total = (double)vsum(sum);
    *at_target = r->t ? (double)vsum(of_targets) : (double)(r->a[r->label] - top);
    if (smoothing != 0)
        *at_target = (1 - smoothing) * *at_target + smoothing / (double)r->n * (double)vsum(of_all);
    return e;
}

/* delta = scale (softmax - smoothed t), from the exponentials. `last` is their last vector, `total` their
 * sum. */
static inline void softmax_delta(const row *r, vec last, double total) {
    const double smoothing = r->settings->smoothing, kept = 1 - smoothing, equal = smoothing / (double)r->n;
    vec norm = vset1((real)(r->scale / total)), scale = vset1((real)(r->scale * kept));
    vec share = vset1((real)(r->scale * equal));
    for (ptrdiff_t j = 0; j < r->n; j += VEC) {
        vmask m = mask_at(r->n, j);
        vec e = j < last_vector(r->n) ? vload(r->delta + j) : last;
        vec d = vfnma(scale, targets_at(r, m, j), vmul(e, norm));
        if (smoothing != 0) d = vsub(d, share);
        vmstore(r->delta + j, m, d);
    }
}

static void cross_entropy_rows(const bpk_loss_args *args) {
    softmaxes s;
    for (ptrdiff_t from = 0, count; from < args->m; from += count) {
        count = args->m - from < ROWS_TOGETHER ? args->m - from : ROWS_TOGETHER;
        for (ptrdiff_t i = 0; i < count; i++) {
            row r = loss_row(args, from + i);
            s.top[i] = largest(r.n, r.a);
        }
        for (ptrdiff_t i = 0; i < count; i++) {
            row r = loss_row(args, from + i);
            s.last[i] = exponentials(&r, s.top[i], &s.total[i], &s.at_target[i]);
        }
        for (ptrdiff_t i = 0; i < count; i++) {
            row r = loss_row(args, from + i);
            ptrdiff_t actual = r.t ? first_equal(r.n, r.t, largest(r.n, r.t)) : r.label;
            args->row_accuracy[from + i] = first_equal(r.n, r.a, s.top[i]) == actual;
            if (r.delta) softmax_delta(&r, s.last[i], s.total[i]);
        }
        for (ptrdiff_t i = 0; i < count; i++) {
            double loss = log(s.total[i]) - s.at_target[i];
            args->row_loss[from + i] =
                args->labels && loss > args->settings->cap ? args->settings->cap : loss;
        }
    }
}

/* The other losses are computed row by row. */
#define ROW_BY_ROW(name)                                                \
    static void name##_rows(const bpk_loss_args *args) {                \
        for (ptrdiff_t i = 0; i < args->m; i++) {                       \
            row r = loss_row(args, i);                                  \
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
    switch (args->settings->loss) {
#define ROWS(NAME, name) \
    case BPK_##NAME: name##_rows(args); break;
        BPK_LOSSES(ROWS)
#undef ROWS
        case BPK_N_LOSSES: break;
    }
}
