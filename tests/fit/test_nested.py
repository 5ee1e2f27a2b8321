"""Training of the same model within a fit, as by a callback: it has the effect of the
same calls one after the other, or is refused where the gradients of an unfinished update would be lost."""

import itertools

import numpy as np
import pytest
from helpers import parameter_bits

import bpkern
from bpkern._model.core import core_of
from bpkern.callbacks import Callback, EarlyStopping

RNG = np.random.default_rng(6)
ROWS, BATCH = 40, 10
X, Y = RNG.standard_normal((ROWS, 4)), RNG.standard_normal((ROWS, 2))
NX, NY = RNG.standard_normal((25, 4)), RNG.standard_normal((25, 2))


def custom(a, y):
    return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / a.shape[1]


def make(loss="mse", layers=(4, 30, 2), **settings):
    settings = dict(optimizer=bpkern.Adam(0.01)) | settings
    return bpkern.MLP(layers, loss=loss, dtype="float64", seed=1, **settings)


def by_hand(model):
    outputs = model.forward(NX, train=True)
    model.backward((outputs - NY) / len(NX))
    model.step()


NESTED = {
    "fit": lambda model: model.fit(NX, NY, epochs=2, batch_size=7),
    "fit with an average": lambda model: model.fit(NX, NY, batch_size=7, ema=0.5),
    "fit that clips": lambda model: model.fit(NX, NY, batch_size=25, clip_norm=0.1),
    "fit that accumulates": lambda model: model.fit(NX, NY, batch_size=7, accumulate=2),
    "stream": lambda model: model.fit([(NX, NY), (NX[:3], NY[:3])]),
    "train_on_batch": lambda model: model.train_on_batch(NX, NY),
    "by hand": by_hand,
    "fit_many": lambda model: bpkern.fit_many([model], NX, NY, n_threads=1),
}
BATCH_HOOKS = ["on_batch_begin", "on_batch_end"]
HOOKS = ["on_fit_begin", "on_epoch_begin", *BATCH_HOOKS, "on_epoch_end"]
OUTER = {
    "plain": {},
    "clip": {"clip_norm": 0.1, "clip_value": 0.05},
    "average": {"ema": 0.9},
    "both": {"clip_norm": 0.1, "ema": 0.9},
    "validation": {"validation_data": (NX, NY), "metrics": ["mae", "r2"]},
}


class Nest(Callback):
    """Calls a function in one hook: at each call, or only at some."""

    def __init__(self, hook, function, at=None):
        self.function, self.at, self.calls = function, at, 0
        setattr(self, hook, self.act)

    def act(self, model, *_):
        if self.at is None or self.calls in self.at:
            self.function(model)
        self.calls += 1

    # The trainer asks whether batch hooks are overridden.
    def on_batch_begin(self, model, batch):
        pass

    def on_batch_end(self, model, batch, logs):
        pass


def states(model):
    net = core_of(model).net
    stores = {
        store: [array.tobytes() for pair in net.get_layers(store) for array in pair] for store in net.stores()
    }
    return stores, net.counts, net.moves


def one_after_the_other(model, hook, function, epochs, arguments):
    """The fit of X, with `function` called where the hook is, as separate calls of a batch each."""
    if hook == "on_fit_begin":
        function(model)
    for _ in range(epochs):
        if hook == "on_epoch_begin":
            function(model)
        for start in range(0, ROWS, BATCH):
            if hook == "on_batch_begin":
                function(model)
            rows = slice(start, start + BATCH)
            model.fit(X[rows], Y[rows], batch_size=BATCH, shuffle=False, **arguments)
            if hook == "on_batch_end":
                function(model)
        if hook == "on_epoch_end":
            function(model)


