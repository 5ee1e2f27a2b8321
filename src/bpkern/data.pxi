# The rows that a network in C reads, and the errors about them. Included by _core.pyx.

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
    """Row `.row` of X or y holds NaN, infinity, a value that overflows the dtype or an index out of range; it was
    gathered in step `.step`."""

    def __init__(self, row, step):
        super().__init__(row, step)
        self.row, self.step = row, step


class NonFiniteLossError(Exception):
    """The loss of mini-batch `.step` of the run is not finite; its update was not made."""

    def __init__(self, step):
        super().__init__(step)
        self.step = step


cdef bpk_source source_of(array) except *:
    """The source of an array (n, columns) or of SparseRows."""
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


@cython.final
cdef class Data:
    """Checked rows for a network. x: (n, in) of any real dtype and strides, or SparseRows. y: None, int64 labels (n,),
    or (n, out) of any real dtype and strides. weights: None or float64 (n,)."""

    cdef bpk_data c
    cdef tuple arrays  # the pointers point into them

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


cdef void start(bpk_run *run, Data rows, index, ptrdiff_t batch):
    memset(run, 0, sizeof(run[0]))
    run.request.data = rows.c
    run.request.batch = batch
    run.request.seconds = SLICE_SECONDS
    if index is not None:
        run.request.data.index = <const int64_t *>cnp.PyArray_DATA(<cnp.ndarray>index)
        run.request.data.rows = cnp.PyArray_SIZE(index)


cdef int raise_for(bpk_status status, const bpk_run *run) except -1:
    if status == BPK_BAD_ROW:
        raise BadRowError(run.results.bad_row, run.cursor.next // run.request.batch)
    if status == BPK_DIVERGED:
        raise NonFiniteLossError(run.cursor.next // run.request.batch)
    return 0
