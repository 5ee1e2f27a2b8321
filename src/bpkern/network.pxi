# A network in C, its stores, and the runs over data, which look for signals between slices. Included by _core.pyx.
#
# A store is an array as large as the parameters: these themselves, a state of the optimiser, or the average of the
# parameters. A workspace is the memory for the activations and deltas of a mini-batch, and for gradients if they are
# stored. A run is a pass over rows; each call into C does a slice of it, a number of mini-batches. A step is the work
# on one mini-batch.

# Rows per batch of a pass without training.
cdef ptrdiff_t READ_ROWS = 256


# A workspace for training of more bytes is not kept for much smaller batches.
cdef ptrdiff_t LARGE_WORKSPACE = 16 << 20


cdef ptrdiff_t batches_of(const bpk_run *run) noexcept:
    """The number of mini-batches of a run."""
    return (run.request.data.rows - 1) // run.request.batch + 1 if run.request.data.rows else 0


cdef ptrdiff_t most_updates(const bpk_run *run, ptrdiff_t batches) noexcept:
    """The largest number of updates of a run of `batches` mini-batches that begins."""
    batches += run.cursor.pending.batches
    return (batches - 1) // max(run.request.update.accumulate, 1) + 1 if batches else 0


cdef cnp.ndarray per_update(str what, given, ptrdiff_t least):
    """Values by update, float64, at least that many. Raises TypeError or ValueError."""
    cdef cnp.ndarray found = vector(what, given, cnp.NPY_DOUBLE, sizeof(double), -1)
    check_per_update(what, found, least)
    return found


cdef int check_per_update(str what, cnp.ndarray found, ptrdiff_t least) except -1:
    """Raise ValueError unless there are that many rows."""
    if cnp.PyArray_DIM(found, 0) < least:
        raise ValueError(f"{what} must be given for each update, {least} in all, not {cnp.PyArray_DIM(found, 0)}")


cdef ptrdiff_t rows_done(const bpk_run *run, Shards shards) noexcept:
    """The rows that a run has done, on all ranks."""
    return run.cursor.next if shards is None else min(run.cursor.batches * shards.batch, shards.rows)


# In the order of the C enumeration; m, v and u are the optimisers' states in bpkern.h.
STORES = ("parameters", "m", "v", "u", "average")
PARAMETERS = STORES[0]


@cython.final
cdef class InputPlan:
    """What stands in front of layer 0, in C's form, from the tuples of `InputStage.plan`."""

    cdef bpk_input *c  # (count,)
    cdef int count
    cdef list columns  # the arrays into which c points

    def __cinit__(self, plan):
        cdef int i
        kinds = {"scale": BPK_SCALE, "category": BPK_LOOKUP, "numeric": BPK_PERIODIC}
        self.count, self.columns = len(plan), []
        self.c = <bpk_input *>calloc(max(self.count, 1), sizeof(bpk_input))
        if self.c == NULL:
            raise MemoryError("no memory for the inputs of a network")
        for i, (kind, columns, categories, hidden, dim, lr_factor, decay_factor) in enumerate(plan):
            array = np.array(columns, np.intp)
            self.columns.append(array)
            self.c[i].kind = <bpk_input_kind><int>kinds[kind]
            self.c[i].columns, self.c[i].count = <const ptrdiff_t *>data(array), len(columns)
            self.c[i].categories, self.c[i].hidden, self.c[i].dim = categories, hidden, dim
            self.c[i].lr_factor, self.c[i].decay_factor = lr_factor, decay_factor

    def __dealloc__(self):
        free(self.c)


