/* Sweep, one parameter and one activation at a time. */
#include "vec.h"

/* W and the states are contiguous, and rows are padded to whole vectors. */
void BPK_NAME(sweep)(const bpk_sweep_args *args) {
    const stored *x = args->x, *delta = args->delta, *next_x = args->next_x, *b = args->b;
    stored *w = args->w, *a = args->a;
    const ptrdiff_t width = round_up(args->n, VEC);
    for (ptrdiff_t i = args->from; i < args->to; i++)
        for (ptrdiff_t j = 0; j < width; j++) {
            void *state[BPK_STATES];
            for (int s = 0; s < BPK_STATES; s++)
                state[s] = args->state[s] ? (stored *)args->state[s] + i * width + j : NULL;
            acc gradient = 0;
            for (ptrdiff_t k = 0; k < args->k; k++)
                gradient += x[place(args->x_rows, k, i)] * delta[k * args->ldd + j];
            BPK_NAME(move)(args->move, 1, &gradient, w + i * width + j, state);
        }
    for (ptrdiff_t k = 0; k < args->next_k; k++) {
        for (ptrdiff_t j = 0; j < args->n; j++) {
            acc sum = b ? b[j] : 0;
            for (ptrdiff_t i = 0; i < args->in; i++)
                sum += next_x[place(args->x_rows, k, i)] * w[i * width + j];
            a[k * args->lda + j] = sum;
        }
        BPK_NAME(activate)(args->activation, 1, args->n, a + k * args->lda, args->lda);
    }
}
