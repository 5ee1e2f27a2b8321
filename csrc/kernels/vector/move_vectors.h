/* The optimisers on one vector of parameters. Their formulas are in bpkern.h. Defined here. */
#ifndef BPK_MOVE_VECTORS_H
#define BPK_MOVE_VECTORS_H

#include <math.h>

/* The numbers of a bpk_move, each in every lane. fresh is 1 - momentum, fresh_square 1 - square_decay, and
 * inverse 1 / correction. */
typedef struct {
    vec scale, limit, decay, l1, shrink, lr, momentum, fresh, fresh_square, eps, inverse;
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

/* The active lanes: all lanes, or the lanes of the mask. */
typedef struct {
    int all;
    vmask mask;
} active;

static ALWAYS_INLINE vec load(active on, const stored *p) { return on.all ? vload(p) : vmload(on.mask, p); }
static ALWAYS_INLINE void store(active on, stored *p, vec x) {
    if (on.all)
        vstore(p, x);
    else
        vmstore(p, on.mask, x);
}

/* Each optimiser returns the step along g, and updates its states. */
static ALWAYS_INLINE vec sgd(const constants *c, states s, active on, vec g) {
    if (!s.m) return g;
    vec velocity = vfma(c->momentum, load(on, s.m), g);
    store(on, s.m, velocity);
    return c->nesterov ? vfma(c->momentum, velocity, g) : velocity;
}

static ALWAYS_INLINE vec rmsprop(const constants *c, states s, active on, vec g) {
    vec v = towards(c->fresh_square, load(on, s.v), vmul(g, g));
    store(on, s.v, v);
    if (c->centered) {
        vec mean = towards(c->fresh_square, load(on, s.u), g);
        store(on, s.u, mean);
        v = vmax(vzero(), vfnma(mean, mean, v));
    }
    vec step = over_root(c, g, v);
    if (!s.m) return step;
    step = vfma(c->momentum, load(on, s.m), step);
    store(on, s.m, step);
    return step;
}

static ALWAYS_INLINE vec adagrad(const constants *c, states s, active on, vec g) {
    vec v = vfma(g, g, load(on, s.v));
    store(on, s.v, v);
    return over_root(c, g, v);
}

static ALWAYS_INLINE vec adam(const constants *c, states s, active on, vec g) {
    vec mean = towards(c->fresh, load(on, s.m), g);
    vec v = towards(c->fresh_square, load(on, s.v), vmul(g, g));
    store(on, s.m, mean);
    store(on, s.v, v);
    if (c->amsgrad) {
        v = vmax(v, load(on, s.u));
        store(on, s.u, v);
    }
    return over_root(c, mean, v);
}

/* The gradient with its penalties. Without decay w is not used: 0 times an infinite weight would be NaN. */
static ALWAYS_INLINE vec penalised(const constants *c, vec w, vec g) {
    if (c->decays) g = vfma(c->decay, w, g);
    if (c->has_l1) g = vadd(g, vselect(veq(w, vzero()), vzero(), vcopysign(c->l1, w)));
    return g;
}

typedef vec step_along(const constants *c, states s, active on, vec g);

static ALWAYS_INLINE void move_vector(step_along *rule, const constants *c, stored *w, states s, active on,
                                      vec g) {
    vec weight = load(on, w), step = rule(c, s, on, penalised(c, weight, g));
    store(on, w, vfnma(c->lr, step, vmul(c->shrink, weight)));
}

#endif
