"""The extension module: checks its arguments, releases the GIL and calls the C library.

It imports nothing of its own package; the parts included at the end are in .pxi files, one idea each.
"""

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stddef cimport ptrdiff_t
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from bpkern._ckernels cimport *

import os
from time import perf_counter

import numpy as np

cnp.import_array()

# C reads and assigns variables of these types atomically: threads without the GIL share them.
cdef extern from "<stdatomic.h>":
    ctypedef int atomic_int
    ctypedef unsigned long atomic_ulong
    unsigned long atomic_fetch_add(atomic_ulong *to, unsigned long added) noexcept nogil

cdef extern from *:
    const char *COMPILER "BPKERN_COMPILER"
    const char *FLAGS "BPKERN_FLAGS"
    const char *VERSION "BPKERN_VERSION"

__version__ = VERSION.decode()
compiler = COMPILER.decode()
flags = FLAGS.decode()

# In the order of the C enumerations.
ACTIVATIONS = tuple([bpk_activation_name(i).decode() for i in range(BPK_N_ACTIVATIONS)])
LOSSES = tuple([bpk_loss_name(i).decode() for i in range(BPK_N_LOSSES)])
OPTIMIZERS = tuple([bpk_rule_name(i).decode() for i in range(BPK_N_RULES)])


# Instruction sets ------------------------------------------------------------------------------------------

def compiled_isas():
    """The names of the instruction sets that this build has kernels for, slowest first."""
    return tuple(bpk_isa_name(i).decode() for i in range(bpk_isa_count()))


def vector_bytes(str name):
    """Bytes of a vector register of that instruction set. "scalar" has none: the size that its memory layout uses."""
    return bpk_isa_vector_bytes(compiled_isas().index(name))


def available_isas():
    """The instruction sets whose kernels this machine can run.

    Returns
    -------
    tuple of str
        Their names, slowest first.
    """
    return tuple(bpk_isa_name(i).decode() for i in range(bpk_isa_count()) if bpk_isa_runs(i))


def isa():
    """The instruction set in use.

    Returns
    -------
    str
        One of `available_isas`.
    """
    return bpk_isa_name(bpk_isa_selected()).decode()


def select_isa(str name):
    """Use the instruction set of that name from now on, for calls and for new networks. Raises ValueError unless it
    is compiled and this machine can run it."""
    compiled = compiled_isas()
    if name not in compiled:
        raise ValueError(f"unknown instruction set {name!r}: allowed are {', '.join(compiled)}")
    if not bpk_isa_runs(compiled.index(name)):
        raise ValueError(f"this processor has no {name!r}: it runs {', '.join(available_isas())}")
    bpk_isa_select(compiled.index(name))


def processors():
    """The number of processors that this process may run on, as the operating system says."""
    return bpk_processors()


def caches():
    """Bytes of one core's data caches of levels 1, 2 and 3, as the operating system says; 0 if it does not."""
    return tuple([bpk_cache(level) for level in range(1, 4)])


cdef inline const bpk_kernels *kernels_for(bint double) noexcept:
    return bpk_isa_kernels(bpk_isa_selected(), BPK_F64 if double else BPK_F32)


cdef tuple activation_names = ACTIVATIONS


cdef bpk_activation activation_of(name) except *:
    cdef int i
    for i in range(BPK_N_ACTIVATIONS):
        if name is activation_names[i]:  # as most names are: Python keeps constants of code once
            return <bpk_activation>i
    try:
        return <bpk_activation><int>ACTIVATIONS.index(name)
    except ValueError:
        raise ValueError(f"unknown activation {name!r}: allowed are {', '.join(ACTIVATIONS)}") from None


# Kernels on plain arrays; kernels.py documents the three products ---------------------------------------------

# Arrays of fewer elements are read with the GIL: to release it would take longer.
cdef ptrdiff_t GIL_KEPT = 1 << 14


cdef int typenum_of(str name, cnp.ndarray array) except -1:
    """NumPy's number of the type. Raises TypeError unless it is float32 or float64 in native byte order."""
    cdef int typenum = cnp.PyArray_TYPE(array)
    if typenum not in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE) or not cnp.PyArray_ISNOTSWAPPED(array):
        raise TypeError(f"{name} must be float32 or float64, not {array.dtype}")
    return typenum


