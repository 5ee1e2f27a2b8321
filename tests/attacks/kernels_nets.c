/* Nets: training, evaluation, prediction, gradients and steps by hand must give the same bits, whatever
 * their scratch memory held before, and with or without fences around their memory. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels_arena.h"
#include "kernels_trial.h"
#include "trainer/parameters.h"
#include "trainer/row_tiles.h"
#include "trainer/workspace.h"

enum { MAX_LAYERS = 4, POISON = 0xff };

typedef enum { PLAIN, POISONED, BEHIND_FENCES, BEFORE_FENCES } surroundings;

/* A net, its data and its training. All random choices come from one generator, so that they are the same
 * in all surroundings. */
typedef struct {
    const table *t;
    rng random;
    surroundings around;
    int layers, compressed; /* compressed: weights in bfloat16; it only evaluates and predicts */
    ptrdiff_t sizes[MAX_LAYERS + 1], rows, batch;
    bpk_loss_settings loss;
    bpk_net *net;
    bpk_workspace *ws;
    bpk_purpose purpose;
    bpk_run run;
    void *own_memory[BPK_N_STORES]; /* the net's own stores while fenced ones replace them */
    int slots;                      /* in use */
    uint64_t digest;                /* of all results so far */
} scene;

/* FNV-1a, one word at a time: different results with the same digest are not to be expected. */
static void add_to_digest(scene *s, const void *p, size_t bytes) {
    const char *from = p;
    for (size_t i = 0; i < bytes; i += sizeof(uint32_t)) {
        uint32_t word = 0;
        memcpy(&word, from + i, bytes - i < sizeof word ? bytes - i : sizeof word);
        s->digest = (s->digest ^ word) * 0x100000001b3u;
    }
}

static place where_of(const scene *s) {
    return s->around == BEHIND_FENCES ? AT_START : s->around == BEFORE_FENCES ? AT_END : INSIDE;
}

/* Places a matrix (rows, columns) in the next slot. */
static matrix put(scene *s, size_t item, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t ld, access access) {
    return place_items(s->slots++, item, rows, columns, ld, access, where_of(s), 0);
}

/* A piece of a workspace's memory: `count` items of `item` bytes at *at, which is NULL if this workspace
 * has no such piece. workspace.c carves all pieces out of one allocation. `kept` is 1 for stored
 * gradients, which are kept from step to step; all other pieces are scratch memory. */
typedef struct {
    void **at;
    ptrdiff_t count;
    size_t item;
    int kept;
} piece;

enum { MAX_PIECES = 20 + 3 * MAX_LAYERS };

/* Lists the pieces of the workspace, and returns their number. */
static int pieces_of(const scene *s, piece pieces[MAX_PIECES]) {
    bpk_workspace *ws = s->ws;
    const bpk_net *net = s->net;
    size_t real = net->kernels->real_size;
    ptrdiff_t rows = ws->rows, in = padded(net->kernels, net->layers[0].in), last = last_layer(net)->width;
    int n = 0;
    for (int l = 0; l < net->count; l++) {
        ptrdiff_t elements = rows * net->layers[l].width;
        pieces[n++] = (piece){&ws->layers[l].a, elements, real, 0};
        pieces[n++] = (piece){&ws->layers[l].delta, elements, real, 0};
        pieces[n++] = (piece){&ws->layers[l].slope, elements, real, 0};
    }
    pieces[n++] = (piece){&ws->x[0], rows * in, real, 0};
    pieces[n++] = (piece){&ws->x[1], smaller(rows, net->kernels->sweep_rows) * in, real, 0};
    pieces[n++] = (piece){(void **)&ws->next_targets, rows, sizeof *ws->next_targets, 0};
    pieces[n++] = (piece){&ws->targets, rows * last, real, 0};
    pieces[n++] = (piece){(void **)&ws->target_rows, rows, sizeof *ws->target_rows, 0};
    pieces[n++] = (piece){(void **)&ws->labels, rows, sizeof *ws->labels, 0};
    pieces[n++] = (piece){(void **)&ws->scale, rows, sizeof(double), 0};
    pieces[n++] = (piece){(void **)&ws->row_weight, rows, sizeof(double), 0};
    pieces[n++] = (piece){(void **)&ws->row_loss, rows, sizeof(double), 0};
    pieces[n++] = (piece){(void **)&ws->row_accuracy, rows, sizeof(double), 0};
    pieces[n++] = (piece){(void **)&ws->sums, count_chunks(net), sizeof(double), 0};
    pieces[n++] = (piece){&ws->gradients, net->size, real, 1};
    pieces[n++] = (piece){&ws->x_delta, rows * in, real, 0};
    pieces[n++] = (piece){(void **)&ws->bad, ws->threads, sizeof *ws->bad, 0};
    pieces[n++] = (piece){(void **)&ws->bad_targets, ws->threads, sizeof *ws->bad_targets, 0};
    pieces[n++] = (piece){&ws->rows_of_threads, ws->threads * ws->row_size, real, 0};
    pieces[n++] = (piece){&ws->strips, ws->threads * ws->strip_size, real, 0};
    ptrdiff_t parts = most_parts(net, rows);
    pieces[n++] = (piece){&ws->views, ws->threads * ws->view_size, 1, 0};
    pieces[n++] = (piece){&ws->part_gradients, (parts - 1) * net->size, real, 0};
    pieces[n++] = (piece){(void **)&ws->parts, parts, sizeof *ws->parts, 0};
    return n;
}

