/* How much work a step is, and how many threads that is worth. */
#include "trainer/net.h"

/* Threads for one call cost about a hundred microseconds to start, and wait for each other several times per
 * step. The least work, in the unit of bpk_step_work, of a step per thread and of a whole call. */
static const double THREAD_WORK = 6e6, CALL_WORK = 1e8;

/* Moving a byte of weights through the caches takes about as long as a floating-point operation in registers.
 * Plain SGD moves 16 bytes per weight, and 8 more for each other store; a forward pass moves 4. */
double bpk_step_work(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose) {
    double in = (double)net->layers[0].in;
    double calls = 5e3 + (double)rows * (200 + 10 * in); /* of the calls, and of gathering the rows */
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
