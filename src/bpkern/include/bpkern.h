/* bpkern: backpropagation kernels for multilayer perceptrons. The public C API, in C11 and C++17.
 *
 * A program links with the C library (CMake: bpkern::bpkern; pkg-config: bpkern). An extension of Python
 * takes the same functions from the installed package (bpkern_python.h). docs/c-api.md has examples and the
 * promises: this header only grows, and a program compiled with it runs with every later library of the same
 * BPKERN_ABI.
 *
 * Matrices are row-major with a leading dimension: element (i, j) of x is x[i * ldx + j], and rows may lie
 * farther apart than the matrix is wide. The pointers are void, to float or double, as the dtype of the call
 * or of the network says. All sizes are in elements, never in bytes. Any size of a matrix may be 0, unless
 * stated otherwise, and pointers into a matrix without elements may be NULL. Outputs overlap no other
 * argument.
 *
 * W_l has the shape (out, in), b_l (out), and a mini-batch has n rows; s' is the derivative of an activation
 * s, X' the transpose of a matrix, and * between matrices is elementwise:
 *
 *     z_l = a_{l-1} W_l' + b_l            a_l = s_l(z_l)                       (n, out)
 *     d_L = dJ/da_L * s_L'(z_L)           d_l = (d_{l+1} W_{l+1}) * s_l'(z_l)  (n, out)
 *     W_l <- W_l - lr d_l' a_{l-1}        b_l <- b_l - lr (column sums of d_l)
 *
 * J is a mean over the mini-batch, so the deltas d already contain its factor 1/n.
 *
 * No function prints, exits or needs Python's lock. The only global settings are the selected instruction set
 * and, on POSIX, a handler for forks. After a kernel call, its helper threads may spin for up to 0.2 ms,
 * waiting for another call.
 *
 * Any number of threads may call functions at once, on different networks, or on one network if all of them
 * only read it: those take it as a pointer to const. Every function restores the floating-point mode that it
 * found.
 *
 * `threads` is the exact number of threads of a call, the caller included, at most BPKERN_MAX_THREADS; 0
 * takes as many as the work is worth, up to bpkern_processors(). It changes no bit of a result.
 */
#ifndef BPKERN_API_H
#define BPKERN_API_H

#include <stddef.h>
#include <stdint.h>

/* BPKERN_ABI changes if a compiled program would no longer work. BPKERN_REVISION counts the additions. */
#define BPKERN_ABI 1
#define BPKERN_REVISION 2

/* How the shared library exports its functions; nothing in every other use. */
#if defined BPKERN_EXPORTS && defined _WIN32
#define BPKERN_EXPORT __declspec(dllexport)
#elif defined BPKERN_EXPORTS
#define BPKERN_EXPORT __attribute__((visibility("default")))
#else
#define BPKERN_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum { BPKERN_MAX_THREADS = 1024 };

/* What every fallible function returns. After an error, networks, weights and matrices that are updated in
 * place are unchanged, except as bpkern_net_fit says; other outputs hold nothing of use. */
typedef enum {
    BPKERN_OK = 0,
    BPKERN_NO_MEMORY = 1,
    BPKERN_NULL_POINTER = 2, /* a pointer is NULL that must not be */
    BPKERN_BAD_SIZE = 3,     /* a size, leading dimension, layer or number of threads is out of range */
    BPKERN_BAD_NAME = 4,     /* no such dtype, activation, loss, rule or instruction set */
    BPKERN_BAD_VALUE = 5,    /* a number is out of its range, or not finite */
    BPKERN_BAD_ROW = 6,      /* the data: a number is not finite or overflows, or a label is out of range */
    BPKERN_DIVERGED = 7,     /* the loss or a parameter became infinite or NaN */
    BPKERN_STOPPED = 8       /* the caller's function has asked to stop */
} bpkern_status;

typedef enum { BPKERN_FLOAT32 = 0, BPKERN_FLOAT64 = 1 } bpkern_dtype;

