"""Train on a file larger than memory, in one process or on several ranks, to the same bits.

    python train.py
    mpiexec -n 2 python train.py
    mpiexec -n 8 python train.py --gigabytes 200 --folder /scratch --checkpoint net.npz

Makes the file first, unless it is there. Each rank maps the file and reads its own part of the rows only: for
speed, a machine's memory must hold the parts of its ranks. The last line is a digest of the weights, which
depends neither on the number of ranks nor on that of threads.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np

import bpkern
from bpkern.distributed import own_rows

try:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
except ImportError:  # without MPI, this process is the only one
    comm = None
RANK = 0 if comm is None else comm.rank

INPUTS = 32
BLOCK = 50_000  # rows that are written at a time
# The number of ranks must divide the number of shards. More shards than ranks leave room to resume on more.
SHARDS = 8


def write(path: Path, rows: int) -> None:
    """Write rows of inputs, and in the last column a value that is a function of them, and noise."""
    rng = np.random.default_rng(0)
    unfinished = path.with_suffix(".part")
    file = np.lib.format.open_memmap(unfinished, "w+", np.float32, (rows, INPUTS + 1))
    for start in range(0, rows, BLOCK):
        x = rng.standard_normal((min(BLOCK, rows - start), INPUTS), np.float32)
        y = np.sin(x[:, 0] + x[:, 1]) + x[:, 2] * x[:, 3] + 0.1 * rng.standard_normal(len(x), np.float32)
        file[start : start + len(x)] = np.column_stack([x, y])
    file.flush()
    unfinished.rename(path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=0.003, help="size of the file (0.003)")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the file is (here)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=512, help="rows of a mini-batch, on all ranks together")
    parser.add_argument("--checkpoint", help="file to write after each epoch, and to resume from")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    rows = int(args.gigabytes * 1e9 / 4 / (INPUTS + 1))
    path = args.folder / f"rows_{rows}.npy"
    if RANK == 0 and not path.exists():
        write(path, rows)
    if comm is not None:
        comm.Barrier()  # the file is complete

    table = np.load(path, mmap_mode="r")
    # The last tenth of the rows validates. Of both parts, each rank has a slice: nothing is read here.
    parts = table[: -(rows // 10)], table[-(rows // 10) :]
    train, held_out = (part[own_rows(len(part), comm, SHARDS)] for part in parts)

    model = bpkern.MLP([INPUTS, 64, 64, 1], loss="mse", optimizer=bpkern.Adam(lr=0.003), seed=0)
    history = model.fit(
        train[:, :INPUTS],
        train[:, INPUTS],
        epochs=args.epochs,
        batch_size=args.batch,
        validation_data=(held_out[:, :INPUTS], held_out[:, INPUTS]),
        checkpoint=args.checkpoint,
        resume=args.checkpoint is not None,
        shards=SHARDS,
        comm=comm,
    )
    if RANK == 0:
        print(history)
        weights = b"".join(part.tobytes() for pair in model.get_weights() for part in pair)
        print("weights", hashlib.sha256(weights).hexdigest()[:16])


if __name__ == "__main__":
    main()
