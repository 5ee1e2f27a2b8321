"""Schedules of dropout and of weight decay: their values in each step, the reference, resuming, files."""

import pickle

import numpy as np
import pytest

import bpkern
from bpkern import reference
from bpkern._model.core import core_of
from bpkern._model.settings import Settings
from bpkern.activations import Parametric
from bpkern.optimizers import OPTIMIZERS
from bpkern.schedules import Cosine, CosLog4, Exponential, FlatCos, Step

rng = np.random.default_rng(0)
X = rng.normal(size=(50, 6))
Y = rng.normal(size=(50, 2))
EPOCHS, BATCH = 4, 8
UPDATES = EPOCHS * 7

DROPOUT = [FlatCos(0.4, UPDATES), 0.2, Cosine(0.5, 9, restarts=1)]


def model(optimizer=None, kind=bpkern.MLP, **options):
    options = {"loss": "mse", "dtype": "float64", "activation": "silu", "seed": 1, **options}
    return kind([6, 9, 20, 7, 2], optimizer=optimizer, **options)


def scheduled(rule):
    """An optimiser with a schedule of both rates."""
    return OPTIMIZERS[rule](lr=CosLog4(0.05, UPDATES), weight_decay=FlatCos(0.3, UPDATES))


def fit(net, **options):
    net.fit(X, Y, **{"epochs": EPOCHS, "batch_size": BATCH, "verbose": 0, **options})
    return net


def bits(net):
    return b"".join(array.tobytes() for array in net.state_dict().values())


def assert_alike(net, plain):
    for ours, theirs in zip(net.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-10)
        np.testing.assert_allclose(ours[1], theirs[1], atol=1e-10)


@pytest.mark.parametrize("rule", OPTIMIZERS)
@pytest.mark.parametrize("how", [{}, {"accumulate": 3, "drop_last": True}], ids=repr)
def test_training_agrees_with_the_reference(rule, how):
    options = {"dropout": DROPOUT, "input_dropout": Exponential(0.3, 0.9)}
    nets = [model(scheduled(rule), kind, **options) for kind in (bpkern.MLP, reference.MLP)]
    for net in nets:
        net.set_factors([1], weight_decay=0.5, lr=0.7)
        fit(net, **how)
    assert_alike(*nets)


def test_each_step_has_the_values_of_its_update(isa):
    """The oracle sets the numbers by hand; dropout of probability 0 takes no part."""
    ours = model(scheduled("adamw"))
    oracle = model(bpkern.AdamW())
    for t in range(12):
        oracle.optimizer.lr = CosLog4(0.05, UPDATES)(t)
        oracle.optimizer.weight_decay = FlatCos(0.3, UPDATES)(t)
        assert ours.train_on_batch(X, Y) == oracle.train_on_batch(X, Y)
    assert bits(ours) == bits(oracle)


def test_dropout_of_each_step(isa):
    """Activations dropped, by the trace, and their factors; at the end of the schedule none."""
    net = model(bpkern.SGD(0.01), dropout=FlatCos(0.5, 4))
    for t in range(6):
        p = FlatCos(0.5, 4)(t)
        step = net.trace(X, Y).steps[0]
        for layer in step.layers[:-1]:
            assert layer.dropout == p
            kept = bpkern.kernels.linear_forward(layer.x, layer.W, layer.b, "silu")
            dropped = layer.a == 0
            np.testing.assert_allclose(layer.a[~dropped], (kept / (1 - p))[~dropped], rtol=1e-12)
            # Five standard deviations of the part.
            assert abs(dropped.mean() - p) <= 5 * np.sqrt(p * (1 - p) / dropped.size)
        net.train_on_batch(X, Y)


CONSTANT = {"lr": Step(0.02, 1, 1.0), "weight_decay": Step(0.1, 1, 1.0)}


@pytest.mark.parametrize("batch", [1, 8, 50])
@pytest.mark.parametrize("how", [{}, {"accumulate": 2}, {"clip_norm": 0.1}, {"shards": 2}], ids=repr)
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_constant_schedules_are_numbers(isa, batch, how, dropout):
    if batch == 1 and "shards" in how:
        pytest.skip("a mini-batch has a row for each shard")
    numbers = model(bpkern.AdamW(0.02, weight_decay=0.1), dropout=dropout, input_dropout=dropout)
    p = Step(dropout, 1, 1.0)
    schedules = model(bpkern.AdamW(**CONSTANT), dropout=p, input_dropout=p)
    if not dropout:  # the key of dropout is drawn from the generator
        schedules = model(bpkern.AdamW(**CONSTANT))
    for net in (numbers, schedules):
        fit(net, epochs=2, batch_size=batch, **how)
    assert bits(numbers) == bits(schedules)


