"""The estimators' constructors, attributes, results, warnings and messages are scikit-learn's."""

import inspect
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.9", reason="scikit-learn 1.9 is what the estimators look like")

from scipy import sparse
from sklearn import base
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.utils import get_tags
from sklearn_helpers import CLASSIFIED, REGRESSED, THEIRS, pair, quietly, rows, targets

import bpkern.sklearn
from bpkern.sklearn import MLPClassifier, MLPRegressor

TASKS = CLASSIFIED + REGRESSED
BOTH = pytest.mark.parametrize("ours", [MLPClassifier, MLPRegressor])
SOLVERS = pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
SMALL = dict(hidden_layer_sizes=4, max_iter=3, random_state=0)

# The parameters that the estimators add, with the defaults that change nothing.
ADDED = dict(dropout=0.0, optimizer=None, callbacks=(), dtype=None, n_threads=None)
ADDED_OF = {MLPClassifier: {"class_weight": None} | ADDED, MLPRegressor: ADDED}


def parameters_of(method):
    return list(inspect.signature(method).parameters.values())[1:]


# The classes --------------------------------------------------------------------------------------------


def test_the_public_names():
    registers = {"register_hummingbird", "register_skl2onnx"}
    estimators = {"MLPClassifier", "MLPRegressor", "RealMLPClassifier", "RealMLPRegressor"}
    assert set(bpkern.sklearn.__all__) == {*estimators, "from_sklearn", *registers}


@BOTH
def test_the_constructor_has_their_parameters_and_then_more_by_keyword(ours):
    theirs = parameters_of(THEIRS[ours].__init__)
    own = parameters_of(ours.__init__)
    told = [(each.name, each.kind, each.default) for each in theirs]
    assert [(each.name, each.kind, each.default) for each in own][: len(theirs)] == told
    added = own[len(theirs) :]
    assert {each.name: each.default for each in added} == ADDED_OF[ours]
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in added)


@BOTH
def test_fit_has_their_arguments_and_then_more_by_keyword(ours):
    own = parameters_of(ours.fit)
    assert [each.name for each in own] == ["X", "y", "sample_weight", "X_val", "y_val", "sample_weight_val"]
    assert all(each.default is None for each in own[2:])
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in own[3:])


@BOTH
def test_methods_have_their_arguments(ours):
    for name in ("partial_fit", "predict", "predict_proba", "predict_log_proba", "score"):
        assert hasattr(ours(), name) == hasattr(THEIRS[ours](), name)
        if hasattr(ours(), name):
            signatures = [inspect.signature(getattr(kind(), name)) for kind in (ours, THEIRS[ours])]
            own, their = ([(p.name, p.kind, p.default) for p in s.parameters.values()] for s in signatures)
            assert own == their


@BOTH
def test_kind(ours):
    theirs = THEIRS[ours]
    for kind in (base.BaseEstimator, base.ClassifierMixin, base.RegressorMixin):
        assert issubclass(ours, kind) == issubclass(theirs, kind)
    assert not issubclass(ours, theirs)
    own, their = get_tags(ours()), get_tags(theirs())
    own.transformer_tags = None  # scikit-learn's is not a transformer
    assert own == their


@BOTH
def test_every_parameter_and_attribute_is_documented(ours):
    model = quietly(ours(**SMALL).fit, rows(), targets("binary", rows()))
    fitted = [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]
    for name in [*model.get_params(), *fitted]:
        assert re.search(rf"\b{name}\b", ours.__doc__), name


@BOTH
def test_parameters_in_and_out(ours):
    model = ours(alpha=3.0)
    assert model.get_params() == THEIRS[ours](alpha=3.0).get_params() | ADDED_OF[ours]
    assert repr(model) == f"{ours.__name__}(alpha=3.0)"
    assert model.set_params(dropout=0.5, hidden_layer_sizes=[3]) is model
    assert base.clone(model).get_params() == model.get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'momentun' for estimator"):
        model.set_params(momentun=0.5)


@BOTH
def test_sample_weights_can_be_routed(ours):
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        model = ours().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        requests = model.get_metadata_routing()
    assert requests.fit.requests["sample_weight"] is True
    assert requests.partial_fit.requests.keys() >= {"sample_weight"}


