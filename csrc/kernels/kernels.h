/* The private contract between the trainer and the kernels: one table per ISA and dtype.
 *
 * A kernel computes one block of columns of a product: the result and the right matrix have at most `panel`
 * columns (bpk_kernels below). The left matrix has any number of columns, and is row-major or in blocks
 * (blocks.h). A field ld... is the distance between rows of the matrix named after it, in elements.
 * Dimensions written `..` are not given: only rows `from` to `to`, exclusive, are used. Pointers need no
 * alignment. Pointers to void are to `real`, or to `stored` for weights, activations, deltas and states
 * (real.h).
 *
 * Defined in: vector/ and scalar/, one file per family of kernels; ../trainer/online.c (online); table.c (the
 * tables).
 */
#ifndef BPK_KERNELS_H
#define BPK_KERNELS_H

#include "bpkern.h"
#include "kernels/blocks.h"

/* A left matrix: in blocks of `rows` rows; or row-major with rows `ld` apart if `rows` is 0. */
typedef struct {
    const void *at;
    ptrdiff_t rows, ld;
} bpk_left;

/* Rows `from` to `to` of a (.., n) = s(x (.., k) w (k, n) + b (n)). A long sum over k is made in several
 * calls: with `resume`, a holds the sum of the earlier parts, to which this part is added without b. All but
 * the last call take the identity as activation. Columns of w and b from `filled` on are padding. */
typedef struct {
    ptrdiff_t from, to, n, k;
    ptrdiff_t filled;
    int resume;
    bpk_left x;
    const void *w;
    ptrdiff_t ldw;
    const void *b; /* NULL: zero */
    bpk_activation activation;
    void *a;
    ptrdiff_t lda;
} bpk_forward_args;

/* Columns `from` to `to` of one row: a (n) = s(x (k) w (k, n) + b (n)). w is in blocks, n is a padded width,
 * and a block begins at `from` and ends at `to`. */
typedef struct {
    ptrdiff_t from, to, n, k;
    const void *x, *w, *b;
    bpk_activation activation;
    void *a;
} bpk_row_args;

/* Rows `from` to `to` of delta (.., n) = (delta_next (.., k) w (k, n)) * s'; `resume` as above. a (.., n)
 * holds the activations; or z, if the derivative is computed from z; or s' itself, for BPK_SLOPE. */
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

/* Rows `from` to `to` of sums (.., n) = x (.., k) w (n, k)' + b (n), as dot products of rows of x and rows of
 * w, which are rows w_from to w_from + n of a larger matrix. x is in blocks of x_rows rows, and the larger
 * matrix in blocks of w_rows rows; or, if x_rows is 0, both are row-major. `resume` as above. */
typedef struct {
    ptrdiff_t from, to, n, k;
    int resume;
    const void *x;
    ptrdiff_t x_rows, ldx;
    const void *w;
    ptrdiff_t w_from, w_rows, ldw;
    const void *b; /* NULL: zero */
    void *sums;
    ptrdiff_t lds;
} bpk_dot_args;

/* Rows `from` to `to` of sums (.., n) = x (.., k) w (k, n), all row-major. n may be any number: w is read in
 * the order of memory, a few rows at once, which is faster than block after block if there are very few rows
 * of sums. */
typedef struct {
    ptrdiff_t from, to, n, k;
    const void *x;
    ptrdiff_t ldx;
    const void *w;
    ptrdiff_t ldw;
    void *sums;
    ptrdiff_t lds;
} bpk_few_rows_args;

enum { BPK_STATES = 3 }; /* an optimiser's states: m, v and u */

/* How parameters w move along their gradients g in one update: first g <- scale g, clipped to +-limit; then
 * g <- g + decay w + l1 sign(w), with sign(0) = 0; then w <- shrink w - lr step. The optimiser's formula for
 * `step` is in bpkern.h; all its factors that depend on t are included in lr, eps and correction. Only the
 * kernel `move` takes any scale and limit: `update` and `update_bias` require 1 and INFINITY, and may ignore
 * them. */
