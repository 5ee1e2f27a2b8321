"""The input that models refuse, the messages, and that a refusal changes nothing."""

import numpy as np
import pytest
from helpers import fitting
from hypothesis import given
from hypothesis import strategies as st

import bpkern
from bpkern._model.core import core_of

X, Y = np.random.default_rng(0).random((8, 3)), np.arange(8) % 2


def make(layers=(3, 4, 2), loss="cross_entropy", **settings):
    return bpkern.MLP(layers, loss=loss, seed=0, **settings)


NAMES = "identity, relu, leaky_relu, sigmoid, tanh, elu, selu, softplus, gelu, gelu_tanh, silu, mish"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"layers": [3]}, ValueError, r"layers must name an input and an output at least, not \[3\]"),
        ({"layers": []}, ValueError, "an input and an output"),
        ({"layers": [3, 0, 2]}, ValueError, "a layer's size must be at least 1, not 0"),
        ({"layers": [3, -1]}, ValueError, "at least 1, not -1"),
        ({"layers": [3, 2.0]}, TypeError, "a whole number, not 2.0"),
        ({"layers": [3, True]}, TypeError, "a whole number, not True"),
        ({"layers": 3}, TypeError, "layers must be a sequence of sizes"),
        ({"layers": "32"}, TypeError, "layers must be a sequence of sizes"),
        ({"activation": "swish"}, ValueError, f"unknown activation 'swish': allowed are {NAMES}"),
        ({"activation": ["relu", "tanh"]}, ValueError, "one name per hidden layer, 1, not 2"),
        ({"activation": ["swish"]}, ValueError, "unknown activation 'swish'"),
        ({"activation": 5}, TypeError, "a name or a list of names, not 5"),
        ({"output_activation": "softmax"}, ValueError, "unknown output_activation 'softmax'"),
        ({"loss": "focal"}, ValueError, "unknown loss 'focal': allowed are mse, squared_error"),
        ({"loss": None}, TypeError, "loss must be a name"),
        (
            {"optimizer": 0.1},
            TypeError,
            "optimizer must be one of bpkern's SGD, RMSprop, Adagrad, Adam, AdamW, NAdam, a name such as",
        ),
        ({"dtype": "float16"}, ValueError, "dtype must be float32 or float64, not 'float16'"),
        ({"dtype": "number"}, ValueError, "dtype must be float32 or float64, not 'number'"),
        ({"dtype": ">f4"}, ValueError, "dtype must be float32 or float64"),
        ({"dtype": None}, ValueError, "dtype must be float32 or float64, not None"),
        ({"init": "zeros"}, ValueError, "unknown init 'zeros': allowed are auto"),
        ({"l2": -1.0}, ValueError, "l2 must be finite and at least 0, not -1.0"),
        ({"l2": np.nan}, ValueError, "l2 must be finite and at least 0, not nan"),
        ({"l2": 10**400}, ValueError, "l2 must be finite and at least 0, not inf"),
        ({"l2": "0"}, TypeError, "l2 must be a number, not '0'"),
        ({"seed": -1}, ValueError, "seed must be at least 0, not -1"),
        ({"seed": 1.5}, TypeError, "seed must be None, a whole number, a SeedSequence or a Generator"),
    ],
)
@pytest.mark.parametrize("trainer", [bpkern.MLP, bpkern.reference.MLP])
def test_constructor(trainer, settings, error, message):
    with pytest.raises(error, match=message):
        trainer(**{"layers": [3, 4, 2], "loss": "mse"} | settings)