/* Sets all scratch memory to NaN. The padding of deltas must be zero: with a height of 0 the next step
 * zeroes it, as the first step does. */
static void poison(scene *s) {
    piece pieces[MAX_PIECES];
    for (int i = 0, n = pieces_of(s, pieces); i < n; i++)
        if (*pieces[i].at && !pieces[i].kept)
            memset(*pieces[i].at, POISON, (size_t)pieces[i].count * pieces[i].item);
    s->ws->height = 0;
}

/* Moves the pieces of the workspace to fences. */
static void fence_workspace(scene *s) {
    piece pieces[MAX_PIECES];
    for (int i = 0, n = pieces_of(s, pieces); i < n; i++) {
        if (!*pieces[i].at) continue;
        matrix m = put(s, pieces[i].item, 1, pieces[i].count, pieces[i].count, WRITTEN);
        if (pieces[i].kept) memset(m.at, 0, bytes_of(&m));
        *pieces[i].at = m.at;
    }
}

/* Moves the stores to fences. The layers' pointers follow the store of parameters. */
static void fence_stores(scene *s) {
    bpk_net *net = s->net;
    for (int store = 0; store < BPK_N_STORES; store++) {
        char *own = s->own_memory[store] = net->stores[store];
        if (!own) continue;
        matrix m = put(s, net->kernels->real_size, 1, net->size, net->size, WRITTEN);
        memcpy(m.at, own, bytes_of(&m));
        net->stores[store] = m.at;
        for (int l = 0; store == BPK_PARAMETERS && l < net->count; l++) {
            net->layers[l].w = m.at + ((char *)net->layers[l].w - own);
            net->layers[l].b = m.at + ((char *)net->layers[l].b - own);
        }
    }
}

static void between_steps(scene *s) {
    if (s->around == POISONED) poison(s);
}

/* A random loss. `parameters` (600) has one value per output: nets have at most DEPTH + 100 outputs. */
static bpk_loss_settings random_loss(rng *r, double parameters[]) {
    bpk_loss_settings loss = {
        .loss = (bpk_loss)whole(r, 0, BPK_N_LOSSES - 1), .loss_factor = 1, .slope_factor = 1};
    loss.cap = INFINITY;
    for (int j = 0; j < 600; j++) parameters[j] = between(r, 0.2, 0.8);
    if (loss.loss == BPK_HUBER || loss.loss == BPK_QUANTILE) loss.parameters = parameters;
    if (loss.loss == BPK_CROSS_ENTROPY && one_in(r, 3)) loss.smoothing = 0.1;
    if (one_in(r, 6)) loss.loss_factor = 0.5, loss.slope_factor = 2;
    return loss;
}

static ptrdiff_t random_width(const scene *s, rng *r, int online) {
    if (online) return whole(r, 1, s->t->kernels->vector);
    if (one_in(r, 4)) return whole(r, 1, 3);
    if (one_in(r, 20)) return whole(r, DEPTH, DEPTH + 100);
    return whole(r, 1, 70);
}

