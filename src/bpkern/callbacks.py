"""Callbacks of a fit: early stopping, learning rate on a plateau, saving the model, a log, and users' own.

>>> model.fit(X, y, epochs=500, validation_split=0.2, callbacks=[EarlyStopping(patience=20)])
"""

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import _checks
from ._arguments import proposes_arguments
from ._fit.hooks import check_hooks
from ._fit.metrics import MAXIMISED
from ._model.core import core_of

if not TYPE_CHECKING:  # checkers would take any attribute to be there

    def __getattr__(name: str) -> Any:
        """Raise AttributeError, with what the callback of another library is called here."""
        if name.startswith("__"):  # Python asks for some at each import
            raise AttributeError(name)
        import sys

        from ._attributes import unknown_attribute

        raise unknown_attribute(f"module {__name__!r}", name, sys.modules[__name__])


if TYPE_CHECKING:
    from ._files.logs import Log

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau"]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)


MODES = ("auto", "min", "max")


class Callback:
    """Hooks that do nothing. A subclass overrides those that it needs.

    >>> class Halve(Callback):
    ...     def on_epoch_end(self, model, epoch, logs):
    ...         if logs["loss"] < 0.1:
    ...             model.optimizer.lr /= 2  # from the next epoch on
    >>> model.fit(X, y, epochs=20, callbacks=Halve())

    `model` is the `bpkern.MLP` that trains. Epochs are counted from 0 over the whole fit, so that
    ``history[name][epoch]`` is the value of an epoch; batches are counted from 0 in each epoch. `logs` maps
    names to values: for an epoch the values of its History, such as ``loss`` and ``val_loss``; for a batch
    ``loss``, which is NaN if its rows have zero weight. Each callback gets a dictionary of its own: to change
    it changes neither the history nor what others get. Batch hooks cost time only if a callback overrides
    one. An error in a hook ends the fit and is raised from it, without a call of `on_fit_end`. A hook may
    train the model by other calls, except between the batches of a fit with `accumulate`.

    Names that begin with ``on_`` are hooks: a class with another one, or with a hook that takes other
    arguments, is refused when it is defined, because no fit would call it.

    A callback may be used for several fits: it is reset at `on_fit_begin`. When a fit resumes from a
    checkpoint, `load_state_dict` is called right after `on_fit_begin` with the result of `state_dict` at that
    checkpoint. Checkpoints are written after the `on_epoch_end` of all callbacks.
    """

    def __init_subclass__(cls, **others: Any) -> None:
        super().__init_subclass__(**others)
        check_hooks(cls.__name__, vars(cls))

    def on_fit_begin(self, model: Any) -> None:
        """Before the first epoch."""

    def on_fit_end(self, model: Any) -> None:
        """After the last epoch, also if the fit was stopped early, but not after an error or an interrupt."""

    def on_epoch_begin(self, model: Any, epoch: int) -> None:
        """Before the first batch of an epoch."""

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        """After an epoch and its validation. ``model.stop_training = True`` ends the fit."""

    def on_batch_begin(self, model: Any, batch: int) -> None:
        """Before a mini-batch."""

    def on_batch_end(self, model: Any, batch: int, logs: Mapping[str, float]) -> None:
        """After a mini-batch."""

    def state_dict(self) -> dict[str, Any]:
        """The state for a resumed fit: numbers, strings, None, lists of these, and NumPy arrays.

        Its keys are strings.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state of `state_dict`."""

    __bpkern_writes_files__ = False  # if so, only rank 0 of a fit on several ranks calls the hooks

    def __bpkern_release__(self) -> None:
        """Close what the callback has open. It is called at the end of every fit, also after an error."""


