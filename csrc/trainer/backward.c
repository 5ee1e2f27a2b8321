/* The backward half of a step, from the last layer's delta down to the first layer: the deltas, and the
 * update of the parameters or of the stored gradients. As in step.c, one member computes the whole of an
 * output. */
#include "trainer/backward.h"

#include "platform/caches.h"
#include "platform/memory.h"
#include "trainer/ahead.h"
#include "trainer/extra.h"
#include "trainer/groups.h"
#include "trainer/inputs.h"
#include "trainer/optimizer.h"
#include "trainer/products.h"
#include "trainer/shards.h"
#include "trainer/shared.h"

/* The backward pass of one layer. */
typedef struct {
    const step *step;
    const net_layer *layer, *below; /* below: the layer before; NULL if layer is the first */
    const void *x, *delta;          /* the layer's input (m, in) and delta (m, out), in blocks */
    void *delta_below;              /* (m, in) in blocks: the result */
    const void *derivative;         /* (m, in) in blocks: the operand from which s' of `below` is computed */
    bpk_activation activation;      /* of `below`, or BPK_SLOPE */
    int fetches;                    /* whether the next mini-batch's targets are prefetched meanwhile */
    int sweeps;                     /* whether W is updated by the kernel `sweep` */
    void *gradients;                /* the stored gradients; NULL: update the parameters */
    gradients_of wanted;            /* OF_TRAINED: the gradients of frozen parameters are left out */
    shared_parts parts;             /* which parts of the parameters are updated or stored */
    const moves *all;               /* the moves of a layer without groups */
    const moves *moves, *moves_below;    /* of the layer and of `below`: `all`, or by their groups */
    int moves_weights, moves_bias_below; /* whether W, and the bias of `below`, are not left out */
    void *states[BPK_STATES];            /* the optimiser's stores; NULL if it does not use the state */
} backward;

/* Columns `from` to `to` of a matrix in blocks, one block or the wanted columns of a block at a time. */
typedef struct {
    ptrdiff_t count, from, to; /* count: columns of the matrix */
    ptrdiff_t next;            /* the first column of the next block */
    ptrdiff_t block, width;    /* the current block: its first column and its width */
    ptrdiff_t j, n;            /* its wanted columns: j to j + n */
    ptrdiff_t place;           /* the element (0, j), if the matrix has the rows of the batch */
    ptrdiff_t together;        /* blocks are taken together until they have so many columns */
} columns;

static columns some_columns(const step *s, ptrdiff_t count, ptrdiff_t from, ptrdiff_t to) {
    const bpk_kernels *kernels = s->net->kernels;
    columns c = {.count = count, .from = from, .to = to};
    if (from < kernels->panel) return c;
    /* All blocks but the last two are as wide as a panel, so the first wanted one is found at once. */
    ptrdiff_t regular = larger(0, smaller(from, count - 2 * kernels->vector));
    c.next = regular / kernels->panel * kernels->panel;
    return c;
}

/* The member's share of `count` columns, in whole vectors. */
static columns own_columns(const step *s, ptrdiff_t count) {
    ptrdiff_t from, to;
    team_share(s->me, count, s->net->kernels->vector, &from, &to);
    return some_columns(s, count, from, to);
}