cdef int check(str name, cnp.ndarray array, int typenum, tuple shape, bint writes) except -1:
    """Raise TypeError or ValueError unless `array`, from `plain`, is a matrix or vector of that shape and type, with
    contiguous rows, and writeable without overlaps if it `writes`."""
    check_type(name, array, typenum)
    if shape_of(array) != shape:
        raise ValueError(f"{name} must have shape {shape}, not {shape_of(array)}")
    return check_layout(name, array, writes)


cdef int check_matrix(
    str name, cnp.ndarray array, int typenum, ptrdiff_t rows, ptrdiff_t columns, bint writes
) except -1:
    """`check` for a matrix (rows, columns). It builds no tuple of sizes: that takes a large part of
    a small call."""
    if (
        cnp.PyArray_NDIM(array) != 2
        or cnp.PyArray_DIM(array, 0) != rows
        or cnp.PyArray_DIM(array, 1) != columns
    ):
        return check(name, array, typenum, (rows, columns), writes)
    check_type(name, array, typenum)
    return check_layout(name, array, writes)


cdef int check_vector(str name, cnp.ndarray array, int typenum, ptrdiff_t n, bint writes) except -1:
    """`check` for a vector (n,), likewise."""
    if cnp.PyArray_NDIM(array) != 1 or cnp.PyArray_DIM(array, 0) != n:
        return check(name, array, typenum, (n,), writes)
    check_type(name, array, typenum)
    return check_layout(name, array, writes)


cdef int check_type(str name, cnp.ndarray array, int typenum) except -1:
    if typenum_of(name, array) != typenum:
        raise TypeError(f"all arrays of a call have one dtype: {name} is {array.dtype}")
    return 0


cdef int check_layout(str name, cnp.ndarray array, bint writes) except -1:
    """What `check` says about a matrix or vector, apart from its type and shape."""
    if writes and not cnp.PyArray_ISWRITEABLE(array):
        raise ValueError(f"{name} is read-only, and would be written")
    if not cnp.PyArray_ISALIGNED(array):
        raise ValueError(f"{name} is not aligned to its elements")
    cdef int last = cnp.PyArray_NDIM(array) - 1
    cdef ptrdiff_t item = cnp.PyArray_ITEMSIZE(array), width = cnp.PyArray_DIM(array, last), stride
    if cnp.PyArray_SIZE(array) == 0:
        return 0
    if width > 1 and cnp.PyArray_STRIDE(array, last) != item:
        raise ValueError(f"{name} must be contiguous along its last axis, not of strides {(<object>array).strides}")
    if last == 1 and cnp.PyArray_DIM(array, 0) > 1:
        stride = cnp.PyArray_STRIDE(array, 0)
        if stride % item:
            raise ValueError(f"{name} must have rows a whole number of elements apart, not {stride} bytes")
        if writes and abs(stride) < width * item:
            raise ValueError(f"{name} has rows that overlap, and would be written")
    return 0


cdef int check_contiguous(str name, cnp.ndarray array, int typenum, tuple shape, bint writes=False) except -1:
    """As `check`, and raise ValueError unless the rows are adjacent."""
    check(name, array, typenum, shape, writes)
    if not cnp.PyArray_IS_C_CONTIGUOUS(array):
        raise ValueError(f"{name} must be C-contiguous, not of strides {(<object>array).strides}")
    return 0


cdef int check_2d(str name, cnp.ndarray array, int typenum) except -1:
    """`check` for a matrix of any shape that is only read."""
    if cnp.PyArray_NDIM(array) != 2:
        raise ValueError(f"{name} must have 2 dimensions, not shape {shape_of(array)}")
    check_type(name, array, typenum)
    return check_layout(name, array, False)


cdef extern from *:
    """
    enum { MOST_APART = 8 };

    /* The bytes from the lowest to past the highest that an array's elements take; the same address if it has none. */
    static void extent_of(PyArrayObject *array, uintptr_t *low, uintptr_t *high) {
        *low = *high = (uintptr_t)PyArray_DATA(array);
        if (!PyArray_SIZE(array)) return;
        for (int i = 0; i < PyArray_NDIM(array); i++) {
            npy_intp reach = (PyArray_DIM(array, i) - 1) * PyArray_STRIDE(array, i);
            *(reach < 0 ? low : high) += (uintptr_t)reach;
        }
        *high += (uintptr_t)PyArray_ITEMSIZE(array);
    }
    """
    enum: MOST_APART
    ctypedef size_t uintptr_t
    void extent_of(cnp.ndarray array, uintptr_t *low, uintptr_t *high) noexcept


