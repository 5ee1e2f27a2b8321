"""Steps of thin nets in large batches, which go by tiles of rows (csrc/trainer/row_tiles.c), are the
reference's; they have the same bits at any number of threads, and change nothing if a row is bad."""

import itertools

import numpy as np
import pytest
from helpers import everything, parameter_bits

import bpkern
from bpkern import losses, reference

# Rows so wide that tiles have 8 to 40 of them: batches of 330 rows have 9 tiles or more, the last batch of
# 60 rows has as few as 2.
ROWS, BATCH = 390, 330
NETS = ((3, 700, 1, 90), (1400, 1, 3), (1, 900), (40, 97, 5, 600))

TOLERANCE = {"float32": 3e-4, "float64": 1e-11}

OPTIMIZERS = {
    "sgd": bpkern.SGD(0.05),
    "nesterov": bpkern.SGD(0.05, 0.8, nesterov=True, weight_decay=0.1),
    "adam": bpkern.Adam(0.01, eps=1e-2, amsgrad=True, weight_decay=0.1),
    "adamw": bpkern.AdamW(0.01, eps=1e-2, weight_decay=0.5),
    "rmsprop": bpkern.RMSprop(0.01, eps=1e-2, centered=True, momentum=0.6),
    "adagrad": bpkern.Adagrad(0.01, eps=1e-2, lr_decay=0.5),
}

WEIGHTS = np.arange(ROWS) % 5 * 1.5
# The first 40 rows, a tile or more, have no weight.
WEIGHTS[:40] = 0

ARGUMENTS = {
    "plain": {},
    "weighed": dict(sample_weight=WEIGHTS, ema=0.7),
    "clipped": dict(clip_norm=0.5, clip_value=0.1),
    "all": dict(clip_norm=0.5, sample_weight=WEIGHTS, ema=0.7),
}


def data(sizes, dtype="float32", loss="mse"):
    rng = np.random.default_rng(sum(sizes))
    X = rng.standard_normal((ROWS, sizes[0])).astype(dtype)
    if loss == "cross_entropy":
        return X, rng.integers(0, sizes[-1], ROWS)
    if loss in ("binary_cross_entropy", "poisson"):
        return X, rng.integers(0, 2, (ROWS, sizes[-1])).astype(dtype)
    return X, rng.standard_normal((ROWS, sizes[-1])).astype(dtype)


def agree(sizes, dtype, loss, arguments, **model):
    """A fit of each trainer ends with the same weights and losses, within rounding."""
    X, y = data(sizes, dtype, loss)
    trained = []
    for trainer in (bpkern.MLP, reference.MLP):
        twin = trainer(sizes, loss=loss, dtype=dtype, seed=1, **{"activation": "tanh"} | model)
        fitted = twin.fit(X, y, batch_size=BATCH, epochs=2, verbose=0, **arguments)
        trained.append((twin.get_weights(), fitted["loss"]))
    (ours, loss_of_ours), (theirs, expected) = trained
    assert loss_of_ours == pytest.approx(expected, rel=TOLERANCE[dtype])
    for got, wanted in zip(itertools.chain(*ours), itertools.chain(*theirs), strict=True):
        assert np.abs(got - wanted).max() <= TOLERANCE[dtype] * max(np.abs(wanted).max(), 0.1)


@pytest.mark.parametrize("sizes", NETS, ids=str)
def test_they_take_row_tiles(isa, dtype, sizes):
    """Accumulation takes no row tiles. With one batch to accumulate, the bits would otherwise be the same."""
    X, y = data(sizes, dtype)
    bits = []
    for accumulate in (1, 2):
        model = bpkern.MLP(sizes, activation="tanh", loss="mse", init="glorot_uniform", dtype=dtype, seed=1)
        model.fit(X, y, batch_size=ROWS, accumulate=accumulate, clip_value=1e30, verbose=0)
        bits.append(parameter_bits(model))
    assert bits[0] != bits[1]


