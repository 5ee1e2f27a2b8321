/* How much work a step is, and how many threads are worth their keep. */
#include "net.h"

/* Threads for one call cost about a hundred microseconds to start, and wait for each other several times a
 * step. Measured in work, as below: what a step must bring each thread, and a call all of them. */
static const double THREAD_WORK = 6e6, CALL_WORK = 1e8;

/* A byte of weights from the caches takes about as long as a floating-point operation on the numbers in
 * registers; plain SGD moves 16 bytes a weight, momentum 24, the forward pass alone 4. */
double bpk_step_work(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose) {
    double weights = 0, first = (double)net->layers[0].in * (double)net->layers[0].out;
    for (int l = 0; l < net->count; l++)
        weights += (double)net->layers[l].in * (double)net->layers[l].out;
    if (purpose == BPK_FOR_FORWARD) return weights * (2 * (double)rows + 4);
    return 2 * (double)rows * (3 * weights - first) + weights * (net->velocities ? 24 : 16);
}

int bpk_threads_worth(double step_work, double steps, int most) {
    if (step_work * steps < CALL_WORK || step_work < 2 * THREAD_WORK) return 1;
    double threads = step_work / THREAD_WORK;
    return threads < most ? (int)threads : most;
}
