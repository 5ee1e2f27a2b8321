# Shards of the rows, whose gradients are added up in the order of a tree, and the link between ranks. Included by
# _core.pyx.

STOPPED = <int>BPK_STOPPED


cdef class Network


@cython.final
cdef class Shards:
    """`shards` parts of the rows of a network's training, of which this process has a rank's; without a link, all.

    A link has the number of ranks `size`, a divisor of `shards`, and this rank's number `rank`. ``connect(dtype, size,
    nodes, segments, barrier, parameters)`` returns two lists with an array per rank (csrc/bpkern.h, bpk_link): `size` is
    the elements of a store, `nodes` the number of nodes of each rank, and `segments` (layers, ranks, 2) the first
    element of each rank's part of a layer and its end. All results may be None: then each rank adds up all nodes itself,
    and must see them whole. The third that it returns is an array in memory of all ranks, whose first 64 bytes are zero,
    if they see those of the nodes, too; otherwise None. It has `barrier` elements, for ranks to meet, and then
    `parameters` for those that they share: or none of these, if there is no room on a rank, or ranks have given other
    numbers. `states` is the number of the optimiser's; with None, no parameters are shared. ``begin_pass(stores)``
    returns whether ranks share the parameters in a pass: if all give the same set of stores, and not 0.

    ``agree(status, sums)`` exchanges sums (shards, 3) in place and returns the common status, and ``travel(stage,
    layer)`` is called at each stage of a gradient (bpk_stage), or where ranks that see the same memory wait. What these
    raise ends the step, whose update is then not made, and `Network.train` raises it. An error that `travel` returns is
    raised when the step has ended.
    """

    cdef bpk_shards *c
    cdef Network network
    cdef object link
    cdef tuple arrays  # the pointers, and those of the link, point into them
    cdef void **pointers  # (2 * ranks,) nodes and results
    cdef object error
    cdef int count, threads
    cdef bint lends  # whether there is room for the parameters
    cdef ptrdiff_t rows, batch

    def __cinit__(self, Network network, int shards, int threads, link=None, states=None):
        cdef bpk_link c
        cdef int i, l, ranks = 1 if link is None else link.size, rank = 0 if link is None else link.rank
        cdef ptrdiff_t start, end, size = bpk_net_size(network.net), barrier, parameters
        if shards < 1 or shards % ranks or not 0 <= rank < ranks or not 1 <= threads <= BPK_MAX_THREADS:
            raise ValueError(f"{ranks} ranks and {threads} threads cannot share {shards} shards")
        self.network, self.count, self.threads, self.link = network, shards, threads, link
        memset(&c, 0, sizeof(c))
        if link is not None:
            layers = len(network.sizes) - 1
            segments = np.empty((layers, ranks, 2), np.int64)
            for l in range(layers):
                for i in range(ranks):
                    bpk_shards_segment(network.net, l, ranks, i, &start, &end)
                    segments[l, i] = start, end
            nodes = [bpk_shards_nodes(shards, ranks, i) for i in range(ranks)]
            stores = 0 if states is None else 1 + states
            barrier = bpk_shards_shared_size(network.net, 0)
            parameters = bpk_shards_shared_size(network.net, stores) - barrier
            stored, results, shared = link.connect(network.dtype, size, nodes, segments, barrier, parameters)
            for i in range(ranks):
                check_contiguous("nodes", stored[i], network.typenum, (nodes[i] * size,), True)
                if results[i] is not None:
                    check_contiguous("results", results[i], network.typenum, (size,), True)
            if shared is not None:
                self.lends = parameters > 0 and len(shared) > barrier
                check_contiguous("shared", shared, network.typenum, (barrier + self.lends * parameters,), True)
                c.shared, c.stores = data(shared), stores if self.lends else 0
            self.arrays = (stored, results, shared)
            self.pointers = <void **>calloc(2 * ranks, sizeof(void *))
            if self.pointers == NULL:
                raise MemoryError("no memory for a link")
            for i in range(ranks):
                self.pointers[i] = data(stored[i])
                self.pointers[ranks + i] = NULL if results[i] is None else data(results[i])
            c.context = <void *>self
            c.agree, c.travel = agree_of_link, travel_of_link
            c.nodes, c.results = self.pointers, self.pointers + ranks
        if bpk_shards_create(network.net, shards, ranks, rank, threads, &c, &self.c) != BPK_OK:
            raise MemoryError(f"no memory for {shards} shards")

    def __dealloc__(self):
        bpk_shards_free(self.c)
        free(self.pointers)

    def set_rows(self, ptrdiff_t rows, ptrdiff_t batch):
        """The rows of the next run and those of a mini-batch, on all ranks together."""
        if rows < 1 or batch < 1:
            raise ValueError(f"there must be at least 1 row, in batches of at least 1, not {rows}, {batch}")
        self.rows, self.batch = rows, batch
        bpk_shards_set_rows(self.c, rows, batch)

    cdef int lend(self, Network network, const bpk_request *request) except -1:
        """Put the parameters where all ranks see and move them, until `take_back`, if all ranks do."""
        cdef bpk_status status
        cdef int stores
        if not self.lends:
            return 0
        stores = bpk_shards_lendable(self.c, network.net, request)
        if not self.link.begin_pass(stores):
            return 0
        with nogil:
            status = bpk_shards_lend(self.c, network.net, stores)
        network.guard.lent = status == BPK_OK
        if status != BPK_OK:
            self.raise_error()  # or another rank has one, and the first step meets it
        return 0

    cdef void take_back(self, Network network, bint after_error) noexcept:
        """Put the parameters back, if they are lent."""
        network.guard.lent = False
        bpk_shards_take_back(self.c, network.net, after_error)

    cdef ptrdiff_t batches(self) noexcept:
        """The mini-batches of the run."""
        return (self.rows - 1) // self.batch + 1

    cdef int check(self, Network network, int threads) except -1:
        """Raise ValueError unless a run of this network with `threads` threads may use this."""
        if network is not self.network or threads > self.threads or self.rows < 1:
            raise ValueError(f"these shards are of another network, of {self.threads} threads, or without rows")
        return 0

    cdef int raise_error(self) except -1:
        """Raise what the link has raised."""
        error, self.error = self.error, None
        if error is not None:
            raise error
        return 0


cdef int agree_of_link(void *context, int status, double *sums) noexcept with gil:
    cdef Shards shards = <Shards>context
    cdef cnp.npy_intp shape[2]
    if shards.error is not None:  # of a signal handler, while this rank waited for others, which have then come
        return BPK_STOPPED
    shape[0], shape[1] = shards.count, 3
    try:
        return shards.link.agree(status, cnp.PyArray_SimpleNewFromData(2, shape, cnp.NPY_DOUBLE, sums))
    except BaseException as error:
        shards.error = error
        return BPK_STOPPED


cdef int travel_of_link(void *context, int stage, int layer) noexcept with gil:
    cdef Shards shards = <Shards>context
    try:
        error = shards.link.travel(stage, layer)
    except BaseException as raised:
        shards.error = raised
        return 1
    if error is not None and shards.error is None:
        shards.error = error
    return 0
