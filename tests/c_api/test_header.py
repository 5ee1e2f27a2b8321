"""The public header compiles without warnings, and C, Cython and ctypes have the same members and names."""

import ctypes
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import bpkern
from bpkern import c_api

HEADERS = Path(bpkern.get_include())
HEADER = (HEADERS / "bpkern.h").read_text()
CODE = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)
PXD = (Path(bpkern.__file__).parent / "c_api.pxd").read_text()

# The ctypes of the types in the header. Pointers to structs are typed, and other data pointers are addresses.
TYPES = {
    "int": ctypes.c_int,
    "size_t": ctypes.c_size_t,
    "ptrdiff_t": ctypes.c_ssize_t,
    "double": ctypes.c_double,
    "uint64_t": ctypes.c_uint64,
    "void": None,
    "const char *": ctypes.c_char_p,
    "bpkern_net **": ctypes.POINTER(ctypes.c_void_p),
    "bpkern_training *": ctypes.POINTER(c_api.Training),
    "bpkern_data *": ctypes.POINTER(c_api.Data),
    "bpkern_report *": ctypes.POINTER(c_api.Report),
}
TYPES |= {f"const bpkern_{name} *": TYPES[f"bpkern_{name} *"] for name in ("training", "data")}
TYPES |= {f"bpkern_{name}": ctypes.c_int for name in ("status", "dtype", "activation", "loss", "rule")}


def squeezed(text):
    return " ".join(text.split())


def struct(name, code):
    """The declarations of a struct's members."""
    [body] = re.findall(r"typedef struct \{([^{}]*)\} " + name + ";", code)
    for declaration in body.split(";")[:-1]:
        first, *others = squeezed(declaration).split(", ") if "(" not in declaration else [declaration]
        kind = squeezed(first).rpartition("*")[0] + "*" if "*" in first else first.rpartition(" ")[0]
        yield squeezed(first)
        yield from (f"{kind} {other}" for other in others)


def parts(declaration):
    """(name, result type, argument types); the last is None for a member that is no function."""
    if "(*" in declaration:
        result, name, arguments = re.fullmatch(r"(.*?)\(\*(\w+)\)\((.*)\)", declaration).groups()
        kinds = [] if arguments == "void" else [split(argument)[0] for argument in arguments.split(", ")]
        return name, result.strip(), kinds
    kind, name = split(declaration)
    return name, kind, None


def split(declaration):
    kind, name = re.fullmatch(r"(.*?[ *])(\w+)", declaration).groups()
    return kind.strip(), name


def ctype(kind):
    return TYPES.get(kind, ctypes.c_void_p if kind.endswith("*") else kind)


@pytest.mark.parametrize("name", ["Api", "Data", "Training", "Report"])
def test_ctypes_have_the_members_of_the_header(name):
    found = [parts(declaration) for declaration in struct(f"bpkern_{name.lower()}", CODE)]
    fields = dict(getattr(c_api, name)._fields_)
    assert list(fields) == [member for member, _, _ in found]
    for member, kind, arguments in found:
        if kind == "bpkern_stop *":
            assert fields[member]._argtypes_ == (ctypes.c_void_p,)
        elif arguments is None:
            assert fields[member] is ctype(kind), member
        else:
            assert fields[member]._restype_ is ctype(kind), member
            assert list(fields[member]._argtypes_) == [ctype(argument) for argument in arguments], member


def test_each_member_is_a_declared_function_of_the_same_type():
    declared = dict(
        re.findall(r"BPKERN_EXPORT (?:const )?[\w ]+?[ *]*bpkern_(\w+)\(([^;]*)\);", squeezed(CODE))
    )
    members = {}
    for declaration in struct("bpkern_api", CODE):
        if "(*" in declaration:
            name, arguments = re.search(r"\(\*(\w+)\)\((.*)\)$", declaration).groups()
            members[name] = arguments
    assert len(members) == 31
    assert members == declared
    assert list(members)[:2] == ["version", "status_name"]


def cython_lines(name):
    """The members of a struct or the names of an enumeration in the pxd, as the header writes them."""
    [body] = re.findall(rf"ctypedef (?:struct|enum) {name}:\n((?:        .*\n)+)", PXD)
    text = squeezed(body.replace("(\n", "(")).replace(" ) noexcept", ") noexcept")
    text = text.replace("( ", "(").replace("in_", "in")
    return text.replace(" noexcept nogil", "").replace("()", "(void)")


