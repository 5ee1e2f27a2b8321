"""`RealMLPRegressor`."""

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_array, column_or_1d

from .._table.fitted_table import meaning_of_values
from .realmlp import BaseRealMLP


class RealMLPRegressor(RegressorMixin, BaseRealMLP):
    """RealMLP for values: a network that learns raw tables well without tuning.

    It scales numbers and the target, encodes categories, fills gaps, holds out rows to choose the best epoch
    by, and has settings that were tuned on many tables, once, by its authors.

    Parameters
    ----------
    recipe, hidden_layer_sizes, n_epochs, batch_size, learning_rate, n_models, ensemble, \
validation_fraction, time_limit, categorical, random_state, verbose, n_threads : as for `RealMLPClassifier`
        The mean squared error of the validation rows chooses the epoch, and predictions of several networks
        are averaged.

    Attributes
    ----------
    encoder_, models_, model_, n_features_in_, feature_names_in_ : as for `RealMLPClassifier`
        The outputs of the networks are values of mean 0 and standard deviation 1. The ``val_loss`` of
        ``history_`` is that of predictions within `limits_`.
    center_, spread_ : ndarray of shape (n_outputs,)
        The mean and the standard deviation of the values that are trained on: a network predicts ``center_ +
        spread_ * outputs``.
    limits_ : list of ndarray of shape (2, n_outputs), or of None
        For each network, the least and the largest values that it has trained on: predictions beyond are cut
        to these, as published. None with "td-s".
    validation_scores_ : ndarray of shape (number of networks,)
        Of the epoch that is kept, 1 minus the mean squared error in units of ``spread_**2``; NaN without
        validation rows.

    Raises
    ------
    ValueError, TypeError
        From `fit`, for parameters and tables that are not allowed.

    Notes
    -----
    Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on
    tabular data" (2024), arXiv:2407.04491; the settings are those of `RealMLP_TD_Regressor` and
    `RealMLP_TD_S_Regressor` of pytabkit 1.8.0. Differences: gaps in numbers are filled, and marked in another
    column; the encoder and the scale of the target of several networks are fitted to all of their rows; of
    several outputs, the error that chooses the epoch is the mean of errors of scaled outputs.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from bpkern.sklearn import RealMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> regressor = RealMLPRegressor(random_state=0).fit(X, y)
    >>> regressor.predict(X).shape
    (442,)
    """

    def __init__(
        self,
        recipe: str = "td",
        *,
        hidden_layer_sizes: Any = (256, 256, 256),
        n_epochs: int = 256,
        batch_size: int = 256,
        learning_rate: float | None = None,
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
        values = _values(y, "y")
        if y_val is None:
            return values, None, {"_is_1d": values.ndim == 1}
        other = _values(y_val, "y_val")
        if other.shape[1:] != values.shape[1:]:
            raise ValueError(f"y_val must have as many columns as y, of shape {values.shape}: {other.shape}")
        return values, other, {"_is_1d": values.ndim == 1}

    def _kind(self) -> tuple[bool, bool]:
        return False, False

    def _score(self, value: float | None) -> float:
        return np.nan if value is None else 1 - value

    def _keep(self, frame: Any, found: Any, fitted: dict[str, Any]) -> None:
        own = {"center_": found.center, "spread_": found.spread, "limits_": found.limits}
        super()._keep(frame, found, fitted | own)

    def _meaning(self) -> dict[str, Any]:
        if len(self.center_) > 1:
            raise ValueError(f"a TableModel predicts one value, and this estimator {len(self.center_)}")
        return meaning_of_values(self.center_, self.spread_, self.limits_[0])

    # Prediction --------------------------------------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """The values of the rows of a table.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            As for `fit`, with the same columns in the same order.

        Returns
        -------
        ndarray of float64, shape (n_samples,) or (n_samples, n_outputs)
            In the form of y in `fit`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            For other columns, and for values that the encoder refuses; the message names the column.
        """
        mean = self._of_blocks(X, self._mean_values)
        return mean[:, 0] if self._is_1d else mean

    def _mean_values(self, encoded: np.ndarray) -> np.ndarray:
        found = []
        for model, limits in zip(self.models_, self.limits_, strict=True):
            values = self.center_ + self.spread_ * model.predict(encoded).reshape(len(encoded), -1).astype(
                np.float64
            )
            found.append(values if limits is None else np.clip(values, *limits))
        return np.asarray(np.mean(found, axis=0))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _values(y: Any, name: str) -> np.ndarray:
    """Values (n,) or (n, outputs) as float64. Raises ValueError for others than finite numbers."""
    try:
        values = check_array(y, ensure_2d=False, dtype=np.float64, input_name=name)
    except (TypeError, ValueError) as error:
        if any(isinstance(each, str) for each in np.asarray(y, object).ravel().tolist()):
            raise ValueError(f"{name} must hold numbers: {error}. Use RealMLPClassifier for labels") from None
        raise
    if values.ndim == 2 and values.shape[1] == 1:
        values = column_or_1d(values, warn=True)
    return values
