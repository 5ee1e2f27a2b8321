"""Prediction of both estimators, from `coefs_` and `intercepts_` as they are now."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import StrOptions

from .. import _core
from .._model.prediction import overflow
from .._model.settings import checked_activation
from ..activations import BY_NAME, Activation
from ..losses import Loss
from ..mlp import MLP
from .shortcuts import check_fitted, validate_rows
from .state import plain, with_history
from .trainer import Trainer

# From scikit-learn's name of an activation to this package's.
ALIASES = {"logistic": "sigmoid"}

# From scikit-learn's name of an output activation to the loss that contains it.
LOSS_OF_OUTPUT = {
    "softmax": "cross_entropy",
    "logistic": "binary_cross_entropy",
    "identity": "squared_error",
    "exp": "poisson",
}


class ActivationNames(StrOptions):
    """The constraint of names of activations, or texts with a parameter such as "leaky_relu(0.2)".

    `Predictor._activations` checks the parameter.
    """

    def __init__(self) -> None:
        super().__init__({*_core.ACTIVATIONS, *ALIASES})

    def is_satisfied_by(self, val: Any) -> bool:
        """Whether it is such a text."""
        name, parenthesis, _ = val.partition("(") if isinstance(val, str) else (val, "", "")
        return bool(super().is_satisfied_by(val)) or (bool(parenthesis) and name.strip() in BY_NAME)


class Predictor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Predicts from `coefs_` and `intercepts_`: a change of these arrays changes the predictions.

    The networks that predict are made from them, one for each dtype and `activation`, and made again after a
    change.
    """

    coefs_: list[np.ndarray]  # W of each layer, (in, out)
    intercepts_: list[np.ndarray]
    _networks: dict[tuple[str, ...], Trainer]  # by dtype and activations, for the parameters in `_noted`
    _noted: list[np.ndarray]  # copies of coefs_ and intercepts_
    _model: MLP | None = None  # of `model_`, for the parameters in `_noted`

    def _note_parameters(self) -> None:
        """Copy the parameters as they are now, and drop the networks made from earlier ones."""
        self._networks, self._model = {}, None
        self._noted = [parameter.copy() for parameter in (*self.coefs_, *self.intercepts_)]

    def _are_noted(self) -> bool:
        """Whether the parameters are unchanged since `_note_parameters`."""
        parameters = (*self.coefs_, *self.intercepts_)
        return len(parameters) == len(self._noted) and all(
            now.dtype == then.dtype and now.shape == then.shape and (now == then).all()
            for now, then in zip(parameters, self._noted, strict=True)
        )

    def _activations(self, hidden: int) -> list[str]:
        """The activations of the hidden layers, by this package's names."""
        given = self.activation
        names = [given] * hidden if isinstance(given, (str, Activation)) else list(given)
        if len(names) != hidden:
            raise ValueError(f"activation must have one name per hidden layer, {hidden}, not {len(names)}")
        return [
            checked_activation("activation", ALIASES.get(name, name) if isinstance(name, str) else name)
            for name in names
        ]

    def _network(self, X: Any) -> Trainer:
        """The network that predicts for X, in the requested dtype, or in one that holds X and parameters."""
        if not self._are_noted():
            self._note_parameters()
        dtype = np.dtype(np.result_type(X.dtype, self.coefs_[0].dtype) if self.dtype is None else self.dtype)
        activations = self._activations(len(self.coefs_) - 1)
        key = dtype.name, *activations
        network = self._networks.get(key)
        if network is None:
            network = self._networks[key] = Trainer(
                self.coefs_,
                self.intercepts_,
                activation=activations,
                loss=LOSS_OF_OUTPUT[self.out_activation_],
                alpha=0.0,
                optimizer=None,
                dropout=0.0,
                dtype=dtype,
                seed=0,
            )
        return network

    def _validated(self, X: Any) -> Any:
        """X as float32 or float64, dense or CSR. Raises NotFittedError, ValueError or TypeError."""
        check_fitted(self)
        return validate_rows(self, X)

    def _outputs(self, X: Any) -> np.ndarray:
        """The outputs (n, n_outputs_), before the output activation. ValueError unless they are finite."""
        X = self._validated(X)
        outputs = self._network(X).outputs(X, n_threads=self.n_threads)
        if not _core.all_finite(outputs):
            raise overflow(outputs)
        return outputs

    def transform(self, X: Any) -> np.ndarray:
        """The activations of the last hidden layer, as features of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples, width of the last hidden layer)
            The activations.

        Raises
        ------
        ValueError
            Without a hidden layer.
        """
        X = self._validated(X)
        hidden = len(self.coefs_) - 1
        if hidden == 0:
            raise ValueError(
                "transform gives the activations of a hidden layer, and hidden_layer_sizes is empty"
            )
        return self._network(X).outputs(X, layer=hidden, n_threads=self.n_threads)

    @property
    def _n_features_out(self) -> int:
        """The number of features of `transform`, for `get_feature_names_out`."""
        return self.coefs_[-1].shape[0]

    def _loss_of_outputs(self) -> str | Loss:
        """The loss whose softmax, sigmoid or exponential the predictions have."""
        return LOSS_OF_OUTPUT[self.out_activation_]

    def _fitted_so_far(self, trainer: Trainer) -> dict[str, Any]:
        """The attributes that a copy of this estimator needs to predict like a network in training."""
        coefs, intercepts = trainer.get_coefs()
        # With nothing noted, the copy makes its own networks.
        return {"coefs_": coefs, "intercepts_": intercepts, "_noted": [], "_networks": {}, "_model": None}

    def __getstate__(self) -> dict[str, Any]:
        """The attributes in plain form (`bpkern.sklearn.state`)."""
        return plain(super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(with_history(state))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
