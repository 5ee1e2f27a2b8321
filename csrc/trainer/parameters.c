/* Operations on all parameters: penalties, updates by stored gradients, the average. */
#include "trainer/parameters.h"

#include <math.h>
#include <string.h>

#include "platform/memory.h"
#include "trainer/inputs.h"
#include "trainer/optimizer.h"
#include "trainer/products.h"

int bpk_stores_gradients(const bpk_update_settings *update) {
    return update->accumulate > 1 || isfinite(update->clip_norm) || isfinite(update->clip_value);
}

double bpk_pending_add(bpk_pending *pending, double weight, ptrdiff_t accumulate, int at_end) {
    pending->batches++;
    pending->weight += weight;
    if (pending->batches < accumulate && !at_end) return 0;
    double total = pending->weight;
    *pending = (bpk_pending){0};
    return total;
}

/* A chunk is a part of one layer's weights or of its bias, including their zero padding; or of a group of the
 * input stage or the shares of a layer's activation, which are not penalised, like a bias. Chunks do not
 * depend on the number of members, and so neither do sums over them. */
enum { CHUNK = 4096 };

typedef struct {
    const step *step;
    int next_layer, next_is_bias; /* where the next chunk begins */
    ptrdiff_t next_offset;
    int next_group;   /* of the input stage, after all layers */
    int next_mix;     /* a layer, after these */
    ptrdiff_t number; /* the current chunk's, counted over all layers and groups */
    int is_bias;
    const bpk_group *group;
    void *parameters; /* (n,) */
    ptrdiff_t n;
} chunk;

static ptrdiff_t size_of(const bpk_net *net, int l, int is_bias) {
    const net_layer *layer = &net->layers[l];
    return is_bias ? layer->width : layer->rows * padded(net->kernels, layer->columns);
}

static ptrdiff_t chunks_of(ptrdiff_t size) { return (size + CHUNK - 1) / CHUNK; }

ptrdiff_t count_chunks(const bpk_net *net) {
    ptrdiff_t count = 0;
    for (int l = 0; l < net->count; l++)
        count += chunks_of(size_of(net, l, 0)) + chunks_of(size_of(net, l, 1));
    for (int g = 0; net->inputs && g < net->inputs->groups; g++)
        count += chunks_of(net->inputs->group[g].size);
    for (int l = 0; l < net->count; l++)
        if (net->layers[l].mixes) count += chunks_of(net->layers[l].out);
    return count;
}

/* The member's chunks: those whose number is its index modulo the number of members. */
static chunk own_chunks(const step *s) { return (chunk){.step = s, .number = -1}; }

static int is_own(const chunk *c) { return c->number % c->step->me.count == c->step->me.index; }

/* The next CHUNK of `size` parameters from `first` on, or what is left of them, is the current chunk. Returns
 * whether it is the last of them. */
static int emit(chunk *c, const bpk_group *group, int is_bias, const void *first, ptrdiff_t size) {
    c->number++;
    c->group = group;
    c->is_bias = is_bias;
    c->parameters = element(c->step->net->kernels, first, c->next_offset);
    c->n = smaller(size - c->next_offset, CHUNK);
    c->next_offset += CHUNK;
    if (c->next_offset < size) return 0;
    c->next_offset = 0;
    return 1;
}

/* next_chunk after the layers. */
static int next_of_extra(chunk *c) {
    const bpk_net *net = c->step->net;
    while (net->inputs && c->next_group < net->inputs->groups) {
        const input_group *group = &net->inputs->group[c->next_group];
        const void *first = element(net->kernels, net->inputs->values, group->at);
        c->next_group += emit(c, &group->factors, 1, first, group->size);
        if (is_own(c)) return 1;
    }
    while (c->next_mix < net->count) {
        const net_layer *layer = &net->layers[c->next_mix];
        if (!layer->mixes) {
            c->next_mix++;
            continue;
        }
        c->next_mix += emit(c, &layer->mix_group, 1, layer->mix, layer->out);
        if (is_own(c)) return 1;
    }
    return 0;
}

/* Advances to the member's next chunk; returns 0 after the last. */
static int next_chunk(chunk *c) {
    const bpk_net *net = c->step->net;
    while (c->next_layer < net->count) {
        const net_layer *layer = &net->layers[c->next_layer];
        const int is_bias = c->next_is_bias;
        const ptrdiff_t size = size_of(net, c->next_layer, is_bias);
        if (emit(c, &layer->groups[is_bias ? BPK_BIASES : BPK_WEIGHTS], is_bias,
                 is_bias ? layer->b : layer->w, size)) {
            c->next_layer += is_bias;
            c->next_is_bias = !is_bias;
        }
        if (is_own(c)) return 1;
    }
    return net->extra_size && next_of_extra(c);
}

