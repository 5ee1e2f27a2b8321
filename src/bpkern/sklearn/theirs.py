"""scikit-learn's estimators and these: parameters and fitted attributes, in both directions."""

import copy
from typing import Any

from sklearn import neural_network

from .predictor import ALIASES

# From this package's name of an activation to scikit-learn's.
THEIR_NAMES = {name: name for name in ("identity", "tanh", "relu")} | {
    name: alias for alias, name in ALIASES.items()
}

# The fitted attributes that both have. Predictions need those with an underscore before their name too.
FITTED = (
    "coefs_",
    "intercepts_",
    "classes_",
    "_label_binarizer",
    "out_activation_",
    "n_features_in_",
    "feature_names_in_",
    "n_layers_",
    "n_outputs_",
    "n_iter_",
    "t_",
    "loss_",
    "best_loss_",
    "loss_curve_",
    "validation_scores_",
    "best_validation_score_",
    "_no_improvement_count",
)


def fitted_attributes(estimator: Any) -> dict[str, Any]:
    """Copies of the fitted attributes that both have."""
    attributes = vars(estimator)
    return {name: copy.deepcopy(attributes[name]) for name in FITTED if name in attributes}


def to_theirs(
    estimator: Any, activations: list[str]
) -> "neural_network.MLPClassifier | neural_network.MLPRegressor":
    """scikit-learn's estimator of the same class name, with the same parameters and fitted attributes.

    Parameters
    ----------
    estimator : BaseMLP
    activations : list of str
        One per hidden layer, by this package's names.

    Raises
    ------
    ValueError
        If scikit-learn has no name for an activation, or for the output of the poisson loss.
    """
    kind = getattr(neural_network, "MLPClassifier" if hasattr(estimator, "classes_") else "MLPRegressor")
    theirs = kind()
    given = estimator.get_params(deep=False)
    parameters = {name: given[name] for name in theirs.get_params(deep=False)}
    parameters["activation"] = _their_activation(activations)
    loss = parameters.get("loss")
    if estimator.out_activation_ == "exp" and loss is None:
        raise ValueError("this version of scikit-learn has no poisson loss in its MLPRegressor: 1.7 has it")
    if loss not in (None, "poisson"):
        parameters["loss"] = "squared_error"
    theirs.set_params(**copy.deepcopy(parameters))
    attributes = fitted_attributes(estimator)
    # Where a fit with early stopping continues, scikit-learn returns to these if no score is better.
    best = {f"_best_{name}": copy.deepcopy(attributes[f"{name}_"]) for name in ("coefs", "intercepts")}
    vars(theirs).update(attributes, **best)
    return theirs


def _their_activation(activations: list[str]) -> str:
    """scikit-learn's one name for all hidden layers. Raises ValueError if there is none."""
    for number, name in enumerate(activations):
        if name not in THEIR_NAMES:
            raise ValueError(
                f"scikit-learn's MLPs have no activation {name!r}, which hidden layer {number} has, only "
                f"{', '.join(THEIR_NAMES)}"
            )
    names = set(activations)
    if len(names) > 1:
        raise ValueError(f"scikit-learn's MLPs have one activation for all hidden layers, not {activations}")
    return THEIR_NAMES[names.pop()] if names else "relu"
