"""The fingerprint of a fit: what must be the same when a fit resumes from its checkpoint."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .._data.digest import digest_of
from .._data.rows import Rows
from .arguments import FitArguments

# The arguments of `fit` that determine its bits, besides data, metrics and `batch_size`.
ARGUMENTS = ("shuffle", "accumulate", "drop_last", "clip_norm", "clip_value", "ema", "validation_split")


class Fingerprint(NamedTuple):
    """What a checkpoint holds of the call of `fit`, in values that JSON returns unchanged.

    Attributes
    ----------
    settings : dict
        Values by the names of the arguments, and the seed of the model if it is a number.
    data : dict of str to str or None
        Digests of the data by the names of the arguments.
    columns : list of str
        The names that the fit adds to its history.
    """

    settings: dict[str, Any]
    data: dict[str, str | None]
    columns: list[str]

    def check(self, settings: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        """Raise ValueError, which names the difference, unless those of a checkpoint are the same.

        A name that only one of the two has is not compared.
        """
        for name, own in self.settings.items():
            other = settings.get(name, own)
            # The seed is unknown unless it was given as a number.
            if other != own and not (name == "seed" and None in (own, other)):
                raise ValueError(f"it is of a fit with {name}={other!r}, and this one has {own!r}")
        for name, digest in self.data.items():
            if data.get(name, digest) != digest:
                raise ValueError(f"it is of a fit with another {name}; MLP.load reads it as a model")


def fingerprint(
    arguments: FitArguments,
    seed: int | None,
    metrics: Iterable[str],
    data: Rows | None,
    weights: np.ndarray | None,
    validation: Rows | None,
    split: Iterable[np.ndarray | None],
) -> Fingerprint:
    """The fingerprint of a fit.

    Parameters
    ----------
    arguments : FitArguments
    seed : int or None
    metrics : iterable of str
        The names of the metrics, without the loss.
    data : Rows or None
        Without class weights; None for a stream, whose batches are not compared.
    weights : ndarray or None
        With class weights, the weights of the rows, or for a stream those of the classes; otherwise None.
    validation : Rows or None
        The validation data, if they are not rows of `data`.
    split : iterable of ndarray or None
        The rows to train on, and those to validate on or None; empty without a split.
    """
    settings = {name: getattr(arguments, name) for name in ARGUMENTS}
    settings["batch_size"] = None if data is None else min(arguments.batch_size, len(data[0]))
    settings["metrics"] = list(metrics)
    settings["seed"] = seed
    x, y, sample_weight = (None, None, None) if data is None else data
    of_rows: dict[str, Any] = {"X": x, "y": y, "sample_weight": sample_weight, "class_weight": weights}
    digests = {name: None if array is None else digest_of(array) for name, array in of_rows.items()}
    of_validation: tuple[Any, ...] = () if validation is None else validation
    digests["validation_data"] = digest_of(*of_validation) if of_validation else None
    parts = list(split)
    digests["split"] = digest_of(*parts) if parts else None
    names = ["loss", *settings["metrics"]]
    validated = validation is not None or arguments.validation_split or (parts and parts[1] is not None)
    return Fingerprint(settings, digests, [*names, *(f"val_{name}" for name in names if validated)])
