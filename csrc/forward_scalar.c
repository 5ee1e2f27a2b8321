/* Forward, one element at a time. */
#include "real.h"

void BPK_NAME(forward)(const bpk_forward_args *args) {
    const real *x = args->x; /* (m, k) */
    const real *w = args->w; /* (k, n) */
    const real *b = args->b; /* (n,) or NULL */
    real *a = args->a;       /* (m, n) */
    for (ptrdiff_t i = 0; i < args->m; i++)
        for (ptrdiff_t j = 0; j < args->n; j++) {
            real z = b ? b[j] : 0;
            for (ptrdiff_t k = 0; k < args->k; k++) z += x[i * args->ldx + k] * w[k * args->ldw + j];
            a[i * args->lda + j] = z;
        }
    BPK_NAME(activate)(args->activation, args->m, args->n, a, args->lda);
}
