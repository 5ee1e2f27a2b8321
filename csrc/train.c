/* Steps of training, and of evaluation and prediction: gather, forward, loss, delta, update. */
#include <math.h>
#include <string.h>

#include "fp_mode.h"
#include "net.h"

static ptrdiff_t batch_rows(const bpk_run *run) {
    ptrdiff_t left = run->data.rows - run->next;
    return left < run->batch ? left : run->batch;
}

/* Rows next ... next + m of x, and of y with their weights where the caller has them. */
static bpk_status gather_x(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t m) {
    run->bad_row = gather(net->kernels, &run->data.x, run->data.index, run->next, m, ws->x, ws->ldx);
    return run->bad_row < 0 ? BPK_OK : BPK_BAD_ROW;
}

static bpk_status gather_y(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t m) {
    const bpk_data *data = &run->data;
    if (data->labels) {
        for (ptrdiff_t i = 0; i < m; i++)
            ws->labels[i] = data->labels[data->index ? data->index[run->next + i] : run->next + i];
        return BPK_OK;
    }
    run->bad_row = gather(net->kernels, &data->y, data->index, run->next, m, ws->targets,
                          net->layers[net->count - 1].width);
    return run->bad_row < 0 ? BPK_OK : BPK_BAD_ROW;
}

/* The weight of each row, and of the batch. The share of a row is its part of the mean: w / sum w. */
static double weigh(bpk_workspace *ws, const bpk_run *run, ptrdiff_t m) {
    const bpk_data *data = &run->data;
    double sum = 0;
    for (ptrdiff_t i = 0; i < m; i++) {
        ptrdiff_t at = data->index ? (ptrdiff_t)data->index[run->next + i] : run->next + i;
        ws->row_weight[i] = data->weights ? data->weights[at] : 1;
        sum += ws->row_weight[i];
    }
    for (ptrdiff_t i = 0; i < m; i++) ws->scale[i] = sum > 0 ? ws->row_weight[i] / sum : 0;
    return sum;
}

static void forward(const bpk_net *net, bpk_workspace *ws, ptrdiff_t m) {
    const void *x = ws->x;
    ptrdiff_t ldx = ws->ldx;
    for (int l = 0; l < net->count; l++) {
        const net_layer *layer = &net->layers[l];
        panels_forward(net->kernels, m, layer->in, layer->width, x, ldx, layer->w, layer->b,
                       layer->activation, ws->layers[l].a, layer->width);
        x = ws->layers[l].a;
        ldx = layer->width;
    }
}

/* Sums over the rows of a batch: of their weights, and of weight times loss and weight times accuracy. */
typedef struct {
    double weight, loss, accuracy;
} sums;

/* The losses of the rows, and the delta of the last layer where it is wanted. */
static void loss(const bpk_net *net, bpk_workspace *ws, const bpk_run *run, ptrdiff_t m, int with_delta,
                 sums *batch) {
    int last = net->count - 1;
    const net_layer *layer = &net->layers[last];
    bpk_loss_args args = {.loss = net->loss,
                          .m = m,
                          .n = layer->out,
                          .a = ws->layers[last].a,
                          .lda = layer->width,
                          .labels = run->data.labels ? ws->labels : NULL,
                          .targets = ws->targets,
                          .ldt = layer->width,
                          .scale = ws->scale,
                          .delta = with_delta ? ws->layers[last].delta : NULL,
                          .ldd = layer->width,
                          .row_loss = ws->row_loss,
                          .row_accuracy = ws->row_accuracy};
    net->kernels->loss(&args);
    if (with_delta)
        net->kernels->apply_derivative(layer->activation, m, layer->out, args.a, args.lda, args.delta,
                                       args.ldd);
    for (ptrdiff_t i = 0; i < m; i++) {
        batch->loss += ws->row_weight[i] * ws->row_loss[i];
        batch->accuracy += ws->row_weight[i] * ws->row_accuracy[i];
    }
}

/* The delta of layer l - 1, from layer l's weights as they are now. */
static void delta(const bpk_net *net, bpk_workspace *ws, int l, ptrdiff_t m) {
    const net_layer *layer = &net->layers[l], *below = &net->layers[l - 1];
    ptrdiff_t ldw = padded(net->kernels, layer->in);
    panels_unpack(net->kernels, layer->in, layer->out, layer->w, ws->w_plain, ldw);
    rows_delta(net->kernels, m, layer->in, layer->out, ws->layers[l].delta, layer->width, ws->w_plain, ldw,
               ws->layers[l - 1].a, below->width, below->activation, ws->layers[l - 1].delta, below->width);
}

/* What layer l was given: the mini-batch, or the activations below. */
static const void *input(const bpk_workspace *ws, const bpk_net *net, int l, ptrdiff_t *ld) {
    *ld = l ? net->layers[l - 1].width : ws->ldx;
    return l ? ws->layers[l - 1].a : ws->x;
}

