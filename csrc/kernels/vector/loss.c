/* The losses. Each row gives its loss, its accuracy if the loss has one, and its delta. */
#include <math.h>

#include "vec.h"

#include "kernels/vector/vmath.h"

typedef struct {
    ptrdiff_t n;
    const stored *a, *t; /* (n,) outputs; (n,) targets, or NULL: the target is label */
    int64_t label;
    stored *delta; /* scale * derivative, or NULL: row number `i` of bpk_loss_args.delta */
    ptrdiff_t i, rows;
    double scale;
    const real *parameters; /* (n,), or NULL */
    const bpk_loss_settings *settings;
} row;

static inline row loss_row(const bpk_loss_args *args, ptrdiff_t i) {
    stored *delta = args->delta;
    return (row){args->n,
                 (const stored *)args->a + i * args->lda,
                 args->labels ? NULL : args->targets[i],
                 args->labels ? args->labels[i] : 0,
                 delta && !args->delta_rows ? delta + i * args->ldd : delta,
                 args->delta_from + i,
                 args->delta_rows,
                 args->scale[i],
                 args->parameters,
                 args->settings};
}

/* Columns `from` to `to` of a row that are contiguous in delta, and where they are. */
typedef struct {
    ptrdiff_t from, to;
    stored *delta; /* NULL if delta is not wanted */
} stretch;

/* The stretch from column `from` on: a block, or the whole row if delta is row-major. */
static ALWAYS_INLINE stretch stretch_from(const row *r, ptrdiff_t from) {
    if (!r->rows || !r->delta) return (stretch){from, r->n, r->delta};
    ptrdiff_t width = width_of_block(r->n - from, VEC, TILE_VECS * VEC);
    ptrdiff_t to = r->n - from < width ? r->n : from + width;
    return (stretch){from, to, r->delta + from * r->rows + r->i * width};
}

/* Wide rows of targets may come from memory, in random order. All cache lines of a row are prefetched while
 * the rows before it, of about FETCHED_AHEAD bytes, are computed. */
enum { WIDE_ROW = 256, FETCHED_AHEAD = 6 << 10, LINE = 64 };

static ALWAYS_INLINE void prefetch_targets(const bpk_loss_args *args, ptrdiff_t i) {
    const ptrdiff_t bytes = args->n * (ptrdiff_t)sizeof(stored);
    if (args->labels || bytes < WIDE_ROW) return;
    i += 1 + FETCHED_AHEAD / bytes;
    if (i >= args->m) return;
    const char *t = args->targets[i];
    for (ptrdiff_t at = 0; at < bytes; at += LINE) __builtin_prefetch(t + at);
}

/* The first n lanes of v, and zeros. The constant VEC costs nothing. */
static ALWAYS_INLINE vec first_lanes(ptrdiff_t n, vec v) {
    return n == VEC ? v : vselect(vtail(n), v, vzero());
}

/* A function of this type makes one vector of a row: its n <= VEC elements from j on. n is the constant VEC
 * for all vectors but the last of a stretch. Returns the derivative of the loss, and adds to the sums. */
typedef struct {
    vec loss, right;
} loss_sums;
typedef vec some(const row *r, ptrdiff_t j, ptrdiff_t n, loss_sums *sums);

/* The sums over a row; delta = scale * derivative. */
static ALWAYS_INLINE loss_sums sums_of_row(some *derivative, const row *r, double scale) {
    loss_sums sums = {vzero(), vzero()};
    const vec factor = vset1((real)scale);
    stretch s;
    for (ptrdiff_t from = 0; from < r->n; from = s.to) {
        s = stretch_from(r, from);
        ptrdiff_t j = from;
        for (; j + VEC <= s.to; j += VEC) {
            vec d = derivative(r, j, VEC, &sums);
            if (s.delta) vstore(s.delta + (j - from), vmul(factor, d));
        }
        if (j == s.to) continue;
        vec d = derivative(r, j, s.to - j, &sums);
        if (s.delta) vstore_first(s.delta + (j - from), s.to - j, vmul(factor, d));
    }
    return sums;
}

static ALWAYS_INLINE vec squares_some(const row *r, ptrdiff_t j, ptrdiff_t n, loss_sums *sums) {
    vec difference = vsub(vload_first(r->a + j, n), vload_first(r->t + j, n));
    sums->loss = vfma(difference, difference, sums->loss);
    return difference;
}

