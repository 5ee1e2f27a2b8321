/* Passes over the data: of training, evaluation and prediction, by a team of threads where that is asked. */
#include <math.h>
#include <string.h>

#include "fp_mode.h"
#include "net.h"

/* One call, as all members of its team see it. Only member 0 writes to it. */
typedef struct {
    const bpk_net *net;
    bpk_workspace *ws;
    bpk_run *run;
    ptrdiff_t steps;
    void *out;                   /* in prediction */
    void *const *dw, *const *db; /* in gradients */
    bpk_status status;
} call;

typedef bpk_status one_step(const call *c, step *s);

/* Adds the batch to the sums of the run. */
static void count(const call *c, const step *s) {
    if (s->me.index) return;
    c->run->loss_sum += s->loss;
    c->run->accuracy_sum += s->accuracy;
    c->run->weight_sum += s->weight;
}

static bpk_status train_step(const call *c, step *s) {
    bpk_status status = step_loss(s, 1, c->run->l2);
    if (status == BPK_OK && !isfinite(s->loss)) status = BPK_DIVERGED;
    if (status != BPK_OK) return status;
    if (s->weight > 0) step_backward(s, NULL, NULL);
    count(c, s);
    return BPK_OK;
}

static bpk_status evaluate_step(const call *c, step *s) {
    bpk_status status = step_loss(s, 0, 0);
    if (status == BPK_OK) count(c, s);
    return status;
}

static bpk_status gradients_step(const call *c, step *s) {
    bpk_status status = step_loss(s, 1, 0);
    if (status != BPK_OK) return status;
    step_backward(s, c->dw, c->db);
    count(c, s);
    return BPK_OK;
}

static bpk_status forward_step(const call *c, step *s) {
    bpk_status status = step_forward(s);
    if (status != BPK_OK) return status;
    const net_layer *last = &c->net->layers[c->net->count - 1];
    const char *a = c->ws->layers[c->net->count - 1].a;
    size_t real = c->net->kernels->real_size, row = (size_t)last->out * real;
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    for (ptrdiff_t i = from; i < to; i++)
        memcpy((char *)c->out + (size_t)(s->next + i) * row, a + (size_t)(i * last->width) * real, row);
    return BPK_OK;
}

/* What each member does: the same steps, each to its end before anyone begins another or goes home. */
static void pass(call *c, member me, one_step *one) {
    fp_mode mode = fp_enter();
    step s = {
        .net = c->net, .ws = c->ws, .run = c->run, .me = me, .rows = c->run->batch, .next = c->run->next};
    ptrdiff_t rows = c->run->data.rows;
    bpk_status status = BPK_OK;
    for (ptrdiff_t left = c->steps; status == BPK_OK && left > 0 && s.next < rows; left--) {
        s.m = smaller(rows - s.next, c->run->batch);
        status = one(c, &s);
        team_barrier(me);
        if (status == BPK_OK) s.next += s.m;
    }
    if (!me.index) {
        c->status = status;
        c->run->next = s.next;
        c->run->bad_row = s.bad_row;
    }
    fp_leave(mode);
}

/* The padding of deltas lies elsewhere in blocks of another height. */
static void set_height(const bpk_net *net, bpk_workspace *ws, ptrdiff_t height) {
    if (ws->height == height) return;
    for (int l = 0; l < net->count; l++) {
        const net_layer *layer = &net->layers[l];
        if (layer->width > layer->out)
            memset(ws->layers[l].delta, 0, (size_t)(height * layer->width) * net->kernels->real_size);
    }
    ws->height = height;
}

static void train_member(void *c, member me) { pass(c, me, train_step); }
static void evaluate_member(void *c, member me) { pass(c, me, evaluate_step); }
static void gradients_member(void *c, member me) { pass(c, me, gradients_step); }
static void forward_member(void *c, member me) { pass(c, me, forward_step); }

bpk_status bpk_train(bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps) {
    if (goes_online(net, run)) {
        fp_mode mode = fp_enter();
        bpk_status status = net->kernels->online(net, run, steps);
        fp_leave(mode);
        return status;
    }
    set_height(net, ws, run->batch);
    call c = {.net = net, .ws = ws, .run = run, .steps = steps};
    team_run(run->threads, train_member, &c);
    return c.status;
}

bpk_status bpk_evaluate(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps) {
    call c = {.net = net, .ws = ws, .run = run, .steps = steps};
    team_run(run->threads, evaluate_member, &c);
    return c.status;
}

bpk_status bpk_gradients(const bpk_net *net, bpk_workspace *ws, bpk_run *run, void *const *dw,
                         void *const *db) {
    set_height(net, ws, run->batch);
    call c = {.net = net, .ws = ws, .run = run, .steps = 1, .dw = dw, .db = db};
    team_run(run->threads, gradients_member, &c);
    return c.status;
}

bpk_status bpk_forward(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps, void *out) {
    call c = {.net = net, .ws = ws, .run = run, .steps = steps, .out = out};
    team_run(run->threads, forward_member, &c);
    return c.status;
}
