/* The optimisers on contiguous arrays: they move w (n) along gradient (n). */
#include "vec.h"

#include "kernels/vector/move_vectors.h"

static ALWAYS_INLINE void move_all(step_along *rule, const bpk_move *move, ptrdiff_t n, const real *gradient,
                                   stored *w, void *const state[BPK_STATES]) {
    const constants c = constants_of(move);
    const vec lowest = vneg(c.limit);
    const active whole = {.all = 1}, rest = {.mask = vtail(n % VEC)};
    ptrdiff_t j = 0;
    for (; j + VEC <= n; j += VEC) {
        vec g = vmin(c.limit, vmax(lowest, vmul(c.scale, vload(gradient + j))));
        move_vector(rule, &c, w + j, states_at(state, j), whole, g);
    }
    if (j < n) {
        vec g = vmin(c.limit, vmax(lowest, vmul(c.scale, load(rest, gradient + j))));
        move_vector(rule, &c, w + j, states_at(state, j), rest, g);
    }
}

void BPK_NAME(move)(const bpk_move *move, ptrdiff_t n, const void *gradient, void *w,
                    void *const state[BPK_STATES]) {
    switch (move->optimizer.rule) {
        case BPK_SGD: move_all(sgd, move, n, gradient, w, state); break;
        case BPK_RMSPROP: move_all(rmsprop, move, n, gradient, w, state); break;
        case BPK_ADAGRAD: move_all(adagrad, move, n, gradient, w, state); break;
        case BPK_ADAM:
        case BPK_ADAMW: /* its decay is in `shrink` */ move_all(adam, move, n, gradient, w, state); break;
        case BPK_N_RULES: break;
    }
}

/* Each group of 64 vectors is summed in `real`, and the sums of groups in double: W may have millions of
 * terms. */
double BPK_NAME(collect)(ptrdiff_t n, void *gradient, const void *w, double scale, double decay, double l1) {
    const bpk_move penalties = {.scale = scale, .decay = decay, .l1 = l1, .correction = 1};
    const constants c = constants_of(&penalties);
    real *g = gradient;
    const stored *weights = w;
    double total = 0;
    for (ptrdiff_t i = 0; i < n; i += 64 * VEC) {
        vec sum = vzero();
        for (ptrdiff_t j = i; j < n && j < i + 64 * VEC; j += VEC) {
            vmask m = vtail(n - j < VEC ? n - j : VEC);
            vec whole = penalised(&c, vmload(m, weights + j), vmul(c.scale, vmload(m, g + j)));
            vmstore(g + j, m, whole);
            sum = vfma(whole, whole, sum);
        }
        total += (double)vsum(sum);
    }
    if (!isinf(total)) return total;
    total = 0; /* the squares overflowed `real`; in double they may not */
    for (ptrdiff_t j = 0; j < n; j++) total += (double)g[j] * (double)g[j];
    return total;
}

void BPK_NAME(average)(ptrdiff_t n, void *average, const void *w, double decay) {
    stored *a = average;
    const stored *weights = w;
    const vec fresh = fresh_part(decay), largest = vset1(REAL_MAX);
    for (ptrdiff_t j = 0; j < n; j += VEC) {
        vmask m = vtail(n - j < VEC ? n - j : VEC);
        vec old = vmload(m, a + j), new = vmload(m, weights + j), step = vsub(new, old);
        /* Of numbers of opposite signs, the difference may overflow, but no mean does. */
        vec mean = vfma(fresh, new, vfnma(fresh, old, old));
        vmstore(a + j, m, vselect(vle(vabs(step), largest), vfma(fresh, step, old), mean));
    }
}
