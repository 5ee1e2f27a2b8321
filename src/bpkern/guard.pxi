# Locking: which threads may enter a network, also after a fork. Included by _core.pyx.

@cython.final
cdef class Guard:
    """Lets one thread write, or several read; any other thread gets a RuntimeError.

    The thread that writes may enter again, to write or to read, as a callback of `fit` does. A thread that reads may
    enter again only to read.
    """

    cdef unsigned long writer  # number of the thread that writes, valid while writes > 0
    cdef int writes, reads  # how many sections are entered
    cdef bint reader_taken  # whether a reader uses the network's kept workspace
    cdef unsigned long forks  # value of the global `forks` when the fields above were last valid

    def __cinit__(self):
        self.forks = forks

    cdef int begin_write(self) except -1:
        cdef unsigned long me = this_thread()
        if self.forks != forks:
            self.recover_after_fork()
        if self.reads or (self.writes and self.writer != me):
            raise RuntimeError("another thread is using this model: give each thread its own, or take turns")
        self.writer = me
        self.writes += 1
        return 0

    cdef void end_write(self) noexcept:
        self.writes -= 1

    cdef int begin_read(self) except -1:
        if self.forks != forks:
            self.recover_after_fork()
        if self.writes and self.writer != this_thread():
            raise RuntimeError("another thread is changing this model: give each thread its own, or take turns")
        self.reads += 1
        global thread_readings
        thread_readings += 1
        return 0

    cdef void end_read(self) noexcept:
        self.reads -= 1
        global thread_readings
        thread_readings -= 1

    cdef int recover_after_fork(self) except -1:
        """In a child process only the thread that forked is left, perhaps while it was writing. If another thread
        was writing, the network is half changed for good."""
        if self.writes and self.writer != forker:
            raise RuntimeError(
                "another thread was changing this model when the process was forked: load it, or make it anew"
            )
        self.reads, self.reader_taken, self.forks = 0, False, forks
        return 0


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
