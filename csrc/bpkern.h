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
 * where ' after a matrix transposes it, and * between matrices is elementwise. The derivatives s' of most
 * activations are taken from the activation itself:
 *
 *     s           a                              s'
 *     identity    z                              1
 *     relu        max(z, 0)                      a > 0
 *     leaky_relu  z < 0 ? 0.01 z : z             a > 0 ? 1 : 0.01
 *     sigmoid     1 / (1 + e^-z)                 a (1 - a)
 *     tanh        tanh z                         1 - a^2
 *     elu         z < 0 ? e^z - 1 : z            a > 0 ? 1 : a + 1
 *     softplus    log(1 + e^z)                   1 - e^-a
 *
 * The others fall and then rise, so that one a stands for two z, and their derivatives are taken from z. P is
 * the cumulative normal distribution and p its density:
 *
 *     gelu        z P(z)                         P(z) + z p(z)
 *     gelu_tanh   z g, g = sigmoid(2 u(z))       g + z g (1 - g) 2 u'(z),  u = sqrt(2/pi) (z + 0.044715 z^3)
 *     silu        z g, g = sigmoid(z)            g + z g (1 - g)
 *
 * J is a mean over the batch, so the deltas already carry its 1/n. No function prints, exits or keeps a
 * global but the chosen ISA; every one restores the floating-point control word it found.
 */
#ifndef BPKERN_H
#define BPKERN_H

#include <stddef.h>
#include <stdint.h>

typedef enum { BPK_F32, BPK_F64, BPK_N_DTYPES } bpk_dtype;

/* The activations, X(ENUMERATOR, name) each: those whose derivative is a function of a, and of z. All else
 * that names them one by one is made of these lists, but for their formulas. */
#define BPK_ACTIVATIONS_OF_A(X) \
    X(IDENTITY, identity)       \
    X(RELU, relu)               \
    X(LEAKY_RELU, leaky_relu)   \
    X(SIGMOID, sigmoid)         \
    X(TANH, tanh)               \
    X(ELU, elu)                 \
    X(SOFTPLUS, softplus)
#define BPK_ACTIVATIONS_OF_Z(X) \
    X(GELU, gelu)               \
    X(GELU_TANH, gelu_tanh)     \
    X(SILU, silu)
#define BPK_ACTIVATIONS(X) BPK_ACTIVATIONS_OF_A(X) BPK_ACTIVATIONS_OF_Z(X)

#define BPK_ENUMERATOR(NAME, name) BPK_##NAME,

typedef enum {
    BPK_ACTIVATIONS(BPK_ENUMERATOR) BPK_N_ACTIVATIONS,
    BPK_SLOPE = BPK_N_ACTIVATIONS /* for derivatives alone, inside the library: a is the derivative itself */
} bpk_activation;

const char *bpk_activation_name(int activation); /* NULL past the end */
int bpk_needs_z(bpk_activation activation);      /* whether the derivative is a function of z */

/* The loss of one row of outputs a against its targets t, over m outputs, and its derivative:
 *
 *     mse                   (1/m) sum (a - t)^2                  (2/m) (a - t)
 *     squared_error         1/2 sum (a - t)^2                    a - t
 *     cross_entropy         -sum t log softmax(a)                softmax(a) - t
 *     binary_cross_entropy  -(1/m) sum t log p + (1-t) log(1-p)  (1/m) (p - t),  p = sigmoid(a)
 *     mae                   (1/m) sum |d|                        (1/m) sign(d),  d = a - t, sign(0) = 0
 *     huber                 (1/m) sum c (d - c/2)                (1/m) c,  c = d from -delta to delta
 *     quantile              (1/m) sum d (d > 0 ? 1-q : -q)       (1/m) (d > 0 ? 1-q : -q), and 0 where d is
 *     poisson               (1/m) sum e^a - t a                  (1/m) (e^a - t)
 *
 * delta > 0 of huber and 0 < q < 1 of quantile are parameters, one an output. c (d - c/2) is d^2/2 where |d|
 * is at most delta, and delta (|d| - delta/2) beyond. With label smoothing e, the targets of cross_entropy
 * are (1 - e) t + e/m.
 */
