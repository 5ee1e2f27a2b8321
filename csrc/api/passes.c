/* Passes of a network over the caller's rows: fit, evaluation, forward. */
#include "api/api.h"

#include <string.h>

#include "platform/clock.h"
#include "platform/fp_mode.h"
#include "platform/memory.h"

/* The report's size in revision 1 of the header. Members that are added are written if the report has them.
 */
enum { LEAST_REPORT = API_SIZE_UP_TO(bpkern_report, bad_row) };

/* Checks the report's size alone, as the rest may never have been set, and writes that nothing was found. */
static bpkern_status begin_report(bpkern_report *report, double **losses) {
    *losses = NULL;
    if (!report) return BPKERN_OK;
    if (!api_is_size(report->size, LEAST_REPORT)) return BPKERN_BAD_SIZE;
    *losses = report->losses;
    report->epochs = 0;
    report->loss = report->accuracy = 0;
    report->bad_row = -1;
    return BPKERN_OK;
}

static void report_means(bpkern_report *report, const bpk_results *results) {
    if (!report) return;
    report->loss = results->loss_sum / results->weight_sum;
    report->accuracy = results->accuracy_sum / results->weight_sum;
}

static bpkern_status report_status(bpkern_report *report, const bpk_run *run, bpk_status status) {
    if (report && status == BPK_BAD_ROW) report->bad_row = run->results.bad_row;
    return api_status(status);
}

/* Reading --------------------------------------------------------------------------------------------------
 */

enum { READ_ROWS = 256 }; /* per step */

/* A workspace for the run: the network's, if nobody else has taken it and it is large enough. */
static bpk_workspace *take_reading(bpkern_net *net, const bpk_request *request) {
    bpk_workspace *kept = atomic_exchange(&net->reading, NULL), *made = NULL;
    if (kept && kept->rows >= request->batch && kept->threads >= request->threads) return kept;
    bpk_workspace_free(kept);
    bpk_workspace_create(net->net, request->batch, BPK_FOR_FORWARD, request->threads, &made);
    return made;
}

static void give_reading(bpkern_net *net, bpk_workspace *workspace) {
    bpk_workspace_free(atomic_exchange(&net->reading, workspace));
}

/* A pass that only reads: forward if there is `out`, otherwise an evaluation. Of the network it changes only
 * `reading`, which is atomic. */
static bpk_status read_rows(const bpkern_net *net, int threads, bpk_run *run, void *out) {
    bpk_request *request = &run->request;
    request->batch = request->data.rows < READ_ROWS ? request->data.rows : READ_ROWS;
    const double work = bpk_step_work(net->net, request->batch, BPK_FOR_FORWARD);
    const double steps = (double)request->data.rows / (double)request->batch;
    request->threads = api_threads(threads, work, steps);
    bpk_workspace *workspace = take_reading((bpkern_net *)net, request);
    if (!workspace) return BPK_NO_MEMORY;
    bpk_status status = out ? bpk_forward(net->net, workspace, run, PTRDIFF_MAX, out)
                            : bpk_evaluate(net->net, workspace, run, PTRDIFF_MAX);
    give_reading((bpkern_net *)net, workspace);
    return status;
}

bpkern_status bpkern_net_forward(const bpkern_net *net, int threads, ptrdiff_t n, const void *x,
                                 ptrdiff_t ldx, void *out) {
    if (!net) return BPKERN_NULL_POINTER;
    const ptrdiff_t inputs = net->net->layers[0].in, outputs = last_layer(net->net)->out;
    bpkern_status bad = api_check_matrix(n, inputs, x, ldx);
    if (!bad) bad = api_check_matrix(n, outputs, out, outputs);
    if (bad) return bad;
    if (!api_are_threads(threads)) return BPKERN_BAD_SIZE;
    if (n == 0) return BPKERN_OK;
    bpk_run run = {.request.data = {.x = api_source(net->net, x, ldx, inputs), .rows = n, .source_rows = n}};
    fp_mode mode = fp_enter();
    bpk_status status = read_rows(net, threads, &run, out);
    fp_leave(mode);
    return api_status(status);
}