class _Monitor:
    """A value of the logs, and its comparison with the best so far.

    Parameters
    ----------
    name : str
        A name of the logs.
    mode : {"auto", "min", "max"}
        "auto" maximises accuracy, f1, precision, recall and r2, and minimises every other value.
    min_delta : float
        The least difference from the best for a value to be better.
    """

    def __init__(self, name: str, mode: str, min_delta: float) -> None:
        if not isinstance(name, str):
            raise TypeError(f"monitor must be a name, not {name!r}")
        mode, name = _checks.one_of("mode", mode, MODES), _checks.as_str(name)
        self.name = name
        self.maximised = mode == "max" or (mode == "auto" and name.removeprefix("val_") in MAXIMISED)
        self.min_delta = _checks.real("min_delta", min_delta)

    def value(self, logs: Mapping[str, float]) -> float:
        """The value of an epoch. Raises ValueError if the logs do not contain it."""
        if self.name not in logs:
            validated = any(name.startswith("val_") for name in logs)
            hint = ": val_ needs validation data" if self.name.startswith("val_") and not validated else ""
            if not hint:
                from ._suggestions import suggestion  # only for an error

                hint = suggestion("metric", self.name, logs)
            raise ValueError(f"monitor {self.name!r} is not in the logs, which hold {', '.join(logs)}{hint}")
        return float(logs[self.name])

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether `value` is better than `best`. A value that is not finite never is."""
        if best is None or not math.isfinite(value):
            return math.isfinite(value)
        return value > best + self.min_delta if self.maximised else value < best - self.min_delta


def _counted(count: int, noun: str) -> str:
    """A number and its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


