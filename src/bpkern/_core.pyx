"""The extension module: checks its arguments, releases the GIL and calls the C library.

It imports nothing of its own package; the parts included at the end are in .pxi files, one idea each.
"""

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetPointer
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

cdef extern from *:
    const char *COMPILER "BPKERN_COMPILER"
    const char *VERSION "BPKERN_VERSION"

__version__ = VERSION.decode()
compiler = COMPILER.decode()

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


cdef inline const bpk_kernels *kernels_for(bint double) noexcept:
    return bpk_isa_kernels(bpk_isa_selected(), BPK_F64 if double else BPK_F32)


cdef bpk_activation activation_of(name) except *:
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
    if typenum_of(name, array) != typenum:
        raise TypeError(f"all arrays of a call have one dtype: {name} is {array.dtype}")
    if shape_of(array) != shape:
        raise ValueError(f"{name} must have shape {shape}, not {shape_of(array)}")
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
    return check(name, array, typenum, shape_of(array), False)


cdef int check_apart(dict written, dict others) except -1:
    """Raise ValueError if an array that will be written overlaps another argument."""
    names = list(written)
    for i, name in enumerate(names):
        apart_from = [(other, written[other]) for other in names[i + 1:]] + list(others.items())
        for other, array in apart_from:
            if np.may_share_memory(written[name], array) and np.shares_memory(written[name], array):
                raise ValueError(f"{name} overlaps {other}, and would be written")
    return 0


cdef inline ptrdiff_t ld(cnp.ndarray array) noexcept:
    """The leading dimension of a matrix: the distance of its rows in elements. Arbitrary for fewer than two rows."""
    if cnp.PyArray_DIM(array, 0) < 2:
        return cnp.PyArray_DIM(array, 1)
    return cnp.PyArray_STRIDE(array, 0) // cnp.PyArray_ITEMSIZE(array)


cdef inline void *data(array) noexcept:
    """The address of the first element of a NumPy array."""
    return cnp.PyArray_DATA(<cnp.ndarray>array)


def probabilities(str loss, outputs):
    """The probabilities (n, out) of outputs (n, out) of "cross_entropy" or "binary_cross_entropy": the softmax of each
    row, or the sigmoid. None if an output is not finite."""
    cdef cnp.ndarray a = plain("outputs", outputs)
    cdef int typenum = typenum_of("outputs", a)
    cdef cnp.npy_intp shape[2]
    if cnp.PyArray_NDIM(a) != 2 or not cnp.PyArray_ISCARRAY_RO(a):
        raise ValueError("outputs must have 2 dimensions, C-contiguous and aligned")
    if not all_finite(a):
        return None
    cdef bpk_loss c_loss = <bpk_loss><int>LOSSES.index(loss)
    cdef const bpk_kernels *kernels = kernels_for(typenum == cnp.NPY_DOUBLE)
    shape[0], shape[1] = cnp.PyArray_DIM(a, 0), cnp.PyArray_DIM(a, 1)
    p = cnp.PyArray_EMPTY(2, shape, typenum, 0)
    cdef const void *pa = data(a)
    cdef void *pp = data(p)
    cdef bpk_status status
    if cnp.PyArray_SIZE(a) < GIL_KEPT:
        status = bpk_probabilities(kernels, c_loss, shape[0], shape[1], pa, pp)
    else:
        with nogil:
            status = bpk_probabilities(kernels, c_loss, shape[0], shape[1], pa, pp)
    if status != BPK_OK:
        raise MemoryError(f"no memory for the probabilities of {shape[1]} outputs")
    return p


cdef int kernel_threads(n_threads, double n, double width_in, double width, double bytes) except -1:
    """`n_threads`, or if that is None as many threads as the work of a product (n, width_in) by (width_in, width) is
    worth. `bytes` is the number of bytes that it moves per weight."""
    if n_threads is not None:
        return min(n_threads, BPK_MAX_THREADS)
    cdef double work = width_in * width * (2 * n + bytes)
    if bpk_threads_worth(work, 1, 2) == 1:  # asking for the limit would take longer than a small call
        return 1
    return bpk_threads_worth(work, 1, min(fair_share(), BPK_MAX_THREADS))


def linear_forward(x, w, b, activation, out, n_threads):
    cdef bpk_activation s = activation_of(activation)
    x, w, b = plain("x", x), plain("w", w), plain("b", b)
    given = out
    cdef int typenum = typenum_of("x", x)
    check_2d("x", x, typenum)
    check_2d("w", w, typenum)
    cdef ptrdiff_t n = x.shape[0], width_in = x.shape[1], width = w.shape[0]
    if w.shape[1] != width_in:
        raise ValueError(f"w must have as many columns as x, {width_in}, not shape {w.shape}")
    check("b", b, typenum, (width,), False)
    if out is None:
        given = out = np.empty((n, width), x.dtype)
    else:
        out = plain("out", out)
        check("out", out, typenum, (n, width), True)
        check_apart({"out": out}, {"x": x, "w": w, "b": b})
    cdef const bpk_kernels *kernels = kernels_for(typenum == cnp.NPY_DOUBLE)
    cdef void *px = data(x)
    cdef void *pw = data(w)
    cdef void *pb = data(b)
    cdef void *pa = data(out)
    cdef ptrdiff_t ldx = ld(x), ldw = ld(w), lda = ld(out)
    cdef bpk_status status
    cdef int threads = kernel_threads(n_threads, n, width_in, width, 4)
    with nogil:
        status = bpk_linear_forward(kernels, threads, n, width_in, width, px, ldx, pw, ldw, pb, s, pa, lda)
    if status == BPK_NO_MEMORY:
        raise MemoryError(f"no memory for a copy of a part of w or x, of shapes {w.shape} and {x.shape}")
    return given


