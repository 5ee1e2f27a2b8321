"""Warnings that name the user's line, not one of this package or of the wrappers around its estimators."""

import warnings
from inspect import currentframe

# joblib calls the fits of scikit-learn's searches and ensembles.
PACKAGES = ("bpkern", "sklearn", "joblib")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the nearest caller outside of these packages."""
    level, frame = 1, currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in PACKAGES:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