cdef int check_apart(tuple names, tuple arrays, int written) except -1:
    """Raise ValueError if one of the first `written` arrays, from `plain`, overlaps any other. At most MOST_APART
    arrays. NumPy is asked, which takes microseconds, only about two arrays of which one begins within the other."""
    cdef uintptr_t low[MOST_APART]
    cdef uintptr_t high[MOST_APART]
    cdef Py_ssize_t i, j, count = len(arrays)
    for i in range(count):
        extent_of(arrays[i], &low[i], &high[i])
    for i in range(written):
        for j in range(i + 1, count):
            if low[i] < high[j] and low[j] < high[i] and np.shares_memory(arrays[i], arrays[j]):
                raise ValueError(f"{names[i]} overlaps {names[j]}, and would be written")
    return 0


cdef inline ptrdiff_t ld(cnp.ndarray array) noexcept:
    """The leading dimension of a matrix: the distance of its rows in elements. Arbitrary for fewer than two rows."""
    if cnp.PyArray_DIM(array, 0) < 2:
        return cnp.PyArray_DIM(array, 1)
    return cnp.PyArray_STRIDE(array, 0) // cnp.PyArray_ITEMSIZE(array)


cdef inline cnp.ndarray empty(cnp.npy_intp rows, cnp.npy_intp columns, int typenum):
    """A new matrix of arbitrary numbers."""
    cdef cnp.npy_intp shape[2]
    shape[0], shape[1] = rows, columns
    return cnp.PyArray_EMPTY(2, shape, typenum, 0)


cdef inline void *data(array) noexcept:
    """The address of the first element of a NumPy array."""
    return cnp.PyArray_DATA(<cnp.ndarray>array)


def probabilities(str loss, outputs):
    """The probabilities (n, out) of outputs (n, out) of "cross_entropy" or "binary_cross_entropy": the softmax of each
    row, or the sigmoid. None if an output is not finite."""
    cdef cnp.ndarray a = plain("outputs", outputs)
    cdef int typenum = typenum_of("outputs", a)
    check_2d("outputs", a, typenum)
    check_contiguous("outputs", a, typenum, shape_of(a))
    if not all_finite(a):
        return None
    cdef bpk_loss c_loss = <bpk_loss><int>LOSSES.index(loss)
    cdef const bpk_kernels *kernels = kernels_for(typenum == cnp.NPY_DOUBLE)
    cdef ptrdiff_t m = cnp.PyArray_DIM(a, 0), n = cnp.PyArray_DIM(a, 1)
    p = empty(m, n, typenum)
    cdef const void *pa = data(a)
    cdef void *pp = data(p)
    cdef bpk_status status
    if m * n < GIL_KEPT:
        status = bpk_probabilities(kernels, c_loss, m, n, pa, pp)
    else:
        with nogil:
            status = bpk_probabilities(kernels, c_loss, m, n, pa, pp)
    if status != BPK_OK:
        raise MemoryError(f"no memory for the probabilities of {n} outputs")
    return p


cdef int kernel_threads(
    n_threads, const bpk_kernels *kernels, double n, double width_in, double width, double bytes
) except -1:
    """`n_threads`, or if that is None as many threads as a product (n, width_in) by (width_in, width) is worth. `bytes`
    is the number of bytes that it moves per weight in float32."""
    if n_threads is not None:
        return min(n_threads, BPK_MAX_THREADS)
    # Asking for the limit would take longer than a small call.
    if bpk_product_threads(kernels, n, width_in, width, bytes, 2) == 1:
        return 1
    return bpk_product_threads(kernels, n, width_in, width, bytes, min(fair_share(), BPK_MAX_THREADS))


