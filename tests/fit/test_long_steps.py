"""Ctrl-C breaks off a long step: the call ends at once, and the model is as it was before the step.

A step here takes about a second.
"""

import numpy as np
import pytest
from helpers import parameter_bits
from signals import ctrl_c

import bpkern
from bpkern import _core
from bpkern._model.core import core_of

ROWS, LAYERS = 4096, [8, 2048, 2048, 3]
RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((ROWS, 8), np.float32), RNG.integers(0, 3, ROWS)
VALUES = RNG.standard_normal((ROWS, 3))


@pytest.fixture(autouse=True)
def one_thread():
    bpkern.set_num_threads(1)
    yield
    bpkern.set_num_threads(None)


def make(loss="cross_entropy", **settings):
    return bpkern.MLP(LAYERS, loss=loss, seed=0, **settings)


def state(model):
    net = core_of(model).net
    stores = {name: [(w.tobytes(), b.tobytes()) for w, b in net.get_layers(name)] for name in net.stores()}
    return stores, net.counts, net.moves


class Rate(bpkern.schedules.Schedule):
    """A constant rate that is read right before the step."""

    names = ()
    notice = staticmethod(lambda: None)

    def _rate(self, t):
        type(self).notice()
        return np.full(t.shape, 0.01)


OPTIMIZERS = {"sgd": lambda lr: bpkern.SGD(lr, momentum=0.9), "adam": bpkern.Adam}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_train_on_batch(optimizer, monkeypatch):
    model = make(optimizer=optimizer(Rate()))
    model.train_on_batch(X[:50], LABELS[:50])
    before = state(model)
    with ctrl_c() as press:
        monkeypatch.setattr(Rate, "notice", staticmethod(press))
        with pytest.raises(KeyboardInterrupt):
            model.train_on_batch(X, LABELS)
    assert state(model) == before
    other = make(optimizer=optimizer(Rate()))
    for _ in range(2):
        other.train_on_batch(X[:50], LABELS[:50])
    model.train_on_batch(X[:50], LABELS[:50])
    assert state(model) == state(other)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize(
    "arguments",
    [{}, {"clip_norm": 1.0}, {"accumulate": 2}, {"ema": 0.9}],
    ids=["", "clip", "accumulate", "ema"],
)
def test_fit_in_one_batch(arguments, n_threads, monkeypatch):
    model = make(optimizer=bpkern.SGD(Rate(), momentum=0.9), l2=1e-4, dropout=0.1)
    model.train_on_batch(X[:50], LABELS[:50])
    before = parameter_bits(model), core_of(model).net.counts
    with ctrl_c() as press:
        monkeypatch.setattr(Rate, "notice", staticmethod(press))
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, LABELS, batch_size=ROWS, n_threads=n_threads, **arguments)
    assert (parameter_bits(model), core_of(model).net.counts) == before


def test_gradients():
    model = make()
    before = state(model)
    with ctrl_c() as press:
        data = _core.Data(X, LABELS)
        press()
        with pytest.raises(KeyboardInterrupt):
            core_of(model).net.gradients(data)
    assert state(model) == before
    model.train_on_batch(X[:50], LABELS[:50])  # nobody holds the model


def test_steps_by_hand():
    model = make("mse")
    tape = core_of(model).tape
    data, some = _core.Data(X), np.ones((ROWS, 3), np.float32)
    before = state(model)
    with ctrl_c() as press:
        press()
        with pytest.raises(KeyboardInterrupt):
            tape.forward(data, None)
    assert state(model) == before
    model.forward(X[:50], train=True)
    model.backward(some[:50])
    stored = [(w.tobytes(), b.tobytes()) for w, b in tape.gradients()[0]]
    model.forward(X, train=True)
    with ctrl_c() as press:
        press()
        with pytest.raises(KeyboardInterrupt):
            tape.backward(some, True)
    # Gradients that were stored before are still there, and the forward pass serves another backward pass.
    assert [(w.tobytes(), b.tobytes()) for w, b in tape.gradients()[0]] == stored
    assert tape.backward(some, True).shape == X.shape


def test_a_handler_that_raises_nothing_changes_no_bit(monkeypatch):
    """The step is made again: its result is that of a step which no signal has broken off."""
    pressed = []
    model, other = (make(optimizer=bpkern.SGD(Rate(), momentum=0.9)) for _ in range(2))
    rows = slice(0, 2048)
    with ctrl_c(lambda *signal: pressed.append(state(model))) as press:
        monkeypatch.setattr(Rate, "notice", staticmethod(press))
        loss = model.train_on_batch(X[rows], LABELS[rows])
    before = state(other)
    assert other.train_on_batch(X[rows], LABELS[rows]) == loss
    assert state(model) == state(other)
    assert [stores["parameters"] for stores, _, _ in pressed] == [before[0]["parameters"]]


def test_a_handler_that_uses_the_tape_of_the_call():
    """The interrupted pass is made again in memory of its size, of which the handler's few rows left less."""
    model = make("mse")
    expected = model.forward(X, train=True)
    seen = []

    def handler(*_):
        seen.append(model.forward(X[:8], train=True))

    with ctrl_c(handler) as press:
        press()
        outputs = model.forward(X, train=True)
    assert np.array_equal(outputs, expected)
    assert np.array_equal(seen[0], expected[:8])
    model.backward(np.ones_like(outputs))
    model.step()


def test_a_handler_that_replaces_the_forward_pass_of_a_backward_pass():
    """What the backward pass was given no longer fits the outputs."""
    model = make("mse")
    outputs = model.forward(X[:2048], train=True)
    with ctrl_c(lambda *_: model.forward(X, train=True)) as press:
        press()
        with pytest.raises(ValueError, match="grad_output must have the outputs' shape"):
            model.backward(np.ones_like(outputs), input_gradient=True)


# Long steps of 1024 rows or more store their gradients first, so that they can be broken off. Four rows of
# weight 0 make this difference, and no other.
OTHERS = {
    "sgd": lambda: bpkern.SGD(0.01),
    "nesterov": lambda: bpkern.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adamw": lambda: bpkern.AdamW(0.001, weight_decay=1e-2),
    "rmsprop": lambda: bpkern.RMSprop(0.001, momentum=0.5, centered=True),
}


@pytest.mark.parametrize("penalties", [{}, {"l1": 1e-4, "l2": 1e-3}], ids=["", "penalties"])
@pytest.mark.parametrize("optimizer", OTHERS.values(), ids=OTHERS)
def test_steps_that_can_be_broken_off_have_the_same_bits(optimizer, penalties):
    x = RNG.standard_normal((1024, 512), np.float32)
    weights = np.ones(1024)
    weights[1020:] = 0
    fits = {1024: None, 1020: None}
    for rows in fits:
        model = bpkern.MLP(
            [512, 2048, 1536, 3], loss="cross_entropy", seed=0, optimizer=optimizer(), **penalties
        )
        model.fit(
            x[:rows],
            LABELS[:rows],
            sample_weight=weights[:rows],
            epochs=2,
            batch_size=rows,
            shuffle=False,
            n_threads=2,
        )
        fits[rows] = state(model)
    assert fits[1024] == fits[1020]
