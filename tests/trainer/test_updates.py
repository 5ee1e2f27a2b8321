"""Every optimiser in C makes the reference's updates at every boundary size, on every instruction set,
whether gradients are applied at once or stored first; and the same bits at any number of threads."""

import itertools

import numpy as np
import pytest
from helpers import parameter_bits

import bpkern
from bpkern import reference
from bpkern._model.core import core_of

# Widths around those of vectors, blocks and tiles; some layers are narrow.
NETS = (
    (1, 2, 7),
    (8, 9, 15),
    (16, 17, 47, 3),
    (48, 1, 49),
    (64, 65, 2),
    (100, 16, 100),
    (2, 100, 48, 1),
    (5, 8),
)

OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd-decay": ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    "sgd-momentum": ("SGD", {"lr": 0.1, "momentum": 0.8}),
    "sgd-dampening": ("SGD", {"lr": 0.1, "momentum": 0.8, "dampening": 0.4}),
    "sgd-maximize": ("SGD", {"lr": 0.02, "momentum": 0.8, "maximize": True}),
    "sgd-nesterov": ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    "rmsprop": ("RMSprop", {"alpha": 0.9}),
    "rmsprop-momentum": ("RMSprop", {"momentum": 0.7, "weight_decay": 0.1}),
    "rmsprop-centered": ("RMSprop", {"centered": True, "alpha": 0.7}),
    "rmsprop-all": ("RMSprop", {"centered": True, "alpha": 0.7, "momentum": 0.6, "weight_decay": 0.1}),
    "adagrad": ("Adagrad", {"lr": 0.05}),
    "adagrad-all": (
        "Adagrad",
        {"lr": 0.05, "lr_decay": 0.5, "weight_decay": 0.1, "initial_accumulator_value": 0.1},
    ),
    "adam": ("Adam", {"lr": 0.01, "betas": (0.8, 0.9)}),
    "adam-amsgrad": ("Adam", {"lr": 0.01, "betas": (0.3, 0.4), "amsgrad": True, "weight_decay": 0.1}),
    "adam-eps-hat": ("Adam", {"lr": 0.01, "eps": 1e-2, "eps_hat": True, "weight_decay": 0.1}),
    "adam-no-memory": ("Adam", {"lr": 0.01, "betas": (0.0, 0.0), "eps": 0.1}),
    "adamw": ("AdamW", {"lr": 0.01, "weight_decay": 0.5}),
    "adamw-eps-hat": (
        "AdamW",
        {"lr": 0.01, "betas": (0.3, 0.4), "amsgrad": True, "eps": 0.1, "eps_hat": True, "weight_decay": 0.5},
    ),
    "adamw-amsgrad": ("AdamW", {"lr": 0.01, "betas": (0.3, 0.4), "amsgrad": True, "weight_decay": 0.5}),
    "nadam": ("NAdam", {"lr": 0.01, "betas": (0.8, 0.9), "momentum_decay": 0.3, "weight_decay": 0.1}),
    "nadam-decoupled": (
        "NAdam",
        {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.5, "decoupled_weight_decay": True},
    ),
}

EVERY = pytest.mark.parametrize(("name", "settings"), OPTIMIZERS.values(), ids=OPTIMIZERS)

FUSED = dict(batch_size=5)
STORED = dict(batch_size=3, accumulate=2, clip_norm=0.5, clip_value=0.1)
CLIPPED = dict(batch_size=5, clip_value=0.02)
WEIGHED = dict(batch_size=5, sample_weight=np.arange(23) % 4, ema=0.7)

TOLERANCE = {"float32": 2e-4, "float64": 1e-11}


def optimizer(name, settings, dtype):
    """A larger eps for the adaptive optimisers in float32: they divide a tiny gradient by its own size, so
    that its last digits, which differ, would decide the step."""
    settings = settings if name == "SGD" or dtype == "float64" else settings | {"eps": 1e-2}
    return getattr(bpkern, name)(**settings)


def data(sizes, dtype, rows=23):
    rng = np.random.default_rng(sum(sizes))
    return rng.standard_normal((rows, sizes[0])).astype(dtype), rng.standard_normal((rows, sizes[-1])).astype(
        dtype
    )


def close(got, expected, tolerance):
    for ours, theirs in zip(itertools.chain(*got), itertools.chain(*expected), strict=True):
        assert ours.dtype == theirs.dtype
        if not np.abs(ours - theirs).max() <= tolerance * max(np.abs(theirs).max(), 0.1):
            return False
    return True


def both(sizes, made, dtype, arguments, rows=23, **model):
    """(weights, losses) of a fit of each trainer, each of which must have moved its weights."""
    X, y = data(sizes, dtype, rows)
    trained = []
    for trainer in (bpkern.MLP, reference.MLP):
        twin = trainer(
            sizes,
            activation="tanh",
            loss="mse",
            optimizer=made,
            init="glorot_uniform",
            dtype=dtype,
            seed=1,
            **model,
        )
        before = twin.get_weights()
        history = twin.fit(X, y, **{"epochs": 2, "verbose": 0} | arguments)
        trained.append((twin.get_weights(), history["loss"]))
        assert not close(before, twin.get_weights(), 1e-3)
    return trained


