"""Training of both estimators: checks, and a run of one of the solvers."""

import copy
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn import neural_network
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from .._data.rows import Rows
from .._data.scales import warn_of_large_columns
from .._fit.fit import SHORT
from .._user_warnings import at_users_line
from ..activations import Activation
from ..losses import Loss
from ..mlp import MLP
from ..optimizers import OPTIMIZERS, Optimizer
from .lbfgs import minimise
from .model import new_model
from .predictor import ActivationNames
from .protocol import Tasks, TasksSupportMixin, continuing, fitting
from .shortcuts import are_allowed, compiled, validate_rows
from .state import trainer_of
from .stochastic import OVERFLOW, StochasticSolvers
from .theirs import to_theirs
from .trainer import RateMode, Trainer, as_weights

# Warns if a result has not converged.
check_result = at_users_line(_check_optimize_result)


class BaseMLP(TasksSupportMixin, StochasticSolvers):
    """The common part of the estimators.

    Besides the parameters it keeps the network that has trained them, so that `partial_fit` can continue.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [ActivationNames(), Activation, list, tuple],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "optimizer": [Optimizer, StrOptions(set(OPTIMIZERS)), None],
        "callbacks": "no_validation",
        "dtype": [
            StrOptions({"float32", "float64"}),
            Options(type, {np.float32, np.float64}),
            Options(np.dtype, {np.dtype("float32"), np.dtype("float64")}),
            None,
        ],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    }

    _compiled_constraints: ClassVar[dict[str, list[Any]]]

    def __init_subclass__(cls, **others: Any) -> None:
        super().__init_subclass__(**others)
        cls._compiled_constraints = compiled(cls._parameter_constraints)

    @abstractmethod
    def __init__(self, **parameters: Any) -> None:
        for name, value in parameters.items():
            setattr(self, name, value)

    _trainer_key: tuple[Any, ...]
    _batch_rows = 200  # of a full mini-batch of the last fit; pickles of version 0.1 have not noted it

    # Differences of the two kinds --------------------------------------------------------------------

    @abstractmethod
    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
        """X as float32 or float64, dense or CSR, and y in the form of the network's targets.

        With `incremental`, for `partial_fit`; with `reset`, X sets the number and the names of the features.
        """

    @abstractmethod
    def _encode(self, y: Any, rows: int) -> np.ndarray:
        """The y of validation rows in the form of the network's targets."""

    @abstractmethod
    def _outputs_and_loss(self, y: np.ndarray) -> tuple[int, str, str | Loss]:
        """The number of outputs, scikit-learn's name of the output activation, and the network's loss."""

    def _row_weights(
        self, y: Any, targets: np.ndarray, sample_weight: np.ndarray | None, incremental: bool
    ) -> np.ndarray | None:
        """`sample_weight` times all other weights of the rows; `targets` are those of the network."""
        return sample_weight

    # The network -------------------------------------------------------------------------------------

    @property
    def model_(self) -> MLP:
        """The fitted network as a `bpkern.MLP`, to save, trace, export or train by hand.

        It is of its own: training it does not change the estimator. It is the same object until the
        estimator is fitted again or `coefs_` or `intercepts_` change. Its `forward` gives the outputs before
        the softmax, sigmoid or exponential, its `predict` numbers of classes, and logarithms for the poisson
        loss. Its ``l2`` is the penalty of a full mini-batch, and `reset` goes back to the fitted weights.

        Raises
        ------
        NotFittedError
            Before `fit`; it is an AttributeError too.
        """
        check_is_fitted(self)
        if not self._are_noted():
            self._note_parameters()
        if self._model is None:
            trainer = self._trainer
            if trainer is not None and not isinstance(trainer, Trainer):
                trainer = trainer_of(trainer, self.coefs_, self.intercepts_)
            self._model = new_model(
                as_weights(self.coefs_, self.intercepts_),
                activation=self._activations(len(self.coefs_) - 1),
                loss=self._loss_of_outputs(),
                optimizer=self._new_optimizer() if trainer is None else trainer.optimizer,
                penalty=self.alpha / 2 / self._batch_rows,
                dropout=self._dropout(),
                dtype=self.coefs_[0].dtype,
                one_dimension=self.n_outputs_ == 1,
                history=self.history_,
                trainer=trainer,
            )
        return self._model

    def to_sklearn(self) -> "neural_network.MLPClassifier | neural_network.MLPRegressor":
        """A fitted estimator of scikit-learn with the same parameters and weights.

        Its predictions are the same up to rounding. Parameters that scikit-learn lacks and that concern
        training alone are left out, and a loss that it lacks becomes "squared_error"; its `partial_fit`
        starts with a new optimiser.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            With copies of the weights.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            For activations that scikit-learn lacks, and for different ones.
        """
        check_is_fitted(self)
        return to_theirs(self, self._activations(len(self.coefs_) - 1))

    # Training ----------------------------------------------------------------------------------------

    def _validate_params(self) -> None:
        """scikit-learn's check of the parameters. Raises InvalidParameterError, a ValueError."""
        if are_allowed(self._compiled_constraints, vars(self)):
            return
        try:
            super()._validate_params()
        except ValueError as error:
            raise type(error)(f"{error}{self._meant(str(error))}") from None

    def _meant(self, error: str) -> str:
        """The end of an error about a parameter: what was probably meant; empty if that is not known."""
        name = error.partition("'")[2].partition("'")[0]
        given = getattr(self, name, None)
        if name == "loss" and isinstance(given, (tuple, list, int)):
            return f" The first argument is the loss: give the sizes by name, hidden_layer_sizes={given}"
        if not isinstance(given, str):
            return ""
        from .._suggestions import suggestion  # only for an error

        options = [each for each in self._parameter_constraints[name] if isinstance(each, Options)]
        meant = suggestion(name, given, [option for each in options for option in each.options])
        return f" {meant[2].upper()}{meant[3:]}" if meant else ""

    @fitting
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to train on.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Classes or values.
        sample_weight : array-like of shape (n_samples,), default=None
            At least 0.
        X_val, y_val, sample_weight_val : optional
            Rows whose loss is added to `validation_loss_curve_` after each iteration. With `early_stopping`
            the score is computed from them. Not for the solver "lbfgs".

        Returns
        -------
        object
            The estimator itself.
        """
        validation = (X_val, y_val, sample_weight_val)
        if (X_val is None) != (y_val is None) or (X_val is None and sample_weight_val is not None):
            raise ValueError("X_val and y_val go together, and sample_weight_val with them")
        return self._fit(X, y, sample_weight, None if X_val is None else validation, incremental=False)

    def _has_partial_fit(self) -> bool:
        """True. Raises AttributeError for "lbfgs", as scikit-learn's `available_if` expects."""
        if self.solver == "lbfgs" and self.optimizer is None:
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
            )
        return True

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any) -> Self:
        return self._fit(X, y, sample_weight, None, incremental=True)

    @continuing
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Make one iteration over these rows, continuing from the present state of the estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to train on.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Classes or values.
        sample_weight : array-like of shape (n_samples,), default=None
            At least 0.

        Returns
        -------
        object
            The estimator itself.
        """
        return self._partial_fit(X, y, sample_weight)

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation: Any, *, incremental: bool) -> Self:
        """`fit`, or with `incremental` `partial_fit`. `validation` is (X, y, sample_weight or None) or None.

        All checks come first: an error that they find leaves the estimator unchanged.
        """
        stochastic = self.solver != "lbfgs" or self.optimizer is not None
        with _unchanged_by_errors(self):
            self._check_combinations(stochastic, incremental, validation is not None)
            hidden = self._hidden()
            first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
            given = X, y, sample_weight
            X, targets = self._validate_input(X, y, incremental, reset=first)
            if sample_weight is not None:
                sample_weight = _check_sample_weight(sample_weight, X)
            weights = self._row_weights(y, targets, sample_weight, incremental)
            if weights is not None:
                weights = np.ascontiguousarray(weights, np.float64)
            if validation is not None:
                validation = self._checked_validation(*validation)
            draws = first or not incremental or len(targets) > 1 or bool(np.any(self._dropout()))
            random_state = self._generator(draws)
            outputs, out_activation, loss = self._outputs_and_loss(targets)
            layers = [X.shape[1], *hidden, outputs]
            coefs, intercepts = (
                self._initial_parameters(random_state, layers, X)
                if first
                else (self.coefs_, self.intercepts_)
            )
            _check_layers(coefs, layers)
            trainer = self._trainer_for(
                coefs, intercepts, loss, random_state, goes_on=incremental and not first
            )
            if not stochastic:
                rows = trainer.checked(X, targets, weights)  # a stochastic run checks them itself
            if not incremental and len(targets) * self.max_iter > SHORT and isinstance(X, np.ndarray):
                warn_of_large_columns(given[0], X, with_sizes=False)
            if first:
                self.coefs_, self.intercepts_ = coefs, intercepts
                self._start(layers, out_activation)
            tasks = None if incremental else self._tasks(*given)
            if stochastic:
                self._start_curves(first)
                run = self._stochastic_run(trainer, (X, targets, weights), validation, random_state, tasks)
        if tasks is not None:
            tasks.begin_fit()
        if stochastic:
            self._fit_stochastic(trainer, *run, tasks)
        else:
            assert tasks is not None
            self._fit_lbfgs(trainer, rows, tasks)
            if not all(np.isfinite(parameter).all() for parameter in (*self.coefs_, *self.intercepts_)):
                raise ValueError(OVERFLOW)
        if tasks is not None:
            tasks.end_fit()
        return self

    def _tasks(self, X: Any, y: Any, sample_weight: Any) -> Tasks:
        return Tasks(
            self,
            X,
            y,
            sample_weight,
            begin_callbacks=self._begin_callbacks,
            fitted_so_far=self._fitted_so_far,
        )

    def _check_combinations(self, stochastic: bool, incremental: bool, validates: bool) -> None:
        """Raise ValueError for parameters that the solver, or `partial_fit`, does not support."""
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if stochastic:
            return
        dropout, callbacks = self._dropout(), self.callbacks
        for name, given in (
            ("dropout", np.any(dropout)),
            ("callbacks", not isinstance(callbacks, (tuple, list)) or callbacks),
            ("X_val", validates),
        ):
            if given:
                raise ValueError(f"{name} is for the solvers 'sgd' and 'adam', not 'lbfgs'")

    def _generator(self, draws: bool) -> Any:
        """The RandomState of `random_state`; None for a seed if nothing is drawn.

        To seed a generator takes as long as a step of one row.
        """
        seed = self.random_state
        is_seed = type(seed) is int and 0 <= seed < 2**32
        return None if is_seed and not draws else check_random_state(seed)

    def _hidden(self) -> list[int]:
        """The widths of the hidden layers. Raises ValueError unless they are above 0."""
        sizes = self.hidden_layer_sizes
        hidden = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if not all(type(size) is int and size > 0 for size in hidden) and np.any(np.array(hidden) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        return hidden

    def _dropout(self) -> Any:
        """One number for all hidden layers, or a list: arrays cannot be compared with ==."""
        return list(self.dropout) if hasattr(self.dropout, "__iter__") else self.dropout

    def _checked_validation(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, ...]:
        """(X, targets) or (X, targets, weights) of the validation rows, in the form of the network's data."""
        X = validate_rows(self, X)
        targets = self._encode(y, X.shape[0])
        if sample_weight is None:
            return X, targets
        return X, targets, np.ascontiguousarray(_check_sample_weight(sample_weight, X), np.float64)

    def _initial_parameters(
        self, random_state: Any, layers: list[int], X: Any
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Initial weights and biases, drawn layer by layer, weights first (Glorot and Bengio, 2010)."""
        dtype = np.dtype(X.dtype if self.dtype is None else self.dtype)
        activations = self._activations(len(layers) - 2)
        # The range of the last layer depends on the activation below it.
        last = activations[-1] if activations else self.activation
        coefs, intercepts = [], []
        for (fan_in, fan_out), name in zip(pairwise(layers), [*activations, last], strict=True):
            bound = np.sqrt((2.0 if name in ("sigmoid", "logistic") else 6.0) / (fan_in + fan_out))
            coef = random_state.uniform(-bound, bound, (fan_in, fan_out))
            intercept = random_state.uniform(-bound, bound, fan_out)
            coefs.append(coef.astype(dtype, copy=False))
            intercepts.append(intercept.astype(dtype, copy=False))
        return coefs, intercepts

    def _start(self, layers: list[int], out_activation: str) -> None:
        """Set the fitted attributes to their values before the first iteration."""
        self.n_iter_ = self.t_ = 0
        self.n_outputs_, self.n_layers_ = layers[-1], len(layers)
        self.out_activation_ = out_activation
        self._trainer = None
        self._note_parameters()
        self.history_ = self.validation_loss_curve_ = None

    def _trainer_for(
        self,
        coefs: list[np.ndarray],
        intercepts: list[np.ndarray],
        loss: str | Loss,
        random_state: Any,
        goes_on: bool,
    ) -> Trainer:
        """A network with these parameters: the last one if `partial_fit` can continue with it."""
        activations, last = self._activations(len(coefs) - 1), self._trainer if goes_on else None
        if last is not None and not isinstance(last, Trainer):
            last = trainer_of(last, coefs, intercepts)
        dropout = self._dropout()
        key = (activations, loss if isinstance(loss, str) else repr(loss), self.alpha, dropout)
        if last is not None and self._trainer_key == key:
            last.set_coefs(coefs, intercepts)  # the user may have changed the estimator's
            return last
        trainer = Trainer(
            coefs,
            intercepts,
            activation=activations,
            loss=loss,
            alpha=self.alpha,
            optimizer=self._new_optimizer() if last is None else last.optimizer,
            dropout=dropout,
            dtype=coefs[0].dtype,
            seed=random_state.randint(2**31) if np.any(dropout) else 0,
        )
        if last is not None:
            trainer.take_states(last)
        elif self.solver == "sgd" and self.optimizer is None:
            trainer.rate_mode = RateMode(self.learning_rate, float(self.learning_rate_init), self.power_t)
        self._trainer_key = copy.deepcopy(key)
        return trainer

    def _fit_lbfgs(self, trainer: Trainer, rows: Rows, tasks: Tasks) -> None:
        """Train by L-BFGS, and set the fitted attributes."""
        iterations = 0

        def note(result: Any) -> None:
            nonlocal iterations
            iterations += 1
            if self.verbose:
                print(f"Iteration {iterations}, loss = {result.fun:.8f}")
            if tasks.end(trainer):
                raise StopIteration
            if iterations < self.max_iter:
                tasks.begin()

        tasks.begin()
        try:
            result = minimise(
                trainer,
                rows,
                max_iter=self.max_iter,
                max_fun=self.max_fun,
                tol=self.tol,
                n_threads=self.n_threads,
                callback=note,
            )
        finally:
            self.coefs_, self.intercepts_ = trainer.get_coefs()
            self._note_parameters()
            self._batch_rows = len(rows[0])
        self.n_iter_ = check_result("lbfgs", result, self.max_iter)
        self.loss_ = result.fun


@contextmanager
def _unchanged_by_errors(estimator: BaseMLP) -> Iterator[None]:
    """A context that restores the estimator's attributes after an error.

    Otherwise a refused fit could leave its classes together with the weights of an earlier fit.
    """
    attributes = estimator.__dict__
    before = attributes.copy()
    try:
        yield
    except BaseException:
        attributes.clear()
        attributes.update(before)
        raise


def _check_layers(coefs: list[np.ndarray], layers: list[int]) -> None:
    """Raise ValueError unless the parameters belong to these layers."""
    found = [coefs[0].shape[0], *(coef.shape[1] for coef in coefs)]
    if found != layers:
        raise ValueError(
            f"training goes on with the layers {found} of the last fit, not {layers}: for others use fit "
            "with warm_start=False"
        )
