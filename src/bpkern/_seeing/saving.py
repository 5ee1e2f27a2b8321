"""Texts saved in a form that the path's suffix names."""

import os
from collections.abc import Callable, Mapping

from .. import _checks
from .._files.replacing import write_bytes


def save(path: object, forms: Mapping[str, Callable[[], str]]) -> None:
    """Write a text to a file, completely or not at all.

    Parameters
    ----------
    path : path-like
    forms : mapping of str to callable
        By suffix, the function that makes the text.

    Raises
    ------
    ValueError
        For a suffix that is none of these.
    OSError
        If the file cannot be written; it names the file.
    """
    place = _checks.path("path", path)
    suffix = os.path.splitext(place)[1].lower()
    if suffix not in forms:
        raise ValueError(f"path must end in one of {', '.join(forms)}, not {place!r}")
    write_bytes(place, f"{forms[suffix]()}\n".encode())
