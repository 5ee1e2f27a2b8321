"""Random fits on shards, for `mpiexec`: ranks_fits.py SEEDS [THREADS] [shards=N] [messages] [stream].

With `alone`, one process makes all shards; with `stream`, rows come as an iterable of batches. Rank 0 prints
a line per seed: a digest of what the fit leaves.
"""

import hashlib
import json
import sys
from contextlib import suppress

import numpy as np

import bpkern
from bpkern import losses
from bpkern.distributed import own_rows

SHARDS = 8


def drawn(rng, choices):
    return choices[rng.integers(len(choices))]


def random_loss(rng):
    name = drawn(
        rng, ["mse", "squared_error", "cross_entropy", "binary_cross_entropy", "huber", "poisson", "quantile"]
    )
    if name == "huber":
        return name, losses.Huber(0.5)
    if name == "quantile":
        return name, losses.Quantile(0.3)
    return name, name


def random_targets(rng, name, rows, outputs):
    if name == "cross_entropy":
        return rng.integers(0, outputs, rows)
    if name == "binary_cross_entropy":
        return rng.integers(0, 2, (rows, outputs)).astype(float)
    if name == "poisson":
        return rng.poisson(2.0, (rows, outputs)).astype(float)
    return rng.normal(size=(rows, outputs))


def random_fit(seed, shards):
    """A model and its fits, all from a seed: the arguments besides the rows, and these for all ranks."""
    rng = np.random.default_rng(seed)
    outputs = int(rng.integers(1, 12))
    layers = [int(rng.integers(1, 70)), *rng.integers(1, 90, rng.integers(0, 4)).tolist(), outputs]
    name, loss = random_loss(rng)
    if name == "cross_entropy" and outputs == 1:
        layers[-1] = outputs = 3
    lr = 10.0 ** rng.uniform(-4, -2)
    optimizer = drawn(
        rng,
        [
            bpkern.SGD(lr=lr),
            bpkern.SGD(lr=lr, momentum=0.9, nesterov=True),
            bpkern.SGD(lr=lr, momentum=0.8, weight_decay=1e-3),
            bpkern.Adam(lr=lr, amsgrad=True),
            bpkern.AdamW(lr=lr),
            bpkern.RMSprop(lr=lr, centered=True, momentum=0.5),
            bpkern.Adagrad(lr=lr),
            bpkern.SGD(lr=lambda update: lr / (1 + update)),
        ],
    )
    model = bpkern.MLP(
        layers,
        activation=drawn(rng, ["relu", "tanh", "gelu", "sigmoid"]),
        loss=loss,
        optimizer=optimizer,
        dtype=drawn(rng, ["float32", "float32", "float64"]),
        l2=drawn(rng, [0.0, 1e-3]),
        dropout=drawn(rng, [0.0, 0.0, 0.3]) if len(layers) > 2 else 0.0,
        seed=int(seed),
    )
    rows, held_out = int(rng.integers(shards, 400)), int(rng.integers(shards, 60))
    data = []
    for n in (rows, held_out):
        weights = rng.random(n) * (rng.random(n) > 0.3) + (np.arange(n) == 0)
        data.append((rng.normal(size=(n, layers[0])), random_targets(rng, name, n, outputs), weights))
    if drawn(rng, [True, False]):
        data = [(x, y, None) for x, y, _ in data]
    arguments = {
        "epochs": int(rng.integers(1, 4)),
        "batch_size": int(drawn(rng, [3, 7, 8, 32, 64, 129, 1000])),
        "shuffle": bool(rng.integers(2)),
        "accumulate": int(drawn(rng, [1, 1, 1, 3])),
        "clip_norm": drawn(rng, [None, None, 0.5]),
        "clip_value": drawn(rng, [None, None, 0.01]),
        "ema": drawn(rng, [None, None, 0.9]),
    }
    if name == "cross_entropy":
        arguments["class_weight"] = drawn(rng, [None, "balanced", {0: 3.0}])
        arguments["metrics"] = drawn(rng, [None, ["accuracy", "f1"]])
    arguments["drop_last"] = bool(rng.integers(2)) and arguments["batch_size"] <= rows
    return model, arguments, data


class Stream:
    """A rank's rows of mini-batches of any sizes, the same ones in every epoch."""

    def __init__(self, rows, comm, seed, shards):
        self.rows, self.comm, self.seed, self.shards = rows, comm, seed, shards

    def __iter__(self):
        rng, left = np.random.default_rng(self.seed), len(self.rows[0])
        while left >= self.shards:
            count = int(rng.integers(self.shards, left + 1))
            batch = tuple(None if each is None else each[left - count : left] for each in self.rows)
            yield tuple(each for each in part_of(batch, self.comm, self.shards) if each is not None)
            left -= count


def part_of(rows, comm, shards):
    """A rank's own rows."""
    own = own_rows(len(rows[0]), comm, shards)
    return tuple(None if each is None else each[own] for each in rows)


def digest(*given):
    found = hashlib.sha256()
    for each in given:
        found.update(each.tobytes() if isinstance(each, np.ndarray) else json.dumps(each).encode())
    return found.hexdigest()[:16]


def state_of(model):
    """All numbers of a model: parameters, the optimiser's states, the average, counts."""
    from bpkern._files.state import model_state
    from bpkern._model.core import core_of

    config, arrays = model_state(core_of(model))
    return [json.dumps(config["training"], sort_keys=True), *(arrays[name] for name in sorted(arrays))]


def run(seed, comm, n_threads, streams=False, shards=SHARDS):
    """The digest of one fit."""
    model, arguments, (train, held_out) = random_fit(seed, shards)
    x, y, weights = part_of(train, comm, shards)
    if streams:
        x, y, weights = Stream(train, comm, seed, shards), None, None
        for name in ("batch_size", "shuffle", "drop_last"):
            del arguments[name]
        if arguments.get("class_weight") == "balanced":
            arguments["class_weight"] = {1: 2.0}
    validation = tuple(each for each in part_of(held_out, comm, shards) if each is not None)
    with suppress(bpkern.DivergedError):
        model.fit(
            x,
            y,
            sample_weight=weights,
            validation_data=validation,
            shards=shards,
            comm=comm,
            n_threads=n_threads,
            verbose=0,
            **arguments,
        )
    found = model.evaluate(*part_of((train[0], train[1]), comm, shards), shards=shards, comm=comm)
    return digest(*state_of(model), found)


def main():
    seeds, n_threads = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    comm, shards = None, SHARDS
    for each in sys.argv[3:]:
        if each.startswith("shards="):
            shards = int(each.removeprefix("shards="))
    if "alone" not in sys.argv:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
        if "messages" in sys.argv:
            from bpkern._ranks import mpi

            mpi.common_room = lambda engine: 0.0
    first, last = map(int, seeds.split("-"))
    for seed in range(first, last):
        found = run(seed, comm, n_threads, "stream" in sys.argv, shards)
        if comm is not None:
            found = " ".join(sorted(set(comm.allgather(found))))
        if comm is None or comm.rank == 0:
            print(seed, found, flush=True)


if __name__ == "__main__":
    main()