@pytest.mark.parametrize("loss", ["mse", custom], ids=["in C", "in Python"])
@pytest.mark.parametrize("arguments", OUTER.values(), ids=OUTER)
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
def test_calls_within_a_fit_are_calls_one_after_the_other(nested, hook, arguments, loss):
    models = [make(loss) for _ in "ab"]
    nest = Nest(hook, nested)
    history = models[0].fit(X, Y, epochs=2, batch_size=BATCH, shuffle=False, callbacks=nest, **arguments)
    assert nest.calls
    updates = {name: value for name, value in arguments.items() if name in ("clip_norm", "clip_value", "ema")}
    one_after_the_other(models[1], hook, nested, 2, updates)
    if "ema" in arguments or (hook == "on_fit_begin" or nested is not NESTED["fit with an average"]):
        assert states(models[0]) == states(models[1])
    else:
        # The outer fit drops an average that it does not keep, at the end of its epoch.
        assert states(models[0])[0]["parameters"] == states(models[1])[0]["parameters"]
    assert models[0].history_ is history
    assert len(history["loss"]) == len(history.lr) == 2
    assert history.iterations == 8


@pytest.mark.parametrize("kind", ["rows", "stream", "in Python"])
@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("hook", BATCH_HOOKS)
def test_gradients_that_wait_are_not_lost(hook, nested, kind):
    """Training is refused, and the fit goes on to the same bits; a step by hand has gradients of its own."""

    def refused(model):
        if nested is NESTED["by hand"]:
            nested(model)
        else:
            before = states(model), core_of(model).random.config()
            with pytest.raises(RuntimeError, match=r"fit\(accumulate=4\) is under way.*copy\(\)"):
                nested(model)
            assert (states(model), core_of(model).random.config()) == before

    def others(model):
        if nested is NESTED["by hand"]:
            weights = model.get_weights()
            nested(model)
            changed.append([w - v for (w, _), (v, _) in zip(model.get_weights(), weights, strict=True)])

    changed = []
    arguments = dict(batch_size=5, shuffle=False, accumulate=4, clip_norm=1.0)
    data = (X, Y)
    if kind == "stream":
        data = ([(X[start : start + 5], Y[start : start + 5]) for start in range(0, ROWS, 5)],)
    models = [make(custom if kind == "in Python" else "mse", optimizer=bpkern.SGD(0.1)) for _ in "ab"]
    nest = Nest(hook, refused, at=(1, 6))
    models[0].fit(*data, callbacks=nest, **arguments)
    assert nest.calls == 8
    models[1].fit(*data, callbacks=Nest(hook, others, at=(1, 6)), **arguments)
    assert parameter_bits(models[0]) == parameter_bits(models[1])
    if changed:
        assert all(np.abs(change).max() > 0 for change in changed[0])


@pytest.mark.parametrize("hook", BATCH_HOOKS)
def test_a_refusal_that_is_not_caught_ends_the_fit(hook):
    model = make()
    with pytest.raises(RuntimeError, match="is under way"):
        model.fit(X, Y, batch_size=5, accumulate=4, callbacks=Nest(hook, NESTED["fit"], at=(2,)))
    model.train_on_batch(X, Y)
    model.fit(X, Y, accumulate=4)


@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("hook", ["on_fit_begin", "on_epoch_begin", "on_epoch_end", "on_fit_end"])
def test_between_the_epochs_of_an_accumulating_fit(hook, nested):
    """No gradients wait there."""
    models = [make() for _ in "ab"]
    arguments = dict(batch_size=5, shuffle=False, accumulate=4)
    models[0].fit(X, Y, epochs=2, callbacks=Nest(hook, nested), **arguments)
    for epoch in range(2):
        if hook == "on_epoch_begin" or (hook == "on_fit_begin" and epoch == 0):
            nested(models[1])
        models[1].fit(X, Y, **arguments)
        if hook == "on_epoch_end" or (hook == "on_fit_end" and epoch == 1):
            nested(models[1])
    assert parameter_bits(models[0]) == parameter_bits(models[1])


def test_a_learning_rate_that_trains():
    """A stream asks for the rate before each batch: while gradients wait, training is refused there, too."""
    model = make()

    def rate(iteration):
        if core_of(model).net.counts[1]:
            with pytest.raises(RuntimeError, match="is under way"):
                model.train_on_batch(NX, NY)
            asked.append(iteration)
        return 0.1

    asked = []
    model.optimizer = bpkern.SGD(rate)
    model.fit([(X, Y), (X, Y), (X, Y)], accumulate=3)
    assert asked


