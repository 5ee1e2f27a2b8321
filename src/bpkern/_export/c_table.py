"""An encoder as C functions, and rows of tables in the form in which they are read."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._table.encoding import Category, Encoding, Number
from .._table.frames import Frame
from .._table.scaling import BOUND, LARGEST
from .c_arrays import braces, numbers, text_constant
from .table_net import TableNet

# The bytes of the types of constants; of texts, those of their pointers.
SIZES = {"float": 4, "double": 8, "int": 4, "long": 8, "char *const": 8}

# Rows of random data where none are given.
RANDOM_ROWS = 256

# The part of random numbers that are gaps, in columns that had any, and of unknown categories.
UNKNOWN = 0.1

SCALE = """\
/* Numbers are scaled in double; a gap is NaN, and becomes 0. */
static void net_numbers(const double *row, float *x) {
    int i;
    for (i = 0; i < COUNT; i++) {
        double v = row[net_places[i]], s = KNOTS;
        s = (s - net_numbers_center[i]) * net_numbers_factor[i];
CLIP        x[i] = v != v ? 0.0f : (float)s;
    }
}
"""

CLIP = """\
        s = s > LARGEST ? LARGEST : s < -LARGEST ? -LARGEST : s;
        s /= sqrt(1.0 + s * PART * (s * PART)); /* between -3 and 3 */
"""

KNOTS = """\
/* Straight lines between the n numbers at `at`, and constants beyond them; `at` + n holds their values. */
static double net_between(const double *at, int n, double v) {
    int low = 0, high = n - 1;
    if (!(v > at[0])) return at[n];
    if (v >= at[n - 1]) return at[2 * n - 1];
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (at[middle] <= v) low = middle;
        else high = middle;
    }
    return at[n + low] + (at[n + high] - at[n + low]) / (at[high] - at[low]) * (v - at[low]);
}
"""

TEXT_CODE = """\
/* The position, from 1, of a text among n sorted texts; 0 if it is not there. */
static long net_place_of_text(const char *const *texts, long n, const char *text) {
    long low = 0, high = n;
    while (low < high) {
        long middle = (low + high) / 2;
        const unsigned char *a = (const unsigned char *)texts[middle], *b = (const unsigned char *)text;
        while (*a && *a == *b) a++, b++;
        if (*a == *b) return middle + 1;
        if (*a < *b) low = middle + 1;
        else high = middle;
    }
    return 0;
}
"""

NUMBER_CODE = """\
/* The position, from 1, of a number among n sorted numbers; 0 if it is not there. */
static long net_place_of(const double *numbers, long n, double number) {
    long low = 0, high = n;
    while (low < high) {
        long middle = (low + high) / 2;
        if (numbers[middle] == number) return middle + 1;
        if (numbers[middle] < number) low = middle + 1;
        else high = middle;
    }
    return 0;
}
"""

ONE_HOT = """\
/* Each of n columns on or off, by a code from 1. */
static void net_one_hot(const float *off, const float *on, int n, long code, float *x) {
    int i;
    for (i = 0; i < n; i++) x[i] = i + 1 == code ? on[i] : off[i];
}
"""


class Part(NamedTuple):
    """Text of the file, and the bytes of its constants."""

    text: str
    size: int = 0


@dataclass(frozen=True)
class CTable:
    """What a C file has besides the network of a table.

    Attributes
    ----------
    columns, width : int
        Of the table, and of its encoded matrix.
    heading : list of str
        Lines of the comment that explain the row.
    parts : list of Part
        Constants and functions: `net_encode`, and `net_code` if there are texts.
    has_texts : bool
        Whether there is `net_code`.
    rows_are : str
        "given" or "random".
    rows : ndarray of float64, shape (n, columns)
        Rows in the form that `net_predict` reads.
    X : ndarray of float32, shape (n, width)
        The same, encoded.
    center, spread : ndarray, shape (out,), or None
        Of values, and their limits.
    limits : ndarray, shape (2, out), or None
    """

    columns: int
    width: int
    heading: list[str]
    parts: list[Part]
    has_texts: bool
    rows_are: str
    rows: np.ndarray
    X: np.ndarray
    center: np.ndarray | None
    spread: np.ndarray | None
    limits: np.ndarray | None

    @property
    def real(self) -> str:
        """The type of predictions: float has too few digits and too small a range for all values."""
        return "float" if self.center is None else "double"

    def predict(self) -> str:
        """The function `net_predict`."""
        lines = [f"float x[{self.width}];"]
        if self.center is None:
            lines += ["net_encode(row, x);", "net_outputs(x, out);"]
        else:
            lines += ["float z[NET_OUTPUTS];", "int i;", "net_encode(row, x);", "net_outputs(x, z);"]
            lines += ["for (i = 0; i < NET_OUTPUTS; i++) {"]
            lines += ["    double v = net_values_center[i] + net_values_spread[i] * (double)z[i];"]
            if self.limits is not None:
                lines += ["    v = v < net_values_lowest[i] ? net_values_lowest[i] : v;"]
                lines += ["    v = v > net_values_highest[i] ? net_values_highest[i] : v;"]
            lines += ["    out[i] = v;", "}"]
        body = "\n".join(f"    {line}" for line in lines)
        return f"void net_predict(const double *row, {self.real} *out) {{\n{body}\n}}\n"

    def values(self, outputs: np.ndarray, bound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is predicted by these outputs of the network, and by how much it may be wrong."""
        if self.center is None or self.spread is None:
            return outputs, bound
        found, bound = self.center + self.spread * outputs, self.spread * bound
        return (found if self.limits is None else np.clip(found, *self.limits)), bound


