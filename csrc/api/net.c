/* The network of the API: the library's network, the scratch memory of its calls, and its random numbers. */
#include "api/api.h"

#include <math.h>
#include <stdlib.h>

#include "platform/fp_mode.h"
#include "platform/memory.h"

/* The sizes and activations of a network. The library allocates nothing before it has looked at the sizes. */
static bpkern_status check_layers(int layers, const ptrdiff_t *sizes, const bpkern_activation *activations) {
    if (!sizes || !activations) return BPKERN_NULL_POINTER;
    if (layers < 1) return BPKERN_BAD_SIZE;
    for (int l = 0; l <= layers; l++)
        if (sizes[l] < 1) return BPKERN_BAD_SIZE;
    for (int l = 0; l < layers; l++)
        if (!api_is_activation((int)activations[l])) return BPKERN_BAD_NAME;
    return BPKERN_OK;
}

/* The parameters of huber, delta > 0, and of quantile, 0 < q < 1, both finite in the dtype. */
static bpkern_status check_parameters(bpkern_dtype dtype, bpkern_loss loss, const double *parameters,
                                      ptrdiff_t outputs) {
    if (!parameters) return BPKERN_OK;
    if (loss != BPKERN_HUBER && loss != BPKERN_QUANTILE) return BPKERN_BAD_VALUE;
    for (ptrdiff_t i = 0; i < outputs; i++) {
        const double p = dtype == BPKERN_FLOAT32 ? (double)(float)parameters[i] : parameters[i];
        if (!isfinite(p) || p <= 0 || (loss == BPKERN_QUANTILE && p >= 1)) return BPKERN_BAD_VALUE;
    }
    return BPKERN_OK;
}

/* The library's network with these layers, all of whose names are known. */
static bpk_status create(const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes,
                         const bpkern_activation *activations, const bpk_loss_settings *loss, bpk_net **net) {
    bpk_activation *own = allocate(layers, sizeof *own);
    if (!own) return BPK_NO_MEMORY;
    for (int l = 0; l < layers; l++) own[l] = api_activations[activations[l]];
    bpk_status status = bpk_net_create(kernels, layers, sizes, own, loss, net);
    release(own);
    return status;
}

/* Makes the network of bpkern_net_create, whose names and layers are valid. */
static bpkern_status make_net(bpkern_dtype dtype, int layers, const ptrdiff_t *sizes,
                              const bpkern_activation *activations, bpkern_loss loss,
                              const double *parameters, bpkern_net **result) {
    bpkern_status bad = check_parameters(dtype, loss, parameters, sizes[layers]);
    if (bad) return bad;
    const int has_parameters = loss == BPKERN_HUBER || loss == BPKERN_QUANTILE;
    double *defaults = NULL;
    if (has_parameters && !parameters) {
        if (!(defaults = allocate_unset(sizes[layers], sizeof *defaults))) return BPKERN_NO_MEMORY;
        for (ptrdiff_t i = 0; i < sizes[layers]; i++) defaults[i] = loss == BPKERN_HUBER ? 1 : 0.5;
    }
    const bpk_loss_settings settings = {.loss = api_losses[loss],
                                        .parameters = parameters ? parameters : defaults,
                                        .loss_factor = 1,
                                        .slope_factor = 1,
                                        .cap = INFINITY};
    bpkern_net *net = calloc(1, sizeof *net);
    bpk_status status = BPK_NO_MEMORY;
    if (net) status = create(api_kernels(dtype), layers, sizes, activations, &settings, &net->net);
    release(defaults);
    if (status != BPK_OK) {
        free(net);
        return api_status(status);
    }
    net->rule = -1;
    *result = net;
    return BPKERN_OK;
}

bpkern_status bpkern_net_create(bpkern_dtype dtype, int layers, const ptrdiff_t *sizes,
                                const bpkern_activation *activations, bpkern_loss loss,
                                const double *parameters, bpkern_net **net) {
    if (!net) return BPKERN_NULL_POINTER;
    if (!api_is_dtype((int)dtype) || !api_is_loss((int)loss)) return BPKERN_BAD_NAME;
    bpkern_status status = check_layers(layers, sizes, activations);
    if (status) return status;
    fp_mode mode = fp_enter();
    status = make_net(dtype, layers, sizes, activations, loss, parameters, net);
    fp_leave(mode);
    return status;
}

void bpkern_net_free(bpkern_net *net) {
    if (!net) return;
    bpk_workspace_free(net->training);
    bpk_workspace_free(atomic_load(&net->reading));
    bpk_net_free(net->net);
    free(net);
}

int bpkern_net_layers(const bpkern_net *net) { return net ? net->net->count : -1; }

