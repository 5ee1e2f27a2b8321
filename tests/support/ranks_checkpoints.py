"""A fit with checkpoints: ranks_checkpoints.py FILE EPOCHS [alone]. Rank 0 prints a digest of what it leaves.

Each epoch's number is printed as it ends, so that whoever kills the ranks knows that they are at work.
"""

import sys

import numpy as np
from ranks_fits import SHARDS, digest, part_of, state_of

import bpkern
from bpkern.callbacks import Callback, CSVLogger, EarlyStopping


class Report(Callback):
    def on_epoch_end(self, model, epoch, logs):
        print("epoch", epoch, flush=True)


def main():
    path, epochs = sys.argv[1], int(sys.argv[2])
    comm = None
    if "alone" not in sys.argv:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(501, 7)), rng.integers(0, 3, 501), rng.random(501)
    x, y, weights = part_of(rows, comm, SHARDS)
    model = bpkern.MLP([7, 40, 3], loss="cross_entropy", optimizer="adam", dropout=0.2, seed=4)
    model.fit(
        x,
        y,
        sample_weight=weights,
        validation_data=(x, y),
        epochs=epochs,
        batch_size=50,
        class_weight="balanced",
        callbacks=[EarlyStopping(monitor="loss", patience=50), CSVLogger(f"{path}.csv"), Report()],
        checkpoint=path,
        resume=True,
        shards=SHARDS,
        comm=comm,
        verbose=0,
    )
    if comm is None or comm.rank == 0:
        with open(f"{path}.csv") as file:
            print(digest(*state_of(model), file.read()), flush=True)


if __name__ == "__main__":
    main()