class EarlyStopping(Callback):
    """End the fit when a value no longer improves, and restore the best weights.

    The fit ends after `patience` epochs without improvement. At the end of the fit for any reason except an
    error or an interrupt, the parameters of the best epoch are restored; the optimiser's state is that of the
    last epoch. ``History.best_epoch`` is that epoch, and ``History.stop_reason`` says why the fit ended.

    Parameters
    ----------
    monitor : str
        A name of the history.
    patience : int
        Epochs without improvement, at least 0; 0 has the effect of 1.
    min_delta : float
        The least difference from the best value that is an improvement, at least 0.
    mode : {"auto", "min", "max"}
        "auto" maximises accuracy, f1, precision, recall and r2, and minimises every other value, including
        those of callables.

    Attributes
    ----------
    best_ : float or None
        The best value; None if no value was finite.
    best_epoch_ : int or None
        The epoch of the best value, from 0.
    stopped_epoch_ : int or None
        The epoch after which this callback ended the fit, from 0; None if it did not.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind; from `fit`, if the history has no such name.
    """

    @proposes_arguments("EarlyStopping")
    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
    ) -> None:
        self._monitor = _Monitor(monitor, mode, min_delta)
        self._patience = _checks.whole("patience", patience, 0)
        self._forget()

    def __repr__(self) -> str:
        return f"EarlyStopping(monitor={self._monitor.name!r}, patience={self._patience})"

    def _forget(self) -> None:
        self.best_: float | None = None
        self.best_epoch_: int | None = None
        self.stopped_epoch_: int | None = None
        self._waited = 0
        self._parameters: dict[str, Any] = {}

    def on_fit_begin(self, model: Any) -> None:
        self._forget()

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        value = self._monitor.value(logs)
        if self._monitor.is_better(value, self.best_):
            self.best_, self.best_epoch_, self._waited = value, epoch, 0
            self._parameters = core_of(model).get_parameters()
            return
        self._waited += 1
        if self._waited >= self._patience:
            self.stopped_epoch_ = epoch
            model.stop_training = True
            self._explain(model)

    def on_fit_end(self, model: Any) -> None:
        if self.best_epoch_ is not None:
            core_of(model).set_parameters(self._parameters)
        self._explain(model)

    def _explain(self, model: Any) -> None:
        """Tell the history, which is None in a loop of the user, what this callback has done."""
        history = core_of(model).history
        if history is not None:
            if self.best_epoch_ is not None:
                history.best_epoch = self.best_epoch_
            if self.stopped_epoch_ is not None and model.stop_training:
                history.stop_reason = self._reason()

    def _reason(self) -> str:
        """Why the fit has ended, for people, who count epochs from 1."""
        if self.best_epoch_ is None or self.best_ is None:
            return f"{self._monitor.name} has not been finite in {_counted(self._waited, 'epoch')}"
        return (
            f"{self._monitor.name} has not improved for {_counted(self._waited, 'epoch')}; "
            f"the weights are those of epoch {self.best_epoch_ + 1}, where it was {self.best_:.4g}"
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best_,
            "best_epoch": self.best_epoch_,
            "stopped_epoch": self.stopped_epoch_,
            "waited": self._waited,
            **{f"parameters.{name}": array for name, array in self._parameters.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best_, self.best_epoch_ = state["best"], state["best_epoch"]
        self.stopped_epoch_, self._waited = state["stopped_epoch"], state["waited"]
        self._parameters = {
            name.removeprefix("parameters."): array
            for name, array in state.items()
            if name.startswith("parameters.")
        }


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate by a factor when a value no longer improves.

    After `patience` epochs without improvement ``lr = max(lr * factor, min_lr)``. The next `cooldown` epochs
    do not count as epochs without improvement. (The patience is Keras's; PyTorch's is one less. The cooldown
    is PyTorch's; Keras's is one more.) A rate that is already below `min_lr` does not change. The optimiser
    keeps its last rate after the fit.

    Parameters
    ----------
    monitor : str
        A name of the history.
    factor : float
        At least 0 and below 1.
    patience : int
        Epochs without improvement, at least 0; 0 has the effect of 1.
    min_delta : float
        The least difference from the best value that is an improvement, at least 0.
    cooldown : int
        At least 0.
    min_lr : float
        At least 0.
    mode : {"auto", "min", "max"}
        "auto" maximises accuracy, f1, precision, recall and r2, and minimises every other value, including
        those of callables.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind; from `fit`, if the history has no such name or the
        learning rate is a schedule.
    """

    @proposes_arguments("ReduceLROnPlateau")
    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        mode: str = "auto",
    ) -> None:
        self._monitor = _Monitor(monitor, mode, min_delta)
        self._factor = _checks.fraction("factor", factor)
        self._patience = _checks.whole("patience", patience, 0)
        self._cooldown = _checks.whole("cooldown", cooldown, 0)
        self._min_lr = _checks.real("min_lr", min_lr)
        self._forget()

    def __repr__(self) -> str:
        return (
            f"ReduceLROnPlateau(monitor={self._monitor.name!r}, factor={self._factor}, "
            f"patience={self._patience})"
        )

    def _forget(self) -> None:
        self._best: float | None = None
        self._waited = 0
        self._cooling = 0

    def on_fit_begin(self, model: Any) -> None:
        self._number(model.optimizer.lr)
        self._forget()

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        value = self._monitor.value(logs)
        if self._monitor.is_better(value, self._best):
            self._best, self._waited = value, 0
        else:
            self._waited += 1
        if self._cooling:
            self._cooling -= 1
            self._waited = 0
        elif self._waited and self._waited >= self._patience:
            lr = self._number(model.optimizer.lr)
            model.optimizer.lr = min(lr, max(lr * self._factor, self._min_lr))
            self._waited, self._cooling = 0, self._cooldown

    @staticmethod
    def _number(lr: Any) -> float:
        if callable(lr):
            raise TypeError(f"ReduceLROnPlateau needs a learning rate that is a number, not {lr!r}")
        return _checks.real("lr", lr)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "waited": self._waited, "cooling": self._cooling}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._best, self._waited, self._cooling = state["best"], state["waited"], state["cooling"]


class ModelCheckpoint(Callback):
    """Save the model after an epoch: only the best so far, or every one.

    Parameters
    ----------
    path : str or path
        The path for `MLP.save`. It may have format fields: ``{epoch}``, from 1, and the names of the history,
        as in ``"net-{epoch:03d}-{val_loss:.4f}.npz"``. Without fields the file is replaced each time.
    monitor : str
        A name of the history; only used with `save_best_only`.
    save_best_only : bool
        Save only if `monitor` is better than at each earlier save.
    mode : {"auto", "min", "max"}
        "auto" maximises accuracy, f1, precision, recall and r2, and minimises every other value, including
        those of callables.
    every : int
        The number of epochs from one check to the next, at least 1.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind; from `fit`, if the history has no such name.
    OSError
        From `fit`, if the file cannot be written.
    """

    __bpkern_writes_files__ = True

    @proposes_arguments("ModelCheckpoint")
    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = True,
        mode: str = "auto",
        every: int = 1,
    ) -> None:
        from string import Formatter

        self._path = _checks.path("path", path)
        self._fields = [field for _, field, _, _ in Formatter().parse(self._path) if field is not None]
        for field in self._fields:
            if not field.isidentifier():
                raise ValueError(f"path may have fields like {{epoch}} or {{val_loss:.4f}}, not {{{field}}}")
        self._monitor = _Monitor(monitor, mode, 0.0)
        self._save_best_only = _checks.flag("save_best_only", save_best_only)
        self._every = _checks.whole("every", every, 1)
        self._best: float | None = None

    def __repr__(self) -> str:
        return f"ModelCheckpoint({self._path!r})"

    def on_fit_begin(self, model: Any) -> None:
        self._best = None

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        if (epoch + 1) % self._every:
            return
        if self._save_best_only:
            value = self._monitor.value(logs)
            if not self._monitor.is_better(value, self._best):
                return
            self._best = value
        fields = {"epoch": epoch + 1, **logs}
        for field in self._fields:
            if field not in fields:
                raise ValueError(f"path has the field {{{field}}}: allowed are {', '.join(fields)}")
        from ._files import replacing

        path = self._path.format(**fields)
        # Killed runs may have left temporary files of this file.
        replacing.remove_leftovers(path)
        model.save(path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._best = state["best"]


class CSVLogger(Callback):
    """Write a row per epoch: its number, from 1, and the values of the history.

    The file is complete after each epoch. A fit without epochs does not touch it. A resumed fit continues
    after the row of the epoch from which it resumes; rows after it are cut off. One fit at a time writes a
    file: a second one, also of another process, is refused. A loop of yours that calls the hooks must end
    with `on_fit_end`, which releases the file.

    Parameters
    ----------
    path : str or path
        The file.
    append : bool
        Append to an existing file with the same header instead of replacing it.
    separator : str
        One character.

    Raises
    ------
    ValueError, TypeError
        For values of the wrong kind; from `fit`, if the existing file has other columns.
    OSError
        From `fit`, if the file cannot be written. BlockingIOError, after the first epoch or before a resumed
        one, if another fit is writing it; the file is unchanged.
    """

    _log: "Log | None" = None  # open from the first row, or from the checkpoint, to the end of the fit

    __bpkern_writes_files__ = True

    @proposes_arguments("CSVLogger")
    def __init__(self, path: str | os.PathLike[str], append: bool = False, separator: str = ",") -> None:
        self._path = _checks.path("path", path)
        self._append = _checks.flag("append", append)
        if not isinstance(separator, str):
            raise TypeError(f"separator must be a character, not {separator!r}")
        if len(separator) != 1 or separator in '\r\n"':
            raise ValueError(
                f"separator must be one character, no quote and no line break, not {separator!r}"
            )
        self._separator = separator
        self._columns: list[str] | None = None

    @property
    def path(self) -> str:
        """The path of the file."""
        return self._path

    def __repr__(self) -> str:
        return f"CSVLogger({self._path!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Everything except the open file: a copy opens its own."""
        return {name: value for name, value in vars(self).items() if name != "_log"}

    def __bpkern_release__(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def on_fit_begin(self, model: Any) -> None:
        self.__bpkern_release__()
        self._columns = None

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        columns = ["epoch", *logs]
        rows: list[list[Any]] = [[epoch + 1, *logs.values()]]
        log = self._log
        if log is None or not log.is_in_place():
            log = self._open()
            header = self._split(log.first_line())
            if not header:
                rows = [columns, *rows]
            self._columns = header or columns
        if columns != self._columns:
            raise ValueError(f"{self._path} has the columns {self._columns}, and this fit {columns}")
        log.append(self._text(rows))

    def on_fit_end(self, model: Any) -> None:
        self.__bpkern_release__()

    def _open(self) -> "Log":
        """The file, empty unless this fit has to continue it."""
        from ._files.logs import Log

        self.__bpkern_release__()
        self._log = Log(self._path, keep=self._append or self._columns is not None)
        return self._log

    def _split(self, line: str) -> list[str]:
        """The values of a line of the file."""
        import csv

        return next(csv.reader([line], delimiter=self._separator), [])

    def _text(self, rows: list[list[Any]]) -> str:
        """The lines of the file for these rows."""
        import csv
        import io

        text = io.StringIO()
        csv.writer(text, delimiter=self._separator, lineterminator="\n").writerows(rows)
        return text.getvalue()

    def state_dict(self) -> dict[str, Any]:
        return {"columns": self._columns, "size": os.path.getsize(self._path) if self._columns else 0}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        try:
            size = os.path.getsize(self._path)
        except FileNotFoundError:
            size = 0
        # Rows of epochs that will be repeated are cut off. A lost or shortened file is written from the
        # start.
        if state["columns"] and size >= state["size"]:
            self._columns = list(state["columns"])
            self._open().cut(state["size"])
