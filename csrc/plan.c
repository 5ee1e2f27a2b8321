/* Which way a call goes: how much work its steps are, how many threads that is worth, and whether the net is
 * so small that it takes the way of its own. */
#include "net.h"

/* Threads for one call cost about a hundred microseconds to start, and wait for each other several times a
 * step. Measured in work, as below: what a step must bring each thread, and a call all of them. */
static const double THREAD_WORK = 6e6, CALL_WORK = 1e8;

/* A byte of weights from the caches takes about as long as a floating-point operation on the numbers in
 * registers; plain SGD moves 16 bytes a weight and 8 more for each other store, the forward pass alone 4. */
double bpk_step_work(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose) {
    double in = (double)net->layers[0].in;
    double calls =
        5e3 + (double)rows * (200 + 10 * in); /* besides: the rows are gathered, perhaps converted */
    double weights = 0, bytes = 8, first = in * (double)net->layers[0].out;
    for (int l = 0; l < net->count; l++) weights += (double)net->layers[l].in * (double)net->layers[l].out;
    if (purpose == BPK_FOR_FORWARD) return calls + weights * (2 * (double)rows + 4);
    for (int store = 0; store < BPK_N_STORES; store++) bytes += net->stores[store] ? 8 : 0;
    return calls + 2 * (double)rows * (3 * weights - first) + weights * bytes;
}

int goes_online(const bpk_net *net, const bpk_run *run) {
    const bpk_kernels *kernels = net->kernels;
    const bpk_data *data = &run->data;
    if (!kernels->online || run->batch != 1 || run->l2 != 0 || run->l1 != 0 || data->weights ||
        bpk_stores_gradients(run) || run->outputs || net->stores[BPK_AVERAGE] ||
        !is_plain(kernels, &data->x) || !(data->labels || is_plain(kernels, &data->y)) ||
        net->count > ONLINE_LAYERS || net->layers[0].in > kernels->vector || net->loss_factor != 1 ||
        net->slope_factor != 1)
        return 0;
    for (int l = 0; l < net->count; l++)
        if (net->layers[l].out > kernels->vector || keeps_slope(&net->layers[l])) return 0;
    return 1;
}

int bpk_threads_worth(double step_work, double steps, int most) {
    if (step_work * steps < CALL_WORK || step_work < 2 * THREAD_WORK) return 1;
    double threads = step_work / THREAD_WORK;
    return threads < most ? (int)threads : most;
}
