"""Targets: labels of classes as numbers from 0, and values with mean 0 and deviation 1."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import _checks
from .encoder_state import Arrays, plain_texts, texts_of


class Target(NamedTuple):
    """What the outputs of a network mean.

    Attributes
    ----------
    classes : ndarray, shape (k,), or None
        Different labels: objects that are str, int64, float64 or bool. None for values.
    center, spread : float
        A value is ``center + spread * output``.
    name : str or None
        Of the column that is predicted.
    limits : (low, high) or None
        Between which values are cut.
    """

    classes: np.ndarray | None
    center: float = 0.0
    spread: float = 1.0
    name: str | None = None
    limits: tuple[float, float] | None = None

    def labels(self, numbers: np.ndarray) -> np.ndarray:
        """The labels of class numbers, or the values of outputs in float64."""
        if self.classes is not None:
            return np.asarray(self.classes[numbers])
        values = self.center + self.spread * numbers.astype(np.float64)
        return np.asarray(values if self.limits is None else np.clip(values, *self.limits))


def checked_classes(classes: Any) -> np.ndarray:
    """Labels as an array of one of the kinds of `Target`. Raises TypeError or ValueError."""
    given = classes.tolist() if hasattr(classes, "tolist") else list(classes)
    kinds = {type(label) for label in given}
    if not kinds <= {str} and not kinds <= {bool} and not kinds <= {int, float}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeError(f"classes must be texts, numbers or booleans alone, not {names}")
    if len(given) < 2 or len(set(given)) < len(given):
        raise ValueError("classes must be at least two different labels")
    if kinds == {str}:
        return np.array(given, dtype=object)
    return np.array(given, np.bool_ if kinds == {bool} else np.int64 if kinds == {int} else np.float64)


def checked_limits(limits: Any) -> tuple[float, float] | None:
    """Limits of values: two numbers in order, or None. Raises TypeError or ValueError."""
    if limits is None:
        return None
    if not isinstance(limits, (tuple, list)) or len(limits) != 2:
        raise TypeError(f"limits must be the lowest and the highest value, not {limits!r}")
    low, high = (_checks.real("a limit", limit, -math.inf) for limit in limits)
    if low > high:
        raise ValueError(f"limits must be in order, not {limits!r}")
    return low, high


def plain_target(target: Target) -> tuple[dict[str, Any], Arrays]:
    """A target for a file."""
    config: dict[str, Any] = {
        "classes": None,
        "center": target.center,
        "spread": target.spread,
        "name": target.name,
        "limits": None if target.limits is None else list(target.limits),
    }
    if target.classes is None:
        return config, {}
    if target.classes.dtype.kind == "O":
        texts = plain_texts(target.classes.tolist())
        return config | {"classes": "text"}, {f"classes.{name}": array for name, array in texts.items()}
    return config | {"classes": "numbers"}, {"classes": target.classes}


def target_of_plain(config: dict[str, Any], arrays: Arrays) -> Target:
    """The target of a file. Raises one of `state.MALFORMED`."""
    center, spread = (float(config[name]) for name in ("center", "spread"))
    if not np.isfinite([center, spread]).all():
        raise ValueError("center and spread must be finite")
    kind, name = config["classes"], config["name"]
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a text or null, not {name!r}")
    if kind is None:
        return Target(None, center, spread, name, checked_limits(config.get("limits")))
    if kind == "text":
        labels: Any = texts_of({name: arrays[f"classes.{name}"] for name in ("text", "ends")})
    elif kind == "numbers":
        labels = arrays["classes"]
        if labels.ndim != 1 or not np.isfinite(labels).all():
            raise ValueError("classes must be finite numbers")
    else:
        raise ValueError(f"classes must be 'text', 'numbers' or null, not {kind!r}")
    return Target(checked_classes(labels), center, spread, name)
