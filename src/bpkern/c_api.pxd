"""The C API of bpkern for Cython: plain C types, as include/bpkern.h documents them.

    from bpkern.c_api cimport BPKERN_FLOAT32, BPKERN_RELU, bpkern_api, import_bpkern

    cdef const bpkern_api *bpkern = import_bpkern()  # once, with the GIL: an ImportError says what is wrong
    bpkern.linear_forward(BPKERN_FLOAT32, ...)       # without

The extension is compiled with `bpkern.get_include()` among its include directories, and linked with nothing.
"""
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t, uint64_t


cdef extern from "bpkern_python.h" nogil:
    enum:
        BPKERN_ABI
        BPKERN_REVISION
        BPKERN_MAX_THREADS

    ctypedef enum bpkern_status:
        BPKERN_OK
        BPKERN_NO_MEMORY
        BPKERN_NULL_POINTER
        BPKERN_BAD_SIZE
        BPKERN_BAD_NAME
        BPKERN_BAD_VALUE
        BPKERN_BAD_ROW
        BPKERN_DIVERGED
        BPKERN_STOPPED

    ctypedef enum bpkern_dtype:
        BPKERN_FLOAT32
        BPKERN_FLOAT64

    ctypedef enum bpkern_activation:
        BPKERN_IDENTITY
        BPKERN_RELU
        BPKERN_LEAKY_RELU
        BPKERN_SIGMOID
        BPKERN_TANH
        BPKERN_ELU
        BPKERN_SOFTPLUS
        BPKERN_GELU
        BPKERN_GELU_TANH
        BPKERN_SILU
        BPKERN_SELU
        BPKERN_MISH

    ctypedef enum bpkern_loss:
        BPKERN_MSE
        BPKERN_SQUARED_ERROR
        BPKERN_CROSS_ENTROPY
        BPKERN_BINARY_CROSS_ENTROPY
        BPKERN_MAE
        BPKERN_HUBER
        BPKERN_QUANTILE
        BPKERN_POISSON
        BPKERN_LOG_COSH
        BPKERN_HINGE
        BPKERN_SQUARED_HINGE

    ctypedef enum bpkern_rule:
        BPKERN_SGD
        BPKERN_RMSPROP
        BPKERN_ADAGRAD
        BPKERN_ADAM
        BPKERN_ADAMW
        BPKERN_NADAM

    ctypedef struct bpkern_net:
        pass

    ctypedef int bpkern_stop(void *context) noexcept nogil

    ctypedef struct bpkern_data:
        size_t size
        ptrdiff_t n
        const void *x
        ptrdiff_t ldx
        const int64_t *labels
        const void *y
        ptrdiff_t ldy
        const double *weights

    ctypedef struct bpkern_training:
        size_t size
        bpkern_rule rule
        int shuffle
        double lr
        double weight_decay
        double momentum
        double square_decay
        double eps
        double lr_decay
        int nesterov
        int centered
        int amsgrad
        int threads
        double l1
        double l2
        double clip_norm
        double clip_value
        ptrdiff_t epochs
        ptrdiff_t batch
        bpkern_stop *stop
        void *stop_context
        double dampening
        double momentum_decay
        int maximize
        int decoupled

    ctypedef struct bpkern_report:
        size_t size
        double *losses
        ptrdiff_t epochs
        double loss
        double accuracy
        ptrdiff_t bad_row

    ctypedef struct bpkern_api:
        int abi
        int revision
        size_t size
        const char *(*version)() noexcept nogil
        const char *(*status_name)(int status) noexcept nogil
        const char *(*activation_name)(int activation) noexcept nogil
        const char *(*loss_name)(int loss) noexcept nogil
        const char *(*rule_name)(int rule) noexcept nogil
        int (*needs_z)(int activation) noexcept nogil
        int (*isa_count)() noexcept nogil
        const char *(*isa_name)(int isa) noexcept nogil
        int (*isa_runs)(int isa) noexcept nogil
        int (*isa_selected)() noexcept nogil
        bpkern_status (*isa_select)(int isa) noexcept nogil
        int (*processors)() noexcept nogil
        bpkern_status (*linear_forward)(
            bpkern_dtype dtype, int threads, ptrdiff_t n, ptrdiff_t in_, ptrdiff_t out, const void *x,
            ptrdiff_t ldx, const void *w, ptrdiff_t ldw, const void *b, bpkern_activation activation,
            void *a, ptrdiff_t lda
        ) noexcept nogil
        bpkern_status (*delta_backward)(
            bpkern_dtype dtype, int threads, ptrdiff_t n, ptrdiff_t in_, ptrdiff_t out,
            const void *delta_next, ptrdiff_t ldn, const void *w_next, ptrdiff_t ldw, const void *a,
            ptrdiff_t lda, bpkern_activation activation, void *delta, ptrdiff_t ldd
        ) noexcept nogil
        bpkern_status (*sgd_update)(
            bpkern_dtype dtype, int threads, ptrdiff_t n, ptrdiff_t in_, ptrdiff_t out, void *w,
            ptrdiff_t ldw, void *b, const void *delta, ptrdiff_t ldd, const void *x, ptrdiff_t ldx,
            void *vw, ptrdiff_t ldvw, void *vb, double lr, double momentum, int nesterov,
            double weight_decay
        ) noexcept nogil
        bpkern_status (*activate)(
            bpkern_dtype dtype, bpkern_activation activation, ptrdiff_t m, ptrdiff_t n, void *a,
            ptrdiff_t lda
        ) noexcept nogil
        bpkern_status (*activate_with_slope)(
            bpkern_dtype dtype, bpkern_activation activation, ptrdiff_t m, ptrdiff_t n, void *a,
            ptrdiff_t lda, void *slope, ptrdiff_t lds
        ) noexcept nogil
        bpkern_status (*apply_derivative)(
            bpkern_dtype dtype, bpkern_activation activation, ptrdiff_t m, ptrdiff_t n, const void *a,
            ptrdiff_t lda, void *delta, ptrdiff_t ldd
        ) noexcept nogil
        bpkern_status (*probabilities)(
            bpkern_dtype dtype, bpkern_loss loss, ptrdiff_t m, ptrdiff_t n, const void *a, void *p
        ) noexcept nogil
        bpkern_status (*net_create)(
            bpkern_dtype dtype, int layers, const ptrdiff_t *sizes, const bpkern_activation *activations,
            bpkern_loss loss, const double *parameters, bpkern_net **net
        ) noexcept nogil
        void (*net_free)(bpkern_net *net) noexcept nogil
        bpkern_status (*net_init)(bpkern_net *net, uint64_t seed) noexcept nogil
        int (*net_layers)(const bpkern_net *net) noexcept nogil
        ptrdiff_t (*net_width)(const bpkern_net *net, int l) noexcept nogil
        bpkern_status (*net_set_layer)(bpkern_net *net, int l, const void *w, const void *b) noexcept nogil
        bpkern_status (*net_get_layer)(const bpkern_net *net, int l, void *w, void *b) noexcept nogil
        bpkern_status (*training_init)(
            bpkern_training *training, size_t size, bpkern_rule rule
        ) noexcept nogil
        bpkern_status (*net_fit)(
            bpkern_net *net, const bpkern_data *data, const bpkern_training *training,
            bpkern_report *report
        ) noexcept nogil
        bpkern_status (*net_evaluate)(
            const bpkern_net *net, int threads, const bpkern_data *data, bpkern_report *report
        ) noexcept nogil
        bpkern_status (*net_forward)(
            const bpkern_net *net, int threads, ptrdiff_t n, const void *x, ptrdiff_t ldx, void *out
        ) noexcept nogil
        bpkern_status (*net_set_activation_parameter)(bpkern_net *net, int l, double parameter) noexcept nogil


cdef extern from "bpkern_python.h":
    const bpkern_api *import_bpkern() except NULL
