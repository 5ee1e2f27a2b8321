"""`RealMLPClassifier`."""

from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets

from .._table.values import MISSING_TYPES
from .realmlp import BaseRealMLP

# Labels that are sorted at once.
NUMBERED = 1 << 16


class RealMLPClassifier(ClassifierMixin, BaseRealMLP):
    """RealMLP for classes: a network that learns raw tables well without tuning.

    It scales numbers, encodes categories, fills gaps, holds out rows to choose the best epoch by, and has
    settings that were tuned on many tables, once, by its authors.

    Parameters
    ----------
    recipe : {"td", "td-s"}, default="td"
        The published settings. "td" has embeddings of numbers and of columns with more than 8 categories,
        trained activations, dropout and weight decay. "td-s" is simpler and faster, has one-hot columns, and
        makes networks that `bpkern.export` takes.
    hidden_layer_sizes : sequence of int, default=(256, 256, 256)
        The widths of the hidden layers.
    n_epochs : int, default=256
        Epochs, over which the learning rate goes from 0 to its maximum and back four times.
    batch_size : int, default=256
        Rows of a mini-batch, at most the training rows. Each epoch leaves out the rows of an incomplete last
        mini-batch; the rows differ from epoch to epoch.
    learning_rate : float or None, default=None
        The highest learning rate; None is the recipe's.
    metric : {"accuracy", "log_loss"}, default="accuracy"
        What matters most. For "accuracy", as published, that of the validation rows chooses the epoch, and
        targets are smoothed by 0.1. For "log_loss" their log loss chooses it, and there is no smoothing: the
        authors recommend this where probabilities matter.
    calibrate : bool, default=True
        Divide the outputs by a temperature, so that the probabilities fit the validation rows. It changes
        the output layers of the networks and, of a single network, no most likely class. Off in pytabkit.
    n_models : int, default=1
        The networks, trained side by side; predictions are the mean of their probabilities.
    ensemble : {"folds", "bags"}, default="folds"
        The rows of several networks. "folds": each part of the rows in turn chooses the epoch of one network,
        and the others train it. "bags": each network trains on as many rows as there are, drawn with
        replacement, and those not drawn choose its epoch. With own validation rows, all train on all of X.
    validation_fraction : float, default=0.2
        The part of the rows that chooses the epoch of a single network, stratified by class. With 0,
        the last epoch is kept, and nothing is calibrated.
    time_limit : float or None, default=None
        About the longest time of `fit` in seconds. The epochs are then as many as there is time for, at most
        `n_epochs`, and of a large table part of an epoch. After a fifteenth of the time, the learning rate
        has fallen to 0 for the first time, and the network is usable; an interrupt keeps it. Networks that
        have not come so far are left out, with a warning, if others have; where the time is too short for 64
        updates of each of `n_models` networks, fewer networks are trained. At least one update is made.
        Values are then predicted no worse than by their mean for the validation rows, or without these for
        some training rows.
    categorical : sequence of str or int, default=()
        Columns of whole numbers that are categories, by name or number. Texts, categoricals and booleans
        always are.
    random_state : int, RandomState instance or None, default=None
        For the split, the initial weights and the order of the rows.
    verbose : {"auto", 0, 1, 2} or bool, default=0
        Show the epochs of all networks, as `MLP.fit`.
    n_threads : int or None, default=None
        None uses up to `bpkern.get_num_threads()`, shared with other fits that run in this process. The
        result does not depend on it, unless there is a time limit.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels in order.
    encoder_ : bpkern.preprocessing.TableEncoder
        Fitted to the rows that are trained on.
    models_ : list of bpkern.MLP
        The fitted networks. They read what `encoder_` returns; the probabilities of their `predict_proba` are
        calibrated. Each has its history in ``history_``.
    model_ : bpkern.MLP
        The first network.
    validation_scores_ : ndarray of shape (number of networks,)
        Of the epoch that is kept: the accuracy; with ``metric="log_loss"``, the negative log loss, before the
        calibration. NaN without validation rows.
    n_features_in_ : int
        The number of the table's columns.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if it has names.

    Raises
    ------
    ValueError, TypeError
        From `fit`, for parameters and tables that are not allowed.

    Notes
    -----
    Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on
    tabular data" (2024), arXiv:2407.04491; the settings are those of `RealMLP_TD_Classifier` and
    `RealMLP_TD_S_Classifier` of pytabkit 1.8.0. Differences: gaps in numbers are filled, and marked in
    another column; validation rows are stratified; probabilities are calibrated; the encoder of several
    networks is fitted to all of their rows.

    The calibration is Guo et al., "On Calibration of Modern Neural Networks" (2017), arXiv:1706.04599.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from bpkern.sklearn import RealMLPClassifier
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> classifier = RealMLPClassifier(random_state=0).fit(X, y)
    >>> classifier.predict(X[:3])
    array([0, 0, 0])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseRealMLP._parameter_constraints,
        "metric": [StrOptions({"accuracy", "log_loss"})],
        "calibrate": ["boolean"],
    }

    def __init__(
        self,
        recipe: str = "td",
        *,
        hidden_layer_sizes: Any = (256, 256, 256),
        n_epochs: int = 256,
        batch_size: int = 256,
        learning_rate: float | None = None,
        metric: str = "accuracy",
        calibrate: bool = True,
        n_models: int = 1,
        ensemble: str = "folds",
        validation_fraction: float = 0.2,
        time_limit: float | None = None,
        categorical: Any = (),
        random_state: Any = None,
        verbose: Any = 0,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(
            recipe=recipe,
            hidden_layer_sizes=hidden_layer_sizes,
            n_epochs=n_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            metric=metric,
            calibrate=calibrate,
            n_models=n_models,
            ensemble=ensemble,
            validation_fraction=validation_fraction,
            time_limit=time_limit,
            categorical=categorical,
            random_state=random_state,
            verbose=verbose,
            n_threads=n_threads,
        )

    # Training ----------------------------------------------------------------------------------------

    def _targets(self, y: Any, y_val: Any) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
        labels = _labels(y, "y")
        # It sorts all labels, and of texts only their kind matters.
        check_classification_targets(labels[:NUMBERED] if labels.dtype.kind in "UO" else labels)
        classes, numbers = _numbered(labels)
        if len(classes) < 2:
            raise ValueError(
                f"The number of classes has to be greater than one; got {len(classes)} class in y"
            )
        if y_val is None:
            return numbers, None, {"classes_": classes}
        place = {label: number for number, label in enumerate(classes.tolist())}
        try:
            found = np.array([place[label] for label in _labels(y_val, "y_val").tolist()], numbers.dtype)
        except KeyError as error:
            raise ValueError(f"y_val holds {error.args[0]!r}, which is no class of y") from None
        return numbers, found, {"classes_": classes}

    def _kind(self) -> tuple[bool, bool]:
        return self.metric == "log_loss", self.calibrate

    def _score(self, value: float | None) -> float:
        if value is None:
            return np.nan
        return -value if self.metric == "log_loss" else value

    def _meaning(self) -> dict[str, Any]:
        return {"classes": self.classes_}

    # Prediction --------------------------------------------------------------------------------------

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, in the order of `classes_`.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            As for `fit`, with the same columns in the same order.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_classes)
            The mean of the networks' probabilities.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            For other columns, and for values that the encoder refuses; the message names the column.
        """
        return self._of_blocks(X, self._mean_probabilities)

    def _mean_probabilities(self, encoded: np.ndarray) -> np.ndarray:
        found = [model.predict_proba(encoded) for model in self.models_]
        return found[0] if len(found) == 1 else np.asarray(np.mean(found, axis=0))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of `predict_proba`.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            As for `predict_proba`.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        with np.errstate(divide="ignore"):  # the logarithm of 0 is -infinity
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most likely classes.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            As for `predict_proba`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels of `classes_`.
        """
        chosen = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[chosen])


def _numbered(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different labels in order, and the number of each; some rows at a time, to take little memory."""
    parts = [labels[start : start + NUMBERED] for start in range(0, max(len(labels), 1), NUMBERED)]
    classes = np.unique(np.concatenate([np.unique(part) for part in parts]))
    numbers = np.empty(len(labels), np.min_scalar_type(len(classes) - 1))
    for number, part in enumerate(parts):
        numbers[number * NUMBERED : (number + 1) * NUMBERED] = np.searchsorted(classes, part)
    return classes, numbers


