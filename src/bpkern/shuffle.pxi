# Permutations of millions of rows in slices, with a look for signals after each: NumPy takes a second for about ten
# million and does not look for signals. Included by _core.pyx.

cdef extern from "numpy/random/bitgen.h":
    # Not cimported: NumPy's own declaration imports numpy.random, which takes as long as the rest of the package.
    ctypedef struct bitgen_t:
        void *state
        uint64_t (*next_uint64)(void *state) nogil
        uint32_t (*next_uint32)(void *state) nogil

# Swaps between two looks for signals: tens of milliseconds if each misses the caches.
cdef ptrdiff_t SLICE_SWAPS = 1 << 18


cdef inline uint64_t draw(bitgen_t *bits, uint64_t most, uint64_t mask) noexcept nogil:
    """A number from 0 to `most`, as NumPy's shuffles draw it. `mask` has all bits up to the highest one of `most`."""
    cdef uint64_t drawn = most + 1
    while drawn > most:
        if most >> 32 == 0:
            drawn = bits.next_uint32(bits.state) & mask
        else:
            drawn = bits.next_uint64(bits.state) & mask
    return drawn


# NumPy's own bit generators. In other classes, even subclasses, `capsule`, `lock` and `state` may be anything.
cdef set BIT_GENERATORS = {"MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"}


cdef bint is_numpys(generator) except -1:
    """Whether it is NumPy's Generator, and its bit generator one of NumPy's."""
    if type(generator) is not np.random.Generator:
        return False
    kind = type(generator.bit_generator)
    return kind.__name__ in BIT_GENERATORS and kind is getattr(np.random, kind.__name__)


def permutation(generator, ptrdiff_t n):
    """`generator.permutation(n)`. For NumPy's own generators this is computed here, as int64 (n,): the same numbers, and
    the same state afterwards; or the state before, if a signal interrupts it. For others, their method is called.

    Raises ValueError and MemoryError."""
    if n < 0:
        raise ValueError(f"a permutation has at least 0 rows, not {n}")
    if not is_numpys(generator):
        return generator.permutation(n)
    bit_generator = generator.bit_generator
    cdef bitgen_t *bits = <bitgen_t *>PyCapsule_GetPointer(bit_generator.capsule, "BitGenerator")
    cdef cnp.ndarray numbers = np.arange(n, dtype=np.int64)
    if cnp.PyArray_DIM(numbers, 0) != n:  # arange of the largest numbers is empty
        raise MemoryError(f"no memory for a permutation of {n} rows")
    cdef int64_t *o = <int64_t *>cnp.PyArray_DATA(numbers)
    cdef ptrdiff_t i = n - 1, last
    cdef uint64_t j, mask = 1
    while i > 0 and mask < <uint64_t>i:
        mask = 2 * mask + 1
    before = bit_generator.state
    try:
        while i > 0:
            last = max(i - SLICE_SWAPS, 0)
            with bit_generator.lock, nogil:
                while i > last:
                    while mask >> 1 >= <uint64_t>i:
                        mask >>= 1
                    j = draw(bits, i, mask)
                    o[i], o[j] = o[j], o[i]
                    i -= 1
            look_for_signals()
    except BaseException:
        bit_generator.state = before
        raise
    return numbers
