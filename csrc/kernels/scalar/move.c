/* Optimisers, one parameter at a time. */
#include <math.h>

#include "vec.h"

static real penalised(real gradient, real w, double decay, double l1) {
    if (decay != 0) gradient += (real)decay * w;
    if (l1 != 0 && w != 0) gradient += w > 0 ? (real)l1 : -(real)l1;
    return gradient;
}

static real over_root(real x, real v, const bpk_move *move) {
    real root = (real)sqrt((double)v) / (real)move->correction + (real)move->eps;
    return x / (root < REAL_MIN ? REAL_MIN : root);
}

/* The step along g. m, v and u are the states of one parameter, or NULL. */
static real step_along(real g, real *m, real *v, real *u, const bpk_move *move) {
    real momentum = (real)move->optimizer.momentum, square_decay = (real)move->optimizer.square_decay;
    /* 1 - decay, rounded once: if decay were rounded first, a difference near 0 would lose digits. */
    real fresh = (real)(1 - move->optimizer.momentum),
         fresh_square = (real)(1 - move->optimizer.square_decay);
    switch (move->optimizer.rule) {
        case BPK_SGD:
            if (!m) return g;
            *m = momentum * *m + (real)(1 - move->dampening) * g;
            return move->optimizer.nesterov ? g + momentum * *m : *m;
        case BPK_RMSPROP: {
            *v = square_decay * *v + fresh_square * g * g;
            real variance = *v;
            if (move->optimizer.centered) {
                *u = square_decay * *u + fresh_square * g;
                variance -= *u * *u;
                if (variance < 0) variance = 0;
            }
            real step = over_root(g, variance, move);
            if (!m) return step;
            *m = momentum * *m + step;
            return *m;
        }
        case BPK_ADAGRAD: *v += g * g; return over_root(g, *v, move);
        case BPK_ADAM:
        case BPK_ADAMW: /* its decay is in `shrink` */
            *m = momentum * *m + fresh * g;
            *v = square_decay * *v + fresh_square * g * g;
            if (!move->optimizer.amsgrad) return over_root(*m, *v, move);
            if (*u < *v) *u = *v;
            return over_root(*m, *u, move);
        case BPK_NADAM:
            *m = momentum * *m + fresh * g;
            *v = square_decay * *v + fresh_square * g * g;
            return over_root((real)move->gradient_part * g + (real)move->mean_part * *m, *v, move);
        case BPK_N_RULES: break;
    }
    return g;
}

void BPK_NAME(move)(const bpk_move *move, ptrdiff_t n, const void *gradient, void *w,
                    void *const state[BPK_STATES]) {
    const real *gradients = gradient; /* (n,), as the weights and states below */
    real *weights = w, *m = state[0], *v = state[1], *u = state[2], limit = (real)move->limit;
    for (ptrdiff_t j = 0; j < n; j++) {
        real g = (real)move->scale * gradients[j];
        g = g > limit ? limit : g < -limit ? -limit : g;
        g = penalised(g, weights[j], move->decay, move->l1);
        real step = step_along(g, m ? m + j : NULL, v ? v + j : NULL, u ? u + j : NULL, move);
        weights[j] = (real)move->shrink * weights[j] - (real)move->lr * step;
    }
}

double BPK_NAME(collect)(ptrdiff_t n, void *gradient, const void *w, double scale, double decay, double l1) {
    real *g = gradient;      /* (n,) */
    const real *weights = w; /* (n,) */
    double sum = 0;
    for (ptrdiff_t j = 0; j < n; j++) {
        g[j] = penalised((real)scale * g[j], weights[j], decay, l1);
        sum += (double)g[j] * (double)g[j];
    }
    return sum;
}

void BPK_NAME(average)(ptrdiff_t n, void *average, const void *w, double decay) {
    real *a = average;       /* (n,) */
    const real *weights = w; /* (n,) */
    const real fresh = (real)(1 - decay);
    for (ptrdiff_t j = 0; j < n; j++) {
        real step = weights[j] - a[j];
        a[j] = isfinite(step) ? a[j] + fresh * step : (1 - fresh) * a[j] + fresh * weights[j];
    }
}
