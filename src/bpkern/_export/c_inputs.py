"""What stands in front of layer 0, and trained shares of activations, as C functions."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .c_arrays import braces, numbers
from .front import Front, Periodic, Table

ROW = """\
/* The table's row for a code; row 0 for anything that is no code. */
static void net_row(const float *table, int rows, int dim, float code, float *a) {
    const float *row = table + (code >= 0 && code < (float)rows ? (long)code : 0) * dim;
    int i;
    for (i = 0; i < dim; i++) a[i] = row[i];
}
"""

PERIODIC = """\
/* cos(x w + b) v + u, and x behind that. v is stored row by row. */
static void net_periodic(const float *w, const float *b, const float *v, const float *u, int hidden, int n,
                         float x, float *a) {
    int k, i;
    for (i = 0; i < n; i++) a[i] = 0;
    for (k = 0; k < hidden; k++) {
        float c = cosf(x * w[k] + b[k]);
        for (i = 0; i < n; i++) a[i] += c * *v++;
    }
    for (i = 0; i < n; i++) a[i] += u[i];
    a[n] = x;
}
"""

SHARE = """\
/* z + alpha (f(z) - z) for each z, with an alpha of its own. */
static void net_share(void (*f)(float *a, int n), const float *alpha, float *a, int n) {
    int i;
    for (i = 0; i < n; i++) {
        float y = a[i];
        f(&y, 1);
        a[i] += alpha[i] * (y - a[i]);
    }
}
"""


def front_functions(front: Front) -> list[str]:
    """The constants of embeddings and factors, and `net_inputs`, which applies them."""
    parts, steps = [], []
    kinds = {type(each) for each in front.embeddings}
    parts += [text for kind, text in ((Table, ROW), (Periodic, PERIODIC)) if kind in kinds]
    for number, each in enumerate(front.embeddings):
        if isinstance(each, Table):
            rows, dim = each.weight.shape
            parts.append(constant(f"e{number}", each.weight))
            place = front.starts[each.column]
            steps.append(f"net_row(net_e{number}, {rows}, {dim}, x[{each.column}], a + {place});")
            continue
        for name in ("w", "b", "v", "u"):
            parts.append(constant(f"e{number}{name}", getattr(each, name)))
        hidden, n = each.v.shape[1:]
        for first, column, count in _runs(each.columns):
            place = front.starts[column]
            w, b, v, u = (
                f"net_e{number}{name} + {_at(first, size)}"
                for name, size in (("w", hidden), ("b", hidden), ("v", hidden * n), ("u", n))
            )
            steps.append(f"for (i = 0; i < {count}; i++)")
            steps.append(f"    net_periodic({w}, {b}, {v}, {u}, {hidden}, {n}, x[{column} + i],")
            steps.append(f"                 a + {place} + i * {n + 1});")
    for _, column, count in _runs(front.plain):
        steps.append(f"for (i = 0; i < {count}; i++) a[{front.starts[column]} + i] = x[{column} + i];")
    if front.scale is not None:
        parts.append(constant("factors", front.scale))
        steps.append(f"for (i = 0; i < {front.width}; i++) a[i] *= net_factors[i];")
    uses_i = any(step.startswith("for") for step in steps)
    lines = ["    int i;"] * uses_i + [f"    {step}" for step in steps]
    return [*parts, "static void net_inputs(const float *x, float *a) {\n" + "\n".join(lines) + "\n}\n"]


def constant(name: str, array: np.ndarray) -> str:
    """An array of constants, flat."""
    return f"static const float net_{name}[{array.size}] = {braces(numbers(array))};\n"


def _at(first: int, size: int) -> str:
    return f"({first} + i) * {size}" if first else f"i * {size}"


def _runs(columns: list[int]) -> Iterator[tuple[int, int, int]]:
    """Runs of consecutive columns: the place of the first in `columns`, itself, and how many they are."""
    start = 0
    for place in range(1, len(columns) + 1):
        if place == len(columns) or columns[place] != columns[place - 1] + 1:
            yield start, columns[start], place - start
            start = place
