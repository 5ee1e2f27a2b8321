/* The forward half of a step, up to its loss. In each phase, members share the rows or the outputs. One
 * member computes the whole of an output, in the same way as any other member, so no bit depends on their
 * number. */
#include "trainer/step.h"

#include <math.h>
#include <string.h>

#include "kernels/philox.h"
#include "trainer/gather.h"
#include "trainer/inputs.h"
#include "trainer/optimizer.h"
#include "trainer/parameters.h"
#include "trainer/products.h"
#include "trainer/shards.h"

/* The weight of the batch, sum w, and scale[i] = slope_factor w_i / sum w of the member's rows, negative if
 * the loss is maximised. With shards, it is not divided: the sum over all ranks is not known yet. The sum is
 * over the gathered copy: the caller may change the original array meanwhile, and members with different sums
 * would take different branches. */
static void weigh(step *s, ptrdiff_t from, ptrdiff_t to) {
    bpk_workspace *ws = s->ws;
    s->weight = (double)s->m;
    if (s->request->data.weights) {
        s->weight = 0;
        for (ptrdiff_t i = 0; i < s->m; i++) s->weight += ws->row_weight[i];
    }
    const double sign = s->request->update.optimizer.maximize ? -1 : 1;
    const double factor = sign * s->net->loss.slope_factor;
    const double divisor = s->request->shards ? 1 : s->weight;
    for (ptrdiff_t i = from; i < to; i++)
        ws->scale[i] = divisor > 0 ? factor * (ws->row_weight[i] / divisor) : 0;
}

/* Whether targets are read where the caller keeps them. */
static int reads_in_place(const step *s) {
    const bpk_source *y = &s->request->data.y;
    return y->data && is_plain(s->net->kernels, y);
}

/* The first of rows `from` to `to` whose targets are not all finite; `otherwise` if all are. Targets that are
 * copied have been checked. */
static ptrdiff_t first_infinite(const step *s, ptrdiff_t from, ptrdiff_t to, ptrdiff_t otherwise) {
    if (!reads_in_place(s)) return otherwise;
    for (ptrdiff_t i = from; i < to; i++)
        if (!s->net->kernels->all_finite(last_layer(s->net)->out, s->ws->target_rows[i])) return i;
    return otherwise;
}

/* The first bad row of the batch, from what each member has found. Members have rows in the order of their
 * indices, so the first find is the first row; or a row before it, whose targets have not been checked yet.
 */
static bpk_status first_bad(step *s, const ptrdiff_t *bad) {
    ptrdiff_t first = -1;
    for (int i = 0; first < 0 && i < s->me.count; i++) first = bad[i];
    if (first < 0) return BPK_OK;
    first = first_infinite(s, 0, first, first);
    s->bad_row = (ptrdiff_t)number_at(&s->request->data, s->cursor.next + first);
    return BPK_BAD_ROW;
}

/* Finds the targets, the labels and the weights of rows `from` to `to`. Returns -1, or the first row whose
 * number or label is out of range. The loss finds targets that are not finite; but rows of weight 0 may have
 * no loss, and are checked here. */
static ptrdiff_t gather_numbers(const step *s, ptrdiff_t from, ptrdiff_t to) {
    bpk_workspace *ws = s->ws;
    const bpk_data *data = &s->request->data;
    const net_layer *last = last_layer(s->net);
    const int in_place = reads_in_place(s);
    const ptrdiff_t bytes = last->out * (ptrdiff_t)s->net->kernels->real_size;
    for (ptrdiff_t i = from; i < to; i++) {
        ptrdiff_t row = row_at(data, s->cursor.next + i);
        if (row < 0) return i;
        prefetch_numbers(data, s->cursor.next + i + ROWS_AHEAD);
        ws->row_weight[i] = data->weights ? data->weights[row] : 1;
        ws->target_rows[i] = in_place ? data->y.data + row * data->y.row_stride
                                      : element(s->net->kernels, ws->targets, i * last->width);
        if (in_place) prefetch_start(ws->target_rows[i], bytes);
        if (ws->row_weight[i] == 0 && first_infinite(s, i, i + 1, -1) >= 0) return i;
        if (!data->labels) continue;
        ws->labels[i] = label_of(data, row, last->out);
        if (ws->labels[i] < 0) return i;
    }
    return -1;
}

/* Wide rows of targets may come from memory, in random order. This takes as long as the arithmetic of a thin
 * net. So they are prefetched during the backward half of the step before (backward.c), if those of the whole
 * mini-batch take at most FETCHED_BYTES, and each at least WIDE_ROW, more than prefetch_start fetches. */