def linear_forward(x, w, b, activation, out, n_threads):
    cdef bpk_activation s = activation_of(activation)
    cdef cnp.ndarray x_ = plain("x", x), w_ = plain("w", w), b_ = plain("b", b), out_
    cdef int typenum = typenum_of("x", x_)
    check_2d("x", x_, typenum)
    check_2d("w", w_, typenum)
    cdef cnp.npy_intp n = cnp.PyArray_DIM(x_, 0), width_in = cnp.PyArray_DIM(x_, 1), width = cnp.PyArray_DIM(w_, 0)
    if cnp.PyArray_DIM(w_, 1) != width_in:
        raise ValueError(f"w must have as many columns as x, {width_in}, not shape {shape_of(w_)}")
    check_vector("b", b_, typenum, width, False)
    if out is None:
        out = out_ = empty(n, width, typenum)
    else:
        out_ = plain("out", out)
        check_matrix("out", out_, typenum, n, width, True)
        check_apart(("out", "x", "w", "b"), (out_, x_, w_, b_), 1)
    cdef const bpk_kernels *kernels = kernels_for(typenum == cnp.NPY_DOUBLE)
    cdef void *px = data(x_)
    cdef void *pw = data(w_)
    cdef void *pb = data(b_)
    cdef void *pa = data(out_)
    cdef ptrdiff_t ldx = ld(x_), ldw = ld(w_), lda = ld(out_)
    cdef bpk_status status
    cdef int threads = kernel_threads(n_threads, kernels, n, width_in, width, 4)
    with nogil:
        status = bpk_linear_forward(kernels, threads, n, width_in, width, px, ldx, pw, ldw, pb, s, pa, lda)
    if status == BPK_NO_MEMORY:
        raise MemoryError(f"no memory for a copy of a part of w or x, of shapes {shape_of(w_)} and {shape_of(x_)}")
    return out


def delta_backward(delta_next, w_next, a, activation, z, out, n_threads):
    cdef bpk_activation s = activation_of(activation)
    if z is None and bpk_needs_z(s):
        raise ValueError(f"{activation!r} needs z: its derivative is no function of a")
    if z is not None and not bpk_needs_z(s):
        raise ValueError(
            f"z is only for activations whose derivative is no function of a, not {activation!r}"
        )
    cdef cnp.ndarray next_ = plain("delta_next", delta_next), w_ = plain("w_next", w_next), a_ = plain("a", a)
    cdef cnp.ndarray z_ = a_ if z is None else plain("z", z), out_  # without z, the derivative is computed from a
    cdef int typenum = typenum_of("delta_next", next_)
    check_2d("delta_next", next_, typenum)
    check_2d("w_next", w_, typenum)
    cdef cnp.npy_intp n = cnp.PyArray_DIM(next_, 0), width = cnp.PyArray_DIM(next_, 1)
    cdef cnp.npy_intp width_in = cnp.PyArray_DIM(w_, 1)
    if cnp.PyArray_DIM(w_, 0) != width:
        raise ValueError(
            f"w_next must have as many rows as delta_next has columns, {width}, not shape {shape_of(w_)}"
        )
    check_matrix("a", a_, typenum, n, width_in, False)
    if z is not None:
        check_matrix("z", z_, typenum, n, width_in, False)
    if out is None:
        out = out_ = empty(n, width_in, typenum)
    else:
        out_ = plain("out", out)
        check_matrix("out", out_, typenum, n, width_in, True)
        check_apart(("out", "delta_next", "w_next", "a", "z"), (out_, next_, w_, a_, z_), 1)
    cdef const bpk_kernels *kernels = kernels_for(typenum == cnp.NPY_DOUBLE)
    cdef void *pn = data(next_)
    cdef void *pw = data(w_)
    cdef void *pz = data(z_)
    cdef void *pd = data(out_)
    cdef ptrdiff_t ldn = ld(next_), ldw = ld(w_), ldz = ld(z_), ldd = ld(out_)
    cdef bpk_status status
    cdef int threads = kernel_threads(n_threads, kernels, n, width_in, width, 4)
    with nogil:
        status = bpk_delta_backward(kernels, threads, n, width_in, width, pn, ldn, pw, ldw, pz, ldz, s, pd, ldd)
    if status == BPK_NO_MEMORY:
        raise MemoryError(
            f"no memory for a copy of a part of w_next or delta_next, of shapes {shape_of(w_)} and {shape_of(next_)}"
        )
    return out


def activate_with_slope(a, slope, activation):
    """a (m, n) <- s(z) and slope (m, n) <- s'(z); a holds z before. Not public: training does this for activations
    whose derivative is computed from z."""
    cdef bpk_activation s = activation_of(activation)
    a, slope = plain("a", a), plain("slope", slope)
    cdef int typenum = typenum_of("a", a)
    check_2d("a", a, typenum)
    check("a", a, typenum, a.shape, True)
    check("slope", slope, typenum, a.shape, True)
    check_apart(("a", "slope"), (a, slope), 2)
    cdef const bpk_kernels *kernels = kernels_for(typenum == cnp.NPY_DOUBLE)
    cdef ptrdiff_t m = a.shape[0], n = a.shape[1], lda = ld(a), lds = ld(slope)
    cdef void *pa = data(a)
    cdef void *ps = data(slope)
    with nogil:
        bpk_activate_with_slope(kernels, s, m, n, pa, lda, ps, lds)


