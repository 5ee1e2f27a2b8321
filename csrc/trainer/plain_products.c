/* The three products on the caller's row-major matrices, each by a team. A part of a matrix that a product
 * reads many times is first copied to scratch memory, where its rows are adjacent, whatever their distance in
 * the caller's memory. */
#include <math.h>

#include "platform/fp_mode.h"
#include "platform/memory.h"
#include "trainer/products.h"

/* A member's share of a product: some blocks of columns of the result; or, if the result has few blocks, some
 * of its rows. */
typedef struct {
    ptrdiff_t from, to;    /* rows */
    ptrdiff_t first, last; /* blocks */
} share;

static share share_of(const bpk_kernels *kernels, member me, ptrdiff_t rows, ptrdiff_t columns) {
    share own = {.to = rows, .last = count_blocks(kernels, columns)};
    if (own.last >= 2 * me.count)
        team_share(me, own.last, 1, &own.first, &own.last);
    else
        team_share(me, rows, kernels->tile_rows[BPK_TILE_WIDTHS - 1], &own.from, &own.to);
    return own;
}

/* The threads for which a product has shares: others would only take scratch memory. */
static int useful_threads(const bpk_kernels *kernels, int threads, ptrdiff_t rows, ptrdiff_t columns) {
    ptrdiff_t tiles = rows / kernels->tile_rows[BPK_TILE_WIDTHS - 1] + 1;
    return (int)smaller(threads, larger(tiles, count_blocks(kernels, columns)));
}

/* One call, shared by all members of its team. */
typedef struct {
    const bpk_kernels *kernels;
    ptrdiff_t n, in, out;
    const void *x, *w, *delta; /* as in bpkern.h; delta is delta_next in the delta recursion */
    ptrdiff_t ldx, ldw, ldd;
    const void *b;
    const void *a; /* of the delta recursion */
    ptrdiff_t lda;
    bpk_activation activation;
    void *result; /* a; delta; or the w that the update moves, with rows ldw apart */
    ptrdiff_t ld_result;
    void *moved_b, *vw, *vb; /* of the update */
    ptrdiff_t ldvw;
    const bpk_move *move;
    /* Scratch of all members: a copy of a matrix or of a part of it. NULL: it is read where it is. */
    void *left;
    char *panels; /* scratch of each member: a part of a block of the right matrix; NULL: as above */
    size_t panel_bytes;
} call;

/* Rows whose distance in bytes is a multiple of this share a few sets of the first-level cache, so that the
 * rows of one tile displace each other. */
enum { CONFLICT = 2048 };

static int conflicts(const bpk_kernels *kernels, ptrdiff_t ld) {
    return ld != 0 && ld * (ptrdiff_t)kernels->real_size % CONFLICT == 0;
}

/* If the left matrix has more rows than this, a block of the right one is read often enough to be copied. */
static ptrdiff_t reused_rows(const bpk_kernels *kernels) {
    return 2 * kernels->tile_rows[BPK_TILE_WIDTHS - 1];
}

/* The depth of a part if a block of the right matrix is read where it is. With few `rows` of the left matrix,
 * little arithmetic hides the time that memory takes, and only few distant rows are read at once. */
static ptrdiff_t shallow(ptrdiff_t rows) { return rows < 8 ? 16 * larger(rows, 1) : 128; }

/* Copies for more rows of the batch would take much memory. */
enum { MOST_COPIED = 8192 };

static void copy_rows(const bpk_kernels *kernels, ptrdiff_t rows, ptrdiff_t columns, const void *from,
                      ptrdiff_t ld_from, void *to, ptrdiff_t ld_to) {
    for (ptrdiff_t i = 0; i < rows; i++)
        memcpy(element(kernels, to, i * ld_to), element(kernels, from, i * ld_from),
               (size_t)columns * kernels->real_size);
}

/* Copies columns k to k + depth of a left matrix of n rows to the shared scratch, in blocks: the members
 * share the rows. Returns the copy, or the matrix itself if there is no scratch. All members call it. */
static bpk_left left_part(const call *c, member me, const void *matrix, ptrdiff_t ld, ptrdiff_t k,
                          ptrdiff_t depth) {
    const bpk_kernels *kernels = c->kernels;
    const void *from = element(kernels, matrix, k);
    if (!c->left) return (bpk_left){.at = from, .ld = ld};
    ptrdiff_t first, last;
    team_share(me, c->n, 1, &first, &last);
    if (k) team_barrier(me); /* others may still read the part before */
    for (ptrdiff_t j = 0, width; j < depth; j += width) {
        width = block_width(kernels, depth - j);
        copy_rows(kernels, last - first, smaller(width, depth - j), element(kernels, from, first * ld + j),
                  ld, element(kernels, c->left, j * c->n + first * width), width);
    }
    team_barrier(me);
    return (bpk_left){.at = c->left, .rows = c->n};
}

