/* The optimisers on contiguous arrays: they move w (n) along gradient (n). */
#include "vec.h"

#include "kernels/vector/move_vectors.h"

/* Moves n <= VEC parameters from w + j on. */
static ALWAYS_INLINE void move_some(step_along *rule, const constants *c, ptrdiff_t n, const real *gradient,
                                    stored *w, void *const state[BPK_STATES], ptrdiff_t j) {
    vec g = vmul(c->scale, vload_first(gradient + j, n));
    g = vmin(c->limit, vmax(vneg(c->limit), g));
    move_vector(rule, c, w + j, states_at(state, j), n, g);
}

static ALWAYS_INLINE void move_all(step_along *rule, const bpk_move *move, ptrdiff_t n, const real *gradient,
                                   stored *w, void *const state[BPK_STATES]) {
    const constants c = constants_of(move);
    ptrdiff_t j = 0;
    for (; j + VEC <= n; j += VEC) move_some(rule, &c, VEC, gradient, w, state, j);
    if (j < n) move_some(rule, &c, n - j, gradient, w, state, j);
}

void BPK_NAME(move)(const bpk_move *move, ptrdiff_t n, const void *gradient, void *w,
                    void *const state[BPK_STATES]) {
    switch (move->optimizer.rule) {
        case BPK_SGD:
            if (move->dampening == 0)
                move_all(sgd, move, n, gradient, w, state);
            else
                move_all(sgd_with_dampening, move, n, gradient, w, state);
            break;
        case BPK_RMSPROP: move_all(rmsprop, move, n, gradient, w, state); break;
        case BPK_ADAGRAD: move_all(adagrad, move, n, gradient, w, state); break;
        case BPK_ADAM:
        case BPK_ADAMW: /* its decay is in `shrink` */ move_all(adam, move, n, gradient, w, state); break;
        case BPK_NADAM: move_all(nadam, move, n, gradient, w, state); break;
        case BPK_N_RULES: break;
    }
}

/* The same for n <= VEC elements; returns sum + the squares. */
static ALWAYS_INLINE vec collect_some(const constants *c, ptrdiff_t n, real *g, const stored *w, vec sum) {
    vec whole = penalised(c, vload_first(w, n), vmul(c->scale, vload_first(g, n)));
    vstore_first(g, n, whole);
    return vfma(whole, whole, sum);
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
        const ptrdiff_t end = n - i < 64 * VEC ? n : i + 64 * VEC;
        vec sum = vzero();
        ptrdiff_t j = i;
        for (; j + VEC <= end; j += VEC) sum = collect_some(&c, VEC, g + j, weights + j, sum);
        if (j < end) sum = collect_some(&c, end - j, g + j, weights + j, sum);
        total += (double)vsum(sum);
    }
    if (!isinf(total)) return total;
    total = 0; /* the squares overflowed `real`; in double they may not */
    for (ptrdiff_t j = 0; j < n; j++) total += (double)g[j] * (double)g[j];
    return total;
}

/* Moves n <= VEC elements of the average. */
static ALWAYS_INLINE void average_some(ptrdiff_t n, stored *average, const stored *w, vec fresh) {
    vec old = vload_first(average, n), new = vload_first(w, n), step = vsub(new, old);
    /* Of numbers of opposite signs, the difference may overflow, but no mean does. */
    vec mean = vfma(fresh, new, vfnma(fresh, old, old));
    vmask fits = vle(vabs(step), vset1(REAL_MAX));
    vstore_first(average, n, vselect(fits, vfma(fresh, step, old), mean));
}

void BPK_NAME(average)(ptrdiff_t n, void *average, const void *w, double decay) {
    stored *a = average;
    const stored *weights = w;
    const vec fresh = fresh_part(decay);
    ptrdiff_t j = 0;
    for (; j + VEC <= n; j += VEC) average_some(VEC, a + j, weights + j, fresh);
    if (j < n) average_some(n - j, a + j, weights + j, fresh);
}
