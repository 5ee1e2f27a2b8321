"""The instruction set of this process, and a description of the installation."""

import os
from typing import Literal

import numpy as np

from . import _core, _threads

ISA_VARIABLE = "BPKERN_ISA"


def resolve_isa() -> None:
    """Select the instruction set that the environment names; otherwise the fastest stays selected.

    Raises
    ------
    ValueError
        If this build does not have the named instruction set, or this processor cannot run it.
    """
    name = os.environ.get(ISA_VARIABLE)
    if name:
        try:
            _core.select_isa(name)
        except ValueError as error:
            raise ValueError(f"{ISA_VARIABLE}={name}: {error}") from None


def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, dict[str, str]] | None:
    """Print version, instruction sets, caches, threads and build of this installation, or return them.

    A report of a bug needs all of it; ``bpkern --version --verbose`` prints the same.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print, or return a dictionary of dictionaries of str.

    Returns
    -------
    dict of str to dict of str to str, or None
        The entries of each section by name; None if they were printed.

    Raises
    ------
    ValueError
        For another mode.
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"unknown mode {mode!r}: allowed are stdout, dicts")
    import platform  # takes longer than the rest

    number, source = _threads.number_and_source()
    config = {
        "bpkern": {"version": _core.__version__},
        "instruction sets": {
            "in use": _core.isa(),
            "vector": "none" if _core.isa() == "scalar" else f"{_core.vector_bytes(_core.isa())} bytes",
            "available": ", ".join(_core.available_isas()),
        },
        "caches": {
            f"level {level}": f"{size >> 10} KiB" if size else "unknown"
            for level, size in enumerate(_core.caches(), 1)
        },
        "threads": {
            "in use up to": str(number),
            "decided by": source,
            "processors": str(_core.processors()),
        },
        "build": {"compiler": _core.compiler, "flags": _core.flags},
        "system": {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    }
    if mode == "dicts":
        return config
    for section, entries in config.items():
        print(f"{section}:")
        for name, value in entries.items():
            print(f"  {name}: {value}")
    return None
