/* The optimisers' settings, worked into how parameters move at one update. */
#include <math.h>

#include "net.h"

int bpk_uses(const bpk_optimizer *o, bpk_store store) {
    switch (store) {
        case BPK_M: return o->rule == BPK_ADAM || (o->rule != BPK_ADAGRAD && o->momentum != 0);
        case BPK_V: return o->rule != BPK_SGD;
        case BPK_U: return (o->rule == BPK_RMSPROP && o->centered) || (o->rule == BPK_ADAM && o->amsgrad);
        default: return 0;
    }
}

moves next_moves(const bpk_run *run, bpk_counts counts, ptrdiff_t updates, double weight) {
    const bpk_optimizer *o = &run->optimizer;
    double lr = run->rates ? run->rates[updates] : o->lr, t = (double)counts.moves + 1;
    bpk_move move = {.rule = o->rule,
                     .nesterov = o->nesterov,
                     .centered = o->centered,
                     .amsgrad = o->amsgrad,
                     .scale = 1,
                     .limit = INFINITY,
                     .decay = o->weight_decay,
                     .shrink = 1 - lr * o->decoupled_decay,
                     .lr = lr,
                     .momentum = o->momentum,
                     .square_decay = o->square_decay,
                     .eps = o->eps,
                     .correction = 1};
    if (o->rule == BPK_ADAGRAD) move.lr /= 1 + (t - 1) * o->lr_decay;
    if (o->rule == BPK_ADAM) {
        move.lr /= 1 - pow(o->momentum, t);
        move.correction = sqrt(1 - pow(o->square_decay, t));
        /* sqrt(v) / correction + eps / correction is (sqrt(v) + eps) / correction. */
        if (o->eps_hat) move.eps /= move.correction;
    }
    moves both = {move, move};
    if (!bpk_stores_gradients(run)) {
        double part = penalty_part(run, weight);
        both.weights.decay += 2 * run->l2 * part; /* the penalty l2 sum W^2 has the gradient 2 l2 W */
        both.weights.l1 = run->l1 * part;
    }
    return both;
}
