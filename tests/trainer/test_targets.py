"""Targets are read where the caller keeps them if they are contiguous reals, and otherwise copied
(csrc/trainer/step.c): both ways give the same bits, and find the same bad rows."""

import numpy as np
import pytest
from helpers import fitting, parameter_bits

import bpkern

ROWS = 150
LOSSES = (
    "mse",
    "squared_error",
    "mae",
    "huber",
    "quantile",
    "poisson",
    "binary_cross_entropy",
    "cross_entropy",
)
# Around the ends of vectors and blocks; the last one is prefetched, and goes by row tiles in large batches.
WIDTHS = (3, 48, 49, 129, 1316)


def data(width, loss, dtype="float32"):
    rng = np.random.default_rng(width)
    X = rng.standard_normal((ROWS, 3)).astype(dtype)
    y = fitting(loss, rng.random((ROWS, width)).astype(dtype))
    if loss == "cross_entropy":
        y = np.eye(width, dtype=dtype)[rng.integers(0, width, ROWS)]
    return X, y


def trained(X, y, loss, batch, threads=1, **arguments):
    model = bpkern.MLP(
        [3, 5, y.shape[1]],
        activation="tanh",
        output_activation=arguments.pop("output_activation", "identity"),
        loss=loss,
        dtype=X.dtype.name,
        optimizer=bpkern.SGD(0.01, 0.9),
        seed=1,
    )
    history = model.fit(X, y, epochs=2, batch_size=batch, verbose=0, n_threads=threads, **arguments)
    return history["loss"], parameter_bits(model)


def copied(y):
    """The same numbers, but no row of them is contiguous."""
    return np.repeat(y, 2, axis=1)[:, ::2]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("width", WIDTHS)
def test_both_ways_have_the_same_bits(isa, loss, width):
    for dtype in ("float32", "float64"):
        X, y = data(width, loss, dtype)
        for batch in (19, ROWS):
            assert trained(X, y, loss, batch) == trained(X, copied(y), loss, batch)
    weights = np.arange(ROWS) % 3
    arguments = dict(sample_weight=weights, output_activation="softplus")
    expected = trained(X, copied(y), loss, 19, **arguments)
    for threads in (1, 2, 3):
        assert trained(X, y, loss, 19, threads, **arguments) == expected


@pytest.mark.parametrize("loss", LOSSES[:6])
@pytest.mark.parametrize("width", [3, 100])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_first_bad_row_is_reported_and_nothing_changes(isa, loss, width, value):
    """Also before a later bad row of X, in a row without weight, and in a batch without weight."""
    for weights in (None, np.arange(ROWS) % 4 / 3, np.repeat([1.0, 0.0], ROWS // 2)):
        for bad_x in (False, True):
            X, y = data(width, loss)
            y[100, width // 2] = y[ROWS - 1, 0] = value
            X[101:, 1] = np.where(bad_x, np.nan, 0)
            model = bpkern.MLP([3, width], loss=loss, seed=1)
            before = parameter_bits(model)
            arguments = dict(batch_size=ROWS, shuffle=False, verbose=0, sample_weight=weights)
            for threads in (1, 3):
                for targets in (y, copied(y)):
                    with pytest.raises(ValueError, match=r"y holds (nan|inf) at row 100, column"):
                        model.fit(X, targets, n_threads=threads, **arguments)
                    assert parameter_bits(model) == before


def test_targets_of_a_batch_without_weight_are_checked(isa):
    X, y = data(100, "mse")
    y[100, 1] = np.nan
    model = bpkern.MLP([3, 100], loss="mse", seed=1)
    with pytest.raises(ValueError, match="y holds nan at row 100"):
        model.fit(X, y, batch_size=50, shuffle=False, verbose=0, sample_weight=np.repeat([1.0, 0], [100, 50]))
