"""Ctrl-C while ranks depend on each other: it is kept until this rank can tell the others."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Within this context, Ctrl-C is handled as before, except while `held`: then at the next `release`.

    A second Ctrl-C is handled at once: the other ranks may not come.

    Attributes
    ----------
    abandoned : bool
        Whether that has happened: a message between ranks may be incomplete.
    """

    def __init__(self) -> None:
        self._held = self._waits = self.abandoned = False
        self._before: Any = None
        self._installed = False

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.getsignal(signal.SIGINT)
            if callable(self._before):
                self._installed = True
                signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._before)
            if self._waits and kind is None:
                self._waits = False
                self._before(signal.SIGINT, None)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._held and not self._waits:
            self._waits = True
            return
        self.abandoned = self._held
        self._waits = False
        self._before(number, frame)

    def hold(self, to_the_end: bool = False) -> None:
        """From now on, keep a Ctrl-C. Handles one that waits, unless this holds to the end."""
        if not to_the_end:
            self.release()
        self._held = True

    def release(self) -> None:
        """Handle a Ctrl-C that waits, and each new one at once."""
        self._held = False
        if self._waits:
            self._waits = False
            self._before(signal.SIGINT, None)
