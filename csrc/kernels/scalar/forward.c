/* Forward, one element at a time. */
#include "vec.h"

void BPK_NAME(forward)(const bpk_forward_args *args) {
    const stored *w = args->w; /* (k, n) */
    const stored *b = args->b; /* (n,) or NULL */
    stored *a = args->a;       /* (.., n) */
    for (ptrdiff_t i = args->from; i < args->to; i++)
        for (ptrdiff_t j = 0; j < args->n; j++) {
            acc z = args->resume ? a[i * args->lda + j] : b ? b[j] : 0;
            for (ptrdiff_t k = 0; k < args->k; k++) z += left_element(&args->x, i, k) * w[k * args->ldw + j];
            a[i * args->lda + j] = z;
        }
    BPK_NAME(activate)(args->activation, args->to - args->from, args->n, a + args->from * args->lda,
                       args->lda);
}