@pytest.mark.parametrize("sizes", [[3, 4, 2], [3, 40, 2]])
def test_weight_decay_of_tiny_and_thin_nets(isa, sizes):
    """Steps of one row in registers, and steps by tiles of rows."""
    for batch, rows in ((1, 40), (2000, 4000)):
        x, y = np.random.default_rng(0).normal(size=(rows, 3)), np.zeros((rows, 2))
        y[:, 0] = x[:, 0]
        options = {"loss": "mse", "seed": 0, "activation": "tanh"}
        ours = bpkern.MLP(sizes, optimizer=bpkern.SGD(0.1, weight_decay=FlatCos(0.2, 30)), **options)
        oracle = bpkern.MLP(sizes, optimizer=bpkern.SGD(0.1), **options)
        ours.fit(x, y, epochs=1, batch_size=batch, shuffle=False, verbose=0)
        for t, start in enumerate(range(0, rows, batch)):
            oracle.optimizer.weight_decay = FlatCos(0.2, 30)(t)
            part = slice(start, start + batch)
            oracle.fit(x[part], y[part], batch_size=batch, shuffle=False, verbose=0)
        assert bits(ours) == bits(oracle)


def test_a_loss_in_python_and_steps_by_hand():
    def mse(outputs, y):
        return ((outputs - y) ** 2).mean(axis=1), 2 * (outputs - y) / y.shape[1]

    named, python, by_hand = (
        model(scheduled("adam"), loss=loss, dropout=DROPOUT, input_dropout=0.1)
        for loss in ("mse", mse, "mse")
    )
    for net in (named, python):
        fit(net, shuffle=False, batch_size=50)
    for _ in range(EPOCHS):
        outputs = by_hand.forward(X, train=True)
        dx = by_hand.backward((outputs - Y) / len(X))
        by_hand.step()
    assert dx.shape == X.shape
    for net in (python, by_hand):
        assert_alike(named, net)


def test_the_derivative_by_x_has_the_dropout_of_its_forward_pass():
    net = model(input_dropout=FlatCos(0.9, 2), dropout=0.1)
    outputs = net.forward(X, train=True)
    dx = net.backward(outputs)
    assert 0.75 < (dx == 0).mean() < 0.99


@pytest.mark.parametrize("cut", [1, 3])
def test_a_resumed_fit_has_the_same_bits(tmp_path, cut):
    def make():
        return model(scheduled("adamw"), dropout=DROPOUT, input_dropout=FlatCos(0.2, UPDATES))

    class Stop(bpkern.callbacks.Callback):
        def on_epoch_end(self, model, epoch, metrics):
            if epoch + 1 == cut:
                raise KeyboardInterrupt

    whole = fit(make())
    path = tmp_path / "fit.npz"
    with pytest.raises(KeyboardInterrupt):
        fit(make(), checkpoint=path, callbacks=[Stop()])
    # The checkpoint of the last finished epoch but one, if the callback came before it was written.
    resumed = fit(make(), checkpoint=path)
    assert bits(resumed) == bits(whole)
    assert resumed.history_.lr == whole.history_.lr


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_files_pickles_and_copies_keep_schedules(tmp_path, suffix):
    if suffix == "safetensors":
        pytest.importorskip("safetensors", reason="safetensors is not installed")
    net = fit(model(scheduled("nadam"), dropout=DROPOUT, input_dropout=FlatCos(0.2, UPDATES)), epochs=1)
    net.save(tmp_path / f"net.{suffix}")
    others = [bpkern.MLP.load(tmp_path / f"net.{suffix}"), pickle.loads(pickle.dumps(net)), net.copy()]
    fit(net)
    for other in others:
        assert other.optimizer.weight_decay == FlatCos(0.3, UPDATES)
        assert repr(other) == repr(net)
        assert bits(fit(other)) == bits(net)


def everything(kind=bpkern.MLP):
    """A model with all that is scheduled, and with parametric activations."""
    options = {"dropout": DROPOUT, "input_dropout": FlatCos(0.2, 9), "activation": Parametric("selu", 0.3)}
    return model(scheduled("adamw"), kind, **options)


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_streams_train_as_rows(accumulate):
    how = {"accumulate": accumulate, "epochs": 3}
    batches = [(X[i : i + 10], Y[i : i + 10]) for i in range(0, 50, 10)]
    stream = everything()
    stream.fit(batches, verbose=0, **how)
    rows, plain = (
        fit(everything(kind), batch_size=10, shuffle=False, **how) for kind in (bpkern.MLP, reference.MLP)
    )
    assert bits(stream) == bits(rows)
    assert_alike(rows, plain)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_batch_without_weight_is_no_update(accumulate):
    weights = np.ones(50)
    weights[10:20] = 0
    how = {"batch_size": 10, "shuffle": False, "sample_weight": weights, "accumulate": accumulate}
    ours, plain = (fit(everything(kind), **how) for kind in (bpkern.MLP, reference.MLP))
    assert_alike(ours, plain)


def test_a_copy_goes_on_and_a_reset_begins_again():
    net = fit(everything(), epochs=2)
    twin = net.copy()
    assert bits(fit(net)) == bits(fit(twin))
    net.reset()
    assert bits(fit(net)) == bits(fit(everything()))


