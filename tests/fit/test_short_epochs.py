"""Short epochs run in one call into C: they end as epochs that are run one by one."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from signals import alarms, ctrl_c_after, epochs_of

import bpkern
from bpkern._fit.epochs import RowEpochs
from bpkern._model.core import core_of
from bpkern.callbacks import Callback

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((50, 6)), RNG.integers(0, 3, 50)
VALUES = RNG.standard_normal((50, 3))


class EachEpoch(Callback):
    """It does nothing, but the epochs are then run one by one."""


def fitted(callbacks, settings, arguments, y, before=0):
    model = bpkern.MLP(**{"layers": [6, 16, 3], "loss": "mse", "seed": 5} | settings)
    for _ in range(before):
        model.fit(X, y, ema=0.5)
    try:
        history, error = model.fit(X, y, callbacks=callbacks, verbose=0, **arguments), None
    except (bpkern.DivergedError, ValueError) as raised:
        history, error = model.history_, raised
    return model, history, error


def state_of(model):
    net = core_of(model).net
    layers = [array for store in net.stores() for pair in net.get_layers(store) for array in pair]
    return [
        net.stores(),
        net.counts,
        net.moves,
        str(core_of(model).random.state()),
        *[a.tobytes() for a in layers],
    ]


def compare(settings=(), arguments=(), y=VALUES, before=0):
    """The fit in one call and epoch by epoch; returns the error, if both raise the same."""
    settings, arguments = dict(settings), dict(epochs=7, batch_size=16) | dict(arguments)
    (one, history, error), (other, history2, error2) = (
        fitted(callbacks, settings, arguments, y, before) for callbacks in ((), EachEpoch())
    )
    assert (type(error), str(error)) == (type(error2), str(error2))
    if isinstance(error, bpkern.DivergedError):
        assert (error.epoch, error.iteration) == (error2.epoch, error2.iteration)
    if history is None or history2 is None:
        assert history is history2
    else:
        assert history == history2
        assert list(history) == list(history2)
        assert (history.lr, history.iterations) == (history2.lr, history2.iterations)
    assert state_of(one) == state_of(other)
    return error


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"shuffle": False},
        {"batch_size": 1},
        {"batch_size": 50},
        {"batch_size": 49},
        {"validation_split": 0.0},
        {"sample_weight": np.where(np.arange(50) < 16, 0.0, 2.0)},
        {"clip_norm": 0.1},
        {"accumulate": 3},
        {"ema": 0.9},
        {"n_threads": 3},
        {"metrics": ()},
        {"epochs": 0},
        {"epochs": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", ["values", "labels"])
def test_epochs_in_one_call(isa, dtype, arguments, shape):
    settings = {"dtype": dtype, "optimizer": bpkern.Adam(0.01)}
    if shape == "labels":
        compare(settings | {"loss": "cross_entropy"}, arguments, LABELS)
    else:
        compare(settings, arguments)


@pytest.mark.parametrize("name", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_the_orders_of_every_generator(name):
    def seed():
        return np.random.Generator(getattr(np.random, name)(3))

    for rows in (1, 2, 49, 50):
        models = [bpkern.MLP([6, 4, 3], loss="mse", seed=seed()) for _ in range(2)]
        for model, callbacks in zip(models, ((), EachEpoch()), strict=True):
            model.fit(X[:rows], VALUES[:rows], epochs=20, callbacks=callbacks)
        assert state_of(models[0]) == state_of(models[1])


def test_an_average_of_an_earlier_fit_is_dropped():
    compare(before=1)
    compare(arguments={"epochs": 1}, before=2)


@pytest.mark.parametrize("lr", [1e5, 1e18, 1e30, 1e38])
@pytest.mark.parametrize("batch_size", [1, 16, 50])
@pytest.mark.parametrize("wide", [False, True])
def test_a_fit_that_diverges(dtype, lr, batch_size, wide):
    large = lr ** (1 if dtype == "float32" else 8)
    settings = {"dtype": dtype, "optimizer": bpkern.SGD(large, momentum=0.9), "loss": "mae"}
    if wide:  # so that its single steps are proved not to overflow, or copied
        settings["layers"] = [6, 100, 90, 3]
    error = compare(settings, {"batch_size": batch_size, "epochs": 12})
    assert lr < 1e30 or isinstance(error, bpkern.DivergedError)


def test_a_mean_that_overflows():
    error = compare({"loss": "mae", "dtype": "float64"}, {"batch_size": 1}, np.full((50, 3), 1e308))
    assert isinstance(error, bpkern.DivergedError)


def test_a_bad_row():
    values = VALUES.copy()
    values[31, 2] = np.nan
    error = compare(arguments={"batch_size": 8, "shuffle": False}, y=values)
    assert "y holds nan at row 31, column 2" in str(error)


def test_a_function_or_a_schedule_is_asked_as_before():
    compare({"optimizer": bpkern.SGD(lambda iteration: 0.1 / (1 + iteration))})
    compare({"optimizer": bpkern.SGD(bpkern.schedules.Cosine(0.1, iterations=20))})


@pytest.mark.parametrize(
    ("settings", "arguments", "some"),
    [
        ({}, {}, True),
        ({"optimizer": bpkern.Adam()}, {"shuffle": False, "sample_weight": np.ones(50)}, True),
        ({}, {"callbacks": EachEpoch()}, False),
        ({}, {"validation_split": 0.2}, False),
        ({}, {"metrics": "mae"}, False),
        ({"optimizer": bpkern.SGD(lambda iteration: 0.1)}, {}, False),
    ],
)
def test_which_epochs_run_in_one_call(monkeypatch, settings, arguments, some):
    called = []
    run_some = RowEpochs.run_some

    def counted(*args, **kwargs):
        called.append(True)
        return run_some(*args, **kwargs)

    monkeypatch.setattr(RowEpochs, "run_some", counted)
    bpkern.MLP([6, 16, 3], loss="mse", **settings).fit(X, VALUES, epochs=3, verbose=0, **arguments)
    assert bool(called) == some


def test_ctrl_c_finds_a_whole_history():
    """As many epochs are in the history as were made, and their orders have been drawn."""
    for least in (1, 3000, 10_000):
        model = bpkern.MLP([6, 4, 3], loss="mse", seed=1)
        with pytest.raises(KeyboardInterrupt), ctrl_c_after(model, least):
            model.fit(X, VALUES, epochs=10_000_000, batch_size=16, verbose=0)
        history = model.history_
        epochs = len(history["loss"])
        assert epochs == len(history.lr) >= least
        assert core_of(model).net.counts[0] == history.iterations == 4 * epochs
        other = bpkern.MLP([6, 4, 3], loss="mse", seed=1)
        other.fit(X, VALUES, epochs=epochs, batch_size=16, verbose=0)
        assert state_of(other) == state_of(model)
        assert other.history_ == history


def test_a_handler_that_stops_the_training():
    model = bpkern.MLP([6, 4, 3], loss="mse", seed=1)

    def stop():
        model.stop_training = epochs_of(model) > 0
        return model.stop_training

    with alarms(stop):
        history = model.fit(X, VALUES, epochs=10_000_000, batch_size=16, verbose=0)
    assert 0 < len(history["loss"]) < 10_000_000


def test_a_handler_that_changes_the_model():
    """It resets the model and changes the optimiser: the fit goes on with them."""
    model = bpkern.MLP([6, 4, 3], loss="mse", seed=1, optimizer=bpkern.Adam())
    handled = []  # the history of the fit, and its epochs so far; after a reset, the model has none

    def change():
        if not handled and not epochs_of(model):
            return False
        history = handled[0][0] if handled else model.history_
        if handled and len(history["loss"]) == handled[0][1]:
            return False
        handled.append((history, len(history["loss"])))
        model.reset()
        model.optimizer = bpkern.SGD(0.5)
        model.stop_training = len(handled) == 2
        return model.stop_training

    with alarms(change):
        history = model.fit(X, VALUES, epochs=10_000_000, batch_size=16, verbose=0)
    assert len(handled) == 2
    assert (history.lr[0], history.lr[-1]) == (0.001, 0.5)
    assert core_of(model).net.stores() == ["parameters"]


def test_a_reset_is_no_return_to_the_start():
    """A fit that fails after a handler's reset counts as many updates as at its start, none."""
    model = bpkern.MLP([6, 4, 3], loss="mse", seed=1)

    def leave():
        if epochs_of(model):
            model.reset()
            model.reset()
            raise RuntimeError("out")

    with alarms(leave), pytest.raises(RuntimeError, match="out"):
        model.fit(X, VALUES, epochs=10_000_000, batch_size=16, verbose=0)
    new = bpkern.MLP([6, 4, 3], loss="mse", seed=1)
    assert state_of(model) == state_of(new)


