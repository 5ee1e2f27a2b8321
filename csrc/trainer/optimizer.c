/* From an optimiser's settings to the numbers of one update. */
#include <math.h>

#include "trainer/optimizer.h"

/* Whether weight decay is no part of the gradient. */
static int is_decoupled(const bpk_optimizer *o) {
    return o->rule == BPK_ADAMW || (o->rule == BPK_NADAM && o->decoupled);
}

static int is_adam(const bpk_optimizer *o) { return o->rule == BPK_ADAM || o->rule == BPK_ADAMW; }

/* p_t of nadam. */
static double nadam_momentum(const bpk_optimizer *o, double t) {
    return o->momentum * (1 - 0.5 * pow(0.96, t * o->momentum_decay));
}

/* P_t of nadam: a function of the settings and t, so that no file need hold it. It only occurs in 1 - P_t,
 * and the product ends where that is 1: with the default momentum_decay after 60 factors, and without any if
 * even momentum^t is so small. With a larger one, all factors after number 917 / momentum_decay are
 * `momentum`: 0.96^917 is below 2^-54, and half of it does not change 1. */
static double nadam_product(const bpk_optimizer *o, double t) {
    const double least = 0x1p-60;
    double product = 1;
    if (pow(o->momentum, t) < least) return 0;
    for (double i = 1; i <= t && product >= least; i++) {
        if (i * o->momentum_decay > 917) return product * pow(o->momentum, t - i + 1);
        product *= nadam_momentum(o, i);
    }
    return product;
}

int bpk_uses(const bpk_optimizer *o, bpk_store store) {
    switch (store) {
        case BPK_M: return is_adam(o) || o->rule == BPK_NADAM || (o->rule != BPK_ADAGRAD && o->momentum != 0);
        case BPK_V: return o->rule != BPK_SGD;
        case BPK_U: return (o->rule == BPK_RMSPROP && o->centered) || (is_adam(o) && o->amsgrad);
        default: return 0;
    }
}

moves next_moves(const bpk_request *request, bpk_counts counts, ptrdiff_t updates, double weight) {
    const bpk_update_settings *update = &request->update;
    const bpk_optimizer *o = &update->optimizer;
    double lr = request->rates ? request->rates[updates] : o->lr, t = (double)counts.moves + 1;
    double weight_decay = request->decays ? request->decays[updates] : o->weight_decay;
    bpk_move move = {.optimizer = *o,
                     .scale = 1,
                     .limit = INFINITY,
                     .decay = is_decoupled(o) ? 0 : weight_decay,
                     .shrink = is_decoupled(o) ? 1 - lr * weight_decay : 1,
                     .lr = lr,
                     .eps = o->eps,
                     .correction = 1,
                     .dampening = t > 1 ? o->dampening : 0};
    move.optimizer.lr = lr; /* these two for group_move */
    move.optimizer.weight_decay = weight_decay;
    if (o->rule == BPK_ADAGRAD) move.lr /= 1 + (t - 1) * o->lr_decay;
    if (is_adam(o)) {
        move.lr /= 1 - pow(o->momentum, t);
        move.correction = sqrt(1 - pow(o->square_decay, t));
        /* sqrt(v) / correction + eps / correction is (sqrt(v) + eps) / correction. */
        if (o->eps_hat) move.eps /= move.correction;
    }
    if (o->rule == BPK_NADAM) {
        const double now = nadam_momentum(o, t), next = nadam_momentum(o, t + 1),
                     product = nadam_product(o, t);
        move.correction = sqrt(1 - pow(o->square_decay, t));
        move.gradient_part = (1 - now) / (1 - product);
        move.mean_part = next / (1 - product * next);
    }
    moves both = {move, move, 0};
    if (!bpk_stores_gradients(update)) { /* otherwise step_spend adds the penalties to the stored gradients */
        double part = penalty_part(update, weight);
        both.penalty = 2 * update->l2 * part; /* the gradient of l2 sum W^2 is 2 l2 W */
        both.weights.decay += both.penalty;
        both.weights.l1 = update->l1 * part;
    }
    return both;
}

/* As an optimiser whose learning rate and weight decay are multiplied by the group's factors. */
bpk_move group_move(const bpk_move *move, const bpk_group *group, double penalty) {
    const bpk_optimizer *o = &move->optimizer;
    bpk_move own = *move;
    own.lr *= group->lr;
    if (is_decoupled(o))
        own.shrink = 1 - o->lr * group->lr * (o->weight_decay * group->decay);
    else
        own.decay = o->weight_decay * group->decay + penalty;
    return own;
}

moves layer_moves(const moves *all, const bpk_group groups[BPK_N_KINDS]) {
    return (moves){.weights = group_move(&all->weights, &groups[BPK_WEIGHTS], all->penalty),
                   .biases = group_move(&all->biases, &groups[BPK_BIASES], 0),
                   .penalty = all->penalty};
}

moves adding(double factor) {
    const bpk_move add = {.optimizer = {.rule = BPK_SGD},
                          .scale = 1,
                          .limit = INFINITY,
                          .shrink = 1,
                          .lr = -factor,
                          .correction = 1};
    return (moves){add, add, 0};
}