static void make_net(scene *s) {
    rng *r = &s->random;
    static double parameters[600];
    bpk_activation activations[MAX_LAYERS];
    int online = one_in(r, 5) && s->t->kernels->online;
    s->layers = (int)whole(r, 1, MAX_LAYERS);
    for (int l = 0; l <= s->layers; l++) s->sizes[l] = random_width(s, r, online);
    for (int l = 0; l < s->layers; l++) activations[l] = (bpk_activation)whole(r, 0, BPK_N_ACTIVATIONS - 1);
    for (int l = 0; online && l < s->layers; l++) activations[l] = (bpk_activation)whole(r, 0, BPK_SOFTPLUS);
    s->loss = random_loss(r, parameters);
    if (online) s->loss.loss_factor = s->loss.slope_factor = 1;
    s->batch = online ? 1 : whole(r, 1, one_in(r, 2) ? 8 : 40);
    if (!online && s->batch <= 8 && s->layers > 1 && one_in(r, 3)) {
        /* large enough for activations of the next step */
        s->sizes[0] = whole(r, DEPTH, DEPTH + 50);
        s->sizes[1] = whole(r, 35, 100);
    } else if (!online && one_in(r, 4)) { /* by row tiles, unless a layer in between is wide */
        s->sizes[s->layers] = whole(r, 400, 580);
        s->batch = whole(r, 200, 300);
    }
    s->rows = s->batch * whole(r, 1, 3) - whole(r, 0, s->batch - 1);
    s->compressed = !online && s->t->dtype == BPK_F32 && one_in(r, 6);
    if (s->compressed && one_in(r, 2)) s->batch = 1;
    if ((s->compressed ? bpk_net_create_compressed : bpk_net_create)(
            s->t->kernels, s->layers, s->sizes, activations, &s->loss, &s->net) != BPK_OK)
        abort();
    bpk_net_set_dropout_key(s->net, draw(r));
    for (int l = 0; !online && l + 1 < s->layers; l++)
        if (one_in(r, 3)) bpk_net_set_dropout(s->net, l, 0.3);
    s->run = (bpk_run){.request = {.batch = s->batch, .threads = one_in(r, 3) ? 2 : 1}};
    bpk_update_settings *update = &s->run.request.update;
    *update = (bpk_update_settings){.clip_norm = INFINITY, .clip_value = INFINITY, .accumulate = 1};
    s->purpose = BPK_FOR_FORWARD;
    if (s->compressed) return;
    update->optimizer = (bpk_optimizer){.rule = (bpk_rule)whole(r, 0, BPK_N_RULES - 1),
                                        .lr = 1e-3,
                                        .square_decay = 0.99,
                                        .eps = 1e-6,
                                        .momentum = one_in(r, 2) ? 0.5 : 0};
    update->optimizer.nesterov = one_in(r, 2), update->optimizer.centered = one_in(r, 2);
    update->optimizer.amsgrad = one_in(r, 2), update->optimizer.weight_decay = one_in(r, 2) ? 0.01 : 0;
    if (!online && one_in(r, 3)) update->l2 = 1e-3;
    if (!online && one_in(r, 4)) update->l1 = 1e-3;
    if (!online && one_in(r, 5)) update->clip_norm = 0.1;
    if (!online && one_in(r, 5)) update->clip_value = 0.05;
    if (!online && one_in(r, 5)) update->accumulate = 2;
    for (int i = BPK_M; i <= BPK_U; i++)
        if (bpk_uses(&update->optimizer, (bpk_store)i) && bpk_net_make(s->net, (bpk_store)i) != BPK_OK)
            abort();
    if (!online && one_in(r, 3)) {
        update->average_decay = 0.9;
        if (bpk_net_make(s->net, BPK_AVERAGE) != BPK_OK) abort();
    }
    int stores = bpk_stores_gradients(&s->run.request.update) || one_in(r, 2);
    s->purpose = stores ? BPK_FOR_GRADIENTS : BPK_FOR_TRAINING;
}

