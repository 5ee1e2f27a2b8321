"""The losses of MLPRegressor beside scikit-learn's: definitions, trained by every solver, searched over."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn_helpers import quietly, rows, targets

from bpkern import losses
from bpkern.sklearn import MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = rows()
VALUES = targets("multioutput", X)


def huber(d, delta):
    return np.where(np.abs(d) <= delta, d**2 / 2, delta * (np.abs(d) - delta / 2))


def pinball(d, q):
    return np.where(d < 0, -q * d, (1 - q) * d)


# With d = output - target; each is summed over the outputs.
DEFINITIONS = {
    "mae": ("mae", np.abs),
    "log_cosh": ("log_cosh", lambda d: np.log(np.cosh(d))),
    "huber": ("huber", lambda d: huber(d, 1.0)),
    "quantile": ("quantile", lambda d: pinball(d, 0.5)),
    "Huber": (losses.Huber([0.2, 0.5, 0.9]), lambda d: huber(d, np.array([0.2, 0.5, 0.9]))),
    "Quantile": (losses.Quantile(0.9), lambda d: pinball(d, 0.9)),
}
EACH = pytest.mark.parametrize(("loss", "definition"), DEFINITIONS.values(), ids=DEFINITIONS)


def settings(loss, **others):
    return MLPRegressor(loss, hidden_layer_sizes=5, random_state=0, alpha=0.3, **others)


def objective(model, definition):
    """The mean over the rows of the loss, with scikit-learn's penalty."""
    penalty = 0.3 / 2 * sum((coef**2).sum() for coef in model.coefs_) / len(X)
    d = model.predict(X).reshape(VALUES.shape) - VALUES
    return definition(d).sum(axis=1).mean() + penalty


@EACH
def test_the_reported_loss(loss, definition):
    model = settings(loss, max_iter=1, batch_size=len(X)).fit(X, VALUES)
    before = objective(model, definition)
    model.partial_fit(X, VALUES)
    assert model.loss_ == pytest.approx(before, rel=1e-12)


@EACH
def test_a_step_is_that_of_the_gradient(loss, definition):
    """SGD's step over the rate, against central differences of the definition."""
    plain = dict(solver="sgd", momentum=0.0, learning_rate_init=1e-3, max_iter=1, batch_size=len(X))
    model, before = (settings(loss, **plain).fit(X, VALUES) for _ in range(2))
    model.partial_fit(X, VALUES)
    for layer, at in [(0, (2, 3)), (1, (4, 1))]:
        step = (before.coefs_[layer][at] - model.coefs_[layer][at]) / 1e-3
        values = []
        for h in (1e-6, -1e-6):
            before.coefs_[layer][at] += h
            values.append(objective(before, definition))
            before.coefs_[layer][at] -= h
        assert step == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4, abs=1e-6)


@EACH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_training_lowers_the_loss(solver, loss, definition):
    start = quietly(settings(loss, solver=solver, max_iter=1).fit, X, VALUES)
    model = quietly(settings(loss, solver=solver, max_iter=60, learning_rate_init=0.02, tol=0).fit, X, VALUES)
    assert objective(model, definition) < 0.7 * objective(start, definition)
    assert model.out_activation_ == "identity"


def test_quantiles_are_quantiles():
    rng = np.random.default_rng(0)
    inputs, noise = np.ones((2000, 1)), rng.standard_normal(2000)
    model = MLPRegressor(losses.Quantile(0.9), hidden_layer_sizes=(), learning_rate_init=0.01, random_state=0)
    model.fit(inputs, noise)
    assert (noise <= model.predict(inputs)).mean() == pytest.approx(0.9, abs=0.02)


def test_a_search_over_the_parameter():
    model = MLPRegressor(losses.Quantile(0.1), hidden_layer_sizes=4, max_iter=3, random_state=0)
    search = GridSearchCV(model, {"loss__q": [0.2, 0.8]}, cv=2).fit(X, VALUES[:, 0])
    assert search.best_params_["loss__q"] in (0.2, 0.8)
    assert search.best_estimator_.loss.q == search.best_params_["loss__q"]
    assert model.loss.q == 0.1
    made = clone(model)
    assert made.loss is not model.loss
    assert repr(made.loss) == repr(model.loss)


def test_refusals():
    with pytest.raises(ValueError, match="q must be one number, or one per output, 3, not 2"):
        settings(losses.Quantile([0.1, 0.2])).fit(X, VALUES)
    model = settings(losses.Huber(1.0))
    with pytest.raises(ValueError, match="Huber has no setting 'q': there are delta"):
        model.set_params(loss__q=0.5)
    with pytest.raises(ValueError, match="delta must be above 0"):
        model.set_params(loss__delta=0)
    assert model.loss.delta == 1.0