def delta_backward(delta_next, w_next, a, activation, z, out, n_threads):
    cdef bpk_activation s = activation_of(activation)
    if z is None and bpk_needs_z(s):
        raise ValueError(f"{activation!r} needs z: its derivative is no function of a")
    if z is not None and not bpk_needs_z(s):
        raise ValueError(
            f"z is only for activations whose derivative is no function of a, not {activation!r}"
        )
    delta_next, w_next, a = plain("delta_next", delta_next), plain("w_next", w_next), plain("a", a)
    given = out
    cdef int typenum = typenum_of("delta_next", delta_next)
    check_2d("delta_next", delta_next, typenum)
    check_2d("w_next", w_next, typenum)
    cdef ptrdiff_t n = delta_next.shape[0], width = delta_next.shape[1], width_in = w_next.shape[1]
    if w_next.shape[0] != width:
        raise ValueError(
            f"w_next must have as many rows as delta_next has columns, {width}, not shape {w_next.shape}"
        )
    check("a", a, typenum, (n, width_in), False)
    if z is None:
        z = a  # the derivative is computed from a
    else:
        z = plain("z", z)
        check("z", z, typenum, (n, width_in), False)
    if out is None:
        given = out = np.empty((n, width_in), a.dtype)
    else:
        out = plain("out", out)
        check("out", out, typenum, (n, width_in), True)
        check_apart({"out": out}, {"delta_next": delta_next, "w_next": w_next, "a": a, "z": z})
    cdef const bpk_kernels *kernels = kernels_for(typenum == cnp.NPY_DOUBLE)
    cdef void *pn = data(delta_next)
    cdef void *pw = data(w_next)
    cdef void *pz = data(z)
    cdef void *pd = data(out)
    cdef ptrdiff_t ldn = ld(delta_next), ldw = ld(w_next), ldz = ld(z), ldd = ld(out)
    cdef bpk_status status
    cdef int threads = kernel_threads(n_threads, n, width_in, width, 4)
    with nogil:
        status = bpk_delta_backward(kernels, threads, n, width_in, width, pn, ldn, pw, ldw, pz, ldz, s, pd, ldd)
    if status == BPK_NO_MEMORY:
        raise MemoryError(
            f"no memory for a copy of a part of w_next or delta_next, of shapes {w_next.shape} and {delta_next.shape}"
        )
    return given


def activate_with_slope(a, slope, activation):
    """a (m, n) <- s(z) and slope (m, n) <- s'(z); a holds z before. Not public: training does this for activations
    whose derivative is computed from z."""
    cdef bpk_activation s = activation_of(activation)
    a, slope = plain("a", a), plain("slope", slope)
    cdef int typenum = typenum_of("a", a)
    check_2d("a", a, typenum)
    check("a", a, typenum, a.shape, True)
    check("slope", slope, typenum, a.shape, True)
    check_apart({"a": a, "slope": slope}, {})
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
    w, b, delta, x = plain("w", w), plain("b", b), plain("delta", delta), plain("x", x)
    cdef int typenum = typenum_of("w", w)
    check_2d("x", x, typenum)
    check_2d("delta", delta, typenum)
    cdef ptrdiff_t n = x.shape[0], width_in = x.shape[1], width = delta.shape[1]
    if delta.shape[0] != n:
        raise ValueError(f"delta must have as many rows as x, {n}, not shape {delta.shape}")
    check("w", w, typenum, (width, width_in), True)
    check("b", b, typenum, (width,), True)
    written = {"w": w, "b": b}
    if sgd.momentum != 0:
        if vw is None or vb is None:
            raise ValueError(f"momentum {momentum} needs the velocities vw and vb")
        vw, vb = plain("vw", vw), plain("vb", vb)
        check("vw", vw, typenum, (width, width_in), True)
        check("vb", vb, typenum, (width,), True)
        written.update(vw=vw, vb=vb)
    check_apart(written, {"delta": delta, "x": x})
    cdef const bpk_kernels *kernels = kernels_for(typenum == cnp.NPY_DOUBLE)
    cdef void *pw = data(w)
    cdef void *pb = data(b)
    cdef void *pd = data(delta)
    cdef void *px = data(x)
    cdef void *pvw = NULL
    cdef void *pvb = NULL
    cdef ptrdiff_t ldw = ld(w), ldd = ld(delta), ldx = ld(x), ldvw = 0
    if sgd.momentum != 0:
        pvw = data(vw)
        pvb = data(vb)
        ldvw = ld(vw)
    cdef bpk_status status
    cdef int threads = kernel_threads(n_threads, n, width_in, width, 16 if sgd.momentum != 0 else 8)
    with nogil:
        status = bpk_sgd_update(
            kernels, threads, n, width_in, width, pw, ldw, pb, pd, ldd, px, ldx, pvw, ldvw, pvb, &sgd
        )
    if status == BPK_NO_MEMORY:
        raise MemoryError(f"no memory for a copy of a part of x or delta, of shapes {x.shape} and {delta.shape}")


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


include "callers.pxi"
include "guard.pxi"
include "data.pxi"
include "pace.pxi"
include "shuffle.pxi"
include "settings.pxi"
include "network.pxi"
include "epochs.pxi"
include "tape.pxi"