static void set_weights(scene *s) {
    rng *r = &s->random;
    size_t real = s->t->kernels->real_size;
    for (int l = 0; l < s->layers; l++) {
        ptrdiff_t in = s->sizes[l], out = s->sizes[l + 1];
        double limit = sqrt(2.0 / (double)(in + out));
        matrix w = put(s, real, out, in, in, READ), b = put(s, real, 1, out, out, READ);
        for (ptrdiff_t i = 0; i < out * in; i++) set(&w, i / in, i % in, between(r, -limit, limit));
        for (ptrdiff_t j = 0; j < out; j++) set(&b, 0, j, between(r, -0.1, 0.1));
        bpk_net_set_layer(s->net, BPK_PARAMETERS, l, w.at, b.at);
        s->slots -= 2;
    }
    if (bpk_net_has(s->net, BPK_AVERAGE)) bpk_net_start_average(s->net);
}

/* Random data (rows, columns) from low to high, or bytes from -3 to 3: usually contiguous rows in the
 * table's dtype. If `odd`, one time in ten each: the other float type, bytes, sparse, stored by columns,
 * or with gaps between rows. */
static bpk_source random_data(scene *s, ptrdiff_t columns, double low, double high, int odd) {
    rng *r = &s->random;
    bpk_type own = s->t->dtype == BPK_F64 ? BPK_DOUBLE : BPK_FLOAT,
             other = own == BPK_FLOAT ? BPK_DOUBLE : BPK_FLOAT;
    int kind = odd ? (int)whole(r, 0, 9) : 9;
    bpk_type type = kind == 0 ? other : kind == 1 ? BPK_INT8 : own;
    ptrdiff_t item = type == BPK_INT8 ? 1 : type == BPK_FLOAT ? 4 : 8;
    bpk_source source = {.type = type, .columns = columns};
    if (kind == 2) { /* sparse: a third of the columns */
        ptrdiff_t per_row = columns / 3 + 1, entries = s->rows * per_row;
        matrix data = put(s, (size_t)item, 1, entries, entries, READ);
        matrix indices = put(s, sizeof(int32_t), 1, entries, entries, READ);
        matrix starts = put(s, sizeof(int32_t), 1, s->rows + 1, s->rows + 1, READ);
        for (ptrdiff_t i = 0; i < entries; i++) {
            set(&data, 0, i, between(r, low, high));
            ((int32_t *)indices.at)[i] = (int32_t)whole(r, 0, columns - 1);
        }
        for (ptrdiff_t i = 0; i <= s->rows; i++) ((int32_t *)starts.at)[i] = (int32_t)(i * per_row);
        source.data = data.at, source.column_stride = item, source.entries = entries;
        source.indices = indices.at, source.indptr = starts.at;
        return source;
    }
    int by_columns = kind == 3;
    ptrdiff_t stored_rows = by_columns ? columns : s->rows, stored_columns = by_columns ? s->rows : columns;
    ptrdiff_t ld = stored_columns + (kind == 4 ? 3 : 0);
    matrix data = put(s, (size_t)item, stored_rows, stored_columns, ld, READ);
    for (ptrdiff_t i = 0; i < stored_rows; i++)
        for (ptrdiff_t j = 0; j < stored_columns; j++)
            if (type == BPK_INT8)
                ((int8_t *)data.at)[i * ld + j] = (int8_t)whole(r, -3, 3);
            else
                set(&data, i, j, between(r, low, high));
    source.data = data.at;
    source.row_stride = item * (by_columns ? 1 : ld), source.column_stride = item * (by_columns ? ld : 1);
    return source;
}

