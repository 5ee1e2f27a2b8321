"""The trainer's products of matrices stored in blocks: outputs and gradients of nets of every boundary size,
against higher precision, on every instruction set and by several threads."""

import itertools

import numpy as np
import pytest
from helpers import ACTIVATIONS, DERIVATIVES, EXACT, NEED_Z, ULP, parameter_bits, using
from hypothesis import given
from hypothesis import strategies as st

import bpkern
from bpkern import _core
from bpkern._model.core import core_of

# Whole vectors and blocks and their remainders; then depths at which a product is split into parts.
WIDTHS = (1, 2, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 79, 80, 95, 96, 97, 113)
DEEP = (479, 480, 481, 503, 504, 527, 528, 529, 960, 1009)
# Tile heights, the batch size up to which delta uses dot products, and the rows of a part.
BATCHES = (1, 2, 3, 4, 5, 6, 9, 10, 13, 14, 15, 16, 17, 27, 31, 32, 33, 48, 65)
TALL = (255, 256, 257, 300, 513)


def exact_pass(weights, activations, x, t):
    """Outputs, and gradients of the row mean of 1/2 sum (a - t)^2; each with the sum of its terms'
    magnitudes."""
    a, size, slopes = [x], [np.abs(x)], []
    for (w, b), name in zip(weights, activations, strict=True):
        z = a[-1] @ w.T + b
        a.append(ACTIVATIONS[name](z))
        slopes.append(DERIVATIVES[name](z if name in NEED_Z else a[-1]))
        size.append(size[-1] @ np.abs(w).T + np.abs(b))
    delta = (a[-1] - t) * slopes[-1] / len(x)
    delta_size = (size[-1] + np.abs(t)) / len(x)
    gradients = []
    for l in reversed(range(len(weights))):
        pair = (delta.T @ a[l], delta.sum(axis=0)), (delta_size.T @ size[l], delta_size.sum(axis=0))
        gradients.append(pair)
        if l:
            delta = (delta @ weights[l][0]) * slopes[l - 1]
            delta_size = delta_size @ np.abs(weights[l][0])
    return (a[-1], size[-1]), gradients[::-1]


def check(sizes, rows, dtype, activation, seed, n_threads=1):
    rng = np.random.default_rng(seed)
    activations = [activation] * (len(sizes) - 2) + ["identity"]
    model = bpkern.MLP(sizes, activation=activation, loss="squared_error", dtype=dtype, seed=0)
    weights = [
        (rng.standard_normal((m, n)).astype(dtype), rng.standard_normal(m).astype(dtype))
        for n, m in itertools.pairwise(sizes)
    ]
    # Sums of about 1, so that sigmoid and tanh do not saturate.
    weights = [(w / np.sqrt(np.asarray(w.shape[1], dtype)), b) for w, b in weights]
    model.set_weights(weights)
    x = rng.standard_normal((rows, sizes[0])).astype(dtype)
    t = rng.standard_normal((rows, sizes[-1])).astype(dtype)
    exact = EXACT[dtype]
    (outputs, size), expected = exact_pass(
        [(w.astype(exact), b.astype(exact)) for w, b in weights],
        activations,
        x.astype(exact),
        t.astype(exact),
    )
    # The rounding of each product along the way, of at most `depth` terms, and of the activations.
    depth = sum(sizes) + rows
    unit = (2 * np.sqrt(depth) + 16 * len(sizes) + 4 * ULP[activation]) * np.finfo(dtype).eps
    case = (sizes, rows, dtype, activation)
    assert (np.abs(model.forward(x) - outputs) <= unit * size).all(), case
    _, gradients = model.gradients(x, t)
    before = model.get_weights()
    model.optimizer.lr = 1.0
    model.fit(x, t, batch_size=rows, shuffle=False, n_threads=n_threads, verbose=0)
    for l, (parts, bounds) in enumerate(expected):
        for got, old, new, part, bound in zip(
            gradients[l], before[l], model.get_weights()[l], parts, bounds, strict=True
        ):
            assert (np.abs(got - part) <= unit * bound).all(), (case, l)
            # With learning rate 1, the step is the gradient.
            rounding = np.finfo(dtype).eps * (np.abs(old) + np.abs(part))
            assert (np.abs(old - new - part) <= unit * bound + rounding).all(), (case, l)


def test_every_width(isa, dtype):
    batches, activations = itertools.cycle(BATCHES), itertools.cycle(ACTIVATIONS)
    for i, width in enumerate(WIDTHS):
        sizes = [width, WIDTHS[-1 - i], WIDTHS[(7 * i + 3) % len(WIDTHS)]]
        check(sizes, next(batches), dtype, next(activations), seed=i)


def test_every_batch(isa, dtype):
    activations = itertools.cycle(ACTIVATIONS)
    for i, rows in enumerate((*BATCHES, *TALL)):
        check([17, 50, 33], rows, dtype, next(activations), seed=i)


