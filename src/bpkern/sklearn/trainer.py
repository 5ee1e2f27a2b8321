"""The network behind an estimator: `bpkern.MLP` by scikit-learn's definitions, and in its order of rows."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._data.rows import Rows, as_rows, bad_row, read_rows
from .._fit.arguments import FitArguments
from .._fit.fit import Fit
from .._fit.gradients import add_penalty
from .._model.conventions import Conventions
from .._model.core import core_of
from .._model.parameters import Weights
from .._model.prediction import probabilities
from .._model.seeding import checked_order
from .._model.settings import Settings
from ..callbacks import Callback
from ..losses import Loss
from ..mlp import MLP
from ..optimizers import Optimizer

# Rows per batch of a pass over all rows for L-BFGS: the activations of so few rows stay in the second cache.
GRADIENT_ROWS = 256

Split = tuple[np.ndarray, np.ndarray | None]


class RateMode(NamedTuple):
    """scikit-learn's settings of the learning rate, as of the time when the optimiser was made."""

    name: str  # the parameter `learning_rate`
    initial: float  # `learning_rate_init`
    power: float  # `power_t`


class Orders:
    """The orders of rows that scikit-learn trains in: each is a shuffle of the one before.

    Parameters
    ----------
    random_state : RandomState
    rows : int

    Attributes
    ----------
    last : ndarray of int64, shape (rows,)
        The order of the current epoch.
    """

    def __init__(self, random_state: np.random.RandomState, rows: int) -> None:
        self._random_state = random_state
        self.last = np.arange(rows)

    def permutation(self, rows: int) -> np.ndarray:
        """The next order, shape (rows,). ValueError for a subclass of RandomState that does not shuffle."""
        places = np.arange(rows)
        self._random_state.shuffle(places)
        if type(self._random_state) is not np.random.RandomState:
            places = checked_order(places, rows)
        self.last = self.last[places]
        return self.last


