/* Update: a tile of the gradient is made in registers and spent there; it is never stored. */
#define ARGS bpk_update_args
#include "tile_tpl.h"

/* SGD in registers, a pass for each term, so that what it asks for is asked once a tile.
 * gradient <- the step that SGD takes along it; the velocities m, where there are any, become the new ones.
 * Without decay the weights are left out of it, so that an infinite one makes no NaN. */
static ALWAYS_INLINE void sgd_steps(int rows, int vecs, int masked, vmask tail, const bpk_move *move,
                                    const real *w, ptrdiff_t ldw, real *m, ptrdiff_t ldm,
                                    vec gradient[TILE_ROWS_MAX][TILE_VECS]) {
    if (move->decay != 0) {
        vec decay = vset1((real)move->decay);
        EACH_ACCUMULATOR (r, j)
            gradient[r][j] = vfma(decay, tile_load(w + r * ldw, j, vecs, masked, tail), gradient[r][j]);
    }
    if (!m) return;
    vec momentum = vset1((real)move->momentum);
    int nesterov = move->nesterov;
    EACH_ACCUMULATOR (r, j) {
        vec velocity = vfma(momentum, tile_load(m + r * ldm, j, vecs, masked, tail), gradient[r][j]);
        tile_store(m + r * ldm, velocity, j, vecs, masked, tail);
        gradient[r][j] = nesterov ? vfma(momentum, velocity, gradient[r][j]) : velocity;
    }
}

/* With this many rows in the batch, the tile's weights can be on their way while its gradient is made. */
enum { PREFETCH_DEPTH = 128 };

static ALWAYS_INLINE void prefetch_tile(int rows, int vecs, const real *p, ptrdiff_t ld) {
    EACH_ACCUMULATOR (r, j) __builtin_prefetch(p + r * ld + j * VEC, 1);
}

/* The other optimisers keep their formulas in one place: the tile goes there through the first cache, at once
 * where its rows lie side by side, as those of whole blocks do. */
static ALWAYS_INLINE void move_rows(int rows, int vecs, const ARGS *args, ptrdiff_t i,
                                    vec gradient[TILE_ROWS_MAX][TILE_VECS]) {
    real tile[TILE_ROWS_MAX * TILE_VECS * VEC];
    const ptrdiff_t width = vecs * VEC;
    EACH_ACCUMULATOR (r, j) vstore(tile + r * width + j * VEC, gradient[r][j]);
    int together = args->n == width && args->ldw == width && args->ld_state == width;
    for (int r = 0; r < (together ? 1 : rows); r++) {
        void *state[BPK_STATES];
        for (int k = 0; k < BPK_STATES; k++)
            state[k] = args->state[k] ? (real *)args->state[k] + (i + r) * args->ld_state : NULL;
        BPK_NAME(move)(args->move, together ? rows * width : args->n, tile + r * width,
                       (real *)args->w + (i + r) * args->ldw, state);
    }
}

static ALWAYS_INLINE void tile(int rows, int vecs, int masked, vmask tail, const ARGS *args, ptrdiff_t i) {
    vec acc[TILE_ROWS_MAX][TILE_VECS];
    real *w = (real *)args->w + i * args->ldw;
    real *m = args->state[0] ? (real *)args->state[0] + i * args->ld_state : NULL;
    if (args->k >= PREFETCH_DEPTH) {
        prefetch_tile(rows, vecs, w, args->ldw);
        if (m) prefetch_tile(rows, vecs, m, args->ld_state);
    }
    tile_start(rows, vecs, masked, tail, NULL, acc);
    tile_product(rows, vecs, masked, tail, args->k, (const real *)args->left + i, 1, args->ldl, args->right,
                 args->ldr, acc);
    if (args->move->rule != BPK_SGD || args->move->l1 != 0 || args->move->shrink != 1) {
        move_rows(rows, vecs, args, i, acc);
        return;
    }
    sgd_steps(rows, vecs, masked, tail, args->move, w, args->ldw, m, args->ld_state, acc);
    vec lr = vset1((real)args->move->lr);
    EACH_ACCUMULATOR (r, j) {
        vec weight = tile_load(w + r * args->ldw, j, vecs, masked, tail);
        tile_store(w + r * args->ldw, vfnma(lr, acc[r][j], weight), j, vecs, masked, tail);
    }
}

void BPK_NAME(update)(const bpk_update_args *args) { run_block(args, args->filled); }

/* Four sums go side by side, for an addition takes four clocks. */
void BPK_NAME(update_bias)(const bpk_bias_args *args) {
    for (ptrdiff_t j = 0; j < args->n; j += VEC) {
        ptrdiff_t n = args->n - j < VEC ? args->n - j : VEC;
        vmask m = vtail(n);
        const real *delta = (const real *)args->delta + j;
        vec sum[4] = {vzero(), vzero(), vzero(), vzero()};
        ptrdiff_t k = 0;
        for (; k + 4 <= args->k; k += 4)
            for (int s = 0; s < 4; s++) sum[s] = vadd(sum[s], vmload(m, delta + (k + s) * args->ldd));
        for (; k < args->k; k++) sum[0] = vadd(sum[0], vmload(m, delta + k * args->ldd));

        real gradient[VEC];
        void *state[BPK_STATES];
        vstore(gradient, vadd(vadd(sum[0], sum[1]), vadd(sum[2], sum[3])));
        for (int i = 0; i < BPK_STATES; i++) state[i] = args->state[i] ? (real *)args->state[i] + j : NULL;
        BPK_NAME(move)(args->move, n, gradient, (real *)args->b + j, state);
    }
}
