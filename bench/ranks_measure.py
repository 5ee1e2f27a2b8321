"""The measurements of `ranks.py`, as a job of two ranks on one machine; rank 0 prints them as JSON.

mpiexec -n 2 python bench/ranks_measure.py --rounds 5

Candidates take turns. While one runs on rank 0 alone, rank 1 sleeps: MPI's waiting keeps a processor busy.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np
from mpi4py import MPI
from nets import Net, data
from ranks_model import COMPARED, SCALED
from timing import LEAST_SECONDS

import bpkern
from bpkern.distributed import own_rows

COMM = MPI.COMM_WORLD
SIZES = [1 << k for k in range(2, 25, 2)]  # bytes
MESSAGES = 2000
LR = 1e-4
STEPS = 6  # of an epoch
# Of an epoch of 60,000 rows: what ranks do once per epoch has the weight that it has on common data sets.
COMPARED_STEPS = 117


def together() -> None:
    """Wait for the other rank, asleep."""
    request = COMM.Ibarrier()
    while not request.Test():
        time.sleep(2e-3)


# Transport -------------------------------------------------------------------------------------------------


def allreduce(size: int) -> float:
    """Seconds of MPI's own allreduce of `size` bytes: the median of several."""
    buffer = np.ones(size // 4, np.float32)
    took = []
    for _ in range(200 if size < 1 << 20 else 20):
        COMM.Barrier()
        began = time.perf_counter()
        COMM.Allreduce(MPI.IN_PLACE, buffer)
        took.append(time.perf_counter() - began)
    return float(np.median(took))


def ping(size: int) -> float:
    """Seconds that a message of `size` bytes takes one way."""
    buffer, count = np.zeros(size, np.uint8), 1000 if size < 1 << 16 else 30
    COMM.Barrier()
    began = time.perf_counter()
    for _ in range(count):
        if COMM.rank == 0:
            COMM.Send(buffer, 1)
            COMM.Recv(buffer, 1)
        else:
            COMM.Recv(buffer, 0)
            COMM.Send(buffer, 0)
    return (time.perf_counter() - began) / count / 2


def message() -> float:
    """Seconds of processor time per small message, of many on their way at once."""
    sent, came = np.zeros(MESSAGES, np.uint8), np.zeros(MESSAGES, np.uint8)
    other = 1 - COMM.rank
    COMM.Barrier()
    began = time.perf_counter()
    requests = [COMM.Irecv(came[i : i + 1], other, i) for i in range(MESSAGES)]
    requests += [COMM.Isend(sent[i : i + 1], other, i) for i in range(MESSAGES)]
    MPI.Request.Waitall(requests)
    return (time.perf_counter() - began) / MESSAGES / 2


# Training --------------------------------------------------------------------------------------------------


def model(net: Net) -> bpkern.MLP:
    optimizer = bpkern.SGD(LR, momentum=net.momentum)
    return bpkern.MLP(net.layers, activation=net.activation, loss=net.loss, optimizer=optimizer, seed=0)


def fit(net: Net, X: np.ndarray, y: np.ndarray, **settings) -> Callable[[int], object]:
    """A run of epochs by a model of its own."""
    trained = model(net)
    return lambda epochs: trained.fit(X, y, epochs=epochs, batch_size=net.batch, verbose=0, **settings)


def torch_run(net: Net, X: np.ndarray, y: np.ndarray, threads: int, ranks: int) -> Callable[[int], object]:
    """The same by PyTorch; with several ranks by DistributedDataParallel over gloo, each on its half."""
    import torch
    from peers_torch import TorchPeer

    weights = model(net).get_weights()
    if ranks == 1:
        peer = TorchPeer(net, weights, X, y, LR, threads)
    else:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(COMM.bcast(free_port())))
        torch.distributed.init_process_group("gloo", rank=COMM.rank, world_size=COMM.size)
        half = Net(net.layers, net.activation, net.loss, net.batch // ranks, net.momentum)
        peer = TorchPeer(half, weights, X[COMM.rank :: ranks], y[COMM.rank :: ranks], LR, threads)
        peer.model = torch.nn.parallel.DistributedDataParallel(peer.model)

    def run(epochs: int) -> None:
        torch.set_num_threads(threads)
        peer.epochs(epochs)

    return run


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def candidates(net: Net, with_torch: bool) -> dict[str, tuple[bool, Callable[[int], object]]]:
    """By name, whether all ranks take part, and the run."""
    X, y = data(net, COMPARED_STEPS)
    own = own_rows(len(X), COMM, 8)
    runs = {
        "1 rank": (False, fit(net, X, y, n_threads=1)),
        "1 rank, shards=8": (False, fit(net, X, y, n_threads=1, shards=8)),
        "1 rank, 2 threads": (False, fit(net, X, y, n_threads=2)),
        "2 ranks": (True, fit(net, X[own], y[own], n_threads=1, shards=8, comm=COMM)),
    }
    if with_torch:
        runs["PyTorch, 1 rank"] = False, torch_run(net, X, y, 1, 1)
        runs["PyTorch, 1 rank, 2 threads"] = False, torch_run(net, X, y, 2, 1)
        runs["PyTorch DDP, 2 ranks"] = True, torch_run(net, X, y, 1, 2)
    return runs


def compared(net: Net, rounds: int, with_torch: bool) -> dict[str, list[float]]:
    """Seconds per step of each candidate, one value per round."""
    runs, seconds = candidates(net, with_torch), {}
    for number in range(rounds + 1):
        for name, (on_all, run) in runs.items():
            together()
            began = time.perf_counter()
            if on_all or COMM.rank == 0:
                run(1)
            took = (time.perf_counter() - began) / COMPARED_STEPS
            if number:  # the first is a warm-up
                seconds.setdefault(name, []).append(took)
    together()
    return seconds


def scaled(net: Net) -> dict:
    """Seconds of a step on rank 0 by the rows of a mini-batch, gradients stored as for several ranks."""
    seconds, spread = {}, []
    rows = 1 << (net.batch.bit_length() - 1)
    while COMM.rank == 0 and rows >= 2:
        small = Net(net.layers, net.activation, net.loss, rows, net.momentum)
        X, y = data(small, STEPS)
        run = fit(small, X, y, n_threads=1, shards=1)
        run(1)
        took, began = [], time.perf_counter()
        while len(took) < 5 or time.perf_counter() - began < 3 * LEAST_SECONDS:
            start = time.perf_counter()
            run(1)
            took.append((time.perf_counter() - start) / STEPS)
        seconds[rows] = float(np.median(took))
        spread.append((np.quantile(took, 0.75) - np.quantile(took, 0.25)) / 1.349 / seconds[rows])
        rows //= 4
    together()
    return {"seconds": seconds, "spread": float(np.median(spread)) if spread else 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch", action="store_true", help="also PyTorch's DistributedDataParallel")
    args = parser.parse_args()
    if COMM.size != 2:
        raise SystemExit(f"ranks_measure.py needs two ranks, not {COMM.size}: mpiexec -n 2")
    found = {
        "isa": bpkern.isa(),
        "allreduce": {size: allreduce(size) for size in SIZES},
        "latency": ping(1),
        "bandwidth": 2**24 / ping(2**24),
        "message": message(),
        "compared": compared(COMPARED, args.rounds, args.torch),
        "scaled": [scaled(net) for net in SCALED],
    }
    if COMM.rank == 0:
        json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
