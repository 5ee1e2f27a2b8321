"""The installed package on other processors, by QEMU's emulation of user programs.

python tests/attacks/emulation.py [older_processors ...] [--trials N]
"""

import os
import shutil
import subprocess
import sys

from journal import ROOT, Journal, Missing, attack, main

# Each processor with the instruction set that it should use. The first is the oldest that NumPy's wheels
# support, the second has AVX2 but not AVX-512. The others lack a part of what the AVX2 kernels need:
# instructions, or an operating system that saves the registers.
PROCESSORS = {
    "Nehalem": "generic",
    "Haswell": "avx2",
    "Haswell,-xsave": "generic",
    "Haswell,-avx": "generic",
    "Haswell,-avx2": "generic",
    "Haswell,-fma": "generic",
}

USE = """
import pathlib, sys, tempfile
import numpy as np
import bpkern
rng = np.random.default_rng(0)
X, y = rng.standard_normal((300, 20)), rng.integers(0, 4, 300)
model = bpkern.MLP([20, 40, 4], activation="tanh", loss="cross_entropy", optimizer=bpkern.Adam(0.01), seed=0)
reference = bpkern.reference.MLP(
    [20, 40, 4], activation="tanh", loss="cross_entropy", optimizer=bpkern.Adam(0.01), seed=0
)
losses = model.fit(X, y, epochs=5, n_threads=2)["loss"]
assert np.allclose(losses, reference.fit(X, y, epochs=5)["loss"], rtol=1e-4), losses
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "net.npz"
    model.save(path)
    assert np.array_equal(bpkern.MLP.load(path).predict(X), model.predict(X))
print("used", bpkern.isa(), ",".join(bpkern.available_isas()))
"""

# Tests that together run every kernel and take minutes.
TESTS = [
    "kernels/test_kernels.py",
    "kernels/test_activations.py",
    "trainer/test_updates.py",
    "kernels/test_losses.py",
    "trainer/test_blocks.py",
]


# NumPy runs at its baseline, since only the package is under test: QEMU 7.2 fails in NumPy's AVX2 loops, and
# its BLAS assumes FMA on every processor with AVX2.
NUMPY = {"NPY_DISABLE_CPU_FEATURES": "X86_V3", "OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "1"}


def emulated(processor: str, arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python under QEMU."""
    found = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if found is None:
        raise Missing("there is no qemu-x86_64")
    return subprocess.run(
        [found, "-cpu", processor, sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | NUMPY | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def complaints(done: subprocess.CompletedProcess[str]) -> str:
    """The end of the output, without the warnings about features that QEMU lacks."""
    lines = (done.stdout + done.stderr).splitlines()
    return "\n".join(line for line in lines if "TCG doesn't support" not in line)[-600:]


@attack(trials=len(PROCESSORS))
def older_processors(journal: Journal) -> str:
    """On older processors the package uses kernels they support, and trains, predicts, saves and loads."""
    for trial in journal:
        processor, isa = list(PROCESSORS.items())[trial]
        done = emulated(processor, ["-c", USE], BPKERN_ISA="")
        available = "scalar,generic,avx2" if isa == "avx2" else "scalar,generic"
        if f"used {isa} {available}" not in done.stdout.splitlines():
            journal.fail(trial, f"{processor}: exit {done.returncode}: {complaints(done)}")
    return "; ".join(f"{processor}: {isa}" for processor, isa in PROCESSORS.items())


REFUSALS = [("Nehalem", "avx2"), ("Nehalem", "avx512"), ("Haswell", "avx512"), ("Haswell,-xsave", "avx2")]


@attack(trials=len(REFUSALS))
def refusals(journal: Journal) -> str:
    """An instruction set that a processor does not have is refused by name at import."""
    for trial in journal:
        processor, isa = REFUSALS[trial]
        done = emulated(processor, ["-c", "import bpkern"], BPKERN_ISA=isa)
        if done.returncode != 1 or f"ValueError: BPKERN_ISA={isa}: this processor" not in done.stderr:
            journal.fail(trial, f"{isa} on {processor}: exit {done.returncode}: {complaints(done)}")
    return "BPKERN_ISA=avx512 on Haswell, avx2 on Nehalem, ..."


SUITES = [(processor, file) for processor in ("Nehalem", "Haswell") for file in TESTS]


@attack(trials=len(SUITES))
def suite(journal: Journal) -> str:
    """The tests of the kernels and of the trainer's parts pass on emulated processors."""
    for trial in journal:
        processor, file = SUITES[trial]
        done = emulated(
            processor,
            ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", f"tests/{file}"],
        )
        if done.returncode:
            journal.fail(trial, f"{file} on {processor}: exit {done.returncode}: {complaints(done)}")
    return f"{', '.join(TESTS)} on Nehalem and Haswell"


if __name__ == "__main__":
    main(__file__)
