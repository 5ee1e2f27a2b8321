"""Parameters that ranks share, on the one rank of an engine without MPI."""

from contextlib import contextmanager

import numpy as np
import pytest

import bpkern
from bpkern._ranks import epochs, fit
from bpkern._ranks.group import Group
from bpkern._ranks.interrupts import Interrupts


class Alone:
    """An engine and its link, of one rank."""

    size, rank, local = 1, 0, (0,)

    def __init__(self):
        self.shared = None

    def allgather(self, own, of_all):
        of_all[0] = own

    def objects(self, own):
        return [own]

    def link(self):
        return self

    def connect(self, dtype, size, nodes, segments, shared):
        self.shared = np.zeros(shared, dtype)
        return [np.zeros(nodes[0] * size, dtype)], [None], self.shared

    def travel(self, stage, layer):
        pass

    def close(self):
        pass


@pytest.fixture
def engine(monkeypatch):
    own = Alone()

    @contextmanager
    def on_ranks(comm, shards, interrupts):
        group = Group(own, Interrupts(False))
        with group.guard():
            group.set_shards(shards)
            yield group

    monkeypatch.setattr(fit, "on_ranks", on_ranks)
    return own


def fitted(optimizer, before=None, **settings):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(150, 60)), rng.integers(0, 5, 150)
    model = bpkern.MLP([60, 70, 20, 5], loss="cross_entropy", optimizer=optimizer, l2=1e-3, seed=0)
    if before is not None:
        before(model)
    model.fit(X, y, epochs=3, batch_size=40, shards=6, verbose=0, **settings)
    return model


def numbers(model):
    return [array for pair in model.get_weights() for array in pair] + [model.history_["loss"]]


@pytest.mark.parametrize("optimizer", [bpkern.SGD(0.1, momentum=0.9), bpkern.Adam(amsgrad=True)])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_bits_are_those_of_shards_alone(engine, monkeypatch, optimizer, n_threads):
    def frozen(model):
        model.freeze(1)

    shared = [numbers(fitted(optimizer, before, n_threads=n_threads)) for before in (None, frozen)]
    assert np.count_nonzero(engine.shared) > 5000  # the parameters have been there
    monkeypatch.undo()
    alone = [numbers(fitted(optimizer, before)) for before in (None, frozen)]
    for one, other in zip(shared, alone, strict=True):
        for got, wanted in zip(one, other, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_nothing_else_changes_shared_parameters(engine, monkeypatch):
    """A handler of a signal might try, between two steps."""
    models = []

    def after(self, rows, loss, weight):
        models[0].reset()

    monkeypatch.setattr(epochs.AfterMeetings, "after", after)
    with pytest.raises(RuntimeError, match="share the parameters"):
        fitted(bpkern.SGD(0.1), models.append)
    models[0].reset()
    np.testing.assert_array_equal(
        models[0].get_weights()[0][0],
        bpkern.MLP([60, 70, 20, 5], loss="cross_entropy", seed=0).get_weights()[0][0],
    )
