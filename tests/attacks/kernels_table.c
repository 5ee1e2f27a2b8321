/* The kernels of the private table, with every operand right behind or right before a fence: no access
 * outside the operands, and the same bits as with operands inside their slots. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/bfloat16.h"
#include "kernels_arena.h"
#include "kernels_oracle.h"
#include "kernels_trial.h"

/* One round of calls of all kernels: the operands of the current kernel, one per slot, and the results of
 * all kernels so far. */
typedef struct {
    const table *t;
    place where;
    rng random;
    int slots;
    matrix operands[SLOTS];
    char *results;
    size_t size; /* bytes of the results */
} calls;

enum { MAX_SIZE = 1 << 20 };

/* Places an operand (rows, columns) in the next slot. */
static matrix *operand(calls *c, size_t item, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t ld,
                       access access) {
    matrix *m = &c->operands[c->slots];
    *m = place_items(c->slots++, item, rows, columns, ld, access, c->where, 0);
    return m;
}

/* An operand of random reals from low to high; or, in `reals`, from -2 to 2. */
static matrix *reals_from(calls *c, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t ld, access access,
                          double low, double high) {
    matrix *m = operand(c, c->t->kernels->real_size, rows, columns, ld, access);
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++) set(m, i, j, between(&c->random, low, high));
    return m;
}

static matrix *reals(calls *c, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t ld, access access) {
    return reals_from(c, rows, columns, ld, access, -2, 2);
}

/* A random matrix (rows, columns) in blocks of `rows` rows; with zero_padding, its padding is zero. */
static matrix *in_blocks(calls *c, ptrdiff_t rows, ptrdiff_t columns, access access, int zero_padding) {
    const bpk_kernels *kernels = c->t->kernels;
    ptrdiff_t elements = rows * padded(kernels, columns);
    matrix *m = reals(c, 1, elements, elements, access);
    for (ptrdiff_t j = 0, width; zero_padding && j < columns; j += width) {
        width = block_width(kernels, columns - j);
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t k = columns - j; k < width; k++) set(m, 0, j * rows + i * width + k, 0);
    }
    return m;
}

static void append(calls *c, const void *p, size_t bytes) {
    if (c->size + bytes > MAX_SIZE) abort();
    memcpy(c->results + c->size, p, bytes);
    c->size += bytes;
}

/* Ends the call of a kernel: checks the memory around the operands, appends the written operands to the
 * results, and frees the slots. */
static void finish(calls *c, const char *kernel) {
    for (int i = 0; i < c->slots; i++) {
        const matrix *m = &c->operands[i];
        if (!untouched(m))
            fail("%s %s %s: memory outside operand %d was written", c->t->isa, dtype_name(c->t->dtype),
                 kernel, i);
        if (m->access != WRITTEN) continue;
        if (c->size + bytes_of(m) > MAX_SIZE) abort();
        copy_out(m, c->results + c->size);
        c->size += bytes_of(m);
    }
    c->slots = 0;
}

static ptrdiff_t up_to(calls *c, ptrdiff_t limit) { return whole(&c->random, 0, limit); }

/* A random range of rows: from *from to *to, exclusive. */
static void random_rows(calls *c, ptrdiff_t rows, ptrdiff_t *from, ptrdiff_t *to) {
    *from = up_to(c, rows), *to = whole(&c->random, *from, rows);
}

/* m (rows, n), whose columns from `filled` on are set to zero. */
static const matrix *with_zeros(const matrix *m, ptrdiff_t rows, ptrdiff_t filled, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = filled; j < n; j++) set(m, i, j, 0);
    return m;
}

static void call_forward(calls *c) {
    const bpk_kernels *kernels = c->t->kernels;
    ptrdiff_t rows = up_to(c, 40), filled = whole(&c->random, 1, kernels->panel), k = up_to(c, 70);
    ptrdiff_t n = one_in(&c->random, 2) ? padded(kernels, filled) : filled, lda = n + up_to(c, 3);
    bpk_forward_args args = {.n = n, .k = k, .filled = filled, .ldw = n + up_to(c, 3), .lda = lda};
    int blocks = one_in(&c->random, 2), biased = one_in(&c->random, 2);
    random_rows(c, rows, &args.from, &args.to);
    args.resume = one_in(&c->random, 3);
    args.activation = (bpk_activation)whole(&c->random, 0, BPK_N_ACTIVATIONS - 1);
    ptrdiff_t ldx = k + up_to(c, 3);
    args.x = blocks ? (bpk_left){.at = in_blocks(c, rows, k, READ, 0)->at, .rows = rows}
                    : (bpk_left){.at = reals(c, rows, k, ldx, READ)->at, .ld = ldx};
    args.w = with_zeros(reals(c, k, n, args.ldw, READ), k, filled, n)->at;
    args.b = biased ? with_zeros(reals(c, 1, n, n, READ), 1, filled, n)->at : NULL;
    args.a = reals(c, rows, n, lda, WRITTEN)->at;
    kernels->forward(&args);
    finish(c, "forward");
}