def test_without_scikit_learn():
    """The core does not import scikit-learn, and bpkern.sklearn reports that it is missing."""
    code = """
import sys
import bpkern
assert not {"sklearn", "scipy", "bpkern.sklearn"} & set(sys.modules)
sys.modules["sklearn"] = None
for ask in (lambda: __import__("bpkern.sklearn"), lambda: bpkern.sklearn):
    try:
        ask()
    except ModuleNotFoundError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == 2 * [
        "bpkern.sklearn needs scikit-learn: pip install 'bpkern[sklearn]'"
    ]


def test_the_module_is_an_attribute_of_the_package():
    code = "import bpkern; print(bpkern.sklearn.MLPClassifier.__module__, bpkern.trace.Trace is bpkern.Trace)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "bpkern.sklearn.classifier True\n"


# Fitted attributes --------------------------------------------------------------------------------------


def fitted_names(model):
    return {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}


def kind_of(value):
    """A value's type and the types of its items; for arrays dtype and shape; all kinds of float are equal."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape
    if isinstance(value, list):
        return [kind_of(each) for each in value]
    return float if isinstance(value, float) else type(value)


@SOLVERS
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_attributes(task, early_stopping, solver):
    X = rows()
    models = pair(task, **SMALL, solver=solver, early_stopping=early_stopping)
    for model in models:
        assert quietly(model.fit, X, targets(task, X)) is model
    ours, theirs = models
    assert fitted_names(ours) - fitted_names(theirs) == {"history_", "validation_loss_curve_"}
    for name in fitted_names(theirs):
        assert kind_of(getattr(ours, name)) == kind_of(getattr(theirs, name)), name
    assert [w.flags["C_CONTIGUOUS"] for w in ours.coefs_] == [True, True]


@BOTH
def test_an_estimator_that_is_not_fitted_has_none(ours):
    assert not fitted_names(ours())
    for name in ("predict", "predict_proba", "predict_log_proba", "transform"):
        if hasattr(ours, name):
            with pytest.raises(NotFittedError, match="is not fitted yet"):
                getattr(ours(), name)(rows())


@BOTH
def test_names_of_features(ours):
    pandas = pytest.importorskip("pandas", reason="pandas makes the tables")
    X = pandas.DataFrame(rows(), columns=list("abcdef"))
    y = targets("binary", rows())
    models = [quietly(kind(**SMALL).fit, X, y) for kind in (ours, THEIRS[ours])]
    for model in models:
        assert model.feature_names_in_.tolist() == list("abcdef")
    assert_same_complaint(models, lambda model: model.predict(X[list("fedcba")]), ValueError)
    assert_same_complaint(
        models, lambda model: model.partial_fit(X.rename(columns={"a": "z"}), y), ValueError
    )
    assert_same_warnings(models, lambda model: model.predict(rows()), UserWarning)
    again = [quietly(model.fit, rows(), y) for model in models]
    assert [hasattr(model, "feature_names_in_") for model in again] == [False, False]


@BOTH
def test_fitting_anew_forgets(ours):
    X, y = rows(), targets("binary", rows())
    model = quietly(ours(**SMALL, early_stopping=True).fit, X, y)
    model.set_params(early_stopping=False)
    quietly(model.fit, X[:, :4], y)
    fresh = quietly(ours(**SMALL).fit, X[:, :4], y)
    assert model.n_features_in_ == 4
    assert model.loss_curve_ == fresh.loss_curve_
    assert model.validation_scores_ is None
    assert np.array_equal(model.predict(X[:, :4]), fresh.predict(X[:, :4]))


# Results ------------------------------------------------------------------------------------------------

LABELS = {
    "int": [3, 7],
    "negative": [-1, 1],
    "bool": [False, True],
    "float": [0.0, 2.0],
    "str": ["no", "yes"],
    "three": ["ash", "elm", "oak"],
    "object": np.array(["ash", "elm", "oak"], object),
    "int8": np.array([1, 2, 4], np.int8),
}


