/* Runs the C library in many threads under a sanitizer: of races, or of addresses and leaks.
 *
 *     threads FROM TO      trials FROM ... TO - 1: random networks, trained in several ways
 *     threads race|leak    an error that the sanitizer must report
 *
 * With BPK_FUZZED it is a target of libFuzzer instead, which chooses sizes and settings.
 *
 * A trial has four networks. Three are trained, first by one thread each, which gives the expected bits,
 * then by a team, then all three at once by a team each. The fourth is read by one thread, and then by
 * several at once. Last, a team counts its rounds in memory that is not atomic, between barriers; and workers
 * take pieces of such memory, which is freed as soon as the call returns. Threads are moved as they start:
 * afterwards, they may run where their creator may. The exit status is 1 if any of this fails. */
#ifdef __linux__
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#endif
#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpkern.h"
#include "platform/pieces.h"
#include "platform/team.h"
#include "platform/threads.h"

enum { MAX_LAYERS = 4, MAX_WIDTH = 70, MAX_ROWS = 50, EPOCHS = 2, NETWORKS = 3, READERS = 4, TEAM = 4 };

/* SplitMix64 */
static uint64_t bits(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* In a build for libFuzzer, each decision takes one of the bytes that it has chosen, as long as there are
 * any. */
#ifdef BPK_FUZZED
static const unsigned char *input;
static size_t input_left;
#endif

static int below(uint64_t *state, int n) {
#ifdef BPK_FUZZED
    if (input_left) {
        input_left--;
        return *input++ % n;
    }
#endif
    return (int)(bits(state) % (unsigned)n);
}
static int maybe(uint64_t *state) { return below(state, 2); }
static double uniform(uint64_t *state) { return (double)(bits(state) >> 11) * 0x1p-53; }

static void *room(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size);
    if (!p) {
        perror("threads");
        exit(2);
    }
    return p;
}

static void check(bpk_status status) {
    if (status != BPK_OK) {
        fprintf(stderr, "threads: status %d\n", status);
        exit(2);
    }
}

/* A network, its data and the settings of its training. */
typedef struct {
    const bpk_kernels *kernels;
    size_t real; /* bytes */
    int layers;
    ptrdiff_t sizes[MAX_LAYERS + 1];
    bpk_activation activations[MAX_LAYERS];
    double dropout[MAX_LAYERS], loss_parameters[MAX_WIDTH];
    bpk_loss_settings loss;
    void *w[MAX_LAYERS], *b[MAX_LAYERS], *x, *y;
    int32_t *indices, *indptr;
    int64_t *labels, *index;
    double *weights, *rates;
    int averages; /* whether the parameters are averaged */
    bpk_run run;
} problem;

/* n random reals. */
static void *reals(uint64_t *state, size_t real, ptrdiff_t n, double from, double to) {
    void *p = room((size_t)n, real);
    for (ptrdiff_t i = 0; i < n; i++) {
        double value = from + (to - from) * uniform(state);
        if (real == sizeof(double))
            ((double *)p)[i] = value;
        else
            ((float *)p)[i] = (float)value;
    }
    return p;
}

/* Row-major data (rows, columns) without gaps. */
static bpk_source contiguous(const problem *p, const void *data, ptrdiff_t columns) {
    return (bpk_source){.data = data,
                        .type = p->real == sizeof(double) ? BPK_DOUBLE : BPK_FLOAT,
                        .columns = columns,
                        .row_stride = columns * (ptrdiff_t)p->real,
                        .column_stride = (ptrdiff_t)p->real};
}

/* Makes x a sparse matrix that stores all entries. */
static void make_sparse(problem *p, ptrdiff_t rows) {
    ptrdiff_t columns = p->sizes[0];
    p->indices = room((size_t)(rows * columns), sizeof *p->indices);
    p->indptr = room((size_t)rows + 1, sizeof *p->indptr);
    for (ptrdiff_t i = 0; i < rows * columns; i++) p->indices[i] = (int32_t)(i % columns);
    for (ptrdiff_t i = 0; i <= rows; i++) p->indptr[i] = (int32_t)(i * columns);
    p->run.request.data.x.indices = p->indices;
    p->run.request.data.x.indptr = p->indptr;
    p->run.request.data.x.entries = rows * columns;
}

