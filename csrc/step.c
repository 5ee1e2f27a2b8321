/* A step as far as its loss, its phases shared by the members of a team. Each output is one member's and is
 * made the same way whoever makes it, so that the bits do not depend on how many there are. */
#include <string.h>

#include "net.h"

/* The weight of the batch, from what the members have gathered: the caller may change the array meanwhile,
 * and members who found other sums would go other ways. The share of a row is its part of the mean, w / sum
 * w, times the factor of the loss's derivative. */
static void weigh(step *s, ptrdiff_t from, ptrdiff_t to) {
    bpk_workspace *ws = s->ws;
    s->weight = (double)s->m;
    if (s->run->data.weights) {
        s->weight = 0;
        for (ptrdiff_t i = 0; i < s->m; i++) s->weight += ws->row_weight[i];
    }
    for (ptrdiff_t i = from; i < to; i++)
        ws->scale[i] = s->weight > 0 ? s->net->slope_factor * (ws->row_weight[i] / s->weight) : 0;
}

/* What the first of the members that found something has found: their rows are in the members' order. */
static bpk_status first_bad(step *s) {
    ptrdiff_t first = -1;
    for (int i = 0; first < 0 && i < s->me.count; i++) first = s->ws->bad[i];
    if (first < 0) return BPK_OK;
    s->bad_row = row_of(s->run->data.index, s->next + first);
    return BPK_BAD_ROW;
}

static void *own_row(const step *s) {
    return element(s->net->kernels, s->ws->rows_of_threads, s->me.index * s->ws->row_size);
}

/* The batch into the workspace; of what is bad in it, the first row, whoever of the members has met it. */
static bpk_status gather_batch(step *s) {
    const bpk_kernels *kernels = s->net->kernels;
    bpk_workspace *ws = s->ws;
    const bpk_data *data = &s->run->data;
    const origin x = {&data->x, data->index, s->next, data->rows};
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    ptrdiff_t bad = gather(kernels, &x, from, to, ws->x, 0, s->rows, own_row(s));
    if (data->y.data) {
        const origin y = {&data->y, data->index, s->next, data->rows};
        ptrdiff_t bad_y = gather(kernels, &y, from, bad < 0 ? to : bad, ws->targets,
                                 last_layer(s->net)->width, 0, own_row(s));
        if (bad_y >= 0) bad = bad_y;
    }
    if (data->labels)
        for (ptrdiff_t i = from; i < to; i++) ws->labels[i] = data->labels[row_of(data->index, s->next + i)];
    for (ptrdiff_t i = from; i < to; i++)
        ws->row_weight[i] = data->weights ? data->weights[row_of(data->index, s->next + i)] : 1;
    ws->bad[s->me.index] = bad;
    team_barrier(s->me);
    weigh(s, from, to);
    return first_bad(s);
}

/* The member's rows of layer l from z to activations, with the derivative beside them; and what is dropped.
 */
static void activate(const step *s, int l) {
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = &s->net->layers[l];
    void *a = s->ws->layers[l].a, *slope = s->ws->layers[l].slope;
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    if (l == s->net->count - 1) {
        ptrdiff_t start = from * layer->width;
        kernels->activate_with_slope(layer->activation, to - from, layer->out, element(kernels, a, start),
                                     layer->width, element(kernels, slope, start), layer->width);
        return;
    }
    for (ptrdiff_t j = 0, width; j < layer->out; j += width) {
        width = block_width(kernels, layer->out - j);
        ptrdiff_t start = j * s->rows + from * width;
        kernels->activate_with_slope(layer->activation, to - from, smaller(width, layer->out - j),
                                     element(kernels, a, start), width, element(kernels, slope, start),
                                     width);
    }
    if (!s->drops || layer->dropout == 0) return;
    bpk_drop_args args = {.key = s->net->dropout_key,
                          .batch = (uint64_t)s->counts.batches,
                          .layer = (uint32_t)l,
                          .probability = layer->dropout,
                          .from = from,
                          .to = to,
                          .n = layer->out,
                          .rows = s->rows,
                          .a = a,
                          .slope = slope};
    kernels->drop(&args);
}

