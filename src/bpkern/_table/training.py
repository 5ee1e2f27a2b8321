"""A network for a table: its width, its rate and its epochs, within a time."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..callbacks import Callback, EarlyStopping
from ..mlp import MLP
from ..optimizers import AdamW
from ..schedules import Cosine

MOST_EPOCHS = 200
# The most updates: about half a minute of a network of 256 units.
MOST_STEPS = 60_000
# Rows whose epoch is timed, before the number of epochs is chosen.
TIMED = 20_000


class Deadline(Callback):
    """Ends a fit after the epoch in which a time is over."""

    def __init__(self, at: float) -> None:
        self._at = at

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        model.stop_training = model.stop_training or time.monotonic() > self._at


def train_network(
    X: np.ndarray,
    y: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    classes: int | None,
    *,
    seconds: float,
    seed: int,
    verbose: Any = "auto",
) -> MLP:
    """A network that is fitted to an encoded table, with the weights of its best epoch.

    Parameters
    ----------
    X : ndarray, shape (n, in)
    y : ndarray, shape (n,)
        Class numbers, or values of about mean 0 and deviation 1.
    validation : (X, y)
        The rows that choose the epoch.
    classes : int or None
        The number of classes; None for values.
    seconds : float
        About the longest time.
    seed : int
    verbose : various
        As for `MLP.fit`.
    """
    batch = 32 if len(X) < 4_000 else 128 if len(X) < 40_000 else 512
    steps = -(-len(X) // batch)
    epochs = max(1, min(MOST_EPOCHS, MOST_STEPS // steps))
    needed = _epoch_seconds(X, y, validation, classes, batch, seed)
    if needed * epochs > 0.9 * seconds:
        epochs = max(1, int(0.9 * seconds / needed))
    warmup = min(steps, epochs * steps - 1)
    model = _new(X, classes, Cosine(_rate(batch), epochs * steps, warmup=warmup), seed)
    model.fit(
        X,
        y,
        epochs=epochs,
        batch_size=batch,
        validation_data=validation,
        # The rate falls to 0, so all epochs are run; the best one is kept.
        callbacks=[EarlyStopping(patience=epochs), Deadline(time.monotonic() + seconds)],
        verbose=verbose,
    )
    return model


def _new(X: np.ndarray, classes: int | None, rate: Any, seed: int) -> MLP:
    width = 64 if len(X) < 1_000 else 128 if len(X) < 20_000 else 256
    outputs, loss = (1, "mse") if classes is None else (classes, "cross_entropy")
    if classes == 2:
        outputs, loss = 1, "binary_cross_entropy"
    return MLP(
        [X.shape[1], width, width, outputs],
        activation="silu",
        loss=loss,
        optimizer=AdamW(lr=rate, weight_decay=0.01),
        dropout=0.1,
        seed=seed,
    )


def _rate(batch: int) -> float:
    return 2e-3 * math.sqrt(batch / 32)


def _epoch_seconds(
    X: np.ndarray,
    y: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    classes: int | None,
    batch: int,
    seed: int,
) -> float:
    """The time of an epoch, measured on some rows."""
    rows = slice(0, TIMED)
    model = _new(X, classes, 0.0, seed)
    model.fit(X[:batch], y[:batch], batch_size=batch, verbose=0)  # without the time of the first call
    held_out = validation[0][rows], validation[1][rows]
    began = time.monotonic()
    model.fit(X[rows], y[rows], batch_size=batch, validation_data=held_out, verbose=0)
    seconds: float = time.monotonic() - began
    return seconds * max(1.0, len(X) / TIMED)
