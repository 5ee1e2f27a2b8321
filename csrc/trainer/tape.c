/* A step by hand, in separate calls: forward as in training, the derivative of the loss, backward from that
 * or from the caller's derivatives, and an update; and copies of what the first ones leave in the workspace.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/fp_mode.h"
#include "trainer/backward.h"
#include "trainer/inputs.h"
#include "trainer/parameters.h"
#include "trainer/products.h"

/* One call, shared by all members of its team. Only member 0 writes to it. */
typedef struct {
    bpk_net *net; /* written by an update only */
    bpk_workspace *ws;
    const bpk_request *request;
    void *out, *dx;   /* (rows, outputs) and (rows, inputs) */
    const void *grad; /* (rows, outputs) */
    double scale;
    bpk_status status;
    ptrdiff_t bad_row;
} call;

/* A step whose mini-batch is all rows of the request. */
static step whole_batch(const call *c, member me) {
    ptrdiff_t rows = c->request->data.rows;
    return (step){.net = c->net,
                  .ws = c->ws,
                  .request = c->request,
                  .me = me,
                  .rows = rows,
                  .m = rows,
                  .training = 1,
                  .wants_outputs = 1,
                  .counts = c->net->counts};
}

static void forward_member(void *context, member me) {
    call *c = context;
    fp_mode mode = fp_enter();
    step s = whole_batch(c, me);
    int last = c->net->count - 1;
    ptrdiff_t width = last_layer(c->net)->out, from, to;
    bpk_status status = step_forward(&s, c->net->count);
    if (step_stopped(&s)) status = BPK_STOPPED;
    team_share(me, s.m, 1, &from, &to);
    for (ptrdiff_t i = from; status == BPK_OK && i < to; i++)
        step_row(&s, last, i, element(c->net->kernels, c->out, i * width));
    if (!me.index) {
        c->status = status;
        c->bad_row = s.bad_row;
    }
    fp_leave(mode);
}

static void backward_member(void *context, member me) {
    call *c = context;
    fp_mode mode = fp_enter();
    const bpk_kernels *kernels = c->net->kernels;
    const net_layer *last = last_layer(c->net);
    step s = whole_batch(c, me);
    void *delta = c->ws->layers[c->net->count - 1].delta;
    const net_inputs *inputs = c->net->inputs;
    const void *x_delta = inputs ? c->ws->columns_delta : c->ws->x_delta;
    ptrdiff_t from, to, in = inputs ? inputs->columns : c->net->layers[0].in;
    team_share(me, s.m, 1, &from, &to);
    for (ptrdiff_t i = from; i < to; i++)
        kernels->scatter(last->out, element(kernels, c->grad, i * last->out), delta, s.rows, i);
    step_out_delta(&s, from, to);
    team_barrier(me);
    step_backward_store(&s, 1, c->dx ? OF_ALL_AND_X : OF_ALL);
    team_barrier(me);
    if (c->dx) step_drop_inputs(&s, c->ws->batch, c->ws->x_delta);
    bpk_status status = step_stopped(&s) ? BPK_STOPPED : BPK_OK;
    if (!me.index) c->status = status;
    for (ptrdiff_t i = from; status == BPK_OK && c->dx && i < to; i++)
        row_of_blocks(kernels, x_delta, s.rows, in, i, element(kernels, c->dx, i * in));
    fp_leave(mode);
}

static void update_member(void *context, member me) {
    call *c = context;
    fp_mode mode = fp_enter();
    step s = whole_batch(c, me);
    /* The stored gradients are those of the loss itself. */
    step_spend(&s, s.request->update.optimizer.maximize ? -c->scale : c->scale);
    step_average(&s);
    fp_leave(mode);
}

static team_stop stop_of(const bpk_run *run) {
    return (team_stop){run->request.stop, run->request.stop_context};
}