bpk_status step_forward(step *s, int layers) {
    const bpk_net *net = s->net;
    bpk_workspace *ws = s->ws;
    bpk_status status = gather_batch(s);
    if (status != BPK_OK || (s->weight == 0 && !s->run->outputs)) return status;

    const void *store = net->stores[s->run->averaged ? BPK_AVERAGE : BPK_PARAMETERS];
    for (int l = 0; l < layers; l++) {
        const net_layer *layer = &net->layers[l];
        const void *w = beside(net, store, layer->w), *b = beside(net, store, layer->b);
        bpk_left x = step_blocks(s, step_input(s, l));
        bpk_activation activation = ws->layers[l].slope ? BPK_IDENTITY : layer->activation;
        if (layer->narrow)
            forward_narrow(net->kernels, s->me, s->m, layer->in, layer->out, x.at, x.rows, w, b, activation,
                           ws->layers[l].a, layer->width);
        else
            forward_product(net->kernels, s->me, s->m, layer->in, layer->width, &x, w, b, activation,
                            ws->layers[l].a, l == net->count - 1 ? 0 : s->rows, layer->width);
        team_barrier(s->me);
        if (ws->layers[l].slope) {
            activate(s, l);
            team_barrier(s->me);
        }
    }
    return BPK_OK;
}

void step_row(const step *s, int l, ptrdiff_t row, void *out) {
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = &s->net->layers[l];
    const void *a = s->ws->layers[l].a;
    if (l == s->net->count - 1)
        memcpy(out, element(kernels, a, row * layer->width), (size_t)layer->out * kernels->real_size);
    else
        row_of_blocks(kernels, a, s->rows, layer->out, row, out);
}

void step_out_delta(const step *s, void *plain, ptrdiff_t from, ptrdiff_t to) {
    const bpk_kernels *kernels = s->net->kernels;
    int last = s->net->count - 1;
    const net_layer *layer = last_layer(s->net);
    void *blocks = s->ws->layers[last].delta;
    const void *slope = s->ws->layers[last].slope;
    ptrdiff_t start = from * layer->width;
    kernels->apply_derivative(slope ? BPK_SLOPE : layer->activation, to - from, layer->out,
                              element(kernels, slope ? slope : s->ws->layers[last].a, start), layer->width,
                              element(kernels, plain, start), layer->width);
    for (ptrdiff_t i = from; plain != blocks && i < to; i++)
        kernels->scatter(layer->out, element(kernels, plain, i * layer->width), blocks, s->rows, i);
}

/* The losses of rows from ... to, and their part of the last layer's delta. */
static void row_losses(step *s, int with_delta, ptrdiff_t from, ptrdiff_t to) {
    const bpk_kernels *kernels = s->net->kernels;
    bpk_workspace *ws = s->ws;
    const net_layer *layer = last_layer(s->net);
    int last = s->net->count - 1;
    void *plain = ws->out_delta ? ws->out_delta : ws->layers[last].delta;
    ptrdiff_t start = from * layer->width;
    bpk_loss_args args = {.loss = s->net->loss,
                          .parameters = s->net->loss_parameters,
                          .smoothing = s->net->smoothing,
                          .most = s->net->most,
                          .deviance = s->net->deviance,
                          .m = to - from,
                          .n = layer->out,
                          .a = element(kernels, ws->layers[last].a, start),
                          .lda = layer->width,
                          .labels = s->run->data.labels ? ws->labels + from : NULL,
                          .targets = element(kernels, ws->targets, start),
                          .ldt = layer->width,
                          .scale = ws->scale + from,
                          .delta = with_delta ? element(kernels, plain, start) : NULL,
                          .ldd = layer->width,
                          .row_loss = ws->row_loss + from,
                          .row_accuracy = ws->row_accuracy + from};
    kernels->loss(&args);
    for (ptrdiff_t i = from; i < to; i++) ws->row_loss[i] *= s->net->loss_factor;
    if (with_delta) step_out_delta(s, plain, from, to);
}

bpk_status step_loss(step *s, int with_delta) {
    s->loss = s->accuracy = 0;
    bpk_status status = step_forward(s, s->net->count);
    if (status != BPK_OK || s->weight == 0) return status;
    const double l1 = s->run->l1, l2 = s->run->l2;
    int penalised = with_delta && (l1 != 0 || l2 != 0);
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    if (from < to) row_losses(s, with_delta, from, to);
    if (penalised) step_penalties(s, l1, l2);
    team_barrier(s->me);
    for (ptrdiff_t i = 0; i < s->m; i++) {
        s->loss += s->ws->row_weight[i] * s->ws->row_loss[i];
        s->accuracy += s->ws->row_weight[i] * s->ws->row_accuracy[i];
    }
    if (penalised) s->loss += s->weight * penalty_part(s->run, s->weight) * step_sums(s);
    return BPK_OK;
}
