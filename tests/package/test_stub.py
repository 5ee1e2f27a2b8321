"""The stub _core.pyi has the constructors of the extension's classes.

mypy's stubtest compares the rest; constructors in C have no signature that it could read.
"""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "bpkern"
SOURCES = (PACKAGE / "_core.pyx", *sorted(PACKAGE.glob("*.pxi")))


def constructors():
    """{class: [(parameter, has a default)]} of the extension types, from the sources."""
    found = {}
    for path in SOURCES:
        for name, body in re.findall(
            r"^cdef class (\w+)[^\n]*:\n(.*?)(?=^\S|\Z)", path.read_text(), re.S | re.M
        ):
            made = re.search(r"def __c?init__\(\s*self,?(.*?)\):", body, re.S)
            found[name] = parameters(made[1]) if made else []
    return found


def parameters(text):
    listed = []
    for part in filter(None, map(str.strip, text.split(","))):
        declared, _, default = part.partition("=")
        listed.append((declared.split()[-1], bool(default)))
    return listed


def stub():
    """The same from the stub."""
    found = {}
    for node in ast.parse((PACKAGE / "_core.pyi").read_text()).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = []
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name in ("__init__", "__new__"):
                    found[node.name] = arguments(item.args)
    return found


def arguments(node):
    ordinary = node.args[1:]
    defaults = [False] * (len(ordinary) - len(node.defaults)) + [True] * len(node.defaults)
    listed = [(one.arg, default) for one, default in zip(ordinary, defaults, strict=True)]
    if node.kwonlyargs:
        listed.append(("*", False))
        pairs = zip(node.kwonlyargs, node.kw_defaults, strict=True)
        listed += [(one.arg, default is not None) for one, default in pairs]
    return listed


def test_the_sources_were_read():
    assert {"Network", "Update", "LossSettings", "Tape", "Data"} <= set(constructors())


@pytest.mark.parametrize("name", sorted(constructors()))
def test_constructor(name):
    assert stub()[name] == constructors()[name]
