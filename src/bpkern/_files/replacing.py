"""Files written completely or not at all."""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

# The errors of fsync on a folder that is not readable, and on file systems that cannot sync folders.
UNSYNCED = (errno.EACCES, errno.EINVAL, errno.ENOTSUP)


@contextlib.contextmanager
def naming(path: "str | os.PathLike[str]") -> Iterator[None]:
    """A context whose OSErrors name this file, which those of write and fsync do not by themselves."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not an error of the operating system
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def check_folder(path: "str | os.PathLike[str]") -> None:
    """Raise OSError if the folder of the file does not exist or is not a folder."""
    with naming(path):
        folder = os.path.dirname(_target(path))
    if not stat.S_ISDIR(os.stat(folder).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)


def remove_leftovers(path: "str | os.PathLike[str]") -> None:
    """Delete the temporary files that killed writers of this file left. No writer may be running."""
    with naming(path):
        folder, name = os.path.split(_target(path))
    leftover = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{16}\.tmp")
    for entry in os.listdir(folder):
        if leftover.fullmatch(entry):
            os.unlink(os.path.join(folder, entry))


def replace(path: "str | os.PathLike[str]", write: Callable[[BinaryIO], None]) -> None:
    """Write a new file beside the old one, and then rename it over the old one.

    Parameters
    ----------
    path : str or path
    write : callable
        Writes the contents to the open file.

    Raises
    ------
    OSError
        If the file cannot be written; an old one is unchanged, and nothing else is left. If only the folder
        cannot be synced, the new file is in place, and a loss of power may bring the old one back.
    """
    target = _target(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            with contextlib.suppress(FileNotFoundError):  # no old file, whose mode to keep
                os.chmod(temporary, os.stat(target).st_mode & 0o7777)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        # The temporary file may not exist, or already be in place. The first error is the one to raise.
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _target(path: "str | os.PathLike[str]") -> str:
    """The file that the path leads to. Links are followed, so that they stay links."""
    try:
        return os.path.realpath(path, strict=True)
    except FileNotFoundError:  # it does not exist yet
        return os.path.realpath(path)


def _sync_folder(folder: str) -> None:
    """Make the new name permanent, if the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise
