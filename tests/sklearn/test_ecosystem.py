"""The estimators in scikit-learn's checks, searches, pipelines and ensembles, and in files."""

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

import joblib
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, StackingRegressor
from sklearn.inspection import permutation_importance
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score, learning_curve
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn_helpers import quietly, rows, targets

from bpkern.sklearn import MLPClassifier, MLPRegressor

BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])

# Searches and ensembles make dozens of fits, which need not converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = dict(hidden_layer_sizes=5, max_iter=4, random_state=0)


# scikit-learn's checks ----------------------------------------------------------------------------------


def their_checks():
    """scikit-learn's checks, with the settings of its own estimators, and with L-BFGS. The data are small, so
    that fewer iterations than the default of 200 do."""
    few = dict(solver="lbfgs", hidden_layer_sizes=5, max_iter=20)
    for kind in (MLPClassifier, MLPRegressor):
        for model in (kind(max_iter=100), kind(**few)):
            for estimator, check in estimator_checks_generator(model):
                known = getattr(check, "func", check)
                keywords = [f"{name}={value}" for name, value in getattr(check, "keywords", {}).items()]
                yield pytest.param(estimator, check, id=" ".join([repr(model), known.__name__, *keywords]))


@pytest.mark.filterwarnings("ignore:.* columns of X hold large numbers")
@pytest.mark.parametrize(("estimator", "check"), list(their_checks()))
def test_their_checks(estimator, check):
    """No check is expected to fail."""
    check(estimator)


# Rows in files and in objects ---------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_read_only_memmaps(dtype, kind, tmp_path):
    X, y = rows().astype(dtype), targets("binary", rows())
    mapped = []
    for name, array in (("X", X), ("y", y), ("w", np.ones(len(y)))):
        np.save(tmp_path / f"{name}.npy", array)
        mapped.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    model, other = kind(**SMALL).fit(*mapped), kind(**SMALL).fit(X, y, np.ones(len(y)))
    assert np.array_equal(model.predict(mapped[0]), other.predict(X))
    model.partial_fit(*mapped)
    assert np.array_equal(model.coefs_[0], other.partial_fit(X, y, np.ones(len(y))).coefs_[0])


@BOTH
def test_objects(kind):
    X, y = rows(), targets("binary", rows())
    model, other = kind(**SMALL).fit(X.astype(object), y), kind(**SMALL).fit(X, y)
    assert model.coefs_[0].dtype == np.float64
    assert np.array_equal(model.predict(X.astype(object)), other.predict(X))


# Copies and files ---------------------------------------------------------------------------------------

COPIES = {
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "joblib": lambda model, path: joblib.load(joblib.dump(model, path / "model")[0]),
}


@BOTH
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_copies_predict_and_go_on_the_same(solver, way, kind, tmp_path):
    X, y = rows(), targets("binary", rows())
    model = kind(**SMALL, solver=solver).fit(X, y)
    model.predict(X)
    made = COPIES[way](model, tmp_path)
    assert np.array_equal(made.predict(X), model.predict(X))
    if solver == "lbfgs":
        return
    before = model.coefs_[0].copy()
    made.partial_fit(X, y)
    assert np.array_equal(model.coefs_[0], before)
    model.partial_fit(X, y)
    assert np.array_equal(made.coefs_[0], model.coefs_[0])
    assert made.loss_curve_ == model.loss_curve_


def test_a_file_holds_the_parameters_once():
    X = np.random.default_rng(0).standard_normal((20, 50))
    model = MLPClassifier((200, 100), solver="lbfgs", max_iter=1).fit(X, np.arange(20) % 2)
    model.predict(X)
    size = sum(parameter.nbytes for parameter in model.coefs_ + model.intercepts_)
    data = pickle.dumps(model)
    assert size < len(data) < 1.1 * size
    made = pickle.loads(data)
    assert np.array_equal(made.predict_proba(X), model.predict_proba(X))
    made.coefs_[0][:] = 0
    assert not np.array_equal(made.predict_proba(X), model.predict_proba(X))


def test_parameters_mapped_from_a_file(tmp_path):
    """joblib maps large arrays read-only, as it does for its worker processes."""
    X, y = rows(), targets("multiclass", rows())
    model = MLPClassifier(hidden_layer_sizes=400, max_iter=2, random_state=0).fit(X, y)
    made = joblib.load(joblib.dump(model, tmp_path / "model")[0], mmap_mode="r")
    assert not made.coefs_[0].flags.writeable
    assert np.array_equal(made.predict_proba(X), model.predict_proba(X))
    assert np.array_equal(made.partial_fit(X, y).coefs_[0], model.partial_fit(X, y).coefs_[0])


def test_an_estimator_that_is_not_fitted_can_be_pickled():
    made = pickle.loads(pickle.dumps(MLPClassifier(**SMALL, dropout=0.5)))
    assert made.get_params() == MLPClassifier(**SMALL, dropout=0.5).get_params()


@BOTH
def test_clones_are_not_fitted_and_fit_the_same(kind):
    X, y = rows(), targets("binary", rows())
    model = kind(**SMALL).fit(X, y)
    made = clone(model)
    assert not hasattr(made, "coefs_")
    assert np.array_equal(made.fit(X, y).coefs_[0], model.coefs_[0])


# Pipelines, searches and other users of estimators ------------------------------------------------------

iris = load_iris(return_X_y=True)


def classifier(**parameters):
    parameters = dict(hidden_layer_sizes=8, max_iter=30, learning_rate_init=0.02, random_state=0) | parameters
    return make_pipeline(StandardScaler(), MLPClassifier(**parameters))


