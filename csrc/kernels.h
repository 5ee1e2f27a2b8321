/* The private contract between the trainer and the kernels: one table an ISA and dtype.
 *
 * Products are made a block of columns at a time: the result and the matrix on the right are at most `panel`
 * columns wide, with their rows `ld` apart. The matrix on the left may have any number of columns, and is
 * row-major or in blocks (blocks.h). Pointers need no alignment; all are to `real` unless said otherwise.
 */
#ifndef BPK_KERNELS_H
#define BPK_KERNELS_H

#include "blocks.h"
#include "bpkern.h"

/* A matrix on the left: in blocks of `rows` rows, or with rows 0 row-major with its rows `ld` apart. */
typedef struct {
    const void *at;
    ptrdiff_t rows, ld;
} bpk_left;

/* Rows `from` to `to` of a (.., n) = s(x (.., k) w (k, n) + b (n)). With `resume`, a holds what an earlier
 * part of the sum over k came to, and b is not added again. */
typedef struct {
    ptrdiff_t from, to, n, k;
    int resume;
    bpk_left x;
    const void *w;
    ptrdiff_t ldw;
    const void *b; /* or NULL: zero */
    bpk_activation activation;
    void *a;
    ptrdiff_t lda;
} bpk_forward_args;

/* Rows `from` to `to` of delta (.., n) = (delta_next (.., k) w (k, n)) * s'; `resume` as above. What s' is
 * taken from is a (.., n): of BPK_SLOPE it is s' itself, and z for activations that need z. */
typedef struct {
    ptrdiff_t from, to, n, k;
    int resume;
    bpk_left delta_next;
    const void *w;
    ptrdiff_t ldw;
    const void *a;
    ptrdiff_t lda;
    bpk_activation activation;
    void *delta;
    ptrdiff_t ldd;
} bpk_delta_args;

/* Rows `from` to `to` of sums (.., n) = x (.., k) w (n, k)' + b (n): dot products of rows. x is in blocks of
 * x_rows rows; w is rows w_from to w_from + n of a matrix in blocks of w_rows rows, whose padding is zero.
 * `resume` as above. */
typedef struct {
    ptrdiff_t from, to, n, k;
    int resume;
    const void *x;
    ptrdiff_t x_rows;
    const void *w;
    ptrdiff_t w_from, w_rows;
    const void *b; /* or NULL: zero */
    void *sums;
    ptrdiff_t lds;
} bpk_dot_args;

enum { BPK_STATES = 3 }; /* of an optimiser: m, v and u */

/* How parameters move along their gradients at one update: the optimiser's formulas stand in bpkern.h, with
 * what depends on t worked into lr and correction. First of all g <- scale g, kept within +-limit, and then
 * g <- g + decay w + l1 sign(w), with sign(0) = 0. */
typedef struct {
    bpk_rule rule;
    int nesterov, centered, amsgrad;
    double scale, limit, decay, l1;
    double shrink; /* what w is multiplied by */
    double lr, momentum, square_decay, eps;
    double correction; /* what sqrt(v) is divided by */
} bpk_move;

/* Rows `from` to `to` of w (.., n) along left (k, ..)' right (k, n), k being the rows of the batch. The
 * states lie as w does, with rows ld_state apart; those that the optimiser does not use are NULL. */
typedef struct {
    ptrdiff_t from, to, n, k;
    const void *left;
    ptrdiff_t ldl;
    const void *right;
    ptrdiff_t ldr;
    void *w;
    ptrdiff_t ldw;
    void *state[BPK_STATES];
    ptrdiff_t ld_state;
    const bpk_move *move;
} bpk_update_args;

/* b (n) along the column sums of delta (k, n). */
typedef struct {
    ptrdiff_t n, k;
    const void *delta;
    ptrdiff_t ldd;
    void *b;
    void *state[BPK_STATES];
    const bpk_move *move;
} bpk_bias_args;

