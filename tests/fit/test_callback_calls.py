"""Callbacks of real fits: when they are called, what they may change, and the state left if one raises."""

import numpy as np
import pytest
from helpers import parameter_bits

import bpkern
from bpkern._model.core import core_of
from bpkern.callbacks import Callback, EarlyStopping, ReduceLROnPlateau

RNG = np.random.default_rng(13)
X, Y = RNG.standard_normal((60, 4)), RNG.standard_normal((60, 2))
VX, VY = RNG.standard_normal((40, 4)), RNG.standard_normal((40, 2))

NETS = {"online": ((4, 3, 2), 1), "small batches": ((4, 50, 2), 7), "one batch": ((4, 50, 2), 60)}


def make(layers=(4, 50, 2), **settings):
    settings = dict(optimizer=bpkern.Adam(0.01), loss="mse") | settings
    return bpkern.MLP(layers, dtype="float64", seed=1, **settings)


class Record(Callback):
    """Records the hooks in the order of their calls, the weights before each batch, and the batch losses."""

    def __init__(self):
        self.calls, self.losses, self.weights = [], [], []

    def on_fit_begin(self, model):
        self.calls.append("fit begin")

    def on_fit_end(self, model):
        self.calls.append("fit end")

    def on_epoch_begin(self, model, epoch):
        self.calls.append(("epoch begin", epoch))

    def on_epoch_end(self, model, epoch, logs):
        self.calls.append(("epoch end", epoch))

    def on_batch_begin(self, model, batch):
        self.calls.append(("batch begin", batch))
        self.weights.append(model.get_weights())

    def on_batch_end(self, model, batch, logs):
        self.calls.append(("batch end", batch))
        self.losses.append(logs["loss"])


def expected_calls(epochs, batches):
    calls = ["fit begin"]
    for epoch in range(epochs):
        calls.append(("epoch begin", epoch))
        for batch in range(batches):
            calls += [("batch begin", batch), ("batch end", batch)]
        calls.append(("epoch end", epoch))
    return [*calls, "fit end"]