static void make_data(problem *p, uint64_t *state) {
    ptrdiff_t rows = 1 + below(state, MAX_ROWS), outputs = p->sizes[p->layers];
    p->x = reals(state, p->real, rows * p->sizes[0], -1, 1);
    p->y = reals(state, p->real, rows * outputs, 0, 1);
    bpk_data *data = &p->run.request.data;
    *data = (bpk_data){.x = contiguous(p, p->x, p->sizes[0]),
                       .y = contiguous(p, p->y, outputs),
                       .rows = rows,
                       .source_rows = rows};
    if (p->loss.loss == BPK_CROSS_ENTROPY) {
        p->labels = room((size_t)rows, sizeof *p->labels);
        for (ptrdiff_t i = 0; i < rows; i++) p->labels[i] = below(state, (int)outputs);
        data->labels = p->labels;
    }
    if (maybe(state)) {
        p->index = room((size_t)rows, sizeof *p->index);
        for (ptrdiff_t i = 0; i < rows; i++) p->index[i] = rows - 1 - i;
        data->index = p->index;
    }
    if (below(state, 4) == 0) make_sparse(p, rows);
}

/* Random settings: each option that takes a step off the fastest path is set sometimes. */
static void make_settings(problem *p, uint64_t *state) {
    bpk_run *run = &p->run;
    bpk_update_settings *update = &run->request.update;
    ptrdiff_t rows = run->request.data.rows;
    run->request.batch = 1 + below(state, (int)rows);
    update->optimizer = (bpk_optimizer){.rule = (bpk_rule)below(state, BPK_N_RULES),
                                        .lr = 1e-3,
                                        .momentum = maybe(state) ? 0.9 : 0,
                                        .square_decay = 0.99,
                                        .eps = 1e-8,
                                        .weight_decay = maybe(state) ? 1e-3 : 0,
                                        .centered = maybe(state),
                                        .amsgrad = maybe(state)};
    update->clip_norm = below(state, 6) ? INFINITY : 0.1;
    update->clip_value = below(state, 6) ? INFINITY : 0.01;
    update->accumulate = 1 + (below(state, 6) ? 0 : below(state, 4));
    update->l1 = below(state, 4) ? 0 : 1e-3;
    update->l2 = below(state, 4) ? 0 : 1e-3;
    if (below(state, 4) == 0) {
        p->weights = reals(state, sizeof(double), rows, 0, 2);
        run->request.data.weights = p->weights;
    }
    if (maybe(state)) {
        p->rates = reals(state, sizeof(double), rows, 0, 1e-3);
        run->request.rates = p->rates;
    }
    p->averages = maybe(state);
    update->average_decay = 0.9;
    for (int l = 0; l < p->layers - 1; l++) p->dropout[l] = below(state, 3) ? 0 : 0.3;
}

/* Changes the settings to those of the online path, which makes whole steps of tiny nets in registers:
 * batch size 1 and no further options. */
static void make_online(problem *p) {
    bpk_run *run = &p->run;
    run->request.batch = 1;
    run->request.update.clip_norm = run->request.update.clip_value = INFINITY;
    run->request.update.accumulate = 1;
    run->request.update.l1 = run->request.update.l2 = 0;
    run->request.data.weights = NULL;
    run->request.data.x.indices = run->request.data.x.indptr = NULL;
    p->averages = 0;
    memset(p->dropout, 0, sizeof p->dropout);
}