/* Advances to the next block with wanted columns; returns 0 after the last. */
static int next_columns(const step *s, columns *c) {
    while (c->next < c->to) {
        c->block = c->next;
        c->width = block_width(s->net->kernels, c->count - c->block);
        c->next += c->width;
        while (c->next < c->to && c->next - c->block < c->together)
            c->next += block_width(s->net->kernels, c->count - c->next);
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

/* Whether delta is made of dot products: for few inputs, or few rows in the batch (kernels.h, dot_rows). */
static int uses_dots(const step *s, const net_layer *layer) {
    const bpk_kernels *kernels = s->net->kernels;
    if (layer->narrow) return 0;
    const ptrdiff_t rows = s->request->shards ? s->request->shards->all_rows : s->m;
    return layer->in <= kernels->narrow ||
           (rows <= kernels->dot_rows && layer->out >= kernels->dot_depth * rows);
}

/* Adds part p of the product delta W to columns c of delta_below; after the last part along the sum,
 * multiplies by s'. W has not been updated yet. */
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

/* What an update changes: the parameter itself, or its stored gradient. */
static void *destination(const backward *b, const void *parameter) {
    return b->gradients ? counterpart(b->step->net, b->gradients, parameter) : (void *)parameter;
}

/* The optimiser's states of the parameter. */
static void find_states(const backward *b, const void *parameter, void *state[BPK_STATES]) {
    for (int i = 0; i < BPK_STATES; i++) state[i] = counterpart(b->step->net, b->states[i], parameter);
}

/* Updates rows `from` to `to` of W (in, out) in the block that begins at column k, of a layer that is not
 * narrow. `block` is at most `from`, and a block of x begins there. Only for small batches. */
static void sweep_rows(const backward *b, ptrdiff_t k, ptrdiff_t block, ptrdiff_t from, ptrdiff_t to) {
    const step *s = b->step;
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = b->layer;
    ptrdiff_t width = block_width(kernels, layer->out - k);
    const void *w = element(kernels, layer->w, k * layer->in + block * width);
    bpk_sweep_args args = {.from = from - block,
                           .to = to - block,
                           .in = layer->in - block,
                           .n = smaller(width, layer->out - k),
                           .k = s->m,
                           .x = element(kernels, b->x, block * s->rows),
                           .x_rows = s->rows,
                           .delta = element(kernels, b->delta, k * s->rows),
                           .ldd = width,
                           .w = destination(b, w),
                           .move = &b->moves->weights};
    find_states(b, w, args.state);
    kernels->sweep(&args);
}

/* Whether a part of a layer, whose first parameter is at `first`, is left out. */
static int is_left_out(const backward *b, const net_layer *layer, const void *first) {
    if (b->parts == ALL_PARTS) return 0;
    return shared_is_own(b->step->request->shards, layer, first) != (b->parts == OWN_PARTS);
}

/* Updates W for columns c of the layer's input, and the outputs of the block of delta that begins at column
 * k. */
static void update_block(const backward *b, ptrdiff_t k, const columns *c) {
    const step *s = b->step;
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = b->layer;
    if (b->sweeps) {
        sweep_rows(b, k, c->block, c->j, c->j + c->n);
        return;
    }
    ptrdiff_t width = block_width(kernels, layer->out - k), outputs = smaller(width, layer->out - k), at;
    const void *x = element(kernels, b->x, c->place), *delta = element(kernels, b->delta, k * s->rows);
    bpk_update_args args = {.k = s->m, .move = &b->moves->weights};
    /* The whole block has one owner: ranks may have different numbers of threads. */
    at = layer->narrow ? c->block * layer->rows : k * layer->rows + c->block * width;
    if (is_left_out(b, layer, element(kernels, layer->w, at))) return;
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
    args.w = destination(b, w);
    args.ldw = args.ld_state = layer->narrow ? c->width : width;
    find_states(b, w, args.state);
    if (s->request->shards)
        shards_update(s, &args, (void *)w);
    else
        kernels->update(&args);
}

/* Prefetches columns k to k + n of the next mini-batch's targets, of every second row from `first` on: the
 * update of biases fetches the even rows, the update of W the odd ones. All at once, they would be waited
 * for. */
static void fetch_targets(const step *s, ptrdiff_t k, ptrdiff_t n, int first) {
    const ptrdiff_t size = (ptrdiff_t)s->net->kernels->real_size;
    for (ptrdiff_t i = first; i < s->ws->next_rows; i += 2) {
        const char *row = s->ws->next_targets[i];
        for (ptrdiff_t at = k * size; at < (k + n) * size; at += CACHE_LINE) __builtin_prefetch(row + at);
    }
}

/* Updates the biases of columns c of a layer's delta, by the sums of these columns. */
static void update_bias(const backward *b, const net_layer *layer, const moves *moves, const void *delta,
                        const columns *c) {
    const bpk_kernels *kernels = b->step->net->kernels;
    const void *bias = element(kernels, layer->b, c->j);
    if (is_left_out(b, layer, element(kernels, layer->b, c->block))) return;
    bpk_bias_args args = {.n = c->n,
                          .k = b->step->m,
                          .delta = element(kernels, delta, c->place),
                          .ldd = c->width,
                          .b = destination(b, bias),
                          .move = &moves->biases};
    find_states(b, bias, args.state);
    if (b->step->request->shards)
        shards_update_bias(b->step, &args, (void *)bias);
    else
        kernels->update_bias(&args);
}

/* Columns c of the shares of the activation below, and of the delta below. */
static void move_mix(const backward *b, const columns *c) {
    const mixed_columns of = {.j = c->j, .n = c->n, .width = c->width, .place = c->place};
    const int l = (int)(b->below - b->step->net->layers);
    mix_backward(b->step, l, &of, &b->all->biases, b->gradients, b->states);
}

/* Blocks of columns of a layer's input, whose rows of W are updated together. */
enum { MOST_BLOCKS = 8 };
typedef struct {
    int count, most;
    columns blocks[MOST_BLOCKS];
} group;

/* How many blocks of columns of x to update together, if all `columns` of another matrix of the batch's rows
 * are read for each group: as many as fit in half of the second-level cache; 0, for no groups, if the other
 * matrix takes at most `limit` bytes. */
static int blocks_together(const backward *b, ptrdiff_t columns, ptrdiff_t limit) {
    const bpk_kernels *kernels = b->step->net->kernels;
    ptrdiff_t column = larger(b->step->m, 1) * (ptrdiff_t)kernels->real_size; /* a rank may have no rows */
    if (columns <= limit / column) return 0;
    return (int)larger(1, smaller(MOST_BLOCKS, second_level_cache() / 2 / column / kernels->panel));
}

/* The blocks of a single row are adjacent. In batches of one row, the kernels `dot` and `sweep` take many at
 * once, as long as the rows of W that both read stay in the first-level cache in between. */
static ptrdiff_t columns_together(const backward *b) {
    enum { ROWS_BYTES = 16 << 10 };
    const step *s = b->step;
    if (s->rows > 1 || !b->sweeps || !uses_dots(s, b->layer)) return 0;
    return ROWS_BYTES / (b->layer->width * (ptrdiff_t)s->net->kernels->real_size);
}

/* A group of one block finds the rows of W that delta_columns has read still in the cache. This is worth more
 * than reading delta less often, unless delta is so large that it comes from memory. The blocks are not
 * initialised, which would take longer than a small layer. */
static void begin_group(const backward *b, group *g) {
    g->count = 0;
    g->most = (int)larger(1, blocks_together(b, b->layer->out, 4 * second_level_cache()));
}

static void update_group(const backward *b, group *g) {
    const step *s = b->step;
    for (ptrdiff_t k = 0; k < b->layer->out; k += block_width(s->net->kernels, b->layer->out - k)) {
        if (b->fetches) fetch_targets(s, k, block_width(s->net->kernels, b->layer->out - k), 1);
        for (int i = 0; i < g->count && !team_stopped(s->me); i++) update_block(b, k, &g->blocks[i]);
    }
    g->count = 0;
}

static void add_to_group(const backward *b, group *g, const columns *c) {
    g->blocks[g->count++] = *c;
    if (g->count == g->most) update_group(b, g);
}

/* A member computes its columns of the delta below, and then updates the rows of W that it has read for them,
 * which no other member reads. */
static void delta_and_update(const backward *b) {
    const step *s = b->step;
    const bpk_kernels *kernels = s->net->kernels;
    part p = first_part(kernels, s->m, b->layer->out, uses_dots(s, b->layer) ? DEPTH : kernels->depth);
    group g;
    begin_group(b, &g);
    int more;
    do {
        part now = p;
        more = next_part(kernels, &p);
        columns c = own_columns(s, b->layer->in);
        for (c.together = columns_together(b); next_columns(s, &c);) {
            if (team_stopped(s->me)) return;
            delta_columns(b, &now, &c);
            if (more) continue;
            if (b->below && b->below->mixes) move_mix(b, &c);
            if (b->moves_bias_below) update_bias(b, b->below, b->moves_below, b->delta_below, &c);
            if (b->moves_weights) add_to_group(b, &g, &c);
        }
    } while (more);
    update_group(b, &g);
}

/* As delta_and_update without the delta: a member's rows of W are those of its columns of the input. */
static void update_columns(const backward *b) {
    const step *s = b->step;
    group g;
    begin_group(b, &g);
    for (columns c = own_columns(s, b->layer->in); next_columns(s, &c);) add_to_group(b, &g, &c);
    update_group(b, &g);
}

/* For the lowest layer, which needs no delta below. Its weights are shared and updated in the order of
 * memory, for each block of outputs all columns of the input, unless the input is so large that it is
 * divided. If not even two of its blocks fit together in the cache, the smaller matrix is read again and
 * again: the delta if the layer has fewer outputs than inputs. */
static void update(const backward *b) {
    const step *s = b->step;
    const bpk_kernels *kernels = s->net->kernels;
    ptrdiff_t in = b->layer->in, out = b->layer->out, first, last, together = in;
    int blocks = blocks_together(b, in, second_level_cache() / 2);
    if (!b->sweeps && blocks && (blocks > 1 || in > out)) together = blocks * kernels->panel;
    team_share(s->me, count_blocks(kernels, out) * in, 1, &first, &last);
    for (ptrdiff_t i = 0; i < in; i += together) {
        ptrdiff_t from = first, to = last;
        for (ptrdiff_t k = 0; k < out; k += block_width(kernels, out - k), from -= in, to -= in) {
            if (b->sweeps && from < in && to > 0 && !team_stopped(s->me)) {
                sweep_rows(b, k, 0, larger(from, 0), smaller(to, in));
                continue;
            }
            for (columns c = some_columns(s, in, larger(from, i), smaller(to, smaller(i + together, in)));
                 next_columns(s, &c);) {
                if (team_stopped(s->me)) return;
                if (b->fetches) fetch_targets(s, k, block_width(kernels, out - k), 1);
                update_block(b, k, &c);
            }
        }
    }
}

/* Whether parameters of a layer are moved, or their gradients stored. */
static int is_wanted(const backward *b, const net_layer *layer, bpk_kind kind) {
    return b->wanted != OF_TRAINED || !is_frozen(layer, kind);
}

/* The moves of layer l; room is for those that differ. Stored gradients have no factors yet. */
static const moves *moves_of(const backward *b, int l, moves *room) {
    const bpk_net *net = b->step->net;
    if (!net->has_groups || b->gradients) return b->all;
    *room = layer_moves(b->all, net->layers[l].groups);
    return room;
}

/* Sets what lies below layer l: the layer before, or x. */
static void find_below(backward *b, int l) {
    const step *s = b->step;
    b->below = l ? &s->net->layers[l - 1] : NULL;
    b->moves_bias_below = l && is_wanted(b, b->below, BPK_BIASES);
    b->delta_below = l ? s->ws->layers[l - 1].delta : s->ws->x_delta;
    b->derivative = b->x;
    b->activation = l ? b->below->activation : BPK_IDENTITY;
    if (l && s->ws->layers[l - 1].slope) { /* see bpk_net_set_dropout */
        b->derivative = s->ws->layers[l - 1].slope;
        b->activation = BPK_SLOPE;
    }
    if (l && b->below->mixes) b->activation = BPK_IDENTITY; /* mix_backward multiplies by s' */
}

/* delta_and_update updates the biases of the layer below. Those of the last layer come first: its delta
 * exists. `next_rows` are the rows of the next mini-batch, 0 if there is none. Returns whether the update of
 * layer 0 has computed its activations. */
static int all_layers(backward *b, ptrdiff_t next_rows) {
    const step *s = b->step;
    const bpk_net *net = s->net;
    const int lowest = b->wanted == OF_TRAINED ? lowest_trained(net) : 0;
    const int wants_x = b->wanted == OF_ALL_AND_X || net->inputs;
    moves own[2]; /* of two adjacent layers, if there are groups */
    b->moves_below = moves_of(b, net->count - 1, &own[net->count & 1]);
    for (int l = net->count - 1; l >= lowest; l--) {
        b->layer = &net->layers[l];
        b->moves = b->moves_below;
        if (l) b->moves_below = moves_of(b, l - 1, &own[l & 1]);
        b->moves_weights = is_wanted(b, b->layer, BPK_WEIGHTS);
        b->x = step_input(s, l);
        b->delta = s->ws->layers[l].delta;
        b->sweeps = !s->request->shards && step_sweeps(net, l, s->m);
        b->fetches = l == net->count - 1 && s->ws->next_rows > 0;
        if (l == net->count - 1 && is_wanted(b, b->layer, BPK_BIASES))
            for (columns c = own_columns(s, b->layer->out); next_columns(s, &c);) {
                if (b->fetches) fetch_targets(s, c.j, c.n, 0);
                update_bias(b, b->layer, b->moves, b->delta, &c);
            }
        find_below(b, l);
        if (l > lowest || wants_x)
            delta_and_update(b);
        else if (next_rows && ahead_update(s, next_rows, &b->moves->weights, b->states))
            return 1;
        else if (b->moves_weights && b->parts != ALL_PARTS)
            update_columns(b);
        else if (b->moves_weights)
            update(b);
        if (l || s->request->shards) team_barrier(s->me);
        if (s->request->shards && !s->me.index) shards_send(s, l);
    }
    return 0;
}

void step_backward_update(step *s) {
    const bpk_update_settings *update = &s->request->update;
    moves all;
    next_moves(s->request, s->counts, s->cursor.updates, s->weight, &all);
    if (s->request->shards) all.weights.scale = all.biases.scale = 1 / s->weight;
    backward b = {.step = s, .all = &all};
    for (int i = 0; i < BPK_STATES; i++)
        if (bpk_uses(&update->optimizer, BPK_M + i)) b.states[i] = s->net->stores[BPK_M + i];
    int asks = s->me.asks;
    s->me.asks = 0; /* an update is not broken off */
    s->is_ahead = all_layers(&b, ahead_gather(s));
    if (s->is_ahead) s->turn = !s->turn;
    if (s->net->inputs) inputs_backward(s, &all.biases, NULL, b.states, 0);
    s->me.asks = asks;
}

void step_backward_store(const step *s, double factor, gradients_of wanted) {
    const moves all = adding(factor);
    backward b = {.step = s, .gradients = s->ws->gradients, .wanted = wanted, .all = &all};
    all_layers(&b, 0);
    if (s->net->inputs) inputs_backward(s, &all.biases, b.gradients, b.states, wanted == OF_ALL_AND_X);
}

void step_backward_others(const step *s) {
    const moves all = adding(1);
    backward b = {.step = s, .parts = OTHERS_PARTS, .all = &all};
    all_layers(&b, 0);
}

void step_backward_own(const step *s) {
    const bpk_net *net = s->net;
    moves all, own;
    next_moves(s->request, s->counts, s->cursor.updates, s->weight, &all);
    all.weights.scale = all.biases.scale = 1 / s->weight;
    backward b = {.step = s, .parts = OWN_PARTS, .all = &all};
    for (int i = 0; i < BPK_STATES; i++)
        if (bpk_uses(&s->request->update.optimizer, BPK_M + i)) b.states[i] = net->stores[BPK_M + i];
    /* The deltas of the lower layers have been computed last, and may still be in the cache. */
    for (int l = lowest_trained(net); l < net->count; l++) {
        b.layer = &net->layers[l];
        b.moves = moves_of(&b, l, &own);
        b.x = step_input(s, l);
        b.delta = s->ws->layers[l].delta;
        if (is_wanted(&b, b.layer, BPK_BIASES))
            for (columns c = own_columns(s, b.layer->out); next_columns(s, &c);)
                update_bias(&b, b.layer, b.moves, b.delta, &c);
        if (is_wanted(&b, b.layer, BPK_WEIGHTS)) update_columns(&b);
    }
}
