"""JSON of bounded size: the part of a file that describes its arrays."""

import json
from typing import Any

# The name of the metadata among the arrays of a file.
METADATA = "__metadata__"

# Upper bounds of the text's length in bytes and of its lists and objects, which take many times the memory
# when parsed. With them, reading a file takes at most twice its size and 32 MiB.
MOST_TEXT, MOST_CONTAINERS = 1 << 20, 1 << 15


def parse(text: str) -> Any:
    """The value of a JSON text. Raises ValueError for too many containers, NaN and infinity."""
    if containers(text) > MOST_CONTAINERS:
        raise ValueError(f"its JSON has more than {MOST_CONTAINERS} lists and objects")
    return json.loads(text, parse_constant=_refuse_constant)


def containers(text: str) -> int:
    """An upper bound of the lists and objects of a JSON text: brackets in its strings count, too."""
    return text.count("[") + text.count("{")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
