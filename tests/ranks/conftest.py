"""Programs on several ranks, for the tests of this folder."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).resolve().parents[1] / "support"

# Ranks that wait for each other take long if the processors are busy; a rank that hangs takes this long.
PATIENCE = 300


def mpiexec():
    """The command, of the environment of this Python or of the system; None without MPI."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


@pytest.fixture(scope="session")
def on_ranks():
    """on_ranks(number, program, *arguments): the lines that a program of tests/support prints."""
    if importlib.util.find_spec("mpi4py") is None or mpiexec() is None:
        pytest.skip("needs mpi4py and mpiexec: pip install mpi4py mpich")

    def run(number, program, *arguments, fails=False):
        path = os.pathsep.join([str(SUPPORT), *sys.path])
        done = subprocess.run(
            [mpiexec(), "-n", str(number), sys.executable, str(SUPPORT / program), *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert fails or done.returncode == 0, done.stderr[-3000:]
        return done.stdout.splitlines()

    return run
