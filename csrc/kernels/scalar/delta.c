/* Delta, one element at a time. */
#include "vec.h"

void BPK_NAME(delta)(const bpk_delta_args *args) {
    const stored *w = args->w;   /* (k, n) */
    stored *delta = args->delta; /* (.., n) */
    for (ptrdiff_t i = args->from; i < args->to; i++)
        for (ptrdiff_t j = 0; j < args->n; j++) {
            acc sum = args->resume ? delta[i * args->ldd + j] : 0;
            for (ptrdiff_t k = 0; k < args->k; k++)
                sum += left_element(&args->delta_next, i, k) * w[k * args->ldw + j];
            delta[i * args->ldd + j] = sum;
        }
    BPK_NAME(apply_derivative)(args->activation, args->to - args->from, args->n,
                               (const stored *)args->a + args->from * args->lda, args->lda,
                               delta + args->from * args->ldd, args->ldd);
}
