# The Python threads that are running calls: they share the processors, and those of a crew stop together. Included
# by _core.pyx.

# The registered threads, which train or read for long: from a thread's identity to its crew, or None. Each thread
# changes only its own item, so that nothing is lost without the GIL either.
cdef dict callers = {}

# A thread has two names. Its identity, PyThread_get_thread_ident, is reused after its end, which does not matter for
# registered threads: they are running. Its number (`this_thread`) is never reused, and so guards remember it.

cdef extern from *:
    """
    static _Thread_local unsigned long thread_number; /* 0: none yet */
    static _Thread_local int thread_readings; /* reading sections of any network that the thread is in */
    static atomic_ulong numbered;             /* threads that have a number */
    """
    unsigned long thread_number
    int thread_readings
    atomic_ulong numbered

# The number of forks between the first ancestor process and this one, and the thread that made the last.
cdef unsigned long forks = 0
cdef unsigned long forker = 0


cdef inline unsigned long this_thread() noexcept:
    """A number that no other thread ever gets. Identities of ended threads are reused, in a forked child too."""
    global thread_number
    if thread_number == 0:
        thread_number = atomic_fetch_add(&numbered, 1) + 1
    return thread_number


def after_fork():
    """Adapt to a child process, in which only this thread goes on. Guards then forget the readers of other threads; but
    if this thread forked while reading itself, as a signal handler may, guards cannot tell its readings from theirs,
    and keep all."""
    global forks, forker
    callers.clear()
    if thread_readings == 0:
        forks += 1
        forker = this_thread()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=after_fork)


cdef object get_limit = None


def use_thread_count(limit):
    """Let `limit()` give the most threads for calls without a given number; 1 until this is called."""
    global get_limit
    get_limit = limit


cdef int thread_limit() except -1:
    """The most threads for a call without a given number, if no other call is running."""
    return 1 if get_limit is None else get_limit()


cdef bint begin_call() except -1:
    """Register this thread. Returns whether it was not registered before; then it must call `end_call`."""
    me = PyThread_get_thread_ident()
    if me in callers:
        return False
    callers[me] = None
    return True


cdef int end_call() except -1:
    """Unregister this thread."""
    callers.pop(PyThread_get_thread_ident(), None)
    return 0


def fair_share():
    """The number of threads for a call of this thread without a given number: the process's limit, divided equally
    among all registered threads."""
    cdef Py_ssize_t sharing = len(callers) + (PyThread_get_thread_ident() not in callers)
    return max(1, thread_limit() // sharing)


cpdef int share_of(int most, n_threads) except -1:
    """`most` threads, limited to this thread's fair share unless `n_threads` is given."""
    return most if most == 1 or n_threads is not None else min(most, <int>fair_share())


@cython.final
cdef class Crew:
    """Threads that stop together, because a signal reaches the main thread alone. A crew made by a member of another
    crew stops with that one."""

    cdef atomic_int stopped
    cdef Crew outer

    def __cinit__(self):
        self.outer = callers.get(PyThread_get_thread_ident())

    def member(self):
        """A context in which the current thread belongs to the crew."""
        return Member(self)

    def stop(self):
        """Make each member raise KeyboardInterrupt when it next looks for signals."""
        self.stopped = 1


@cython.final
cdef class Member:
    """The context that `Crew.member` returns. Entered and left in C, where no signal handler can run in between."""

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
    """Raise what Python's signal handlers raise, or KeyboardInterrupt if the thread's crew has been stopped."""
    cdef Crew crew
    PyErr_CheckSignals()
    if callers:
        crew = callers.get(PyThread_get_thread_ident())
        while crew is not None:
            if crew.stopped:
                raise KeyboardInterrupt
            crew = crew.outer
    return 0


cdef extern from "Python.h":
    int PyOS_InterruptOccurred()  # whether there was a Ctrl-C whose handler has not run; forgets it
    void PyErr_SetInterrupt()  # as if there were a Ctrl-C now


cdef int wants_to_stop(void *unused) noexcept with gil:
    """Whether a step in C should be broken off, because `look_for_signals` would now run the handler of Ctrl-C or raise
    KeyboardInterrupt for a stopped crew. No handler runs here, in the middle of a step."""
    cdef Crew crew = callers.get(PyThread_get_thread_ident())
    while crew is not None:
        if crew.stopped:
            return 1
        crew = crew.outer
    if not PyOS_InterruptOccurred():  # 0 in all threads but the main one
        return 0
    PyErr_SetInterrupt()
    return 1
