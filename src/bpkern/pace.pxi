# How long a call into C may last: until it is time to look for signals. Included by _core.pyx.

# A call into C lasts about this long before it comes up for signals and progress.
cdef double SLICE_SECONDS = 0.05

# What the first slice does, by bpk_step_work: some milliseconds with vectors, some tens without.
cdef double FIRST_SLICE_WORK = 1e8

# What waiting for a thread costs a step at worst, where threads outnumber the processors; in the same measure.
cdef double BARRIERS_WORK = 1e6


@cython.final
cdef class Pace:
    """How many steps make a slice: doubled towards SLICE_SECONDS, and cut to it, as they are timed."""

    cdef ptrdiff_t steps  # 0: nothing is known yet
    cdef double began
    cdef bint whole, single

    def __init__(self, bint single=False):
        """With `single`, a slice is always one step."""
        self.single = single
        self.steps = single

    cdef void guess(self, double step_work, int threads):
        """A first slice of some milliseconds, so that short ones do not start threads again and again."""
        if self.steps == 0:
            self.steps = max(1, <ptrdiff_t>(FIRST_SLICE_WORK / (step_work + BARRIERS_WORK * (threads - 1))))

    cdef void begin(self, const bpk_run *run):
        self.whole = run.data.rows - run.next >= self.steps * run.batch
        self.began = perf_counter()

    cdef void end(self):
        """A last slice may be a part of one: it tells what is too long, and not what is too short."""
        cdef double took = perf_counter() - self.began
        if took > SLICE_SECONDS and self.steps > 1:
            self.steps = max(1, <ptrdiff_t>(self.steps * SLICE_SECONDS / took))
        elif self.whole and took < SLICE_SECONDS / 2 and self.steps < 1 << 40 and not self.single:
            self.steps *= 2