static void make_data(scene *s) {
    rng *r = &s->random;
    ptrdiff_t outputs = s->sizes[s->layers];
    bpk_data *data = &s->run.request.data;
    data->rows = data->source_rows = s->rows;
    data->x = random_data(s, s->sizes[0], -2, 2, s->batch > 1);
    if (s->loss.loss == BPK_CROSS_ENTROPY && one_in(r, 2)) {
        matrix labels = put(s, sizeof(int64_t), 1, s->rows, s->rows, READ);
        for (ptrdiff_t i = 0; i < s->rows; i++) ((int64_t *)labels.at)[i] = whole(r, 0, outputs - 1);
        data->labels = (const int64_t *)labels.at;
    } else {
        data->y = random_data(s, outputs, 0, 1, 0);
    }
    if (s->batch > 1 && one_in(r, 3)) {
        matrix weights = put(s, sizeof(double), 1, s->rows, s->rows, READ);
        for (ptrdiff_t i = 0; i < s->rows; i++) set(&weights, 0, i, between(r, 0, 2));
        data->weights = (const double *)weights.at;
    }
    if (one_in(r, 2)) {
        matrix index = put(s, sizeof(int64_t), 1, s->rows, s->rows, READ);
        for (ptrdiff_t i = 0; i < s->rows; i++) ((int64_t *)index.at)[i] = s->rows - 1 - i;
        data->index = (const int64_t *)index.at;
    }
}

static void digest_run(scene *s, bpk_status status, ptrdiff_t at) {
    const bpk_run *run = &s->run;
    double sums[] = {(double)status,          (double)at,
                     run->results.loss_sum,   run->results.accuracy_sum,
                     run->results.weight_sum, (double)run->cursor.updates};
    add_to_digest(s, sums, sizeof sums);
}

/* One pass over the data from the first row on. */
static void pass_over_data(scene *s, bpk_status (*step)(scene *s)) {
    bpk_status status = BPK_OK;
    s->run.cursor.next = s->run.cursor.updates = 0;
    s->run.results.loss_sum = s->run.results.accuracy_sum = s->run.results.weight_sum = 0;
    while (status == BPK_OK && s->run.cursor.next < s->rows) {
        between_steps(s);
        status = step(s);
    }
    digest_run(s, status, s->run.cursor.next);
}

static matrix predictions; /* of the current pass */

/* Steps of one call may compute activations of the next step (trainer/ahead.h): scratch memory is poisoned
 * between calls. */
static bpk_status train_batch(scene *s) {
    return bpk_train(s->net, s->ws, &s->run, s->around == POISONED ? 1 : s->rows);
}
static bpk_status evaluate_batch(scene *s) { return bpk_evaluate(s->net, s->ws, &s->run, 1); }
static bpk_status gradients_batch(scene *s) { return bpk_gradients(s->net, s->ws, &s->run, 1); }
static bpk_status forward_batch(scene *s) { return bpk_forward(s->net, s->ws, &s->run, 1, predictions.at); }

static void predict(scene *s) {
    ptrdiff_t outputs = s->sizes[s->layers];
    matrix losses = put(s, sizeof(double), 1, s->rows, s->rows, WRITTEN);
    if (!s->run.request.data.weights) s->run.request.row_losses = (double *)losses.at;
    pass_over_data(s, evaluate_batch);
    add_to_digest(s, losses.at, bytes_of(&losses));
    s->run.request.row_losses = NULL;
    predictions = put(s, s->t->kernels->real_size, s->rows, outputs, outputs, WRITTEN);
    pass_over_data(s, forward_batch);
    add_to_digest(s, predictions.at, bytes_of(&predictions));
    if (!untouched(&predictions) || !untouched(&losses))
        fail("%s %s: memory outside the predictions was written", s->t->isa, dtype_name(s->t->dtype));
    s->slots -= 2;
}

/* Adds the layers' parameters and states, or their gradients, to the digest, in the caller's layout. */
static void digest_layers(scene *s, int gradients) {
    size_t real = s->t->kernels->real_size;
    for (int store = 0; store < (gradients ? 1 : BPK_N_STORES); store++)
        for (int l = 0; s->net->stores[store] && l < s->layers; l++) {
            ptrdiff_t in = s->sizes[l], out = s->sizes[l + 1];
            matrix w = put(s, real, out, in, in, WRITTEN), b = put(s, real, 1, out, out, WRITTEN);
            if (gradients)
                bpk_workspace_get_layer(s->net, s->ws, l, w.at, b.at);
            else
                bpk_net_get_layer(s->net, (bpk_store)store, l, w.at, b.at);
            add_to_digest(s, w.at, bytes_of(&w)), add_to_digest(s, b.at, bytes_of(&b));
            if (!untouched(&w) || !untouched(&b))
                fail("%s %s: memory outside layer %d was written", s->t->isa, dtype_name(s->t->dtype), l);
            s->slots -= 2;
        }
}

