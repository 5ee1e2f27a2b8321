"""The network behind an estimator: `bpkern.MLP` by scikit-learn's definitions, and in its order of rows."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._data.rows import Rows, as_rows, bad_row, read_rows
from .._fit.fit import Fit
from .._model.conventions import Conventions
from .._model.parameters import Weights
from .._model.settings import FitArguments, Settings
from ..callbacks import Callback
from ..history import History
from ..mlp import MLP
from ..optimizers import Optimizer

# Rows of a pass over all of them that L-BFGS asks for: activations of so many stay in the second cache.
GRADIENT_ROWS = 256

Split = tuple[np.ndarray, np.ndarray | None]


class RateMode(NamedTuple):
    """scikit-learn's settings of the learning rate, as they were when the optimiser was made."""

    name: str
    initial: float
    power: float


class Orders:
    """The orders that scikit-learn trains in: each is drawn from the one before.

    Parameters
    ----------
    random_state : RandomState
    rows : int

    Attributes
    ----------
    last : ndarray of int64, shape (rows,)
        That of the epoch under way.
    """

    def __init__(self, random_state: np.random.RandomState, rows: int) -> None:
        self._random_state = random_state
        self.last = np.arange(rows)

    def permutation(self, rows: int) -> np.ndarray:
        """The next."""
        places = np.arange(rows)
        self._random_state.shuffle(places)
        self.last = self.last[places]
        return self.last


def _conventions(settings: Settings) -> Conventions:
    """scikit-learn's: sums over the outputs where this package has means, but a mean in the loss that it
    reports of squared errors; log losses of probabilities that are no closer to 0 than eps; half the Poisson
    deviance; alpha over the weight of the batch; epochs as means over the rows."""
    outputs = settings.layers[-1]
    factors = {
        "cross_entropy": (1.0, 1.0),
        "binary_cross_entropy": (outputs, outputs),
        "squared_error": (1 / outputs, 1.0),
        "poisson": (outputs, outputs),
    }
    loss_factor, slope_factor = factors[settings.loss]
    most = -math.log(np.finfo(settings.dtype).eps)
    return Conventions(
        loss_factor, slope_factor, most, penalty_per_weight=True, mean_by_rows=True, deviance=True
    )