@SOLVERS
@pytest.mark.parametrize("labels", LABELS)
def test_labels(labels, solver):
    X = rows()
    names = np.asarray(LABELS[labels])
    y = names[targets("multiclass", X) % len(names)]
    models = [
        quietly(kind(**SMALL, solver=solver).fit, X, y) for kind in (MLPClassifier, THEIRS[MLPClassifier])
    ]
    ours, theirs = models
    assert np.array_equal(ours.classes_, theirs.classes_)
    assert ours.classes_.dtype == theirs.classes_.dtype
    assert ours.predict(X).dtype == theirs.predict(X).dtype
    assert np.array_equal(ours.predict(X), theirs.predict(X))
    assert ours.score(X, y) == theirs.score(X, y)


@pytest.mark.parametrize("given", ["float64", "float32", "int64", "float16", "bool"])
@pytest.mark.parametrize("task", TASKS)
def test_results(task, given):
    X = (4 * rows()).astype(given)
    y = targets(task, rows())
    ours, theirs = pair(task, **SMALL)
    for model in (ours, theirs):
        quietly(model.fit, X, y)
    for name in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(theirs, name):
            own, their = getattr(ours, name)(X), getattr(theirs, name)(X)
            assert (own.shape, own.dtype) == (their.shape, their.dtype), name
            assert (
                np.allclose(own, their, 1e-3, 1e-4) if own.dtype.kind == "f" else np.array_equal(own, their)
            )
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-4, abs=1e-4)
    assert [w.dtype for w in ours.coefs_] == [w.dtype for w in theirs.coefs_]


def test_log_probabilities_of_certain_answers():
    X, y = 1000 * rows(), targets("binary", rows())
    model = quietly(MLPClassifier(**SMALL).fit, X, y)
    with np.errstate(divide="ignore"):
        logarithms = model.predict_log_proba(X)
        assert np.array_equal(logarithms, np.log(model.predict_proba(X)))
    assert np.isneginf(logarithms).any()


@pytest.mark.parametrize("form", ["list", "column", "frame", "sparse", "fortran", "strided", "read-only"])
def test_forms_of_the_same_rows(form):
    pandas = pytest.importorskip("pandas", reason="pandas makes the tables")
    X, y = rows(), targets("multiclass", rows())
    made = {
        "list": lambda: (X.tolist(), y.tolist()),
        "column": lambda: (X, y[:, None]),
        "frame": lambda: (pandas.DataFrame(X), pandas.Series(y)),
        "sparse": lambda: (sparse.csr_matrix(X), y),
        "fortran": lambda: (np.asfortranarray(X), y),
        "strided": lambda: (np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3], y),
        "read-only": lambda: (read_only(X), read_only(y)),
    }[form]()
    plain = quietly(MLPClassifier(**SMALL).fit, X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataConversionWarning)
        model = quietly(MLPClassifier(**SMALL).fit, *made)
    assert np.allclose(model.coefs_[0], plain.coefs_[0], 1e-12, 1e-14)
    assert np.allclose(model.predict_proba(made[0]), plain.predict_proba(X), 1e-12, 1e-14)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@BOTH
def test_fit_leaves_its_arguments_alone(ours):
    X, y, weights = read_only(rows()), read_only(targets("binary", rows())), read_only(np.ones(len(rows())))
    model = ours(hidden_layer_sizes=[3, 2], max_iter=2, random_state=0)
    before = dict(model.get_params())
    quietly(model.fit, X, y, weights)
    assert model.get_params() == before
    assert np.array_equal(X, rows())


def test_one_row_at_a_time_predicts_the_same():
    X, y = rows(), targets("multioutput", rows())
    model = quietly(MLPRegressor(**SMALL).fit, X, y)
    single = np.concatenate([model.predict(X[i : i + 1]) for i in range(len(X))])
    assert np.allclose(single, model.predict(X), 1e-12, 1e-14)


def test_no_partial_fit_with_lbfgs():
    models = [kind(solver="lbfgs") for kind in (MLPClassifier, THEIRS[MLPClassifier])]
    assert [hasattr(model, "partial_fit") for model in models] == [False, False]
    assert_same_complaint(models, lambda model: model.partial_fit(rows(), rows()[:, 0]), AttributeError)


# Messages -----------------------------------------------------------------------------------------------


def assert_same_complaint(models, call, error):
    """Both raise the same type of error with the same text; choices in it come from sets and are sorted."""

    def in_order(choices):
        return str(sorted(choices[1].split(", ")))

    texts = []
    for model in models:
        with pytest.raises(error) as raised:
            quietly(call, model)
        texts.append((type(raised.value), re.sub(r"\{(.*?)\}", in_order, str(raised.value))))
    assert texts[0] == texts[1]


