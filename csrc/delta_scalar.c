/* Delta, one element at a time. */
#include "real.h"

void BPK_NAME(delta)(const bpk_delta_args *args) {
    const real *next = args->delta_next; /* (m, k) */
    const real *w = args->w;             /* (k, n) */
    real *delta = args->delta;           /* (m, n) */
    for (ptrdiff_t i = 0; i < args->m; i++)
        for (ptrdiff_t j = 0; j < args->n; j++) {
            real sum = 0;
            for (ptrdiff_t k = 0; k < args->k; k++) sum += next[i * args->ldn + k] * w[k * args->ldw + j];
            delta[i * args->ldd + j] = sum;
        }
    BPK_NAME(apply_derivative)(args->activation, args->m, args->n, args->a, args->lda, delta, args->ldd);
}