/* Allocates the scratch memory: a matrix (panel_rows, panel) for each thread, and one of left_rows rows of
 * left_columns columns, in blocks, for all. */
static bpk_status make_scratch(call *c, int threads, ptrdiff_t panel_rows, ptrdiff_t left_rows,
                               ptrdiff_t left_columns) {
    const size_t size = c->kernels->real_size;
    ptrdiff_t line = CACHE_LINE / (ptrdiff_t)size, each, left, all;
    if (__builtin_mul_overflow(panel_rows, c->kernels->panel, &each) ||
        __builtin_mul_overflow(left_rows, padded(c->kernels, left_columns), &left) ||
        __builtin_mul_overflow(round_up(each, line), threads, &all) ||
        __builtin_add_overflow(all, left, &all))
        return BPK_NO_MEMORY;
    c->panels = allocate_unset(all, size);
    if (!c->panels) return BPK_NO_MEMORY;
    c->panel_bytes = (size_t)round_up(each, line) * size;
    if (left) c->left = c->panels + c->panel_bytes * (size_t)threads;
    return BPK_OK;
}

/* Forward ------------------------------------------------------------------------------------------------ */

/* For few rows of x, dot products of rows are faster than products with a transposed copy of w. */
static void forward_dots(void *context, member me) {
    const call *c = context;
    const bpk_kernels *kernels = c->kernels;
    fp_mode mode = fp_enter();
    ptrdiff_t from, to;
    team_share(me, c->out, kernels->vector, &from, &to);
    void *a = element(kernels, c->result, from);
    bpk_dot_args args = {.to = c->n,
                         .n = to - from,
                         .k = c->in,
                         .x = c->x,
                         .ldx = c->ldx,
                         .w = element(kernels, c->w, from * c->ldw),
                         .ldw = c->ldw,
                         .b = element(kernels, c->b, from),
                         .sums = a,
                         .lds = c->ld_result};
    kernels->dot(&args);
    kernels->activate(c->activation, c->n, args.n, a, c->ld_result);
    fp_leave(mode);
}

static void forward_blocks(void *context, member me) {
    const call *c = context;
    const bpk_kernels *kernels = c->kernels;
    fp_mode mode = fp_enter();
    const share own = share_of(kernels, me, c->n, c->out);
    void *panel = c->panels + c->panel_bytes * (size_t)me.index;
    ptrdiff_t k = 0, depth;
    do {
        depth = part_depth(kernels, c->in - k, DEPTH);
        bpk_forward_args args = {.from = own.from,
                                 .to = own.to,
                                 .k = depth,
                                 .resume = k > 0,
                                 .w = panel,
                                 .lda = c->ld_result,
                                 .x = left_part(c, me, c->x, c->ldx, k, depth)};
        args.activation = k + depth == c->in ? c->activation : BPK_IDENTITY;
        for (ptrdiff_t j = 0, width, block = 0; j < c->out; j += width, block++) {
            width = block_width(kernels, c->out - j);
            if (block < own.first || block >= own.last || own.from == own.to) continue;
            args.n = smaller(width, c->out - j);
            args.ldw = width;
            args.b = element(kernels, c->b, j);
            args.a = element(kernels, c->result, j);
            kernels->transpose(args.n, depth, element(kernels, c->w, j * c->ldw + k), c->ldw, panel, width);
            kernels->forward(&args);
        }
        k += depth;
    } while (k < c->in);
    fp_leave(mode);
}

bpk_status bpk_linear_forward(const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in,
                              ptrdiff_t out, const void *x, ptrdiff_t ldx, const void *w, ptrdiff_t ldw,
                              const void *b, bpk_activation activation, void *a, ptrdiff_t lda) {
    call c = {.kernels = kernels,
              .n = n,
              .in = in,
              .out = out,
              .x = x,
              .ldx = ldx,
              .w = w,
              .ldw = ldw,
              .b = b,
              .activation = activation,
              .result = a,
              .ld_result = lda};
    if (n <= kernels->dot_rows) {
        team_run(threads, forward_dots, &c, (team_stop){0});
        return BPK_OK;
    }
    threads = useful_threads(kernels, threads, n, out);
    ptrdiff_t depth = smaller(in, DEPTH + kernels->panel);
    int copied = conflicts(kernels, ldx) && out > kernels->panel && n <= MOST_COPIED;
    bpk_status status = make_scratch(&c, threads, depth, copied ? n : 0, depth);
    if (status == BPK_OK) team_run(threads, forward_blocks, &c, (team_stop){0});
    free(c.panels);
    return status;
}