@cython.final
cdef class Network:
    """The parameters of a multilayer perceptron in C, and the passes over data that use them.

    Its `Guard` lets one thread write or several read. A compressed network stores its weights in bfloat16 and computes in
    float32; its parameters are set once, and it only predicts and evaluates.
    """

    cdef bpk_net *net
    cdef Guard guard
    cdef bpk_workspace *workspace  # for training; NULL before the first `reserve`
    cdef ptrdiff_t workspace_rows
    cdef int workspace_threads
    cdef bint workspace_keeps_gradients
    cdef bpk_workspace *reader  # for passes without training, one at a time
    cdef ptrdiff_t reader_rows
    cdef int reader_threads
    cdef tuple sizes  # of the layers: the first is the number of inputs of layer 0
    cdef ptrdiff_t inputs, outputs  # columns of X, and of the outputs
    cdef ptrdiff_t extra_size  # the number of parameters that are no weights or biases
    cdef bpk_loss loss
    cdef tuple dropout
    cdef bint is_set  # whether the parameters have been set
    cdef bint compressed
    cdef object dtype
    cdef int typenum
    cdef readonly unsigned long lives  # how often `forget` has been called
    cdef unsigned long changes  # of the parameters: `Tape` does not go back through older ones

    def __cinit__(self, sizes, activations, LossSettings loss, dtype, bint compressed=False, inputs=None):
        sizes = tuple([int(size) for size in sizes])
        cdef int layers = len(sizes) - 1, l
        if layers < 1 or min(sizes) < 1 or len(activations) != layers:
            raise ValueError(f"a network has sizes of at least 1 and an activation per layer, not {sizes}, {activations}")
        dtype = np.dtype(dtype)
        if dtype.num not in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE):
            raise TypeError(f"a network is of float32 or float64, not {dtype}")
        if compressed and dtype.num != cnp.NPY_FLOAT:
            raise TypeError(f"a compressed network is of float32, not {dtype}")
        loss.check(sizes[layers])
        cdef ptrdiff_t *c_sizes = <ptrdiff_t *>calloc(layers + 1, sizeof(ptrdiff_t))
        cdef bpk_activation *c_activations = <bpk_activation *>calloc(layers, sizeof(bpk_activation))
        cdef bpk_status status = BPK_NO_MEMORY
        cdef InputPlan plan = None if inputs is None else InputPlan(inputs)
        try:
            if c_sizes != NULL and c_activations != NULL:
                for l in range(layers + 1):
                    c_sizes[l] = sizes[l]
                for l in range(layers):
                    c_activations[l] = activation_of(activations[l])
                create = bpk_net_create_compressed if compressed else bpk_net_create
                kernels = kernels_for(dtype.num == cnp.NPY_DOUBLE)
                if plan is None:
                    status = create(kernels, layers, c_sizes, c_activations, &loss.c, &self.net)
                else:
                    status = bpk_net_create_with_inputs(
                        kernels, plan.count, plan.c, layers, c_sizes, c_activations, &loss.c, &self.net
                    )
        except OverflowError:  # a size exceeds a machine word
            pass
        finally:
            free(c_sizes)
            free(c_activations)
        if status != BPK_OK:
            raise MemoryError(f"no memory for a network of layers {list(sizes)}")
        self.guard = Guard()
        self.inputs, self.outputs = sizes[0], sizes[layers]
        self.sizes = sizes if plan is None else (bpk_net_inputs_width(self.net), *sizes[1:])
        self.extra_size = bpk_net_extra_size(self.net)
        self.loss = loss.c.loss
        self.dropout = (0.0,) * (layers - 1)
        self.dtype = dtype.newbyteorder("=")
        self.typenum = dtype.num
        self.compressed = compressed

    def __dealloc__(self):
        bpk_workspace_free(self.workspace)
        bpk_workspace_free(self.reader)
        bpk_net_free(self.net)

    def __reduce__(self):
        raise TypeError("a network is not pickled: its model makes a new one from its state")

    def check_trains(self):
        """Raise TypeError if the network is compressed: its parameters cannot change."""
        if self.compressed:
            raise TypeError(
                "this model was made by compress(), for inference only: train or change the model that it was made "
                "from, and compress that again"
            )

    def weight_sizes(self):
        """The bytes of each weight, by layer."""
        return [bpk_net_weight_size(self.net, l) for l in range(len(self.sizes) - 1)]

    def writing(self):
        """A context in which this thread may change the network; RuntimeError if another thread is in."""
        return Section(self.guard, True)

    def reading(self):
        """A context in which nobody else changes the network; RuntimeError if another thread is doing so."""
        return Section(self.guard, False)

    # Parameters ----------------------------------------------------------------------------------------

    def get_layers(self, store=PARAMETERS):
        """Copies [(W, b), ...] of a store, all from the same moment."""
        cdef bpk_store c_store = <bpk_store><int>STORES.index(store)
        layers = self.empty_layers()
        with self.reading():
            for l, (w, b) in enumerate(layers):
                bpk_net_get_layer(self.net, c_store, l, data(w), data(b))
        return layers

    def get_extra(self, store=PARAMETERS):
        """A copy of the extra parameters of a store, flat: those in front of layer 0, then the shares of activations."""
        cdef bpk_store c_store = <bpk_store><int>STORES.index(store)
        values = np.empty(self.extra_size, self.dtype)
        if self.extra_size:
            with self.reading():
                bpk_net_get_extra(self.net, c_store, data(values))
        return values

    def empty_layers(self):
        """New uninitialised arrays [(W, b), ...]."""
        shapes = zip(self.sizes[1:], self.sizes)
        return [(np.empty(shape, self.dtype), np.empty(shape[0], self.dtype)) for shape in shapes]

    def set_layers(self, layers, store=PARAMETERS, bint finite=True, extra=None):
        """Set all weights and biases [(W, b), ...], of the network's shapes and dtype and C-contiguous; and the extra
        parameters, flat, unless `extra` is None.

        An iterator may make each pair only when it is asked for it, so that one is in memory at a time. Raises TypeError
        or ValueError for arrays that do not fit. Then the network is unchanged, unless its parameters had never been set.
        NaN and infinity raise ValueError as well, unless `finite` is false or the parameters are set for the first time.
        """
        cdef bpk_store c_store = <bpk_store><int>STORES.index(store)
        cdef void *buffer = NULL
        if extra is not None:
            extra = plain("extra", extra)
            check_contiguous("extra", extra, self.typenum, (self.extra_size,))
        with self.writing():
            if self.is_set or c_store != BPK_PARAMETERS:
                self.check_trains()
            if finite and (self.is_set or c_store != BPK_PARAMETERS):
                buffer = bpk_net_buffer(self.net)
                if buffer == NULL:
                    self.no_memory(c_store)
            elif not finite:
                layers = [self.fitting(l, pair) for l, pair in enumerate(layers)]
                self.check_count(len(layers))
            try:
                self.fill(layers, c_store, buffer, extra)
            finally:
                bpk_free(buffer)
            self.is_set |= c_store == BPK_PARAMETERS
            self.changes += 1

    cdef int fill(self, layers, bpk_store store, void *buffer, extra) except -1:
        """Set a store layer by layer, by way of a buffer unless it is NULL."""
        cdef int count = 0
        if buffer == NULL:
            self.make(store)
        for pair in layers:
            w, b = self.fitting(count, pair)
            if buffer == NULL:
                bpk_net_set_layer(self.net, store, count, data(w), data(b))
            else:
                bpk_net_buffer_layer(self.net, buffer, count, data(w), data(b))
            count += 1
        self.check_count(count)
        if self.extra_size and extra is not None and buffer == NULL:
            bpk_net_set_extra(self.net, store, data(extra))
        if buffer == NULL:
            return 0
        if self.extra_size and extra is None and bpk_net_has(self.net, store):
            extra = self.get_extra(STORES[store])  # replaced with the layers, by the same numbers
        if self.extra_size and extra is not None:
            bpk_net_buffer_extra(self.net, buffer, data(extra))
        is_new = not bpk_net_has(self.net, store)
        self.make(store)
        if not bpk_net_replace(self.net, store, buffer):
            if is_new:
                bpk_net_discard(self.net, store)
            raise ValueError(f"the {STORES[store]} must be finite in {self.dtype.name}")
        return 0

    cdef int check_count(self, ptrdiff_t count) except -1:
        """Raise ValueError unless there is a pair (W, b) for each layer."""
        if count != len(self.sizes) - 1:
            raise ValueError(f"there must be {len(self.sizes) - 1} pairs (W, b), not {count}")
        return 0

    cdef tuple fitting(self, int l, pair):
        """W and b of layer l, whose kind and shape are checked."""
        if l >= len(self.sizes) - 1:
            raise ValueError(f"there must be {len(self.sizes) - 1} pairs (W, b), and not more")
        w, b = pair
        w, b = plain(f"W of layer {l}", w), plain(f"b of layer {l}", b)
        check_contiguous(f"W of layer {l}", w, self.typenum, (self.sizes[l + 1], self.sizes[l]))
        check_contiguous(f"b of layer {l}", b, self.typenum, (self.sizes[l + 1],))
        return w, b

    cdef int make(self, bpk_store store) except -1:
        """Make a store of zeros, unless it exists."""
        if store != BPK_PARAMETERS:
            self.check_trains()
        if bpk_net_make(self.net, store) != BPK_OK:
            self.no_memory(store)
        return 0

    cdef int no_memory(self, bpk_store store) except -1:
        raise MemoryError(f"no memory for the {STORES[store]} of layers {list(self.sizes)}")

    def stores(self):
        """The names of the stores that exist."""
        return [name for i, name in enumerate(STORES) if bpk_net_has(self.net, <bpk_store><int>i)]

    def prepare(self, Update update):
        """Make the stores of an update that do not exist yet: the optimiser's states in their initial values, and the
        average, which starts as a copy of the parameters. If one raises MemoryError, all new ones are discarded."""
        self.make_for(update)

    cdef int make_for(self, Update update) except -1:
        """`prepare`; returns the new stores as `make_all`."""
        cdef int i, wanted = update.averages << <int>BPK_AVERAGE, made
        for i in range(BPK_M, BPK_AVERAGE):
            if bpk_uses(&update.c.optimizer, <bpk_store>i):
                wanted |= 1 << i
        made = self.make_all(wanted)
        if made >> <int>BPK_V & 1 and update.initial_squares:
            bpk_net_fill(self.net, BPK_V, update.initial_squares)
        if made >> <int>BPK_AVERAGE & 1:
            bpk_net_start_average(self.net)
        return made

    cdef int make_all(self, int wanted) except -1:
        """Make the missing stores of a set and return the ones made; in both sets bit i is for STORES[i]."""
        cdef int i, made = 0
        try:
            for i in range(BPK_N_STORES):
                if wanted >> i & 1 and not bpk_net_has(self.net, <bpk_store>i):
                    self.make(<bpk_store>i)
                    made |= 1 << i
        except MemoryError:
            for i in range(BPK_N_STORES):
                if made >> i & 1:
                    bpk_net_discard(self.net, <bpk_store>i)
            raise
        return made

    def make_room(self, stores):
        """Make the missing stores of these names. If one raises MemoryError, all new ones are discarded."""
        cdef int wanted = 0
        for store in stores:
            wanted |= 1 << <int>STORES.index(store)
        self.make_all(wanted)

    def keep_only(self, stores):
        """Discard the optimiser's states and the average unless they are named."""
        for i in range(BPK_M, BPK_N_STORES):
            if STORES[i] not in stores:
                bpk_net_discard(self.net, <bpk_store><int>i)

    def forget(self):
        """Discard the optimiser's states and the average, and count from 0."""
        for i in range(BPK_M, BPK_N_STORES):
            bpk_net_discard(self.net, <bpk_store><int>i)
        self.counts = (0, 0)
        self.moves = 0
        self.lives += 1
        self.release()

    def blend(self, Network other, double part):
        """Set the parameters to 1 - `part` times their value plus `part` times the parameters with which `other`, a
        network of the same layers and dtype, predicts; drop their average."""
        self.check_trains()
        other.check_trains()
        with self.writing(), other.reading():
            if bpk_net_blend(self.net, other.net, BPK_AVERAGE if other.averaged() else BPK_PARAMETERS, part) != BPK_OK:
                raise ValueError("the two models were made under different instruction sets")
            self.changes += 1
            self.discard_average()

    def discard_states(self):
        """Discard the optimiser's states: the next update begins with initial ones."""
        for i in range(BPK_M, BPK_AVERAGE):
            bpk_net_discard(self.net, <bpk_store><int>i)
        self.moves = 0

    def discard_average(self):
        """Predict with the trained parameters again."""
        bpk_net_discard(self.net, BPK_AVERAGE)

    @property
    def counts(self):
        """The numbers of updates made and of mini-batches trained on, over the network's life."""
        cdef bpk_counts counts = bpk_net_counts(self.net)
        return counts.updates, counts.batches

    @counts.setter
    def counts(self, values):
        cdef bpk_counts counts = bpk_net_counts(self.net)
        counts.updates, counts.batches = values
        bpk_net_set_counts(self.net, counts)

    @property
    def moves(self):
        """The number of updates since the optimiser's states were zero."""
        return bpk_net_counts(self.net).moves

    @moves.setter
    def moves(self, value):
        cdef bpk_counts counts = bpk_net_counts(self.net)
        counts.moves = value
        bpk_net_set_counts(self.net, counts)

    def set_activation_parameter(self, int l, double parameter):
        """Give layer l, of leaky_relu or elu, a slope or an alpha of at least 0; before its first pass."""
        if not 0 <= l < len(self.sizes) - 1 or not 0 <= parameter < INFINITY:
            raise ValueError(f"there must be a layer and a number of at least 0, not {l}, {parameter}")
        bpk_net_set_activation_parameter(self.net, l, parameter)
        self.free_workspace()

    def set_share(self, int l, double lr_factor, double decay_factor):
        """Make the activation of hidden layer l a trained share of its own (bpk_net_mix); before the parameters are set."""
        if not 0 <= l < len(self.sizes) - 2 or self.is_set:
            raise ValueError(f"there must be a hidden layer of a new network, not {l}")
        if bpk_net_mix(self.net, l, lr_factor, decay_factor) != BPK_OK:
            self.no_memory(BPK_PARAMETERS)
        self.extra_size = bpk_net_extra_size(self.net)

    def set_dropout(self, probabilities, uint64_t key, double inputs=0.0):
        """Set the probability for each hidden layer and for the inputs, and the key of the generator of the masks. Those
        that every pass gives by `dropouts` are any number above 0 here."""
        if len(probabilities) != len(self.sizes) - 2 or not all(0 <= p < 1 for p in probabilities):
            raise ValueError(f"there must be a probability from 0 to below 1 per hidden layer, not {probabilities}")
        if not 0 <= inputs < 1:
            raise ValueError(f"the probability of the inputs must be from 0 to below 1, not {inputs}")
        if tuple(probabilities) != self.dropout:
            self.free_workspace()  # it may have no room for the masks
        self.dropout = tuple(probabilities)
        for l, probability in enumerate(probabilities):
            bpk_net_set_dropout(self.net, l, probability)
        bpk_net_set_input_dropout(self.net, inputs)
        bpk_net_set_dropout_key(self.net, key)

    cdef cnp.ndarray probabilities(self, dropouts, ptrdiff_t updates):
        """Probabilities of dropout (updates or more, layers), as a vector. Raises TypeError or ValueError."""
        cdef ptrdiff_t layers = len(self.sizes) - 1
        found = plain("dropouts", dropouts)
        if cnp.PyArray_NDIM(<cnp.ndarray>found) != 2 or cnp.PyArray_DIM(<cnp.ndarray>found, 1) != layers:
            raise ValueError(f"dropouts must have {layers} columns, not shape {shape_of(found)}")
        check_per_update("the probabilities of dropout", <cnp.ndarray>found, updates)
        return vector("the probabilities of dropout", found.reshape(-1), cnp.NPY_DOUBLE, sizeof(double), -1)

    def set_group(self, int l, int kind, double lr, double decay, bint frozen):
        """Set how training moves the parameters of a kind, in the order of `bpk_kind`, of layer l: by factors of the
        learning rate and of the weight decay, or not at all."""
        cdef bpk_group group
        if not (0 <= l < len(self.sizes) - 1 and 0 <= kind < BPK_N_KINDS and 0 <= lr < INFINITY and 0 <= decay < INFINITY):
            raise ValueError(f"layer {l} has no parameters of kind {kind} with factors {lr} and {decay}")
        group.lr, group.decay, group.frozen = lr, decay, frozen
        with self.writing():
            bpk_net_set_group(self.net, l, <bpk_kind>kind, group)

    def reserve_snapshot(self):
        """Allocate the memory of a snapshot of the present stores, so that none raises MemoryError."""
        if bpk_net_reserve_snapshot(self.net) != BPK_OK:
            self.no_memory_to_copy()

    def snapshot(self):
        """Copy all stores and counts, in place of an earlier copy. Raises MemoryError."""
        if bpk_net_snapshot(self.net) != BPK_OK:
            self.no_memory_to_copy()

    cdef int no_memory_to_copy(self) except -1:
        raise MemoryError(f"no memory for a copy of the parameters of layers {list(self.sizes)}")

    def restore(self):
        """Go back to the last snapshot; do nothing without one. Stores made since are discarded, and stores discarded
        since do not come back."""
        bpk_net_restore(self.net)

    def finite(self):
        """Whether all numbers in all stores are finite."""
        return bool(bpk_net_finite(self.net))

    @property
    def has_average(self):
        """Whether there is an average of the parameters, which then predicts."""
        return self.averaged()

    cdef bint averaged(self) noexcept:
        """Whether predictions use the average."""
        return bpk_net_has(self.net, BPK_AVERAGE)

    def penalty(self, double l1, double l2, bint trained=False):
        """The penalties on the parameters used for predictions, or on the trained ones."""
        cdef bint averaged
        with self.reading():
            averaged = self.averaged() and not trained
            return bpk_net_penalty(self.net, BPK_AVERAGE if averaged else BPK_PARAMETERS, l1, l2)

    # Runs ----------------------------------------------------------------------------------------------

    cdef bpk_workspace *new_workspace(self, ptrdiff_t rows, bpk_purpose purpose, int threads) except NULL:
        """A workspace for batches of at most `rows` rows and at most `threads` threads. The caller frees it."""
        cdef bpk_workspace *workspace = NULL
        if purpose != BPK_FOR_FORWARD:
            self.check_trains()
        if bpk_workspace_create(self.net, rows, purpose, threads, &workspace) != BPK_OK:
            raise MemoryError(f"no memory for a batch of {rows} rows in layers {list(self.sizes)}")
        return workspace

    cdef int threads_for(self, n_threads, ptrdiff_t batch, double steps, bpk_purpose purpose) except -1:
        """`n_threads`, or if that is None as many as the work is worth, up to this thread's share."""
        return share_of(self.most_threads(n_threads, bpk_step_work(self.net, batch, purpose), steps), n_threads)

    cdef int most_threads(self, n_threads, double work, double steps) except -1:
        """As `threads_for`, for steps of this work and without sharing the processors with other threads."""
        if n_threads is not None:
            return min(n_threads, BPK_MAX_THREADS)
        if bpk_threads_worth(work, steps, 2) == 1:  # asking for the limit would take longer than a small call
            return 1
        return bpk_threads_worth(work, steps, min(thread_limit(), BPK_MAX_THREADS))

    def reserve(self, ptrdiff_t batch, double steps, Update update, n_threads):
        """Make the workspace for training in batches of `batch` rows, unless it exists. Returns the number of threads
        for an epoch of `steps` steps if no other call is running."""
        cdef int threads = self.most_threads(n_threads, bpk_step_work(self.net, batch, BPK_FOR_TRAINING), steps)
        self.make_workspace(batch, update, threads)
        return threads

    def is_short(self, ptrdiff_t batch, double steps, ptrdiff_t rows, int threads):
        """Whether an epoch of that many rows, steps and threads takes some milliseconds at most, and so does a
        permutation of the rows."""
        cdef double work = bpk_step_work(self.net, batch, BPK_FOR_TRAINING) + BARRIERS_WORK * (threads - 1)
        return steps * work <= FIRST_SLICE_WORK and rows <= SLICE_SWAPS

    cdef int make_workspace(self, ptrdiff_t batch, Update update, int threads) except -1:
        """Make the workspace for training, unless it exists; enlarge it if it is too small."""
        cdef bpk_workspace *workspace
        cdef bint stores = bpk_stores_gradients(&update.c)
        if batch > self.workspace_rows or threads > self.workspace_threads or stores > self.workspace_keeps_gradients:
            rows, most = max(batch, self.workspace_rows), max(threads, self.workspace_threads)
            stores = stores or self.workspace_keeps_gradients
            workspace = self.new_workspace(rows, BPK_FOR_GRADIENTS if stores else BPK_FOR_TRAINING, most)
            if self.workspace_keeps_gradients:  # gradients may be pending when a larger batch of a stream arrives
                bpk_workspace_copy_gradients(self.net, workspace, self.workspace)
            bpk_workspace_free(self.workspace)
            self.workspace, self.workspace_rows, self.workspace_threads = workspace, rows, most
            self.workspace_keeps_gradients = stores
        return 0

    def release(self, ptrdiff_t batch=0):
        """Free the workspace for training if it is large and has room for more than four times as many rows: a fit in
        small batches would keep the memory of an earlier one in large batches. Within another call that writes,
        whose gradients may be pending, nothing is freed."""
        cdef bint is_large = bpk_workspace_bytes(self.workspace) > LARGE_WORKSPACE
        if self.guard.writes <= 1 and is_large and self.workspace_rows // 4 > batch:
            self.free_workspace()

    cdef void free_workspace(self):
        """Free the workspace for training."""
        bpk_workspace_free(self.workspace)
        self.workspace, self.workspace_rows, self.workspace_threads = NULL, 0, 0
        self.workspace_keeps_gradients = False

    cdef int begin_run(self, bpk_run *run, Data rows, index, ptrdiff_t batch, bint wants_targets) except -1:
        """`start_run` for this network. Raises ValueError for rows and targets of other widths."""
        start_run(run, rows, index, batch)
        if rows.c.x.columns != self.inputs:
            raise ValueError(f"X must have {self.inputs} columns, as the first layer, not {rows.c.x.columns}")
        if not wants_targets:
            return 0
        if rows.c.labels == NULL and rows.c.y.data == NULL:
            raise ValueError("y must be given")
        if rows.c.labels != NULL and LOSSES[self.loss] != "cross_entropy":
            raise ValueError(f"y must have two dimensions: labels are for cross_entropy, not {LOSSES[self.loss]}")
        if rows.c.labels == NULL and rows.c.y.columns != self.outputs:
            raise ValueError(f"y must have {self.outputs} columns, as the last layer, not {rows.c.y.columns}")
        return 0

    def train(
        self, Data rows, index, ptrdiff_t batch, Update update, rates, int threads, Pace pace, watcher,
        outputs=None, bint more=False, Shards shards=None, decays=None, dropouts=None, sums=(0.0, 0.0, 0.0),
    ):
        """Train for one epoch, in the order of `index` (int64) or of the rows. `reserve` has been called with this
        `batch` and `update`, and has returned at least `threads`. This thread is inside `writing()`.

        `rates` is the learning rate, or float64 (updates or more,) if it changes. `decays`, of the same shape, replaces the
        weight decay of `update`; `dropouts` (updates or more, layers) the probabilities of dropout, of the inputs in the
        last column. `pace` is kept from epoch to epoch of a
        fit. `watcher` has `before()` and `after(rows, loss, weight)`, called around slices of the epoch. `outputs` (n,
        out) gets the outputs before each update. With `more`, pending gradients are kept for the next call. With
        `shards`, `index` is in their order, and `batch` is at least 2, and the most rows of a mini-batch that this rank has.
        Returns the sums over rows of weight * loss, weight * accuracy and weight, added to `sums` of earlier rows.
        """
        cdef bpk_run run
        cdef bpk_request *request = &run.request
        cdef bpk_results *results = &run.results
        cdef bpk_status status = BPK_OK
        cdef double work
        if batch < 1 or not 1 <= threads <= BPK_MAX_THREADS:
            raise ValueError(f"a batch has at least 1 row and 1 to {BPK_MAX_THREADS} threads, not {batch} and {threads}")
        self.begin_run(&run, rows, index, batch, True)
        results.loss_sum, results.accuracy_sum, results.weight_sum = sums
        update.begin(&run)
        request.more = more
        request.threads = threads
        cdef ptrdiff_t batches = batches_of(&run)
        if shards is not None:
            shards.check(self, threads)
            request.shards, batches = shards.c, shards.batches()
        if isinstance(rates, float):
            request.update.optimizer.lr = rates
        else:
            rates = per_update("the learning rates", rates, most_updates(&run, batches))
            request.rates = <const double *>data(rates)
        if decays is not None:
            decays = per_update("the weight decays", decays, most_updates(&run, batches))
            request.decays = <const double *>data(decays)
        if dropouts is not None:
            dropouts = self.probabilities(dropouts, most_updates(&run, batches))
            request.dropouts = <const double *>data(dropouts)
        if outputs is not None:
            outputs = plain("outputs", outputs)
            check_contiguous("outputs", outputs, self.typenum, (request.data.rows, self.outputs), True)
            request.outputs = data(outputs)
        work = bpk_step_work(self.net, batch, BPK_FOR_TRAINING)
        if work >= FIRST_SLICE_WORK:
            request.stop = wants_to_stop
        pace.guess(work, threads)
        cdef ptrdiff_t next
        cdef double loss, weight
        try:
            if shards is not None:
                self.prepare(update)
                shards.lend(self, request)
            while run.cursor.next < request.data.rows if shards is None else run.cursor.batches < batches:
                next, loss, weight = rows_done(&run, shards), results.loss_sum, results.weight_sum
                if pace.single and status != BPK_STOPPED:
                    watcher.before()
                # Unless ranks share the parameters, a callback may have changed the optimiser, called reset, set
                # weights, or trained in small batches.
                self.prepare(update)
                self.make_workspace(batch, update, threads)
                self.changes += 1  # in each slice: a callback may have made a forward pass since the last
                pace.begin(&run)
                with nogil:
                    status = bpk_train(self.net, self.workspace, &run, pace.steps)
                if shards is not None:
                    shards.raise_error()
                raise_for(status, &run)
                pace.end()
                look_for_signals()
                # If no handler has raised anything, the next slice makes a step again that was broken off.
                if rows_done(&run, shards) > next:
                    next = rows_done(&run, shards) - next
                    watcher.after(next, results.loss_sum - loss, results.weight_sum - weight)
        except:
            if shards is not None:
                shards.take_back(self, True)
            raise
        if shards is not None:
            shards.take_back(self, False)
        update.end(&run)
        return results.loss_sum, results.accuracy_sum, results.weight_sum

    def reserve_reader(self, ptrdiff_t rows, n_threads):
        """Make the workspace for passes without training over `rows` rows, unless it exists. This thread is inside
        `writing()`."""
        cdef bpk_run run
        cdef bpk_workspace *workspace
        memset(&run, 0, sizeof(run))
        run.request.data.rows = rows
        run.request.batch = min(rows, READ_ROWS)
        if self.begin_reader(&run, n_threads, bpk_step_work(self.net, run.request.batch, BPK_FOR_FORWARD), &workspace):
            self.guard.give_reader()
        else:
            bpk_workspace_free(workspace)

    cdef int begin_reader(self, bpk_run *run, n_threads, double work, bpk_workspace **workspace) except -1:
        """A workspace for a pass without training, in steps of this work: the kept one, unless another reader has taken
        it. Returns whether it is the kept one. Sets the threads of the run."""
        cdef int most = self.most_threads(n_threads, work, batches_of(run))
        run.request.threads = share_of(most, n_threads)
        if not self.guard.take_reader():
            workspace[0] = self.new_workspace(run.request.batch, BPK_FOR_FORWARD, run.request.threads)
            return 0
        if run.request.batch > self.reader_rows or most > self.reader_threads:
            rows, threads = max(run.request.batch, self.reader_rows), max(most, self.reader_threads)
            try:
                workspace[0] = self.new_workspace(rows, BPK_FOR_FORWARD, threads)
            except BaseException:
                self.guard.give_reader()
                raise
            bpk_workspace_free(self.reader)
            self.reader, self.reader_rows, self.reader_threads = workspace[0], rows, threads
        workspace[0] = self.reader
        return 1

    cdef int read(self, bpk_run *run, n_threads, void *out) except -1:
        """A pass without training. With `out`, a forward pass that writes the outputs there; if it is NULL, an
        evaluation, which fills the results of the run."""
        cdef bpk_workspace *workspace = NULL
        cdef bint kept, is_call = False
        cdef double work
        if run.request.data.rows == 0:
            return 0
        self.guard.begin_read()
        try:
            is_call = run.request.data.rows > run.request.batch and begin_call()
            run.request.averaged = self.averaged()
            work = bpk_step_work(self.net, run.request.batch, BPK_FOR_FORWARD)
            kept = self.begin_reader(run, n_threads, work, &workspace)
            try:
                self.read_slices(run, workspace, work, out)
            finally:
                if kept:
                    self.guard.give_reader()
                else:
                    bpk_workspace_free(workspace)
        finally:
            self.guard.end_read()
            if is_call:
                end_call()
        return 0

    cdef int read_slices(self, bpk_run *run, bpk_workspace *workspace, double work, void *out) except -1:
        """The slices of `read`, in steps of this work."""
        cdef bpk_status status
        cdef Pace pace = Pace()
        if work >= FIRST_SLICE_WORK:
            run.request.stop = wants_to_stop
        pace.guess(work, run.request.threads)
        cdef bint several = run.request.data.rows > pace.steps * run.request.batch
        while run.cursor.next < run.request.data.rows:
            if several:  # reading the clock takes a good part of a one-row prediction
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

    def evaluate(self, Data rows, index, n_threads, row_losses=None, outputs=None, sums=(0.0, 0.0, 0.0)):
        """The sums that `train` returns, without training and without penalties, added to `sums`, those of earlier
        rows. `row_losses`, float64 (n,), gets the loss of each row, and `outputs` (n, out) the outputs."""
        cdef bpk_run run
        self.begin_run(&run, rows, index, READ_ROWS, True)
        run.results.loss_sum, run.results.accuracy_sum, run.results.weight_sum = sums
        run.request.batch = min(run.request.batch, run.request.data.rows)
        if row_losses is not None:
            row_losses = plain("row_losses", row_losses)
            check_contiguous("row_losses", row_losses, cnp.NPY_DOUBLE, (run.request.data.rows,), True)
            run.request.row_losses = <double *>data(row_losses)
        if outputs is not None:
            outputs = plain("outputs", outputs)
            check_contiguous("outputs", outputs, self.typenum, (run.request.data.rows, self.outputs), True)
            run.request.outputs = data(outputs)
        self.read(&run, n_threads, NULL)
        return run.results.loss_sum, run.results.accuracy_sum, run.results.weight_sum

    def forward(self, X):
        """The outputs (n, out), after the output activation, for an array (n, in) of the network's dtype with
        contiguous rows; None for any other X, which is for `forward_data`."""
        cdef bpk_run run
        if not self.begin_plain(X, &run):
            return None
        return self.outputs_of(&run, self.outputs, None)

    def forward_into(self, X, out):
        """As `forward`, into `out`, which is returned: a C-contiguous array (n, out) of the network's dtype."""
        cdef bpk_run run
        cdef cnp.ndarray outputs
        if not self.begin_plain(X, &run):
            return None
        outputs = plain("out", out)
        check_contiguous("out", outputs, self.typenum, (run.request.data.rows, self.outputs), True)
        check_apart(("out", "X"), (outputs, X), 1)
        self.read(&run, None, data(outputs))
        return out

    cdef bint begin_plain(self, X, bpk_run *run) noexcept:
        """Set up a run over an array (n, in) of the network's dtype with contiguous rows; false for any other X."""
        if not cnp.PyArray_CheckExact(X):
            return False
        cdef cnp.ndarray x = <cnp.ndarray>X
        if (
            cnp.PyArray_TYPE(x) != self.typenum or cnp.PyArray_NDIM(x) != 2 or not cnp.PyArray_ISBEHAVED_RO(x)
            or cnp.PyArray_DIM(x, 1) != self.inputs
            or (self.inputs > 1 and cnp.PyArray_STRIDE(x, 1) != cnp.PyArray_ITEMSIZE(x))
        ):
            return False
        memset(run, 0, sizeof(bpk_run))
        run.request.data.x.data = <const char *>cnp.PyArray_DATA(x)
        run.request.data.x.type = BPK_DOUBLE if self.typenum == cnp.NPY_DOUBLE else BPK_FLOAT
        run.request.data.x.columns = self.inputs
        run.request.data.x.row_stride = cnp.PyArray_STRIDE(x, 0)
        run.request.data.x.column_stride = cnp.PyArray_ITEMSIZE(x)
        run.request.data.rows = run.request.data.source_rows = cnp.PyArray_DIM(x, 0)
        run.request.batch = min(run.request.data.rows, READ_ROWS)
        return True

    def forward_data(self, Data rows, index=None, int layers=0, n_threads=None, out=None):
        """The outputs (n, out) for any `Data`, after the output activation; or the activations after `layers` layers,
        if that is not 0. They are written into `out`, C-contiguous of the network's dtype, unless it is None."""
        cdef bpk_run run
        cdef cnp.ndarray outputs
        if not 0 <= layers < len(self.sizes):
            raise ValueError(f"layers must be from 0 to {len(self.sizes) - 1}, not {layers}")
        self.begin_run(&run, rows, index, READ_ROWS, False)
        run.request.batch = min(run.request.batch, run.request.data.rows)
        run.request.layers = layers
        width = self.sizes[layers] if layers else self.outputs
        if out is None:
            return self.outputs_of(&run, width, n_threads)
        outputs = plain("out", out)
        check_contiguous("out", outputs, self.typenum, (run.request.data.rows, width), True)
        check_apart(("out", *(["X"] * len(rows.arrays))), (outputs, *rows.arrays), 1)
        self.read(&run, n_threads, data(outputs))
        return out

    cdef object outputs_of(self, bpk_run *run, ptrdiff_t width, n_threads):
        """A new array (n, width) with the outputs of a run."""
        cdef cnp.npy_intp shape[2]
        shape[0], shape[1] = run.request.data.rows, width
        out = cnp.PyArray_EMPTY(2, shape, self.typenum, 0)
        self.read(run, n_threads, data(out))
        return out

    def gradients(self, Data rows, ptrdiff_t batch=0, n_threads=None):
        """The mean loss over all rows, its gradients [(dW, db), ...], and those of the extra parameters,
        flat, without penalties and without dropout. Batches of `batch` rows need less memory than one batch of all rows, for which `batch` is 0."""
        cdef bpk_run run
        cdef bpk_status status
        cdef bpk_workspace *workspace = NULL
        cdef Pace pace = Pace()
        if rows.c.rows < 1 or batch < 0:
            raise ValueError(f"there must be at least 1 row, in batches of at least 0, not {rows.c.rows}, {batch}")
        self.begin_run(&run, rows, None, rows.c.rows if batch == 0 else min(batch, rows.c.rows), True)
        cdef double steps = batches_of(&run), work = bpk_step_work(self.net, run.request.batch, BPK_FOR_TRAINING)
        if work >= FIRST_SLICE_WORK:
            run.request.stop = wants_to_stop
        gradients, of_extra = self.empty_layers(), np.empty(self.extra_size, self.dtype)
        cdef bint is_call = begin_call()
        try:
            run.request.threads = self.threads_for(n_threads, run.request.batch, steps, BPK_FOR_TRAINING)
            workspace = self.new_workspace(run.request.batch, BPK_FOR_GRADIENTS, run.request.threads)
            pace.guess(work, run.request.threads)
            with self.reading():
                while run.cursor.next < run.request.data.rows:
                    pace.begin(&run)
                    with nogil:
                        status = bpk_gradients(self.net, workspace, &run, pace.steps)
                    raise_for(status, &run)
                    pace.end()
                    look_for_signals()
                    if status == BPK_STOPPED:  # and no handler has raised anything: begin again
                        memset(&run.cursor, 0, sizeof(run.cursor))
                        memset(&run.results, 0, sizeof(run.results))
                        bpk_workspace_clear_gradients(self.net, workspace)
            for l, (dw, db) in enumerate(gradients):
                bpk_workspace_get_layer(self.net, workspace, l, data(dw), data(db))
            if self.extra_size:
                bpk_workspace_get_extra(self.net, workspace, data(of_extra))
        finally:
            bpk_workspace_free(workspace)
            if is_call:
                end_call()
        return run.results.loss_sum / run.results.weight_sum, gradients, of_extra
