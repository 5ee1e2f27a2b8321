"""Training of many models at once on the same rows: `fit_many`."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import _checks, _core
from .._data import streams
from .._data.gathered import GatheredRows
from .._data.rows import Reader
from .._model.core import core_of
from ..callbacks import CSVLogger
from ..history import History
from ..mlp import MLP
from .arguments import FitArguments
from .call import OTHERS, Call
from .callback_list import CallbackList
from .fit import Fit
from .progress import make_progress

if TYPE_CHECKING:
    from concurrent.futures import Executor

# The arguments of `MLP.fit` that `fit_many` takes for all models, or one model in `each`.
SHARED = frozenset({*OTHERS, *(FitArguments.__init__.__kwdefaults__ or ())} - {"n_threads"})

# Its own arguments, as its messages list them.
OWN = ("models", "X", "y", "splits", "each", "executor", "n_threads", "verbose")

Split = tuple[np.ndarray, np.ndarray | None]


def fit_many(
    models: Iterable[MLP],
    X: Any,
    y: Any,
    *,
    splits: Iterable[tuple[Any, Any]] | None = None,
    each: Iterable[Mapping[str, Any]] | None = None,
    executor: Executor | None = None,
    n_threads: int | None = None,
    verbose: Literal["auto", 0, 1, 2] | bool = "auto",
    **settings: Any,
) -> list[History]:
    """Train several models on the same rows at once: seeds, folds, a grid.

    Each model ends in the same state, to the bit, as after ``model.fit``; only the time differs. Threads take
    one model after another, those with the most work first. So all processors are busy even if each net is
    too small to use more than one. X is shared, and converted once if it has to be converted.

    >>> models = [bpkern.MLP([64, 32, 10], loss="cross_entropy", seed=seed) for seed in range(16)]
    >>> histories = bpkern.fit_many(models, X, y, epochs=50)

    Folds, as scikit-learn's cross-validators give them:

    >>> bpkern.fit_many(models, X, y, splits=KFold(len(models)).split(X), epochs=50)

    Parameters
    ----------
    models : iterable of MLP
        Different models with different generators. Their layers, losses and optimisers may differ.
    X : array_like, shape (n, in)
        As for `MLP.fit`, except an iterable of batches.
    y : array_like
        As for `MLP.fit`; None if each mapping of `each` has its own.
    splits : iterable of (train, validation), optional
        For each model, the row numbers of X to train on, and those to compute ``val_loss`` and the metrics
        from, or None. The model is trained as with ``X[train]``, ``y[train]`` and ``sample_weight[train]``.
        Not together with `validation_data` or `validation_split`.
    each : iterable of mappings, optional
        For each model, arguments of `fit` that replace the shared ones: "y", "epochs", "batch_size",
        "callbacks", "checkpoint", ...
    executor : concurrent.futures.Executor, optional
        Train in its workers: ``concurrent.futures.ProcessPoolExecutor()``, ``client.get_executor()`` of Dask,
        ``mpi4py.futures.MPIPoolExecutor()``. A copy of each model and its callbacks is pickled, with the rows
        of its fit, and what has become of it is put into the caller's objects when its fit is done.
    n_threads : int, optional
        Exact number of threads in all, including the caller's. Fewer models share them in equal parts. None
        is `bpkern.get_num_threads()`, shared with all other training in this process; when some models are
        done, the others use the threads that become free. With an executor, the exact number of threads of
        each fit in its worker, and None is 1.
    verbose : {"auto", 0, 1, 2} or bool
        Shows the number of finished models, when and as `fit` shows its epochs.
    **settings
        All other arguments of `fit`. A callback and a checkpoint belong to one model: with several models
        they go into `each`.

    Returns
    -------
    list of History
        One per model, in their order; also kept as their ``history_``.

    Raises
    ------
    ValueError, TypeError
        As for `fit`, and for the same model, callback, generator, checkpoint or CSV log given twice. With an
        executor, TypeError also for a model, callback or other setting that cannot be pickled. Errors that
        can be found before training are raised before any model is trained, with a note that names the
        model.
    Exception
        An error of one fit does not end the others. When all are done, the error of the first such model is
        raised, with a note that names the model; the other models have their histories in ``history_``.
    KeyboardInterrupt
        All fits have stopped within 200 ms, each model as of a finished step. With an executor, so have the
        fits on this machine, within a second; others go on, and their models are as before.
    RuntimeError
        If a worker has another version or instruction set, and so would compute other bits.

    Notes
    -----
    A part of each epoch is Python code, which one thread at a time can run: nets whose epochs take less than
    about 0.1 ms gain little from a second thread.

    Python functions among the settings (callbacks, metrics, a loss, a learning rate) are called from several
    threads. Models may share an optimiser unless something changes its settings during the fits, as
    `ReduceLROnPlateau` does. With an executor, callbacks see the worker's copy of their model, and files are
    written by the worker.
    """
    if executor is not None:
        from .executors import check_executor  # with its import of pickle and tempfile

        check_executor(executor)
    progress = make_progress(verbose, noun="model")
    checked = _checked_models(models)
    _check_names(settings, "fit_many", SHARED)
    if streams.is_stream(X, y):
        raise ValueError("fit_many shares rows in memory among its models: give X and y, not batches")
    most = _core.fair_share() if n_threads is None else _checks.whole("n_threads", n_threads, 1)
    workers = max(1, min(most, len(checked)))
    own = _listed("each", each, len(checked), {})
    pairs = _listed("splits", splits, len(checked), None)
    if "callbacks" in settings:  # once: the first fit would exhaust an iterator
        settings["callbacks"] = CallbackList(settings["callbacks"])
    threads = None if n_threads is None else most // workers
    if executor is not None:
        threads = 1 if n_threads is None else most
    read, calls, fits = Reader(), [], []
    for number, model in enumerate(checked):
        try:
            shared = {"y": y, **settings, "n_threads": threads}
            calls.append(_make_call(model, X, pairs[number], shared, own[number], read))
            fits.append(calls[-1].fit(read))
        except Exception as error:
            error.add_note(f"It is about models[{number}] of fit_many.")
            raise
    _check_apart("callback", [list(fit.callbacks) for fit in fits])
    checkpoints = [fit.arguments.checkpoint for fit in fits]
    _check_apart("checkpoint", [[] if path is None else [os.path.abspath(path)] for path in checkpoints])
    _check_apart("log", [_logs(fit) for fit in fits])
    if fits:
        max(fits, key=lambda fit: fit.work).warn_of_large_columns(X)
    if executor is not None:
        from .executors import Remote

        return Remote(executor, calls, [fit.work for fit in fits], progress).run()
    from .pool import Pool  # with its import of threading

    return Pool(fits, progress).run(workers)


# Arguments -------------------------------------------------------------------------------------------------


def _checked_models(models: Any) -> list[MLP]:
    """The models as a list. Raises TypeError for other objects, ValueError if two share a generator."""
    if not hasattr(models, "__iter__"):
        hint = ": for one model, [model]" if isinstance(models, MLP) else ""
        raise TypeError(f"models must be a sequence of bpkern.MLP, not {models!r}{hint}")
    listed = list(models)
    for model in listed:
        if not isinstance(model, MLP):
            raise TypeError(f"models must be a sequence of bpkern.MLP, not of {model!r}")
    _check_apart("model", [[model] for model in listed])
    _check_apart("generator", [[core_of(model).random.generator.bit_generator] for model in listed])
    return listed


def _logs(fit: Fit) -> list[str]:
    """The paths of the CSV logs of a fit, except devices and pipes, which several fits may write."""
    paths = [os.path.abspath(each.path) for each in fit.callbacks if isinstance(each, CSVLogger)]
    return [path for path in paths if os.path.isfile(path) or not os.path.exists(path)]


def _check_apart(what: str, belongings: Sequence[Sequence[Any]]) -> None:
    """Raise ValueError if two models have the same object, or the same path.

    Parameters
    ----------
    what : str
    belongings : sequence of sequences
        For each model, its objects of that kind; a path is a str.
    """
    owners: dict[Hashable, int] = {}
    for number, things in enumerate(belongings):
        for thing in things:
            owner = owners.setdefault(thing if isinstance(thing, str) else id(thing), number)
            if owner != number:
                pair = f"models[{owner}] and models[{number}]"
                raise ValueError(
                    f"the models must be different: {pair} are the same"
                    if what == "model"
                    else f"each model needs its own {what}: {pair} have the same"
                )


def _check_names(given: Iterable[str], whose: str, allowed: frozenset[str]) -> None:
    """Raise TypeError for the first name that is not allowed."""
    for name in given:
        if name not in allowed:
            from .._suggestions import unknown_argument  # only for an error

            own = OWN if whose == "fit_many" else ()
            raise unknown_argument(whose, [name], [*own, *sorted(allowed)])


def _listed(name: str, given: Any, count: int, default: Any) -> list[Any]:
    """`given` as a list with an item per model, `default` for each if it is None."""
    if given is None:
        return [default] * count
    if not hasattr(given, "__iter__") or isinstance(given, (str, Mapping)):
        raise TypeError(f"{name} must be a sequence with an item for each model, not {given!r}")
    items = list(given)
    if len(items) != count:
        raise ValueError(f"{name} must have an item for each of the {count} models, not {len(items)}")
    return items


def _make_call(model: MLP, X: Any, split: Any, shared: Mapping[str, Any], own: Any, read: Reader) -> Call:
    """The arguments of the fit of one model. `own` is its item of `each` and replaces shared arguments."""
    if not isinstance(own, Mapping):
        raise TypeError(f"each must hold mappings of fit's arguments, not {own!r}")
    _check_names(own, "each", SHARED | {"y"})
    rows = None if split is None else _checked_split(split, read.rows(X, model.layers[0]))
    return Call(model, X, rows, {**shared, **own})


def _checked_split(split: Any, x: Any) -> Split:
    """A pair (train, validation) as arrays of numbers of rows of x. Raises ValueError or TypeError."""
    if not isinstance(split, (tuple, list)) or len(split) != 2:
        raise ValueError(f"splits must hold pairs (train, validation), not {split!r}")
    train, validation = split
    return (
        _checked_index("train", train, x),
        None if validation is None else _checked_index("validation", validation, x),
    )


def _checked_index(part: str, index: Any, x: Any) -> np.ndarray:
    """Row numbers as int64, contiguous and in range: C reads these rows without another check.

    Of gathered rows, C reads none by their numbers, which keep their type.
    """
    rows = len(x)
    array = np.array(index)  # a copy before the checks: the caller may change the array meanwhile
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"the {part} rows of a split must be a list of at least one, not shape {array.shape}"
        )
    if array.dtype.kind not in "iu":
        hint = ": numpy.flatnonzero(mask)" if array.dtype.kind == "b" else ""
        raise TypeError(f"the {part} rows of a split must be whole numbers, not {array.dtype}{hint}")
    if array.min() < 0 or array.max() >= rows:
        raise ValueError(
            f"the {part} rows of a split must be from 0 to {rows - 1}, "
            f"not from {array.min()} to {array.max()}"
        )
    return array if isinstance(x, GatheredRows) else array.astype(np.int64, copy=False)