/* Random pairs (half of k, rounded up; n), contiguous, of numbers with 8 significant bits. The numbers are
 * also written to w (n, k): pair (p, j) is in row p of the block of column j, and blocks follow each other.
 * With one block, n is its width. */
static matrix *pairs_of(calls *c, ptrdiff_t k, ptrdiff_t n, double *w) {
    const ptrdiff_t rows = (k + 1) / 2;
    matrix *m = operand(c, sizeof(bfloat16_pair), 1, rows * n, rows * n, READ);
    for (ptrdiff_t from = 0, width; from < n; from += width) {
        width = block_width(c->t->kernels, n - from);
        for (ptrdiff_t i = 0; i < 2 * rows; i++)
            for (ptrdiff_t j = 0; j < width; j++) {
                float number = (float)ldexp((double)whole(&c->random, -255, 255), -7);
                uint32_t bits;
                memcpy(&bits, &number, sizeof bits);
                bfloat16_pair *pair = (bfloat16_pair *)m->at + from * rows + i / 2 * width + j;
                if (i == k) bits = 0x7fc00000; /* NaN, which no sum may take */
                *pair = i % 2 ? (*pair & 0xffff) | (bits & 0xffff0000) : bits >> 16;
                if (i < k) w[(from + j) * k + i] = number;
            }
    }
    return m;
}

/* Compares a (rows, n) from row `from` to `to` with x w' + start, for x (rows, k) and w (n, k). */
static void check_sums(calls *c, const char *kernel, ptrdiff_t from, ptrdiff_t to, ptrdiff_t rows,
                       ptrdiff_t n, ptrdiff_t k, const double *x, const double *w, const double *start,
                       const matrix *a, ptrdiff_t first, ptrdiff_t last) {
    long double *exact = calloc((size_t)(rows * n + 1), sizeof *exact);
    double *magnitude = calloc((size_t)(rows * n + 1), sizeof *magnitude);
    exact_product(c->t->dtype, rows, n, k, x, w, start, exact, magnitude);
    for (ptrdiff_t i = from; i < to; i++)
        for (ptrdiff_t j = first; j < last; j++) {
            double bound = (double)(k + 8) * type_eps(c->t->dtype) * magnitude[i * n + j];
            if (!(fabsl((long double)get(a, i, j) - exact[i * n + j]) <= bound + type_smallest(c->t->dtype)))
                fail("%s %s %s: a wrong sum of %td terms, row %td, column %td of %td", c->t->isa,
                     dtype_name(c->t->dtype), kernel, k, i, j, n);
        }
    free(exact), free(magnitude);
}

/* One row through all or some blocks of a layer, with w as reals, and in pairs. */
static void call_row(calls *c, int pairs) {
    const bpk_kernels *kernels = c->t->kernels;
    const ptrdiff_t n = padded(kernels, whole(&c->random, 1, 7 * kernels->panel)), k = up_to(c, 40);
    double *w = calloc((size_t)(n * k + 1), sizeof *w), x[40], b[7 * 64];
    bpk_row_args args = {.n = n, .k = k, .to = n};
    if (one_in(&c->random, 2)) args.from = block_width(kernels, n);
    const matrix *xm = reals(c, 1, k, k, READ), *bm = reals(c, 1, n, n, READ),
                 *am = reals(c, 1, n, n, WRITTEN),
                 *wm = pairs ? pairs_of(c, k, n, w) : in_blocks(c, k, n, READ, 0);
    for (ptrdiff_t i = 0; i < k; i++) x[i] = get(xm, 0, i);
    for (ptrdiff_t j = 0; j < n; j++) b[j] = get(bm, 0, j);
    for (ptrdiff_t from = 0, width; !pairs && from < n; from += width) {
        width = block_width(kernels, n - from);
        for (ptrdiff_t i = 0; i < k; i++)
            for (ptrdiff_t j = 0; j < width; j++)
                w[(from + j) * k + i] = get(wm, 0, from * k + i * width + j);
    }
    args.x = xm->at, args.w = wm->at, args.b = bm->at, args.a = am->at;
    args.activation = (bpk_activation)whole(&c->random, 0, BPK_N_ACTIVATIONS - 1);
    const char *kernel = pairs ? "forward_row_pairs" : "forward_row";
    void (*run)(const bpk_row_args *) = pairs ? kernels->forward_row_pairs : kernels->forward_row;
    if (args.activation == BPK_IDENTITY || one_in(&c->random, 2)) {
        args.activation = BPK_IDENTITY;
        run(&args);
        check_sums(c, kernel, 0, 1, 1, n, k, x, w, b, am, args.from, args.to);
    } else {
        run(&args);
    }
    free(w);
    finish(c, kernel);
}

static void call_rows(calls *c) {
    call_row(c, 0);
    if (c->t->kernels->forward_row_pairs) call_row(c, 1);
}

