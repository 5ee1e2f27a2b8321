/* Bounds of all numbers of a network after its next update. */
#include "trainer/bounds.h"

#include <float.h>
#include <math.h>

#include "trainer/optimizer.h"
#include "trainer/products.h"

/* The relative error of the formulas of one element, of a measured norm, and of the bounds themselves. */
static const double MARGIN = 1 + 0x1p-12;

/* The most terms of a sum whose rounding the factors of 2 cover. */
enum { MOST_TERMS = 1 << 22 };

/* After this many updates without a proof the next one is tried: a failed one takes as long as two copies. */
enum { UPDATES_WITHOUT = 32 };

typedef struct {
    double largest, smallest; /* of the bounds; of the normal reals */
} range;

static range range_of(const bpk_kernels *kernels) {
    return kernels->dtype == BPK_F64 ? (range){DBL_MAX / 1024, DBL_MIN} : (range){FLT_MAX / 1024, FLT_MIN};
}

/* The sum of squares of x (n). Squares that are no normal numbers have counted as 0. */
static double squares(const bpk_kernels *kernels, ptrdiff_t n, const void *x) {
    return kernels->sum_squares(n, x) * MARGIN + (double)n * range_of(kernels).smallest;
}

/* The sum of squares of a matrix (m, n) in blocks of `rows` rows, whose padding is not read. */
static double squares_of_blocks(const bpk_kernels *kernels, ptrdiff_t rows, ptrdiff_t m, ptrdiff_t n,
                                const void *blocks) {
    double sum = 0;
    for (ptrdiff_t j = 0, width; j < n; j += width) {
        width = block_width(kernels, n - j);
        const void *block = element(kernels, blocks, j * rows);
        if (width <= n - j) {
            sum += squares(kernels, m * width, block);
            continue;
        }
        for (ptrdiff_t i = 0; i < m; i++) sum += squares(kernels, n - j, element(kernels, block, i * width));
    }
    return sum;
}

static ptrdiff_t size_of(const bpk_net *net, const net_layer *layer) {
    return layer->rows * padded(net->kernels, layer->columns) + layer->width;
}

/* Measures the norm of a layer in a store. Its weights and its bias are adjacent (net.c). */
static void measure(const bpk_net *net, net_layer *layer, int store) {
    const void *at = counterpart(net, net->stores[store], layer->w);
    layer->norms[store] = at ? sqrt(squares(net->kernels, size_of(net, layer), at)) * MARGIN : 0;
}

static double mix(double decay, double a, double b) { return decay * a + (1 - decay) * b; }

/* after[] <- the bounds of the layer after an update by gradients of at most g. Returns whether none is too
 * large; not if any is NaN. */
static int move_bounds(const bpk_move *move, range range, double size, double g, const double *norms,
                       double *after) {
    const bpk_optimizer *o = &move->optimizer;
    const double m = norms[BPK_M], v = norms[BPK_V], u = norms[BPK_U], w = norms[BPK_PARAMETERS];
    const double eps = fmax(move->eps, range.smallest);
    g += fabs(move->decay) * w + fabs(move->l1) * sqrt(size);
    double step = g;
    double *next_m = &after[BPK_M], *next_v = &after[BPK_V], *next_u = &after[BPK_U];
    *next_m = *next_v = *next_u = 0;
    switch (o->rule) {
        case BPK_SGD:
            *next_m = o->momentum * m + g;
            step = g + *next_m;
            break;
        case BPK_RMSPROP:
            *next_v = mix(o->square_decay, v, g * g);
            *next_u = mix(o->square_decay, u, g);
            *next_m = o->momentum * m + g / eps;
            step = g / eps + *next_m;
            break;
        case BPK_ADAGRAD:
            *next_v = v + g * g;
            step = g / eps;
            break;
        case BPK_ADAM:
        case BPK_ADAMW:
            *next_m = mix(o->momentum, m, g);
            *next_v = mix(o->square_decay, v, g * g);
            *next_u = u + *next_v;
            step = *next_m / eps;
            break;
        case BPK_NADAM:
            *next_m = mix(o->momentum, m, g);
            *next_v = mix(o->square_decay, v, g * g);
            step = (fabs(move->gradient_part) * g + fabs(move->mean_part) * *next_m) / eps;
            break;
        case BPK_N_RULES: return 0;
    }
    after[BPK_PARAMETERS] = fabs(move->shrink) * w + fabs(move->lr) * step;
    after[BPK_AVERAGE] = fmax(norms[BPK_AVERAGE], after[BPK_PARAMETERS]);
    const double squared = o->rule == BPK_SGD ? 0 : g * g, mean = o->rule == BPK_RMSPROP ? *next_u : 0;
    const double root = sqrt(*next_v + *next_u) / move->correction + eps;
    const double others[] = {
        g, squared, step, mean * mean, root, fabs(move->lr), fabs(move->decay), fabs(move->shrink)};
    int holds = 1;
    for (int i = 0; i < (int)(sizeof others / sizeof *others); i++) holds &= others[i] <= range.largest;
    for (int store = 0; store < BPK_N_STORES; store++) {
        int changes = store == BPK_PARAMETERS || store == BPK_AVERAGE || bpk_uses(o, store);
        after[store] = changes ? after[store] * MARGIN : norms[store];
        holds &= after[store] <= range.largest;
    }
    return holds;
}