#define BPK_LOSSES(X)                             \
    X(MSE, mse)                                   \
    X(SQUARED_ERROR, squared_error)               \
    X(CROSS_ENTROPY, cross_entropy)               \
    X(BINARY_CROSS_ENTROPY, binary_cross_entropy) \
    X(MAE, mae)                                   \
    X(HUBER, huber)                               \
    X(QUANTILE, quantile)                         \
    X(POISSON, poisson)

typedef enum { BPK_LOSSES(BPK_ENUMERATOR) BPK_N_LOSSES } bpk_loss;

const char *bpk_loss_name(int loss); /* NULL past the end */

typedef struct {
    bpk_loss loss;
    const double *parameters; /* (last layer,) of huber and quantile, finite as reals; NULL for the others */
    double smoothing;         /* of the labels, from 0 to 1; 0 but for cross_entropy */

    /* Libraries differ by factors. The loss is told `loss_factor` times, and its derivative taken
     * `slope_factor` times: 1, as it stands above. And in the value, not in the derivative, -log softmax(a)
     * of a label and -t log p - (1-t) log(1-p) of an output count for at most `most`: infinity, as they are.
     */
    double loss_factor, slope_factor, most;

    /* The value of poisson has in its sum t log t - t besides, 0 for t = 0, which is half the deviance. */
    int deviance;
} bpk_loss_settings;

typedef enum {
    BPK_OK,
    BPK_NO_MEMORY,    /* an allocation failed; nothing was changed */
    BPK_BAD_ROW,      /* NaN, infinity, overflow or a wrong index in a row of x or y; see bpk_run.bad_row */
    BPK_DIVERGED,     /* a loss that is no finite number; its update was not made */
    BPK_OTHER_KERNELS /* networks of different tables of kernels, which lie otherwise in memory */
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

/* An optimiser as PyTorch defines it. At update number t, from 1, a weight or bias w with gradient g goes to
 * (1 - lr decoupled_decay) w - lr step; g is g + weight_decay w, and m, v and u are zero at first:
 *
 *     sgd      m <- momentum m + g;  step = m, or g + momentum m with nesterov, or g where momentum is 0
 *     rmsprop  v <- square_decay v + (1 - square_decay) g^2;  centered: u <- square_decay u
 *              + (1 - square_decay) g, and v - u^2 for v below;  d = g / (sqrt v + eps)
 *              m <- momentum m + d;  step = m, or d where momentum is 0
 *     adagrad  v <- v + g^2;  step = g / (sqrt v + eps) / (1 + (t - 1) lr_decay)
 *     adam     m <- momentum m + (1 - momentum) g;  v <- square_decay v + (1 - square_decay) g^2
 *              amsgrad: u <- max(u, v), and u for v below
 *              step = m / (1 - momentum^t) / (sqrt(v / (1 - square_decay^t)) + eps)
 *              eps_hat: step = m / (1 - momentum^t) sqrt(1 - square_decay^t) / (sqrt v + eps)
 */
typedef enum { BPK_SGD, BPK_RMSPROP, BPK_ADAGRAD, BPK_ADAM } bpk_rule;

typedef struct {
    bpk_rule rule;
    double lr, weight_decay, decoupled_decay;
    double momentum, square_decay, eps, lr_decay;
    int nesterov, centered, amsgrad, eps_hat;
} bpk_optimizer;

/* The kernels on plain row-major matrices. */

/* a (n, out) = s(x (n, in) w (out, in)' + b (out)) */
bpk_status bpk_linear_forward(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                              const void *x, ptrdiff_t ldx, const void *w, ptrdiff_t ldw, const void *b,
                              bpk_activation activation, void *a, ptrdiff_t lda);

/* delta (n, in) = (delta_next (n, out) w_next (out, in)) * s'; a (n, in), or z where the activation needs it
 */
void bpk_delta_backward(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                        const void *delta_next, ptrdiff_t ldn, const void *w_next, ptrdiff_t ldw,
                        const void *a, ptrdiff_t lda, bpk_activation activation, void *delta, ptrdiff_t ldd);

/* a (m, n), which holds z, <- s(z), and slope (m, n) <- s'(z). */
void bpk_activate_with_slope(const bpk_kernels *kernels, bpk_activation activation, ptrdiff_t m, ptrdiff_t n,
                             void *a, ptrdiff_t lda, void *slope, ptrdiff_t lds);

/* w (out, in) and b (out) by SGD along delta (n, out)' x (n, in) and the column sums of delta; of the
 * optimiser lr, weight_decay, momentum and nesterov are read. vw and vb hold the velocities m; both may be
 * NULL where momentum is 0. */
void bpk_sgd_update(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, void *w,
                    ptrdiff_t ldw, void *b, const void *delta, ptrdiff_t ldd, const void *x, ptrdiff_t ldx,
                    void *vw, ptrdiff_t ldvw, void *vb, const bpk_optimizer *sgd);

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
                          const bpk_activation *activations, const bpk_loss_settings *loss, bpk_net **net);
