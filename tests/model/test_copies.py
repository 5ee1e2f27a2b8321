"""Copies of a model, and Polyak averages of one in another."""

import copy

import numpy as np
import pytest
from helpers import using

import bpkern
from bpkern import _core
from bpkern._model.core import core_of

RNG = np.random.default_rng(11)
X, Y = RNG.standard_normal((40, 5)), RNG.standard_normal((40, 2))


def make(seed=1, dtype="float64", **settings):
    settings = dict(optimizer=bpkern.Adam(0.01, amsgrad=True), dropout=0.3, loss="mse") | settings
    return bpkern.MLP([5, 50, 1, 17, 2], dtype=dtype, seed=seed, **settings)


def custom(a, y):
    return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / a.shape[1]


def state(model):
    parameters = {name: array.tobytes() for name, array in core_of(model).get_parameters().items()}
    stores = {
        store: [array.tobytes() for pair in core_of(model).net.get_layers(store) for array in pair]
        for store in core_of(model).net.stores()
    }
    return parameters, stores, core_of(model).net.counts


@pytest.mark.parametrize("loss", ["mse", bpkern.losses.Huber([0.5, 2]), custom])
@pytest.mark.parametrize("way", [lambda m: m.copy(), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_copy_has_the_same_future_and_one_of_its_own(isa, dtype, loss, way, ema):
    model = make(dtype=dtype, loss=loss)
    model.fit(X, Y, epochs=2, batch_size=8, validation_split=0.2, ema=ema)
    copied = way(model)
    assert type(copied) is bpkern.MLP
    assert state(copied) == state(model)
    assert dict(copied.history_) == dict(model.history_)
    before = state(model)
    history = copied.fit(X, Y, batch_size=8, validation_split=0.2, ema=ema)
    assert state(model) == before
    assert dict(model.fit(X, Y, batch_size=8, validation_split=0.2, ema=ema)) == dict(history)
    assert state(copied) == state(model)
    model.reset()
    assert state(copied) != state(model)
    copied.reset()
    assert state(copied) == state(model)


@pytest.mark.parametrize("tau", [0.0, 0.005, 0.5, 1.0])
def test_polyak_update(isa, dtype, tau):
    target, model = make(1, dtype), make(2, dtype)
    pairs = list(zip(target.get_weights(), model.get_weights(), strict=True))
    source = state(model)
    target.polyak_update(model, tau)
    assert state(model) == source
    for (old, new), got in zip(pairs, target.get_weights(), strict=True):
        for a, b, w in zip(old, new, got, strict=True):
            expected = (1 - tau) * a.astype(np.float64) + tau * b
            assert np.abs(w - expected).max() <= 2 * np.finfo(dtype).eps
    if tau in (0, 1):
        source = (target if tau == 0 else model).forward(X)
        assert np.array_equal(target.forward(X), source)


def test_an_update_by_1_is_a_copy_to_the_bit(isa, dtype):
    """Also if the two models' numbers differ widely in size."""
    target, model = make(1, dtype), make(2, dtype)
    target.set_weights([(1e6 * w, b + 1e3) for w, b in target.get_weights()])
    target.polyak_update(model, 1)
    for pair, expected in zip(target.get_weights(), model.get_weights(), strict=True):
        assert all(np.array_equal(got, wanted) for got, wanted in zip(pair, expected, strict=True))


def test_what_is_averaged_is_what_predicts():
    """The update uses the other model's average and this model's weights, and ends this model's average."""
    target, model = make(1), make(2)
    target.fit(X, Y, ema=0.5)
    model.fit(X, Y, epochs=3, ema=0.9)
    trained = core_of(target).net.get_layers()
    target.polyak_update(model, 0.25)
    for got, own, other in zip(target.get_weights(), trained, model.get_weights(), strict=True):
        for w, a, b in zip(got, own, other, strict=True):
            assert w == pytest.approx(0.75 * a + 0.25 * b, rel=1e-13, abs=1e-15)
    assert "average" not in core_of(target).net.stores()


@pytest.mark.parametrize(
    ("other", "tau", "error", "message"),
    [
        (make(), 1.5, ValueError, "tau"),
        (make(), -0.1, ValueError, "tau"),
        (make(), "0.1", TypeError, "tau"),
        (make(dtype="float32"), 0.1, ValueError, "float64, not"),
        (bpkern.MLP([5, 2], loss="mse", dtype="float64"), 0.1, ValueError, r"layers \[5, 50, 1, 17, 2\]"),
        (None, 0.1, TypeError, "bpkern.MLP"),
    ],
)
def test_what_is_refused(other, tau, error, message):
    model = make()
    before = state(model)
    with pytest.raises(error, match=message):
        model.polyak_update(other, tau)
    assert state(model) == before


def test_networks_of_two_instruction_sets_do_not_blend():
    if len(_core.available_isas()) < 2:
        pytest.skip("this processor has one instruction set")
    one, other = _core.available_isas()[:2]
    models = []
    for isa in (one, other):
        with using(isa):
            models.append(bpkern.MLP([3, 2], loss="mse", seed=0))
    before = [array.copy() for array in models[0].state_dict().values()]
    with pytest.raises(ValueError, match="different instruction sets"):
        models[0].polyak_update(models[1], 0.5)
    for array, kept in zip(models[0].state_dict().values(), before, strict=True):
        np.testing.assert_array_equal(array, kept)


MOST = {"float32": 3.4e38, "float64": 1.7e308}


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("tau", [0.0, 1e-9, 0.005, 0.3, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("sizes", [(0.6, -0.6), (1, -1), (-1, 1), (1, 1), (0.6, -1e-9)])
def test_the_mean_of_large_weights_is_finite(isa, dtype, tau, sizes, ema):
    """Also where their difference overflows; in weights and in biases."""
    layers = [(5, 50), (50, 1), (1, 17), (17, 2)]
    target, model = make(1, dtype), make(2, dtype)
    if ema:
        target.fit(X, Y, ema=ema)
    large = [size * MOST[dtype] for size in sizes]
    for each, size in zip((target, model), large, strict=True):
        each.set_weights([(np.full((n, m), size), np.full(n, size)) for m, n in layers])
    target.polyak_update(model, tau)
    wanted = (1 - tau) * np.longdouble(large[0]) + tau * np.longdouble(large[1])
    for w in np.concatenate([array.ravel() for pair in target.get_weights() for array in pair]):
        assert np.isfinite(w)
        assert abs(np.longdouble(w) - wanted) <= 2 * np.finfo(dtype).eps * max(map(abs, large))
    assert "average" not in core_of(target).net.stores()


def test_the_mean_with_an_average_of_large_weights(dtype):
    """The other model's average is read, and this model's states and counts stay."""
    target, model = make(1, dtype), make(2, dtype)
    target.fit(X, Y, epochs=2)
    target.set_weights([(w * 0 + 0.9 * MOST[dtype], b) for w, b in target.get_weights()])
    model.fit(X, Y, ema=0.9)
    net = core_of(model).net
    net.set_layers(
        [(w * 0 - np.dtype(dtype).type(0.9 * MOST[dtype]), b) for w, b in net.get_layers()], "average"
    )
    kept = {store: core_of(target).net.get_layers(store) for store in ("m", "v", "u")}
    counts = core_of(target).net.counts
    target.polyak_update(model, 0.5)
    assert all((w == 0).all() for w, _ in target.get_weights())
    assert core_of(target).net.counts == counts
    for store, layers in kept.items():
        for pair, others in zip(layers, core_of(target).net.get_layers(store), strict=True):
            assert all(map(np.array_equal, pair, others))
