"""File descriptors that Ctrl-C cannot leak."""

import contextlib
import os
from collections.abc import Iterator


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