def test_pipeline():
    X, y = iris
    model = classifier().fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.predict_proba(X).shape == (150, 3)
    quietly(model.set_params(mlpclassifier__solver="lbfgs", mlpclassifier__alpha=0.1).fit, X, y)
    assert model[-1].solver == "lbfgs"


def test_pipeline_with_the_hidden_layer_as_features():
    pandas = pytest.importorskip("pandas", reason="pandas makes the tables")
    X, y = iris
    model = make_pipeline(StandardScaler(), MLPClassifier(**SMALL), RidgeClassifier())
    model.set_output(transform="pandas").fit(X, y)
    features = model[:-1].transform(X)
    assert isinstance(features, pandas.DataFrame)
    assert list(features.columns) == list(model[:-1].get_feature_names_out())
    assert list(model[-1].feature_names_in_) == [f"mlpclassifier{i}" for i in range(5)]
    assert model.score(X, y) > 0.5


def test_set_output():
    pandas = pytest.importorskip("pandas", reason="pandas makes the tables")
    X, y = iris
    X = pandas.DataFrame(X, index=np.arange(len(X)) + 7, columns=list("abcd"))
    for kind in (MLPClassifier, MLPRegressor):
        model = kind(**SMALL).set_output(transform="pandas").fit(X, y)
        table = model.transform(X.iloc[:3])
        assert list(table.columns) == list(model.get_feature_names_out())
        assert list(table.index) == [7, 8, 9]
        # Predictions are arrays, not tables.
        assert isinstance(model.predict(X), np.ndarray)


GRID = {"mlpclassifier__alpha": [1e-4, 10.0], "mlpclassifier__hidden_layer_sizes": [(4,), (6, 3)]}


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_grid_search_in_parallel(backend):
    """Two fits at a time give the result of one after the other."""
    X, y = iris
    alone = GridSearchCV(classifier(), GRID, cv=3).fit(X, y)
    with joblib.parallel_backend(backend, n_jobs=2):
        search = GridSearchCV(classifier(), GRID, cv=3).fit(X, y)
    assert search.best_params_ == alone.best_params_
    for name in ("mean_test_score", "std_test_score"):
        assert np.array_equal(search.cv_results_[name], alone.cv_results_[name])
    coefs = [each.best_estimator_[-1].coefs_ for each in (search, alone)]
    assert all(np.array_equal(*pair) for pair in zip(*coefs, strict=True))
    assert len(set(alone.cv_results_["mean_test_score"])) > 1


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_threads_that_predict_and_fit_at_once(solver):
    """One fitted estimator predicts in many threads, while its clones fit in others."""
    X, y = rows(400), targets("multiclass", rows(400))
    model = MLPClassifier(**SMALL, solver=solver).fit(X, y)
    fresh = pickle.loads(pickle.dumps(model))
    with joblib.parallel_backend("threading", n_jobs=4):
        predicted = joblib.Parallel()(joblib.delayed(fresh.predict_proba)(X) for _ in range(16))
        fitted = joblib.Parallel()(joblib.delayed(clone(model).fit)(X, y) for _ in range(8))
    assert all(np.array_equal(each, model.predict_proba(X)) for each in predicted)
    assert all(np.array_equal(each.coefs_[0], model.coefs_[0]) for each in fitted)


def test_cross_validation():
    X, y = iris
    scores = cross_val_score(classifier(), X, y, cv=4)
    assert scores.shape == (4,)
    assert scores.min() > 0.85
    chances = cross_val_predict(classifier(), X, y, cv=3, method="predict_proba")
    assert np.allclose(chances.sum(axis=1), 1)
    errors = cross_val_score(MLPRegressor(**SMALL), X, y, cv=3, scoring="neg_mean_squared_error")
    assert (errors < 0).all()


@pytest.mark.parametrize("ensemble", [True, False])
def test_calibration(ensemble):
    X, y = iris
    model = CalibratedClassifierCV(classifier(), cv=3, ensemble=ensemble).fit(X, y)
    assert model.score(X, y) > 0.9
    assert np.allclose(model.predict_proba(X).sum(axis=1), 1)


def test_permutation_importance():
    X, y = iris
    noisy = np.hstack([X, np.random.default_rng(0).standard_normal((len(X), 1))])
    result = permutation_importance(classifier().fit(noisy, y), noisy, y, n_repeats=3, random_state=0)
    assert result.importances.shape == (5, 3)
    assert result.importances_mean[:4].max() > 0.2 > abs(result.importances_mean[4])


def test_learning_curves_by_partial_fit():
    X, y = rows(120), targets("multiclass", rows(120))
    model = MLPClassifier(**SMALL)
    sizes, _, scores = learning_curve(
        model, X, y, cv=2, train_sizes=[20, 60], exploit_incremental_learning=True
    )
    assert sizes.tolist() == [20, 60]
    assert np.isfinite(scores).all()


def test_ensembles():
    X, y = iris
    bagged = BaggingClassifier(classifier(), n_estimators=3, random_state=0).fit(X, y)
    assert bagged.score(X, y) > 0.9
    each = OneVsRestClassifier(classifier()).fit(X, y)
    assert each.score(X, y) > 0.8
    regressor = TransformedTargetRegressor(
        MLPRegressor(hidden_layer_sizes=8, solver="lbfgs", max_iter=50, random_state=0),
        func=np.log1p,
        inverse_func=np.expm1,
    ).fit(X[:, :3], X[:, 3])
    assert regressor.score(X[:, :3], X[:, 3]) > 0.8
    stacked = StackingRegressor([("mlp", MLPRegressor(**SMALL))], cv=2).fit(X[:, :3], X[:, 3])
    assert stacked.score(X[:, :3], X[:, 3]) > 0.3
