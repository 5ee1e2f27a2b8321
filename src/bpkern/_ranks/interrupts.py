"""Ctrl-C while ranks depend on each other: it waits until this rank can tell the others."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import _thread
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

# Seconds that a Ctrl-C waits for the next meeting of the ranks, unless that is under way.
PATIENCE = 0.3


class Interrupts:
    """Within this context, Ctrl-C waits until this rank next meets the others: all then end at one place.

    It is handled at once, as outside of this context, if it comes a second time, or if there is no meeting
    for PATIENCE seconds, as in a callback that sleeps.

    Parameters
    ----------
    has_others : bool
        Whether there are other ranks. Otherwise this context changes nothing.

    Attributes
    ----------
    abandoned : bool
        Whether it was handled during a meeting: messages between ranks may be incomplete.
    """

    def __init__(self, has_others: bool) -> None:
        self.abandoned = False
        # Held from the beginning: there is nothing to tell others by before the first meeting.
        self._held = self._has_others = has_others
        self._waits = self._nudged = self._installed = False
        self._before: Any = None
        self._nudger: tuple[_thread.LockType, _thread.LockType] | None = None

    def __enter__(self) -> Interrupts:
        if self._has_others and threading.current_thread() is threading.main_thread():
            self._before = signal.getsignal(signal.SIGINT)
            if callable(self._before):
                self._installed = True
                signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._installed:
            return
        waits = self._settle()
        signal.signal(signal.SIGINT, self._before)  # runs `_handle` first if a signal has just come
        waits = self._settle() or waits
        if waits and not isinstance(error, KeyboardInterrupt):
            self._before(signal.SIGINT, None)

    def hold(self, to_the_end: bool = False) -> None:
        """A meeting begins. Handles a Ctrl-C that waits, unless this holds to the end of the context."""
        if not to_the_end and self._settle():
            self._before(signal.SIGINT, None)
        self._held = True

    def release(self) -> None:
        """A meeting has ended. A Ctrl-C that has come meanwhile waits for the next: others are on their way
        there, and have done what comes before it."""
        self._held = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        nudged, self._nudged = self._nudged, False
        if nudged and (self._held or not self._waits):
            return
        if not self._waits:
            self._waits = True
            settled, ended = _thread.allocate_lock(), _thread.allocate_lock()
            settled.acquire()
            ended.acquire()
            self._nudger = settled, ended
            try:
                # Not by `threading`, one of whose locks the interrupted code may hold.
                _thread.start_new_thread(self._nudge, self._nudger)
            except RuntimeError:
                # The system starts no more threads: this Ctrl-C waits for the next meeting, however late.
                self._nudger = None
            return
        self.abandoned = self._held
        self._settle()
        self._before(number, frame)

    def _settle(self) -> bool:
        """Whether a Ctrl-C has waited; from now on, it no longer does."""
        waits, self._waits = self._waits, False
        if self._nudger is not None:
            settled, ended = self._nudger
            self._nudger = None
            settled.release()
            ended.acquire()  # its signals have come: none can come after this context
        return waits

    def _nudge(self, settled: _thread.LockType, ended: _thread.LockType) -> None:
        """On a thread of its own: interrupt the main thread, which may be asleep, but not in a meeting."""
        try:
            while not settled.acquire(timeout=PATIENCE):
                if not self._held:
                    self._nudged = True
                    if hasattr(signal, "pthread_kill"):
                        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                    else:
                        _thread.interrupt_main()
        finally:
            ended.release()