CHANGED_NUMPY = """
import numpy as np
original = np.random.default_rng

class Changed(np.random.Generator):
    def permutation(self, n):
        return super().permutation(n)[::-1]

import bpkern
from bpkern import _core

np.random.default_rng = lambda seed=None: Changed(np.random.PCG64(seed))
generator = np.random.Generator(np.random.PCG64(0))
assert not _core.shuffles(generator)
np.random.default_rng = original
assert not _core.shuffles(generator)
assert np.array_equal(_core.permutation(generator, 40), original(0).permutation(40))
X = original(1).standard_normal((30, 6))
model = bpkern.MLP([6, 3], loss="mse", seed=2)
assert len(model.fit(X, X[:, :3], epochs=5)["loss"]) == 5
"""


def test_a_numpy_that_draws_permutations_in_another_way():
    """Then NumPy is asked for every order."""
    subprocess.run([sys.executable, "-c", CHANGED_NUMPY], check=True)


def test_two_models_of_one_generator_in_two_threads():
    generator = np.random.default_rng(0)
    models = [bpkern.MLP([6, 4, 3], loss="mse", seed=generator) for _ in range(2)]
    threads = [
        threading.Thread(target=model.fit, args=(X, VALUES), kwargs={"epochs": 3000, "n_threads": 1})
        for model in models
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(model.history_["loss"]) == 3000 for model in models)


def test_the_rows_of_a_split():
    train, states = np.random.default_rng(1).permutation(50)[:33], []
    for callbacks in ((), EachEpoch()):
        model = bpkern.MLP([6, 16, 3], loss="mse", seed=1)
        each = [{"callbacks": callbacks}]
        bpkern.fit_many([model], X, VALUES, splits=[(train, None)], each=each, epochs=5, batch_size=8)
        states.append((state_of(model), model.history_))
    assert states[0] == states[1]