/* Activations s(z). For gelu, gelu_tanh, silu and mish, s' is computed from z, because two values of z give
 * the same a; for the others from a = s(z). P is the cumulative distribution function of the standard normal
 * distribution, p its density, and u(z) = sqrt(2/pi) (z + 0.044715 z^3).
 *
 *     name        a                        s'
 *     identity    z                        1
 *     relu        max(z, 0)                a > 0
 *     leaky_relu  z < 0 ? 0.01 z : z       a > 0 ? 1 : 0.01
 *     sigmoid     1 / (1 + e^-z)           a (1 - a)
 *     tanh        tanh z                   1 - a^2
 *     elu         z < 0 ? e^z - 1 : z      a > 0 ? 1 : a + 1
 *     selu        c (z < 0 ? A (e^z - 1) : z)   a > 0 ? c : a + c A,  A = 1.67326..., c = 1.05070...
 *     softplus    log(1 + e^z)             1 - e^-a
 *     gelu        z P(z)                   P(z) + z p(z)
 *     gelu_tanh   z g, g = sigmoid(2 u)    g + z g (1 - g) 2 u'
 *     silu        z g, g = sigmoid(z)      g + z g (1 - g)
 *     mish        z g, g = tanh(log(1 + e^z))   g + z (1 - g^2) sigmoid(z)
 */
typedef enum {
    BPKERN_IDENTITY = 0,
    BPKERN_RELU = 1,
    BPKERN_LEAKY_RELU = 2,
    BPKERN_SIGMOID = 3,
    BPKERN_TANH = 4,
    BPKERN_ELU = 5,
    BPKERN_SOFTPLUS = 6,
    BPKERN_GELU = 7,
    BPKERN_GELU_TANH = 8,
    BPKERN_SILU = 9,
    BPKERN_SELU = 10,
    BPKERN_MISH = 11
} bpkern_activation;

/* The loss of one row of m outputs a with targets t. The loss of a batch is the mean over its rows.
 *
 *     mse                   (1/m) sum (a - t)^2
 *     squared_error         1/2 sum (a - t)^2
 *     cross_entropy         -sum t log softmax(a)
 *     binary_cross_entropy  -(1/m) sum t log p + (1-t) log(1-p),  p = sigmoid(a)
 *     mae                   (1/m) sum |a - t|
 *     huber                 (1/m) sum c (d - c/2),  c = d clipped to +-delta,  d = a - t
 *     quantile              (1/m) sum d (d > 0 ? 1-q : -q),  d = a - t
 *     poisson               (1/m) sum e^a - t a
 *     log_cosh              (1/m) sum log cosh (a - t)
 *     hinge                 (1/m) sum max(0, 1 - t a),  t = 1 or -1
 *     squared_hinge         (1/m) sum max(0, 1 - t a)^2
 */
typedef enum {
    BPKERN_MSE = 0,
    BPKERN_SQUARED_ERROR = 1,
    BPKERN_CROSS_ENTROPY = 2,
    BPKERN_BINARY_CROSS_ENTROPY = 3,
    BPKERN_MAE = 4,
    BPKERN_HUBER = 5,
    BPKERN_QUANTILE = 6,
    BPKERN_POISSON = 7,
    BPKERN_LOG_COSH = 8,
    BPKERN_HINGE = 9,
    BPKERN_SQUARED_HINGE = 10
} bpkern_loss;

/* Optimisers, as PyTorch defines them. */
typedef enum {
    BPKERN_SGD = 0,
    BPKERN_RMSPROP = 1,
    BPKERN_ADAGRAD = 2,
    BPKERN_ADAM = 3,
    BPKERN_ADAMW = 4,
    BPKERN_NADAM = 5
} bpkern_rule;

/* The version of the library, such as "1.2.3"; the names of the enumerators, such as "BPKERN_BAD_ROW",
 * "relu", "cross_entropy" and "adam"; NULL for a number that has no name. */
BPKERN_EXPORT const char *bpkern_version(void);
BPKERN_EXPORT const char *bpkern_status_name(int status);
BPKERN_EXPORT const char *bpkern_activation_name(int activation);
BPKERN_EXPORT const char *bpkern_loss_name(int loss);
BPKERN_EXPORT const char *bpkern_rule_name(int rule);