/* Rows of a block of pairs. */
static void call_pairs(calls *c) {
    const bpk_kernels *kernels = c->t->kernels;
    if (!kernels->forward_pairs) return;
    ptrdiff_t rows = up_to(c, 40),
              n = whole(&c->random, 1, kernels->panel / kernels->vector) * kernels->vector, k = up_to(c, 70),
              lda = n + up_to(c, 3), ldx = k + up_to(c, 3);
    double *w = calloc((size_t)(n * k + 1), sizeof *w), *x = calloc((size_t)(rows * k + 1), sizeof *x), b[64];
    bpk_forward_args args = {.n = n, .k = k, .ldw = n, .lda = lda};
    int blocks = one_in(&c->random, 2);
    random_rows(c, rows, &args.from, &args.to);
    const matrix *xm = blocks ? in_blocks(c, rows, k, READ, 0) : reals(c, rows, k, ldx, READ),
                 *bm = reals(c, 1, n, n, READ), *am = reals(c, rows, n, lda, WRITTEN);
    args.x = blocks ? (bpk_left){.at = xm->at, .rows = rows} : (bpk_left){.at = xm->at, .ld = ldx};
    for (ptrdiff_t j = 0, width; j < k; j += width) {
        width = blocks ? block_width(kernels, k - j) : k;
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t q = 0; q < width && j + q < k; q++)
                x[i * k + j + q] = blocks ? get(xm, 0, j * rows + i * width + q) : get(xm, i, q);
    }
    args.w = pairs_of(c, k, n, w)->at, args.b = bm->at, args.a = am->at;
    for (ptrdiff_t j = 0; j < n; j++) b[j] = get(bm, 0, j);
    kernels->forward_pairs(&args);
    check_sums(c, "forward_pairs", args.from, args.to, rows, n, k, x, w, b, am, 0, n);
    args.resume = 1, args.activation = (bpk_activation)whole(&c->random, 0, BPK_N_ACTIVATIONS - 1);
    kernels->forward_pairs(&args);
    free(w), free(x);
    finish(c, "forward_pairs");
}

static void call_delta(calls *c) {
    const bpk_kernels *kernels = c->t->kernels;
    ptrdiff_t rows = up_to(c, 40), n = whole(&c->random, 1, kernels->panel), k = up_to(c, 70);
    bpk_delta_args args = {
        .n = n, .k = k, .ldw = n + up_to(c, 3), .lda = n + up_to(c, 3), .ldd = n + up_to(c, 3)};
    random_rows(c, rows, &args.from, &args.to);
    args.resume = one_in(&c->random, 3);
    args.activation = (bpk_activation)whole(&c->random, 0, BPK_SLOPE);
    args.delta_next = (bpk_left){.at = in_blocks(c, rows, k, READ, 0)->at, .rows = rows};
    args.w = reals(c, k, n, args.ldw, READ)->at;
    args.a = reals_from(c, rows, n, args.lda, READ, 0, 1)->at;
    args.delta = reals(c, rows, n, args.ldd, WRITTEN)->at;
    kernels->delta(&args);
    finish(c, "delta");
}

static void call_dot(calls *c) {
    ptrdiff_t rows = up_to(c, 40), n = up_to(c, 20), k = up_to(c, 120), spare = up_to(c, 5);
    bpk_dot_args args = {.n = n, .k = k, .x_rows = rows, .w_rows = n + spare, .lds = n + up_to(c, 3)};
    random_rows(c, rows, &args.from, &args.to);
    args.w_from = up_to(c, spare);
    args.resume = one_in(&c->random, 3);
    args.x = in_blocks(c, rows, k, READ, 0)->at;
    args.w = in_blocks(c, args.w_rows, k, READ, 1)->at;
    args.b = one_in(&c->random, 2) ? reals(c, 1, n, n, READ)->at : NULL;
    args.sums = reals(c, rows, n, args.lds, WRITTEN)->at;
    c->t->kernels->dot(&args);
    finish(c, "dot");
}

/* The sum of k products of x (.., k) and w (k, n). */
static void call_few_rows(calls *c) {
    ptrdiff_t rows = up_to(c, 5), n = up_to(c, 70), k = up_to(c, 40);
    bpk_few_rows_args args = {.n = n, .k = k, .ldx = k + up_to(c, 3), .ldw = n + up_to(c, 3)};
    args.lds = n + up_to(c, 3);
    random_rows(c, rows, &args.from, &args.to);
    const matrix *x = reals(c, rows, k, args.ldx, READ), *w = reals(c, k, n, args.ldw, READ),
                 *sums = reals(c, rows, n, args.lds, WRITTEN);
    args.x = x->at, args.w = w->at, args.sums = sums->at;
    c->t->kernels->few_rows(&args);
    for (ptrdiff_t i = args.from; i < args.to; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            double sum = 0;
            for (ptrdiff_t l = 0; l < k; l++) sum += get(x, i, l) * get(w, l, j);
            if (fabs(get(sums, i, j) - sum) > 1e-3) {
                fail("%s %s: %td few rows of %td, %td deep, has wrong numbers", c->t->isa,
                     dtype_name(c->t->dtype), rows, n, k);
                i = args.to;
                break;
            }
        }
    finish(c, "few_rows");
}

/* A random move, and which states it uses. Often it is that of plain SGD, for which kernels have other loops.
 */