def c_table_of(table: TableNet, data: Any) -> CTable:
    """The encoder of a table's network in C.

    Parameters
    ----------
    table : TableNet
    data : table or None
        Rows for the self-test; None makes random ones.

    Raises
    ------
    ValueError, TypeError
        For several networks, texts with a null character, and data with other columns or values.
    """
    if len(table.nets) > 1:
        raise ValueError(f"a C file has one network, not {len(table.nets)}: fit with n_models=1")
    encoding = table.encoding
    read, codes = _random(encoding) if data is None else _read(table, data)
    rows = _rows(encoding, read, codes)
    X = np.empty((len(rows), encoding.width), np.float32)
    frame = Frame()
    frame.names = table.names
    encoding.write(X, read, codes, frame, range(len(rows)))
    texts = [place for place in encoding.lookups if encoding.category(place).kind == "text"]
    return CTable(
        len(encoding.columns),
        encoding.width,
        _heading(table, texts),
        _parts(table, texts),
        bool(texts),
        "random" if data is None else "given",
        rows,
        X,
        table.center,
        table.spread,
        table.limits[0],
    )


# Rows --------------------------------------------------------------------------------------------------

Columns = dict[int, np.ndarray]


def _read(table: TableNet, data: Any) -> tuple[Columns, Columns]:
    """The numbers and the codes of a table."""
    encoding, frame = table.encoding, table.encoder.__bpkern_frame__(data)
    if not frame.rows:
        raise ValueError("data must have at least one row")
    read = {place: encoding.read_numbers(frame, place, 0, frame.rows) for place in encoding.number_places}
    return read, {place: encoding.read_codes(frame, place, 0, frame.rows) for place in encoding.lookups}


def _random(encoding: Encoding) -> tuple[Columns, Columns]:
    """Numbers around those of the fit, some gaps, and random categories; in row 0 as many gaps as may be."""
    rng = np.random.default_rng(0)
    read: Columns = {}
    for place in encoding.number_places:
        column = encoding.columns[place]
        assert isinstance(column, Number)
        scale = column.scale
        if scale.knots is not None:
            values = rng.choice(scale.knots[0], RANDOM_ROWS)
        else:
            values = scale.center + rng.standard_normal(RANDOM_ROWS) / (scale.factor or 1.0)
        gaps = rng.random(RANDOM_ROWS) < UNKNOWN
        gaps[0] = True
        read[place] = np.where(gaps & column.gaps, np.nan, values)
    codes = {
        place: rng.integers(0, len(encoding.category(place).categories) + 1, RANDOM_ROWS)
        for place in encoding.lookups
    }
    for own in codes.values():
        own[0] = 0
    return read, codes


def _rows(encoding: Encoding, read: Columns, codes: Columns) -> np.ndarray:
    """Rows as `net_predict` reads them: texts by their codes, other categories by their values."""
    count = len(next(iter((read | codes).values())))
    rows = np.zeros((count, len(encoding.columns)))
    for place, values in read.items():
        rows[:, place] = values
    for place, own in codes.items():
        column = encoding.category(place)
        if column.kind == "text":
            rows[:, place] = own
        else:
            rows[:, place] = np.array([np.nan, *map(float, column.categories)])[own]
    return rows


# The parts of the file -----------------------------------------------------------------------------------


def _heading(table: TableNet, texts: list[int]) -> list[str]:
    lines = []
    for place, column in enumerate(table.encoding.columns):
        name = "" if table.names is None else f" {_quoted(table.names[place])}"
        what = "not read"
        if place in texts:
            what = f"net_code({place}, text)"
        elif place in table.encoding.used:
            what = "a number, or NAN"
            if isinstance(column, Category):
                what = "0, 1 or NAN" if column.kind == "boolean" else "a whole number, or NAN"
        lines.append(f"         {place}{name}: {what}")
    return lines


def _quoted(name: str) -> str:
    """A name in a comment: ASCII that does not end it, in quotes, within which no prefix is replaced."""
    return json.dumps(name).replace("*/", "* /").replace("/*", "/ *")


