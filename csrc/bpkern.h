/* bpkern: backpropagation kernels for multilayer perceptrons. The public C API.
 *
 * Matrices are row-major with a leading dimension: element (i, j) of x is x[i * ldx + j], and rows may lie
 * farther apart than the matrix is wide. `real` below is float or double, the dtype of the kernel table; the
 * pointers are void so that one trainer serves both. Sizes are in elements, never in bytes.
 *
 * The formulas, for layer l with weights W_l of shape (out, in), a mini-batch of n rows, and loss J:
 *
 *     z_l = a_{l-1} W_l' + b_l            a_l = s_l(z_l)                       (n, out)
 *     d_L = dJ/da_L * s_L'(z_L)           d_l = (d_{l+1} W_{l+1}) * s_l'(z_l)  (n, out)
 *     W_l <- W_l - lr d_l' a_{l-1}        b_l <- b_l - lr (column sums of d_l)
 *
 * A ' after a matrix transposes it, and * between matrices is elementwise. J is a mean over the mini-batch,
 * so the deltas d already carry its 1/n. Most derivatives s' are computed from the activation a:
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
 * The others are not monotonic: two values of z give the same a, so s' is computed from z. P is the
 * cumulative normal distribution and p its density:
 *
 *     gelu        z P(z)                         P(z) + z p(z)
 *     gelu_tanh   z g, g = sigmoid(2 u(z))       g + z g (1 - g) 2 u'(z),  u = sqrt(2/pi) (z + 0.044715 z^3)
 *     silu        z g, g = sigmoid(z)            g + z g (1 - g)
 *
 * No function prints, exits or keeps a global except the selected ISA. Every function restores the
 * floating-point control word that it found.
 *
 * Defined in: names.c; kernels/dispatch.c (bpk_isa_...); trainer/plain.c (the kernels on plain matrices);
 * trainer/net.c, workspace.c, optimizer.c, parameters.c, plan.c, train.c and tape.c, each named below.
 */
#ifndef BPKERN_H
#define BPKERN_H

#include <stddef.h>
#include <stdint.h>

typedef enum { BPK_F32, BPK_F64, BPK_N_DTYPES } bpk_dtype;

/* The lists of names, X(ENUMERATOR, name) each: activations, losses and optimisers. Enumerators, tables,
 * switches and the names in Python are all generated from them. */
#define BPK_ENUMERATOR(NAME, name) BPK_##NAME,

/* Activations whose derivative is computed from a, and those whose derivative is computed from z. */
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

typedef enum {
    BPK_ACTIVATIONS(BPK_ENUMERATOR) BPK_N_ACTIVATIONS,
    BPK_SLOPE = BPK_N_ACTIVATIONS /* inside the library, for derivatives only: the operand is s' itself */
} bpk_activation;

/* names.c */
const char *bpk_activation_name(int activation); /* NULL past the last */
int bpk_needs_z(bpk_activation activation);      /* whether the derivative is computed from z */

/* The loss of one row of m outputs a with targets t, and its derivative:
 *
 *     mse                   (1/m) sum (a - t)^2                  (2/m) (a - t)
 *     squared_error         1/2 sum (a - t)^2                    a - t
 *     cross_entropy         -sum t log softmax(a)                softmax(a) - t
 *     binary_cross_entropy  -(1/m) sum t log p + (1-t) log(1-p)  (1/m) (p - t),  p = sigmoid(a)
 *     mae                   (1/m) sum |d|                        (1/m) sign(d),  d = a - t, sign(0) = 0
 *     huber                 (1/m) sum c (d - c/2)                (1/m) c,  c = d clipped to +-delta
 *     quantile              (1/m) sum d (d > 0 ? 1-q : -q)       (1/m) (d > 0 ? 1-q : -q), 0 where d = 0
 *     poisson               (1/m) sum e^a - t a                  (1/m) (e^a - t)
 *
 * delta > 0 of huber and 0 < q < 1 of quantile are parameters, one per output. c (d - c/2) is d^2/2 for |d|
 * up to delta, and delta (|d| - delta/2) beyond. With label smoothing e, the targets of cross_entropy are
 * (1 - e) t + e/m.
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

const char *bpk_loss_name(int loss); /* NULL past the last; names.c */

