/* Nets of small integers: a step of gradient descent on them has no rounding, on any path that the
 * products may take, so its bits must equal those of sums of integers. */
#include <math.h>
#include <stdlib.h>

#include "kernels_products.h"

enum { MAX_LAYERS = 3 };
/* Sums below this are exact in float32, which holds all integers up to 2^24. */
#define EXACT_BELOW ((int64_t)1 << 23)

/* Layer l has w[l] (out, in), b[l] (out), a[l + 1] (n, out), and delta[l] (n, out), which is n times the
 * delta. a[0] (n, in) is x, and t (n, out) the targets. */
typedef struct {
    int layers, is_relu[MAX_LAYERS];
    int overflows; /* whether a sum may be too large for float32 */
    ptrdiff_t n, sizes[MAX_LAYERS + 1];
    int64_t *w[MAX_LAYERS], *b[MAX_LAYERS], *a[MAX_LAYERS + 1], *delta[MAX_LAYERS], *t;
} integer_net;

/* Integers from -limit to limit; with a sparsity, all except about one in `sparsity` are zero. */
static int64_t *random_integers(ptrdiff_t count, int limit, int sparsity, rng *r) {
    int64_t *values = room(count, sizeof *values);
    for (ptrdiff_t i = 0; i < count; i++)
        values[i] = sparsity && !one_in(r, sparsity) ? 0 : whole(r, -limit, limit);
    return values;
}

static integer_net random_net(rng *r) {
    integer_net s = {.layers = (int)whole(r, 1, MAX_LAYERS), .n = (ptrdiff_t)1 << whole(r, 0, 5)};
    for (int l = 0; l <= s.layers; l++)
        s.sizes[l] = one_in(r, 6)   ? whole(r, DEPTH - 10, DEPTH + 90)
                     : one_in(r, 3) ? whole(r, 1, 8)
                                    : whole(r, 1, 110);
    for (int l = 0; l < s.layers; l++) {
        ptrdiff_t in = s.sizes[l], out = s.sizes[l + 1];
        s.w[l] = random_integers(out * in, 2, (int)larger(1, in / 8), r);
        s.b[l] = random_integers(out, 4, 0, r);
        s.a[l + 1] = room(s.n * out, sizeof(int64_t));
        s.delta[l] = room(s.n * out, sizeof(int64_t));
        s.is_relu[l] = one_in(r, 2);
    }
    s.a[0] = random_integers(s.n * s.sizes[0], 3, 0, r);
    s.t = random_integers(s.n * s.sizes[s.layers], 3, 0, r);
    return s;
}

static void free_net(integer_net *s) {
    for (int l = 0; l < s->layers; l++) free(s->w[l]), free(s->b[l]), free(s->a[l + 1]), free(s->delta[l]);
    free(s->a[0]), free(s->t);
}

/* Adds a term to a sum, and its absolute value to the magnitude, which limits every partial sum, in any
 * order. */
static void add_term(integer_net *s, int64_t *sum, int64_t *magnitude, int64_t term) {
    *sum += term;
    *magnitude += term < 0 ? -term : term;
    if (*magnitude >= EXACT_BELOW) s->overflows = 1;
}

/* a[l + 1] = s(a[l] w[l]' + b[l]), s being ReLU or the identity. */
static void forward(integer_net *s, int l) {
    ptrdiff_t in = s->sizes[l], out = s->sizes[l + 1];
    for (ptrdiff_t i = 0; i < s->n; i++)
        for (ptrdiff_t j = 0; j < out; j++) {
            int64_t sum = 0, magnitude = 0;
            add_term(s, &sum, &magnitude, s->b[l][j]);
            for (ptrdiff_t k = 0; k < in; k++)
                add_term(s, &sum, &magnitude, s->a[l][i * in + k] * s->w[l][j * in + k]);
            s->a[l + 1][i * out + j] = s->is_relu[l] && sum < 0 ? 0 : sum;
        }
}

/* delta[l], n times the delta of layer l: from the loss (a - t)^2 / 2 for the last layer, otherwise from
 * the layer above, of width `above`. */
static void back(integer_net *s, int l) {
    ptrdiff_t out = s->sizes[l + 1], above = l + 1 < s->layers ? s->sizes[l + 2] : 0;
    for (ptrdiff_t i = 0; i < s->n; i++)
        for (ptrdiff_t j = 0; j < out; j++) {
            int64_t a = s->a[l + 1][i * out + j], sum = 0, magnitude = 0;
            if (!above) add_term(s, &sum, &magnitude, a - s->t[i * out + j]);
            for (ptrdiff_t k = 0; k < above; k++)
                add_term(s, &sum, &magnitude, s->delta[l + 1][i * above + k] * s->w[l + 1][k * out + j]);
            s->delta[l][i * out + j] = s->is_relu[l] && a <= 0 ? 0 : sum;
        }
}

/* n times the gradient of weight (j, k) of layer l, or of bias j if k < 0. */
static int64_t gradient(integer_net *s, int l, ptrdiff_t j, ptrdiff_t k) {
    ptrdiff_t in = s->sizes[l], out = s->sizes[l + 1];
    int64_t sum = 0, magnitude = 2 * s->n * 64; /* room for the parameter that it moves */
    for (ptrdiff_t i = 0; i < s->n; i++)
        add_term(s, &sum, &magnitude, s->delta[l][i * out + j] * (k < 0 ? 1 : s->a[l][i * in + k]));
    return sum;
}

/* A new array of the integers in the table's dtype. */
static void *as_reals(const table *t, const int64_t *integers, ptrdiff_t count) {
    void *reals = room(count, t->kernels->real_size);
    for (ptrdiff_t i = 0; i < count; i++)
        if (t->dtype == BPK_F64)
            ((double *)reals)[i] = (double)integers[i];
        else
            ((float *)reals)[i] = (float)integers[i];
    return reals;
}

