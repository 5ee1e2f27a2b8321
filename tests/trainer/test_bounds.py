"""Steps that can be undone without a copy: their bits are those of other steps, and no overflow is missed."""

import numpy as np
import pytest

import bpkern
from bpkern._model.core import core_of
from bpkern.callbacks import Callback

OPTIMIZERS = {
    "sgd": lambda lr: bpkern.SGD(lr),
    "momentum": lambda lr: bpkern.SGD(lr, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda lr: bpkern.SGD(lr, momentum=0.9, nesterov=True),
    "rmsprop": lambda lr: bpkern.RMSprop(lr, momentum=0.5, centered=True),
    "adagrad": lambda lr: bpkern.Adagrad(lr),
    "adam": lambda lr: bpkern.Adam(lr, amsgrad=True),
    "adamw": lambda lr: bpkern.AdamW(lr, weight_decay=0.1),
}

# The first is copied, because it is so small; the last has too many layers for a proof in float32.
NETS = {
    "small": ([5, 7, 3], {}),
    "wide": ([130, 70, 50], {}),
    "narrow end": ([130, 70, 2], {"activation": "tanh"}),
    "slopes": ([60, 70, 33, 20], {"activation": ["gelu", "silu"], "dropout": 0.3, "l1": 1e-4, "l2": 1e-3}),
    "deep": ([40] * 45, {"activation": "tanh"}),
}


def rows(layers, n, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, layers[0])).astype(dtype), rng.standard_normal((n, layers[-1])).astype(
        dtype
    )


def stores(model):
    net = core_of(model).net
    return {
        f"{store} {l} {i}": array
        for store in net.stores()
        for l, pair in enumerate(net.get_layers(store))
        for i, array in enumerate(pair)
    }


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert np.array_equal(a[name], b[name]), name


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_the_bits_of_steps_that_are_copied(isa, dtype, rule, name):
    layers, settings = NETS[name]
    one, other = (
        bpkern.MLP(layers, loss="mse", optimizer=OPTIMIZERS[rule](1e-3), dtype=dtype, seed=1, **settings)
        for _ in range(2)
    )
    for n in (9, 2, 9, 9):
        X, y = rows(layers, n, dtype)
        before = core_of(one).net.counts[0]
        loss = one.train_on_batch(X, y)
        # A copy is made of an epoch with more than one step: the last one here has no weight.
        weights = np.append(np.ones(n), 0.0)
        X, y = np.vstack([X, X[:1]]), np.vstack([y, y[:1]])
        history = other.fit(X, y, sample_weight=weights, batch_size=n, shuffle=False)
        assert loss == history["loss"][0]
        assert core_of(one).net.counts[0] == before + 1
        if settings.get("dropout"):  # whose masks have the numbers of the mini-batches
            core_of(other).net.counts = core_of(one).net.counts
        assert_same(stores(one), stores(other))


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("name", ["wide", "slopes"])
def test_the_bits_of_any_number_of_threads(isa, dtype, name, threads):
    layers, settings = NETS[name]
    X, y = rows(layers, 65, dtype)
    results = []
    for n_threads in (1, threads):
        model = bpkern.MLP(layers, loss="mse", optimizer=bpkern.Adam(1e-3), dtype=dtype, seed=1, **settings)
        history = model.fit(X, y, epochs=5, batch_size=100, n_threads=n_threads)
        results.append(stores(model) | {"loss": np.array(history["loss"])})
    assert_same(*results)


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_no_overflow_is_missed(isa, dtype, rule):
    """At all powers of ten of inputs, rate and weights, a step has finite numbers or changes nothing."""
    layers = [70, 60, 8]
    X, y = rows(layers, 6, dtype)
    most = 38 if dtype == "float32" else 308
    outcomes = set()
    for power in range(0, most, 1 if dtype == "float32" else 8):
        for scales in (
            (1, 1, 10.0**power),
            (10.0**power, 1, 1e-3),
            (1, 10.0 ** (power / 2), 1e-3),
            (10.0 ** (power / 8), 1, float(np.finfo(dtype).max) / 4),
        ):
            x_scale, w_scale, lr = scales
            model = bpkern.MLP(layers, loss="mae", optimizer=OPTIMIZERS[rule](lr), dtype=dtype, seed=0)
            model.set_weights([(w * w_scale, b) for w, b in model.get_weights()])
            for _ in range(3):
                before, counts = stores(model), core_of(model).net.counts
                try:
                    model.train_on_batch(X * x_scale, y)
                except bpkern.DivergedError as error:
                    outcomes.add(str(error)[:10])
                    assert_same(stores(model), before)
                    assert core_of(model).net.counts == counts
                    break
                outcomes.add("finite")
                assert all(np.isfinite(array).all() for array in stores(model).values()), scales
    assert outcomes == {"finite", "the loss i", "the weight"}


CHANGES = {
    "set_weights": lambda model: model.set_weights([(w * 1e30, b) for w, b in model.get_weights()]),
    "load_state_dict": lambda model: model.load_state_dict(
        {name: array * 1e30 for name, array in model.state_dict().items()}
    ),
    "fit": lambda model: model.fit(*rows([70, 60, 8], 4, "float32", 3), batch_size=1, epochs=2),
    "reset": lambda model: model.reset(),
    "polyak_update": lambda model: model.polyak_update(large(), 0.5),
    "optimizer": lambda model: setattr(model, "optimizer", bpkern.SGD(1e30, momentum=0.9)),
    "step": lambda model: by_hand(model),
}


def large():
    model = bpkern.MLP([70, 60, 8], loss="mae", seed=2)
    model.set_weights([(w * 1e30, b) for w, b in model.get_weights()])
    return model


def by_hand(model):
    X, y = rows([70, 60, 8], 4, "float32", 3)
    model.optimizer.lr = 1e20
    model.backward(np.sign(model.forward(X, train=True) - y))
    model.step()


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_the_weights_is_seen(change):
    """After any change, no bounds of earlier numbers are kept: what then overflows is still undone."""
    X, y = rows([70, 60, 8], 6, "float32")
    model = bpkern.MLP([70, 60, 8], loss="mae", optimizer=bpkern.SGD(1e-3, momentum=0.9), seed=0)
    for _ in range(3):
        model.train_on_batch(X, y)
    CHANGES[change](model)
    model.optimizer.lr = 1e35
    for _ in range(4):
        before = stores(model)
        try:
            model.train_on_batch(X * 1e3, y)
        except bpkern.DivergedError:
            assert_same(stores(model), before)
            return
        assert all(np.isfinite(array).all() for array in stores(model).values())
    raise AssertionError("nothing has overflowed")


def test_a_step_in_a_callback_of_an_epoch():
    """An epoch that overflows after a step of its callback goes back to finite weights."""
    X, y = rows([70, 60, 8], 6, "float32")
    model = bpkern.MLP([70, 60, 8], loss="mae", optimizer=bpkern.SGD(1e-3), seed=0)

    class Steps(Callback):
        def on_batch_end(self, model, batch, logs):
            model.train_on_batch(X, y)

    model.fit(X, y, batch_size=2, callbacks=Steps())
    model.optimizer.lr = 1e38
    with pytest.raises(bpkern.DivergedError):
        model.fit(X, y, batch_size=2, epochs=3)
    assert all(np.isfinite(array).all() for array in stores(model).values())
