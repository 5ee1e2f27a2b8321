"""Elements of HTML and SVG. All text in them is escaped, so that no name can become markup."""

from collections.abc import Mapping

# The elements of HTML that have no end tag.
VOID = ("meta", "input")


Attributes = Mapping[str, str | float | None]


class Markup(str):
    """Text that is markup already. All other text is escaped by `element`."""

    __slots__ = ()


def element(tag: str, attributes: Attributes, *children: str) -> Markup:
    """An element.

    Parameters
    ----------
    tag : str
    attributes : mapping
        None leaves an attribute out; numbers are rounded to hundredths.
    *children : str or Markup
        Text, which is escaped, and elements, which are not.
    """
    given = "".join(
        f' {name}="{_quoted(_text(value))}"' for name, value in attributes.items() if value is not None
    )
    if tag in VOID:
        return Markup(f"<{tag}{given}>")
    inner = "".join(child if isinstance(child, Markup) else escaped(child) for child in children)
    return Markup(f"<{tag}{given}>{inner}</{tag}>")


def escaped(text: str) -> str:
    """Text without markup."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, entity)
    return text


def _quoted(text: str) -> str:
    """Text for a quoted attribute, where XML would read a line break as a space."""
    return escaped(text).replace("\n", "&#10;")


def _text(value: str | float) -> str:
    """Short forms of numbers: 12.5, 3."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
