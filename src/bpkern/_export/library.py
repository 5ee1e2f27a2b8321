"""Optional libraries, imported where they are used."""

from importlib import import_module
from typing import Any


def needs(module: str, extra: str) -> Any:
    """The imported module. Raises ModuleNotFoundError, which names the extra, if it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:  # a library that it needs itself
            raise
        raise ModuleNotFoundError(
            f"this needs {module}: pip install 'bpkern[{extra}]'", name=error.name
        ) from None
