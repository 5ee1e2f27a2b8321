/* What each optimiser does with a vector of a gradient; the formulas stand in bpkern.h. */
#ifndef BPK_MOVE_VECTORS_TPL_H
#define BPK_MOVE_VECTORS_TPL_H

#include <math.h>

/* What a move says, once in every lane. */
typedef struct {
    vec scale, limit, decay, l1, shrink, lr, momentum, fresh, fresh_square, eps, correction;
    int nesterov, centered, amsgrad, decays, has_l1;
} constants;

/* 1 - decay, rounded once: of the rounded decay it would be wrong in the digits that decay near 1 has lost.
 */
static ALWAYS_INLINE vec fresh_part(double decay) { return vset1((real)(1 - decay)); }

static ALWAYS_INLINE constants constants_of(const bpk_move *move) {
    return (constants){.scale = vset1((real)move->scale),
                       .limit = vset1((real)move->limit),
                       .decay = vset1((real)move->decay),
                       .l1 = vset1((real)move->l1),
                       .shrink = vset1((real)move->shrink),
                       .lr = vset1((real)move->lr),
                       .momentum = vset1((real)move->momentum),
                       .fresh = fresh_part(move->momentum),
                       .fresh_square = fresh_part(move->square_decay),
                       .eps = vset1((real)move->eps),
                       .correction = vset1((real)(1 / move->correction)),
                       .nesterov = move->nesterov,
                       .centered = move->centered,
                       .amsgrad = move->amsgrad,
                       .decays = move->decay != 0,
                       .has_l1 = move->l1 != 0};
}

/* The states at one place, each NULL where the optimiser does not use it. */
typedef struct {
    real *m, *v, *u;
} states;

static ALWAYS_INLINE states states_at(void *const state[BPK_STATES], ptrdiff_t j) {
    real *m = state[0], *v = state[1], *u = state[2];
    return (states){m ? m + j : NULL, v ? v + j : NULL, u ? u + j : NULL};
}

/* (1 - fresh) a + fresh b, as a step from a towards b: exact where they are equal. */
static ALWAYS_INLINE vec towards(vec fresh, vec a, vec b) { return vfma(fresh, vsub(b, a), a); }

/* x / (sqrt(v) correction + eps). A divisor of zero, where a gradient was never anything else, makes no NaN.
 */
static ALWAYS_INLINE vec over_root(const constants *c, vec x, vec v) {
    vec root = vfma(vsqrt(v), c->correction, c->eps);
    return vdiv(x, vmax(vset1(REAL_MIN), root));
}

/* The lanes that there are: all of them, or those of the mask. */
typedef struct {
    int all;
    vmask mask;
} lanes;

static ALWAYS_INLINE vec load(lanes on, const real *p) { return on.all ? vload(p) : vmload(on.mask, p); }
static ALWAYS_INLINE void store(lanes on, real *p, vec x) {
    if (on.all)
        vstore(p, x);
    else
        vmstore(p, on.mask, x);
}

/* Each returns the step, and writes the states. */
static ALWAYS_INLINE vec sgd(const constants *c, states s, lanes on, vec g) {
    if (!s.m) return g;
    vec velocity = vfma(c->momentum, load(on, s.m), g);
    store(on, s.m, velocity);
    return c->nesterov ? vfma(c->momentum, velocity, g) : velocity;
}

static ALWAYS_INLINE vec rmsprop(const constants *c, states s, lanes on, vec g) {
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

static ALWAYS_INLINE vec adagrad(const constants *c, states s, lanes on, vec g) {
    vec v = vfma(g, g, load(on, s.v));
    store(on, s.v, v);
    return over_root(c, g, v);
}

static ALWAYS_INLINE vec adam(const constants *c, states s, lanes on, vec g) {
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

/* Without decay the weights are left out of the gradient, so that an infinite one makes no NaN. */
static ALWAYS_INLINE vec penalised(const constants *c, vec w, vec g) {
    if (c->decays) g = vfma(c->decay, w, g);
    if (c->has_l1) g = vadd(g, vselect(veq(w, vzero()), vzero(), vcopysign(c->l1, w)));
    return g;
}

typedef vec step_along(const constants *c, states s, lanes on, vec g);

static ALWAYS_INLINE void move_vector(step_along *rule, const constants *c, real *w, states s, lanes on,
                                      vec g) {
    vec weight = load(on, w), step = rule(c, s, on, penalised(c, weight, g));
    store(on, w, vfnma(c->lr, step, vmul(c->shrink, weight)));
}

#endif
