"""docs/platforms.md and docs/releasing.md: what the workflows run, the pins of their actions, one version."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WHEELS = (ROOT / ".github" / "workflows" / "wheels.yml").read_text()
PLATFORMS = " ".join((ROOT / "docs" / "platforms.md").read_text().split())


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned(workflow):
    """ "The actions are pinned by the hashes of their commits": 40 digits, and the tag behind them."""
    used = re.findall(r"uses: *(.*)", workflow.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_an_action_has_one_pin():
    """Two workflows use the same commit of an action."""
    pins = {
        tuple(pin.split("@")) for path in WORKFLOWS for pin in re.findall(r"uses: *(\S+)", path.read_text())
    }
    assert len(pins) == len({action for action, _ in pins})


def jobs(text):
    """The text of each job by its name, and what stands before them."""
    before, _, after = text.partition("\njobs:\n")
    parts = re.split(r"^  ([\w-]+):\n", after, flags=re.M)
    return before, dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_permissions_are_least(workflow):
    """None by default; a job reads the repository, and only those that publish get an identity."""
    publishing = {"publish": ["id-token: write"], "deploy": ["pages: write", "id-token: write"]}
    before, named = jobs(workflow.read_text())
    assert "\npermissions: {}\n" in before
    for name, job in named.items():
        given = re.findall(r"^      (\S+: (?:read|write))", job, re.M)
        assert given == publishing.get(name, ["contents: read"]), name
    assert workflow.read_text().count("actions/checkout@") == workflow.read_text().count(
        "persist-credentials: false"
    )


def test_publishing_waits_for_everything():
    """ "Only if everything passes does the job `publish` ask for approval" """
    _, named = jobs(WHEELS)
    publish = named["publish"]
    assert "github.event_name == 'push' && github.ref_type == 'tag'" in publish
    assert "environment: release" in publish
    needed, more = set(), {"publish"}
    while more:
        needed |= more
        more = {
            other
            for name in more
            for other in re.findall(r"\w+", "".join(re.findall(r"needs: (.*)", named[name])))
        } - needed
    assert needed == set(named)
    assert not re.search(r"secrets\.|password|attestations: false", WHEELS)


def test_the_version_is_in_one_place():
    """ "the only place that states it, apart from `release/conda/recipe.yaml`; a test compares the two" """
    assert re.findall(r'version: "(.*)"', (ROOT / "release" / "conda" / "recipe.yaml").read_text()) == [
        VERSION
    ]
    stated = re.compile(rf"(?<![\d.]){re.escape(VERSION)}(?![\d.])")
    sources = [path for folder in ("src", "csrc") for path in (ROOT / folder).rglob("*.*") if path.is_file()]
    sources = [path for path in sources if path.suffix in (".py", ".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h")]
    assert [path for path in (ROOT / "CMakeLists.txt", *sources) if stated.search(path.read_text())] == []
    assert re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)[0] == VERSION


def test_the_recipe_requires_what_the_project_requires():
    recipe = (ROOT / "release" / "conda" / "recipe.yaml").read_text()
    for requirement in PROJECT["build-system"]["requires"] + PROJECT["project"]["dependencies"]:
        name, _, least = requirement.partition(">=")
        assert f"- {name} >={least}\n" in recipe


def test_the_platforms_of_the_page_have_wheels():
    """The table of docs/platforms.md, the matrix of the workflow and the checks of a release."""
    built = set(re.findall(r"for: ([\w-]+)", WHEELS))
    systems = {"linux-x86-64", "linux-aarch64", "macos-arm64", "macos-x86-64", "windows-x64", "windows-arm64"}
    assert built == systems | {"pyodide"}
    linux = [f"{libc}_{cpu}" for libc in ("manylinux_2_28", "musllinux_1_2") for cpu in ("x86_64", "aarch64")]
    for tag in (*linux, "macosx_..._arm64", "macosx_..._x86_64", "win_amd64", "win_arm64"):
        assert f"`{tag}`" in PLATFORMS
        example = tag.replace("...", "11_0")
        assert sum(bool(re.fullmatch(pattern, example)) for pattern in checks().NATIVE) == 1
    assert len(checks().NATIVE) == 8


def test_the_tests_of_a_wheel_need_little():
    """ "the tests of the kernels, of the trainer and of the reference, which need only NumPy, pytest and
    Hypothesis" """
    command = PROJECT["tool"]["cibuildwheel"]["test-command"]
    folders = re.findall(r"\{project\}/tests/(\w+)", command)
    assert folders == ["kernels", "trainer", "reference"]
    assert [name.partition(">")[0] for name in PROJECT["dependency-groups"]["test-wheel"]] == [
        "pytest",
        "hypothesis",
    ]
    needed = {"bpkern", "hypothesis", "numpy", "pytest", *sys.stdlib_module_names}
    needed |= {path.stem for path in (ROOT / "tests" / "support").glob("*.py")}
    for folder in folders:
        for path in (ROOT / "tests" / folder).glob("*.py"):
            imported = re.findall(r"^(?:import|from) (\w+)", path.read_text(), re.M)
            assert set(imported) <= needed, path


def checks():
    """The module release/check.py."""
    pytest.importorskip("packaging", reason="release/check.py reads the names of files by it")
    spec = importlib.util.spec_from_file_location("release_check", ROOT / "release" / "check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def release(tmp_path):
    """A folder with empty files of all names of a release."""
    platforms = (
        "manylinux_2_27_x86_64.manylinux_2_28_x86_64", "manylinux_2_28_aarch64", "musllinux_1_2_x86_64",
        "musllinux_1_2_aarch64", "macosx_10_13_x86_64", "macosx_11_0_arm64", "win_amd64", "win_arm64",
    )  # fmt: skip
    pythons = re.findall(r"cp\d+", PROJECT["tool"]["cibuildwheel"]["build"])
    for python in pythons:
        for platform in platforms:
            (tmp_path / f"bpkern-{VERSION}-{python}-{python}-{platform}.whl").touch()
    (tmp_path / f"bpkern-{VERSION}-cp314-cp314-pyemscripten_2026_0_wasm32.whl").touch()
    (tmp_path / f"bpkern-{VERSION}.tar.gz").touch()
    return tmp_path


def test_a_whole_release_passes(release, capsys):
    checks().main(str(release), f"v{VERSION}")
    assert (
        capsys.readouterr().out
        == f"version {VERSION}: {len(list(release.glob('*.whl')))} wheels and an sdist\n"
    )


def test_what_is_wrong_with_a_release(release):
    """Another tag, a missing wheel, a file of another version, a second sdist, a wheel that is too large."""
    (release / f"bpkern-{VERSION}-cp312-cp312-win_arm64.whl").unlink()
    (release / f"bpkern-{VERSION}-cp313-cp313-win_amd64.whl").write_bytes(bytes(2_000_001))
    (release / "bpkern-0.0.9.tar.gz").touch()
    command = [sys.executable, ROOT / "release" / "check.py", release, "v0.0.9"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"the tag is v0.0.9, and the version {VERSION}",
        "there must be 1 sdist, not 2",
        f"bpkern-{VERSION}-cp313-cp313-win_amd64.whl has 2000001 bytes, more than 2000000",
        "bpkern-0.0.9.tar.gz is not of version " + VERSION,
        "no wheel for cp312 on win_arm64",
    ]
