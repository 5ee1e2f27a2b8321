"""Outputs of a model, and the classes, values and probabilities that they give."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks, _core
from .._data.rows import as_rows, bad_row
from .core import Core
from .scheduled import dropouts

# argmax returns numpy.intp, which is int64 except on 32-bit systems.
INDICES_ARE_INT64 = np.dtype(np.intp) == np.int64


def any_forward(core: Core, X: Any, layer: int | None, train: bool, out: np.ndarray | None) -> np.ndarray:
    """As `MLP.forward`, for X in any form and all arguments."""
    x = as_rows(X, core.settings.layers[0])
    try:
        if _checks.flag("train", train):
            core.net.check_trains()
            if layer is not None:
                raise ValueError("give layer or train=True, not both")
            if out is not None:
                raise ValueError("give out or train=True, not both")
            if len(x) == 0:
                raise ValueError("X has no rows")
            probabilities = dropouts(core.settings, core.net.counts[0], 1)
            return core.tape.forward(_core.Data(x), None, dropouts=probabilities)
        # 0 stands for all layers.
        layers = 0 if layer is None else _checked_layer(core, layer) + 1
        return core.net.forward_data(_core.Data(x), layers=layers, out=out)
    except _core.BadRowError as error:
        raise bad_row((x, None, None), error.row, core.settings) from None


def _checked_layer(core: Core, layer: int) -> int:
    number, last = _checks.whole("layer", layer, 0), len(core.settings.layers) - 2
    if number > last:
        raise ValueError(f"layer must be at most {last}, the last, not {number}")
    return number


def overflow(outputs: np.ndarray) -> ValueError:
    """The error for outputs (n, out) that are not all finite, from which no class or probability follows."""
    row = int(np.flatnonzero(~np.isfinite(outputs).all(axis=1))[0])
    return ValueError(
        f"the outputs of row {row} of X overflowed in {outputs.dtype.name}: scale X, train with a lower "
        "learning rate, clip_norm or l2, or use dtype='float64'; forward(X) returns them as they are"
    )


def predictions(core: Core, outputs: np.ndarray) -> np.ndarray:
    """The classes or values of finite outputs (n, out), in the form of `MLP.predict`."""
    loss = core.settings.loss
    if loss == "cross_entropy":
        classes: np.ndarray = outputs.argmax(1)
        return classes if INDICES_ARE_INT64 else classes.astype(np.int64)
    if loss == "binary_cross_entropy":
        classes = (outputs > 0).astype(np.int64)
        return classes[:, 0] if classes.shape[1] == 1 else classes
    return outputs[:, 0] if core.fitted_1d and outputs.shape[1] == 1 else outputs


def check_probabilistic(core: Core) -> None:
    """Raise ValueError if the loss is not one of the two cross-entropies."""
    if not core.settings.has_accuracy:
        raise ValueError(
            f"predict_proba is for cross_entropy and binary_cross_entropy, not {core.settings.loss}"
        )


def probabilities(core: Core, outputs: np.ndarray) -> np.ndarray:
    """The softmax or sigmoid of outputs (n, out). Raises ValueError for outputs that are not finite."""
    # In C: NumPy's exp has other bits on processors with other vector units.
    found = _core.probabilities(core.settings.loss, outputs)
    if found is None:
        raise overflow(outputs)
    return found