static bpkern_status evaluate(const bpkern_net *net, int threads, const bpkern_data *data,
                              bpkern_report *report) {
    double *losses;
    bpk_run run = {0};
    if (!net || !report) return BPKERN_NULL_POINTER;
    if (!api_are_threads(threads)) return BPKERN_BAD_SIZE;
    bpkern_status bad = api_read_data(net->net, data, &run.request.data);
    if (!bad) bad = begin_report(report, &losses);
    if (bad) return bad;
    bpk_status status = read_rows(net, threads, &run, NULL);
    if (status == BPK_OK) report_means(report, &run.results);
    return report_status(report, &run, status);
}

bpkern_status bpkern_net_evaluate(const bpkern_net *net, int threads, const bpkern_data *data,
                                  bpkern_report *report) {
    fp_mode mode = fp_enter();
    bpkern_status status = evaluate(net, threads, data, report);
    fp_leave(mode);
    return status;
}

/* Training -------------------------------------------------------------------------------------------------
 */

/* Makes the optimiser's states that do not exist yet, and the memory for snapshots; or no state at all. */
static bpk_status make_missing(bpk_net *net, const bpk_optimizer *optimizer) {
    int made = 0;
    bpk_status status = BPK_OK;
    for (int store = BPK_M; store < BPK_AVERAGE && status == BPK_OK; store++) {
        if (!bpk_uses(optimizer, (bpk_store)store) || bpk_net_has(net, (bpk_store)store)) continue;
        status = bpk_net_make(net, (bpk_store)store);
        if (status == BPK_OK) made |= 1 << store;
    }
    if (status == BPK_OK) status = bpk_net_reserve_snapshot(net);
    for (int store = BPK_M; store < BPK_AVERAGE && status != BPK_OK; store++)
        if (made >> store & 1) bpk_net_discard(net, (bpk_store)store);
    return status;
}

/* The states of an optimiser, as its last fit has left them; new ones for another rule. */
static bpk_status make_states(bpkern_net *net, const bpk_optimizer *optimizer, int rule) {
    if (make_missing(net->net, optimizer) != BPK_OK) return BPK_NO_MEMORY;
    if (net->rule >= 0 && net->rule != rule) {
        for (int store = BPK_M; store < BPK_AVERAGE; store++)
            if (bpk_uses(optimizer, (bpk_store)store))
                bpk_net_fill(net->net, (bpk_store)store, 0);
            else
                bpk_net_discard(net->net, (bpk_store)store);
        bpk_net_set_counts(net->net, (bpk_counts){0});
    }
    net->rule = rule;
    return BPK_OK;
}

/* The network's workspace for training, made or enlarged. */
static bpk_status make_workspace(bpkern_net *net, const bpk_request *request) {
    bpk_workspace *kept = net->training, *made = NULL;
    const int stores = bpk_stores_gradients(&request->update);
    ptrdiff_t rows = request->batch;
    int threads = request->threads;
    if (kept && kept->rows >= rows && kept->threads >= threads && (kept->gradients || !stores)) return BPK_OK;
    if (kept && kept->rows > rows) rows = kept->rows;
    if (kept && kept->threads > threads) threads = kept->threads;
    const bpk_purpose purpose = stores ? BPK_FOR_GRADIENTS : BPK_FOR_TRAINING;
    bpk_status status = bpk_workspace_create(net->net, rows, purpose, threads, &made);
    if (status != BPK_OK) return status;
    bpk_workspace_free(kept);
    net->training = made;
    return BPK_OK;
}

/* After an epoch that has ended early or in numbers that are not finite. */
static void make_finite(bpk_net *net, const bpk_run *run, bpk_status status) {
    const int is_over = run->cursor.next >= run->request.data.rows;
    if (!bpk_net_finite(net) || (status == BPK_DIVERGED && is_over)) bpk_net_restore(net);
}

