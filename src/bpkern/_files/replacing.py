"""Files written completely or not at all."""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

from .descriptors import open_descriptor
from .regular import check_regular
from .temporary import put_in_place, remove_abandoned, temporary_file

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


def check_place(path: "str | os.PathLike[str]") -> None:
    """Raise OSError if `replace` could not put a file there: without its folder, or over a device or pipe."""
    with naming(path):
        check_regular(path)
        folder = os.path.dirname(_target(path))
    if not stat.S_ISDIR(os.stat(folder).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)


def remove_leftovers(path: "str | os.PathLike[str]") -> None:
    """Delete the temporary files that killed writers of this file left."""
    with naming(path):
        target = _target(path)
    remove_abandoned(*os.path.split(target))


def replace(path: "str | os.PathLike[str]", write: Callable[[BinaryIO], None]) -> None:
    """Write a new file beside the old one, and then rename it over the old one.

    The new file has the old one's mode and, as far as the system permits, its owner and extended attributes.
    On Windows, it has those of a new file, and a file that any process has open cannot be replaced.

    Parameters
    ----------
    path : str or path
    write : callable
        Writes the contents to the open file.

    Raises
    ------
    OSError
        If the file cannot be written, or the path leads to a device, pipe, socket or folder. An old file is
        unchanged, and nothing else is left. If only the folder cannot be synced, the new file is in place,
        and a loss of power may bring the old one back.
    """
    check_regular(path)
    target = _target(path)
    folder, name = os.path.split(target)
    with temporary_file(folder, name) as (file, temporary):
        with contextlib.suppress(FileNotFoundError):  # no old file
            _take_over(file.fileno(), target)
        write(file)
        file.flush()
        os.fsync(file.fileno())
        put_in_place(file, temporary, target)
    _sync_folder(folder)


def _take_over(descriptor: int, old: str) -> None:
    """Give an open file the owner, the mode and the extended attributes of an old file."""
    if sys.platform == "win32":  # a new file has the rights that its folder gives
        return
    status, own = os.stat(old), os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (own.st_uid, own.st_gid):
        try:
            os.chown(descriptor, status.st_uid, status.st_gid)
        # Only root may give files away; a member may set the group. In a user namespace even root gets EINVAL
        # for an owner that has no number there.
        except OSError:
            with contextlib.suppress(OSError):
                os.chown(descriptor, -1, status.st_gid)
    os.chmod(descriptor, status.st_mode & 0o7777)  # after chown, which clears bits of it
    if hasattr(os, "listxattr"):
        with contextlib.suppress(OSError):  # a file system without attributes
            for attribute in os.listxattr(old):
                with contextlib.suppress(OSError):  # one that only root may set
                    os.setxattr(descriptor, attribute, os.getxattr(old, attribute))


def _target(path: "str | os.PathLike[str]") -> str:
    """The file that the path leads to. Links are followed, so that they stay links."""
    try:
        return os.path.realpath(path, strict=True)
    except FileNotFoundError:  # it does not exist yet
        return os.path.realpath(path)


def _sync_folder(folder: str) -> None:
    """Make the new name permanent, if the system can."""
    if sys.platform == "win32":  # opens no folders
        return
    try:
        with open_descriptor(folder, os.O_RDONLY) as opened:
            os.fsync(opened)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise


def write_bytes(path: "str | os.PathLike[str]", content: bytes) -> None:
    """Write or replace a file of these bytes. Raises OSError, which names it, as `replace` does."""

    def write(file: BinaryIO) -> None:
        file.write(content)

    with naming(path):
        replace(path, write)
