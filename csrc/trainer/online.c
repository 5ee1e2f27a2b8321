/* The online path: whole steps of one row through a net with no layer wider than a vector. Every layer is one
 * register. For such nets, the calls and blocks of the general step would cost many times the arithmetic.
 * Unlike the other files of trainer/, this one is compiled like a kernel: once per vector ISA and dtype. */
#include <math.h>

#include "vec.h"

#include "kernels/vector/activation_vectors.h"
#include "kernels/vector/move_vectors.h"
#include "platform/fp_mode.h"
#include "trainer/fields.h"
#include "trainer/gather.h"
#include "trainer/net.h"
#include "trainer/optimizer.h"

enum { ONLINE_LAYERS = 8 }; /* the most layers: their activations are in an array on the stack */

static int serves_request(const bpk_net *net, const bpk_run *run) {
    const bpk_data *data = &run->request.data;
    REFUSED(run, request.batch, run->request.batch != 1);
    REFUSED(run, request.data.x, !is_plain(net->kernels, &data->x));
    SERVED(run, request.data.labels);
    REFUSED(run, request.data.y, !data->labels && !is_plain(net->kernels, &data->y));
    REFUSED(run, request.data.weights, data->weights);
    SERVED(run, request.data.index);
    SERVED(run, request.data.rows);
    SERVED(run, request.data.source_rows);
    SERVED(run, request.threads); /* this path uses one */
    SERVED(run, request.seconds); /* limits calls of several threads */
    SERVED(run, request.stop);    /* its steps are short */
    SERVED(run, request.stop_context);
    REFUSED(run, request.shards, run->request.shards);
    SERVED(run, request.rates);
    SERVED(run, request.decays);
    SERVED(run, request.dropouts); /* dropout is refused below */
    SERVED(run, request.more);     /* concerns pending gradients */
    REFUSED(run, request.undoable, run->request.undoable);
    SERVED(run, request.mean_by_rows); /* one row of weight 1 counts 1 either way */
    SERVED(run, request.averaged);     /* of evaluation and prediction */
    SERVED(run, request.layers);       /* of prediction */
    REFUSED(run, request.outputs, run->request.outputs);
    SERVED(run, request.row_losses); /* of evaluation */
    return 1;
}

static int serves_update(const bpk_run *run) {
    const bpk_update_settings *update = &run->request.update;
    SERVED(run, request.update.optimizer.rule);
    SERVED(run, request.update.optimizer.lr);
    SERVED(run, request.update.optimizer.weight_decay);
    SERVED(run, request.update.optimizer.momentum);
    SERVED(run, request.update.optimizer.square_decay);
    SERVED(run, request.update.optimizer.eps);
    SERVED(run, request.update.optimizer.lr_decay);
    REFUSED(run, request.update.optimizer.dampening, update->optimizer.dampening != 0);
    SERVED(run, request.update.optimizer.momentum_decay);
    SERVED(run, request.update.optimizer.nesterov);
    SERVED(run, request.update.optimizer.centered);
    SERVED(run, request.update.optimizer.amsgrad);
    SERVED(run, request.update.optimizer.eps_hat);
    SERVED(run, request.update.optimizer.decoupled);
    REFUSED(run, request.update.optimizer.maximize, update->optimizer.maximize);
    REFUSED(run, request.update.l1, update->l1 != 0);
    REFUSED(run, request.update.l2, update->l2 != 0);
    SERVED(run, request.update.penalty_per_weight); /* there is no penalty */
    SERVED(run, request.update.clip_norm); /* refused with the two below: gradients would be stored */
    SERVED(run, request.update.clip_value);
    REFUSED(run, request.update.accumulate, bpk_stores_gradients(update));
    SERVED(run, request.update.average_decay); /* there is no average */
    SERVED(run, cursor.next);
    SERVED(run, cursor.batches); /* of shards */
    SERVED(run, cursor.updates);
    SERVED(run, cursor.pending.batches); /* always 0: gradients are not stored */
    SERVED(run, cursor.pending.weight);
    SERVED(run, cursor.total_weight); /* of bpk_gradients */
    SERVED(run, results.bad_row);
    SERVED(run, results.loss_sum);
    SERVED(run, results.accuracy_sum);
    SERVED(run, results.weight_sum);
    SERVED(run, results.bounded); /* refused with request.undoable */
    return 1;
}

