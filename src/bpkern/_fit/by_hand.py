"""Training by hand, for losses that are no function of outputs and targets: as in reinforcement learning."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._model.prediction import Prediction
from .._model.settings import limit
from ..errors import DivergedError
from ..schedules import rate


class Stepwise(Prediction):
    """Forward, back and a step of the optimiser, one by one.

    >>> outputs = model.forward(X, train=True)
    >>> model.backward(gradient_of_my_loss(outputs) / len(X))
    >>> model.step()
    """

    def backward(self, grad_output: Any, *, input_gradient: bool = True) -> np.ndarray | None:
        """Go back through the last ``forward(X, train=True)``.

        The gradients of the parameters are added to those of earlier calls since the last `step`.

        Parameters
        ----------
        grad_output : array_like, shape (n, out)
            The derivative of the loss by the outputs; of a mean over the rows it carries the 1/n.
        input_gradient : bool
            Whether the derivative by X is wanted as well.

        Returns
        -------
        ndarray, shape (n, in), or None
            The derivative of the loss by X.

        Raises
        ------
        ValueError, TypeError
            For another shape, and for what are no real finite numbers.
        RuntimeError
            Without a forward pass to go back through, or while another thread uses the model.
        """
        gradient = np.asarray(grad_output)
        if gradient.dtype.kind not in "biuf":
            raise TypeError(f"grad_output must hold real numbers, not dtype {gradient.dtype}")
        with np.errstate(over="ignore"):
            gradient = np.require(gradient, self._settings.dtype, ["C", "A"])
        if not np.isfinite(gradient).all():
            raise ValueError(f"grad_output must be finite in {self._settings.dtype.name}")
        return self._tape.backward(gradient, input_gradient)

    def step(self, *, clip_norm: float | None = None, clip_value: float | None = None) -> None:
        """Make an update by the gradients of `backward`, penalties included, and forget them.

        Parameters
        ----------
        clip_norm, clip_value : float, optional
            As for `fit`.

        Raises
        ------
        ValueError, TypeError
            For arguments that do not fit.
        DivergedError
            Where the parameters are no longer finite: the model is as before, but for the gradients, which
            are forgotten.
        RuntimeError
            Without gradients, or while another thread uses the model.
        MemoryError
            Where there is no room for the optimiser's states.
        """
        settings, net = self._settings, self._net
        optimizer = settings.step()
        update = _core.Update(
            optimizer,
            settings.l1,
            settings.l2,
            limit("clip_norm", clip_norm),
            limit("clip_value", clip_value),
            1,
            None,
        )
        with net.writing():
            net.snapshot()
            first = net.counts[0]
            self._tape.update(update, rate(optimizer.lr, first), 1.0)
            if not net.finite():
                net.restore()
                raise DivergedError(
                    f"the weights overflowed: lower the learning rate (lr={optimizer.lr}), clip the "
                    "gradients (clip_norm), or scale X",
                    0,
                    first,
                )
            net.drop_average()
