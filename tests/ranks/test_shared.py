"""Parameters that ranks share: ranks that are threads of this process, and of MPI."""

import numpy as np
import pytest
import rank_threads
from rank_threads import Machine
from ranks_shared import EPOCHS, NETS, fitted, left_by

import bpkern
from bpkern._ranks import epochs, fit
from bpkern.callbacks import Callback


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """What `fit` gets as `comm` is a rank of a Machine."""
    monkeypatch.setattr(fit, "on_ranks", rank_threads.on_ranks)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(("ranks", "n_threads"), [(2, 2), (3, 1)])
def test_the_bits_are_those_of_one_process(net, ranks, n_threads):
    machine = Machine(ranks)
    found = machine.run(lambda comm: left_by(fitted(net, comm, n_threads)))
    assert np.any(machine.shared)  # the parameters have been there
    assert set(found) == {left_by(fitted(net))}


# Shards of a rank that are no node of the tree of all: a rank has several nodes.
@pytest.mark.parametrize(("shards", "ranks"), [(18, 6), (24, 8), (21, 7), (20, 4)])
@pytest.mark.parametrize("way", ["shared", "seen sums", "seen results", "sums", "results"])
def test_gradients_of_all_ranks_are_added_in_the_order_of_the_tree(shards, ranks, way):
    net = [3, 9, 2], None, "adam"
    machine = Machine(ranks, has_memory=way not in ("sums", "results"), has_results="results" in way)
    callbacks = OfBatches() if "seen" in way else ()
    found = machine.run(lambda comm: left_by(fitted(net, comm, shards=shards, callbacks=callbacks)))
    assert np.any(machine.shared) == (way == "shared")
    assert set(found) == {left_by(fitted(net, shards=shards))}


class OfBatches(Callback):
    """Ranks share no parameters between its calls."""

    def on_batch_end(self, model, batch, loss):
        pass


def test_memory_that_is_not_there_is_not_shared():
    """The system would kill a rank that writes it. Half of it is left to others."""
    net = NETS[0]
    machine = Machine(2)
    machine.run(lambda comm: fitted(net, comm))
    gradients, parameters = machine.gradients, machine.shared.nbytes
    ways = []
    for room in (gradients + parameters, gradients + parameters - 1, gradients, gradients - 1):
        machine = Machine(2, room=2 * room)
        found = machine.run(lambda comm: left_by(fitted(net, comm)))
        assert set(found) == {left_by(fitted(net))}
        ways.append((machine.by_memory, np.any(machine.shared)))
    assert ways == [(True, True), (True, False), (True, False), (False, False)]


class OtherOptimizer(Callback):
    """Sets it on one rank, which is an error only at the end of the epoch."""

    def __init__(self, rank, optimizer):
        self.rank, self.optimizer = rank, optimizer

    def on_fit_begin(self, model):
        if self.rank == 1:
            model.optimizer = self.optimizer


@pytest.mark.parametrize(("optimizer", "other"), [("sgd", "adam"), ("adam", bpkern.SGD(0.1, momentum=0.9))])
def test_ranks_that_would_share_different_stores_share_none(optimizer, other):
    """There is room for as many stores as the first optimiser has."""
    machine = Machine(2)

    def work(comm):
        with pytest.raises(RuntimeError, match="callbacks must decide alike"):
            fitted(([30, 70, 5], None, optimizer), comm, callbacks=OtherOptimizer(comm.rank, other))

    machine.run(work)
    assert not np.any(machine.shared)


@pytest.mark.parametrize("use", [bpkern.MLP.reset, bpkern.MLP.get_weights])
def test_nothing_else_uses_shared_parameters(monkeypatch, use):
    """A handler of a signal might try, between two steps or within one."""
    models = {}

    class Known(Callback):
        def __init__(self, rank):
            self.rank = rank

        def on_fit_begin(self, model):
            models[self.rank] = model

    def after(self, rows, loss, weight):
        use(models[self._group.rank])

    monkeypatch.setattr(epochs.AfterMeetings, "after", after)
    with pytest.raises(RuntimeError, match="share the parameters"):
        Machine(2).run(lambda comm: fitted(NETS[0], comm, callbacks=Known(comm.rank)))
    models[0].reset()
    np.testing.assert_array_equal(
        models[0].get_weights()[0][0], bpkern.MLP([30, 70, 20, 5], loss="mse", seed=0).get_weights()[0][0]
    )


def test_on_two_ranks_of_mpi(on_ranks):
    wanted = [f"{number} {EPOCHS} {left_by(fitted(net))}" for number, net in enumerate(NETS)]
    assert on_ranks(2, "ranks_shared.py") == wanted
