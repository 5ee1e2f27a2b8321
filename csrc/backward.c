/* From the last layer's delta down to the first: deltas, and what they do to the parameters or to the stored
 * gradients. Each output is one member's, as in step.c. */
#include <math.h>

#include "net.h"

/* One layer. */
typedef struct {
    const step *step;
    const net_layer *layer, *below; /* below: NULL for the first */
    const void *x, *delta;          /* in blocks: what the layer was given, and its delta */
    void *delta_below;
    const void *derivative; /* what that of `below` is taken from, and how */
    bpk_activation activation;
    void *gradients; /* where they are stored; or NULL: the parameters move */
    moves moves;
    void *states[BPK_STATES]; /* of the optimiser; NULL where it does not use one */
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
    void *delta = element(kernels, b->delta_below, c->place);
    const void *a = element(kernels, b->derivative, c->place);
    bpk_activation activation = p->k + p->depth == layer->out ? b->activation : BPK_IDENTITY;
    bpk_left above = left_columns(kernels, step_blocks(s, b->delta), p->k);
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

/* What moves, or is added to, where a parameter is; and the states beside it. */
static void *target(const backward *b, const void *parameter) {
    return b->gradients ? beside(b->step->net, b->gradients, parameter) : (void *)parameter;
}

static void find_states(const backward *b, const void *parameter, void *state[BPK_STATES]) {
    for (int i = 0; i < BPK_STATES; i++) state[i] = beside(b->step->net, b->states[i], parameter);
}

/* Outputs k on of the layer, as many as a block of its delta holds, with some columns of its input: that much
 * of W by one product of the two. */
static void update_block(const backward *b, ptrdiff_t k, const columns *c) {
    const step *s = b->step;
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = b->layer;
    ptrdiff_t width = block_width(kernels, layer->out - k), outputs = smaller(width, layer->out - k), at;
    const void *x = element(kernels, b->x, c->place), *delta = element(kernels, b->delta, k * s->rows);
    bpk_update_args args = {.k = s->m, .move = &b->moves.weights};
    if (layer->narrow) {
        args.to = outputs, args.n = args.filled = c->n;
        args.left = delta, args.ldl = width;
        args.right = x, args.ldr = c->width;
        at = c->block * layer->rows + c->j - c->block;
    } else {
        args.to = c->n, args.n = width, args.filled = outputs;
        args.left = x, args.ldl = c->width;
        args.right = delta, args.ldr = width;
        at = k * layer->rows + c->j * width;
    }
    const void *w = element(kernels, layer->w, at);
    args.w = target(b, w);
    args.ldw = args.ld_state = layer->narrow ? c->width : width;
    find_states(b, w, args.state);
    kernels->update(&args);
}

/* Some columns of a layer's delta, summed into its biases. */
static void update_bias(const backward *b, const net_layer *layer, const void *delta, const columns *c) {
    const bpk_kernels *kernels = b->step->net->kernels;
    const void *bias = element(kernels, layer->b, c->j);
    bpk_bias_args args = {.n = c->n,
                          .k = b->step->m,
                          .delta = element(kernels, delta, c->place),
                          .ldd = c->width,
                          .b = target(b, bias),
                          .move = &b->moves.biases};
    find_states(b, bias, args.state);
    kernels->update_bias(&args);
}

/* A member makes some columns of the delta below and then updates the rows of W it read for them, which only
 * it has read and which are still in its cache. */
static void delta_and_update(const backward *b) {
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
            if (b->below) update_bias(b, b->below, b->delta_below, &c);
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

/* What a layer's delta goes down to: the layer below, or x. */
static void look_below(backward *b, int l) {
    const step *s = b->step;
    b->below = l ? &s->net->layers[l - 1] : NULL;
    b->delta_below = l ? s->ws->layers[l - 1].delta : s->ws->x_delta;
    b->derivative = b->x;
    b->activation = l ? b->below->activation : BPK_IDENTITY;
    if (l && keeps_slope(b->below)) {
        b->derivative = s->ws->layers[l - 1].slope;
        b->activation = BPK_SLOPE;
    }
}

/* Gradients are added up as plain SGD would go, backwards. */
static moves adding(double factor) {
    const bpk_move add = {
        .rule = BPK_SGD, .scale = 1, .limit = INFINITY, .shrink = 1, .lr = -factor, .correction = 1};
    return (moves){add, add};
}

void step_backward(const step *s, int stores, double factor, int dx) {
    const bpk_net *net = s->net;
    bpk_workspace *ws = s->ws;
    backward b = {.step = s, .gradients = stores ? ws->gradients : NULL};
    b.moves = stores ? adding(factor) : next_moves(s->run, s->counts, s->updates, s->weight);
    for (int i = 0; i < BPK_STATES && !stores; i++)
        if (bpk_uses(&s->run->optimizer, BPK_M + i)) b.states[i] = net->stores[BPK_M + i];
    for (int l = net->count - 1; l >= 0; l--) {
        b.layer = &net->layers[l];
        b.x = step_input(s, l);
        b.delta = ws->layers[l].delta;
        if (l == net->count - 1)
            for (columns c = own_columns(s, b.layer->out); next_columns(s, &c);)
                update_bias(&b, b.layer, b.delta, &c);
        look_below(&b, l);
        if (l || dx)
            delta_and_update(&b);
        else
            update(&b);
        if (l) team_barrier(s->me);
    }
}