static void update(bpk_net *net, const bpk_workspace *ws, int l, ptrdiff_t m, const bpk_run *run) {
    net_layer *layer = &net->layers[l];
    const bpk_sgd *biases = &run->sgd;
    bpk_sgd weights = run->sgd; /* the penalty l2 sum W^2 has the gradient 2 l2 W */
    weights.weight_decay += 2 * run->l2;
    int moves = run->sgd.momentum != 0;
    ptrdiff_t ldx;
    const void *x = input(ws, net, l, &ldx);
    bpk_bias_args bias = {.n = layer->width,
                          .k = m,
                          .delta = ws->layers[l].delta,
                          .ldd = layer->width,
                          .b = layer->b,
                          .v = moves ? layer->vb : NULL,
                          .sgd = biases};
    panels_update(net->kernels, m, layer->in, layer->width, x, ldx, ws->layers[l].delta, layer->width,
                  layer->w, moves ? layer->vw : NULL, &weights);
    net->kernels->update_bias(&bias);
}

/* One batch as far as its loss, l2 included. A batch of zero weight has none. */
static bpk_status measure(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t m, int with_delta,
                          sums *batch) {
    bpk_status status = gather_x(net, ws, run, m);
    if (status == BPK_OK) status = gather_y(net, ws, run, m);
    if (status != BPK_OK) return status;
    *batch = (sums){.weight = weigh(ws, run, m)};
    if (batch->weight == 0) return BPK_OK;
    forward(net, ws, m);
    loss(net, ws, run, m, with_delta, batch);
    if (run->l2 != 0) batch->loss += batch->weight * run->l2 * bpk_net_sum_squares(net);
    return BPK_OK;
}

static void count(bpk_run *run, const sums *batch) {
    run->loss_sum += batch->loss;
    run->accuracy_sum += batch->accuracy;
    run->weight_sum += batch->weight;
}

bpk_status bpk_train(bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps) {
    fp_mode mode = fp_enter();
    bpk_status status = BPK_OK;
    for (; steps > 0 && run->next < run->data.rows; steps--) {
        ptrdiff_t m = batch_rows(run);
        sums batch;
        status = measure(net, ws, run, m, 1, &batch);
        if (status == BPK_OK && !isfinite(batch.loss)) status = BPK_DIVERGED;
        if (status != BPK_OK) break;
        for (int l = net->count - 1; batch.weight > 0 && l >= 0; l--) {
            if (l > 0) delta(net, ws, l, m);
            update(net, ws, l, m, run);
        }
        count(run, &batch);
        run->next += m;
    }
    fp_leave(mode);
    return status;
}

bpk_status bpk_evaluate(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps) {
    fp_mode mode = fp_enter();
    bpk_status status = BPK_OK;
    for (; steps > 0 && run->next < run->data.rows; steps--) {
        ptrdiff_t m = batch_rows(run);
        sums batch;
        status = measure(net, ws, run, m, 0, &batch);
        if (status != BPK_OK) break;
        count(run, &batch);
        run->next += m;
    }
    fp_leave(mode);
    return status;
}

/* A step of lr -1 without momentum adds the gradient. */
bpk_status bpk_gradients(const bpk_net *net, bpk_workspace *ws, bpk_run *run, void *const *dw,
                         void *const *db) {
    const bpk_sgd ascent = {.lr = -1};
    fp_mode mode = fp_enter();
    sums batch;
    ptrdiff_t m = run->data.rows;
    bpk_status status = measure(net, ws, run, m, 1, &batch);
    if (status == BPK_OK) count(run, &batch);
    for (int l = net->count - 1; status == BPK_OK && l >= 0; l--) {
        const net_layer *layer = &net->layers[l];
        if (l > 0) delta(net, ws, l, m);
        ptrdiff_t ldx;
        const void *x = input(ws, net, l, &ldx), *d = ws->layers[l].delta;
        bpk_bias_args bias = {
            .n = layer->out, .k = m, .delta = d, .ldd = layer->width, .b = db[l], .sgd = &ascent};
        rows_update(net->kernels, m, layer->in, layer->out, x, ldx, d, layer->width, dw[l], layer->in, NULL,
                    0, &ascent);
        net->kernels->update_bias(&bias);
    }
    fp_leave(mode);
    return status;
}

bpk_status bpk_forward(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps, void *out) {
    fp_mode mode = fp_enter();
    bpk_status status = BPK_OK;
    const net_layer *last = &net->layers[net->count - 1];
    const char *a = ws->layers[net->count - 1].a;
    size_t row = (size_t)last->out * net->kernels->real_size;
    for (; steps > 0 && run->next < run->data.rows; steps--) {
        ptrdiff_t m = batch_rows(run);
        status = gather_x(net, ws, run, m);
        if (status != BPK_OK) break;
        forward(net, ws, m);
        for (ptrdiff_t i = 0; i < m; i++)
            memcpy((char *)out + (size_t)(run->next + i) * row,
                   a + (size_t)(i * last->width) * net->kernels->real_size, row);
        run->next += m;
    }
    fp_leave(mode);
    return status;
}