static int serves_net(const bpk_net *net) {
    SERVED(net, kernels);
    SERVED(net, loss.loss);
    SERVED(net, loss.parameters); /* NULL in a net */
    SERVED(net, loss.smoothing);
    REFUSED(net, loss.loss_factor, net->loss.loss_factor != 1);
    REFUSED(net, loss.slope_factor, net->loss.slope_factor != 1);
    SERVED(net, loss.cap);
    SERVED(net, loss.deviance);
    SERVED(net, loss_parameters);
    REFUSED(net, input_dropout, net->input_dropout > 0);
    SERVED(net, dropout_key); /* dropout is refused below */
    SERVED(net, counts.updates);
    SERVED(net, counts.batches);
    SERVED(net, counts.moves);
    REFUSED(net, stores, net->stores[BPK_AVERAGE]);
    SERVED(net, saved); /* this and the next two are the snapshot's */
    SERVED(net, was_there);
    SERVED(net, saved_counts);
    REFUSED(net, has_groups, net->has_groups);
    SERVED(net, has_bounds); /* this and the next are of updates that can be undone */
    SERVED(net, updates_without);
    SERVED(net, size);
    SERVED(net, inputs); /* this and the next are refused with extra_size */
    SERVED(net, extra);
    REFUSED(net, extra_size, net->extra_size > 0);
    SERVED(net, compressed); /* never trained */
    REFUSED(net, count, net->count > ONLINE_LAYERS);
    return 1;
}

static int serves_layer(const net_layer *layer) {
    REFUSED(layer, in, layer->in > VEC);
    REFUSED(layer, out, layer->out > VEC);
    SERVED(layer, width);
    REFUSED(layer, activation, bpk_needs_z(layer->activation));
    REFUSED(layer, parametric, layer->parametric);
    SERVED(layer, parameter);
    SERVED(layer, mixes); /* this and the next two are refused with net.extra_size */
    SERVED(layer, mix);
    SERVED(layer, mix_group);
    REFUSED(layer, dropout, layer->dropout > 0);
    SERVED(layer, narrow); /* no layer of such a net is narrow (net.c) */
    SERVED(layer, pairs);  /* of compressed nets */
    SERVED(layer, rows);
    SERVED(layer, columns);
    SERVED(layer, w);
    SERVED(layer, b);
    SERVED(layer, groups); /* refused with net.has_groups */
    SERVED(layer, norms);  /* these two are bounds of updates that can be undone */
    SERVED(layer, after);
    return 1;
}

static int serves(const bpk_net *net, const bpk_run *run) {
    if (!serves_request(net, run) || !serves_update(run) || !serves_net(net)) return 0;
    for (int l = 0; l < net->count; l++)
        if (!serves_layer(&net->layers[l])) return 0;
    return 1;
}

/* s(z), and s' from a, of the activations that this path serves: as activation_vector and derivative_vector,
 * whose other cases would only be code. */
static ALWAYS_INLINE vec online_activation(bpk_activation activation, vec z) {
    switch (activation) {
#define VALUE(NAME, name) \
    case BPK_##NAME: return name##_value(z);
        BPK_ACTIVATIONS_OF_A(VALUE)
#undef VALUE
        default: return z;
    }
}

static ALWAYS_INLINE vec online_derivative(bpk_activation activation, vec a) {
    switch (activation) {
#define DERIVATIVE(NAME, name) \
    case BPK_##NAME: return name##_derivative(a);
        BPK_ACTIVATIONS_OF_A(DERIVATIVE)
#undef DERIVATIVE
        default: return a;
    }
}

/* a (out) = s(x (in) W (in, out) + b (out)). W is one block: its row k begins at element k VEC. */
static ALWAYS_INLINE vec layer_forward(const net_layer *layer, const real *x) {
    const real *w = layer->w;
    vec even = vload(layer->b), odd = vzero();
    ptrdiff_t k = 0;
    for (; k + 2 <= layer->in; k += 2) {
        even = vfma(vset1(x[k]), vload(w + k * VEC), even);
        odd = vfma(vset1(x[k + 1]), vload(w + (k + 1) * VEC), odd);
    }
    if (k < layer->in) even = vfma(vset1(x[k]), vload(w + k * VEC), even);
    return online_activation(layer->activation, vadd(even, odd));
}

