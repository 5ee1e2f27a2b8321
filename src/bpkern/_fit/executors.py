"""`fit_many` on an executor: copies of the models go to its workers, and their states come back."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from importlib.util import find_spec
from typing import Any

import numpy as np

from .._data.prefetch import AWAKE
from .._files import state
from .._model.core import Core, core_of
from ..history import History
from .call import Call
from .carried import Carrier
from .pool import first_error
from .progress import Progress
from .worker import GOING_ON, Origin, Outcome, packed, train, under_way

# Seconds that fits have to stop after an interrupt, if it is not known that they are on this machine.
STOP_SECONDS = 1.0


def check_executor(executor: Any) -> None:
    """Raise TypeError unless this is an executor."""
    if not isinstance(executor, Executor):
        hint = ": pass its get_executor()" if hasattr(executor, "get_executor") else ""
        raise TypeError(f"executor must be a concurrent.futures.Executor, not {executor!r}{hint}")


class Remote:
    """The fits of `fit_many`, run by an executor.

    Parameters
    ----------
    executor : Executor
    calls : sequence of Call
        Checked, by making their fits.
    work : sequence of int
        The work of each, to begin with the longest.
    progress : Progress
    """

    def __init__(
        self, executor: Executor, calls: Sequence[Call], work: Sequence[int], progress: Progress
    ) -> None:
        self._executor, self._calls, self._progress = executor, calls, progress
        self._order = sorted(range(len(calls)), key=work.__getitem__, reverse=True)
        self._cores = [core_of(call.model) for call in calls]
        self._numbers: dict[Future[bytes], int] = {}
        self._taken: set[int] = set()
        self._histories: dict[int, History] = {}
        self._errors: dict[int, Exception] = {}

    def run(self) -> list[History]:
        """Run all fits, and return their histories. Raises as `fit_many`.

        Until the end, this thread is the writer of all networks.
        """
        with contextlib.ExitStack() as held:
            self._hold(held)
            payloads = {number: self._payload(number) for number in self._order if number not in self._errors}
            folder = tempfile.mkdtemp(prefix="bpkern-fit-many-")
            going_on = os.path.join(folder, GOING_ON)
            try:
                with open(going_on, "wb"):
                    pass
                self._progress.begin(len(self._calls), None, 0)
                self._submit(payloads, folder)
                left = set(self._numbers)
                while left:
                    # A signal that comes just before the thread sleeps does not wake it: it wakes by itself.
                    done, left = wait(left, AWAKE, FIRST_COMPLETED)
                    for future in done:
                        self._end(future)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(going_on)
                self._stop(folder)
                raise
            finally:
                self._progress.close()
                # A fit that has not ended yet, nor begun, looks there when it begins.
                if all(future.done() for future in self._numbers):
                    shutil.rmtree(folder, ignore_errors=True)
        if self._errors:
            raise first_error(self._errors, len(self._calls))
        return [self._histories[number] for number in range(len(self._calls))]

    def _history(self, number: int) -> History:
        """The history of a model that has been fitted."""
        history = self._cores[number].history
        return History() if history is None else history

    def _hold(self, held: contextlib.ExitStack) -> None:
        """Enter each network as its writer, until `held` ends. A model in use gets its error."""
        for number, core in enumerate(self._cores):
            try:
                held.enter_context(core.net.writing())
                core.check_may_train()
            except Exception as error:
                self._errors[number] = error

    def _payload(self, number: int) -> bytes:
        """The pickled arguments of a fit, without rows. Raises TypeError or ValueError that says what cannot
        be pickled."""
        call, core = self._calls[number], self._cores[number]
        try:
            check_generator(core)
            return packed((call, core.random.seed))
        except Exception as error:
            raised = error if isinstance(error, ValueError) else TypeError(_reason(call, error))
            raised.add_note(f"It is about models[{number}] of fit_many.")
            raise raised from error.__cause__

    def _submit(self, payloads: dict[int, bytes], folder: str) -> None:
        """Give all fits to the executor."""
        origin, carrier = Origin.here(), Carrier()
        for number in self._order:
            if number not in payloads:
                continue
            rows = carrier.rows(self._calls[number].rows)
            try:
                future = self._executor.submit(train, payloads.pop(number), rows, origin, folder, number)
            except Exception as error:  # the executor is broken, or was shut down
                self._errors[number] = error
            else:
                self._numbers[future] = number

    def _end(self, future: Future[bytes]) -> None:
        """Keep the history or the error of a fit that is done. Raises what is no Exception."""
        number = self._numbers[future]
        try:
            error = self._take(number, pickle.loads(future.result()))
        except Exception as raised:  # the executor's, such as BrokenProcessPool: the model is as before
            error = raised
        if error is not None and not isinstance(error, Exception):
            raise error
        if error is not None:
            self._errors[number] = error
        self._histories[number] = self._history(number) if error is None else History()
        last = {name: values[-1] for name, values in self._histories[number].items()}
        self._progress.epoch(len(self._histories), last)

    def _take(self, number: int, outcome: Outcome) -> BaseException | None:
        """Put the outcome of a fit into the caller's objects, and return its error.

        To repeat it after an interrupt changes nothing more.
        """
        call, core = self._calls[number], self._cores[number]
        found = state.checked_state(core.settings, outcome.config, outcome.arrays)
        tape, random = core.tape, found.random.state()
        history = found.history if outcome.has_new_history else core.history
        groups = state.groups_in(outcome.config, len(core.settings.groups))
        state.restore(core, found.but(random=core.random, history=history))
        if groups != core.settings.groups:
            core.set_groups(groups)  # by a callback
        core.tape = tape  # gradients that wait for `step`
        core.random.go_back(random)  # the generator is the caller's
        if not core.fitting:  # otherwise it is that of the fit whose callback has called fit_many
            core.stop_training = outcome.stop_training
        if isinstance(outcome.optimizer, dict):
            for name, value in outcome.optimizer.items():
                setattr(core.settings.optimizer, name, value)
        else:
            core.settings.optimizer = outcome.optimizer
        for callback, attributes in zip(call.callbacks, outcome.callbacks, strict=False):
            vars(callback).update(attributes)
        self._taken.add(number)
        return outcome.error

    def _stop(self, folder: str) -> None:
        """End the fits, and take what has become of those of this machine."""
        for future in self._numbers:
            future.cancel()
        wait(future for future, number in self._numbers.items() if os.path.exists(under_way(folder, number)))
        wait(self._numbers, timeout=STOP_SECONDS)  # what a queue still holds, and other machines
        for future, number in self._numbers.items():
            if number not in self._taken and future.done() and not future.cancelled():
                with contextlib.suppress(Exception):
                    self._take(number, pickle.loads(future.result()))


def check_generator(core: Core) -> None:
    """Raise ValueError for a generator of a user's class, whose copy would be NumPy's."""
    kind = type(core.random.generator)
    if kind is not np.random.Generator:
        raise ValueError(
            f"the model's generator must be a numpy.random.Generator to go to a worker, not a {kind.__name__}"
        )


def _reason(call: Call, error: Exception) -> str:
    """What of a call cannot be pickled."""
    settings = core_of(call.model).settings
    parts = [*(("callback", each) for each in call.callbacks), ("metrics", call.metrics)]
    parts += [("loss", settings.given_loss), ("optimizer", settings.optimizer), ("model", call.model)]
    for what, part in parts:
        try:
            packed(part)
        except Exception as own:
            what, error = f"{what} {part!r}", own
            break
    else:
        what = "arguments"
    hint = (
        "" if find_spec("cloudpickle") else "; what is defined in a function or on a prompt needs cloudpickle"
    )
    return f"its {what} cannot be pickled, to go to a worker: {error}{hint}"