ptrdiff_t bpkern_net_width(const bpkern_net *net, int l) {
    if (!net || l < 0 || l > net->net->count) return -1;
    return l ? net->net->layers[l - 1].out : net->net->layers[0].in;
}

static bpkern_status check_layer(const bpkern_net *net, int l, const void *w, const void *b) {
    if (!net || !w || !b) return BPKERN_NULL_POINTER;
    return l < 0 || l >= net->net->count ? BPKERN_BAD_SIZE : BPKERN_OK;
}

bpkern_status bpkern_net_set_layer(bpkern_net *net, int l, const void *w, const void *b) {
    bpkern_status bad = check_layer(net, l, w, b);
    if (bad) return bad;
    const net_layer *layer = &net->net->layers[l];
    const bpk_kernels *kernels = net->net->kernels;
    if (!bpk_all_finite(kernels, layer->out * layer->in, w) || !bpk_all_finite(kernels, layer->out, b))
        return BPKERN_BAD_VALUE;
    bpk_net_set_layer(net->net, BPK_PARAMETERS, l, w, b);
    return BPKERN_OK;
}

bpkern_status bpkern_net_get_layer(const bpkern_net *net, int l, void *w, void *b) {
    bpkern_status bad = check_layer(net, l, w, b);
    if (bad) return bad;
    bpk_net_get_layer(net->net, BPK_PARAMETERS, l, w, b);
    return BPKERN_OK;
}

bpkern_status bpkern_net_set_activation_parameter(bpkern_net *net, int l, double parameter) {
    if (!net) return BPKERN_NULL_POINTER;
    if (l < 0 || l >= net->net->count) return BPKERN_BAD_SIZE;
    const bpk_activation activation = net->net->layers[l].activation;
    if (activation != BPK_LEAKY_RELU && activation != BPK_ELU) return BPKERN_BAD_NAME;
    const int is_float = net->net->kernels->dtype == BPK_F32;
    const double rounded = is_float ? (double)(float)parameter : parameter;
    if (!(rounded >= 0) || !isfinite(rounded)) return BPKERN_BAD_VALUE;
    /* Their workspaces may have no room for the derivatives of this layer. */
    bpk_workspace_free(net->training);
    bpk_workspace_free(atomic_exchange(&net->reading, NULL));
    net->training = NULL;
    bpk_net_set_activation_parameter(net->net, l, parameter);
    return BPKERN_OK;
}

/* numbers (n) <- uniform on [-half, half). */
static void draw(const bpk_kernels *kernels, api_random *random, double half, ptrdiff_t n, void *numbers) {
    for (ptrdiff_t i = 0; i < n; i++) {
        const double drawn = (2 * api_uniform(random) - 1) * half;
        from_doubles(kernels, 1, &drawn, element(kernels, numbers, i));
    }
}

/* Weights by Glorot and Bengio (2010), and biases of the range of torch.nn.Linear, as init="auto" of the MLP
 * in Python. */
static void draw_layer(bpkern_net *net, int l, void *w, void *b) {
    const bpk_kernels *kernels = net->net->kernels;
    const net_layer *layer = &net->net->layers[l];
    const fp_mode mode = fp_enter();
    const double in = (double)layer->in, out = (double)layer->out;
    draw(kernels, &net->random, sqrt(6 / (in + out)), layer->out * layer->in, w);
    draw(kernels, &net->random, sqrt(1 / in), layer->out, b);
    fp_leave(mode);
    bpk_net_set_layer(net->net, BPK_PARAMETERS, l, w, b);
}

/* Without states of an optimiser, and counting from 0. */
static void forget_training(bpkern_net *net) {
    for (int store = BPK_M; store < BPK_AVERAGE; store++) bpk_net_discard(net->net, (bpk_store)store);
    bpk_net_set_counts(net->net, (bpk_counts){0});
    net->rule = -1;
}

bpkern_status bpkern_net_init(bpkern_net *net, uint64_t seed) {
    if (!net) return BPKERN_NULL_POINTER;
    const bpk_kernels *kernels = net->net->kernels;
    ptrdiff_t weights = 0, outputs = 0;
    for (int l = 0; l < net->net->count; l++) {
        const net_layer *layer = &net->net->layers[l];
        if (layer->in * layer->out > weights) weights = layer->in * layer->out;
        if (layer->out > outputs) outputs = layer->out;
    }
    void *w = allocate_unset(weights, kernels->real_size), *b = allocate_unset(outputs, kernels->real_size);
    if (w && b) {
        net->random = (api_random){seed};
        for (int l = 0; l < net->net->count; l++) draw_layer(net, l, w, b);
        forget_training(net);
    }
    bpkern_status status = w && b ? BPKERN_OK : BPKERN_NO_MEMORY;
    release(w);
    release(b);
    return status;
}