static bpk_move random_move(calls *c, int uses[BPK_STATES]) {
    const int plain = one_in(&c->random, 3);
    bpk_optimizer optimizer = {
        .rule = (bpk_rule)whole(&c->random, 0, BPK_N_RULES - 1), .momentum = 0.9, .square_decay = 0.99};
    optimizer.centered = one_in(&c->random, 2), optimizer.amsgrad = one_in(&c->random, 2);
    optimizer.nesterov = one_in(&c->random, 2);
    if (plain) optimizer.rule = BPK_SGD, optimizer.nesterov = 0;
    bpk_move move = {.optimizer = optimizer,
                     .scale = 0.5,
                     .limit = 1.5,
                     .decay = !plain && one_in(&c->random, 2) ? 0.1 : 0,
                     .l1 = !plain && one_in(&c->random, 2) ? 0.01 : 0,
                     .shrink = !plain && one_in(&c->random, 2) ? 0.9 : 1,
                     .lr = 0.1,
                     .eps = 1e-8,
                     .correction = 0.5,
                     .dampening = one_in(&c->random, 2) ? 0.3 : 0,
                     .gradient_part = 0.4,
                     .mean_part = 0.7};
    /* Half of the time there is no velocity: its pointer, not move.momentum, tells kernels whether it is
     * used. */
    if (one_in(&c->random, 2)) optimizer.momentum = 0;
    for (int i = 0; i < BPK_STATES; i++) uses[i] = bpk_uses(&optimizer, (bpk_store)(BPK_M + i));
    return move;
}

static void call_update(calls *c) {
    const bpk_kernels *kernels = c->t->kernels;
    int uses[BPK_STATES];
    bpk_move move = random_move(c, uses);
    ptrdiff_t rows = up_to(c, 40), n = whole(&c->random, 1, kernels->panel), k = up_to(c, 150);
    bpk_update_args args = {
        .n = n, .filled = n, .k = k, .ldl = rows + up_to(c, 3), .ldr = n + up_to(c, 3), .move = &move};
    random_rows(c, rows, &args.from, &args.to);
    args.ldw = n + up_to(c, 3), args.ld_state = one_in(&c->random, 2) ? args.ldw : n;
    args.left = reals(c, k, rows, args.ldl, READ)->at;
    args.right = reals(c, k, n, args.ldr, READ)->at;
    args.w = reals(c, rows, n, args.ldw, WRITTEN)->at;
    for (int i = 0; i < BPK_STATES; i++)
        args.state[i] = uses[i] ? reals_from(c, rows, n, args.ld_state, WRITTEN, 0, 1)->at : NULL;
    kernels->update(&args);
    finish(c, "update");
}

/* A copy of a matrix of reals, in the next slot. */
static matrix *copy_of(calls *c, const matrix *m) {
    matrix *copy = operand(c, c->t->kernels->real_size, m->rows, m->columns, m->ld, WRITTEN);
    for (ptrdiff_t i = 0; i < m->rows; i++)
        for (ptrdiff_t j = 0; j < m->columns; j++) set(copy, i, j, get(m, i, j));
    return copy;
}

/* Compares the first n of every `width` columns: the others are padding. */
static void compare_matrices(const calls *c, const matrix *got, const matrix *wanted, ptrdiff_t n,
                             ptrdiff_t width, const char *what) {
    for (ptrdiff_t i = 0; i < got->rows; i++)
        for (ptrdiff_t j = 0; j < got->columns; j++)
            if (j % width < n && get(got, i, j) != get(wanted, i, j)) {
                fail("%s %s: sweep: %s (%td, %td) has other bits than of update and forward", c->t->isa,
                     dtype_name(c->t->dtype), what, i, j);
                return;
            }
}

/* The same as sweep, by the kernels update and forward: w and the states are moved, a is computed. */
static void sweep_in_two(const bpk_kernels *kernels, const bpk_sweep_args *args, char *w,
                         void *const state[BPK_STATES], void *a) {
    ptrdiff_t columns = padded(kernels, args->n);
    for (ptrdiff_t i = 0, width; i < args->to; i += width) {
        width = block_width(kernels, args->in - i);
        ptrdiff_t from = larger(args->from, i), to = smaller(args->to, i + width);
        if (from >= to) continue;
        bpk_update_args update = {.to = to - from,
                                  .n = columns,
                                  .filled = args->n,
                                  .k = args->k,
                                  .left = element(kernels, args->x, i * args->x_rows + from - i),
                                  .ldl = width,
                                  .right = args->delta,
                                  .ldr = args->ldd,
                                  .w = element(kernels, w, from * columns),
                                  .ldw = columns,
                                  .ld_state = columns,
                                  .move = args->move};
        for (int s = 0; s < BPK_STATES; s++)
            update.state[s] = state[s] ? element(kernels, state[s], from * columns) : NULL;
        kernels->update(&update);
    }
    bpk_forward_args forward = {.to = args->next_k,
                                .n = args->n,
                                .filled = args->n,
                                .k = args->in,
                                .x = {.at = args->next_x, .rows = args->x_rows},
                                .w = w,
                                .ldw = columns,
                                .b = args->b,
                                .activation = args->activation,
                                .a = a,
                                .lda = args->lda};
    if (args->next_k) kernels->forward(&forward);
}

