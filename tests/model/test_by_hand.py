"""Steps by hand: forward, backward and step equal train_on_batch; a refused call changes nothing."""

import numpy as np
import pytest
from helpers import ACTIVATIONS

import bpkern
from bpkern._core import ACTIVATIONS as NAMES
from bpkern._model.core import core_of

RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((40, 6)), RNG.standard_normal((40, 3))


def make(dtype="float64", **settings):
    settings = dict(loss="mse", optimizer=bpkern.Adam(0.01), activation="tanh", l1=1e-3, l2=1e-2) | settings
    return bpkern.MLP([6, 50, 17, 3], dtype=dtype, seed=1, **settings)


def parameters(model):
    return [array for pair in model.get_weights() for array in pair]


def distance(a, b):
    return max(np.abs(p - q).max() for p, q in zip(parameters(a), parameters(b), strict=True))


def mse_gradient(outputs, y):
    return 2 * (outputs - y) / y.size


def cross_entropy_gradient(outputs, labels):
    p = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return (p - np.eye(outputs.shape[1])[labels]) / len(labels)


@pytest.mark.parametrize(
    "optimizer", [bpkern.SGD(0.1, 0.9), bpkern.Adam(0.01), bpkern.AdamW(0.01, weight_decay=0.3)]
)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_step_is_that_of_train_on_batch(isa, dtype, loss, optimizer):
    y, gradient = (Y, mse_gradient) if loss == "mse" else (np.arange(40) % 3, cross_entropy_gradient)
    settings = dict(
        loss=loss, optimizer=optimizer, activation=["gelu", "relu"], output_activation="silu", dropout=0.3
    )
    by_hand, expected = make(dtype, **settings), make(dtype, **settings)
    for rows in (slice(0, 5), slice(3, 40), slice(0, 1), slice(20, 33)):
        outputs = by_hand.forward(X[rows], train=True)
        by_hand.backward(gradient(outputs, y[rows]))
        by_hand.step()
        expected.train_on_batch(X[rows], y[rows])
    assert distance(by_hand, expected) <= 100 * np.finfo(dtype).eps
    assert core_of(by_hand).net.counts == core_of(expected).net.counts == (4, 4)


@pytest.mark.parametrize(
    "clip", [{"clip_norm": 0.1}, {"clip_value": 0.01}, {"clip_norm": 0.1, "clip_value": 0.003}]
)
def test_clipping(isa, clip):
    by_hand, expected = (make(optimizer=bpkern.SGD(1.0)) for _ in "ab")
    by_hand.backward(mse_gradient(by_hand.forward(X, train=True), Y))
    by_hand.step(**clip)
    expected.fit(X, Y, batch_size=40, shuffle=False, **clip)
    assert distance(by_hand, expected) <= 1e-14
    expected.reset()
    expected.fit(X, Y, batch_size=40, shuffle=False)
    assert distance(by_hand, expected) > 1e-4


def test_gradients_add_up_until_the_step(isa, dtype):
    """Over batches of growing size, which need a larger workspace, and over one pass taken back twice."""
    optimizer = bpkern.SGD(0.1)
    model, plain = make(dtype, optimizer=optimizer), make(dtype, optimizer=optimizer, l1=0.0, l2=0.0)
    for rows in (slice(0, 3), slice(3, 40), slice(0, 3)):
        outputs = model.forward(X[rows], train=True)
        model.backward((outputs - Y[rows]) * 2 / 120)
    model.backward((outputs - Y[:3]) * 2 / 120)
    model.step()
    often = np.repeat(np.arange(40), np.where(np.arange(40) < 3, 3, 1))
    _, gradients = plain.gradients(X[often], Y[often])
    for (w, b), (dw, db), (new_w, new_b) in zip(
        plain.get_weights(), gradients, model.get_weights(), strict=True
    ):
        moved = w - 0.1 * (dw * len(often) / 40 + 2e-2 * w + 1e-3 * np.sign(w))
        assert np.abs(new_w - moved).max() <= 50 * np.finfo(dtype).eps
        assert np.abs(new_b - (b - 0.1 * db * len(often) / 40)).max() <= 50 * np.finfo(dtype).eps


def test_batches_of_changing_size(isa, dtype):
    """What a larger batch has left in the workspace affects neither the next batch nor its gradient norm."""
    model = make(dtype, optimizer=bpkern.SGD(0.1))
    for rows in (37, 3, 20, 1, 40, 7):
        fresh = make(dtype, optimizer=bpkern.SGD(0.1))
        fresh.set_weights(model.get_weights())
        for m in (model, fresh):
            m.backward(mse_gradient(m.forward(X[:rows], train=True), Y[:rows]))
            m.step(clip_norm=0.1)
        assert distance(model, fresh) == 0


