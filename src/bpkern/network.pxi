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
    """A row of X or y holds NaN, infinity, what overflows the dtype or an index out of range; `.row` says which,
    `.step` when."""

    def __init__(self, row, step):
        super().__init__(row, step)
        self.row, self.step = row, step


class NonFiniteLossError(Exception):
    """The loss of a batch is no finite number, and its update was not made; `.step` says which of the run."""

    def __init__(self, step):
        super().__init__(step)
        self.step = step


cdef bpk_source source_of(array) except *:
    """Of an array (n, columns), or of SparseRows."""
    if isinstance(array, np.ndarray):
        return dense_source(array)
    return sparse_source(array.data, array.indices, array.indptr, array.shape[1])


cdef bpk_source sparse_source(
    cnp.ndarray values, cnp.ndarray indices, cnp.ndarray indptr, ptrdiff_t columns
) except *:
    cdef bpk_source source = dense_source(values[np.newaxis])
    source.columns = columns
    source.row_stride = 0
    source.indices = cnp.PyArray_DATA(indices)
    source.indptr = cnp.PyArray_DATA(indptr)
    source.wide_indices = cnp.PyArray_ITEMSIZE(indices) == 8
    source.entries = cnp.PyArray_SIZE(indices)
    return source


cdef bpk_source dense_source(cnp.ndarray array) except *:
    cdef bpk_source source
    memset(&source, 0, sizeof(source))
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
    """Rows for a network to read: x (n, in) of any real dtype and strides, or SparseRows; y one of: None; int64
    labels (n,); an array like a dense x (n, out). weights: None or float64 (n,). All have been checked."""

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

# What the first slice does, by bpk_step_work: some milliseconds with vectors, some tens without.
cdef double FIRST_SLICE_WORK = 1e8

# What waiting for a thread costs a step at worst, where threads outnumber the processors; in the same measure.
cdef double BARRIERS_WORK = 1e6


@cython.final
cdef class Pace:
    """How many steps make a slice: doubled towards SLICE_SECONDS, and cut to it, as they are timed."""

    cdef ptrdiff_t steps  # 0: nothing is known yet
    cdef double began
    cdef bint whole

    cdef void guess(self, double step_work, int threads):
        """A first slice of some milliseconds, so that short ones do not start threads again and again."""
        if self.steps == 0:
            self.steps = max(1, <ptrdiff_t>(FIRST_SLICE_WORK / (step_work + BARRIERS_WORK * (threads - 1))))

    cdef void begin(self, const bpk_run *run):
        self.whole = run.data.rows - run.next >= self.steps * run.batch
        self.began = perf_counter()

    cdef void end(self):
        """A last slice may be a part of one: it tells what is too long, and not what is too short."""
        cdef double took = perf_counter() - self.began
        if took > SLICE_SECONDS and self.steps > 1:
            self.steps = max(1, <ptrdiff_t>(self.steps * SLICE_SECONDS / took))
        elif self.whole and took < SLICE_SECONDS / 2 and self.steps < 1 << 40:
            self.steps *= 2


# Rows that a pass without training takes at a time.
cdef ptrdiff_t READ_ROWS = 256