static problem make_problem(uint64_t seed) {
    uint64_t state = seed, *s = &state;
    int isa = below(s, bpk_isa_count());
    while (!bpk_isa_runs(isa)) isa--; /* the first one runs everywhere */
    bpk_dtype dtype = (bpk_dtype)below(s, BPK_N_DTYPES);
    problem p = {
        .kernels = bpk_isa_kernels(isa, dtype),
        .real = dtype == BPK_F64 ? sizeof(double) : sizeof(float),
        .layers = 1 + below(s, MAX_LAYERS),
        .loss = {
            .loss = (bpk_loss)below(s, BPK_N_LOSSES), .loss_factor = 1, .slope_factor = 1, .cap = INFINITY}};
    int online = below(s, 4) == 0, widest = online ? 4 : MAX_WIDTH;
    for (int l = 0; l <= p.layers; l++) p.sizes[l] = 1 + below(s, widest);
    for (int l = 0; l < p.layers; l++) {
        p.activations[l] = (bpk_activation)below(s, online ? BPK_SOFTPLUS : BPK_N_ACTIVATIONS);
        p.w[l] = reals(s, p.real, p.sizes[l] * p.sizes[l + 1], -0.3, 0.3);
        p.b[l] = reals(s, p.real, p.sizes[l + 1], -0.1, 0.1);
    }
    for (int i = 0; i < MAX_WIDTH; i++) p.loss_parameters[i] = 0.3;
    make_data(&p, s);
    make_settings(&p, s);
    if (online) make_online(&p);
    return p;
}

static void free_problem(problem *p) {
    for (int l = 0; l < p->layers; l++) {
        free(p->w[l]);
        free(p->b[l]);
    }
    void *others[] = {p->x, p->y, p->indices, p->indptr, p->labels, p->index, p->weights, p->rates};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) free(others[i]);
}

static bpk_net *make_net(const problem *p) {
    bpk_net *net;
    bpk_loss_settings loss = p->loss;
    if (loss.loss == BPK_HUBER || loss.loss == BPK_QUANTILE) loss.parameters = p->loss_parameters;
    check(bpk_net_create(p->kernels, p->layers, p->sizes, p->activations, &loss, &net));
    for (int l = 0; l < p->layers; l++) {
        bpk_net_set_layer(net, BPK_PARAMETERS, l, p->w[l], p->b[l]);
        bpk_net_set_dropout(net, l, p->dropout[l]);
    }
    bpk_net_set_dropout_key(net, 77);
    for (int store = BPK_M; store < BPK_AVERAGE; store++)
        if (bpk_uses(&p->run.request.update.optimizer, (bpk_store)store))
            check(bpk_net_make(net, (bpk_store)store));
    if (p->averages) {
        check(bpk_net_make(net, BPK_AVERAGE));
        bpk_net_start_average(net);
    }
    return net;
}

/* The bits of all results, in order. */
typedef struct {
    char *bytes;
    size_t size;
} record;

static void add(record *r, const void *bytes, size_t size) {
    r->bytes = realloc(r->bytes, r->size + size);
    if (!r->bytes) exit(2);
    memcpy(r->bytes + r->size, bytes, size);
    r->size += size;
}

static void add_number(record *r, double number) { add(r, &number, sizeof number); }

static int equal(const record *a, const record *b) {
    return a->size == b->size && !memcmp(a->bytes, b->bytes, a->size);
}

/* The problem's run before its first step, for this number of threads. */
static bpk_run fresh(const problem *p, int threads) {
    bpk_run run = p->run;
    run.request.threads = threads;
    return run;
}

static void train(const problem *p, bpk_net *net, bpk_workspace *ws, int threads, record *r) {
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        bpk_run run = fresh(p, threads);
        run.request.seconds = epoch % 2 ? 1e-5 : 0; /* ends some calls before their last step */
        while (run.cursor.next < run.request.data.rows) check(bpk_train(net, ws, &run, 3));
        add_number(r, run.results.loss_sum);
        add_number(r, run.results.accuracy_sum);
    }
}

