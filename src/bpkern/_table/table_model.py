"""`TableModel`: a network with its encoder and labels, from raw tables to predictions, also in one file."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np

from .. import _checks
from .._files import container, model_file
from .._files.state import MALFORMED
from .._model.core import core_of
from ..mlp import MLP
from .labels import Target, checked_classes, checked_limits, plain_target, target_of_plain
from .table_encoder import TableEncoder

# Of what stands in a file for the encoder and the labels, beside the network.
KEY, PREFIX = "table", "table."


class Whole(NamedTuple):
    """What reads tables and predicts, for exports.

    Attributes
    ----------
    encoder : TableEncoder
    models : list of MLP
    classes : ndarray or None
        The labels; None for values.
    center, spread : ndarray of float64, shape (out,), or None
        Of values; None for classes.
    limits : list of (ndarray or None)
        Of values, for each model: (2, out).
    """

    encoder: TableEncoder
    models: list[MLP]
    classes: np.ndarray | None
    center: np.ndarray | None
    spread: np.ndarray | None
    limits: list[np.ndarray | None]


class TableModel:
    """A network with its encoder: predictions from raw tables, and all of it in one file.

    >>> whole = TableModel(encoder, model, classes=["no", "yes"])
    >>> whole.save("model.npz")
    >>> TableModel.load("model.npz").predict(new_table)

    Parameters
    ----------
    encoder : TableEncoder
        Fitted.
    model : MLP or estimator of `bpkern.sklearn`
        With as many inputs as the encoder has results. Of a fitted estimator, `model_` and `classes_`.
    classes : sequence of str, int, float or bool, optional
        The label of each class; by default an estimator's, and otherwise the numbers of the classes.
    center, spread : float
        Of values: predictions are ``center + spread * output``, with a spread above 0.
    target : str, optional
        The name of the column that it predicts.
    limits : (low, high), optional
        Of values: predictions beyond them are cut. Those of RealMLP are the range of its training rows.

    Attributes
    ----------
    encoder : TableEncoder
        What reads the tables.
    model : MLP
        What computes the outputs.
    classes_ : ndarray or None
        The labels; None for values.
    target : str or None
        The name of the column that it predicts.

    Raises
    ------
    TypeError, ValueError
        For other objects, an encoder or estimator that is not fitted, and numbers that do not fit.
    """

    __module__ = "bpkern.preprocessing"  # where users import it, and pickles find it

    def __init__(
        self,
        encoder: TableEncoder,
        model: Any,
        *,
        classes: Any = None,
        center: float = 0.0,
        spread: float = 1.0,
        target: str | None = None,
        limits: tuple[float, float] | None = None,
    ) -> None:
        if not isinstance(encoder, TableEncoder):
            raise TypeError(f"encoder must be a bpkern.preprocessing.TableEncoder, not {encoder!r}")
        if classes is None:
            classes = getattr(model, "classes_", None)
        model = model if isinstance(model, MLP) else getattr(model, "model_", model)
        if not isinstance(model, MLP):
            raise TypeError(
                f"model must be a bpkern.MLP or a fitted estimator of bpkern.sklearn, not {model!r}"
            )
        count = len(encoder.get_feature_names_out())
        if model.layers[0] != count:
            raise ValueError(f"the encoder has {count} results, and the model {model.layers[0]} inputs")
        self.encoder, self.model = encoder, model
        center, spread = _checks.real("center", center, -math.inf), _checks.positive("spread", spread)
        labels = _classes_for(model, classes)
        limits = checked_limits(limits)
        if labels is not None and (center, spread, limits) != (0, 1, None):
            raise ValueError(f"center, spread and limits are for models of values, not for {model.loss}")
        self._target = Target(labels, center, spread, target, limits)

    @property
    def target(self) -> str | None:
        """The name of the column that it predicts."""
        return self._target.name

    @property
    def classes_(self) -> np.ndarray | None:
        """The labels; None for values."""
        return self._target.classes

    def __repr__(self) -> str:
        return f"TableModel({self.encoder!r}, {self.model!r})"

    def predict(self, X: Any) -> np.ndarray:
        """The labels or values of the rows of a table.

        Parameters
        ----------
        X : table
            With the encoder's columns, in their order.

        Returns
        -------
        ndarray, shape (n,) or (n, out)
            Labels of `classes_`, or values as float64.

        Raises
        ------
        ValueError, TypeError
            As `TableEncoder.transform`.
        """
        return self._of_blocks(X, lambda block: self._target.labels(self.model.predict(block)))

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class.

        Parameters
        ----------
        X : table
            As for `predict`.

        Returns
        -------
        ndarray, shape (n, classes)
            In the order of `classes_`.

        Raises
        ------
        ValueError, TypeError
            As `TableEncoder.transform`, and for a model of values.
        """
        return self._of_blocks(X, self._probabilities)

    def _of_blocks(self, X: Any, predict: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """What is predicted for the rows of a table, which are encoded a block at a time."""
        return self.encoder.__bpkern_by_blocks__(self.encoder.__bpkern_frame__(X), predict)

    def _probabilities(self, encoded: np.ndarray) -> np.ndarray:
        found = self.model.predict_proba(encoded)
        return np.hstack([1 - found, found]) if found.shape[1] == 1 else found

    def __bpkern_predictions__(self, encoded: np.ndarray) -> np.ndarray:
        """Probabilities, or values, of rows that are encoded."""
        if self.classes_ is not None:
            return self._probabilities(encoded)
        return self._target.labels(self.model.predict(encoded))

    def __bpkern_answers__(self, X: Any) -> np.ndarray:
        """Probabilities, or values, of the rows of a table."""
        return self._of_blocks(X, self.__bpkern_predictions__)

    def __bpkern_whole__(self) -> Whole:
        """Encoder, network and meaning, for exports."""
        target, outputs = self._target, self.model.layers[-1]
        if target.classes is not None:
            return Whole(self.encoder, [self.model], target.classes, None, None, [None])
        center, spread = (np.full(outputs, number) for number in (target.center, target.spread))
        limits = None
        if target.limits is not None:
            limits = np.repeat(np.array(target.limits)[:, None], outputs, axis=1)
        return Whole(self.encoder, [self.model], None, center, spread, [limits])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write network, encoder and labels to one file, which `MLP.load` reads as the network alone.

        Parameters
        ----------
        path : str or path
            An .npz or .safetensors file.

        Raises
        ------
        ValueError, TypeError, OSError, ModuleNotFoundError, RuntimeError
            As `MLP.save`.
        """
        config, arrays = self.encoder.__bpkern_plain__()
        own, labels = plain_target(self._target)
        arrays = {f"{PREFIX}{name}": array for name, array in (arrays | labels).items()}
        model_file.save(core_of(self.model), path, ({KEY: config | {"target": own}}, arrays))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, loss: Any = None, optimizer: Any = None) -> Self:
        """The model of a file that `save` has written. No code in it is run.

        Parameters
        ----------
        path : str or path
            An .npz or .safetensors file.
        loss, optimizer : callable, Optimizer
            As for `MLP.load`, for what no file can hold: a loss or a learning rate that is a Python function.

        Returns
        -------
        TableModel

        Raises
        ------
        ValueError, TypeError
            For a file that is damaged or of another kind, and for one of a network without an encoder.
        OSError
            If the file cannot be read, or is not a regular file.
        ModuleNotFoundError
            For .safetensors without that library.
        """
        config, arrays = container.read(path)
        core = model_file.core_of_contents(path, config, arrays, loss, optimizer, MLP.__bpkern_conventions__)
        if KEY not in config:
            raise ValueError(f"{os.fspath(path)} holds a network without an encoder: MLP.load reads it")
        table = {
            name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)
        }
        try:
            encoder = TableEncoder.__bpkern_of_plain__(config[KEY], table)
            target = target_of_plain(config[KEY]["target"], table)
            model = MLP.__bpkern_over__(core)
            return cls(
                encoder,
                model,
                classes=target.classes,
                center=target.center,
                spread=target.spread,
                target=target.name,
                limits=target.limits,
            )
        except MALFORMED as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error


def holds_table(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one of `TableModel.save`. Raises as `TableModel.load`."""
    return KEY in container.read(path)[0]


def _classes_for(model: MLP, classes: Any) -> np.ndarray | None:
    """The labels for the classes of a model. Raises TypeError or ValueError for others."""
    outputs = model.layers[-1]
    if model.loss == "binary_cross_entropy" and outputs > 1:
        raise ValueError(
            "models of several yes or no are not supported: give one with one output, or classes"
        )
    count = {"cross_entropy": outputs, "binary_cross_entropy": 2}.get(model.loss)
    if count is None:
        if classes is not None:
            raise ValueError(f"classes are for the cross-entropies, not for {model.loss}")
        return None
    found = np.arange(count) if classes is None else checked_classes(classes)
    if len(found) != count:
        raise ValueError(f"classes must be {count} labels, not {len(found)}")
    return found
