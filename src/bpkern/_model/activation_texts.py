"""Activations as texts: a name, or with a parameter that is not the default, as in "leaky_relu(0.2)"."""

import re

from ..activations import BY_NAME, Activation


def parts_of(activation: str) -> tuple[str, float | None]:
    """The name and the parameter of a checked text; None for the default, and for names without one."""
    name, parenthesis, value = activation.partition("(")
    return name, float(value[:-1]) if parenthesis else None


def parsed(text: str) -> Activation | None:
    """The activation of a text such as "leaky_relu(0.2)" or "elu(alpha=2)"; None for any other text.

    Raises
    ------
    ValueError
        For a parameter that is not allowed.
    """
    found = re.fullmatch(r"\s*(\w+)\s*\(\s*(?:(\w+)\s*=\s*)?([^()=]*?)\s*\)\s*", text)
    if found is None or found[1] not in BY_NAME:
        return None
    kind = BY_NAME[found[1]]
    [argument] = kind.__slots__
    try:
        value = float(found[3])
    except ValueError:
        raise ValueError(f"{argument} of {found[1]} must be a number, not {found[3]!r}") from None
    if found[2] not in (None, argument):
        raise ValueError(f"{found[1]} has no parameter {found[2]!r}: it has {argument}")
    return kind(value)
