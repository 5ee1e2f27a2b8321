"""The state of an encoder in plain form: a configuration that JSON holds, and arrays.

So files and pickles hold it. Texts are UTF-8, one after the other, with the end of each in bytes.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from .. import _checks
from .categories import KINDS
from .encoding import MOST_CODES, Category, Encoding, Number
from .scaling import SCALINGS, Scale

Config = dict[str, Any]
Arrays = dict[str, np.ndarray]


def plain_encoding(encoding: Encoding, names: list[str] | None) -> tuple[Config, Arrays]:
    """The state of an encoding for a table with these names of columns."""
    columns = encoding.columns
    numbers = [column for column in columns if isinstance(column, Number)]
    config: Config = {
        "scaling": encoding.scaling,
        "names": names,
        "kinds": ["number" if isinstance(column, Number) else column.kind for column in columns],
        "gaps": [number for number, column in enumerate(numbers) if column.gaps],
    }
    arrays: Arrays = {
        "center": np.array([column.scale.center for column in numbers], np.float64),
        "factor": np.array([column.scale.factor for column in numbers], np.float64),
    }
    for place, column in enumerate(columns):
        if isinstance(column, Category):
            arrays |= {f"{place}.{name}": array for name, array in _plain_category(column).items()}
        elif column.scale.knots is not None:
            arrays[f"{place}.knots"] = column.scale.knots
    return config, arrays


def _plain_category(column: Category) -> Arrays:
    arrays: Arrays = {}
    if column.kind == "text":
        arrays = plain_texts(column.categories)
    else:
        arrays["categories"] = np.array(column.categories, np.int64)
    if column.results is not None:
        arrays["results"] = column.results
    return arrays


def plain_texts(texts: list[str]) -> Arrays:
    """Texts as the arrays "text" and "ends"."""
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    ends = np.cumsum([len(each) for each in raw], dtype=np.int64)
    return {"text": np.frombuffer(b"".join(raw), np.uint8), "ends": ends}


def texts_of(arrays: Arrays) -> list[str]:
    """The texts of such arrays. Raises ValueError for arrays that are none of texts."""
    text, ends = arrays["text"], arrays["ends"]
    if text.dtype != np.uint8 or ends.dtype != np.int64 or text.ndim != 1 or ends.ndim != 1:
        raise ValueError("texts must be bytes and their ends")
    places = np.concatenate([[0], ends])
    if (np.diff(places) < 0).any() or places[-1] != len(text):
        raise ValueError("the ends of texts must increase up to the last byte")
    raw = text.tobytes()
    bounds = places.tolist()
    return [str(raw[start:stop], "utf-8", "surrogatepass") for start, stop in pairwise(bounds)]


def encoding_of_plain(config: Config, arrays: Arrays) -> tuple[Encoding, list[str] | None]:
    """The encoding of a state, and the names of the table's columns.

    Raises
    ------
    One of `state.MALFORMED`
        For anything that is not the state of an encoding.
    """
    kinds, gaps = config["kinds"], config["gaps"]
    if not isinstance(kinds, list) or not isinstance(gaps, list):
        raise TypeError("kinds and gaps must be lists")
    count = kinds.count("number")
    center, factor = (_vector(arrays[name], count, name) for name in ("center", "factor"))
    with_gaps = {_checks.whole("gaps", number, 0, count - 1) for number in gaps}
    scaling = _checks.one_of("scaling", config["scaling"], SCALINGS)
    columns: list[Number | Category] = []
    numbers = 0
    for place, kind in enumerate(kinds):
        own = {
            name.partition(".")[2]: array for name, array in arrays.items() if name.startswith(f"{place}.")
        }
        if kind == "number":
            knots = _knots(own["knots"]) if "knots" in own else None
            scale = Scale(float(center[numbers]), float(factor[numbers]), knots)
            columns.append(Number(scale, numbers in with_gaps))
            numbers += 1
        else:
            columns.append(_category_of(_checks.one_of("kind", kind, tuple(KINDS)), own))
    return Encoding(columns, scaling), _names_of(config["names"], len(kinds))


def _names_of(names: Any, count: int) -> list[str] | None:
    if names is None:
        return None
    if not isinstance(names, list) or len(names) != count or not all(isinstance(name, str) for name in names):
        raise TypeError(f"names must be {count} texts, or null")
    return names


def _vector(array: np.ndarray, length: int, name: str) -> np.ndarray:
    if array.dtype != np.float64 or array.shape != (length,) or not np.isfinite(array).all():
        raise ValueError(f"{name} must be {length} finite numbers of float64")
    return array


def _knots(knots: np.ndarray) -> np.ndarray:
    if knots.dtype != np.float64 or knots.ndim != 2 or len(knots) != 2 or not knots.shape[1]:
        raise ValueError("knots must be two rows of float64")
    if not np.isfinite(knots).all() or (np.diff(knots[0]) <= 0).any():
        raise ValueError("knots must be finite and increase")
    return knots


def _category_of(kind: str, arrays: Arrays) -> Category:
    categories: list[Any]
    if kind == "text":
        categories = texts_of(arrays)
    else:
        if arrays["categories"].dtype != np.int64 or arrays["categories"].ndim != 1:
            raise ValueError("categories must be whole numbers")
        categories = arrays["categories"].tolist()
        if kind == "boolean":
            if not {*categories} <= {0, 1}:
                raise ValueError("categories of booleans must be 0 and 1")
            categories = list(map(bool, categories))
    k = len(categories)
    if not 0 < k < MOST_CODES or any(a >= b for a, b in pairwise(categories)):
        raise ValueError("categories must be in order, and different")
    results = arrays.get("results")
    if results is None:
        return Category(kind, categories, None)
    shapes = [(0,), (2,)] if k == 1 else [(3,)] if k == 2 else [(2, k)]
    if results.dtype != np.float32 or results.shape not in shapes or not np.isfinite(results).all():
        raise ValueError(f"results of {k} categories must be finite, float32, of shape {shapes[-1]}")
    return Category(kind, categories, results)
