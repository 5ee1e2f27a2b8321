"""What training would do, number by number: `MLP.trace` returns a `Trace`, of each `Step` and `Layer`."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from . import _checks
from ._seeing.trace_data import Layer, Step, TraceData

if TYPE_CHECKING:
    from ._seeing.trace_explanation import Explanation

__all__ = ["Layer", "Step", "Trace"]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)


class Trace(TraceData):
    """The training steps that a model would make on some rows, with every number: see `MLP.trace`.

    ``print(trace)`` shows all numbers of a small network with their formulas.

    >>> trace = model.trace(X, y)
    >>> trace.steps[0].layers[1].dW
    >>> trace.explain("layers[1].W[0, 0]")
    >>> trace.save("trace.json")

    Attributes
    ----------
    steps : tuple of Step
        One per update, all on the same rows.
    sizes : tuple of int
        The sizes of the layers, input first.
    activations : tuple of str
        One per layer after the input.
    dropout : tuple of (float or schedule)
        The probabilities, one per layer after the input; 0 for the output. Each layer of a step has the
        number.
    loss : str
        The name of the loss; "custom" for a Python function.
    loss_parameters : ndarray of float64, shape (out,), or None
        The parameter of huber or quantile, for each output.
    label_smoothing, l1, l2 : float
    optimizer : Optimizer
        A copy of the optimiser.
    dtype : numpy.dtype
    targets : ndarray, shape (n, out)
        y as the loss reads it: labels as rows of one 1 and zeros. For a Python loss, y itself.
    row_weights : ndarray of float64, shape (n,)
        The factor of each row in the mean over the rows: 1/n, or its sample weight divided by their sum.
    bias : tuple of bool
        Whether each layer has biases. The arrays b and db of others are zeros.
    groups : tuple of (weights, biases)
        One pair per layer; each has ``.lr`` and ``.weight_decay``, the factors of the optimiser's settings,
        and ``.frozen``, as `MLP.freeze` and `MLP.set_factors` have set them.
    """

    if not TYPE_CHECKING:  # checkers would take any attribute to be there

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError, with where the number of that name is."""
            from ._attributes import unknown_attribute  # only for an error

            raise unknown_attribute("Trace", name, self)

    def __repr__(self) -> str:
        sizes, losses = "-".join(map(str, self.sizes)), [step.loss for step in self.steps]
        last = f" to {losses[-1]:.6g}" if len(losses) > 1 else ""
        return (
            f"<Trace of MLP {sizes}: rows {len(self.row_weights)}, steps {len(losses)}, "
            f"loss {losses[0]:.6g}{last}>"
        )

    def __str__(self) -> str:
        from ._seeing.trace_text import text_of

        return text_of(self)

    def explain(self, name: str, *, step: int = 0, terms: int = 10) -> Explanation:
        """A derivative of the loss by the chain rule: a sum of products of local derivatives.

        The sum is over the rows, and over the paths from the loss to the number.

        >>> print(trace.explain("layers[1].W[0, 0]"))

        Parameters
        ----------
        name : str
            A number of a layer: ``layers[l].W[j, i]`` and ``layers[l].b[j]`` for the derivatives of the loss
            by a weight from input i to unit j and by a bias; ``layers[l].x[r, i]``, ``layers[l].z[r, j]`` and
            ``layers[l].a[r, j]`` for those by an input, a weighted sum and an activation of row r. dW, db, dx
            and delta are the same as W, b, x and z. The row may be left out if there is only one.
        step : int
            The number of the step, from 0.
        terms : int
            The most products to list. The remaining ones are counted, and their sum is shown.

        Returns
        -------
        Explanation
            Its `str` is text; it has ``.latex()`` and ``.html()``, and notebooks show it.

        Raises
        ------
        ValueError, TypeError
            For a name or number that does not exist.
        """
        from ._seeing.trace_explain import explain

        return explain(self, name, step, terms)

    def to_dict(self) -> dict[str, Any]:
        """All numbers as lists, strings and numbers of Python, for JSON.

        Returns
        -------
        dict
            "version" is 1, and will change with the form of the rest. "model" has the settings of the model,
            and each step and layer has its attributes by their names. States are under "states" and
            "new_states" by name, as ``{"W": ..., "b": ...}``.
        """
        from ._seeing.trace_json import dict_of

        return dict_of(self)

    def save(self, path: str | os.PathLike[str], *, step: int = 0, row: int | Literal["mean"] = 0) -> None:
        """Write the trace to a file, completely or not at all.

        Networks of up to 8 units in a layer, 100 weights and 8 layers are drawn unit by unit; all others as
        layers with heat maps of W, dW, the change of W, z, a and δ of all rows. The page goes through
        forward, backward and update by buttons and keys, and through the training steps by a slider: at most
        50 of them, evenly spread. It is one file that needs no other.

        Parameters
        ----------
        path : str or path
            Its suffix names the form: ".svg" is a picture, ".html" the page, ".json" is `to_dict`, in which
            numbers that are not finite are null, and ".txt" the text of ``print(trace)``.
        step : int
            The step that ".svg" shows; the other forms have all.
        row : int or "mean"
            The row whose inputs, z, a and δ a drawing shows. For "mean", inputs, z and a are means over the
            rows by their weights, and derivatives are sums. dW and db are always those of all rows.

        Raises
        ------
        ValueError
            For another suffix, or a step or row that does not exist.
        TypeError
            If `path` is not a path, or `step` or `row` not a whole number.
        OSError
            If the file cannot be written; an old file is unchanged.
        """
        from ._seeing import trace_page
        from ._seeing.saving import save
        from ._seeing.trace_json import json_of

        number, shown = _checks.whole("step", step, 0, len(self.steps) - 1), trace_page.checked_row(self, row)
        forms = {
            ".svg": lambda: trace_page.picture(self, number, shown),
            ".html": lambda: trace_page.page(self, shown),
            ".json": lambda: json_of(self),
            ".txt": lambda: str(self),
        }
        save(path, forms)

    def _repr_html_(self) -> str:
        from ._seeing.trace_page import in_notebook

        return in_notebook(self)