static void clear_gradients(const scene *s) {
    memset(s->ws->gradients, 0, (size_t)s->net->size * s->t->kernels->real_size);
}

/* One step by hand on a batch: forward, backward with the outputs as the derivatives, as from the loss
 * sum(a^2) / 2, and an update. */
static void by_hand(scene *s) {
    size_t real = s->t->kernels->real_size;
    ptrdiff_t outputs = s->sizes[s->layers], in = s->sizes[0], all_rows = s->rows;
    s->run.request.data.rows = smaller(all_rows, s->batch);
    s->run.cursor.next = s->run.cursor.updates = 0;
    matrix out = put(s, real, s->run.request.data.rows, outputs, outputs, WRITTEN);
    matrix dx = put(s, real, s->run.request.data.rows, in, in, WRITTEN);
    clear_gradients(s);
    between_steps(s);
    bpk_status status = bpk_tape_forward(s->net, s->ws, &s->run, out.at);
    digest_run(s, status, 0);
    add_to_digest(s, out.at, bytes_of(&out));
    bpk_tape_backward(s->net, s->ws, &s->run, out.at, dx.at);
    add_to_digest(s, dx.at, bytes_of(&dx));
    digest_layers(s, 1);
    between_steps(s);
    bpk_tape_update(s->net, s->ws, &s->run, 0.1);
    if (!untouched(&out) || !untouched(&dx))
        fail("%s %s: memory outside the derivatives was written", s->t->isa, dtype_name(s->t->dtype));
    s->slots -= 2;
    s->run.request.data.rows = all_rows;
}

/* Makes the generator's scene, runs it and frees its net and workspace. Returns it for its digest and its
 * sizes. */
static scene run_scene(const table *t, rng random, surroundings around) {
    scene own = {.t = t, .random = random, .around = around, .digest = 0xcbf29ce484222325u}, *s = &own;
    doing("%s %s, a net, surroundings %d", t->isa, dtype_name(t->dtype), (int)around);
    make_net(s);
    doing("%s %s, %td to %td, %d layers, %td rows, batch size %td, surroundings %d", t->isa,
          dtype_name(t->dtype), s->sizes[0], s->sizes[s->layers], s->layers, s->rows, s->batch, (int)around);
    if (bpk_workspace_create(s->net, s->batch, s->purpose, s->run.request.threads, &s->ws) != BPK_OK) abort();
    if (around == BEFORE_FENCES || around == BEHIND_FENCES) {
        fence_stores(s);
        fence_workspace(s);
    }
    set_weights(s);
    make_data(s);
    if (!s->compressed) pass_over_data(s, train_batch);
    predict(s);
    if (s->purpose == BPK_FOR_GRADIENTS) {
        clear_gradients(s);
        pass_over_data(s, gradients_batch);
        digest_layers(s, 1);
        by_hand(s);
    }
    digest_layers(s, 0);
    for (int store = 0; store < BPK_N_STORES; store++)
        if (s->own_memory[store]) s->net->stores[store] = s->own_memory[store];
    bpk_workspace_free(s->ws);
    bpk_net_free(s->net);
    return own;
}

static void compare(const table *t, const rng *r, surroundings around, const char *how) {
    scene plain = run_scene(t, *r, PLAIN), other = run_scene(t, *r, around);
    if (plain.digest != other.digest)
        fail("%s %s: different bits %s; %d layers, %td to %td, %td rows, batch size %td", t->isa,
             dtype_name(t->dtype), how, plain.layers, plain.sizes[0], plain.sizes[plain.layers], plain.rows,
             plain.batch);
}

void net_scratch(ptrdiff_t number, rng *r) {
    (void)number;
    for (int i = 0; i < count_tables; i++) compare(&tables[i], r, POISONED, "with NaN in scratch memory");
}

void net_fences(ptrdiff_t number, rng *r) {
    (void)number;
    for (int i = 0; i < count_tables; i++) {
        compare(&tables[i], r, BEHIND_FENCES, "behind fences");
        compare(&tables[i], r, BEFORE_FENCES, "before fences");
    }
}
