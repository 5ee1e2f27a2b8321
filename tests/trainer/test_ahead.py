"""Activations of the next mini-batch, computed in the pass that updates layer 0 (trainer/ahead.c), have the
bits of those that the next step computes. A callback at the end of each batch makes every call one step, so
that nothing is computed ahead."""

import numpy as np
import pytest
from helpers import parameter_bits, using

import bpkern
from bpkern import callbacks

ISAS = bpkern.available_isas()
OPTIMIZERS = (
    bpkern.SGD(lr=0.001),
    bpkern.SGD(lr=0.001, momentum=0.9),
    bpkern.SGD(lr=0.001, momentum=0.9, dampening=0.3),
    bpkern.SGD(lr=0.001, momentum=0.9, nesterov=True, weight_decay=0.01),
    bpkern.RMSprop(lr=0.001, centered=True),
    bpkern.Adagrad(lr=0.001),
    bpkern.Adam(lr=0.001, amsgrad=True),
    bpkern.AdamW(lr=0.001),
)
# Two blocks of outputs on every instruction set, a width that is no whole vector, and little padding and
# enough weights for batches of several rows (trainer/plan.c, step_sweeps).
LAYERS = (311, 61, 17, 5)


class EveryBatch(callbacks.Callback):
    def __init__(self):
        self.losses = []

    def on_batch_end(self, model, batch, logs):
        self.losses.append(logs["loss"])


def fitted(
    *,
    batch_size,
    every_batch,
    rows=47,
    layers=LAYERS,
    data=np.asarray,
    weighted=False,
    n_threads=1,
    **settings,
):
    rng = np.random.default_rng(1)
    x = data(0.1 * rng.standard_normal((rows, layers[0])).astype(np.float32))
    loss = settings.setdefault("loss", "squared_error")
    y = rng.integers(0, 5, rows) if loss == "cross_entropy" else rng.uniform(0, 1, (rows, layers[-1]))
    weights = np.where(np.arange(rows) % 9 < 3, 0, rng.uniform(0, 2, rows)) if weighted else None
    settings.setdefault("optimizer", bpkern.SGD(lr=0.001, momentum=0.9))
    model = bpkern.MLP(list(layers), seed=0, **settings)
    history = model.fit(
        x,
        y,
        epochs=2,
        batch_size=batch_size,
        sample_weight=weights,
        callbacks=[EveryBatch()] if every_batch else (),
        n_threads=n_threads,
        verbose=0,
    )
    return parameter_bits(model), history["loss"]


def check(**settings):
    assert fitted(every_batch=False, **settings) == fitted(every_batch=True, **settings)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 8, 9])
def test_the_bits_of_one_step_a_call(isa, dtype, batch_size):
    with using(isa):
        check(batch_size=batch_size, dtype=dtype)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_optimizer(optimizer, batch_size):
    check(batch_size=batch_size, optimizer=optimizer)


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "softplus", "gelu", "silu"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_activations_and_dropout(activation, dropout):
    check(batch_size=3, activation=activation, dropout=dropout)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "binary_cross_entropy", "poisson"])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_and_sample_weights(loss, weighted):
    """Of the weighted batches, some have no weight, and so make no update."""
    check(batch_size=1, loss=loss, weighted=weighted)
    check(batch_size=3, loss=loss, weighted=weighted)


@pytest.mark.parametrize(
    "layers", [(311, 5), (311, 59), (311, 61), (7, 60, 5), (48, 1, 5), (479, 48, 5), (529, 49, 5)]
)
@pytest.mark.parametrize("batch_size", [1, 6])
def test_other_nets(layers, batch_size):
    check(batch_size=batch_size, layers=layers)


def test_penalties_and_other_types_of_data():
    check(batch_size=4, l2=1e-3, data=lambda x: x.astype(np.float64)[:, ::-1])
    check(batch_size=1, l2=1e-3, data=np.asfortranarray)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_threads(batch_size):
    alone = fitted(every_batch=False, batch_size=batch_size)
    for n_threads in (2, 3, 8):
        assert fitted(every_batch=False, batch_size=batch_size, n_threads=n_threads) == alone


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_bad_row_ahead(batch_size, n_threads):
    """The step before a bad row is finished, and the row is reported by its number."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((24, 311)).astype(np.float32)
    y = rng.standard_normal((24, 5))
    model = bpkern.MLP(list(LAYERS), loss="mse", seed=0)
    other = bpkern.MLP(list(LAYERS), loss="mse", seed=0)
    other.fit(x[:12], y[:12], batch_size=batch_size, shuffle=False, verbose=0)
    x[14, 310] = np.nan
    with pytest.raises(ValueError, match="14"):
        model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, n_threads=n_threads)
    if batch_size == 4:
        assert parameter_bits(model) == parameter_bits(other)
