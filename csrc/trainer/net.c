/* A network: its layers, and the stores of its parameters and their companions. */
#include "trainer/net.h"

#include <stdlib.h>

#include "platform/fp_mode.h"
#include "platform/memory.h"
#include "trainer/compressed.h"
#include "trainer/inputs.h"
#include "trainer/products.h"

ptrdiff_t net_total(ptrdiff_t sum, ptrdiff_t rows, ptrdiff_t columns) {
    ptrdiff_t product;
    if (sum < 0 || __builtin_mul_overflow(rows, columns, &product) ||
        __builtin_add_overflow(sum, product, &sum))
        return -1;
    return sum;
}

/* Whether the columns of X or any layer's outputs are wider than a vector. If not, nor the inputs of layer 0
 * behind an input stage, no layer is narrow: online.c makes such a net's steps of one row in registers, and
 * reads every W as (in, out). */
static int has_wide(const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes) {
    for (int l = 0; l <= layers; l++)
        if (sizes[l] > kernels->vector) return 1;
    return 0;
}

/* The layout of a store: layer after layer, first the weights in blocks, then the bias; and at the end the
 * extra parameters. */
void net_lay_out(bpk_net *net, void *memory) {
    ptrdiff_t at = 0;
    for (int l = 0; l < net->count; l++) {
        net_layer *layer = &net->layers[l];
        layer->w = element(net->kernels, memory, at);
        at += layer->rows * padded(net->kernels, layer->columns);
        layer->b = element(net->kernels, memory, at);
        at += layer->width;
    }
    net->extra = element(net->kernels, memory, at);
    if (net->inputs) net->inputs->values = net->extra;
    at += net->inputs ? net->inputs->size : 0;
    for (int l = 0; l < net->count; l++) {
        net_layer *layer = &net->layers[l];
        if (!layer->mixes) continue;
        layer->mix = element(net->kernels, memory, at);
        at += layer->out;
    }
}

/* The net's own copy of the loss and its parameters, as reals. */
static bpk_status copy_loss(bpk_net *net, const bpk_loss_settings *loss, ptrdiff_t outputs) {
    net->loss = *loss;
    net->loss.parameters = NULL;
    if (!loss->parameters) return BPK_OK;
    net->loss_parameters = allocate(outputs, net->kernels->real_size);
    if (!net->loss_parameters) return BPK_NO_MEMORY;
    from_doubles(net->kernels, outputs, loss->parameters, net->loss_parameters);
    return BPK_OK;
}

static bpk_status create(const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes,
                         const bpk_activation *activations, const bpk_loss_settings *loss, int compressed,
                         net_inputs *inputs, bpk_net **result) {
    bpk_net *net = calloc(1, sizeof *net + (size_t)layers * sizeof net->layers[0]);
    if (!net) {
        net_inputs_free(inputs);
        return BPK_NO_MEMORY;
    }
    net->inputs = inputs;
    net->kernels = kernels;
    net->count = layers;
    net->compressed = compressed;
    int wide = has_wide(kernels, layers, sizes) || (inputs && inputs->width > kernels->vector);
    for (int l = 0; l < layers; l++) {
        /* For larger sizes, rounding up to whole vectors could overflow. */
        if (sizes[l] > PTRDIFF_MAX / 2 || sizes[l + 1] > PTRDIFF_MAX / 2) net->size = -1;
        if (net->size < 0) break;
        ptrdiff_t in = l || !inputs ? sizes[l] : inputs->width, out = sizes[l + 1];
        int narrow = wide && out <= kernels->narrow, pairs = compressed && !narrow;
        net_layer *layer = &net->layers[l];
        *layer = (net_layer){.in = in,
                             .out = out,
                             .width = padded(kernels, out),
                             .activation = activations[l],
                             .narrow = narrow,
                             .pairs = pairs,
                             .rows = narrow  ? out
                                     : pairs ? rows_of_pairs(in)
                                             : in,
                             .columns = narrow ? in : out};
        for (int kind = 0; kind < BPK_N_KINDS; kind++) layer->groups[kind] = (bpk_group){.lr = 1, .decay = 1};
        net->size = net_total(net->size, layer->rows, padded(kernels, layer->columns));
        net->size = net_total(net->size, 1, layer->width);
    }
    net->extra_size = inputs ? inputs->size : 0;
    net->size = net_total(net->size, 1, padded(kernels, net->extra_size));
    if (bpk_net_make(net, BPK_PARAMETERS) != BPK_OK || copy_loss(net, loss, sizes[layers]) != BPK_OK) {
        bpk_net_free(net);
        return BPK_NO_MEMORY;
    }
    net_lay_out(net, net->stores[BPK_PARAMETERS]);
    *result = net;
    return BPK_OK;
}

