"""Locks of open files, which distinguish live writers from dead ones: they end with their process."""

import errno
import os
import sys

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# The errors of flock on file systems without locks.
UNSUPPORTED = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

# The errors of a locked byte on Windows, and under Wine.
LOCKED = (errno.EACCES, errno.EDEADLK, 0)

# Windows locks bytes of a file, against reading and writing by others. This one is beyond the end of any log.
LOCKED_BYTE = 2**31 - 2


def lock(descriptor: int) -> bool:
    """Lock an open file until it is closed or unlocked; False on a file system without locks.

    Each opening of a file has its own lock, also within a process.

    Raises
    ------
    BlockingIOError
        If another opening of the file has the lock.
    """
    try:
        if sys.platform == "win32":
            _lock_byte(descriptor, msvcrt.LK_NBLCK)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if sys.platform == "win32" and error.errno in LOCKED:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        if error.errno in UNSUPPORTED:
            return False
        raise
    return True


def unlock(descriptor: int) -> None:
    """Drop the lock at once, even if a forked child still has the file open."""
    if sys.platform == "win32":
        _lock_byte(descriptor, msvcrt.LK_UNLCK)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


if sys.platform == "win32":

    def _lock_byte(descriptor: int, mode: int) -> None:
        """Lock or unlock the byte, which `msvcrt.locking` takes from the descriptor's position."""
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, mode, 1)
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)