@pytest.mark.parametrize("nested", ["fit", "train_on_batch", "by hand"])
def test_two_levels(nested):
    """The inner epoch accumulates, and the outer one does not: only the inner one refuses."""

    def inner(model):
        def refused(model):
            if nested != "by hand":
                with pytest.raises(RuntimeError, match="accumulate=2"):
                    NESTED[nested](model)

        model.fit(NX, NY, batch_size=5, accumulate=2, shuffle=False, callbacks=Nest("on_batch_end", refused))
        NESTED[nested](model)

    models = [make() for _ in "ab"]
    models[0].fit(X, Y, batch_size=BATCH, shuffle=False, callbacks=Nest("on_batch_end", inner))
    one_after_the_other(models[1], "on_batch_end", inner, 1, {})
    assert states(models[0]) == states(models[1])


# What belongs to the outer fit ---------------------------------------------------------------------------


def test_an_inner_fit_that_stops_early_does_not_stop_the_outer_one():
    def inner(model):
        stopping = EarlyStopping("loss", patience=1, min_delta=10.0)
        assert len(model.fit(NX, NY, epochs=9, callbacks=stopping)["loss"]) == 2

    model = make()
    assert len(model.fit(X, Y, epochs=3, callbacks=Nest("on_epoch_end", inner))["loss"]) == 3


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_batch_end", "on_epoch_end"])
def test_an_inner_fit_does_not_undo_a_request_to_stop(hook):
    def inner(model):
        model.stop_training = True
        model.fit(NX, NY, epochs=2)

    model = make()
    assert len(model.fit(X, Y, epochs=3, callbacks=Nest(hook, inner))["loss"]) == 1


def test_the_history_and_the_form_of_y_are_those_of_the_outer_fit(tmp_path):
    """Also in its checkpoint."""
    model = make(layers=(4, 30, 1))
    nest = Nest("on_epoch_end", lambda model: model.fit(NX, NY[:, :1], epochs=5))
    history = model.fit(X, Y[:, 0], epochs=2, callbacks=nest, checkpoint=tmp_path / "fit.npz")
    assert model.history_ is history
    assert model.predict(X).shape == (ROWS,)
    loaded = bpkern.MLP.load(tmp_path / "fit.npz")
    assert dict(loaded.history_) == dict(history)
    assert loaded.predict(X).shape == (ROWS,)


@pytest.mark.parametrize("how", [{}, {"ema": 0.9}])
@pytest.mark.parametrize("lr", [0.01, lambda iteration: 0.01 / (1 + iteration)])
@pytest.mark.parametrize("change", [NESTED["fit"], NESTED["by hand"], lambda model: model.reset()])
@pytest.mark.parametrize("at", [None, (1,), (3,)])
def test_the_rate_of_the_last_update_is_one_of_the_outer_fit(at, change, lr, how):
    """Updates of others, and a count that is set back, do not lead out of its rates."""
    model = make(optimizer=bpkern.SGD(lr))
    model.fit(X, Y, batch_size=BATCH)
    history = model.fit(X, Y, batch_size=BATCH, callbacks=Nest("on_batch_end", change, at), **how)
    assert history.lr[0] in ([0.01] if lr == 0.01 else [0.0, *(0.01 / (1 + i) for i in range(4, 8))])


# Overflow ------------------------------------------------------------------------------------------------


