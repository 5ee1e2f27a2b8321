/* bpkern: backpropagation kernels for multilayer perceptrons. The public C API.
 *
 * Matrices are row-major with a leading dimension: element (i, j) of x is x[i * ldx + j], and a row may be
 * longer than the matrix is wide. `real` below is float or double, as the dtype of the kernel table says;
 * the pointers are void so that one trainer serves both. Sizes are in elements, never in bytes.
 *
 * The formulas, for layer l with weights W_l of shape (out, in), a batch of n rows, and loss J:
 *
 *     z_l = a_{l-1} W_l' + b_l            a_l = s_l(z_l)                       (n, out)
 *     d_L = dJ/da_L * s_L'(z_L)           d_l = (d_{l+1} W_{l+1}) * s_l'(z_l)  (n, out)
 *     W_l <- W_l - lr d_l' a_{l-1}        b_l <- b_l - lr (column sums of d_l)
 *
 * where ' after a matrix transposes it, * between matrices is elementwise, and the derivatives s' are taken
 * from the activation itself:
 *
 *     identity   1                         sigmoid   a (1 - a)
 *     relu       a > 0                     tanh      1 - a^2
 *     leaky_relu a > 0 ? 1 : 0.01
 *
 * J is a mean over the batch, so the deltas already carry its 1/n. No function prints, exits or keeps a
 * global but the chosen ISA; every one restores the floating-point control word it found.
 */
#ifndef BPKERN_H
#define BPKERN_H

#include <stddef.h>
#include <stdint.h>

typedef enum { BPK_F32, BPK_F64, BPK_N_DTYPES } bpk_dtype;

typedef enum {
    BPK_IDENTITY,
    BPK_RELU,
    BPK_LEAKY_RELU,
    BPK_SIGMOID,
    BPK_TANH,
    BPK_N_ACTIVATIONS
} bpk_activation;

/* The loss of one row of outputs a against its targets t, over m outputs, and its derivative:
 *
 *     mse                   (1/m) sum (a - t)^2                  (2/m) (a - t)
 *     squared_error         1/2 sum (a - t)^2                    a - t
 *     cross_entropy         -sum t log softmax(a)                softmax(a) - t
 *     binary_cross_entropy  -(1/m) sum t log p + (1-t) log(1-p)  (1/m) (p - t),  p = sigmoid(a)
 */
typedef enum {
    BPK_MSE,
    BPK_SQUARED_ERROR,
    BPK_CROSS_ENTROPY,
    BPK_BINARY_CROSS_ENTROPY,
    BPK_N_LOSSES
} bpk_loss;

typedef enum {
    BPK_OK,
    BPK_NO_MEMORY, /* an allocation failed; nothing was changed */
    BPK_BAD_ROW,   /* NaN, infinity, overflow or a wrong index in a row of x or y; see bpk_run.bad_row */
    BPK_DIVERGED   /* a loss that is no finite number; its update was not made */
} bpk_status;

/* The kernels of one ISA and dtype. */
typedef struct bpk_kernels bpk_kernels;

/* Choosing an ISA. Names are "scalar", "avx2" and "avx512". */
int bpk_isa_count(void);           /* compiled in, slowest first */
const char *bpk_isa_name(int isa); /* NULL past the end */
int bpk_isa_runs(int isa);         /* whether this processor and operating system have it */
int bpk_isa_selected(void);        /* the fastest that runs, until bpk_isa_select */
void bpk_isa_select(int isa);      /* isa must run */
const bpk_kernels *bpk_isa_kernels(int isa, bpk_dtype dtype);

/* SGD as PyTorch defines it: g <- g + weight_decay w; v <- momentum v + g; the step is v, or
 * g + momentum v with nesterov, or g where momentum is 0; w <- w - lr step. */
typedef struct {
    double lr, momentum, weight_decay;
    int nesterov;
} bpk_sgd;

/* The three kernels on plain row-major matrices. */

/* a (n, out) = s(x (n, in) w (out, in)' + b (out)) */
bpk_status bpk_linear_forward(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                              const void *x, ptrdiff_t ldx, const void *w, ptrdiff_t ldw, const void *b,
                              bpk_activation activation, void *a, ptrdiff_t lda);

/* delta (n, in) = (delta_next (n, out) w_next (out, in)) * s'(a (n, in)) */
void bpk_delta_backward(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                        const void *delta_next, ptrdiff_t ldn, const void *w_next, ptrdiff_t ldw,
                        const void *a, ptrdiff_t lda, bpk_activation activation, void *delta, ptrdiff_t ldd);

/* w (out, in) and b (out) by SGD along delta (n, out)' x (n, in) and the column sums of delta. vw and vb
 * hold the velocities; both may be NULL where momentum is 0. */
void bpk_sgd_update(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, void *w,
                    ptrdiff_t ldw, void *b, const void *delta, ptrdiff_t ldd, const void *x, ptrdiff_t ldx,
                    void *vw, ptrdiff_t ldvw, void *vb, const bpk_sgd *sgd);

