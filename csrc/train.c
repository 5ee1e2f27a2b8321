/* Passes over the data: of training, evaluation and prediction, by a team of threads where that is asked. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "fp_mode.h"
#include "net.h"

/* One call, as all members of its team see it. Only member 0 writes to it. */
typedef struct {
    bpk_net *net; /* const but in training */
    bpk_workspace *ws;
    bpk_run *run;
    ptrdiff_t steps;
    void *out; /* in prediction */
    bpk_status status;
    double end;             /* the time to end by */
    _Atomic ptrdiff_t last; /* step to make, once it is time */
} call;

typedef bpk_status one_step(const call *c, step *s);

/* Adds the batch to the sums of the run. */
static void count(const call *c, const step *s) {
    if (s->me.index || s->weight == 0) return;
    const double part = c->run->mean_by_rows ? (double)s->m / s->weight : 1;
    c->run->loss_sum += part * s->loss;
    c->run->accuracy_sum += part * s->accuracy;
    c->run->weight_sum += part * s->weight;
}

/* The member's share of the rows of the batch, to their place in the order of the pass. */
static void copy_rows(const step *s, int l, void *out) {
    const bpk_kernels *kernels = s->net->kernels;
    ptrdiff_t width = s->net->layers[l].out, from, to;
    team_share(s->me, s->m, 1, &from, &to);
    for (ptrdiff_t i = from; i < to; i++) step_row(s, l, i, element(kernels, out, (s->next + i) * width));
}

/* After an update: what comes after it sees all of it once the members have met. */
static void updated(step *s) {
    step_average(s);
    s->counts.updates++;
    s->counts.moves++;
    s->updates++;
}

/* The gradients of a mini-batch are stored, and spent when there are enough of them or no more to come. */
static void store_and_spend(const call *c, step *s) {
    const bpk_run *run = c->run;
    if (s->weight > 0) step_backward(s, 1, s->weight, 0);
    s->pending++;
    s->pending_weight += s->weight;
    int at_end = !run->more && s->next + s->m >= run->data.rows;
    if (s->pending < run->accumulate && !at_end) return;
    if (s->pending_weight > 0) {
        step_spend(s, 1 / s->pending_weight);
        updated(s);
    }
    s->pending = 0;
    s->pending_weight = 0;
}

static bpk_status train_step(const call *c, step *s) {
    bpk_status status = step_loss(s, 1);
    if (status == BPK_OK && !isfinite(s->loss)) status = BPK_DIVERGED;
    if (status != BPK_OK) return status;
    if (c->run->outputs) copy_rows(s, c->net->count - 1, c->run->outputs);
    if (bpk_stores_gradients(c->run)) {
        store_and_spend(c, s);
    } else if (s->weight > 0) {
        step_backward(s, 0, 0, 0);
        updated(s);
    }
    s->counts.batches++;
    count(c, s);
    return BPK_OK;
}

static bpk_status evaluate_step(const call *c, step *s) {
    bpk_status status = step_loss(s, 0);
    if (status != BPK_OK) return status;
    count(c, s);
    if (c->run->outputs) copy_rows(s, c->net->count - 1, c->run->outputs);
    if (!c->run->row_losses) return BPK_OK;
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    for (ptrdiff_t i = from; i < to; i++) c->run->row_losses[s->next + i] = c->ws->row_loss[i];
    return BPK_OK;
}

static bpk_status gradients_step(const call *c, step *s) {
    bpk_status status = step_loss(s, 1);
    if (status != BPK_OK) return status;
    if (s->weight > 0) step_backward(s, 1, s->weight / c->run->total_weight, 0);
    count(c, s);
    return BPK_OK;
}