/* How parameters move: SGD is computed in registers from `constants`, the other optimisers by the kernel
 * `move`. */
typedef struct {
    const bpk_net *net;
    int is_sgd;
    void *stores[BPK_STATES]; /* the optimiser's states; NULL if it does not use the state */
} mover;

/* Moves the VEC parameters at w along their gradient. */
static ALWAYS_INLINE void move_one(mover mover, const constants *c, const bpk_move *move, real *w,
                                   vec gradient) {
    if (mover.is_sgd) {
        const states velocity = {.m = counterpart(mover.net, mover.stores[0], w)};
        vec weight = vload(w), step;
        if (c->decays) gradient = vfma(c->decay, weight, gradient);
        step = sgd(c, velocity, VEC, gradient);
        vstore(w, vfnma(c->lr, step, weight));
        return;
    }
    void *state[BPK_STATES];
    real row[VEC];
    for (int i = 0; i < BPK_STATES; i++) state[i] = counterpart(mover.net, mover.stores[i], w);
    vstore(row, gradient);
    BPK_NAME(move)(move, VEC, row, w, state);
}

/* delta W' (in), in the first lanes; the others are zero. lane[k] is the mask of lane k alone. The result is
 * collected in a register, because loading a vector just stored lane by lane waits for all the stores. */
static ALWAYS_INLINE vec layer_delta(const net_layer *layer, const vmask lane[VEC], vec delta) {
    const real *w = layer->w;
    if (layer->in <= 4) {
        vec products[4];
        UNROLL
        for (ptrdiff_t k = 0; k < 4; k++)
            products[k] = k < layer->in ? vmul(delta, vload(w + k * VEC)) : vzero();
        return vsum_four(products, layer->out);
    }
    vec below = vzero();
    for (ptrdiff_t k = 0; k < layer->in; k++)
        below = vselect(lane[k], vset1(vsum(vmul(delta, vload(w + k * VEC)))), below);
    return below;
}

/* Updates W (in, out) and b (out) of a layer from its input x (in) and delta (out). */
static ALWAYS_INLINE void layer_update(const net_layer *layer, mover mover, const constants *c,
                                       const bpk_move *move, const real *x, vec delta) {
    for (ptrdiff_t k = 0; k < layer->in; k++)
        move_one(mover, c, move, (real *)layer->w + k * VEC, vmul(vset1(x[k]), delta));
    move_one(mover, c, move, layer->b, delta);
}

/* The losses mse and squared_error of outputs a (n) with targets t (n): returns the loss, and delta (n) is
 * its derivative. These two stay in registers, because a detour through memory would take as long as the rest
 * of the step. */
static ALWAYS_INLINE double squared_loss(bpk_loss loss, vec a, vec t, double n, vec *delta) {
    double factor = loss == BPK_MSE ? 2 / n : 1;
    vec difference = vsub(a, t);
    *delta = vmul(vset1((real)factor), difference);
    return (double)vsum(vmul(difference, difference)) * factor / 2;
}

/* The padding of every delta is zero, so the padding of W and b stays zero: the last delta is masked by
 * `out`, and layer_delta sets only the lanes of inputs. Biases move like weights, because penalties are
 * refused. is_sgd is a compile-time constant: specialised for SGD, the loop keeps its state in registers. */
