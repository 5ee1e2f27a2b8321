/* The product update on the caller's row-major matrices, by a team. */
#include <math.h>
#include <stdlib.h>

#include "platform/fp_mode.h"
#include "trainer/plain_call.h"

/* One call, shared by all members of its team; the names are those of bpkern.h. */
typedef struct {
    const bpk_kernels *kernels;
    ptrdiff_t n, in, out;
    const void *x, *delta;
    ptrdiff_t ldx, ldd;
    void *w, *b, *vw, *vb;
    ptrdiff_t ldw, ldvw;
    const bpk_move *move;
    scratch scratch;
} call;

/* Rows of w that one call of the kernel updates: four tiles. */
static ptrdiff_t strip_rows(const bpk_kernels *kernels) { return 4 * kernels->update_rows; }

/* In batches of fewer rows, memory limits the speed of an update: it then reads w in the order of memory. */
enum { BOUND_BY_MEMORY = 32 };

static void update_strip(const call *c, bpk_update_args *args, ptrdiff_t row, ptrdiff_t j) {
    args->w = element(c->kernels, c->w, row * c->ldw + j);
    args->state[0] = c->vw ? element(c->kernels, c->vw, row * c->ldvw + j) : NULL;
    c->kernels->update(args);
}

/* For each block of w, all strips of its rows. If there is scratch, the block of x is copied to the member's,
 * and delta to the shared one: the columns of each strip become a matrix (n, rows of the strip). */
static void update_blocks(const call *c, member me) {
    const bpk_kernels *kernels = c->kernels;
    const share own = share_of(kernels, me, c->out, c->in);
    void *panel = own_panel(&c->scratch, me);
    void *shared = c->scratch.shared;
    ptrdiff_t strip = strip_rows(kernels), first, last;
    team_share(me, shared ? c->out : 0, strip, &first, &last);
    for (ptrdiff_t i = first; i < last; i += strip) {
        ptrdiff_t rows = smaller(strip, c->out - i);
        kernels->copy(c->n, rows, element(kernels, c->delta, i), c->ldd, element(kernels, shared, i * c->n),
                      rows);
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
            kernels->copy(c->n, args.n, args.right, c->ldx, panel, width);
            args.right = panel;
            args.ldr = width;
        }
        for (ptrdiff_t i = 0; i < c->out; i += strip) {
            ptrdiff_t rows = smaller(strip, c->out - i);
            args.from = larger(own.from - i, 0);
            args.to = smaller(own.to - i, rows);
            if (args.from >= args.to) continue;
            args.left = element(kernels, shared ? shared : c->delta, shared ? i * c->n : i);
            args.ldl = shared ? rows : c->ldd;
            update_strip(c, &args, i, j);
        }
    }
}

/* For each strip of rows of w, all its blocks. If there is shared scratch, x is copied to it, in blocks. */
static void update_rows(const call *c, member me) {
    const bpk_kernels *kernels = c->kernels;
    ptrdiff_t from, to, strip = strip_rows(kernels);
    team_share(me, c->out, kernels->update_rows, &from, &to);
    bpk_left x = left_part(kernels, me, c->scratch.shared, c->n, c->x, c->ldx, 0, c->in);
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

/* Matrices narrower than this many columns are updated as their transposes. */
static ptrdiff_t narrow_columns(const bpk_kernels *kernels) { return kernels->vector / 2; }

/* Where w has very few columns, most of a vector would be empty: strips of rows of w and vw are transposed,
 * in the member's panel, updated as blocks, and transposed back. */
static void update_narrow(const call *c, member me) {
    const bpk_kernels *kernels = c->kernels;
    ptrdiff_t from, to, width = kernels->panel;
    team_share(me, c->out, width, &from, &to);
    void *w = own_panel(&c->scratch, me), *m = element(kernels, w, c->in * width);
    bpk_update_args args = {.to = c->in,
                            .k = c->n,
                            .left = c->x,
                            .ldl = c->ldx,
                            .ldr = c->ldd,
                            .w = w,
                            .state = {c->vw ? m : NULL},
                            .move = c->move};
    args.ldw = args.ld_state = width;
    for (ptrdiff_t i = from; i < to; i += width) {
        args.n = args.filled = smaller(width, to - i);
        args.right = element(kernels, c->delta, i);
        void *own_w = element(kernels, c->w, i * c->ldw);
        void *own_m = c->vw ? element(kernels, c->vw, i * c->ldvw) : NULL;
        kernels->transpose(args.n, c->in, own_w, c->ldw, w, width);
        if (own_m) kernels->transpose(args.n, c->in, own_m, c->ldvw, m, width);
        kernels->update(&args);
        kernels->transpose(c->in, args.n, w, width, own_w, c->ldw);
        if (own_m) kernels->transpose(c->in, args.n, m, width, own_m, c->ldvw);
    }
}

static void update_member(void *context, member me) {
    const call *c = context;
    const bpk_kernels *kernels = c->kernels;
    fp_mode mode = fp_enter();
    if (c->in < narrow_columns(kernels))
        update_narrow(c, me);
    else if (c->n < BOUND_BY_MEMORY)
        update_rows(c, me);
    else
        update_blocks(c, me);
    ptrdiff_t from, to;
    team_share(me, c->out, kernels->vector, &from, &to);
    bpk_bias_args bias = {.n = to - from,
                          .k = c->n,
                          .delta = element(kernels, c->delta, from),
                          .ldd = c->ldd,
                          .b = element(kernels, c->b, from),
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
              .w = w,
              .ldw = ldw,
              .b = b,
              .vw = vw,
              .ldvw = ldvw,
              .vb = vb,
              .move = &move};
    bpk_status status = BPK_OK;
    threads = useful_threads(kernels, threads, out, in);
    int reused = out > reused_rows(kernels);
    if (in < narrow_columns(kernels))
        status = make_scratch(kernels, &c.scratch, threads, 2 * in, 0, 0);
    else if (n < BOUND_BY_MEMORY && reused && conflicts(kernels, ldx))
        status = make_scratch(kernels, &c.scratch, threads, 0, n, in);
    else if (n >= BOUND_BY_MEMORY && n <= MOST_COPIED)
        status = make_scratch(kernels, &c.scratch, threads, reused ? n : 0,
                              conflicts(kernels, ldd) && in > kernels->panel ? n : 0, out);
    if (status == BPK_OK) team_run(threads, update_member, &c, (team_stop){0});
    free(c.scratch.memory);
    return status;
}
