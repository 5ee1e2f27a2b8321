/* Passes over the data: training, evaluation, gradients and prediction, each by a team of threads. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/fp_mode.h"
#include "platform/memory.h"
#include "trainer/ahead.h"
#include "trainer/backward.h"
#include "trainer/bounds.h"
#include "trainer/gather.h"
#include "trainer/optimizer.h"
#include "trainer/parameters.h"
#include "trainer/products.h"
#include "trainer/row_tiles.h"
#include "trainer/shards.h"
#include "trainer/shared.h"

/* One call, shared by all members of its team. Only member 0 writes to it. */
typedef struct {
    bpk_net *net; /* written by training only */
    bpk_workspace *ws;
    bpk_run *run;
    ptrdiff_t steps;
    void *out; /* of prediction */
    bpk_status status;
    bpk_status undo;        /* of make_undoable */
    double end;             /* time (clock.h) after which no step begins; 0: no limit */
    _Atomic ptrdiff_t last; /* number of steps of this call, lowered when the time is up */
} call;

typedef bpk_status one_step(call *c, step *s);

/* Adds the batch, of `rows` rows, to the results of the run. */
static void add_results(const call *c, const step *s, ptrdiff_t rows) {
    if (s->me.index || s->weight == 0) return;
    bpk_results *results = &c->run->results;
    const double part = s->request->mean_by_rows ? (double)rows / s->weight : 1;
    results->loss_sum += part * s->loss;
    results->accuracy_sum += part * s->accuracy;
    results->weight_sum += part * s->weight;
}

/* After an update. No barrier follows step_average, because every step ends with one. */
static void updated(step *s) {
    step_average(s);
    s->counts.updates++;
    s->counts.moves++;
    s->cursor.updates++;
}

/* Adds a mini-batch to the stored gradients, and spends them if there are enough or no more will come. The
 * deltas contain the factor 1 / (weight of the batch). It is removed here, and step_spend divides by the
 * weight of all stored batches. The first of these batches can be broken off while it is stored; later ones
 * only before, because they add to gradients that would be lost. */
static bpk_status store_and_spend(step *s) {
    const bpk_request *request = s->request;
    int asks = s->me.asks;
    if (s->cursor.pending.batches > 0) {
        if (step_stopped(s)) return BPK_STOPPED;
        s->me.asks = 0;
    }
    if (s->weight > 0) step_backward_store(s, s->weight, OF_TRAINED);
    if (step_stopped(s)) return BPK_STOPPED;
    s->me.asks = asks;
    int at_end = !request->more && s->cursor.next + s->m >= request->data.rows;
    double weight = bpk_pending_add(&s->cursor.pending, s->weight, request->update.accumulate, at_end);
    if (weight == 0) return BPK_OK;
    step_spend(s, 1 / weight);
    updated(s);
    return BPK_OK;
}

/* Makes an update by the mini-batch. A step that goes back (step.h) stores the gradients first, and then
 * moves the parameters by the same formulas. */
static bpk_status update_now(step *s) {
    if (s->me.asks && s->ws->gradients && step_goes_back(s->net, s->rows)) {
        step_clear_gradients(s);
        team_barrier(s->me);
        step_backward_store(s, 1, OF_TRAINED);
        if (step_stopped(s)) return BPK_STOPPED;
        step_move(s);
    } else {
        if (step_stopped(s)) return BPK_STOPPED;
        step_backward_update(s);
    }
    updated(s);
    return BPK_OK;
}

/* Makes an update by the gradients of all tiles. */
static bpk_status spend_tiles(step *s) {
    if (step_stopped(s)) return BPK_STOPPED;
    if (s->weight == 0) return BPK_OK;
    if (bpk_stores_gradients(&s->request->update))
        step_spend(s, 1 / s->weight);
    else
        step_move(s);
    updated(s);
    return BPK_OK;
}

/* Before the update of an undoable step: see bpk_request. */
static bpk_status make_undoable(call *c, const step *s) {
    if (!s->me.index) {
        /* Of a mean that is not finite, the caller undoes the step, too. */
        int has_mean = isfinite(s->loss / s->weight * (double)s->m);
        /* With row tiles, only the activations and deltas of the last tile are there. */
        int bounded = has_mean && !s->tile && bounds_hold(c->net, s);
        if (!bounded) net_forget_bounds(c->net);
        c->run->results.bounded = bounded;
        c->undo = bounded ? BPK_OK : bpk_net_snapshot(c->net);
    }
    team_barrier(s->me);
    return c->undo;
}