def test_every_depth(isa, dtype):
    for i, depth in enumerate(DEEP):
        check([depth, 9, depth], (5, 40, 257)[i % 3], dtype, "tanh", seed=i)
        check([3, depth, 20], (300, 16, 33)[i % 3], dtype, "relu", seed=i)


def test_matrices_larger_than_the_cache(isa):
    """Several parts of rows, and updates of several blocks together, if the second-level cache has at most
    2 MiB: the third layer's delta takes more than four times as much, and the input more than half of it."""
    cache, rows = 2 << 20, 550
    column = rows * np.dtype("float64").itemsize
    sizes = [cache // 2 // column + 9, 131, 4 * cache // column + 5, 3]
    check(sizes, rows, "float64", "tanh", seed=0, n_threads=2)


SIZE = st.integers(1, 130)


@given(
    sizes=st.lists(SIZE, min_size=2, max_size=5),
    rows=st.integers(1, 70),
    activation=st.sampled_from(["identity", "sigmoid", "tanh"]),  # no relu: rounding could flip the sign of z
    n_threads=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_random_nets(sizes, rows, activation, n_threads, seed):
    for isa, dtype in itertools.product(_core.available_isas(), EXACT):
        with using(isa):
            check(sizes, rows, dtype, activation, seed, n_threads)


def test_narrow_layers(isa, dtype):
    """Few outputs, few inputs, and both sides of the width from which weights are stored transposed."""
    batches = itertools.cycle((1, 5, 16, 17, 40, 300))
    for i, (wide, narrow) in enumerate(itertools.product((17, 48, 65, 600), (1, 2, 3, 4, 5, 7, 8, 9))):
        for sizes in ([wide, narrow], [wide, narrow, wide + 1, narrow, 3], [narrow, wide, narrow]):
            check(sizes, next(batches), dtype, "sigmoid", seed=i, n_threads=1 + i % 3)


OPTIMIZERS = (
    bpkern.SGD(0.1, weight_decay=0.01),
    bpkern.SGD(0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    bpkern.RMSprop(0.001, eps=0.01, momentum=0.5, centered=True),
    bpkern.Adagrad(0.02, eps=0.01),
    bpkern.Adam(0.01, eps=0.01, amsgrad=True),
    bpkern.AdamW(0.01, eps=0.01, eps_hat=True),
)

# Up to a block of the widest vectors: multiples of half a vector of 16, 8 and 4, and their neighbours.
NEAR_HALVES = sorted({n + d for n in range(4, 49, 4) for d in (-1, 0, 1)})


@pytest.mark.parametrize("wide", [3, 70])
def test_training_at_widths_near_halves_of_vectors(isa, dtype, wide):
    """After a few steps of each optimiser the weights are the reference's, and the padding has no effect. A
    net with a wide layer stores its narrow layers differently from a net without one."""
    rng = np.random.default_rng(9)
    x = rng.standard_normal((23, wide)).astype(dtype)
    # Six steps round every weight a few times; eps keeps the optimisers from amplifying that.
    tolerance = 50 * np.finfo(dtype).eps
    for width, optimizer in zip(NEAR_HALVES, itertools.cycle(OPTIMIZERS)):
        sizes, y = [wide, width, width, width], rng.standard_normal((23, width)).astype(dtype)
        given = dict(activation="tanh", loss="squared_error", optimizer=optimizer, dtype=dtype, seed=1)
        given["init"] = "glorot_uniform"  # with biases, steps of 0.1 are too long
        for penalties in ({}, {"l1": 1e-3, "l2": 1e-2}):
            model = bpkern.MLP(sizes, **given, **penalties)
            expected = bpkern.reference.MLP(sizes, **given, **penalties)
            before = model.get_weights()
            for each in (model, expected):
                each.fit(x, y, epochs=2, batch_size=8)
            squares = 0.0
            for l, (pair, wanted) in enumerate(zip(model.get_weights(), expected.get_weights(), strict=True)):
                for got, exact, old in zip(pair, wanted, before[l], strict=True):
                    assert np.abs(got - exact).max() <= tolerance, (sizes, optimizer, l)
                    assert np.abs(got - old).max() > 1e-3, (sizes, optimizer, l)
                squares += float((pair[0].astype(np.float64) ** 2).sum())
            assert core_of(model).net.penalty(0.0, 1.0) == pytest.approx(squares, rel=1e-6), (
                sizes,
                optimizer,
            )


def test_batches_of_changing_size(isa):
    """Values that an earlier or larger batch has left in the workspace do not affect the next batch."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((100, 37)).astype(np.float32), rng.integers(0, 20, 100)

    def make():
        return bpkern.MLP([37, 70, 3, 20], loss="cross_entropy", optimizer=bpkern.SGD(0.1, 0.9), seed=0)

    used = make()
    for rows in (100, 7, 64, 1, 30, 100):
        used.reset()
        used.train_on_batch(x[:rows], y[:rows])
        new = make()
        new.train_on_batch(x[:rows], y[:rows])
        assert parameter_bits(used) == parameter_bits(new), rows
        assert np.array_equal(used.forward(x[:rows]), new.forward(x[:rows])), rows


def test_an_overflow_leaves_nothing_in_the_workspace(isa):
    x, y = np.ones((20, 37), np.float32), np.zeros((20, 50), np.float32)
    models = [bpkern.MLP([37, 70, 50], loss="mse", seed=0) for _ in "ab"]
    models[0].optimizer.lr = 1e37
    with pytest.raises(bpkern.DivergedError):
        models[0].fit(x, y, epochs=5, batch_size=20)
    models[0].optimizer.lr = 0.01
    models[0].reset()
    for model in models:
        model.fit(x, y, epochs=2, batch_size=20)
    assert parameter_bits(models[0]) == parameter_bits(models[1])


# The first net has the most layers that the online path holds; together the nets use all its activations.
ONLINE_NETS = (
    *([3] * 9, [2, 2, 2], [4, 3, 1], [4, 4, 4], [2, 3, 2], [3, 4, 2], [4, 2, 3], [1, 4, 2]),
    *([1, 1], [3, 8, 5, 2], [16, 16, 16, 7], [17, 16, 2]),
)
ONLINE_ACTIVATIONS = [name for name in ACTIVATIONS if name not in NEED_Z]


@pytest.mark.parametrize("loss", ["mse", "squared_error", "cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_one_row_at_a_time(isa, dtype, loss, momentum):
    """Small nets train on batches of one row by the online path, unless the rows have to be converted."""
    rng = np.random.default_rng(7)
    differences = 0
    for i, sizes in enumerate(ONLINE_NETS):
        x = rng.standard_normal((50, sizes[0])).astype(dtype)
        y = rng.random((50, sizes[-1])).astype(dtype)
        if loss == "cross_entropy":
            y /= y.sum(axis=1, keepdims=True)
        optimizer = bpkern.SGD(0.01, momentum, nesterov=momentum > 0, weight_decay=0.01)
        settings = dict(
            activation=[ONLINE_ACTIVATIONS[(i + l) % len(ONLINE_ACTIVATIONS)] for l in range(len(sizes) - 2)],
            output_activation="tanh",
            loss=loss,
        )
        models = [bpkern.MLP(sizes, optimizer=optimizer, dtype=dtype, seed=3, **settings) for _ in "ab"]
        swapped = x.astype(x.dtype.newbyteorder())
        fits = [m.fit(rows, y, batch_size=1, epochs=2) for m, rows in zip(models, (x, swapped), strict=True)]
        eps = np.finfo(dtype).eps
        for name in fits[0]:
            assert np.allclose(fits[0][name], fits[1][name], rtol=1e3 * eps, atol=1e3 * eps), (sizes, name)
        for pair in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
            for a, b in zip(*pair, strict=True):
                assert np.allclose(a, b, rtol=1e3 * eps, atol=1e3 * eps), sizes
        differences += parameter_bits(models[0]) != parameter_bits(models[1])
    # The two paths add in different orders: equal bits in all nets would mean that only one of them ran. With
    # two lanes, and so at most two terms, the orders are the same, and only a fused multiply-add differs.
    if _core.vector_bytes(isa) > 2 * np.dtype(dtype).itemsize:
        assert (differences > 0) == (isa != "scalar")


def test_one_row_at_a_time_with_labels(isa):
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((60, 4)).astype(np.float32), rng.integers(0, 3, 60)
    fits = []
    for rows in (x, x.astype(">f4")):
        model = bpkern.MLP([4, 8, 3], loss="cross_entropy", seed=1)
        fits.append(model.fit(rows, y, batch_size=1, epochs=3))
    assert np.allclose(fits[0]["loss"], fits[1]["loss"], rtol=1e-5)
    assert fits[0]["accuracy"] == fits[1]["accuracy"]


def test_one_row_at_a_time_stops(isa):
    """NaN or infinity in a row stops the fit as of the step before it; so does a loss that is not finite."""
    x, y = np.ones((30, 4), np.float32), np.ones((30, 2), np.float32)
    for (bad, name), value in itertools.product(((x, "X"), (y, "y")), (np.nan, np.inf, -np.inf)):
        before = bad[11, 1]
        bad[11, 1] = value
        model, shorter = (bpkern.MLP([4, 4, 2], loss="mse", seed=0) for _ in "ab")
        with pytest.raises(ValueError, match=f"{name} holds {value} at row 11, column 1"):
            model.fit(x, y, batch_size=1, shuffle=False)
        bad[11, 1] = before
        shorter.fit(x[:11], y[:11], batch_size=1, shuffle=False)
        assert parameter_bits(model) == parameter_bits(shorter)
    model = bpkern.MLP([4, 4, 2], loss="mse", optimizer=bpkern.SGD(1e20), seed=0)
    with pytest.raises(bpkern.DivergedError):
        model.fit(x, y, batch_size=1, shuffle=False)
    assert all(np.isfinite(array).all() for pair in model.get_weights() for array in pair)
