"""Shortcuts through scikit-learn's checks, for arguments that these return as they are.

A check of scikit-learn takes 30 to 300 µs for the smallest array, and a step of a small network 5 µs. Each
function here accepts a usual form of an argument, and returns None or False for every other: that goes
through scikit-learn's check, which converts it, or raises with its message.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils._param_validation import make_constraint
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import _core

# Kinds of dtypes: real numbers, and labels whose order is the same as arrays and as Python objects.
NUMBERS, LABELS = "fiu", "biuU"
NUMBER_TYPES = {int, float, np.float64, np.float32}
LABEL_TYPES = {int, bool, str}


def compiled(constraints: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The constraints of parameters in the form that scikit-learn makes from them at each check."""
    return {
        name: [make_constraint(each) for each in allowed]
        for name, allowed in constraints.items()
        if allowed != "no_validation"
    }


def are_allowed(constraints: Mapping[str, list[Any]], parameters: Mapping[str, Any]) -> bool:
    """Whether all parameters with constraints are there, and satisfy them."""
    return all(
        name in parameters and any(each.is_satisfied_by(parameters[name]) for each in allowed)
        for name, allowed in constraints.items()
    )


def check_fitted(estimator: Any) -> None:
    """`check_is_fitted`. Raises NotFittedError."""
    if "coefs_" not in vars(estimator) or hasattr(estimator, "__sklearn_is_fitted__"):
        check_is_fitted(estimator)


def plain_rows(X: Any) -> np.ndarray | None:
    """X, if it is an array of at least one row of finite floats, or a list of lists of numbers as one.

    Otherwise None.
    """
    if type(X) is list:
        if not all(type(row) is list and NUMBER_TYPES.issuperset(map(type, row)) for row in X):
            return None
        try:
            X = np.array(X, np.float64)
        except (ValueError, OverflowError):
            return None
    if type(X) is not np.ndarray or X.ndim != 2 or X.size == 0 or X.dtype.char not in "df":
        return None
    flags = X.flags
    if not (flags.c_contiguous and flags.aligned and X.dtype.isnative) or not _core.all_finite(X):
        return None
    return X


def plain_values(y: Any) -> np.ndarray | None:
    """y, if it is an array (n,) of finite numbers, or a list of numbers as one. Otherwise None."""
    if type(y) is list and NUMBER_TYPES.issuperset(map(type, y)):
        y = np.array(y)
    if type(y) is not np.ndarray or y.ndim != 1 or y.dtype.kind not in NUMBERS:
        return None
    return y if np.isfinite(y).all() else None


def plain_labels(y: Any) -> np.ndarray | None:
    """y, if it is an array (n,) of whole numbers, bools or strings, or a list of one of these.

    Otherwise None.
    """
    if type(y) is list and len(set(map(type, y))) == 1 and type(y[0]) in LABEL_TYPES:
        y = np.array(y)
    return y if type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in LABELS else None


def codes_of(y: np.ndarray, classes: np.ndarray) -> np.ndarray | None:
    """The numbers of labels of `plain_labels` in the sorted classes, int64 (n,).

    None if the classes are of another kind, or lack a label.
    """
    if y.dtype.kind != classes.dtype.kind:
        return None
    codes = np.searchsorted(classes, y)
    found = (classes.take(codes, mode="clip") == y).all()
    return codes.astype(np.int64, copy=False) if found else None


def are_classes(given: Any, classes: np.ndarray | None) -> bool:
    """Whether the argument `classes` of `partial_fit` is the sorted classes of an earlier call."""
    labels = plain_labels(given)
    return (
        labels is not None
        and classes is not None
        and labels.dtype.kind == classes.dtype.kind
        and np.array_equal(labels, classes)
    )


def validated(estimator: Any, X: Any, reset: bool, count: int | None = None) -> np.ndarray | None:
    """X of `plain_rows` of this count, checked as by `validate_data`; None if scikit-learn must check it.

    With `reset`, X sets the number of features.
    """
    rows = None if hasattr(estimator, "feature_names_in_") else plain_rows(X)
    if rows is None or count not in (None, len(rows)):
        return None
    if reset:
        estimator.n_features_in_ = rows.shape[1]
    elif rows.shape[1] != getattr(estimator, "n_features_in_", None):
        return None
    return rows


def validate_rows(estimator: Any, X: Any) -> Any:
    """X as float32 or float64, dense or CSR, by `validate_data` of scikit-learn. ValueError or TypeError."""
    rows = validated(estimator, X, reset=False)
    if rows is not None:
        return rows
    return validate_data(estimator, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