def assert_same_warnings(models, call, category):
    """Both give the same warning, exactly once."""
    heard = []
    for model in models:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call(model)
        heard.append([(each.category, str(each.message)) for each in caught])
    assert heard[0] == heard[1]
    assert [kind for kind, _ in heard[0]] == [category]


BAD_PARAMETERS = [
    dict(alpha=-1.0),
    dict(alpha="much"),
    dict(batch_size=0),
    dict(batch_size="all"),
    dict(batch_size=2.5),
    dict(beta_1=1.0),
    dict(beta_2=-0.1),
    dict(early_stopping=1),
    dict(epsilon=0.0),
    dict(hidden_layer_sizes=-1),
    dict(hidden_layer_sizes=[4, 0]),
    dict(hidden_layer_sizes=(4, -2, 3)),
    dict(learning_rate="cosine"),
    dict(learning_rate_init=0.0),
    dict(max_fun=0),
    dict(max_iter=0),
    dict(max_iter=2.0),
    dict(momentum=1.1),
    dict(n_iter_no_change=0),
    dict(n_iter_no_change=2.5),
    dict(nesterovs_momentum="yes"),
    dict(power_t=-1.0),
    dict(random_state="seed"),
    dict(shuffle="yes"),
    dict(solver="newton"),
    dict(tol=-1e-4),
    dict(validation_fraction=1.0),
    dict(verbose=-1),
    dict(warm_start="yes"),
]


@BOTH
@pytest.mark.parametrize("bad", BAD_PARAMETERS, ids=str)
def test_bad_parameters(bad, ours):
    models = [kind(**bad) for kind in (ours, THEIRS[ours])]
    X, y = rows(), targets("binary", rows())

    def fit(model):
        model.fit(X, y)

    # The class names are the same, so the messages are too.
    assert_same_complaint(models, fit, ValueError)
    assert not fitted_names(models[0])


@pytest.mark.parametrize("bad", ["hinge", "mse", "cross_entropy", 3, None], ids=str)
def test_a_bad_loss(bad):
    """The message is scikit-learn's, although more losses are allowed."""
    with pytest.raises(ValueError, match=f"The 'loss' parameter of MLPRegressor must be .*{bad!r}"):
        MLPRegressor(loss=bad).fit(rows(), targets("regression", rows()))


@BOTH
@pytest.mark.parametrize("bad", ["softmax", 3, None], ids=str)
def test_a_bad_activation(bad, ours):
    """The message is scikit-learn's, although more activations are allowed."""
    with pytest.raises(ValueError, match=f"The 'activation' parameter of {ours.__name__} must be .*{bad!r}"):
        ours(activation=bad).fit(rows(), targets("binary", rows()))


def nan_in(array):
    array = array.astype(float)
    array[3, 2] = np.nan
    return array


BAD_FITS = {
    "NaN": (lambda X, y: (nan_in(X), y)),
    "infinity": (lambda X, y: (np.where(X > 2, np.inf, X), y)),
    "sparse NaN": (lambda X, y: (sparse.csr_matrix(nan_in(X)), y)),
    "complex": (lambda X, y: (X + 1j, y)),
    "texts": (lambda X, y: (X.astype(str).astype(object) + "?", y)),
    "one dimension": (lambda X, y: (X[:, 0], y)),
    "three dimensions": (lambda X, y: (X[:, :, None], y)),
    "no rows": (lambda X, y: (X[:0], y[:0])),
    "no columns": (lambda X, y: (X[:, :0], y)),
    "fewer targets": (lambda X, y: (X, y[:-1])),
    "no targets": (lambda X, y: (X, None)),
    "NaN in y": (lambda X, y: (X, np.where(y > 0, np.nan, 0.0))),
    "coordinates": (lambda X, y: (sparse.csr_matrix(X), y[:-1])),
    "three-dimensional y": (lambda X, y: (X, y[:, None, None])),
}


