"""Numbers, alone and in formulas, as the tables and pictures show them."""

from collections.abc import Mapping


def number(value: float, digits: int = 4) -> str:
    """A number with this many significant digits, or all digits before the point up to a million.

    Its minus is the sign and not a hyphen, which screen readers leave out.
    """
    is_long = 10**digits <= abs(value) < 1e6
    return (f"{value:.0f}" if is_long else f"{value + 0.0:.{digits}g}").replace("-", "−")


def spread(count: int, most: int) -> list[int]:
    """The numbers from 0 to count - 1; of more than `most`, so many, evenly from the first to the last."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def in_formula(text: str) -> str:
    """The text of a number inside a formula: a negative one is in parentheses."""
    return f"({text})" if text.startswith("−") else text


def filled(formula: str, texts: Mapping[str, str]) -> str:
    """A formula with these texts for its letters; negative numbers in parentheses where it has none."""
    closed = {
        letter: text if formula == f"{{{letter}}}" or f"({{{letter}}})" in formula else in_formula(text)
        for letter, text in texts.items()
    }
    return formula.format(**closed)