enum { WIDE_ROW = 256, FETCHED_BYTES = 256 << 10 };

static void find_next_targets(const step *s) {
    const bpk_data *data = &s->request->data;
    bpk_workspace *ws = s->ws;
    const ptrdiff_t bytes = last_layer(s->net)->out * (ptrdiff_t)s->net->kernels->real_size;
    ws->next_rows = 0;
    if (!(s->training || s->tile) || !reads_in_place(s)) return;
    if (bytes < WIDE_ROW || bytes * s->m > FETCHED_BYTES) return;
    const ptrdiff_t left = data->rows - s->cursor.next - s->m, n = smaller(left, s->m);
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t row = row_at(data, s->cursor.next + s->m + i);
        if (row < 0) return;
        ws->next_targets[i] = data->y.data + row * data->y.row_stride;
        ws->next_rows = i + 1;
    }
}

/* Gathers the batch into the workspace, except for what is ahead, and finds the first bad row in it. */
static bpk_status gather_batch(step *s) {
    const bpk_kernels *kernels = s->net->kernels;
    bpk_workspace *ws = s->ws;
    const bpk_data *data = &s->request->data;
    const batch_origin x = {&data->x, data, s->cursor.next};
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    void *gathered = s->net->inputs ? ws->gathered : ws->x[s->turn];
    ptrdiff_t bad = -1;
    if (!s->is_ahead) bad = gather(kernels, s->me, &x, from, to, gathered, 0, s->rows, step_own_row(s));
    if (s->net->inputs) {
        ptrdiff_t bad_code = inputs_bad_row(s, from, bad < 0 ? to : bad);
        if (bad_code >= 0) bad = bad_code;
    }
    if (data->y.data && !reads_in_place(s)) {
        const batch_origin y = {&data->y, data, s->cursor.next};
        ptrdiff_t bad_y = gather(kernels, s->me, &y, from, bad < 0 ? to : bad, ws->targets,
                                 last_layer(s->net)->width, 0, step_own_row(s));
        if (bad_y >= 0) bad = bad_y;
    }
    ptrdiff_t bad_number = gather_numbers(s, from, bad < 0 ? to : bad);
    ws->bad[s->me.index] = bad_number < 0 ? bad : bad_number;
    if (!s->me.index) find_next_targets(s);
    team_barrier(s->me);
    weigh(s, from, to);
    return first_bad(s, ws->bad);
}

/* The number of the workspace's first row in the mini-batch of all ranks. */
static ptrdiff_t first_row(const step *s) { return s->request->shards ? s->request->shards->place : 0; }

void step_drop_inputs(const step *s, int64_t batch, void *x) {
    const double probability = input_dropout_of(s);
    if (probability == 0) return;
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    bpk_dropout_args args = {.key = s->net->dropout_key,
                             .batch = (uint64_t)batch,
                             .layer = PHILOX_INPUTS,
                             .probability = probability,
                             .n = s->net->layers[0].in,
                             .rows = s->rows,
                             .first = first_row(s),
                             .a = x};
    for (; from < to && !team_stopped(s->me); from = args.to) {
        args.from = from;
        args.to = smaller(from + MANY_ROWS, to);
        s->net->kernels->dropout(&args);
    }
}

/* a (m, n) <- s(z) and, unless it is NULL, slope (m, n) <- s'(z); both have rows `ld` apart. a holds z
 * before. */
static void plain_activation(const bpk_kernels *kernels, const net_layer *layer, ptrdiff_t m, ptrdiff_t n,
                             void *a, void *slope, ptrdiff_t ld) {
    if (layer->parametric)
        kernels->activate_parametric(layer->activation, layer->parameter, m, n, a, ld, slope, ld);
    else if (slope)
        kernels->activate_with_slope(layer->activation, m, n, a, ld, slope, ld);
    else
        kernels->activate(layer->activation, m, n, a, ld);
}

/* The same for an activation that may be a share, mix (n): then also difference (m, n) <- s(z) - z, as needed
 * by mix_backward (extra.h). */
static void activate_rows(const bpk_kernels *kernels, const net_layer *layer, bpk_mix_args *args) {
    if (layer->mixes) kernels->copy(args->m, args->n, args->a, args->ld, args->difference, args->ld);
    plain_activation(kernels, layer, args->m, args->n, args->a, args->slope, args->ld);
    if (layer->mixes) kernels->mix(args);
}

/* The member's rows of layer l, with its mix or NULL: a <- s(z) and, in training, slope <- s'(z), then
 * dropout on both. a holds z before. */
