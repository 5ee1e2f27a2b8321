# The threads of Python that are at work in here: they share the processors, and those of a crew stop together.
# Included by _core.pyx.

# By identity, those that train and those that read for long: the crew that each is of, or None.
cdef dict callers = {}

cdef extern from *:
    """
    static _Thread_local unsigned long thread_number; /* 0: it has none yet */
    static _Thread_local int thread_readings; /* sections of reading, of any network, that it is in */
    """
    unsigned long thread_number
    int thread_readings

# How many threads have a number.
cdef unsigned long numbered = 0

# How often this process and its ancestors came out of a fork as the child, and the thread that went into the last.
cdef unsigned long forks = 0
cdef unsigned long forker = 0


cdef inline unsigned long this_thread() noexcept:
    """A number that no other thread gets: in the child of a fork, the identity of one that is gone is given again."""
    global thread_number, numbered
    if thread_number == 0:
        numbered += 1
        thread_number = numbered
    return thread_number


def after_fork():
    """No other thread goes on in the child. Where this one forks while it reads, as a handler of a signal may, its
    readings cannot be told from theirs: then the networks believe that all are there."""
    global forks, forker
    callers.clear()
    if thread_readings == 0:
        forks += 1
        forker = this_thread()


os.register_at_fork(after_in_child=after_fork)


cdef bint begin_call() except -1:
    """This thread is one of them. Returns whether it was none before: then `end_call` belongs to it."""
    me = PyThread_get_thread_ident()
    if me in callers:
        return False
    callers[me] = None
    return True


cdef int end_call() except -1:
    callers.pop(PyThread_get_thread_ident(), None)
    return 0


def fair_share():
    """How many threads a call of this thread may take that is told no number: those of the process, in equal parts
    for all that are at work."""
    cdef Py_ssize_t sharing = len(callers) + (PyThread_get_thread_ident() not in callers)
    return max(1, get_num_threads() // sharing)


cpdef int share_of(int most, n_threads) except -1:
    """Of `most` threads, which the work is worth, those that the other calls under way leave; all where `n_threads`
    is given."""
    return most if most == 1 or n_threads is not None else min(most, <int>fair_share())


@cython.final
cdef class Crew:
    """Threads that stop together: a signal reaches the main thread alone. Where a member of another crew makes
    one, that crew stops with the other."""

    cdef bint stopped
    cdef Crew outer

    def __cinit__(self):
        self.outer = callers.get(PyThread_get_thread_ident())

    def member(self):
        """A context in which the thread is one of the crew."""
        return Member(self)

    def stop(self):
        """Have each member raise KeyboardInterrupt where it looks for signals."""
        self.stopped = True


@cython.final
cdef class Member:
    """What `Crew.member` gives: entered and left in C, where no signal comes between."""

    cdef Crew crew
    cdef object before
    cdef bint is_call

    def __cinit__(self, Crew crew):
        self.crew = crew

    def __enter__(self):
        me = PyThread_get_thread_ident()
        self.is_call = me not in callers
        self.before = callers.get(me)
        callers[me] = self.crew

    def __exit__(self, *error):
        if self.is_call:
            end_call()
        else:
            callers[PyThread_get_thread_ident()] = self.before


cdef int look_for_signals() except -1:
    """Raises what Python's handlers of signals raise, and KeyboardInterrupt where the thread's crew is to stop."""
    cdef Crew crew
    PyErr_CheckSignals()
    if callers:
        crew = callers.get(PyThread_get_thread_ident())
        while crew is not None:
            if crew.stopped:
                raise KeyboardInterrupt
            crew = crew.outer
    return 0