/* Of rows `from` to `to` of a and slope (.., n), in blocks of `rows` rows, some elements become zero and the
 * others go up by 1 / (1 - probability): philox.h says which. */
typedef struct {
    uint64_t key, batch;
    uint32_t layer;
    double probability;
    ptrdiff_t from, to, n, rows;
    void *a, *slope;
} bpk_drop_args;

/* The loss of m rows of n outputs, the accuracy where the loss has one, and delta = scale * dloss/da. */
typedef struct {
    bpk_loss loss;
    const void *parameters; /* (n,) of the losses that have some */
    double smoothing, most; /* these three as bpk_loss_settings has them */
    int deviance;
    ptrdiff_t m, n;
    const void *a;
    ptrdiff_t lda;
    const int64_t *labels; /* (m,) or NULL: targets (m, n) */
    const void *targets;
    ptrdiff_t ldt;
    const double *scale; /* (m,) */
    void *delta;         /* (m, n) or NULL: only the losses are wanted */
    ptrdiff_t ldd;
    double *row_loss;     /* (m,) */
    double *row_accuracy; /* (m,): 1 where the class is right; for binary the part of the outputs that is */
} bpk_loss_args;

struct bpk_kernels {
    size_t real_size;
    ptrdiff_t vector; /* elements of a vector register: the grain of padding */
    ptrdiff_t panel;  /* the widest block, a multiple of vector */
    /* Delta is made of dot products in batches of at most dot_rows rows, and sums of at least dot_depth terms
     * a row: there transposing W would cost more than the product itself, and adding up the lanes costs less.
     */
    ptrdiff_t dot_rows, dot_depth;
    /* The most outputs of a layer whose weights are kept as they are, (out, in), for its transposed ones
     * would be mostly padding; and, for the same reason, the most inputs of one whose delta is made of dot
     * products. */
    ptrdiff_t narrow;

    void (*forward)(const bpk_forward_args *args);
    void (*delta)(const bpk_delta_args *args);
    void (*dot)(const bpk_dot_args *args);
    void (*update)(const bpk_update_args *args);
    void (*update_bias)(const bpk_bias_args *args);

    /* w (n) along gradient (n). */
    void (*move)(const bpk_move *move, ptrdiff_t n, const void *gradient, void *w,
                 void *const state[BPK_STATES]);

    /* gradient (n) <- scale gradient + decay w + l1 sign(w); the sum of its squares. */
    double (*collect)(ptrdiff_t n, void *gradient, const void *w, double scale, double decay, double l1);

    /* average (n) <- decay average + (1 - decay) w */
    void (*average)(ptrdiff_t n, void *average, const void *w, double decay);

    /* A row of n reals into row `row` of blocks of `rows` rows; whether all of them are finite. */
    int (*scatter)(ptrdiff_t n, const void *src, void *dst, ptrdiff_t rows, ptrdiff_t row);

    /* dst (columns, rows) = src (rows, columns)' */
    void (*transpose)(ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst,
                      ptrdiff_t ldd);

    /* a (m, n) <- s(a); and delta (m, n) <- delta * s', which is taken from a as for bpk_delta_args. */
    void (*activate)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda);
    void (*apply_derivative)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, const void *a,
                             ptrdiff_t lda, void *delta, ptrdiff_t ldd);

    /* a (m, n), which holds z, <- s(z), and slope (m, n) <- s'(z) */
    void (*activate_with_slope)(bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda,
                                void *slope, ptrdiff_t lds);
    void (*drop)(const bpk_drop_args *args);

    void (*loss)(const bpk_loss_args *args);

    /* The steps of a run in mini-batches of one row, where `goes_online` (net.h) says so; or NULL. */
    bpk_status (*online)(bpk_net *net, bpk_run *run, ptrdiff_t steps);

    int (*all_finite)(ptrdiff_t n, const void *x);
    double (*sum_squares)(ptrdiff_t n, const void *x);
    double (*sum_absolute)(ptrdiff_t n, const void *x);
};

#endif
