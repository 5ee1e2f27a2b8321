"""`MLPClassifier`, with the parameters and attributes of scikit-learn's."""

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer, LabelEncoder
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
    unique_labels,
)
from sklearn.utils.validation import validate_data

from .._user_warnings import at_users_line
from ..losses import Loss
from .perceptron import BaseMLP
from .protocol import continuing
from .shortcuts import are_classes, codes_of, plain_labels, validated

# Warns if y is a column.
as_column = at_users_line(column_or_1d)


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multilayer perceptron that classifies: scikit-learn's `MLPClassifier`, many times faster.

    It minimises the log loss. With scikit-learn's parameters and the same `random_state` it makes the same
    steps, up to rounding; the parameters after `max_fun` are additions.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(100,)
        The widths of the hidden layers.
    activation : str or list of str, default="relu"
        Of the hidden layers: "identity", "logistic", "tanh" or "relu"; or another of `bpkern.MLP`:
        "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "mish", "softplus". A list has one per
        hidden layer.
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        "lbfgs" is SciPy's, with all rows in each step.
    alpha : float, default=0.0001
        L2 penalty: ``alpha / 2 * sum(W**2)``, divided by the number of rows of a batch (or their weight), is
        added to its loss.
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch; "auto" is 200, or all if there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        Of "sgd". "invscaling" divides by ``(t_ + 1) ** power_t`` after each epoch. "adaptive" divides by 5,
        instead of stopping, each time that loss or score no longer improves.
    learning_rate_init : float, default=0.001
        The learning rate, or the first one.
    power_t : float, default=0.5
        The exponent of "invscaling".
    max_iter : int, default=200
        Epochs; iterations of "lbfgs".
    shuffle : bool, default=True
        Draw a new order of the rows for each epoch.
    random_state : int, RandomState instance or None, default=None
        For initial weights, held-out rows, shuffles and dropout.
    tol : float, default=1e-4
        Training ends when the loss, or with `early_stopping` the score, has not improved by this amount for
        more than `n_iter_no_change` epochs. With "lbfgs" it ends when no gradient is larger than this.
    verbose : bool, default=False
        Print the loss of each iteration.
    warm_start : bool, default=False
        `fit` continues from the parameters of the last fit.
    momentum : float, default=0.9
        Of "sgd".
    nesterovs_momentum : bool, default=True
        Of "sgd".
    early_stopping : bool, default=False
        Hold out `validation_fraction` of the rows, stop by their score, and keep the parameters with the best
        score.
    validation_fraction : float, default=0.1
        Of `early_stopping`.
    beta_1, beta_2 : float, default=0.9, 0.999
        Of "adam".
    epsilon : float, default=1e-8
        Of "adam".
    n_iter_no_change : int, default=10
        Epochs, for `tol`.
    max_fun : int, default=15000
        The largest number of evaluations of the loss by "lbfgs".
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, multiplied into those of the rows, as in scikit-learn's other classifiers;
        also into those of held-out rows, but not of X_val. "balanced" is not for `partial_fit`.
    dropout : float or list of float, default=0.0
        The probability that a hidden activation is dropped in training, from 0 to below 1; a list has one per
        hidden layer. Not for "lbfgs".
    optimizer : bpkern optimizer, its name or None, default=None
        One of `bpkern.SGD`, `RMSprop`, `Adagrad`, `Adam`, `AdamW`, `NAdam`, which replaces `solver` and its
        settings; a name such as "adamw" stands for the optimiser with its default settings.
        Its `lr` may be a schedule of `bpkern.schedules`; ``optimizer__lr`` searches over rates.
    callbacks : bpkern callback or sequence of these, default=()
        See `bpkern.callbacks`; their hooks receive the `bpkern.MLP` that trains. Not for "lbfgs".
        scikit-learn's callbacks are set by `set_callbacks`.
    dtype : {"float32", "float64"}, that as a NumPy dtype, or None, default=None
        The type of the computations; None is the type of X.
    n_threads : int or None, default=None
        None uses up to `bpkern.get_num_threads()`, fewer if more would be slower, shared with other fits that
        run in this process. The result does not depend on it.

    Attributes
    ----------
    coefs_ : list of ndarray
        The weights of each layer, (in, out). They may be changed: predictions use the present ones.
    intercepts_ : list of ndarray
        The biases of each layer, (out,).
    classes_ : ndarray of shape (n_classes,), or list of ndarray
    loss_ : float
        The loss of the last iteration.
    best_loss_ : float or None
        The smallest loss; None with `early_stopping`.
    loss_curve_ : list of float
        The loss of each iteration of "sgd" and "adam".
    validation_scores_ : list of float or None
        Accuracies of the held-out rows, with `early_stopping`.
    best_validation_score_ : float or None
    validation_loss_curve_ : list of float or None
        Losses of X_val, if `fit` received it, with the penalty as in `loss_curve_`.
    history_ : bpkern.History or None
        The record of the last fit by "sgd" or "adam", with a `plot` method.
    n_iter_ : int
    t_ : int
        Rows trained on, over all epochs.
    n_layers_, n_outputs_ : int
    out_activation_ : str
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (number of features,)
        If X has names.

    Raises
    ------
    ValueError
        From `fit`, for parameters and data that do not fit, and if weights are no longer finite.

    Notes
    -----
    Differences from scikit-learn: negative weights of rows are refused. Other `hidden_layer_sizes` are
    refused when training continues; scikit-learn ignores them. A mini-batch of zero weight is skipped; in
    scikit-learn it is an error. With early stopping the parameters are always those of the best score.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from bpkern.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = MLPClassifier(solver="lbfgs", random_state=1).fit(X, y)
    >>> classifier.predict(X[:3])
    array([0, 0, 0])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        class_weight: Any = None,
        dropout: Any = 0.0,
        optimizer: Any = None,
        callbacks: Any = (),
        dtype: Any = None,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
            class_weight=class_weight,
            dropout=dropout,
            optimizer=optimizer,
            callbacks=callbacks,
            dtype=dtype,
            n_threads=n_threads,
        )

    # Training ----------------------------------------------------------------------------------------

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
        labels = plain_labels(y)
        rows = None if labels is None else validated(self, X, reset, len(labels))
        if rows is not None and labels is not None:
            X, y = rows, labels
        else:
            X, y = validate_data(
                self,
                X,
                y,
                accept_sparse="csr",
                multi_output=True,
                dtype=(np.float64, np.float32),
                reset=reset,
            )
        if y.ndim == 2 and y.shape[1] == 1:
            y = as_column(y, warn=True)
        if labels is None:
            check_classification_targets(y)  # LabelBinarizer's own error shows all of y
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        elif self.warm_start:
            classes = unique_labels(y)
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to "
                    f"fit. Previously got {self.classes_}, `y` has {classes}"
                )
        return X, self._codes(y)

    def _encode(self, y: Any, rows: int) -> np.ndarray:
        labels = np.asarray(y)
        if labels.shape[:1] != (rows,):
            raise ValueError(f"y_val must have as many rows as X_val, {rows}, not shape {labels.shape}")
        return self._codes(as_column(labels, warn=True) if labels.shape[1:] == (1,) else labels)

    def _codes(self, y: Any) -> np.ndarray:
        """Class numbers (n,) for more than two classes; otherwise booleans (n, n_outputs)."""
        kind = self._label_binarizer.y_type_
        labels = None if kind.startswith("multilabel") else plain_labels(y)
        codes = None if labels is None else codes_of(labels, self.classes_)
        if codes is not None:
            return codes if kind == "multiclass" else codes.astype(bool).reshape(-1, 1)
        classes = unique_labels(y)
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes_}. 'y' has {classes}."
            )
        if kind == "multiclass":
            encoder = LabelEncoder()
            encoder.classes_ = self.classes_
            return np.asarray(encoder.transform(y), np.int64)
        return np.asarray(self._label_binarizer.transform(y)).astype(bool)

    def _outputs_and_loss(self, y: np.ndarray) -> tuple[int, str, str | Loss]:
        if y.ndim == 1:
            return len(self.classes_), "softmax", "cross_entropy"
        return y.shape[1], "logistic", "binary_cross_entropy"

    def _row_weights(
        self, y: Any, targets: np.ndarray, sample_weight: np.ndarray | None, incremental: bool
    ) -> np.ndarray | None:
        if self.class_weight is None:
            return sample_weight
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight 'balanced' is not for partial_fit, which does not see all rows: give a dict, "
                "as of sklearn.utils.class_weight.compute_class_weight"
            )
        if self._label_binarizer.y_type_.startswith("multilabel"):
            weights = compute_sample_weight(self.class_weight, y)
        else:
            # With all classes, because a part of a stream may lack some.
            codes = targets if targets.ndim == 1 else targets[:, 0].astype(np.intp)
            classes = self.classes_
            weights = compute_class_weight(self.class_weight, classes=classes, y=classes[codes])[codes]
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise ValueError(
                f"class_weight must hold finite weights of at least 0, not {self.class_weight!r}"
            )
        return weights if sample_weight is None else weights * sample_weight

    def _score_of(self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        right = outputs.argmax(axis=1) == y if y.ndim == 1 else ((outputs > 0) == y).all(axis=1)
        return float(np.average(right, weights=weights))

    @continuing
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Make one iteration over these rows, continuing from the present state of the estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to train on.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Classes.
        sample_weight : array-like of shape (n_samples,), default=None
            At least 0.
        classes : array of shape (n_classes,), default=None
            All classes of all calls; required at the first call.

        Returns
        -------
        object
            The estimator itself.
        """
        if are_classes(classes, getattr(self, "classes_", None)):
            return self._partial_fit(X, y, sample_weight)
        if _check_partial_fit_first_call(self, classes):
            multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)
        return self._partial_fit(X, y, sample_weight)

    # Prediction --------------------------------------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """The most likely classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_outputs) with several labels
            Of the classes that `fit` received.
        """
        probabilities = self.predict_proba(X)
        binarizer = self._label_binarizer
        # What `inverse_transform` computes, without its checks.
        if binarizer.y_type_ == "multiclass":
            return np.asarray(binarizer.classes_.take(probabilities.argmax(axis=1)))
        if self.n_outputs_ == 1:
            probabilities = probabilities[:, 1]
            if len(binarizer.classes_) == 2:
                return np.asarray(binarizer.classes_.take(probabilities > 0.5))
        return np.asarray(binarizer.inverse_transform(probabilities))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, in the order of `classes_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            With several labels, the probability of each.
        """
        X = self._validated(X)
        probabilities = self._network(X).probabilities(X, self.n_threads)
        if self.n_outputs_ == 1:
            return np.concatenate([1 - probabilities, probabilities], axis=1)
        return probabilities

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        ndarray
            In the shape of `predict_proba`.
        """
        probabilities = self.predict_proba(X)
        with np.errstate(divide="ignore"):  # the logarithm of 0 is -infinity
            return np.log(probabilities, out=probabilities)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
