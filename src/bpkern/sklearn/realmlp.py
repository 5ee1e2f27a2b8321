"""The common part of `RealMLPClassifier` and `RealMLPRegressor`: parameters, tables, training, files."""

import time
from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._table import splits
from .._table.columns import check_columns, check_not_empty
from .._table.fitted_table import Choices, FittedTable, fit_table
from .._table.frames import Frame, as_frame
from .._table.plan import Plan, Split
from .._table.recipes import OF_CLASSES
from .._table.table_model import TableModel, Whole
from ..mlp import MLP

# With fewer rows there is none to train on, or none to choose the epoch by.
FEWEST_ROWS = 2
LARGEST_SEED = 2**31 - 1


class BaseRealMLP(BaseEstimator):
    """The common part of both estimators."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "recipe": [StrOptions(set(OF_CLASSES))],
        "hidden_layer_sizes": ["array-like"],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "n_models": [Interval(Integral, 1, None, closed="left")],
        "ensemble": [StrOptions({"folds", "bags"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "categorical": ["array-like"],
        "random_state": ["random_state"],
        "verbose": "no_validation",
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    }

    @abstractmethod
    def __init__(self, **parameters: Any) -> None:
        for name, value in parameters.items():
            setattr(self, name, value)

    # Differences of the two kinds --------------------------------------------------------------------

    @abstractmethod
    def _targets(self, y: Any, y_val: Any) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
        """Class numbers or values of the rows, and of own validation rows; and attributes to be set."""

    @abstractmethod
    def _kind(self) -> tuple[bool, bool]:
        """Whether the log loss matters most, and whether to calibrate."""

    @abstractmethod
    def _score(self, value: float | None) -> float:
        """A value of the history as the score that users know; NaN for None."""

    # Training ----------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
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
        """Train on a table.

        An interrupt (Ctrl-C) ends the training and keeps the best epochs so far, if there are any, with a
        warning.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Whatever `bpkern.preprocessing.TableEncoder` takes: a DataFrame of pandas or polars, a table of
            pyarrow, a dictionary of columns, an array of numbers, texts or objects. Gaps are allowed.
        y : array-like of shape (n_samples,), or for values (n_samples, n_outputs)
            Labels of classes without gaps (texts, numbers or booleans alone), or values.
        sample_weight : array-like of shape (n_samples,), default=None
            At least 0, in the loss and in what chooses the epoch. Only their ratios matter.
        X_val, y_val, sample_weight_val : optional
            Other rows that choose the epoch; then all of X is trained on.

        Returns
        -------
        object
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            For parameters and tables that are not allowed. Nothing has changed.
        DivergedError
            If the weights of all networks are no longer finite before an epoch has ended.
        """
        began = time.monotonic()
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None"
            )
        if (X_val is None) != (y_val is None) or (X_val is None and sample_weight_val is not None):
            raise ValueError("X_val and y_val go together, and sample_weight_val with them")
        frame = as_frame(X)
        check_not_empty(frame)
        y, y_val, fitted = self._targets(y, y_val)
        check_consistent_length(np.empty(frame.rows), y)
        frames, ys = [frame], [y]
        weights = [_weights("sample_weight", sample_weight, frame.rows)]
        if y_val is not None:
            other = as_frame(X_val, "X_val")
            if other.rows != len(y_val):
                raise ValueError(
                    f"X_val and y_val have inconsistent numbers of samples: {other.rows} and {len(y_val)}"
                )
            check_columns(other, frame.names, frame.width, type(self).__name__, "X_val")
            frames, ys = [frame, other], [y, y_val]
            weights.append(_weights("sample_weight_val", sample_weight_val, other.rows))
        generator = np.random.default_rng(check_random_state(self.random_state).randint(LARGEST_SEED))
        whole = _joined(ys, weights)
        found = self._train(frames, *whole, fitted.get("classes_"), began, generator)
        self._keep(frame, found, fitted)
        return self

    def _train(
        self,
        frames: list[Frame],
        y: np.ndarray,
        weights: np.ndarray | None,
        classes: np.ndarray | None,
        began: float,
        generator: np.random.Generator,
    ) -> FittedTable:
        by_log_loss, calibrates = self._kind()
        hidden = _sizes(self.hidden_layer_sizes)
        parts = self._splits(frames, y, weights, classes is not None, generator)
        plan = Plan(
            epochs=self.n_epochs,
            batch=self.batch_size,
            calibrates=calibrates,
            until=None if self.time_limit is None else began + self.time_limit,
            n_threads=self.n_threads,
            verbose=self.verbose,
        )
        return fit_table(
            frames,
            y,
            weights,
            parts,
            None if classes is None else len(classes),
            Choices(self.recipe, by_log_loss, hidden, self.learning_rate, self.categorical),
            plan,
            int(generator.integers(LARGEST_SEED)),
        )

    def _splits(
        self,
        frames: list[Frame],
        y: np.ndarray,
        weights: np.ndarray | None,
        stratify: bool,
        generator: np.random.Generator,
    ) -> list[Split]:
        """The rows of each network. Rows without weight are in none."""
        rows = frames[0].rows
        if len(frames) > 1:
            used = np.arange(len(y)) if weights is None else np.flatnonzero(weights)
            own, others = used[used < rows], used[used >= rows]
            if not len(own) or not len(others):
                raise ValueError("there must be rows with a weight above 0 both in X and in X_val")
            return [splits.ascending(own, others)] * self.n_models
        if weights is None:
            return self._parts(y, stratify, generator)
        own = np.flatnonzero(weights)
        found = self._parts(y[own], stratify, generator)
        return [
            splits.ascending(own[part], None if choosing is None else own[choosing])
            for part, choosing in found
        ]

    def _parts(self, y: np.ndarray, stratify: bool, generator: np.random.Generator) -> list[Split]:
        """The rows of each network, of those with these targets."""
        if not len(y):
            raise ValueError("sample_weight must not be zero in every row")
        fewest = max(FEWEST_ROWS, self.n_models if self.n_models > 1 and self.ensemble == "folds" else 0)
        if self.validation_fraction == 0 and self.n_models == 1:
            fewest = 1
        if len(y) < fewest:
            raise ValueError(
                f"Found array with {len(y)} sample(s) (with a weight above 0) while a minimum of {fewest} "
                "is required, to train on some and choose the epoch by others."
            )
        if self.n_models == 1:
            return [splits.random_split(y, stratify, self.validation_fraction, generator)]
        if self.ensemble == "folds":
            return splits.folds(y, stratify, self.n_models, generator)
        return splits.bags(len(y), self.n_models, generator)

    def _keep(self, frame: Frame, found: FittedTable, fitted: dict[str, Any]) -> None:
        """Set the fitted attributes."""
        self.n_features_in_ = frame.width
        if frame.names is not None:
            self.feature_names_in_ = np.array(frame.names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self.encoder_ = found.encoder
        self.models_ = [each.model for each in found.trained]
        self.validation_scores_ = np.array([self._score(each.score) for each in found.trained])
        for name, value in fitted.items():
            setattr(self, name, value)

    @property
    def model_(self) -> MLP:
        """The network; the first one of several.

        Raises
        ------
        AttributeError
            Before `fit`.
        """
        try:
            return self.models_[0]
        except AttributeError:
            raise AttributeError(
                f"this {type(self).__name__} is not fitted yet, so it has no model_"
            ) from None

    # Prediction --------------------------------------------------------------------------------------

    def _of_blocks(self, X: Any, predict: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """What is predicted for a table with the columns of `fit`, encoded a block of rows at a time."""
        check_is_fitted(self, "models_")
        frame = as_frame(X)
        names = getattr(self, "feature_names_in_", None)
        check_columns(frame, None if names is None else list(names), self.n_features_in_, type(self).__name__)
        check_not_empty(frame)
        return self.encoder_.__bpkern_by_blocks__(frame, predict)

    @abstractmethod
    def _meaning(self) -> dict[str, Any]:
        """The arguments of `TableModel` that say what the outputs mean."""

    def __bpkern_whole__(self) -> Whole:
        """Encoder, networks and meaning, for exports."""
        check_is_fitted(self, "models_")
        if (classes := getattr(self, "classes_", None)) is not None:
            return Whole(self.encoder_, self.models_, classes, None, None, [None] * len(self.models_))
        return Whole(self.encoder_, self.models_, None, self.center_, self.spread_, self.limits_)

    def to_table_model(self, target: str | None = None) -> TableModel:
        """Network, encoder and labels as one object, which has a file of its own.

        >>> classifier.fit(table, y).to_table_model("answer").save("model.npz")

        ``bpkern predict model.npz new.csv`` reads that file, and needs no scikit-learn.

        Parameters
        ----------
        target : str, optional
            The name of the column that it predicts.

        Returns
        -------
        TableModel
            With the same network, not a copy.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            For several networks, and for values of several outputs.
        """
        check_is_fitted(self, "models_")
        if len(self.models_) > 1:
            raise ValueError(
                f"a TableModel has one network, and this {type(self).__name__} has {len(self.models_)}: "
                "pickle it, or fit with n_models=1"
            )
        return TableModel(self.encoder_, self.model_, target=target, **self._meaning())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags


def _weights(name: str, given: Any, rows: int) -> np.ndarray | None:
    """Weights of rows as float64, the largest of which is 1. Raises ValueError."""
    if given is None:
        return None
    try:
        weights = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        shown = repr(given) if isinstance(given, str) else f"a {type(given).__name__} of other things"
        raise ValueError(f"{name} must be numbers, one per row, not {shown}") from None
    if weights.ndim == 0:
        weights = np.full(rows, float(weights))
    if weights.shape != (rows,):
        raise ValueError(f"{name} must have one number per row, shape ({rows},), not {weights.shape}")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(f"{name} must be finite and at least 0")
    largest = weights.max(initial=0.0)
    return weights / largest if largest > 0 else weights  # only ratios matter, and sums must not overflow


def _joined(ys: list[np.ndarray], weights: list[np.ndarray | None]) -> tuple[np.ndarray, np.ndarray | None]:
    """The targets of all rows, and their weights; None if no row has one."""
    y = ys[0] if len(ys) == 1 else np.concatenate(ys)
    if all(each is None for each in weights):
        return y, None
    return y, np.concatenate(
        [np.ones(len(own)) if each is None else each for own, each in zip(ys, weights, strict=True)]
    )


def _sizes(given: Any) -> tuple[int, ...]:
    """The widths of the hidden layers. Raises ValueError for others than whole numbers of at least 1."""
    sizes = tuple(np.asarray(given).ravel().tolist())
    if not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be whole numbers of at least 1, got {given!r}")
    return sizes
