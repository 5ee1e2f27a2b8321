/* Update: a tile of the gradient is made in registers and spent there; it is never stored. */
#define ARGS bpk_update_args
#include "tile_tpl.h"

typedef struct {
    vec lr, momentum, weight_decay;
    int decays, nesterov;
} step_constants;

static ALWAYS_INLINE step_constants constants_of(const bpk_sgd *sgd) {
    return (step_constants){vset1((real)sgd->lr), vset1((real)sgd->momentum), vset1((real)sgd->weight_decay),
                            sgd->weight_decay != 0, sgd->nesterov};
}

/* The new weights; *v, where there is one, becomes the new velocity. Without weight decay the weight is left
 * out of the gradient, so that an infinite one makes no NaN. */
static ALWAYS_INLINE vec sgd_step(vec w, vec gradient, vec *v, const step_constants *c) {
    if (c->decays) gradient = vfma(c->weight_decay, w, gradient);
    if (v) {
        *v = vfma(c->momentum, *v, gradient);
        gradient = c->nesterov ? vfma(c->momentum, *v, gradient) : *v;
    }
    return vfnma(c->lr, gradient, w);
}

static ALWAYS_INLINE void tile(int rows, int vecs, int masked, vmask tail, const ARGS *args, ptrdiff_t i) {
    vec acc[TILE_ROWS_MAX][TILE_VECS];
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
        for (int j = 0; j < vecs; j++) acc[r][j] = vzero();
    tile_product(rows, vecs, masked, tail, args->k, (const real *)args->left + i, 1, args->ldl, args->right,
                 args->ldr, acc);

    step_constants c = constants_of(args->sgd);
    real *w = (real *)args->w + i * args->ldw;
    if (args->v) {
        real *v = (real *)args->v + i * args->ldv;
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
            for (int j = 0; j < vecs; j++) {
                vec velocity = tile_load(v + r * args->ldv, j, vecs, masked, tail);
                vec weight = tile_load(w + r * args->ldw, j, vecs, masked, tail);
                weight = sgd_step(weight, acc[r][j], &velocity, &c);
                tile_store(v + r * args->ldv, velocity, j, vecs, masked, tail);
                tile_store(w + r * args->ldw, weight, j, vecs, masked, tail);
            }
    } else {
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
            for (int j = 0; j < vecs; j++) {
                vec weight = tile_load(w + r * args->ldw, j, vecs, masked, tail);
                weight = sgd_step(weight, acc[r][j], NULL, &c);
                tile_store(w + r * args->ldw, weight, j, vecs, masked, tail);
            }
    }
}

void BPK_NAME(update)(const bpk_update_args *args) { run_block(args); }

/* Four sums go side by side, for an addition takes four clocks. */
void BPK_NAME(update_bias)(const bpk_bias_args *args) {
    const step_constants c = constants_of(args->sgd);
    for (ptrdiff_t j = 0; j < args->n; j += VEC) {
        vmask m = vtail(args->n - j < VEC ? args->n - j : VEC);
        const real *delta = (const real *)args->delta + j;
        vec sum[4] = {vzero(), vzero(), vzero(), vzero()};
        ptrdiff_t k = 0;
        for (; k + 4 <= args->k; k += 4)
            for (int s = 0; s < 4; s++) sum[s] = vadd(sum[s], vmload(m, delta + (k + s) * args->ldd));
        for (; k < args->k; k++) sum[0] = vadd(sum[0], vmload(m, delta + k * args->ldd));
        vec gradient = vadd(vadd(sum[0], sum[1]), vadd(sum[2], sum[3]));

        real *b = (real *)args->b + j;
        vec bias = vmload(m, b);
        if (args->v) {
            real *v = (real *)args->v + j;
            vec velocity = vmload(m, v);
            bias = sgd_step(bias, gradient, &velocity, &c);
            vmstore(v, m, velocity);
        } else {
            bias = sgd_step(bias, gradient, NULL, &c);
        }
        vmstore(b, m, bias);
    }
}