enum { EPOCHS_AT_ONCE = 64 };              /* in one call of the library */
static const double SECONDS_AT_ONCE = 0.1; /* after which the caller is asked whether to stop */

/* The caller of a fit: the function that is asked whether to stop, and the floating-point mode that it runs
 * in and may change. */
typedef struct {
    bpkern_stop *stop;
    void *context;
    fp_mode mode;
    double next_ask; /* time of clock.h, after which an epoch's end asks; during a long step, its team asks */
} caller;

static int ask(void *context) {
    caller *c = context;
    fp_leave(c->mode);
    const int answer = c->stop(c->context);
    c->mode = fp_enter();
    c->next_ask = now() + SECONDS_AT_ONCE;
    return answer;
}

/* Trains for all epochs of `training`. The memory of all that changes the network exists. */
static bpk_status train(bpkern_net *net, const bpkern_training *training, int64_t *index, bpk_run *run,
                        double *losses, bpkern_report *report, caller *caller) {
    bpk_results results[EPOCHS_AT_ONCE];
    bpk_epochs epochs = {.seconds = SECONDS_AT_ONCE,
                         .order = index ? api_order : NULL,
                         .order_context = &net->random,
                         .index = index,
                         .results = results};
    bpk_status status = BPK_OK;
    for (ptrdiff_t done = 0; status == BPK_OK && done < training->epochs; done += epochs.finished) {
        epochs.epochs = training->epochs - done;
        if (epochs.epochs > EPOCHS_AT_ONCE) epochs.epochs = EPOCHS_AT_ONCE;
        status = bpk_train_epochs(net->net, net->training, run, &epochs);
        for (ptrdiff_t i = 0; losses && i < epochs.finished; i++)
            losses[done + i] = results[i].loss_sum / results[i].weight_sum;
        if (epochs.finished) report_means(report, &results[epochs.finished - 1]);
        if (report) report->epochs = done + epochs.finished;
        if (status != BPK_OK && status != BPK_STOPPED) make_finite(net->net, run, status);
        const int is_last = done + epochs.finished == training->epochs;
        if (status == BPK_OK && !is_last && caller->stop && now() >= caller->next_ask && ask(caller))
            status = BPK_STOPPED;
    }
    return status;
}

static bpkern_status fit(bpkern_net *net, const bpkern_data *data, const bpkern_training *given,
                         bpkern_report *report, caller *caller) {
    bpkern_training training;
    bpk_run run = {0};
    bpk_request *request = &run.request;
    double *losses;
    int64_t *index = NULL;
    if (!net) return BPKERN_NULL_POINTER;
    bpkern_status bad = api_read_training(&training, given, &request->update);
    if (!bad) bad = api_read_data(net->net, data, &request->data);
    if (!bad) bad = begin_report(report, &losses);
    if (bad) return bad;
    const ptrdiff_t n = request->data.rows;
    request->batch = training.batch < n ? training.batch : n;
    caller->stop = training.stop;
    caller->context = training.stop_context;
    caller->next_ask = now() + SECONDS_AT_ONCE;
    request->stop = training.stop ? ask : NULL;
    request->stop_context = caller;
    const double steps = (double)n / (double)request->batch;
    request->threads =
        api_threads(training.threads, bpk_step_work(net->net, request->batch, BPK_FOR_TRAINING), steps);
    bpk_status status = make_workspace(net, request);
    if (status == BPK_OK && training.shuffle) {
        request->data.index = index = allocate_unset(n, sizeof *index);
        if (!index) status = BPK_NO_MEMORY;
    }
    if (status == BPK_OK) status = make_states(net, &request->update.optimizer, (int)training.rule);
    if (status == BPK_OK) status = train(net, &training, index, &run, losses, report, caller);
    release(index);
    return report_status(report, &run, status);
}

bpkern_status bpkern_net_fit(bpkern_net *net, const bpkern_data *data, const bpkern_training *given,
                             bpkern_report *report) {
    caller caller = {.mode = fp_enter()};
    bpkern_status status = fit(net, data, given, report, &caller);
    fp_leave(caller.mode);
    return status;
}