/* A loss and its settings. Libraries define losses with different constant factors: the reported loss is
 * multiplied by `loss_factor`, its derivative by `slope_factor`; 1 and 1 give the formulas above. `cap`
 * limits what one term -log softmax(a) of a label, or -t log p - (1-t) log(1-p) of an output, adds to the
 * value; the derivative is not limited. INFINITY is no cap. */
typedef struct {
    bpk_loss loss;
    const double *parameters; /* (last layer,) of huber and quantile, finite as reals; NULL for the others */
    double smoothing;         /* label smoothing of cross_entropy, from 0 to 1; 0 for the others */
    double loss_factor, slope_factor, cap;
    int deviance; /* poisson: t log t - t (0 for t = 0) is added to the value, which is then half the deviance
                   */
} bpk_loss_settings;

/* Optimisers as PyTorch defines them. At update number t, counted from 1, a weight or bias w with gradient g
 * becomes w - lr step; g is first replaced by g + weight_decay w, and m, v and u start at zero:
 *
 *     sgd      m <- momentum m + g;  step = m, or g + momentum m with nesterov, or g if momentum is 0
 *     rmsprop  v <- square_decay v + (1 - square_decay) g^2;  centered: u <- square_decay u
 *              + (1 - square_decay) g, and v - u^2 for v below;  d = g / (sqrt v + eps)
 *              m <- momentum m + d;  step = m, or d if momentum is 0
 *     adagrad  v <- v + g^2;  step = g / (sqrt v + eps) / (1 + (t - 1) lr_decay)
 *     adam     m <- momentum m + (1 - momentum) g;  v <- square_decay v + (1 - square_decay) g^2
 *              amsgrad: u <- max(u, v), and u for v below
 *              step = m / (1 - momentum^t) / (sqrt(v / (1 - square_decay^t)) + eps)
 *              eps_hat: step = m / (1 - momentum^t) sqrt(1 - square_decay^t) / (sqrt v + eps)
 *     adamw    adam with g as it is, and w becomes (1 - lr weight_decay) w - lr step
 */
#define BPK_OPTIMIZERS(X) \
    X(SGD, sgd)           \
    X(RMSPROP, rmsprop)   \
    X(ADAGRAD, adagrad)   \
    X(ADAM, adam)         \
    X(ADAMW, adamw)

typedef enum { BPK_OPTIMIZERS(BPK_ENUMERATOR) BPK_N_RULES } bpk_rule;

const char *bpk_rule_name(int rule); /* NULL past the last; names.c */

typedef struct {
    bpk_rule rule;
    double lr, weight_decay;
    double momentum, square_decay, eps, lr_decay;
    int nesterov, centered, amsgrad, eps_hat;
} bpk_optimizer;

typedef enum {
    BPK_OK,
    BPK_NO_MEMORY, /* an allocation failed; nothing was changed */
    BPK_BAD_ROW,   /* NaN, infinity, overflow or an index out of range in a row of x or y: results.bad_row */
    BPK_DIVERGED,  /* the loss of a mini-batch is not finite; its update was not made */
    BPK_OTHER_KERNELS /* networks of different kernel tables, whose layouts in memory differ */
} bpk_status;

/* Instruction sets, compiled in, slowest first; the fastest that runs here is selected until bpk_isa_select
 * (kernels/dispatch.c). */
typedef struct bpk_kernels bpk_kernels; /* the kernels of one ISA and dtype */

int bpk_isa_count(void);
const char *bpk_isa_name(int isa); /* NULL past the last */
int bpk_isa_vector_bytes(int isa); /* of a register, or of scalar's layout */
int bpk_isa_runs(int isa);         /* whether this processor and operating system support it */
int bpk_isa_selected(void);
void bpk_isa_select(int isa); /* isa must run */
const bpk_kernels *bpk_isa_kernels(int isa, bpk_dtype dtype);