static void activate(const step *s, int l, const void *mix) {
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = &s->net->layers[l];
    void *a = s->ws->layers[l].a, *slope = s->ws->layers[l].slope, *difference = s->ws->layers[l].difference;
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    if (l == s->net->count - 1) {
        ptrdiff_t start = from * layer->width;
        plain_activation(kernels, layer, to - from, layer->out, element(kernels, a, start),
                         slope ? element(kernels, slope, start) : NULL, layer->width);
        return;
    }
    for (ptrdiff_t j = 0, width; j < layer->out && !team_stopped(s->me); j += width) {
        width = block_width(kernels, layer->out - j);
        ptrdiff_t start = j * s->rows + from * width;
        bpk_mix_args args = {.m = to - from,
                             .n = smaller(width, layer->out - j),
                             .mix = mix ? element(kernels, mix, j) : NULL,
                             .a = element(kernels, a, start),
                             .slope = slope ? element(kernels, slope, start) : NULL,
                             .difference = difference ? element(kernels, difference, start) : NULL,
                             .ld = width};
        activate_rows(kernels, layer, &args);
    }
    const double probability = s->training ? dropout_of(s, l) : 0;
    if (probability == 0) return;
    bpk_dropout_args args = {.key = s->net->dropout_key,
                             .batch = (uint64_t)s->counts.batches,
                             .layer = (uint32_t)l,
                             .probability = probability,
                             .n = layer->out,
                             .rows = s->rows,
                             .first = first_row(s),
                             .a = a,
                             .slope = slope,
                             .difference = difference};
    for (; from < to && !team_stopped(s->me); from = args.to) {
        args.from = from;
        args.to = smaller(from + MANY_ROWS, to);
        kernels->dropout(&args);
    }
}

/* The member's share of a <- s(z) of layer l, by the product for its layout and this step's rows. */
static void layer_product(const step *s, int l, const void *w, const void *b, bpk_activation activation) {
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = &s->net->layers[l];
    bpk_left x = step_blocks(s, step_input(s, l));
    void *a = s->ws->layers[l].a;
    const ptrdiff_t in = layer->in, width = layer->width, a_rows = l == s->net->count - 1 ? 0 : s->rows;
    if (layer->narrow) /* its activations are one block, so their rows are layer->width apart */
        forward_narrow(kernels, s->me, s->m, in, layer->out, x.at, x.rows, w, b, activation, a, width);
    else if (s->rows == 1)
        row_product(kernels, s->me, in, width, x.at, w, layer->pairs, b, activation, a);
    else if (layer->pairs)
        pairs_product(kernels, s->me, s->m, in, layer->out, &x, w, b, activation, a, a_rows, width);
    else
        forward_product(kernels, s->me, s->m, in, layer->out, &x, w, b, activation, a, a_rows, width);
}

