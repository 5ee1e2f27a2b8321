"""Fits whose parameters ranks share: ranks_shared.py, for `mpiexec`. Rank 0 prints a line per net: how often
the parameters have been shared, and a digest of what each rank's fit leaves."""

import numpy as np
from ranks_fits import digest, part_of, state_of

import bpkern
from bpkern._ranks.group import Group

SHARDS, EPOCHS = 6, 2
# Layers, the one that is frozen, and the optimiser. Layers of one or two outputs are stored the other way
# round (csrc/trainer/net.h, narrow); some are smaller than a cache line.
NETS = [
    ([30, 70, 20, 5], 1, "adam"),
    ([30, 70, 20, 5], 0, bpkern.SGD(0.05, momentum=0.9)),
    ([40, 33, 2], None, bpkern.RMSprop(0.01, centered=True, momentum=0.5)),
    ([2, 1, 3], None, "sgd"),
    ([1, 1], None, "adam"),
]


def fitted(net, comm=None, n_threads=1, shards=SHARDS, callbacks=()):
    """A model after a fit on shards."""
    layers, frozen, optimizer = net
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(150, layers[0])), rng.normal(size=(150, layers[-1])), None
    x, y, _ = part_of(rows, comm, shards)
    model = bpkern.MLP(layers, loss="mse", optimizer=optimizer, l2=1e-3, seed=0)
    if frozen is not None:
        model.freeze(frozen)
    model.fit(
        x,
        y,
        epochs=EPOCHS,
        batch_size=40,
        shards=shards,
        comm=comm,
        n_threads=n_threads,
        callbacks=callbacks,
        verbose=0,
    )
    return model


def left_by(model):
    """A digest of what a fit leaves."""
    return digest(*state_of(model), model.history_["loss"])


def main():
    from mpi4py import MPI

    comm, shared = MPI.COMM_WORLD, []
    begin_pass = Group.begin_pass

    def counted(self, *stores):
        shared.append(begin_pass(self, *stores))
        return shared[-1]

    Group.begin_pass = counted
    for number, net in enumerate(NETS):
        shared.clear()
        found = " ".join(sorted(set(comm.allgather(left_by(fitted(net, comm, 2))))))
        if comm.rank == 0:
            print(number, shared.count(True), found, flush=True)


if __name__ == "__main__":
    main()
