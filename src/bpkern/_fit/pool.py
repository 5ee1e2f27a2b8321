"""Several fits, run by several threads."""

import contextlib
import threading
from collections import deque
from collections.abc import Mapping

from .. import _core
from .._data.prefetch import AWAKE
from ..history import History
from .fit import Fit
from .progress import Progress


class Pool:
    """Fits in several threads, each of which takes one fit after another until none is left."""

    def __init__(self, fits: list[Fit], progress: Progress) -> None:
        self._fits, self._progress = fits, progress
        work = [fit.work for fit in fits]
        # The longest first: a long one that began last would keep all others waiting.
        self._left = deque(sorted(range(len(fits)), key=work.__getitem__, reverse=True))
        self._histories: dict[int, History] = {}
        self._errors: dict[int, Exception] = {}
        self._stopped_by: BaseException | None = None
        self._stop = _core.Crew()  # through which one thread stops all
        self._lock = threading.Lock()
        self._counted = threading.Event()  # set when it is known how many threads have started
        self._ended = threading.Semaphore(0)  # counts the ended threads, except the caller's

    def run(self, workers: int) -> list[History]:
        """Run all fits in `workers` threads, including the caller's, and return their histories.

        If the system can start only some of the threads, those run all fits.
        """
        self._progress.begin(len(self._fits), None, 0)
        # All threads are counted before the first fit begins, so that it takes no more than its share.
        self._together = threading.Barrier(workers)
        helpers = [threading.Thread(target=self._help, name="bpkern fit_many") for _ in range(workers - 1)]
        try:
            with contextlib.suppress(RuntimeError):  # the system starts no more
                for helper in helpers:
                    helper.start()
            started = sum(helper.ident is not None for helper in helpers)
            self._together = threading.Barrier(1 + started)
            self._counted.set()
            self._work()
            # Not by `join`: in Python 3.11, a signal that interrupts it makes the thread count as ended.
            for _ in range(started):
                # A signal that comes just before the thread sleeps does not wake it: it wakes by itself.
                while not self._ended.acquire(timeout=AWAKE):
                    pass
        except BaseException as error:
            self._end(error)
        finally:
            self._counted.set()
            for helper in helpers:
                if helper.ident is not None:
                    helper.join()
            self._progress.close()
        if self._stopped_by is not None or self._errors:
            raise self._take_error()
        return [self._histories[number] for number in range(len(self._fits))]

    def _help(self) -> None:
        """The work of a thread other than the caller's."""
        try:
            self._work()
        except BaseException as error:  # raised again in the caller's thread
            self._end(error)
        finally:
            self._ended.release()

    def _work(self) -> None:
        """Run fits until none is left."""
        with self._stop.member():
            self._counted.wait()
            self._together.wait()
            while self._left:
                try:
                    number = self._left.popleft()
                except IndexError:  # another thread has taken the last one
                    return
                self._fit(number)

    def _fit(self, number: int) -> None:
        """Run one fit, and keep its history or its error. Errors that are not Exceptions end all fits."""
        fit = self._fits[number]
        try:
            history = fit.run()
        except Exception as error:
            self._errors[number] = error
            history = History()  # a failed model counts as done, too
        self._histories[number] = history
        with self._lock:
            last = {name: values[-1] for name, values in history.items()}
            self._progress.epoch(len(self._histories), last)

    def _end(self, error: BaseException) -> None:
        """Stop all threads at their next check for signals."""
        if self._stopped_by is None:
            self._stopped_by = error
        self._stop.stop()
        self._together.abort()

    def _take_error(self) -> BaseException:
        """The error to raise, removed from here: its traceback refers to this object and to the data."""
        stopped_by, errors = self._stopped_by, self._errors
        self._stopped_by, self._errors = None, {}
        if stopped_by is not None:
            return stopped_by
        return first_error(errors, len(self._fits))


def first_error(errors: Mapping[int, Exception], models: int) -> Exception:
    """The error of the first model, with a note that names all models that raised one."""
    first, *others = sorted(errors)
    error = errors[first]
    note = f"models[{first}] of fit_many raised it"
    if others:
        note += f", and {', '.join(f'models[{number}]' for number in others)} an error, too"
    if len(errors) < models:
        note += ". The other models are trained"
    error.add_note(f"{note}.")
    return error
