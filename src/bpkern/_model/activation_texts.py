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
    ValueError, TypeError
        For a parameter that is not allowed.
    """
    share = re.fullmatch(r"\s*parametric\s*(?:\((.*)\)\s*)?", text, re.DOTALL)
    if share is not None:
        return _parsed_share(share[1] or "")
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
    """The activation of "mish" or "leaky_relu(0.2), lr_factor=0.1". Raises ValueError or TypeError."""
    # At the commas outside of parentheses.
    function, *factors = (part.strip() for part in re.split(r",(?![^(]*\))", arguments))
    if not function:
        raise ValueError("parametric needs a function, as in 'parametric(selu)'")
    named: dict[str, float] = {}
    for factor in factors:
        name, equals, value = (part.strip() for part in factor.partition("="))
        if not equals:
            raise ValueError(f"parametric takes lr_factor and decay_factor by name, not {factor!r}")
        if name not in Parametric.names[1:]:
            raise ValueError(f"parametric has no argument {name!r}: it has lr_factor, decay_factor")
        if name in named:
            raise ValueError(f"{name} of parametric is given twice")
        try:
            named[name] = float(value)
        except ValueError:
            raise ValueError(f"{name} of parametric must be a number, not {value!r}") from None
    return Parametric(function, **named)