bpk_status bpk_tape_forward(bpk_net *net, bpk_workspace *ws, bpk_run *run, void *out) {
    call c = {.net = net, .ws = ws, .request = &run->request, .out = out};
    workspace_set_height(net, ws, run->request.data.rows, run->request.data.rows);
    team_run(run->request.threads, forward_member, &c, stop_of(run));
    run->results.bad_row = c.bad_row;
    if (c.status == BPK_OK) ws->batch = net->counts.batches++;
    return c.status;
}

void bpk_tape_loss(const bpk_net *net, bpk_workspace *ws, const bpk_run *run, void *grad) {
    call c = {.net = (bpk_net *)net, .ws = ws, .request = &run->request};
    fp_mode mode = fp_enter();
    step s = whole_batch(&c, (member){.count = 1});
    step_row_losses(&s, 0, s.m, grad, last_layer(net)->out);
    fp_leave(mode);
}

/* Reads the activations and derivatives of the forward pass, after dropout, from the workspace. The forward
 * pass has counted the mini-batch. A call that may be broken off keeps a copy of the stored gradients. */
bpk_status bpk_tape_backward(const bpk_net *net, bpk_workspace *ws, const bpk_run *run, const void *grad,
                             void *dx) {
    call c = {.net = (bpk_net *)net, .ws = ws, .request = &run->request, .grad = grad, .dx = dx};
    team_stop stop = stop_of(run);
    size_t size = (size_t)net->size * net->kernels->real_size;
    void *kept = stop.ask ? malloc(size) : NULL;
    if (kept)
        memcpy(kept, ws->gradients, size);
    else
        stop.ask = NULL;
    team_run(run->request.threads, backward_member, &c, stop);
    if (c.status == BPK_STOPPED) memcpy(ws->gradients, kept, size);
    free(kept);
    return c.status;
}

void bpk_tape_update(bpk_net *net, bpk_workspace *ws, const bpk_run *run, double scale) {
    net_forget_bounds(net);
    call c = {.net = net, .ws = ws, .request = &run->request, .scale = scale};
    team_run(run->request.threads, update_member, &c, (team_stop){0});
    net->counts.updates++;
    net->counts.moves++;
}

/* out (rows, out) = s'(z) of layer l. Where the forward pass has not stored it, it is a function of a. */
static void get_slope(const step *s, int l, void *out) {
    const bpk_kernels *kernels = s->net->kernels;
    const net_layer *layer = &s->net->layers[l];
    const void *slope = s->ws->layers[l].slope, *from = slope ? slope : s->ws->layers[l].a;
    const bpk_activation activation = slope ? BPK_SLOPE : layer->activation;
    const double one = 1;
    for (ptrdiff_t i = 0; i < s->m * layer->out; i++)
        from_doubles(kernels, 1, &one, element(kernels, out, i));
    if (l == s->net->count - 1) {
        kernels->apply_derivative(activation, s->m, layer->out, from, layer->width, out, layer->out);
        return;
    }
    for (ptrdiff_t j = 0, width; j < layer->out; j += width) {
        width = block_width(kernels, layer->out - j);
        kernels->apply_derivative(activation, s->m, smaller(width, layer->out - j),
                                  element(kernels, from, j * s->rows), width, element(kernels, out, j),
                                  layer->out);
    }
}

void bpk_tape_get(const bpk_net *net, const bpk_workspace *ws, const bpk_run *run, bpk_tape_matrix matrix,
                  int l, void *out) {
    call c = {.net = (bpk_net *)net, .ws = (bpk_workspace *)ws, .request = &run->request};
    fp_mode mode = fp_enter();
    step s = whole_batch(&c, (member){.count = 1});
    const net_layer *layer = &net->layers[l];
    if (matrix == BPK_TAPE_X)
        unpack_rows(net->kernels, s.m, layer->in, step_input(&s, l), out);
    else if (matrix == BPK_TAPE_DELTA)
        unpack_rows(net->kernels, s.m, layer->out, ws->layers[l].delta, out);
    else if (matrix == BPK_TAPE_SLOPE)
        get_slope(&s, l, out);
    else
        for (ptrdiff_t i = 0; i < s.m; i++) step_row(&s, l, i, element(net->kernels, out, i * layer->out));
    fp_leave(mode);
}
