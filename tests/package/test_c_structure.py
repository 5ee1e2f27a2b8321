"""The structure of the C sources: what may depend on what, and where systems and processors are known."""

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parents[2] / "csrc"
FILES = sorted(path for path in CSRC.rglob("*") if path.suffix in (".c", ".h"))
SYSTEMS = re.compile(r"\b(__linux__|__APPLE__|__unix__|_WIN32|__MINGW32__|_MSC_VER|_GNU_SOURCE)\b")


def name_of(path):
    return path.relative_to(CSRC).as_posix()


def code_of(path):
    return re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)


def folder_of(path):
    return name_of(path).partition("/")[0] if path.parent != CSRC else ""


def test_the_files_were_found():
    assert {folder_of(path) for path in FILES} == {"", "api", "platform", "trainer", "kernels"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_platform_knows_systems(path):
    assert folder_of(path) == "platform" or not SYSTEMS.search(code_of(path))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_layers(path):
    """Kernels know nothing of the trainer, the platform nothing of either, and nobody of the public API."""
    allowed = {"platform": {"platform"}, "kernels": {"kernels"}, "": set()}
    allowed["trainer"] = {"platform", "kernels", "trainer"}
    allowed["api"] = allowed["trainer"] | {"api", "include"}
    assert set(re.findall(r'#include "(\w+)/', code_of(path))) <= allowed[folder_of(path)]


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".c"], ids=name_of)
def test_no_file_only_includes(path):
    assert [line for line in code_of(path).splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".h"], ids=name_of)
def test_headers_say_where_they_are_defined(path):
    assert re.search(r"[Dd]efined\s+(\*\s+)?(in|here)", path.read_text())


def test_programs_list_no_instruction_set():
    """The attacks and the benchmark ask the library for its instruction sets."""
    root = CSRC.parent
    programs = [
        *root.glob("tests/attacks/kernels*.[ch]"),
        root / "tests/attacks/threads.c",
        *root.glob("bench/forward_kernel.c"),
        root / "bench/peak.c",
    ]
    assert len(programs) > 10
    listed = [path.name for path in programs if re.search(r"avx|neon|generic|immintrin", code_of(path), re.I)]
    assert listed == []


def test_each_system_has_its_files():
    """Threads and their placement, memory, clock and machine: what CMake chooses from."""
    found = {
        path.relative_to(CSRC / "platform").as_posix()
        for path in FILES
        if path.parent.parent.name == "platform"
    }
    both = {
        f"{system}/{file}.c"
        for system in ("posix", "windows")
        for file in ("clock", "memory", "threads", "machine")
    }
    placement = {"linux/placement.c", "posix/placement.c"}
    assert found == both | placement | {"linux/machine.c", "macos/machine.c", "none/threads.c"}
