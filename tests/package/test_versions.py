"""docs/versions.md: names, versions of Python and NumPy, interpreters, files, pickles and the C header."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from public_names import public_names

import bpkern
from bpkern._files import container

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "versions.md").read_text()
PROSE = " ".join(PAGE.split())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RECORDS = {
    path.name: path.read_text().splitlines() for path in (ROOT / "tests" / "golden").glob("v*_names.txt")
}
RECORDED = sorted({line for lines in RECORDS.values() for line in lines})


def parts(line):
    """(name, positional parameters, keyword-only parameters) of a line; None for what cannot be called."""
    name, bracket, given = line.partition("(")
    if not bracket:
        return name, None, None
    parameters = [text for text in given.rstrip(")").split(", ") if text]
    at = parameters.index("*") if "*" in parameters else len(parameters)
    return name, parameters[:at], parameters[at + 1 :]


PRESENT = {parts(line)[0]: parts(line)[1:] for line in public_names()}


@pytest.mark.parametrize("line", RECORDED)
def test_a_public_name_of_a_version(line):
    """ "The public names of each minor version are recorded ..., and a test requires each of them": the name,
    its positional parameters first and in their order, and its keywords; new parameters may follow."""
    name, positional, keywords = parts(line)
    if name.startswith("bpkern.sklearn."):
        pytest.importorskip("sklearn", reason="scikit-learn is the base of these classes")
    assert name in PRESENT
    if positional is not None:
        found, more = PRESENT[name]
        assert found[: len(positional)] == positional
        assert set(keywords) <= set(found[len(positional) :]) | set(more)


def test_the_record_is_of_every_name():
    """As above: a name of this version that is not recorded is of a later version, or was forgotten."""
    pytest.importorskip("sklearn", reason="scikit-learn is the base of some classes")
    minor = ".".join(bpkern.__version__.split(".")[:2])
    assert sorted(PRESENT) == sorted(parts(line)[0] for line in RECORDS[f"v{minor}_names.txt"])


def test_modules_without_an_underscore_are_public():
    """ "Public are the names without a leading underscore, in modules without one": the modules there are"""
    modules = {path.stem for path in (ROOT / "src" / "bpkern").glob("*.py")}
    folders = {path.parent.name for path in (ROOT / "src" / "bpkern").glob("*/__init__.py")}
    public = {name for name in modules | folders if not name.startswith("_")}
    # Those that users import by their names, and those whose names are in the package itself.
    by_name = {
        "c_api",
        "callbacks",
        "distributed",
        "export",
        "graph",
        "kernels",
        "losses",
        "reference",
        "schedules",
        "sklearn",
        "trace",
    }
    assert public == by_name | {"errors", "history", "mlp", "optimizers"}


def test_no_deprecation_yet():
    """ "There has been no deprecation yet." The first one changes this sentence."""
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.p*[yxi]")]
    assert not any("DeprecationWarning" in text for text in sources)


def row(name):
    [cell] = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", PAGE, re.M)
    return cell


def test_versions_of_python():
    """ "Python | 3.11 or newer; wheels for 3.11 to 3.15" """
    oldest, first, last = re.findall(r"3\.\d+", row("Python"))
    assert PROJECT["project"]["requires-python"] == f">={oldest}"
    built = re.findall(r"cp3(\d+)-\*", PROJECT["tool"]["cibuildwheel"]["build"])
    assert (first, last) == (f"3.{built[0]}", f"3.{built[-1]}")
    assert [int(number) for number in built] == list(range(int(built[0]), int(built[-1]) + 1))
    minors = [f"Programming Language :: Python :: 3.{number}" for number in built]
    assert [line for line in PROJECT["project"]["classifiers"] if ":: 3." in line] == minors


def test_the_tests_run_on_the_ends_of_the_window():
    """ "The tests run on the oldest and on the newest Python of the table." """
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    assert re.search(r"python: (\[.*\])", workflow).group(1) == '["3.11", "3.15"]'
    assert re.findall(r"3\.\d+", row("Python"))[1:] == ["3.11", "3.15"]


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("NumPy", lambda project: project["dependencies"]),
        ("scikit-learn, for `bpkern.sklearn`", lambda project: project["optional-dependencies"]["sklearn"]),
        (
            "safetensors, for files of that format",
            lambda project: project["optional-dependencies"]["safetensors"],
        ),
    ],
)
def test_versions_of_libraries(name, requirements):
    """The rows of NumPy, scikit-learn and safetensors."""
    [requirement] = requirements(PROJECT["project"])
    assert requirement.partition(">=")[2] == row(name).split()[0]


def test_compilers_and_systems():
    """ "GCC and Clang", "Linux, macOS and Windows" """
    build = (ROOT / "CMakeLists.txt").read_text()
    assert 'MATCHES "GNU|Clang"' in build
    assert row("compilers, to build").startswith("GCC and Clang;")
    systems = [line for line in PROJECT["project"]["classifiers"] if line.startswith("Operating System")]
    names = [line.rpartition(" :: ")[2].lower() for line in systems]
    assert names == re.split(", | and ", row("systems").lower())


def test_the_extension_is_for_one_python():
    """ "Every wheel is for one Python version: the extension does not use the stable ABI"."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert bpkern._core.__file__.endswith(suffix)
    assert "abi3" not in suffix
    assert "py-api" not in PROJECT["tool"]["scikit-build"].get("wheel", {})


