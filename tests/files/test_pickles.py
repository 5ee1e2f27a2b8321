"""Models, and the settings that they hold, in pickles of every protocol."""

import copy
import pickle

import numpy as np
import pytest

import bpkern
from bpkern import losses, schedules

PROTOCOLS = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))

SETTINGS = [
    bpkern.SGD(0.1, 0.9, nesterov=True, weight_decay=1e-3),
    bpkern.RMSprop(0.01, centered=True),
    bpkern.Adagrad(0.02),
    bpkern.Adam(schedules.Cosine(0.1, 50, warmup=5), amsgrad=True),
    bpkern.AdamW(0.003, weight_decay=0.5),
    losses.Huber(0.5),
    losses.Quantile([0.25, 0.75]),
]


class OwnSGD(bpkern.SGD):
    """A subclass without slots, which may have attributes of any name."""


class OwnHuber(losses.Huber):
    """As OwnSGD."""


@PROTOCOLS
@pytest.mark.parametrize("given", SETTINGS, ids=lambda given: type(given).__name__)
def test_settings(given, protocol):
    found = pickle.loads(pickle.dumps(given, protocol))
    assert type(found) is type(given)
    assert repr(found) == repr(given)


@PROTOCOLS
@pytest.mark.parametrize("given", [OwnSGD(0.3, 0.5), OwnHuber(2.0)], ids=repr)
def test_settings_of_own_classes(given, protocol):
    given.note = "mine"
    found = pickle.loads(pickle.dumps(given, protocol))
    assert type(found) is type(given)
    assert (repr(found), found.note) == (repr(given), "mine")


@pytest.mark.parametrize("given", SETTINGS, ids=lambda given: type(given).__name__)
def test_a_state_of_earlier_pickles(given):
    """Before the classes had a method for it, the state was that of `object.__getstate__`."""
    found = copy.copy(type(given)())
    found.__setstate__(object.__getstate__(given))
    assert repr(found) == repr(given)


@PROTOCOLS
def test_a_model(protocol):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), rng.standard_normal((20, 2))
    model = bpkern.MLP([3, 5, 2], loss=losses.Huber(0.5), optimizer=bpkern.Adam(), seed=0)
    model.fit(X, y, epochs=2, verbose=0)
    found = pickle.loads(pickle.dumps(model, protocol))
    for each in (model, found):
        each.fit(X, y, epochs=1, verbose=0)
    assert found.forward(X).tobytes() == model.forward(X).tobytes()
