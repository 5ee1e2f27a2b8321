"""Fits stopped by divergence or Ctrl-C leave a whole model with finite weights."""

import numpy as np
import pytest
from signals import ctrl_c

import bpkern
from bpkern._model.core import core_of

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((64, 5)).astype(np.float32), RNG.standard_normal(64).astype(np.float32)


def finite(model):
    return all(np.isfinite(array).all() for pair in model.get_weights() for array in pair)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_learning_rate_too_high(isa, momentum):
    model = bpkern.MLP([5, 8, 1], loss="mse", optimizer=bpkern.SGD(lr=1e3, momentum=momentum), seed=0)
    message = r"lower the learning rate \(lr=1000.0\), clip the gradients \(clip_norm\), or scale X and y"
    with pytest.raises(bpkern.DivergedError, match=message) as info:
        model.fit(X, Y, epochs=50, batch_size=4)
    assert isinstance(info.value, ArithmeticError)
    assert finite(model)
    assert info.value.epoch == len(model.history_["loss"] if model.history_ else [])
    assert 16 * info.value.epoch <= info.value.iteration <= 16 * (info.value.epoch + 1)
    model.reset()
    model.optimizer.lr = 0.01
    assert np.isfinite(model.fit(X, Y)["loss"]).all()


def test_weights_that_overflow_in_the_last_step_go_back_to_the_start_of_the_epoch():
    model = bpkern.MLP([1, 1], loss="squared_error", optimizer=bpkern.SGD(lr=1e30), seed=0)
    model.set_weights([([[1.0]], [1.0])])
    # The loss of this only batch is finite, its update is not.
    x, y = [[1e9]], [1.0]
    assert np.isfinite(model.evaluate(x, y)["loss"])
    for call in (model.fit, model.train_on_batch):
        with pytest.raises(bpkern.DivergedError, match="the weights overflowed in epoch 0, at iteration 1"):
            call(x, y)
        [(w, b)] = model.get_weights()
        assert (w[0, 0], b[0]) == (1.0, 1.0)


def test_velocities_go_back_with_the_weights():
    """An epoch that overflows at its end leaves no trace, not even in the velocities."""
    optimizer = bpkern.SGD(lr=1e-3, momentum=0.9)
    models = [bpkern.MLP([5, 1], loss="squared_error", optimizer=optimizer, seed=0) for _ in range(2)]
    for model in models:
        model.fit(X, Y)
    optimizer.lr = 1e30
    with pytest.raises(bpkern.DivergedError, match="the weights overflowed"):
        models[0].fit(np.full((1, 5), 1e5), [0.0])
    optimizer.lr = 1e-3
    for model in models:
        model.fit(X, Y, shuffle=False)
    assert np.array_equal(models[0].get_weights()[0][0], models[1].get_weights()[0][0])


def test_nan_in_the_padding_does_not_outlive_the_weights():
    """The products of zero deltas and infinite activations are NaN, also in the padding columns."""
    model = bpkern.MLP([2, 3, 1], output_activation="tanh", loss="mse", seed=0)
    for _ in range(2):
        model.set_weights([(np.full((3, 2), 1e30), np.zeros(3)), (np.ones((1, 3)), np.zeros(1))])
        with pytest.raises(bpkern.DivergedError, match="the weights overflowed"):
            model.train_on_batch([[1e30, 1e30]], [0.0])
        model.reset()
        assert np.isfinite(model.fit(X[:, :2], Y)["loss"]).all()


def test_reset_by_the_thread_that_fits():
    model = bpkern.MLP([5, 1], loss="mse", optimizer=bpkern.SGD(0.01, 0.9), seed=0)
    model.fit(X, Y)
    with core_of(model).net.writing():
        core_of(model).net.snapshot()
        model.reset()
        core_of(model).net.restore()
    assert np.isfinite(model.fit(X, Y)["loss"]).all()


def test_a_loss_that_is_not_finite_stops_before_its_update():
    model = bpkern.MLP([1, 1], loss="squared_error", optimizer=bpkern.SGD(lr=1e-9), seed=0)
    model.set_weights([([[1e30]], [0.0])])
    for call in (model.fit, model.train_on_batch):
        with pytest.raises(bpkern.DivergedError, match="no longer finite in epoch 0, at iteration 0"):
            call([[1e9]], [1.0])
        assert model.get_weights()[0][0][0, 0] == np.float32(1e30)
    assert model.evaluate([[1e9]], [1.0])["loss"] == np.inf


