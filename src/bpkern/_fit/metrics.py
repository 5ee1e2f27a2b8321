"""Metrics of predictions besides the loss: named ones, or any function of targets and predictions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import _checks
from .._data.read_only import read_only

CLASSES = ("accuracy", "f1", "precision", "recall")
VALUES = ("mae", "mse", "rmse", "r2")
NAMES = CLASSES + VALUES

# Metrics to maximise; all others are to be minimised.
MAXIMISED = (*CLASSES, "r2")

# Names of other values in a history or log, which a metric must not have.
RESERVED = ("loss", "lr", "epoch")

# The losses of classifiers.
CROSS_ENTROPIES = ("cross_entropy", "binary_cross_entropy")


class Metric:
    """A function from a data set to one number.

    It is called with targets in the form of `MLP.fit`, predictions in the form of `MLP.predict`, and weights
    (n,) or None. A row of class probabilities means the most likely class; a soft target of
    binary_cross_entropy means 1 above 0.5.

    Parameters
    ----------
    name : str
    function : callable
        Called with targets, predictions and weights.
    loss : str
        The name of the model's loss.
    is_users : bool
        Whether `function` calls code of the user, for which NumPy's error settings are the user's.

    Attributes
    ----------
    name : str
    """

    def __init__(
        self, name: str, function: Callable[[Any, Any, Any], float], loss: str, is_users: bool = False
    ) -> None:
        self.name = name
        self._function = function
        self._loss = loss
        self._is_users = is_users

    def __call__(self, y_true: Any, y_pred: Any, weights: np.ndarray | None) -> float:
        # Overflow gives infinity and underflow 0, whatever the user has set by np.seterr.
        with np.errstate(all="ignore"):
            true, predicted = _comparable(np.asarray(y_true), np.asarray(y_pred), self._loss)
            if not self._is_users:
                return self._function(true, predicted, weights)
        return self._function(true, predicted, weights)

    def __repr__(self) -> str:
        return f"<metric {self.name}>"


def make_metrics(spec: Any, loss: str, outputs: int) -> list[Metric]:
    """The metrics of ``fit(metrics=spec)``.

    Parameters
    ----------
    spec : None, str, callable, or a sequence of these
        None is "accuracy" for the two cross-entropies, and no metric for other losses.

        Names for the two cross-entropies: "accuracy", "f1", "precision" and "recall". Accuracy is the
        fraction of the rows whose class is right, or of all outputs for binary_cross_entropy. The others are
        scikit-learn's, with 0 for 0/0: of class 1 if there are two classes, otherwise their mean over the
        classes that occur, or over the outputs of binary_cross_entropy.

        Names for other losses: "mae", "mse", "rmse" and "r2", the mean over the outputs, as in scikit-learn;
        for poisson, of the rates exp(output).

        A callable is ``metric(y_true, y_pred) -> number``. Its name is its ``__name__``, which must not be
        one of the above, "loss", "lr" or "epoch", nor begin with "val_". Both arguments have the form of
        `predict`: classes (n,), 0 or 1 of shape (n,) or (n, out), or values; they are read-only. It does not
        receive weights.
    loss : str
        The name of the model's loss; "custom" for a callable.
    outputs : int
        The width of the last layer.

    Returns
    -------
    list of Metric

    Raises
    ------
    ValueError
        For unknown names, duplicates, and metrics of other kinds of losses.
    TypeError
        For values that are neither names nor callables.
    """
    if spec is None:
        spec = ("accuracy",) if loss in CROSS_ENTROPIES else ()
    elif isinstance(spec, str) or callable(spec):
        spec = (spec,)
    elif not isinstance(spec, Sequence):
        raise TypeError(f"metrics must be names and callables, or a sequence of them, not {spec!r}")
    made = [_metric(each, loss, outputs) for each in spec]
    names = [metric.name for metric in made]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"metrics must have different names: {name!r} is there {names.count(name)} times"
            )
    return made


def _metric(spec: Any, loss: str, outputs: int) -> Metric:
    if isinstance(spec, str):
        spec = _checks.as_str(spec)
        if spec not in NAMES:
            raise _checks.unknown("metric", spec, NAMES, ", or a callable")
        suitable = CLASSES if loss in CROSS_ENTROPIES else VALUES
        if spec not in suitable:
            raise ValueError(f"metric {spec!r} does not suit the loss {loss}: {', '.join(suitable)} do")
        return Metric(spec, _named(spec, loss, outputs), loss)
    if not callable(spec):
        raise TypeError(f"a metric must be a name or a callable, not {spec!r}")
    name = getattr(spec, "__name__", None)
    if not isinstance(name, str):
        raise TypeError(f"a metric must have a __name__ to be known by: {spec!r} has none")
    if name in RESERVED or name in NAMES or name.startswith("val_"):
        raise ValueError(f"a metric must not be called {name!r}: that name is taken")
    return Metric(_checks.as_str(name), _unweighted(spec, name), loss, is_users=True)


def _comparable(true: np.ndarray, predicted: np.ndarray, loss: str) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions, both in the form of `MLP.predict`."""
    if loss == "cross_entropy":
        classes = true.argmax(axis=1) if true.ndim == 2 else true
        return classes.astype(np.int64, copy=False), predicted
    # With a callable loss, y may have any shape.
    if true.size == predicted.size:
        true = true.reshape(predicted.shape)
    if loss == "binary_cross_entropy":
        return (true > 0.5).astype(np.int64), predicted
    if loss == "poisson":
        return true, np.exp(predicted)
    return true, predicted