bpk_status step_forward(step *s, int layers) {
    const bpk_net *net = s->net;
    bpk_workspace *ws = s->ws;
    bpk_status status = gather_batch(s);
    int is_ahead = s->is_ahead;
    s->is_ahead = 0;
    /* A batch of weight 0 changes no sum and no parameter: only its outputs may be wanted. */
    if (status != BPK_OK || (s->weight == 0 && !s->wants_outputs && !s->request->shards)) return status;

    if (s->training && net->input_dropout > 0) {
        step_drop_inputs(s, s->counts.batches, ws->x[s->turn]);
        team_barrier(s->me);
    }
    const void *store = net->stores[s->request->averaged ? BPK_AVERAGE : BPK_PARAMETERS];
    if (net->inputs) {
        inputs_forward(s, store);
        team_barrier(s->me);
    }
    for (int l = 0; l < layers; l++) {
        const net_layer *layer = &net->layers[l];
        const void *w = counterpart(net, store, layer->w), *b = counterpart(net, store, layer->b);
        const int own_pass = ws->layers[l].slope || layer->parametric || ws->layers[l].difference;
        if (l > 0 || !is_ahead) /* otherwise the product exists */
            layer_product(s, l, w, b, own_pass ? BPK_IDENTITY : layer->activation);
        team_barrier(s->me);
        if (own_pass) {
            activate(s, l, counterpart(net, layer->mixes ? store : NULL, layer->mix));
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

void step_copy_rows(const step *s, int l, void *out) {
    const bpk_kernels *kernels = s->net->kernels;
    ptrdiff_t width = s->net->layers[l].out, from, to;
    team_share(s->me, s->m, 1, &from, &to);
    for (ptrdiff_t i = from; i < to; i++)
        step_row(s, l, i, element(kernels, out, (s->cursor.next + i) * width));
}

void step_out_delta(const step *s, ptrdiff_t from, ptrdiff_t to) {
    const bpk_kernels *kernels = s->net->kernels;
    int last = s->net->count - 1;
    const net_layer *layer = last_layer(s->net);
    const void *slope = s->ws->layers[last].slope, *a = slope ? slope : s->ws->layers[last].a;
    void *delta = s->ws->layers[last].delta;
    bpk_activation activation = slope ? BPK_SLOPE : layer->activation;
    for (ptrdiff_t j = 0, width; j < layer->out && activation != BPK_IDENTITY; j += width) {
        width = block_width(kernels, layer->out - j);
        kernels->apply_derivative(activation, to - from, smaller(width, layer->out - j),
                                  element(kernels, a, from * layer->width + j), layer->width,
                                  element(kernels, delta, j * s->rows + from * width), width);
    }
}

/* The losses of rows `from` to `to`; the derivatives go to args->delta. */
static void losses(const step *s, ptrdiff_t from, ptrdiff_t to, bpk_loss_args *args) {
    const bpk_kernels *kernels = s->net->kernels;
    bpk_workspace *ws = s->ws;
    const net_layer *layer = last_layer(s->net);
    args->settings = &s->net->loss;
    args->parameters = s->net->loss_parameters;
    args->m = to - from;
    args->n = layer->out;
    args->a = element(kernels, ws->layers[s->net->count - 1].a, from * layer->width);
    args->lda = layer->width;
    args->labels = s->request->data.labels ? ws->labels + from : NULL;
    args->targets = ws->target_rows + from;
    args->scale = ws->scale + from;
    args->row_loss = ws->row_loss + from;
    args->row_accuracy = ws->row_accuracy + from;
    kernels->loss(args);
    for (ptrdiff_t i = from; i < to; i++) ws->row_loss[i] *= s->net->loss.loss_factor;
}

void step_row_losses(const step *s, ptrdiff_t from, ptrdiff_t to, void *grad, ptrdiff_t ldg) {
    bpk_loss_args args = {.delta = element(s->net->kernels, grad, from * ldg), .ldd = ldg};
    losses(s, from, to, &args);
}

/* The losses of rows `from` to `to` and, if with_delta, their rows of the last layer's delta. Returns -1, or
 * the first of these rows whose targets are not all finite. */
static ptrdiff_t row_losses(step *s, int with_delta, ptrdiff_t from, ptrdiff_t to) {
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = last_layer(s->net);
    const int one_block = layer->width <= kernels->panel;
    void *delta = s->ws->layers[s->net->count - 1].delta;
    if (one_block) delta = element(kernels, delta, from * layer->width);
    bpk_loss_args args = {.delta = with_delta ? delta : NULL,
                          .ldd = layer->width,
                          .delta_rows = one_block ? 0 : s->rows,
                          .delta_from = from};
    losses(s, from, to, &args);
    if (with_delta) step_out_delta(s, from, to);
    ptrdiff_t bad = -1;
    for (ptrdiff_t i = from; i < to; i++)
        if (bad < 0 && (!isfinite(s->ws->row_loss[i]) || isfinite(s->net->loss.cap)))
            bad = first_infinite(s, i, i + 1, -1);
    return bad;
}

void step_add_penalties(step *s) {
    const bpk_update_settings *update = &s->request->update;
    if (!s->training || (update->l1 == 0 && update->l2 == 0)) return;
    step_penalties(s, update->l1, update->l2);
    team_barrier(s->me);
    s->loss += s->weight * penalty_part(update, s->weight) * step_sums(s);
}

bpk_status step_loss(step *s, int with_delta) {
    s->loss = s->accuracy = 0;
    bpk_status status = step_forward(s, s->net->count);
    if (status != BPK_OK || (s->weight == 0 && !s->request->shards)) return status;
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    ptrdiff_t bad = -1;
    for (ptrdiff_t end; from < to && bad < 0 && !team_stopped(s->me); from = end) {
        end = smaller(from + MANY_ROWS, to);
        bad = row_losses(s, with_delta, from, end);
    }
    s->ws->bad_targets[s->me.index] = bad;
    team_barrier(s->me);
    status = first_bad(s, s->ws->bad_targets);
    if (status != BPK_OK) return status;
    if (s->request->shards) { /* the caller adds up their sums, and then the penalties */
        shards_sums(s);
        return BPK_OK;
    }
    for (ptrdiff_t i = 0; i < s->m; i++) {
        s->loss += s->ws->row_weight[i] * s->ws->row_loss[i];
        s->accuracy += s->ws->row_weight[i] * s->ws->row_accuracy[i];
    }
    step_add_penalties(s);
    return BPK_OK;
}
