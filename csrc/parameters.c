/* What is done to all parameters alike: penalties, the spending of stored gradients, the average. */
#include <math.h>
#include <string.h>

#include "net.h"

int bpk_stores_gradients(const bpk_run *run) {
    return run->accumulate > 1 || isfinite(run->clip_norm) || isfinite(run->clip_value);
}

/* Some of one layer's weights or of its bias; their padding counts as well, and is zero. Chunks are the same
 * whoever makes them, so that sums over them do not depend on how many members there are. */
enum { CHUNK = 4096 };

typedef struct {
    const step *step;
    int next_layer, next_is_bias; /* where the next begins */
    ptrdiff_t next_offset;
    ptrdiff_t number; /* over all layers */
    int is_bias;
    void *parameters;
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
    return count;
}

static chunk own_chunks(const step *s) { return (chunk){.step = s, .number = -1}; }

/* The next that is the member's; 0 after the last. */
static int next_chunk(chunk *c) {
    const bpk_net *net = c->step->net;
    while (c->next_layer < net->count) {
        const net_layer *layer = &net->layers[c->next_layer];
        ptrdiff_t size = size_of(net, c->next_layer, c->next_is_bias);
        c->number++;
        c->is_bias = c->next_is_bias;
        c->parameters = element(net->kernels, c->is_bias ? layer->b : layer->w, c->next_offset);
        c->n = smaller(size - c->next_offset, CHUNK);
        c->next_offset += CHUNK;
        if (c->next_offset >= size) {
            c->next_offset = 0;
            c->next_layer += c->is_bias;
            c->next_is_bias = !c->is_bias;
        }
        if (c->number % c->step->me.count == c->step->me.index) return 1;
    }
    return 0;
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

/* PyTorch's clip_grad_norm_ adds a millionth to the norm before it divides by it. */
static double clipping(const step *s, double most) {
    double factor = most / (sqrt(step_sums(s)) + 1e-6);
    return factor < 1 ? factor : 1;
}

void step_spend(const step *s, double scale) {
    const bpk_net *net = s->net;
    const bpk_kernels *kernels = net->kernels;
    const bpk_run *run = s->run;
    void *gradients = s->ws->gradients;
    const double part = run->penalty_per_weight ? scale : 1, l2 = part * run->l2, l1 = part * run->l1;
    team_barrier(s->me);
    for (chunk c = own_chunks(s); next_chunk(&c);)
        s->ws->sums[c.number] = kernels->collect(c.n, beside(net, gradients, c.parameters), c.parameters,
                                                 scale, c.is_bias ? 0 : 2 * l2, c.is_bias ? 0 : l1);
    team_barrier(s->me);
    bpk_move move = next_moves(run, s->counts, s->updates, 1).biases;
    if (isfinite(run->clip_norm)) move.scale = clipping(s, run->clip_norm);
    move.limit = run->clip_value;
    for (chunk c = own_chunks(s); next_chunk(&c);) {
        void *gradient = beside(net, gradients, c.parameters), *states[BPK_STATES];
        for (int i = 0; i < BPK_STATES; i++) {
            void *store = bpk_uses(&run->optimizer, BPK_M + i) ? net->stores[BPK_M + i] : NULL;
            states[i] = beside(net, store, c.parameters);
        }
        kernels->move(&move, c.n, gradient, c.parameters, states);
        memset(gradient, 0, (size_t)c.n * kernels->real_size);
    }
}

void step_average(const step *s) {
    const bpk_net *net = s->net;
    if (!net->stores[BPK_AVERAGE]) return;
    team_barrier(s->me);
    for (chunk c = own_chunks(s); next_chunk(&c);)
        net->kernels->average(c.n, beside(net, net->stores[BPK_AVERAGE], c.parameters), c.parameters,
                              s->run->average_decay);
}