def overflowing(model):
    """Give the model parameters that an update has overflowed, as a step just before the hook would."""
    net = core_of(model).net
    layers = net.get_layers()
    layers[0][0][...] = np.inf
    net.set_layers(layers, finite=False)


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.parametrize("hook", BATCH_HOOKS)
@pytest.mark.parametrize("nested", [*NESTED, "polyak_update"])
def test_weights_that_have_overflowed_are_not_kept(nested, hook, caught):
    """A call within an epoch does not take its snapshot of them, to which the fit would then go back."""

    def zero_step(model):
        model.forward(NX, train=True)
        model.backward(np.zeros((25, 2)))
        model.step()

    others = {"by hand": zero_step, "polyak_update": lambda model: model.polyak_update(make(), 0.5)}
    inner = others.get(nested) or NESTED[nested]

    def act(model):
        seen.append(parameter_bits(model))
        overflowing(model)
        try:
            inner(model)
        except (ArithmeticError, ValueError):
            if not caught:
                raise

    seen, model = [], make()
    before = parameter_bits(model)
    with pytest.raises(bpkern.DivergedError) as error:
        model.fit(X, Y, batch_size=BATCH, shuffle=False, callbacks=Nest(hook, act, at=(1,)))
    assert seen[0] != before
    assert parameter_bits(model) == before  # as at the start of the epoch
    assert error.value.epoch == 0
    assert np.isfinite(model.fit(X, Y)["loss"]).all()


@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("hook", HOOKS)
def test_an_outer_fit_that_diverges_later_keeps_finite_weights(hook, nested):
    model = make()
    huge = np.where(np.arange(ROWS)[:, None] >= 30, 1e200, 1.0) * X
    with pytest.raises(bpkern.DivergedError):
        model.fit(huge, Y, epochs=3, batch_size=BATCH, shuffle=False, callbacks=Nest(hook, nested))
    assert all(np.isfinite(array).all() for pair in model.get_weights() for array in pair)
    assert core_of(model).net.finite()
    assert not core_of(model).fitting
    assert core_of(model).accumulate is None
    model.fit(X, Y, accumulate=2)


def test_an_inner_step_that_overflows_leaves_the_outer_fit():
    """A step by hand that overflows is undone; the fit goes on as if it had not been tried."""

    def too_far(model):
        model.backward(np.full((25, 2), 1e300) * model.forward(NX, train=True))
        weights = parameter_bits(model)
        lr, model.optimizer.lr = model.optimizer.lr, 1e300
        with pytest.raises(bpkern.DivergedError):
            model.step()
        model.optimizer.lr = lr
        assert parameter_bits(model) == weights

    models = [make(optimizer=bpkern.SGD(0.1, momentum=0.9)) for _ in "ab"]
    for model, callbacks in zip(models, [Nest("on_batch_end", too_far), ()], strict=True):
        model.fit(X, Y, epochs=2, batch_size=BATCH, shuffle=False, callbacks=callbacks)
    assert parameter_bits(models[0]) == parameter_bits(models[1])


# All combinations ----------------------------------------------------------------------------------------


def test_each_call_at_each_hook_of_each_fit_leaves_a_whole_model():
    """Whatever is nested where: finite weights, a complete history, and a model that trains and predicts."""
    outer = {
        "accumulate": ({}, {"accumulate": 3}),
        "clip": ({}, {"clip_norm": 0.1}),
        "average": ({}, {"ema": 0.9}),
    }
    calls = {
        **NESTED,
        "reset": lambda model: model.reset(),
        "set_weights": lambda model: model.set_weights(model.get_weights()),
        "optimizer": lambda model: setattr(model, "optimizer", bpkern.RMSprop(0.01, momentum=0.5)),
        "evaluate": lambda model: model.evaluate(NX, NY, metrics="r2"),
        "predict": lambda model: model.predict(NX),
        "gradients": lambda model: model.gradients(NX, NY),
        "polyak_update": lambda model: model.polyak_update(make(), 0.1),
        "copy": lambda model: model.copy().fit(NX, NY),
    }
    for hook, call, *parts in itertools.product(HOOKS, calls.values(), *outer.values()):
        arguments, refusals = {name: value for part in parts for name, value in part.items()}, []

        def act(model, call=call, refusals=refusals):
            try:
                call(model)
            except RuntimeError as error:
                refusals.append(str(error))

        model = make()
        history = model.fit(X, Y, epochs=2, batch_size=20, callbacks=Nest(hook, act), **arguments)
        assert all("is under way" in refusal for refusal in refusals)
        assert len(history["loss"]) == len(history.lr) == 2
        assert core_of(model).net.finite()
        assert np.isfinite(model.predict(X)).all()
        assert np.isfinite(model.fit(X, Y)["loss"]).all()
