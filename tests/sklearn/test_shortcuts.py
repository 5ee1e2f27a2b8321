"""The shortcuts through scikit-learn's checks: what they accept, scikit-learn's checks return unchanged."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from hypothesis import given
from hypothesis import strategies as st
from sklearn import neural_network
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array
from sklearn.utils.multiclass import type_of_target
from sklearn_helpers import BOTH, data, same

from bpkern.sklearn import MLPClassifier, MLPRegressor, shortcuts

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DTYPES = st.sampled_from(["f8", "f4", "f2", ">f8", "i8", "u1", "?", "c8", "U3", "S3", "O"])
NUMBERS = st.sampled_from([0, 1, 2, -1, 0.5, 1e300, float("nan"), float("inf")])
USUAL = st.sampled_from([0, 1, 2])
ITEMS = st.sampled_from(
    [0, 1, -1, 2**70, 0.5, float("nan"), True, False, "a", "b", "1", None, 1j, np.float32(2)]
)


@st.composite
def anything(draw):
    """An array of any dtype and strides, a list of anything, or a list of lists."""
    kind = draw(st.sampled_from(["array", "items", "rows"]))
    items = draw(st.sampled_from([ITEMS, NUMBERS, USUAL]))
    if kind == "items":
        return draw(st.lists(items, max_size=4))
    if kind == "rows":
        width = draw(st.integers(0, 2))
        return draw(
            st.lists(st.lists(items, min_size=width, max_size=draw(st.integers(width, 2))), max_size=3)
        )
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    values = draw(st.lists(draw(st.sampled_from([NUMBERS, USUAL])), min_size=1, max_size=9))
    with np.errstate(all="ignore"):
        array = np.resize(np.array(values), shape).astype(draw(DTYPES))
    return (
        array.T if draw(st.booleans()) else array[..., ::-1] if array.ndim and draw(st.booleans()) else array
    )


def identical(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


@given(anything())
def test_rows(X):
    rows = shortcuts.plain_rows(X)
    if rows is not None:
        assert identical(rows, check_array(X, dtype=(np.float64, np.float32)))
        assert type(X) is list or rows is X


@given(anything())
def test_values(y):
    values = shortcuts.plain_values(y)
    if values is not None and len(values):
        assert values.ndim == 1
        assert identical(values, check_array(y, ensure_2d=False, dtype=None))


@given(anything(), anything())
def test_labels(y, classes):
    labels = shortcuts.plain_labels(y)
    if labels is None or not len(labels):
        return
    assert type_of_target(y) in ("binary", "multiclass")
    assert identical(labels, check_array(y, ensure_2d=False, dtype=None))
    encoder = LabelEncoder().fit(y)
    assert identical(shortcuts.codes_of(labels, encoder.classes_), encoder.transform(y))
    others = shortcuts.plain_labels(classes)
    if others is not None and len(others):
        encoder = LabelEncoder().fit(classes)
        codes = shortcuts.codes_of(labels, encoder.classes_)
        if codes is not None:
            assert identical(codes, encoder.transform(y))
        same_classes = shortcuts.are_classes(y, encoder.classes_)
        assert not same_classes or labels.tolist() == encoder.classes_.tolist()


@pytest.mark.parametrize("X", [np.ones((2, 3)), np.ones((1, 1), np.float32), [[1, 2.0], [3, np.float64(4)]]])
def test_usual_rows_are_accepted(X):
    assert shortcuts.plain_rows(X) is not None


@pytest.mark.parametrize("y", [[1], [1, 0], np.array([3, 4], np.uint8), [True], ["a", "b"], np.array(["a"])])
def test_usual_labels_are_accepted(y):
    labels = shortcuts.plain_labels(y)
    assert labels is not None
    assert shortcuts.codes_of(labels, np.unique(labels)) is not None
    assert shortcuts.are_classes(np.unique(y), np.unique(y))


@pytest.mark.parametrize("y", [[0.5], np.array([0.0]), [1, True], [None], np.array([["a"]]), "a", [b"a"]])
def test_what_may_be_no_labels_is_left_to_scikit_learn(y):
    assert shortcuts.plain_labels(y) is None


@pytest.mark.parametrize(
    ("y", "classes"),
    [(["1"], [0, 1]), ([1], ["0", "1"]), ([True], [0, 1]), ([3], [0, 1]), (["b"], ["a", "c"])],
)
def test_labels_of_another_kind_and_unknown_ones(y, classes):
    assert shortcuts.codes_of(np.array(y), np.array(classes)) is None
    assert not shortcuts.are_classes(y, np.array(classes))


@pytest.fixture
def without_shortcuts(monkeypatch):
    """All arguments go through scikit-learn's checks."""
    monkeypatch.setattr(shortcuts, "plain_rows", lambda X: None)
    for module in ("classifier", "regressor"):
        monkeypatch.setattr(f"bpkern.sklearn.{module}.plain_labels", lambda y: None, raising=False)
        monkeypatch.setattr(f"bpkern.sklearn.{module}.plain_values", lambda y: None, raising=False)
    monkeypatch.setattr("bpkern.sklearn.classifier.are_classes", lambda given, classes: False)


