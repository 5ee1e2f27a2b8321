/* Forward with weights in pairs of bfloat16, one element at a time. */
#include "vec.h"

#if !BPK_REAL_IS_DOUBLE
void BPK_NAME(forward_pairs)(const bpk_forward_args *args) {
    const bfloat16_pair *w = args->w; /* (k, n) in pairs */
    const float *b = args->b;         /* (n,) or NULL */
    float *a = args->a;               /* (.., n) */
    for (ptrdiff_t i = args->from; i < args->to; i++)
        for (ptrdiff_t j = 0; j < args->n; j++) {
            acc z = args->resume ? a[i * args->lda + j] : b ? b[j] : 0;
            for (ptrdiff_t k = 0; k < args->k; k++)
                z += left_element(&args->x, i, k) * of_pair(w[k / 2 * args->ldw + j], k);
            a[i * args->lda + j] = z;
        }
    BPK_NAME(activate)(args->activation, args->to - args->from, args->n, a + args->from * args->lda,
                       args->lda);
}
#endif