/* Makes an update by the sum of the gradients of all shards, on all ranks. */
static bpk_status update_by_shards(step *s) {
    bpk_shards *shards = s->request->shards;
    const bpk_update_settings *update = &s->request->update;
    const int stores = bpk_stores_gradients(update), adds = s->cursor.pending.batches > 0;
    void *gradients = s->ws->gradients;
    if (shards->lent) {
        if (s->weight == 0) return BPK_OK;
        const bpk_status status = shared_update(s);
        if (status == BPK_OK) updated(s);
        return status;
    }
    if (s->weight > 0 && shards->ranks == 1 && !stores) {
        if (!s->me.index) shards->stores = NULL;
        team_barrier(s->me);
        step_backward_update(s);
        updated(s);
        return BPK_OK;
    }
    if (s->weight > 0) {
        if (!s->me.index) {
            shards->stores = shards->ranks == 1 ? &gradients : shards->own;
            shards->adds = adds && shards->ranks == 1;
        }
        team_barrier(s->me);
        step_backward_store(s, 1, OF_ALL); /* frozen layers' too: all ranks wait for each layer */
        if (shards->ranks > 1 && shards_reduce(s) != BPK_OK) return BPK_STOPPED;
        if (shards->ranks > 1 && stores) shards_collect(s, adds);
        team_barrier(s->me);
    }
    if (!stores) {
        if (s->weight == 0) return BPK_OK;
        moves moves;
        next_moves(s->request, s->counts, s->cursor.updates, s->weight, &moves);
        moves.weights.scale = moves.biases.scale = 1 / s->weight;
        shards_move(s, &moves);
        updated(s);
        return BPK_OK;
    }
    const int at_end = !s->request->more && (s->cursor.batches + 1) * shards->batch >= shards->rows;
    double weight = bpk_pending_add(&s->cursor.pending, s->weight, update->accumulate, at_end);
    if (weight == 0) return BPK_OK;
    step_spend(s, 1 / weight);
    updated(s);
    return BPK_OK;
}

/* A step of a pass with shards. Once the ranks have agreed on it, it is not broken off. */
static bpk_status train_shards(call *c, step *s) {
    bpk_status status = step_loss(s, 1);
    if (status == BPK_OK && step_stopped(s)) status = BPK_STOPPED;
    status = shards_agree(s, status);
    if (status != BPK_OK) return status;
    if (s->weight > 0) step_add_penalties(s);
    if (!isfinite(s->loss)) return BPK_DIVERGED;
    if (s->request->outputs) step_copy_rows(s, s->net->count - 1, s->request->outputs);
    const int asks = s->me.asks;
    s->me.asks = 0;
    status = update_by_shards(s);
    s->me.asks = asks;
    if (status != BPK_OK) return status;
    s->counts.batches++;
    add_results(c, s, s->request->shards->all_rows);
    return BPK_OK;
}

static bpk_status train_step(call *c, step *s) {
    const bpk_request *request = s->request;
    if (request->shards) return train_shards(c, s);
    bpk_status status = s->tile ? step_tiles(s) : step_loss(s, 1);
    if (status == BPK_OK && !isfinite(s->loss)) return step_stopped(s) ? BPK_STOPPED : BPK_DIVERGED;
    if (status != BPK_OK) return status;
    if (request->outputs && !s->tile) step_copy_rows(s, s->net->count - 1, request->outputs);
    if (request->undoable) status = make_undoable(c, s);
    if (status != BPK_OK) return status;
    if (s->tile)
        status = spend_tiles(s);
    else if (bpk_stores_gradients(&request->update))
        status = store_and_spend(s);
    else if (s->weight > 0)
        status = update_now(s);
    else if (step_stopped(s))
        status = BPK_STOPPED; /* its outputs are garbage */
    if (status != BPK_OK) return status;
    s->counts.batches++;
    add_results(c, s, s->m);
    return BPK_OK;
}

static bpk_status evaluate_step(call *c, step *s) {
    const bpk_request *request = s->request;
    bpk_status status = step_loss(s, 0);
    if (step_stopped(s)) return BPK_STOPPED;
    if (status != BPK_OK) return status;
    add_results(c, s, s->m);
    if (request->outputs) step_copy_rows(s, s->net->count - 1, request->outputs);
    if (!request->row_losses) return BPK_OK;
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    for (ptrdiff_t i = from; i < to; i++) request->row_losses[s->cursor.next + i] = s->ws->row_loss[i];
    return BPK_OK;
}

static bpk_status gradients_step(call *c, step *s) {
    bpk_status status = step_loss(s, 1);
    if (status == BPK_OK && s->weight > 0) step_backward_store(s, s->weight / s->cursor.total_weight, OF_ALL);
    if (step_stopped(s)) return BPK_STOPPED;
    if (status != BPK_OK) return status;
    add_results(c, s, s->m);
    return BPK_OK;
}

static bpk_status forward_step(call *c, step *s) {
    int layers = s->request->layers ? s->request->layers : s->net->count;
    bpk_status status = step_forward(s, layers);
    if (step_stopped(s)) return BPK_STOPPED;
    if (status == BPK_OK) step_copy_rows(s, layers - 1, c->out);
    return status;
}

