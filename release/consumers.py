"""Builds and runs the examples that call the C API, and looks at what the libraries export.

python release/consumers.py PREFIX

PREFIX is where the C library was installed. The Python that runs this has the wheel, scikit-learn, numba,
cython and scikit-build-core. Each example is copied to an empty folder and built there, trains scikit-learn's
digits and prints its accuracy on others. Needed besides: cmake, make, pkg-config and nm.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import bpkern
from bpkern import _core

EXAMPLES = Path(__file__).parents[1] / "examples"
LEAST_ACCURACY = 0.95


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What a command prints. Its errors are shown, and end this program."""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def built_by_cmake(folder: Path, prefix: Path) -> str:
    run("cmake", "-B", "build", f"-DCMAKE_PREFIX_PATH={prefix}", cwd=folder)
    run("cmake", "--build", "build", cwd=folder)
    return run("build/digits", "../digits.csv", cwd=folder)


def built_by_pkg_config(folder: Path, prefix: Path) -> str:
    [config] = prefix.glob("lib*/**/bpkern.pc")
    run("make", cwd=folder, PKG_CONFIG_PATH=str(config.parent))
    return run("./digits", "../digits.csv", cwd=folder)


def built_by_cython(folder: Path, prefix: Path) -> str:
    install = (
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        "site",
        ".",
    )
    run(sys.executable, *install, cwd=folder)
    return run(
        sys.executable, "-m", "digits_net", "../digits.csv", cwd=folder, PYTHONPATH=str(folder / "site")
    )


def compiled_by_numba(folder: Path, prefix: Path) -> str:
    return run(sys.executable, "digits.py", "../digits.csv", cwd=folder)


CONSUMERS = {
    "c_cmake": built_by_cmake,
    "c_pkgconfig": built_by_pkg_config,
    "cython_package": built_by_cython,
    "numba": compiled_by_numba,
}


def exported(*options: str | Path) -> set[str]:
    """The names that a library defines for others."""
    listed = run("nm", "--defined-only", *options, cwd=Path.cwd())
    return {line.split()[2] for line in listed.splitlines() if len(line.split()) == 3}


def check_exports(prefix: Path) -> None:
    """The libraries define the functions of the header alone, the extension its init function alone."""
    header = (Path(bpkern.get_include()) / "bpkern.h").read_text()
    [installed] = prefix.glob("include/bpkern.h")
    if installed.read_text() != header:
        sys.exit(f"{installed} is not the header of the wheel")
    functions = set(re.findall(r"^BPKERN_EXPORT .*?(bpkern_\w+)\(", header, re.M))
    [static], [shared] = prefix.glob("lib*/**/libbpkern.a"), prefix.glob("lib*/**/libbpkern.so")
    for library, found, expected in (
        (static, exported("--extern-only", static), functions),
        (shared, exported("--dynamic", shared), functions),
        (_core.__file__, exported("--dynamic", _core.__file__), {"PyInit__core"}),
    ):
        if found != expected:
            more, less = sorted(found - expected), sorted(expected - found)
            sys.exit(f"{library} exports {more}, which bpkern.h does not declare, and lacks {less}")
        print(f"{Path(library).name}: {len(found)} names")


def main(prefix: Path) -> None:
    check_exports(prefix)
    with tempfile.TemporaryDirectory() as scratch:
        run(sys.executable, EXAMPLES / "data" / "export_digits.py", "digits.csv", cwd=Path(scratch))
        for name, build in CONSUMERS.items():
            folder = Path(shutil.copytree(EXAMPLES / name, Path(scratch) / name))
            shown = build(folder, prefix)
            found = re.search(r"accuracy .*: (\S+)", shown)
            if found is None:
                sys.exit(f"{name} printed no accuracy: {shown}")
            accuracy = float(found[1])
            print(f"{name}: {accuracy}")
            if accuracy < LEAST_ACCURACY:
                sys.exit(f"{name} must reach {LEAST_ACCURACY}: {shown}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
