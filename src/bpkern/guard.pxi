# Locking: which threads may enter a network, also after a fork. Included by _core.pyx.

@cython.final
cdef class Guard:
    """Lets one thread write, or several read; any other thread gets a RuntimeError.

    The thread that writes may enter again, to write or to read, as a callback of `fit` does. A thread that reads may
    enter again only to read.

    Without the GIL, a critical section protects the fields, and nothing inside one waits or raises. A fork waits for
    their ends, so none is locked in the child. With the GIL, it only holds a reference to the guard.
    """

    cdef unsigned long writer  # number of the thread that writes, valid while writes > 0
    cdef int writes, reads  # how many sections are entered
    cdef bint lent  # whether ranks share the parameters: not even the thread that writes may enter again
    cdef bint reader_taken  # whether a reader uses the network's kept workspace
    cdef unsigned long forks  # value of the global `forks` when the fields above were last valid

    def __cinit__(self):
        self.forks = forks

    cdef int begin_write(self) except -1:
        cdef unsigned long me = this_thread()
        cdef bint whole, free
        with cython.critical_section(self):
            whole = self.forks == forks or self.recover_after_fork()
            free = whole and not self.reads and (not self.writes or self.writer == me)
            if free:
                self.writer = me
                self.writes += 1
        if not whole:
            raise_half_changed()
        if free and self.lent:
            self.end_write()
            raise_lent()
        if not free:
            raise RuntimeError("another thread is using this model: give each thread its own, or take turns")
        return 0

    cdef void end_write(self) noexcept:
        with cython.critical_section(self):
            self.writes -= 1

    cdef int begin_read(self) except -1:
        cdef bint whole, free
        with cython.critical_section(self):
            whole = self.forks == forks or self.recover_after_fork()
            free = whole and (not self.writes or self.writer == this_thread())
            self.reads += free and not self.lent
        if not whole:
            raise_half_changed()
        if free and self.lent:
            raise_lent()
        if not free:
            raise RuntimeError("another thread is changing this model: give each thread its own, or take turns")
        global thread_readings
        thread_readings += 1
        return 0

    cdef void end_read(self) noexcept:
        with cython.critical_section(self):
            self.reads -= 1
        global thread_readings
        thread_readings -= 1

    cdef inline bint take_reader(self) noexcept:
        """Whether the network's kept workspace is free; then it is this reader's until `give_reader`."""
        cdef bint free
        with cython.critical_section(self):
            free = not self.reader_taken
            self.reader_taken = True
        return free

    cdef inline void give_reader(self) noexcept:
        with cython.critical_section(self):
            self.reader_taken = False

    cdef bint recover_after_fork(self) noexcept:
        """Adapt the fields to a child process, in which only the thread that forked is left, perhaps while it was
        writing. Returns whether the network is whole: if another thread was writing, it is half changed for good."""
        if self.writes and self.writer != forker:
            return False
        self.reads, self.reader_taken, self.forks = 0, False, forks
        return True


cdef int raise_lent() except -1:
    raise RuntimeError(
        "the ranks share the parameters of this model until the end of the epoch: nothing else may use them"
    )


cdef int raise_half_changed() except -1:
    raise RuntimeError(
        "another thread was changing this model when the process was forked: load it, or make it anew"
    )


@cython.final
cdef class Section:
    """The context that `Network.writing` and `reading` return. Entered and left in C, where no signal handler can
    run in between."""

    cdef Guard guard
    cdef bint writes, is_call

    def __cinit__(self, Guard guard, bint writes):
        self.guard, self.writes = guard, writes

    def __enter__(self):
        if self.writes:
            self.is_call = begin_call()
            try:
                self.guard.begin_write()
            except BaseException:
                if self.is_call:
                    end_call()
                raise
        else:
            self.guard.begin_read()

    def __exit__(self, *error):
        if self.writes:
            self.guard.end_write()
            if self.is_call:
                end_call()
        else:
            self.guard.end_read()