/* The kernels on plain row-major matrices (trainer/plain.c). */

/* a (n, out) = s(x (n, in) w (out, in)' + b (out)) */
bpk_status bpk_linear_forward(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                              const void *x, ptrdiff_t ldx, const void *w, ptrdiff_t ldw, const void *b,
                              bpk_activation activation, void *a, ptrdiff_t lda);

/* delta (n, in) = (delta_next (n, out) w_next (out, in)) * s'; a (n, in) holds z for activations whose
 * derivative is computed from z */
void bpk_delta_backward(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                        const void *delta_next, ptrdiff_t ldn, const void *w_next, ptrdiff_t ldw,
                        const void *a, ptrdiff_t lda, bpk_activation activation, void *delta, ptrdiff_t ldd);

/* a (m, n) <- s(a), slope (m, n) <- s'(a); a holds z before */
void bpk_activate_with_slope(const bpk_kernels *kernels, bpk_activation activation, ptrdiff_t m, ptrdiff_t n,
                             void *a, ptrdiff_t lda, void *slope, ptrdiff_t lds);

/* w (out, in) and b (out) by SGD along delta (n, out)' x (n, in) and the column sums of delta. Only lr,
 * weight_decay, momentum and nesterov of the optimiser are read. vw (out, in) and vb (out) hold the
 * velocities m; both may be NULL if momentum is 0. */
void bpk_sgd_update(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, void *w,
                    ptrdiff_t ldw, void *b, const void *delta, ptrdiff_t ldd, const void *x, ptrdiff_t ldx,
                    void *vw, ptrdiff_t ldvw, void *vb, const bpk_optimizer *sgd);

/* The caller's rows: any numeric type, any strides, dense or sparse. */
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

/* A matrix (n, columns). A sparse one has indices: entry k is data[k] in column indices[k], and row i has the
 * entries indptr[i] up to indptr[i + 1]. Entries with equal indices add up. A row whose indptr or indices are
 * out of range is a bad row, and nothing out of range is read. */
typedef struct {
    const char *data;
    bpk_type type;
    int swapped; /* the bytes are in the order opposite to this machine's */
    ptrdiff_t columns;
    ptrdiff_t row_stride, column_stride; /* in bytes, of either sign; sparse: column_stride between entries */

    const void *indices, *indptr; /* (entries,) and (n + 1,); NULL: dense */
    int wide_indices;             /* indices and indptr are int64, otherwise int32 */
    ptrdiff_t entries;
} bpk_source;

typedef struct {
    bpk_source x;          /* (n, first layer) */
    const int64_t *labels; /* (n,) classes; NULL: the targets are y */
    bpk_source y;          /* (n, last layer) */
    const double *weights; /* (n,) >= 0; NULL: all 1 */
    const int64_t *index;  /* (rows,) which rows of x in which order; NULL: 0, 1, 2, ... */
    ptrdiff_t rows;        /* number of rows to go through */
} bpk_data;

/* A network: its parameters and their companions. Readers write nothing in it. Defined in trainer/net.h; its
 * functions in trainer/net.c. */
typedef struct bpk_net bpk_net;

bpk_status bpk_net_create(const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes, /* (layers + 1,) */
                          const bpk_activation *activations,                              /* (layers,) */
                          const bpk_loss_settings *loss, bpk_net **net);
void bpk_net_free(bpk_net *net);

/* Stores hold one number per weight and bias: the parameters themselves, the optimiser's states m, v and u,
 * and the average of the parameters. */
typedef enum { BPK_PARAMETERS, BPK_M, BPK_V, BPK_U, BPK_AVERAGE, BPK_N_STORES } bpk_store;

/* Layer l's weights (out, in) and bias (out) in an existing store, from and to plain contiguous arrays. */
void bpk_net_set_layer(bpk_net *net, bpk_store store, int l, const void *w, const void *b);
void bpk_net_get_layer(const bpk_net *net, bpk_store store, int l, void *w, void *b);