/* Delta -------------------------------------------------------------------------------------------------- */

static void delta_blocks(void *context, member me) {
    const call *c = context;
    const bpk_kernels *kernels = c->kernels;
    fp_mode mode = fp_enter();
    const share own = share_of(kernels, me, c->n, c->in);
    void *panel = c->panels ? c->panels + c->panel_bytes * (size_t)me.index : NULL;
    ptrdiff_t k = 0, depth;
    do {
        depth = part_depth(kernels, c->out - k, panel ? DEPTH : shallow(c->n));
        bpk_delta_args args = {.from = own.from,
                               .to = own.to,
                               .k = depth,
                               .resume = k > 0,
                               .lda = c->lda,
                               .ldd = c->ld_result,
                               .delta_next = left_part(c, me, c->delta, c->ldd, k, depth)};
        /* The derivative of the identity is 1. */
        args.activation = k + depth == c->out ? c->activation : BPK_IDENTITY;
        for (ptrdiff_t j = 0, width, block = 0; j < c->in; j += width, block++) {
            width = block_width(kernels, c->in - j);
            if (block < own.first || block >= own.last || own.from == own.to) continue;
            args.n = smaller(width, c->in - j);
            args.w = element(kernels, c->w, k * c->ldw + j);
            args.ldw = c->ldw;
            args.a = element(kernels, c->a, j);
            args.delta = element(kernels, c->result, j);
            if (panel) {
                copy_rows(kernels, depth, args.n, args.w, c->ldw, panel, width);
                args.w = panel;
                args.ldw = width;
            }
            kernels->delta(&args);
        }
        k += depth;
    } while (k < c->out);
    fp_leave(mode);
}

bpk_status bpk_delta_backward(const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in,
                              ptrdiff_t out, const void *delta_next, ptrdiff_t ldn, const void *w_next,
                              ptrdiff_t ldw, const void *a, ptrdiff_t lda, bpk_activation activation,
                              void *delta, ptrdiff_t ldd) {
    call c = {.kernels = kernels,
              .n = n,
              .in = in,
              .out = out,
              .delta = delta_next,
              .ldd = ldn,
              .w = w_next,
              .ldw = ldw,
              .a = a,
              .lda = lda,
              .activation = activation,
              .result = delta,
              .ld_result = ldd};
    bpk_status status = BPK_OK;
    threads = useful_threads(kernels, threads, n, in);
    if (n > reused_rows(kernels)) {
        ptrdiff_t depth = smaller(out, DEPTH + kernels->panel);
        int copied = conflicts(kernels, ldn) && in > kernels->panel && n <= MOST_COPIED;
        status = make_scratch(&c, threads, depth, copied ? n : 0, depth);
    }
    if (status == BPK_OK) team_run(threads, delta_blocks, &c, (team_stop){0});
    free(c.panels);
    return status;
}

/* Update ------------------------------------------------------------------------------------------------- */

/* Rows of w that one call of the kernel updates: four tiles. */
static ptrdiff_t strip_rows(const bpk_kernels *kernels) {
    return 4 * kernels->tile_rows[BPK_TILE_WIDTHS - 1];
}

/* In batches of fewer rows, memory limits the speed of an update: it then reads w in the order of memory. */
enum { BOUND_BY_MEMORY = 32 };

static void update_strip(const call *c, bpk_update_args *args, ptrdiff_t row, ptrdiff_t j) {
    args->w = element(c->kernels, c->result, row * c->ldw + j);
    args->state[0] = c->vw ? element(c->kernels, c->vw, row * c->ldvw + j) : NULL;
    c->kernels->update(args);
}

/* For each block of w, all strips of its rows. If there is scratch, the block of x is copied to the member's,
 * and delta to the shared one: the columns of each strip become a matrix (n, rows of the strip). */
