/* Parameters that are no layer's weights or biases, as one array behind those of the layers; and the shares
 * of activations that are among them. */
#include "trainer/extra.h"

#include <string.h>

#include "trainer/optimizer.h"
#include "trainer/products.h"

/* The array ----------------------------------------------------------------------------------------- */

static size_t bytes_of_extra(const bpk_net *net) { return (size_t)net->extra_size * net->kernels->real_size; }

ptrdiff_t bpk_net_extra_size(const bpk_net *net) { return net->extra_size; }

void bpk_net_get_extra(const bpk_net *net, bpk_store store, void *values) {
    memcpy(values, counterpart(net, net->stores[store], net->extra), bytes_of_extra(net));
}

void bpk_net_buffer_extra(const bpk_net *net, void *buffer, const void *values) {
    memcpy(counterpart(net, buffer, net->extra), values, bytes_of_extra(net));
}

void bpk_net_set_extra(bpk_net *net, bpk_store store, const void *values) {
    net_forget_bounds(net);
    bpk_net_buffer_extra(net, net->stores[store], values);
}

void bpk_workspace_get_extra(const bpk_net *net, const bpk_workspace *ws, void *gradients) {
    memcpy(gradients, counterpart(net, ws->gradients, net->extra), bytes_of_extra(net));
}

void bpk_workspace_set_extra(const bpk_net *net, bpk_workspace *ws, const void *gradients) {
    bpk_net_buffer_extra(net, ws->gradients, gradients);
}

/* Shares of activations ----------------------------------------------------------------------------- */

bpk_status bpk_net_mix(bpk_net *net, int l, double lr_factor, double decay_factor) {
    net_layer *layer = &net->layers[l];
    const ptrdiff_t size = net->size - padded(net->kernels, net->extra_size);
    layer->mixes = 1;
    layer->mix_group = (bpk_group){.lr = lr_factor, .decay = decay_factor};
    net->extra_size = net_total(net->extra_size, 1, layer->out);
    net->size = net->extra_size < 0 ? -1 : net_total(size, 1, padded(net->kernels, net->extra_size));
    bpk_net_discard(net, BPK_PARAMETERS);
    if (bpk_net_make(net, BPK_PARAMETERS) != BPK_OK) return BPK_NO_MEMORY;
    net_lay_out(net, net->stores[BPK_PARAMETERS]);
    return BPK_OK;
}

void mix_backward(const step *s, int l, const mixed_columns *c, const bpk_move *move, void *gradients,
                  void *const stores[BPK_STATES]) {
    const bpk_net *net = s->net;
    const bpk_kernels *kernels = net->kernels;
    const net_layer *layer = &net->layers[l];
    void *delta = element(kernels, s->ws->layers[l].delta, c->place),
         *sums = element(kernels, s->ws->mix_gradients, c->j);
    const bpk_scale_args args = {.m = s->m,
                                 .n = c->n,
                                 .x = element(kernels, s->ws->layers[l].difference, c->place),
                                 .ldx = c->width,
                                 .delta = delta,
                                 .out = sums,
                                 .ldo = c->width};
    kernels->scale_sums(&args);
    kernels->apply_derivative(BPK_SLOPE, s->m, c->n, element(kernels, s->ws->layers[l].slope, c->place),
                              c->width, delta, c->width);
    const bpk_move own = gradients ? *move : group_move(move, &layer->mix_group, 0);
    const void *mix = element(kernels, layer->mix, c->j);
    void *states[BPK_STATES];
    for (int i = 0; i < BPK_STATES; i++) states[i] = counterpart(net, stores[i], mix);
    kernels->move(&own, c->n, sums, gradients ? counterpart(net, gradients, mix) : (void *)mix, states);
}
