/* The work of a step, the number of threads that pays, whether a step stores its gradients first, and which
 * layers are updated by the kernel `sweep`. */
#include "trainer/inputs.h"
#include "trainer/step.h"

/* The threads of a call take about a hundred microseconds to start, and wait for each other several times per
 * step. So several threads are used only if each has THREAD_WORK of a step and the call has CALL_WORK, in the
 * unit of bpk_step_work. Both are measured. */
static const double THREAD_WORK = 6e6, CALL_WORK = 1e8;

/* Moving a byte of weights through the caches takes about as long as a floating-point operation in registers.
 * In float32, plain SGD moves 16 bytes per weight, each store besides the parameters 8 more, and a forward
 * pass 4. */
double bpk_step_work(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose) {
    double in = (double)net->layers[0].in;
    double calls = 5e3 + (double)rows * (200 + 10 * in); /* measured: the calls, and gathering the rows */
    if (net->inputs) calls += inputs_work(net->inputs, rows, purpose != BPK_FOR_FORWARD);
    double weights = 0, bytes = 8, first = in * (double)net->layers[0].out;
    for (int l = 0; l < net->count; l++) weights += (double)net->layers[l].in * (double)net->layers[l].out;
    if (purpose == BPK_FOR_FORWARD) return calls + weights * (2 * (double)rows + 4);
    for (int store = 0; store < BPK_N_STORES; store++) bytes += net->stores[store] ? 8 : 0;
    return calls + 2 * (double)rows * (3 * weights - first) + weights * bytes;
}

int bpk_threads_worth(double step_work, double steps, int limit) {
    if (step_work * steps < CALL_WORK || step_work < 2 * THREAD_WORK) return 1;
    double threads = step_work / THREAD_WORK;
    return threads < limit ? (int)threads : limit;
}

/* A product on the caller's matrices is made in pieces, and a thread that begins late delays nobody; but
 * starting it takes the caller's time. PRODUCT_WORK takes about a tenth of a millisecond, the least time that
 * a second thread shortens. */
static const double PRODUCT_WORK = 1e7;

int bpk_product_threads(const bpk_kernels *kernels, double n, double in, double out, double bytes,
                        int limit) {
    double work = in * out * (2 * n + bytes) * (double)kernels->real_size / sizeof(float);
    if (work < PRODUCT_WORK) return 1;
    double threads = work / (PRODUCT_WORK / 2);
    return threads < limit ? (int)threads : limit;
}

/* Storing the gradients moves 12 bytes per weight through memory, in float32. The rest of the step makes 6
 * operations per weight and row: with ROWS_TO_GO_BACK rows, these take a hundred times as long. LONG_STEP is
 * a fifth of a second at 100 operations per nanosecond. */
static const double LONG_STEP = 2e10;
enum { ROWS_TO_GO_BACK = 1024 };

int step_goes_back(const bpk_net *net, ptrdiff_t rows) {
    return rows >= ROWS_TO_GO_BACK && bpk_step_work(net, rows, BPK_FOR_TRAINING) >= LONG_STEP;
}

/* Batches of one row gain in every layer: moving the weights through the caches is all that an update does.
 * Larger batches gain only in the first layer, whose next activations are computed in the same pass
 * (ahead.h): not if the weights stay in the first-level cache anyway; nor if they come from memory, where two
 * passes are as fast as one (measured); nor if much of a block is padding, which `sweep` computes and
 * `update` skips. */
static const double SWEEP_LEAST = 1 << 14, SWEEP_MOST = 1 << 20;

int step_sweeps(const bpk_net *net, int l, ptrdiff_t rows) {
    const net_layer *layer = &net->layers[l];
    if (layer->narrow || rows > net->kernels->sweep_rows) return 0;
    if (rows == 1) return 1;
    const double weights = (double)layer->in * (double)layer->out;
    return l == 0 && weights >= SWEEP_LEAST && weights <= SWEEP_MOST &&
           layer->width - layer->out <= layer->width / 16;
}