@pytest.mark.parametrize(
    "arguments", [FUSED, STORED, CLIPPED, WEIGHED], ids=["fused", "stored", "clipped", "weighed"]
)
@EVERY
def test_updates_are_the_references(isa, dtype, name, settings, arguments):
    for i, sizes in enumerate(NETS):
        penalties = ({}, {"l2": 0.02}, {"l1": 0.01, "l2": 0.02}, {"l1": 0.01})[i % 4]
        (ours, loss), (theirs, expected) = both(
            sizes, optimizer(name, settings, dtype), dtype, arguments, **penalties
        )
        assert close(ours, theirs, TOLERANCE[dtype]), sizes
        assert loss == pytest.approx(expected, rel=TOLERANCE[dtype])


@pytest.mark.parametrize("arguments", [{}, {"ema": 0.7}], ids=["plain", "average"])
@pytest.mark.parametrize("penalties", [{}, {"l1": 0.02}, {"l2": 0.02}], ids=["", "l1", "l2"])
@EVERY
def test_one_row_at_a_time(isa, dtype, name, settings, penalties, arguments):
    """Nets whose layers are no wider than a vector train on single rows by the online path."""
    for sizes in ((3, 4, 2), (1, 1)):
        made = optimizer(name, settings, dtype)
        (ours, loss), (theirs, expected) = both(
            sizes, made, dtype, {"batch_size": 1} | arguments, **penalties
        )
        assert close(ours, theirs, 5 * TOLERANCE[dtype]), sizes
        assert loss == pytest.approx(expected, rel=5 * TOLERANCE[dtype])


@pytest.mark.parametrize("batch_size", [1, 8], ids=["every batch", "the last batch"])
@EVERY
def test_one_row_of_a_wider_net(isa, name, settings, batch_size):
    """Steps of one row have kernels of their own, also at the end of an epoch of larger mini-batches."""
    made = optimizer(name, settings, "float64")
    arguments = {"batch_size": batch_size, "shuffle": False, "epochs": 1}
    (ours, loss), (theirs, expected) = both((40, 70, 3), made, "float64", arguments, rows=9)
    assert close(ours, theirs, 1e-9)
    assert loss == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("beta", "decay"), [(0.9, 0.004), (0.99, 0.5), (0.999, 5.0), (0.9999, 40.0)])
def test_the_product_of_nadams_momenta(beta, decay):
    """Against the plain product of the definition. With a large decay, all but its first factors are beta."""
    lr, keep_v, eps = 0.003, 0.99, 1e-6
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((300, 1)), rng.standard_normal((300, 1))
    made = bpkern.NAdam(lr, (beta, keep_v), eps, momentum_decay=decay)
    model = bpkern.MLP([1, 1], loss="mse", optimizer=made, dtype="float64", seed=1)
    p = np.concatenate([np.ravel(array) for array in model.get_weights()[0]])
    m, v, product = 0, 0, 1
    for t, x in enumerate(X[:, 0], 1):
        g = 2 * (p @ (x, 1) - y[t - 1]) * (x, 1)
        now, following = (beta * (1 - 0.5 * 0.96 ** (i * decay)) for i in (t, t + 1))
        product *= now
        m, v = beta * m + (1 - beta) * g, keep_v * v + (1 - keep_v) * g**2
        mean = following * m / (1 - product * following) + (1 - now) * g / (1 - product)
        p = p - lr * mean / (np.sqrt(v / (1 - keep_v**t)) + eps)
    model.fit(X, y, batch_size=1, shuffle=False, verbose=0)
    assert np.concatenate([np.ravel(array) for array in model.get_weights()[0]]) == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("kind", [bpkern.SGD, bpkern.Adam])
def test_rates_that_change(isa, kind, batch_size):
    """Schedules change the learning rate at every update, and the second epoch continues them."""
    for sizes in ((3, 4, 2), (3, 50, 2)):
        made = kind(lambda t: 0.1 / (1 + t))
        (ours, _), (theirs, _) = both(sizes, made, "float64", {"batch_size": batch_size})
        assert close(ours, theirs, 1e-11)


