# The C API of csrc/bpkern.h, declarations only.
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t, uint64_t


cdef extern from "bpkern.h" nogil:
    ctypedef enum bpk_dtype:
        BPK_F32
        BPK_F64

    ctypedef enum bpk_activation:
        BPK_N_ACTIVATIONS

    ctypedef enum bpk_loss:
        BPK_N_LOSSES

    ctypedef enum bpk_rule:
        BPK_SGD
        BPK_RMSPROP
        BPK_ADAGRAD
        BPK_ADAM
        BPK_ADAMW
        BPK_NADAM
        BPK_N_RULES

    const char *bpk_activation_name(int activation)
    const char *bpk_loss_name(int loss)
    const char *bpk_rule_name(int rule)
    int bpk_needs_z(bpk_activation activation)

    ctypedef struct bpk_loss_settings:
        bpk_loss loss
        const double *parameters
        double smoothing
        double loss_factor
        double slope_factor
        double cap
        int deviance

    ctypedef enum bpk_status:
        BPK_OK
        BPK_NO_MEMORY
        BPK_BAD_ROW
        BPK_DIVERGED
        BPK_STOPPED

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
        BPK_FOR_GRADIENTS

    ctypedef enum bpk_store:
        BPK_PARAMETERS
        BPK_M
        BPK_V
        BPK_U
        BPK_AVERAGE
        BPK_N_STORES

    enum:
        BPK_MAX_THREADS

    ctypedef struct bpk_kernels:
        pass
    ctypedef struct bpk_net:
        pass
    ctypedef struct bpk_workspace:
        pass

    ctypedef struct bpk_optimizer:
        bpk_rule rule
        double lr
        double weight_decay
        double momentum
        double square_decay
        double eps
        double lr_decay
        double dampening
        double momentum_decay
        int nesterov
        int centered
        int amsgrad
        int eps_hat
        int decoupled
        int maximize

    ctypedef struct bpk_counts:
        int64_t updates
        int64_t batches
        int64_t moves

    ctypedef struct bpk_source:
        const char *data
        bpk_type type
        int swapped
        ptrdiff_t columns
        ptrdiff_t row_stride
        ptrdiff_t column_stride
        const void *indices
        const void *indptr
        int wide_indices
        ptrdiff_t entries

    ctypedef struct bpk_data:
        bpk_source x
        const int64_t *labels
        bpk_source y
        const double *weights
        const int64_t *index
        ptrdiff_t rows
        ptrdiff_t source_rows

    double bpk_step_work(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose)
    int bpk_product_threads(
        const bpk_kernels *kernels, double n, double in_, double out, double bytes, int limit
    ) nogil
    int bpk_threads_worth(double step_work, double steps, int limit)

    ctypedef struct bpk_update_settings:
        bpk_optimizer optimizer
        double l1
        double l2
        int penalty_per_weight
        double clip_norm
        double clip_value
        ptrdiff_t accumulate
        double average_decay

    ctypedef struct bpk_pending:
        ptrdiff_t batches
        double weight

    ctypedef int bpk_stop(void *context) noexcept

    ctypedef struct bpk_shards:
        pass

    ctypedef struct bpk_link:
        void *context
        int (*agree)(void *context, int status, double *sums) noexcept
        int (*travel)(void *context, int stage, int layer) noexcept
        void **nodes
        void **results
        void *shared
        int stores

    ptrdiff_t bpk_net_size(const bpk_net *net)
    int bpk_shards_nodes(int shards, int ranks, int rank)
    void bpk_shards_segment(const bpk_net *net, int layer, int ranks, int rank, ptrdiff_t *start, ptrdiff_t *end)
    bpk_status bpk_shards_create(
        const bpk_net *net, int shards, int ranks, int rank, int threads, const bpk_link *link, bpk_shards **own)
    void bpk_shards_free(bpk_shards *shards)
    ptrdiff_t bpk_shards_shared_size(const bpk_net *net, int stores)
    void bpk_shards_set_rows(bpk_shards *shards, ptrdiff_t rows, ptrdiff_t batch)

    ctypedef struct bpk_request:
        bpk_data data
        ptrdiff_t batch
        int threads
        double seconds
        bpk_stop *stop
        void *stop_context
        bpk_shards *shards
        bpk_update_settings update
        const double *rates
        const double *decays
        const double *dropouts
        int more
        int mean_by_rows
        int undoable
        int averaged
        int layers
        void *outputs
        double *row_losses

    ctypedef struct bpk_cursor:
        ptrdiff_t next
        ptrdiff_t batches
        ptrdiff_t updates
        bpk_pending pending
        double total_weight

    ctypedef struct bpk_results:
        ptrdiff_t bad_row
        double loss_sum
        double accuracy_sum
        double weight_sum
        int bounded

    ctypedef struct bpk_run:
        bpk_request request
        bpk_cursor cursor
        bpk_results results

    int bpk_isa_count()
    const char *bpk_isa_name(int isa)
    int bpk_isa_vector_bytes(int isa)
    int bpk_isa_runs(int isa)
    int bpk_isa_selected()
    void bpk_isa_select(int isa)
    const bpk_kernels *bpk_isa_kernels(int isa, bpk_dtype dtype)

    int bpk_processors()
    ptrdiff_t bpk_cache(int level)

    bpk_status bpk_linear_forward(
        const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in_, ptrdiff_t out, const void *x,
        ptrdiff_t ldx, const void *w, ptrdiff_t ldw, const void *b, bpk_activation activation, void *a,
        ptrdiff_t lda)
    bpk_status bpk_delta_backward(
        const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in_, ptrdiff_t out, const void *delta_next,
        ptrdiff_t ldn, const void *w_next, ptrdiff_t ldw, const void *a, ptrdiff_t lda,
        bpk_activation activation, void *delta, ptrdiff_t ldd)
    void bpk_activate_with_slope(
        const bpk_kernels *kernels, bpk_activation activation, ptrdiff_t m, ptrdiff_t n, void *a,
        ptrdiff_t lda, void *slope, ptrdiff_t lds)
    bpk_status bpk_probabilities(
        const bpk_kernels *kernels, bpk_loss loss, ptrdiff_t m, ptrdiff_t n, const void *a, void *p)
    int bpk_all_finite(const bpk_kernels *kernels, ptrdiff_t n, const void *x)
    bpk_status bpk_sgd_update(
        const bpk_kernels *kernels, int threads, ptrdiff_t n, ptrdiff_t in_, ptrdiff_t out, void *w, ptrdiff_t ldw,
        void *b, const void *delta, ptrdiff_t ldd, const void *x, ptrdiff_t ldx, void *vw, ptrdiff_t ldvw,
        void *vb, const bpk_optimizer *sgd)

    bpk_status bpk_net_create(
        const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes, const bpk_activation *activations,
        const bpk_loss_settings *loss, bpk_net **net)
    bpk_status bpk_net_create_compressed(
        const bpk_kernels *kernels, int layers, const ptrdiff_t *sizes, const bpk_activation *activations,
        const bpk_loss_settings *loss, bpk_net **net)

    ctypedef enum bpk_input_kind:
        BPK_SCALE
        BPK_LOOKUP
        BPK_PERIODIC

    ctypedef struct bpk_input:
        bpk_input_kind kind
        const ptrdiff_t *columns
        ptrdiff_t count
        ptrdiff_t categories
        ptrdiff_t hidden, dim
        double lr_factor, decay_factor

    bpk_status bpk_net_create_with_inputs(
        const bpk_kernels *kernels, int count, const bpk_input *inputs, int layers, const ptrdiff_t *sizes,
        const bpk_activation *activations, const bpk_loss_settings *loss, bpk_net **net)
    ptrdiff_t bpk_net_inputs_width(const bpk_net *net)
    ptrdiff_t bpk_net_extra_size(const bpk_net *net)
    void bpk_net_set_extra(bpk_net *net, bpk_store store, const void *values)
    void bpk_net_get_extra(const bpk_net *net, bpk_store store, void *values)
    void bpk_net_buffer_extra(const bpk_net *net, void *buffer, const void *values)
    bpk_status bpk_net_mix(bpk_net *net, int l, double lr_factor, double decay_factor)
    size_t bpk_net_weight_size(const bpk_net *net, int l)
    void bpk_net_free(bpk_net *net)
    void bpk_free(void *buffer)
    void bpk_net_set_layer(bpk_net *net, bpk_store store, int l, const void *w, const void *b)
    void bpk_net_get_layer(const bpk_net *net, bpk_store store, int l, void *w, void *b)
    void *bpk_net_buffer(const bpk_net *net)
    void bpk_net_buffer_layer(const bpk_net *net, void *buffer, int l, const void *w, const void *b)
    int bpk_net_replace(bpk_net *net, bpk_store store, const void *buffer)
    bpk_status bpk_net_make(bpk_net *net, bpk_store store)
    void bpk_net_discard(bpk_net *net, bpk_store store)
    int bpk_net_has(const bpk_net *net, bpk_store store)
    void bpk_net_fill(bpk_net *net, bpk_store store, double value)
    void bpk_net_start_average(bpk_net *net)
    bpk_status bpk_net_blend(bpk_net *net, const bpk_net *other, bpk_store store, double part)
    int bpk_uses(const bpk_optimizer *optimizer, bpk_store store)
    bpk_counts bpk_net_counts(const bpk_net *net)
    void bpk_net_set_counts(bpk_net *net, bpk_counts counts)
    void bpk_net_set_activation_parameter(bpk_net *net, int l, double parameter)
    ctypedef enum bpk_kind:
        BPK_WEIGHTS
        BPK_BIASES
        BPK_N_KINDS
    ctypedef struct bpk_group:
        double lr, decay
        bint frozen
    void bpk_net_set_group(bpk_net *net, int l, bpk_kind kind, bpk_group group)
    void bpk_net_set_dropout(bpk_net *net, int l, double probability)
    void bpk_net_set_input_dropout(bpk_net *net, double probability)
    void bpk_net_set_dropout_key(bpk_net *net, uint64_t key)
    bpk_status bpk_net_reserve_snapshot(bpk_net *net)
    bpk_status bpk_net_snapshot(bpk_net *net)
    void bpk_net_restore(bpk_net *net)
    int bpk_net_finite(const bpk_net *net)
    double bpk_net_penalty(const bpk_net *net, bpk_store store, double l1, double l2)

    bpk_status bpk_workspace_create(
        const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose, int threads, bpk_workspace **workspace)
    ptrdiff_t bpk_workspace_bytes(const bpk_workspace *workspace)
    void bpk_workspace_clear_gradients(const bpk_net *net, bpk_workspace *workspace)
    void bpk_workspace_free(bpk_workspace *workspace)

    int bpk_stores_gradients(const bpk_update_settings *update)
    double bpk_pending_add(bpk_pending *pending, double weight, ptrdiff_t accumulate, int at_end)
    bpk_status bpk_train(bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps)
    int bpk_shards_lendable(const bpk_shards *shards, const bpk_net *net, const bpk_request *request)
    bpk_status bpk_shards_lend(bpk_shards *shards, bpk_net *net, int stores)
    void bpk_shards_take_back(bpk_shards *shards, bpk_net *net, int after_error)
    ctypedef void bpk_order(void *context, int64_t *index, ptrdiff_t n) noexcept nogil

    ctypedef struct bpk_epochs:
        ptrdiff_t epochs
        double seconds
        bpk_order *order
        void *order_context
        int64_t *index
        int keeps_average
        ptrdiff_t finished
        bpk_results *results

    bpk_status bpk_train_epochs(bpk_net *net, bpk_workspace *workspace, bpk_run *run, bpk_epochs *epochs)
    bpk_status bpk_evaluate(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps)
    bpk_status bpk_gradients(const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps)
    void bpk_workspace_get_layer(
        const bpk_net *net, const bpk_workspace *workspace, int l, void *dw, void *db)
    void bpk_workspace_set_layer(
        const bpk_net *net, bpk_workspace *workspace, int l, const void *dw, const void *db)
    void bpk_workspace_get_extra(const bpk_net *net, const bpk_workspace *workspace, void *gradients)
    void bpk_workspace_set_extra(const bpk_net *net, bpk_workspace *workspace, const void *gradients)
    void bpk_workspace_copy_gradients(const bpk_net *net, bpk_workspace *to, const bpk_workspace *source)
    bpk_status bpk_forward(
        const bpk_net *net, bpk_workspace *workspace, bpk_run *run, ptrdiff_t steps, void *out)
    bpk_status bpk_tape_forward(bpk_net *net, bpk_workspace *workspace, bpk_run *run, void *out)
    bpk_status bpk_tape_backward(
        const bpk_net *net, bpk_workspace *workspace, const bpk_run *run, const void *grad, void *dx)
    ctypedef enum bpk_tape_matrix:
        BPK_N_TAPE_MATRICES
    void bpk_tape_loss(const bpk_net *net, bpk_workspace *workspace, const bpk_run *run, void *grad)
    void bpk_tape_update(bpk_net *net, bpk_workspace *workspace, const bpk_run *run, double scale)
    void bpk_tape_get(
        const bpk_net *net, const bpk_workspace *workspace, const bpk_run *run, bpk_tape_matrix matrix, int l, void *out)