/* Whether s' is computed from z; 0 for a number that is no activation. */
BPKERN_EXPORT int bpkern_needs_z(int activation);

/* The machine ------------------------------------------------------------------------------------------- */

/* The compiled instruction sets have the numbers from 0 to bpkern_isa_count() - 1, slowest first. The fastest
 * one that runs here is selected at first. A selection is for the whole process: for kernels from the next
 * call on, and for new networks. */
BPKERN_EXPORT int bpkern_isa_count(void);
BPKERN_EXPORT const char *bpkern_isa_name(int isa); /* such as "avx2"; NULL for a number that has no name */
BPKERN_EXPORT int bpkern_isa_runs(int isa);         /* whether this machine can run it */
BPKERN_EXPORT int bpkern_isa_selected(void);
BPKERN_EXPORT bpkern_status bpkern_isa_select(int isa); /* BPKERN_BAD_NAME if it does not run here */

/* The number of processors that this process may use. */
BPKERN_EXPORT int bpkern_processors(void);

/* The kernels on plain matrices ------------------------------------------------------------------------- */

/* a (n, out) = s(x (n, in) w (out, in)' + b (out)) */
BPKERN_EXPORT bpkern_status bpkern_linear_forward(bpkern_dtype dtype, int threads, ptrdiff_t n, ptrdiff_t in,
                                                  ptrdiff_t out, const void *x, ptrdiff_t ldx, const void *w,
                                                  ptrdiff_t ldw, const void *b, bpkern_activation activation,
                                                  void *a, ptrdiff_t lda);

/* delta (n, in) = (delta_next (n, out) w_next (out, in)) * s'. a (n, in) holds the activations; or z, for an
 * activation whose s' is computed from z. */
BPKERN_EXPORT bpkern_status bpkern_delta_backward(bpkern_dtype dtype, int threads, ptrdiff_t n, ptrdiff_t in,
                                                  ptrdiff_t out, const void *delta_next, ptrdiff_t ldn,
                                                  const void *w_next, ptrdiff_t ldw, const void *a,
                                                  ptrdiff_t lda, bpkern_activation activation, void *delta,
                                                  ptrdiff_t ldd);

/* One update by SGD, in place, of w (out, in) with the gradient delta (n, out)' x (n, in), and of b (out)
 * with the column sums of delta. For a gradient g of w: g <- g + weight_decay w; v <- momentum v + g; w <- w
 * - lr v, or with nesterov w <- w - lr (g + momentum v). vw (out, in) and vb (out) hold v; they may be NULL
 * if the momentum is 0, which nesterov does not allow. lr and weight_decay must be finite, and momentum from
 * 0 to 1. */
BPKERN_EXPORT bpkern_status bpkern_sgd_update(bpkern_dtype dtype, int threads, ptrdiff_t n, ptrdiff_t in,
                                              ptrdiff_t out, void *w, ptrdiff_t ldw, void *b,
                                              const void *delta, ptrdiff_t ldd, const void *x, ptrdiff_t ldx,
                                              void *vw, ptrdiff_t ldvw, void *vb, double lr, double momentum,
                                              int nesterov, double weight_decay);

/* In place, for a (m, n) that holds z: a <- s(z). */
BPKERN_EXPORT bpkern_status bpkern_activate(bpkern_dtype dtype, bpkern_activation activation, ptrdiff_t m,
                                            ptrdiff_t n, void *a, ptrdiff_t lda);

/* In place, for a (m, n) that holds z: slope (m, n) <- s'(z), then a <- s(z). */
BPKERN_EXPORT bpkern_status bpkern_activate_with_slope(bpkern_dtype dtype, bpkern_activation activation,
                                                       ptrdiff_t m, ptrdiff_t n, void *a, ptrdiff_t lda,
                                                       void *slope, ptrdiff_t lds);

