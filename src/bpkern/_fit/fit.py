"""One fit: data, callbacks, validation and checkpoints around the epochs of training."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._data import streams
from .._data.class_weights import row_weights
from .._data.rows import Rows, classes_of, read_rows
from .._model.settings import FitArguments, Settings
from ..callbacks import Callback
from ..history import History
from .callback_list import CallbackList
from .epochs import Epochs, RowEpochs, StreamEpochs
from .measuring import measure, metrics_of
from .metrics import make_metrics
from .progress import Progress, make_progress
from .steps import Steps, Watcher, make_steps

if TYPE_CHECKING:
    from ..mlp import MLP


class FitWatcher(Watcher):
    """Tells progress and batch hooks how far the steps of an epoch are."""

    def __init__(self, model: MLP, callbacks: CallbackList, progress: Progress) -> None:
        self.each = callbacks.has_batch_hooks
        self._model, self._callbacks, self._progress = model, callbacks, progress

    def begin_epoch(self) -> None:
        self._batch = self._rows = 0

    def before(self) -> None:
        self._callbacks.on_batch_begin(self._model, self._batch)

    def after(self, rows: int, loss: float, weight: float) -> None:
        self._rows += rows
        self._progress.rows(self._rows)
        if self.each:
            # A batch of zero weight has no loss.
            self._callbacks.on_batch_end(
                self._model, self._batch, {"loss": loss / weight if weight else math.nan}
            )
            self._batch += 1


class _Before:
    """What a fit that makes no update leaves as it was, besides the parameters."""

    def __init__(self, model: MLP) -> None:
        self._model, self._random = model, model._random.state()
        self._fitted_1d, self._history = model._fitted_1d, model.history_
        self._stores, self.counts = model._net.stores(), model._net.counts

    def come_back(self) -> None:
        model = self._model
        model._fitted_1d, model.history_, model._net.counts = self._fitted_1d, self._history, self.counts
        model._net.keep_only(self._stores)
        model._random.go_back(self._random)  # which allocates, and may fail as well


def check_parts(what: str, weights: np.ndarray | None, *parts: np.ndarray | None) -> None:
    """Raise ValueError where a part of the rows has no weight."""
    if weights is not None and not all(weights[part].any() for part in parts if part is not None):
        raise ValueError(f"sample_weight must not be 0 in every row of a part of the {what}")


class Fit:
    """What `MLP.fit` was given, checked; `run` does it.

    Parameters
    ----------
    model : MLP
    X, y, sample_weight, class_weight, metrics, callbacks, verbose
        As for `MLP.fit`.
    arguments : FitArguments
    split : (train, validation), optional
        Rows of X to train on, and rows to validate on or None: int64, contiguous and within X. Not together
        with a stream, `validation_data` or `validation_split`.
    read : callable
        `read_rows`, or what stands in for it.
    """

    def __init__(
        self,
        model: MLP,
        X: Any,
        y: Any,
        sample_weight: Any,
        class_weight: Any,
        metrics: Any,
        callbacks: Callback | Iterable[Callback],
        verbose: Any,
        arguments: FitArguments,
        split: tuple[np.ndarray, np.ndarray | None] | None = None,
        read: Callable[[Any, Any, Any, Settings], Rows] = read_rows,
    ) -> None:
        self._model, self._arguments = model, arguments
        self._net, self._settings = model._net, model._settings
        self._optimizer = self._settings.step()
        self._callbacks = CallbackList(callbacks)
        self._metrics = make_metrics(metrics, self._settings.loss, self._settings.layers[-1])
        # C counts the accuracy on its way; the others need the outputs.
        self._others = [metric for metric in self._metrics if metric.name != "accuracy"]
        self._wants_accuracy = len(self._others) < len(self._metrics)
        self._class_weight = class_weight
        self._validation: Rows | None = None
        self._validation_index: np.ndarray | None = None
        self._progress = make_progress(verbose)
        if arguments.checkpoint is not None:
            from .._files import container  # with what it needs, half of the package's import

            container.check_path(arguments.checkpoint)
        self._data: Rows | None = None
        self._index: np.ndarray | None = None  # the rows of the data to train on; None for all of them
        self._batches: Any = None
        self._one_dimension: bool | None = None  # a stream's first batch says so
        if streams.is_stream(X, y):
            if split is not None:
                raise ValueError("a split names rows of X, and batches have none before they come")
            self._check_stream(X, sample_weight)
        elif y is None:
            raise ValueError("y is missing: fit takes X and y, or for both an iterable of batches (X, y)")
        else:
            self._rows = read(X, y, sample_weight, self._settings)
            if split is not None:
                self._take_split(*split)
            self._data = self._weighted(self._rows, self._index)
            self._one_dimension = np.ndim(y) == 1
        if arguments.validation_data is not None:
            try:
                X, y, *weights = arguments.validation_data
                self._validation = read(X, y, weights[0] if weights else None, self._settings)
            except (ValueError, TypeError) as error:
                raise type(error)(f"validation_data: {error}") from None

    def _check_stream(self, batches: Any, sample_weight: Any) -> None:
        if sample_weight is not None:
            raise ValueError("sample_weight goes with y: a stream gives batches (X, y, sample_weight)")
        if self._arguments.validation_split:
            raise ValueError("validation_split needs rows to hold out: with batches give validation_data")
        if isinstance(self._class_weight, str):
            raise ValueError("class_weight 'balanced' needs all of y at once: with batches give a mapping")
        streams.check_epochs(batches, self._arguments.epochs)
        self._batches = batches

    def _weighted(self, data: Rows, index: np.ndarray | None = None, is_part: bool = False) -> Rows:
        """The same rows with the weights of their classes, which are those of the rows that `index` names."""
        x, targets, weights = data
        if self._class_weight is None:
            return data
        classes, count = classes_of(targets, self._settings), max(self._settings.layers[-1], 2)
        if index is None:
            return x, targets, row_weights(self._class_weight, classes, weights, count, is_part)
        if classes is not None:
            classes = classes[index]
        own = row_weights(self._class_weight, classes, None if weights is None else weights[index], count)
        spread = np.zeros(len(x))
        spread[index] = own
        return x, targets, spread

    def _take_split(self, train: np.ndarray, validation: np.ndarray | None) -> None:
        if self._arguments.validation_data is not None or self._arguments.validation_split:
            raise ValueError("give a split, validation_data or validation_split, and not two of them")
        self._index = train
        if validation is not None:
            self._validation, self._validation_index = self._rows, validation
        check_parts("split", self._rows[2], train, validation)

    @property
    def rows(self) -> int:
        """How many are trained on in an epoch; 0 where only a stream knows."""
        if self._index is not None:
            return len(self._index)
        return 0 if self._data is None else len(self._data[0])

    # The fit -----------------------------------------------------------------------------------------

    def run(self) -> History:
        """Train; the history. The model's writer is the caller."""
        model, net, arguments = self._model, self._net, self._arguments
        update = _core.Update(
            self._optimizer,
            self._settings.l1,
            self._settings.l2,
            arguments.clip_norm,
            arguments.clip_value,
            arguments.accumulate,
            arguments.ema,
            self._settings.conventions.penalty_per_weight,
            self._settings.conventions.mean_by_rows,
        )
        before = _Before(model)
        try:
            threads = self._reserve(update)
            model.stop_training = False
            self._callbacks.on_fit_begin(model)
            first = 0
            if arguments.checkpoint is not None and arguments.resume:
                from .._files import checkpoints

                first = checkpoints.resume(model, arguments.checkpoint, self._callbacks)
                before = _Before(model)
                self._optimizer = self._settings.step()  # as a callback may have left it
                update.set_optimizer(self._optimizer)
                self._take_snapshot(update)
            history = model.history_ if first and model.history_ is not None else History()
            watcher = FitWatcher(model, self._callbacks, self._progress)
            steps = make_steps(
                net, self._settings, update, self._optimizer, arguments.batch_size, threads, watcher
            )
            epochs = self._epochs(steps, update)
            epochs.done = history.iterations
            model.history_ = history
            if self._one_dimension is not None:
                model._fitted_1d = self._one_dimension
            try:
                self._train(epochs, steps, watcher, history, first)
            finally:
                self._progress.close()
                if type(self._settings.optimizer) is not type(steps.optimizer):
                    net.drop_states()  # of the one that a callback has replaced in the last epoch
        except BaseException:
            if net.counts[0] == before.counts[0]:  # no update was made, or none is left
                before.come_back()
            else:
                self._leave_average()
            raise
        self._callbacks.on_fit_end(model)
        return history

    def _train(self, epochs: Epochs, steps: Steps, watcher: FitWatcher, history: History, first: int) -> None:
        model, arguments, most = self._model, self._arguments, steps.threads
        if first < arguments.epochs and not model.stop_training:
            self._progress.begin(arguments.epochs, epochs.rows, first)
        for epoch in range(first, arguments.epochs):
            if model.stop_training:
                break
            optimizer = self._settings.step()
            if optimizer is not steps.optimizer:  # a callback has changed its settings
                steps.set_optimizer(optimizer)
            self._callbacks.on_epoch_begin(model, epoch)
            if epoch == first and self._callbacks:
                self._net.snapshot()  # what an overflow goes back to is what they have made of it
            steps.threads = _core.share_of(most, arguments.n_threads)  # a stream asks for each of its batches
            watcher.begin_epoch()
            logs = epochs.run(epoch)
            self._leave_average()
            if not self._wants_accuracy:
                logs.pop("accuracy", None)
            if epochs.seen is not None:
                logs |= metrics_of(model, self._others, *epochs.seen)
            logs |= self._validate()
            history.add_epoch(logs, epochs.iterations, steps.rate)
            self._progress.epoch(epoch + 1, logs)
            self._callbacks.on_epoch_end(model, epoch, logs)
            is_last = epoch + 1 == arguments.epochs or model.stop_training
            if arguments.checkpoint is not None and (
                is_last or (epoch + 1) % arguments.checkpoint_every == 0
            ):
                from .._files import checkpoints

                checkpoints.write(model, arguments.checkpoint, self._callbacks, epoch + 1)

    def _leave_average(self) -> None:
        """A net that is trained on without an average leaves the old one behind."""
        if self._arguments.ema is None:
            self._net.drop_average()

    def _validate(self) -> dict[str, float]:
        if self._validation is None:
            return {}
        values = measure(
            self._model, self._validation, self._validation_index, self._metrics, self._arguments.n_threads
        )
        return {f"val_{name}": value for name, value in values.items()}

    # What it needs -----------------------------------------------------------------------------------

    def _reserve(self, update: _core.Update) -> int:
        """All the memory that training takes: what fails later leaves the model as it was. Returns how many
        threads to take where no other call is under way."""
        arguments = self._arguments
        threads = 1
        if self._data is not None:
            rows = self.rows
            batch_size = min(arguments.batch_size, rows)
            threads = self._net.reserve(batch_size, rows / batch_size, update, arguments.n_threads)
            if self._validation is not None or arguments.validation_split:
                rows = len((self._validation or self._data)[0])
                if self._validation_index is not None:
                    rows = len(self._validation_index)
                self._net.reserve_reader(rows, arguments.n_threads)
        self._take_snapshot(update)
        return threads

    def _take_snapshot(self, update: _core.Update) -> None:
        """Of what an overflow in the first epoch goes back to, states and an average that begin among it."""
        self._net.prepare(update)
        self._net.snapshot()

    def _epochs(self, steps: Steps, update: _core.Update) -> Epochs:
        net, settings, keeps = self._net, self._settings, bool(self._others)
        n_threads = self._arguments.n_threads
        if self._data is None:
            return StreamEpochs(
                net,
                settings,
                steps,
                keeps,
                self._batches,
                self._read_batch,
                lambda rows: _core.share_of(net.reserve(rows, 1, update, n_threads), n_threads),
            )
        self._index = self._split(self._data)
        shuffler = self._model._shuffler() if self._arguments.shuffle else None
        return RowEpochs(net, settings, steps, keeps, self._data, self._index, shuffler)

    def _read_batch(self, item: Any) -> Rows:
        X, y, weights = streams.as_batch(item)
        self._one_dimension = self._model._fitted_1d = np.ndim(y) == 1
        return self._weighted(read_rows(X, y, weights, self._settings, is_part=True), is_part=True)

    def _split(self, data: Rows) -> np.ndarray | None:
        """The rows to train on; the others are validated on."""
        fraction = self._arguments.validation_split
        if not fraction:
            return self._index
        x, targets, weights = data
        train, held_out = self._model._random.split(len(x), fraction, classes_of(targets, self._settings))
        check_parts("validation split", weights, train, held_out)
        # Held out rows are judged as they are, without the weights of their classes.
        self._validation, self._validation_index = self._rows, held_out
        return train