def _unweighted(function: Callable[[Any, Any], Any], name: str) -> Callable[[Any, Any, Any], float]:
    def metric(true: np.ndarray, predicted: np.ndarray, _: np.ndarray | None) -> float:
        value = function(read_only(true), read_only(predicted))
        number = np.asarray(value)
        if number.ndim or number.dtype.kind not in "biuf":
            given = f"an array of shape {number.shape}" if number.ndim else repr(value)
            raise TypeError(f"metric {name} must return a number, not {given}")
        return float(number)

    return metric


def _named(name: str, loss: str, outputs: int) -> Callable[[Any, Any, Any], float]:
    """The function (targets, predictions, weights) of a metric with a known name."""
    if name == "accuracy":
        return _accuracy
    if name in VALUES:
        of_outputs = {"mae": _absolute, "mse": _squared, "rmse": _root, "r2": _determination}[name]
        return lambda true, predicted, weights: _over_outputs(of_outputs, true, predicted, weights)
    score = {"f1": _f1, "precision": _precision, "recall": _recall}[name]
    two_classes = outputs == 1 if loss == "binary_cross_entropy" else outputs <= 2
    if two_classes:
        # Only class 1 counts: a table of one column.
        return lambda true, predicted, weights: float(
            score(*_counts(true[:, None] == 1, predicted[:, None] == 1, weights))[0]
        )
    if loss == "binary_cross_entropy":
        return lambda true, predicted, weights: float(
            score(*_counts(true == 1, predicted == 1, weights)).mean()
        )
    return lambda true, predicted, weights: float(
        score(*_class_counts(true, predicted, weights, outputs)).mean()
    )


# Classes -----------------------------------------------------------------------------------------------


def _accuracy(true: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
    right = (true == predicted).reshape(len(true), -1).mean(axis=1)
    return float(np.average(right, weights=weights))


def _counts(
    true: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays (columns,): the weights of the true positives, of the positives, of the predicted positives.

    Targets and predictions are bool (n, columns).
    """
    w = np.ones((len(true), 1)) if weights is None else weights[:, None]
    # Not products of matrices: the bits of BLAS depend on its kernels and threads.
    right, positive, found = (
        np.where(rows, w, 0.0).sum(axis=0) for rows in (true & predicted, true, predicted)
    )
    return right, positive, found


def _class_counts(
    true: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The weights that `_counts` returns, for each class that occurs in targets or predictions.

    Targets and predictions are class numbers (n,).
    """
    w = np.ones(len(true)) if weights is None else weights
    right = true == predicted
    counts = [
        np.bincount(rows, weights=of, minlength=classes)
        for rows, of in ((true[right], w[right]), (true, w), (predicted, w))
    ]
    present = np.zeros(classes, bool)
    present[true] = present[predicted] = True
    return counts[0][present], counts[1][present], counts[2][present]


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, with 0 for 0/0."""
    return np.asarray(np.divide(above, below, out=np.zeros_like(below), where=below != 0))


def _f1(right: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _ratio(2 * right, true + predicted)


def _precision(right: np.ndarray, _: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _ratio(right, predicted)


def _recall(right: np.ndarray, true: np.ndarray, _: np.ndarray) -> np.ndarray:
    return _ratio(right, true)


# Values ------------------------------------------------------------------------------------------------


def _over_outputs(
    function: Callable[..., np.ndarray], true: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None
) -> float:
    """The mean over the outputs of a function that returns one number per column, in float64."""
    if true.shape != predicted.shape:
        raise ValueError(
            f"y must have the predictions' shape {predicted.shape} for metrics of values, not {true.shape}"
        )
    columns = (np.asarray(array, np.float64).reshape(len(array), -1) for array in (true, predicted))
    return float(function(*columns, weights).mean())


def _absolute(true: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return np.asarray(np.average(np.abs(true - predicted), axis=0, weights=weights))


def _squared(true: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return np.asarray(np.average((true - predicted) ** 2, axis=0, weights=weights))


def _root(true: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return np.asarray(np.sqrt(_squared(true, predicted, weights)))


def _determination(true: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """R2 of each column: 1 - errors / variance; for constant targets 1 without errors, otherwise 0."""
    errors = _squared(true, predicted, weights)
    variance = _squared(true, np.average(true, axis=0, weights=weights), weights)
    ratio = np.divide(errors, variance, out=np.where(errors > 0, 1.0, 0.0), where=variance > 0)
    return np.asarray(1 - ratio)
