"""RealMLP's recipes: what a network does by them, the rows and epochs that they choose, and the temperature.

The oracle of training is the recipe as its paper writes it, in float64: the NTK parametrisation, whose
weights are divided by the root of the layer's inputs, and Adam with a rate for each kind of parameters
(docs/design-inputs.md).
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bpkern
from bpkern import export
from bpkern._table import affordable as within
from bpkern._table import splits, temperature, training
from bpkern._table.best_epoch import BestEpoch, Deadline
from bpkern._table.fitted_table import Choices, fit_table
from bpkern._table.frames import as_frame
from bpkern._table.plan import Plan, Rows, Split
from bpkern._table.recipes import OF_CLASSES, OF_VALUES, Shape, new_network, without_scale
from bpkern.errors import DivergedError

UPDATES = 12
BETAS = 0.9, 0.95


# Training, by the published formulas ---------------------------------------------------------------------


def selu(z):
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    grown = alpha * np.exp(np.minimum(z, 0))
    return scale * np.where(z > 0, z, grown - alpha), scale * np.where(z > 0, 1, grown)


def mish(z):
    soft, sigmoid = np.logaddexp(0, z), 1 / (1 + np.exp(-z))
    tanh = np.tanh(soft)
    return z * tanh, tanh + z * sigmoid * (1 - tanh**2)


def gradients(x, y, loss, activation, scale, layers):
    """Derivatives by the factors of the inputs, and by V and b of each layer."""
    n = len(x)
    a = [x * scale]
    slopes = []
    for v, b in layers:
        z = a[-1] @ v.T / np.sqrt(v.shape[1]) + b
        value, slope = activation(z) if len(a) < len(layers) else (z, None)
        a.append(value)
        slopes.append(slope)
    if loss == "cross_entropy":
        p = np.exp(a[-1] - a[-1].max(axis=1, keepdims=True))
        k = p.shape[1]
        smooth = 0.9 * np.eye(k)[y] + 0.1 / k
        delta = (p / p.sum(axis=1, keepdims=True) - smooth) / n
    else:
        delta = 2 * (a[-1] - y.reshape(n, -1)) / a[-1].size
    found = []
    for l in reversed(range(len(layers))):
        v = layers[l][0]
        root = np.sqrt(v.shape[1])
        found.append((delta.T @ a[l] / root, delta.sum(axis=0)))
        delta = delta @ v / root
        if l:
            delta = delta * slopes[l - 1]
    return (delta * x).sum(axis=0), found[::-1]


def trained_by_formulas(x, y, loss, activation, highest, layers):
    parameters = [np.ones(x.shape[1])] + [each for w, b in layers for each in (w * np.sqrt(w.shape[1]), b)]
    factors = [6.0] + [1.0, 0.1] * len(layers)
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    for t in range(UPDATES):
        rate = highest * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * t / UPDATES))) / 2
        pairs = list(zip(parameters[1::2], parameters[2::2], strict=True))
        by_scale, by_layers = gradients(x, y, loss, activation, parameters[0], pairs)
        for i, g in enumerate([by_scale, *(each for pair in by_layers for each in pair)]):
            m = BETAS[0] * moments[i][0] + (1 - BETAS[0]) * g
            s = BETAS[1] * moments[i][1] + (1 - BETAS[1]) * g**2
            moments[i] = m, s
            mean, square = m / (1 - BETAS[0] ** (t + 1)), s / (1 - BETAS[1] ** (t + 1))
            parameters[i] = parameters[i] - factors[i] * rate * mean / (np.sqrt(square) + 1e-8)
    return parameters[0], [
        (v / np.sqrt(v.shape[1]), b) for v, b in zip(parameters[1::2], parameters[2::2], strict=True)
    ]


@pytest.mark.parametrize(
    ("loss", "recipe", "activation", "highest", "outputs"),
    [
        ("cross_entropy", OF_CLASSES["td-s"], selu, 0.04, 3),
        ("mse", OF_VALUES["td-s"], mish, 0.07, 2),
    ],
)
def test_td_s_trains_as_published(loss, recipe, activation, highest, outputs):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 5))
    y = rng.integers(0, 3, 40) if loss == "cross_entropy" else rng.normal(size=(40, 2))
    model = new_network(recipe, Shape(5, outputs, (7, 6, 8), loss), UPDATES, rng, x)
    initial = [(w.astype(float), b.astype(float)) for w, b in model.get_weights()]
    model.fit(x, y, epochs=UPDATES, batch_size=40, verbose=0, n_threads=1)
    scale, layers = trained_by_formulas(x, y, loss, activation, highest, initial)
    assert np.abs(scale - 1).max() > 0.1
    np.testing.assert_allclose(model.state_dict()["inputs.0.scale"], scale, rtol=0, atol=2e-3)
    for (w, b), (w_exact, b_exact) in zip(model.get_weights(), layers, strict=True):
        np.testing.assert_allclose(w, w_exact, rtol=0, atol=2e-3)
        np.testing.assert_allclose(b, b_exact, rtol=0, atol=2e-3)


def test_initial_weights_of_td_s():
    rng = np.random.default_rng(0)
    model = new_network(OF_VALUES["td-s"], Shape(400, 2, (300, 300), "mse"), 1, rng, np.zeros((3, 400)))
    *hidden, (w, b) = model.get_weights()
    assert not w.any()
    assert not b.any()
    for w, b in hidden:
        assert np.isclose(w.std() * np.sqrt(w.shape[1]), 1, atol=0.02)
        assert np.isclose(b.std(), 1, atol=0.2)


def test_the_factors_of_the_inputs_go_into_the_first_layer():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=40)
    model = new_network(OF_VALUES["td-s"], Shape(5, 1, (7, 6), "mse"), 9, rng, x)
    model.fit(x, y, epochs=9, batch_size=40, verbose=0, n_threads=1)
    plain = without_scale(model, OF_VALUES["td-s"])
    np.testing.assert_allclose(plain.predict(x), model.predict(x), rtol=0, atol=1e-5)
    assert plain.history_ is model.history_
    assert export.to_c(plain)
    assert (plain.optimizer.betas, plain.optimizer.eps) == (model.optimizer.betas, model.optimizer.eps)


# The rows ------------------------------------------------------------------------------------------------


@given(rows=st.integers(2, 60), count=st.integers(2, 8), seed=st.integers(0, 99), stratify=st.booleans())
def test_each_row_chooses_in_one_fold(rows, count, seed, stratify):
    count = min(count, rows)
    y = np.random.default_rng(seed).integers(0, 3, rows)
    found = splits.folds(y, stratify, count, np.random.default_rng(seed))
    assert sorted(np.concatenate([each.choosing for each in found]).tolist()) == list(range(rows))
    sizes = [len(each.choosing) for each in found]
    assert max(sizes) - min(sizes) <= 1
    for trained, choosing in found:
        assert sorted([*trained, *choosing]) == list(range(rows))
        if stratify:
            for label in range(3):
                part = (y[choosing] == label).sum()
                assert abs(part - (y == label).sum() / count) < 1 + 1e-9


@given(rows=st.integers(2, 40), seed=st.integers(0, 99))
def test_bags_are_drawn_with_replacement_and_the_others_choose(rows, seed):
    for trained, choosing in splits.bags(rows, 3, np.random.default_rng(seed)):
        assert len(trained) == rows
        assert len(choosing)
        assert sorted({*trained, *choosing}) == list(range(rows))
        assert not {*trained} & {*choosing}


# The temperature -----------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(rows=st.integers(1, 30), classes=st.integers(2, 5), size=st.floats(0.01, 50), seed=st.integers(0, 99))
def test_no_other_factor_has_a_lower_loss(rows, classes, size, seed):
    rng = np.random.default_rng(seed)
    z, y = size * rng.normal(size=(rows, classes)), rng.integers(0, classes, rows)
    weights = rng.uniform(0.1, 2, rows) if seed % 2 else None
    target = np.full((rows, classes), 1 / (rows + classes))
    target[np.arange(rows), y] = (rows + 1) / (rows + classes)

    def loss(factor):
        scaled = factor * z
        scaled -= scaled.max(axis=1, keepdims=True)
        log_p = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        return np.average(-(target * log_p).sum(axis=1), weights=weights)

    found = temperature.best_factor(z, y, weights)
    others = np.geomspace(temperature.LOWEST, temperature.HIGHEST, 400)
    assert loss(found) <= min(map(loss, others)) + 1e-9


# The epochs ----------------------------------------------------------------------------------------------


def test_of_equally_good_epochs_the_last_is_kept():
    shape = Shape(2, 2, (3,), "cross_entropy")
    model = new_network(OF_CLASSES["td-s"], shape, 10, np.random.default_rng(0), np.zeros((3, 2)))
    best, seen = BestEpoch("val_accuracy"), []
    for epoch, value in enumerate([0.5, np.nan, 0.8, 0.8, 0.7]):
        model.set_weights([(w + 1, b) for w, b in model.get_weights()])
        seen.append(model.get_weights())
        best.on_epoch_end(model, epoch, {"val_accuracy": value, "val_loss": -epoch})
    best.restore(model)
    assert best.best == 0.8
    assert all((a == b).all() for a, b in zip(model.get_weights()[0], seen[3][0], strict=True))


def job(epochs=6, rows=60, until=None, n=1, y=None, **choices):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 3))
    y = (X[:, 0] > 0).astype(int) if y is None else y
    classes = 2 if y.dtype.kind == "i" else None
    parts = splits.folds(y, True, 4, rng)[:n]
    plan = Plan(epochs, 16, classes is not None, until, n_threads=1, verbose=0)
    choices = Choices("td-s", hidden=(8,), **choices)
    return fit_table([as_frame(X)], y, None, parts, classes, choices, plan, 0)


def test_without_time_there_is_one_update():
    [trained] = job(until=0.0).trained
    history = trained.model.history_
    assert len(history["loss"]) == 1
    assert history.iterations == 1


def test_an_interrupt_keeps_the_best_epochs(monkeypatch):
    original, calls = BestEpoch.on_epoch_end, []

    def interrupted(self, model, epoch, logs):
        original(self, model, epoch, logs)
        calls.append(epoch)
        if len(calls) == 8:  # in the second network
            raise KeyboardInterrupt

    monkeypatch.setattr(BestEpoch, "on_epoch_end", interrupted)
    with pytest.warns(UserWarning, match="interrupted; kept are the best epochs of 2 of 3 networks"):
        found = job(n=3).trained
    assert [len(each.model.history_["loss"]) for each in found] == [6, 2]
    assert all(each.score is not None for each in found)


def test_an_interrupt_before_an_epoch_is_raised(monkeypatch):
    def interrupted(self, model, epoch, logs):
        raise KeyboardInterrupt

    monkeypatch.setattr(BestEpoch, "on_epoch_end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job()


def test_a_network_that_diverges():
    with pytest.warns(
        UserWarning,
        match="diverged in epoch . of 6: lower learning_rate; kept are the best epochs of 1 of 1 networks",
    ):
        [trained] = job(lr=1e30).trained
    assert len(trained.model.history_["loss"]) < 6
    assert all(np.isfinite(w).all() and np.isfinite(b).all() for w, b in trained.model.get_weights())
    with pytest.raises(DivergedError):
        job(lr=1e38)


def test_networks_without_a_first_wave_are_left_out_beside_others():
    models = [job(epochs=epochs).trained[0].model for epochs in (2, 40)]
    best = [BestEpoch("val_loss"), BestEpoch("val_loss")]
    for each in best:
        each.best = 0.5
    assert training._kept(models, best, 40) == [1]
    assert training._kept(models[:1], best[:1], 40) == [0]


def test_networks_that_are_left_out_are_counted(monkeypatch):
    monkeypatch.setattr(training, "affordable", lambda recipe, shape, rows, splits, *_: (40, splits, 16))
    original = Deadline.on_epoch_end

    def late(self, model, epoch, logs):
        original(self, model, epoch, logs)
        model.stop_training = model is not models[0]

    models, new = [], training.new_network
    monkeypatch.setattr(training, "new_network", lambda *given: models.append(new(*given)) or models[-1])
    monkeypatch.setattr(Deadline, "on_epoch_end", late)
    with pytest.warns(
        UserWarning, match="^time_limit ended training: 2 of 3 networks had not .* are left out"
    ):
        [kept] = job(n=3, until=math.inf).trained
    assert len(kept.model.history_["loss"]) == 40


def test_what_there_is_time_for(monkeypatch):
    """A clock that only the networks move: seconds for an initial row, a mini-batch, and a calibration."""
    now, costs = [0.0], dict(row=0.001, batch=0.01, calibrating=0.0)
    used = []

    class Clock:
        monotonic = perf_counter = staticmethod(lambda: now[0])

    def new(*given):
        now[0] += costs["row"] * len(given[-1])

    def fit(models, X, y, *, splits, epochs, batch_size, **others):
        [(trained, _)] = splits
        used.append(epochs * (len(trained) // batch_size))
        now[0] += costs["batch"] * used[-1]

    def calibrated(model, rows, index):
        now[0] += costs["calibrating"] * len(index)

    for name, own in (("time", Clock), ("new_network", new), ("fit_many", fit), ("calibrate_by", calibrated)):
        monkeypatch.setattr(within, name, own)
    rows = Rows(np.zeros((20_000, 2), np.float32), np.zeros(20_000, int))
    parts = [Split(np.arange(16_000), np.arange(16_000, 20_000))] * 2
    plan = Plan(256, 100, calibrates=True, n_threads=1, verbose=0)

    def affordable(until, parts=parts):
        now[0] = 0.0
        used.clear()
        found = within.affordable(
            OF_CLASSES["td"], Shape(2, 2, (3,), "mse"), rows, parts, plan, until, np.random.default_rng(0)
        )
        left = 0.9 * (until - now[0]) - len(found.splits) * min(found.initial, 16_000) * costs["row"]
        return *found, left

    # An epoch of both networks takes 3.2 seconds.
    epochs, splits, initial, left = affordable(400.0)
    assert splits == parts
    assert epochs == int(left / 3.2) > 90
    assert initial == 16_384  # all
    assert used == [2, 8, 64]
    costs["calibrating"] = 0.01  # 40 seconds for each network
    assert affordable(400.0)[0] == int((affordable(400.0)[-1] - 80) / 3.2) < epochs
    costs["calibrating"] = 0.0
    epochs, splits, initial, left = affordable(3.0)
    assert (epochs, used) == (1, [2, 8, 14])  # 10 took 0.1, and 5 % of what is left is 0.142
    assert initial == 64  # four times as many would take 0.51 seconds
    for own in splits:
        assert abs(len(own.training) - 16_000 * left / 3.2) <= 1
        assert abs(len(own.choosing) - 4_000 * left / 3.2) <= 1
    # Two networks of 64 updates take 1.28 seconds.
    for until, count, timed in ((1.9, 2, [2, 8, 8]), (1.6, 1, [2, 7, 7]), (0.1, 1, [2]), (0.05, 1, [])):
        epochs, splits, initial, left = affordable(until)
        assert (epochs, len(splits), used, initial) == (1, count, timed, 64)
        part = max(0.0, left / (1.6 * count))
        for own in splits:
            assert abs(len(own.training) - max(100, part * 16_000)) <= 1
            assert abs(len(own.choosing) - max(256, part * 4_000)) <= 1
        assert not (np.diff(splits[0].training) > 0).all()  # at random
    # Tables of few mini-batches are timed by whole epochs.
    affordable(400.0, [Split(np.arange(300), np.arange(300, 400))])
    assert used == [2, 9, 66]


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_network_without_time_is_no_worse_than_the_mean(outputs, weighted):
    """Least squares through the origin, with factors from 0 to 1, from the deviations themselves."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.normal(size=(60, outputs))
    weights = rng.uniform(size=60) if weighted else None
    model = bpkern.MLP([3, 8, outputs], loss="mse", seed=0)
    before = model.forward(X).astype(np.float64)
    temperature.shrink(model, before, y, weights)
    after = model.forward(X)
    for own in range(outputs):
        factors = np.linspace(0, 1, 2001)
        squares = np.square(factors[:, None] * before[:, own] - y[:, own])
        best = factors[np.average(squares, axis=1, weights=weights).argmin()]
        np.testing.assert_allclose(after[:, own], best * before[:, own], atol=1e-3)
    parts = splits.folds(y[:, 0], False, 4, rng)[:1]
    plan = Plan(1, 16, False, 0.0, n_threads=1, verbose=0)
    found = fit_table([as_frame(X)], y, weights, parts, None, Choices("td", hidden=(8,)), plan, 0)
    chosen = parts[0].choosing
    deviations = np.square((y[chosen] - found.center) / found.spread).mean(axis=1)
    mean = np.average(deviations, weights=None if weights is None else weights[chosen])
    [trained] = found.trained  # whose outputs are chosen by the data, and far from the mean
    assert 0 < trained.score <= mean * (1 + 1e-6)
    plan = plan._replace(batch=60)
    parts = [Split(np.arange(60), None)]
    found = fit_table([as_frame(X)], y, weights, parts, None, Choices("td", hidden=(8,)), plan, 0)
    [trained] = found.trained
    scaled = (y - found.center) / found.spread
    predicted = trained.model.forward(found.encoder.transform(X)).reshape(y.shape)
    error, mean = (
        np.average(np.square(each).mean(axis=1), weights=weights) for each in (predicted - scaled, scaled)
    )
    assert error <= mean * (1 + 1e-6)
    assert trained.score is None


def test_values_of_any_size_are_learned_alike():
    y = np.random.default_rng(1).normal(size=60)
    plain, large = job(y=y), job(y=3e150 * y + 1e150)
    assert np.isclose(large.spread[0] / plain.spread[0], 3e150)
    assert np.isclose(plain.trained[0].score, large.trained[0].score, rtol=1e-3)
    constant = job(y=np.full(60, 0.1))
    assert constant.spread[0] == 1
    assert np.isclose(constant.center[0], 0.1)
    tiny = job(y=np.where(np.arange(60) == 7, 5e-324, 0.0))  # whose deviation underflows
    assert tiny.spread[0] == 1
    assert np.isfinite(tiny.trained[0].score)


def test_without_a_column_that_varies():
    parts = [Split(np.arange(3), np.arange(3, 5))]
    table, y = as_frame(np.array([[1.0], [1], [1], [2], [3]])), np.arange(5.0)
    plan = Plan(1, 2, calibrates=False)
    with pytest.raises(ValueError, match="no column varies in the 3 rows that are trained on"):
        fit_table([table], y, None, parts, None, Choices("td-s"), plan, 0)