void step_penalties(const step *s, double l1, double l2) {
    const bpk_kernels *kernels = s->net->kernels;
    for (chunk c = own_chunks(s); next_chunk(&c);) {
        double sum = 0;
        if (!c.is_bias && l2 != 0) sum += l2 * kernels->sum_squares(c.n, c.parameters);
        if (!c.is_bias && l1 != 0) sum += l1 * kernels->sum_absolute(c.n, c.parameters);
        s->ws->sums[c.number] = sum;
    }
}

double step_sums(const step *s) {
    double sum = 0;
    for (ptrdiff_t i = 0, count = count_chunks(s->net); i < count; i++) sum += s->ws->sums[i];
    return sum;
}

/* The factor that limits the norm of the gradient. As PyTorch's clip_grad_norm_, it adds 1e-6 to the norm. */
static double clipping(const step *s, double limit) {
    double factor = limit / (sqrt(step_sums(s)) + 1e-6);
    return factor < 1 ? factor : 1;
}

/* Moves the parameters of a chunk along their stored gradients. `move` is that of all layers; `penalty` is
 * the part of its decay that is a penalty's gradient. */
static void move_chunk(const chunk *c, const bpk_move *move, double penalty) {
    const step *s = c->step;
    const bpk_net *net = s->net;
    if (c->group->frozen) return;
    void *states[BPK_STATES];
    bpk_move own;
    if (net->has_groups || net->extra_size) {
        own = group_move(move, c->group, penalty);
        move = &own;
    }
    for (int i = 0; i < BPK_STATES; i++) {
        int used = bpk_uses(&s->request->update.optimizer, BPK_M + i);
        states[i] = counterpart(net, used ? net->stores[BPK_M + i] : NULL, c->parameters);
    }
    net->kernels->move(move, c->n, counterpart(net, s->ws->gradients, c->parameters), c->parameters, states);
}

void step_clear_gradients(const step *s) {
    const bpk_kernels *kernels = s->net->kernels;
    ptrdiff_t from, to;
    team_share(s->me, s->net->size, CACHE_LINE, &from, &to);
    memset(element(kernels, s->ws->gradients, from), 0, (size_t)(to - from) * kernels->real_size);
}

void step_spend(const step *s, double scale) {
    const bpk_net *net = s->net;
    const bpk_kernels *kernels = net->kernels;
    const bpk_update_settings *update = &s->request->update;
    void *gradients = s->ws->gradients;
    const double part = update->penalty_per_weight ? fabs(scale) : 1;
    const double l2 = part * update->l2, l1 = part * update->l1;
    team_barrier(s->me);
    for (chunk c = own_chunks(s); next_chunk(&c);) {
        void *own = counterpart(net, gradients, c.parameters);
        s->ws->sums[c.number] =
            c.group->frozen
                ? 0
                : kernels->collect(c.n, own, c.parameters, scale, c.is_bias ? 0 : 2 * l2, c.is_bias ? 0 : l1);
    }
    team_barrier(s->me);
    /* Weights move like biases here: `collect` has added the penalties to the gradients. */
    bpk_move move = next_moves(s->request, s->counts, s->cursor.updates, 1).biases;
    if (isfinite(update->clip_norm)) move.scale = clipping(s, update->clip_norm);
    move.limit = update->clip_value;
    for (chunk c = own_chunks(s); next_chunk(&c);) {
        move_chunk(&c, &move, 0);
        memset(counterpart(net, gradients, c.parameters), 0, (size_t)c.n * kernels->real_size);
    }
}

void step_move(const step *s) {
    moves moves = next_moves(s->request, s->counts, s->cursor.updates, s->weight);
    team_barrier(s->me);
    for (chunk c = own_chunks(s); next_chunk(&c);)
        if (c.is_bias)
            move_chunk(&c, &moves.biases, 0);
        else
            move_chunk(&c, &moves.weights, moves.penalty);
}

void step_average(const step *s) {
    const bpk_net *net = s->net;
    if (!net->stores[BPK_AVERAGE]) return;
    team_barrier(s->me);
    for (chunk c = own_chunks(s); next_chunk(&c);)
        if (!c.group->frozen)
            net->kernels->average(c.n, counterpart(net, net->stores[BPK_AVERAGE], c.parameters), c.parameters,
                                  s->request->update.average_decay);
}