void bpk_net_free(bpk_net *net);

/* What a network keeps a number of for each weight and bias: themselves; the states m, v and u of an
 * optimiser; and the average of the parameters that predictions may use. */
typedef enum { BPK_PARAMETERS, BPK_M, BPK_V, BPK_U, BPK_AVERAGE, BPK_N_STORES } bpk_store;

/* Layer l's weights (out, in) and bias (out) of a store that is there, plain and contiguous, in and out. */
void bpk_net_set_layer(bpk_net *net, bpk_store store, int l, const void *w, const void *b);
void bpk_net_get_layer(const bpk_net *net, bpk_store store, int l, void *w, void *b);

/* A store is zero when made, and made where it is not there yet. The parameters are always there. */
bpk_status bpk_net_make(bpk_net *net, bpk_store store);
void bpk_net_drop(bpk_net *net, bpk_store store);
int bpk_net_has(const bpk_net *net, bpk_store store);
void bpk_net_fill(bpk_net *net, bpk_store store, double value);
void bpk_net_start_average(bpk_net *net); /* as a copy of the parameters */

/* parameters <- (1 - part) parameters + part times another network's, of the same layers, or
 * BPK_OTHER_KERNELS. */
bpk_status bpk_net_blend(bpk_net *net, const bpk_net *other, bpk_store store, double part);

/* Whether an optimiser uses a store: it must be there before a run of training. */
int bpk_uses(const bpk_optimizer *optimizer, bpk_store store);

/* Over the life of a network: the updates made, and the mini-batches trained on. And the updates since the
 * optimiser's states began: what t is in its formulas. */
typedef struct {
    int64_t updates, batches, moves;
} bpk_counts;
bpk_counts bpk_net_counts(const bpk_net *net);
void bpk_net_set_counts(bpk_net *net, bpk_counts counts);

/* The probability that an activation of hidden layer l is dropped in training, from 0 to below 1, and the key
 * of the generator that says which. */
void bpk_net_set_dropout(bpk_net *net, int l, double probability);
void bpk_net_set_dropout_key(bpk_net *net, uint64_t key);

/* A copy of all stores and counts to go back to. */
bpk_status bpk_net_snapshot(bpk_net *net);
void bpk_net_restore(bpk_net *net);     /* to the last one, if there is; newer stores go, dropped stay away */
int bpk_net_finite(const bpk_net *net); /* all stores */

/* l2 sum W^2 + l1 sum |W| over the weights, not the biases, of the parameters or of their average. */
double bpk_net_penalty(const bpk_net *net, bpk_store store, double l1, double l2);

/* Room to work in, for batches of at most `rows` rows and so many threads; one caller at a time. Training
 * needs one made for it; gradients that are stored, in `bpk_gradients`, `bpk_tape_...` and where a run of
 * training `stores_gradients`, need one made for them, which does for training too. */