@pytest.mark.parametrize(
    "arguments",
    [
        dict(batch_size=50),
        dict(batch_size=5, ema=0.9),
        dict(batch_size=20, accumulate=3, clip_norm=0.1, clip_value=0.01, ema=0.9),
    ],
    ids=["fused", "few rows", "stored"],
)
@pytest.mark.parametrize("name", ["sgd-nesterov", "rmsprop-all", "adagrad-all", "adam-amsgrad", "adamw"])
def test_the_same_bits_at_any_number_of_threads(isa, name, arguments):
    kind, settings = OPTIMIZERS[name]
    X, y = data((61, 90, 97, 50), "float32", rows=65)
    weights = np.arange(65) % 3
    results = []
    for n_threads in (1, 2, 3, 4, 8):
        model = bpkern.MLP(
            [61, 90, 97, 50],
            activation=["gelu", "relu"],
            loss="mse",
            optimizer=getattr(bpkern, kind)(**settings),
            l1=1e-3,
            l2=1e-3,
            dropout=[0.1, 0.4],
            seed=2,
        )
        history = model.fit(X, y, sample_weight=weights, n_threads=n_threads, verbose=0, **arguments)
        results.append((parameter_bits(model), dict(history)))
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("eps_hat", [False, True])
@pytest.mark.parametrize("arguments", [{}, {"clip_value": 1e6}], ids=["fused", "stored"])
@pytest.mark.parametrize("trainer", [bpkern.MLP, reference.MLP])
def test_where_adam_adds_epsilon(isa, dtype, trainer, arguments, eps_hat):
    """Adam by hand: eps is added to the root of the bias-corrected average, or with eps_hat of the raw
    one."""
    X, y = data((3, 20), dtype)
    lr, (keep_m, keep_v), eps = 0.1, (0.8, 0.95), 0.05
    made = bpkern.Adam(lr, (keep_m, keep_v), eps, eps_hat=eps_hat)
    model = trainer([3, 20], loss="mse", optimizer=made, dtype=dtype, seed=1)
    exact = bpkern.MLP([3, 20], loss="mse", dtype="float64", seed=1)
    exact.set_weights(model.get_weights())
    m = v = 0
    for t in range(1, 6):
        ((w, b),) = exact.get_weights()
        ((dw, db),) = exact.gradients(X, y)[1]
        g = np.column_stack([dw, db])
        m, v = keep_m * m + (1 - keep_m) * g, keep_v * v + (1 - keep_v) * g**2
        first, second = 1 / (1 - keep_m**t), 1 / (1 - keep_v**t)
        root = np.sqrt(v) + eps if eps_hat else np.sqrt(second * v) + eps
        step = lr * first * m / (root * (np.sqrt(second) if eps_hat else 1))
        exact.set_weights([(w - step[:, :-1], b - step[:, -1])])
        model.fit(X, y, batch_size=23, shuffle=False, verbose=0, **arguments)
        wanted = [array.astype(dtype) for array in exact.get_weights()[0]]
        assert close(model.get_weights(), [wanted], TOLERANCE[dtype])


@pytest.mark.parametrize("decay", [0.999, 0.9999, 0.99999, 0.9999999])
def test_decays_near_one_in_float32(isa, decay):
    """1 - beta is computed without cancellation: Adam's first step has size lr, whatever the betas."""
    X, y = data((3, 20), "float32")
    model = bpkern.MLP([3, 20], loss="mse", optimizer=bpkern.Adam(0.01, betas=(decay, decay)), seed=1)
    ((before, _),) = model.get_weights()
    model.fit(X, y, batch_size=23, verbose=0)
    ((after, _),) = model.get_weights()
    assert np.abs(np.abs(after - before) - 0.01).max() <= 1e-6
    model.fit(X, y, batch_size=23, verbose=0, ema=decay)
    trained = core_of(model).net.get_layers()[0][0].astype(np.float64)
    assert model.get_weights()[0][0] == pytest.approx(decay * after + (1 - decay) * trained, abs=1e-7)


def test_gradients_of_nothing_but_zero_are_no_nan(isa, dtype):
    """A column of zeros has gradient 0, and with eps = 0 the optimisers would compute 0 / 0."""
    X, y = data((3, 5, 20), dtype)
    X[:, 1] = 0
    for made in (
        bpkern.RMSprop(eps=0.0),
        bpkern.RMSprop(eps=0.0, centered=True),
        bpkern.Adagrad(eps=0.0),
        bpkern.Adam(eps=0.0),
        bpkern.AdamW(eps=0.0, weight_decay=0.0),
    ):
        for arguments in (dict(batch_size=5), dict(batch_size=5, clip_norm=1.0)):
            model = bpkern.MLP([3, 5, 20], loss="mse", optimizer=made, dtype=dtype, seed=1)
            before = model.get_weights()
            model.fit(X, y, verbose=0, **arguments)
            after = model.get_weights()
            assert np.array_equal(after[0][0][:, 1], before[0][0][:, 1])
            assert not np.array_equal(after[0][0][:, 0], before[0][0][:, 0])


def test_norms_beyond_the_range_of_float32(isa, dtype):
    """The squares of these gradients overflow, yet clipping still scales their norm to the limit."""
    model = bpkern.MLP([60, 20], loss="mse", optimizer=bpkern.SGD(1.0), dtype=dtype, seed=1)
    ((before, _),) = model.get_weights()
    model.forward(np.full((1, 60), 1e15), train=True)
    model.backward(np.full((1, 20), 1e15))
    model.step(clip_norm=0.5)
    ((after, _),) = model.get_weights()
    assert np.linalg.norm(after.astype(np.float64) - before) == pytest.approx(0.5, rel=1e-5)