/* Whether to make another step after `done` of them. All members decide alike: member 0 lowers `last` to the
 * number of finished steps before the barrier that ends a step, and all members read `last` after that
 * barrier. A member may read it so late that member 0 has already lowered it at the end of the next step:
 * then the number includes that step. */
static int goes_on(call *c, ptrdiff_t done) {
    return done < atomic_load_explicit(&c->last, memory_order_relaxed);
}

static void check_clock(call *c, member me, ptrdiff_t done) {
    if (me.index || me.count == 1 || c->end == 0 || now() < c->end) return;
    atomic_store_explicit(&c->last, done, memory_order_relaxed);
}

/* Whether the pass has more rows: sets those of the next step. */
static int next_rows(step *s) {
    if (s->request->shards) return shards_begin(s);
    s->m = smaller(s->request->data.rows - s->cursor.next, s->request->batch);
    return s->m > 0;
}

/* One member's work. All members make the same steps, and finish each before any member begins the next. */
static void pass(call *c, member me, one_step *one) {
    fp_mode mode = fp_enter();
    bpk_run *run = c->run;
    const bpk_request *request = &run->request;
    step s = {.net = c->net,
              .ws = c->ws,
              .request = request,
              .me = me,
              .rows = request->batch,
              .tile = one == train_step ? row_tile(c->net, request) : 0,
              .training = one == train_step,
              .wants_outputs = request->outputs || one == forward_step,
              .counts = c->net->counts,
              .cursor = run->cursor};
    int serves_ahead = s.training && ahead_serves(c->net, run);
    bpk_status status = BPK_OK;
    for (ptrdiff_t done = 0; status == BPK_OK && goes_on(c, done) && next_rows(&s); done++) {
        /* Whether this call makes another step; if it then does not, the activations are discarded. */
        s.looks_ahead = serves_ahead && done + 1 < c->steps && s.m < request->data.rows - s.cursor.next;
        status = one(c, &s);
        check_clock(c, me, done + 1);
        team_barrier(me);
        if (status == BPK_OK) {
            s.cursor.next += s.m;
            s.cursor.batches++;
        }
    }
    if (!me.index) {
        c->status = status;
        run->cursor = s.cursor;
        run->results.bad_row = s.bad_row;
        if (one == train_step) c->net->counts = s.counts;
        if (one == train_step && status != BPK_OK) net_forget_bounds(c->net);
    }
    fp_leave(mode);
}

static void train_member(void *c, member me) { pass(c, me, train_step); }
static void evaluate_member(void *c, member me) { pass(c, me, evaluate_step); }
static void gradients_member(void *c, member me) { pass(c, me, gradients_step); }
static void forward_member(void *c, member me) { pass(c, me, forward_step); }

static bpk_status run_team(call c, void (*work)(void *context, member me)) {
    const bpk_request *request = &c.run->request;
    c.last = c.steps;
    if (request->threads > 1 && request->seconds > 0) c.end = now() + request->seconds;
    team_run(request->threads, work, &c, (team_stop){request->stop, request->stop_context});
    return c.status;
}

bpk_status bpk_train(bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps) {
    bpk_status status;
    if (!run->request.undoable) net_forget_bounds(net);
    if (net->kernels->online && net->kernels->online(net, run, steps, &status)) return status;
    ptrdiff_t tile = row_tile(net, &run->request);
    workspace_set_height(net, ws, tile ? tile : run->request.batch, run->request.batch);
    /* If no gradients of this run are pending, those in the workspace are left from an interrupted run. */
    if (bpk_stores_gradients(&run->request.update) && run->cursor.pending.batches == 0)
        bpk_workspace_clear_gradients(net, ws);
    return run_team((call){.net = net, .ws = ws, .run = run, .steps = steps}, train_member);
}

bpk_status bpk_evaluate(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps) {
    return run_team((call){.net = (bpk_net *)net, .ws = ws, .run = run, .steps = steps}, evaluate_member);
}

/* The weight of all rows. It is summed in the order of `weigh` in step.c: one batch of all rows has these
 * bits. */
static double weight_of(const bpk_data *data) {
    if (!data->weights) return (double)data->rows;
    double sum = 0;
    for (ptrdiff_t i = 0; i < data->rows; i++) {
        ptrdiff_t row = row_at(data, i);
        if (row >= 0) sum += data->weights[row]; /* otherwise the step finds a bad row */
    }
    return sum;
}

bpk_status bpk_gradients(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps) {
    workspace_set_height(net, ws, run->request.batch, run->request.batch);
    if (run->cursor.next == 0) run->cursor.total_weight = weight_of(&run->request.data);
    return run_team((call){.net = (bpk_net *)net, .ws = ws, .run = run, .steps = steps}, gradients_member);
}

bpk_status bpk_forward(const bpk_net *net, bpk_workspace *ws, bpk_run *run, ptrdiff_t steps, void *out) {
    call c = {.net = (bpk_net *)net, .ws = ws, .run = run, .steps = steps, .out = out};
    return run_team(c, forward_member);
}