/* Returns sum (a - t)^2; delta = scale * factor * (a - t). */
static double squares(const row *r, double factor) {
    return (double)vsum(sums_of_row(squares_some, r, r->scale * factor).loss);
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
static ALWAYS_INLINE vec slope_some(const row *r, ptrdiff_t j, ptrdiff_t n, int has_q, loss_sums *sums) {
    vec one = vset1(1), d = vsub(vload_first(r->a + j, n), vload_first(r->t + j, n));
    vec below = has_q ? vload_first(r->parameters + j, n) : one, above = has_q ? vsub(one, below) : one;
    vec slope = vselect(vgt(d, vzero()), above, vselect(vlt(d, vzero()), vneg(below), d));
    sums->loss = vfma(d, slope, sums->loss);
    return slope;
}

static ALWAYS_INLINE vec mae_some(const row *r, ptrdiff_t j, ptrdiff_t n, loss_sums *sums) {
    return slope_some(r, j, n, 0, sums);
}

static ALWAYS_INLINE vec quantile_some(const row *r, ptrdiff_t j, ptrdiff_t n, loss_sums *sums) {
    return slope_some(r, j, n, 1, sums);
}

/* Returns the mean over the row; delta = scale / n * derivative. */
static ALWAYS_INLINE double mean_of_row(some *derivative, const row *r) {
    return (double)vsum(sums_of_row(derivative, r, r->scale / (double)r->n).loss) / (double)r->n;
}

static double mae_row(const row *r, double *accuracy) {
    (void)accuracy;
    return mean_of_row(mae_some, r);
}

static double quantile_row(const row *r, double *accuracy) {
    (void)accuracy;
    return mean_of_row(quantile_some, r);
}

static ALWAYS_INLINE vec huber_some(const row *r, ptrdiff_t j, ptrdiff_t n, loss_sums *sums) {
    vec d = vsub(vload_first(r->a + j, n), vload_first(r->t + j, n)),
        limit = vload_first(r->parameters + j, n);
    vec c = vmax(vneg(limit), vmin(limit, d));
    sums->loss = vfma(c, vfnma(vset1((real)0.5), c, d), sums->loss);
    return c;
}

static double huber_row(const row *r, double *accuracy) {
    (void)accuracy;
    return mean_of_row(huber_some, r);
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

static ALWAYS_INLINE vec poisson_some(const row *r, ptrdiff_t j, ptrdiff_t n, loss_sums *sums) {
    vec a = vload_first(r->a + j, n), t = vload_first(r->t + j, n), e = vexp(a);
    sums->loss = vadd(sums->loss, first_lanes(n, vfnma(t, a, e)));
    return vsub(e, t);
}

static double poisson_row(const row *r, double *accuracy) {
    (void)accuracy;
    vec sum = sums_of_row(poisson_some, r, r->scale / (double)r->n).loss;
    return ((double)vsum(sum) + (r->settings->deviance ? target_deviance(r) : 0)) / (double)r->n;
}

/* log cosh d: where sinh^2 d is at most 1, as log(1 + sinh^2 d) / 2 with sinh^2 d = tanh^2 d / (1 - tanh^2
 * d), in which no digits cancel near 0; elsewhere as |d| + log(1 + e^(-2 |d|)) - log 2. */
static ALWAYS_INLINE vec log_cosh_some(const row *r, ptrdiff_t j, ptrdiff_t n, loss_sums *sums) {
    vec one = vset1(1), d = vsub(vload_first(r->a + j, n), vload_first(r->t + j, n)), size = vabs(d);
    vec slope = vtanh(d), square = vmul(slope, slope);
    vmask near = vle(square, vset1((real)0.5));
    vec sinh = vdiv(square, vmax(vset1((real)0.5), vsub(one, square)));
    vec x = vselect(near, sinh, vexp(vadd(vneg(size), vneg(size))));
    vec log = vlog1p_unit(vmin(one, x));
    vec far = vadd(vsub(size, vset1((real)0.69314718055994530942)), log);
    sums->loss = vadd(sums->loss, first_lanes(n, vselect(near, vmul(vset1((real)0.5), log), far)));
    return slope;
}

static double log_cosh_row(const row *r, double *accuracy) {
    (void)accuracy;
    return mean_of_row(log_cosh_some, r);
}

/* hinge, and squared_hinge by the same code: `below` is 1 - t a where that is above 0, otherwise 0; NaN if a
 * or t is. */
static ALWAYS_INLINE vec hinge_some(const row *r, ptrdiff_t j, ptrdiff_t n, loss_sums *sums) {
    const int squared = r->settings->loss == BPK_SQUARED_HINGE;
    vec t = vload_first(r->t + j, n), below = vfnma(t, vload_first(r->a + j, n), vset1(1));
    below = first_lanes(n, vselect(vlt(below, vzero()), vzero(), below));
    sums->loss = vadd(sums->loss, squared ? vmul(below, below) : below);
    vec slope = squared ? vadd(below, below) : vselect(vgt(below, vzero()), vset1(1), vzero());
    return vneg(vmul(t, slope));
}

static double hinge_row(const row *r, double *accuracy) {
    (void)accuracy;
    return mean_of_row(hinge_some, r);
}

static double squared_hinge_row(const row *r, double *accuracy) { return hinge_row(r, accuracy); }

/* The targets of two classes with label smoothing: (1 - smoothing) t + smoothing / 2. */
static ALWAYS_INLINE vec smoothed(double smoothing, vec t) {
    return vfma(vset1((real)(1 - smoothing)), t, vset1((real)(smoothing / 2)));
}

/* With p = sigmoid(z), the loss of z is -t log p - (1-t) log(1-p) = max(z, 0) - z t + log(1 + e^-|z|). */
static ALWAYS_INLINE vec binary_some(const row *r, ptrdiff_t j, ptrdiff_t n, loss_sums *sums) {
    vec unit = vset1(1), cap = vset1((real)r->settings->cap);
    vec z = vload_first(r->a + j, n), t = vload_first(r->t + j, n), e = vexp(vneg(vabs(z)));
    vec actual = vselect(vgt(t, vset1((real)0.5)), unit, vzero());
    if (r->settings->smoothing != 0) t = smoothed(r->settings->smoothing, t);
    vec loss = vadd(vfnma(z, t, vmax(vzero(), z)), vlog1p_unit(e));
    loss = vfma(vzero(), z, loss); /* NaN for an infinite z, also on the right side */
    vec predicted = vselect(vgt(z, vzero()), unit, vzero());
    sums->right = vadd(sums->right, first_lanes(n, vsub(unit, vabs(vsub(predicted, actual)))));
    sums->loss = vadd(sums->loss, first_lanes(n, vmin(cap, loss)));
    return vsub(sigmoid_of(z, e), t);
}

static double binary_cross_entropy_row(const row *r, double *accuracy) {
    loss_sums sums = sums_of_row(binary_some, r, r->scale / (double)r->n);
    *accuracy = (double)vsum(sums.right) / (double)r->n;
    return (double)vsum(sums.loss) / (double)r->n;
}

/* The largest of a (n). */
static real largest(ptrdiff_t n, const stored *a) {
    vec best = vset1(a[0]);
    ptrdiff_t j = 0;
    for (; j + VEC <= n; j += VEC) best = vmax(best, vload(a + j));
    if (j < n) best = vselect(vtail(n - j), vmax(best, vload_first(a + j, n - j)), best);
    return vmaximum(best);
}

/* The first index of a (n) whose element equals `value`; the last index if no element does, which happens
 * only if a contains NaN. */
static ptrdiff_t first_equal(ptrdiff_t n, const stored *a, real value) {
    ptrdiff_t i = 0;
    int lane;
    for (; i + VEC <= n; i += VEC) {
        lane = vfirst(veq(vload(a + i), vset1(value)));
        if (lane < VEC) return i + lane;
    }
    if (i == n) return n - 1;
    lane = vfirst(veq(vload_first(a + i, n - i), vset1(value)));
    return i + lane < n ? i + lane : n - 1;
}

/* The n <= VEC targets from element j on: those of t, or 1 at the label and 0 elsewhere. */
static ALWAYS_INLINE vec targets_at(const row *r, ptrdiff_t n, ptrdiff_t j) {
    if (r->t) return vload_first(r->t + j, n);
    ptrdiff_t lane = (ptrdiff_t)r->label - j;
    return lane >= 0 && lane < VEC ? vselect(vlane((int)lane), vset1(1), vzero()) : vzero();
}

/* Cross-entropy, with s = sum exp(a - max a): loss = log s - sum t (a - max a), and the softmax is
 * exp(a - max a) / s. Label smoothing e replaces t by (1 - e) t + e / n.
 *
 * Of one row, max, s and softmax wait for each other. So ROWS_TOGETHER rows make each of these steps
 * together, and hide each other's latency. The exponentials are kept in delta until s is known, except the
 * last vector, which stays in a register: loading what was stored in part is slow. */
enum { ROWS_TOGETHER = 16 };

/* Of each row: max a, the last vector of exponentials, s, and sum t (a - max a). */
typedef struct {
    real top[ROWS_TOGETHER];
    vec last[ROWS_TOGETHER];
    double total[ROWS_TOGETHER], at_target[ROWS_TOGETHER];
} softmaxes;

/* The index at which the last vector of n elements begins. */
static inline ptrdiff_t last_vector(ptrdiff_t n) { return (n - 1) / VEC * VEC; }

/* Sums over a row: exp(a - top); t (a - top); a - top. */
typedef struct {
    vec exponentials, of_targets, of_all;
} softmax_sums;

/* Returns exp(a - top) of one vector, and adds it to the sums. An infinite or NaN a makes the sum NaN, even
 * if its exponential is 0. */
static ALWAYS_INLINE vec exponentials_some(const row *r, ptrdiff_t j, ptrdiff_t n, vec top,
                                           softmax_sums *sums) {
    vec a = vload_first(r->a + j, n), z = first_lanes(n, vsub(a, top)), e = first_lanes(n, vexp(z));
    sums->exponentials = vadd(sums->exponentials, vfma(vzero(), a, e));
    if (r->t) sums->of_targets = vfma(vload_first(r->t + j, n), z, sums->of_targets);
    if (r->settings->smoothing != 0) sums->of_all = vadd(sums->of_all, z);
    return e;
}

/* Writes exp(a - top) to delta, if wanted, except the last vector, which is returned. *total is the sum of
 * all exponentials; *at_target is the sum of t (a - top) with smoothed t. */
static inline vec exponentials(const row *r, real top, double *total, double *at_target) {
    const double smoothing = r->settings->smoothing;
    softmax_sums sums = {vzero(), vzero(), vzero()};
    const vec shift = vset1(top);
    ptrdiff_t j = 0;
    stretch s;
    for (ptrdiff_t from = 0; j < last_vector(r->n); from = s.to) {
        s = stretch_from(r, from);
        for (; j < s.to && j < last_vector(r->n); j += VEC) {
            vec e = exponentials_some(r, j, VEC, shift, &sums);
            if (s.delta) vstore(s.delta + (j - from), e);
        }
    }
    vec last = exponentials_some(r, j, r->n - j, shift, &sums);
    *total = (double)vsum(sums.exponentials);
    *at_target = r->t ? (double)vsum(sums.of_targets) : (double)(r->a[r->label] - top);
    if (smoothing != 0)
        *at_target = (1 - smoothing) * *at_target + smoothing / (double)r->n * (double)vsum(sums.of_all);
    return last;
}

/* The factors of a row's delta: norm e - scale t - share. */
typedef struct {
    vec norm, scale, share;
} softmax_factors;

/* One vector of delta from its exponentials e. */
static ALWAYS_INLINE vec softmax_delta_some(const row *r, ptrdiff_t j, ptrdiff_t n, vec e,
                                            const softmax_factors *f) {
    vec d = vfnma(f->scale, targets_at(r, n, j), vmul(e, f->norm));
    return r->settings->smoothing != 0 ? vsub(d, f->share) : d;
}

/* delta = scale (softmax - smoothed t), from the exponentials. `last` is their last vector, `total` their
 * sum. */
static inline void softmax_delta(const row *r, vec last, double total) {
    const double smoothing = r->settings->smoothing, kept = 1 - smoothing, equal = smoothing / (double)r->n;
    const softmax_factors f = {vset1((real)(r->scale / total)), vset1((real)(r->scale * kept)),
                               vset1((real)(r->scale * equal))};
    stretch s;
    for (ptrdiff_t from = 0, j = 0; from < r->n; from = s.to) {
        s = stretch_from(r, from);
        for (; j < s.to && j < last_vector(r->n); j += VEC) {
            stored *d = s.delta + (j - from);
            vstore(d, softmax_delta_some(r, j, VEC, vload(d), &f));
        }
        if (j < s.to)
            vstore_first(s.delta + (j - from), r->n - j, softmax_delta_some(r, j, r->n - j, last, &f));
    }
}

static void cross_entropy_rows(const bpk_loss_args *args) {
    softmaxes s;
    for (ptrdiff_t from = 0, count; from < args->m; from += count) {
        count = args->m - from < ROWS_TOGETHER ? args->m - from : ROWS_TOGETHER;
        for (ptrdiff_t i = 0; i < count; i++) {
            row r = loss_row(args, from + i);
            prefetch_targets(args, from + i);
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
            prefetch_targets(args, i);                                  \
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
ROW_BY_ROW(log_cosh)
ROW_BY_ROW(hinge)
ROW_BY_ROW(squared_hinge)
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