SECOND = """
import sys
import bpkern
try:
    import _interpreters as interpreters  # since 3.13
    create, run = lambda: interpreters.create("legacy"), interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    create, run = lambda: interpreters.create(isolated=False), interpreters.run_string
code = '''
import sys, warnings
warnings.simplefilter("ignore")  # NumPy's, that it does not support this either
try:
    import bpkern
except ImportError:
    sys.stdout.write("refused ")
else:
    sys.stdout.write("imported ")
sys.stdout.flush()
'''
second = create()
failed = run(second, code)
interpreters.destroy(second)
model = bpkern.MLP([2, 3, 1], loss="mse", seed=0)
model.fit([[0, 1], [1, 0]], [0, 1], verbose=0)
print(model.predict([[0, 1]]).shape, failed)
"""


def test_a_second_interpreter():
    """ "A second interpreter (a subinterpreter) gets an ImportError, and the first goes on." """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SECOND],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "refused (1,) None\n"


def test_free_threading():
    """ "The extension does not declare support for free threading." On such a build, the lock is then on, and
    a RuntimeWarning says so."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        code = "import sys, bpkern; print(sys._is_gil_enabled())"
        env = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=env)
        assert done.stdout.split() == [b"True"]
        assert b"RuntimeWarning" in done.stderr
    classifiers = PROJECT["project"]["classifiers"]
    assert not any("Free Threading" in line for line in classifiers)
    assert not re.findall(r"cp\d+t", PROJECT["tool"]["cibuildwheel"]["build"])
    sources = [path.read_text() for path in (ROOT / "src" / "bpkern").glob("*.p[yx][xdi]")]
    assert not any("freethreading_compatible" in text or "Py_MOD_GIL" in text for text in sources)
    assert "freethreading" not in (ROOT / "CMakeLists.txt").read_text()


def test_files_of_earlier_versions():
    """ "Golden files of each version of the format are in the tests." """
    for version in range(1, container.VERSION + 1):
        assert list((ROOT / "tests" / "golden").glob(f"v{version}_*.npz"))


def test_pickles_of_earlier_versions():
    """ "Pickles of models, ... load, from 0.1 on": tests/golden/test_pickles.py loads those of 0.1"""
    assert (ROOT / "tests" / "golden" / "pickles.pickle").exists()
    tests = (ROOT / "tests" / "golden" / "test_pickles.py").read_text()
    for kind in ("test_a_model_", "test_an_estimator_", "setting"):
        assert kind in tests


def test_the_c_headers():
    """ "`bpkern.h`, `bpkern_python.h` and `c_api.pxd` are public", and csrc/bpkern.h "is neither installed
    nor stable, and its functions are exported from no library": release/consumers.py looks at these."""
    for name in ("include/bpkern.h", "include/bpkern_python.h", "c_api.pxd"):
        assert (Path(bpkern.__file__).parent / name).exists()
    assert "bpkern_net_create" in (Path(bpkern.get_include()) / "bpkern.h").read_text()
    assert "bpk_net_create" in (ROOT / "csrc" / "bpkern.h").read_text()
    assert "set(CMAKE_C_VISIBILITY_PRESET hidden)" in (ROOT / "CMakeLists.txt").read_text()
    assert "install(TARGETS _core DESTINATION bpkern)" in (ROOT / "CMakeLists.txt").read_text()
    assert (ROOT / "CMakeLists.txt").read_text().count("install(") == 1
