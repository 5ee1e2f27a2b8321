# The trainer's side of the extension: a network in C, and the loops that come up for signals. Included by
# _core.pyx.

# Rows that a pass without training takes at a time.
cdef ptrdiff_t READ_ROWS = 256


# In the order of the C enumeration; m, v and u are the states of optimisers that bpkern.h names so.
STORES = ("parameters", "m", "v", "u", "average")
PARAMETERS = STORES[0]


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
    cdef bint workspace_stores
    cdef tuple sizes
    cdef ptrdiff_t inputs, outputs
    cdef object dtype
    cdef int typenum
    cdef unsigned long writer
    cdef int writes, reads
    cdef unsigned long forks  # those after which writer, writes and reads were looked at
    cdef unsigned long changes  # of the parameters: a forward pass from before one is not gone back through

    def __cinit__(
        self, sizes, activations, str loss, dtype, parameters=None, double smoothing=0.0,
        double loss_factor=1.0, double slope_factor=1.0, double most=INFINITY,
        bint deviance=False,
    ):
        cdef int layers = len(sizes) - 1, l
        cdef bpk_loss_settings c_loss = bpk_loss_settings(
            <bpk_loss><int>LOSSES.index(loss), NULL, smoothing, loss_factor, slope_factor, most, deviance
        )
        cdef ptrdiff_t *c_sizes = <ptrdiff_t *>calloc(layers + 1, sizeof(ptrdiff_t))
        cdef bpk_activation *c_activations = <bpk_activation *>calloc(layers, sizeof(bpk_activation))
        cdef bpk_status status = BPK_NO_MEMORY
        if parameters is not None:  # float64, one an output
            c_loss.parameters = <const double *>data(parameters)
        try:
            if c_sizes != NULL and c_activations != NULL:
                for l in range(layers + 1):
                    c_sizes[l] = sizes[l]
                for l in range(layers):
                    c_activations[l] = activation_of(activations[l])
                status = bpk_net_create(
                    kernels_for(dtype == np.float64), layers, c_sizes, c_activations, &c_loss, &self.net
                )
        except OverflowError:  # a size that no machine word holds
            pass
        finally:
            free(c_sizes)
            free(c_activations)
        if status != BPK_OK:
            raise MemoryError(f"no memory for a network of layers {list(sizes)}")
        self.forks = forks
        self.sizes = tuple(sizes)
        self.inputs, self.outputs = sizes[0], sizes[-1]
        self.dtype = np.dtype(dtype)
        self.typenum = cnp.NPY_DOUBLE if self.dtype == np.float64 else cnp.NPY_FLOAT

    def __dealloc__(self):
        bpk_workspace_free(self.workspace)
        bpk_workspace_free(self.reader)
        bpk_net_free(self.net)

    def __reduce__(self):
        raise TypeError("a network is made anew from its model's state")

    # Who may come in -----------------------------------------------------------------------------------

    def writing(self):
        """A context in which this thread may change the network; raises RuntimeError where another is in."""
        return Section(self, True)

    def reading(self):
        """A context in which nobody else changes the network; raises RuntimeError where one is doing so."""
        return Section(self, False)

    cdef int begin_write(self) except -1:
        cdef unsigned long me = this_thread()
        if self.forks != forks:
            self.look_after_fork()
        if self.reads or (self.writes and self.writer != me):
            raise RuntimeError("another thread is using this model: give each thread its own, or take turns")
        self.writer = me
        self.writes += 1
        return 0

    cdef void end_write(self) noexcept:
        self.writes -= 1

    cdef int begin_read(self) except -1:
        if self.forks != forks:
            self.look_after_fork()
        if self.writes and self.writer != this_thread():
            raise RuntimeError("another thread is changing this model: give each thread its own, or take turns")
        self.reads += 1
        global thread_readings
        thread_readings += 1
        return 0

    cdef void end_read(self) noexcept:
        self.reads -= 1
        global thread_readings
        thread_readings -= 1

    cdef int look_after_fork(self) except -1:
        """In a child, where the threads that were in here are gone, but for the one that forked in its own writing.
        Another writer has left half a step, for good."""
        if self.writes and self.writer != forker:
            raise RuntimeError(
                "another thread was changing this model when the process was forked: load it, or make it anew"
            )
        self.reads, self.reader_taken, self.forks = 0, False, forks
        return 0

    # Parameters ----------------------------------------------------------------------------------------

    def get_layers(self, store=PARAMETERS):
        """Copies [(W, b), ...] of a store, all of one moment."""
        cdef bpk_store c_store = <bpk_store><int>STORES.index(store)
        layers = self.empty_layers()
        with self.reading():
            for l, (w, b) in enumerate(layers):
                bpk_net_get_layer(self.net, c_store, l, data(w), data(b))
        return layers

    def empty_layers(self):
        """[(W, b), ...] to be filled."""
        shapes = zip(self.sizes[1:], self.sizes)
        return [(np.empty(shape, self.dtype), np.empty(shape[0], self.dtype)) for shape in shapes]

    def set_layers(self, layers, store=PARAMETERS):
        """Weights and biases of the network's shapes and dtype, C-contiguous, all at once."""
        cdef bpk_store c_store = <bpk_store><int>STORES.index(store)
        with self.writing():
            self.make(c_store)
            self.changes += 1
            for l, (w, b) in enumerate(layers):
                bpk_net_set_layer(self.net, c_store, l, data(w), data(b))

    cdef int make(self, bpk_store store) except -1:
        if bpk_net_make(self.net, store) != BPK_OK:
            raise MemoryError(f"no memory for the {STORES[store]} of layers {list(self.sizes)}")
        return 0

    def stores(self):
        """The names of those that are there."""
        return [name for i, name in enumerate(STORES) if bpk_net_has(self.net, <bpk_store><int>i)]

    def prepare(self, Update update):
        """Make the states that the optimiser uses, and begin the average, where they are not there yet: all of
        them, or none where there is no memory."""
        cdef int i, wanted = update.averages << <int>BPK_AVERAGE, made
        for i in range(BPK_M, BPK_AVERAGE):
            if bpk_uses(&update.c.optimizer, <bpk_store>i):
                wanted |= 1 << i
        made = self.make_all(wanted)
        if made >> <int>BPK_V & 1 and update.initial_squares:
            bpk_net_fill(self.net, BPK_V, update.initial_squares)
        if made >> <int>BPK_AVERAGE & 1:
            bpk_net_start_average(self.net)

    cdef int make_all(self, int wanted) except -1:
        """Make those of a set of stores, a bit each, that are not there; which these were."""
        cdef int i, made = 0
        try:
            for i in range(BPK_N_STORES):
                if wanted >> i & 1 and not bpk_net_has(self.net, <bpk_store>i):
                    self.make(<bpk_store>i)
                    made |= 1 << i
        except MemoryError:
            for i in range(BPK_N_STORES):
                if made >> i & 1:
                    bpk_net_drop(self.net, <bpk_store>i)
            raise
        return made

    def make_room(self, stores):
        """Make those of these names that are not there, or none where there is no memory."""
        cdef int wanted = 0
        for store in stores:
            wanted |= 1 << <int>STORES.index(store)
        self.make_all(wanted)

    def keep_only(self, stores):
        """Drop the states and the average that are not of these names."""
        for i in range(BPK_M, BPK_N_STORES):
            if STORES[i] not in stores:
                bpk_net_drop(self.net, <bpk_store><int>i)

    def forget(self):
        """Drop the optimiser's states and the average of the parameters, and count from 0."""
        for i in range(BPK_M, BPK_N_STORES):
            bpk_net_drop(self.net, <bpk_store><int>i)
        self.counts = (0, 0)
        self.moves = 0

    def blend(self, Network other, double part):
        """Go a part of the way to the parameters that another network predicts by."""
        with self.writing(), other.reading():
            if bpk_net_blend(self.net, other.net, BPK_AVERAGE if other.averaged() else BPK_PARAMETERS, part) != BPK_OK:
                raise ValueError("the two models were made under different instruction sets")
            self.changes += 1
            self.drop_average()

    def drop_states(self):
        """The optimiser's: it begins anew."""
        for i in range(BPK_M, BPK_AVERAGE):
            bpk_net_drop(self.net, <bpk_store><int>i)
        self.moves = 0

    def drop_average(self):
        bpk_net_drop(self.net, BPK_AVERAGE)

    @property
    def counts(self):
        """How many updates were made, and how many mini-batches trained on, over the network's life."""
        cdef bpk_counts counts = bpk_net_counts(self.net)
        return counts.updates, counts.batches

    @counts.setter
    def counts(self, values):
        cdef bpk_counts counts = bpk_net_counts(self.net)
        counts.updates, counts.batches = values
        bpk_net_set_counts(self.net, counts)

    @property
    def moves(self):
        """How many updates were made since the optimiser's states began."""
        return bpk_net_counts(self.net).moves

    @moves.setter
    def moves(self, value):
        cdef bpk_counts counts = bpk_net_counts(self.net)
        counts.moves = value
        bpk_net_set_counts(self.net, counts)

    def set_dropout(self, probabilities, uint64_t key):
        """The probability of each hidden layer, and the key of the generator."""
        for l, probability in enumerate(probabilities):
            bpk_net_set_dropout(self.net, l, probability)
        bpk_net_set_dropout_key(self.net, key)

    def snapshot(self):
        if bpk_net_snapshot(self.net) != BPK_OK:
            raise MemoryError(f"no memory for a copy of the parameters of layers {list(self.sizes)}")

    def restore(self):
        bpk_net_restore(self.net)

    def finite(self):
        return bool(bpk_net_finite(self.net))

    @property
    def has_average(self):
        return self.averaged()

    cdef bint averaged(self) noexcept:
        """Whether predictions are by the average."""
        return bpk_net_has(self.net, BPK_AVERAGE)

    def penalty(self, double l1, double l2, bint trained=False):
        """Of the parameters that predictions are by, or of those that are trained."""
        cdef bint averaged
        with self.reading():
            averaged = self.averaged() and not trained
            return bpk_net_penalty(self.net, BPK_AVERAGE if averaged else BPK_PARAMETERS, l1, l2)

    # Runs ----------------------------------------------------------------------------------------------

    cdef bpk_workspace *new_workspace(self, ptrdiff_t rows, bpk_purpose purpose, int threads) except NULL:
        cdef bpk_workspace *workspace = NULL
        if bpk_workspace_create(self.net, rows, purpose, threads, &workspace) != BPK_OK:
            raise MemoryError(f"no memory for a batch of {rows} rows in layers {list(self.sizes)}")
        return workspace

    cdef int threads_for(self, n_threads, ptrdiff_t batch, double steps, bpk_purpose purpose) except -1:
        """`n_threads` itself, or where that is None as many as the work is worth, up to the thread's share."""
        return share_of(self.most_threads(n_threads, batch, steps, purpose), n_threads)

    cdef int most_threads(self, n_threads, ptrdiff_t batch, double steps, bpk_purpose purpose) except -1:
        """The same for a thread that shares with no other."""
        if n_threads is not None:
            return min(n_threads, BPK_MOST_THREADS)
        cdef double work = bpk_step_work(self.net, batch, purpose)
        if bpk_threads_worth(work, steps, 2) == 1:  # to ask for more takes longer than a small call
            return 1
        return bpk_threads_worth(work, steps, min(get_num_threads(), BPK_MOST_THREADS))

    def reserve(self, ptrdiff_t batch, double steps, Update update, n_threads):
        """Make the workspace for training in such batches, where it is not there yet; how many threads are to
        take the `steps` of an epoch where no other call is under way."""
        cdef int threads = self.most_threads(n_threads, batch, steps, BPK_FOR_TRAINING)
        cdef bpk_workspace *workspace
        cdef bint stores = bpk_stores_gradients(&update.c)
        if batch > self.workspace_rows or threads > self.workspace_threads or stores > self.workspace_stores:
            rows, most = max(batch, self.workspace_rows), max(threads, self.workspace_threads)
            stores = stores or self.workspace_stores
            workspace = self.new_workspace(rows, BPK_FOR_GRADIENTS if stores else BPK_FOR_TRAINING, most)
            if self.workspace_stores:  # a larger batch of a stream may come while some are pending
                bpk_workspace_take_gradients(self.net, workspace, self.workspace)
            bpk_workspace_free(self.workspace)
            self.workspace, self.workspace_rows, self.workspace_threads = workspace, rows, most
            self.workspace_stores = stores
        return threads

    def train(
        self, Data rows, index, ptrdiff_t batch, Update update, rates, int threads, Pace pace, watcher,
        outputs=None, bint more=False,
    ):
        """One epoch, in the order of `index` (int64) or of the rows; `reserve` has been called and has told how
        many threads to take.

        `rates` are the learning rates (updates,) where they are no constant. `pace` is kept from epoch to epoch of
        a fit. `watcher` is told from time to time, as bpkern.steps.Watcher says.
        `outputs` (n, out) gets those before each update. With `more`, what is pending goes on into the next call.
        Returns the sums over rows of the weighted loss, the weighted accuracy and the weights.
        """
        cdef bpk_run run
        cdef bpk_status status = BPK_OK
        start(&run, rows, index, batch)
        update.begin(&run)
        run.more = more
        run.threads = threads
        if isinstance(rates, float):
            run.optimizer.lr = rates
        else:
            run.rates = <const double *>cnp.PyArray_DATA(<cnp.ndarray>rates)
        if outputs is not None:
            run.outputs = data(outputs)
        pace.guess(bpk_step_work(self.net, batch, BPK_FOR_TRAINING), threads)
        cdef ptrdiff_t next
        cdef double loss, weight
        while run.next < run.data.rows:
            next, loss, weight = run.next, run.loss_sum, run.weight_sum
            if pace.single:
                watcher.before()
            self.prepare(update)  # a callback may have changed the optimiser, called reset or set weights
            self.changes += 1  # in each slice: a callback may have gone forward since the last
            pace.begin(&run)
            with nogil:
                status = bpk_train(self.net, self.workspace, &run, pace.steps)
            raise_for(status, &run)
            pace.end()
            look_for_signals()
            watcher.after(run.next - next, run.loss_sum - loss, run.weight_sum - weight)
        update.end(&run)
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
        cdef int most = self.most_threads(n_threads, run.batch, steps, BPK_FOR_FORWARD)
        run.threads = share_of(most, n_threads)
        if self.reader_taken:
            workspace[0] = self.new_workspace(run.batch, BPK_FOR_FORWARD, run.threads)
            return 0
        if run.batch > self.reader_rows or most > self.reader_threads:
            rows, threads = max(run.batch, self.reader_rows), max(most, self.reader_threads)
            workspace[0] = self.new_workspace(rows, BPK_FOR_FORWARD, threads)
            bpk_workspace_free(self.reader)
            self.reader, self.reader_rows, self.reader_threads = workspace[0], rows, threads
        workspace[0] = self.reader
        self.reader_taken = True
        return 1

    cdef int read(self, bpk_run *run, n_threads, void *out) except -1:
        """A pass without training: outputs where `out` is given, the sums of losses otherwise."""
        cdef bpk_workspace *workspace = NULL
        cdef bint kept, is_call = False
        if run.data.rows == 0:
            return 0
        self.begin_read()
        try:
            is_call = run.data.rows > run.batch and begin_call()
            run.averaged = self.averaged()
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
            if is_call:
                end_call()
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
            look_for_signals()
        return 0

    def evaluate(self, Data rows, index, n_threads, row_losses=None, outputs=None):
        """The sums that `train` returns, without training and without penalties. `row_losses` (n,) in float64 gets
        the loss of each row, and `outputs` (n, out) the outputs."""
        cdef bpk_run run
        start(&run, rows, index, READ_ROWS)
        run.batch = min(run.batch, run.data.rows)
        if row_losses is not None:
            run.row_losses = <double *>data(row_losses)
        if outputs is not None:
            run.outputs = data(outputs)
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
        return self.outputs_of(&run, self.outputs, None)

    def forward_data(self, Data rows, index=None, int layers=0, n_threads=None):
        """The same for whatever has been made into `Data`; of the first `layers` layers, where that is not 0."""
        cdef bpk_run run
        start(&run, rows, index, READ_ROWS)
        run.batch = min(run.batch, run.data.rows)
        run.layers = layers
        return self.outputs_of(&run, self.sizes[layers] if layers else self.outputs, n_threads)

    cdef object outputs_of(self, bpk_run *run, ptrdiff_t width, n_threads):
        cdef cnp.npy_intp shape[2]
        shape[0], shape[1] = run.data.rows, width
        out = cnp.PyArray_EMPTY(2, shape, self.typenum, 0)
        self.read(run, n_threads, data(out))
        return out

    def gradients(self, Data rows, ptrdiff_t batch=0, n_threads=None):
        """The mean loss over all rows and its gradients [(dW, db), ...], without penalties. All rows are one batch,
        or go through in batches of so many, which need the less room."""
        cdef bpk_run run
        cdef bpk_status status
        cdef bpk_workspace *workspace = NULL
        cdef Pace pace = Pace()
        start(&run, rows, None, rows.c.rows if batch == 0 else min(batch, rows.c.rows))
        cdef double steps = <double>((rows.c.rows + run.batch - 1) // run.batch)
        gradients = self.empty_layers()
        cdef bint is_call = begin_call()
        try:
            run.threads = self.threads_for(n_threads, run.batch, steps, BPK_FOR_TRAINING)
            workspace = self.new_workspace(run.batch, BPK_FOR_GRADIENTS, run.threads)
            pace.guess(bpk_step_work(self.net, run.batch, BPK_FOR_TRAINING), run.threads)
            with self.reading():
                while run.next < run.data.rows:
                    pace.begin(&run)
                    with nogil:
                        status = bpk_gradients(self.net, workspace, &run, pace.steps)
                    raise_for(status, &run)
                    pace.end()
                    look_for_signals()
            for l, (dw, db) in enumerate(gradients):
                bpk_workspace_get_layer(self.net, workspace, l, data(dw), data(db))
        finally:
            bpk_workspace_free(workspace)
            if is_call:
                end_call()
        return run.loss_sum / run.weight_sum, gradients


@cython.final
cdef class Section:
    """What `Network.writing` and `reading` give: entered and left in C, where no signal comes between."""

    cdef Network network
    cdef bint writes, is_call

    def __cinit__(self, Network network, bint writes):
        self.network, self.writes = network, writes

    def __enter__(self):
        if self.writes:
            self.is_call = begin_call()
            try:
                self.network.begin_write()
            except BaseException:
                if self.is_call:
                    end_call()
                raise
        else:
            self.network.begin_read()

    def __exit__(self, *error):
        if self.writes:
            self.network.end_write()
            if self.is_call:
                end_call()
        else:
            self.network.end_read()
