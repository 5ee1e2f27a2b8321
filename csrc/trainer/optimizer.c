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

void next_moves(const bpk_request *request, bpk_counts counts, ptrdiff_t updates, double weight,
                moves *next) {
    const bpk_update_settings *update = &request->update;
    const bpk_optimizer *o = &update->optimizer;
    const double rate = request->rates ? request->rates[updates] : o->lr, t = (double)counts.moves + 1;
    const double weight_decay = request->decays ? request->decays[updates] : o->weight_decay;
    double lr = rate, eps = o->eps, correction = 1, gradient_part = 0, mean_part = 0, penalty = 0, l1 = 0;
    if (o->rule == BPK_ADAGRAD) lr /= 1 + (t - 1) * o->lr_decay;
    if (is_adam(o)) {
        lr /= 1 - pow(o->momentum, t);
        correction = sqrt(1 - pow(o->square_decay, t));
        /* sqrt(v) / correction + eps / correction is (sqrt(v) + eps) / correction. */
        if (o->eps_hat) eps /= correction;
    }
    if (o->rule == BPK_NADAM) {
        const double now = nadam_momentum(o, t), after = nadam_momentum(o, t + 1),
                     product = nadam_product(o, t);
        correction = sqrt(1 - pow(o->square_decay, t));
        gradient_part = (1 - now) / (1 - product);
        mean_part = after / (1 - product * after);
    }
    if (!bpk_stores_gradients(update)) { /* otherwise step_spend adds the penalties to the stored gradients */
        double part = penalty_part(update, weight);
        penalty = 2 * update->l2 * part; /* the gradient of l2 sum W^2 is 2 l2 W */
        l1 = update->l1 * part;
    }
    const double decay = is_decoupled(o) ? 0 : weight_decay;
    /* Every member is named, for both: clearing a move first, or copying one that was just written, takes
     * longer than all else here. */
    for (int kind = 0; kind < BPK_N_KINDS; kind++) {
        bpk_move *move = kind == BPK_WEIGHTS ? &next->weights : &next->biases;
        *move = (bpk_move){.optimizer = *o,
                           .scale = 1,
                           .limit = INFINITY,
                           .decay = kind == BPK_WEIGHTS ? decay + penalty : decay,
                           .l1 = kind == BPK_WEIGHTS ? l1 : 0,
                           .shrink = is_decoupled(o) ? 1 - rate * weight_decay : 1,
                           .lr = lr,
                           .eps = eps,
                           .correction = correction,
                           .dampening = t > 1 ? o->dampening : 0,
                           .gradient_part = gradient_part,
                           .mean_part = mean_part};
        move->optimizer.lr = rate; /* these two for group_move */
        move->optimizer.weight_decay = weight_decay;
    }
    next->penalty = penalty;
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