/* Rows to train on or predict for, as the caller has them: any numeric type, any strides, dense or sparse. */
typedef enum {
    BPK_BOOL,
    BPK_INT8,
    BPK_UINT8,
    BPK_INT16,
    BPK_UINT16,
    BPK_INT32,
    BPK_UINT32,
    BPK_INT64,
    BPK_UINT64,
    BPK_HALF,
    BPK_FLOAT,
    BPK_DOUBLE,
    BPK_LONG_DOUBLE,
    BPK_N_TYPES
} bpk_type;

/* Sparse rows have indices: entry k is data[k], in column indices[k], and row i's are indptr[i] to indptr[i +
 * 1]. Entries of one place add up. A row whose indptr or indices point outside is a bad row, and nothing
 * outside is read. */
typedef struct {
    const char *data;
    bpk_type type;
    int swapped; /* bytes in the other order than this machine's */
    ptrdiff_t columns;
    ptrdiff_t row_stride, column_stride; /* in bytes, of either sign; column_stride: from entry to entry */

    const void *indices, *indptr; /* (entries,) and (n + 1,), or NULL: dense */
    int wide_indices;             /* both are int64, not int32 */
    ptrdiff_t entries;
} bpk_source;

typedef struct {
    bpk_source x;          /* (n, first layer) */
    const int64_t *labels; /* (n,) class of a row, or NULL where y holds */
    bpk_source y;          /* (n, last layer) */
    const double *weights; /* (n,) >= 0, or NULL: all 1 */
    const int64_t *index;  /* which rows, in which order, or NULL: 0, 1, 2, ... */
    ptrdiff_t rows;        /* how many */
} bpk_data;

/* A network: its parameters, and nothing that a reader of them writes. */
typedef struct bpk_net bpk_net;

bpk_status bpk_net_create(const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes, /* layers + 1 */
                          const bpk_activation *activations, bpk_loss loss, bpk_net **net);
void bpk_net_free(bpk_net *net);

/* Layer l's weights (out, in) and bias (out), plain and contiguous, in and out. */
void bpk_net_set_layer(bpk_net *net, int l, const void *w, const void *b);
void bpk_net_get_layer(const bpk_net *net, int l, void *w, void *b);

/* The velocities of momentum: zero when made, and made where there are none yet. Clearing makes them zero.
 * They must have been made before a run of training with momentum. */
bpk_status bpk_net_make_velocity(bpk_net *net);
void bpk_net_clear_velocity(bpk_net *net);

/* A copy of all parameters and velocities to go back to. */
bpk_status bpk_net_snapshot(bpk_net *net);
void bpk_net_restore(bpk_net *net);             /* to the last snapshot, if there is one */
int bpk_net_finite(const bpk_net *net);         /* parameters and velocities */
double bpk_net_sum_squares(const bpk_net *net); /* of the weights, not the biases */

/* Room to work in, for batches of at most `rows` rows and so many threads; one caller at a time. Training and
 * gradients need one made for training. */
typedef struct bpk_workspace bpk_workspace;

enum { BPK_MOST_THREADS = 1024 };

typedef enum { BPK_FOR_FORWARD, BPK_FOR_TRAINING } bpk_purpose;

bpk_status bpk_workspace_create(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose, int threads,
                                bpk_workspace **workspace);
void bpk_workspace_free(bpk_workspace *workspace);

/* The work of one step with so many rows, roughly: floating-point operations and bytes of weights moved. And
 * how many threads, at most `most`, make that many steps sooner than fewer would. */
double bpk_step_work(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose);
int bpk_threads_worth(double step_work, double steps, int most);

/* One pass over the data, which may be made in several calls: each goes on at `next`. */
typedef struct {
    bpk_data data;
    ptrdiff_t batch; /* rows a step, at most those of the workspace; the last may be fewer */
    bpk_sgd sgd;
    double l2;
    int threads; /* at most those of the workspace; the results do not depend on it */

    ptrdiff_t next;      /* rows done */
    ptrdiff_t bad_row;   /* with BPK_BAD_ROW: its number in x and y */
    double loss_sum;     /* of weight * loss, each before its update */
    double accuracy_sum; /* of weight * accuracy, for the two cross-entropies */
    double weight_sum;
} bpk_run;

/* At most `steps` steps of training. A batch of zero weight is passed over. */
bpk_status bpk_train(bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps);

/* At most `steps` batches of loss and accuracy, without l2 and without a change. */
bpk_status bpk_evaluate(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps);

/* The gradients of the mean loss over all rows of run->data, which are one batch, without l2: added to what
 * dw[l] (out, in) and db[l] (out,) hold. */
bpk_status bpk_gradients(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, void *const *dw,
                         void *const *db);

/* At most `steps` batches of outputs, after the output activation: out (rows, last layer). */
bpk_status bpk_forward(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps,
                       void *out);

#endif
