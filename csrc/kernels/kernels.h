/* The private contract between the trainer and the kernels: one table per ISA and dtype.
 *
 * Products are made one block of columns at a time: the result and the right matrix are at most `panel`
 * columns wide, with rows `ld...` apart. The left matrix has any number of columns, and is row-major or in
 * blocks (blocks.h). Pointers need no alignment. Pointers to void are to `real`, or to `stored` for weights,
 * activations, deltas and states (real.h).
 *
 * Defined in: vector/ and scalar/, one file per family of kernels; ../trainer/online.c (online); table.c (the
 * tables).
 */
#ifndef BPK_KERNELS_H
#define BPK_KERNELS_H

#include "bpkern.h"
#include "kernels/blocks.h"

/* A left matrix: in blocks of `rows` rows, or row-major with its rows `ld` apart if `rows` is 0. */
typedef struct {
    const void *at;
    ptrdiff_t rows, ld;
} bpk_left;

/* Rows `from` to `to` of a (.., n) = s(x (.., k) w (k, n) + b (n)). With `resume`, a holds the sum over an
 * earlier part of k, to which this part is added without b. */
typedef struct {
    ptrdiff_t from, to, n, k;
    int resume;
    bpk_left x;
    const void *w;
    ptrdiff_t ldw;
    const void *b; /* NULL: zero */
    bpk_activation activation;
    void *a;
    ptrdiff_t lda;
} bpk_forward_args;

/* Rows `from` to `to` of delta (.., n) = (delta_next (.., k) w (k, n)) * s'; `resume` as above. a (.., n)
 * holds the activation; or z, for activations whose derivative is computed from z; or s' itself for
 * BPK_SLOPE. */
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

/* Rows `from` to `to` of sums (.., n) = x (.., k) w (n, k)' + b (n), as dot products of rows. x is in blocks
 * of x_rows rows; w is rows w_from to w_from + n of a matrix in blocks of w_rows rows, with zero padding.
 * `resume` as above. */
typedef struct {
    ptrdiff_t from, to, n, k;
    int resume;
    const void *x;
    ptrdiff_t x_rows;
    const void *w;
    ptrdiff_t w_from, w_rows;
    const void *b; /* NULL: zero */
    void *sums;
    ptrdiff_t lds;
} bpk_dot_args;

enum { BPK_STATES = 3 }; /* an optimiser's states: m, v and u */

/* How parameters move along their gradients g in one update: first g <- scale g, clipped to +-limit; then
 * g <- g + decay w + l1 sign(w), with sign(0) = 0; then w <- shrink w - lr step. The optimiser's formula for
 * `step` is in bpkern.h; everything in it that depends on t is worked into lr, eps and correction. */
typedef struct {
    bpk_optimizer optimizer; /* its rule, flags, momentum and square_decay are read */
    double scale, limit, decay, l1;
    double shrink;
    double lr, eps;
    double correction; /* sqrt(v) is divided by it */
} bpk_move;

/* Moves rows `from` to `to` of w (.., n) along left (k, ..)' right (k, n); k is the rows of the mini-batch.
 * The states have w's shape, with rows ld_state apart; those that the optimiser does not use are NULL.
 * Columns of right from `filled` on are padding. */