/* The parameters always exist. Any other store is zero when made; making an existing one does nothing. */
bpk_status bpk_net_make(bpk_net *net, bpk_store store);
void bpk_net_discard(bpk_net *net, bpk_store store);
int bpk_net_has(const bpk_net *net, bpk_store store);
void bpk_net_fill(bpk_net *net, bpk_store store, double value);
void bpk_net_start_average(bpk_net *net); /* average <- parameters */

/* parameters <- (1 - part) parameters + part * a store of another network with the same layers;
 * BPK_OTHER_KERNELS if the kernel tables differ. */
bpk_status bpk_net_blend(bpk_net *net, const bpk_net *other, bpk_store store, double part);

/* Whether an optimiser uses a store, which must then exist before training (trainer/optimizer.c). */
int bpk_uses(const bpk_optimizer *optimizer, bpk_store store);

/* Counts over the life of a network: updates, and mini-batches trained on. `moves` counts the updates since
 * the optimiser's states were zero: t - 1 in the formulas above. */
typedef struct {
    int64_t updates, batches, moves;
} bpk_counts;
bpk_counts bpk_net_counts(const bpk_net *net);
void bpk_net_set_counts(bpk_net *net, bpk_counts counts);

/* Dropout in training: the probability for the activations of hidden layer l, from 0 to below 1, and the key
 * of the generator (kernels/philox.h). */
void bpk_net_set_dropout(bpk_net *net, int l, double probability);
void bpk_net_set_dropout_key(bpk_net *net, uint64_t key);

/* A copy of all stores and counts. Restoring goes back to the last copy and does nothing without one: stores
 * made since are discarded, and stores discarded since stay away. */
bpk_status bpk_net_snapshot(bpk_net *net);
void bpk_net_restore(bpk_net *net);
int bpk_net_finite(const bpk_net *net); /* whether all numbers in all stores are finite */

/* l2 sum W^2 + l1 sum |W| over the weights, not the biases, of the parameters or of their average. */
double bpk_net_penalty(const bpk_net *net, bpk_store store, double l1, double l2);

/* Scratch memory for mini-batches of up to `rows` rows and up to `threads` threads, used by one caller at a
 * time. A workspace for gradients also stores them, and serves training and forward passes; one for training
 * also serves forward passes (trainer/workspace.c). */
typedef struct bpk_workspace bpk_workspace;

enum { BPK_MAX_THREADS = 1024 };

typedef enum { BPK_FOR_FORWARD, BPK_FOR_TRAINING, BPK_FOR_GRADIENTS } bpk_purpose;

bpk_status bpk_workspace_create(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose, int threads,
                                bpk_workspace **workspace);
void bpk_workspace_free(bpk_workspace *workspace);

/* An estimate of the work of one step over `rows` rows: floating-point operations plus bytes of weights
 * moved; and the number of threads, at most `limit`, that finish `steps` such steps soonest (trainer/plan.c).
 */
double bpk_step_work(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose);
int bpk_threads_worth(double step_work, double steps, int limit);

/* What training does with the gradients of mini-batches. One update takes the mean gradient of `accumulate`
 * mini-batches, or of those left at the end of the data; adds the gradient of the penalties; scales the
 * result to a norm of at most clip_norm; clips each element to +-clip_value; and moves the parameters. */
typedef struct {
    bpk_optimizer optimizer;
    double l1, l2;                /* penalties l1 sum |W| + l2 sum W^2 */
    int penalty_per_weight;       /* the penalties are divided by the weight of the batch */
    double clip_norm, clip_value; /* INFINITY: no clipping */
    ptrdiff_t accumulate;
    double
        average_decay; /* average <- average_decay average + (1 - average_decay) parameters, if it exists */
} bpk_update_settings;

/* Whether these settings need whole gradients in memory, and so a workspace for gradients
 * (trainer/parameters.c). */
int bpk_stores_gradients(const bpk_update_settings *update);

/* Gradients that are stored and not yet spent: the number of mini-batches and their weight. */
typedef struct {
    ptrdiff_t batches;
    double weight;
} bpk_pending;

