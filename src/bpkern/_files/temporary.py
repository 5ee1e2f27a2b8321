"""Temporary files beside the files that they will replace, locked as long as their writer lives."""

import contextlib
import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import BinaryIO

from .descriptors import NO_LINKS, SAFELY, open_descriptor
from .locks import lock

# The longest name of a file, in bytes, that the names of its temporary files contain; longer ones are
# replaced by a digest. A temporary name is then never longer than file systems allow.
MOST_IN_NAME = 100


@contextlib.contextmanager
def temporary_file(folder: str, name: str) -> Iterator[tuple[BinaryIO, str]]:
    """A context with a new, locked file to write, and its path. If the context raises, the file is removed.

    Parameters
    ----------
    folder : str
    name : str
        The name of the file that it will replace.
    """
    while True:
        path = os.path.join(folder, f".{_stem(name)}.{os.urandom(8).hex()}.tmp")
        try:
            with open(path, "xb") as file:
                if _claim(file):
                    yield file, path
                    return
        except BaseException:
            # The file may not exist, or already be in place. The first error is the one to raise.
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise


def remove_abandoned(folder: str, name: str) -> None:
    """Delete the temporary files that dead writers of a file left. Those of live writers are locked and stay.

    What cannot be deleted stays, too, as in a folder of another user.
    """
    leftover = re.compile(re.escape(f".{_stem(name)}.") + r"[0-9a-f]{16}\.tmp")
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            if leftover.fullmatch(entry):
                with contextlib.suppress(OSError):
                    _remove_unless_locked(os.path.join(folder, entry))


def _stem(name: str) -> str:
    raw = os.fsencode(name)
    return name if len(raw) <= MOST_IN_NAME else hashlib.sha256(raw).hexdigest()[:32]


def _claim(file: BinaryIO) -> bool:
    """Lock a file that was just made; False if `remove_abandoned` was faster, which deletes it."""
    try:
        lock(file.fileno())
    except BlockingIOError:
        return False
    return os.fstat(file.fileno()).st_nlink > 0


def put_in_place(file: BinaryIO, temporary: str, target: str) -> None:
    """Rename the open file over the target. Windows renames no open files: there, it is closed before."""
    if sys.platform == "win32":
        file.close()
    os.replace(temporary, target)


def _remove_unless_locked(path: str) -> None:
    if sys.platform == "win32":  # deletes no open files, and so none of live writers
        os.unlink(path)
        return
    with open_descriptor(path, os.O_RDWR | NO_LINKS | SAFELY) as opened:
        # Without locks, nobody knows whether its writer is alive.
        if stat.S_ISREG(os.fstat(opened).st_mode) and lock(opened):
            os.unlink(path)
