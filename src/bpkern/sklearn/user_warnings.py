"""Warnings that name the user's line, not one of this package or of scikit-learn's wrappers around it."""

import warnings
from inspect import currentframe

PACKAGES = ("bpkern", "sklearn")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the nearest caller outside of both packages."""
    level, frame = 1, currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in PACKAGES:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