/* Sweep moves whole padded rows of W, and reads the bias and writes the activations with their padding. Plain
 * SGD between batches of one row is made by sweep_row.h. */
static void call_sweep(calls *c) {
    const bpk_kernels *kernels = c->t->kernels;
    int uses[BPK_STATES];
    bpk_move move = random_move(c, uses);
    ptrdiff_t in = up_to(c, 120), n = whole(&c->random, 1, kernels->panel), width = padded(kernels, n);
    ptrdiff_t x_rows = whole(&c->random, 1, 12);
    bpk_sweep_args args = {.to = in, .in = in, .n = n, .x_rows = x_rows, .ldd = width, .move = &move};
    const int single = one_in(&c->random, 2);
    args.k = single ? 1 : up_to(c, x_rows);
    args.next_k = up_to(c, single ? 1 : x_rows);
    args.lda = width + up_to(c, 3);
    if (args.next_k == 0) random_rows(c, in, &args.from, &args.to);
    args.activation = (bpk_activation)whole(&c->random, 0, BPK_N_ACTIVATIONS - 1);
    args.x = in_blocks(c, x_rows, in, READ, 0)->at;
    args.delta = in_blocks(c, args.k, n, READ, 1)->at;
    const matrix *w = in_blocks(c, in, n, WRITTEN, 1), *w2 = copy_of(c, w), *states[BPK_STATES],
                 *states2[BPK_STATES];
    void *in_two[BPK_STATES] = {NULL};
    args.w = w->at;
    for (int i = 0; i < BPK_STATES; i++) {
        if (!uses[i]) continue;
        states[i] = reals_from(c, 1, in * width, in * width, WRITTEN, 0, 1),
        states2[i] = copy_of(c, states[i]);
        args.state[i] = states[i]->at, in_two[i] = states2[i]->at;
    }
    args.next_x = args.next_k ? in_blocks(c, x_rows, in, READ, 0)->at : NULL;
    args.b = one_in(&c->random, 2) ? reals(c, 1, width, width, READ)->at : NULL;
    const matrix *a = reals(c, args.next_k, width, args.lda, WRITTEN), *a2 = copy_of(c, a);
    args.a = a->at;
    kernels->sweep(&args);
    sweep_in_two(kernels, &args, w2->at, in_two, a2->at);
    compare_matrices(c, w, w2, n, width, "w");
    compare_matrices(c, a, a2, n, width, "a");
    for (int i = 0; i < BPK_STATES; i++)
        if (uses[i]) compare_matrices(c, states[i], states2[i], n, width, "a state");
    finish(c, "sweep");
}

static void call_update_bias(calls *c) {
    int uses[BPK_STATES];
    bpk_move move = random_move(c, uses);
    ptrdiff_t n = up_to(c, 70), k = up_to(c, 30);
    bpk_bias_args args = {.n = n, .k = k, .ldd = n + up_to(c, 3), .move = &move};
    args.delta = reals(c, k, n, args.ldd, READ)->at;
    args.b = reals(c, 1, n, n, WRITTEN)->at;
    for (int i = 0; i < BPK_STATES; i++)
        args.state[i] = uses[i] ? reals_from(c, 1, n, n, WRITTEN, 0, 1)->at : NULL;
    c->t->kernels->update_bias(&args);
    finish(c, "update_bias");
}

static void call_moves(calls *c) {
    const bpk_kernels *kernels = c->t->kernels;
    int uses[BPK_STATES];
    bpk_move move = random_move(c, uses);
    ptrdiff_t n = up_to(c, 70);
    void *states[BPK_STATES];
    const matrix *gradient = reals(c, 1, n, n, READ), *w = reals(c, 1, n, n, WRITTEN);
    for (int i = 0; i < BPK_STATES; i++)
        states[i] = uses[i] ? reals_from(c, 1, n, n, WRITTEN, 0, 1)->at : NULL;
    kernels->move(&move, n, gradient->at, w->at, states);
    finish(c, "move");

    ptrdiff_t count = one_in(&c->random, 4) ? up_to(c, 2500) : n;
    const matrix *collected = reals(c, 1, count, count, WRITTEN), *weights = reals(c, 1, count, count, READ);
    double squares = kernels->collect(count, collected->at, weights->at, 0.5, move.decay, move.l1);
    append(c, &squares, sizeof squares);
    finish(c, "collect");

    const matrix *average = reals(c, 1, n, n, WRITTEN), *newest = reals(c, 1, n, n, READ);
    kernels->average(n, average->at, newest->at, 0.9);
    finish(c, "average");
}