/* Counts one more mini-batch of that weight. Once there are `accumulate` of them, or at the end, returns the
 * weight of all pending ones, which an update by 1 / weight times the stored gradients then spends; none are
 * pending afterwards. Returns 0 before, and if no pending one has a weight (trainer/parameters.c). */
double bpk_pending_add(bpk_pending *pending, double weight, ptrdiff_t accumulate, int at_end);

/* One pass over the data: what is asked for, how far it is, and what came out. A pass may be made in several
 * calls, each continuing at the cursor. */
typedef struct {
    bpk_data data;
    ptrdiff_t batch; /* rows per step, at most those of the workspace; the last step may have fewer */
    int threads;     /* at most those of the workspace; the results do not depend on it */
    double seconds; /* a call of several threads ends after the step in which this time runs out; 0: no limit.
                       On a loaded machine no number of steps predicts a call's time. */

    /* Training. */
    bpk_update_settings update;
    const double *rates; /* learning rates, one per update of this pass; NULL: the optimiser's lr */
    int more;            /* another pass continues with the gradients pending at the end of this one's data */
    int mean_by_rows; /* results count a batch by its rows, not by its weight; batches of weight 0 not at all
                       */

    /* Evaluation and prediction. */
    int averaged; /* use the average of the parameters */
    int layers;   /* of prediction: number of layers to go through; 0: all */

    /* Wanted besides the results, or NULL, in the order of the pass. */
    void *outputs;      /* (rows, last layer) in training before each update, and in evaluation */
    double *row_losses; /* (rows,) in evaluation without weights */
} bpk_request;

typedef struct {
    ptrdiff_t next;    /* rows done */
    ptrdiff_t updates; /* made in this pass */
    bpk_pending pending;
    double total_weight; /* of all rows; set by the first call of bpk_gradients */
} bpk_cursor;

typedef struct {
    ptrdiff_t bad_row; /* with BPK_BAD_ROW: its number in x and y */
    double loss_sum;   /* sum of weight * loss, each loss before its update, penalties included in training */
    double accuracy_sum; /* sum of weight * accuracy, for the two cross-entropies */
    double weight_sum;
} bpk_results;

typedef struct {
    bpk_request request;
    bpk_cursor cursor;
    bpk_results results;
} bpk_run;

/* The passes, each up to `steps` steps (trainer/train.c). */

/* Training. A batch of weight 0 makes no update. */
bpk_status bpk_train(bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps);

/* Loss and accuracy, without penalties; the network is not changed. */
bpk_status bpk_evaluate(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps);

/* Adds the batches' part of the gradient of the mean loss over all rows to the stored gradients, without
 * penalties and without dropout. */
bpk_status bpk_gradients(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps);

/* Outputs after the activation: out (rows, width of the last layer gone through). */
bpk_status bpk_forward(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps,
                       void *out);

/* Layer l's stored gradients, dw (out, in) and db (out); and all of them to another workspace
 * (trainer/workspace.c). */
void bpk_workspace_get_layer(const bpk_net *net, const bpk_workspace *workspace, int l, void *dw, void *db);
void bpk_workspace_copy_gradients(const bpk_net *net, bpk_workspace *to, const bpk_workspace *from);

/* A step by hand over all rows of the request as one mini-batch, with stored gradients (trainer/tape.c).
 * Forward as in training, with dropout: out (rows, last layer). Backward from grad (rows, last layer), the
 * derivative of the loss by the outputs: adds to the stored gradients, and writes dx (rows, first layer)
 * unless it is NULL. Update by `scale` times the stored gradients, which are zero afterwards. */
bpk_status bpk_tape_forward(bpk_net *net, bpk_workspace *workspace, bpk_run *run, void *out);
void bpk_tape_backward(const bpk_net *net, bpk_workspace *workspace, const bpk_run *run, const void *grad,
                       void *dx);
void bpk_tape_update(bpk_net *net, bpk_workspace *workspace, const bpk_run *run, double scale);

#endif