bpk_status bpk_net_create(const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes,
                          const bpk_activation *activations, const bpk_loss_settings *loss,
                          bpk_net **result) {
    return create(kernels, layers, sizes, activations, loss, 0, NULL, result);
}

bpk_status bpk_net_create_with_inputs(const bpk_kernels *kernels, int count, const bpk_input *given,
                                      int layers, const ptrdiff_t *sizes, const bpk_activation *activations,
                                      const bpk_loss_settings *loss, bpk_net **result) {
    net_inputs *inputs = net_inputs_create(sizes[0], count, given);
    if (!inputs) return BPK_NO_MEMORY;
    return create(kernels, layers, sizes, activations, loss, 0, inputs, result);
}

bpk_status bpk_net_create_compressed(const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes,
                                     const bpk_activation *activations, const bpk_loss_settings *loss,
                                     bpk_net **result) {
    return create(kernels, layers, sizes, activations, loss, 1, NULL, result);
}

void bpk_net_free(bpk_net *net) {
    if (!net) return;
    for (int store = 0; store < BPK_N_STORES; store++) {
        bpk_net_discard(net, store);
        release(net->saved[store]);
    }
    release(net->loss_parameters);
    net_inputs_free(net->inputs);
    free(net);
}

size_t bpk_net_weight_size(const bpk_net *net, int l) {
    return net->layers[l].pairs ? sizeof(bfloat16_pair) / 2 : net->kernels->real_size;
}

void *bpk_net_buffer(const bpk_net *net) { return allocate(net->size, net->kernels->real_size); }

ptrdiff_t bpk_net_size(const bpk_net *net) { return net->size; }

void bpk_free(void *buffer) { release(buffer); }

void bpk_net_buffer_layer(const bpk_net *net, void *buffer, int l, const void *w, const void *b) {
    const net_layer *layer = &net->layers[l];
    void *to_w = counterpart(net, buffer, layer->w), *to_b = counterpart(net, buffer, layer->b);
    /* The padding becomes zero, too: a step that overflowed may have left NaN there. */
    size_t size = (size_t)(layer->rows * padded(net->kernels, layer->columns));
    memset(to_w, 0, size * net->kernels->real_size);
    memset(to_b, 0, (size_t)layer->width * net->kernels->real_size);
    if (layer->narrow)
        for (ptrdiff_t i = 0; i < layer->out; i++)
            net->kernels->scatter(layer->in, element(net->kernels, w, i * layer->in), to_w, layer->rows, i);
    else if (layer->pairs)
        pack_pairs(net->kernels, layer->in, layer->out, w, to_w);
    else
        pack_weights(net->kernels, layer->in, layer->out, w, layer->in, to_w);
    if (layer->narrow && net->compressed) round_weights((ptrdiff_t)size, to_w);
    memcpy(to_b, b, (size_t)layer->out * net->kernels->real_size);
}

void bpk_net_set_layer(bpk_net *net, bpk_store store, int l, const void *w, const void *b) {
    net_forget_bounds(net);
    bpk_net_buffer_layer(net, net->stores[store], l, w, b);
}

int bpk_net_replace(bpk_net *net, bpk_store store, const void *buffer) {
    if (!bpk_all_finite(net->kernels, net->size, buffer)) return 0;
    net_forget_bounds(net);
    memcpy(net->stores[store], buffer, net_store_bytes(net));
    return 1;
}

void net_get_layer(const bpk_net *net, const void *buffer, int l, void *w, void *b) {
    const net_layer *layer = &net->layers[l];
    if (layer->narrow)
        unpack_rows(net->kernels, layer->out, layer->in, counterpart(net, buffer, layer->w), w);
    else if (layer->pairs)
        unpack_pairs(net->kernels, layer->in, layer->out, counterpart(net, buffer, layer->w), w);
    else
        unpack_weights(net->kernels, layer->in, layer->out, counterpart(net, buffer, layer->w), w, layer->in);
    memcpy(b, counterpart(net, buffer, layer->b), (size_t)layer->out * net->kernels->real_size);
}

void bpk_net_get_layer(const bpk_net *net, bpk_store store, int l, void *w, void *b) {
    net_get_layer(net, net->stores[store], l, w, b);
}

bpk_status bpk_net_make(bpk_net *net, bpk_store store) {
    if (net->stores[store]) return BPK_OK;
    ptrdiff_t lead = store * STAGGER / (ptrdiff_t)net->kernels->real_size, size;
    if (net->size < 0 || __builtin_add_overflow(net->size, lead, &size)) return BPK_NO_MEMORY;
    net_forget_bounds(net);
    void *memory = allocate(size, net->kernels->real_size);
    if (!memory) return BPK_NO_MEMORY;
    net->stores[store] = element(net->kernels, memory, lead);
    return BPK_OK;
}

