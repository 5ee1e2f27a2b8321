"""One fit: data, callbacks, validation and checkpoints around the epochs of training."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks, _core
from .._data import streams
from .._data.gathered import GatheredRows
from .._data.rows import Rows, classes_of, is_1d, owned, read_rows, rows_to_fit
from .._model.core import HasCore, core_of
from .._model.seeding import Shuffler
from .._model.settings import Settings
from ..callbacks import Callback
from ..history import History
from .arguments import FitArguments
from .callback_list import CallbackList
from .epochs import Epochs, RowEpochs, StreamEpochs
from .measuring import measure, metrics_of
from .metrics import make_metrics
from .progress import Progress, make_progress
from .rollback import Rollback
from .steps import Steps, Watcher, make_steps
from .update import make_update

if TYPE_CHECKING:
    from .fingerprint import Fingerprint


# Shorter fits are not checked for large columns, because the check would be a measurable part of them: fits
# of up to SHORT rows in all epochs, and of less than CHECKED_WORK. That is in multiplications of weights by
# rows, of which ROW_WORK count for what each row costs besides.
SHORT, CHECKED_WORK, ROW_WORK = 500, 2.5e6, 500


class FitWatcher(Watcher):
    """Passes the progress within an epoch to the progress display and to the batch hooks of callbacks.

    `begin_epoch` is called before the first step of each epoch.
    """

    def __init__(self, model: HasCore, callbacks: CallbackList, progress: Progress) -> None:
        self.every_step = callbacks.has_batch_hooks
        self._model, self._callbacks, self._progress = model, callbacks, progress

    def begin_epoch(self) -> None:
        self._batch = self._rows = 0

    def before(self) -> None:
        self._callbacks.on_batch_begin(self._model, self._batch)

    def after(self, rows: int, loss: float, weight: float) -> None:
        self._rows += rows
        self._progress.rows(self._rows)
        if self.every_step:
            # A batch of zero weight has no loss.
            logs = {"loss": loss / weight if weight else math.nan}
            self._callbacks.on_batch_end(self._model, self._batch, logs)
            self._batch += 1


def check_parts(what: str, weights: np.ndarray | None, *parts: np.ndarray | None) -> None:
    """Raise ValueError if one of the parts, each an array of row numbers, has only zero weights."""
    if weights is not None and not all(weights[part].any() for part in parts if part is not None):
        raise ValueError(f"sample_weight must not be 0 in every row of a part of the {what}")


class Fit:
    """The checked arguments of one `MLP.fit`; `run` trains.

    Parameters
    ----------
    model : MLP
        Passed to the callbacks; the fit itself works on its core.
    X, y, sample_weight, class_weight, metrics, callbacks, verbose
        As for `MLP.fit`.
    arguments : FitArguments
    split : (train, validation), optional
        Rows of X to train on, and rows to validate on or None: int64, contiguous, each from 0 to
        ``len(X) - 1``. Not together with a stream, `validation_data` or `validation_split`.
    shuffler : Shuffler, optional
        The source of the order of each epoch, if `arguments.shuffle`; the model's generator by default.
    read : callable
        `rows_to_fit`, or a `Reader`, called with (X, y, sample_weight, settings).

    Attributes
    ----------
    arguments : FitArguments
    callbacks : CallbackList
    rows : int
        Rows of an epoch; 0 for a stream. Before `run`, they include the rows that `validation_split` will
        hold out.
    work : int
        Rows times epochs times the number of weights, to compare fits by; 0 for a stream.

    Raises
    ------
    ValueError, TypeError, OSError, ModuleNotFoundError
        As `MLP.fit`, before anything has changed.
    """

    def __init__(
        self,
        model: HasCore,
        X: Any,
        y: Any,
        sample_weight: Any,
        class_weight: Any,
        metrics: Any,
        callbacks: Callback | Iterable[Callback],
        verbose: Any,
        arguments: FitArguments,
        *,
        split: tuple[np.ndarray, np.ndarray | None] | None = None,
        shuffler: Shuffler | None = None,
        read: Callable[[Any, Any, Any, Settings], Rows] = rows_to_fit,
    ) -> None:
        self._model, self._core = model, core_of(model)
        self._net, self._settings = self._core.net, self._core.settings
        self._net.check_trains()
        self.arguments, self._shuffler = arguments, shuffler
        self._optimizer = self._settings.current_optimizer()
        self.callbacks = CallbackList(callbacks)
        self._metrics = make_metrics(metrics, self._settings.loss, self._settings.layers[-1])
        # C computes the accuracy along with the loss; the other metrics need the outputs.
        self._other_metrics = [metric for metric in self._metrics if metric.name != "accuracy"]
        self._wants_accuracy = len(self._other_metrics) < len(self._metrics)
        # A copy: a stream needs it for each batch, and callbacks run in between.
        if class_weight is not None and isinstance(class_weight, Mapping):
            class_weight = dict(class_weight)
        self._class_weight = class_weight
        self._validation: Rows | None = None
        self._validation_index: np.ndarray | None = None
        self._progress = make_progress(verbose)
        self._fingerprint: Any = None  # a Fingerprint, if there is a checkpoint
        if arguments.checkpoint is not None:
            from .._files import container  # with its own imports, half the import time of the package

            container.check_path(arguments.checkpoint)
        self._data: Rows | None = None
        self._index: np.ndarray | None = None  # the rows of the data to train on; None for all of them
        self._batches: Any = None
        self._y_is_1d: bool | None = None  # for a stream, known at its first batch
        if streams.is_stream(X, y):
            if split is not None:
                raise ValueError("a split names rows of X, and batches have none before they come")
            self._check_stream(X, sample_weight)
        elif y is None:
            raise ValueError("y is missing: fit takes X and y, or for both an iterable of batches (X, y)")
        else:
            self._rows = read(X, y, sample_weight, self._settings)
            self._check_gathered()
            if split is not None:
                self._take_split(*split)
            self._data = self._weighted(self._rows, self._index)
            self._y_is_1d = is_1d(y)
        if arguments.validation_data is not None:
            try:
                X, y, *weights = arguments.validation_data
                self._validation = read(X, y, weights[0] if weights else None, self._settings)
            except (ValueError, TypeError) as error:
                raise _checks.within("validation_data", error) from None

    def _check_gathered(self) -> None:
        """Raise TypeError for gathered rows with what needs all rows in memory."""
        arguments = self.arguments
        needs_all = self._settings.custom_loss or arguments.checkpoint is not None or arguments.shards
        if needs_all and isinstance(self._rows[0], GatheredRows):
            raise TypeError("checkpoints, shards and losses that are Python functions need X as an array")

    def _check_stream(self, batches: Any, sample_weight: Any) -> None:
        """Keep the iterable, after checking the arguments that go with one."""
        if sample_weight is not None:
            raise ValueError("sample_weight goes with y: a stream gives batches (X, y, sample_weight)")
        if self.arguments.validation_split:
            raise ValueError("validation_split needs rows to hold out: with batches give validation_data")
        if isinstance(self._class_weight, str):
            raise ValueError("class_weight 'balanced' needs all of y at once: with batches give a mapping")
        if self.arguments.drop_last:
            raise ValueError("drop_last is for X and y: an iterable of batches determines them itself")
        streams.check_epochs(batches, self.arguments.epochs)
        self._batches = batches

    def _weighted(self, data: Rows, index: np.ndarray | None = None, is_part: bool = False) -> Rows:
        """The data with sample weights multiplied by class weights.

        With an index, the class weights are computed from its rows, and all other rows get a weight of 0.
        """
        x, targets, weights = data
        if self._class_weight is None:
            return data
        from .._data.class_weights import row_weights  # few fits need it

        # At least two: one output of binary_cross_entropy tells two classes apart.
        classes, count = classes_of(targets, self._settings), max(self._settings.layers[-1], 2)
        has_scale = self._settings.conventions.penalty_per_weight
        if index is None:
            own = row_weights(self._class_weight, classes, weights, count, is_part, has_scale)
            return x, targets, own
        if classes is not None:
            classes = classes[index]
        own = None if weights is None else weights[index]
        own = row_weights(self._class_weight, classes, own, count, has_scale=has_scale)
        spread = np.zeros(len(x))
        spread[index] = own
        return x, targets, spread

    def _take_split(self, train: np.ndarray, validation: np.ndarray | None) -> None:
        """Train and validate on the given rows of the data."""
        if self.arguments.validation_data is not None or self.arguments.validation_split:
            raise ValueError("give a split, validation_data or validation_split, and not two of them")
        self._index = train
        if validation is not None:
            self._validation, self._validation_index = self._rows, validation
        check_parts("split", self._rows[2], train, validation)

    @property
    def rows(self) -> int:
        if self._index is not None:
            return len(self._index)
        return 0 if self._data is None else len(self._data[0])

    @property
    def work(self) -> int:
        return self.rows * self.arguments.epochs * sum(n * m for n, m in pairwise(self._settings.layers))

    def warn_of_large_columns(self, X: Any) -> None:
        """Warn if columns of X, the object of the caller, are so large that networks train badly."""
        passes = self.rows * self.arguments.epochs
        if passes * ROW_WORK + self.work >= CHECKED_WORK:
            from .._data.scales import warn_of_large_columns  # most fits are short

            stage = self._settings.stage
            warn_of_large_columns(X, self._rows[0], () if stage is None else stage.code_columns)

    # The fit -----------------------------------------------------------------------------------------

    def run(self) -> History:
        """Train, and return the history; raises as `MLP.fit`."""
        core = self._core
        with self._net.writing():
            core.check_may_train()
            # Those of the fit whose callback has started this one, if any.
            fitting, stop_training = core.fitting, core.stop_training
            try:
                core.fitting = True
                history = self._run()
            except BaseException:
                with contextlib.suppress(OSError):  # the first error is the one to raise
                    self.callbacks.release()
                raise
            finally:
                core.fitting = fitting
                if fitting:
                    core.stop_training = stop_training
            self.callbacks.release()
            return history

    def _run(self) -> History:
        """`run`, with this thread as the writer of the network."""
        model, core, net, arguments = self._model, self._core, self._net, self.arguments
        update = make_update(
            self._settings,
            self._optimizer,
            clip_norm=arguments.clip_norm,
            clip_value=arguments.clip_value,
            accumulate=arguments.accumulate,
            ema=arguments.ema,
        )
        rollback = Rollback(net, True, core)
        if arguments.checkpoint is not None:
            self._fingerprint = self._take_fingerprint()
        try:
            threads = self._reserve(update)
            core.stop_training = False
            self.callbacks.on_fit_begin(model)
            first = 0
            if arguments.checkpoint is not None and arguments.resume:
                first = self._resume(arguments.checkpoint)
                rollback = Rollback(net, True, core)  # from now on, back to the checkpoint
                self._optimizer = self._settings.current_optimizer()  # a callback may have changed it
                update.set_optimizer(self._optimizer)
                net.prepare(update)
                net.reserve_snapshot()
            history = core.history if first and core.history is not None else History()
            watcher = FitWatcher(model, self.callbacks, self._progress)
            steps = self._make_steps(update, threads, watcher)
            epochs = self._begin_epochs(steps, update)
            epochs.done = history.iterations
            core.history = history
            if self._y_is_1d is not None:
                core.fitted_1d = self._y_is_1d
            try:
                self._train(epochs, steps, watcher, history, first)
                if core.stop_training:
                    if history.stop_reason is None:
                        history.stop_reason = "a callback has set stop_training"
                elif (
                    history.stop_reason is not None
                ):  # a callback has stopped the fit, and another let it go on
                    history.stop_reason = None
            finally:
                self._progress.close(history.stop_reason)
                self._claim(history)
                if type(self._settings.optimizer) is not type(steps.optimizer):
                    net.discard_states()  # a callback replaced the optimiser during the last epoch
        except BaseException:
            if not rollback.undo():
                self._drop_unused_average()
            raise
        self.callbacks.on_fit_end(model)
        self._claim(history)
        return history

    def _train(self, epochs: Epochs, steps: Steps, watcher: FitWatcher, history: History, first: int) -> None:
        """The epochs from `first` on, each with its validation, hooks and checkpoint."""
        model, core, arguments, most = self._model, self._core, self.arguments, steps.threads
        if first < arguments.epochs and not core.stop_training:
            self._progress.begin(arguments.epochs, epochs.rows, first)
        epoch, may_run_some = first, self._may_run_some()
        while epoch < arguments.epochs and not core.stop_training:
            optimizer = self._settings.current_optimizer()
            if optimizer is not steps.optimizer:  # a callback has changed its settings
                steps.set_optimizer(optimizer)
            self.callbacks.on_epoch_begin(model, epoch)
            # The share may have changed since the last epoch; a stream asks again for each batch.
            steps.threads = _core.share_of(most, arguments.n_threads)
            if may_run_some and isinstance(epochs, RowEpochs) and epochs.quick:
                epoch += epochs.run_some(
                    epoch, arguments.epochs - epoch, arguments.ema is not None, history, self._wants_accuracy
                )
                self._claim(history)
                continue
            watcher.begin_epoch()
            logs = self._run_epoch(epochs, epoch)
            self._drop_unused_average()
            self._claim(history)
            if not self._wants_accuracy:
                logs.pop("accuracy", None)
            if epochs.seen is not None:
                logs |= self._metrics_of(*epochs.seen)
            logs |= self._validate()
            history.add_epoch(logs, epochs.iterations, steps.rate)
            self._progress.epoch(epoch + 1, logs)
            self.callbacks.on_epoch_end(model, epoch, logs)
            self._claim(history)
            self._end_epoch()
            is_last = epoch + 1 == arguments.epochs or core.stop_training
            if arguments.checkpoint is not None and (
                is_last or (epoch + 1) % arguments.checkpoint_every == 0
            ):
                self._write(arguments.checkpoint, epoch + 1)
            epoch += 1

    def _end_epoch(self) -> None:
        """Called after the callbacks of an epoch."""

    def _write(self, path: str, epochs: int) -> None:
        """Write the checkpoint after `epochs` epochs."""
        from .._files import checkpoints

        checkpoints.write(self._core, path, self.callbacks, self._fingerprint, epochs)

    def _resume(self, path: str) -> int:
        """Continue from the checkpoint. Returns its number of epochs, or 0 if it does not exist."""
        from .._files import checkpoints

        found = checkpoints.find(path)
        if found is None:
            return 0
        return checkpoints.resume(self._core, path, found, self.callbacks, self._fingerprint)

    def _make_steps(self, update: _core.Update, threads: int, watcher: Watcher) -> Steps:
        return make_steps(
            self._net,
            self._settings,
            update,
            self._optimizer,
            self.arguments.batch_size,
            threads,
            watcher,
        )

    def _metrics_of(
        self, targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> dict[str, float]:
        """The metrics besides the accuracy, of the rows that were trained on."""
        return metrics_of(self._core, self._other_metrics, targets, outputs, weights)

    def _may_run_some(self) -> bool:
        """Whether nothing has to be done between two epochs."""
        return (
            self.arguments.shards is None
            and not self.callbacks
            and type(self._progress) is Progress
            and self._validation is None
            and self.arguments.checkpoint is None
        )

    def _take_fingerprint(self) -> Fingerprint:
        """What a checkpoint holds of the call of this fit."""
        from .fingerprint import fingerprint  # with its import of hashlib

        if self._data is None:
            rows, weights = None, None
            if self._class_weight is not None:
                from .._data.class_weights import row_weights

                # The weight of each class, because the rows are still to come.
                count = max(self._settings.layers[-1], 2)
                weights = row_weights(self._class_weight, np.arange(count), None, count, is_part=True)
        else:
            rows = self._rows
            weights = None if self._class_weight is None else self._data[2]
        split = () if self._index is None else (self._index, self._validation_index)
        metrics = [
            each.name for each in self._metrics if each.name != "accuracy" or self._settings.has_accuracy
        ]
        validation = None if split else self._validation
        return fingerprint(self.arguments, self._core.random.seed, metrics, rows, weights, validation, split)

    def _run_epoch(self, epochs: Epochs, number: int) -> dict[str, float]:
        """`Epochs.run`, while `core.accumulate` says that an epoch is under way."""
        core = self._core
        before = core.accumulate  # of the epoch whose callback has started this fit, if any
        try:
            core.accumulate = self.arguments.accumulate
            return epochs.run(number)
        finally:
            core.accumulate = before

    def _claim(self, history: History) -> None:
        """Make this fit the model's last one again: callbacks may have made another, or a reset."""
        self._core.history = history
        if self._y_is_1d is not None:
            self._core.fitted_1d = self._y_is_1d

    def _drop_unused_average(self) -> None:
        """Discard the average of an earlier fit if this one keeps none: training makes it outdated."""
        if self.arguments.ema is None:
            self._net.discard_average()

    def _validate(self) -> dict[str, float]:
        """The loss and metrics of the validation data, by names with "val_"; empty without such data."""
        if self._validation is None:
            return {}
        values = measure(
            self._core, self._validation, self._validation_index, self._metrics, self.arguments.n_threads
        )
        return {f"val_{name}": value for name, value in values.items()}

    # Memory, data and their order --------------------------------------------------------------------

    def _reserve(self, update: _core.Update) -> int:
        """Allocate all memory for training, so that a MemoryError leaves the model unchanged.

        Returns the number of threads to use if no other call is running; `_core.share_of` reduces it if
        others are. A stream reserves memory for each batch instead, and gets 1.
        """
        arguments = self.arguments
        threads = 1
        batch_size = 0 if self._data is None else min(arguments.batch_size, self.rows)
        self._net.release(batch_size)
        if self._data is not None:
            rows = self.rows
            threads = self._net.reserve(batch_size, rows / batch_size, update, arguments.n_threads)
            if self._validation is not None or arguments.validation_split:
                rows = len((self._validation or self._data)[0])
                if self._validation_index is not None:
                    rows = len(self._validation_index)
                self._net.reserve_reader(rows, arguments.n_threads)
        self._net.prepare(update)
        self._net.reserve_snapshot()
        return threads

    def _begin_epochs(self, steps: Steps, update: _core.Update) -> Epochs:
        """The epochs of this fit. Holds out the rows of `validation_split`, by the generator."""
        net, settings, keeps = self._net, self._settings, bool(self._other_metrics)
        if self._data is None:

            def prepare(rows: int, y_is_1d: bool) -> int:
                return self._prepare_batch(update, rows, y_is_1d)

            return StreamEpochs(net, settings, steps, keeps, self._batches, self._read_batch, prepare)
        self._index = self._hold_out(self._data)
        shuffler = None
        if self.arguments.shuffle:
            shuffler = self._core.random if self._shuffler is None else self._shuffler
        return RowEpochs(
            net, settings, steps, keeps, self._data, self._index, shuffler, self.arguments.drop_last
        )

    def _read_batch(self, item: Any) -> tuple[Rows, bool]:
        """A checked copy of an item of a stream, and whether its y has one dimension.

        It is called on the thread that fetches batches, and changes nothing.
        """
        X, y, weights = streams.as_batch(item)
        data = owned(read_rows(X, y, weights, self._settings, is_part=True))
        return self._weighted(data, is_part=True), is_1d(y)

    def _prepare_batch(self, update: _core.Update, rows: int, y_is_1d: bool) -> int:
        """Reserve memory for a batch of a stream, and return the number of threads for it."""
        self._y_is_1d = self._core.fitted_1d = y_is_1d
        n_threads = self.arguments.n_threads
        return _core.share_of(self._net.reserve(rows, 1, update, n_threads), n_threads)

    def _hold_out(self, data: Rows) -> np.ndarray | None:
        """The rows to train on, None for all. Makes those of `validation_split` the validation data."""
        fraction = self.arguments.validation_split
        if not fraction:
            return self._index
        x, targets, weights = data
        train, held_out = self._core.random.split(len(x), fraction, classes_of(targets, self._settings))
        check_parts("validation split", weights, train, held_out)
        # Validation rows keep their sample weights, without the weights of their classes.
        self._validation, self._validation_index = self._rows, held_out
        return train
