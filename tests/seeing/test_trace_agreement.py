"""`MLP.trace` against training, `gradients` and the reference, on random nets; the model does not change."""

import numpy as np
import pytest
from helpers import ACTIVATIONS as EXACT
from helpers import DERIVATIVES, NEED_Z, everything, fitting, using

import bpkern
from bpkern import _core, reference
from bpkern._core import ACTIVATIONS, LOSSES
from bpkern._model.core import core_of

# The optimisers with an eps that keeps tiny gradients from becoming large steps.
OPTIMIZERS = (
    lambda lr: bpkern.SGD(lr),
    lambda lr: bpkern.SGD(lr, momentum=0.9),
    lambda lr: bpkern.SGD(lr, momentum=0.8, nesterov=True, weight_decay=0.01),
    lambda lr: bpkern.RMSprop(lr, eps=0.01),
    lambda lr: bpkern.RMSprop(lr, eps=0.01, momentum=0.5, centered=True, weight_decay=0.01),
    lambda lr: bpkern.Adagrad(lr, eps=0.01, lr_decay=0.1, initial_accumulator_value=0.1),
    lambda lr: bpkern.Adam(lr, eps=0.01),
    lambda lr: bpkern.Adam(lr, eps=0.01, amsgrad=True, eps_hat=True),
    lambda lr: bpkern.AdamW(lr, eps=0.01, weight_decay=0.02),
)


def absolute_power(outputs, y):
    """A Python loss: losses per row, and their gradients."""
    d = outputs - y
    return (np.abs(d) ** 1.5).sum(axis=1), 1.5 * np.sign(d) * np.sqrt(np.abs(d))


def random_net(seed):
    """(settings, X, y, sample weights or None) of a random network."""
    rng = np.random.default_rng(seed)
    hidden = rng.integers(1, 40, rng.integers(0, 4)).tolist()
    sizes, rows = [int(rng.integers(1, 30)), *hidden, int(rng.integers(1, 20))], int(rng.integers(1, 50))
    loss = rng.choice([*LOSSES, "custom"])
    lr = 0.05 if rng.random() < 0.7 else bpkern.schedules.Step(0.05, 2, 0.5)
    settings = dict(
        layers=sizes,
        activation=rng.choice(ACTIVATIONS, len(hidden)).tolist(),
        output_activation=str(rng.choice(ACTIVATIONS)) if rng.random() < 0.3 else "identity",
        loss=absolute_power if loss == "custom" else str(loss),
        optimizer=OPTIMIZERS[seed % len(OPTIMIZERS)](lr),
        dtype="float64",
        l2=0.01 * (rng.random() < 0.4),
        l1=0.01 * (rng.random() < 0.4),
        dropout=0.4 if rng.random() < 0.4 else 0.0,
        input_dropout=0.3 if rng.random() < 0.2 else 0.0,
        label_smoothing=0.1 if loss.endswith("cross_entropy") and rng.random() < 0.5 else 0.0,
        seed=seed,
    )
    X, y = rng.standard_normal((rows, sizes[0])), rng.random((rows, sizes[-1]))
    if loss == "cross_entropy":
        y = rng.integers(0, sizes[-1], rows)
    y = fitting(loss, y)
    weights = rng.random(rows) + 0.1 if rng.random() < 0.3 else None
    return settings, X, y, weights


def close(got, expected, tolerance):
    scale = max(np.abs(expected).max(), 1e-3)
    return np.abs(got.astype(float) - expected.astype(float)).max() <= tolerance * scale


def states_of(model):
    """The optimiser's states of a model: for each layer the bytes of each state's (W, b)."""
    net = core_of(model).net
    stores = [net.get_layers(store) for store in ("m", "v", "u") if store in net.stores()]
    return [{w.tobytes() + b.tobytes() for w, b in pairs} for pairs in zip(*stores, strict=True)]