def _labels(y: Any, name: str) -> np.ndarray:
    """Labels of one kind as an array. Raises ValueError for gaps and columns, TypeError for mixed kinds."""
    listed = isinstance(y, (list, tuple))
    # NumPy would make texts of a list's gaps and numbers beside texts.
    given = np.array(y, dtype=object) if listed else y if hasattr(y, "tocsr") else np.asarray(y)
    labels = np.asarray(column_or_1d(given, warn=True))
    if labels.dtype.kind == "O":
        labels = _of_objects(labels, name)
    elif labels.dtype.kind == "f":
        _refuse_gaps(np.isnan(labels), name)
    assert_all_finite(labels, input_name=name)
    return np.array(labels.tolist()) if listed and len(labels) else labels


def _of_objects(labels: np.ndarray, name: str) -> np.ndarray:
    """Objects of one kind: texts as objects, others as numbers."""
    values = labels.tolist()
    _refuse_gaps(
        np.array([type(each).__name__ in MISSING_TYPES or each != each for each in values], bool), name
    )
    for kinds in ((str,), (bool, np.bool_), (int, float, np.number)):
        if all(isinstance(each, kinds) and isinstance(each, bool) <= (bool in kinds) for each in values):
            return labels if kinds == (str,) else np.array(values)
    found = " and ".join(sorted({type(each).__name__ for each in values}))
    raise TypeError(f"{name} must hold texts, numbers or booleans alone, not {found}")


def _refuse_gaps(gaps: np.ndarray, name: str) -> None:
    """Raise ValueError for the first True."""
    if gaps.any():
        row = int(gaps.argmax())
        raise ValueError(f"Input {name} contains NaN or None, in row {row}: leave out rows without a label")
