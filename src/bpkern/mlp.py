"""The trainer: `MLP` with its constructor, `fit` and `train_on_batch`."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from . import _core
from ._data.rows import read_rows
from ._fit.by_hand import Stepwise
from ._fit.epochs import RowEpochs
from ._fit.fit import Fit
from ._fit.steps import Watcher, make_steps
from ._model.settings import FitArguments, Settings
from .callbacks import Callback
from .history import History
from .losses import Loss
from .optimizers import Optimizer


class MLP(Stepwise):
    """A multilayer perceptron, trained by mini-batch gradient descent in C.

    >>> model = bpkern.MLP([4, 32, 3], loss="cross_entropy", optimizer=bpkern.Adam(), seed=0)
    >>> history = model.fit(X, y, epochs=50, validation_split=0.2)
    >>> model.predict(X_new)

    Parameters
    ----------
    layers : sequence of int
        The sizes of the layers, input first and output last: at least two, each at least 1.
    activation : str or list of str
        Of the hidden layers: "identity", "relu", "leaky_relu", "sigmoid", "tanh", "elu", "softplus", "gelu",
        "gelu_tanh" or "silu"; one name for all of them, or a list with one a layer. relu'(0) is 0; the slope
        of leaky_relu is 0.01; elu is exp(z) - 1 below 0; gelu is z times the cumulative normal distribution,
        and gelu_tanh the approximation of it by tanh; silu is z times the sigmoid, also known as swish.
    output_activation : str
        Of the last layer; applied before the loss, whatever the loss. Leave it "identity" with the two
        cross-entropies, which have their own softmax or sigmoid inside.
    loss : str, loss of `bpkern.losses`, or callable
        For classes: "cross_entropy", one of several, with the softmax inside: the outputs are its logits.
        "binary_cross_entropy", yes or no for each output, with the sigmoid inside; mean over all elements.

        For values, means over all elements: "mse" of the squared differences; "mae" of the absolute ones;
        "huber", which is ``losses.Huber()``, and "quantile", which is ``losses.Quantile()``; "poisson" of
        ``exp(output) - y * output``, for y of at least 0, the outputs being logarithms of rates. And
        "squared_error", half the sum over the outputs, mean over the rows.

        A callable is ``loss(outputs, y) -> (loss, gradient)``, called once a mini-batch with outputs (n, out)
        and their rows of y, of the shape that y has. It returns either losses (n,) and the gradient (n, out)
        of each row's by its outputs, or their mean and the gradient of the mean.
    optimizer : Optimizer, optional
        `bpkern.SGD`, `RMSprop`, `Adagrad`, `Adam` or `AdamW`; None is ``SGD(lr=0.01)``.
    dtype : {"float32", "float64"}
        What the network computes in; results come in it.
    init : str or sequence of (W, b)
        "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
        "orthogonal", with zero biases; or arrays, as for `set_weights`. "auto" is "he_uniform" before relu,
        leaky_relu, elu, gelu, gelu_tanh, silu and softplus, and "glorot_uniform" before the others.
    l2 : float
        Adds ``l2 * sum(W**2)`` to the loss and ``2 * l2 * W`` to the gradient, for weights and not biases.
    dropout : float or sequence of float
        The probability that an activation is dropped in training, from 0 to below 1: one for all hidden
        layers, or one a hidden layer. Those that are kept are divided by 1 less that.
    l1 : float
        Adds ``l1 * sum(abs(W))`` to the loss and ``l1 * sign(W)`` to the gradient, likewise.
    label_smoothing : float
        From 0 to 1, for cross_entropy: that part of each target is shared out equally among the classes.
    seed : None, int, SeedSequence or Generator
        For the initial weights, dropout, the validation split and the shuffles, in this order. A Generator is
        consumed; None takes fresh entropy.

    Attributes
    ----------
    history_ : History or None
        That of the last fit, finished or not.
    optimizer : Optimizer
        Its attributes may be changed between calls. Another may be put in its place, which starts without the
        states of the old one.
    stop_training : bool
        A callback sets it to end the fit after the epoch under way.

    Raises
    ------
    ValueError, TypeError
        For sizes, names and numbers that are not allowed.
    MemoryError
        Where the parameters do not fit.

    Notes
    -----
    One thread may change a model at a time, or several may read it; a call that comes in between raises
    RuntimeError. Different models in different threads train side by side; `bpkern.fit_many` does that for
    many on the same data.
    """

    def __init__(
        self,
        layers: Sequence[int],
        *,
        activation: str | Sequence[str] = "relu",
        output_activation: str = "identity",
        loss: "str | Loss | Callable[..., Any]",
        optimizer: Optimizer | None = None,
        dtype: Any = "float32",
        init: "str | Sequence[tuple[Any, Any]]" = "auto",
        l2: float = 0.0,
        dropout: float | Sequence[float] = 0.0,
        l1: float = 0.0,
        label_smoothing: float = 0.0,
        seed: Any = None,
    ) -> None:
        settings = Settings(
            layers,
            activation,
            output_activation,
            loss,
            optimizer,
            dtype,
            init,
            l2,
            dropout,
            l1,
            label_smoothing,
        )
        self._make(settings, seed)

    # Training ----------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        validation_data: tuple[Any, ...] | None = None,
        validation_split: float = 0.0,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | Literal["balanced"] | None = None,
        metrics: Any = None,
        callbacks: Callback | Iterable[Callback] = (),
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        ema: float | None = None,
        checkpoint: "str | os.PathLike[str] | None" = None,
        checkpoint_every: int = 1,
        resume: bool = False,
        verbose: Literal["auto", 0, 1] = "auto",
        n_threads: int | None = None,
    ) -> History:
        """Train for some epochs, going on from where the model is.

        Parameters
        ----------
        X : array_like, shape (n, in), or iterable of batches
            Any real dtype, order and strides; a list, DataFrame or memmap; a sparse matrix; an array of
            PyTorch or JAX on the CPU. A numeric array is never copied whole: its rows are converted as they
            are gathered. Without y, a re-iterable of (X, y) or (X, y, sample_weight), each of which is one
            mini-batch; they are fetched ahead on a thread.
        y : array_like
            Regression and binary: (n, out), or (n,) where out is 1. cross_entropy: integral values (n,)
            from 0 to out - 1, or rows (n, out) that are at least 0 and sum to 1. binary_cross_entropy:
            values from 0 to 1. poisson: values of at least 0. A loss of one's own: any numbers (n, ...).
        epochs : int
            0 gives an empty History.
        batch_size : int
            Rows a step; n where it is more. The last batch of an epoch may be smaller.
        shuffle : bool
            Draw a new order of the rows each epoch.
        validation_data : (X, y) or (X, y, sample_weight), optional
            Rows to take the loss and the metrics of after each epoch.
        validation_split : float
            The part of the rows to hold out for that instead; drawn at random, each class in proportion.
            The same rows are held out when the model goes on training on the same data.
        sample_weight : array_like, shape (n,), optional
            At least 0. The loss of a batch is sum(w * loss) / sum(w), and a batch of zero weight is passed
            over. Rows held out by `validation_split` are weighed by theirs.
        class_weight : mapping of int to float or "balanced", optional
            Multiplied into `sample_weight`: that of each class, 1 where the mapping has none; "balanced"
            gives all classes the same weight in sum.
        metrics : str, callable, or sequence of these, optional
            What else the history has, of the training data and of the validation data. For the two
            cross-entropies "accuracy", "f1", "precision" and "recall"; None is "accuracy". For other losses
            "mae", "mse", "rmse" and "r2". Or ``metric(y_true, y_pred) -> number``, known by its name. Those
            of the training data are taken of the outputs before each update, as the loss is.
        callbacks : Callback or sequence of Callback
            See `bpkern.callbacks`.
        clip_norm, clip_value : float, optional
            Scale all gradients to a norm of at most `clip_norm`; then keep each within +-`clip_value`.
        accumulate : int
            Mini-batches an update: as one of so many times the rows. What there is at an epoch's end makes
            one too.
        ema : float, optional
            Keep an average of the parameters, ``ema * average + (1 - ema) * parameters`` after each update,
            from 0 to 1. Predictions, `get_weights` and files are of the average, until a fit without one.
        checkpoint : path, optional
            An .npz or .safetensors file that gets the whole state of the fit every `checkpoint_every` epochs,
            and after the last. Another fit of the same script needs another file.
        checkpoint_every : int
            Epochs between two of them.
        resume : bool
            Go on from the checkpoint where it exists, up to the same total of epochs, to the same bits as if
            the fit had never been broken off; start from the beginning where it does not. The settings of
            model and fit must be the same, but for those of the optimiser that a callback has changed: they
            are in the file.
        verbose : {"auto", 0, 1}
            "auto" draws a progress bar on a terminal only, by tqdm where that is installed; 0 is silent; 1
            shows progress anywhere, by a line an epoch on standard error.
        n_threads : int, optional
            How many threads to take, exactly, but for at most 1024, what the system has, and one for batches
            of one row through a net whose layers are all no wider than a vector. More than there are
            processors is slow, and not wrong. None takes up to `bpkern.get_num_threads()`, and fewer where
            more would lose; fits that run side by side in several threads share them. The result is the same
            to the bit at any number.

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
        OSError
            Where a checkpoint cannot be read or written.
        """
        arguments = FitArguments(
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            validation_data=validation_data,
            validation_split=validation_split,
            clip_norm=clip_norm,
            clip_value=clip_value,
            accumulate=accumulate,
            ema=ema,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            n_threads=n_threads,
        )
        fit = Fit(self, X, y, sample_weight, class_weight, metrics, callbacks, verbose, arguments)
        with self._net.writing():
            return fit.run()

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
        settings, net = self._settings, self._net
        optimizer = settings.step()
        data = read_rows(X, y, None, settings)
        conventions = settings.conventions
        update = _core.Update(
            optimizer, settings.l1, settings.l2, None, None, 1, None, conventions.penalty_per_weight
        )
        rows = len(data[0])
        with net.writing():
            stores, counts = net.stores(), net.counts
            try:
                net.prepare(update)
                threads = _core.share_of(net.reserve(rows, 1, update, None), None)
                net.snapshot()
                steps = make_steps(net, settings, update, optimizer, rows, threads, Watcher())
                metrics = RowEpochs(net, settings, steps, False, data, None, None).run(0)
            except BaseException:
                if net.counts[0] == counts[0]:
                    net.counts = counts  # the mini-batch was none
                    net.keep_only(stores)
                else:
                    net.drop_average()
                raise
            net.drop_average()
            self._fitted_1d = np.ndim(y) == 1
        return metrics["loss"]