@pytest.mark.parametrize("output", ["identity", "tanh", "gelu"])
@pytest.mark.parametrize("hidden", NAMES)
def test_the_gradient_by_the_input(hidden, output):
    """Against finite differences of forward."""
    model = bpkern.MLP(
        [6, 50, 4, 3],
        activation=[hidden, "tanh"],
        output_activation=output,
        loss="mse",
        dtype="float64",
        seed=2,
    )
    grad = RNG.standard_normal((7, 3))
    model.forward(X[:7], train=True)
    got = model.backward(grad)
    assert got.shape == (7, 6)
    step = 1e-6
    for j in range(6):
        along = step * (np.arange(6) == j)
        difference = (model.forward(X[:7] + along) - model.forward(X[:7] - along)) / (2 * step)
        assert got[:, j] == pytest.approx((grad * difference).sum(axis=1), abs=1e-8)


@pytest.mark.parametrize(
    "sizes",
    [(1, 3), (3, 1), (5, 2, 60, 1), (60, 2), (100, 49, 47, 64), (8, 40, 8), (9, 12, 41, 4), (4, 24, 20, 7)],
)
def test_the_gradient_by_the_input_at_any_width(isa, dtype, sizes):
    model = bpkern.MLP(sizes, activation="tanh", loss="mse", dtype=dtype, seed=2)
    x, grad = (RNG.standard_normal((9, sizes[i])).astype(dtype) for i in (0, -1))
    model.forward(x, train=True)
    got = model.backward(grad)
    assert got.dtype == dtype
    a = [x.astype(np.float64)]
    weights = model.get_weights()
    for l, (w, b) in enumerate(weights):
        z = a[-1] @ w.T + b
        a.append(np.tanh(z) if l < len(weights) - 1 else z)
    delta = grad.astype(np.float64)
    for l in reversed(range(len(weights))):
        delta = delta @ weights[l][0] * (1 - a[l] ** 2 if l else 1)
    assert np.abs(got - delta).max() <= 100 * np.finfo(dtype).eps * np.abs(delta).max()
    assert model.backward(grad, input_gradient=False) is None


@pytest.mark.parametrize("activation", NAMES)
def test_hidden_activations(isa, dtype, activation):
    model = bpkern.MLP(
        [6, 50, 3, 17, 2], activation=activation, output_activation="tanh", loss="mse", dtype=dtype, seed=3
    )
    a = X.astype(np.float64)
    for number, (w, b) in enumerate(model.get_weights()):
        a = ACTIVATIONS[activation if number < 3 else "tanh"](a @ w.T.astype(np.float64) + b)
        got = model.forward(X, layer=number)
        assert got.shape == a.shape
        assert got.dtype == dtype
        assert np.abs(got - a).max() <= 100 * np.finfo(dtype).eps * max(1, np.abs(a).max())
    assert np.array_equal(got, model.forward(X))


def test_hidden_activations_of_many_rows_and_of_the_average():
    model = make()
    model.fit(X, Y, batch_size=10, ema=0.9)
    many = np.tile(X, (20, 1))
    (w, b), *_ = model.get_weights()
    assert model.forward(many, layer=0) == pytest.approx(np.tanh(many @ w.T + b), abs=1e-13)
    assert model.forward(X[:0], layer=0).shape == (0, 50)


# What is refused ---------------------------------------------------------------------------------------


def unchanged(model, call, error, message):
    before, counts = parameters(model), core_of(model).net.counts
    with pytest.raises(error, match=message):
        call()
    assert all(np.array_equal(p, q) for p, q in zip(parameters(model), before, strict=True))
    assert core_of(model).net.counts == counts


GRAD = np.ones((40, 3))