static void call_reductions(calls *c) {
    const bpk_kernels *kernels = c->t->kernels;
    ptrdiff_t n = one_in(&c->random, 4) ? up_to(c, 2500) : up_to(c, 70);
    const matrix *x = reals(c, 1, n, n, READ);
    double sums[] = {kernels->all_finite(n, x->at), kernels->sum_squares(n, x->at),
                     kernels->sum_absolute(n, x->at)};
    if (sums[0] != 1)
        fail("%s %s: all_finite is 0 for %td finite numbers", c->t->isa, dtype_name(c->t->dtype), n);
    append(c, sums, sizeof sums);
    if (n) {
        set(x, 0, whole(&c->random, 0, n - 1), __builtin_nan(""));
        if (kernels->all_finite(n, x->at))
            fail("%s %s: all_finite is 1 for %td numbers with a NaN", c->t->isa, dtype_name(c->t->dtype), n);
    }
    finish(c, "reduce");
}

static void call_layouts(calls *c) {
    const bpk_kernels *kernels = c->t->kernels;
    ptrdiff_t rows = whole(&c->random, 1, 40), columns = up_to(c, 70);
    ptrdiff_t lds = columns + up_to(c, 3), ldd = rows + up_to(c, 3);
    const matrix *s = reals(c, rows, columns, lds, READ), *d = reals(c, columns, rows, ldd, WRITTEN);
    kernels->transpose(rows, columns, s->at, lds, d->at, ldd);
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++)
            if (get(s, i, j) != get(d, j, i)) {
                fail("%s %s: the transpose of %td x %td has wrong numbers", c->t->isa,
                     dtype_name(c->t->dtype), rows, columns);
                i = rows;
                break;
            }
    finish(c, "transpose");

    ptrdiff_t apart = columns + up_to(c, 3);
    s = reals(c, rows, columns, lds, READ), d = reals(c, rows, columns, apart, WRITTEN);
    kernels->copy(rows, columns, s->at, lds, d->at, apart);
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++)
            if (get(s, i, j) != get(d, i, j)) {
                fail("%s %s: the copy of %td x %td has wrong numbers", c->t->isa, dtype_name(c->t->dtype),
                     rows, columns);
                i = rows;
                break;
            }
    finish(c, "copy");

    const matrix *row = reals(c, 1, columns, columns, READ),
                 *blocks = in_blocks(c, rows, columns, WRITTEN, 0);
    int finite = kernels->scatter(columns, row->at, blocks->at, rows, up_to(c, rows - 1));
    append(c, &finite, sizeof finite);
    finish(c, "scatter");
}

static void call_activations(calls *c) {
    const bpk_kernels *kernels = c->t->kernels;
    for (int activation = 0; activation < BPK_N_ACTIVATIONS; activation++) {
        ptrdiff_t m = up_to(c, 5), n = up_to(c, 70), lda = n + up_to(c, 3), lds = n + up_to(c, 3);
        const matrix *z = reals_from(c, m, n, lda, WRITTEN, -6, 6);
        kernels->activate((bpk_activation)activation, m, n, z->at, lda);
        finish(c, "activate");
        const matrix *a = reals_from(c, m, n, lda, READ, 0, 1), *delta = reals(c, m, n, lds, WRITTEN);
        kernels->apply_derivative((bpk_activation)activation, m, n, a->at, lda, delta->at, lds);
        finish(c, "apply_derivative");
        const matrix *both = reals_from(c, m, n, lda, WRITTEN, -6, 6), *slope = reals(c, m, n, lds, WRITTEN);
        kernels->activate_with_slope((bpk_activation)activation, m, n, both->at, lda, slope->at, lds);
        finish(c, "activate_with_slope");
    }
}

/* leaky_relu and elu with a parameter: a has the same bits with and without the slope. */
static void call_parametric(calls *c) {
    static const bpk_activation parametric[] = {BPK_LEAKY_RELU, BPK_ELU};
    for (int i = 0; i < 2; i++) {
        ptrdiff_t m = up_to(c, 5), n = up_to(c, 70), lda = n + up_to(c, 3), lds = n + up_to(c, 3);
        const double parameter = between(&c->random, 0.1, 2);
        const matrix *a = reals_from(c, m, n, lda, WRITTEN, -6, 6), *alone = copy_of(c, a),
                     *slope = reals(c, m, n, lds, WRITTEN);
        c->t->kernels->activate_parametric(parametric[i], parameter, m, n, a->at, lda, slope->at, lds);
        c->t->kernels->activate_parametric(parametric[i], parameter, m, n, alone->at, lda, NULL, 0);
        for (ptrdiff_t k = 0; k < m * n; k++)
            if (get(a, k / n, k % n) != get(alone, k / n, k % n)) {
                fail("%s %s: activate_parametric without the slope has other bits", c->t->isa,
                     dtype_name(c->t->dtype));
                break;
            }
        finish(c, "activate_parametric");
    }
}

/* With and without a slope, which changes no other number. */
static void call_mix(calls *c) {
    ptrdiff_t m = up_to(c, 30), n = up_to(c, 200), ld = n + up_to(c, 3);
    const matrix *mix = reals(c, 1, n, n, READ), *a = reals(c, m, n, ld, WRITTEN);
    const matrix *difference = reals(c, m, n, ld, WRITTEN), *slope = reals(c, m, n, ld, WRITTEN);
    bpk_mix_args args = {.m = m, .n = n, .mix = mix->at, .a = a->at, .difference = difference->at, .ld = ld};
    if (one_in(&c->random, 2)) args.slope = slope->at;
    c->t->kernels->mix(&args);
    finish(c, "mix");
}

