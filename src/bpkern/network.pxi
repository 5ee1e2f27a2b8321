# The trainer's side of the extension: a network in C, the data it reads, and the loops that come up for
# signals. Included by _core.pyx.

cdef dict SOURCE_TYPES = {
    ("b", 1): BPK_BOOL,
    ("i", 1): BPK_INT8,
    ("u", 1): BPK_UINT8,
    ("i", 2): BPK_INT16,
    ("u", 2): BPK_UINT16,
    ("i", 4): BPK_INT32,
    ("u", 4): BPK_UINT32,
    ("i", 8): BPK_INT64,
    ("u", 8): BPK_UINT64,
    ("f", 2): BPK_HALF,
    ("f", 4): BPK_FLOAT,
    ("f", 8): BPK_DOUBLE,
}


class BadRowError(Exception):
    """A row of X or y holds NaN, infinity or what overflows the dtype; `.row` says which, `.step` when."""

    def __init__(self, row, step):
        super().__init__(row, step)
        self.row, self.step = row, step


class NonFiniteLossError(Exception):
    """The loss of a batch is no finite number, and its update was not made; `.step` says which of the run."""

    def __init__(self, step):
        super().__init__(step)
        self.step = step


cdef bpk_source source_of(cnp.ndarray array) except *:
    cdef bpk_source source
    dtype = array.dtype
    source.data = <const char *>cnp.PyArray_DATA(array)
    if dtype.newbyteorder("=") == np.longdouble:
        source.type = BPK_LONG_DOUBLE
    else:
        source.type = <bpk_type><int>SOURCE_TYPES[dtype.kind, dtype.itemsize]
    source.swapped = not dtype.isnative
    source.columns = cnp.PyArray_DIM(array, 1)
    source.row_stride = cnp.PyArray_STRIDE(array, 0)
    source.column_stride = cnp.PyArray_STRIDE(array, 1)
    return source


cdef class Data:
    """Rows for a network to read: x (n, in) of any real dtype and strides; y one of: None; int64 labels (n,);
    an array like x (n, out). weights: None or float64 (n,). All have been checked."""

    cdef bpk_data c
    cdef tuple arrays  # what the pointers point into

    def __init__(self, x, y=None, weights=None):
        self.arrays = (x, y, weights)
        memset(&self.c, 0, sizeof(self.c))
        self.c.x = source_of(x)
        self.c.rows = x.shape[0]
        if y is not None and y.ndim == 1:
            self.c.labels = <const int64_t *>cnp.PyArray_DATA(y)
        elif y is not None:
            self.c.y = source_of(y)
        if weights is not None:
            self.c.weights = <const double *>cnp.PyArray_DATA(weights)

    @property
    def rows(self):
        return self.c.rows


# A call into C lasts about this long before it comes up for signals and progress.
cdef double SLICE_SECONDS = 0.05


@cython.final
cdef class Pace:
    """How many steps make a slice: doubled and halved towards SLICE_SECONDS as whole slices are timed."""

    cdef ptrdiff_t steps
    cdef double began

    def __cinit__(self):
        self.steps = 1

    cdef void begin(self):
        self.began = perf_counter()

    cdef void end(self):
        cdef double took = perf_counter() - self.began
        if took < SLICE_SECONDS / 2 and self.steps < 1 << 40:
            self.steps *= 2
        elif took > SLICE_SECONDS and self.steps > 1:
            self.steps //= 2


