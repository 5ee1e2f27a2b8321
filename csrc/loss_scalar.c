/* The losses, one element at a time, in double throughout. */
#include <math.h>

#include "real.h"

/* What all four need of a row; t(j) is its target for output j. */
typedef struct {
    ptrdiff_t n;
    const real *a, *targets; /* (n,); targets may be NULL */
    int64_t label;
} row;

static double t(const row *r, ptrdiff_t j) { return r->targets ? (double)r->targets[j] : j == r->label; }

static ptrdiff_t target_class(const row *r) {
    ptrdiff_t best = 0;
    for (ptrdiff_t j = 1; j < r->n; j++)
        if (t(r, j) > t(r, best)) best = j;
    return best;
}

/* d (n,), where it is wanted, gets scale times the derivative. */
static double squares(const row *r, double part, double scale, real *d) {
    double sum = 0;
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double difference = (double)r->a[j] - t(r, j);
        sum += part * difference * difference;
        if (d) d[j] = (real)(scale * 2 * part * difference);
    }
    return sum;
}

static double cross(const row *r, double scale, real *d, double *accuracy) {
    ptrdiff_t best = 0;
    for (ptrdiff_t j = 1; j < r->n; j++)
        if (r->a[j] > r->a[best]) best = j;
    double sum = 0, loss = 0;
    for (ptrdiff_t j = 0; j < r->n; j++) sum += exp((double)r->a[j] - (double)r->a[best]);
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double z = (double)r->a[j] - (double)r->a[best];
        if (t(r, j) != 0) loss -= t(r, j) * z;
        if (d) d[j] = (real)(scale * (exp(z) / sum - t(r, j)));
    }
    *accuracy = best == target_class(r);
    return loss + log(sum);
}

static double binary(const row *r, double scale, real *d, double *accuracy) {
    double loss = 0, right = 0, n = (double)r->n;
    for (ptrdiff_t j = 0; j < r->n; j++) {
        double z = (double)r->a[j], e = exp(-fabs(z)), p = (z < 0 ? e : 1) / (1 + e);
        loss += ((z > 0 ? z : 0) - z * t(r, j) + log1p(e)) / n;
        right += (z > 0) == (t(r, j) > 0.5);
        if (d) d[j] = (real)(scale * (p - t(r, j)) / n);
    }
    *accuracy = right / n;
    return loss;
}

void BPK_NAME(loss)(const bpk_loss_args *args) {
    for (ptrdiff_t i = 0; i < args->m; i++) {
        row r = {args->n, (const real *)args->a + i * args->lda,
                 args->labels ? NULL : (const real *)args->targets + i * args->ldt,
                 args->labels ? args->labels[i] : 0};
        real *d = args->delta ? (real *)args->delta + i * args->ldd : NULL;
        double accuracy = 0, loss = 0, scale = args->scale[i];
        switch (args->loss) {
            case BPK_MSE: loss = squares(&r, 1 / (double)r.n, scale, d); break;
            case BPK_SQUARED_ERROR: loss = squares(&r, 0.5, scale, d); break;
            case BPK_CROSS_ENTROPY: loss = cross(&r, scale, d, &accuracy); break;
            case BPK_BINARY_CROSS_ENTROPY: loss = binary(&r, scale, d, &accuracy); break;
            case BPK_N_LOSSES: break;
        }
        args->row_loss[i] = loss;
        args->row_accuracy[i] = accuracy;
    }
}