typedef struct {
    bpk_optimizer optimizer; /* its rule, flags, momentum and square_decay are read */
    double scale, limit, decay, l1;
    double shrink;
    double lr, eps;
    double correction;               /* divides sqrt(v) */
    double dampening;                /* of sgd: m takes (1 - dampening) g */
    double gradient_part, mean_part; /* of nadam: the factors of g and m */
} bpk_move;

/* Moves rows `from` to `to` of w (.., n) along the gradient left (k, ..)' right (k, n), both row-major; k is
 * the number of rows of the mini-batch. state: m, v and u, each (.., n) with rows ld_state apart, or NULL if
 * the optimiser does not use it. Columns of right from `filled` on are padding. */
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

/* Update and forward in one pass over the weights, which are a whole block of W (in, n): moves rows `from` to
 * `to` of it along the gradient x (k, in)' delta (k, n), as update does; then, unless next_k is 0,
 * a (next_k, n) = s(next_x (next_k, in) w + b), as forward does, to the same bits. With a next_k, all rows
 * are moved. x and next_x are in blocks of x_rows rows. w and the states are contiguous: rows are as far
 * apart as the padded n. delta, w, b, a and the states are padded to whole vectors; the padding of delta is
 * zero. */
typedef struct {
    ptrdiff_t from, to, in, n, k;
    const void *x;
    ptrdiff_t x_rows;
    const void *delta;
    ptrdiff_t ldd;
    void *w;
    void *state[BPK_STATES];
    const bpk_move *move;
    ptrdiff_t next_k;
    const void *next_x, *b; /* this and all below: not used if next_k is 0 */
    bpk_activation activation;
    void *a;
    ptrdiff_t lda;
} bpk_sweep_args;

/* Moves b (n) along the column sums of delta (k, n). state: m, v and u (n), or NULL. */
typedef struct {
    ptrdiff_t n, k;
    const void *delta;
    ptrdiff_t ldd;
    void *b;
    void *state[BPK_STATES];
    const bpk_move *move;
} bpk_bias_args;

/* Dropout on rows `from` to `to` of a (.., n), slope and difference, all in blocks of `rows` rows: some
 * elements become zero, the others are multiplied by 1 / (1 - probability). philox.h defines which elements:
 * row i of these is row `first` + i of the whole mini-batch. */
typedef struct {
    uint64_t key, batch;
    uint32_t layer;
    double probability;
    ptrdiff_t from, to, n, rows, first;
    void *a, *slope, *difference; /* the last two may be NULL */
} bpk_dropout_args;

/* The losses and accuracies of m rows of n outputs a, and delta = scale * dloss/da. The caller multiplies
 * row_loss by loss_factor; slope_factor is included in `scale`. If a target is not finite, neither is the
 * row's loss, unless settings->cap is finite. delta is row-major; or rows delta_from to delta_from + m of
 * blocks of delta_rows rows, unless delta_rows is 0. */
typedef struct {
    const bpk_loss_settings *settings; /* its parameters and factors are not read */
    const void *parameters;            /* (n,) reals, or NULL */
    ptrdiff_t m, n;
    const void *a;
    ptrdiff_t lda;
    const int64_t *labels;      /* (m,) from 0 to n - 1; NULL: targets */
    const void *const *targets; /* (m,) rows of n targets */
    const double *scale;        /* (m,) */
    void *delta;                /* (m, n); NULL: not wanted */
    ptrdiff_t ldd;              /* if delta_rows is 0 */
    ptrdiff_t delta_rows, delta_from;
    double *row_loss; /* (m,) */
    /* (m,) cross_entropy: 1 if the class is right, otherwise 0; binary_cross_entropy: the fraction of outputs
     * that are right; other losses: 0 */
    double *row_accuracy;
} bpk_loss_args;

/* The factors of columns: out (m, n) = x (m, n) * factors (n), row by row; x and out may be the same. And
 * their derivative: out (n) = the column sums of x (m, n) * delta (m, n), whose rows are ldo apart. */