def trained(kind, labels):
    """A fit, steps of one row as river makes them, and predictions, all as arrays."""
    X, y = data(kind)
    if labels is not None:
        y = np.array(labels)[y % len(labels)]
    model = kind(hidden_layer_sizes=(5,), max_iter=3, random_state=0).fit(X, y)
    classes = {} if labels is None else dict(classes=labels)
    for row in range(4):
        model.partial_fit([X[row].tolist()], [y[row].item()], **classes)
    model.partial_fit(X[:7], y[:7], **classes)
    probabilities = [] if labels is None else [model.predict_proba(X), model.predict_log_proba(X)]
    return [*model.coefs_, *model.intercepts_, model.predict(X), model.transform(X), *probabilities]


CASES = [(MLPRegressor, None), (MLPClassifier, [0, 1]), (MLPClassifier, ["no", "so", "yes"])]


@pytest.mark.parametrize(("kind", "labels"), [*CASES, (MLPClassifier, [False, True])])
def test_the_results_are_the_same_without_shortcuts(kind, labels, request):
    short = trained(kind, labels)
    request.getfixturevalue("without_shortcuts")
    long = trained(kind, labels)
    assert all(identical(a, b) for a, b in zip(short, long, strict=True))


BAD_CALLS = {
    "too many columns": lambda model, X, y: model.predict(np.ones((1, X.shape[1] + 1))),
    "no rows": lambda model, X, y: model.predict(X[:0]),
    "one dimension": lambda model, X, y: model.predict(X[0]),
    "a scalar": lambda model, X, y: model.predict(1.0),
    "NaN": lambda model, X, y: model.predict(np.full_like(X, np.nan)),
    "infinity in a list": lambda model, X, y: model.predict([[np.inf] * X.shape[1]]),
    "complex": lambda model, X, y: model.predict(X + 1j),
    "ragged": lambda model, X, y: model.predict([[1.0], [1.0, 2.0]]),
    "fewer rows than targets": lambda model, X, y: model.partial_fit(X[:3], y[:4]),
    "NaN among targets": lambda model, X, y: model.partial_fit(X[:2], [np.nan, 1.0]),
    "an unknown class": lambda model, X, y: model.partial_fit(X[:1], [7]),
    "other classes": lambda model, X, y: model.partial_fit(X[:1], [0], classes=[0, 7]),
    "a seed below 0": lambda model, X, y: model.set_params(random_state=-1).partial_fit(X[:1], y[:1]),
    "a seed that is no number": lambda model, X, y: model.set_params(random_state="?").partial_fit(
        X[:1], y[:1]
    ),
    "a bad parameter": lambda model, X, y: model.set_params(alpha=-1).fit(X, y),
    "a bad list": lambda model, X, y: model.set_params(hidden_layer_sizes=(3, 0)).fit(X, y),
}


@BOTH
@pytest.mark.parametrize("name", BAD_CALLS)
def test_messages_are_scikit_learns(name, kind):
    if name in ("an unknown class", "other classes"):
        kind = MLPClassifier  # values have no classes
    X, y = data(kind)
    messages = []
    for module_kind in (kind, getattr(neural_network, kind.__name__)):
        model = module_kind(hidden_layer_sizes=(5,), max_iter=2, random_state=0).fit(X, y)
        with pytest.raises((ValueError, TypeError)) as error:
            BAD_CALLS[name](model, X, y)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


@BOTH
def test_one_row_draws_nothing(kind):
    X, y = data(kind)
    by_seed, by_generator = (
        kind(hidden_layer_sizes=(5,), random_state=state, max_iter=2).fit(X, y)
        for state in (0, np.random.RandomState(0))
    )
    state = by_generator.random_state.get_state()[1:3]
    for model in (by_seed, by_generator):
        model.partial_fit(X[:1], y[:1])
    assert same(by_seed, by_generator)
    after = by_generator.random_state.get_state()[1:3]
    assert state[1] == after[1]
    assert np.array_equal(state[0], after[0])


@BOTH
def test_a_subclass_with_constraints_of_its_own(kind):
    constraints = {**kind._parameter_constraints, "alpha": [None]}
    model = type("Strict", (kind,), {"_parameter_constraints": constraints, "__init__": kind.__init__})
    X, y = data(kind)
    model(alpha=None)._validate_params()
    with pytest.raises(ValueError, match="'alpha' parameter of Strict must be None"):
        model(alpha=1.0).fit(X, y)
