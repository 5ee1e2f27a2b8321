"""What some systems lack: tests that need it are skipped there."""

import os
from pathlib import Path

import pytest

needs_posix = pytest.mark.skipif(
    os.name != "posix", reason="Windows has no modes and owners, and syncs no folders"
)


def make_link(path: Path, target: str | os.PathLike[str]) -> None:
    """Make a symbolic link. Skips the test if the system makes none: on Windows it needs a right."""
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("this user makes no symbolic links")
    if not path.is_symlink():
        pytest.skip("this system makes no symbolic links")