/* In place: delta (m, n) <- delta * s', from a (m, n) as in bpkern_delta_backward. */
BPKERN_EXPORT bpkern_status bpkern_apply_derivative(bpkern_dtype dtype, bpkern_activation activation,
                                                    ptrdiff_t m, ptrdiff_t n, const void *a, ptrdiff_t lda,
                                                    void *delta, ptrdiff_t ldd);

/* p (m, n), from the outputs a (m, n) of a network: the softmax of each row for cross_entropy, the sigmoid of
 * each element for binary_cross_entropy; BPKERN_BAD_NAME for any other loss. Both are contiguous. */
BPKERN_EXPORT bpkern_status bpkern_probabilities(bpkern_dtype dtype, bpkern_loss loss, ptrdiff_t m,
                                                 ptrdiff_t n, const void *a, void *p);

/* Networks ---------------------------------------------------------------------------------------------- */

/* A network: its weights and biases, the optimiser's states, and scratch memory. */
typedef struct bpkern_net bpkern_net;

/* A network whose weights and biases are 0, of the selected instruction set. `sizes` (layers + 1) are at
 * least 1, inputs first; `activations` (layers). `parameters` (outputs) are delta > 0 of huber or 0 < q < 1
 * of quantile for each output; NULL is 1 or 0.5 for all, and any other loss needs NULL. */
BPKERN_EXPORT bpkern_status bpkern_net_create(bpkern_dtype dtype, int layers, const ptrdiff_t *sizes,
                                              const bpkern_activation *activations, bpkern_loss loss,
                                              const double *parameters, bpkern_net **net);
BPKERN_EXPORT void bpkern_net_free(bpkern_net *net); /* which may be NULL */

/* Starts again from `seed`: weights uniform on +-sqrt(6 / (in + out)) and biases on +-1 / sqrt(in); no states
 * of an optimiser; and the order of rows in epochs to come. A seed gives the same numbers everywhere, but not
 * those of Python's `seed`. */
BPKERN_EXPORT bpkern_status bpkern_net_init(bpkern_net *net, uint64_t seed);

/* The number of layers; the width of the inputs for l = 0 and of layer l, counted from 1, otherwise; -1 for
 * an l that is out of range. */
BPKERN_EXPORT int bpkern_net_layers(const bpkern_net *net);
BPKERN_EXPORT ptrdiff_t bpkern_net_width(const bpkern_net *net, int l);

/* Copies weights w (out, in) and bias b (out) of layer l, counted from 0, from contiguous arrays or to them.
 * BPKERN_BAD_VALUE if w or b is not finite. The optimiser's states stay. */
BPKERN_EXPORT bpkern_status bpkern_net_set_layer(bpkern_net *net, int l, const void *w, const void *b);
BPKERN_EXPORT bpkern_status bpkern_net_get_layer(const bpkern_net *net, int l, void *w, void *b);

/* Gives layer l, counted from 0, another slope of leaky_relu below 0 than 0.01, or another factor of elu
 * below 0 than 1: at least 0 and finite. BPKERN_BAD_NAME for a layer of another activation. Since revision 2.
 */
BPKERN_EXPORT bpkern_status bpkern_net_set_activation_parameter(bpkern_net *net, int l, double parameter);

/* Every struct begins with its size in the caller's version of this header. A later library sets the members
 * that the caller lacks to their defaults. */

/* Rows of the caller, read where they are; x and y in the network's dtype. The targets are either `labels`,
 * for cross_entropy, or y. */
typedef struct {
    size_t size;   /* sizeof(bpkern_data) */
    ptrdiff_t n;   /* rows, at least 1 */
    const void *x; /* (n, inputs) */
    ptrdiff_t ldx;
    const int64_t *labels; /* (n,) classes from 0 to outputs - 1; or NULL */
    const void *y;         /* (n, outputs); or NULL */
    ptrdiff_t ldy;
    const double *weights; /* (n,) of the rows, finite, >= 0 and not all 0; NULL: all 1 */
} bpkern_data;

/* Whether to stop: 0 for no. A fit asks it about ten times a second, in the thread that called, and in the
 * floating-point mode of that thread. It may not call a function on this network, throw an exception or leave
 * by longjmp. */
