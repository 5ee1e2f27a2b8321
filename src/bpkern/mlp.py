"""The trainer: `MLP` checks its arguments, keeps the generator and the history, and calls the C network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from . import _core
from .data import Rows, as_rows, as_sample_weight, as_targets, bad_row, classes_of
from .epochs import Epochs, RefusedError, mean_metrics
from .history import History
from .losses import Loss
from .optimizers import SGD
from .parameters import Weights, checked_weights, state_of, weights_of
from .progress import Progress, make_progress
from .seeding import RandomState
from .settings import FitArguments, Settings


class MLP:
    """A multilayer perceptron, trained by mini-batch gradient descent in C.

    Parameters
    ----------
    layers : sequence of int
        The sizes of the layers, input first and output last: at least two, each at least 1.
    activation : str or list of str
        Of the hidden layers: "identity", "relu", "leaky_relu", "sigmoid", "tanh", "elu", "softplus", "gelu",
        "gelu_tanh" or "silu"; one name for all of them, or a list with one a layer. relu'(0) is 0; the slope
        of leaky_relu is 0.01; elu is exp(z) - 1 below 0; gelu is z times the cumulative normal distribution,
        and gelu_tanh the approximation of it by tanh.
    output_activation : str
        Of the last layer; applied before the loss, whatever the loss. Leave it "identity" with the two
        cross-entropies, which have their own softmax or sigmoid inside.
    loss : str, loss of `bpkern.losses`, or callable
        "mse" is the mean over all elements. "squared_error" is half the sum over the outputs, mean over the
        rows. "cross_entropy" has the softmax inside: the outputs are its logits. "binary_cross_entropy" has
        the sigmoid inside, and is the mean over all elements. "mae" is the mean of the absolute differences,
        "huber" is ``losses.Huber()`` and "quantile" ``losses.Quantile()``; "poisson" is the mean of
        ``exp(output) - y * output``, for y of at least 0, the outputs being logarithms of rates.
    optimizer : bpkern.SGD, optional
        None is ``SGD(lr=0.01)``.
    dtype : {"float32", "float64"}
        What the network computes in; results come in it.
    init : {"auto"}
        Uniform weights, He's range before relu and leaky_relu, Glorot's before the others; zero biases.
    l2 : float
        Adds ``l2 * sum(W**2)`` to the loss and ``2 * l2 * W`` to the gradient, for weights and not biases.
    label_smoothing : float
        From 0 to 1, for cross_entropy: that part of each target is shared out equally among the classes.
    seed : None, int, SeedSequence or Generator
        For the initial weights, the validation split and the shuffles, in this order. A Generator is
        consumed; None takes fresh entropy.

    Attributes
    ----------
    history_ : History or None
        That of the last fit, finished or not.
    optimizer : bpkern.SGD
        Its attributes may be changed between calls.

    Raises
    ------
    ValueError, TypeError
        For sizes, names and numbers that are not allowed.
    MemoryError
        Where the parameters do not fit.

    Notes
    -----
    One thread may change a model at a time, or several may read it; a call that comes in between raises
    RuntimeError. Different models in different threads train side by side.
    """

    def __init__(
        self,
        layers: Sequence[int],
        *,
        activation: str | Sequence[str] = "relu",
        output_activation: str = "identity",
        loss: "str | Loss | Callable[..., Any]",
        optimizer: SGD | None = None,
        dtype: Any = "float32",
        init: str = "auto",
        l2: float = 0.0,
        label_smoothing: float = 0.0,
        seed: Any = None,
    ) -> None:
        self._settings = Settings(
            layers, activation, output_activation, loss, optimizer, dtype, init, l2, label_smoothing
        )
        settings = self._settings
        self._net = _core.Network(
            settings.layers,
            settings.activations,
            "squared_error" if settings.custom_loss else settings.loss,
            settings.dtype,
            settings.loss_parameters,
            settings.label_smoothing,
        )
        self._random = RandomState(seed)
        self._start()

    def reset(self) -> None:
        """Go back to the seed's initial state: weights, velocities, generator, history.

        Raises
        ------
        RuntimeError
            While another thread uses the model.
        """
        with self._net.writing():
            self._random.reset()
            self._net.clear_velocity()
            self._start()

    def _start(self) -> None:
        settings = self._settings
        self._net.set_layers(
            self._random.initial_weights(settings.layers, settings.activations, settings.dtype)
        )
        self._fitted_1d = False
        self.history_: History | None = None

    # What it is --------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[int]:
        """The sizes of the layers, input first."""
        return list(self._settings.layers)

    @property
    def loss(self) -> str:
        """The name of the loss."""
        return self._settings.loss

    @property
    def dtype(self) -> "np.dtype[Any]":
        """What the network computes in."""
        return self._settings.dtype

    @property
    def optimizer(self) -> SGD:
        """The settings of the optimiser."""
        return self._settings.optimizer

    def __repr__(self) -> str:
        return repr(self._settings)

    # Training ----------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        validation_data: tuple[Any, Any] | None = None,
        validation_split: float = 0.0,
        sample_weight: Any = None,
        verbose: Literal["auto", 0, 1] = "auto",
        n_threads: int | None = None,
    ) -> History:
        """Train for some epochs, going on from where the model is.

        Parameters
        ----------
        X : array_like, shape (n, in)
            Any real dtype, order and strides; a list, DataFrame or memmap. A numeric array is never copied
            whole: its rows are converted as they are gathered.
        y : array_like
            Regression and binary: (n, out), or (n,) where out is 1. cross_entropy: integral values (n,)
            from 0 to out - 1, or rows (n, out) that are at least 0 and sum to 1. binary_cross_entropy:
            values from 0 to 1.
        epochs : int
            0 gives an empty History.
        batch_size : int
            Rows a step; n where it is more. The last batch of an epoch may be smaller.
        shuffle : bool
            Draw a new order of the rows each epoch.
        validation_data : (X, y), optional
            Rows to take the loss and accuracy of after each epoch.
        validation_split : float
            The part of the rows to hold out for that instead; drawn at random, each class in proportion.
            The same rows are held out when the model goes on training on the same data.
        sample_weight : array_like, shape (n,), optional
            At least 0. The loss of a batch is sum(w * loss) / sum(w), and a batch of zero weight is passed
            over. Rows held out by `validation_split` are weighed by theirs.
        verbose : {"auto", 0, 1}
            "auto" draws a progress bar on a terminal only, by tqdm where that is installed; 0 is silent; 1
            shows progress anywhere, by a line an epoch on standard error.
        n_threads : int, optional
            How many threads to take, exactly, but for at most 1024, what the system has, and one for batches
            of one row through a net whose layers are all no wider than a vector. More than there are
            processors is slow, and not wrong. None takes up to `bpkern.get_num_threads()`, and fewer where
            more would lose. The result is the same to the bit at any number.

        Returns
        -------
        History
            A list of values a metric, one an epoch; also kept as ``history_``.

        Raises
        ------
        ValueError, TypeError
            For arguments that do not fit. NaN or infinity in X or y is noticed when its row is gathered: the
            model is then as of the step before.
        DivergedError
            When the loss or the weights are no longer finite.
        RuntimeError
            While another thread uses the model.
        MemoryError
            Where the workspace does not fit; nothing was changed.
        """
        sgd = self._settings.step()
        arguments = FitArguments(epochs, batch_size, shuffle, validation_data, validation_split, n_threads)
        data = self._read(X, y, sample_weight)
        validation = None
        if validation_data is not None:
            try:
                validation = self._read(*validation_data, None)
            except (ValueError, TypeError) as error:
                raise type(error)(f"validation_data: {error}") from None
        progress = make_progress(verbose)
        with self._net.writing():
            threads = self._reserve(data, arguments, sgd)
            if validation is not None or arguments.validation_split:
                self._net.reserve_reader(len((validation or data)[0]), arguments.n_threads)
            before = self._random.state(), self._fitted_1d, self.history_
            history = History()
            try:
                train_index, validation_index = self._split(data, arguments.validation_split)
                if validation_index is not None:
                    validation = data
                training = self._epochs(data, train_index, arguments, sgd, threads, progress)
                self._fitted_1d, self.history_ = np.ndim(y) == 1, history
                try:
                    progress.begin(arguments.epochs, training.rows)
                    for epoch in range(arguments.epochs):
                        metrics = training.run(epoch)
                        if validation is not None:
                            values = self._measure(validation, validation_index, arguments.n_threads)
                            metrics.update({f"val_{name}": value for name, value in values.items()})
                        history.add_epoch(metrics, training.iterations)
                        progress.epoch(epoch + 1, metrics)
                finally:
                    progress.close()
            except RefusedError as refused:
                state, self._fitted_1d, self.history_ = before
                self._random.go_back(state)
                raise refused.error from None
        return history

    def train_on_batch(self, X: Any, y: Any) -> float:
        """Make one step on these rows.

        Parameters
        ----------
        X, y : array_like
            As for `fit`; all rows are one mini-batch.

        Returns
        -------
        float
            The loss before the update, l2 included.

        Raises
        ------
        ValueError, TypeError, DivergedError, RuntimeError, MemoryError
            As for `fit`; nothing was changed.
        """
        sgd = self._settings.step()
        data = self._read(X, y, None)
        once = FitArguments(1, len(data[0]), False, None, 0.0, None)
        with self._net.writing():
            threads = self._reserve(data, once, sgd)
            try:
                metrics = self._epochs(data, None, once, sgd, threads, Progress()).run(0)
            except RefusedError as refused:
                raise refused.error from None
        self._fitted_1d = np.ndim(y) == 1
        return metrics["loss"]

    def gradients(self, X: Any, y: Any) -> tuple[float, Weights]:
        """The loss of these rows, and its gradients; nothing is changed.

        Parameters
        ----------
        X, y : array_like
            As for `fit`; all rows are one mini-batch, and room for it is made.

        Returns
        -------
        loss : float
            l2 included.
        gradients : list of (dW, db)
            Of the shapes of the weights, (out, in), and biases, (out,).

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `fit`.
        """
        data = self._read(X, y, None)
        l2 = self._settings.l2
        try:
            with self._net.reading():
                sums = [
                    (2 * l2 * w if l2 else np.zeros_like(w), np.zeros_like(b)) for w, b in self.get_weights()
                ]
                loss = self._net.gradients(_core.Data(*data), sums) + self._penalty()
        except _core.BadRowError as error:
            raise bad_row(data, error.row, self._settings.dtype) from None
        return loss, sums

    # Prediction --------------------------------------------------------------------------------------

    def forward(self, X: Any) -> np.ndarray:
        """The outputs (n, out), after `output_activation` and before the softmax or sigmoid of the loss.

        Parameters
        ----------
        X : array_like, shape (n, in)

        Returns
        -------
        ndarray, shape (n, out)

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `fit`; no rows give no rows.
        """
        x = X
        try:
            outputs = self._net.forward(X)
            if outputs is None:
                x = as_rows(X, self._settings.layers[0])
                outputs = self._net.forward_data(_core.Data(x))
            return outputs
        except _core.BadRowError as error:
            raise bad_row((x, None, None), error.row, self._settings.dtype) from None

    def predict(self, X: Any) -> np.ndarray:
        """Classes, or values.

        Parameters
        ----------
        X : array_like, shape (n, in)

        Returns
        -------
        ndarray
            cross_entropy: int64 class indices (n,). binary_cross_entropy: int64 0 or 1, (n,) where out is 1
            and (n, out) otherwise. Other losses: what `forward` gives, (n,) where the model was last trained
            on a y of one dimension. That is no part of the weights: a model that was given its weights
            predicts (n, out).

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `forward`.
        """
        outputs = self.forward(X)
        if self._settings.loss == "cross_entropy":
            return np.asarray(outputs.argmax(axis=1), np.int64)
        if self._settings.loss == "binary_cross_entropy":
            classes = (outputs > 0).astype(np.int64)
            return classes[:, 0] if classes.shape[1] == 1 else classes
        return outputs[:, 0] if self._fitted_1d else outputs

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
        outputs = self.forward(X)
        if self._settings.loss == "binary_cross_entropy":
            e = np.exp(-np.abs(outputs))
            return np.asarray(np.where(outputs < 0, e, 1) / (1 + e))
        outputs -= outputs.max(axis=1, keepdims=True)
        np.exp(outputs, out=outputs)
        outputs /= outputs.sum(axis=1, keepdims=True)
        return outputs

    def evaluate(self, X: Any, y: Any) -> dict[str, float]:
        """The mean loss over these rows and, for the two cross-entropies, the accuracy.

        Parameters
        ----------
        X, y : array_like
            As for `fit`.

        Returns
        -------
        dict
            ``{"loss": ...}`` with l2 included, and ``"accuracy"``: the part of the rows whose class is
            right, or of all outputs for binary_cross_entropy.

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `fit`.
        """
        return self._measure(self._read(X, y, None), None, None)

    # Parameters --------------------------------------------------------------------------------------

    def get_weights(self) -> Weights:
        """Copies of the parameters: [(W, b), ...], W of shape (out, in) and b of shape (out,)."""
        return self._net.get_layers()

    def set_weights(self, weights: Sequence[tuple[Any, Any]]) -> None:
        """Set all parameters, and nothing else of the model's state.

        Parameters
        ----------
        weights : sequence of (W, b)
            As `get_weights` gives them: integers and floats up to float64, finite in the model's dtype.

        Raises
        ------
        ValueError, TypeError
            For shapes, values and dtypes that do not fit; nothing was changed.
        RuntimeError
            While another thread uses the model.
        """
        self._net.set_layers(checked_weights(weights, self._settings.layers, self._settings.dtype))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the parameters under the names "0.weight", "0.bias", "1.weight", ..."""
        return state_of(self.get_weights())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set all parameters from a dictionary like that of `state_dict`.

        Parameters
        ----------
        state : mapping of str to array_like

        Raises
        ------
        ValueError, TypeError, RuntimeError
            For names that are missing or unknown, and as for `set_weights`.
        """
        self.set_weights(weights_of(state, len(self._settings.layers) - 1))

    # Inside ------------------------------------------------------------------------------------------

    def _read(self, X: Any, y: Any, sample_weight: Any) -> Rows:
        x = as_rows(X, self._settings.layers[0])
        if len(x) == 0:
            raise ValueError("X has no rows")
        return x, as_targets(y, len(x), self._settings), as_sample_weight(sample_weight, len(x))

    def _penalty(self) -> float:
        l2 = self._settings.l2
        return l2 * self._net.sum_squares() if l2 else 0.0

    def _reserve(self, data: Rows, arguments: FitArguments, sgd: SGD) -> int:
        """All the memory that training takes: what fails later leaves the model as it was. Returns how many
        threads to take."""
        rows = len(data[0])
        batch_size = min(arguments.batch_size, rows)
        if sgd.momentum:
            self._net.make_velocity()
        threads = self._net.reserve(batch_size, rows / batch_size, arguments.n_threads)
        self._net.snapshot()
        return threads

    def _split(self, data: Rows, fraction: float) -> tuple[np.ndarray | None, np.ndarray | None]:
        if not fraction:
            return None, None
        x, targets, weights = data
        parts = self._random.split(len(x), fraction, classes_of(targets, self._settings))
        if weights is not None and not all(weights[part].any() for part in parts):
            raise RefusedError(
                ValueError("sample_weight must not be 0 in every row of a part of the validation split")
            )
        return parts

    def _epochs(
        self,
        data: Rows,
        index: np.ndarray | None,
        arguments: FitArguments,
        sgd: SGD,
        threads: int,
        progress: Progress,
    ) -> Epochs:
        generator = self._random.generator if arguments.shuffle else None
        return Epochs(
            self._net, self._settings, sgd, data, index, arguments.batch_size, threads, generator, progress
        )

    def _measure(self, data: Rows, index: np.ndarray | None, n_threads: int | None) -> dict[str, float]:
        try:
            with self._net.reading():
                sums = self._net.evaluate(_core.Data(*data), index, n_threads)
                return mean_metrics(sums, self._penalty(), self._settings)
        except _core.BadRowError as error:
            raise bad_row(data, error.row, self._settings.dtype) from None