typedef struct {
    ptrdiff_t from, to, n, k;
    ptrdiff_t filled;
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

/* Moves b (n) along the column sums of delta (k, n). */
typedef struct {
    ptrdiff_t n, k;
    const void *delta;
    ptrdiff_t ldd;
    void *b;
    void *state[BPK_STATES];
    const bpk_move *move;
} bpk_bias_args;

/* Dropout on rows `from` to `to` of a and slope (.., n), in blocks of `rows` rows: some elements become zero,
 * the others are multiplied by 1 / (1 - probability). philox.h defines which. */
typedef struct {
    uint64_t key, batch;
    uint32_t layer;
    double probability;
    ptrdiff_t from, to, n, rows;
    void *a, *slope;
} bpk_dropout_args;

/* The loss and accuracy of m rows of n outputs, and delta = scale * dloss/da. */
typedef struct {
    const bpk_loss_settings *settings; /* without its parameters and factors */
    const void *parameters;            /* (n,) reals, or NULL */
    ptrdiff_t m, n;
    const void *a;
    ptrdiff_t lda;
    const int64_t *labels; /* (m,); NULL: targets */
    const void *targets;   /* (m, n) */
    ptrdiff_t ldt;
    const double *scale; /* (m,) */
    void *delta;         /* (m, n); NULL: not wanted */
    ptrdiff_t ldd;
    double *row_loss;     /* (m,) */
    double *row_accuracy; /* (m,) 1 if the class is right; binary: the part of the outputs that is; else 0 */
} bpk_loss_args;

/* Every kernel, X(return type, name, parameters): the declarations, the table and its entries are generated
 * from this list.
 *
 *     move             w (n) along gradient (n)
 *     collect          gradient (n) <- scale gradient + decay w + l1 sign(w); returns the sum of its squares
 *     average          average (n) <- decay average + (1 - decay) w (n)
 *     scatter          src (n) into row `row` of blocks of `rows` rows; returns whether all are finite
 *     transpose        dst (columns, rows) = src (rows, columns)'
 *     activate         a (m, n) <- s(a)
 *     apply_derivative delta (m, n) <- delta * s', from a (m, n) as in bpk_delta_args
 *     activate_with_slope  slope (m, n) <- s'(a), then a (m, n) <- s(a); a holds z before
 *     all_finite, sum_squares, sum_absolute  over x (n)
 */
#define BPK_KERNELS(X)                                                                                      \
    X(void, forward, (const bpk_forward_args *args))                                                        \
    X(void, delta, (const bpk_delta_args *args))                                                            \
    X(void, dot, (const bpk_dot_args *args))                                                                \
    X(void, update, (const bpk_update_args *args))                                                          \
    X(void, update_bias, (const bpk_bias_args *args))                                                       \
    X(void, move,                                                                                           \
      (const bpk_move *move, ptrdiff_t n, const void *gradient, void *w, void *const state[BPK_STATES]))    \
    X(double, collect, (ptrdiff_t n, void *gradient, const void *w, double scale, double decay, double l1)) \
    X(void, average, (ptrdiff_t n, void *average, const void *w, double decay))                             \
    X(int, scatter, (ptrdiff_t n, const void *src, void *dst, ptrdiff_t rows, ptrdiff_t row))               \
    X(void, transpose,                                                                                      \
      (ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst, ptrdiff_t ldd))        \
    X(void, activate, (bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda))        \
    X(void, apply_derivative,                                                                               \
      (bpk_activation activation, ptrdiff_t m, ptrdiff_t n, const void *a, ptrdiff_t lda, void *delta,      \
       ptrdiff_t ldd))                                                                                      \
    X(void, activate_with_slope,                                                                            \
      (bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda, void *slope,            \
       ptrdiff_t lds))                                                                                      \
    X(void, dropout, (const bpk_dropout_args *args))                                                        \
    X(void, loss, (const bpk_loss_args *args))                                                              \
    X(int, all_finite, (ptrdiff_t n, const void *x))                                                        \
    X(double, sum_squares, (ptrdiff_t n, const void *x))                                                    \
    X(double, sum_absolute, (ptrdiff_t n, const void *x))

#define BPK_KERNEL_POINTER(returned, name, parameters) returned(*name) parameters;

enum { BPK_TILE_WIDTHS = 3 };

/* The numbers of an ISA and dtype, and its kernels. */
struct bpk_kernels {
    bpk_dtype dtype;
    size_t real_size;                     /* bytes */
    ptrdiff_t vector;                     /* elements of a vector register: the grain of padding */
    ptrdiff_t panel;                      /* the widest block, a multiple of vector */
    ptrdiff_t tile_rows[BPK_TILE_WIDTHS]; /* rows of the highest register tile of 1, 2 and 3 vectors */
    /* Delta is made of dot products for batches of up to dot_rows rows, if W has at least dot_depth outputs
     * per row: there, transposing W would cost more than the product, and adding up lanes costs less. */
    ptrdiff_t dot_rows, dot_depth;
    /* Layers of up to `narrow` outputs keep W as (out, in), because transposed blocks would be mostly
     * padding; for the same reason, delta for up to `narrow` inputs is made of dot products. */
    ptrdiff_t narrow;

    BPK_KERNELS(BPK_KERNEL_POINTER)

    /* The online path of tiny nets: if it serves this run, makes up to `steps` steps of training and returns
     * 1; otherwise returns 0 and does nothing. NULL if the ISA has none. */
    int (*online)(bpk_net *net, bpk_run *run, ptrdiff_t steps, bpk_status *status);
};

#endif
