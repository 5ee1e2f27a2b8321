"""The structure of the package, read from its syntax trees: no circle of imports, and no use of a name that
another module marks as its own by an underscore."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
PATHS = sorted(path for suffix in ("py", "pyi") for path in (SOURCE / "bpkern").rglob(f"*.{suffix}"))


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in PATHS}
PACKAGES = {module_of(path) for path in PATHS if path.stem == "__init__"}
# Functions that take an object and the name of an attribute.
BY_NAME = ("getattr", "setattr", "hasattr", "delattr")

TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def imports(module: str, tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each imported module of the package, and the name taken from it, "" for the module itself.

    All imports count: those in functions, and those behind TYPE_CHECKING.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                package = module if module in PACKAGES else module.rpartition(".")[0]
                for _ in range(node.level - 1):
                    package = package.rpartition(".")[0]
                source = f"{package}.{source}" if source else package
            for alias in node.names:
                if f"{source}.{alias.name}" in MODULES:
                    yield f"{source}.{alias.name}", ""
                elif source in MODULES:
                    yield source, alias.name


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a ring, the first one again at the end; empty if there are none."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module not in done:
            for other in sorted(graph[module]):
                if found := visit(other, [*way, module]):
                    return found
            done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := visit(module, []))), [])


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def is_own(value: ast.expr) -> bool:
    """Whether an object is the instance or the class that the code belongs to."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        of_self = [isinstance(each, ast.Name) and each.id == "self" for each in value.args]
        return value.func.id == "super" or (value.func.id == "type" and of_self == [True])
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def private_uses(tree: ast.AST, own_bases: tuple[str, ...] = ()) -> Iterator[tuple[int, str]]:
    """Line and text of each use of an underscored attribute that does not belong to self or cls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            inherited = isinstance(node.value, ast.Name) and node.value.id in own_bases
            if not (is_own(node.value) or inherited):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in BY_NAME and len(node.args) > 1:
            target, name = node.args[:2]
            if isinstance(name, ast.Constant) and is_private(str(name.value)) and not is_own(target):
                yield node.lineno, ast.unparse(node)


def base_classes(tree: ast.AST) -> tuple[str, ...]:
    """Names of the base classes of a module's classes: a class body has no other way to their attributes."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return tuple(base.id for node in classes for base in node.bases if isinstance(base, ast.Name))


def test_no_circle_of_imports():
    graph = {module: {source for source, _ in imports(module, tree)} for module, tree in TREES.items()}
    assert circle(graph) == []


@pytest.mark.parametrize("module", MODULES)
def test_no_underscored_name_of_another_module(module):
    taken = [f"{source}.{name}" for source, name in imports(module, TREES[module]) if is_private(name)]
    assert taken == []
    assert list(private_uses(TREES[module], base_classes(TREES[module]))) == []


# The rules themselves ------------------------------------------------------------------------------------


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"d", "b"}, "d": set()}
    assert circle(graph) == ["b", "c", "b"]
    assert circle(graph | {"c": {"d"}}) == []


def test_all_imports_count():
    code = """
from typing import TYPE_CHECKING
from . import _checks
if TYPE_CHECKING:
    from .mlp import MLP
def f():
    from ._fit import fit
    import bpkern.errors
"""
    assert list(imports("bpkern.callbacks", ast.parse(code))) == [
        ("bpkern._checks", ""),
        ("bpkern.mlp", "MLP"),
        ("bpkern._fit.fit", ""),
        ("bpkern.errors", ""),
    ]
    assert list(imports("bpkern._fit.fit", ast.parse("from .steps import _x\nfrom .. import mlp"))) == [
        ("bpkern._fit.steps", "_x"),
        ("bpkern.mlp", ""),
    ]


@pytest.mark.parametrize(
    "code",
    ["self._x", "cls._x = 1", "super()._x()", "type(self)._x", "a.x_", "a.__len__", "getattr(self, '_x')"],
)
def test_own_names_are_allowed(code):
    assert list(private_uses(ast.parse(code))) == []


@pytest.mark.parametrize(
    "code", ["model._net", "self.model._net", "f()._x", "other._x = 1", "hasattr(a, '_x')"]
)
def test_names_of_others_are_found(code):
    assert len(list(private_uses(ast.parse(code)))) == 1
