"""`from_sklearn`: scikit-learn's fitted multilayer perceptrons as estimators of this package."""

import copy
from typing import Any

from sklearn import neural_network
from sklearn.utils.validation import check_is_fitted

from .classifier import MLPClassifier
from .regressor import MLPRegressor
from .theirs import fitted_attributes

# Not of this package's estimators when scikit-learn's has been fitted; their values mean that there is none.
WITHOUT: dict[str, Any] = {
    "_networks": {},
    "_noted": [],
    "_trainer": None,
    "history_": None,
    "validation_loss_curve_": None,
}


def from_sklearn(fitted: Any) -> MLPClassifier | MLPRegressor:
    """An estimator with the parameters and the fitted attributes of one of scikit-learn's.

    Its predictions are the same up to rounding. `partial_fit` and ``warm_start`` continue from its weights
    and curves, with a new optimiser.

    Parameters
    ----------
    fitted : sklearn.neural_network.MLPClassifier or MLPRegressor
        It is copied, not changed.

    Returns
    -------
    MLPClassifier or MLPRegressor
        Of `bpkern.sklearn`, with copies of the weights.

    Raises
    ------
    TypeError
        For any other object. Of a Pipeline or a search, give the step or ``best_estimator_``.
    NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from bpkern.sklearn import from_sklearn
    >>> X, y = load_iris(return_X_y=True)
    >>> theirs = MLPClassifier(solver="lbfgs", random_state=1).fit(X, y)
    >>> bool((from_sklearn(theirs).predict(X) == theirs.predict(X)).all())
    True
    """
    kinds = {neural_network.MLPClassifier: MLPClassifier, neural_network.MLPRegressor: MLPRegressor}
    kind = kinds.get(type(fitted))
    if kind is None:
        raise TypeError(
            "from_sklearn takes a fitted MLPClassifier or MLPRegressor of sklearn.neural_network, not "
            f"{type(fitted).__module__}.{type(fitted).__qualname__}"
        )
    check_is_fitted(fitted)
    estimator = kind(**copy.deepcopy(fitted.get_params(deep=False)))
    estimator.__setstate__({**vars(estimator), **copy.deepcopy(WITHOUT), **fitted_attributes(fitted)})
    return estimator
