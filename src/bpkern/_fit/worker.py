"""One fit of `fit_many` in a worker of an executor: what arrives there, and what goes back."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import threading
import traceback
from collections.abc import Iterator
from typing import Any, NamedTuple

from .. import _core
from .._data.rows import rows_to_fit
from .._files import state
from .._model.core import core_of
from ..callbacks import Callback
from ..optimizers import Optimizer
from .call import Call
from .carried import opened

# Seconds between two looks at whether to stop.
LOOK_SECONDS = 0.05

# The file in the folder of `fit_many` that exists until the fits are to stop.
GOING_ON = "going_on"


def under_way(folder: str, number: int) -> str:
    """The file that a fit makes in that folder, so that an interrupt waits for its end."""
    return os.path.join(folder, f"under_way_{number}")


class Origin(NamedTuple):
    """What a worker must have in common with the process of `fit_many` to compute the same bits."""

    version: str
    isa: str

    @classmethod
    def here(cls) -> Origin:
        """That of this process."""
        return cls(_core.__version__, _core.isa())

    def check(self) -> None:
        """Raise RuntimeError if this process would compute other bits."""
        here = self.here()
        if here.version != self.version:
            raise RuntimeError(
                f"a worker has bpkern {here.version}, and the process of fit_many {self.version}: other bits"
            )
        if here.isa != self.isa:
            raise RuntimeError(
                f"a worker computes with {here.isa}, and the process of fit_many with {self.isa}: other bits "
                "(BPKERN_ISA sets it)"
            )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a fit has made of the copies in the worker.

    Attributes
    ----------
    config, arrays
        The model's state, as from `model_state`.
    has_new_history : bool
        Whether the model's history is that of this fit.
    stop_training : bool
    optimizer : Optimizer or dict
        The optimiser that a callback has put in place of the model's; otherwise the settings of the model's
        optimiser that have changed.
    callbacks : list of dict
        The attributes of each callback.
    error : BaseException or None
        What the fit has raised.
    """

    config: state.Config
    arrays: state.Arrays
    has_new_history: bool
    stop_training: bool
    optimizer: Optimizer | dict[str, Any]
    callbacks: list[dict[str, Any]]
    error: BaseException | None


def packed(value: Any) -> bytes:
    """`value` pickled: by cloudpickle, if that is installed, where pickle cannot or the worker could not read
    it, because other processes have other names in `__main__`. Raises what `pickle.dumps` raises.
    """
    try:
        made, error = pickle.dumps(value, pickle.HIGHEST_PROTOCOL), None
        if b"__main__" not in made:
            return made
    except Exception as raised:
        made, error = b"", raised
    try:
        import cloudpickle
    except ModuleNotFoundError:
        if error is not None:
            raise error from None
        return made
    whole: bytes = cloudpickle.dumps(value)
    return whole


def train(payload: bytes, rows: dict[str, Any], origin: Origin, folder: str, number: int) -> bytes:
    """Run a fit, and return its `Outcome`, pickled.

    Parameters
    ----------
    payload : bytes
        The pickled pair of a `Call` and its model's seed.
    rows : dict
        From `Carrier.rows`.
    origin : Origin
    folder : str
    number : int
        As for `stoppable`.

    Raises
    ------
    RuntimeError
        As `Origin.check`.
    Exception
        If the payload cannot be read here, or a file of rows.
    """
    origin.check()
    call, seed = pickle.loads(payload)
    call.rows = opened(rows)
    core_of(call.model).random.seed = seed
    outcome = _outcome(call, folder, number)
    try:
        return packed(outcome)
    except Exception as error:
        what = TypeError(f"what the callbacks hold after the fit cannot be pickled: {error}")
        return packed(dataclasses.replace(outcome, callbacks=[], error=outcome.error or what))


def _outcome(call: Call, folder: str, number: int) -> Outcome:
    """The result of a fit, also of one that raises."""
    core, raised = core_of(call.model), None
    optimizer, history = core.settings.optimizer, core.history
    settings = optimizer.settings()
    try:
        with stoppable(folder, number):
            call.fit(rows_to_fit).run()
    except BaseException as error:
        raised = _portable(error)
    config, arrays = state.model_state(core)
    now: Optimizer | dict[str, Any] = core.settings.optimizer
    if now is optimizer:
        now = {name: value for name, value in now.settings().items() if value is not settings[name]}
    callbacks = [_attributes(callback) for callback in call.callbacks]
    is_new = core.history is not history
    return Outcome(config, arrays, is_new, core.stop_training, now, callbacks, raised)


def _attributes(callback: Callback) -> dict[str, Any]:
    """The attributes of a callback that its class lets travel."""
    reduced = callback.__reduce_ex__(2)
    found = reduced[2] if isinstance(reduced, tuple) and len(reduced) > 2 else None
    return dict(found) if isinstance(found, dict) else {}


def _portable(error: BaseException) -> BaseException:
    """The error with its traceback as a note; one of RuntimeError if its class cannot travel."""
    if isinstance(error, Exception):
        error.add_note("".join(["In the worker:\n", *traceback.format_exception(error)]).rstrip())
    try:
        pickle.loads(packed(error))
    except Exception:
        other = RuntimeError(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", []):
            other.add_note(note)
        return other
    return error


@contextlib.contextmanager
def stoppable(folder: str, number: int) -> Iterator[None]:
    """A context in which fits raise KeyboardInterrupt soon after a file is no longer there.

    Parameters
    ----------
    folder : str
        That of the file, which is named GOING_ON. On a machine without the folder, nothing stops the fits.
    number : int
        That of the model.
    """
    if not os.access(folder, os.X_OK):
        yield
        return
    going_on, crew, ended = os.path.join(folder, GOING_ON), _core.Crew(), threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            if not os.path.exists(going_on):
                crew.stop()
                return

    with open(under_way(folder, number), "wb"):
        pass
    if not os.path.exists(going_on):  # after that: who removes it sees which fits are under way
        raise KeyboardInterrupt
    watcher = threading.Thread(target=watch, name="bpkern fit_many", daemon=True)
    watcher.start()
    try:
        with crew.member():
            yield
    finally:
        ended.set()
        watcher.join()