/* Whole epochs: of the problem's steps, and of one step, which is proved not to overflow, or copied. */
static void train_epochs(const problem *p, bpk_net *net, bpk_workspace *ws, int threads, record *r) {
    for (int one_step = 0; one_step < 2; one_step++) {
        bpk_run run = fresh(p, threads);
        bpk_results results[EPOCHS];
        bpk_epochs epochs = {
            .epochs = EPOCHS, .seconds = 1e6, .keeps_average = p->averages, .results = results};
        if (one_step) run.request.batch = run.request.data.rows;
        check(bpk_train_epochs(net, ws, &run, &epochs));
        for (int epoch = 0; epoch < EPOCHS; epoch++) add_number(r, results[epoch].loss_sum);
    }
}

/* Evaluation and prediction, which only read the network. */
static void predict(const problem *p, const bpk_net *net, int threads, record *r) {
    size_t size = (size_t)(p->run.request.data.rows * p->sizes[p->layers]) * p->real;
    char *out = room(size, 1);
    bpk_workspace *ws;
    check(bpk_workspace_create(net, p->run.request.batch, BPK_FOR_FORWARD, threads, &ws));
    bpk_run evaluation = fresh(p, threads), prediction = fresh(p, threads);
    evaluation.request.averaged = p->averages;
    check(bpk_evaluate(net, ws, &evaluation, PTRDIFF_MAX));
    add_number(r, evaluation.results.loss_sum);
    check(bpk_forward(net, ws, &prediction, PTRDIFF_MAX, out));
    add(r, out, size);
    bpk_workspace_free(ws);
    free(out);
}

/* Gradients, and one step by hand on all rows. */
static void by_hand(const problem *p, bpk_net *net, bpk_workspace *ws, int threads, record *r) {
    size_t outputs = (size_t)(p->run.request.data.rows * p->sizes[p->layers]) * p->real,
           inputs = (size_t)(p->run.request.data.rows * p->sizes[0]) * p->real;
    char *out = room(outputs, 1), *dx = room(inputs, 1);
    bpk_run run = fresh(p, threads);
    run.request.batch = run.request.data.rows;
    check(bpk_gradients(net, ws, &run, 1));
    check(bpk_tape_forward(net, ws, &run, out));
    bpk_tape_backward(net, ws, &run, out, dx);
    bpk_tape_update(net, ws, &run, 1e-3);
    add(r, out, outputs);
    add(r, dx, inputs);
    free(out);
    free(dx);
}

/* Creates, trains, reads, steps by hand and frees a network. The results must not depend on the number of
 * threads. */
static record live(const problem *p, int threads) {
    record r = {0};
    bpk_net *net = make_net(p);
    bpk_workspace *ws;
    check(bpk_workspace_create(net, p->run.request.data.rows, BPK_FOR_GRADIENTS, threads, &ws));
    check(bpk_net_snapshot(net));
    train(p, net, ws, threads, &r);
    train_epochs(p, net, ws, threads, &r);
    predict(p, net, threads, &r);
    by_hand(p, net, ws, threads, &r);
    bpk_workspace_free(ws);
    for (int l = 0; l < p->layers; l++) {
        size_t outputs = (size_t)p->sizes[l + 1], size = (size_t)p->sizes[l] * outputs * p->real;
        char *w = room(size, 1), *b = room(outputs, p->real);
        bpk_net_get_layer(net, BPK_PARAMETERS, l, w, b);
        add(&r, w, size);
        add(&r, b, outputs * p->real);
        free(w);
        free(b);
    }
    add_number(&r, bpk_net_finite(net));
    bpk_net_restore(net);
    bpk_net_free(net);
    return r;
}

/* The input and the results of one thread. */
typedef struct {
    thread thread; /* first: its address is the task's */
    const problem *problem;
    bpk_net *net;
    record record;
} task;

static void live_in_thread(thread *self) {
    task *t = (task *)self;
    t->record = live(t->problem, 2);
}

static void read_in_thread(thread *self) {
    task *t = (task *)self;
    predict(t->problem, t->net, 2, &t->record);
}

