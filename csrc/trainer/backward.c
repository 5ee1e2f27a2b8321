/* The backward half of a step, from the last layer's delta down to the first: deltas, and the update of the
 * parameters or the stored gradients. Each output is computed by one member, as in step.c. */
#include "trainer/backward.h"

#include <math.h>

#include "trainer/optimizer.h"
#include "trainer/products.h"

/* One layer. */
typedef struct {
    const step *step;
    const net_layer *layer, *below; /* below: NULL for the first layer */
    const void *x, *delta;          /* in blocks: the layer's input and its delta */
    void *delta_below;
    const void *derivative;    /* the operand from which the derivative of `below` is computed, */
    bpk_activation activation; /* and its activation */
    void *gradients;           /* the stored gradients; NULL: update the parameters */
    moves moves;
    void *states[BPK_STATES]; /* the optimiser's; NULL if it does not use the state */
} backward;

/* Columns `from` to `to` of a matrix in blocks, one block or part of a block at a time. */
typedef struct {
    ptrdiff_t columns, from, to, next;
    ptrdiff_t block, width; /* the current block: its first column and width */
    ptrdiff_t j, n, place;  /* its part: columns j to j + n, at element `place` of blocks of the batch */
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

/* strip (depth, padded n) = rows j to j + n and columns k to k + depth of W (in, out), transposed. */
static void transpose_rows(const bpk_kernels *kernels, const net_layer *layer, ptrdiff_t j, ptrdiff_t n,
                           ptrdiff_t k, ptrdiff_t depth, void *strip) {
    ptrdiff_t lds = padded(kernels, n), width;
    for (ptrdiff_t end = k + depth; k < end; k += width, strip = element(kernels, strip, width * lds)) {
        width = block_width(kernels, layer->out - k);
        kernels->transpose(n, smaller(width, end - k), element(kernels, layer->w, k * layer->in + j * width),
                           width, strip, lds);
    }
}

/* Whether delta is made of dot products: for few rows or few columns. */
static int uses_dots(const step *s, const net_layer *layer) {
    const bpk_kernels *kernels = s->net->kernels;
    if (layer->narrow) return 0;
    return layer->in <= kernels->narrow ||
           (s->m <= kernels->dot_rows && layer->out >= kernels->dot_depth * s->m);
}

/* Adds part p of the product to columns c of delta_below. W is still as in the forward pass. */
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

/* The parameter itself, or its stored gradient; and its states. */
static void *target(const backward *b, const void *parameter) {
    return b->gradients ? counterpart(b->step->net, b->gradients, parameter) : (void *)parameter;
}

static void find_states(const backward *b, const void *parameter, void *state[BPK_STATES]) {
    for (int i = 0; i < BPK_STATES; i++) state[i] = counterpart(b->step->net, b->states[i], parameter);
}

/* Updates a part of W: outputs k to k + the width of that block of delta, for columns c of the input. */
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

/* Updates biases c of a layer by the column sums of its delta. */
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

/* A member computes its columns of the delta below and then updates the rows of W that it has read for them:
 * no other member reads these, and they are still in its cache. */
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

/* The first layer has no delta below. Its weights are updated in the order of memory and shared in that
 * order: all columns of the input, once per block of outputs. */
static void update(const backward *b) {
    const step *s = b->step;
    const bpk_kernels *kernels = s->net->kernels;
    ptrdiff_t in = b->layer->in, out = b->layer->out, from, to;
    team_share(s->me, count_blocks(kernels, out) * in, 1, &from, &to);
    for (ptrdiff_t k = 0; k < out; k += block_width(kernels, out - k), from -= in, to -= in)
        for (columns c = some_columns(in, larger(from, 0), smaller(to, in)); next_columns(s, &c);)
            update_block(b, k, &c);
}

/* The target of a layer's delta: the layer below, or x. */
static void find_below(backward *b, int l) {
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

/* Adding to the stored gradients is plain SGD with a learning rate of -factor. */
static moves adding(double factor) {
    const bpk_move add = {.optimizer = {.rule = BPK_SGD},
                          .scale = 1,
                          .limit = INFINITY,
                          .shrink = 1,
                          .lr = -factor,
                          .correction = 1};
    return (moves){add, add};
}

static void all_layers(backward b, int wants_x) {
    const step *s = b.step;
    const bpk_net *net = s->net;
    for (int l = net->count - 1; l >= 0; l--) {
        b.layer = &net->layers[l];
        b.x = step_input(s, l);
        b.delta = s->ws->layers[l].delta;
        if (l == net->count - 1)
            for (columns c = own_columns(s, b.layer->out); next_columns(s, &c);)
                update_bias(&b, b.layer, b.delta, &c);
        find_below(&b, l);
        if (l || wants_x)
            delta_and_update(&b);
        else
            update(&b);
        if (l) team_barrier(s->me);
    }
}

void step_backward_update(const step *s) {
    const bpk_update_settings *update = &s->request->update;
    backward b = {.step = s, .moves = next_moves(s->request, s->counts, s->cursor.updates, s->weight)};
    for (int i = 0; i < BPK_STATES; i++)
        if (bpk_uses(&update->optimizer, BPK_M + i)) b.states[i] = s->net->stores[BPK_M + i];
    all_layers(b, 0);
}

void step_backward_store(const step *s, double factor, int wants_x) {
    all_layers((backward){.step = s, .gradients = s->ws->gradients, .moves = adding(factor)}, wants_x);
}