def _parts(table: TableNet, texts: list[int]) -> list[Part]:
    encoding = table.encoding
    parts: list[Part] = []
    steps: list[str] = []
    if encoding.kept:
        parts += _scaling(encoding, encoding.kept)
        steps.append("net_numbers(row, x);")
    at = len(encoding.kept)
    for place in encoding.indicators:
        steps.append(f"x[{at}] = row[{place}] != row[{place}] ? 1.0f : 0.0f;")
        at += 1
    kinds = {encoding.category(place).kind for place in encoding.lookups}
    parts += [Part(TEXT_CODE)] * ("text" in kinds) + [Part(NUMBER_CODE)] * bool(kinds - {"text"})
    parts += [_categories(table, place) for place in sorted(encoding.lookups)]
    if any(encoding.category(place).width > 1 for place in encoding.one_hot):
        parts.append(Part(ONE_HOT))
    for place in encoding.one_hot:
        column = encoding.category(place)
        assert column.results is not None
        code = _code(place, column)
        if column.results.ndim == 1:
            parts.append(_array("float", f"r{place}", numbers(column.results)))
            steps.append(f"x[{at}] = net_r{place}[{code}];")
            at += 1
            continue
        off, on = column.results
        parts.append(_array("float", f"off{place}", numbers(off)))
        parts.append(_array("float", f"on{place}", numbers(on)))
        steps.append(f"net_one_hot(net_off{place}, net_on{place}, {len(on)}, {code}, x + {at});")
        at += len(on)
    for place in encoding.coded:
        steps.append(f"x[{at}] = (float){_code(place, encoding.category(place))};")
        at += 1
    body = "\n".join(f"    {step}" for step in steps)
    parts.append(Part(f"static void net_encode(const double *row, float *x) {{\n{body}\n}}\n"))
    if texts:
        parts.append(Part(_net_code(encoding, texts)))
    lowest, highest = (None, None) if table.limits[0] is None else table.limits[0]
    values = {"center": table.center, "spread": table.spread, "lowest": lowest, "highest": highest}
    for name, each in values.items():
        parts += [] if each is None else [_doubles(f"values_{name}", each)]
    return parts


def _scaling(encoding: Encoding, kept: list[int]) -> list[Part]:
    scales = [column.scale for place in kept if isinstance(column := encoding.columns[place], Number)]
    parts = [
        _array("int", "places", map(str, kept)),
        _doubles("numbers_center", np.array([scale.center for scale in scales])),
        _doubles("numbers_factor", np.array([scale.factor for scale in scales])),
    ]
    value = "v"
    if encoding.scaling == "quantile":
        knots = [scale.knots for scale in scales if scale.knots is not None]
        starts = np.cumsum([0, *(each.size for each in knots)])
        parts.append(Part(KNOTS))
        parts.append(_doubles("knots", np.concatenate([each.ravel() for each in knots])))
        parts.append(_array("int", "lengths", [str(each.shape[1]) for each in knots]))
        parts.append(_array("long", "starts", map(str, starts[:-1])))
        value = "net_between(net_knots + net_starts[i], net_lengths[i], v)"
    clip = CLIP.replace("LARGEST", repr(LARGEST)).replace("PART", repr(1 / BOUND))
    text = SCALE.replace("COUNT", str(len(kept))).replace("KNOTS", value)
    parts.append(Part(text.replace("CLIP", clip if encoding.scaling == "robust" else "")))
    return parts


def _categories(table: TableNet, place: int) -> Part:
    """The categories of a column in order."""
    column = table.encoding.category(place)
    if column.kind != "text":
        return _doubles(f"c{place}", np.array([float(each) for each in column.categories]))
    if any("\0" in text for text in column.categories):
        raise ValueError(f"column {table.title(place)}: a category has a null character, which ends a C text")
    made = _array("char *const", f"c{place}", map(text_constant, column.categories))
    return Part(made.text, made.size + sum(len(text.encode()) + 1 for text in column.categories))


def _code(place: int, column: Category) -> str:
    """The code of a column of a row."""
    count = len(column.categories)
    if column.kind == "text":  # net_code has found it
        return f"(row[{place}] >= 1 && row[{place}] <= {count} ? (long)row[{place}] : 0)"
    return f"net_place_of(net_c{place}, {count}, row[{place}])"


def _net_code(encoding: Encoding, texts: list[int]) -> str:
    cases = "\n".join(
        f"    case {place}:\n"
        f"        return (double)net_place_of_text(net_c{place}, "
        f"{len(encoding.category(place).categories)}, text);"
        for place in texts
    )
    return f"""\
double net_code(int column, const char *text) {{
    switch (column) {{
{cases}
    default:
        return 0.0;
    }}
}}
"""


def _doubles(name: str, array: np.ndarray) -> Part:
    return _array("double", name, numbers(array.astype(np.float64)))


def _array(kind: str, name: str, given: Iterable[str]) -> Part:
    items = list(given)
    text = f"static const {kind} net_{name}[{len(items)}] = {braces(items)};\n"
    return Part(text, SIZES[kind] * len(items))
