"""Activations as texts: a name, or with a parameter that is not the default, as in "leaky_relu(0.2)".

The text of a parametric activation contains that of its function: "parametric(mish, lr_factor=0.1)".
"""

import re

from ..activations import BY_NAME, Activation, Parametric


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
    share = re.fullmatch(r"\s*parametric\s*\((.*)\)\s*", text, re.DOTALL)
    if share is not None:
        return _parsed_share(share[1])
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


def _parsed_share(arguments: str) -> Parametric:
    """The activation of a text such as "mish" or "leaky_relu(0.2), lr_factor=0.1". Raises ValueError."""
    function, *factors = arguments.split(",")
    named = {}
    for factor in factors:
        name, equals, value = factor.partition("=")
        try:
            named[name.strip()] = float(value)
        except ValueError:
            raise ValueError(
                f"{name.strip()} of parametric must be a number, not {value.strip()!r}"
            ) from None
        if not equals or name.strip() not in Parametric.names[1:]:
            raise ValueError(f"parametric has no argument {name.strip()!r}: it has lr_factor, decay_factor")
    return Parametric(function.strip(), **named)
