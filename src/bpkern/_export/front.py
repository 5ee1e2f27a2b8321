"""What stands in front of layer 0 in an exported network: embeddings and factors, with their parameters."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from ..inputs import CategoryEmbedding, NumericEmbedding, Scale

if TYPE_CHECKING:
    from .._model.input_stage import InputStage

Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Table:
    """A column of codes becomes a row of a table.

    Attributes
    ----------
    column : int
    weight : ndarray, shape (categories, dim)
    """

    column: int
    weight: np.ndarray

    def changed(self, change: Change) -> Table:
        """The same with other numbers."""
        return replace(self, weight=change(self.weight))


@dataclass(frozen=True)
class Periodic:
    """Each of some columns x becomes ``cos(x * w + b) @ v + u``, and x itself behind that.

    Attributes
    ----------
    columns : list of int
        c columns.
    w, b : ndarray, shape (c, hidden)
        w is 2 pi times the trained weight_1.
    v : ndarray, shape (c, hidden, dim - 1)
    u : ndarray, shape (c, dim - 1)
    """

    columns: list[int]
    w: np.ndarray
    b: np.ndarray
    v: np.ndarray
    u: np.ndarray

    def changed(self, change: Change) -> Periodic:
        """The same with other numbers."""
        return Periodic(self.columns, *map(change, (self.w, self.b, self.v, self.u)))


@dataclass(frozen=True)
class Front:
    """Embeddings at the places of their columns, and a factor for each of the results.

    Attributes
    ----------
    starts : list of int
        One per column of X: where its results begin among the inputs of layer 0.
    width : int
        The inputs of layer 0.
    embeddings : list of (Table or Periodic)
        Other columns stay as they are.
    scale : ndarray, shape (width,), or None
    """

    starts: list[int]
    width: int
    embeddings: list[Table | Periodic]
    scale: np.ndarray | None

    @property
    def columns(self) -> int:
        """The number of columns of X."""
        return len(self.starts)

    @property
    def plain(self) -> list[int]:
        """The columns that stay as they are."""
        taken = {
            column
            for each in self.embeddings
            for column in ([each.column] if isinstance(each, Table) else each.columns)
        }
        return [column for column in range(self.columns) if column not in taken]

    @property
    def arrays(self) -> list[np.ndarray]:
        """All numbers."""
        found = [] if self.scale is None else [self.scale]
        for each in self.embeddings:
            found += [each.weight] if isinstance(each, Table) else [each.w, each.b, each.v, each.u]
        return found

    def wrong_code(self, X: np.ndarray) -> str | None:
        """The first row and column of X with a code that no table has; None if there is none."""
        for each in self.embeddings:
            if isinstance(each, Table):
                codes, count = X[:, each.column], len(each.weight)
                wrong = np.flatnonzero(~((codes >= 0) & (codes < count) & (codes == np.floor(codes))))
                if wrong.size:
                    return f"{wrong[0]}, column {each.column}: codes are whole numbers from 0 to {count - 1}"
        return None

    def changed(self, change: Change) -> Front:
        """The same with other numbers."""
        scale = None if self.scale is None else change(self.scale)
        return replace(self, embeddings=[each.changed(change) for each in self.embeddings], scale=scale)


def front_of(stage: InputStage, named: dict[str, np.ndarray]) -> Front:
    """The inputs of a model.

    Parameters
    ----------
    stage : InputStage
    named : dict of str to ndarray
        The parameters by their names in `MLP.state_dict`.
    """
    widths, scale = [1] * stage.columns, None
    embeddings: list[Table | Periodic] = []
    for (given, columns, shapes), prefix in zip(
        stage.places, (f"inputs.{i}." for i in range(len(stage.places))), strict=True
    ):
        values = {name: named[prefix + name].copy() for name in shapes}
        if isinstance(given, Scale):
            scale = values["scale"]
            continue
        assert isinstance(given, (CategoryEmbedding, NumericEmbedding))
        for column in columns:
            widths[column] = int(given.dim)
        if isinstance(given, CategoryEmbedding):
            embeddings.append(Table(columns[0], values["weight"]))
            continue
        w = values["weight_1"]
        turns = (2 * np.pi * w.astype(np.float64)).astype(w.dtype)
        embeddings.append(Periodic(columns, turns, values["bias_1"], values["weight_2"], values["bias_2"]))
    ends = list(accumulate(widths))
    return Front([0, *ends[:-1]], ends[-1], embeddings, scale)