void bpk_net_discard(bpk_net *net, bpk_store store) {
    if (net->stores[store]) release((char *)net->stores[store] - store * STAGGER);
    net->stores[store] = NULL;
}

int bpk_net_has(const bpk_net *net, bpk_store store) { return net->stores[store] != NULL; }

void bpk_net_fill(bpk_net *net, bpk_store store, double value) {
    net_forget_bounds(net);
    for (ptrdiff_t i = 0; i < net->size; i++)
        from_doubles(net->kernels, 1, &value, element(net->kernels, net->stores[store], i));
}

void bpk_net_start_average(bpk_net *net) {
    net_forget_bounds(net);
    memcpy(net->stores[BPK_AVERAGE], net->stores[BPK_PARAMETERS], net_store_bytes(net));
}

bpk_status bpk_net_blend(bpk_net *net, const bpk_net *other, bpk_store store, double part) {
    if (net->kernels != other->kernels) return BPK_OTHER_KERNELS;
    net_forget_bounds(net);
    if (part == 1) { /* an exact copy; `other` may be `net` itself */
        memmove(net->stores[BPK_PARAMETERS], other->stores[store], net_store_bytes(net));
        return BPK_OK;
    }
    fp_mode mode = fp_enter();
    net->kernels->average(net->size, net->stores[BPK_PARAMETERS], other->stores[store], 1 - part);
    fp_leave(mode);
    return BPK_OK;
}

bpk_counts bpk_net_counts(const bpk_net *net) { return net->counts; }
void bpk_net_set_counts(bpk_net *net, bpk_counts counts) { net->counts = counts; }

void bpk_net_set_activation_parameter(bpk_net *net, int l, double parameter) {
    net->layers[l].parametric = 1;
    net->layers[l].parameter = parameter;
}

void bpk_net_set_dropout(bpk_net *net, int l, double probability) { net->layers[l].dropout = probability; }
void bpk_net_set_input_dropout(bpk_net *net, double probability) { net->input_dropout = probability; }
void bpk_net_set_dropout_key(bpk_net *net, uint64_t key) { net->dropout_key = key; }

bpk_status bpk_net_reserve_snapshot(bpk_net *net) {
    for (int store = 0; store < BPK_N_STORES; store++)
        if (net->stores[store] && !net->saved[store]) {
            net->saved[store] = allocate_unset(net->size, net->kernels->real_size);
            if (!net->saved[store]) return BPK_NO_MEMORY;
        }
    return BPK_OK;
}

bpk_status bpk_net_snapshot(bpk_net *net) {
    if (bpk_net_reserve_snapshot(net) != BPK_OK) return BPK_NO_MEMORY;
    for (int store = 0; store < BPK_N_STORES; store++) {
        net->was_there[store] = net->stores[store] != NULL;
        if (net->stores[store]) memcpy(net->saved[store], net->stores[store], net_store_bytes(net));
    }
    net->saved_counts = net->counts;
    return BPK_OK;
}

void bpk_net_restore(bpk_net *net) {
    if (!net->was_there[BPK_PARAMETERS]) return;
    net_forget_bounds(net);
    for (int store = 0; store < BPK_N_STORES; store++)
        if (!net->was_there[store])
            bpk_net_discard(net, store);
        else if (net->stores[store])
            memcpy(net->stores[store], net->saved[store], net_store_bytes(net));
    net->counts = net->saved_counts;
}

int bpk_net_finite(const bpk_net *net) {
    fp_mode mode = fp_enter(); /* comparing denormals raises a flag */
    int finite = 1;
    for (int store = 0; finite && store < BPK_N_STORES; store++)
        finite = !net->stores[store] || net->kernels->all_finite(net->size, net->stores[store]);
    fp_leave(mode);
    return finite;
}

double bpk_net_penalty(const bpk_net *net, bpk_store store, double l1, double l2) {
    const bpk_kernels *kernels = net->kernels;
    fp_mode mode = fp_enter();
    double sum = 0;
    for (int l = 0; l < net->count; l++) {
        const net_layer *layer = &net->layers[l];
        ptrdiff_t size = layer->rows * padded(kernels, layer->columns);
        const void *w = counterpart(net, net->stores[store], layer->w);
        if (layer->pairs) {
            sum += penalty_of_pairs(size, w, l1, l2);
            continue;
        }
        if (l2 != 0) sum += l2 * kernels->sum_squares(size, w);
        if (l1 != 0) sum += l1 * kernels->sum_absolute(size, w);
    }
    fp_leave(mode);
    return sum;
}
