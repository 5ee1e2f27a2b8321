/* The products forward and delta on the caller's row-major matrices, each by a team. */
#include <stdlib.h>

#include "platform/fp_mode.h"
#include "trainer/plain_call.h"

/* One call, shared by all members of its team: result (n, columns) = s(left (n, k) w' + b) with w (columns,
 * k), which is forward; or (left (n, k) w) * s' with w (k, columns), which is delta. */
typedef struct {
    const bpk_kernels *kernels;
    int is_forward;
    ptrdiff_t n, k, columns;
    const void *left, *w;
    ptrdiff_t ld_left, ldw;
    const void *b; /* of forward */
    const void *a; /* of delta */
    ptrdiff_t lda;
    bpk_activation activation;
    void *result;
    ptrdiff_t ld_result;
    ptrdiff_t depth;      /* of a part of the blocks */
    ptrdiff_t panel_rows; /* the most rows of w in a panel */
    scratch scratch;
} call;

/* result <- s(result), or result * s', in `rows` rows and `columns` columns from row i and column j on. */
static void finish(const call *c, ptrdiff_t i, ptrdiff_t j, ptrdiff_t rows, ptrdiff_t columns) {
    const bpk_kernels *kernels = c->kernels;
    void *result = element(kernels, c->result, i * c->ld_result + j);
    if (c->is_forward)
        kernels->activate(c->activation, rows, columns, result, c->ld_result);
    else
        kernels->apply_derivative(c->activation, rows, columns, element(kernels, c->a, i * c->lda + j),
                                  c->lda, result, c->ld_result);
}

/* Dot products ------------------------------------------------------------------------------------------- */

/* For few rows or few columns. Forward takes w as it is; delta takes a transposed copy. */
static void dots(void *context, member me) {
    const call *c = context;
    const bpk_kernels *kernels = c->kernels;
    fp_mode mode = fp_enter();
    ptrdiff_t from = 0, to = c->n, first = 0, last = c->columns;
    bpk_dot_args args = {.k = c->k, .x = c->left, .ldx = c->ld_left, .lds = c->ld_result};
    args.w = c->w;
    args.ldw = c->is_forward ? c->ldw : c->k;
    if (c->scratch.shared) {
        ptrdiff_t k, end;
        team_share(me, c->k, kernels->vector, &k, &end);
        kernels->transpose(end - k, c->columns, element(kernels, c->w, k * c->ldw), c->ldw,
                           element(kernels, c->scratch.shared, k), c->k);
        team_barrier(me);
        args.w = c->scratch.shared;
    }
    if (c->n > c->columns)
        team_share(me, c->n, kernels->vector, &from, &to);
    else
        team_share(me, c->columns, kernels->vector, &first, &last);
    args.from = from;
    args.to = to;
    args.n = last - first;
    args.w = element(kernels, args.w, first * args.ldw);
    args.b = c->b ? element(kernels, c->b, first) : NULL;
    args.sums = element(kernels, c->result, first);
    kernels->dot(&args);
    finish(c, from, first, to - from, args.n);
    fp_leave(mode);
}

/* Few rows ----------------------------------------------------------------------------------------------- */

/* For delta of very few rows: w is read once, in the order of memory. */
static void few_rows(void *context, member me) {
    const call *c = context;
    const bpk_kernels *kernels = c->kernels;
    fp_mode mode = fp_enter();
    ptrdiff_t first, last;
    team_share(me, c->columns, kernels->panel, &first, &last);
    bpk_few_rows_args args = {.to = c->n,
                              .n = last - first,
                              .k = c->k,
                              .x = c->left,
                              .ldx = c->ld_left,
                              .w = element(kernels, c->w, first),
                              .ldw = c->ldw,
                              .sums = element(kernels, c->result, first),
                              .lds = c->ld_result};
    kernels->few_rows(&args);
    finish(c, 0, first, c->n, args.n);
    fp_leave(mode);
}

/* Blocks ------------------------------------------------------------------------------------------------- */

/* The depth of a part. Copied to a panel, a part of a block of w stays in the first-level cache on AVX2,
 * where a tile has the fewest multiply-adds for each vector of w that it loads. Otherwise it is read where it
 * is: with few rows of the left matrix, little arithmetic hides the time that memory takes, and only few
 * distant rows are read at once. */
enum { PANEL_ROW = 96 };

