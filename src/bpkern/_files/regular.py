"""Regular files: the only ones that a model is read from, and the only ones that are replaced."""

import errno
import os
import stat

from .descriptors import SAFELY, open_descriptor


def check_regular(path: "str | os.PathLike[str]") -> None:
    """Raise OSError if the path leads to a device, a pipe, a socket or a folder. It may lead to nothing."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    _check(path, mode)


def read_regular(path: "str | os.PathLike[str]") -> bytes:
    """The contents of a regular file, up to the size that it has when it is opened.

    Raises
    ------
    OSError
        If it cannot be read, or is not a regular file: a device may have no end, a pipe no writer.
    """
    check_regular(path)  # first, because opening a device may already have an effect
    with open_descriptor(path, os.O_RDONLY | SAFELY) as opened, open(opened, "rb", closefd=False) as file:
        status = os.fstat(opened)
        _check(path, status.st_mode)
        return file.read(status.st_size)


def _check(path: "str | os.PathLike[str]", mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a device, pipe or socket, and not a regular file", os.fspath(path))
