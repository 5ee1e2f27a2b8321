"""The arguments of one fit of `fit_many`, which can be pickled."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .._data.rows import Rows
from .._model.core import HasCore
from .._model.settings import Settings
from .arguments import FitArguments
from .callback_list import CallbackList
from .fit import Fit

# The arguments of `MLP.fit` besides X, y and those of `FitArguments`, and their defaults.
OTHERS: dict[str, Any] = {"sample_weight": None, "class_weight": None, "metrics": None, "callbacks": ()}

Read = Callable[[Any, Any, Any, Settings], Rows]


class Call:
    """One `MLP.fit` of `fit_many`.

    Parameters
    ----------
    model : MLP
    X : array_like
    split : (train, validation), optional
        As for `Fit`.
    settings : mapping
        The arguments of `MLP.fit` by name, "y" and "n_threads" included.

    Attributes
    ----------
    rows : dict
        "X", "y", "sample_weight" and "validation_data", as given.
    class_weight, metrics, callbacks, split
        As for `Fit`; `callbacks` is a list.
    arguments : dict
        The arguments of `FitArguments`, except "validation_data".

    Raises
    ------
    TypeError
        For values that are not callbacks.
    """

    def __init__(
        self,
        model: HasCore,
        X: Any,
        split: tuple[np.ndarray, np.ndarray | None] | None,
        settings: Mapping[str, Any],
    ) -> None:
        own = {**OTHERS, "validation_data": None, **settings}
        self.model, self.split = model, split
        self.rows = {"X": X} | {name: own.pop(name) for name in ("y", "sample_weight", "validation_data")}
        self.class_weight, self.metrics = own.pop("class_weight"), own.pop("metrics")
        self.callbacks = list(CallbackList(own.pop("callbacks")))  # once: an iterator would be used up
        self.arguments = own

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the rows, which go to a worker as they are."""
        return {name: value for name, value in vars(self).items() if name != "rows"}

    def fit(self, read: Read) -> Fit:
        """The checked fit; `read` reads the rows. Raises as `Fit`."""
        rows = self.rows
        return Fit(
            self.model,
            rows["X"],
            rows["y"],
            rows["sample_weight"],
            self.class_weight,
            self.metrics,
            self.callbacks,
            0,
            FitArguments(**self.arguments, validation_data=rows["validation_data"]),
            split=self.split,
            read=read,
        )
