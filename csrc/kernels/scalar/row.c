/* One row through a layer, one element at a time. */
#include "vec.h"

void BPK_NAME(forward_row)(const bpk_row_args *args) {
    const stored *x = args->x; /* (k,) */
    const stored *w = args->w; /* (k, n) in blocks */
    const stored *b = args->b; /* (n,) */
    stored *a = args->a;       /* (n,) */
    for (ptrdiff_t j = args->from; j < args->to; j++) {
        acc z = b[j];
        for (ptrdiff_t k = 0; k < args->k; k++) z += x[k] * w[place(args->k, k, j)];
        a[j] = z;
    }
    BPK_NAME(activate)(args->activation, 1, args->to - args->from, a + args->from, args->n);
}

#if !BPK_REAL_IS_DOUBLE
void BPK_NAME(forward_row_pairs)(const bpk_row_args *args) {
    const float *x = args->x;         /* (k,) */
    const bfloat16_pair *w = args->w; /* (k, n) in blocks of pairs */
    const float *b = args->b;         /* (n,) */
    float *a = args->a;               /* (n,) */
    for (ptrdiff_t j = args->from; j < args->to; j++) {
        acc z = b[j];
        for (ptrdiff_t k = 0; k < args->k; k++) z += x[k] * of_pair(w[place((args->k + 1) / 2, k / 2, j)], k);
        a[j] = z;
    }
    BPK_NAME(activate)(args->activation, 1, args->to - args->from, a + args->from, args->n);
}
#endif