def test_loss_is_required():
    with pytest.raises(TypeError, match="loss"):
        bpkern.MLP([3, 2])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"lr": -0.1}, ValueError, "lr must be finite and at least 0, not -0.1"),
        ({"lr": np.inf}, ValueError, "lr must be finite"),
        (
            {"lr": "0.1"},
            TypeError,
            "lr must be a number, a schedule or a callable of the iteration, not '0.1'",
        ),
        ({"momentum": 9}, ValueError, "momentum must be from 0 to 1, not 9"),
        ({"nesterov": True}, ValueError, "nesterov needs a momentum above 0, not 0"),
        ({"nesterov": 1, "momentum": 0.9}, TypeError, "nesterov must be True or False, not 1"),
        ({"weight_decay": -1}, ValueError, "weight_decay must be finite and at least 0"),
    ],
)
def test_optimiser(settings, error, message):
    with pytest.raises(error, match=message):
        bpkern.SGD(**settings)
    model = make()
    for name, value in settings.items():
        setattr(model.optimizer, name, value)
    with pytest.raises(error, match=message):
        model.fit(X, Y)


def bad(value):
    x = X.copy()
    x[5, 1] = value
    return x


ROWS = [
    (X[0], ValueError, r"X must have 2 dimensions, \(rows, 3\), not shape \(3,\): X.reshape\(1, 3\), for"),
    (X[None], ValueError, r"not shape \(1, 8, 3\)"),
    (X[:, :2], ValueError, "X must have 3 columns, the size of the first layer, not 2"),
    (X.astype(complex), TypeError, "X must hold real numbers, not dtype complex128"),
    (X.astype(str), TypeError, "X must hold numbers: column 0, row 0, holds the string"),
    (X.astype("M8[s]"), TypeError, "X must hold real numbers, not dtype datetime64"),
    ([["a", "b", None]], TypeError, "X must hold numbers"),
    ([[10**400, 0, 0]], ValueError, "X holds a number too large for float64"),
    (np.ma.masked_array(X, X > 0.5), TypeError, "X must have a value everywhere, and is a masked array"),
    (bad(np.nan), ValueError, "X holds nan at row 5, column 1: no finite number"),
    (bad(np.inf), ValueError, "X holds inf at row 5, column 1: no finite number"),
    (bad(-np.inf).astype(np.float32), ValueError, "X holds -inf at row 5, column 1"),
    (bad(1e300), ValueError, r"X holds 1e\+300 at row 5, column 1: too large for float32"),
]


@pytest.mark.parametrize(("rows", "error", "message"), ROWS)
def test_rows(rows, error, message):
    model = make()
    for call in (
        lambda: model.fit(rows, Y[: len(rows)]),
        lambda: model.train_on_batch(rows, Y[: len(rows)]),
        lambda: model.gradients(rows, Y[: len(rows)]),
        lambda: model.evaluate(rows, Y[: len(rows)]),
        lambda: model.predict(rows),
        lambda: model.predict_proba(rows),
        lambda: model.forward(rows),
    ):
        with pytest.raises(error, match=message):
            call()
    assert unchanged(model)


def unchanged(model):
    fresh = bpkern.MLP(model.layers, loss=model.loss, seed=0)
    untouched = all(
        np.array_equal(a, b)
        for pair, other in zip(model.get_weights(), fresh.get_weights(), strict=True)
        for a, b in zip(pair, other, strict=True)
    )
    states = [core_of(each).random.generator.bit_generator.state for each in (model, fresh)]
    return untouched and states[0] == states[1] and model.history_ is None


def test_sparse_targets():
    scipy = pytest.importorskip("scipy.sparse", reason="SciPy makes the sparse targets")
    with pytest.raises(TypeError, match=r"y must be dense, not a sparse csr_array: pass y.toarray\(\)"):
        make().fit(X, scipy.csr_array(Y2))
    with pytest.raises(TypeError, match="sample_weight must be dense, not a sparse csr_array"):
        make().fit(X, Y, sample_weight=scipy.csr_array(Y2[:, :1]))


Y2 = np.eye(2)[Y]


