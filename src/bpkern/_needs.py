"""Optional packages, imported where they are used."""

from importlib import import_module
from typing import Any


def needs(module: str, extra: str | None, whose: str) -> Any:
    """The imported module. Raises ModuleNotFoundError, which says how to install it, if it is missing.

    Parameters
    ----------
    module : str
        Also one inside a package, as "safetensors.numpy".
    extra : str or None
        The extra of bpkern that installs the package, if there is one.
    whose : str
        What needs the package, as "History.plot".
    """
    package = module.partition(".")[0]
    try:
        import_module(package)
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in (module, package):  # a package that it needs itself
            raise
        install = package if extra is None else f"'bpkern[{extra}]'"
        message = f"{whose} needs {package}: pip install {install}"
        raise ModuleNotFoundError(message, name=error.name) from None
