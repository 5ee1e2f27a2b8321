/* bpkern: the C library as the extension calls it. The public C API is src/bpkern/include/bpkern.h.
 *
 * Matrices are row-major with a leading dimension: element (i, j) of x is x[i * ldx + j], and rows may lie
 * farther apart than the matrix is wide. `real` below is float or double, the dtype of the kernel table; the
 * pointers are void so that one trainer serves both. Sizes are in elements, never in bytes.
 *
 * The formulas, for layers l = 1 ... L with weights W_l (out, in) and bias b_l (out), inputs a_0 = x, a
 * mini-batch of n rows, loss J and learning rate lr:
 *
 *     z_l = a_{l-1} W_l' + b_l            a_l = s_l(z_l)                       (n, out)
 *     d_L = dJ/da_L * s_L'(z_L)           d_l = (d_{l+1} W_{l+1}) * s_l'(z_l)  (n, out)
 *     W_l <- W_l - lr d_l' a_{l-1}        b_l <- b_l - lr (column sums of d_l)
 *
 * W' is the transpose of a matrix, s' the derivative of an activation function, and * between matrices is
 * elementwise. J is a mean over the mini-batch, so the deltas d already contain its factor 1/n. The functions
 * below count layers from 0: their layer l has the weights W_{l+1}. For most activation functions s, the
 * derivative s'(z) is computed from the activation a = s(z):
 *
 *     s           a                              s'
 *     identity    z                              1
 *     relu        max(z, 0)                      a > 0
 *     leaky_relu  z < 0 ? 0.01 z : z             a > 0 ? 1 : 0.01
 *     sigmoid     1 / (1 + e^-z)                 a (1 - a)
 *     tanh        tanh z                         1 - a^2
 *     elu         z < 0 ? e^z - 1 : z            a > 0 ? 1 : a + 1
 *     selu        c (z < 0 ? A (e^z - 1) : z)    a > 0 ? c : a + c A,  A = 1.67326..., c = 1.05070...
 *     softplus    log(1 + e^z)                   1 - e^-a
 *
 * The other activation functions are not monotonic: two values of z give the same a, so s' is computed from
 * z. P is the cumulative distribution function of the standard normal distribution, and p its density:
 *
 *     gelu        z P(z)                         P(z) + z p(z)
 *     gelu_tanh   z g, g = sigmoid(2 u(z))       g + z g (1 - g) 2 u'(z),  u = sqrt(2/pi) (z + 0.044715 z^3)
 *     silu        z g, g = sigmoid(z)            g + z g (1 - g)
 *     mish        z g, g = tanh(log(1 + e^z))    g + z (1 - g^2) sigmoid(z)
 *
 * No function prints or exits. The only global settings are the selected ISA and, on POSIX, a handler for
 * forks. After a kernel call, its helper threads may spin for 0.2 ms, waiting for another call. Every
 * function restores the floating-point control word that it found.
 *
 * A sum of K products differs from the exact one by at most K u (sum |a b| + |bias|), to first order, where u
 * is half the distance from 1 to the next number; in the ISA `generic`, which rounds each product as well, by
 * at most (K + 1) u (...). Results and, in `generic`, products that are too small to be normal numbers may
 * count as zero, which adds at most K, or 2 K, of the smallest normal number.
 *
 * Defined in: names.c; kernels/dispatch.c (bpk_isa_...); platform/ (machine.c of each system);
 * trainer/plain.c (the kernels on plain matrices);
 * trainer/net.c, inputs.c, extra.c, groups.c, workspace.c, optimizer.c, parameters.c, plan.c, shards.c,
 * train.c, epochs.c and tape.c, each named below.
 */
#ifndef BPKERN_H
#define BPKERN_H

#include <stddef.h>
#include <stdint.h>

typedef enum { BPK_F32, BPK_F64, BPK_N_DTYPES } bpk_dtype;

/* The lists of activations, losses and optimisers. Each entry is X(ENUMERATOR, name). The enumerators,
 * tables, switches and the names in Python are all generated from these lists. */
#define BPK_ENUMERATOR(NAME, name) BPK_##NAME,

/* Activations whose derivative is computed from a, and those whose derivative is computed from z. */
#define BPK_ACTIVATIONS_OF_A(X) \
    X(IDENTITY, identity)       \
    X(RELU, relu)               \
    X(LEAKY_RELU, leaky_relu)   \
    X(SIGMOID, sigmoid)         \
    X(TANH, tanh)               \
    X(ELU, elu)                 \
    X(SELU, selu)               \
    X(SOFTPLUS, softplus)
#define BPK_ACTIVATIONS_OF_Z(X) \
    X(GELU, gelu)               \
    X(GELU_TANH, gelu_tanh)     \
    X(SILU, silu)               \
    X(MISH, mish)
#define BPK_ACTIVATIONS(X) BPK_ACTIVATIONS_OF_A(X) BPK_ACTIVATIONS_OF_Z(X)

