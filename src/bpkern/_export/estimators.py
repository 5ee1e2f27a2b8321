"""The networks of scikit-learn's estimators, and of a Pipeline that scales the inputs of one."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from .._model.core import core_of
from .._table.table_encoder import TableEncoder
from ..sklearn.predictor import Predictor
from .net import Net, Scaling, net_of_core, with_dtype

# By scikit-learn's name of the output activation.
FINAL = {"softmax": "softmax", "logistic": "sigmoid", "exp": "exp", "identity": "identity"}


def net_of_estimator(model: Any) -> Net:
    """The network of a fitted estimator of `bpkern.sklearn`, or of a Pipeline of scalers and one.

    Raises
    ------
    TypeError
        For anything else, and for a step of a Pipeline that does not only scale; it names the step.
    sklearn.exceptions.NotFittedError, which is a ValueError
    """
    if not isinstance(model, Pipeline):
        return _net_of_predictor(model)
    steps = [(name, step) for name, step in model.steps if step not in (None, "passthrough")]
    if not steps:
        raise TypeError(f"the last step of the Pipeline must be an estimator of bpkern.sklearn: {model!r}")
    *steps, (_, last) = steps
    net = _net_of_predictor(last)
    scaling = None
    for name, step in steps:
        scaling = _after(scaling, _scaling_of(name, step))
    return replace(net, scaling=scaling)


def _net_of_predictor(estimator: Any) -> Net:
    if not isinstance(estimator, Predictor):
        raise TypeError(
            "model must be a bpkern.MLP, a fitted MLP estimator of bpkern.sklearn, or a Pipeline of scalers "
            f"and one of these, not {estimator!r}"
        )
    net = net_of_core(core_of(estimator.model_))
    kind, classes = "regressor", None
    if not is_regressor(estimator):
        several = estimator.out_activation_ == "logistic" and estimator.n_outputs_ > 1
        kind, classes = "multilabel" if several else "classifier", np.asarray(estimator.classes_)
    if estimator.dtype is not None:
        net = with_dtype(net, estimator.dtype)
    return replace(net, final=FINAL[estimator.out_activation_], classes=classes, estimator=kind)


def _standard(step: StandardScaler) -> tuple[Any, Any, Any]:
    return step.mean_ if step.with_mean else 0.0, 1 / step.scale_ if step.with_std else 1.0, 0.0


def _min_max(step: MinMaxScaler) -> tuple[Any, Any, Any]:
    if step.clip:
        raise TypeError("MinMaxScaler(clip=True) cannot be exported")
    return step.data_min_, step.scale_, float(step.feature_range[0])


def _max_abs(step: MaxAbsScaler) -> tuple[Any, Any, Any]:
    if getattr(step, "clip", False):
        raise TypeError("MaxAbsScaler(clip=True) cannot be exported")
    return 0.0, 1 / step.scale_, 0.0


def _robust(step: RobustScaler) -> tuple[Any, Any, Any]:
    center = step.center_ if step.with_centering else 0.0
    return center, 1 / step.scale_ if step.with_scaling else 1.0, 0.0


def _table(step: TableEncoder) -> tuple[Any, Any, Any]:
    if (affine := step.__bpkern_affine__()) is None:
        raise TypeError(
            f"{step!r} can be exported to torch and safetensors, or behind another step, only if it is "
            "TableEncoder(scaling='standard') of numbers without gaps that all vary; encode tables "
            "before, by TableEncoder.transform"
        )
    return *affine, 0.0


SCALERS: dict[type, Callable[[Any], tuple[Any, Any, Any]]] = {
    StandardScaler: _standard,
    MinMaxScaler: _min_max,
    MaxAbsScaler: _max_abs,
    RobustScaler: _robust,
    TableEncoder: _table,
}


def _scaling_of(name: str, step: Any) -> Scaling:
    """The center, factor and offset of a fitted scaler. Raises TypeError for any other step."""
    if type(step) not in SCALERS:
        allowed = ", ".join(scaler.__name__ for scaler in SCALERS)
        raise TypeError(f"step {name!r} of the Pipeline must be one of {allowed}, not {step!r}")
    check_is_fitted(step)
    parts = SCALERS[type(step)](step)
    return Scaling(*(np.broadcast_to(np.asarray(p, np.float64), (step.n_features_in_,)) for p in parts))


def _after(first: Scaling | None, second: Scaling) -> Scaling:
    """One scaling that does both, in their order."""
    if first is None:
        return second
    center, factor, offset = second
    return Scaling(first.center, first.factor * factor, (first.offset - center) * factor + offset)
