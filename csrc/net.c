/* A network's parameters and velocities, and the workspaces to run it in. */
#include "net.h"

#include "fp_mode.h"
#include "memory.h"

/* Adding up sizes that may not fit: -1 stays -1. */
static ptrdiff_t total(ptrdiff_t sum, ptrdiff_t rows, ptrdiff_t columns) {
    ptrdiff_t product;
    if (sum < 0 || __builtin_mul_overflow(rows, columns, &product) ||
        __builtin_add_overflow(sum, product, &sum))
        return -1;
    return sum;
}

/* Whether any layer is wider than a vector. In nets without one, all steps of one row are made in registers,
 * for which all layers are transposed. */
static int has_wide(const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes) {
    for (int l = 0; l <= layers; l++)
        if (sizes[l] > kernels->vector) return 1;
    return 0;
}

/* Each layer's weights in blocks, then its bias, one layer after the other. */
static void lay_out(bpk_net *net, void *memory, int velocities) {
    ptrdiff_t at = 0;
    for (int l = 0; l < net->count; l++) {
        net_layer *layer = &net->layers[l];
        void *w = element(net->kernels, memory, at);
        at += layer->rows * padded(net->kernels, layer->columns);
        void *b = element(net->kernels, memory, at);
        at += layer->width;
        if (velocities)
            layer->vw = w, layer->vb = b;
        else
            layer->w = w, layer->b = b;
    }
}

/* The net's own copy of the parameters of its loss, as reals. */
static bpk_status copy_loss(bpk_net *net, const bpk_loss_settings *loss, ptrdiff_t outputs) {
    net->loss = loss->loss;
    net->smoothing = loss->smoothing;
    if (!loss->parameters) return BPK_OK;
    net->loss_parameters = allocate(outputs, net->kernels->real_size);
    if (!net->loss_parameters) return BPK_NO_MEMORY;
    for (ptrdiff_t j = 0; j < outputs; j++) {
        void *to = element(net->kernels, net->loss_parameters, j);
        if (net->kernels->real_size == sizeof(double))
            *(double *)to = loss->parameters[j];
        else
            *(float *)to = (float)loss->parameters[j];
    }
    return BPK_OK;
}

bpk_status bpk_net_create(const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes,
                          const bpk_activation *activations, const bpk_loss_settings *loss,
                          bpk_net **result) {
    bpk_net *net = calloc(1, sizeof *net + (size_t)layers * sizeof net->layers[0]);
    if (!net) return BPK_NO_MEMORY;
    net->kernels = kernels;
    net->count = layers;
    int wide = has_wide(kernels, layers, sizes);
    for (int l = 0; l < layers; l++) {
        /* Sizes near the end of the range are refused before they are rounded up past it. */
        if (sizes[l] > PTRDIFF_MAX / 2 || sizes[l + 1] > PTRDIFF_MAX / 2) net->size = -1;
        if (net->size < 0) break;
        ptrdiff_t in = sizes[l], out = sizes[l + 1];
        int narrow = wide && out <= kernels->narrow;
        net_layer *layer = &net->layers[l];
        *layer = (net_layer){.in = in,
                             .out = out,
                             .width = padded(kernels, out),
                             .activation = activations[l],
                             .narrow = narrow,
                             .rows = narrow ? out : in,
                             .columns = narrow ? in : out};
        net->size = total(net->size, layer->rows, padded(kernels, layer->columns));
        net->size = total(net->size, 1, layer->width);
    }
    net->parameters = allocate(net->size, kernels->real_size);
    if (!net->parameters || copy_loss(net, loss, sizes[layers]) != BPK_OK) {
        bpk_net_free(net);
        return BPK_NO_MEMORY;
    }
    lay_out(net, net->parameters, 0);
    *result = net;
    return BPK_OK;
}

void bpk_net_free(bpk_net *net) {
    if (!net) return;
    free(net->parameters);
    free(net->loss_parameters);
    free(net->velocities);
    free(net->saved);
    free(net);
}

void bpk_net_set_layer(bpk_net *net, int l, const void *w, const void *b) {
    net_layer *layer = &net->layers[l];
    /* The padding too: a step that overflowed may have left NaN in it. */
    size_t size = (size_t)(layer->rows * padded(net->kernels, layer->columns));
    memset(layer->w, 0, size * net->kernels->real_size);
    memset(layer->b, 0, (size_t)layer->width * net->kernels->real_size);
    if (layer->narrow)
        for (ptrdiff_t i = 0; i < layer->out; i++)
            net->kernels->scatter(layer->in, element(net->kernels, w, i * layer->in), layer->w, layer->rows,
                                  i);
    else
        pack_weights(net->kernels, layer->in, layer->out, w, layer->in, layer->w);
    memcpy(layer->b, b, (size_t)layer->out * net->kernels->real_size);
}

void bpk_net_get_layer(const bpk_net *net, int l, void *w, void *b) {
    const net_layer *layer = &net->layers[l];
    if (layer->narrow)
        unpack_rows(net->kernels, layer->out, layer->in, layer->w, w);
    else
        unpack_weights(net->kernels, layer->in, layer->out, layer->w, w, layer->in);
    memcpy(b, layer->b, (size_t)layer->out * net->kernels->real_size);
}

bpk_status bpk_net_make_velocity(bpk_net *net) {
    if (net->velocities) return BPK_OK;
    net->velocities = allocate(net->size, net->kernels->real_size);
    if (!net->velocities) return BPK_NO_MEMORY;
    lay_out(net, net->velocities, 1);
    return BPK_OK;
}

void bpk_net_clear_velocity(bpk_net *net) {
    if (net->velocities) memset(net->velocities, 0, (size_t)net->size * net->kernels->real_size);
}

bpk_status bpk_net_snapshot(bpk_net *net) {
    size_t bytes = (size_t)net->size * net->kernels->real_size;
    if (net->velocities && !net->saved_velocities) {
        free(net->saved);
        net->saved = NULL;
    }
    if (!net->saved) net->saved = allocate(net->size, (net->velocities ? 2 : 1) * net->kernels->real_size);
    if (!net->saved) return BPK_NO_MEMORY;
    memcpy(net->saved, net->parameters, bytes);
    net->saved_velocities = net->velocities != NULL;
    if (net->velocities) memcpy((char *)net->saved + bytes, net->velocities, bytes);
    return BPK_OK;
}

void bpk_net_restore(bpk_net *net) {
    size_t bytes = (size_t)net->size * net->kernels->real_size;
    if (!net->saved) return;
    memcpy(net->parameters, net->saved, bytes);
    if (net->saved_velocities) memcpy(net->velocities, (char *)net->saved + bytes, bytes);
}

int bpk_net_finite(const bpk_net *net) {
    return net->kernels->all_finite(net->size, net->parameters) &&
           (!net->velocities || net->kernels->all_finite(net->size, net->velocities));
}

double bpk_net_sum_squares(const bpk_net *net) {
    fp_mode mode = fp_enter();
    double sum = 0;
    for (int l = 0; l < net->count; l++)
        sum += net->kernels->sum_squares(net->layers[l].rows * padded(net->kernels, net->layers[l].columns),
                                         net->layers[l].w);
    fp_leave(mode);
    return sum;
}