@pytest.mark.parametrize(
    ("loss", "y", "error", "message"),
    [
        ("cross_entropy", Y[:7], ValueError, r"y must have as many rows as X, 8, not shape \(7,\)"),
        ("cross_entropy", Y + 1, ValueError, "labels must be from 0 to 1, as the last layer, not from 1"),
        ("cross_entropy", Y - 1, ValueError, "not from -1 to 0"),
        ("cross_entropy", Y + 0.5, ValueError, "labels must be whole numbers: row 0 of y is 0.5"),
        ("cross_entropy", Y * np.nan, ValueError, "labels must be whole numbers: row 0 of y is nan"),
        ("cross_entropy", Y + np.inf, ValueError, "labels must be whole numbers: row 0 of y is inf"),
        ("cross_entropy", Y[:, None], ValueError, r"shape \(8, 2\) or labels \(8,\), not \(8, 1\)"),
        ("cross_entropy", Y2 / 2, ValueError, "each row of y must sum to 1: row 0 sums to 0.5"),
        ("cross_entropy", 2 * Y2 - Y2[:, ::-1], ValueError, "values from 0 to 1, not from -1.0 to 2.0"),
        (
            "cross_entropy",
            Y.astype(str),
            TypeError,
            "y must hold numbers: row 0 holds the string '0'; classes are",
        ),
        (
            "cross_entropy",
            Y.astype(str).astype(object),
            TypeError,
            "y must hold numbers: row 0 holds the string",
        ),
        ("cross_entropy", Y[:, None], ValueError, r"not \(8, 1\): y.ravel\(\), for labels"),
        ("mse", None, ValueError, "y "),
        ("mse", Y, ValueError, r"y must have shape \(8, 2\), not \(8,\)"),
        ("mse", Y[:, None], ValueError, r"y must have shape \(8, 2\), not \(8, 1\)"),
        ("mse", Y2[:, :, None], ValueError, r"not shape \(8, 2, 1\)"),
        ("mse", Y2 * np.nan, ValueError, r"y holds nan at row \d, column 0: no finite number"),
        ("mse", Y2 + 1e300, ValueError, r"y holds 1e\+300 at row \d, column 0: too large for float32"),
        ("binary_cross_entropy", Y2 + 1, ValueError, "values from 0 to 1, not from 1.0 to 2.0"),
        ("binary_cross_entropy", Y2 * 1.0001, ValueError, "values from 0 to 1, not up to 1.0001"),
        ("binary_cross_entropy", Y2 * np.nan, ValueError, "values from 0 to 1, not from nan to nan"),
    ],
)
def test_targets(loss, y, error, message):
    model = make(loss=loss)
    before = model.get_weights()
    for call in (model.fit, model.train_on_batch, model.gradients, model.evaluate):
        with pytest.raises(error, match=message):
            call(X, y)
    for (w, b), (w_before, b_before) in zip(model.get_weights(), before, strict=True):
        assert np.array_equal(w, w_before)
        assert np.array_equal(b, b_before)


def test_a_fit_without_targets():
    with pytest.raises(ValueError, match="y is missing: fit takes X and y, or for both an iterable"):
        make().fit(X)
    with pytest.raises(ValueError, match="y is missing"):
        make().fit((X, Y))


@pytest.mark.parametrize("loss", [None, bpkern.losses.Huber, 5])
def test_what_is_no_loss(loss):
    with pytest.raises(TypeError, match=r"loss must be a name, one of mse, .*, a loss of bpkern.losses, or"):
        bpkern.MLP([2, 1], loss=loss)