class Trainer(MLP):
    """A network that trains by scikit-learn's definitions.

    Parameters
    ----------
    coefs, intercepts : list of ndarray
        The initial ones, each (in, out) and (out,).
    activation : list of str
        One a hidden layer, by this package's names.
    loss : {"cross_entropy", "binary_cross_entropy", "squared_error", "poisson"}
    alpha : float
        Adds ``alpha / 2 * sum(W**2) / weight of the batch`` to the loss.
    optimizer : Optimizer or None
    dropout : float or list of float
    dtype : numpy.dtype
    seed : int
        Of dropout, and of nothing else.

    Attributes
    ----------
    rate_mode : RateMode or None
        How the learning rate changes after an epoch, where scikit-learn's `learning_rate` says so.
    """

    def __init__(
        self,
        coefs: Sequence[np.ndarray],
        intercepts: Sequence[np.ndarray],
        *,
        activation: list[str],
        loss: str,
        alpha: float,
        optimizer: Optimizer | None,
        dropout: Any,
        dtype: "np.dtype[Any]",
        seed: int,
    ) -> None:
        self.rate_mode: RateMode | None = None
        super().__init__(
            [coefs[0].shape[0], *(coef.shape[1] for coef in coefs)],
            activation=activation,
            loss=loss,
            optimizer=optimizer,
            dtype=dtype,
            init=_as_weights(coefs, intercepts),
            l2=alpha / 2,
            dropout=dropout,
            seed=seed,
        )

    def _make_net(self, settings: Settings) -> None:
        settings.conventions = _conventions(settings)
        super()._make_net(settings)

    # Parameters --------------------------------------------------------------------------------------

    def get_coefs(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Copies of the weights, each (in, out), and of the biases."""
        weights = self.get_weights()
        return [np.ascontiguousarray(w.T) for w, _ in weights], [b for _, b in weights]

    def set_coefs(self, coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]) -> None:
        """Set them, and nothing else."""
        self.set_weights(_as_weights(coefs, intercepts))

    def put_coefs(self, coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]) -> None:
        """The same without a look at them: a line search may come to what is not finite."""
        weights = _as_weights(coefs, intercepts)
        self._net.set_layers([(np.ascontiguousarray(w), b) for w, b in weights])

    def take_states(self, other: "Trainer") -> None:
        """Go on with the optimiser's states of another network of the same layers and dtype."""
        self.rate_mode = other.rate_mode
        for store in other._net.stores():
            if store in ("m", "v", "u"):
                self._net.set_layers(other._net.get_layers(store), store)
        self._net.counts, self._net.moves = other._net.counts, other._net.moves

    @property
    def rate(self) -> float:
        """The learning rate of an optimiser that has no schedule."""
        assert not callable(self.optimizer.lr)
        return self.optimizer.lr

    def change_rate(self, lr: float) -> None:
        """Go on with another learning rate, as SGD with the rate inside the velocity does.

        scikit-learn's velocity is this one's times the rate that was then: where the rate changes, this
        one's has to, so that their product does not.
        """
        before, self.optimizer.lr = self.rate, lr
        if "m" in self._net.stores():
            ratio, most = before / lr, np.finfo(self.dtype).max

            def scaled(velocity: np.ndarray) -> np.ndarray:
                return np.clip(ratio * velocity.astype(np.float64), -most, most).astype(self.dtype)

            velocities = [(scaled(w), scaled(b)) for w, b in self._net.get_layers("m")]
            self._net.set_layers(velocities, "m")

    # Runs --------------------------------------------------------------------------------------------

    def checked(self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None) -> Rows:
        """The rows, where they can be trained on."""
        return read_rows(X, y, sample_weight, self._settings)

    def _shuffler(self) -> Any:
        return self._orders

    def fit_of(
        self,
        data: tuple[Any, Any, Any],
        split: Split | None,
        validation: tuple[Any, ...] | None,
        callbacks: Iterable[Callback],
        *,
        epochs: int,
        batch_size: int,
        shuffle: bool,
        n_threads: int | None,
    ) -> Fit:
        """A fit, as of `MLP.fit`, of the rows of (X, y, sample_weight) that the split names: checked."""
        arguments = FitArguments(
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            validation_data=validation,
            n_threads=n_threads,
        )
        return Fit(self, *data, None, None, callbacks, 0, arguments, split)

    def run(self, fit: Fit, orders: Orders | None) -> History:
        """Train."""
        self._orders = orders
        try:
            with self._net.writing():
                return fit.run()
        finally:
            del self._orders

    def outputs(
        self, X: Any, index: np.ndarray | None = None, *, layer: int = 0, n_threads: int | None = None
    ) -> np.ndarray:
        """The outputs (n, out) before the softmax, sigmoid or exponential, or the activations of a layer."""
        x = as_rows(X, self._settings.layers[0])
        try:
            return self._net.forward_data(_core.Data(x), index, layer, n_threads)
        except _core.BadRowError as error:
            raise bad_row((x, None, None), error.row, self._settings.dtype) from None

    def loss_and_gradients(self, rows: Rows, n_threads: int | None) -> tuple[float, Weights]:
        """The mean loss over rows, the penalty included, and its gradients, W by W of shape (out, in)."""
        l2 = self._settings.l2
        weight = len(rows[0]) if rows[2] is None else rows[2].sum()
        try:
            loss, gradients = self._net.gradients(_core.Data(*rows), GRADIENT_ROWS, n_threads)
        except _core.BadRowError as error:
            raise bad_row(rows, error.row, self._settings.dtype) from None
        for (dw, _), (w, _) in zip(gradients, self._net.get_layers(), strict=True):
            dw += 2 * l2 / weight * w
        return loss + self._net.penalty(0.0, l2 / weight), gradients


def _as_weights(coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]) -> Weights:
    return [(coef.T, intercept) for coef, intercept in zip(coefs, intercepts, strict=True)]
