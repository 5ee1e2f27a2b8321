"""`MLPRegressor`, with the parameters and attributes of scikit-learn's."""

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_array, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import validate_data

from .._fit.metrics import make_metrics
from ..losses import Loss
from .perceptron import BaseMLP
from .shortcuts import plain_values, validated


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multilayer perceptron for values: scikit-learn's `MLPRegressor`, many times faster.

    With scikit-learn's parameters and the same `random_state` it makes the same steps, up to rounding; the
    parameters after `max_fun` are additions.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "mae", "huber", "quantile", "log_cosh"} or bpkern loss, \
default="squared_error"
        Half the squared error; or, for y of at least 0, half the Poisson deviance, where the outputs are
        logarithms of the predictions. As additions the losses of `bpkern.MLP`: the absolute error, the
        logarithm of the hyperbolic cosine, and by name or as `bpkern.losses.Huber` and `Quantile`, whose
        parameters a search sets by ``loss__delta`` and ``loss__q``. Of several outputs, the losses are added
        up.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, \
max_iter, shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, \
validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change, max_fun, dropout, optimizer, callbacks, \
dtype, n_threads : as for `MLPClassifier`
        The score of early stopping is R2.

    Attributes
    ----------
    coefs_, intercepts_, loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, \
validation_loss_curve_, history_, n_iter_, t_, n_layers_, n_outputs_, out_activation_, n_features_in_, \
feature_names_in_ : as for `MLPClassifier`
        The scores are R2.

    Raises
    ------
    ValueError
        From `fit`, for parameters and data that do not fit, and if weights are no longer finite.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from bpkern.sklearn import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> regressor = MLPRegressor(solver="lbfgs", max_iter=1000, random_state=1).fit(X, y)
    >>> regressor.predict(X).shape
    (442,)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson", "mae", "huber", "quantile", "log_cosh"}), Loss],
    }

    def __init__(
        self,
        loss: str | Loss = "squared_error",
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
        dropout: Any = 0.0,
        optimizer: Any = None,
        callbacks: Any = (),
        dtype: Any = None,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(
            loss=loss,
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
            dropout=dropout,
            optimizer=optimizer,
            callbacks=callbacks,
            dtype=dtype,
            n_threads=n_threads,
        )

    # Training ----------------------------------------------------------------------------------------

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
        values = plain_values(y)
        rows = None if values is None else validated(self, X, reset, len(values))
        if rows is not None and values is not None:
            return rows, values.reshape(-1, 1)
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y.reshape(len(y), -1)

    def _encode(self, y: Any, rows: int) -> np.ndarray:
        values = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y_val")
        if values.shape[:1] != (rows,):
            raise ValueError(f"y_val must have as many rows as X_val, {rows}, not shape {values.shape}")
        return values.reshape(rows, -1)

    def _outputs_and_loss(self, y: np.ndarray) -> tuple[int, str, str | Loss]:
        return y.shape[1], "exp" if self.loss == "poisson" else "identity", self.loss

    def _loss_of_outputs(self) -> str | Loss:
        usual = super()._loss_of_outputs()
        # The parameter may have changed since the fit.
        return usual if "poisson" in (usual, self.loss) else self.loss

    def _score_of(self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        (r2,) = make_metrics("r2", "squared_error", outputs.shape[1])
        return r2(y, self._values(outputs), weights)

    # Prediction --------------------------------------------------------------------------------------

    @np.errstate(all="ignore")
    def _values(self, outputs: np.ndarray) -> np.ndarray:
        """The predictions of outputs, which may be overwritten."""
        return np.exp(outputs, out=outputs) if self.out_activation_ == "exp" else outputs

    def predict(self, X: Any) -> np.ndarray:
        """Predict values.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The values, one-dimensional for one output.
        """
        values = self._values(self._outputs(X))
        return values[:, 0] if values.shape[1] == 1 else values
