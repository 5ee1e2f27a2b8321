"""`TableNet`: a fitted encoder with its networks, from a raw table to predictions, for ONNX and C."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._model.core import core_of
from .._table.encoding import Encoding
from .._table.table_encoder import TableEncoder
from .net import Net, net_of_core

# Whole numbers are exact in float64 up to here.
MOST_WHOLE = 1 << 53


@dataclass(frozen=True)
class TableNet:
    """What is computed from a raw table.

    Attributes
    ----------
    encoder : TableEncoder
    nets : list of Net
        At least one; predictions are the mean of theirs. The kind of estimator and the labels are those of
        the first.
    center, spread : ndarray of float64, shape (out,), or None
        Of values: predictions are ``center + spread * outputs``, in float64. None: they are the outputs.
    limits : list of (ndarray or None)
        Of values, for each network: the least and the largest prediction, (2, out).

    Raises
    ------
    ValueError
        For categories that ONNX and C do not have.
    """

    encoder: TableEncoder
    nets: list[Net]
    center: np.ndarray | None
    spread: np.ndarray | None
    limits: list[np.ndarray | None]

    def __post_init__(self) -> None:
        for place in self.encoding.lookups:
            column = self.encoding.category(place)
            if column.kind == "text":
                for text in column.categories:
                    if not text.isascii() and text != text.encode(errors="replace").decode():
                        raise ValueError(f"column {self.title(place)}: a category is not Unicode: {text!a}")
            elif abs(largest := max(column.categories, key=abs)) >= MOST_WHOLE:
                raise ValueError(
                    f"column {self.title(place)}: categories must be below 2**53 in ONNX and C, where they "
                    f"are float64, and not {largest}"
                )

    def title(self, place: int) -> str:
        """A column in messages, as `Frame.title`."""
        return str(place) if self.names is None else repr(self.names[place])

    @property
    def encoding(self) -> Encoding:
        """The fitted encoding."""
        return self.encoder.__bpkern_encoding__()[0]

    @property
    def names(self) -> list[str] | None:
        """The names of the table's columns."""
        return self.encoder.__bpkern_encoding__()[1]


def table_net_of(model: Any) -> TableNet | None:
    """The encoder and the networks of a model that reads tables; None for other models.

    Those are a `TableModel`, a fitted RealMLP estimator, and a Pipeline that begins with a `TableEncoder`,
    unless that only scales numbers.

    Raises
    ------
    TypeError, ValueError
        For one that is not fitted, and for steps of a Pipeline that are no scalers.
    """
    if hasattr(type(model), "__bpkern_whole__"):
        whole = model.__bpkern_whole__()
        kind = "regressor" if whole.classes is None else "classifier"
        nets = [
            replace(net_of_core(core_of(each)), estimator=kind, classes=whole.classes)
            for each in whole.models
        ]
        return TableNet(whole.encoder, nets, whole.center, whole.spread, whole.limits)
    return _of_pipeline(model)


def _of_pipeline(model: Any) -> TableNet | None:
    if "sklearn.pipeline" not in sys.modules:
        return None
    from sklearn.pipeline import Pipeline

    if not isinstance(model, Pipeline):
        return None
    steps = [(name, step) for name, step in model.steps if step not in (None, "passthrough")]
    if len(steps) < 2:
        return None
    first = steps[0][1]
    if type(first) is not TableEncoder or first.__bpkern_affine__() is not None:
        return None
    from .estimators import net_of_estimator

    net = net_of_estimator(Pipeline(steps[1:]))
    return TableNet(first, [net], None, None, [None])