@pytest.mark.parametrize(
    "loss", ["mse", lambda a, y: (((a - y) ** 2).mean(axis=1), (a - y) * 2 / a.shape[1])]
)
@pytest.mark.parametrize(("layers", "batch_size"), NETS.values(), ids=NETS)
def test_hooks_come_in_order_once_a_batch(isa, layers, batch_size, loss):
    record, model, plain = Record(), make(layers, loss=loss), make(layers, loss=loss)
    history = model.fit(X, Y, epochs=3, batch_size=batch_size, callbacks=record, shuffle=False)
    batches = -(-60 // batch_size)
    assert record.calls == expected_calls(3, batches)
    plain.fit(X, Y, epochs=3, batch_size=batch_size, shuffle=False)
    assert parameter_bits(model) == parameter_bits(plain)
    sizes = np.array([min(batch_size, 60 - start) for start in range(0, 60, batch_size)])
    for epoch in range(3):
        losses = record.losses[epoch * batches : (epoch + 1) * batches]
        assert history["loss"][epoch] == pytest.approx((losses * sizes).sum() / 60, rel=1e-12)
    # The loss of a batch is computed with the weights before its update.
    plain.set_weights(record.weights[1])
    rows = slice(batch_size % 60, min(2 * batch_size, 60) if batches > 1 else 60)
    assert record.losses[1] == pytest.approx(plain.evaluate(X[rows], Y[rows])["loss"], rel=1e-12)


def test_the_loss_of_a_batch_without_weight():
    record, weights = Record(), np.where(np.arange(60) // 20 == 1, 0.0, 1.0)
    make().fit(X, Y, batch_size=20, shuffle=False, sample_weight=weights, callbacks=record)
    assert np.isnan(record.losses).tolist() == [False, True, False]


class Do(Callback):
    """Calls a function at the end of one epoch."""

    def __init__(self, what, at=0):
        self.what, self.at = what, at

    def on_epoch_end(self, model, epoch, logs):
        if epoch == self.at:
            self.what(model)


class DoInBatch(Callback):
    """Calls a function at the end of one batch of the first epoch."""

    def __init__(self, what, at=1):
        self.what, self.at, self.epoch = what, at, -1

    def on_epoch_begin(self, model, epoch):
        self.epoch = epoch

    def on_batch_end(self, model, batch, logs):
        if (self.epoch, batch) == (0, self.at):
            self.what(model)


class DoAtBegin(Callback):
    def __init__(self, what):
        self.what = what

    def on_fit_begin(self, model):
        self.what(model)


def stop(model):
    model.stop_training = True


@pytest.mark.parametrize("callback", [Do(stop, 1), DoInBatch(stop)])
def test_stop_training(callback):
    """The fit ends after the current epoch; the next fit is not affected."""
    model, plain = make(), make()
    history = model.fit(X, Y, epochs=9, callbacks=callback)
    epochs = 2 if isinstance(callback, Do) else 1
    assert len(history["loss"]) == epochs
    plain.fit(X, Y, epochs=epochs)
    assert parameter_bits(model) == parameter_bits(plain)
    assert len(model.fit(X, Y, epochs=2)["loss"]) == 2


def set_lr(model):
    model.optimizer.lr = 0.05


@pytest.mark.parametrize(("layers", "batch_size"), NETS.values(), ids=NETS)
@pytest.mark.parametrize("kind", [bpkern.SGD, bpkern.Adam])
@pytest.mark.parametrize("when", [Do, DoInBatch])
def test_a_changed_rate_takes_effect_in_the_next_epoch(isa, layers, batch_size, kind, when):
    model, plain = make(layers, optimizer=kind(0.01)), make(layers, optimizer=kind(0.01))
    at = 0 if batch_size == 60 or when is Do else 1
    history = model.fit(X, Y, epochs=3, batch_size=batch_size, callbacks=when(set_lr, at))
    assert history.lr == [0.01, 0.05, 0.05]
    plain.fit(X, Y, batch_size=batch_size)
    plain.optimizer.lr = 0.05
    plain.fit(X, Y, epochs=2, batch_size=batch_size)
    assert parameter_bits(model) == parameter_bits(plain)


def replace(model):
    model.optimizer = bpkern.RMSprop(0.01, momentum=0.5, centered=True)


def adjust(model):
    model.optimizer.amsgrad = True


def add_momentum(model):
    model.optimizer.momentum = 0.9


@pytest.mark.parametrize(("layers", "batch_size"), NETS.values(), ids=NETS)
@pytest.mark.parametrize(
    ("change", "optimizer"),
    [(replace, bpkern.Adam), (replace, bpkern.SGD), (adjust, bpkern.Adam), (add_momentum, bpkern.SGD)],
)
@pytest.mark.parametrize("arguments", [{}, {"clip_norm": 0.1, "accumulate": 2, "ema": 0.9}])
def test_a_changed_optimiser_has_the_states_that_it_uses(
    isa, layers, batch_size, change, optimizer, arguments
):
    models = [make(layers, optimizer=optimizer(0.01)) for _ in "abcd"]
    arguments = arguments | {"batch_size": batch_size}
    models[0].fit(X, Y, epochs=3, callbacks=Do(change), **arguments)
    models[1].fit(X, Y, epochs=3, callbacks=DoInBatch(change, 0), **arguments)
    models[2].fit(X, Y, **arguments)
    change(models[2])
    models[2].fit(X, Y, epochs=2, **arguments)
    assert parameter_bits(models[0]) == parameter_bits(models[2])
    if change is not replace or batch_size == 60:  # the old one finishes the epoch, without its states
        assert parameter_bits(models[1]) == parameter_bits(models[2])
    assert np.isfinite(models[1].forward(X)).all()
    models[3].fit(X, Y, callbacks=DoAtBegin(change), **arguments)
    fresh = make(layers, optimizer=optimizer(0.01))
    change(fresh)
    fresh.fit(X, Y, **arguments)
    assert parameter_bits(models[3]) == parameter_bits(fresh)


def test_an_optimiser_that_is_replaced_in_an_epoch_begins_after_it_without_states():
    """States that the old optimiser creates during the rest of the epoch do not pass to the new one."""
    model, fresh, seen = make(), make(), []
    after = Do(lambda m: seen.append((m.get_weights(), core_of(m).net.counts)))
    arguments = dict(batch_size=7, shuffle=False)
    model.fit(X, Y, epochs=3, callbacks=[DoInBatch(replace), after], **arguments)
    ((weights, counts),) = seen
    fresh.set_weights(weights)
    core_of(fresh).net.counts = counts
    replace(fresh)
    fresh.fit(X, Y, epochs=2, **arguments)
    assert parameter_bits(model) == parameter_bits(fresh)


@pytest.mark.parametrize(
    "loss", ["mse", lambda a, y: (((a - y) ** 2).mean(axis=1), (a - y) * 2 / a.shape[1])]
)
@pytest.mark.parametrize(("layers", "batch_size"), NETS.values(), ids=NETS)
def test_reset_in_a_batch(isa, layers, batch_size, loss):
    model = make(layers, loss=loss)
    model.fit(X, Y, epochs=2, batch_size=batch_size, callbacks=DoInBatch(lambda m: m.reset(), 0))
    assert np.isfinite(model.forward(X)).all()
    batches = -(-60 // batch_size)
    assert core_of(model).net.counts == (2 * batches - 1, 2 * batches - 1)


def test_states_that_overflow_do_not_outlive_a_fit():
    """An optimiser that a callback sets at the start of the fit overflows its states; its epoch is undone."""
    model = make(loss="mae")
    model.fit(X, Y)
    before = parameter_bits(model)
    large = np.where(np.arange(60)[:, None] == 59, 1e160, 1.0) * X  # its square is infinite

    def bring_in(model):
        model.optimizer = bpkern.RMSprop(1e-5, momentum=0.9, centered=True)

    with pytest.raises(bpkern.DivergedError, match="weights overflowed"):
        model.fit(large, Y, epochs=4, shuffle=False, callbacks=DoAtBegin(bring_in))
    assert parameter_bits(model) == before
    assert np.isfinite(model.fit(X, Y)["loss"]).all()


def test_weights_that_overflow_go_back_to_the_start_of_their_epoch():
    """Not to the start of the fit."""
    model, plain = make(optimizer=bpkern.SGD(1e-6, 0.9)), make(optimizer=bpkern.SGD(1e-6, 0.9))

    def too_fast(model):
        model.optimizer.lr = 1.7e308

    with pytest.raises(bpkern.DivergedError, match="weights overflowed in epoch 3"):
        model.fit(100 * X, 100 * Y, epochs=5, batch_size=60, callbacks=Do(too_fast, 2), ema=0.9)
    plain.fit(100 * X, 100 * Y, epochs=3, batch_size=60, ema=0.9)
    assert parameter_bits(model) == parameter_bits(plain)
    assert core_of(model).net.counts == (3, 3)


class Oops(Exception):
    pass


def fail(model):
    raise Oops


@pytest.mark.parametrize(("layers", "batch_size"), NETS.values(), ids=NETS)
@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_callback_that_raises_leaves_a_usable_model(isa, layers, batch_size, accumulate):
    """The model is as of the last update, and accumulated gradients are gone."""
    arguments = dict(batch_size=batch_size, accumulate=accumulate, shuffle=False)
    at = 0 if batch_size == 60 else 4
    model, plain = make(layers), make(layers)
    with pytest.raises(Oops):
        model.fit(X, Y, callbacks=DoInBatch(fail, at), **arguments)
    rows = 60 if batch_size == 60 else 5 * batch_size // (batch_size * accumulate) * batch_size * accumulate
    plain.fit(X[:rows], Y[:rows], **arguments)
    assert parameter_bits(model) == parameter_bits(plain)
    core_of(model).net.counts = core_of(plain).net.counts
    for m in (model, plain):
        m.fit(X, Y, **arguments)
    assert parameter_bits(model) == parameter_bits(plain)
    with pytest.raises(Oops):
        model.fit(X, Y, epochs=3, callbacks=Do(fail, 1), **arguments)
    plain.fit(X, Y, epochs=2, **arguments)
    assert parameter_bits(model) == parameter_bits(plain)


def test_plateaus_and_early_stopping_end_to_end():
    model = make(optimizer=bpkern.Adam(0.05))
    reduce = ReduceLROnPlateau("val_loss", factor=0.5, patience=2)
    stopping = EarlyStopping("val_loss", patience=6)
    history = model.fit(X, Y, epochs=200, validation_data=(VX, VY), callbacks=[reduce, stopping])
    losses = history["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 7 < 200
    assert stopping.best_epoch_ == best
    assert stopping.stopped_epoch_ == len(losses) - 1
    assert model.evaluate(VX, VY)["loss"] == losses[best]
    assert history.lr[0] == 0.05
    assert history.lr[-1] <= 0.0125
    ratios = {new / old for old, new in zip(history.lr, history.lr[1:], strict=False)}
    assert ratios == {1.0, 0.5}
    # Up to the first reduction the fit equals one without callbacks.
    plain = make(optimizer=bpkern.Adam(0.05))
    count = history.lr.index(0.025)
    assert plain.fit(X, Y, epochs=count, validation_data=(VX, VY))["val_loss"] == losses[:count]


def test_early_stopping_of_the_average():
    model = make(optimizer=bpkern.Adam(0.05))
    history = model.fit(
        X, Y, epochs=50, ema=0.9, validation_data=(VX, VY), callbacks=EarlyStopping("val_loss", patience=3)
    )
    assert model.evaluate(VX, VY)["loss"] == min(history["val_loss"])
    assert "average" in core_of(model).net.stores()


def test_the_rates_of_the_history():
    """history.lr holds the rate of the last update of each epoch."""
    model = make(optimizer=bpkern.SGD(lambda t: 0.1 / (t + 1)))
    assert model.fit(X, Y, batch_size=20, epochs=3).lr == [0.1 / 3, 0.1 / 6, 0.1 / 9]
    assert model.fit(X, Y, batch_size=20, accumulate=2).lr == [0.1 / 11]


# Between fits -------------------------------------------------------------------------------------------


def test_another_optimiser_starts_without_states():
    model, fresh = make(), make()
    model.fit(X, Y)
    fresh.set_weights(model.get_weights())
    for m in (model, fresh):
        m.optimizer = bpkern.SGD(0.01, momentum=0.9)
        m.fit(X, Y, shuffle=False)
    assert parameter_bits(model) == parameter_bits(fresh)
    with pytest.raises(TypeError, match="optimizer must be"):
        model.optimizer = 0.1
    assert isinstance(model.optimizer, bpkern.SGD)
    model.optimizer = model.optimizer  # setting the same optimiser keeps its states
    assert "m" in core_of(model).net.stores()


def test_settings_change_between_fits():
    """Earlier values of the settings leave no trace: only the optimiser's states carry over."""
    model, other = make(optimizer=bpkern.SGD(0.1, momentum=0.9)), make(optimizer=bpkern.SGD(0.1))
    for m in (model, other):
        m.optimizer.momentum = 0.5
        m.fit(X, Y)
        m.optimizer.nesterov = True
        m.optimizer.weight_decay = 0.1
        m.fit(X, Y)
    assert parameter_bits(model) == parameter_bits(other)


def test_a_fit_without_an_average_ends_it():
    model, plain = make(), make()
    model.fit(X, Y, epochs=2, ema=0.9)
    plain.fit(X, Y, epochs=2)
    assert parameter_bits(model) != parameter_bits(plain)
    for m in (model, plain):
        m.fit(X, Y)
    assert parameter_bits(model) == parameter_bits(plain)
    model.fit(X, Y, ema=0.9)
    average = model.get_weights()
    model.fit(X, Y, epochs=0)
    assert np.array_equal(average[0][0], model.get_weights()[0][0])


def test_an_average_goes_on_over_fits_of_its_own():
    one, two = make(), make()
    one.fit(X, Y, epochs=4, ema=0.9)
    for _ in range(2):
        two.fit(X, Y, epochs=2, ema=0.9)
    assert parameter_bits(one) == parameter_bits(two)


@pytest.mark.parametrize("callback", [DoAtBegin, Do, DoInBatch])
def test_an_average_that_a_callback_ends_begins_anew(callback):
    """set_weights ends the average, and the updates that follow start a new one."""

    def move(model):
        model.set_weights([(w / 2, b + 1) for w, b in model.get_weights()])

    model = make(optimizer=bpkern.SGD(0.1))
    model.fit(X, Y, epochs=3, batch_size=20, shuffle=False, ema=0.9, callbacks=callback(move))
    assert core_of(model).net.has_average
    for (trained, _), (average, _) in zip(core_of(model).net.get_layers(), model.get_weights(), strict=True):
        assert not np.array_equal(trained, average)


def raise_at_once():
    raise Oops
    yield


def negative(iteration):
    return -1.0


@pytest.mark.parametrize(
    ("loss", "lr", "fit", "error"),
    [
        ("mse", negative, {"y": Y}, ValueError),
        (lambda outputs, y: 1, 0.1, {"y": Y}, TypeError),
        ("mse", 0.1, {}, Oops),
        ("mse", negative, {"y": Y, "callbacks": ReduceLROnPlateau("loss")}, TypeError),
    ],
    ids=["rate", "loss", "stream", "callback"],
)
@pytest.mark.parametrize(("before", "ema"), [(0.5, None), (None, 0.5)])
def test_a_fit_that_fails_before_its_first_update_changes_nothing(loss, lr, fit, error, before, ema):
    model = make(loss="mse", optimizer=bpkern.SGD(0.1), dropout=0.1)
    model.fit(X, Y, epochs=2, ema=before, validation_split=0.1)
    kept = model.copy()
    if callable(loss):
        model = make(loss=loss, dropout=0.1)
        kept = model.copy()
    model.optimizer.lr = lr
    history = model.history_
    with pytest.raises(error):
        model.fit(X if "y" in fit else raise_at_once(), ema=ema, **fit)
    assert parameter_bits(model) == parameter_bits(kept)
    assert model.history_ is history
    assert core_of(model).random.config() == core_of(kept).random.config()
    assert core_of(model).net.counts == core_of(kept).net.counts


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.set_weights(core_of(m).net.get_layers()),
        lambda m: m.train_on_batch(X, Y),
        lambda m: m.fit(X, Y),
        lambda m: m.reset(),
    ],
    ids=["set_weights", "train_on_batch", "fit", "reset"],
)
def test_what_ends_an_average(change):
    model = make()
    model.fit(X, Y, ema=0.9)
    change(model)
    for (w, b), (trained_w, trained_b) in zip(
        model.get_weights(), core_of(model).net.get_layers(), strict=True
    ):
        assert np.array_equal(w, trained_w)
        assert np.array_equal(b, trained_b)
    assert "average" not in core_of(model).net.stores()


def test_penalties_are_of_what_they_are_asked_of():
    """evaluate adds the penalty of the average, gradients that of the trained weights."""
    model, plain = make(l1=0.1, l2=0.2), make()
    model.fit(X, Y, epochs=3, ema=0.5)
    plain.set_weights(model.get_weights())

    def penalty(layers):
        return sum(0.1 * np.abs(w).sum() + 0.2 * (w**2).sum() for w, _ in layers)

    average = penalty(model.get_weights())
    assert model.evaluate(X, Y)["loss"] == pytest.approx(plain.evaluate(X, Y)["loss"] + average, rel=1e-12)
    plain.set_weights(core_of(model).net.get_layers())
    trained = penalty(core_of(model).net.get_layers())
    assert model.gradients(X, Y)[0] == pytest.approx(plain.evaluate(X, Y)["loss"] + trained, rel=1e-12)
    assert abs(average - trained) > 1e-6


def test_an_optimiser_that_is_put_in_place_begins_anew():
    """Its states and its step count t start anew, while the iteration that its schedule sees continues."""
    asked = []
    model, fresh = make(optimizer=bpkern.SGD(0.01)), make()
    model.fit(X, Y, epochs=3, batch_size=10, shuffle=False)
    fresh.set_weights(model.get_weights())
    model.optimizer = bpkern.Adam(lambda t: asked.append(t) or 0.01)
    for each in (model, fresh):
        each.fit(X, Y, epochs=2, batch_size=10, shuffle=False)
    assert parameter_bits(model) == parameter_bits(fresh)
    assert asked == list(range(18, 30))