/* Whether rows `first` on of a batch (all_rows, n) are equal to a (rows, n), both in blocks; with `copies`,
 * after copying a there. */
static int rows_of_batch(const calls *c, const matrix *a, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t first,
                         const matrix *batch, ptrdiff_t all_rows, int copies) {
    int equal = 1;
    for (ptrdiff_t j = 0, width; j < n; j += width) {
        width = block_width(c->t->kernels, n - j);
        for (ptrdiff_t i = 0; i < rows * width; i++) {
            const ptrdiff_t at = j * all_rows + first * width + i;
            const double number = get(a, 0, j * rows + i);
            if (copies) set(batch, 0, at, number);
            equal &= i % width >= n - j || get(batch, 0, at) == number;
        }
    }
    return equal;
}

/* With and without a slope. Rows from `first` on are treated as those rows of a larger batch. */
static void call_dropout(calls *c) {
    ptrdiff_t rows = whole(&c->random, 1, 30), n = up_to(c, 200);
    bpk_dropout_args args = {.key = draw(&c->random),
                             .batch = draw(&c->random),
                             .layer = 3,
                             .probability = 0.4,
                             .n = n,
                             .rows = rows,
                             .first = one_in(&c->random, 2) ? up_to(c, 20) : 0};
    random_rows(c, rows, &args.from, &args.to);
    const ptrdiff_t all_rows = args.first + rows;
    const matrix *a = in_blocks(c, rows, n, WRITTEN, 0), *batch = in_blocks(c, all_rows, n, WRITTEN, 0);
    rows_of_batch(c, a, rows, n, args.first, batch, all_rows, 1);
    args.a = a->at;
    args.slope = one_in(&c->random, 2) ? in_blocks(c, rows, n, WRITTEN, 0)->at : NULL;
    args.difference = one_in(&c->random, 2) ? in_blocks(c, rows, n, WRITTEN, 0)->at : NULL;
    c->t->kernels->dropout(&args);
    bpk_dropout_args same = args;
    same.from += args.first, same.to += args.first, same.first = 0, same.rows = all_rows;
    same.a = batch->at, same.slope = same.difference = NULL;
    c->t->kernels->dropout(&same);
    if (!rows_of_batch(c, a, rows, n, args.first, batch, all_rows, 0))
        fail("%s %s: dropout from row %td on differs from that of the whole batch", c->t->isa,
             dtype_name(c->t->dtype), args.first);
    finish(c, "dropout");
}

static void call_losses(calls *c) {
    enum { MOST = 40 };
    const void *targets[MOST];
    for (int loss = 0; loss < BPK_N_LOSSES; loss++) {
        ptrdiff_t m = up_to(c, MOST), n = whole(&c->random, 1, 70);
        bpk_loss_settings settings = {.loss = (bpk_loss)loss, .cap = 1e300};
        bpk_loss_args args = {.settings = &settings, .m = m, .n = n, .targets = targets};
        const ptrdiff_t ldt = n + up_to(c, 3);
        args.lda = n + up_to(c, 3), args.ldd = n + up_to(c, 3);
        args.a = reals_from(c, m, n, args.lda, READ, -5, 5)->at;
        int labelled = loss == BPK_CROSS_ENTROPY && one_in(&c->random, 2);
        if (loss == BPK_CROSS_ENTROPY && one_in(&c->random, 2)) settings.smoothing = 0.1;
        if (loss == BPK_POISSON) settings.deviance = one_in(&c->random, 2);
        if (loss == BPK_HUBER || loss == BPK_QUANTILE)
            args.parameters = reals_from(c, 1, n, n, READ, 0.1, 0.9)->at;
        if (labelled) {
            const matrix *labels = operand(c, sizeof(int64_t), 1, m, m, READ);
            for (ptrdiff_t i = 0; i < m; i++) ((int64_t *)labels->at)[i] = whole(&c->random, 0, n - 1);
            args.labels = (const int64_t *)labels->at;
        } else {
            const matrix *t = reals_from(c, m, n, ldt, READ, 0, 1);
            for (ptrdiff_t i = 0; i < m; i++) targets[i] = element(c->t->kernels, t->at, i * ldt);
        }
        const matrix *scale = operand(c, sizeof(double), 1, m, m, READ);
        for (ptrdiff_t i = 0; i < m; i++) set(scale, 0, i, uniform(&c->random));
        args.scale = (const double *)scale->at;
        if (one_in(&c->random, 2)) {
            args.delta_from = up_to(c, 3), args.delta_rows = m + args.delta_from + up_to(c, 3);
            args.delta = args.delta_rows ? in_blocks(c, args.delta_rows, n, WRITTEN, 0)->at : NULL;
        } else if (one_in(&c->random, 2)) {
            args.delta = operand(c, c->t->kernels->real_size, m, n, args.ldd, WRITTEN)->at;
        }
        args.row_loss = (double *)operand(c, sizeof(double), 1, m, m, WRITTEN)->at;
        args.row_accuracy = (double *)operand(c, sizeof(double), 1, m, m, WRITTEN)->at;
        c->t->kernels->loss(&args);
        finish(c, bpk_loss_name(loss));
    }
}