static ptrdiff_t depth_of_part(const call *c) {
    const bpk_kernels *kernels = c->kernels;
    if (c->is_forward || c->n > reused_rows(kernels))
        return kernels->panel * (ptrdiff_t)kernels->real_size <= PANEL_ROW ? DEPTH / 2 : DEPTH;
    if (c->columns <= kernels->panel) return c->k;
    return c->n < 8 ? 16 * larger(c->n, 1) : 128;
}

/* The blocks of w that delta copies to panels at once, a few rows of all of them after the other: the lines
 * of a row are then read in the order of memory, and once. */
static ptrdiff_t group_of(const call *c) {
    return c->is_forward ? 1 : 384 / (c->kernels->panel * (ptrdiff_t)c->kernels->real_size);
}

/* Copies rows k to k + depth of `count` blocks of w, from column j on, to panels panel_size elements apart.
 */
static void copy_group(const call *c, ptrdiff_t k, ptrdiff_t depth, ptrdiff_t j, ptrdiff_t count,
                       void *panels, ptrdiff_t panel_size) {
    enum { FEW = 8 };
    const bpk_kernels *kernels = c->kernels;
    for (ptrdiff_t i = 0; i < depth; i += FEW)
        for (ptrdiff_t g = 0, at = j, width; g < count; g++, at += width) {
            width = block_width(kernels, c->columns - at);
            kernels->copy(smaller(FEW, depth - i), smaller(width, c->columns - at),
                          element(kernels, c->w, (k + i) * c->ldw + at), c->ldw,
                          element(kernels, panels, g * panel_size + i * width), width);
        }
}

/* Adds terms k to k + depth to columns j to j + width, in the member's rows. The panel holds delta's block of
 * w, and takes forward's; without one, delta reads w itself. */
static void multiply(const call *c, const share *own, const bpk_left *left, ptrdiff_t k, ptrdiff_t depth,
                     ptrdiff_t j, ptrdiff_t width, void *panel) {
    const bpk_kernels *kernels = c->kernels;
    const ptrdiff_t n = smaller(width, c->columns - j);
    /* The identity, and its derivative 1, leave a sum as it is. */
    const bpk_activation activation = k + depth == c->k ? c->activation : BPK_IDENTITY;
    void *result = element(kernels, c->result, j);
    if (c->is_forward) {
        kernels->transpose(n, depth, element(kernels, c->w, j * c->ldw + k), c->ldw, panel, width);
        bpk_forward_args args = {.from = own->from,
                                 .to = own->to,
                                 .n = n,
                                 .k = depth,
                                 .resume = k > 0,
                                 .x = *left,
                                 .w = panel,
                                 .ldw = width,
                                 .b = element(kernels, c->b, j),
                                 .activation = activation,
                                 .a = result,
                                 .lda = c->ld_result};
        kernels->forward(&args);
        return;
    }
    bpk_delta_args args = {.from = own->from,
                           .to = own->to,
                           .n = n,
                           .k = depth,
                           .resume = k > 0,
                           .delta_next = *left,
                           .w = panel ? panel : element(kernels, c->w, k * c->ldw + j),
                           .ldw = panel ? width : c->ldw,
                           .a = element(kernels, c->a, j),
                           .lda = c->lda,
                           .activation = activation,
                           .delta = result,
                           .ldd = c->ld_result};
    kernels->delta(&args);
}

static void blocks(void *context, member me) {
    const call *c = context;
    const bpk_kernels *kernels = c->kernels;
    fp_mode mode = fp_enter();
    const share own = share_of(kernels, me, c->n, c->columns);
    void *panels = own_panel(&c->scratch, me);
    const ptrdiff_t group = group_of(c), panel_size = c->panel_rows * kernels->panel;
    ptrdiff_t k = 0, depth;
    do {
        depth = part_depth(kernels, c->k - k, c->depth);
        bpk_left left = left_part(kernels, me, c->scratch.shared, c->n, c->left, c->ld_left, k, depth);
        for (ptrdiff_t j = 0, width, block = 0; j < c->columns; j += width, block++) {
            width = block_width(kernels, c->columns - j);
            if (block < own.first || block >= own.last || own.from == own.to) continue;
            const ptrdiff_t g = (block - own.first) % group;
            if (panels && !c->is_forward && !g)
                copy_group(c, k, depth, j, smaller(group, own.last - block), panels, panel_size);
            multiply(c, &own, &left, k, depth, j, width,
                     panels ? element(kernels, panels, g * panel_size) : NULL);
        }
        k += depth;
    } while (k < c->k);
    fp_leave(mode);
}