class Trainer(MLP):
    """A network that trains by scikit-learn's definitions.

    Parameters
    ----------
    coefs, intercepts : list of ndarray
        The initial parameters of each layer, (in, out) and (out,).
    activation : list of str
        One per hidden layer, by this package's names.
    loss : str or bpkern.losses.Loss
        Any but "mse", which "squared_error" stands for.
    alpha : float
        Adds ``alpha / 2 * sum(W**2) / weight of the batch`` to the loss.
    optimizer : Optimizer or None
    dropout : float or list of float
    dtype : numpy.dtype
    seed : int
        For the dropout masks only.

    Attributes
    ----------
    rate_mode : RateMode or None
        How the learning rate changes after an epoch; None except for the solver "sgd".
    """

    def __init__(
        self,
        coefs: Sequence[np.ndarray],
        intercepts: Sequence[np.ndarray],
        *,
        activation: list[str],
        loss: str | Loss,
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
            init=as_weights(coefs, intercepts),
            l2=alpha / 2,
            dropout=dropout,
            seed=seed,
        )

    @staticmethod
    def __bpkern_conventions__(settings: Settings) -> Conventions:
        """scikit-learn's definitions.

        Losses are sums over the outputs, not means, except the reported squared error. The log loss is that
        of probabilities clipped to at least eps. The Poisson loss is half the deviance. alpha is divided by
        the weight of the batch. Epochs are means over the rows.
        """
        outputs = settings.layers[-1]
        # The core's other losses are means over the outputs.
        factors = {"cross_entropy": (1.0, 1.0), "squared_error": (1 / outputs, 1.0)}
        loss_factor, slope_factor = factors.get(settings.loss, (outputs, outputs))
        return Conventions(
            loss_factor,
            slope_factor,
            log_loss_cap=-math.log(np.finfo(settings.dtype).eps),
            penalty_per_weight=True,
            mean_by_rows=True,
            deviance=True,
        )

    # Parameters --------------------------------------------------------------------------------------

    def get_coefs(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Copies of the weights, each (in, out), and of the biases, each (out,)."""
        weights = self.get_weights()
        return [np.ascontiguousarray(w.T) for w, _ in weights], [b for _, b in weights]

    def set_coefs(self, coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]) -> None:
        """Set weights (in, out) and biases (out,)."""
        self.set_weights(as_weights(coefs, intercepts))

    def put_coefs(self, coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]) -> None:
        """Set weights and biases without checks: a line search may try values that are not finite."""
        weights = as_weights(coefs, intercepts)
        core_of(self).net.set_layers([(np.ascontiguousarray(w), b) for w, b in weights], finite=False)

    def take_states(self, other: "Trainer") -> None:
        """Continue with the optimiser's states of another network, in the dtype of this one.

        Raises
        ------
        ValueError
            If the other network has other layers.
        """
        check_layers(self.layers, other.layers)
        self.rate_mode = other.rate_mode
        net, source = core_of(self).net, core_of(other).net
        for store in source.stores():
            if store in ("m", "v", "u"):
                layers = source.get_layers(store)
                net.set_layers(((w.astype(self.dtype), b.astype(self.dtype)) for w, b in layers), store)
        net.counts, net.moves = source.counts, source.moves

    @property
    def rate(self) -> float:
        """The learning rate of an optimiser that has no schedule."""
        assert not callable(self.optimizer.lr)
        return self.optimizer.lr

    def change_rate(self, lr: float) -> None:
        """Change the learning rate to `lr`, above 0, as for SGD whose velocity includes the rate.

        scikit-learn's velocity is this package's times the rate at that time. When the rate changes, this
        package's velocity is rescaled so that their product stays the same.
        """
        net = core_of(self).net
        before, self.optimizer.lr = self.rate, lr
        if "m" in net.stores():
            ratio, most = before / lr, np.finfo(self.dtype).max

            def scaled(velocity: np.ndarray) -> np.ndarray:
                return np.clip(ratio * velocity.astype(np.float64), -most, most).astype(self.dtype)

            net.set_layers([(scaled(w), scaled(b)) for w, b in net.get_layers("m")], "m")

    # Runs --------------------------------------------------------------------------------------------

    def checked(self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None) -> Rows:
        """The rows in the form that training takes; raises ValueError or TypeError if they do not fit."""
        return read_rows(X, y, sample_weight, core_of(self).settings)

    def fit_of(
        self,
        data: tuple[Any, Any, Any],
        split: Split | None,
        validation: tuple[Any, ...] | None,
        callbacks: Iterable[Callback],
        *,
        epochs: int,
        batch_size: int,
        orders: Orders | None,
        n_threads: int | None,
    ) -> Fit:
        """A checked fit, as of `MLP.fit`, on the rows of (X, y, sample_weight) that the split names.

        Without a split, on all rows. `orders` gives the order of each epoch; None keeps that of the rows.
        """
        arguments = FitArguments(
            epochs=epochs,
            batch_size=batch_size,
            shuffle=orders is not None,
            validation_data=validation,
            n_threads=n_threads,
        )
        return Fit(self, *data, None, None, callbacks, 0, arguments, split=split, shuffler=orders)

    def outputs(
        self, X: Any, index: np.ndarray | None = None, *, layer: int = 0, n_threads: int | None = None
    ) -> np.ndarray:
        """The outputs (n, out) before the softmax, sigmoid or exponential, or the activations of a layer.

        Parameters
        ----------
        X : array, dense or sparse, shape (n, in)
        index : ndarray of int64, optional
            The rows to take.
        layer : int
            1 is the first hidden layer; 0 means the outputs.
        n_threads : int or None
        """
        core = core_of(self)
        x = as_rows(X, core.settings.layers[0])
        try:
            return core.net.forward_data(_core.Data(x), index, layer, n_threads)
        except _core.BadRowError as error:
            raise bad_row((x, None, None), error.row, core.settings) from None

    def probabilities(self, X: Any, n_threads: int | None) -> np.ndarray:
        """The softmax or sigmoid of the outputs, (n, out)."""
        return probabilities(core_of(self), self.outputs(X, n_threads=n_threads))

    def loss_and_gradients(self, rows: Rows, n_threads: int | None) -> tuple[float, Weights]:
        """The mean loss over rows with the penalty, and its gradients [(dW, db), ...], dW (out, in)."""
        core = core_of(self)
        weight = len(rows[0]) if rows[2] is None else rows[2].sum()
        try:
            loss, gradients, _ = core.net.gradients(_core.Data(*rows), GRADIENT_ROWS, n_threads)
        except _core.BadRowError as error:
            settings = core.settings
            raise bad_row(rows, error.row, settings) from None
        return loss + add_penalty(core.net, gradients, 0.0, core.settings.l2 / weight), gradients


def check_layers(layers: list[int], trained: list[int]) -> None:
    """Raise ValueError unless a network of these layers can continue with the states of the trained ones."""
    if layers != trained:
        raise ValueError(
            f"the optimiser's states belong to the layers {trained}, not {layers}: coefs_ may change their "
            "values, not their shapes; for other layers use fit"
        )


def as_weights(coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]) -> Weights:
    """[(W, b), ...] with W of shape (out, in), from arrays (in, out) and (out,)."""
    return [(coef.T, intercept) for coef, intercept in zip(coefs, intercepts, strict=True)]