static ALWAYS_INLINE bpk_status one_by_one(const bpk_net *net, bpk_run *run, ptrdiff_t steps, int is_sgd) {
    const bpk_request *request = &run->request;
    const bpk_data data = request->data; /* a copy, which no store can change: it stays in registers */
    bpk_cursor *cursor = &run->cursor;
    bpk_results *results = &run->results;
    const net_layer *first = &net->layers[0], *last = &net->layers[net->count - 1];
    mover mover = {.net = net, .is_sgd = is_sgd};
    for (int i = 0; i < BPK_STATES; i++)
        if (bpk_uses(&request->update.optimizer, BPK_M + i)) mover.stores[i] = net->stores[BPK_M + i];
    bpk_counts counts = net->counts;
    if (steps <= 0 || cursor->next >= data.rows) return BPK_OK; /* there is no rate for another update */
    moves moves;
    next_moves(request, counts, cursor->updates, 1, &moves);
    constants c = constants_of(&moves.weights);
    const int new_moves = !is_sgd || request->rates || request->decays;
    const int is_squares = net->loss.loss == BPK_MSE || net->loss.loss == BPK_SQUARED_ERROR;
    const double unit = 1;
    const vec largest = vset1(REAL_MAX);
    const vmask out = vtail(last->out);
    real a[ONLINE_LAYERS + 1][VEC], delta[VEC];
    double row_loss, row_accuracy = 0;
    int64_t label;
    const void *targets;
    bpk_loss_args loss = {.settings = &net->loss,
                          .parameters = net->loss_parameters,
                          .m = 1,
                          .n = last->out,
                          .a = a[net->count],
                          .labels = data.labels ? &label : NULL,
                          .targets = &targets,
                          .scale = &unit,
                          .delta = delta,
                          .row_loss = &row_loss,
                          .row_accuracy = &row_accuracy};
    vmask lane[VEC];
    for (int k = 0; k < VEC; k++) lane[k] = vlane(k);
    for (; steps > 0 && cursor->next < data.rows; steps--) {
        ptrdiff_t row = row_at(&data, cursor->next);
        if (row < 0) {
            results->bad_row = (ptrdiff_t)number_at(&data, cursor->next);
            return BPK_BAD_ROW;
        }
        vec t = vzero(), x = vload_first((const stored *)(data.x.data + row * data.x.row_stride), first->in);
        int finite = vall(vle(vabs(x), largest));
        if (data.labels) {
            label = label_of(&data, row, last->out);
            finite &= label >= 0;
        } else {
            targets = data.y.data + row * data.y.row_stride;
            t = vload_first(targets, last->out);
            finite &= vall(vle(vabs(t), largest));
        }
        if (!finite) {
            results->bad_row = row;
            return BPK_BAD_ROW;
        }
        vstore(a[0], x);
        for (int l = 0; l < net->count; l++) vstore(a[l + 1], layer_forward(&net->layers[l], a[l]));
        vec y = vload(a[net->count]), d;
        if (is_squares) {
            d = vselect(out, y, vzero());
            row_loss = squared_loss(net->loss.loss, d, t, (double)last->out, &d);
        } else {
            BPK_NAME(loss)(&loss);
            d = vload_first(delta, last->out);
        }
        if (!isfinite(row_loss)) return BPK_DIVERGED;

        if (new_moves) {
            ptrdiff_t updates = cursor->updates + counts.updates - net->counts.updates;
            next_moves(request, counts, updates, 1, &moves);
            c = constants_of(&moves.weights);
        }
        d = vmul(d, online_derivative(last->activation, y));
        for (int l = net->count - 1; l > 0; l--) {
            vec below = layer_delta(&net->layers[l], lane, d);
            layer_update(&net->layers[l], mover, &c, &moves.weights, a[l], d);
            d = vmul(below, online_derivative(net->layers[l - 1].activation, vload(a[l])));
        }
        layer_update(first, mover, &c, &moves.weights, a[0], d);
        results->loss_sum += row_loss;
        results->accuracy_sum += row_accuracy;
        results->weight_sum += 1;
        counts.updates++;
        counts.moves++;
        cursor->next++;
    }
    return BPK_OK;
}

int BPK_NAME(online)(bpk_net *net, bpk_run *run, ptrdiff_t steps, bpk_status *status) {
    if (!serves(net, run)) return 0;
    fp_mode mode = fp_enter();
    ptrdiff_t before = run->cursor.next;
    *status = run->request.update.optimizer.rule == BPK_SGD ? one_by_one(net, run, steps, 1)
                                                            : one_by_one(net, run, steps, 0);
    ptrdiff_t done = run->cursor.next - before;
    run->cursor.updates += done;
    net->counts.updates += done;
    net->counts.moves += done;
    net->counts.batches += done;
    fp_leave(mode);
    return 1;
}