static void train_in_thread(thread *self) {
    task *t = (task *)self;
    bpk_workspace *ws;
    check(bpk_workspace_create(t->net, t->problem->run.request.batch, BPK_FOR_GRADIENTS, 1, &ws));
    train(t->problem, t->net, ws, 1, &t->record);
    bpk_workspace_free(ws);
}

/* On a system without threads, one after the other. */
static void at_once(void (*work)(thread *self), task *tasks, int count) {
    int started[NETWORKS + READERS];
    for (int i = 0; i < count; i++) {
        tasks[i].thread.run = work;
        started[i] = thread_start(&tasks[i].thread);
        if (!started[i]) work(&tasks[i].thread);
    }
    for (int i = 0; i < count; i++)
        if (started[i]) thread_join(&tasks[i].thread);
}

static int same(const char *what, uint64_t trial, const record *expected, record *got) {
    int are_equal = equal(expected, got);
    if (!are_equal) printf("trial %llu: %s: different bits\n", (unsigned long long)trial, what);
    free(got->bytes);
    return are_equal;
}

static int networks(uint64_t trial) {
    problem problems[NETWORKS];
    record alone[NETWORKS];
    task tasks[NETWORKS] = {0};
    int good = 1;
    for (int i = 0; i < NETWORKS; i++) {
        problems[i] = make_problem(trial * NETWORKS + (unsigned)i);
        tasks[i].problem = &problems[i];
        alone[i] = live(&problems[i], 1);
        record by_team = live(&problems[i], TEAM);
        good &= same("a team", trial, &alone[i], &by_team);
    }
    at_once(live_in_thread, tasks, NETWORKS);
    for (int i = 0; i < NETWORKS; i++) {
        good &= same("networks at once", trial, &alone[i], &tasks[i].record);
        free(alone[i].bytes);
        free_problem(&problems[i]);
    }
    return good;
}

static int readers(uint64_t trial) {
    problem p = make_problem(trial);
    bpk_net *net = make_net(&p);
    record alone = {0};
    task tasks[READERS];
    int good = 1;
    predict(&p, net, 1, &alone);
    for (int i = 0; i < READERS; i++) tasks[i] = (task){.problem = &p, .net = net};
    at_once(read_in_thread, tasks, READERS);
    for (int i = 0; i < READERS; i++) good &= same("readers of one network", trial, &alone, &tasks[i].record);
    free(alone.bytes);
    bpk_net_free(net);
    free_problem(&p);
    return good;
}

enum { ROUNDS = 50 };

/* In each round, every member writes its own count; after a barrier it reads the counts of all members. */
static void count_rounds(void *context, member me) {
    int *counts = context, *wrong = counts + BPK_MAX_THREADS + me.index;
    for (int round = 1; round <= ROUNDS; round++) {
        counts[me.index] = round;
        team_barrier(me);
        for (int i = 0; i < me.count; i++) *wrong |= counts[i] != round;
        team_barrier(me);
    }
}

static int barriers(int threads) {
    int *counts = room(2 * BPK_MAX_THREADS, sizeof *counts), wrong = 0;
    team_run(threads, count_rounds, counts, (team_stop){0});
    for (int i = 0; i < threads; i++) wrong |= counts[BPK_MAX_THREADS + i] || (i == 0 && counts[i] != ROUNDS);
    free(counts);
    if (wrong) printf("%d threads: a barrier let a thread pass before all had reached it\n", threads);
    return !wrong;
}

enum { ITEMS = 37, GRAIN = 3 };

/* In each phase, every item is set once to the number of the phase; each piece checks all items before. */
static void count_pieces(void *context, worker *me) {
    int *items = context, *wrong = items + 2 * ITEMS;
    for (int phase = 1; phase <= ROUNDS; phase++) {
        int *now = items + phase % 2 * ITEMS, *before = items + (phase + 1) % 2 * ITEMS;
        ptrdiff_t from, to;
        while (take_piece(me, ITEMS, GRAIN, &from, &to)) {
            for (int i = 0; i < ITEMS; i++) wrong[from] |= before[i] != phase - 1;
            for (ptrdiff_t i = from; i < to; i++) {
                wrong[from] |= phase > 1 && now[i] != phase - 2;
                now[i] = phase;
            }
            if (me->index == 0) thread_yield(); /* helpers shall come in time */
        }
    }
    if (me->index > 0) thread_yield(); /* the caller shall wait for the end */
    if (items[ROUNDS % 2 * ITEMS] != ROUNDS) abort();
}

