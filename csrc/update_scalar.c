/* Update, one parameter at a time. */
#include "real.h"

static void sgd_step(real *w, real *v, real gradient, const bpk_sgd *sgd) {
    if (sgd->weight_decay != 0) gradient += (real)sgd->weight_decay * *w;
    if (v) {
        *v = (real)sgd->momentum * *v + gradient;
        gradient = sgd->nesterov ? gradient + (real)sgd->momentum * *v : *v;
    }
    *w -= (real)sgd->lr * gradient;
}

void BPK_NAME(update)(const bpk_update_args *args) {
    const real *left = args->left;   /* (k, ..) */
    const real *right = args->right; /* (k, n) */
    real *w = args->w, *v = args->v; /* (.., n); v may be NULL */
    for (ptrdiff_t i = args->from; i < args->to; i++)
        for (ptrdiff_t j = 0; j < args->n; j++) {
            real gradient = 0;
            for (ptrdiff_t k = 0; k < args->k; k++)
                gradient += left[k * args->ldl + i] * right[k * args->ldr + j];
            sgd_step(&w[i * args->ldw + j], v ? &v[i * args->ldv + j] : NULL, gradient, args->sgd);
        }
}

void BPK_NAME(update_bias)(const bpk_bias_args *args) {
    const real *delta = args->delta; /* (k, n) */
    real *b = args->b, *v = args->v; /* (n,); v may be NULL */
    for (ptrdiff_t j = 0; j < args->n; j++) {
        real gradient = 0;
        for (ptrdiff_t k = 0; k < args->k; k++) gradient += delta[k * args->ldd + j];
        sgd_step(&b[j], v ? &v[j] : NULL, gradient, args->sgd);
    }
}