def test_backward_needs_a_forward_pass_in_training():
    model = make()
    for before in (lambda: None, lambda: model.forward(X), lambda: model.predict(X)):
        before()
        unchanged(model, lambda: model.backward(GRAD), RuntimeError, r"needs a forward\(X, train=True\)")
    unchanged(model, model.step, RuntimeError, "there are none")
    model.forward(X, train=True)
    unchanged(model, model.step, RuntimeError, "there are none")
    model.backward(GRAD)
    model.step()
    unchanged(model, model.step, RuntimeError, "there are none")
    unchanged(model, lambda: model.backward(GRAD), RuntimeError, r"needs a forward\(X, train=True\)")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.set_weights(m.get_weights()),
        lambda m: m.load_state_dict(m.state_dict()),
        lambda m: m.polyak_update(m, 0.5),
        lambda m: m.fit(X, Y),
        lambda m: m.train_on_batch(X, Y),
        lambda m: m.reset(),
    ],
    ids=["set_weights", "load_state_dict", "polyak_update", "fit", "train_on_batch", "reset"],
)
def test_backward_goes_through_no_other_weights(change):
    """Otherwise the deltas would be computed from the new weights, and the activations from the old."""
    model = make()
    model.forward(X, train=True)
    change(model)
    unchanged(model, lambda: model.backward(GRAD), RuntimeError, "parameters were changed|needs a forward")


def test_reset_forgets_stored_gradients():
    model = make()
    model.forward(X, train=True)
    model.backward(GRAD)
    model.reset()
    unchanged(model, model.step, RuntimeError, "there are none")


@pytest.mark.parametrize(
    ("grad", "error", "message"),
    [
        (np.ones((39, 3)), ValueError, r"shape \(40, 3\), not \(39, 3\)"),
        (np.ones((40, 4)), ValueError, r"shape \(40, 3\), not \(40, 4\)"),
        (np.ones(120), ValueError, r"shape \(40, 3\), not \(120,\)"),
        (3.0, ValueError, r"shape \(40, 3\), not \(\)"),
        (np.where(np.arange(120).reshape(40, 3) == 7, np.nan, 1.0), ValueError, "finite"),
        (np.full((40, 3), np.inf), ValueError, "finite"),
        (np.full((40, 3), 1j), TypeError, "real numbers"),
        (np.full((40, 3), "1"), TypeError, "real numbers"),
        (None, TypeError, "real numbers"),
    ],
)
def test_gradients_that_do_not_fit(grad, error, message):
    """They are refused, and the backward pass still works afterwards."""
    model, expected = make(), make()
    for m in (model, expected):
        m.forward(X, train=True)
    unchanged(model, lambda: model.backward(grad), error, message)
    for m in (model, expected):
        m.backward(GRAD)
        m.step()
    assert distance(model, expected) == 0


def test_a_gradient_too_large_for_float32():
    model = make("float32")
    model.forward(X, train=True)
    unchanged(model, lambda: model.backward(np.full((40, 3), 1e39)), ValueError, "finite in float32")


@pytest.mark.parametrize("clip", [{"clip_norm": 0}, {"clip_value": -1.0}, {"clip_norm": np.nan}])
def test_bad_limits(clip):
    model = make()
    model.forward(X, train=True)
    model.backward(GRAD)
    unchanged(model, lambda: model.step(**clip), ValueError, next(iter(clip)))
    model.step()


def test_forward_of_bad_rows():
    """A refused pass leaves nothing to go back through, and keeps the gradients stored before."""
    model, expected = make(), make()
    for m in (model, expected):
        m.forward(X, train=True)
        m.backward(GRAD)
    bad = np.tile(X, (3, 1))
    bad[77, 1] = np.nan
    unchanged(model, lambda: model.forward(bad, train=True), ValueError, "X holds nan at row 77, column 1")
    unchanged(model, lambda: model.forward(X[:0], train=True), ValueError, "no rows")
    unchanged(model, lambda: model.forward(X, train=True, layer=1), ValueError, "not both")
    unchanged(
        model,
        lambda: model.backward(np.ones((120, 3))),
        RuntimeError,
        r"needs a forward\(X, train=True\)|must",
    )
    for m in (model, expected):
        m.step()
    assert distance(model, expected) == 0


def test_a_step_that_overflows():
    model = make("float32", optimizer=bpkern.SGD(3e38), l1=0.0, l2=0.0)
    model.forward(X, train=True)
    model.backward(GRAD * 1e5)
    unchanged(model, model.step, bpkern.DivergedError, "overflowed")
    model.optimizer.lr = 1e-3
    model.forward(X, train=True)
    model.backward(GRAD)
    model.step()
    assert np.isfinite(model.forward(X)).all()


def test_a_step_takes_the_rate_of_its_iteration_and_ends_the_average():
    asked = []
    model = make(optimizer=bpkern.SGD(lambda iteration: asked.append(iteration) or 0.1))
    model.fit(X, Y, batch_size=20, ema=0.5)
    asked.clear()
    for _ in range(2):
        model.forward(X, train=True)
        model.backward(GRAD)
        model.step()
    assert asked == [2, 3]
    assert "average" not in core_of(model).net.stores()
