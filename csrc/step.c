/* A step of training, its phases shared by the members of a team. Each output is one member's and is made
 * the same way whoever makes it, so that the bits do not depend on how many there are. */
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

static bpk_left blocks_of(const step *s, const void *at) { return (bpk_left){.at = at, .rows = s->rows}; }

/* What layer l is given: the mini-batch, or the activations below. */
static void *input(const step *s, int l) { return l ? s->ws->layers[l - 1].a : s->ws->x; }

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
    ws->bad[s->me.index] = bad;
    weigh(s, from, to);
    team_barrier(s->me);
    return first_bad(s);
}

bpk_status step_forward(step *s) {
    const bpk_net *net = s->net;
    bpk_workspace *ws = s->ws;
    bpk_status status = gather_batch(s);
    if (status != BPK_OK || s->weight == 0) return status;

    for (int l = 0; l < net->count; l++) {
        const net_layer *layer = &net->layers[l];
        bpk_left x = blocks_of(s, input(s, l));
        if (layer->narrow)
            forward_narrow(net->kernels, s->me, s->m, layer->in, layer->out, x.at, x.rows, layer->w, layer->b,
                           layer->activation, ws->layers[l].a, layer->width);
        else
            forward_product(net->kernels, s->me, s->m, layer->in, layer->width, &x, layer->w, layer->b,
                            layer->activation, ws->layers[l].a, l == net->count - 1 ? 0 : s->rows,
                            layer->width);
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
                          .parameters = s->net->loss_parameters,
                          .smoothing = s->net->smoothing,
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
        kernels->scatter(layer->out, element(kernels, plain, i * layer->width), blocks, s->rows, i);
}

/* The sums of squares of the blocks of all weights, each made by one member. */
static void sum_blocks(const step *s) {
    const bpk_kernels *kernels = s->net->kernels;
    ptrdiff_t block = 0;
    for (int l = 0; l < s->net->count; l++) {
        const net_layer *layer = &s->net->layers[l];
        for (ptrdiff_t j = 0, width; j < layer->columns; j += width, block++) {
            width = block_width(kernels, layer->columns - j);
            if (block % s->me.count == s->me.index)
                s->ws->squares[block] =
                    kernels->sum_squares(layer->rows * width, element(kernels, layer->w, j * layer->rows));
        }
    }
}

static double summed_blocks(const step *s) {
    double sum = 0;
    ptrdiff_t block = 0;
    for (int l = 0; l < s->net->count; l++) {
        ptrdiff_t columns = s->net->layers[l].columns;
        for (ptrdiff_t j = 0; j < columns; j += block_width(s->net->kernels, columns - j))
            sum += s->ws->squares[block++];
    }
    return sum;
}

bpk_status step_loss(step *s, int with_delta, double l2) {
    s->loss = s->accuracy = 0;
    bpk_status status = step_forward(s);
    if (status != BPK_OK || s->weight == 0) return status;
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    if (from < to) row_losses(s, with_delta, from, to);
    if (l2 != 0) sum_blocks(s);
    team_barrier(s->me);
    for (ptrdiff_t i = 0; i < s->m; i++) {
        s->loss += s->ws->row_weight[i] * s->ws->row_loss[i];
        s->accuracy += s->ws->row_weight[i] * s->ws->row_accuracy[i];
    }
    if (l2 != 0) s->loss += s->weight * l2 * summed_blocks(s);
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

/* Some columns of a matrix in blocks, a block or a part of one at a time. */
typedef struct {
    ptrdiff_t columns, from, to, next;
    ptrdiff_t block, width; /* the block under way: its first column */
    ptrdiff_t j, n, place;  /* its part: columns j to j + n, which lie at place in blocks of the batch */
} columns;

static columns some_columns(ptrdiff_t count, ptrdiff_t from, ptrdiff_t to) {
    return (columns){.columns = count, .from = from, .to = to};
}

static columns own_columns(const step *s, ptrdiff_t count) {
    ptrdiff_t from, to;
    team_share(s->me, count, s->net->kernels->vector, &from, &to);
    return some_columns(count, from, to);
}

static int next_columns(const step *s, columns *c) {
    while (c->next < c->to) {
        c->block = c->next;
        c->width = block_width(s->net->kernels, c->columns - c->block);
        c->next += c->width;
        c->j = larger(c->from, c->block);
        c->n = smaller(c->to, c->next) - c->j;
        c->place = c->block * s->rows + c->j - c->block;
        if (c->n > 0) return 1;
    }
    return 0;
}

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

/* Whether delta is made of dot products: of few rows, or for few columns. */
static int uses_dots(const step *s, const net_layer *layer) {
    const bpk_kernels *kernels = s->net->kernels;
    if (layer->narrow) return 0;
    return layer->in <= kernels->narrow ||
           (s->m <= kernels->dot_rows && layer->out >= kernels->dot_depth * s->m);
}

/* What part p of the product adds to some columns of delta_below; W is as it was in the forward pass. */
static void delta_columns(const backward *b, const part *p, const columns *c) {
    const step *s = b->step;
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = b->layer;
    void *delta = element(kernels, b->delta_below, c->place), *a = element(kernels, b->x, c->place);
    bpk_activation activation = p->k + p->depth == layer->out ? b->below->activation : BPK_IDENTITY;
    bpk_left above = left_columns(kernels, blocks_of(s, b->delta), p->k);
    if (uses_dots(s, layer)) {
        bpk_dot_args args = {.from = p->row,
                             .to = p->row + p->height,
                             .n = c->n,
                             .k = p->depth,
                             .resume = p->k > 0,
                             .x = above.at,
                             .x_rows = above.rows,
                             .w = element(kernels, layer->w, p->k * layer->in),
                             .w_from = c->j,
                             .w_rows = layer->in,
                             .sums = delta,
                             .lds = c->width};
        kernels->dot(&args);
        ptrdiff_t at = p->row * c->width;
        kernels->apply_derivative(activation, p->height, c->n, element(kernels, a, at), c->width,
                                  element(kernels, delta, at), c->width);
        return;
    }
    bpk_delta_args args = {.from = p->row,
                           .to = p->row + p->height,
                           .n = c->n,
                           .k = p->depth,
                           .resume = p->k > 0,
                           .delta_next = above,
                           .a = a,
                           .lda = c->width,
                           .activation = activation,
                           .delta = delta,
                           .ldd = c->width};
    if (layer->narrow) {
        ptrdiff_t at = c->block * layer->rows + p->k * c->width + c->j - c->block;
        args.w = element(kernels, layer->w, at);
        args.ldw = c->width;
    } else {
        void *strip = element(kernels, s->ws->strips, s->me.index * s->ws->strip_size);
        args.w = strip;
        args.ldw = padded(kernels, c->n);
        transpose_rows(kernels, layer, c->j, c->n, p->k, p->depth, strip);
    }
    kernels->delta(&args);
}

/* Outputs k on of the layer, as many as a block of its delta holds, with some columns of its input: that much
 * of W, or of dw, by one product of the two. */
static void update_block(const backward *b, ptrdiff_t k, const columns *c) {
    const step *s = b->step;
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = b->layer;
    ptrdiff_t width = block_width(kernels, layer->out - k), outputs = smaller(width, layer->out - k);
    const void *x = element(kernels, b->x, c->place), *delta = element(kernels, b->delta, k * s->rows);
    void *v = b->weights.momentum != 0 ? layer->vw : NULL;
    bpk_update_args args = {.k = s->m, .sgd = &b->weights};
    if (b->dw || layer->narrow) {
        args.to = outputs, args.n = c->n;
        args.left = delta, args.ldl = width;
        args.right = x, args.ldr = c->width;
    } else {
        args.to = c->n, args.n = width;
        args.left = x, args.ldl = c->width;
        args.right = delta, args.ldr = width;
    }
    if (b->dw) {
        args.w = element(kernels, b->dw, k * layer->in + c->j), args.ldw = layer->in;
    } else {
        ptrdiff_t ld = layer->narrow ? c->width : width;
        ptrdiff_t at = layer->narrow ? c->block * layer->rows + c->j - c->block : k * layer->rows + c->j * ld;
        args.w = element(kernels, layer->w, at), args.ldw = ld;
        args.v = v ? element(kernels, v, at) : NULL, args.ldv = ld;
    }
    kernels->update(&args);
}

/* Some columns of a layer's delta, summed into its biases. */
static void update_bias(const backward *b, const net_layer *layer, const void *delta, void *db,
                        const columns *c) {
    const bpk_kernels *kernels = b->step->net->kernels;
    bpk_bias_args args = {.n = c->n,
                          .k = b->step->m,
                          .delta = element(kernels, delta, c->place),
                          .ldd = c->width,
                          .b = element(kernels, b->dw ? db : layer->b, c->j),
                          .v = b->biases.momentum != 0 ? element(kernels, layer->vb, c->j) : NULL,
                          .sgd = &b->biases};
    kernels->update_bias(&args);
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
        for (columns c = own_columns(s, b->layer->in); next_columns(s, &c);) {
            delta_columns(b, &now, &c);
            if (more) continue;
            update_bias(b, b->below, b->delta_below, db_below, &c);
            for (ptrdiff_t k = 0; k < b->layer->out; k += block_width(kernels, b->layer->out - k))
                update_block(b, k, &c);
        }
    } while (more);
}

/* The first layer's weights are updated in the order of memory, and shared in it: the columns of the input
 * once for each block of outputs. */
static void update(const backward *b) {
    const step *s = b->step;
    const bpk_kernels *kernels = s->net->kernels;
    ptrdiff_t in = b->layer->in, out = b->layer->out, from, to;
    team_share(s->me, count_blocks(kernels, out) * in, 1, &from, &to);
    for (ptrdiff_t k = 0; k < out; k += block_width(kernels, out - k), from -= in, to -= in)
        for (columns c = some_columns(in, larger(from, 0), smaller(to, in)); next_columns(s, &c);)
            update_block(b, k, &c);
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
            for (columns c = own_columns(s, b.layer->out); next_columns(s, &c);)
                update_bias(&b, b.layer, b.delta, db ? db[l] : NULL, &c);
        if (l) {
            b.below = &net->layers[l - 1];
            b.delta_below = ws->layers[l - 1].delta;
            delta_and_update(&b, db ? db[l - 1] : NULL);
        } else {
            update(&b);
        }
        if (l) team_barrier(s->me);
    }
}