cdef class Network:
    """The parameters of a multilayer perceptron in C, and what is done with them.

    One thread may write, or several may read: who comes in between gets a RuntimeError. The thread that
    writes may call in again, as a callback of `fit` does.
    """

    cdef bpk_net *net
    cdef bpk_workspace *workspace  # for training
    cdef ptrdiff_t workspace_rows
    cdef int workspace_threads
    cdef bpk_workspace *reader  # for passes without training, one at a time
    cdef ptrdiff_t reader_rows
    cdef int reader_threads
    cdef bint reader_taken
    cdef tuple sizes
    cdef ptrdiff_t inputs, outputs
    cdef object dtype
    cdef int typenum
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
        self.inputs, self.outputs = sizes[0], sizes[-1]
        self.dtype = np.dtype(dtype)
        self.typenum = cnp.NPY_DOUBLE if self.dtype == np.float64 else cnp.NPY_FLOAT

    def __dealloc__(self):
        bpk_workspace_free(self.workspace)
        bpk_workspace_free(self.reader)
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

    cdef bpk_workspace *new_workspace(self, ptrdiff_t rows, bpk_purpose purpose, int threads) except NULL:
        cdef bpk_workspace *workspace = NULL
        if bpk_workspace_create(self.net, rows, purpose, threads, &workspace) != BPK_OK:
            raise MemoryError(f"no memory for a batch of {rows} rows in layers {list(self.sizes)}")
        return workspace

    cdef int threads_for(self, n_threads, ptrdiff_t batch, double steps, bpk_purpose purpose) except -1:
        """`n_threads` itself, or where that is None as many as the work is worth, up to get_num_threads()."""
        if n_threads is not None:
            return min(n_threads, BPK_MOST_THREADS)
        cdef double work = bpk_step_work(self.net, batch, purpose)
        if bpk_threads_worth(work, steps, 2) == 1:  # to ask for more takes longer than a small call
            return 1
        return bpk_threads_worth(work, steps, min(get_num_threads(), BPK_MOST_THREADS))

    def reserve(self, ptrdiff_t batch, double steps, n_threads):
        """Make the workspace for training in such batches, where it is not there yet; how many threads are to
        take the `steps` of an epoch."""
        cdef int threads = self.threads_for(n_threads, batch, steps, BPK_FOR_TRAINING)
        cdef bpk_workspace *workspace
        if batch > self.workspace_rows or threads > self.workspace_threads:
            rows, most = max(batch, self.workspace_rows), max(threads, self.workspace_threads)
            workspace = self.new_workspace(rows, BPK_FOR_TRAINING, most)
            bpk_workspace_free(self.workspace)
            self.workspace, self.workspace_rows, self.workspace_threads = workspace, rows, most
        return threads

    def train(self, Data rows, index, ptrdiff_t batch, sgd, double l2, int threads, Pace pace, progress):
        """One epoch, in the order of `index` (int64) or of the rows; `reserve` has been called and has told how
        many threads to take.

        `pace` is kept from epoch to epoch of a fit. `progress(rows done)` is called from time to time. Returns
        the sums over rows of the weighted loss, the weighted accuracy and the weights.
        """
        cdef bpk_run run
        cdef bpk_status status = BPK_OK
        start(&run, rows, index, batch)
        run.sgd = make_sgd(sgd.lr, sgd.momentum, sgd.nesterov, sgd.weight_decay)
        run.l2 = l2
        run.threads = threads
        pace.guess(bpk_step_work(self.net, batch, BPK_FOR_TRAINING), threads)
        while run.next < run.data.rows:
            pace.begin(&run)
            with nogil:
                status = bpk_train(self.net, self.workspace, &run, pace.steps)
            raise_for(status, &run)
            pace.end()
            PyErr_CheckSignals()
            progress(run.next)
        return run.loss_sum, run.accuracy_sum, run.weight_sum

    def reserve_reader(self, ptrdiff_t rows, n_threads):
        """Make the workspace for passes without training over so many rows, where it is not there yet."""
        cdef bpk_run run
        cdef bpk_workspace *workspace
        memset(&run, 0, sizeof(run))
        run.data.rows = rows
        run.batch = min(rows, READ_ROWS)
        if self.begin_reader(&run, n_threads, &workspace):
            self.reader_taken = False
        else:
            bpk_workspace_free(workspace)

    cdef int begin_reader(self, bpk_run *run, n_threads, bpk_workspace **workspace) except -1:
        """A workspace for a pass without training: the one that is kept, if nobody else has it and it is large
        enough. Returns whether it is that one. Sets the threads of the run."""
        cdef double steps = <double>((run.data.rows + run.batch - 1) // max(run.batch, 1))
        run.threads = self.threads_for(n_threads, run.batch, steps, BPK_FOR_FORWARD)
        if self.reader_taken:
            workspace[0] = self.new_workspace(run.batch, BPK_FOR_FORWARD, run.threads)
            return 0
        if run.batch > self.reader_rows or run.threads > self.reader_threads:
            rows, threads = max(run.batch, self.reader_rows), max(run.threads, self.reader_threads)
            workspace[0] = self.new_workspace(rows, BPK_FOR_FORWARD, threads)
            bpk_workspace_free(self.reader)
            self.reader, self.reader_rows, self.reader_threads = workspace[0], rows, threads
        workspace[0] = self.reader
        self.reader_taken = True
        return 1

    cdef int read(self, bpk_run *run, n_threads, void *out) except -1:
        """A pass without training: outputs where `out` is given, the sums of losses otherwise."""
        cdef bpk_workspace *workspace = NULL
        cdef bint kept
        if run.data.rows == 0:
            return 0
        self.begin_read()
        try:
            kept = self.begin_reader(run, n_threads, &workspace)
            try:
                self.read_slices(run, workspace, out)
            finally:
                if kept:
                    self.reader_taken = False
                else:
                    bpk_workspace_free(workspace)
        finally:
            self.end_read()
        return 0

    cdef int read_slices(self, bpk_run *run, bpk_workspace *workspace, void *out) except -1:
        cdef bpk_status status
        cdef Pace pace = Pace()
        pace.guess(bpk_step_work(self.net, run.batch, BPK_FOR_FORWARD), run.threads)
        cdef bint several = run.data.rows > pace.steps * run.batch
        while run.next < run.data.rows:
            if several:  # to ask for the time takes a good part of a one-row prediction
                pace.begin(run)
            with nogil:
                if out == NULL:
                    status = bpk_evaluate(self.net, workspace, run, pace.steps)
                else:
                    status = bpk_forward(self.net, workspace, run, pace.steps, out)
            raise_for(status, run)
            if several:
                pace.end()
            PyErr_CheckSignals()
        return 0

    def evaluate(self, Data rows, index, n_threads):
        """The sums that `train` returns, without training and without l2."""
        cdef bpk_run run
        start(&run, rows, index, READ_ROWS)
        run.batch = min(run.batch, run.data.rows)
        self.read(&run, n_threads, NULL)
        return run.loss_sum, run.accuracy_sum, run.weight_sum

    def forward(self, X):
        """The outputs (n, out), after the output activation, of an array of the network's dtype and width with
        contiguous rows; None for any other X, which takes the longer way through `forward_data`."""
        cdef bpk_run run
        if not cnp.PyArray_CheckExact(X):
            return None
        cdef cnp.ndarray x = <cnp.ndarray>X
        if (
            cnp.PyArray_TYPE(x) != self.typenum or cnp.PyArray_NDIM(x) != 2 or not cnp.PyArray_ISBEHAVED_RO(x)
            or cnp.PyArray_DIM(x, 1) != self.inputs
            or (self.inputs > 1 and cnp.PyArray_STRIDE(x, 1) != cnp.PyArray_ITEMSIZE(x))
        ):
            return None
        memset(&run, 0, sizeof(run))
        run.data.x.data = <const char *>cnp.PyArray_DATA(x)
        run.data.x.type = BPK_DOUBLE if self.typenum == cnp.NPY_DOUBLE else BPK_FLOAT
        run.data.x.columns = self.inputs
        run.data.x.row_stride = cnp.PyArray_STRIDE(x, 0)
        run.data.x.column_stride = cnp.PyArray_ITEMSIZE(x)
        run.data.rows = cnp.PyArray_DIM(x, 0)
        run.batch = min(run.data.rows, READ_ROWS)
        return self.outputs_of(&run)

    def forward_data(self, Data rows):
        """The same for whatever has been made into `Data`."""
        cdef bpk_run run
        start(&run, rows, None, min(rows.c.rows, READ_ROWS))
        return self.outputs_of(&run)

    cdef object outputs_of(self, bpk_run *run):
        cdef cnp.npy_intp shape[2]
        shape[0], shape[1] = run.data.rows, self.outputs
        out = cnp.PyArray_EMPTY(2, shape, self.typenum, 0)
        self.read(run, None, data(out))
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
            run.threads = self.threads_for(None, rows.c.rows, 1, BPK_FOR_TRAINING)
            workspace = self.new_workspace(rows.c.rows, BPK_FOR_TRAINING, run.threads)
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