def test_losses_whose_sum_overflows():
    """Each loss is finite and no update moves anything, but the history would hold infinity."""
    model = bpkern.MLP([1, 1], loss="mae", dtype="float64", optimizer=bpkern.SGD(lr=1e-9), seed=0)
    before = model.get_weights()[0][0]
    x, y = [[1.0], [2.0], [3.0]], [1e308, 1e308, 1e308]
    with pytest.raises(bpkern.DivergedError, match="the loss is no longer finite in epoch 0, at iteration 3"):
        model.fit(x, y, batch_size=1)
    assert model.get_weights()[0][0] == before
    assert model.history_ is None


class AtEpoch(bpkern.callbacks.Callback):
    """Calls a function at the start of one epoch."""

    def __init__(self, epoch, what):
        self.epoch, self.what = epoch, what

    def on_epoch_begin(self, model, epoch):
        if epoch == self.epoch:
            self.what(model)


def too_fast(model):
    model.optimizer.lr = 1e30


def test_a_resumed_fit_counts_on(tmp_path):
    """It ends like the uninterrupted fit: with the same message and the same weights."""
    errors, weights = [], []
    arguments = dict(batch_size=16, checkpoint=tmp_path / "fit.npz", callbacks=AtEpoch(3, too_fast))
    for resume in (False, True):
        model = bpkern.MLP([5, 8, 1], loss="mse", seed=0)
        if resume:
            model.fit(X, Y, epochs=2, **arguments)
        with pytest.raises(bpkern.DivergedError) as caught:
            model.fit(X, Y, epochs=6, resume=resume, **arguments)
        errors.append((str(caught.value), caught.value.epoch, caught.value.iteration))
        weights.append(model.get_weights()[0][0])
        (tmp_path / "fit.npz").unlink()
    assert errors[0] == errors[1]
    assert 12 < errors[0][2] <= 20
    assert np.array_equal(*weights)


@pytest.mark.parametrize("epoch", [0, 1])
def test_an_overflow_keeps_what_callbacks_made_of_the_start(epoch):
    optimizer = bpkern.SGD(lr=lambda update: 1e30 if update == epoch else 0.0)
    model = bpkern.MLP([1, 1], loss="squared_error", optimizer=optimizer, seed=0)
    begin = AtEpoch(epoch, lambda model: model.set_weights([([[2.0]], [3.0])]))
    with pytest.raises(bpkern.DivergedError, match=f"the weights overflowed in epoch {epoch}"):
        model.fit([[1e9]], [1.0], epochs=2, callbacks=begin)
    [(w, b)] = model.get_weights()
    assert (w[0, 0], b[0]) == (2.0, 3.0)


def test_diverged_errors_can_be_pickled():
    import pickle

    error = pickle.loads(pickle.dumps(bpkern.DivergedError("lost", 3, 40)))
    assert (str(error), error.epoch, error.iteration) == ("lost", 3, 40)


@pytest.mark.parametrize("epoch", [1, 3])
def test_ctrl_c_leaves_a_usable_model(epoch):
    rows = np.zeros((20_000, 100), np.float32) + X[0, 0]
    model = bpkern.MLP([100, 256, 10], loss="cross_entropy", seed=0)
    start = model.get_weights()
    labels = np.zeros(len(rows), int)
    with ctrl_c() as press:
        begin = AtEpoch(epoch, lambda model: press())
        with pytest.raises(KeyboardInterrupt):
            # Without a shuffle, the epoch goes at once into the C code that trains.
            model.fit(rows, labels, epochs=10_000, batch_size=8, shuffle=False, callbacks=begin)
    assert finite(model)
    assert epoch <= len(model.history_["loss"]) < 10_000
    assert not np.array_equal(start[1][1], model.get_weights()[1][1])
    model.fit(rows[:100], np.zeros(100, int))


def test_ctrl_c_in_a_long_pass():
    rows = np.lib.stride_tricks.as_strided(X, (1 << 40, 5), (0, 4))
    targets = np.lib.stride_tricks.as_strided(X, (1 << 40, 2), (0, 4))
    model = bpkern.MLP([5, 2], loss="mse", seed=0)
    with ctrl_c() as press:
        press()
        with pytest.raises(KeyboardInterrupt):
            model.evaluate(rows, targets)
    assert model.forward(X).shape == (64, 2)


def test_no_memory_changes_nothing():
    with pytest.raises(MemoryError, match="no memory for a network of layers"):
        bpkern.MLP([2**40, 2**40], loss="mse")
    with pytest.raises(MemoryError, match="no memory for a network of layers"):
        bpkern.MLP([1, 2**62], loss="mse")
    with pytest.raises(MemoryError):
        bpkern.MLP([2**63, 1], loss="mse")
