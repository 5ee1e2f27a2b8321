"""The public names of bpkern with their parameters, one a line.

python tests/support/public_names.py

prints them, as tests/golden/v0.1_names.txt holds those of 0.1 for test_versions.py.
"""

import importlib
import inspect
import sys
from typing import Never

MODULES = (
    "bpkern",
    "bpkern.c_api",
    "bpkern.callbacks",
    "bpkern.distributed",
    "bpkern.export",
    "bpkern.graph",
    "bpkern.kernels",
    "bpkern.activations",
    "bpkern.inputs",
    "bpkern.losses",
    "bpkern.preprocessing",
    "bpkern.reference",
    "bpkern.schedules",
    "bpkern.sklearn",
    "bpkern.trace",
)


# What the modules of the package call of each other: docs/versions.md names them.
INTERNAL = ("check", "checked_copy", "values", "parameters", "add_epoch", "columns", "of", "names", "rule")
INTERNAL += ("rate", "rates")


def public_names():
    """The lines in sorted order; without bpkern.sklearn if scikit-learn is not installed."""
    lines = set()
    for module in MODULES:
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        for name in set(getattr(found, "__all__", None) or own_names(found)).difference(INTERNAL):
            value = getattr(found, name)
            lines.add(described(f"{module}.{name}", value))
            if inspect.isclass(value):
                lines |= set(members(f"{module}.{name}", value))
    return sorted(lines)


def own_names(module):
    """The names that a module without __all__ defines itself."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def members(prefix, kind):
    """Methods and properties that the package's classes define, inherited ones included."""
    for name in set(dir(kind)).difference(INTERNAL):
        [owner, *_] = [base for base in kind.__mro__ if name in vars(base)]
        if not name.startswith("_") and is_own(owner, name):
            yield described(f"{prefix}.{name}", getattr(kind, name))


def is_own(owner, name):
    """Whether the package has written a member; scikit-learn generates some."""
    return owner.__module__.partition(".")[0] == "bpkern" and not name.endswith("_request")


def described(name, value):
    """The name and, for what can be called, its parameters without annotations and defaults."""
    if not callable(value):
        return name
    try:
        parameters = inspect.signature(value).parameters.values()
    except ValueError:
        return name
    texts, keywords = [], False
    for parameter in parameters:
        if parameter.annotation in ("Never", Never):  # all names that are refused
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            keywords = True
            texts.append("*")
        marks = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
        keywords |= parameter.kind is parameter.VAR_POSITIONAL
        texts.append(f"{marks.get(parameter.kind, '')}{parameter.name}")
    return f"{name}({', '.join(texts)})"


if __name__ == "__main__":
    sys.stdout.write("\n".join(public_names()) + "\n")