typedef struct {
    ptrdiff_t m, n;
    const void *x;
    ptrdiff_t ldx;
    const void *factors; /* of `scale` */
    const void *delta;   /* of `scale_sums` */
    void *out;
    ptrdiff_t ldo;
} bpk_scale_args;

/* The share of an activation: with mix (n), s(z) in a (m, n) and z in difference (m, n),
 *
 *     difference <- s(z) - z    a <- z + mix difference    slope <- 1 + mix (slope - 1)
 *
 * slope (m, n) holds s'(z) or is NULL; the rows of all three are ld apart. */
typedef struct {
    ptrdiff_t m, n;
    const void *mix;
    void *a, *slope, *difference;
    ptrdiff_t ld;
} bpk_mix_args;

/* Rows of a table by code: rows (m, n) = table[codes]; or, for `lookup_add`, table[codes] += rows, in the
 * order of the rows. codes (m) are reals, ldc apart, whole numbers that the table has. */
typedef struct {
    ptrdiff_t m, n;
    const void *codes;
    ptrdiff_t ldc;
    void *table;
    ptrdiff_t ldt;
    void *rows;
    ptrdiff_t ldr;
} bpk_lookup_args;

/* The periodic embedding of a column x (m): out' (m, n) = cos(2 pi x w' + b) w2 + b2, with w and b (hidden),
 * w2 (hidden, n) and b2 (n), contiguous. out (n, m) has rows ldo apart. For `periodic_sums`, out holds the
 * derivative of the loss by out, and the derivatives by the parameters are added to dw, db, dw2 and db2; that
 * by x is added to dx (m), unless it is NULL. */
typedef struct {
    ptrdiff_t m, hidden, n;
    const void *x, *w, *b, *w2, *b2;
    void *out;
    ptrdiff_t ldo;
    void *dw, *db, *dw2, *db2, *dx; /* of `periodic_sums` */
} bpk_periodic_args;

/* The list of kernels. Each entry is X(return type, name, parameters). The declarations, the table and its
 * entries are generated from this list. Those without a struct of arguments:
 *
 *     move             moves w (n) along gradient (n)
 *     collect          gradient (n) <- scale gradient + decay w + l1 sign(w); returns the sum of its squares
 *     average          average (n) <- decay average + (1 - decay) w (n), finite if both are
 *     scatter          copies src (n) to row `row` of blocks of `rows` rows; returns whether all are finite
 *     transpose        dst (columns, rows) = src (rows, columns)'
 *     copy             dst (rows, columns) = src (rows, columns), row-major
 *     activate         a (m, n) <- s(a)
 *     apply_derivative delta (m, n) <- delta * s', from a (m, n) as in bpk_delta_args
 *     activate_with_slope  z (m, n) is in a: slope (m, n) <- s'(z), then a (m, n) <- s(z)
 *     activate_parametric  the same for leaky_relu and elu with a parameter (bpkern.h); slope may be NULL
 *     all_finite, sum_squares, sum_absolute  over x (n)
 */
