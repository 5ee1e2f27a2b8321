/* Update: a tile of the gradient is computed in registers and spent there; it is never stored. */
#include "vec.h"

#define ARGS bpk_update_args
#include "kernels/vector/tile.h"

/* gradient <- the step of SGD along it, which also updates the velocities m unless m is NULL. Each part of
 * the formula is one loop over the registers, so that its condition is tested once per tile. Without decay
 * the weights are not read: 0 times an infinite weight would be NaN. */
static ALWAYS_INLINE void sgd_steps(int rows, int vecs, int last, ptrdiff_t tail, const bpk_move *move,
                                    const stored *w, ptrdiff_t ldw, stored *m, ptrdiff_t ldm,
                                    vacc gradient[TILE_ROWS_MAX][TILE_VECS]) {
    if (move->decay != 0) {
        vec decay = vset1((real)move->decay);
        EACH_ACCUMULATOR (r, j)
            gradient[r][j] = vfma(decay, tile_load(w + r * ldw, j, vecs, last, tail), gradient[r][j]);
    }
    if (!m) return;
    vec momentum = vset1((real)move->optimizer.momentum);
    int nesterov = move->optimizer.nesterov;
    EACH_ACCUMULATOR (r, j) {
        vec velocity = vfma(momentum, tile_load(m + r * ldm, j, vecs, last, tail), gradient[r][j]);
        tile_store(m + r * ldm, velocity, j, vecs, last, tail);
        gradient[r][j] = nesterov ? vfma(momentum, velocity, gradient[r][j]) : velocity;
    }
}

/* In batches of this many rows or more, a tile's weights are prefetched while its gradient is computed. */
enum { PREFETCH_DEPTH = 128 };

static ALWAYS_INLINE void prefetch_tile(int rows, int vecs, const stored *p, ptrdiff_t ld) {
    EACH_ACCUMULATOR (r, j) __builtin_prefetch(p + r * ld + j * VEC, 1);
}

/* For the other optimisers: stores the tile of the gradient, in the first-level cache, and calls `move`,
 * which has their formulas. One call is enough if the rows of w are adjacent, as in a tile as wide as its
 * block. */
static ALWAYS_INLINE void move_rows(int rows, int vecs, const ARGS *args, ptrdiff_t i,
                                    vacc gradient[TILE_ROWS_MAX][TILE_VECS]) {
    real tile[TILE_ROWS_MAX * TILE_VECS * VEC];
    const ptrdiff_t width = vecs * VEC;
    EACH_ACCUMULATOR (r, j) vstore(tile + r * width + j * VEC, gradient[r][j]);
    int adjacent = args->n == width && args->ldw == width && args->ld_state == width;
    for (int r = 0; r < (adjacent ? 1 : rows); r++) {
        void *state[BPK_STATES];
        for (int k = 0; k < BPK_STATES; k++)
            state[k] = args->state[k] ? (stored *)args->state[k] + (i + r) * args->ld_state : NULL;
        BPK_NAME(move)(args->move, adjacent ? rows * width : args->n, tile + r * width,
                       (stored *)args->w + (i + r) * args->ldw, state);
    }
}

static ALWAYS_INLINE void tile(int rows, int vecs, int last, ptrdiff_t tail, const ARGS *args, ptrdiff_t i) {
    vacc sums[TILE_ROWS_MAX][TILE_VECS];
    stored *w = (stored *)args->w + i * args->ldw;
    stored *m = args->state[0] ? (stored *)args->state[0] + i * args->ld_state : NULL;
    if (args->k >= PREFETCH_DEPTH) {
        prefetch_tile(rows, vecs, w, args->ldw);
        if (m) prefetch_tile(rows, vecs, m, args->ld_state);
    }
    tile_start(rows, vecs, last, tail, NULL, sums);
    tile_product(rows, vecs, last, tail, args->k, (const stored *)args->left + i, 1, args->ldl, args->right,
                 args->ldr, sums);
    if (args->move->optimizer.rule != BPK_SGD || args->move->l1 != 0 || args->move->shrink != 1) {
        move_rows(rows, vecs, args, i, sums);
        return;
    }
    sgd_steps(rows, vecs, last, tail, args->move, w, args->ldw, m, args->ld_state, sums);
    vec lr = vset1((real)args->move->lr);
    EACH_ACCUMULATOR (r, j) {
        vec weight = tile_load(w + r * args->ldw, j, vecs, last, tail);
        tile_store(w + r * args->ldw, vfnma(lr, sums[r][j], weight), j, vecs, last, tail);
    }
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
