# The rows that a network in C reads, and the errors about them. Included by _core.pyx.

class BadRowError(Exception):
    """Row `.row` of X or y holds NaN, infinity, a value that overflows the dtype, or an index or label out of range; it
    was gathered in step `.step`."""

    def __init__(self, row, step):
        super().__init__(row, step)
        self.row, self.step = row, step


class NonFiniteLossError(Exception):
    """The loss of mini-batch `.step` of the run is not finite; its update was not made."""

    def __init__(self, step):
        super().__init__(step)
        self.step = step


cdef extern from "numpy/ndarraytypes.h":
    int NPY_HALF  # missing in Cython's declarations

# All that C gets to know about an array is read by NumPy's C API from an object whose class is ndarray itself: the
# attributes of a subclass may say anything.

cdef cnp.ndarray plain(str name, array):
    """The array itself, or a view of the class ndarray if it is of a subclass. Raises TypeError for all else."""
    if not cnp.PyArray_Check(array):
        raise TypeError(f"{name} must be a NumPy array, not {type(array).__name__}")
    return array if cnp.PyArray_CheckExact(array) else np.ndarray.view(array, np.ndarray)


cdef tuple shape_of(cnp.ndarray array):
    cdef int i
    return tuple([cnp.PyArray_DIM(array, i) for i in range(cnp.PyArray_NDIM(array))])


cdef cnp.ndarray vector(str name, array, int kind, ptrdiff_t size, ptrdiff_t n):
    """An array that C reads as contiguous items of `size` bytes: signed integers if `kind` is NPY_INT64, or doubles if
    it is NPY_DOUBLE. It has the shape (n,), or (any,) if n is negative. Raises TypeError or ValueError."""
    cdef cnp.ndarray found = plain(name, array)
    cdef int typenum = cnp.PyArray_TYPE(found)
    cdef bint fits = cnp.PyTypeNum_ISSIGNED(typenum) if kind == cnp.NPY_INT64 else typenum == kind
    if not fits or cnp.PyArray_ITEMSIZE(found) != size:
        raise TypeError(f"{name} must be {'float64' if kind == cnp.NPY_DOUBLE else f'int{8 * size}'}, not {found.dtype}")
    if cnp.PyArray_NDIM(found) != 1 or (n >= 0 and cnp.PyArray_DIM(found, 0) != n):
        wanted = "one dimension" if n < 0 else f"shape ({n},)"
        raise ValueError(f"{name} must have {wanted}, not shape {shape_of(found)}")
    if not (cnp.PyArray_ISCARRAY_RO(found) and cnp.PyArray_ISNOTSWAPPED(found)):
        raise ValueError(f"{name} must be contiguous, aligned and in native byte order")
    return found


def are_labels(array, ptrdiff_t classes):
    """Whether an array holds labels in the form that C reads: int64 (n,), contiguous, from 0 to classes - 1."""
    cdef cnp.ndarray found = plain("labels", array)
    cdef ptrdiff_t i
    cdef const int64_t *labels
    if cnp.PyArray_TYPE(found) != cnp.NPY_INT64 or cnp.PyArray_NDIM(found) != 1:
        return False
    if not (cnp.PyArray_ISCARRAY_RO(found) and cnp.PyArray_ISNOTSWAPPED(found)):
        return False
    labels = <const int64_t *>cnp.PyArray_DATA(found)
    for i in range(cnp.PyArray_DIM(found, 0)):
        if not 0 <= labels[i] < classes:
            return False
    return True


cdef bpk_type type_of(str name, cnp.ndarray array) except *:
    """The type in C of an array's elements. Raises TypeError unless they are real numbers."""
    cdef int typenum = cnp.PyArray_TYPE(array)
    cdef ptrdiff_t size = cnp.PyArray_ITEMSIZE(array)
    if typenum == cnp.NPY_FLOAT:
        return BPK_FLOAT
    if typenum == cnp.NPY_DOUBLE:
        return BPK_DOUBLE
    if typenum == cnp.NPY_BOOL:
        return BPK_BOOL
    if typenum == NPY_HALF:
        return BPK_HALF
    if typenum == cnp.NPY_LONGDOUBLE:
        # Where NumPy's long double is a double, as on Windows, that of this build's compiler may have more bytes.
        return BPK_DOUBLE if size == sizeof(double) else BPK_LONG_DOUBLE
    if cnp.PyTypeNum_ISINTEGER(typenum):
        is_signed = cnp.PyTypeNum_ISSIGNED(typenum)
        if size == 1:
            return BPK_INT8 if is_signed else BPK_UINT8
        if size == 2:
            return BPK_INT16 if is_signed else BPK_UINT16
        if size == 4:
            return BPK_INT32 if is_signed else BPK_UINT32
        if size == 8:
            return BPK_INT64 if is_signed else BPK_UINT64
    raise TypeError(f"{name} must hold real numbers, not dtype {array.dtype}")


cdef bpk_source dense_source(str name, cnp.ndarray array) except *:
    """The description in C of an array (n, columns). Its pointer points into the argument."""
    cdef bpk_source source
    if cnp.PyArray_NDIM(array) != 2:
        raise ValueError(f"{name} must have 2 dimensions, not shape {shape_of(array)}")
    memset(&source, 0, sizeof(source))
    source.data = <const char *>cnp.PyArray_DATA(array)
    source.type = type_of(name, array)
    source.swapped = not cnp.PyArray_ISNOTSWAPPED(array)
    source.columns = cnp.PyArray_DIM(array, 1)
    source.row_stride = cnp.PyArray_STRIDE(array, 0)
    source.column_stride = cnp.PyArray_STRIDE(array, 1)
    return source