typedef int bpkern_stop(void *context);

/* How to train. bpkern_training_init fills all of it. Every number must be in its range, also one that the
 * rule does not use: lr, weight_decay, eps, lr_decay, momentum_decay, l1, l2 >= 0 and finite; momentum,
 * square_decay and dampening from 0 to 1, the first two below 1 for adam, adamw and nadam; clip_norm,
 * clip_value > 0. sgd has nesterov only with a momentum and without dampening. */
typedef struct {
    size_t size; /* sizeof(bpkern_training) */
    bpkern_rule rule;
    int shuffle; /* 1: each epoch takes the rows in a new random order; 0: in theirs */
    double lr, weight_decay;
    double momentum;     /* of sgd and rmsprop; the first beta of adam, adamw and nadam */
    double square_decay; /* alpha of rmsprop; the second beta of adam, adamw and nadam */
    double eps, lr_decay;
    int nesterov, centered, amsgrad;
    int threads;
    double l1, l2;                /* penalties l1 sum |W| + l2 sum W^2 on the weights, not the biases */
    double clip_norm, clip_value; /* limits of the gradient's norm and of its elements; INFINITY: none */
    ptrdiff_t epochs;             /* at least 0 */
    ptrdiff_t batch;              /* rows per step, at least 1; above n it is n */
    bpkern_stop *stop;            /* NULL: never */
    void *stop_context;
    /* Since revision 2; 0 in the structs of earlier callers. */
    double dampening;        /* of sgd */
    double momentum_decay;   /* of nadam */
    int maximize, decoupled; /* the loss becomes larger; of nadam: weight decay as in adamw */
} bpkern_training;

/* What a fit or an evaluation found. Only `size` and `losses` are read; the rest is written. */
typedef struct {
    size_t size;      /* sizeof(bpkern_report) */
    double *losses;   /* (epochs,) of a fit: gets each finished epoch's loss; or NULL */
    ptrdiff_t epochs; /* finished ones, of a fit */
    double loss; /* of the last finished epoch, the mean before each update, with penalties; or evaluated */
    double accuracy;   /* for the two cross-entropies, otherwise 0 */
    ptrdiff_t bad_row; /* after BPKERN_BAD_ROW: its number; otherwise -1 */
} bpkern_report;

/* Fills `training`, of `size` bytes: the rule with PyTorch's default settings (sgd: lr 0.01; rmsprop: lr
 * 0.01, square_decay 0.99; adagrad: lr 0.01; adam and adamw: lr 0.001, momentum 0.9, square_decay 0.999,
 * adamw also weight_decay 0.01; nadam: lr 0.002, momentum_decay 0.004, the rest as adam; eps 1e-8, adagrad
 * 1e-10), shuffled, 1 epoch in batches of 32, threads 0. */
BPKERN_EXPORT bpkern_status bpkern_training_init(bpkern_training *training, size_t size, bpkern_rule rule);

/* Trains on the rows. One step on a batch is one epoch with a batch of n. States of the optimiser and the
 * random order go on from fit to fit: 5 epochs twice are 10 epochs, to the bit. Another rule begins with new
 * states. `report` may be NULL.
 *
 * After BPKERN_STOPPED, BPKERN_DIVERGED and BPKERN_BAD_ROW the network is whole and finite: as of the last
 * finished step; or, where an epoch made a number infinite, as of the start of that epoch. */
BPKERN_EXPORT bpkern_status bpkern_net_fit(bpkern_net *net, const bpkern_data *data,
                                           const bpkern_training *training, bpkern_report *report);

/* The mean loss of the rows, without penalties, and the accuracy. */
BPKERN_EXPORT bpkern_status bpkern_net_evaluate(const bpkern_net *net, int threads, const bpkern_data *data,
                                                bpkern_report *report);

/* out (n, outputs), contiguous: the last layer's activations, before the softmax or sigmoid of the loss.
 * BPKERN_BAD_ROW for x that is not finite; `out` then holds nothing of use. */
