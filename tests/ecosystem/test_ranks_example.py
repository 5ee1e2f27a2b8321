"""The example of training on several ranks: the same weights in one process and on two."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "ranks" / "train.py"


def run(*command, cwd):
    """What the example prints in a folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [*map(str, command), "--gigabytes", "0.0008", "--epochs", "2"]
    done = subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_runs_anywhere(tmp_path):
    alone = run(sys.executable, EXAMPLE, "--checkpoint", "net.npz", cwd=tmp_path)
    assert alone.splitlines()[1].startswith("weights ")
    assert run(sys.executable, EXAMPLE, "--checkpoint", "net.npz", cwd=tmp_path) == alone


def test_ranks_make_the_same_weights(tmp_path):
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    search = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    mpiexec = shutil.which("mpiexec", path=search) or pytest.skip("there is no mpiexec")
    alone = run(sys.executable, EXAMPLE, cwd=tmp_path)
    assert run(mpiexec, "-n", 2, sys.executable, EXAMPLE, cwd=tmp_path) == alone