@pytest.mark.parametrize(
    ("batch_size", "error"),
    [(0, ValueError), (10**400, ValueError), ("auto", TypeError)],
    ids=["0", "10**400", "auto"],
)
def test_a_summary_of_no_batch(batch_size, error):
    with pytest.raises(error, match="batch_size must be"):
        make().summary(batch_size=batch_size)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": -1}, ValueError, "epochs must be at least 0, not -1"),
        ({"epochs": 1.5}, TypeError, "epochs must be a whole number, not 1.5"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
        ({"shuffle": "yes"}, TypeError, "shuffle must be True or False, not 'yes'"),
        ({"verbose": 3}, ValueError, "unknown verbose 3: allowed are 'auto', 0, 1, 2, False, True"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1, not 0"),
        ({"n_threads": 1.5}, TypeError, "n_threads must be a whole number"),
        ({"validation_split": 1.5}, ValueError, "validation_split must be from 0 to 1, not 1.5"),
        ({"validation_split": 1.0}, ValueError, "validation_split 1.0 of 8 rows leaves one part empty"),
        ({"validation_split": 0.01}, ValueError, "leaves one part empty"),
        ({"validation_split": 0.5, "validation_data": (X, Y)}, ValueError, "not both"),
        ({"validation_data": X}, ValueError, r"validation_data must be \(X, y\) or .*, not a ndarray"),
        ({"validation_data": (X,)}, ValueError, r"validation_data must be \(X, y\) or .*, not a tuple of 1"),
        ({"validation_data": (X[:, :2], Y)}, ValueError, "validation_data: X must have 3 columns"),
        ({"validation_data": (X[:0], Y[:0])}, ValueError, "X has no rows"),
        ({"sample_weight": np.ones(7)}, ValueError, r"sample_weight must have shape \(8,\)"),
        ({"sample_weight": -np.ones(8)}, ValueError, "finite and at least 0"),
        ({"sample_weight": np.full(8, np.nan)}, ValueError, "finite and at least 0"),
        ({"sample_weight": np.zeros(8)}, ValueError, "sample_weight must not be 0 in every row"),
        (
            {"sample_weight": np.eye(8)[0], "validation_split": 0.5},
            ValueError,
            "not be 0 in every row of a part of the validation split",
        ),
        ({"verbose": np.zeros(2)}, ValueError, "unknown verbose"),
    ],
)
def test_fit_arguments(arguments, error, message):
    model = make()
    with pytest.raises(error, match=message):
        model.fit(X, Y, **arguments)
    assert model.history_ is None
    assert unchanged(model)


def test_a_refused_fit_forgets_its_shuffle_and_its_history():
    """The bad row is found when the first batch is gathered, after the row order has been drawn."""
    generator = np.random.default_rng(1)
    model = bpkern.MLP([3, 2], loss="mse", seed=generator)
    history = model.fit(X, Y2)
    state = generator.bit_generator.state
    with pytest.raises(ValueError, match="no finite number"):
        model.fit(X * np.nan, Y2, validation_split=0.5)
    assert generator.bit_generator.state == state
    assert model.history_ is history
    assert model.predict(X).shape == (8, 2)


def test_a_learning_rate_that_the_dtype_cannot_hold():
    model = make(loss="mse", optimizer=bpkern.SGD(lr=1e39))
    with pytest.raises(ValueError, match="lr must be from 0 to 3"):
        model.train_on_batch(X, Y2)
    core_of(make(loss="mse", optimizer=bpkern.SGD(lr=1e39), dtype="float64")).settings.current_optimizer()


def test_labels_are_not_the_callers():
    """The model copies y: if another thread writes to it, no label out of range reaches the kernels."""
    from bpkern._data.rows import as_targets

    y = Y.astype(np.int64)
    assert not np.shares_memory(as_targets(y, 8, core_of(make()).settings), y)


def test_a_bad_row_that_comes_later_stops_at_a_finished_step():
    x = bad(np.nan)
    model, expected = make(), make()
    with pytest.raises(ValueError, match="row 5"):
        model.fit(x, Y, batch_size=2, shuffle=False)
    expected.fit(X[:4], Y[:4], batch_size=2, shuffle=False)
    for (w, _), (w_expected, _) in zip(model.get_weights(), expected.get_weights(), strict=True):
        assert np.array_equal(w, w_expected)


