/* Update: a tile of the gradient is computed in registers and spent there; it is never stored. */
#include "vec.h"

#define ARGS bpk_update_args
#define ALONG_ROWS 1
#include "kernels/vector/tiles.h"

#include "kernels/vector/spend.h"

/* In batches of this many rows or more, a tile's weights are prefetched while its gradient is computed. */
enum { PREFETCH_DEPTH = 128 };

static ALWAYS_INLINE void prefetch_tile(int rows, int vecs, const stored *p, ptrdiff_t ld) {
    EACH_ACCUMULATOR (r, j) __builtin_prefetch(p + r * ld + j * VEC, 1);
}

static ALWAYS_INLINE void tile(int rows, int vecs, int last, ptrdiff_t tail, const ARGS *args, ptrdiff_t i) {
    vacc sums[TILE_ROWS_MAX][TILE_VECS];
    const tile_weights to = {.w = (stored *)args->w + i * args->ldw,
                             .ldw = args->ldw,
                             .state = args->state,
                             .at = i * args->ld_state,
                             .ld_state = args->ld_state,
                             .n = args->n};
    if (args->k >= PREFETCH_DEPTH) {
        prefetch_tile(rows, vecs, to.w, to.ldw);
        if (to.state[0]) prefetch_tile(rows, vecs, (stored *)to.state[0] + to.at, to.ld_state);
    }
    tile_start(rows, vecs, last, tail, NULL, sums);
    tile_product(rows, vecs, last, tail, args->k, (const stored *)args->left + i, args->ldl, args->right,
                 args->ldr, sums);
    spend_tile(rows, vecs, last, tail, args->move, &to, sums);
}

void BPK_NAME(update)(const bpk_update_args *args) { run_block(args, args->filled); }

/* The sums of the columns of delta (k, n), n <= VEC: four independent ones of each column, because one
 * addition takes four clocks. */
static ALWAYS_INLINE vec column_sums(ptrdiff_t n, ptrdiff_t k, const stored *delta, ptrdiff_t ldd) {
    vec sum[4] = {vzero(), vzero(), vzero(), vzero()};
    ptrdiff_t i = 0;
    for (; i + 4 <= k; i += 4)
        for (int s = 0; s < 4; s++) sum[s] = vadd(sum[s], vload_first(delta + (i + s) * ldd, n));
    for (; i < k; i++) sum[0] = vadd(sum[0], vload_first(delta + i * ldd, n));
    return vadd(vadd(sum[0], sum[1]), vadd(sum[2], sum[3]));
}

void BPK_NAME(update_bias)(const bpk_bias_args *args) {
    for (ptrdiff_t j = 0; j < args->n; j += VEC) {
        ptrdiff_t n = args->n - j < VEC ? args->n - j : VEC;
        const stored *delta = (const stored *)args->delta + j;
        vec sums = n == VEC ? column_sums(VEC, args->k, delta, args->ldd)
                            : column_sums(n, args->k, delta, args->ldd);

        real gradient[VEC];
        void *state[BPK_STATES];
        vstore(gradient, sums);
        for (int i = 0; i < BPK_STATES; i++) state[i] = args->state[i] ? (stored *)args->state[i] + j : NULL;
        BPK_NAME(move)(args->move, n, gradient, (stored *)args->b + j, state);
    }
}
