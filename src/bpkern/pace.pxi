# The length of a call into C, after which signals are looked for. Included by _core.pyx.

# A call into C lasts about this long, in seconds.
cdef double SLICE_SECONDS = 0.05

# The work of the first slice, in the unit of bpk_step_work: milliseconds with vectors, tens of them without.
cdef double FIRST_SLICE_WORK = 1e8

# The cost per step and thread of waiting at barriers when threads outnumber the processors, in the same unit.
cdef double BARRIERS_WORK = 1e6


@cython.final
cdef class Pace:
    """The number of steps in a slice: doubled towards SLICE_SECONDS, and cut to it, as slices are timed."""

    cdef ptrdiff_t steps  # 0: not yet known
    cdef double began  # time at the beginning of the slice, in seconds
    cdef bint whole  # whether enough rows are left for all steps of the slice
    cdef bint single  # whether a slice is always one step

    def __init__(self, bint single=False):
        """With `single`, for hooks around each mini-batch, a slice is always one step."""
        self.single = single
        self.steps = single

    cdef void guess(self, double step_work, int threads):
        """Choose a first slice of some milliseconds: shorter ones would start threads again and again."""
        if self.steps == 0:
            self.steps = max(1, <ptrdiff_t>(FIRST_SLICE_WORK / (step_work + BARRIERS_WORK * (threads - 1))))

    cdef void begin(self, const bpk_run *run):
        """A slice of the run begins."""
        self.whole = run.request.data.rows - run.cursor.next >= self.steps * run.request.batch
        self.began = perf_counter()

    cdef void end(self):
        """The slice has ended: adjust the number of steps. A slice that the end of the data has cut short can show that
        the number is too large, not that it is too small."""
        cdef double took = perf_counter() - self.began
        if took > SLICE_SECONDS and self.steps > 1:
            self.steps = max(1, <ptrdiff_t>(self.steps * SLICE_SECONDS / took))
        elif self.whole and took < SLICE_SECONDS / 2 and self.steps < 1 << 40 and not self.single:
            self.steps *= 2