@pytest.mark.parametrize("seed", range(100))
def test_a_random_net(seed):
    settings, X, y, weights = random_net(seed)
    if seed % 4 == 3:
        settings["dtype"] = "float32"
    exact, rounded = (1e-5, 2e-3) if settings["dtype"] == "float32" else (1e-12, 1e-6)
    print(f"seed {seed}: {settings}")
    model = bpkern.MLP(**settings)
    theirs = reference.MLP(**settings)
    for each in (model, theirs):  # states that are not zero
        each.fit(X, y, epochs=2, batch_size=max(len(X) // 2, 1), shuffle=False, verbose=0)
    before, copy = everything(model), model.copy()
    trace = model.trace(X, y, sample_weight=weights, steps=2)
    assert everything(model) == before

    # Training, to the bit.
    for step in trace.steps:
        if weights is None and step.number == 0:
            assert copy.train_on_batch(X, y) == step.loss
        else:
            history = copy.fit(X, y, batch_size=len(X), sample_weight=weights, shuffle=False, verbose=0)
            assert history["loss"] == [step.loss]
            assert history.lr == [step.learning_rate]
        for (w, b), layer in zip(copy.get_weights(), step.layers, strict=True):
            assert w.tobytes() == layer.new_W.tobytes()
            assert b.tobytes() == layer.new_b.tobytes()
        for kept, layer in zip(states_of(copy), step.layers, strict=False):
            assert kept == {w.tobytes() + b.tobytes() for w, b in layer.new_states.values()}
        assert len(states_of(copy)) == (len(step.layers) if step.layers[0].new_states else 0)

    # `gradients`.
    first, second = trace.steps
    if weights is None and not settings["dropout"] and not settings["input_dropout"]:
        loss, gradients = model.gradients(X, y)
        assert loss == pytest.approx(first.loss, rel=exact)
        for (dw, db), layer in zip(gradients, first.layers, strict=True):
            assert close(layer.dW, dw, exact)
            assert close(layer.db, db, exact)

    # The reference, which shares no code with the kernels.
    for step in trace.steps:
        history = theirs.fit(X, y, batch_size=len(X), sample_weight=weights, shuffle=False, verbose=0)
        assert history["loss"] == pytest.approx([step.loss], rel=rounded)
        for (w, b), layer in zip(theirs.get_weights(), step.layers, strict=True):
            assert close(layer.new_W, w, rounded)
            assert close(layer.new_b, b, rounded)

    # The next step begins where this one ended.
    for layer, after in zip(first.layers, second.layers, strict=True):
        assert layer.new_W.tobytes() == after.W.tobytes()
        assert layer.new_b.tobytes() == after.b.tobytes()
        assert list(layer.new_states) == list(after.states)
        for name, (w, b) in layer.new_states.items():
            assert w.tobytes() == after.states[name][0].tobytes()
            assert b.tobytes() == after.states[name][1].tobytes()


@pytest.mark.parametrize("loss", [*LOSSES, absolute_power])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradients_are_those_that_training_applies(loss, weighted):
    """Plain SGD: new_W = W - lr dW; with sample weights, dropout, penalties and losses in Python."""
    rng = np.random.default_rng(5)
    X, y, weights = rng.standard_normal((7, 4)), rng.random((7, 3)), rng.random(7) if weighted else None
    y = rng.integers(0, 3, 7) if loss == "cross_entropy" else fitting(str(loss), y)
    settings = dict(activation="softplus", dropout=0.3, l1=0.02, l2=0.03, dtype="float64", seed=1)
    model = bpkern.MLP([4, 9, 3], loss=loss, optimizer=bpkern.SGD(0.5), **settings)
    for step in model.trace(X, y, sample_weight=weights, steps=2).steps:
        for layer in step.layers:
            assert close(layer.W - 0.5 * layer.dW, layer.new_W, 1e-13)
            assert close(layer.b - 0.5 * layer.db, layer.new_b, 1e-13)


@pytest.mark.parametrize("seed", range(40))
def test_the_formulas_of_the_docstring(seed):
    """Of `Layer`: z, a, slope, delta, dW, db and dx from each other, by exact functions."""
    settings, X, y, weights = random_net(seed)
    trace = bpkern.MLP(**settings).trace(X, y, sample_weight=weights)
    [step] = trace.steps
    below, above = X, step.doutputs
    if settings["input_dropout"]:
        kept = step.layers[0].x != 0
        assert close(step.layers[0].x, np.where(kept, X / (1 - settings["input_dropout"]), 0), 1e-15)
        below = step.layers[0].x
    for layer in step.layers:
        assert (layer.x == below).all()
        assert close(layer.z, layer.x @ layer.W.T + layer.b, 1e-13)
        a = EXACT[layer.activation](layer.z)
        slope = DERIVATIVES[layer.activation](layer.z if layer.activation in NEED_Z else a)
        if layer.dropout:
            dropped = layer.slope == 0
            assert (layer.a[dropped & (slope != 0)] == 0).all()
            a, slope = (np.where(dropped, 0, each / (1 - layer.dropout)) for each in (a, slope))
            a = np.where(dropped & (slope == 0), layer.a, a)
        assert close(layer.a, a, 1e-13)
        assert close(layer.slope, slope, 1e-12)
        below = layer.a
    for layer in reversed(step.layers):
        assert close(layer.delta, above * layer.slope, 1e-13)
        penalties = 2 * settings["l2"] * layer.W + settings["l1"] * np.sign(layer.W)
        assert close(layer.dW, layer.delta.T @ layer.x + penalties, 1e-12)
        assert close(layer.db, layer.delta.sum(axis=0), 1e-12)
        assert close(layer.dx, layer.delta @ layer.W, 1e-12)
        above = layer.dx
    assert (below == step.outputs).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_each_instruction_set_and_dtype(isa, dtype, loss):
    """Training and `gradients` to the bit, in layers narrower and wider than blocks of columns."""
    rng = np.random.default_rng(3)
    sizes, rows = [7, 100, 3, 70], 21
    X, y = rng.standard_normal((rows, 7)), rng.random((rows, 70))
    y = rng.integers(0, 70, rows) if loss == "cross_entropy" else fitting(loss, y)
    model = bpkern.MLP(
        sizes, activation=["relu", "silu"], loss=loss, optimizer=bpkern.Adam(0.01), dtype=dtype, seed=1
    )
    [step] = model.trace(X, y).steps
    loss_before, gradients = model.gradients(X, y)
    assert loss_before == pytest.approx(step.loss, rel=1e-6)
    for (dw, db), layer in zip(gradients, step.layers, strict=True):
        assert layer.dW.dtype == dtype
        assert dw.tobytes() == layer.dW.tobytes()
        assert db.tobytes() == layer.db.tobytes()
    model.train_on_batch(X, y)
    for (w, b), layer in zip(model.get_weights(), step.layers, strict=True):
        assert w.tobytes() == layer.new_W.tobytes()
        assert b.tobytes() == layer.new_b.tobytes()


def test_dropout_drops_the_elements_of_training():
    """The activations of the next training step, by steps by hand; each step drops others."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((9, 5)), rng.random((9, 2))
    model = bpkern.MLP([5, 30, 2], loss="mse", dropout=0.5, dtype="float64", seed=4)
    trace = model.trace(X, y, steps=2)
    assert (model.forward(X, train=True) == trace.steps[0].outputs).all()
    dropped = [step.layers[0].a == 0 for step in trace.steps]
    assert (dropped[0] != dropped[1]).any()


def test_an_average_is_dropped_as_by_training():
    """The trained parameters are traced, not their average, and the model keeps both."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), rng.random((20, 1))
    for rows in (1, 20):  # in registers, and in a workspace
        model = bpkern.MLP([3, 4, 1], activation="tanh", loss="mse", seed=0)
        model.fit(X, y, epochs=3, ema=0.9, verbose=0)
        before, copy = everything(model), model.copy()
        [step] = model.trace(X[:rows], y[:rows]).steps
        assert everything(model) == before
        assert any(name.startswith("trained.") for name in before[1])
        copy.train_on_batch(X[:rows], y[:rows])
        for (w, _), layer in zip(copy.get_weights(), step.layers, strict=True):
            assert w.tobytes() == layer.new_W.tobytes()


def test_functions_with_a_memory_are_called_once_per_step():
    """A Python loss and a Python learning rate."""
    rates, calls = [], []

    def rate(iteration):
        rates.append(iteration)
        return 0.1 / len(rates)

    def loss(outputs, y):
        calls.append(len(outputs))
        return float(((outputs - y) ** 2).mean()), 2 * (outputs - y) / outputs.size

    model = bpkern.MLP([2, 3, 1], loss=loss, optimizer=bpkern.SGD(rate), dtype="float64", seed=0)
    trace = model.trace([[1.0, 2.0], [0.0, 1.0]], [[1.0], [2.0]], steps=3)
    assert rates == [0, 1, 2]
    assert calls == [2, 2, 2]
    assert [step.learning_rate for step in trace.steps] == [0.1, 0.05, 0.1 / 3]
    rates.clear()
    assert [model.train_on_batch([[1.0, 2.0], [0.0, 1.0]], [[1.0], [2.0]]) for _ in range(3)] == [
        step.loss for step in trace.steps
    ]
    assert [w.tobytes() for w, _ in model.get_weights()] == [
        layer.new_W.tobytes() for layer in trace.steps[-1].layers
    ]


def test_a_callback_may_trace_the_model_that_is_fitted():
    """Also within an epoch that accumulates gradients, which the trace leaves alone."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 3)), rng.random((40, 1))

    class Tracing(bpkern.callbacks.Callback):
        def on_batch_end(self, model, batch, logs):
            traces.append(model.trace(X[:5], y[:5]))

    weights = []
    for callbacks in ((), Tracing()):
        traces = []
        model = bpkern.MLP([3, 8, 1], loss="mse", dropout=0.3, optimizer=bpkern.Adam(), seed=0)
        model.fit(X, y, epochs=2, batch_size=8, accumulate=3, callbacks=callbacks, verbose=0)
        weights.append([w.tobytes() for w, _ in model.get_weights()])
    assert len(traces) == 10
    assert weights[0] == weights[1]


def test_threads_do_not_matter():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 200)), rng.random((300, 150))
    traces = []
    for threads in (1, 3):
        bpkern.set_num_threads(threads)
        try:
            model = bpkern.MLP([200, 400, 150], activation="gelu", loss="mse", seed=0)
            traces.append(model.trace(X, y).steps[0])
        finally:
            bpkern.set_num_threads(None)
    for one, three in zip(*(step.layers for step in traces), strict=True):
        for name in ("a", "slope", "delta", "dW", "db", "new_W", "new_b"):
            assert getattr(one, name).tobytes() == getattr(three, name).tobytes(), name


def test_a_trace_under_another_instruction_set_is_of_the_present_one():
    """As `copy`: the copy that makes the steps computes with the instruction set that is selected now."""
    if len(_core.available_isas()) == 1:
        pytest.skip("there is only one")
    with using(_core.available_isas()[0]):
        model = bpkern.MLP([3, 40, 2], loss="mse", seed=0)
    X, y = np.ones((5, 3)), np.ones((5, 2))
    assert model.trace(X, y).steps[0].loss == pytest.approx(model.train_on_batch(X, y), rel=1e-5)


def test_every_kind_of_rows():
    """Lists, integers, reversed views, sparse and read-only rows give the same numbers."""
    sparse = pytest.importorskip("scipy.sparse")
    X = np.random.default_rng(0).integers(-3, 4, (6, 5))
    model = bpkern.MLP([5, 4, 3], loss="cross_entropy", seed=0)
    y = np.array([0, 1, 2, 0, 1, 2])
    expected = model.trace(X.astype("f4"), y).to_dict()
    read_only = X.astype("f8")
    read_only.flags.writeable = False
    for given in (X, X.tolist(), X[:, ::-1].copy()[:, ::-1], sparse.csr_array(X), read_only):
        assert model.trace(given, y.tolist()).to_dict() == expected