/* The input stage. A code names any row of its table, the last one too. */
static void call_inputs(calls *c) {
    const bpk_kernels *kernels = c->t->kernels;
    ptrdiff_t m = up_to(c, 40), n = up_to(c, 70), ldx = n + up_to(c, 3), ldo = n + up_to(c, 3);
    bpk_scale_args scale = {.m = m, .n = n, .ldx = ldx, .ldo = ldo};
    scale.x = reals(c, m, n, ldx, READ)->at, scale.factors = reals(c, 1, n, n, READ)->at;
    scale.out = reals(c, m, n, ldo, WRITTEN)->at;
    kernels->scale(&scale);
    finish(c, "scale");
    scale.x = reals(c, m, n, ldx, READ)->at, scale.delta = reals(c, m, n, ldo, READ)->at;
    scale.out = reals(c, 1, n, n, WRITTEN)->at;
    kernels->scale_sums(&scale);
    finish(c, "scale_sums");

    ptrdiff_t categories = whole(&c->random, 1, 9), ldt = n + up_to(c, 3);
    for (int adds = 0; adds < 2; adds++) {
        bpk_lookup_args args = {.m = m, .n = n, .ldc = 1 + up_to(c, 3), .ldt = ldt, .ldr = n + up_to(c, 3)};
        const matrix *codes = reals(c, m, 1, args.ldc, READ);
        for (ptrdiff_t i = 0; i < m; i++) set(codes, i, 0, (double)whole(&c->random, 0, categories - 1));
        args.codes = codes->at;
        args.table = reals(c, categories, n, ldt, adds ? WRITTEN : READ)->at;
        args.rows = reals(c, m, n, args.ldr, adds ? READ : WRITTEN)->at;
        (adds ? kernels->lookup_add : kernels->lookup)(&args);
        finish(c, adds ? "lookup_add" : "lookup");
    }

    ptrdiff_t hidden = whole(&c->random, 1, 20), outputs = up_to(c, 11);
    bpk_periodic_args args = {.m = m, .hidden = hidden, .n = outputs, .ldo = m + up_to(c, 3)};
    for (int backward = 0; backward < 2; backward++) {
        args.x = reals(c, 1, m, m, READ)->at;
        args.w = reals(c, 1, hidden, hidden, READ)->at, args.b = reals(c, 1, hidden, hidden, READ)->at;
        args.w2 = reals(c, 1, hidden * outputs, hidden * outputs, READ)->at;
        args.b2 = reals(c, 1, outputs, outputs, READ)->at;
        args.out = reals(c, outputs, m, args.ldo, backward ? READ : WRITTEN)->at;
        if (!backward) {
            kernels->periodic(&args);
            finish(c, "periodic");
            continue;
        }
        args.dw = reals(c, 1, hidden, hidden, WRITTEN)->at,
        args.db = reals(c, 1, hidden, hidden, WRITTEN)->at;
        args.dw2 = reals(c, 1, hidden * outputs, hidden * outputs, WRITTEN)->at;
        args.db2 = reals(c, 1, outputs, outputs, WRITTEN)->at;
        args.dx = one_in(&c->random, 2) ? reals(c, 1, m, m, WRITTEN)->at : NULL;
        kernels->periodic_sums(&args);
        finish(c, "periodic_sums");
    }
}

static void make_calls(const table *t, place where, rng random, calls *c) {
    static void (*const families[])(calls *) = {
        call_forward,     call_rows,       call_pairs,       call_delta,   call_dot,        call_few_rows,
        call_update,      call_sweep,      call_update_bias, call_moves,   call_reductions, call_layouts,
        call_activations, call_parametric, call_mix,         call_dropout, call_losses,     call_inputs};
    c->t = t, c->where = where, c->random = random, c->slots = 0, c->size = 0;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        doing("%s %s, family %zu of the table, %s", t->isa, dtype_name(t->dtype), i,
              where == INSIDE   ? "without fences"
              : where == AT_END ? "before fences"
                                : "behind fences");
        families[i](c);
    }
}

void table_fences(ptrdiff_t number, rng *r) {
    (void)number;
    static char unfenced[MAX_SIZE], fenced[MAX_SIZE];
    static const place ends[] = {AT_START, AT_END};
    for (int i = 0; i < count_tables; i++) {
        calls inside = {.results = unfenced}, at_fence = {.results = fenced};
        make_calls(&tables[i], INSIDE, *r, &inside);
        for (int end = 0; end < 2; end++) {
            make_calls(&tables[i], ends[end], *r, &at_fence);
            if (inside.size != at_fence.size || memcmp(unfenced, fenced, inside.size))
                fail("%s %s: different bits at fences", tables[i].isa, dtype_name(tables[i].dtype));
        }
    }
}