# Too many weights for small tiles. Batches of 8 MiB or more of activations go by tiles of 128 rows.
HEAVIER = (24, 1800, 2)


@pytest.mark.parametrize(("rows", "by_tiles"), [(640, True), (500, False)])
def test_heavier_nets_take_tiles_of_more_rows(dtype, rows, by_tiles):
    """As above; one step of the reference ends with the same weights; threads change no bit."""
    rng = np.random.default_rng(rows)
    X, y = (rng.standard_normal((rows, n)).astype(dtype) for n in (HEAVIER[0], HEAVIER[-1]))
    settings = {"activation": "tanh", "loss": "mse", "optimizer": bpkern.SGD(0.1), "dtype": dtype, "seed": 3}
    bits, weights = [], []
    for arguments in ({}, {"n_threads": 3}, {"accumulate": 2}):
        model = bpkern.MLP(HEAVIER, **settings)
        model.fit(X, y, batch_size=rows, clip_value=1e30, verbose=0, **arguments)
        bits.append(parameter_bits(model))
        weights.append(np.concatenate([a.ravel() for pair in model.get_weights() for a in pair]))
    assert bits[0] == bits[1]
    assert (bits[0] != bits[2]) == by_tiles
    twin = reference.MLP(HEAVIER, **settings)
    twin.fit(X, y, batch_size=rows, verbose=0)
    expected = np.concatenate([a.ravel() for pair in twin.get_weights() for a in pair])
    assert np.abs(weights[0] - expected).max() <= TOLERANCE[dtype] / 100


def test_few_rows_and_many_weights_take_none():
    for sizes, rows in (((3, 700, 1, 90), 60), ((64, 400, 400, 300), ROWS)):
        X, y = data(sizes)
        bits = []
        for accumulate in (1, 2):
            model = bpkern.MLP(sizes, activation="tanh", loss="mse", seed=1)
            model.fit(X[:rows], y[:rows], batch_size=rows, accumulate=accumulate, clip_value=1e30, verbose=0)
            bits.append(parameter_bits(model))
        assert bits[0] == bits[1]


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_updates_are_the_references(isa, dtype, optimizer, arguments):
    for i, sizes in enumerate(NETS):
        penalties = ({}, {"l2": 0.02}, {"l1": 0.01, "l2": 0.02}, {"l1": 0.01})[i]
        agree(sizes, dtype, "mse", arguments, optimizer=optimizer, **penalties)