typedef struct bpk_workspace bpk_workspace;

enum { BPK_MOST_THREADS = 1024 };

typedef enum { BPK_FOR_FORWARD, BPK_FOR_TRAINING, BPK_FOR_GRADIENTS } bpk_purpose;

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
    int threads;     /* at most those of the workspace; the results do not depend on it */
    double seconds;  /* a call of several threads ends with the step that takes it beyond, or, of 0, with its
                        last: where others have the processors, no number of steps says how long these take */

    /* Training. An update takes the gradients of `accumulate` mini-batches, or at the end of the data what
     * there is, as of one batch; then adds the penalties'; then scales all of them to a norm of at most
     * clip_norm; then keeps each within +-clip_value. */
    bpk_optimizer optimizer;
    const double *rates; /* learning rates, one an update of this run, or NULL: the optimiser's */
    double l1, l2;
    int penalty_per_weight;       /* the penalties are divided by the weight of the batch */
    double clip_norm, clip_value; /* infinite: no clipping */
    ptrdiff_t accumulate;
    double average_decay; /* of the average of the parameters, where that is there */
    int more;             /* whether another run goes on with what is pending at the end of this one's data */
    int mean_by_rows;     /* in the sums a batch counts by its rows instead of its weight, if it has any */

    /* Passes without training. */
    int averaged; /* by the average of the parameters */
    int layers;   /* of prediction: how many to go through, or 0: all */

    /* What is wanted besides the sums: of training the outputs before each update; of evaluation the outputs,
     * and of one without weights the losses of the rows; or NULL. In the order of the pass. */
    void *outputs;      /* (rows, last layer) */
    double *row_losses; /* (rows,) */

    ptrdiff_t next;    /* rows done */
    ptrdiff_t updates; /* made in this run */
    ptrdiff_t pending; /* mini-batches whose gradients are stored and not spent yet, and their weight */
    double pending_weight;
    ptrdiff_t bad_row;   /* with BPK_BAD_ROW: its number in x and y */
    double loss_sum;     /* of weight * loss, each before its update */
    double accuracy_sum; /* of weight * accuracy, for the two cross-entropies */
    double weight_sum;
    double total_weight; /* of all rows, for their gradients */
} bpk_run;

/* Whether the gradients of such a run are stored before they are spent. */
int bpk_stores_gradients(const bpk_run *run);

/* At most `steps` steps of training. A batch of zero weight is passed over. */
bpk_status bpk_train(bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps);

/* At most `steps` batches of loss and accuracy, without penalties and without a change. */
bpk_status bpk_evaluate(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps);

/* What at most `steps` batches add to the gradients of the mean loss over all rows of run->data, without
 * penalties and without dropout: to those that the workspace stores. */
bpk_status bpk_gradients(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps);

/* Layer l's stored gradients: dw (out, in) and db (out). */
void bpk_workspace_get_layer(const bpk_net *net, const bpk_workspace *workspace, int l, void *dw, void *db);

/* What one workspace stores goes to another. */
void bpk_workspace_take_gradients(const bpk_net *net, bpk_workspace *to, const bpk_workspace *from);

/* At most `steps` batches of outputs, after the activation: out (rows, the last layer gone through). */
bpk_status bpk_forward(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps,
                       void *out);

/* A step by hand, over all rows of run->data as one batch. Forward as in training, with dropout; then back
 * from grad (rows, last layer), the derivative of the loss by the outputs, to the stored gradients, to which
 * it adds, and to dx (rows, first layer) where that is wanted; then an update that spends `scale` times what
 * is stored. */
bpk_status bpk_tape_forward(bpk_net *net, bpk_workspace *workspace, bpk_run *run, void *out);
void bpk_tape_backward(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, const void *grad,
                       void *dx);
void bpk_tape_update(bpk_net *net, bpk_workspace *workspace, bpk_run *run, double scale);

#endif
