"""One fit on shards of the rows, in one process or on the ranks of a communicator."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._data.rows import Rows, classes_of, read_rows
from .._fit.arguments import FitArguments
from .._fit.callback_list import CallbackList
from .._fit.epochs import Epochs
from .._fit.fit import Fit
from .._fit.metrics import make_metrics
from .._fit.progress import make_progress
from .._fit.steps import Steps, Watcher
from .._model.core import HasCore, core_of
from .._model.settings import Settings, refuse_extra
from .._threads import MOST, get_num_threads
from ..callbacks import Callback
from ..history import History
from . import agreement
from . import rows as parts
from .epochs import ShardRows, ShardSteps, ShardStream, check_counts
from .group import Group
from .interrupts import Interrupts
from .measuring import gathered_metrics, measure

if TYPE_CHECKING:
    from .._fit.fingerprint import Fingerprint


@contextmanager
def on_ranks(comm: Any, shards: Any, interrupts: Interrupts) -> Iterator[Group]:
    """The ranks of a call, within their guard.

    Raises ValueError, TypeError, or ModuleNotFoundError without mpi4py.
    """
    from ..distributed import checked_shards

    checked_shards(None, comm)
    engine = None
    if comm is not None:
        from .mpi import MpiEngine  # which imports mpi4py: a communicator has imported it before

        engine = MpiEngine(comm)
    group = Group(engine, interrupts)
    with group.guard():
        group.set_shards(checked_shards(shards, comm)[0])
        yield group


def fit(
    model: HasCore,
    X: Any,
    y: Any,
    sample_weight: Any,
    class_weight: Any,
    metrics: Any,
    callbacks: Callback | Iterable[Callback],
    verbose: Any,
    shards: Any,
    comm: Any,
    interrupts: Interrupts,
    **arguments: Any,
) -> History:
    """As `MLP.fit` with `shards` or `comm`."""
    with on_ranks(comm, shards, interrupts) as group:
        checked = FitArguments(**arguments)
        checked.shards = group.shards
        if checked.validation_split:
            raise ValueError(
                "shards need validation_data: no rank has the rows that validation_split holds out"
            )
        settings = core_of(model).settings
        refuse_extra(settings, "a fit with shards")
        if settings.custom_loss:
            raise ValueError("shards need a loss of bpkern.losses or a name, not a Python function")
        own = ShardFit(model, group, X, y, sample_weight, class_weight, metrics, callbacks, verbose, checked)
        own.begin()
        return own.run()


class ShardFit(Fit):
    """A fit whose rows are those of one rank.

    Parameters
    ----------
    group : Group
    The others are as for `Fit`.
    """

    def __init__(
        self,
        model: HasCore,
        group: Group,
        X: Any,
        y: Any,
        sample_weight: Any,
        class_weight: Any,
        metrics: Any,
        callbacks: Callback | Iterable[Callback],
        verbose: Any,
        arguments: FitArguments,
    ) -> None:
        self._group = group

        def read(X: Any, y: Any, sample_weight: Any, settings: Settings) -> Rows:
            return read_rows(X, y, sample_weight, settings, is_part=True)

        own_class_weight = class_weight
        if isinstance(class_weight, str) and class_weight == "balanced" and y is not None:
            own_class_weight = None  # `begin` knows the rows of all ranks
        super().__init__(
            model, X, y, sample_weight, own_class_weight, metrics, callbacks, verbose, arguments, read=read
        )
        self._given_class_weight = class_weight
        self.callbacks = CallbackList(callbacks, writes_files=group.rank == 0)
        if group.rank != 0:
            self._progress = make_progress(0)
        self._given_y = y

    def begin(self) -> None:
        """What needs the other ranks, before the model changes: that they are alike, and their rows."""
        group, core = self._group, self._core
        data, validation = self._data, self._validation
        agreement.check_alike(group, core, self._in_common())
        agreement.share_state(group, core)
        group.core = core
        self._optimizer = self._settings.current_optimizer()
        self._count = 0
        if data is not None:
            self._count = self._counted("X", data)
            x, targets, weights = data
            self._data = x, targets, self._scaled("sample_weight", weights)
            self._rows = self._data
            if self._given_class_weight is not None:
                self._weight_classes()
        if validation is not None:
            self._validation_count = self._counted("validation_data", validation)
            x, targets, weights = validation
            self._validation = x, targets, self._scaled("sample_weight of validation_data", weights)
        self._most_threads = agreement.threads_of_rank(group, get_num_threads())

    def _in_common(self) -> dict[str, Any]:
        """What must be the same on all ranks, besides the model."""
        arguments, data, validation = self.arguments, self._data, self._validation
        names = (
            "epochs",
            "batch_size",
            "shuffle",
            "clip_norm",
            "clip_value",
            "accumulate",
            "ema",
            "drop_last",
        )
        common = {name: getattr(arguments, name) for name in names}
        common |= {"shards": self._group.shards, "checkpoint": arguments.checkpoint is not None}
        common |= {name: getattr(arguments, name) for name in ("checkpoint_every", "resume")}
        given = self._given_class_weight
        common["class_weight"] = sorted(given.items()) if isinstance(given, Mapping) else given
        common["metrics"] = [metric.name for metric in self._metrics]
        common["callbacks"] = [type(callback).__name__ for callback in self.callbacks]
        for name, rows in (("X and y", data), ("validation_data", validation)):
            common[name] = None if rows is None else [rows[1].ndim, rows[2] is not None]
        common["batches"] = data is None
        return common

    def _counted(self, what: str, data: Rows) -> int:
        """The rows of all ranks, after a check of the own ones."""
        rows = np.array(self._group.objects(len(data[0])))
        check_counts(what, rows, self._group)
        return int(rows.sum())

    def _scaled(self, what: str, weights: np.ndarray | None) -> np.ndarray | None:
        """Sample weights, scaled as by `as_sample_weight` from the largest one of all ranks."""
        if weights is None:
            return None
        largest = max(self._group.objects(float(weights.max(initial=0.0))))
        if largest == 0:
            raise ValueError(f"{what} must not be 0 in every row")
        with np.errstate(under="ignore"):
            return np.asarray(np.ldexp(weights, -np.frexp(largest)[1]))

    def _weight_classes(self) -> None:
        """Multiply the weights of the classes into those of the rows."""
        from .._data.class_weights import balanced, row_weights

        data, count = self._rows, max(self._settings.layers[-1], 2)
        classes = classes_of(data[1], self._settings)
        given = self._given_class_weight
        if given == "balanced" and classes is not None:
            starts = self._own_bounds(self._count)
            totals = [
                np.bincount(classes[a:b], None if data[2] is None else data[2][a:b], count).astype(np.float64)
                for a, b in pairwise(starts)
            ]
            given = balanced(self._group.total(np.array(totals)))
        weights = row_weights(given, classes, data[2], count, is_part=True)
        assert weights is not None
        if not any(self._group.objects(bool(weights.any()))):
            raise ValueError("class_weight and sample_weight must not be 0 in every row")
        self._data = data[0], data[1], weights

    def _weighted(self, data: Rows, index: np.ndarray | None = None, is_part: bool = False) -> Rows:
        # Rows in memory get their classes' weights in `begin`.
        return super()._weighted(data, index, is_part) if is_part else data

    def _own_bounds(self, rows: int) -> list[int]:
        """The first of each own shard's rows, and the end."""
        found: list[int] = parts.own_bounds(
            rows, self._group.shards, self._group.size, self._group.rank
        ).tolist()
        return found

    # The parts of `Fit` that differ --------------------------------------------------------------------

    def _reserve(self, update: _core.Update) -> int:
        arguments, group = self.arguments, self._group
        n_threads = arguments.n_threads
        most = self._most_threads if n_threads is None else n_threads
        threads = min(most, MOST)
        if self._data is not None:
            batch = min(arguments.batch_size, self._count)
            height = parts.height(batch, group.shards, group.size)
            self._net.release(height)
            steps = self._count / batch
            threads = self._net.reserve(height, steps, update, n_threads)
            if threads > most:
                threads = self._net.reserve(height, steps, update, most)
        self._net.prepare(update)
        self._net.reserve_snapshot()
        return threads

    def _make_steps(self, update: _core.Update, threads: int, watcher: Watcher) -> Steps:
        arguments = self.arguments
        others = update, self._optimizer, arguments.batch_size, threads, watcher
        needs_all = (arguments.clip_norm, arguments.clip_value, arguments.ema) != (None,) * 3
        shares = self._data is not None and not needs_all and arguments.accumulate == 1
        return ShardSteps(self._net, self._settings, *others, group=self._group, shares=shares)

    def _begin_epochs(self, steps: Steps, update: _core.Update) -> Epochs:
        assert isinstance(steps, ShardSteps)
        net, settings, keeps = self._net, self._settings, bool(self._other_metrics)
        if self._data is None:

            def prepare(height: int, y_is_1d: bool) -> int:
                return self._prepare_batch(update, height, y_is_1d)

            return ShardStream(
                net, settings, steps, keeps, self._batches, self._read_batch, prepare, self._group
            )
        random = self._core.random if self.arguments.shuffle else None
        drop_last = self.arguments.drop_last
        return ShardRows(net, settings, steps, keeps, self._data, self._count, self._group, random, drop_last)

    def _metrics_of(
        self, targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
    ) -> dict[str, float]:
        return gathered_metrics(self._core, self._group, self._other_metrics, targets, outputs, weights)

    def _validate(self) -> dict[str, float]:
        if self._validation is None:
            return {}
        values = measure(
            self._core,
            self._group,
            self._validation,
            self._validation_count,
            self._metrics,
            self.arguments.n_threads,
            self._most_threads,
        )
        return {f"val_{name}": value for name, value in values.items()}

    def _end_epoch(self) -> None:
        """Ranks stop together, and go on with the same settings of the optimiser and the same groups."""
        core, group = self._core, self._group
        if group.engine is None:
            return
        optimizer = self._settings.current_optimizer()
        # Functions cannot be compared: each process has its own.
        values = {
            name: "a function" if callable(each) else each for name, each in optimizer.settings().items()
        }
        said = f"{type(optimizer).__name__} with {values}, frozen and factors: {agreement.groups_text(core)}"
        found = group.objects((bool(core.stop_training), said))
        core.stop_training = any(stop for stop, _ in found)
        for rank, (_, other) in enumerate(found):
            if other != found[0][1]:
                raise RuntimeError(
                    f"callbacks must decide alike on all ranks: rank {rank} has {other}, rank 0 {found[0][1]}"
                )

    # Checkpoints ---------------------------------------------------------------------------------------

    def _take_fingerprint(self) -> Fingerprint:
        own = super()._take_fingerprint()
        digests = {name: own.data[name] for name in ("split", "validation_data")}
        if self._data is None:
            digests |= own.data
        else:
            weights = None if self._given_class_weight is None else self._data[2]
            digests |= self._digests(
                {
                    "X": self._rows[0],
                    "y": self._rows[1],
                    "sample_weight": self._rows[2],
                    "class_weight": weights,
                },
                self._count,
            )
        if self._validation is not None:
            names = {str(i): each for i, each in enumerate(self._validation)}
            digests["validation_data"] = "".join(
                each or "" for each in self._digests(names, self._validation_count).values()
            )
        own.settings["batch_size"] = (
            None if self._data is None else min(self.arguments.batch_size, self._count)
        )
        own.settings["shards"] = self._group.shards
        return type(own)(own.settings, digests, own.columns)

    def _digests(self, arrays: Mapping[str, Any], rows: int) -> dict[str, str | None]:
        """A digest of each array, from those of its shards."""
        from .._data.digest import digest_of, digest_of_digests

        own = [
            {name: digest_of(array[a:b]) for name, array in arrays.items() if array is not None}
            for a, b in pairwise(self._own_bounds(rows))
        ]
        shards = [shard for of_rank in self._group.objects(own) for shard in of_rank]
        return {
            name: None if array is None else digest_of_digests(shard[name] for shard in shards)
            for name, array in arrays.items()
        }

    def _write(self, path: str, epochs: int) -> None:
        if self._group.rank == 0:
            super()._write(path, epochs)

    def _resume(self, path: str) -> int:
        from .._files import checkpoints

        found = self._group.of_first(checkpoints.find(path) if self._group.rank == 0 else None)
        if found is None:
            return 0
        return checkpoints.resume(self._core, path, found, self.callbacks, self._fingerprint)


def evaluate(
    model: HasCore,
    X: Any,
    y: Any,
    sample_weight: Any,
    metrics: Any,
    shards: Any,
    comm: Any,
    interrupts: Interrupts,
) -> dict[str, float]:
    """As `MLP.evaluate` with `shards` or `comm`."""
    core = core_of(model)
    settings = core.settings
    with on_ranks(comm, shards, interrupts) as group:
        asked = make_metrics(metrics, settings.loss, settings.layers[-1])
        data = read_rows(X, y, sample_weight, settings, is_part=True)
        agreement.check_alike(
            group,
            core,
            {
                "shards": group.shards,
                "metrics": [metric.name for metric in asked],
                "weighted": data[2] is not None,
            },
        )
        rows = np.array(group.objects(len(data[0])))
        check_counts("X", rows, group)
        most = agreement.threads_of_rank(group, get_num_threads())
        return measure(core, group, data, int(rows.sum()), asked, None, most)


def predict(model: Any, X: Any, comm: Any, interrupts: Interrupts) -> np.ndarray:
    """As `MLP.predict` with `comm`."""
    with on_ranks(comm, None, interrupts) as group:
        return np.concatenate(group.objects(model.predict(X)))
