"""`MLP`: the trainer's public face."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np

from . import _checks, _core
from ._arguments import proposes_arguments
from ._data.rows import bad_row
from ._fit import batch, by_hand, gradients, measuring
from ._fit.arguments import FitArguments
from ._fit.fit import SHORT, Fit
from ._model.conventions import Conventions
from ._model.core import Core, core_of
from ._model.groups import frozen, listed, with_factors, with_ntk_factors
from ._model.parameters import Weights, checked_mapping, extra_of, weights_of, without_gaps
from ._model.prediction import (
    any_forward,
    check_probabilistic,
    overflow,
    predictions,
    probabilities,
)
from ._model.seeding import RandomState
from ._model.settings import Settings
from .activations import Activation
from .callbacks import Callback
from .history import History
from .losses import Loss
from .optimizers import Optimizer
from .schedules import Schedule

if TYPE_CHECKING:
    from ._model.summary import Summary
    from .inputs import Input
    from .trace import Trace


class MLP:
    """A multilayer perceptron, trained by mini-batch gradient descent in C.

    >>> model = bpkern.MLP([4, 32, 3], loss="cross_entropy", optimizer=bpkern.Adam(), seed=0)
    >>> history = model.fit(X, y, epochs=50, validation_split=0.2)
    >>> model.predict(X_new)

    Parameters
    ----------
    layers : sequence of int
        The sizes of the layers, input first and output last: at least two, each at least 1.
    activation : str, activation of `bpkern.activations`, or list of these
        Of the hidden layers: "identity", "relu", "leaky_relu", "sigmoid", "tanh", "elu", "selu", "softplus",
        "gelu", "gelu_tanh", "silu" or "mish"; one name for all of them, or a list with one name per hidden
        layer. relu'(0) is 0; leaky_relu is 0.01 z below 0, or another slope by
        ``activations.LeakyReLU(0.2)``, which may be written "leaky_relu(0.2)"; elu is exp(z) - 1 below 0, and
        selu is elu with the published scales; gelu is z times the cumulative normal distribution, and
        gelu_tanh its approximation by tanh; silu is z times the sigmoid, also known as swish; mish is z times
        tanh(softplus(z)). ``activations.Parametric("selu")`` has a trained share of its function for
        each unit.
    output_activation : str or activation of `bpkern.activations`
        Of the last layer, applied before any loss. Leave it "identity" with the two cross-entropies, which
        contain their own softmax or sigmoid.
    loss : str, loss of `bpkern.losses`, or callable
        For classes: "cross_entropy" for one of several classes; it contains the softmax, so the outputs are
        its logits. "binary_cross_entropy" for yes or no in each output; it contains the sigmoid, and is the
        mean over all elements.

        For values, means over all elements: "mse" of the squared differences; "mae" of the absolute
        differences; "huber", which is ``losses.Huber()``; "quantile", which is ``losses.Quantile()``;
        "log_cosh" of ``log(cosh(output - y))``; "poisson" of ``exp(output) - y * output``, for y of at least
        0, where the outputs are logarithms of rates; and, for y of 1 and -1, "hinge" of ``max(0, 1 - y *
        output)`` and "squared_hinge" of its square. And "squared_error": half the sum of squares over the
        outputs, mean over the rows.

        A callable ``loss(outputs, y) -> (loss, gradient)`` is called once per mini-batch with outputs (n,
        out), which are a copy, and the same rows of y, in y's shape and read-only. It returns either losses
        (n,) and the gradient (n, out) of each row's loss by its outputs, or the mean of the losses and the
        gradient of the mean.
    optimizer : Optimizer or str, optional
        `bpkern.SGD`, `RMSprop`, `Adagrad`, `Adam`, `AdamW` or `NAdam`; None is ``SGD(lr=0.01)``. Or a name,
        "sgd", "rmsprop", "adagrad", "adam", "adamw" or "nadam", which is that optimiser with its default
        settings.
    dtype : {"float32", "float64"}
        The type of all computations and results.
    init : str, (str, float), or sequence
        "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal" or
        "orthogonal", with zero biases; or "glorot_biased", which "auto" means: "glorot_uniform" with biases
        uniform on ±1/sqrt(inputs of the layer). A pair (name, gain) multiplies the weights by the gain, which
        is above 0. A list has a name or a pair for each layer, the output layer included,
        as in ``["he_normal", ("orthogonal", 0.01)]``; or it has pairs of arrays (W, b), as for `set_weights`.
    l2 : float
        Adds ``l2 * sum(W**2)`` to the loss and ``2 * l2 * W`` to the gradient, for weights but not for
        biases.
    dropout : float, schedule of `bpkern.schedules`, or sequence of them
        The probability that a hidden activation is dropped in training, from 0 to below 1: one for all hidden
        layers, or one per hidden layer. Activations that are kept are divided by 1 minus the probability. A
        schedule gives the probability in each mini-batch, by the number of updates that the model has made.
    l1 : float
        Adds ``l1 * sum(abs(W))`` to the loss and ``l1 * sign(W)`` to the gradient, for weights but not for
        biases.
    label_smoothing : float
        From 0 to 1, for the two cross-entropies: this part of each target is distributed equally over all
        classes, or over the two of each output of binary_cross_entropy.
    bias : bool or sequence of bool
        Whether layers have biases: one flag for all layers, or one per layer, the output included. A layer
        without is PyTorch's ``Linear(bias=False)``: `state_dict` has no "0.bias" for it, `load_state_dict`
        takes none, and `bpkern.export.to_torch` makes such a Linear. `get_weights` and `gradients` keep
        their pairs, with b and db of zeros; `set_weights` takes None or zeros for b.
    inputs : sequence of `bpkern.inputs.Input`
        What stands in front of the first layer and is trained with it: embeddings of columns, and factors.
        ``layers[0]`` is the number of columns of X; W of the first layer has as many columns as the inputs
        have outputs. Not with `input_dropout`; and `compress`, `trace`, exports to torch and safetensors, and
        fits with `shards` or `comm` refuse a model with inputs.
    input_dropout : float or schedule
        As `dropout`, for the inputs: the probability that a number of a row is dropped in training. Not for a
        model with `inputs`.
    seed : None, int, SeedSequence or Generator
        For the initial weights, dropout, the validation split and the shuffles, in this order. A Generator is
        used and advanced; None takes fresh entropy. What a subclass of Generator returns is checked.

    Attributes
    ----------
    layers : list of int
        A copy of the sizes of the layers, input first.
    loss : str
        The name of the loss; "custom" for a Python function.
    dtype : numpy.dtype
        float32 or float64, the type of all computations and results.
    compressed : str or None
        "bfloat16", the type in which `compress` has stored the weights; None for a model that can train.
    history_ : History or None
        The history of the last fit, finished or not.
    optimizer : Optimizer
        Its attributes may be changed between calls. Another optimiser, or its name, may be assigned; it
        starts without the states of the old one.
    stop_training : bool
        A callback sets it to end the fit after the current epoch.

    Raises
    ------
    ValueError, TypeError
        For sizes, names and numbers that are not allowed.
    MemoryError
        If there is no memory for the parameters.

    Notes
    -----
    Either one thread at a time may change a model, or several threads may read it; any other call meanwhile
    raises RuntimeError. Different models may train in different threads; `bpkern.fit_many` trains many models
    on the same data in this way.
    """

    _core: Core

    @proposes_arguments("MLP")
    def __init__(
        self,
        layers: Sequence[int],
        *,
        activation: str | Activation | Sequence[str | Activation] = "relu",
        output_activation: str | Activation = "identity",
        loss: str | Loss | Callable[..., Any],
        optimizer: Optimizer | str | None = None,
        dtype: Any = "float32",
        init: str | tuple[str, float] | Sequence[str | tuple[Any, Any]] = "auto",
        l2: float = 0.0,
        dropout: float | Schedule | Sequence[float | Schedule] = 0.0,
        l1: float = 0.0,
        label_smoothing: float = 0.0,
        bias: bool | Sequence[bool] = True,
        inputs: Sequence[Input] = (),
        input_dropout: float | Schedule = 0.0,
        seed: Any = None,
    ) -> None:
        if "_core" in vars(self) and self._core.fitting:
            raise RuntimeError("the model is being fitted: __init__ would replace it; make another one")
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
            bias,
            inputs,
            input_dropout,
        )
        settings.conventions = self.__bpkern_conventions__(settings)
        self._core = Core(settings)
        self._core.start(RandomState(seed))
        if settings.has_second_sigmoid:
            from ._user_warnings import warn

            own = "softmax" if settings.loss == "cross_entropy" else "sigmoid"
            warn(
                f"the loss {settings.loss} applies its own {own} to the outputs, and "
                "output_activation='sigmoid' applies a sigmoid before that: use 'identity'; predict_proba "
                "returns the probabilities"
            )

    # For the other modules of the package ------------------------------------------------------------

    def __bpkern_core__(self) -> Core:
        """The parts of this model; other modules get them by `bpkern._model.core.core_of`."""
        return self._core

    @classmethod
    def __bpkern_over__(cls, core: Core) -> Self:
        """A model around a core, without a call of the constructor."""
        return cls._over(core)

    @staticmethod
    def __bpkern_conventions__(settings: Settings) -> Conventions:
        """The definitions that this class follows; a subclass that follows another library overrides it."""
        return Conventions()

    # Properties --------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[int]:
        """The sizes of the layers, input first."""
        return list(self._core.settings.layers)

    @property
    def loss(self) -> str:
        """The name of the loss; "custom" for a Python function."""
        return self._core.settings.loss

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of all computations and results."""
        return self._core.settings.dtype

    @property
    def compressed(self) -> str | None:
        """ "bfloat16", in which `compress` has stored the weights; None for a model that can train."""
        return self._core.settings.compressed

    @property
    def optimizer(self) -> Optimizer:
        """The settings of the optimiser."""
        return self._core.settings.optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer | str) -> None:
        self._core.set_optimizer(optimizer)

    @property
    def history_(self) -> History | None:
        """The history of the last fit, finished or not."""
        return self._core.history

    @history_.setter
    def history_(self, history: History | None) -> None:
        if history is not None and not isinstance(history, History):
            raise TypeError(f"history_ must be a bpkern.History or None, not {history!r}")
        self._core.history = history

    @property
    def stop_training(self) -> bool:
        """Whether the fit ends after the current epoch."""
        return self._core.stop_training

    @stop_training.setter
    def stop_training(self, stop: bool) -> None:
        self._core.stop_training = stop

    def __repr__(self) -> str:
        return repr(self._core.settings)

    def _repr_html_(self) -> str:
        from ._seeing.model_html import html_of

        return html_of(self._core)

    def summary(self, batch_size: int | None = None) -> Summary:
        """Layers, parameters, memory and arithmetic as a table, to be printed or shown in a notebook.

        Parameters
        ----------
        batch_size : int, optional
            Rows of a mini-batch, to include the memory of its activations.

        Returns
        -------
        Summary
            Its `str` is the table; notebooks show it as HTML.

        Raises
        ------
        ValueError, TypeError
            For a batch size that is not a whole number from 1 to 2**62.
        """
        from ._model.summary import summary_of

        return summary_of(self._core, batch_size)

    # Groups of parameters ----------------------------------------------------------------------------

    @proposes_arguments("MLP.freeze")
    def freeze(
        self, layers: int | Iterable[int] | None = None, weights: bool = True, biases: bool = True
    ) -> None:
        """Leave parameters as they are in training.

        >>> model.freeze(range(len(model.layers) - 2))  # all layers but the last

        From the next update on, frozen parameters, their optimiser's states and their averages (`ema` of
        `fit`) keep their bits: under every optimiser, with penalties and weight decay. `clip_norm` is about
        the gradients of the other parameters, as in PyTorch. No step computes deltas below the lowest layer
        that is trained, unless it is made by hand or with a loss in Python.

        The loss still contains the penalties of frozen weights, `gradients` and `trace` compute the
        derivatives by them, and `set_weights`, `load_state_dict`, `polyak_update`, `initialize` and `reset`
        change them. Freezing is a setting: it is saved, copied and pickled with the model, and stays at
        `reset`. Callbacks of a fit may call this.

        The model's `inputs` and the shares of parametric activations are not layers: they go on training.
        ``Scale(lr_factor=0)`` and ``Parametric(..., lr_factor=0)`` keep theirs as they are.

        Parameters
        ----------
        layers : int or iterable of int, optional
            As in `get_weights`: 0 is the first hidden layer, and -1 the output. None is all layers.
        weights, biases : bool
            Which parameters of these layers.

        Raises
        ------
        ValueError, TypeError
            For layers that do not exist; for a model of `compress`.
        RuntimeError
            While another thread uses the model.
        """
        core = self._core
        core.set_groups(frozen(core.settings.groups, layers, True, weights=weights, biases=biases))

    @proposes_arguments("MLP.unfreeze")
    def unfreeze(
        self, layers: int | Iterable[int] | None = None, weights: bool = True, biases: bool = True
    ) -> None:
        """Train parameters again that `freeze` has frozen, with the optimiser's states that they had.

        Formulas of optimisers that count updates, such as the bias correction of `Adam` and the dampening of
        `SGD`, count those of the model. In PyTorch, a parameter's own updates count. So the first steps of
        parameters that were frozen from the beginning differ: one of `Adam` may be three times as long.

        Parameters
        ----------
        layers : int or iterable of int, optional
            As for `freeze`.
        weights, biases : bool
            Which parameters of these layers.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As for `freeze`.
        """
        core = self._core
        core.set_groups(frozen(core.settings.groups, layers, False, weights=weights, biases=biases))

    @proposes_arguments("MLP.set_factors")
    def set_factors(
        self,
        layers: int | Iterable[int] | None = None,
        *,
        lr: float | None = None,
        weight_decay: float | None = None,
        weights: bool = True,
        biases: bool = True,
    ) -> None:
        """Multiply the optimiser's learning rate and weight decay for some of the parameters.

        >>> model.set_factors(weights=False, weight_decay=0.0)  # no decay of biases
        >>> model.set_factors(0, lr=0.1)  # the first layer learns slower

        They train as a parameter group of PyTorch with ``lr=factor * optimizer.lr`` and
        ``weight_decay=factor * optimizer.weight_decay``; schedules are multiplied, too. The penalties `l1`
        and `l2` of the loss have no factors. A learning rate of 0 leaves the parameters, but not the
        optimiser's states; `freeze` leaves both. Factors are settings as freezing is. The model's `inputs`
        are not layers: they have `lr_factor` and `decay_factor` of their own.

        Parameters
        ----------
        layers : int or iterable of int, optional
            As for `freeze`.
        lr, weight_decay : float, optional
            The factors, from 0 to 1e100, of which at least one is given. They replace earlier ones; None
            leaves these.
        weights, biases : bool
            Which parameters of these layers.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As for `freeze`, and for factors that are not allowed.
        """
        core = self._core
        core.set_groups(
            with_factors(core.settings.groups, layers, lr, weight_decay, weights=weights, biases=biases)
        )

    @proposes_arguments("MLP.set_ntk_factors")
    def set_ntk_factors(self, *, bias_scale: float = 1.0) -> None:
        """Set the factors with which the model trains as in the NTK parametrisation.

        >>> model = bpkern.MLP([4, 32, 3], init="lecun_normal", loss="mse", optimizer=bpkern.Adam(0.01))
        >>> model.set_ntk_factors(bias_scale=0.1)

        That parametrisation (Jacot, Gabriel and Hongler, "Neural Tangent Kernel", 2018) has layers of ``s * V
        @ x + beta * c`` with s = 1 / sqrt(inputs), and trains V, which begins as standard normal numbers, and
        c. Here W = s V and b = beta c: "lecun_normal" draws such W. By the chain rule the gradient by V is s
        times that by W, and W moves s times as far as V. So SGD on V with the rate lr is SGD on W with ``s**2
        * lr``; Adam, whose steps do not depend on the gradient's scale, is Adam on W with ``s * lr``; so are
        AdamW, NAdam, RMSprop and Adagrad, up to their eps, which is ``eps / s`` for V, and Adagrad's
        `initial_accumulator_value`. Decay of V by lambda is decay of W by ``lambda / s**2``, and decoupled
        decay, of AdamW and of NAdam if asked for, by ``lambda / s``. For b, beta takes the place of s.

        This sets the factors of all layers for the present optimiser: call it again after another kind of
        optimiser was assigned.

        Parameters
        ----------
        bias_scale : float
            The factor beta, above 0.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As for `set_factors`.
        """
        core = self._core
        settings = core.settings
        core.set_groups(with_ntk_factors(settings.groups, settings.sizes, settings.optimizer, bias_scale))

    @property
    def parameter_groups(self) -> list[dict[str, Any]]:
        """What `freeze` and `set_factors` have set: a dict per layer and kind of parameters.

        Each has "layer", "kind" ("weights" or "biases"), "lr" and "weight_decay", the factors, and "frozen".
        Biases that a layer does not have are left out, and so are the model's `inputs`, which have factors
        of their own. Changes of the dicts have no effect.
        """
        return listed(self._core.settings.groups, self._core.settings.bias)

    # Training ----------------------------------------------------------------------------------------

    @proposes_arguments("MLP.fit")
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
        drop_last: bool = False,
        ema: float | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        resume: bool = False,
        verbose: Literal["auto", 0, 1, 2] | bool = "auto",
        n_threads: int | None = None,
        shards: int | None = None,
        comm: Any = None,
    ) -> History:
        """Train for some epochs, continuing from the present state of the model.

        Parameters
        ----------
        X : array_like, shape (n, in), or iterable of batches
            Any real dtype, order and strides; a list, DataFrame or memmap; a sparse matrix; a CPU array of
            PyTorch or JAX. A numeric array is never copied whole: its rows are converted as they are
            gathered. Without y, an iterable of (X, y) or (X, y, sample_weight), each of which is one
            mini-batch; they are fetched ahead and copied on another thread. It is iterated once per epoch.
        y : array_like
            Regression and binary: (n, out), or (n,) if out is 1. cross_entropy: integral values (n,) from 0
            to out - 1, or rows (n, out) that are at least 0 and sum to 1. binary_cross_entropy: values from 0
            to 1. poisson: values of at least 0. For a callable loss: any numbers (n, ...).
        epochs : int
            0 returns an empty History.
        batch_size : int
            Rows of a step, at most n. The last batch of an epoch may be smaller; see `drop_last`.
        shuffle : bool
            Draw a new order of the rows for each epoch.
        validation_data : (X, y) or (X, y, sample_weight), optional
            Rows whose loss and metrics are computed after each epoch.
        validation_split : float
            The fraction of the rows to hold out for validation, not together with `validation_data`; drawn at
            random, each class in proportion. Further fits on the same data hold out the same rows.
        sample_weight : array_like, shape (n,), optional
            At least 0. The loss of a batch is sum(w * loss) / sum(w), and a batch of zero weight is skipped.
            Rows held out by `validation_split` keep their weights. Not with an iterable of batches, which
            contains its own weights.
        class_weight : mapping of int to float or "balanced", optional
            The weight of each class, multiplied into `sample_weight`; 1 for classes that the mapping leaves
            out. "balanced" gives all classes the same total weight. Only where each row has one class: with
            cross_entropy, and with binary_cross_entropy of one output.
        metrics : str, callable, or sequence of these, optional
            Further values in the history, for the training data and for the validation data. For the two
            cross-entropies "accuracy", "f1", "precision" and "recall"; None is "accuracy". For other losses
            "mae", "mse", "rmse" and "r2". Or ``metric(y_true, y_pred) -> number``, named by its ``__name__``,
            which must not be one of these names, "loss", "lr" or "epoch", nor begin with ``val_``; both
            arrays are read-only.
            Metrics of the training data use the outputs before each update, as the loss does.
        callbacks : Callback or sequence of Callback
            See `bpkern.callbacks`.
        clip_norm, clip_value : float, optional
            Scale all gradients, except those of frozen parameters, together to a norm of at most `clip_norm`;
            then clip each number to [-clip_value, clip_value].
        accumulate : int
            Mini-batches per update, as if they were one batch. Those that remain at the end of an epoch make
            an update, too.
        drop_last : bool
            Leave out the rows of an epoch that do not fill a mini-batch: the last ones of its order. Not with
            an iterable of batches or `shards`, and ValueError if `batch_size` exceeds the rows to train on.
        ema : float, optional
            Keep an average of the parameters, ``ema * average + (1 - ema) * parameters`` after each update,
            from 0 to 1. Predictions, `get_weights` and files use the average, until a fit without one.
        checkpoint : path, optional
            An .npz or .safetensors file, to which the whole state of the fit is written every
            `checkpoint_every` epochs and after the last. Each fit of a script needs its own file.
        checkpoint_every : int
            Epochs between two checkpoints.
        resume : bool
            If the checkpoint exists, continue from it up to the same total number of epochs; the result is
            the same to the bit as without the interruption. Otherwise start from the beginning. The model,
            the arguments of fit and the data must be the same, or a ValueError names the difference; the
            settings of the optimiser, what is frozen and factors, which a callback may have changed, are
            restored from the file.
            docs/training.md lists what is compared, and what may change.
        verbose : {"auto", 0, 1, 2} or bool
            "auto" draws a progress bar on a terminal and in a notebook, by tqdm if that is installed; 0 or
            False is silent; 1 or True shows progress anywhere, elsewhere as one line per epoch; 2 is one line
            per epoch anywhere. Lines go to standard error, and in a notebook to its output.
        n_threads : int, optional
            Exact number of threads, capped at 1024 and at what the system can start; a batch of one row uses
            one thread if no layer is wider than a vector register. More threads than processors are slow but
            correct. None uses up to `bpkern.get_num_threads()`, and fewer if more would be slower; fits that
            run at the same time in several threads share them. The result is the same to the bit for any
            number.
        shards : int, optional
            The number of consecutive parts into which the rows are divided. Each mini-batch takes its share
            of rows from each part; its gradient is the sum over the parts in the order of a binary tree. The
            result is the same to the bit for any number of ranks that divides it. Not with
            `validation_split`, a loss that is a Python function, or a model with `inputs` or parametric
            activations.
        comm : communicator of mpi4py, optional
            Train on its ranks (extra `mpi`), each of which is given its own rows of X, y, `sample_weight` and
            `validation_data`: those of `bpkern.distributed.own_rows`. `shards` is then by default the number
            of ranks. docs/ranks.md says more. Neither `shards` nor `comm` works with `validation_split`,
            a model with inputs or parametric activations, or a loss that is a Python function.

        Returns
        -------
        History
            For each metric a list with one value per epoch; also kept as ``history_``.

        Raises
        ------
        ValueError, TypeError
            For arguments that do not fit. NaN and infinity in X or y are found when their row is gathered:
            the model is then in the state before that step.
        DivergedError
            If the loss or the weights are no longer finite.
        RuntimeError
            While another thread uses the model, and within an epoch of another ``fit(accumulate=...)``.
        MemoryError
            If there is no memory for the workspace; nothing has changed.
        OSError
            If a checkpoint cannot be read or written.
        bpkern.distributed.RankError
            If another rank has failed.
        """
        arguments: Any = {
            "epochs": epochs,
            "batch_size": batch_size,
            "shuffle": shuffle,
            "validation_data": validation_data,
            "validation_split": validation_split,
            "clip_norm": clip_norm,
            "clip_value": clip_value,
            "accumulate": accumulate,
            "drop_last": drop_last,
            "ema": ema,
            "checkpoint": checkpoint,
            "checkpoint_every": checkpoint_every,
            "resume": resume,
            "n_threads": n_threads,
        }
        if shards is not None or comm is not None:
            from ._ranks.interrupts import Interrupts

            others = sample_weight, class_weight, metrics, callbacks, verbose
            with Interrupts(comm is not None) as interrupts:
                from ._ranks.fit import fit as fit_shards

                return fit_shards(self, X, y, *others, shards, comm, interrupts, **arguments)
        arguments = FitArguments(**arguments)
        fit = Fit(self, X, y, sample_weight, class_weight, metrics, callbacks, verbose, arguments)
        if fit.rows * arguments.epochs > SHORT:
            fit.warn_of_large_columns(X)
        return fit.run()

    def train_on_batch(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Make one training step on these rows. An average of the parameters (`ema`) is dropped.

        Parameters
        ----------
        X, y, sample_weight : array_like
            As for `fit`; all rows are one mini-batch.

        Returns
        -------
        float
            The loss before the update, with the penalties.

        Raises
        ------
        ValueError, TypeError, DivergedError, RuntimeError, MemoryError
            As for `fit`; nothing has changed.
        """
        return batch.train_on_batch(self._core, X, y, sample_weight)

    def backward(self, grad_output: Any, *, input_gradient: bool = True) -> np.ndarray | None:
        """Propagate a derivative backward through the last ``forward(X, train=True)``.

        With `forward` and `step` this trains by losses that are not functions of outputs and targets, as in
        reinforcement learning. The gradients of the parameters are added to those of earlier calls since the
        last `step`.

        >>> outputs = model.forward(X, train=True)
        >>> model.backward(gradient_of_my_loss(outputs) / len(X))
        >>> model.step()

        Parameters
        ----------
        grad_output : array_like, shape (n, out)
            The derivative of the loss by the outputs; for a mean over the rows it includes the factor 1/n.
        input_gradient : bool
            Whether to compute the derivative by X as well.

        Returns
        -------
        ndarray, shape (n, in), or None
            The derivative of the loss by X.

        Raises
        ------
        ValueError, TypeError
            For another shape, and for values that are not real finite numbers.
        RuntimeError
            Without such a forward pass, or while another thread uses the model.
        """
        return by_hand.backward(self._core, grad_output, input_gradient)

    def step(self, *, clip_norm: float | None = None, clip_value: float | None = None) -> None:
        """Make an update from the gradients of `backward` and the penalties, and clear the gradients.

        An average of the parameters (`ema` of `fit`) is dropped.

        Parameters
        ----------
        clip_norm, clip_value : float, optional
            As for `fit`.

        Raises
        ------
        ValueError, TypeError
            For arguments that do not fit.
        DivergedError
            If the parameters are no longer finite: the model is as before, except that the gradients are
            cleared.
        RuntimeError
            Without gradients, or while another thread uses the model.
        MemoryError
            If there is no memory for the optimiser's states.
        """
        by_hand.step(self._core, clip_norm, clip_value)

    def apply_gradients(
        self,
        gradients: Sequence[tuple[Any, Any]],
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        """Make an update from gradients that were computed anywhere, by the model's optimiser.

        Penalties are not added: the gradients of `gradients` contain them. An average of the parameters
        (`ema` of `fit`) is dropped. Gradients of `backward` still wait for `step`.

        >>> loss, gradients = model.gradients(X, y)
        >>> model.apply_gradients([(dW / 2, db / 2) for dW, db in gradients])

        Parameters
        ----------
        gradients : sequence of (dW, db)
            In the shapes of the weights, (out, in), and biases, (out,), finite in the model's dtype. Those of
            frozen parameters have no effect; db is None or zeros where the layer has no biases.
        clip_norm, clip_value : float, optional
            As for `fit`.

        Raises
        ------
        ValueError, TypeError
            For shapes, values and dtypes that do not fit; nothing has changed.
        DivergedError
            If the parameters are no longer finite: the model is as before.
        RuntimeError
            While another thread uses the model.
        MemoryError
            If there is no memory for the gradients or the optimiser's states.
        """
        by_hand.apply_gradients(self._core, gradients, clip_norm, clip_value)

    def reset(self) -> None:
        """Return to the state after construction: weights, the optimiser's states, generator, history.

        Settings stay: those of the optimiser, and what `freeze` and `set_factors` have set.

        Raises
        ------
        RuntimeError
            While another thread uses the model.
        MemoryError
            If there is no memory for new parameters; nothing has changed.
        """
        core = self._core
        with core.net.writing():
            core.start(core.random.at_start())

    # Prediction --------------------------------------------------------------------------------------

    def __call__(self, X: Any) -> np.ndarray:
        """``forward(X)``."""
        return self.forward(X)

    def forward(
        self, X: Any, *, layer: int | None = None, train: bool = False, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The outputs (n, out), after `output_activation` and before the softmax or sigmoid of the loss.

        Parameters
        ----------
        X : array_like, shape (n, in)
            As for `fit`.
        layer : int, optional
            Return the activations of this layer instead, counted from 0 as in `get_weights` and
            `state_dict`: 0 is the first hidden layer, whose weights are "0.weight", and ``len(layers) - 2``
            the output layer.
        train : bool
            As in training: with dropout, and kept for `backward`. Not together with `layer` or `out`.
        out : ndarray, optional
            The outputs are written there, and no memory is allocated for them: C-contiguous, of the model's
            dtype and the shape of the result, without overlap with X.

        Returns
        -------
        ndarray of the model's dtype, shape (n, out), or (n, width of the layer)
            `out` if that was given. Infinite or NaN where the computation overflows.

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `fit`; X without rows gives no rows.
        """
        core = self._core
        if layer is None and train is False:
            # The extension answers the simple case itself: one more call of Python would take a tenth longer.
            try:
                outputs = core.net.forward(X) if out is None else core.net.forward_into(X, out)
            except _core.BadRowError as error:
                raise bad_row((X, None, None), error.row, core.settings) from None
            if outputs is not None:
                return outputs
        return any_forward(core, X, layer, train, out)

    def predict(self, X: Any, *, comm: Any = None) -> np.ndarray:
        """Classes or values.

        Parameters
        ----------
        X : array_like, shape (n, in)
            As for `fit`.
        comm : communicator of mpi4py, optional
            Every rank gives some rows, and gets the predictions of all ranks' rows, in their order.

        Returns
        -------
        ndarray
            cross_entropy: int64 class indices (n,). binary_cross_entropy: int64 0 or 1, (n,) if out is 1,
            otherwise (n, out). Other losses: the outputs of `forward`, as (n,) if out is 1 and the model was
            last trained on a one-dimensional y. Weights do not include that: a model whose weights were set
            without training predicts (n, out).

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `forward`; ValueError also if an output has overflowed.
        """
        if comm is not None:
            from ._ranks.interrupts import Interrupts

            with Interrupts(True) as interrupts:
                from ._ranks.fit import predict

                return predict(self, X, comm, interrupts)
        outputs = self.forward(X)
        if not _core.all_finite(outputs):
            raise overflow(outputs)
        return predictions(self._core, outputs)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities: the softmax of cross_entropy, or the sigmoid of binary_cross_entropy.

        Parameters
        ----------
        X : array_like, shape (n, in)
            As for `fit`.

        Returns
        -------
        ndarray of the model's dtype, shape (n, out)
            Of each class, or of each output.

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `forward`; ValueError also for a loss that is not one of the two cross-entropies, and if an
            output has overflowed.
        """
        check_probabilistic(self._core)
        return probabilities(self._core, self.forward(X))

    @proposes_arguments("MLP.evaluate")
    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        metrics: Any = None,
        shards: int | None = None,
        comm: Any = None,
    ) -> dict[str, float]:
        """The mean loss over these rows, and metrics: for the two cross-entropies the accuracy by default.

        Parameters
        ----------
        X, y, sample_weight : array_like
            As for `fit`.
        metrics : str, callable, or sequence of these, optional
            As for `fit`.
        shards, comm : optional
            As for `fit`: the values are those of all ranks' rows.

        Returns
        -------
        dict
            ``{"loss": ...}`` with the penalties, and each metric by its name; ``"accuracy"`` is the fraction
            of the rows whose class is right, or of all outputs for binary_cross_entropy. If an output has
            overflowed, the loss is infinite or NaN, and the metrics are NaN. The accuracy is NaN whenever the
            mean loss is not finite.

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `fit`.
        """
        if shards is not None or comm is not None:
            from ._ranks.interrupts import Interrupts

            with Interrupts(comm is not None) as interrupts:
                from ._ranks.fit import evaluate

                return evaluate(self, X, y, sample_weight, metrics, shards, comm, interrupts)
        return measuring.evaluate(self._core, X, y, sample_weight, metrics)

    def losses(self, X: Any, y: Any) -> np.ndarray:
        """The loss of each row, without penalties.

        Parameters
        ----------
        X, y : array_like
            As for `fit`.

        Returns
        -------
        ndarray of float64, shape (n,)
            As the model's loss defines them.

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `fit`; also if the loss is a Python function that returns only the mean.
        """
        return measuring.losses(self._core, X, y)

    @overload
    def gradients(self, X: Any, y: Any, *, by_name: Literal[False] = False) -> tuple[float, Weights]: ...

    @overload
    def gradients(self, X: Any, y: Any, *, by_name: Literal[True]) -> tuple[float, dict[str, np.ndarray]]: ...

    def gradients(self, X: Any, y: Any, *, by_name: bool = False) -> tuple[float, Any]:
        """The loss of these rows and its gradients, without dropout and without any change to the model.

        Parameters
        ----------
        X, y : array_like
            As for `fit`; all rows are one mini-batch, for which memory is allocated.
        by_name : bool
            Return the gradients of all parameters, those of `inputs` and activations included, by the names
            of `state_dict`.

        Returns
        -------
        loss : float
            With the penalties.
        gradients : list of (dW, db), or dict of str to ndarray
            In the shapes of the weights, (out, in), and biases, (out,): also of frozen parameters, and zeros
            for biases that a layer does not have.

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `fit`.
        """
        return gradients.gradients(self._core, X, y, by_name)

    def trace(self, X: Any, y: Any, *, sample_weight: Any = None, steps: int = 1) -> Trace:
        """Every number of the training steps that the model would make on these rows; it does not change.

        All rows are one mini-batch, and each step trains on all of them, as `train_on_batch` would do several
        times. A copy of the model makes the steps, by the code that trains: with the model's losses,
        penalties, dropout, optimiser, its states and its learning rates. An average of the parameters
        (`ema`) is not traced: training by steps changes the trained parameters and drops the average.

        >>> trace = model.trace(X, y)
        >>> print(trace)
        >>> trace.steps[0].layers[1].dW
        >>> print(trace.explain("layers[1].W[0, 0]"))

        Parameters
        ----------
        X, y, sample_weight : array_like
            As for `fit`.
        steps : int
            The number of updates, at least 1.

        Returns
        -------
        Trace
            Its ``steps`` hold copies of all arrays, which take the memory of the parameters, gradients,
            states and activations for each step.

        Raises
        ------
        ValueError, TypeError, DivergedError, RuntimeError, MemoryError
            As for `fit`; ValueError for a model with inputs or a parametric activation.
        """
        from ._seeing.trace_training import traced
        from .trace import Trace

        setting, made = traced(self._core, X, y, sample_weight, steps)
        return Trace(**vars(setting), steps=made)

    # Parameters --------------------------------------------------------------------------------------

    def get_weights(self) -> Weights:
        """Copies of the weights and biases that predict: their average, if the last fit kept one.

        Returns
        -------
        list of (W, b)
            From the first hidden layer to the output: W of shape (out, in) and b of shape (out,), in the
            model's dtype.

        Raises
        ------
        RuntimeError
            While another thread changes the model.
        """
        return self._core.get_weights()

    def set_weights(self, weights: Sequence[tuple[Any, Any]]) -> None:
        """Set all weights and biases.

        An average is dropped. The rest of the model's state stays. So do the parameters of its `inputs`, with
        the values that predict: those of the average, if there is one.

        Parameters
        ----------
        weights : sequence of (W, b)
            As from `get_weights`, b of None where the layer has no biases: integers and floats up to float64,
            finite in the model's dtype. Or a flat list as of Keras's `get_weights`, ``[kernel, bias, kernel,
            bias, ...]``, whose kernels have the shape (in, out), with no bias where the layer has none.

        Raises
        ------
        ValueError, TypeError
            For shapes, values and dtypes that do not fit; nothing has changed.
        RuntimeError
            While another thread uses the model.
        """
        self._core.set_weights(weights)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the parameters by name.

        Returns
        -------
        dict of str to ndarray
            The arrays of `get_weights` as "0.weight", "0.bias", "1.weight", ..., without the biases of layers
            that have none; and the parameters of the model's inputs as "inputs.0.scale", "inputs.1.weight",
            ..., numbered in their order.

        Raises
        ------
        RuntimeError
            While another thread changes the model.
        """
        return self._core.get_state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set all parameters from a dictionary like that of `state_dict`.

        Parameters
        ----------
        state : mapping of str to array_like
            All parameters by name. Or the state dict of a torch.nn.Sequential, on the CPU. The numbers in its
            names have gaps, because they count activations, too; the layers are taken in the order of their
            numbers.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            For missing and unknown names, and as for `set_weights`.
        """
        settings = self._core.settings
        count = len(settings.bias)
        if settings.extra is None:
            self.set_weights(weights_of(without_gaps(state, count), count, settings.bias))
            return
        own, others = extra_of(checked_mapping(state))
        self._core.set_state({**own, **without_gaps(others, count)})

    @proposes_arguments("MLP.polyak_update")
    def polyak_update(self, other: MLP, tau: float) -> None:
        """Move all parameters towards those of another model: ``(1 - tau) * own + tau * other's``.

        This changes the trained parameters; an average of them is dropped, as by `set_weights`.

        Parameters
        ----------
        other : MLP
            A model of the same layers and dtype. Its parameters that predict are read.
        tau : float
            From 0 to 1. The mean of finite numbers is finite, however large they are.

        Raises
        ------
        ValueError, TypeError
            For a model of other layers, with biases in other layers, of another dtype or made under another
            instruction set; for any other object; and for a tau that is not allowed.
        RuntimeError
            While another thread uses one of them.
        """
        tau = _checks.real("tau", tau, 0.0, 1.0)
        if not isinstance(other, MLP):
            raise TypeError(f"other must be a bpkern.MLP, not {type(other).__name__}")
        self._core.blend(core_of(other), tau)

    @proposes_arguments("MLP.initialize")
    def initialize(
        self,
        X: Any,
        *,
        weights: Literal["std", "keep"] = "std",
        biases: Literal["he+5", "zeros", "keep"] = "he+5",
    ) -> None:
        """Draw new weights and biases by the data, as RealMLP does, layer by layer; forget all training.

        >>> model.initialize(X)
        >>> history = model.fit(X, y)

        The layers below have their new values when a layer is drawn. Nothing is dropped. Frozen layers are
        drawn, too; the model's `inputs` stay as they are. `reset` goes back to the initial values of the
        seed.

        Parameters
        ----------
        X : array_like, shape (n, in)
            The training rows. At most 16384 of them are used, chosen at random.
        weights : {"std", "keep"}
            "std": normal numbers, scaled for each unit so that the sum over its inputs has the standard
            deviation 1 in these rows.
        biases : {"he+5", "zeros", "keep"}
            "he+5": for each unit, minus a random convex combination of the sums over its inputs in five
            random rows, so that the unit bends among the data.

        Raises
        ------
        ValueError, TypeError, RuntimeError, MemoryError
            As for `fit`; nothing has changed.
        """
        from ._fit.data_init import initialize

        initialize(self._core, X, weights, biases)

    # From other libraries ----------------------------------------------------------------------------

    @classmethod
    def from_torch(
        cls,
        sequential: Any,
        *,
        loss: str | Loss | Callable[..., Any],
        optimizer: Optimizer | str | None = None,
        l2: float = 0.0,
        l1: float = 0.0,
        label_smoothing: float = 0.0,
        seed: Any = None,
    ) -> Self:
        """A model with the layers, activations, dropout, dtype and weights of a torch.nn.Sequential.

        >>> model = bpkern.MLP.from_torch(sequential, loss="cross_entropy", optimizer=bpkern.Adam())

        Parameters
        ----------
        sequential : torch.nn.Sequential
            Of Linear layers of float32 or float64, with at most one activation after each, and a Dropout
            after that or at the start; nested Sequentials and a Flatten at the start are allowed. A last
            Softmax or LogSoftmax is that of the loss "cross_entropy", and a last Sigmoid that of
            "binary_cross_entropy", so that `predict_proba` returns what the Sequential returns. Otherwise
            `forward` does. A Linear without bias becomes a layer without biases. All parameters are trained,
            whatever their ``requires_grad``: see `freeze`.
        loss, optimizer, l2, l1, label_smoothing, seed : various
            As for the constructor. `reset` returns to the weights of the Sequential.

        Returns
        -------
        MLP
            With copies of the weights.

        Raises
        ------
        ValueError, TypeError
            For any other module, which the message names, and as the constructor.
        ModuleNotFoundError
            If torch is not installed.
        """
        from ._export.torch_in import read_sequential

        found = read_sequential(sequential, loss).arguments()
        options = dict(
            loss=loss, optimizer=optimizer, l2=l2, l1=l1, label_smoothing=label_smoothing, seed=seed
        )
        return cls(**found, **options)

    @classmethod
    def from_onnx(
        cls,
        path: str | os.PathLike[str],
        *,
        loss: str | Loss | Callable[..., Any],
        optimizer: Optimizer | str | None = None,
        l2: float = 0.0,
        dropout: float | Schedule | Sequence[float | Schedule] = 0.0,
        l1: float = 0.0,
        label_smoothing: float = 0.0,
        input_dropout: float | Schedule = 0.0,
        seed: Any = None,
    ) -> Self:
        """A model with the layers, activations, dtype and weights of an ONNX file.

        Nothing in the file is executed, and no other file is opened.

        >>> model = bpkern.MLP.from_onnx("net.onnx", loss="mse")

        Parameters
        ----------
        path : str or path
            A chain of Gemm, or of MatMul and Add, with weights of float32 or float64. An activation of this
            package may follow each: by its own operator, or by basic operators, as `bpkern.export.to_onnx`
            and PyTorch write it. A last Softmax is that of the loss "cross_entropy", and a last Sigmoid that
            of "binary_cross_entropy", so that `predict_proba` returns what the file computes. Otherwise
            `forward` does. If there are several outputs, that of real numbers is read.
        loss, optimizer, l2, dropout, l1, label_smoothing, input_dropout, seed : various
            As for the constructor. `reset` returns to the weights of the file.

        Returns
        -------
        MLP

        Raises
        ------
        ValueError, TypeError
            For any other node, which the message names; for a damaged file; and as the constructor.
        OSError
            If the file cannot be read, or is not a regular file.
        ModuleNotFoundError
            If onnx is not installed.
        """
        from ._export.onnx_in import read_onnx

        found = read_onnx(_checks.path("path", path), loss).arguments()
        found |= {"dropout": dropout, "input_dropout": input_dropout}
        options = dict(
            loss=loss, optimizer=optimizer, l2=l2, l1=l1, label_smoothing=label_smoothing, seed=seed
        )
        return cls(**found, **options)

    # Files and copies --------------------------------------------------------------------------------

    def compress(self, dtype: str) -> Self:
        """A smaller and faster model for inference: a new one, whose weights are stored in bfloat16.

        This model does not change. The new one predicts, evaluates, is copied, pickled, saved and loaded as
        any other. Methods that train it or change its weights raise TypeError. It takes about half the memory
        and predicts single rows faster; large networks gain most. Both models share the optimiser object and
        a custom loss.

        Each weight is rounded to the nearest number of 8 significant bits, at most 2**-8 (0.4 %) of itself
        away. So a layer's sum over its inputs x moves by at most ``2**-8 * sum(abs(w * x))``, in addition to
        the rounding of float32. Biases, activations and sums stay float32: the outputs are, to the bit, those
        of a float32 model with the rounded weights.

        >>> small = model.compress("bfloat16")
        >>> small.save("small.npz")

        Parameters
        ----------
        dtype : {"bfloat16"}
            The type of the weights.

        Returns
        -------
        MLP
            Of the same class. `get_weights` returns its rounded weights as float32. It has the weights that
            predict, so the average if the last fit kept one, and neither states of the optimiser nor initial
            weights. Attributes that users have added are shared, as by `copy`.

        Raises
        ------
        ValueError
            For another type, a model of float64, with inputs or a parametric activation, a weight beyond
            3.39e38, and as `copy`.
        TypeError
            If this model is compressed already.
        RuntimeError
            While another thread changes the model.
        MemoryError
            If there is no memory for the new parameters.
        """
        from ._files import state

        small = self._over(state.compressed_core(self._core, dtype, self.__bpkern_conventions__))
        vars(small).update((name, value) for name, value in vars(self).items() if name != "_core")
        return small

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole model to a file: settings, parameters, the optimiser's states, generator, history.

        The new file replaces an old one at once, so that one of them is always complete.

        Parameters
        ----------
        path : str or path
            An .npz file, or a .safetensors file with the extra of that name. It contains the arrays
            "0.weight", "0.bias", ... of `state_dict`. It does not contain a loss or a learning rate that is a
            Python function, an optimiser or a loss of a class of your own, nor gradients that `backward` has
            stored and no `step` has used.

        Raises
        ------
        ValueError, TypeError
            For another suffix, a seed whose bit generator is not NumPy's, settings of the optimiser that are
            not allowed, and a history that is not lists of numbers by names, which are strings other than
            "lr"; an old file is unchanged.
        OSError
            If the file cannot be written, or the path leads to a device, pipe or socket; an old file is
            unchanged. If only the folder could not be synced, the new file is in place, and a loss of power
            may bring the old one back.
        ModuleNotFoundError
            For .safetensors without that library.
        RuntimeError
            While another thread trains the model.
        """
        from ._files import model_file

        model_file.save(self._core, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, loss: Any = None, optimizer: Any = None) -> Self:
        """The model of a file that `save` or a checkpoint of `fit` has written.

        No code in the file is run, and no other file is opened.

        Parameters
        ----------
        path : str or path
            An .npz or .safetensors file.
        loss : str, loss of `bpkern.losses`, or callable, optional
            Replaces the loss of the file; required if that was a Python function or of a user's own class.
        optimizer : Optimizer or str, optional
            Replaces the optimiser of the file; required if its learning rate was a Python function, or its
            class a user's own.

        Returns
        -------
        MLP
            Of the class that `load` was called on.

        Raises
        ------
        ValueError, TypeError
            For a file that is damaged, of another kind, or of a newer version; and for a loss or an optimiser
            that is not allowed.
        OSError
            If the file cannot be read, or is not a regular file.
        ModuleNotFoundError
            For .safetensors without that library.
        """
        from ._files import model_file

        return cls._over(model_file.load(path, loss, optimizer, cls.__bpkern_conventions__))

    @classmethod
    def _of(cls, arguments: dict[str, Any], config: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """The model of a pickle. The name and the arguments stand in pickles and must stay."""
        from ._files import state

        return cls._over(state.new_core(arguments, config, arrays, cls.__bpkern_conventions__))

    @classmethod
    def _over(cls, core: Core) -> Self:
        """A model around a core, without a call of the constructor."""
        self = cls.__new__(cls)
        self._core = core
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        from ._files import state

        core = self._core
        config, arrays = state.model_state(core)
        arguments = state.arguments_of(config, arrays, core.settings.given_loss, core.settings.optimizer)
        # With the attributes that users have added.
        others = {name: value for name, value in vars(self).items() if name != "_core"}
        return type(self)._of, (arguments, config, arrays), others

    def copy(self) -> Self:
        """An independent model in the same state. Both share the optimiser object and a custom loss.

        Returns
        -------
        MLP
            Of the same class. Attributes that users have added are shared, too.

        Raises
        ------
        ValueError
            For a seed whose bit generator is not NumPy's, and as `save` for settings and histories that have
            been edited.
        RuntimeError
            While another thread changes the model.
        """
        make, arguments, others = self.__reduce__()
        copied: Self = make(*arguments)
        vars(copied).update(others)
        return copied

    def __copy__(self) -> Self:
        return self.copy()