cdef bpk_source sparse_source(
    cnp.ndarray values, cnp.ndarray indices, cnp.ndarray indptr, ptrdiff_t columns
) except *:
    """The description in C of the arrays of SparseRows. Its pointers point into the arguments."""
    cdef bpk_source source
    if cnp.PyArray_NDIM(values) != 1 or cnp.PyArray_DIM(values, 0) != cnp.PyArray_DIM(indices, 0):
        raise ValueError(
            f"X must have an index for each of its entries: data of shape {shape_of(values)} has indices of shape "
            f"{shape_of(indices)}"
        )
    memset(&source, 0, sizeof(source))
    source.data = <const char *>cnp.PyArray_DATA(values)
    source.type = type_of("X", values)
    source.swapped = not cnp.PyArray_ISNOTSWAPPED(values)
    source.columns = columns
    source.column_stride = cnp.PyArray_STRIDE(values, 0)
    source.indices = cnp.PyArray_DATA(indices)
    source.indptr = cnp.PyArray_DATA(indptr)
    source.wide_indices = cnp.PyArray_ITEMSIZE(indices) == 8
    source.entries = cnp.PyArray_DIM(values, 0)
    return source


@cython.final
cdef class Data:
    """Rows for a network. x: (n, in) of any real dtype and strides, or SparseRows. y: None, int64 labels (n,), or
    (n, out) of any real dtype and strides. weights: None or float64 (n,).

    Raises TypeError or ValueError for arrays of other kinds and shapes. Their values are not checked: C does this when
    it gathers a row.
    """

    cdef bpk_data c
    cdef tuple arrays  # the pointers point into them

    def __init__(self, x, y=None, weights=None):
        cdef bpk_data c
        cdef ptrdiff_t size
        memset(&c, 0, sizeof(c))
        if cnp.PyArray_Check(x):
            x = plain("X", x)
            c.x = dense_source("X", x)
            c.source_rows = cnp.PyArray_DIM(x, 0)
            arrays = [x]
        else:
            values, indices = plain("X", x.data), plain("the indices of X", x.indices)
            size = cnp.PyArray_ITEMSIZE(indices)
            if size != 4 and size != 8:
                raise TypeError(f"the indices of X must be int32 or int64, not {indices.dtype}")
            indices = vector("the indices of X", indices, cnp.NPY_INT64, size, -1)
            indptr = vector("the indptr of X", x.indptr, cnp.NPY_INT64, size, -1)
            if cnp.PyArray_DIM(indptr, 0) == 0:
                raise ValueError("X must have an indptr of at least one element")
            c.x = sparse_source(values, indices, indptr, x.shape[1])
            c.source_rows = cnp.PyArray_DIM(indptr, 0) - 1
            arrays = [values, indices, indptr]
        if y is not None:
            y = plain("y", y)
            arrays.append(y)
            if cnp.PyArray_NDIM(y) == 1:
                y = vector("labels", y, cnp.NPY_INT64, sizeof(int64_t), c.source_rows)
                c.labels = <const int64_t *>cnp.PyArray_DATA(y)
            else:
                c.y = dense_source("y", y)
                if cnp.PyArray_DIM(y, 0) != c.source_rows:
                    raise ValueError(f"y must have as many rows as X, {c.source_rows}, not shape {shape_of(y)}")
        if weights is not None:
            weights = vector("sample_weight", weights, cnp.NPY_DOUBLE, sizeof(double), c.source_rows)
            c.weights = <const double *>cnp.PyArray_DATA(weights)
            arrays.append(weights)
        c.rows = c.source_rows
        self.c, self.arrays = c, tuple(arrays)

    @property
    def rows(self):
        return self.c.rows


cdef int start_run(bpk_run *run, Data rows, index, ptrdiff_t batch) except -1:
    """Initialise a run over the rows of `index` (int64, contiguous), or over all, in batches of `batch` rows. The caller
    keeps `index` alive."""
    memset(run, 0, sizeof(run[0]))
    run.request.data = rows.c
    run.request.batch = batch
    run.request.seconds = SLICE_SECONDS
    if index is not None:
        index = vector("the order of the rows", index, cnp.NPY_INT64, sizeof(int64_t), -1)
        run.request.data.index = <const int64_t *>cnp.PyArray_DATA(<cnp.ndarray>index)
        run.request.data.rows = cnp.PyArray_DIM(<cnp.ndarray>index, 0)
    return 0


cdef int raise_for(bpk_status status, const bpk_run *run) except -1:
    """Raise the error of a call that has ended a run early."""
    cdef ptrdiff_t row = run.results.bad_row
    cdef ptrdiff_t step = run.cursor.next // run.request.batch if run.request.shards == NULL else run.cursor.batches
    if status == BPK_BAD_ROW and not 0 <= row < run.request.data.source_rows:
        raise ValueError(
            f"the order of the rows must hold numbers from 0 to {run.request.data.source_rows - 1}, not {row}"
        )
    if status == BPK_BAD_ROW:
        raise BadRowError(run.results.bad_row, step)
    if status == BPK_DIVERGED:
        raise NonFiniteLossError(step)
    return 0