static bpk_status forward_step(const call *c, step *s) {
    int layers = c->run->layers ? c->run->layers : c->net->count;
    bpk_status status = step_forward(s, layers);
    if (status == BPK_OK) copy_rows(s, layers - 1, c->out);
    return status;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The steps that all members make. One that is late to ask after this step may hear of the next one's end
 * already, and comes to the same number. */
static int goes_on(call *c, ptrdiff_t done) {
    return done < atomic_load_explicit(&c->last, memory_order_relaxed);
}

static void look_at_clock(call *c, member me, ptrdiff_t done) {
    if (me.index || me.count == 1 || c->end == 0 || now() < c->end) return;
    atomic_store_explicit(&c->last, done, memory_order_relaxed);
}

/* What each member does: the same steps, each to its end before anyone begins another or goes home. */
static void pass(call *c, member me, one_step *one) {
    fp_mode mode = fp_enter();
    bpk_run *run = c->run;
    step s = {.net = c->net,
              .ws = c->ws,
              .run = run,
              .me = me,
              .rows = run->batch,
              .drops = one == train_step,
              .counts = c->net->counts,
              .updates = run->updates,
              .pending = run->pending,
              .pending_weight = run->pending_weight,
              .next = run->next};
    bpk_status status = BPK_OK;
    for (ptrdiff_t done = 0; status == BPK_OK && goes_on(c, done) && s.next < run->data.rows; done++) {
        s.m = smaller(run->data.rows - s.next, run->batch);
        status = one(c, &s);
        look_at_clock(c, me, done + 1);
        team_barrier(me);
        if (status == BPK_OK) s.next += s.m;
    }
    if (!me.index) {
        c->status = status;
        run->next = s.next;
        run->updates = s.updates;
        run->pending = s.pending;
        run->pending_weight = s.pending_weight;
        run->bad_row = s.bad_row;
        if (one == train_step) c->net->counts = s.counts;
    }
    fp_leave(mode);
}

static void train_member(void *c, member me) { pass(c, me, train_step); }
static void evaluate_member(void *c, member me) { pass(c, me, evaluate_step); }
static void gradients_member(void *c, member me) { pass(c, me, gradients_step); }
static void forward_member(void *c, member me) { pass(c, me, forward_step); }

static bpk_status run_team(call c, void (*work)(void *context, member me)) {
    c.last = c.steps;
    if (c.run->threads > 1 && c.run->seconds > 0) c.end = now() + c.run->seconds;
    team_run(c.run->threads, work, &c);
    return c.status;
}

static void clear_gradients(const bpk_net *net, bpk_workspace *ws) {
    memset(ws->gradients, 0, (size_t)net->size * net->kernels->real_size);
}

bpk_status bpk_train(bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps) {
    if (goes_online(net, run)) {
        fp_mode mode = fp_enter();
        bpk_status status = net->kernels->online(net, run, steps);
        fp_leave(mode);
        return status;
    }
    workspace_set_height(net, ws, run->batch);
    /* A run that was broken off, perhaps one that a callback made meanwhile, has left some of its own. */
    if (bpk_stores_gradients(run) && run->pending == 0) clear_gradients(net, ws);
    return run_team((call){.net = net, .ws = ws, .run = run, .steps = steps}, train_member);
}

bpk_status bpk_evaluate(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps) {
    return run_team((call){.net = (bpk_net *)net, .ws = ws, .run = run, .steps = steps}, evaluate_member);
}

/* In the order in which a step adds up those of a batch: of all rows in one batch they are the same. */
static double weight_of(const bpk_data *data) {
    if (!data->weights) return (double)data->rows;
    double sum = 0;
    for (ptrdiff_t i = 0; i < data->rows; i++) sum += data->weights[row_of(data->index, i)];
    return sum;
}

bpk_status bpk_gradients(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps) {
    workspace_set_height(net, ws, run->batch);
    if (run->next == 0) run->total_weight = weight_of(&run->data);
    return run_team((call){.net = (bpk_net *)net, .ws = ws, .run = run, .steps = steps}, gradients_member);
}

bpk_status bpk_forward(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps, void *out) {
    call c = {.net = (bpk_net *)net, .ws = ws, .run = run, .steps = steps, .out = out};
    return run_team(c, forward_member);
}
