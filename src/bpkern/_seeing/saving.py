"""Texts saved in a form that the path's suffix names."""

import os
from collections.abc import Callable, Mapping
from typing import BinaryIO

from .. import _checks
from .._files.replacing import replace


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
        If the file cannot be written.
    """
    place = _checks.path("path", path)
    suffix = os.path.splitext(place)[1].lower()
    if suffix not in forms:
        raise ValueError(f"path must end in one of {', '.join(forms)}, not {place!r}")
    content = f"{forms[suffix]()}\n".encode()

    def write(file: BinaryIO) -> None:
        file.write(content)

    replace(place, write)
