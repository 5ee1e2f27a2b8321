"""Two ranks with other instruction sets, for `mpiexec`: each reports how its fit ends."""

import os

import numpy as np
from mpi4py import MPI

comm = MPI.COMM_WORLD
if comm.rank == 1:
    os.environ["BPKERN_ISA"] = "scalar"

import bpkern  # noqa: E402  (reads the variable)

model = bpkern.MLP([3, 2], loss="mse", seed=0)
try:
    model.fit(np.ones((4, 3)), np.ones((4, 2)), comm=comm)
    found = "no error"
except ValueError as error:
    found = f"{bpkern.isa()}: {error}"
found = comm.gather(found)
if comm.rank == 0:
    print(*found, sep="\n", flush=True)
