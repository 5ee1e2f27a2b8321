"""File descriptors that Ctrl-C cannot leak."""

import contextlib
import os
from collections.abc import Iterator

# Flags for `os.open`: bytes as they are; no descriptor for child processes; and no waiting, if the path leads
# to a pipe by now, nor a new controlling terminal. Windows has only the first two, other systems the others.
SAFELY = sum(
    getattr(os, name, 0) for name in ("O_BINARY", "O_NOINHERIT", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY")
)

# Links are not followed. Windows asks for a privilege to make them, and has no such flag.
NO_LINKS: int = getattr(os, "O_NOFOLLOW", 0)


@contextlib.contextmanager
def open_descriptor(path: "str | os.PathLike[str]", flags: int) -> Iterator[int]:
    """A context with the descriptor of an open file."""
    opened: list[int] = []
    try:
        # One call of C opens and stores. Between two, KeyboardInterrupt could leave a descriptor open.
        opened.extend(map(os.open, [path], [flags]))
        yield opened[0]
    finally:
        if opened:
            os.close(opened[0])
