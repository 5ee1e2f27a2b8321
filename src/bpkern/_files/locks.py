"""Locks of open files, which distinguish live writers from dead ones: they end with their process."""

import errno
import fcntl

# The errors of flock on file systems without locks.
UNSUPPORTED = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def lock(descriptor: int) -> bool:
    """Lock an open file until it is closed or unlocked; False on a file system without locks.

    Each opening of a file has its own lock, also within a process.

    Raises
    ------
    BlockingIOError
        If another opening of the file has the lock.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return False
        raise
    return True


def unlock(descriptor: int) -> None:
    """Drop the lock at once, even if a forked child still has the file open."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
