/* A step of training, its phases shared by the members of a team. Each output is one member's and is made
 * the same way whoever makes it, so that the bits do not depend on how many there are. */
#include <string.h>

#include "net.h"

static const net_layer *last_layer(const bpk_net *net) { return &net->layers[net->count - 1]; }

/* The weight of each row, and of the batch. The share of a row is its part of the mean: w / sum w. */
static void weigh(step *s, ptrdiff_t from, ptrdiff_t to) {
    const bpk_data *data = &s->run->data;
    bpk_workspace *ws = s->ws;
    s->weight = (double)s->m;
    if (data->weights) {
        s->weight = 0;
        for (ptrdiff_t i = 0; i < s->m; i++) s->weight += data->weights[row_of(data->index, s->next + i)];
    }
    for (ptrdiff_t i = from; i < to; i++) {
        ws->row_weight[i] = data->weights ? data->weights[row_of(data->index, s->next + i)] : 1;
        ws->scale[i] = s->weight > 0 ? ws->row_weight[i] / s->weight : 0;
    }
}

/* What the members have found, in the order of the rows. */
static bpk_status first_bad(step *s) {
    ptrdiff_t first = -1;
    for (int i = 0; i < s->me.count; i++)
        if (s->ws->bad[i] >= 0 && (first < 0 || s->ws->bad[i] < first)) first = s->ws->bad[i];
    if (first < 0) return BPK_OK;
    s->bad_row = row_of(s->run->data.index, s->next + first);
    return BPK_BAD_ROW;
}

static void *own_row(const step *s) {
    return element(s->net->kernels, s->ws->rows_of_threads, s->me.index * s->ws->row_size);
}

static bpk_left blocks_of(const bpk_workspace *ws, const void *at) {
    return (bpk_left){.at = at, .rows = ws->rows};
}

/* What layer l is given: the mini-batch, or the activations below. */
static void *input(const step *s, int l) { return l ? s->ws->layers[l - 1].a : s->ws->x; }

bpk_status step_forward(step *s) {
    const bpk_net *net = s->net;
    bpk_workspace *ws = s->ws;
    const bpk_data *data = &s->run->data;
    origin batch = {&data->x, data->index, s->next, data->rows};
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    ptrdiff_t bad = gather(net->kernels, &batch, from, to, ws->x, 0, ws->rows, own_row(s));
    if (bad < 0 && data->y.data) {
        batch.source = &data->y;
        bad = gather(net->kernels, &batch, from, to, ws->targets, last_layer(net)->width, 0, own_row(s));
    }
    if (data->labels)
        for (ptrdiff_t i = from; i < to; i++) ws->labels[i] = data->labels[row_of(data->index, s->next + i)];
    ws->bad[s->me.index] = bad;
    weigh(s, from, to);
    team_barrier(s->me);
    bpk_status status = first_bad(s);
    if (status != BPK_OK || s->weight == 0) return status;

    for (int l = 0; l < net->count; l++) {
        const net_layer *layer = &net->layers[l];
        bpk_left x = blocks_of(ws, input(s, l));
        forward_product(net->kernels, s->me, s->m, layer->in, layer->width, &x, layer->w, layer->b,
                        layer->activation, ws->layers[l].a, l == net->count - 1 ? 0 : ws->rows, layer->width);
        team_barrier(s->me);
    }
    return BPK_OK;
}

