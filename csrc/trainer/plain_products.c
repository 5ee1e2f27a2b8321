/* The products forward and delta on the caller's row-major matrices, each by several workers. */
#include "platform/caches.h"
#include "platform/fp_mode.h"
#include "platform/memory.h"
#include "trainer/plain_call.h"

/* One call, shared by all its workers: result (n, columns) = s(left (n, k) w' + b) with w (columns,
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
    ptrdiff_t group;      /* of blocks whose parts are in panels at once */
    ptrdiff_t ld_copy;    /* of the copy of the left matrix */
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
static void dots(void *context, worker *me) {
    const call *c = context;
    const bpk_kernels *kernels = c->kernels;
    fp_mode mode = fp_enter();
    ptrdiff_t first, last;
    void *copy = c->scratch.shared;
    while (copy && take_piece(me, c->k, kernels->vector, &first, &last))
        kernels->transpose(last - first, c->columns, element(kernels, c->w, first * c->ldw), c->ldw,
                           element(kernels, copy, first), c->k);
    const int by_rows = c->n > c->columns;
    const ptrdiff_t ldw = c->is_forward ? c->ldw : c->k;
    while (take_piece(me, by_rows ? c->n : c->columns, kernels->vector, &first, &last)) {
        const ptrdiff_t j = by_rows ? 0 : first;
        bpk_dot_args args = {.from = by_rows ? first : 0,
                             .to = by_rows ? last : c->n,
                             .n = by_rows ? c->columns : last - first,
                             .k = c->k,
                             .x = c->left,
                             .ldx = c->ld_left,
                             .w = element(kernels, copy ? copy : c->w, j * ldw),
                             .ldw = ldw,
                             .b = c->b ? element(kernels, c->b, j) : NULL,
                             .sums = element(kernels, c->result, j),
                             .lds = c->ld_result};
        kernels->dot(&args);
        finish(c, args.from, j, args.to - args.from, args.n);
    }
    fp_leave(mode);
}

/* Few rows ----------------------------------------------------------------------------------------------- */

/* For delta of very few rows: w is read once, in the order of memory. */
static void few_rows(void *context, worker *me) {
    const call *c = context;
    const bpk_kernels *kernels = c->kernels;
    fp_mode mode = fp_enter();
    ptrdiff_t first, last;
    while (take_piece(me, c->columns, kernels->panel, &first, &last)) {
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
    }
    fp_leave(mode);
}

/* Blocks ------------------------------------------------------------------------------------------------- */

/* The depth of a part. Copied to a panel, a part of a block of w stays in the first-level cache on AVX2,
 * where a tile has the fewest multiply-adds for each vector of w that it loads. There, all parts are about
 * equally deep: a short last one would read and write the sums for little arithmetic. Otherwise w is read
 * where it is: with few rows of the left matrix, little arithmetic hides the time that memory takes, and only
 * few distant rows are read at once. */
enum { PANEL_ROW = 96 };

/* Rows of the left matrix that are copied at once. */
enum { COPIED_ROWS = 8 };

static ptrdiff_t depth_of_part(const call *c) {
    const bpk_kernels *kernels = c->kernels;
    if (c->is_forward || c->n > reused_rows(kernels)) {
        const ptrdiff_t most = kernels->panel * (ptrdiff_t)kernels->real_size <= PANEL_ROW ? 256 : 512;
        const ptrdiff_t parts = larger((c->k + most - 1) / most, 1);
        return (c->k + parts - 1) / parts;
    }
    if (c->columns <= kernels->panel) return c->k;
    return c->n < 8 ? 16 * larger(c->n, 1) : 128;
}

/* The blocks of w that delta copies to panels at once, a few rows of all of them after the other: the lines
 * of a row are then read in the order of memory, and once. Their panels take a fifth of the second cache. */
enum { MOST_PANELS = 8 };

static ptrdiff_t group_of(const call *c) {
    if (c->is_forward) return 1;
    ptrdiff_t panel = c->panel_rows * c->kernels->panel * (ptrdiff_t)c->kernels->real_size;
    ptrdiff_t fit = second_level_cache() / 5 / larger(panel, 1);
    return larger(smaller(fit, MOST_PANELS), 1);
}

/* Copies rows k to k + depth of a group of blocks of w, from column j on and before column `last`, to panels
 * panel_size elements apart. */
static void copy_group(const call *c, ptrdiff_t k, ptrdiff_t depth, ptrdiff_t j, ptrdiff_t last, void *panels,
                       ptrdiff_t panel_size) {
    enum { FEW = 8 };
    const bpk_kernels *kernels = c->kernels;
    for (ptrdiff_t i = 0; i < depth; i += FEW)
        for (ptrdiff_t g = 0, at = j, width; g < c->group && at < last; g++, at += width) {
            width = block_width(kernels, c->columns - at);
            kernels->copy(smaller(FEW, depth - i), smaller(width, c->columns - at),
                          element(kernels, c->w, (k + i) * c->ldw + at), c->ldw,
                          element(kernels, panels, g * panel_size + i * width), width);
        }
}

/* Adds terms k to k + depth to columns j to j + width, in some rows. The panel holds delta's block of
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
                                 .filled = n,
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

static void blocks(void *context, worker *me) {
    const call *c = context;
    const bpk_kernels *kernels = c->kernels;
    fp_mode mode = fp_enter();
    void *panels = own_panel(&c->scratch, me), *copy = c->scratch.shared;
    const ptrdiff_t group = c->group, panel_size = c->panel_rows * kernels->panel;
    ptrdiff_t k = 0, depth;
    do {
        depth = part_depth(kernels, c->k - k, c->depth);
        bpk_left left = {.at = element(kernels, c->left, k), .ld = c->ld_left};
        share own;
        while (copy && take_piece(me, c->n, COPIED_ROWS, &own.from, &own.to))
            kernels->copy(own.to - own.from, depth, element(kernels, left.at, own.from * c->ld_left),
                          c->ld_left, element(kernels, copy, own.from * c->ld_copy), c->ld_copy);
        if (copy) left = (bpk_left){.at = copy, .ld = c->ld_copy};
        while (take_share(me, kernels, c->n, kernels->tile_rows[BPK_TILE_WIDTHS - 1], c->columns, &own))
            for (ptrdiff_t j = own.first, width, g = 0; j < own.last; j += width, g = (g + 1) % group) {
                width = block_width(kernels, c->columns - j);
                if (panels && !c->is_forward && !g) copy_group(c, k, depth, j, own.last, panels, panel_size);
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
        if (status == BPK_OK) pieces_run(threads, dots, c);
    } else if (!c->is_forward && c->n <= FEW_ROWS) {
        pieces_run(threads, few_rows, c);
    } else {
        threads = useful_threads(kernels, threads, c->n, c->columns);
        c->depth = depth_of_part(c);
        c->group = 1;
        if (c->is_forward || c->n > reused_rows(kernels)) {
            c->panel_rows = smaller(c->k, c->depth + kernels->panel);
            int copied = conflicts(kernels, c->ld_left) && c->columns > kernels->panel && c->n <= MOST_COPIED;
            c->ld_copy = apart(kernels, c->panel_rows);
            c->group = group_of(c);
            status = make_scratch(kernels, &c->scratch, threads, c->panel_rows * c->group, copied ? c->n : 0,
                                  c->ld_copy);
        }
        if (status == BPK_OK) pieces_run(threads, blocks, c);
    }
    release(c->scratch.memory);
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
