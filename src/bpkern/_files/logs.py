"""Logs: text files that grow by whole lines, each written by one writer at a time."""

import contextlib
import io
import os
import stat

from .locks import lock, unlock
from .replacing import naming


class Log:
    """A log, open and locked until `close`. Devices and pipes are written without a lock.

    Parameters
    ----------
    path : str
    keep : bool
        Whether to keep what is in the file.

    Raises
    ------
    BlockingIOError
        If another writer has the file open; it is unchanged.
    OSError
        If it cannot be opened.
    """

    _file: io.FileIO | None = None

    def __init__(self, path: str, keep: bool) -> None:
        self._path, self._process = path, os.getpid()
        with naming(path):
            # Each write goes to the end, also beside other writers on a file system without locks.
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115
            descriptor = self._file.fileno()
            self._is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            if self._is_file:
                try:
                    lock(descriptor)
                except BlockingIOError as error:
                    message = "another fit is writing this log: give each fit its own"
                    raise BlockingIOError(error.errno, message) from None
                if not keep:
                    os.ftruncate(descriptor, 0)

    def first_line(self) -> str:
        """The first line without its end; empty if there is none, and for devices and pipes."""
        if not self._is_file or not os.fstat(self._opened()).st_size:
            return ""  # an empty file need not be readable
        with naming(self._path), open(self._path, encoding="utf-8", newline="") as file:
            return file.readline().rstrip("\r\n")

    def append(self, text: str) -> None:
        """Write whole lines at the end. If they cannot be written, the file is as before."""
        descriptor = self._opened()
        with naming(self._path):
            before, left = os.fstat(descriptor).st_size, text.encode()
            try:
                while left:
                    left = left[os.write(descriptor, left) :]
            except BaseException:
                if self._is_file:
                    with contextlib.suppress(OSError):
                        os.ftruncate(descriptor, before)
                raise

    def cut(self, size: int) -> None:
        """Remove everything after the first `size` bytes; devices and pipes keep nothing to remove."""
        if self._is_file:
            with naming(self._path):
                os.ftruncate(self._opened(), size)

    def is_in_place(self) -> bool:
        """Whether the path still leads to this file, which somebody else may have moved or deleted."""
        if not self._is_file:
            return True
        own = os.fstat(self._opened())
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)

    def close(self) -> None:
        """Let other writers write the file. Raises OSError, which names it, if what was written is lost."""
        if self._file is not None and not self._file.closed:
            # A forked child has a copy of the descriptor: the lock stays its parent's.
            if self._is_file and self._process == os.getpid():
                with contextlib.suppress(OSError):  # a file system without locks
                    unlock(self._opened())
            with naming(self._path):
                self._file.close()

    def _opened(self) -> int:
        assert self._file is not None
        return self._file.fileno()

    def __del__(self) -> None:
        # No `unlock`: closing the last copy of the descriptor drops the lock.
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
