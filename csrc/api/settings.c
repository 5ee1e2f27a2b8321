/* Training and data: the defaults and ranges of what callers set. */
#include "api/api.h"

#include <math.h>

/* The sizes in revision 1 of the header: those of the oldest callers. */
enum {
    LEAST_DATA = API_SIZE_UP_TO(bpkern_data, weights),
    LEAST_TRAINING = API_SIZE_UP_TO(bpkern_training, stop_context)
};

static int rule_is_adam(bpkern_rule rule) {
    return rule == BPKERN_ADAM || rule == BPKERN_ADAMW || rule == BPKERN_NADAM;
}

bpkern_status bpkern_training_init(bpkern_training *training, size_t size, bpkern_rule rule) {
    if (!training) return BPKERN_NULL_POINTER;
    if (!api_is_size(size, LEAST_TRAINING)) return BPKERN_BAD_SIZE;
    if (!api_is_rule((int)rule)) return BPKERN_BAD_NAME;
    const int is_adam = rule_is_adam(rule);
    const bpkern_training own = {.size = size,
                                 .rule = rule,
                                 .shuffle = 1,
                                 .lr = rule == BPKERN_NADAM ? 0.002
                                       : is_adam            ? 0.001
                                                            : 0.01,
                                 .weight_decay = rule == BPKERN_ADAMW ? 0.01 : 0,
                                 .momentum = is_adam ? 0.9 : 0,
                                 .square_decay = is_adam ? 0.999 : 0.99,
                                 .eps = rule == BPKERN_ADAGRAD ? 1e-10 : 1e-8,
                                 .clip_norm = INFINITY,
                                 .clip_value = INFINITY,
                                 .epochs = 1,
                                 .batch = 32,
                                 .momentum_decay = rule == BPKERN_NADAM ? 0.004 : 0};
    api_write(training, size, &own, sizeof own);
    return BPKERN_OK;
}

static int is_at_least_0(double x) { return x >= 0 && isfinite(x); }
static int is_fraction(double x) { return x >= 0 && x <= 1; }

/* Whether all numbers of the settings are in their ranges. A first or second beta of 1 would divide by 0. */
static int has_good_values(const bpkern_training *t) {
    return is_at_least_0(t->lr) && is_at_least_0(t->weight_decay) && is_at_least_0(t->eps) &&
           is_at_least_0(t->lr_decay) && is_at_least_0(t->l1) && is_at_least_0(t->l2) &&
           is_fraction(t->momentum) && is_fraction(t->square_decay) &&
           !(rule_is_adam(t->rule) && (t->momentum == 1 || t->square_decay == 1)) &&
           is_fraction(t->dampening) && is_at_least_0(t->momentum_decay) &&
           !(t->rule == BPKERN_SGD && t->nesterov && (t->momentum == 0 || t->dampening != 0)) &&
           t->clip_norm > 0 && t->clip_value > 0;
}

bpkern_status api_read_training(bpkern_training *t, const bpkern_training *given,
                                bpk_update_settings *update) {
    if (!given) return BPKERN_NULL_POINTER;
    bpkern_status bad = api_read(t, sizeof *t, LEAST_TRAINING, given);
    if (bad) return bad;
    if (!api_is_rule((int)t->rule)) return BPKERN_BAD_NAME;
    if (t->epochs < 0 || t->batch < 1 || !api_are_threads(t->threads)) return BPKERN_BAD_SIZE;
    if (!has_good_values(t)) return BPKERN_BAD_VALUE;
    *update = (bpk_update_settings){.optimizer = {.rule = api_rules[t->rule],
                                                  .lr = t->lr,
                                                  .weight_decay = t->weight_decay,
                                                  .momentum = t->momentum,
                                                  .square_decay = t->square_decay,
                                                  .eps = t->eps,
                                                  .lr_decay = t->lr_decay,
                                                  .dampening = t->dampening,
                                                  .momentum_decay = t->momentum_decay,
                                                  .nesterov = t->nesterov != 0,
                                                  .centered = t->centered != 0,
                                                  .amsgrad = t->amsgrad != 0,
                                                  .decoupled = t->decoupled != 0,
                                                  .maximize = t->maximize != 0},
                                    .l1 = t->l1,
                                    .l2 = t->l2,
                                    .clip_norm = t->clip_norm,
                                    .clip_value = t->clip_value,
                                    .accumulate = 1};
    return BPKERN_OK;
}

static int are_weights(const double *weights, ptrdiff_t n) {
    double sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (!is_at_least_0(weights[i])) return 0;
        sum += weights[i];
    }
    return sum > 0 && isfinite(sum);
}

bpk_source api_source(const bpk_net *net, const void *x, ptrdiff_t ld, ptrdiff_t columns) {
    const ptrdiff_t size = (ptrdiff_t)net->kernels->real_size;
    return (bpk_source){.data = x,
                        .type = net->kernels->dtype == BPK_F64 ? BPK_DOUBLE : BPK_FLOAT,
                        .columns = columns,
                        .row_stride = ld * size,
                        .column_stride = size};
}

bpkern_status api_read_data(const bpk_net *net, const bpkern_data *given, bpk_data *data) {
    bpkern_data own;
    if (!given) return BPKERN_NULL_POINTER;
    bpkern_status bad = api_read(&own, sizeof own, LEAST_DATA, given);
    if (bad) return bad;
    const ptrdiff_t inputs = net->layers[0].in, outputs = last_layer(net)->out;
    if (own.n < 1) return BPKERN_BAD_SIZE;
    if ((bad = api_check_matrix(own.n, inputs, own.x, own.ldx))) return bad;
    if (own.labels && (own.y || net->loss.loss != BPK_CROSS_ENTROPY)) return BPKERN_BAD_VALUE;
    if (!own.labels && (bad = api_check_matrix(own.n, outputs, own.y, own.ldy))) return bad;
    if (own.weights && !are_weights(own.weights, own.n)) return BPKERN_BAD_VALUE;
    *data = (bpk_data){.x = api_source(net, own.x, own.ldx, inputs),
                       .labels = own.labels,
                       .weights = own.weights,
                       .rows = own.n,
                       .source_rows = own.n};
    if (!own.labels) data->y = api_source(net, own.y, own.ldy, outputs);
    return BPKERN_OK;
}