typedef enum {
    BPK_ACTIVATIONS(BPK_ENUMERATOR) BPK_N_ACTIVATIONS,
    BPK_SLOPE = BPK_N_ACTIVATIONS /* internal, for derivatives only: the operand holds s' itself */
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
 *     log_cosh              (1/m) sum log cosh d                 (1/m) tanh d
 *     hinge                 (1/m) sum max(0, 1 - t a)            (1/m) (t a < 1 ? -t : 0)
 *     squared_hinge         (1/m) sum max(0, 1 - t a)^2          (-2/m) t max(0, 1 - t a)
 *
 * delta > 0 of huber and 0 < q < 1 of quantile are parameters, one per output. c (d - c/2) is d^2/2 for |d|
 * up to delta, and delta (|d| - delta/2) beyond. With label smoothing e, the targets of cross_entropy are
 * (1 - e) t + e/m, and those of binary_cross_entropy (1 - e) t + e/2. The targets of the hinge losses are 1
 * and -1.
 */
#define BPK_LOSSES(X)                             \
    X(MSE, mse)                                   \
    X(SQUARED_ERROR, squared_error)               \
    X(CROSS_ENTROPY, cross_entropy)               \
    X(BINARY_CROSS_ENTROPY, binary_cross_entropy) \
    X(MAE, mae)                                   \
    X(HUBER, huber)                               \
    X(QUANTILE, quantile)                         \
    X(POISSON, poisson)                           \
    X(LOG_COSH, log_cosh)                         \
    X(HINGE, hinge)                               \
    X(SQUARED_HINGE, squared_hinge)

typedef enum { BPK_LOSSES(BPK_ENUMERATOR) BPK_N_LOSSES } bpk_loss;

const char *bpk_loss_name(int loss); /* NULL past the last; names.c */

/* A loss and its settings. Libraries define losses with different constant factors: the reported loss is
 * multiplied by `loss_factor`, its derivative by `slope_factor`; 1 and 1 give the formulas above. `cap` is an
 * upper limit of single terms of the loss, and INFINITY means no limit: for cross_entropy with labels, of a
 * row's loss; for binary_cross_entropy, of the term -t log p - (1-t) log(1-p) of each output. Other losses
 * ignore it, and no derivative is limited. */
typedef struct {
    bpk_loss loss;
    const double *parameters; /* (outputs,) of huber and quantile, finite as reals; otherwise NULL */
    double smoothing;         /* label smoothing of the two cross-entropies, from 0 to 1; otherwise 0 */
    double loss_factor, slope_factor, cap;
    /* Of poisson: adds (1/m) sum t log t - t (0 for t = 0), so that the loss is half the mean deviance. */
    int deviance;
} bpk_loss_settings;

/* Optimisers as PyTorch defines them. At update number t, counted from 1, a weight or bias w with gradient g
 * becomes w - lr step. First, g is replaced by g + weight_decay w. The states m, v and u start at zero:
 *
 *     sgd      m <- momentum m + g;  step = m, or g + momentum m with nesterov, or g if momentum is 0
 *              dampening: (1 - dampening) g in place of g for m, except in update 1
 *     rmsprop  v <- square_decay v + (1 - square_decay) g^2;  centered: u <- square_decay u
 *              + (1 - square_decay) g, and v - u^2 for v below
 *              r = g / (sqrt v + eps);  m <- momentum m + r;  step = m, or r if momentum is 0
 *     adagrad  v <- v + g^2;  step = g / (sqrt v + eps) / (1 + (t - 1) lr_decay)
 *     adam     m <- momentum m + (1 - momentum) g;  v <- square_decay v + (1 - square_decay) g^2
 *              amsgrad: u <- max(u, v), and u for v below
 *              step = m / (1 - momentum^t) / (sqrt(v / (1 - square_decay^t)) + eps)
 *              eps_hat: step = m / (1 - momentum^t) sqrt(1 - square_decay^t) / (sqrt v + eps)
 *     adamw    adam without weight decay in g; w becomes (1 - lr weight_decay) w - lr step
 *     nadam    m and v of adam;  p_t = momentum (1 - 0.96^(t momentum_decay) / 2);  P_t = p_1 p_2 ... p_t
 *              step = (g (1 - p_t) / (1 - P_t) + m p_{t+1} / (1 - P_{t+1}))
 *                     / (sqrt(v / (1 - square_decay^t)) + eps)
 *              decoupled: weight decay as in adamw
 *
 * With `maximize`, the gradient of the loss has the opposite sign; the penalties and weight decay do not.
 */
#define BPK_OPTIMIZERS(X) \
    X(SGD, sgd)           \
    X(RMSPROP, rmsprop)   \
    X(ADAGRAD, adagrad)   \
    X(ADAM, adam)         \
    X(ADAMW, adamw)       \
    X(NADAM, nadam)

typedef enum { BPK_OPTIMIZERS(BPK_ENUMERATOR) BPK_N_RULES } bpk_rule;

const char *bpk_rule_name(int rule); /* NULL past the last; names.c */

typedef struct {
    bpk_rule rule;
    double lr, weight_decay;
    double momentum, square_decay, eps, lr_decay, dampening, momentum_decay;
    int nesterov, centered, amsgrad, eps_hat, decoupled, maximize;
} bpk_optimizer;

typedef enum {
    BPK_OK,
    BPK_NO_MEMORY, /* an allocation failed; no number was changed */
    BPK_BAD_ROW,   /* NaN, infinity, overflow, or an index or label out of range: results.bad_row */
    BPK_DIVERGED,  /* the loss of a mini-batch is not finite; its update was not made */
    BPK_STOPPED,   /* request.stop has broken off a step; except in bpk_gradients, it has changed nothing */
    BPK_OTHER_KERNELS /* the networks use different kernel tables, so their layouts in memory differ */
} bpk_status;

/* The compiled instruction sets, slowest first. Until bpk_isa_select is called, the fastest one that runs
 * here is selected (kernels/dispatch.c). */
typedef struct bpk_kernels bpk_kernels; /* the kernels of one ISA and dtype */

int bpk_isa_count(void);
const char *bpk_isa_name(int isa); /* NULL past the last */
int bpk_isa_vector_bytes(int isa); /* size of a vector register; for scalar, the grain of padding */
int bpk_isa_runs(int isa);         /* whether this processor and operating system support it */
int bpk_isa_selected(void);
void bpk_isa_select(int isa); /* isa must run */
const bpk_kernels *bpk_isa_kernels(int isa, bpk_dtype dtype);

/* The machine, as the operating system describes it: the number of processors that this process may run on
 * (a container's quota is not considered); and the bytes of the data or unified cache of level 1, 2 or 3 of
 * one core, 0 if they are unknown. */
int bpk_processors(void);
ptrdiff_t bpk_cache(int level);

/* The three products on row-major matrices, each by up to `threads` threads (trainer/plain_products.c,
 * plain_update.c). They
 * return BPK_OK; or BPK_NO_MEMORY, and have written nothing. */

/* a (n, out) = s(x (n, in) w (out, in)' + b (out)) */
bpk_status bpk_linear_forward(const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in,
                              ptrdiff_t out, const void *x, ptrdiff_t ldx, const void *w, ptrdiff_t ldw,
                              const void *b, bpk_activation activation, void *a, ptrdiff_t lda);

/* delta (n, in) = (delta_next (n, out) w_next (out, in)) * s'. a (n, in) holds activations; or z, if the
 * derivative is computed from z. */
bpk_status bpk_delta_backward(const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in,
                              ptrdiff_t out, const void *delta_next, ptrdiff_t ldn, const void *w_next,
                              ptrdiff_t ldw, const void *a, ptrdiff_t lda, bpk_activation activation,
                              void *delta, ptrdiff_t ldd);

/* One update by SGD: of w (out, in) with the gradient delta (n, out)' x (n, in), and of b (out) with the
 * column sums of delta. Only lr, weight_decay, momentum and nesterov of the optimiser are read. vw (out, in)
 * and vb (out) hold the velocities m; both may be NULL if momentum is 0. */
bpk_status bpk_sgd_update(const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                          void *w, ptrdiff_t ldw, void *b, const void *delta, ptrdiff_t ldd, const void *x,
                          ptrdiff_t ldx, void *vw, ptrdiff_t ldvw, void *vb, const bpk_optimizer *sgd);

/* Other kernels on plain arrays (trainer/plain.c). */

/* z (m, n) is in a: slope (m, n) <- s'(z), then a (m, n) <- s(z) */
void bpk_activate_with_slope(const bpk_kernels *kernels, bpk_activation activation, ptrdiff_t m, ptrdiff_t n,
                             void *a, ptrdiff_t lda, void *slope, ptrdiff_t lds);

/* p (m, n) = the softmax of each row of a (m, n), which are the probabilities of the outputs of
 * cross_entropy; or the sigmoid of each element, for binary_cross_entropy. a and p are contiguous, and do not
 * overlap. Returns BPK_OK, or BPK_NO_MEMORY. */
bpk_status bpk_probabilities(const bpk_kernels *kernels, bpk_loss loss, ptrdiff_t m, ptrdiff_t n,
                             const void *a, void *p);

/* Whether all of x (n) are finite. */
int bpk_all_finite(const bpk_kernels *kernels, ptrdiff_t n, const void *x);

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

/* A matrix (n, columns). In a sparse matrix, entry k has the value data[k] in column indices[k], and row i
 * has the entries indptr[i] up to indptr[i + 1], exclusive. Entries of a row with equal indices add up. A row
 * whose indptr or indices are out of range is a bad row, and nothing out of range is read. */
typedef struct {
    const char *data;
    bpk_type type;
    int swapped; /* the bytes are in the order opposite to this machine's */
    ptrdiff_t columns;
    ptrdiff_t row_stride;    /* in bytes, of either sign; dense only */
    ptrdiff_t column_stride; /* in bytes, of either sign; sparse: between entries */

    const void *indices, *indptr; /* (entries,) and (n + 1,); both NULL in a dense matrix */
    int wide_indices;             /* indices and indptr are int64, otherwise int32 */
    ptrdiff_t entries;
} bpk_source;

/* The rows of a pass. `inputs` is the number of columns of x, `outputs` the width of the last layer. A row
 * whose label or number in `index` is out of range is a bad row, and nothing out of range is read, even if
 * the arrays change during the call. */
typedef struct {
    bpk_source x;          /* (n, inputs) */
    const int64_t *labels; /* (n,) classes from 0 to outputs - 1, of cross_entropy; NULL: the targets are y */
    bpk_source y;          /* (n, outputs); its data is NULL if not used */
    const double *weights; /* (n,) sample weights, finite and >= 0; NULL: all 1 */
    const int64_t *index;  /* (rows,) rows of x, labels, y and weights; NULL: 0, 1, 2, ... */
    ptrdiff_t rows;        /* number of rows of the pass */
    ptrdiff_t source_rows; /* n */
} bpk_data;

/* A network: its parameters, the optimiser's states and the average of the parameters. Functions that take it
 * as const do not write to it. Defined in trainer/net.h; its functions in trainer/net.c. */
typedef struct bpk_net bpk_net;

bpk_status bpk_net_create(const bpk_kernels *kernels, int layers,
                          const ptrdiff_t *sizes,            /* (layers + 1,), inputs first */
                          const bpk_activation *activations, /* (layers,) */
                          const bpk_loss_settings *loss, bpk_net **net);
void bpk_net_free(bpk_net *net);

/* A network in float32 whose weights are stored in bfloat16 (trainer/compressed.h). bpk_net_set_layer rounds
 * them, bpk_net_get_layer returns the rounded numbers. It serves bpk_forward and bpk_evaluate, not
 * `averaged`, bpk_net_penalty and bpk_step_work; all other functions that read or change parameters require a
 * network of bpk_net_create. */
bpk_status bpk_net_create_compressed(const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes,
                                     const bpk_activation *activations, const bpk_loss_settings *loss,
                                     bpk_net **net);

/* What stands in front of layer 0: it makes the inputs of layer 0 from the columns of x. Embeddings replace
 * columns, each at its place, and `scale` multiplies the results:
 *
 *     scale     a_0 = x s                   s (inputs of layer 0)
 *     lookup    row number x of a table     table (categories, dim)
 *     periodic  cos(2 pi x w + b) w2 + b2, and then x itself
 *               w (hidden), b (hidden), w2 (hidden, dim - 1), b2 (dim - 1), for each column
 *
 * A row with a code x that is not a whole number from 0 to categories - 1 is a bad row. The parameters stand
 * in each store in the order of the inputs; those of `periodic` are w of all columns, then b, w2 and b2. In
 * an update, the factors multiply the learning rate and the weight decay. */
typedef enum { BPK_SCALE, BPK_LOOKUP, BPK_PERIODIC } bpk_input_kind;

typedef struct {
    bpk_input_kind kind;
    const ptrdiff_t *columns; /* (count,) of x; of lookup 1; of scale 0 */
    ptrdiff_t count;
    ptrdiff_t categories;  /* of lookup */
    ptrdiff_t hidden, dim; /* outputs of a column: dim, at least 2 of periodic; hidden of periodic */
    double lr_factor, decay_factor;
} bpk_input;

/* A network with `count` >= 1 of them; `scale` is the last. No column is named twice. sizes[0] is the number
 * of columns of x, and bpk_net_inputs_width the number of inputs of layer 0. Its mini-batches are trained by
 * the general path alone. (trainer/net.c; below: trainer/inputs.c) */
bpk_status bpk_net_create_with_inputs(const bpk_kernels *kernels, int count, const bpk_input *inputs,
                                      int layers, const ptrdiff_t *sizes, const bpk_activation *activations,
                                      const bpk_loss_settings *loss, bpk_net **net);
ptrdiff_t bpk_net_inputs_width(const bpk_net *net);

/* The bytes of each weight of layer l. */
size_t bpk_net_weight_size(const bpk_net *net, int l);

/* Stores hold one number per weight and bias: the parameters themselves, the optimiser's states m, v and u,
 * and the average of the parameters. */
typedef enum { BPK_PARAMETERS, BPK_M, BPK_V, BPK_U, BPK_AVERAGE, BPK_N_STORES } bpk_store;

/* Copies layer l's weights (out, in) and bias (out) from contiguous arrays to an existing store, or back. See
 * bpk_net_replace below for arrays that another thread or process may change meanwhile. */
void bpk_net_set_layer(bpk_net *net, bpk_store store, int l, const void *w, const void *b);
void bpk_net_get_layer(const bpk_net *net, bpk_store store, int l, void *w, void *b);

/* To set a store from arrays that may hold NaN or infinity, or change while they are read: a new buffer (NULL
 * if memory runs out), to be freed with bpk_free; each layer is copied into it; then the buffer replaces an
 * existing store, unless it holds a number that is not finite. Returns whether it has. */
void *bpk_net_buffer(const bpk_net *net);
void bpk_net_buffer_layer(const bpk_net *net, void *buffer, int l, const void *w, const void *b);
int bpk_net_replace(bpk_net *net, bpk_store store, const void *buffer);

/* The same for the extra parameters, which are no layer's weights or biases, contiguous: those in front of
 * layer 0, then those of bpk_net_mix, layer by layer (trainer/extra.c). */
ptrdiff_t bpk_net_extra_size(const bpk_net *net);
void bpk_net_set_extra(bpk_net *net, bpk_store store, const void *values);
void bpk_net_get_extra(const bpk_net *net, bpk_store store, void *values);
void bpk_net_buffer_extra(const bpk_net *net, void *buffer, const void *values);

void bpk_free(void *buffer); /* which may be NULL */

/* The parameters always exist. A new store contains zeros; making an existing store does nothing. */
bpk_status bpk_net_make(bpk_net *net, bpk_store store);
void bpk_net_discard(bpk_net *net, bpk_store store);
int bpk_net_has(const bpk_net *net, bpk_store store);
void bpk_net_fill(bpk_net *net, bpk_store store, double value);
void bpk_net_start_average(bpk_net *net); /* average <- parameters */

/* parameters <- (1 - part) parameters + part * (the store of `other`, a network with the same layers).
 * Returns BPK_OTHER_KERNELS if the kernel tables differ. */
bpk_status bpk_net_blend(bpk_net *net, const bpk_net *other, bpk_store store, double part);

/* Whether an optimiser uses a store. Such a store must exist before training (trainer/optimizer.c). */
int bpk_uses(const bpk_optimizer *optimizer, bpk_store store);

/* Counts over the life of a network: updates, and mini-batches trained on. `moves` counts the updates since
 * the optimiser's states were last zero: the next update has number t = moves + 1 in the formulas above. */
typedef struct {
    int64_t updates, batches, moves;
} bpk_counts;
bpk_counts bpk_net_counts(const bpk_net *net);
void bpk_net_set_counts(bpk_net *net, bpk_counts counts);

/* Gives layer l, of leaky_relu or elu, a parameter at least 0, finite as a real: p in z < 0 ? p z : z, or in
 * z < 0 ? p (e^z - 1) : z. Workspaces made before must not be used any more. */
void bpk_net_set_activation_parameter(bpk_net *net, int l, double parameter);

/* Replaces the activation s of hidden layer l by z + mix (s(z) - z), with a trained mix (out) for each unit.
 * In an update, the factors multiply the learning rate and the weight decay. To be called once for a layer,
 * before any other store and any workspace is made. The parameters become zeros; after BPK_NO_MEMORY, the net
 * can only be freed. Its mini-batches are trained by the general path alone, and not with shards
 * (trainer/extra.c). */
bpk_status bpk_net_mix(bpk_net *net, int l, double lr_factor, double decay_factor);

/* Dropout in training: the probability that an activation of hidden layer l becomes zero, at least 0 and
 * below 1, and the key of the random numbers (kernels/philox.h). A workspace has no room for a layer's
 * dropout if the probability was 0 when the workspace was made, and then drops nothing: set it before. A net
 * whose probabilities a request gives has any above 0. */
void bpk_net_set_dropout(bpk_net *net, int l, double probability);
void bpk_net_set_input_dropout(bpk_net *net, double probability); /* the same for the inputs */
void bpk_net_set_dropout_key(bpk_net *net, uint64_t key);

/* The parameters of a layer by kind. */
typedef enum { BPK_WEIGHTS, BPK_BIASES, BPK_N_KINDS } bpk_kind;

/* How training moves the parameters of one kind of one layer: by the optimiser's learning rate times `lr`,
 * with its weight decay times `decay`, both at least 0 (trainer/optimizer.c); or not at all, if they are
 * frozen: then no update changes them, their states or their average, and no clipping counts their gradients.
 * {1, 1, 0} at first. Penalties of the loss have no factors, and include frozen weights. */
typedef struct {
    double lr, decay;
    int frozen;
} bpk_group;

void bpk_net_set_group(bpk_net *net, int l, bpk_kind kind, bpk_group group); /* trainer/groups.c */

/* Allocates the memory of a snapshot of the present stores. A snapshot then needs no more. */
bpk_status bpk_net_reserve_snapshot(bpk_net *net);

/* Copies all stores and counts. Restoring goes back to the last copy, and does nothing if there is no copy:
 * stores made since are discarded, and stores discarded since are not made again. */
bpk_status bpk_net_snapshot(bpk_net *net);
void bpk_net_restore(bpk_net *net);
int bpk_net_finite(const bpk_net *net); /* whether all numbers in all stores are finite */

/* l2 sum W^2 + l1 sum |W| over the weights, not the biases, of a store: BPK_PARAMETERS or BPK_AVERAGE. */
double bpk_net_penalty(const bpk_net *net, bpk_store store, double l1, double l2);

/* Scratch memory for mini-batches of up to `rows` rows and up to `threads` threads, used by one caller at a
 * time (trainer/workspace.c). A workspace for training also serves forward passes. A workspace for gradients
 * serves all three purposes, and holds the stored gradients, which are zero at first. */
typedef struct bpk_workspace bpk_workspace;

enum { BPK_MAX_THREADS = 1024 };

typedef enum { BPK_FOR_FORWARD, BPK_FOR_TRAINING, BPK_FOR_GRADIENTS } bpk_purpose;

bpk_status bpk_workspace_create(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose, int threads,
                                bpk_workspace **workspace);
ptrdiff_t bpk_workspace_bytes(const bpk_workspace *workspace); /* of its scratch memory; 0 of NULL */
void bpk_workspace_free(bpk_workspace *workspace);

/* trainer/plan.c: an estimate of the work of one step over `rows` rows, in floating-point operations and
 * bytes of weights moved, which take about equally long; and the number of threads, at most `limit`, that
 * finish `steps` such steps soonest. */
double bpk_step_work(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose);
int bpk_threads_worth(double step_work, double steps, int limit);

/* trainer/plan.c: the number of threads, at most `limit`, that finish a product of matrices (n, in) and (in,
 * out) on row-major matrices soonest, if it moves that many bytes per weight in float32. */
int bpk_product_threads(const bpk_kernels *kernels, double n, double in, double out, double bytes, int limit);

/* How training turns the gradients of mini-batches into updates. The weight of a mini-batch is the sum of its
 * rows' sample weights. One update takes the weighted mean of the gradients of `accumulate` mini-batches, or
 * of those left at the end of the data; adds the gradient of the penalties; scales the result to a norm of at
 * most clip_norm; clips each element to +-clip_value; and moves the parameters. */
typedef struct {
    bpk_optimizer optimizer;
    double l1, l2;                /* penalties l1 sum |W| + l2 sum W^2 */
    int penalty_per_weight;       /* the penalties are divided by the weight of the update's mini-batches */
    double clip_norm, clip_value; /* INFINITY: no clipping */
    ptrdiff_t accumulate;
    /* If the average exists: average <- average_decay average + (1 - average_decay) parameters. */
    double average_decay;
} bpk_update_settings;

/* Whether these settings need whole gradients in memory, and so a workspace for gradients
 * (trainer/parameters.c). */
int bpk_stores_gradients(const bpk_update_settings *update);

/* Stored gradients that no update has spent: their number of mini-batches, and the sum of those weights. */
typedef struct {
    ptrdiff_t batches;
    double weight;
} bpk_pending;

/* Adds a mini-batch of this weight to the pending ones. If `accumulate` are now pending, or at the end,
 * returns the sum of their weights and empties `pending`: the caller then makes an update by 1 / (that sum)
 * times the stored gradients. Otherwise returns 0; also if all weights are 0 (trainer/parameters.c). */
double bpk_pending_add(bpk_pending *pending, double weight, ptrdiff_t accumulate, int at_end);

/* Shards (trainer/shards.h): rows are dealt to `shards` shards, row i to shard i modulo their number, and the
 * gradient of a mini-batch is the sum over shards in the order of a binary tree. `ranks` is a divisor of
 * `shards`; each rank has consecutive shards. In a run with shards, `rows` and `index` of the data are those
 * of this rank's shards, in the order of the mini-batches and shard by shard within one; `batch` is at least
 * 2, and no mini-batch has more of this rank's rows. No result depends on the number of ranks. */
typedef struct bpk_shards bpk_shards;

/* What `travel` of a link is asked for. The stages of a gradient's way between ranks are
 * BPK_SEND: this rank has stored its nodes of a layer;
 * BPK_RECEIVE: wait for all ranks' nodes of all layers;
 * BPK_SHARE: this rank has summed its segments; wait for all ranks'.
 * Ranks that see the same memory, `shared`, meet there instead. One that waits only asks from time to time
 * BPK_LOOK: look for signals, and for ranks that have left. */
typedef enum { BPK_SEND, BPK_RECEIVE, BPK_SHARE, BPK_LOOK } bpk_stage;

/* What connects ranks; all NULL for one rank. A rank stores the gradients of node k of its shards from
 * element k bpk_net_size on in nodes[its rank]; sums its segments (bpk_shards_segment) from those of all
 * ranks; and writes them to results[its rank]. If all results are NULL, each rank adds up all elements. */
typedef struct {
    void *context;
    /* Exchanges each shard's three sums, sums (shards, 3), and the status of each rank: returns BPK_OK if all
     * ranks have given that. */
    int (*agree)(void *context, int status, double *sums);
    int (*travel)(void *context, int stage, int layer); /* nonzero: the link is broken */
    void *const *nodes;                                 /* (ranks,) */
    void *const *results;                               /* (ranks,) */
    /* bpk_shards_shared_size reals that all ranks see, the first cache line zero; or NULL. */
    void *shared;
    int stores; /* for bpk_shards_lend: the stores that fit in `shared` */
} bpk_link;

ptrdiff_t bpk_net_size(const bpk_net *net);            /* elements of a store */
int bpk_shards_nodes(int shards, int ranks, int rank); /* the number of a rank's nodes */
void bpk_shards_segment(const bpk_net *net, int layer, int ranks, int rank, ptrdiff_t *from, ptrdiff_t *to);
bpk_status bpk_shards_create(const bpk_net *net, int shards, int ranks, int rank, int threads,
                             const bpk_link *link, bpk_shards **shards_of_rank);
void bpk_shards_free(bpk_shards *shards);
ptrdiff_t bpk_shards_shared_size(const bpk_net *net, int stores); /* see bpk_link */

/* The rows of the next pass, and of a mini-batch, on all ranks together. */
void bpk_shards_set_rows(bpk_shards *shards, ptrdiff_t rows, ptrdiff_t batch);

/* A question to the caller: whether to stop. */
typedef int bpk_stop(void *context);

/* One pass over the data is a bpk_run: the request, the cursor (progress) and the results. A pass may be made
 * in several calls: each continues at the cursor. Cursor and results are zero before the first call. */
typedef struct {
    bpk_data data;
    ptrdiff_t batch; /* rows per step, at most those of the workspace; the last step may have fewer */
    int threads;     /* at most those of the workspace; no result depends on the number */
    /* A call of several threads ends after the step in which this time runs out; 0: no limit. On a loaded
     * machine threads wait for each other, and the number of steps does not predict the time. A call of
     * one thread ignores the limit. */
    double seconds;

    /* NULL, or asked ten times a second during a step, by the calling thread: whether to break the step off.
     * An update that has begun is finished. So that this takes no longer than a moment, a training step of
     * many rows and much work computes all gradients before its update (trainer/step.h, step_goes_back). */
    bpk_stop *stop;
    void *stop_context;

    /* Training. */
    bpk_shards *shards; /* or NULL; not together with `undoable` */
    bpk_update_settings update;
    const double *rates;  /* learning rates, one per update of this pass; NULL: the optimiser's lr */
    const double *decays; /* weight decays, one per update; NULL: the optimiser's weight_decay */
    /* (updates, layers), probabilities of dropout: those of the hidden layers, and of the inputs in the last
     * column. Each is 0, or the net's own probability is above 0. NULL: the net's own. */
    const double *dropouts;
    int more;         /* gradients pending at the end of the data stay pending, for another pass */
    int mean_by_rows; /* results count a batch by its rows, not its weight; batches of weight 0 not at all */
    /* Of a pass of one step: right before the update, take a snapshot (bpk_net_snapshot), unless it is proved
     * that no number can overflow (trainer/bounds.h). results.bounded says so. */
    int undoable;

    /* Evaluation and prediction. */
    int averaged; /* use the average of the parameters */
    int layers;   /* of prediction: number of layers to compute; 0: all */

    /* Further arrays to fill, in the order of the pass, or NULL. */
    void *outputs;      /* (rows, outputs) of training, before each update, and of evaluation */
    double *row_losses; /* (rows,) of evaluation, if data.weights is NULL */
} bpk_request;

typedef struct {
    ptrdiff_t next;    /* rows done */
    ptrdiff_t batches; /* mini-batches done, by which shards find theirs */
    ptrdiff_t updates; /* made in this pass */
    bpk_pending pending;
    double total_weight; /* of all rows; set by bpk_gradients when next is 0 */
} bpk_cursor;

typedef struct {
    ptrdiff_t bad_row;   /* set with BPK_BAD_ROW: the row's number in x and y, or its wrong number in index */
    double loss_sum;     /* sum of weight * loss; in training before each update, with penalties */
    double accuracy_sum; /* sum of weight * accuracy, for the two cross-entropies */
    double weight_sum;
    int bounded; /* of an undoable pass: no snapshot was taken, and all numbers are finite */
} bpk_results;

typedef struct {
    bpk_request request;
    bpk_cursor cursor;
    bpk_results results;
} bpk_run;

/* The passes. Each call makes up to `steps` steps (trainer/train.c). */

/* Training. A batch of weight 0 makes no update. */
bpk_status bpk_train(bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps);

/* Ranks that see the same memory need not each move all parameters (trainer/shared.h). bpk_shards_lend copies
 * the parameters and the optimiser's states there. Until bpk_shards_take_back copies them back, training with
 * these shards reads and changes them there, and nothing else may use the net. All ranks make both calls,
 * with the same `stores`: a set of bits that bpk_shards_lendable has returned on each. It returns 0 if
 * `shared` has no room for them, if the update stores gradients, or if there is an average.
 *
 * bpk_shards_lend returns BPK_STOPPED, and has changed nothing, if a rank has left. After an error the other
 * ranks may be in a step: bpk_shards_take_back then tells them that this one has left. All ranks have the
 * parameters as of the last step that all have finished; or, if a rank has left in the middle of an update,
 * as before they were lent. */
int bpk_shards_lendable(const bpk_shards *shards, const bpk_net *net, const bpk_request *request);
bpk_status bpk_shards_lend(bpk_shards *shards, bpk_net *net, int stores);
void bpk_shards_take_back(bpk_shards *shards, bpk_net *net, int after_error);

/* Puts the numbers of the rows, data.index (n,), into the order of the next epoch. */
typedef void bpk_order(void *context, int64_t *index, ptrdiff_t n);

typedef struct {
    ptrdiff_t epochs; /* at most; at least 1 */
    double seconds;   /* no epoch but the first begins after this time */
    bpk_order *order; /* NULL: every epoch has the order of the request */
    void *order_context;
    int64_t *index;    /* the array behind data.index, if there is an order */
    int keeps_average; /* otherwise the average of the parameters is discarded after an epoch */

    ptrdiff_t finished;   /* the result: epochs */
    bpk_results *results; /* (epochs,) of each finished one */
} bpk_epochs;

/* Training for whole epochs, each by bpk_train with the request of the run, without `more`, `undoable` and
 * `seconds` (trainer/epochs.c). An epoch that does not return BPK_OK is the last one; the run has its cursor.
 * After BPK_DIVERGED the loss is not finite, or, if the cursor is at the end of the data, a number of the
 * network or the mean loss of the epoch. Then bpk_net_restore goes back to the start of the epoch; it must
 * not be called if all numbers are finite and the cursor is at the start. */
bpk_status bpk_train_epochs(bpk_net *net, bpk_workspace *workspace, bpk_run *run, bpk_epochs *epochs);

/* Loss and accuracy, without penalties; the network is not changed. */
bpk_status bpk_evaluate(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps);

/* Adds to the stored gradients: each batch's share of the gradient of the mean loss over all rows, without
 * dropout and without penalties, so l1 and l2 of the request must be 0. After BPK_STOPPED the stored
 * gradients are incomplete: the pass begins again, with zero gradients, cursor and results. */
bpk_status bpk_gradients(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps);

/* The activations of the last computed layer: out (rows, width of that layer). data.weights must be NULL. */
bpk_status bpk_forward(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps,
                       void *out);

/* trainer/workspace.c: copies layer l's stored gradients to dw (out, in) and db (out), or back; copies all
 * stored gradients to another workspace; sets them to zero. */
void bpk_workspace_get_layer(const bpk_net *net, const bpk_workspace *workspace, int l, void *dw, void *db);
void bpk_workspace_set_layer(const bpk_net *net, bpk_workspace *workspace, int l, const void *dw,
                             const void *db);
void bpk_workspace_get_extra(const bpk_net *net, const bpk_workspace *workspace, void *gradients);
void bpk_workspace_set_extra(const bpk_net *net, bpk_workspace *workspace, const void *gradients);
void bpk_workspace_copy_gradients(const bpk_net *net, bpk_workspace *to, const bpk_workspace *from);
void bpk_workspace_clear_gradients(const bpk_net *net, bpk_workspace *workspace);

/* A step by hand in several calls (trainer/tape.c), with a workspace for gradients. All rows of the request
 * are one mini-batch. Only `loss` and what it is for read targets and sample weights.
 *
 *     forward   as in training, with dropout: out (rows, outputs)
 *     loss      after forward with the same request: grad (rows, outputs), the derivative of the loss with
 *               respect to the outputs, as training has it
 *     backward  after forward with the same request; from grad (rows, outputs), the derivative of the loss
 *               with respect to the outputs: adds to the stored gradients, and writes dx (rows, inputs),
 *               the derivative with respect to x, unless dx is NULL
 *     update    by `scale` times the stored gradients, which are zero afterwards; rates and decays must be
 *               NULL
 *     get       after forward, and for delta after backward, with the same request: a copy of layer l's
 *               inputs x (rows, in), activations a (rows, out), derivatives da/dz (rows, out) or delta (rows,
 *               out), contiguous; a and da/dz after dropout
 */
typedef enum { BPK_TAPE_X, BPK_TAPE_A, BPK_TAPE_SLOPE, BPK_TAPE_DELTA, BPK_N_TAPE_MATRICES } bpk_tape_matrix;

bpk_status bpk_tape_forward(bpk_net *net, bpk_workspace *workspace, bpk_run *run, void *out);
bpk_status bpk_tape_backward(const bpk_net *net, bpk_workspace *workspace, const bpk_run *run,
                             const void *grad, void *dx);
void bpk_tape_loss(const bpk_net *net, bpk_workspace *workspace, const bpk_run *run, void *grad);
void bpk_tape_update(bpk_net *net, bpk_workspace *workspace, const bpk_run *run, double scale);
void bpk_tape_get(const bpk_net *net, const bpk_workspace *workspace, const bpk_run *run,
                  bpk_tape_matrix matrix, int l, void *out);

#endif