/* The choice --------------------------------------------------------------------------------------------- */

/* Costs in multiply-adds of vectors, measured on AVX2 and AVX-512: adding up the lanes of a dot product;
 * transposing one row of a vector; and the multiply-adds for which tiles have to wait if they are so few. */
static const double REDUCTION = 8, TRANSPOSITION = 7, LATENCY = 8;

/* The multiply-adds of a tile of dot products take longer than those of a tile of blocks, because it has
 * fewer accumulators: one for each lane of a vector. */
static double dot_cost(const bpk_kernels *kernels) {
    if (kernels->dtype == BPK_F64) return 2;
    return kernels->vector < 16 ? 1.5 : 1;
}

/* Whether w (columns, 1) in memory is its transpose as well. */
static int is_row(const call *c) { return c->columns == 1 && c->ldw == 1; }

/* Whether dot products are faster than blocks. Forward transposes w for blocks, and delta for dot products.
 */
static int dots_are_faster(const call *c) {
    const double n = (double)c->n, k = (double)c->k, columns = (double)c->columns;
    const double vectors = (double)(padded(c->kernels, c->columns) / c->kernels->vector),
                 steps = (double)(padded(c->kernels, c->k) / c->kernels->vector);
    const double transposing = is_row(c) ? 0 : TRANSPOSITION * k * vectors;
    const double dots = n * columns * (dot_cost(c->kernels) * steps + REDUCTION);
    const double blocks = k * (n * vectors < LATENCY ? LATENCY : n * vectors);
    return c->is_forward ? dots < blocks + transposing : dots + transposing < blocks;
}

/* Delta of up to this many rows is made by the kernel few_rows. */
enum { FEW_ROWS = 2 };

static bpk_status run(call *c, int threads) {
    const bpk_kernels *kernels = c->kernels;
    bpk_status status = BPK_OK;
    if (dots_are_faster(c)) {
        if (!c->is_forward && !is_row(c)) status = make_scratch(kernels, &c->scratch, 1, 0, c->columns, c->k);
        if (status == BPK_OK) team_run(threads, dots, c, (team_stop){0});
    } else if (!c->is_forward && c->n <= FEW_ROWS) {
        team_run(threads, few_rows, c, (team_stop){0});
    } else {
        threads = useful_threads(kernels, threads, c->n, c->columns);
        c->depth = depth_of_part(c);
        if (c->is_forward || c->n > reused_rows(kernels)) {
            c->panel_rows = smaller(c->k, c->depth + kernels->panel);
            int copied = conflicts(kernels, c->ld_left) && c->columns > kernels->panel && c->n <= MOST_COPIED;
            status = make_scratch(kernels, &c->scratch, threads, c->panel_rows * group_of(c),
                                  copied ? c->n : 0, c->panel_rows);
        }
        if (status == BPK_OK) team_run(threads, blocks, c, (team_stop){0});
    }
    free(c->scratch.memory);
    return status;
}

bpk_status bpk_linear_forward(const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in,
                              ptrdiff_t out, const void *x, ptrdiff_t ldx, const void *w, ptrdiff_t ldw,
                              const void *b, bpk_activation activation, void *a, ptrdiff_t lda) {
    call c = {.kernels = kernels,
              .is_forward = 1,
              .n = n,
              .k = in,
              .columns = out,
              .left = x,
              .ld_left = ldx,
              .w = w,
              .ldw = ldw,
              .b = b,
              .activation = activation,
              .result = a,
              .ld_result = lda};
    return run(&c, threads);
}

bpk_status bpk_delta_backward(const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in,
                              ptrdiff_t out, const void *delta_next, ptrdiff_t ldn, const void *w_next,
                              ptrdiff_t ldw, const void *a, ptrdiff_t lda, bpk_activation activation,
                              void *delta, ptrdiff_t ldd) {
    call c = {.kernels = kernels,
              .n = n,
              .k = out,
              .columns = in,
              .left = delta_next,
              .ld_left = ldn,
              .w = w_next,
              .ldw = ldw,
              .a = a,
              .lda = lda,
              .activation = activation,
              .result = delta,
              .ld_result = ldd};
    return run(&c, threads);
}
