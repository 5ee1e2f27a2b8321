"""Prediction: outputs, classes, probabilities, losses and metrics, and gradients of the loss."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks, _core
from .._data.rows import Rows, as_rows, bad_row, read_rows
from .._fit.custom_loss import row_losses
from .._fit.measuring import measure
from .._fit.metrics import make_metrics
from .core import Model, new_network
from .parameters import Weights


class Prediction(Model):
    """What a model says of rows, and how right that is."""

    def forward(self, X: Any, *, layer: int | None = None, train: bool = False) -> np.ndarray:
        """The outputs (n, out), after `output_activation` and before the softmax or sigmoid of the loss.

        Parameters
        ----------
        X : array_like, shape (n, in)
        layer : int, optional
            The activations of this layer instead: 1 is the first hidden layer, and the last one the outputs.
        train : bool
            As in training: with dropout, and so that `backward` can go back through it.

        Returns
        -------
        ndarray, shape (n, out), or (n, width of the layer)

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `fit`; no rows give no rows.
        """
        x = X
        try:
            if layer is None and train is False:
                outputs = self._net.forward(X)
                if outputs is not None:
                    return outputs
            x = as_rows(X, self._settings.layers[0])
            if _checks.flag("train", train):
                if layer is not None:
                    raise ValueError("give layer or train=True, not both")
                if len(x) == 0:
                    raise ValueError("X has no rows")
                return self._tape.forward(_core.Data(x), None)
            return self._net.forward_data(_core.Data(x), layers=0 if layer is None else self._layer(layer))
        except _core.BadRowError as error:
            raise bad_row((x, None, None), error.row, self._settings.dtype) from None

    def _layer(self, layer: int) -> int:
        number, last = _checks.whole("layer", layer, 1), len(self._settings.layers) - 1
        if number > last:
            raise ValueError(f"layer must be at most {last}, the last, not {number}")
        return number

    def predict(self, X: Any) -> np.ndarray:
        """Classes, or values.

        Parameters
        ----------
        X : array_like, shape (n, in)

        Returns
        -------
        ndarray
            cross_entropy: int64 class indices (n,). binary_cross_entropy: int64 0 or 1, (n,) where out is 1
            and (n, out) otherwise. Other losses: what `forward` gives, (n,) where out is 1 and the model was
            last trained on a y of one dimension. That is no part of the weights: a model that was given its
            weights predicts (n, out).

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `forward`.
        """
        return self._predictions(self.forward(X))

    def _predictions(self, outputs: np.ndarray) -> np.ndarray:
        """What outputs (n, out) stand for."""
        if self._settings.loss == "cross_entropy":
            return np.asarray(outputs.argmax(axis=1), np.int64)
        if self._settings.loss == "binary_cross_entropy":
            classes = (outputs > 0).astype(np.int64)
            return classes[:, 0] if classes.shape[1] == 1 else classes
        return outputs[:, 0] if self._fitted_1d and outputs.shape[1] == 1 else outputs

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities: the softmax (n, out) of cross_entropy, or the sigmoid (n, out) of
        binary_cross_entropy.

        Parameters
        ----------
        X : array_like, shape (n, in)

        Returns
        -------
        ndarray, shape (n, out)

        Raises
        ------
        ValueError
            For another loss.
        ValueError, TypeError, RuntimeError, MemoryError
            As for `forward`.
        """
        if not self._settings.has_accuracy:
            raise ValueError(
                f"predict_proba is for cross_entropy and binary_cross_entropy, not {self._settings.loss}"
            )
        return self._probabilities(self.forward(X))

    def _probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """The softmax or sigmoid of outputs, which are overwritten."""
        if self._settings.loss == "binary_cross_entropy":
            e = np.exp(-np.abs(outputs))
            return np.asarray(np.where(outputs < 0, e, 1) / (1 + e))
        outputs -= outputs.max(axis=1, keepdims=True)
        np.exp(outputs, out=outputs)
        outputs /= outputs.sum(axis=1, keepdims=True)
        return outputs

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None, metrics: Any = None) -> dict[str, float]:
        """The mean loss over these rows, and metrics: for the two cross-entropies the accuracy.

        Parameters
        ----------
        X, y, sample_weight : array_like
            As for `fit`.
        metrics : str, callable, or sequence of these, optional
            As for `fit`.

        Returns
        -------
        dict
            ``{"loss": ...}`` with the penalties included, and each metric by its name; ``"accuracy"`` is the
            part of the rows whose class is right, or of all outputs for binary_cross_entropy.

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `fit`.
        """
        settings = self._settings
        asked = make_metrics(metrics, settings.loss, settings.layers[-1])
        return measure(self, read_rows(X, y, sample_weight, settings), None, asked, None)

    def losses(self, X: Any, y: Any) -> np.ndarray:
        """The loss of each row, without penalties.

        Parameters
        ----------
        X, y : array_like
            As for `fit`.

        Returns
        -------
        ndarray of float64, shape (n,)

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `fit`; where the loss is a Python function that gives no more than the mean.
        """
        settings = self._settings
        data = read_rows(X, y, None, settings)
        try:
            if settings.custom_loss:
                outputs = self._net.forward_data(_core.Data(data[0]))
                return row_losses(settings.custom_loss, outputs, data[1], weighted=True)[0]
            losses = np.empty(len(data[0]))
            self._net.evaluate(_core.Data(*data), None, None, row_losses=losses)
            return losses
        except _core.BadRowError as error:
            raise bad_row(data, error.row, settings.dtype) from None

    def gradients(self, X: Any, y: Any) -> tuple[float, Weights]:
        """The loss of these rows, and its gradients; nothing is changed.

        Parameters
        ----------
        X, y : array_like
            As for `fit`; all rows are one mini-batch, and room for it is made.

        Returns
        -------
        loss : float
            The penalties included.
        gradients : list of (dW, db)
            Of the shapes of the weights, (out, in), and biases, (out,).

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `fit`.
        """
        settings = self._settings
        data = read_rows(X, y, None, settings)
        try:
            with self._net.reading():
                if settings.custom_loss:
                    loss, gradients = self._custom_gradients(data)
                else:
                    loss, gradients = self._net.gradients(_core.Data(*data))
                if settings.penalised:
                    part = settings.penalty_part(len(data[0]))
                    l1, l2 = part * settings.l1, part * settings.l2
                    loss += self._net.penalty(l1, l2, trained=True)
                    for (dw, _), (w, _) in zip(gradients, self._net.get_layers(), strict=True):
                        dw += 2 * l2 * w + l1 * np.sign(w)
        except _core.BadRowError as error:
            raise bad_row(data, error.row, settings.dtype) from None
        return loss, gradients

    def _custom_gradients(self, data: Rows) -> tuple[float, Weights]:
        """By another network: this model's own way back may be under way."""
        x, targets, _ = data
        assert self._settings.custom_loss is not None
        net = new_network(self._settings)
        net.set_layers(self._net.get_layers())
        tape = _core.Tape(net)
        outputs = tape.forward(_core.Data(x), None)
        losses, gradient = row_losses(self._settings.custom_loss, outputs, targets, weighted=False)
        tape.backward(np.ascontiguousarray(gradient / len(x), self._settings.dtype), False)
        return float(losses.mean()), tape.gradients()
