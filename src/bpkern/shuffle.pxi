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


cdef void shuffle(bitgen_t *bits, int64_t *o, ptrdiff_t i, ptrdiff_t last) noexcept nogil:
    """The part of the shuffle of o (i + 1 or more,) from position i down to `last`, exclusive: NumPy's, which is Fisher
    and Yates's. All of it is from n - 1 down to 0."""
    cdef uint64_t j, mask = 1
    while i > last and mask < <uint64_t>i:
        mask = 2 * mask + 1
    while i > last:
        while mask >> 1 >= <uint64_t>i:
            mask >>= 1
        j = draw(bits, i, mask)
        o[i], o[j] = o[j], o[i]
        i -= 1


cdef bitgen_t *bits_of(generator) except NULL:
    return <bitgen_t *>PyCapsule_GetPointer(generator.bit_generator.capsule, "BitGenerator")


cdef atomic_int is_numpys_shuffle = -1  # whether NumPy draws permutations as above; -1: not yet known


def shuffles(generator):
    """Whether permutations of this generator are computed here: it is NumPy's own, and NumPy still draws them in this
    way, which a later version may change."""
    global is_numpys_shuffle
    if not is_numpys(generator):
        return False
    if is_numpys_shuffle < 0:
        mine, numpys = np.random.default_rng(0), np.random.default_rng(0)
        is_numpys_shuffle = all(
            np.array_equal(shuffled(mine, n), numpys.permutation(n)) and mine.bit_generator.state == numpys.bit_generator.state
            for n in (0, 1, 2, 3, 64, 65, 1000)
        )
    return is_numpys_shuffle != 0


cdef object shuffled(generator, ptrdiff_t n):
    """A new permutation (n,), by `shuffle`."""
    numbers = np.arange(n, dtype=np.int64)
    shuffle(bits_of(generator), <int64_t *>data(numbers), n - 1, 0)
    return numbers


def permutation(generator, ptrdiff_t n):
    """`generator.permutation(n)`. For NumPy's own generators this is computed here, as int64 (n,): the same numbers, and
    the same state afterwards; or the state before, if a signal interrupts it. For others, their method is called.

    Raises ValueError and MemoryError."""
    if n < 0:
        raise ValueError(f"a permutation has at least 0 rows, not {n}")
    if not shuffles(generator):
        return generator.permutation(n)
    bit_generator = generator.bit_generator
    cdef bitgen_t *bits = bits_of(generator)
    cdef cnp.ndarray numbers = np.arange(n, dtype=np.int64)
    if cnp.PyArray_DIM(numbers, 0) != n:  # arange of the largest numbers is empty
        raise MemoryError(f"no memory for a permutation of {n} rows")
    cdef int64_t *o = <int64_t *>cnp.PyArray_DATA(numbers)
    cdef ptrdiff_t i = n - 1, last
    before = bit_generator.state
    try:
        while i > 0:
            last = max(i - SLICE_SWAPS, 0)
            with bit_generator.lock, nogil:
                shuffle(bits, o, i, last)
            i = last
            look_for_signals()
    except BaseException:
        bit_generator.state = before
        raise
    return numbers
