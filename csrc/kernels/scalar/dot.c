/* Dot products, one at a time. */
#include "vec.h"

void BPK_NAME(dot)(const bpk_dot_args *args) {
    const stored *x = args->x; /* (.., k) */
    const stored *w = args->w; /* (.., k) */
    const stored *b = args->b; /* (n,) or NULL */
    stored *sums = args->sums; /* (.., n) */
    for (ptrdiff_t i = args->from; i < args->to; i++)
        for (ptrdiff_t j = 0; j < args->n; j++) {
            acc sum = args->resume ? sums[i * args->lds + j] : b ? b[j] : 0;
            for (ptrdiff_t k = 0; k < args->k; k++)
                if (args->x_rows)
                    sum += x[place(args->x_rows, i, k)] * w[place(args->w_rows, args->w_from + j, k)];
                else
                    sum += x[i * args->ldx + k] * w[(args->w_from + j) * args->ldw + k];
            sums[i * args->lds + j] = sum;
        }
}