static int pieces_taken(int threads) {
    int *items = room(3 * ITEMS, sizeof *items), wrong = 0;
    pieces_run(threads, count_pieces, items);
    for (int i = 0; i < ITEMS; i++) wrong |= items[i + ROUNDS % 2 * ITEMS] != ROUNDS || items[i + 2 * ITEMS];
    free(items);
    if (wrong) printf("%d threads: a piece was missed, or taken too early or twice\n", threads);
    return !wrong;
}

#ifdef __linux__
typedef struct {
    thread thread;
    atomic_int started;
    cpu_set_t may;
} placed;

static void look_where(thread *self) {
    placed *p = (placed *)self;
    while (!atomic_load(&p->started)) thread_yield();
    if (sched_getaffinity(0, sizeof p->may, &p->may)) abort();
}

static int placement(void) {
    enum { STARTED = 3 };
    placed all[STARTED];
    cpu_set_t before, after;
    int good = !sched_getaffinity(0, sizeof before, &before);
    for (int i = 0; i < STARTED; i++) {
        all[i].thread.run = look_where;
        atomic_init(&all[i].started, 0);
        if (!thread_start(&all[i].thread)) abort();
        atomic_store(&all[i].started, 1);
    }
    good &= !sched_getaffinity(0, sizeof after, &after) && CPU_EQUAL(&before, &after);
    for (int i = 0; i < STARTED; i++) {
        thread_join(&all[i].thread);
        good &= CPU_EQUAL(&before, &all[i].may);
    }
    if (!good) puts("a thread, or its creator, may no longer run on all processors");
    return good;
}
#else
static int placement(void) { return 1; }
#endif

/* Two threads train the same network, which the API forbids. */
static void race(void) {
    problem p = make_problem(0);
    bpk_net *net = make_net(&p);
    task tasks[2] = {{.problem = &p, .net = net}, {.problem = &p, .net = net}};
    at_once(train_in_thread, tasks, 2);
    for (int i = 0; i < 2; i++) free(tasks[i].record.bytes);
    bpk_net_free(net);
    free_problem(&p);
}

/* A network that is never freed. */
static void leak(void) {
    problem p = make_problem(0);
    make_net(&p);
    free_problem(&p);
}

#ifdef BPK_FUZZED
/* A network by one thread; of every eighth length of input also by two, to the same bits. */
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
    if (getenv("BPK_MISTAKE")) { /* which the sanitizer must report */
        volatile char *made = malloc(size + 1);
        made[size + 1] = 0;
    }
    input = bytes;
    input_left = size;
    problem p = make_problem(size);
    record alone = live(&p, 1);
    if (size % 8 == 0) {
        record by_team = live(&p, 2);
        if (!same("a team", size, &alone, &by_team)) abort();
    }
    free(alone.bytes);
    free_problem(&p);
    return 0;
}
#else
int main(int count, char **arguments) {
    if (count == 2 && !strcmp(arguments[1], "race")) {
        race();
        return 0;
    }
    if (count == 2 && !strcmp(arguments[1], "leak")) {
        leak();
        return 0;
    }
    if (count != 3) {
        fputs("usage: threads FROM TO | race | leak\n", stderr);
        return 2;
    }
    int good = 1;
    for (uint64_t trial = strtoull(arguments[1], NULL, 10); trial < strtoull(arguments[2], NULL, 10);
         trial++) {
        good &= networks(trial);
        good &= readers(trial);
        good &= barriers(2 + (int)(trial % 7));
        good &= pieces_taken(2 + (int)(trial % 7));
        good &= placement();
    }
    return !good;
}
#endif
