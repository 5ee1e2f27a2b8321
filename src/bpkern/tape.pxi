# Steps by hand: forward, backward and update as separate calls. Included by _core.pyx.

# What `Tape.matrix` copies, in the order of the C enumeration.
TAPE_MATRICES = ("x", "a", "slope", "delta")

@cython.final
cdef class Tape:
    """The activations of a forward pass, from which a backward pass starts, and the stored gradients."""

    cdef Network network
    cdef bpk_workspace *workspace
    cdef ptrdiff_t rows
    cdef int threads
    cdef bpk_run run  # of the last forward pass
    cdef cnp.ndarray dropouts  # those of the last forward pass, into which `run` points, or None
    cdef Data targets  # the rows of the last forward pass if it has targets: `loss` reads them where they are
    cdef bint has_forward  # whether there was a forward pass since the last update
    cdef bint has_backward  # whether there was a backward pass since the last forward pass
    cdef bint stored  # whether gradients are stored
    cdef unsigned long changes  # the network's `changes` at the last forward pass

    def __cinit__(self, Network network):
        self.network = network

    def __dealloc__(self):
        bpk_workspace_free(self.workspace)

    def forward(self, Data rows, index, n_threads=None, dropouts=None):
        """The outputs (n, out) of a forward pass as in training, with dropout, over all rows as one mini-batch. `index`
        is int64 (n,), or None for all rows. Targets and weights are only for `loss`. `dropouts` (1, layers) is that of
        `Network.train`."""
        cdef bpk_run run
        cdef bpk_status status
        cdef cnp.npy_intp shape[2]
        look_for_signals()  # training with a loss in Python calls this once per step
        self.network.begin_run(&run, rows, index, 0, rows.c.labels != NULL or rows.c.y.data != NULL)
        run.request.batch = run.request.data.rows
        if run.request.batch < 1:
            raise ValueError("X has no rows")
        if bpk_step_work(self.network.net, run.request.batch, BPK_FOR_TRAINING) >= FIRST_SLICE_WORK:
            run.request.stop = wants_to_stop
        run.request.threads = self.network.threads_for(n_threads, run.request.batch, 1, BPK_FOR_TRAINING)
        shape[0], shape[1] = run.request.batch, self.network.outputs
        out = cnp.PyArray_EMPTY(2, shape, self.network.typenum, 0)
        cdef void *outputs = data(out)
        if dropouts is not None:
            dropouts = self.network.probabilities(dropouts, 1)
            run.request.dropouts = <const double *>data(dropouts)
        with self.network.writing():
            while True:
                self.reserve(run.request.batch, run.request.threads)  # each time: a handler may have used this tape
                self.has_forward = self.has_backward = False
                with nogil:
                    status = bpk_tape_forward(self.network.net, self.workspace, &run, outputs)
                raise_for(status, &run)
                if status != BPK_STOPPED:
                    break
                look_for_signals()  # if no handler raises anything, once more
            self.run, self.has_forward, self.changes = run, True, self.network.changes
            self.dropouts = dropouts
            self.targets = rows if rows.c.labels != NULL or rows.c.y.data != NULL else None
        return out

    cdef int reserve(self, ptrdiff_t rows, int threads) except -1:
        """Make room for a batch of `rows` rows; stored gradients are kept. Raises MemoryError."""
        cdef bpk_workspace *workspace
        if self.rows // 4 > rows and not self.stored and bpk_workspace_bytes(self.workspace) > LARGE_WORKSPACE:
            bpk_workspace_free(self.workspace)  # as in Network.release
            self.workspace, self.rows, self.threads, self.has_forward = NULL, 0, 0, False
        if rows > self.rows or threads > self.threads:
            rows, threads = max(rows, self.rows), max(threads, self.threads)
            workspace = self.network.new_workspace(rows, BPK_FOR_GRADIENTS, threads)
            if self.workspace != NULL:
                bpk_workspace_copy_gradients(self.network.net, workspace, self.workspace)
            bpk_workspace_free(self.workspace)
            self.workspace, self.rows, self.threads = workspace, rows, threads
        return 0

    cdef int check_forward(self) except -1:
        """Raise RuntimeError unless there is a forward pass to go back through."""
        if not self.has_forward:
            raise RuntimeError("this needs a forward(X, train=True) since the last step")
        if self.changes != self.network.changes:
            raise RuntimeError("the parameters were changed since forward(X, train=True)")
        return 0

    cdef int check_outputs(self, cnp.ndarray gradient) except -1:
        """Raise ValueError unless the gradient has the shape of the outputs."""
        if shape_of(gradient) != (self.run.request.data.rows, self.network.outputs):
            raise ValueError(
                f"grad_output must have the outputs' shape {(self.run.request.data.rows, self.network.outputs)}, "
                f"not {shape_of(gradient)}"
            )
        return 0

    def backward(self, gradient, bint wants_x):
        """Add to the stored gradients, from the derivative of the loss by the outputs (n, out), in the network's dtype
        and C-contiguous. Returns the derivative by x (n, in) if wanted."""
        cdef cnp.npy_intp shape[2]
        cdef bpk_status status
        cdef const void *given
        cdef void *wanted = NULL
        dx = None
        with self.network.writing():
            self.check_forward()
            gradient = plain("grad_output", gradient)
            self.check_outputs(gradient)
            check_contiguous("grad_output", gradient, self.network.typenum, shape_of(gradient))
            given = data(gradient)
            if wants_x:
                shape[0], shape[1] = self.run.request.data.rows, self.network.inputs
                dx = cnp.PyArray_EMPTY(2, shape, self.network.typenum, 0)
                wanted = data(dx)
            while True:
                with nogil:
                    status = bpk_tape_backward(self.network.net, self.workspace, &self.run, given, wanted)
                if status != BPK_STOPPED:
                    break
                look_for_signals()  # if no handler raises anything, once more
                self.check_forward()  # again: a handler may have used this tape
                self.check_outputs(gradient)
            self.stored = self.has_backward = True
        return dx

    def loss(self):
        """The derivative of the loss by the outputs (n, out), for the targets and weights that `forward` was given with
        its rows. It contains the factors weight / (sum of weights)."""
        cdef cnp.npy_intp shape[2]
        cdef void *gradient
        with self.network.writing():
            self.check_forward()
            if self.run.request.data.labels == NULL and self.run.request.data.y.data == NULL:
                raise RuntimeError("the forward pass was given no targets")
            shape[0], shape[1] = self.run.request.data.rows, self.network.outputs
            out = cnp.PyArray_EMPTY(2, shape, self.network.typenum, 0)
            gradient = data(out)
            with nogil:
                bpk_tape_loss(self.network.net, self.workspace, &self.run, gradient)
        return out

    def matrix(self, name, int l):
        """A copy of a matrix that the last forward pass has left for layer l, counted from 0: the inputs "x" (n, in), the
        activations "a", or the derivatives da/dz "slope", (n, out), both after dropout; or "delta" (n, out), which the
        backward pass after it has left."""
        cdef cnp.npy_intp shape[2]
        cdef bpk_tape_matrix which = <bpk_tape_matrix><int>TAPE_MATRICES.index(name)
        cdef void *matrix
        if not 0 <= l < len(self.network.sizes) - 1:
            raise ValueError(f"layers are from 0 to {len(self.network.sizes) - 2}, not {l}")
        with self.network.reading():
            self.check_forward()
            if name == "delta" and not self.has_backward:
                raise RuntimeError("there are no deltas before backward")
            shape[0], shape[1] = self.run.request.data.rows, self.network.sizes[l if name == "x" else l + 1]
            out = cnp.PyArray_EMPTY(2, shape, self.network.typenum, 0)
            matrix = data(out)
            with nogil:
                bpk_tape_get(self.network.net, self.workspace, &self.run, which, l, matrix)
        return out

    def update(self, Update update, double lr, double scale):
        """Make an update by `scale` times the stored gradients, and clear them. Raises RuntimeError if no gradients are
        stored."""
        cdef bpk_run run
        with self.network.writing():
            if not self.stored:
                raise RuntimeError("step spends the gradients of backward, and there are none")
            self.network.prepare(update)
            memset(&run, 0, sizeof(run))
            update.begin(&run)
            run.request.update.optimizer.lr = lr
            run.request.threads = min(
                self.network.threads_for(None, self.rows, 1, BPK_FOR_TRAINING), self.threads
            )
            self.has_forward = self.stored = False
            self.targets = None
            self.network.changes += 1
            with nogil:
                bpk_tape_update(self.network.net, self.workspace, &run, scale)

    def spend(self, Update update, double lr, double weight, bint at_end):
        """Count a mini-batch of this weight, whose gradients `backward` has added to the stored ones. Make an update by
        the mean of the pending mini-batches once their number is `update.accumulate`, or `at_end`."""
        cdef double total = bpk_pending_add(&update.pending, weight, update.c.accumulate, at_end)
        if total > 0:
            self.update(update, lr, 1 / total)

    def set_gradients(self, layers, extra=None):
        """Store gradients [(dW, db), ...] of the network's shapes and dtype, C-contiguous, in place of those of
        `backward`; and those of the extra parameters, flat, if there are any. Raises RuntimeError if those wait for an update."""
        pairs = [self.network.fitting(l, pair) for l, pair in enumerate(layers)]
        self.network.check_count(len(pairs))
        if self.network.extra_size:
            extra = plain("extra", extra)
            check_contiguous("extra", extra, self.network.typenum, (self.network.extra_size,))
        with self.network.writing():
            if self.stored:
                raise RuntimeError("gradients of backward wait for step, and these would replace them")
            self.reserve(1, 1)
            for l, (dw, db) in enumerate(pairs):
                bpk_workspace_set_layer(self.network.net, self.workspace, l, data(dw), data(db))
            if self.network.extra_size:
                bpk_workspace_set_extra(self.network.net, self.workspace, data(extra))
            self.stored = True

    def gradients(self):
        """Copies of the stored gradients [(dW, db), ...], and of those of the extra parameters, flat."""
        gradients = self.network.empty_layers()
        extra = np.empty(self.network.extra_size, self.network.dtype)
        with self.network.reading():
            if self.workspace == NULL:
                raise RuntimeError("there are no gradients before forward(X, train=True)")
            for l, (dw, db) in enumerate(gradients):
                bpk_workspace_get_layer(self.network.net, self.workspace, l, data(dw), data(db))
            if self.network.extra_size:
                bpk_workspace_get_extra(self.network.net, self.workspace, data(extra))
        return gradients, extra