LOSSES = {
    "squared_error": "squared_error",
    "cross_entropy": "cross_entropy",
    "binary_cross_entropy": "binary_cross_entropy",
    "mae": "mae",
    "poisson": "poisson",
    "log_cosh": "log_cosh",
    "huber": losses.Huber(0.3),
    "quantile": losses.Quantile(0.3),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses_are_the_references(isa, loss):
    name = loss if isinstance(loss, str) else "mse"
    for sizes in ((3, 700, 1, 90), (1400, 1, 3)):
        X, y = data(sizes, "float64", name)
        trained = []
        for trainer in (bpkern.MLP, reference.MLP):
            model = trainer(sizes, activation="gelu", loss=loss, dtype="float64", seed=1)
            history = model.fit(X, y, batch_size=BATCH, sample_weight=WEIGHTS, verbose=0)
            trained.append(np.concatenate([a.ravel() for pair in model.get_weights() for a in pair]))
            trained.append(np.array(history["loss"]))
        assert trained[0] == pytest.approx(trained[2], rel=1e-9, abs=1e-10)
        assert trained[1] == pytest.approx(trained[3], rel=1e-9)


def test_activations_are_the_references(isa):
    for activation in ("relu", "sigmoid", "softplus", "silu", "gelu_tanh"):
        agree((20, 300, 9, 200), "float64", "mse", {}, activation=activation, output_activation="sigmoid")


def test_dropout_is_refused_and_right(isa):
    """It goes by whole batches, and drops what the reference drops."""
    agree((3, 700, 1, 90), "float64", "mse", {}, dropout=0.3)


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
def test_the_same_bits_at_any_number_of_threads(isa, dtype, arguments):
    for sizes in NETS:
        X, y = data(sizes, dtype)
        results = []
        for n_threads in range(1, 9):
            model = bpkern.MLP(sizes, activation="gelu", loss="mse", dtype=dtype, l1=1e-3, l2=1e-3, seed=2)
            history = model.fit(X, y, batch_size=BATCH, n_threads=n_threads, verbose=0, **arguments)
            results.append((parameter_bits(model), dict(history)))
        assert all(result == results[0] for result in results)


def test_accuracies_and_metrics_see_every_row(isa):
    X, y = data((1400, 1, 3), loss="cross_entropy")
    histories = []
    for batch_size in (BATCH, 10):
        model = bpkern.MLP(
            [1400, 1, 3], activation="tanh", loss="cross_entropy", optimizer=bpkern.SGD(1e-12), seed=0
        )
        fitted = model.fit(X, y, batch_size=batch_size, metrics=["f1", "accuracy"], n_threads=2, verbose=0)
        histories.append([fitted["loss"][0], fitted["accuracy"][0], fitted["f1"][0]])
    assert histories[0] == pytest.approx(histories[1], rel=1e-6)
    assert histories[0][1] == pytest.approx(model.evaluate(X, y)["accuracy"])


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("bad", [0, 39, 40, 200, 329])
def test_a_bad_row_changes_nothing(isa, bad, n_threads):
    sizes = (3, 700, 1, 90)
    X, y = data(sizes)
    model = bpkern.MLP(sizes, activation="tanh", loss="mse", optimizer=bpkern.SGD(0.1, 0.9), seed=0)
    model.fit(X, y, batch_size=BATCH, verbose=0)
    before = everything(model)
    x = X.copy()
    x[bad, 1] = x[329, 2] = np.nan
    for arrays, name in (((x, y), "X"), ((X, np.where(np.isnan(x[:, 1:2]), np.nan, y)), "y")):
        with pytest.raises(ValueError, match=f"{name} holds nan at row {bad}"):
            model.train_on_batch(*arrays)
        assert everything(model) == before


def test_a_batch_without_weight_is_no_update(isa):
    sizes = (1, 900)
    X, y = data(sizes)
    weights = np.r_[np.zeros(BATCH), np.ones(ROWS - BATCH)]
    model, again = (bpkern.MLP(sizes, loss="mse", optimizer=bpkern.Adam(), seed=0) for _ in range(2))
    model.fit(X, y, batch_size=BATCH, shuffle=False, sample_weight=weights, verbose=0)
    again.fit(X[BATCH:], y[BATCH:], batch_size=BATCH, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights()[0], again.get_weights()[0], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_huge_weights_scale_out(isa):
    """The weights of a batch are divided by their sum, which may exceed the largest float."""
    sizes = (1, 900)
    X, y = data(sizes)
    twins = [bpkern.MLP(sizes, loss="mse", seed=0) for _ in range(2)]
    for model, size in zip(twins, (1.0, 2.0**200), strict=True):
        model.fit(X, y, batch_size=BATCH, sample_weight=WEIGHTS * size, verbose=0)
    assert parameter_bits(twins[0]) == parameter_bits(twins[1])


def test_divergence_changes_nothing_of_its_batch(isa):
    sizes = (3, 700, 1, 90)
    X, y = data(sizes)
    for n_threads in (1, 3):
        model = bpkern.MLP(sizes, activation="identity", loss="mse", optimizer=bpkern.SGD(1e20), seed=0)
        with pytest.raises(bpkern.DivergedError):
            model.fit(X, y, batch_size=BATCH, epochs=9, n_threads=n_threads, verbose=0)
        assert all(np.isfinite(array).all() for pair in model.get_weights() for array in pair)
