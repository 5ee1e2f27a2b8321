/* The input stage, one element at a time. */
#include <math.h>

#include "vec.h"

void BPK_NAME(scale)(const bpk_scale_args *args) {
    const real *x = args->x, *factors = args->factors; /* (m, n), (n,) */
    real *out = args->out;                             /* (m, n) */
    for (ptrdiff_t i = 0; i < args->m; i++)
        for (ptrdiff_t j = 0; j < args->n; j++) out[i * args->ldo + j] = x[i * args->ldx + j] * factors[j];
}

void BPK_NAME(scale_sums)(const bpk_scale_args *args) {
    const real *x = args->x, *delta = args->delta; /* (m, n) both */
    for (ptrdiff_t j = 0; j < args->n; j++) {
        double sum = 0;
        for (ptrdiff_t i = 0; i < args->m; i++)
            sum += (double)x[i * args->ldx + j] * (double)delta[i * args->ldo + j];
        ((real *)args->out)[j] = (real)sum;
    }
}

void BPK_NAME(lookup)(const bpk_lookup_args *args) {
    const real *codes = args->codes, *table = args->table;
    real *rows = args->rows;
    for (ptrdiff_t i = 0; i < args->m; i++)
        for (ptrdiff_t j = 0; j < args->n; j++)
            rows[i * args->ldr + j] = table[(ptrdiff_t)codes[i * args->ldc] * args->ldt + j];
}

void BPK_NAME(lookup_add)(const bpk_lookup_args *args) {
    const real *codes = args->codes, *rows = args->rows;
    real *table = args->table;
    for (ptrdiff_t i = 0; i < args->m; i++)
        for (ptrdiff_t j = 0; j < args->n; j++)
            table[(ptrdiff_t)codes[i * args->ldc] * args->ldt + j] += rows[i * args->ldr + j];
}

static const double TWO_PI = 6.28318530717958647693;

static double angle_of(const bpk_periodic_args *args, ptrdiff_t i, ptrdiff_t k) {
    const real *x = args->x, *w = args->w, *b = args->b; /* (m,), (hidden,), (hidden,) */
    return TWO_PI * (double)x[i] * (double)w[k] + (double)b[k];
}

void BPK_NAME(periodic)(const bpk_periodic_args *args) {
    const real *w2 = args->w2, *b2 = args->b2; /* (hidden, n), (n,) */
    for (ptrdiff_t i = 0; i < args->m; i++)
        for (ptrdiff_t o = 0; o < args->n; o++) {
            double sum = (double)b2[o];
            for (ptrdiff_t k = 0; k < args->hidden; k++)
                sum += cos(angle_of(args, i, k)) * (double)w2[k * args->n + o];
            ((real *)args->out)[o * args->ldo + i] = (real)sum;
        }
}

void BPK_NAME(periodic_sums)(const bpk_periodic_args *args) {
    const real *x = args->x, *w2 = args->w2, *delta = args->out; /* delta (n, m) */
    for (ptrdiff_t k = 0; k < args->hidden; k++) {
        double angle = 0, x_angle = 0;
        for (ptrdiff_t i = 0; i < args->m; i++) {
            double through = 0;
            for (ptrdiff_t o = 0; o < args->n; o++)
                through += (double)w2[k * args->n + o] * (double)delta[o * args->ldo + i];
            angle -= sin(angle_of(args, i, k)) * through;
            x_angle -= (double)x[i] * sin(angle_of(args, i, k)) * through;
            if (args->dx)
                ((real *)args->dx)[i] -=
                    (real)(TWO_PI * (double)((const real *)args->w)[k] * sin(angle_of(args, i, k)) * through);
        }
        ((real *)args->dw)[k] += (real)(TWO_PI * x_angle);
        ((real *)args->db)[k] += (real)angle;
        for (ptrdiff_t o = 0; o < args->n; o++) {
            double sum = 0;
            for (ptrdiff_t i = 0; i < args->m; i++)
                sum += cos(angle_of(args, i, k)) * (double)delta[o * args->ldo + i];
            ((real *)args->dw2)[k * args->n + o] += (real)sum;
        }
    }
    for (ptrdiff_t o = 0; o < args->n; o++) {
        double sum = 0;
        for (ptrdiff_t i = 0; i < args->m; i++) sum += (double)delta[o * args->ldo + i];
        ((real *)args->db2)[o] += (real)sum;
    }
}