@pytest.mark.parametrize("name", ["bpkern_api", "bpkern_data", "bpkern_training", "bpkern_report"])
def test_cython_has_the_members_of_the_header(name):
    members = [squeezed(re.sub(r"\* (\w)", r"*\1", member)) for member in struct(name, CODE)]
    assert cython_lines(name) == " ".join(members)


ENUMERATIONS = re.findall(r"typedef enum \{(.*?)\} (\w+);", CODE, re.S)


def test_cython_has_the_names_of_the_header():
    assert len(ENUMERATIONS) == 5
    for body, name in ENUMERATIONS:
        assert cython_lines(name).split() == re.findall(r"BPKERN_\w+", body)


def test_constants_are_those_of_the_header():
    """All enumerators, and what the header defines as a number; not its guard or its macros."""
    constants = c_api.constants()
    defined = {name: int(text) for name, text in re.findall(r"#define (\w+) (\d+)$", CODE, re.M)}
    assert set(defined) == {"BPKERN_ABI", "BPKERN_REVISION"}
    assert defined.items() <= constants.items()
    names = {name for body, _ in ENUMERATIONS for name in re.findall(r"BPKERN_\w+", body)}
    assert set(constants) == names | set(defined) | {"BPKERN_MAX_THREADS"}
    assert c_api.functions().revision == constants["BPKERN_REVISION"]


def test_other_users_of_ctypes_keep_their_prototypes():
    """`ctypes.pythonapi` is one object for the whole process."""
    find = ctypes.pythonapi.PyCapsule_Import
    before = find.restype, find.argtypes
    find.restype, find.argtypes = ctypes.py_object, (ctypes.c_char_p,)
    try:
        c_api.functions()
        assert (find.restype, find.argtypes) == (ctypes.py_object, (ctypes.c_char_p,))
    finally:
        find.restype = before[0]
        find.argtypes = before[1] or []


def test_numbers_have_names():
    """Enumerators are numbered from 0 without holes; the functions of names know all of them, and no more."""
    functions, constants = c_api.functions(), c_api.constants()
    name_of = {"bpkern_status": functions.status_name, "bpkern_activation": functions.activation_name}
    name_of |= {"bpkern_loss": functions.loss_name, "bpkern_rule": functions.rule_name}
    for body, kind in ENUMERATIONS:
        names = re.findall(r"BPKERN_\w+", body)
        assert [constants[name] for name in names] == list(range(len(names)))
        if kind != "bpkern_dtype":
            shown = [name_of[kind](i).decode() for i in range(len(names))]
            expected = [name.removeprefix("BPKERN_").lower() for name in names]
            assert [text.removeprefix("BPKERN_").lower() for text in shown] == expected
            assert name_of[kind](len(names)) is None
            assert name_of[kind](-1) is None


@pytest.mark.parametrize(
    ("compiler", "standard", "suffix"),
    [("gcc", "c11", "c"), ("clang", "c11", "c"), ("g++", "c++17", "cc"), ("clang++", "c++17", "cc")],
)
def test_the_headers_compile_without_warnings(compiler, standard, suffix, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    (tmp_path / f"public.{suffix}").write_text('#include "bpkern.h"\nint main(void) { return 0; }\n')
    warnings = [f"-std={standard}", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]
    subprocess.run([compiler, *warnings, "-I", HEADERS, tmp_path / f"public.{suffix}"], check=True)
    python = Path(sysconfig.get_path("include"))
    if not (python / "Python.h").exists():
        pytest.skip("needs Python's headers")
    text = '#include "bpkern_python.h"\nint main(void) { return import_bpkern() != 0; }\n'
    (tmp_path / f"python.{suffix}").write_text(text)
    subprocess.run(
        [compiler, *warnings, "-I", HEADERS, "-isystem", python, tmp_path / f"python.{suffix}"], check=True
    )


def test_the_header_shows_nothing_of_the_library():
    """Private structs and functions begin with bpk_; a public header that used them would promise them."""
    assert not re.search(r"\b(bpk|BPK)_", HEADER)
    assert set(re.findall(r'#include [<"](.*?)[>"]', HEADER)) == {"stddef.h", "stdint.h"}


def test_importing_the_package_does_not_load_ctypes_for_it():
    code = "import sys, bpkern; assert 'bpkern.c_api' not in sys.modules; print(bpkern.get_include())"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == str(HEADERS)
