# The C API of csrc/bpkern.h, declarations only.
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t


cdef extern from "bpkern.h" nogil:
    ctypedef enum bpk_dtype:
        BPK_F32
        BPK_F64

    ctypedef enum bpk_activation:
        BPK_N_ACTIVATIONS

    ctypedef enum bpk_loss:
        BPK_N_LOSSES

    const char *bpk_activation_name(int activation)
    const char *bpk_loss_name(int loss)
    int bpk_needs_z(bpk_activation activation)

    ctypedef struct bpk_loss_settings:
        bpk_loss loss
        const double *parameters
        double smoothing

    ctypedef enum bpk_status:
        BPK_OK
        BPK_NO_MEMORY
        BPK_BAD_ROW
        BPK_DIVERGED

    ctypedef enum bpk_type:
        BPK_BOOL
        BPK_INT8
        BPK_UINT8
        BPK_INT16
        BPK_UINT16
        BPK_INT32
        BPK_UINT32
        BPK_INT64
        BPK_UINT64
        BPK_HALF
        BPK_FLOAT
        BPK_DOUBLE
        BPK_LONG_DOUBLE

    ctypedef enum bpk_purpose:
        BPK_FOR_FORWARD
        BPK_FOR_TRAINING

    enum:
        BPK_MOST_THREADS

    ctypedef struct bpk_kernels:
        pass
    ctypedef struct bpk_net:
        pass
    ctypedef struct bpk_workspace:
        pass

    ctypedef struct bpk_sgd:
        double lr
        double momentum
        double weight_decay
        int nesterov

    ctypedef struct bpk_source:
        const char *data
        bpk_type type
        int swapped
        ptrdiff_t columns
        ptrdiff_t row_stride
        ptrdiff_t column_stride

    ctypedef struct bpk_data:
        bpk_source x
        const int64_t *labels
        bpk_source y
        const double *weights
        const int64_t *index
        ptrdiff_t rows

    double bpk_step_work(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose)
    int bpk_threads_worth(double step_work, double steps, int most)

    ctypedef struct bpk_run:
        bpk_data data
        ptrdiff_t batch
        bpk_sgd sgd
        double l2
        int threads
        ptrdiff_t next
        ptrdiff_t bad_row
        double loss_sum
        double accuracy_sum
        double weight_sum

    int bpk_isa_count()
    const char *bpk_isa_name(int isa)
    int bpk_isa_runs(int isa)
    int bpk_isa_selected()
    void bpk_isa_select(int isa)
    const bpk_kernels *bpk_isa_kernels(int isa, bpk_dtype dtype)

    bpk_status bpk_linear_forward(
        const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in_, ptrdiff_t out, const void *x, ptrdiff_t ldx,
        const void *w, ptrdiff_t ldw, const void *b, bpk_activation activation, void *a, ptrdiff_t lda)
    void bpk_delta_backward(
        const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in_, ptrdiff_t out, const void *delta_next,
        ptrdiff_t ldn, const void *w_next, ptrdiff_t ldw, const void *a, ptrdiff_t lda,
        bpk_activation activation, void *delta, ptrdiff_t ldd)
    void bpk_activate_with_slope(
        const bpk_kernels *kernels, bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a,
        ptrdiff_t lda, void *slope, ptrdiff_t lds)
    void bpk_sgd_update(
        const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in_, ptrdiff_t out, void *w, ptrdiff_t ldw,
        void *b, const void *delta, ptrdiff_t ldd, const void *x, ptrdiff_t ldx, void *vw, ptrdiff_t ldvw,
        void *vb, const bpk_sgd *sgd)

    bpk_status bpk_net_create(
        const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes, const bpk_activation *activations,
        const bpk_loss_settings *loss, bpk_net **net)
    void bpk_net_free(bpk_net *net)
    void bpk_net_set_layer(bpk_net *net, int l, const void *w, const void *b)
    void bpk_net_get_layer(const bpk_net *net, int l, void *w, void *b)
    bpk_status bpk_net_make_velocity(bpk_net *net)
    void bpk_net_clear_velocity(bpk_net *net)
    bpk_status bpk_net_snapshot(bpk_net *net)
    void bpk_net_restore(bpk_net *net)
    int bpk_net_finite(const bpk_net *net)
    double bpk_net_sum_squares(const bpk_net *net)

    bpk_status bpk_workspace_create(
        const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose, int threads, bpk_workspace **workspace)
    void bpk_workspace_free(bpk_workspace *workspace)

    bpk_status bpk_train(bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps)
    bpk_status bpk_evaluate(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps)
    bpk_status bpk_gradients(
        const bpk_net *net, bpk_workspace *workspace, bpk_run *run, void **dw, void **db)
    bpk_status bpk_forward(
        const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps, void *out)