@pytest.mark.parametrize("kind", [bpkern.MLP, reference.MLP])
def test_functions_are_called_once_for_each_update(kind):
    calls = {"lr": [], "weight_decay": []}

    def noting(name, value):
        def rate(t):
            calls[name].append(t)
            return value

        return rate

    fit(model(bpkern.AdamW(**{name: noting(name, 0.01) for name in calls}), kind), epochs=1, batch_size=25)
    assert calls == {"lr": [0, 1], "weight_decay": [0, 1]}


@pytest.mark.parametrize("options", [{"dropout": DROPOUT}, {"optimizer": bpkern.SGD(FlatCos(0.1, 9))}])
def test_old_pickles_of_settings_find_what_is_scheduled(options):
    """They have a checked optimiser, and no word on schedules."""
    settings = core_of(model(**options)).settings
    settings.current_optimizer()
    state = {name: value for name, value in vars(settings).items() if name != "scheduled"}
    old = Settings.__new__(Settings)
    old.__setstate__(state)
    old.current_optimizer()
    assert old.scheduled


def test_a_function_as_weight_decay(tmp_path):
    given = bpkern.AdamW(0.01, weight_decay=lambda t: 0.1 / (t + 1))
    ours = fit(model(given))
    plain = fit(model(given, reference.MLP))
    assert_alike(ours, plain)
    ours.save(tmp_path / "net.npz")
    with pytest.raises(ValueError, match="Python function as its weight decay, which no file holds"):
        bpkern.MLP.load(tmp_path / "net.npz")
    assert bits(bpkern.MLP.load(tmp_path / "net.npz", optimizer=given)) == bits(ours)


def test_schedules_are_shown(tmp_path):
    net = model(scheduled("adamw"), dropout=FlatCos(0.4, 9), input_dropout=FlatCos(0.2, 9))
    assert "dropout=FlatCos(lr=0.4, iterations=9), input_dropout=FlatCos(lr=0.2" in repr(net)
    assert "FlatCos(lr=0.4, iterations=9)" in str(net.summary())
    assert "Input dropout: FlatCos(lr=0.2" in str(net.summary())
    trace = net.trace(X, Y)
    assert trace.dropout[0] == FlatCos(0.4, 9)
    assert "w ← (1 − lr · weight_decay) w" in str(trace)
    trace.save(tmp_path / "trace.json")
    trace.save(tmp_path / "trace.html")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dropout": lambda t: 0.1}, TypeError, "dropout must be a probability or a schedule, one of Step"),
        ({"dropout": FlatCos(1.0, 5)}, ValueError, "at iteration 0, must be at least 0 and below 1, not 1"),
        ({"input_dropout": [FlatCos(0.1, 5)]}, TypeError, "input_dropout must be a number"),
        ({"dropout": [FlatCos(0.1, 5)]}, ValueError, "one probability per hidden layer, 3, not 1"),
    ],
)
def test_wrong_dropout(options, error, message):
    with pytest.raises(error, match=message):
        model(**options)


@pytest.mark.parametrize(
    ("decay", "error", "message"),
    [
        ("0.1", TypeError, "weight_decay must be a number, a schedule or a callable"),
        (FlatCos, TypeError, "weight_decay must be a number, a schedule or a callable"),
        (-0.1, ValueError, "weight_decay must be finite and at least 0"),
    ],
)
def test_wrong_weight_decay(decay, error, message):
    with pytest.raises(error, match=message):
        bpkern.SGD(0.1, weight_decay=decay)


@pytest.mark.parametrize(
    ("decay", "error", "message"),
    [
        (lambda t: -1.0 if t > 3 else 0.0, ValueError, "weight decay must be finite .* at iteration 4"),
        (lambda t: "1", TypeError, "the weight decay must be a number"),
    ],
)
def test_a_wrong_value_of_weight_decay_is_refused_before_its_epoch(decay, error, message):
    net = model(bpkern.SGD(0.1, weight_decay=decay))
    before = bits(net)
    with pytest.raises(error, match=message):
        fit(net, batch_size=10)
    assert bits(net) == before


TOO_LARGE = r"dropout must be at least 0 and below 1: .* at iteration 8"


def test_a_probability_that_grows_too_large_is_refused_by_the_reference():
    with pytest.raises(ValueError, match=TOO_LARGE):
        fit(model(kind=reference.MLP, dropout=Exponential(0.5, 1.1)), batch_size=5)


def test_exports_ask_only_for_probabilities_that_they_need(tmp_path):
    """A file of C has no dropout, and the names of a Sequential say where its dropout stands."""
    net = fit(model(dropout=Exponential(0.5, 1.1)), epochs=1, batch_size=7)
    assert "float" in bpkern.export.to_c(net)
    with pytest.raises(ValueError, match=TOO_LARGE):
        bpkern.export.to_safetensors(net, tmp_path / "net.safetensors")


def test_a_probability_that_grows_too_large_is_refused_before_its_epoch():
    net = model(dropout=Exponential(0.5, 1.1))
    before = bits(net)
    with pytest.raises(ValueError, match=TOO_LARGE):
        fit(net, batch_size=5)
    assert bits(net) == before
