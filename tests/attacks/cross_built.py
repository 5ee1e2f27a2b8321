"""The package cross-built for other processors, which QEMU emulates.

python tests/attacks/cross_built.py [aarch64_kernels s390x_kernels aarch64_suite] [--trials N]

The attacks on kernels build the C library and its program with Debian's cross compilers. The suite runs in a
Python and a NumPy of the other machine, whose packages are unpacked in the folder of the journals; nothing is
installed. Needed: Debian's gcc-aarch64-linux-gnu, gcc-s390x-linux-gnu and qemu-user-static; for the suite apt
and pip, too.
"""

import functools
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from journal import ROOT, STATE, Journal, Missing, attack, main
from kernels import TARGET, run_trials, told
from suite import environment, make, run_tests, tests_made

FOLDER = STATE / "cross_built"


@dataclass(frozen=True)
class Machine:
    """A processor, by the name that GNU gives it.

    Attributes
    ----------
    name : str
    model : str
        QEMU's name of the emulated model. With "max", aarch64's OpenBLAS takes instructions that raise
        floating-point warnings for no reason, which the suite makes errors.
    """

    name: str
    model: str

    def needed(self) -> None:
        for tool in (self.compiler, self.emulator):
            if not shutil.which(tool):
                raise Missing(f"there is no {tool}")

    @property
    def compiler(self) -> str:
        return f"{self.name}-linux-gnu-gcc"

    @property
    def emulator(self) -> str:
        return f"qemu-{self.name}-static"

    def run(self, libraries: Path | str) -> list[str]:
        """The beginning of a command that runs a program with these libraries."""
        return [self.emulator, "-cpu", self.model, "-L", str(libraries)]

    def build(self, build: Path, *settings: str) -> None:
        """Build the package in the folder `build`, with the programs of attacks."""
        self.needed()
        cross = (
            "-DCMAKE_SYSTEM_NAME=Linux",
            f"-DCMAKE_SYSTEM_PROCESSOR={self.name}",
            f"-DCMAKE_C_COMPILER={self.compiler}",
        )
        configure = ["cmake", "-G", "Ninja", "-S", ROOT, "-B", build, "-DBPKERN_ATTACKS=ON"]
        make([*configure, *cross, *settings], environment())
        make(["cmake", "--build", build], environment())


AARCH64, S390X = Machine("aarch64", "cortex-a76"), Machine("s390x", "max")

# Of the program's attacks those that take seconds.
NAMES = ("random_sizes", "integers", "special_values", "scratch", "integer_nets", "table_fences")


def attack_kernels(journal: Journal, machine: Machine) -> str:
    """Run the same numbers of trials of all NAMES."""
    build = FOLDER / machine.name
    machine.build(build, "-DBPKERN_PYTHON=OFF")
    command = [*machine.run(f"/usr/{machine.name}-linux-gnu"), build / TARGET]
    for trials in journal.chunks(10):
        for name in NAMES:
            run_trials(journal, name, trials, command)
    return told(journal, f"each trial of {', '.join(NAMES)}")


@attack(trials=400)
def aarch64_kernels(journal: Journal) -> str:
    """On aarch64 the kernels keep their bounds, are exact on integers, and pass NaN and infinities on."""
    return attack_kernels(journal, AARCH64)


@attack(trials=400)
def s390x_kernels(journal: Journal) -> str:
    """On s390x, whose numbers are big-endian, the same holds."""
    return attack_kernels(journal, S390X)


# Debian's name of the processor and of the packages with a Python; what pip installs, and for which systems.
ARM = "arm64"
PYTHON = ("python3.11", "libpython3.11-dev", "libstdc++6")
PACKAGES = ("numpy", "pytest", "hypothesis")
TAGS = ("2_28", "2_27", "2_26", "2_17")

FILES = (
    "model/test_by_hand.py",
    "reference/test_agreement.py",
    "threads/test_threads.py",
    "files/test_files.py",
    "files/test_file_format.py",
    "golden/test_golden.py",
    "kernels/test_dispatch.py",
    "kernels/test_floating_point.py",
    "kernels/test_activations.py",
    "kernels/test_losses.py",
    "kernels/test_kernels.py",
    "trainer/test_updates.py",
    "trainer/test_blocks.py",
    "trainer/test_dropout.py",
    "model/test_optimizers.py",
    "model/test_compress.py",
    "fit/test_accumulation.py",
    "data/test_inputs.py",
)


def unpack_python(root: Path) -> None:
    """Unpack a Python for aarch64, NumPy and the packages of the tests in the folder `root`."""
    apt = root / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    options = (
        f"APT::Architecture={ARM}",
        f"APT::Architectures::={ARM}",
        f"Dir::State={apt}",
        f"Dir::State::status={apt}/status",
        f"Dir::Cache={apt}",
        "APT::Install-Recommends=false",
        "Debug::NoLocking=true",
    )
    get = ["apt-get", "-q", "-y", *(part for option in options for part in ("-o", option))]
    for command in ([*get, "update"], [*get, "--download-only", "install", *PYTHON]):
        make(command, environment())
    for package in sorted((apt / "archives").glob("*.deb")):
        make(["dpkg", "-x", package, root], environment())
    tags = (f"--platform=manylinux_{tag}_{AARCH64.name}" for tag in TAGS)
    binary = ("--python-version=3.11", "--implementation=cp", "--only-binary=:all:")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", packages(root)]
    make([*pip, *tags, *binary, *PACKAGES], environment())


def packages(root: Path) -> Path:
    return root / "usr/local/lib/python3.11/dist-packages"


# Python does not find its own program under QEMU; this one starts the emulator, for tests with children.
START = '#!/bin/sh\nexec {command} "$@"\n'
FIND = "import sys\nsys.executable = {start!r}\n"


@functools.cache
def python() -> tuple[Path, Path]:
    """(program that starts Python for aarch64, folder of the package built for it)."""
    AARCH64.needed()
    if not shutil.which("apt-get"):
        raise Missing("there is no apt-get")
    root, build, site = (FOLDER / name for name in ("root", "build", "site"))
    if not packages(root).exists():
        unpack_python(root)
    AARCH64.build(
        build,
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-DPython_INCLUDE_DIR={root}/usr/include/python3.11",
        "-DPython_SOABI=cpython-311-aarch64-linux-gnu",
        f"-DPython_NumPy_INCLUDE_DIR={packages(root)}/numpy/_core/include",
        f"-DCMAKE_C_FLAGS=-isystem {root}/usr/include",
    )
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(
        ROOT / "src/bpkern", site / "bpkern", ignore=shutil.ignore_patterns("_core.*so", "__pycache__")
    )
    shutil.copy(build / "_core.so", site / "bpkern")
    start = site / "python"
    start.write_text(START.format(command=" ".join([*AARCH64.run(root), f"{root}/usr/bin/python3.11"])))
    start.chmod(0o755)
    (site / "sitecustomize.py").write_text(FIND.format(start=str(start)))
    return start, site


@attack(trials=len(FILES))
def aarch64_suite(journal: Journal) -> str:
    """On aarch64 the tests of kernels, training, worked examples, files and determinism pass."""
    start, site = python()
    env = environment(PYTHONPATH=str(site), OPENBLAS_NUM_THREADS="1")
    for trial in journal:
        complaint = run_tests(journal, trial, ["-m", "pytest"], env, FILES, start)
        if complaint:
            journal.fail(trial, f"{FILES[trial]}: {complaint}")
    return f"{tests_made(journal)}: {', '.join(FILES)}"


if __name__ == "__main__":
    main(__file__)
