/* The losses, one element at a time, in double throughout. */
#include <math.h>

#include "vec.h"

/* One row of outputs and targets. */
typedef struct {
    ptrdiff_t n;
    const stored *a, *targets; /* (n,) outputs; (n,) targets, or NULL */
    int64_t label;
    stored *delta; /* scale * derivative, or NULL: row `i` of a matrix in blocks of `rows` rows */
    ptrdiff_t i, rows;
    double scale;
    const real *parameters; /* (n,), or NULL */
    const bpk_loss_settings *settings;
} row;

/* delta j <- d, if delta is wanted. If `rows` is 0, `delta` is the row itself. */
static void set_delta(const row *r, ptrdiff_t j, double d) {
    if (r->delta) r->delta[r->rows ? place(r->rows, r->i, j) : j] = (real)d;
}

/* The target for output j, before smoothing. */
static double t(const row *r, ptrdiff_t j) { return r->targets ? (double)r->targets[j] : j == r->label; }

/* The class of the target: the first output with the largest target. */
static ptrdiff_t target_class(const row *r) {
    ptrdiff_t best = 0;
    for (ptrdiff_t j = 1; j < r->n; j++)
        if (t(r, j) > t(r, best)) best = j;
    return best;
}

/* Returns part * sum (a - t)^2, and computes d. */
static double squares(const row *r, double part) {
    double sum = 0;
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double difference = (double)r->a[j] - t(r, j);
        sum += part * difference * difference;
        set_delta(r, j, r->scale * 2 * part * difference);
    }
    return sum;
}

static double mse_row(const row *r, double *accuracy) {
    (void)accuracy;
    return squares(r, 1 / (double)r->n);
}

static double squared_error_row(const row *r, double *accuracy) {
    (void)accuracy;
    return squares(r, 0.5);
}

static double cross_entropy_row(const row *r, double *accuracy) {
    ptrdiff_t best = 0;
    for (ptrdiff_t j = 1; j < r->n; j++)
        if (r->a[j] > r->a[best]) best = j;
    double sum = 0, loss = 0;
    for (ptrdiff_t j = 0; j < r->n; j++) /* NaN for an infinite a, also if its exponential is 0 */
        sum += exp((double)r->a[j] - (double)r->a[best]) + 0 * (double)r->a[j];
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double z = (double)r->a[j] - (double)r->a[best];
        double target = (1 - r->settings->smoothing) * t(r, j) + r->settings->smoothing / (double)r->n;
        if (target != 0) loss -= target * z;
        set_delta(r, j, r->scale * (exp(z) / sum - target));
    }
    *accuracy = best == target_class(r);
    loss += log(sum);
    return !r->targets && loss > r->settings->cap ? r->settings->cap : loss;
}

static double binary_cross_entropy_row(const row *r, double *accuracy) {
    double loss = 0, right = 0, n = (double)r->n;
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double z = (double)r->a[j], e = exp(-fabs(z)), p = (z < 0 ? e : 1) / (1 + e);
        double target = (1 - r->settings->smoothing) * t(r, j) + r->settings->smoothing / 2;
        double term = (z > 0 ? z : 0) - z * target + log1p(e) + 0 * z; /* NaN for an infinite z */
        loss += (term > r->settings->cap ? r->settings->cap : term) / n;
        right += (z > 0) == (t(r, j) > 0.5);
        set_delta(r, j, r->scale * (p - target) / n);
    }
    *accuracy = right / n;
    return loss;
}

static double mae_row(const row *r, double *accuracy) {
    (void)accuracy;
    double loss = 0, n = (double)r->n;
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double difference = (double)r->a[j] - t(r, j);
        loss += fabs(difference) / n;
        set_delta(r, j, r->scale * ((difference > 0) - (difference < 0)) / n);
    }
    return loss;
}

static double huber_row(const row *r, double *accuracy) {
    (void)accuracy;
    double loss = 0, n = (double)r->n;
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double difference = (double)r->a[j] - t(r, j), size = fabs(difference), delta = r->parameters[j];
        loss += (size > delta ? delta * (size - delta / 2) : size * size / 2) / n;
        set_delta(r, j, r->scale * (size > delta ? copysign(delta, difference) : difference) / n);
    }
    return loss;
}

static double quantile_row(const row *r, double *accuracy) {
    (void)accuracy;
    double loss = 0, n = (double)r->n;
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double missing = t(r, j) - (double)r->a[j], q = r->parameters[j];
        loss += (missing > 0 ? q * missing : (q - 1) * missing) / n;
        set_delta(r, j, r->scale * (missing > 0 ? -q : missing < 0 ? 1 - q : 0) / n);
    }
    return loss;
}

static double poisson_row(const row *r, double *accuracy) {
    (void)accuracy;
    double loss = 0, n = (double)r->n;
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double a = (double)r->a[j], rate = (real)exp(a); /* infinite where the derivative would be */
        loss += (rate - t(r, j) * a) / n;
        if (r->settings->deviance && t(r, j) > 0) loss += t(r, j) * (log(t(r, j)) - 1) / n;
        set_delta(r, j, r->scale * (rate - t(r, j)) / n);
    }
    return loss;
}

static double log_cosh_row(const row *r, double *accuracy) {
    (void)accuracy;
    double loss = 0, n = (double)r->n;
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double difference = (double)r->a[j] - t(r, j), size = fabs(difference), s = sinh(size);
        loss += (size < 1 ? log1p(s * s) / 2 : size + log1p(exp(-2 * size)) - 0.69314718055994530942) / n;
        set_delta(r, j, r->scale * tanh(difference) / n);
    }
    return loss;
}

static double hinge_row(const row *r, double *accuracy) {
    (void)accuracy;
    double loss = 0, n = (double)r->n;
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double below = (real)(1 - t(r, j) * (double)r->a[j]); /* infinite where it is one in `real` */
        loss += (below < 0 ? 0 : below) / n;
        set_delta(r, j, below > 0 ? -r->scale * t(r, j) / n : 0);
    }
    return loss;
}

static double squared_hinge_row(const row *r, double *accuracy) {
    (void)accuracy;
    double loss = 0, n = (double)r->n;
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double below = (real)(1 - t(r, j) * (double)r->a[j]);
        if (below < 0) below = 0;
        loss += below * below / n;
        set_delta(r, j, -2 * r->scale * t(r, j) * below / n);
    }
    return loss;
}

void BPK_NAME(loss)(const bpk_loss_args *args) {
    stored *delta = args->delta;
    for (ptrdiff_t i = 0; i < args->m; i++) {
        row r = {args->n,
                 (const stored *)args->a + i * args->lda,
                 args->labels ? NULL : args->targets[i],
                 args->labels ? args->labels[i] : 0,
                 delta && !args->delta_rows ? delta + i * args->ldd : delta,
                 args->delta_from + i,
                 args->delta_rows,
                 args->scale[i],
                 args->parameters,
                 args->settings};
        args->row_loss[i] = args->row_accuracy[i] = 0;
        switch (args->settings->loss) {
#define ROW(NAME, name) \
    case BPK_##NAME: args->row_loss[i] = name##_row(&r, &args->row_accuracy[i]); break;
            BPK_LOSSES(ROW)
#undef ROW
            case BPK_N_LOSSES: break;
        }
    }
}
