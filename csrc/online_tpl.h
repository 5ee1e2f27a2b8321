/* Steps of one row through a net none of whose layers is wider than a vector: there the calls and the blocks
 * of the general step would cost many times the arithmetic. Every layer is one register. */
#include <math.h>

#include "activation_vectors_tpl.h"
#include "move_vectors_tpl.h"
#include "net.h"

/* The rows of W that belong to the columns of a layer's input are VEC apart: one block holds them all. */
static ALWAYS_INLINE vec layer_forward(const net_layer *layer, const real *x) {
    const real *w = layer->w;
    vec even = vload(layer->b), odd = vzero();
    ptrdiff_t k = 0;
    for (; k + 2 <= layer->in; k += 2) {
        even = vfma(vset1(x[k]), vload(w + k * VEC), even);
        odd = vfma(vset1(x[k + 1]), vload(w + (k + 1) * VEC), odd);
    }
    if (k < layer->in) even = vfma(vset1(x[k]), vload(w + k * VEC), even);
    return activation_vector(layer->activation, vadd(even, odd));
}

/* How all parameters move. SGD is made of `constants` in registers, the others go through memory. */
typedef struct {
    const bpk_net *net;
    int is_sgd;
    void *stores[BPK_STATES]; /* NULL where the optimiser does not use one */
} mover;

static ALWAYS_INLINE void move_one(mover mover, const constants *c, const bpk_move *move, real *w,
                                   vec gradient) {
    if (mover.is_sgd) {
        const states velocity = {.m = beside(mover.net, mover.stores[0], w)};
        vec weight = vload(w), step;
        if (c->decays) gradient = vfma(c->decay, weight, gradient);
        step = sgd(c, velocity, (lanes){.all = 1}, gradient);
        vstore(w, vfnma(c->lr, step, weight));
        return;
    }
    void *state[BPK_STATES];
    real row[VEC];
    for (int i = 0; i < BPK_STATES; i++) state[i] = beside(mover.net, mover.stores[i], w);
    vstore(row, gradient);
    BPK_NAME(move)(move, VEC, row, w, state);
}

/* The sums over the layer's outputs of delta W, a lane for each column of the layer's input, and the update
 * of W after it has been read for them. They stay in registers: a vector cannot be loaded from the stores of
 * its lanes without waiting for all of them. */
static ALWAYS_INLINE vec layer_backward(const net_layer *layer, mover mover, const constants *c,
                                        const bpk_move *move, const vmask lane[VEC], const real *x, vec delta,
                                        int is_first) {
    real *w = layer->w;
    vec below = vzero();
    for (ptrdiff_t k = 0; k < layer->in; k++) {
        if (!is_first) below = vselect(lane[k], vset1(vsum(vmul(delta, vload(w + k * VEC)))), below);
        move_one(mover, c, move, w + k * VEC, vmul(vset1(x[k]), delta));
    }
    move_one(mover, c, move, layer->b, delta);
    return below;
}

/* The loss of outputs a against targets t, and its derivative: the two that are plain squares here, for the
 * detour through memory would take as long as the rest of the step. */
static ALWAYS_INLINE double squares(bpk_loss loss, vec a, vec t, double n, vec *delta) {
    double factor = loss == BPK_MSE ? 2 / n : 1;
    vec difference = vsub(a, t);
    *delta = vmul(vset1((real)factor), difference);
    return (double)vsum(vmul(difference, difference)) * factor / 2;
}

/* The padding of the deltas is zero: by `out`, or because that of W is. `is_sgd` is a constant here: with it
 * the registers are enough for what SGD asks for. */
static ALWAYS_INLINE bpk_status one_by_one(const bpk_net *net, bpk_run *run, ptrdiff_t steps, int is_sgd) {
    const bpk_data *data = &run->data;
    const net_layer *first = &net->layers[0], *last = &net->layers[net->count - 1];
    mover mover = {.net = net, .is_sgd = is_sgd};
    for (int i = 0; i < BPK_STATES; i++)
        if (bpk_uses(&run->optimizer, BPK_M + i)) mover.stores[i] = net->stores[BPK_M + i];
    bpk_counts counts = net->counts;
    bpk_move move = next_moves(run, counts, run->updates, 1).weights;
    constants c = constants_of(&move);
    const int is_squares = net->loss == BPK_MSE || net->loss == BPK_SQUARED_ERROR;
    const double unit = 1;
    const vec most = vset1(REAL_MAX);
    const vmask in = vtail(first->in), out = vtail(last->out);
    real a[ONLINE_LAYERS + 1][VEC], delta[VEC];
    double row_loss, row_accuracy = 0;
    bpk_loss_args loss = {.loss = net->loss,
                          .parameters = net->loss_parameters,
                          .smoothing = net->smoothing,
                          .most = net->most,
                          .deviance = net->deviance,
                          .m = 1,
                          .n = last->out,
                          .a = a[net->count],
                          .scale = &unit,
                          .delta = delta,
                          .row_loss = &row_loss,
                          .row_accuracy = &row_accuracy};
    vmask lane[VEC];
    for (int k = 0; k < VEC; k++) lane[k] = vlane(k);
    for (; steps > 0 && run->next < data->rows; steps--) {
        ptrdiff_t row = row_of(data->index, run->next);
        vec t = vzero(), x = vmload(in, (const real *)(data->x.data + row * data->x.row_stride));
        int finite = vall(vle(vabs(x), most));
        if (data->labels) {
            loss.labels = data->labels + row;
        } else {
            loss.targets = data->y.data + row * data->y.row_stride;
            t = vmload(out, loss.targets);
            finite &= vall(vle(vabs(t), most));
        }
        if (!finite) {
            run->bad_row = row;
            return BPK_BAD_ROW;
        }
        vstore(a[0], x);
        for (int l = 0; l < net->count; l++) vstore(a[l + 1], layer_forward(&net->layers[l], a[l]));
        vec y = vload(a[net->count]), d;
        if (is_squares) {
            d = vselect(out, y, vzero());
            row_loss = squares(net->loss, d, t, (double)last->out, &d);
        } else {
            BPK_NAME(loss)(&loss);
            d = vmload(out, delta);
        }
        if (!isfinite(row_loss)) return BPK_DIVERGED;

        if (!is_sgd || run->rates) {
            move = next_moves(run, counts, run->updates + counts.updates - net->counts.updates, 1).weights;
            c = constants_of(&move);
        }
        d = vmul(d, derivative_vector(last->activation, y));
        for (int l = net->count - 1; l > 0; l--) {
            d = layer_backward(&net->layers[l], mover, &c, &move, lane, a[l], d, 0);
            d = vmul(d, derivative_vector(net->layers[l - 1].activation, vload(a[l])));
        }
        layer_backward(first, mover, &c, &move, lane, a[0], d, 1);
        run->loss_sum += row_loss;
        run->accuracy_sum += row_accuracy;
        run->weight_sum += 1;
        counts.updates++;
        counts.moves++;
        run->next++;
    }
    return BPK_OK;
}

bpk_status BPK_NAME(online)(bpk_net *net, bpk_run *run, ptrdiff_t steps) {
    ptrdiff_t before = run->next;
    bpk_status status =
        run->optimizer.rule == BPK_SGD ? one_by_one(net, run, steps, 1) : one_by_one(net, run, steps, 0);
    ptrdiff_t done = run->next - before;
    run->updates += done;
    net->counts.updates += done;
    net->counts.moves += done;
    net->counts.batches += done;
    return status;
}