def pairs(model):
    return [[w, b] for w, b in model.get_weights()]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p: p.append(5), TypeError, r"weights must be a list of pairs \(W, b\)"),
        (lambda p: p.pop(), ValueError, r"weights must hold 2 pairs \(W, b\), not 1"),
        (lambda p: p[1].pop(), ValueError, "not 1 items for layer 1"),
        (lambda p: p[1].__setitem__(0, np.ones((4, 2))), ValueError, r"W of layer 1 must have shape \(2,"),
        (lambda p: p[1].__setitem__(1, np.ones((2, 1))), ValueError, r"b of layer 1 must have shape \(2,\)"),
        (lambda p: p[1].__setitem__(1, np.ones(2, complex)), TypeError, "b of layer 1 must cast safely"),
        (lambda p: p[1].__setitem__(1, np.ones(2, "g")), TypeError, "not from float128|not from longdouble"),
        (lambda p: p[1].__setitem__(1, [1.0, np.nan]), ValueError, "b of layer 1 must be finite in float32"),
        (lambda p: p[1].__setitem__(1, [1.0, 1e300]), ValueError, "b of layer 1 must be finite in float32"),
    ],
)
def test_set_weights_is_all_or_nothing(change, error, message):
    model = make()
    weights = pairs(model)
    weights[0][0] = weights[0][0] + 1
    change(weights)
    with pytest.raises(error, match=message):
        model.set_weights(weights)
    assert unchanged(model)


def test_state_dict_names():
    model = make()
    state = model.state_dict()
    assert list(state) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    state["2.bias"] = state.pop("1.bias")
    with pytest.raises(ValueError, match=r"missing \['1.bias'\], unknown \['2.bias'\]"):
        model.load_state_dict(state)


def test_weights_are_copies_and_come_back():
    model = make()
    for w, b in model.get_weights():
        w += 1
        b += 1
    assert unchanged(model)
    model = make()
    model.set_weights([(np.full((4, 3), 2), [1, 2, 3, 4]), (np.full((2, 4), 0.5, np.float16), [0.25, -1.0])])
    (w1, b1), (w2, b2) = model.get_weights()
    assert (w1 == 2).all()
    assert (w2 == 0.5).all()
    assert np.array_equal(b1, [1, 2, 3, 4])
    assert np.array_equal(b2, [0.25, -1])
    other = make()
    other.load_state_dict(model.state_dict())
    assert np.array_equal(other.forward(X), model.forward(X))


def test_predict_proba_of_another_loss():
    with pytest.raises(ValueError, match="for cross_entropy and binary_cross_entropy, not mse"):
        make(loss="mse").predict_proba(X)


@given(
    layers=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    rows=st.integers(1, 40),
    batch=st.integers(1, 50),
    loss=st.sampled_from(bpkern._core.LOSSES),
    data=st.data(),
)
def test_any_shape_trains(layers, rows, batch, loss, data):
    activation = data.draw(st.sampled_from(bpkern._core.ACTIVATIONS))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    x = rng.uniform(-0.1, 0.1, (rows, layers[0]))  # with larger outputs poisson's exp may really diverge
    y = fitting(loss, rng.random((rows, layers[-1])))
    if loss == "cross_entropy":
        y = rng.integers(0, layers[-1], rows)
    model = bpkern.MLP(layers, activation=activation, loss=loss, seed=0)
    history = model.fit(x, y, epochs=2, batch_size=batch)
    assert np.isfinite(history["loss"]).all()
    assert history.iterations == 2 * -(-rows // min(batch, rows))
    assert model.forward(x).shape == (rows, layers[-1])


@given(shape=st.lists(st.integers(0, 4), max_size=4), labels=st.integers(0, 5))
def test_wrong_shapes_are_value_errors(shape, labels):
    model = make()
    x, y = np.zeros(shape), np.zeros(labels, int)
    if len(shape) == 2 and shape[1] == 3 and shape[0] == labels > 0:
        model.fit(x, y)
    else:
        with pytest.raises(ValueError, match=r"X must have|X has no rows|y must have"):
            model.fit(x, y)


@pytest.mark.parametrize("rows", [2**50, 2**51, 2**54])
def test_room_for_a_batch_that_no_number_counts(rows):
    """The batch needs more than half of the largest size in bytes; more than the largest size in bytes; and
    more elements than the largest size."""
    model = bpkern.MLP([1, 2000, 1], loss="mse", seed=0)
    column = np.broadcast_to(np.zeros(1, np.uint8), (rows, 1))
    with pytest.raises(MemoryError, match=f"no memory for a batch of {rows} rows"):
        model.train_on_batch(column, column)
    assert unchanged(model)
