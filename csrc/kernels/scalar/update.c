/* Update, one parameter at a time. */
#include "vec.h"

/* Moves w[at] along its gradient. Its states are state[...][state_at]. */
static void move_one(const bpk_move *move, real gradient, void *w, ptrdiff_t at,
                     void *const state[BPK_STATES], ptrdiff_t state_at) {
    void *own[BPK_STATES];
    for (int k = 0; k < BPK_STATES; k++) own[k] = state[k] ? (real *)state[k] + state_at : NULL;
    BPK_NAME(move)(move, 1, &gradient, (real *)w + at, own);
}

void BPK_NAME(update)(const bpk_update_args *args) {
    const stored *left = args->left;   /* (k, ..) */
    const stored *right = args->right; /* (k, n) */
    for (ptrdiff_t i = args->from; i < args->to; i++)
        for (ptrdiff_t j = 0; j < args->n; j++) {
            acc gradient = 0;
            for (ptrdiff_t k = 0; k < args->k; k++)
                gradient += left[k * args->ldl + i] * right[k * args->ldr + j];
            move_one(args->move, gradient, args->w, i * args->ldw + j, args->state, i * args->ld_state + j);
        }
}

void BPK_NAME(update_bias)(const bpk_bias_args *args) {
    const stored *delta = args->delta; /* (k, n) */
    for (ptrdiff_t j = 0; j < args->n; j++) {
        acc gradient = 0;
        for (ptrdiff_t k = 0; k < args->k; k++) gradient += delta[k * args->ldd + j];
        move_one(args->move, gradient, args->b, j, args->state, j);
    }
}