/* The losses of rows from ... to, and their part of the last layer's delta. */
static void row_losses(step *s, int with_delta, ptrdiff_t from, ptrdiff_t to) {
    const bpk_kernels *kernels = s->net->kernels;
    bpk_workspace *ws = s->ws;
    const net_layer *layer = last_layer(s->net);
    int last = s->net->count - 1;
    void *blocks = ws->layers[last].delta, *plain = ws->out_delta ? ws->out_delta : blocks;
    ptrdiff_t start = from * layer->width;
    bpk_loss_args args = {.loss = s->net->loss,
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
    if (!with_delta) return;
    kernels->apply_derivative(layer->activation, args.m, layer->out, args.a, args.lda, args.delta, args.ldd);
    for (ptrdiff_t i = from; ws->out_delta && i < to; i++)
        kernels->scatter(layer->out, element(kernels, plain, i * layer->width), blocks, ws->rows, i);
}

/* The sums of squares of the blocks of all weights, each made by one member. */
static void sum_blocks(const step *s) {
    const bpk_kernels *kernels = s->net->kernels;
    ptrdiff_t block = 0;
    for (int l = 0; l < s->net->count; l++) {
        const net_layer *layer = &s->net->layers[l];
        for (ptrdiff_t j = 0, width; j < layer->out; j += width, block++) {
            width = block_width(kernels, layer->out - j);
            if (block % s->me.count == s->me.index)
                s->ws->squares[block] =
                    kernels->sum_squares(layer->in * width, element(kernels, layer->w, j * layer->in));
        }
    }
}

static double summed_blocks(const step *s) {
    double sum = 0;
    ptrdiff_t block = 0;
    for (int l = 0; l < s->net->count; l++) {
        ptrdiff_t out = s->net->layers[l].out;
        for (ptrdiff_t j = 0; j < out; j += block_width(s->net->kernels, out - j))
            sum += s->ws->squares[block++];
    }
    return sum;
}

bpk_status step_loss(step *s, int with_delta) {
    s->loss = s->accuracy = 0;
    bpk_status status = step_forward(s);
    if (status != BPK_OK || s->weight == 0) return status;
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    if (from < to) row_losses(s, with_delta, from, to);
    if (s->run->l2 != 0) sum_blocks(s);
    team_barrier(s->me);
    for (ptrdiff_t i = 0; i < s->m; i++) {
        s->loss += s->ws->row_weight[i] * s->ws->row_loss[i];
        s->accuracy += s->ws->row_weight[i] * s->ws->row_accuracy[i];
    }
    if (s->run->l2 != 0) s->loss += s->weight * s->run->l2 * summed_blocks(s);
    return BPK_OK;
}

/* The gradients of a layer's weights and biases are spent by SGD, or added to dw and db: a step of lr -1. */
typedef struct {
    const step *step;
    const net_layer *layer, *below; /* below: unless it is the first */
    const void *x, *delta;          /* in blocks: what the layer was given, and its delta */
    void *delta_below;
    bpk_sgd weights, biases;
    void *dw, *db; /* or NULL */
} backward;

/* strip (depth, n padded) = W's rows j to j + n, columns k to k + depth, transposed. */
static void transpose_rows(const bpk_kernels *kernels, const net_layer *layer, ptrdiff_t j, ptrdiff_t n,
                           ptrdiff_t k, ptrdiff_t depth, void *strip) {
    ptrdiff_t lds = padded(kernels, n), width;
    for (ptrdiff_t end = k + depth; k < end; k += width, strip = element(kernels, strip, width * lds)) {
        width = block_width(kernels, layer->out - k);
        kernels->transpose(n, smaller(width, end - k), element(kernels, layer->w, k * layer->in + j * width),
                           width, strip, lds);
    }
}

/* What part p of the product adds to columns j to j + n of delta_below, which lie at `place`; W is as it was
 * in the forward pass. */
static void delta_columns(const backward *b, const part *p, ptrdiff_t j, ptrdiff_t n, ptrdiff_t place,
                          ptrdiff_t ld) {
    const step *s = b->step;
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = b->layer;
    bpk_delta_args args = {.from = p->row,
                           .to = p->row + p->height,
                           .n = n,
                           .k = p->depth,
                           .resume = p->k > 0,
                           .delta_next = left_columns(kernels, blocks_of(s->ws, b->delta), p->k),
                           .a = element(kernels, b->x, place),
                           .lda = ld,
                           .activation = p->k + p->depth == layer->out ? b->below->activation : BPK_IDENTITY,
                           .delta = element(kernels, b->delta_below, place),
                           .ldd = ld};
    if (s->m <= kernels->dot_rows) {
        args.w = element(kernels, layer->w, p->k * layer->in);
        args.w_from = j;
        args.w_rows = layer->in;
        kernels->delta_dot(&args);
        return;
    }
    void *strip = element(kernels, s->ws->strips, s->me.index * s->ws->strip_size);
    args.w = strip;
    args.ldw = padded(kernels, n);
    transpose_rows(kernels, layer, j, n, p->k, p->depth, strip);
    kernels->delta(&args);
}

/* The block of W that begins at its column k, or with dw the rows of the gradient that begin at k; of it what
 * belongs to columns j to j + n of the layer's input, which lie at `place`. */
static void update_block(const backward *b, ptrdiff_t k, ptrdiff_t j, ptrdiff_t n, ptrdiff_t place,
                         ptrdiff_t ld) {
    const step *s = b->step;
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = b->layer;
    ptrdiff_t width = block_width(kernels, layer->out - k), at = k * layer->in + j * width;
    const void *x = element(kernels, b->x, place), *delta = element(kernels, b->delta, k * s->ws->rows);
    bpk_update_args args = {.k = s->m, .sgd = &b->weights};
    if (b->dw) {
        args.to = smaller(width, layer->out - k);
        args.n = n;
        args.left = delta, args.ldl = width;
        args.right = x, args.ldr = ld;
        args.w = element(kernels, b->dw, k * layer->in + j), args.ldw = layer->in;
    } else {
        args.to = n;
        args.n = width;
        args.left = x, args.ldl = ld;
        args.right = delta, args.ldr = width;
        args.w = element(kernels, layer->w, at), args.ldw = width;
        args.v = b->weights.momentum != 0 ? element(kernels, layer->vw, at) : NULL, args.ldv = width;
    }
    kernels->update(&args);
}

/* Columns j to j + n of a layer's delta, which lie at `place`, summed into its biases. */
static void update_bias(const backward *b, const net_layer *layer, const void *delta, void *db, ptrdiff_t j,
                        ptrdiff_t n, ptrdiff_t place, ptrdiff_t ld) {
    const bpk_kernels *kernels = b->step->net->kernels;
    bpk_bias_args args = {.n = n,
                          .k = b->step->m,
                          .delta = element(kernels, delta, place),
                          .ldd = ld,
                          .b = element(kernels, b->dw ? db : layer->b, j),
                          .v = b->biases.momentum != 0 ? element(kernels, layer->vb, j) : NULL,
                          .sgd = &b->biases};
    kernels->update_bias(&args);
}

/* A member's share of the columns of a matrix in blocks, a block or a part of one at a time. */
typedef struct {
    ptrdiff_t columns, from, to, block, width; /* the block under way */
    ptrdiff_t j, n, place;                     /* its part: columns j to j + n, which lie at place */
} columns;

static columns first_columns(const step *s, ptrdiff_t count) {
    columns c = {.columns = count};
    team_share(s->me, count, s->net->kernels->vector, &c.from, &c.to);
    return c;
}

static int next_columns(const step *s, columns *c) {
    for (; c->block < c->to; c->block += c->width) {
        c->width = block_width(s->net->kernels, c->columns - c->block);
        c->j = larger(c->from, c->block);
        c->n = smaller(c->to, c->block + c->width) - c->j;
        c->place = c->block * s->ws->rows + c->j - c->block;
        if (c->n > 0) {
            c->block += c->width;
            return 1;
        }
    }
    return 0;
}

/* A member makes some columns of the delta below and then updates the rows of W it read for them, which only
 * it has read and which are still in its cache. */
static void delta_and_update(const backward *b, void *db_below) {
    const step *s = b->step;
    const bpk_kernels *kernels = s->net->kernels;
    part p = first_part(kernels, s->m, b->layer->out);
    int more;
    do {
        part now = p;
        more = next_part(kernels, &p);
        for (columns c = first_columns(s, b->layer->in); next_columns(s, &c);) {
            delta_columns(b, &now, c.j, c.n, c.place, c.width);
            if (more) continue;
            update_bias(b, b->below, b->delta_below, db_below, c.j, c.n, c.place, c.width);
            for (ptrdiff_t k = 0; k < b->layer->out; k += block_width(kernels, b->layer->out - k))
                update_block(b, k, c.j, c.n, c.place, c.width);
        }
    } while (more);
}

/* The first layer's weights are updated in the order of memory. */
static void update(const backward *b) {
    const step *s = b->step;
    for (ptrdiff_t k = 0; k < b->layer->out; k += block_width(s->net->kernels, b->layer->out - k))
        for (columns c = first_columns(s, b->layer->in); next_columns(s, &c);)
            update_block(b, k, c.j, c.n, c.place, c.width);
}

void step_backward(const step *s, void *const *dw, void *const *db) {
    const bpk_net *net = s->net;
    bpk_workspace *ws = s->ws;
    backward b = {.step = s, .weights = s->run->sgd, .biases = s->run->sgd};
    b.weights.weight_decay += 2 * s->run->l2; /* the penalty l2 sum W^2 has the gradient 2 l2 W */
    if (dw) b.weights = b.biases = (bpk_sgd){.lr = -1};
    for (int l = net->count - 1; l >= 0; l--) {
        b.layer = &net->layers[l];
        b.x = input(s, l);
        b.delta = ws->layers[l].delta;
        b.dw = dw ? dw[l] : NULL;
        if (l == net->count - 1)
            for (columns c = first_columns(s, b.layer->out); next_columns(s, &c);)
                update_bias(&b, b.layer, b.delta, db ? db[l] : NULL, c.j, c.n, c.place, c.width);
        if (l) {
            b.below = &net->layers[l - 1];
            b.delta_below = ws->layers[l - 1].delta;
            delta_and_update(&b, db ? db[l - 1] : NULL);
        } else {
            update(&b);
        }
        team_barrier(s->me);
    }
}