static double real_at(const table *t, const void *reals, ptrdiff_t i) {
    return t->dtype == BPK_F64 ? ((const double *)reals)[i] : (double)((const float *)reals)[i];
}

/* Compares w and b with layer l's parameters minus `factor` times their gradients, or, without parameters,
 * with -factor times the gradients. */
static void compare(integer_net *s, const table *t, int l, const void *w, const void *b, int with_parameters,
                    double factor, const char *what) {
    ptrdiff_t in = s->sizes[l], out = s->sizes[l + 1];
    for (ptrdiff_t j = 0; j < out; j++)
        for (ptrdiff_t k = -1; k < in; k++) {
            double old = !with_parameters ? 0 : (double)(k < 0 ? s->b[l][j] : s->w[l][j * in + k]);
            double expected = old - factor * (double)gradient(s, l, j, k) / (double)s->n;
            double got = k < 0 ? real_at(t, b, j) : real_at(t, w, j * in + k);
            if (got == expected || s->overflows) continue;
            fail("%s %s: %s of layer %d of %d, %td to %td, %td rows, at %td %td: %.17g, not %.17g", t->isa,
                 dtype_name(t->dtype), what, l, s->layers, in, out, s->n, j, k, got, expected);
            return;
        }
}

static bpk_source source_of(const table *t, const void *data, ptrdiff_t columns) {
    ptrdiff_t item = (ptrdiff_t)t->kernels->real_size;
    return (bpk_source){.data = data,
                        .type = t->dtype == BPK_F64 ? BPK_DOUBLE : BPK_FLOAT,
                        .columns = columns,
                        .row_stride = columns * item,
                        .column_stride = item};
}

/* Compares one call of bpk_gradients and one of bpk_train with the integers. The velocity starts at zero,
 * so that momentum does not change the first step. */
static void try_table(integer_net *s, const table *t, int threads, int with_momentum) {
    static const bpk_loss_settings loss = {
        .loss = BPK_SQUARED_ERROR, .loss_factor = 1, .slope_factor = 1, .cap = INFINITY};
    bpk_activation activations[MAX_LAYERS];
    for (int l = 0; l < s->layers; l++) activations[l] = s->is_relu[l] ? BPK_RELU : BPK_IDENTITY;
    bpk_net *net;
    bpk_workspace *ws;
    doing("%s %s, a net of integers, %d layers, %td rows", t->isa, dtype_name(t->dtype), s->layers, s->n);
    if (bpk_net_create(t->kernels, s->layers, s->sizes, activations, &loss, &net) != BPK_OK) abort();
    if (bpk_workspace_create(net, s->n, BPK_FOR_GRADIENTS, threads, &ws) != BPK_OK) abort();
    void *x = as_reals(t, s->a[0], s->n * s->sizes[0]), *y = as_reals(t, s->t, s->n * s->sizes[s->layers]);
    for (int l = 0; l < s->layers; l++) {
        void *w = as_reals(t, s->w[l], s->sizes[l] * s->sizes[l + 1]),
             *b = as_reals(t, s->b[l], s->sizes[l + 1]);
        bpk_net_set_layer(net, BPK_PARAMETERS, l, w, b);
        free(w), free(b);
    }
    bpk_run run = {.request = {.batch = s->n, .threads = threads}};
    run.request.update =
        (bpk_update_settings){.optimizer = {.rule = BPK_SGD, .lr = 0.5, .momentum = with_momentum ? 0.5 : 0},
                              .clip_norm = INFINITY,
                              .clip_value = INFINITY,
                              .accumulate = 1};
    run.request.data = (bpk_data){.x = source_of(t, x, s->sizes[0]),
                                  .y = source_of(t, y, s->sizes[s->layers]),
                                  .rows = s->n,
                                  .source_rows = s->n};
    if (with_momentum && bpk_net_make(net, BPK_M) != BPK_OK) abort();
    bpk_status first = bpk_gradients(net, ws, &run, 1);
    run.cursor.next = 0;
    for (int l = 0; l < s->layers; l++) {
        void *w = room(s->sizes[l] * s->sizes[l + 1], sizeof(double)),
             *b = room(s->sizes[l + 1], sizeof(double));
        bpk_workspace_get_layer(net, ws, l, w, b);
        compare(s, t, l, w, b, 0, -1, "gradients");
        free(w), free(b);
    }
    bpk_status second = bpk_train(net, ws, &run, 1);
    if (first != BPK_OK || second != BPK_OK) fail("%s: status %d, %d", t->isa, (int)first, (int)second);
    for (int l = 0; l < s->layers; l++) {
        void *w = room(s->sizes[l] * s->sizes[l + 1], sizeof(double)),
             *b = room(s->sizes[l + 1], sizeof(double));
        bpk_net_get_layer(net, BPK_PARAMETERS, l, w, b);
        compare(s, t, l, w, b, 1, 0.5, "parameters");
        free(w), free(b);
    }
    free(x), free(y);
    bpk_workspace_free(ws);
    bpk_net_free(net);
}

void integer_nets(ptrdiff_t number, rng *r) {
    (void)number;
    integer_net s = random_net(r);
    int threads = one_in(r, 4) ? 3 : 1, with_momentum = one_in(r, 2);
    for (int l = 0; l < s.layers; l++) forward(&s, l);
    for (int l = s.layers - 1; l >= 0; l--) back(&s, l);
    for (int i = 0; i < count_tables && !s.overflows; i++) try_table(&s, &tables[i], threads, with_momentum);
    if (s.overflows) counted("too large for float32", 1);
    free_net(&s);
}