static void update_blocks(const call *c, member me) {
    const bpk_kernels *kernels = c->kernels;
    const share own = share_of(kernels, me, c->out, c->in);
    void *panel = c->panel_bytes ? c->panels + c->panel_bytes * (size_t)me.index : NULL;
    ptrdiff_t strip = strip_rows(kernels), first, last;
    team_share(me, c->left ? c->out : 0, strip, &first, &last);
    for (ptrdiff_t i = first; i < last; i += strip) {
        ptrdiff_t rows = smaller(strip, c->out - i);
        copy_rows(kernels, c->n, rows, element(kernels, c->delta, i), c->ldd,
                  element(kernels, c->left, i * c->n), rows);
    }
    team_barrier(me);
    bpk_update_args args = {.k = c->n, .ldw = c->ldw, .ld_state = c->ldvw, .move = c->move};
    for (ptrdiff_t j = 0, width, block = 0; j < c->in; j += width, block++) {
        width = block_width(kernels, c->in - j);
        if (block < own.first || block >= own.last) continue;
        args.n = args.filled = smaller(width, c->in - j);
        args.right = element(kernels, c->x, j);
        args.ldr = c->ldx;
        if (panel) {
            copy_rows(kernels, c->n, args.n, args.right, c->ldx, panel, width);
            args.right = panel;
            args.ldr = width;
        }
        for (ptrdiff_t i = 0; i < c->out; i += strip) {
            ptrdiff_t rows = smaller(strip, c->out - i);
            args.from = larger(own.from - i, 0);
            args.to = smaller(own.to - i, rows);
            if (args.from >= args.to) continue;
            args.left = element(kernels, c->left ? c->left : c->delta, c->left ? i * c->n : i);
            args.ldl = c->left ? rows : c->ldd;
            update_strip(c, &args, i, j);
        }
    }
}

/* For each strip of rows of w, all its blocks. If there is shared scratch, x is copied to it, in blocks. */
static void update_rows(const call *c, member me) {
    const bpk_kernels *kernels = c->kernels;
    ptrdiff_t from, to, strip = strip_rows(kernels);
    team_share(me, c->out, kernels->tile_rows[BPK_TILE_WIDTHS - 1], &from, &to);
    bpk_left x = left_part(c, me, c->x, c->ldx, 0, c->in);
    bpk_update_args args = {.k = c->n, .ldl = c->ldd, .ldw = c->ldw, .ld_state = c->ldvw, .move = c->move};
    for (ptrdiff_t i = from; i < to; i += strip)
        for (ptrdiff_t j = 0, width; j < c->in; j += width) {
            width = block_width(kernels, c->in - j);
            args.n = args.filled = smaller(width, c->in - j);
            args.to = smaller(strip, to - i);
            args.left = element(kernels, c->delta, i);
            args.right = element(kernels, x.at, j * (x.rows ? x.rows : 1));
            args.ldr = x.rows ? width : x.ld;
            update_strip(c, &args, i, j);
        }
}

static void update_member(void *context, member me) {
    const call *c = context;
    const bpk_kernels *kernels = c->kernels;
    fp_mode mode = fp_enter();
    if (c->n < BOUND_BY_MEMORY)
        update_rows(c, me);
    else
        update_blocks(c, me);
    ptrdiff_t from, to;
    team_share(me, c->out, kernels->vector, &from, &to);
    bpk_bias_args bias = {.n = to - from,
                          .k = c->n,
                          .delta = element(kernels, c->delta, from),
                          .ldd = c->ldd,
                          .b = element(kernels, c->moved_b, from),
                          .state = {c->vb ? element(kernels, c->vb, from) : NULL},
                          .move = c->move};
    kernels->update_bias(&bias);
    fp_leave(mode);
}

bpk_status bpk_sgd_update(const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                          void *w, ptrdiff_t ldw, void *b, const void *delta, ptrdiff_t ldd, const void *x,
                          ptrdiff_t ldx, void *vw, ptrdiff_t ldvw, void *vb, const bpk_optimizer *sgd) {
    const bpk_move move = {
        .optimizer = {.rule = BPK_SGD, .nesterov = sgd->nesterov, .momentum = sgd->momentum},
        .scale = 1,
        .limit = INFINITY,
        .decay = sgd->weight_decay,
        .shrink = 1,
        .lr = sgd->lr,
        .correction = 1};
    call c = {.kernels = kernels,
              .n = n,
              .in = in,
              .out = out,
              .x = x,
              .ldx = ldx,
              .delta = delta,
              .ldd = ldd,
              .result = w,
              .ldw = ldw,
              .moved_b = b,
              .vw = vw,
              .ldvw = ldvw,
              .vb = vb,
              .move = &move};
    bpk_status status = BPK_OK;
    threads = useful_threads(kernels, threads, out, in);
    int reused = out > reused_rows(kernels);
    if (n < BOUND_BY_MEMORY && reused && conflicts(kernels, ldx))
        status = make_scratch(&c, threads, 0, n, in);
    else if (n >= BOUND_BY_MEMORY && n <= MOST_COPIED)
        status = make_scratch(&c, threads, reused ? n : 0,
                              conflicts(kernels, ldd) && in > kernels->panel ? n : 0, out);
    if (status == BPK_OK) team_run(threads, update_member, &c, (team_stop){0});
    free(c.panels);
    return status;
}