@BOTH
@pytest.mark.parametrize("bad", BAD_FITS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")  # scikit-learn's
def test_bad_rows(method, bad, ours):
    X, y = BAD_FITS[bad](rows(), targets("binary", rows()))
    models = [kind(**SMALL) for kind in (ours, THEIRS[ours])]
    more = {"classes": [0, 1]} if method == "partial_fit" and ours is MLPClassifier else {}
    assert_same_complaint(models, lambda model: getattr(model, method)(X, y, **more), (ValueError, TypeError))


def test_targets_of_several_classes_each():
    models = [kind(**SMALL) for kind in (MLPClassifier, THEIRS[MLPClassifier])]
    assert_same_complaint(
        models, lambda model: model.fit(rows(), np.arange(120).reshape(60, 2) % 5), ValueError
    )


BAD_WEIGHTS = {
    "fewer": np.ones(len(rows()) - 1),
    "two-dimensional": np.ones((len(rows()), 2)),
    "NaN": np.full(len(rows()), np.nan),
    "texts": ["heavy"] * len(rows()),
}


@BOTH
@SOLVERS
@pytest.mark.parametrize("bad", BAD_WEIGHTS)
def test_bad_sample_weights(bad, solver, ours):
    X, y = rows(), targets("binary", rows())
    models = [kind(**SMALL, solver=solver) for kind in (ours, THEIRS[ours])]
    assert_same_complaint(models, lambda model: model.fit(X, y, sample_weight=BAD_WEIGHTS[bad]), ValueError)


@BOTH
@SOLVERS
def test_weights_of_zero(solver, ours):
    """All weights are zero: scikit-learn divides by their sum."""
    models = [kind(**SMALL, solver=solver) for kind in (ours, THEIRS[ours])]
    for model in models:
        with pytest.raises((ValueError, ZeroDivisionError), match=r"(?i)weight"):
            model.fit(rows(), targets("binary", rows()), sample_weight=np.zeros(len(rows())))


@BOTH
@pytest.mark.parametrize("method", ["predict", "score", "partial_fit"])
def test_other_columns(method, ours):
    X, y = rows(), targets("binary", rows())
    models = [quietly(kind(**SMALL).fit, X, y) for kind in (ours, THEIRS[ours])]
    arguments = (X[:, :5],) if method == "predict" else (X[:, :5], y)
    assert_same_complaint(models, lambda model: getattr(model, method)(*arguments), ValueError)
    arguments = (nan_in(X),) if method == "predict" else (nan_in(X), y)
    assert_same_complaint(models, lambda model: getattr(model, method)(*arguments), ValueError)


def test_classes_that_were_not_there_before():
    X, y = rows(), targets("multiclass", rows())

    def fitted(**parameters):
        kinds = (MLPClassifier, THEIRS[MLPClassifier])
        return [quietly(kind(**SMALL, **parameters).fit, X, y) for kind in kinds]

    assert_same_complaint(fitted(), lambda model: model.partial_fit(X, y + 1), ValueError)
    assert_same_complaint(fitted(warm_start=True), lambda model: model.fit(X, y + 1), ValueError)
    assert_same_complaint(fitted(warm_start=True), lambda model: model.fit(X, y % 2), ValueError)
    assert_same_complaint(fitted(), lambda model: model.partial_fit(X, y, classes=[0, 1]), ValueError)
    new = [kind(**SMALL) for kind in (MLPClassifier, THEIRS[MLPClassifier])]
    assert_same_complaint(new, lambda model: model.partial_fit(X, y), ValueError)


@BOTH
def test_early_stopping_that_cannot_be(ours):
    X, y = rows(), targets("binary", rows())
    models = [kind(**SMALL, early_stopping=True) for kind in (ours, THEIRS[ours])]
    assert_same_complaint(models, lambda model: model.fit(X[:2], y[:2]), ValueError)
    one = np.eye(len(y), dtype=int)[0]
    if ours is MLPClassifier:
        assert_same_complaint(models, lambda model: model.fit(X, one), ValueError)
    first = {"classes": [0, 1]} if ours is MLPClassifier else {}
    assert_same_complaint(models, lambda model: model.partial_fit(X, y, **first), ValueError)


@pytest.mark.parametrize(
    ("ours", "early_stopping"), [(MLPClassifier, False), (MLPRegressor, False), (MLPClassifier, True)]
)
def test_weights_that_are_not_finite(ours, early_stopping):
    """A fit that diverges raises scikit-learn's error, and another fit may follow."""
    X, y = 1e150 * rows(), targets("binary", rows())
    parameters = SMALL | dict(solver="sgd", learning_rate_init=1e10, early_stopping=early_stopping)
    models = [kind(**parameters) for kind in (ours, THEIRS[ours])]

    def fit(model):
        with np.errstate(all="ignore"):
            model.fit(X, y)

    assert_same_complaint(models, fit, ValueError)
    models[0].set_params(learning_rate_init=0.1)
    quietly(models[0].fit, rows(), y)
    assert np.isfinite(models[0].loss_)


@pytest.mark.parametrize(
    ("rate", "kept"), [(1.0, "best validation score are kept"), (1e3, "are not trained")]
)
def test_early_stopping_of_a_fit_that_diverges(rate, kept):
    """It leaves the weights of scikit-learn's estimator, which continues with values that are not finite."""
    X, y = rows(), targets("regression", rows())
    parameters = SMALL | dict(solver="sgd", learning_rate_init=rate, momentum=0, activation="identity")
    parameters |= dict(early_stopping=True, max_iter=20, batch_size=16, hidden_layer_sizes=(6, 5))
    model = MLPRegressor(**parameters)
    with pytest.warns(ConvergenceWarning, match=kept):
        model.fit(X, y)
    theirs = THEIRS[MLPRegressor](**parameters)
    with np.errstate(all="ignore"):
        quietly(theirs.fit, X, y)
    assert np.allclose(model.best_validation_score_, theirs.best_validation_score_, rtol=1e-9)
    for own, their in zip(model.coefs_, theirs.coefs_, strict=True):
        assert np.allclose(own, their, rtol=1e-9, atol=1e-12)


@BOTH
def test_warnings_of_fits_that_end_too_soon(ours):
    X, y = rows(), targets("binary", rows())
    for solver in ("adam", "sgd", "lbfgs"):
        models = [kind(**SMALL, solver=solver) for kind in (ours, THEIRS[ours])]
        assert_same_warnings(models, lambda model: model.fit(X, y), ConvergenceWarning)
    models = [
        kind(**(SMALL | dict(max_iter=100)), solver="lbfgs", max_fun=4) for kind in (ours, THEIRS[ours])
    ]
    assert_same_warnings(models, lambda model: model.fit(X, y), ConvergenceWarning)


@BOTH
def test_other_warnings(ours):
    X, y = rows(), targets("binary", rows())
    models = [
        kind(hidden_layer_sizes=4, max_iter=50, tol=100.0, batch_size=500) for kind in (ours, THEIRS[ours])
    ]
    assert_same_warnings(models, lambda model: model.fit(X, y), UserWarning)
    models = [kind(hidden_layer_sizes=4, max_iter=50, tol=100.0) for kind in (ours, THEIRS[ours])]
    assert_same_warnings(models, lambda model: model.fit(X, y[:, None]), DataConversionWarning)


@BOTH
@pytest.mark.parametrize(
    "parameters",
    [
        dict(max_iter=3),
        dict(max_iter=40, tol=0.5, n_iter_no_change=2),
        dict(max_iter=6, early_stopping=True, n_iter_no_change=2, tol=1.0),
        dict(max_iter=40, solver="sgd", learning_rate="adaptive", tol=1.0, n_iter_no_change=1),
        dict(max_iter=40, solver="sgd", tol=1.0, n_iter_no_change=1),
    ],
    ids=str,
)
def test_what_is_printed(parameters, ours, capsys):
    """The same lines; numbers agree in all printed digits except the last."""
    X, y = rows(), targets("binary", rows())
    printed = []
    for kind in (ours, THEIRS[ours]):
        quietly(kind(hidden_layer_sizes=4, random_state=0, verbose=True, **parameters).fit, X, y)
        printed.append(capsys.readouterr().out)
    assert re.sub(r"\d", "#", printed[0]) == re.sub(r"\d", "#", printed[1])
    values = [np.array(re.findall(r"\d+\.\d+", text), float) for text in printed]
    assert np.allclose(*values, rtol=0, atol=1.1e-6)
    assert len(values[0]) >= 2


@BOTH
def test_a_silent_fit(ours, capfd):
    quietly(ours(**SMALL).fit, rows(), targets("binary", rows()))
    assert capfd.readouterr() == ("", "")
