"""partial_fit after the user has changed `coefs_`: values and dtype may change, shapes may not."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from sklearn_helpers import BOTH, data

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = pytest.mark.parametrize("solver", ["sgd", "adam"])


def started(kind, solver, dtype="float64"):
    X, y = data(kind)
    model = kind(hidden_layer_sizes=(5,), solver=solver, random_state=0)
    first = {"classes": np.unique(y)} if kind.__name__ == "MLPClassifier" else {}
    model.partial_fit(X.astype(dtype), y, **first)
    for _ in range(2):
        model.partial_fit(X.astype(dtype), y)
    return model, X.astype(dtype), y


def cast(arrays, dtype):
    return [array.astype(dtype) for array in arrays]


@SOLVERS
@BOTH
@pytest.mark.parametrize(("before", "after"), [("float32", "float64"), ("float64", "float32")])
@pytest.mark.parametrize("changed", [{}, {"alpha": 0.01}])
def test_another_dtype(kind, solver, before, after, changed):
    """With other parameters, a new network of the new dtype takes over the optimiser's states."""
    model, X, y = started(kind, solver, before)
    same, _, _ = started(kind, solver, before)
    for estimator in (model, same):
        estimator.set_params(**changed)
    model.coefs_, model.intercepts_ = cast(model.coefs_, after), cast(model.intercepts_, after)
    for _ in range(3):
        model.partial_fit(X, y)
        same.partial_fit(X, y)
    for coef, expected in zip(model.coefs_, same.coefs_, strict=True):
        assert np.allclose(coef, expected, 1e-3, 1e-5)
    assert {coef.dtype for coef in model.coefs_} == {np.dtype(after if changed else before)}


WIDER = {
    "wider": lambda coefs, intercepts: (
        [np.hstack([coefs[0], coefs[0]]), np.vstack([coefs[1], coefs[1]])],
        [np.tile(intercepts[0], 2), intercepts[1]],
    ),
    "narrower": lambda coefs, intercepts: (
        [coefs[0][:, :2].copy(), coefs[1][:2].copy()],
        [intercepts[0][:2].copy(), intercepts[1]],
    ),
}


@SOLVERS
@BOTH
@pytest.mark.parametrize("changed", [{}, {"alpha": 0.01}])
@pytest.mark.parametrize("change", WIDER.values(), ids=WIDER)
def test_other_shapes(kind, solver, change, changed):
    model, X, y = started(kind, solver)
    model.coefs_, model.intercepts_ = change(model.coefs_, model.intercepts_)
    with pytest.raises(ValueError, match="training goes on with the layers"):
        model.partial_fit(X, y)
    model.set_params(hidden_layer_sizes=(len(model.intercepts_[0]),), **changed)
    before = [coef.tobytes() for coef in model.coefs_]
    with pytest.raises(ValueError, match="shape"):
        model.partial_fit(X, y)
    assert [coef.tobytes() for coef in model.coefs_] == before


@SOLVERS
@BOTH
@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.intercepts_.__setitem__(0, model.intercepts_[0][:2]),
        lambda model: model.intercepts_.pop(),
        lambda model: model.coefs_.__setitem__(1, model.coefs_[1][:2]),
        lambda model: model.coefs_.__setitem__(1, np.full_like(model.coefs_[1], np.nan)),
    ],
)
@pytest.mark.parametrize("changed", [{}, {"alpha": 0.01}])
def test_parameters_that_do_not_fit_each_other(kind, solver, change, changed):
    model, X, y = started(kind, solver)
    change(model)
    model.set_params(**changed)
    with pytest.raises(ValueError):  # noqa: PT011 - which message depends on the order of the checks
        model.partial_fit(X, y)
