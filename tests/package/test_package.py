"""The installed package: its exports, its dependencies, its command line."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from public_names import MODULES

import bpkern
from bpkern import _core
from bpkern._cli import main

ROOT = Path(__file__).parents[2]


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_the_extension_exports_its_init_function_alone():
    nm = shutil.which("nm")
    if nm is None or sys.platform != "linux":
        pytest.skip("needs nm, on Linux")
    command = [nm, "-D", "--defined-only", _core.__file__]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in listed.stdout.splitlines()] == ["PyInit__core"]


def test_numpy_is_the_only_dependency():
    required = importlib.metadata.requires("bpkern")
    assert [name for name in required if "extra ==" not in name] == ["numpy>=2.0"]


def test_import_brings_in_nothing_heavy():
    code = """
import sys, numpy
before = set(sys.modules)
import bpkern
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    brought = set(run("-c", code).stdout.split()) - set(sys.stdlib_module_names)
    cython = {name for name in brought if name.startswith(("cython", "_cython"))}
    assert brought - cython == {"bpkern"}


def test_import_leaves_what_few_need_for_later():
    """Importing archives, JSON, hashes, CSV and the reference would take longer than everything else."""
    later = (
        "bpkern._files.container",
        "bpkern._seeing",
        "bpkern._ranks",
        "bpkern.c_api",
        "bpkern.graph",
        "bpkern.reference",
    )
    later += ("csv", "hashlib", "json", "string", "zipfile")
    code = "import sys, numpy; before = set(sys.modules); import bpkern; new = set(sys.modules) - before\n"
    code += f"print(*sorted(new.intersection({later})))\n"
    code += "print(*(hasattr(bpkern, name) and name in dir(bpkern) for name in ('graph', 'reference')))"
    assert run("-c", code).stdout.split() == ["True", "True"]


def test_types_and_stubs_are_installed():
    installed = {Path(file).name for file in importlib.metadata.files("bpkern")}
    assert {"py.typed", "_core.pyi", "activations.py"} <= installed
    sources = {name for name in installed if name.endswith((".pyx", ".pxd", ".pxi", ".c", ".h", ".a"))}
    assert sources == {"bpkern.h", "bpkern_python.h", "c_api.pxd"}


def test_versions_agree():
    assert bpkern.__version__ == importlib.metadata.version("bpkern")
    assert f"## {bpkern.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    shown = run("-m", "bpkern", "--version")
    assert shown.stdout == f"bpkern {bpkern.__version__}\n"


def test_the_command_shows_what_a_report_needs():
    shown = run("-m", "bpkern", "--version", "--verbose").stdout
    for section, entries in bpkern.show_config(mode="dicts").items():
        assert f"{section}:\n" in shown
        for name, value in entries.items():
            assert f"  {name}: {value}\n" in shown


def test_names_of_modules_are_found():
    with pytest.raises(
        AttributeError, match=r"has no attribute 'EarlyStopping': it is bpkern\.callbacks\.Early"
    ):
        bpkern.EarlyStopping  # noqa: B018
    with pytest.raises(AttributeError, match=r"module 'bpkern' has no attribute 'zigzag'$"):
        bpkern.zigzag  # noqa: B018


def test_an_unknown_option_shows_the_usage_of_its_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "data.csv", "--target", "y", "-o", "model.npz", "--epochs", "5"])
    shown = capsys.readouterr().err
    assert stop.value.code == 2
    assert shown.startswith("usage: bpkern fit ")
    assert shown.endswith("bpkern fit: error: unrecognized arguments: --epochs 5\n")


@pytest.mark.parametrize("name", ["bpkern.Adm", "bpkern.callbacks.ModelCheckPoint", "bpkern.export.to_onyx"])
def test_python_proposes_a_public_name(name):
    """Its traceback looks into `dir` of the module."""
    [line] = run("-c", f"import bpkern; {name}").stderr.splitlines()[-1:]
    assert re.search(r"Did you mean: '(Adam|ModelCheckpoint|to_onnx)'\?$", line)


@pytest.mark.parametrize("module", MODULES)
def test_dir_lists_the_public_names_alone(module):
    if module == "bpkern.sklearn":
        pytest.importorskip("sklearn", reason="scikit-learn is what bpkern.sklearn needs")
    found = importlib.import_module(module)
    assert dir(found) == sorted(found.__all__)
    assert all(hasattr(found, name) for name in found.__all__)


def test_public_names():
    assert "distributed" in bpkern.__all__  # users have no other name for `own_rows`
    for name in bpkern.__all__:
        assert getattr(bpkern, name).__doc__ or name == "__version__"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: command"),
        (["--verbose"], "the following arguments are required: command"),
        (["train"], "invalid choice: 'train'"),
        (["demo", "--seed", "-1"], "seed must be at least 0, not -1"),
        (["demo", "--epochs", "0"], "epochs must be at least 1, not 0"),
        (["demo", "--epochs", "many"], "invalid literal"),
    ],
)
def test_bad_commands(arguments, message):
    done = run("-m", "bpkern", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