#define BPK_KERNELS(X)                                                                                      \
    X(void, forward, (const bpk_forward_args *args))                                                        \
    X(void, forward_row, (const bpk_row_args *args))                                                        \
    X(void, delta, (const bpk_delta_args *args))                                                            \
    X(void, dot, (const bpk_dot_args *args))                                                                \
    X(void, few_rows, (const bpk_few_rows_args *args))                                                      \
    X(void, update, (const bpk_update_args *args))                                                          \
    X(void, sweep, (const bpk_sweep_args *args))                                                            \
    X(void, update_bias, (const bpk_bias_args *args))                                                       \
    X(void, move,                                                                                           \
      (const bpk_move *move, ptrdiff_t n, const void *gradient, void *w, void *const state[BPK_STATES]))    \
    X(double, collect, (ptrdiff_t n, void *gradient, const void *w, double scale, double decay, double l1)) \
    X(void, average, (ptrdiff_t n, void *average, const void *w, double decay))                             \
    X(int, scatter, (ptrdiff_t n, const void *src, void *dst, ptrdiff_t rows, ptrdiff_t row))               \
    X(void, transpose,                                                                                      \
      (ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst, ptrdiff_t ldd))        \
    X(void, copy,                                                                                           \
      (ptrdiff_t rows, ptrdiff_t columns, const void *src, ptrdiff_t lds, void *dst, ptrdiff_t ldd))        \
    X(void, activate, (bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda))        \
    X(void, apply_derivative,                                                                               \
      (bpk_activation activation, ptrdiff_t m, ptrdiff_t n, const void *a, ptrdiff_t lda, void *delta,      \
       ptrdiff_t ldd))                                                                                      \
    X(void, activate_with_slope,                                                                            \
      (bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda, void *slope,            \
       ptrdiff_t lds))                                                                                      \
    X(void, activate_parametric,                                                                            \
      (bpk_activation activation, double parameter, ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda,       \
       void *slope, ptrdiff_t lds))                                                                         \
    X(void, mix, (const bpk_mix_args *args))                                                                \
    X(void, dropout, (const bpk_dropout_args *args))                                                        \
    X(void, loss, (const bpk_loss_args *args))                                                              \
    X(void, scale, (const bpk_scale_args *args))                                                            \
    X(void, scale_sums, (const bpk_scale_args *args))                                                       \
    X(void, lookup, (const bpk_lookup_args *args))                                                          \
    X(void, lookup_add, (const bpk_lookup_args *args))                                                      \
    X(void, periodic, (const bpk_periodic_args *args))                                                      \
    X(void, periodic_sums, (const bpk_periodic_args *args))                                                 \
    X(int, all_finite, (ptrdiff_t n, const void *x))                                                        \
    X(double, sum_squares, (ptrdiff_t n, const void *x))                                                    \
    X(double, sum_absolute, (ptrdiff_t n, const void *x))

/* Kernels for w (k, n) in pairs of bfloat16 (bfloat16.h); everything else is float32, and n is a whole number
 * of vectors. forward_pairs takes the rows of pairs from any one on; k is even except in the last part of a
 * sum. Tables of float64 have NULL. */
#define BPK_PAIR_KERNELS(X)                                \
    X(void, forward_pairs, (const bpk_forward_args *args)) \
    X(void, forward_row_pairs, (const bpk_row_args *args))

#define BPK_KERNEL_POINTER(returned, name, parameters) returned(*name) parameters;

enum { BPK_TILE_WIDTHS = 3 };

/* The numbers of an ISA and dtype, and its kernels. */
struct bpk_kernels {
    bpk_dtype dtype;
    size_t real_size;                     /* bytes */
    ptrdiff_t vector;                     /* elements of a vector register: the grain of padding */
    ptrdiff_t panel;                      /* the widest block, a multiple of vector */
    ptrdiff_t tile_rows[BPK_TILE_WIDTHS]; /* rows of the highest register tile of 1, 2 and 3 vectors */
    ptrdiff_t update_rows;                /* the same of 3 vectors in update and sweep */
    /* Delta is made of dot products for batches of up to dot_rows rows, if the layer has at least dot_depth
     * outputs per row of the batch. For such batches, transposing W would cost more than the product. */
    ptrdiff_t dot_rows, dot_depth;
    ptrdiff_t depth; /* the number of terms in a part of a long sum; not of dot products, which have DEPTH */
    /* Layers of up to `narrow` outputs keep W as (out, in), because blocks of (in, out) would be mostly
     * padding. For the same reason, delta of layers of up to `narrow` inputs is made of dot products. */
    ptrdiff_t narrow;
    /* Only batches of up to sweep_rows rows are updated by `sweep` (trainer/plan.c, step_sweeps). */
    ptrdiff_t sweep_rows;

    BPK_KERNELS(BPK_KERNEL_POINTER)
    BPK_PAIR_KERNELS(BPK_KERNEL_POINTER)

    /* The online path of tiny nets: if it serves this run, makes up to `steps` steps of training, sets
     * *status and returns 1; otherwise returns 0 and does nothing. NULL if the ISA has no online path. */
    int (*online)(bpk_net *net, bpk_run *run, ptrdiff_t steps, bpk_status *status);
};

#endif
