"""Whether a table has the columns of `fit`, in the words of scikit-learn's checks."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from .frames import Frame


def check_columns(frame: Frame, names: list[str] | None, count: int, who: str, which: str = "X") -> None:
    """Compare the columns of a table with those of `fit`.

    Parameters
    ----------
    frame : Frame
    names : list of str or None
        The names of the columns in `fit`.
    count : int
        Their number.
    who : str
        The class that `fit` was called on, for messages.
    which : str
        What messages call the table.

    Raises
    ------
    ValueError
        For other columns. If one of the tables has no names, a warning says so.
    """
    if names is not None and frame.names is not None and frame.names != names:
        raise ValueError(("" if which == "X" else f"{which}: ") + _other_columns(frame.names, names))
    if frame.width != count:
        raise ValueError(
            f"{which} has {frame.width} features, but {who} is expecting {count} features as input"
        )
    if (names is None) != (frame.names is None):
        from .._user_warnings import warn

        if names is None:
            warn(f"{which} has feature names, but {who} was fitted without feature names")
        else:
            warn(f"{which} does not have valid feature names, but {who} was fitted with feature names")


def check_not_empty(frame: Frame) -> None:
    """Raise ValueError for a table without rows or columns."""
    if frame.rows == 0 or frame.width == 0:
        raise ValueError(
            f"Found array with {frame.rows} sample(s) and {frame.width} feature(s) "
            f"(shape=({frame.rows}, {frame.width})) while a minimum of 1 is required."
        )


def _other_columns(given: list[str], fitted: list[str]) -> str:
    """The message about names of columns that are not those of fit."""
    lines = ["The feature names should match those that were passed during fit."]
    for title, names in (
        ("Feature names unseen at fit time:", sorted(set(given) - set(fitted))),
        ("Feature names seen at fit time, yet now missing:", sorted(set(fitted) - set(given))),
    ):
        if names:
            shown = [f"- {name}" for name in names[:5]] + ["- ..."] * (len(names) > 5)
            lines += [title, *shown]
    if len(lines) == 1:
        lines.append("Feature names must be in the same order as they were in fit.")
        for place, (name, other) in enumerate(zip(given, fitted, strict=False)):
            if name != other:
                lines.append(f"Column {place} is {name!r}, and was {other!r}.")
                break
    return "\n".join(lines) + "\n"