/* The moves of a layer with groups as one, whose bounds hold for both. Those of frozen parameters hold
 * anyway: they are too large. */
static bpk_move widest(const moves *all, const net_layer *layer) {
    const moves own = layer_moves(all, layer->groups);
    bpk_move move = own.weights;
    move.lr = fmax(move.lr, own.biases.lr);
    move.decay = fmax(move.decay, own.biases.decay);
    move.shrink = fmax(fabs(move.shrink), fabs(own.biases.shrink));
    return move;
}

/* The norm of layer l's input, with a column of ones for the bias. */
static double input_norm(const bpk_net *net, const step *s, int l) {
    return sqrt(squares_of_blocks(net->kernels, s->rows, s->m, net->layers[l].in, step_input(s, l)) +
                (double)s->m) *
           MARGIN;
}

/* The largest |s'| as a multiple of 1.13, at least 1. Slopes up to 1.13 are covered by the factors of 2 in
 * `follow`. */
static double steepness(const net_layer *layer) {
    if (layer->parametric) return fmax(1, layer->parameter);
    return layer->activation == BPK_SELU ? 1.76 : 1;
}

/* Computes the bounds after the update, from the kept ones, in `after` of each layer. */
static int follow(bpk_net *net, const step *s) {
    const range range = range_of(net->kernels);
    const moves moves = next_moves(s->request, s->counts, s->cursor.updates, s->weight);
    const net_layer *last = last_layer(net);
    double delta =
        sqrt(squares_of_blocks(net->kernels, s->rows, s->m, last->out, s->ws->layers[net->count - 1].delta)) *
        MARGIN;
    for (int l = net->count - 1; l >= 0; l--) {
        net_layer *layer = &net->layers[l];
        double g = 2 * delta * input_norm(net, s, l);
        const bpk_move move = net->has_groups ? widest(&moves, layer) : moves.weights;
        if (s->m > MOST_TERMS || layer->out > MOST_TERMS ||
            !move_bounds(&move, range, (double)size_of(net, layer), g, layer->norms, layer->after))
            return 0;
        delta *= 2 * layer->norms[BPK_PARAMETERS];
        if (l) delta *= steepness(&net->layers[l - 1]) / (1 - dropout_of(s, l - 1));
        if (!(delta <= range.largest)) return 0;
    }
    return 1;
}

/* The weights above the first layer, which bound its delta, grow out of proportion first: they are measured
 * before the others. */
static int proves(bpk_net *net, const step *s) {
    if (bpk_stores_gradients(&s->request->update) || net->extra_size) return 0;
    if (net->has_bounds) {
        if (follow(net, s)) return 1;
        for (int l = 1; l < net->count; l++) measure(net, &net->layers[l], BPK_PARAMETERS);
        if (follow(net, s)) return 1;
    }
    for (int l = 0; l < net->count; l++)
        for (int store = 0; store < BPK_N_STORES; store++) measure(net, &net->layers[l], store);
    return follow(net, s);
}

int bounds_hold(bpk_net *net, const step *s) {
    if (net->updates_without > 0) {
        net->updates_without--;
        return 0;
    }
    net->has_bounds = proves(net, s);
    if (!net->has_bounds) net->updates_without = UPDATES_WITHOUT;
    for (int l = 0; net->has_bounds && l < net->count; l++)
        memcpy(net->layers[l].norms, net->layers[l].after, sizeof net->layers[l].norms);
    return net->has_bounds;
}
