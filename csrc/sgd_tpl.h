/* What SGD does with a vector of a gradient. */
#ifndef BPK_SGD_TPL_H
#define BPK_SGD_TPL_H

/* Without weight decay the weights are left out of the step, so that an infinite one makes no NaN. */
static ALWAYS_INLINE void sgd_vector(const bpk_sgd *sgd, real *w, real *v, vmask m, vec gradient) {
    vec weight = vmload(m, w), step = gradient;
    if (sgd->weight_decay != 0) step = vfma(vset1((real)sgd->weight_decay), weight, step);
    if (v) {
        vec momentum = vset1((real)sgd->momentum), velocity = vfma(momentum, vmload(m, v), step);
        vmstore(v, m, velocity);
        step = sgd->nesterov ? vfma(momentum, velocity, step) : velocity;
    }
    vmstore(w, m, vfnma(vset1((real)sgd->lr), step, weight));
}

#endif
