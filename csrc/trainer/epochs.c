/* Whole epochs of training in one call, each of which can be undone. */
#include <math.h>

#include "platform/clock.h"
#include "trainer/net.h"

/* Smaller networks are copied in less time than bounds are computed. */
enum { SMALL = 4096 };

/* Whether the epoch has left only finite numbers, and has a mean loss. */
static int ended_well(const bpk_net *net, const bpk_results *results) {
    return (results->bounded || bpk_net_finite(net)) && isfinite(results->loss_sum / results->weight_sum);
}

bpk_status bpk_train_epochs(bpk_net *net, bpk_workspace *ws, bpk_run *run, bpk_epochs *e) {
    const double end = now() + e->seconds;
    bpk_request *request = &run->request;
    /* An epoch of several steps is undone as a whole, and bounds are only known of the next step. */
    request->undoable = net->size > SMALL && request->data.rows <= request->batch;
    for (e->finished = 0; e->finished < e->epochs && (e->finished == 0 || now() < end); e->finished++) {
        run->cursor = (bpk_cursor){0};
        run->results = (bpk_results){0};
        if (e->order) e->order(e->order_context, e->index, request->data.rows);
        if (!request->undoable && bpk_net_snapshot(net) != BPK_OK) return BPK_NO_MEMORY;
        bpk_status status = bpk_train(net, ws, run, PTRDIFF_MAX);
        if (status != BPK_OK) return status;
        if (!ended_well(net, &run->results)) return BPK_DIVERGED;
        if (!e->keeps_average) bpk_net_discard(net, BPK_AVERAGE);
        e->results[e->finished] = run->results;
    }
    return BPK_OK;
}