cdef class Network:
    """The parameters of a multilayer perceptron in C, and what is done with them.

    One thread may write, or several may read: who comes in between gets a RuntimeError. The thread that
    writes may call in again, as a callback of `fit` does.
    """

    cdef bpk_net *net
    cdef bpk_workspace *workspace  # for training
    cdef ptrdiff_t workspace_rows
    cdef tuple sizes
    cdef object dtype
    cdef unsigned long writer
    cdef int writes, reads

    def __cinit__(self, sizes, activations, str loss, dtype):
        cdef int layers = len(sizes) - 1, l
        cdef ptrdiff_t *c_sizes = <ptrdiff_t *>calloc(layers + 1, sizeof(ptrdiff_t))
        cdef bpk_activation *c_activations = <bpk_activation *>calloc(layers, sizeof(bpk_activation))
        cdef bpk_status status = BPK_NO_MEMORY
        try:
            if c_sizes != NULL and c_activations != NULL:
                for l in range(layers + 1):
                    c_sizes[l] = sizes[l]
                for l in range(layers):
                    c_activations[l] = activation_of(activations[l])
                status = bpk_net_create(
                    kernels_for(dtype == np.float64), layers, c_sizes, c_activations,
                    <bpk_loss><int>LOSSES.index(loss), &self.net,
                )
        except OverflowError:  # a size that no machine word holds
            pass
        finally:
            free(c_sizes)
            free(c_activations)
        if status != BPK_OK:
            raise MemoryError(f"no memory for a network of layers {list(sizes)}")
        self.sizes = tuple(sizes)
        self.dtype = np.dtype(dtype)

    def __dealloc__(self):
        bpk_workspace_free(self.workspace)
        bpk_net_free(self.net)

    def __reduce__(self):
        raise TypeError("a model cannot be pickled or copied in this version: take its state_dict()")

    # Who may come in -----------------------------------------------------------------------------------

    def writing(self):
        """A context in which this thread may change the network; raises RuntimeError where another is in."""
        return Section(self, True)

    def reading(self):
        """A context in which nobody else changes the network; raises RuntimeError where one is doing so."""
        return Section(self, False)

    cdef int begin_write(self) except -1:
        cdef unsigned long me = PyThread_get_thread_ident()
        if self.reads or (self.writes and self.writer != me):
            raise RuntimeError("another thread is using this model: give each thread its own, or take turns")
        self.writer = me
        self.writes += 1
        return 0

    cdef void end_write(self) noexcept:
        self.writes -= 1

    cdef int begin_read(self) except -1:
        if self.writes and self.writer != <unsigned long>PyThread_get_thread_ident():
            raise RuntimeError("another thread is changing this model: give each thread its own, or take turns")
        self.reads += 1
        return 0

    cdef void end_read(self) noexcept:
        self.reads -= 1

    # Parameters ----------------------------------------------------------------------------------------

    def get_layers(self):
        """Copies [(W, b), ...], all of one moment."""
        shapes = zip(self.sizes[1:], self.sizes)
        layers = [(np.empty(shape, self.dtype), np.empty(shape[0], self.dtype)) for shape in shapes]
        with self.reading():
            for l, (w, b) in enumerate(layers):
                bpk_net_get_layer(self.net, l, data(w), data(b))
        return layers

    def set_layers(self, layers):
        """Weights and biases of the network's shapes and dtype, C-contiguous, all at once."""
        with self.writing():
            for l, (w, b) in enumerate(layers):
                bpk_net_set_layer(self.net, l, data(w), data(b))

    def make_velocity(self):
        if bpk_net_make_velocity(self.net) != BPK_OK:
            raise MemoryError(f"no memory for the velocities of layers {list(self.sizes)}")

    def clear_velocity(self):
        bpk_net_clear_velocity(self.net)

    def snapshot(self):
        if bpk_net_snapshot(self.net) != BPK_OK:
            raise MemoryError(f"no memory for a copy of the parameters of layers {list(self.sizes)}")

    def restore(self):
        bpk_net_restore(self.net)

    def finite(self):
        return bool(bpk_net_finite(self.net))

    def sum_squares(self):
        with self.reading():
            return bpk_net_sum_squares(self.net)

    # Runs ----------------------------------------------------------------------------------------------

    cdef bpk_workspace *new_workspace(self, ptrdiff_t rows, bpk_purpose purpose, int threads=1) except NULL:
        cdef bpk_workspace *workspace = NULL
        if bpk_workspace_create(self.net, rows, purpose, threads, &workspace) != BPK_OK:
            raise MemoryError(f"no memory for a batch of {rows} rows in layers {list(self.sizes)}")
        return workspace

    def reserve(self, ptrdiff_t rows):
        """Make the workspace for training in batches of so many rows, where it is not there yet."""
        cdef bpk_workspace *workspace
        if rows > self.workspace_rows:
            workspace = self.new_workspace(rows, BPK_FOR_TRAINING)
            bpk_workspace_free(self.workspace)
            self.workspace = workspace
            self.workspace_rows = rows

    def train(self, Data rows, index, ptrdiff_t batch, sgd, double l2, Pace pace, progress):
        """One epoch, in the order of `index` (int64) or of the rows; `reserve(batch)` has been called.

        `pace` is kept from epoch to epoch of a fit. `progress(rows done)` is called from time to time. Returns
        the sums over rows of the weighted loss, the weighted accuracy and the weights.
        """
        cdef bpk_run run
        cdef bpk_status status = BPK_OK
        start(&run, rows, index, batch)
        run.sgd = make_sgd(sgd.lr, sgd.momentum, sgd.nesterov, sgd.weight_decay)
        run.l2 = l2
        while run.next < run.data.rows:
            pace.begin()
            with nogil:
                status = bpk_train(self.net, self.workspace, &run, pace.steps)
            raise_for(status, &run)
            if run.next < run.data.rows:
                pace.end()
            PyErr_CheckSignals()
            progress(run.next)
        return run.loss_sum, run.accuracy_sum, run.weight_sum

    cdef int read(self, bpk_run *run, void *out) except -1:
        """A pass without training: outputs where `out` is given, the sums of losses otherwise."""
        cdef bpk_status status
        cdef Pace pace = Pace()
        cdef bpk_workspace *workspace = self.new_workspace(run.batch, BPK_FOR_FORWARD)
        try:
            with self.reading():
                while run.next < run.data.rows:
                    pace.begin()
                    with nogil:
                        if out == NULL:
                            status = bpk_evaluate(self.net, workspace, run, pace.steps)
                        else:
                            status = bpk_forward(self.net, workspace, run, pace.steps, out)
                    raise_for(status, run)
                    if run.next < run.data.rows:
                        pace.end()
                    PyErr_CheckSignals()
        finally:
            bpk_workspace_free(workspace)
        return 0

    def evaluate(self, Data rows, index, ptrdiff_t batch):
        """The sums that `train` returns, without training and without l2."""
        cdef bpk_run run
        start(&run, rows, index, batch)
        self.read(&run, NULL)
        return run.loss_sum, run.accuracy_sum, run.weight_sum

    def forward(self, Data rows, ptrdiff_t batch):
        """The outputs (n, out), after the output activation."""
        cdef bpk_run run
        start(&run, rows, None, batch)
        out = np.empty((rows.c.rows, self.sizes[-1]), self.dtype)
        self.read(&run, data(out))
        return out

    def gradients(self, Data rows, sums):
        """The mean loss over all rows, without l2; its gradients are added to `sums`, [(dw, db), ...]."""
        cdef bpk_run run
        cdef bpk_status status
        cdef int layers = len(sums), l
        start(&run, rows, None, rows.c.rows)
        cdef void **pointers = <void **>calloc(2 * layers, sizeof(void *))
        cdef bpk_workspace *workspace = NULL
        try:
            if pointers == NULL:
                raise MemoryError("no memory for the gradients")
            for l in range(layers):
                pointers[l] = data(sums[l][0])
                pointers[layers + l] = data(sums[l][1])
            workspace = self.new_workspace(rows.c.rows, BPK_FOR_TRAINING)
            with self.reading(), nogil:
                status = bpk_gradients(self.net, workspace, &run, pointers, pointers + layers)
            raise_for(status, &run)
        finally:
            bpk_workspace_free(workspace)
            free(pointers)
        return run.loss_sum / run.weight_sum


@cython.final
cdef class Section:
    """What `Network.writing` and `reading` give: entered and left in C, where no signal comes between."""

    cdef Network network
    cdef bint writes

    def __cinit__(self, Network network, bint writes):
        self.network, self.writes = network, writes

    def __enter__(self):
        if self.writes:
            self.network.begin_write()
        else:
            self.network.begin_read()

    def __exit__(self, *error):
        if self.writes:
            self.network.end_write()
        else:
            self.network.end_read()


cdef void start(bpk_run *run, Data rows, index, ptrdiff_t batch):
    memset(run, 0, sizeof(run[0]))
    run.data = rows.c
    run.batch = batch
    if index is not None:
        run.data.index = <const int64_t *>cnp.PyArray_DATA(<cnp.ndarray>index)
        run.data.rows = cnp.PyArray_SIZE(index)


cdef int raise_for(bpk_status status, const bpk_run *run) except -1:
    if status == BPK_BAD_ROW:
        raise BadRowError(run.bad_row, run.next // run.batch)
    if status == BPK_DIVERGED:
        raise NonFiniteLossError(run.next // run.batch)
    return 0
