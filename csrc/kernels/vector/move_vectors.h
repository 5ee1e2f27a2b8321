/* The optimisers on one vector of parameters. Their formulas are in bpkern.h. Defined here. */
#ifndef BPK_MOVE_VECTORS_H
#define BPK_MOVE_VECTORS_H

#include <math.h>

/* The numbers of a bpk_move, each in every lane. fresh is 1 - momentum, fresh_square 1 - square_decay, and
 * inverse 1 / correction, and undamped 1 - dampening. */
typedef struct {
    vec scale, limit, decay, l1, shrink, lr, momentum, fresh, fresh_square, eps, inverse;
    vec undamped, gradient_part, mean_part;
    int nesterov, centered, amsgrad, decays, has_l1;
} constants;

/* 1 - decay, rounded once: if decay were rounded first, a difference near 0 would lose digits. */
static ALWAYS_INLINE vec fresh_part(double decay) { return vset1((real)(1 - decay)); }

static ALWAYS_INLINE constants constants_of(const bpk_move *move) {
    return (constants){.scale = vset1((real)move->scale),
                       .limit = vset1((real)move->limit),
                       .decay = vset1((real)move->decay),
                       .l1 = vset1((real)move->l1),
                       .shrink = vset1((real)move->shrink),
                       .lr = vset1((real)move->lr),
                       .momentum = vset1((real)move->optimizer.momentum),
                       .fresh = fresh_part(move->optimizer.momentum),
                       .fresh_square = fresh_part(move->optimizer.square_decay),
                       .eps = vset1((real)move->eps),
                       .inverse = vset1((real)(1 / move->correction)),
                       .undamped = fresh_part(move->dampening),
                       .gradient_part = vset1((real)move->gradient_part),
                       .mean_part = vset1((real)move->mean_part),
                       .nesterov = move->optimizer.nesterov,
                       .centered = move->optimizer.centered,
                       .amsgrad = move->optimizer.amsgrad,
                       .decays = move->decay != 0,
                       .has_l1 = move->l1 != 0};
}

/* The states of one vector of parameters; NULL if the optimiser does not use the state. */
typedef struct {
    stored *m, *v, *u;
} states;

static ALWAYS_INLINE states states_at(void *const state[BPK_STATES], ptrdiff_t j) {
    stored *m = state[0], *v = state[1], *u = state[2];
    return (states){m ? m + j : NULL, v ? v + j : NULL, u ? u + j : NULL};
}

/* (1 - fresh) a + fresh b, computed as a step from a towards b: exact if a equals b. */
static ALWAYS_INLINE vec towards(vec fresh, vec a, vec b) { return vfma(fresh, vsub(b, a), a); }

/* x / (sqrt(v) / correction + eps). If all gradients were zero and eps is 0, the result is 0, not NaN. */
static ALWAYS_INLINE vec over_root(const constants *c, vec x, vec v) {
    vec root = vfma(vsqrt(v), c->inverse, c->eps);
    return vdiv(x, vmax(vset1(REAL_MIN), root));
}

/* Each optimiser returns the step along g, and updates the first n lanes of its states. */
static ALWAYS_INLINE vec sgd(const constants *c, states s, ptrdiff_t n, vec g) {
    if (!s.m) return g;
    vec velocity = vfma(c->momentum, vload_first(s.m, n), g);
    vstore_first(s.m, n, velocity);
    return c->nesterov ? vfma(c->momentum, velocity, g) : velocity;
}

static ALWAYS_INLINE vec sgd_with_dampening(const constants *c, states s, ptrdiff_t n, vec g) {
    return sgd(c, s, n, s.m ? vmul(c->undamped, g) : g);
}

static ALWAYS_INLINE vec rmsprop(const constants *c, states s, ptrdiff_t n, vec g) {
    vec v = towards(c->fresh_square, vload_first(s.v, n), vmul(g, g));
    vstore_first(s.v, n, v);
    if (c->centered) {
        vec mean = towards(c->fresh_square, vload_first(s.u, n), g);
        vstore_first(s.u, n, mean);
        v = vmax(vzero(), vfnma(mean, mean, v));
    }
    vec step = over_root(c, g, v);
    if (!s.m) return step;
    step = vfma(c->momentum, vload_first(s.m, n), step);
    vstore_first(s.m, n, step);
    return step;
}

static ALWAYS_INLINE vec adagrad(const constants *c, states s, ptrdiff_t n, vec g) {
    vec v = vfma(g, g, vload_first(s.v, n));
    vstore_first(s.v, n, v);
    return over_root(c, g, v);
}

static ALWAYS_INLINE vec adam(const constants *c, states s, ptrdiff_t n, vec g) {
    vec mean = towards(c->fresh, vload_first(s.m, n), g);
    vec v = towards(c->fresh_square, vload_first(s.v, n), vmul(g, g));
    vstore_first(s.m, n, mean);
    vstore_first(s.v, n, v);
    if (c->amsgrad) {
        v = vmax(v, vload_first(s.u, n));
        vstore_first(s.u, n, v);
    }
    return over_root(c, mean, v);
}

static ALWAYS_INLINE vec nadam(const constants *c, states s, ptrdiff_t n, vec g) {
    vec mean = towards(c->fresh, vload_first(s.m, n), g);
    vec v = towards(c->fresh_square, vload_first(s.v, n), vmul(g, g));
    vstore_first(s.m, n, mean);
    vstore_first(s.v, n, v);
    return over_root(c, vfma(c->mean_part, mean, vmul(c->gradient_part, g)), v);
}

/* The gradient with its penalties. Without decay w is not used: 0 times an infinite weight would be NaN. */
static ALWAYS_INLINE vec penalised(const constants *c, vec w, vec g) {
    if (c->decays) g = vfma(c->decay, w, g);
    if (c->has_l1) g = vadd(g, vselect(veq(w, vzero()), vzero(), vcopysign(c->l1, w)));
    return g;
}

typedef vec step_along(const constants *c, states s, ptrdiff_t n, vec g);

static ALWAYS_INLINE void move_vector(step_along *rule, const constants *c, stored *w, states s, ptrdiff_t n,
                                      vec g) {
    vec weight = vload_first(w, n), step = rule(c, s, n, penalised(c, weight, g));
    vstore_first(w, n, vfnma(c->lr, step, vmul(c->shrink, weight)));
}

#endif
