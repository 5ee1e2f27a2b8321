# Steps by hand: forward, back and an update, one by one. Included by _core.pyx.

@cython.final
cdef class Tape:
    """What a forward pass through a network leaves to go back through, and the gradients that are stored."""

    cdef Network network
    cdef bpk_workspace *workspace
    cdef ptrdiff_t rows
    cdef int threads
    cdef bpk_run run  # of the last forward pass
    cdef bint forth, stored  # whether there was one since the last update; whether gradients are stored
    cdef unsigned long changes  # the network's, as of that pass

    def __cinit__(self, Network network):
        self.network = network

    def __dealloc__(self):
        bpk_workspace_free(self.workspace)

    def forward(self, Data rows, index, n_threads=None):
        """Forward as in training, over all rows as one mini-batch."""
        cdef bpk_run run
        cdef bpk_status status
        cdef cnp.npy_intp shape[2]
        look_for_signals()  # a loss in Python goes from step to step by way of here
        start(&run, rows, index, 0)
        run.batch = run.data.rows
        run.threads = self.network.threads_for(n_threads, run.batch, 1, BPK_FOR_TRAINING)
        shape[0], shape[1] = run.batch, self.network.outputs
        out = cnp.PyArray_EMPTY(2, shape, self.network.typenum, 0)
        cdef void *outputs = data(out)
        with self.network.writing():
            self.reserve(run.batch, run.threads)
            self.forth = False
            with nogil:
                status = bpk_tape_forward(self.network.net, self.workspace, &run, outputs)
            raise_for(status, &run)
            self.run, self.forth, self.changes = run, True, self.network.changes
        return out

    cdef int reserve(self, ptrdiff_t rows, int threads) except -1:
        cdef bpk_workspace *workspace
        if rows > self.rows or threads > self.threads:
            rows, threads = max(rows, self.rows), max(threads, self.threads)
            workspace = self.network.new_workspace(rows, BPK_FOR_GRADIENTS, threads)
            if self.workspace != NULL:
                bpk_workspace_take_gradients(self.network.net, workspace, self.workspace)
            bpk_workspace_free(self.workspace)
            self.workspace, self.rows, self.threads = workspace, rows, threads
        return 0

    def backward(self, gradient, bint wants_x):
        """From the derivative by the outputs, in the network's dtype and C-contiguous, to the stored gradients, and
        to the derivative by x where that is wanted."""
        cdef cnp.npy_intp shape[2]
        cdef const void *given = data(gradient)
        cdef void *wanted = NULL
        dx = None
        with self.network.writing():
            if not self.forth:
                raise RuntimeError("backward goes back through forward(X, train=True), and there was none since the last step")
            if self.changes != self.network.changes:
                raise RuntimeError("the parameters were changed after the forward(X, train=True) to go back through")
            if gradient.shape != (self.run.data.rows, self.network.outputs):
                raise ValueError(
                    f"grad_output must have the outputs' shape {(self.run.data.rows, self.network.outputs)}, "
                    f"not {gradient.shape}"
                )
            if wants_x:
                shape[0], shape[1] = self.run.data.rows, self.network.inputs
                dx = cnp.PyArray_EMPTY(2, shape, self.network.typenum, 0)
                wanted = data(dx)
            self.stored = True
            with nogil:
                bpk_tape_backward(self.network.net, self.workspace, &self.run, given, wanted)
        return dx

    def update(self, Update update, double lr, double scale):
        """Spend `scale` times what is stored."""
        cdef bpk_run run
        with self.network.writing():
            if not self.stored:
                raise RuntimeError("step spends the gradients of backward, and there are none")
            self.network.prepare(update)
            memset(&run, 0, sizeof(run))
            update.begin(&run)
            run.optimizer.lr = lr
            run.threads = min(
                self.network.threads_for(None, self.rows, 1, BPK_FOR_TRAINING), self.threads
            )
            self.forth = self.stored = False
            self.network.changes += 1
            with nogil:
                bpk_tape_update(self.network.net, self.workspace, &run, scale)

    def spend(self, Update update, double lr, double weight, bint at_end):
        """Count a mini-batch whose gradients, times its weight, have been stored; spend them where there are enough,
        or at the end what there is."""
        update.c.pending += 1
        update.c.pending_weight += weight
        if update.c.pending < update.c.accumulate and not at_end:
            return
        scale, update.c.pending, update.c.pending_weight = update.c.pending_weight, 0, 0.0
        if scale > 0:
            self.update(update, lr, 1 / scale)

    def gradients(self):
        """[(dW, db), ...] as they are stored."""
        gradients = self.network.empty_layers()
        with self.network.reading():
            for l, (dw, db) in enumerate(gradients):
                bpk_workspace_get_layer(self.network.net, self.workspace, l, data(dw), data(db))
        return gradients