def sgd_update(w, b, delta, x, lr, momentum, nesterov, weight_decay, vw, vb, n_threads):
    cdef bpk_optimizer sgd
    memset(&sgd, 0, sizeof(sgd))
    sgd.lr, sgd.momentum, sgd.nesterov, sgd.weight_decay = lr, momentum, nesterov, weight_decay
    if sgd.nesterov and sgd.momentum == 0:
        raise ValueError("nesterov needs a momentum above 0, not 0")
    cdef cnp.ndarray w_ = plain("w", w), b_ = plain("b", b), delta_ = plain("delta", delta), x_ = plain("x", x)
    cdef cnp.ndarray vw_, vb_
    cdef int typenum = typenum_of("w", w_)
    check_2d("x", x_, typenum)
    check_2d("delta", delta_, typenum)
    cdef ptrdiff_t n = cnp.PyArray_DIM(x_, 0), width_in = cnp.PyArray_DIM(x_, 1), width = cnp.PyArray_DIM(delta_, 1)
    if cnp.PyArray_DIM(delta_, 0) != n:
        raise ValueError(f"delta must have as many rows as x, {n}, not shape {shape_of(delta_)}")
    check_matrix("w", w_, typenum, width, width_in, True)
    check_vector("b", b_, typenum, width, True)
    if sgd.momentum != 0:
        if vw is None or vb is None:
            raise ValueError(f"momentum {momentum} needs the velocities vw and vb")
        vw_, vb_ = plain("vw", vw), plain("vb", vb)
        check_matrix("vw", vw_, typenum, width, width_in, True)
        check_vector("vb", vb_, typenum, width, True)
        check_apart(("w", "b", "vw", "vb", "delta", "x"), (w_, b_, vw_, vb_, delta_, x_), 4)
    else:
        check_apart(("w", "b", "delta", "x"), (w_, b_, delta_, x_), 2)
    cdef const bpk_kernels *kernels = kernels_for(typenum == cnp.NPY_DOUBLE)
    cdef void *pw = data(w_)
    cdef void *pb = data(b_)
    cdef void *pd = data(delta_)
    cdef void *px = data(x_)
    cdef void *pvw = NULL
    cdef void *pvb = NULL
    cdef ptrdiff_t ldw = ld(w_), ldd = ld(delta_), ldx = ld(x_), ldvw = 0
    if sgd.momentum != 0:
        pvw = data(vw_)
        pvb = data(vb_)
        ldvw = ld(vw_)
    cdef bpk_status status
    cdef int threads = kernel_threads(n_threads, kernels, n, width_in, width, 16 if sgd.momentum != 0 else 8)
    with nogil:
        status = bpk_sgd_update(
            kernels, threads, n, width_in, width, pw, ldw, pb, pd, ldd, px, ldx, pvw, ldvw, pvb, &sgd
        )
    if status == BPK_NO_MEMORY:
        raise MemoryError(f"no memory for a copy of a part of x or delta, of shapes {shape_of(x_)} and {shape_of(delta_)}")


cpdef bint all_finite(array) except -1:
    """Whether a C-contiguous float32 or float64 array of any shape holds neither NaN nor infinity."""
    cdef cnp.ndarray found = plain("array", array)
    cdef int typenum = typenum_of("array", found), finite
    if not cnp.PyArray_ISCARRAY_RO(found):
        raise ValueError("array must be C-contiguous and aligned")
    cdef const bpk_kernels *kernels = kernels_for(typenum == cnp.NPY_DOUBLE)
    cdef const void *x = data(found)
    cdef ptrdiff_t n = cnp.PyArray_SIZE(found)
    if n < GIL_KEPT:
        return bpk_all_finite(kernels, n, x)
    with nogil:
        finite = bpk_all_finite(kernels, n, x)
    return finite


include "c_api.pxi"
include "callers.pxi"
include "guard.pxi"
include "data.pxi"
include "pace.pxi"
include "shuffle.pxi"
include "settings.pxi"
include "shards.pxi"
include "network.pxi"
include "epochs.pxi"
include "tape.pxi"
