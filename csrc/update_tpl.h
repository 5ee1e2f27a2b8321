/* Update: a tile of the gradient is made in registers and spent there; it is never stored. */
#define ARGS bpk_update_args
#include "tile_tpl.h"

#include "sgd_tpl.h"

/* As sgd_vector, but a pass for each term, so that what sgd asks for is asked once a tile.
 * gradient <- the step that SGD takes along it; the velocities, where there are any, become the new ones.
 * Without weight decay the weights are left out of it, so that an infinite one makes no NaN. */
static ALWAYS_INLINE void sgd_steps(int rows, int vecs, int masked, vmask tail, const bpk_sgd *sgd,
                                    const real *w, ptrdiff_t ldw, real *v, ptrdiff_t ldv,
                                    vec gradient[TILE_ROWS_MAX][TILE_VECS]) {
    if (sgd->weight_decay != 0) {
        vec decay = vset1((real)sgd->weight_decay);
        EACH_ACCUMULATOR (r, j)
            gradient[r][j] = vfma(decay, tile_load(w + r * ldw, j, vecs, masked, tail), gradient[r][j]);
    }
    if (!v) return;
    vec momentum = vset1((real)sgd->momentum);
    int nesterov = sgd->nesterov;
    EACH_ACCUMULATOR (r, j) {
        vec velocity = vfma(momentum, tile_load(v + r * ldv, j, vecs, masked, tail), gradient[r][j]);
        tile_store(v + r * ldv, velocity, j, vecs, masked, tail);
        gradient[r][j] = nesterov ? vfma(momentum, velocity, gradient[r][j]) : velocity;
    }
}

/* With this many rows in the batch, the tile's weights can be on their way while its gradient is made. */
enum { PREFETCH_DEPTH = 128 };

static ALWAYS_INLINE void prefetch_tile(int rows, int vecs, const real *p, ptrdiff_t ld) {
    EACH_ACCUMULATOR (r, j) __builtin_prefetch(p + r * ld + j * VEC, 1);
}

static ALWAYS_INLINE void tile(int rows, int vecs, int masked, vmask tail, const ARGS *args, ptrdiff_t i) {
    vec acc[TILE_ROWS_MAX][TILE_VECS];
    real *w = (real *)args->w + i * args->ldw, *v = args->v ? (real *)args->v + i * args->ldv : NULL;
    if (args->k >= PREFETCH_DEPTH) {
        prefetch_tile(rows, vecs, w, args->ldw);
        if (v) prefetch_tile(rows, vecs, v, args->ldv);
    }
    tile_start(rows, vecs, masked, tail, NULL, acc);
    tile_product(rows, vecs, masked, tail, args->k, (const real *)args->left + i, 1, args->ldl, args->right,
                 args->ldr, acc);
    sgd_steps(rows, vecs, masked, tail, args->sgd, w, args->ldw, v, args->ldv, acc);
    vec lr = vset1((real)args->sgd->lr);
    EACH_ACCUMULATOR (r, j) {
        vec weight = tile_load(w + r * args->ldw, j, vecs, masked, tail);
        tile_store(w + r * args->ldw, vfnma(lr, acc[r][j], weight), j, vecs, masked, tail);
    }
}

void BPK_NAME(update)(const bpk_update_args *args) { run_block(args); }

/* Four sums go side by side, for an addition takes four clocks. */
void BPK_NAME(update_bias)(const bpk_bias_args *args) {
    for (ptrdiff_t j = 0; j < args->n; j += VEC) {
        vmask m = vtail(args->n - j < VEC ? args->n - j : VEC);
        const real *delta = (const real *)args->delta + j;
        vec sum[4] = {vzero(), vzero(), vzero(), vzero()};
        ptrdiff_t k = 0;
        for (; k + 4 <= args->k; k += 4)
            for (int s = 0; s < 4; s++) sum[s] = vadd(sum[s], vmload(m, delta + (k + s) * args->ldd));
        for (; k < args->k; k++) sum[0] = vadd(sum[0], vmload(m, delta + k * args->ldd));

        vec gradient = vadd(vadd(sum[0], sum[1]), vadd(sum[2], sum[3]));
        sgd_vector(args->sgd, (real *)args->b + j, args->v ? (real *)args->v + j : NULL, m, gradient);
    }
}