BPKERN_EXPORT bpkern_status bpkern_net_forward(const bpkern_net *net, int threads, ptrdiff_t n, const void *x,
                                               ptrdiff_t ldx, void *out);

/* The functions as a struct of pointers, which an installed Python package gives to other extensions. It only
 * grows at its end, by a new BPKERN_REVISION. The first four members stay where they are in every ABI. */
typedef struct {
    int abi, revision; /* BPKERN_ABI and BPKERN_REVISION of the library */
    size_t size;
    const char *(*version)(void);
    const char *(*status_name)(int status);
    const char *(*activation_name)(int activation);
    const char *(*loss_name)(int loss);
    const char *(*rule_name)(int rule);
    int (*needs_z)(int activation);
    int (*isa_count)(void);
    const char *(*isa_name)(int isa);
    int (*isa_runs)(int isa);
    int (*isa_selected)(void);
    bpkern_status (*isa_select)(int isa);
    int (*processors)(void);
    bpkern_status (*linear_forward)(bpkern_dtype dtype, int threads, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                                    const void *x, ptrdiff_t ldx, const void *w, ptrdiff_t ldw, const void *b,
                                    bpkern_activation activation, void *a, ptrdiff_t lda);
    bpkern_status (*delta_backward)(bpkern_dtype dtype, int threads, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                                    const void *delta_next, ptrdiff_t ldn, const void *w_next, ptrdiff_t ldw,
                                    const void *a, ptrdiff_t lda, bpkern_activation activation, void *delta,
                                    ptrdiff_t ldd);
    bpkern_status (*sgd_update)(bpkern_dtype dtype, int threads, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                                void *w, ptrdiff_t ldw, void *b, const void *delta, ptrdiff_t ldd,
                                const void *x, ptrdiff_t ldx, void *vw, ptrdiff_t ldvw, void *vb, double lr,
                                double momentum, int nesterov, double weight_decay);
    bpkern_status (*activate)(bpkern_dtype dtype, bpkern_activation activation, ptrdiff_t m, ptrdiff_t n,
                              void *a, ptrdiff_t lda);
    bpkern_status (*activate_with_slope)(bpkern_dtype dtype, bpkern_activation activation, ptrdiff_t m,
                                         ptrdiff_t n, void *a, ptrdiff_t lda, void *slope, ptrdiff_t lds);
    bpkern_status (*apply_derivative)(bpkern_dtype dtype, bpkern_activation activation, ptrdiff_t m,
                                      ptrdiff_t n, const void *a, ptrdiff_t lda, void *delta, ptrdiff_t ldd);
    bpkern_status (*probabilities)(bpkern_dtype dtype, bpkern_loss loss, ptrdiff_t m, ptrdiff_t n,
                                   const void *a, void *p);
    bpkern_status (*net_create)(bpkern_dtype dtype, int layers, const ptrdiff_t *sizes,
                                const bpkern_activation *activations, bpkern_loss loss,
                                const double *parameters, bpkern_net **net);
    void (*net_free)(bpkern_net *net);
    bpkern_status (*net_init)(bpkern_net *net, uint64_t seed);
    int (*net_layers)(const bpkern_net *net);
    ptrdiff_t (*net_width)(const bpkern_net *net, int l);
    bpkern_status (*net_set_layer)(bpkern_net *net, int l, const void *w, const void *b);
    bpkern_status (*net_get_layer)(const bpkern_net *net, int l, void *w, void *b);
    bpkern_status (*training_init)(bpkern_training *training, size_t size, bpkern_rule rule);
    bpkern_status (*net_fit)(bpkern_net *net, const bpkern_data *data, const bpkern_training *training,
                             bpkern_report *report);
    bpkern_status (*net_evaluate)(const bpkern_net *net, int threads, const bpkern_data *data,
                                  bpkern_report *report);
    bpkern_status (*net_forward)(const bpkern_net *net, int threads, ptrdiff_t n, const void *x,
                                 ptrdiff_t ldx, void *out);
    bpkern_status (*net_set_activation_parameter)(bpkern_net *net, int l, double parameter);
} bpkern_api;

#ifdef __cplusplus
}
#endif

#endif
