/* The product of row-major matrices, one number at a time. */
#include "vec.h"

void BPK_NAME(few_rows)(const bpk_few_rows_args *args) {
    const stored *x = args->x; /* (.., k) */
    const stored *w = args->w; /* (k, n) */
    stored *sums = args->sums; /* (.., n) */
    for (ptrdiff_t i = args->from; i < args->to; i++)
        for (ptrdiff_t j = 0; j < args->n; j++) {
            acc sum = 0;
            for (ptrdiff_t k = 0; k < args->k; k++) sum += x[i * args->ldx + k] * w[k * args->ldw + j];
            sums[i * args->lds + j] = sum;
        }
}
