"""A network as one C file."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from .._core import __version__
from . import c_functions
from .c_arrays import as_computed, braces, interleaved, numbers, rounded_to_int8, rows, text_constant
from .c_inputs import SHARE, constant, front_functions
from .c_table import CTable
from .evaluate import Evaluated, evaluated
from .front import Table
from .net import Net

# Rows of the self-test, and rows of random data where none are given.
TEST_ROWS, RANDOM_ROWS = 4, 256

EPS = float(np.finfo(np.float32).eps)

# Of C99; those with an underscore first are no names anyway.
KEYWORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int long
register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
"""

SCALE = """\
static void net_scale(const float *x, float *a) {
    int i;
    for (i = 0; i < COUNT; i++) a[i] = (x[i] - net_center[i]) * net_factor[i] + net_offset[i];
}
"""

_STRING_OR_PREFIX = re.compile(r'"(?:[^"\\\n]|\\.)*"|\b(?:net|NET)_')


class Layer(NamedTuple):
    """The constants of one layer and its step in `net_predict`."""

    constants: list[str]
    size: int  # of the constants in bytes
    arguments: str  # of net_layer, up to b
    call: str  # of the activation, up to the array, or ""


def checked_name(name: Any) -> str:
    """A prefix for C names. Raises TypeError or ValueError."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a C identifier, not {name!r}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name, re.ASCII) or name in KEYWORDS.split():
        raise ValueError(
            f"name must be a C identifier of at most 40 letters, digits and _, a letter first, not {name!r}"
        )
    return str(name)


def c_text(net: Net, name: str, weights: str, data: np.ndarray | None, table: CTable | None = None) -> str:
    """The text of the C file, as `bpkern.export.to_c`.

    Parameters
    ----------
    net : Net
    name, weights : str
    data : ndarray or None
        Rows of the network's inputs; None with a table.
    table : CTable, optional
        What encodes the rows of a table for the network.
    """
    made = as_computed(net, weights)
    if table is not None:
        X, of_data = table.X, table.rows_are
    else:
        X, of_data = (random_rows(net), "random") if data is None else (data, "given")
    X = X.astype(np.float32)
    found = evaluated(made, X, EPS)
    layers = [_layer(made, net, l, weights) for l in range(len(net.weights))]
    buffers = _buffers(net)
    constants = sum(layer.size for layer in layers)
    constants += 0 if net.scaling is None else 3 * 4 * net.inputs
    constants += 0 if made.front is None else sum(array.nbytes for array in made.front.arrays)
    stack = 4 * sum(size for _, size in buffers)
    if table is not None:
        constants += sum(part.size for part in table.parts)
        stack += 4 * table.width + 4 * net.predictions * (table.real == "double")
    comparison = _comparison(net, found, X, of_data, table) if weights == "int8" else ""
    parts = [
        _heading(net, weights, constants, stack, comparison, of_data, table),
        _interface(net, table),
        _classes(net),
        *_scaling(made),
        *([] if table is None else [part.text for part in table.parts]),
        *([] if made.front is None else front_functions(made.front)),
        *(part for layer in layers for part in layer.constants),
        *_functions(net, weights),
        _predict("void net_predict" if table is None else "static void net_outputs", net, layers, buffers),
        "" if table is None else table.predict(),
        c_functions.CLASS if _has_class(net) else "",
        _self_test(found, X[:TEST_ROWS], table),
    ]
    return _renamed("\n".join(part for part in parts if part), name)


def _renamed(text: str, name: str) -> str:
    """The text with the prefixes of `name`; labels of classes are strings and stay as they are."""
    prefixes = {"net_": f"{name}_", "NET_": f"{name.upper()}_"}
    return _STRING_OR_PREFIX.sub(lambda found: prefixes.get(found[0], found[0]), text)


def random_rows(net: Net) -> np.ndarray:
    """Rows of a normal distribution, which after the scaling is the standard one; and of random codes."""
    generator = np.random.default_rng(0)
    normal = generator.standard_normal((RANDOM_ROWS, net.inputs))
    for each in [] if net.front is None else net.front.embeddings:
        if isinstance(each, Table):
            normal[:, each.column] = generator.integers(0, len(each.weight), RANDOM_ROWS)
    if net.scaling is None:
        return normal
    center, factor, offset = net.scaling
    return np.asarray((normal - offset) / np.where(factor == 0, 1, factor) + center)


def _has_class(net: Net) -> bool:
    """Whether a prediction names one class: that with the largest probability."""
    return net.final == "softmax" or net.both_classes


# The parts of the file ----------------------------------------------------------------------------------


def _heading(
    net: Net, weights: str, constants: int, stack: int, comparison: str, of_data: str, table: CTable | None
) -> str:
    sizes = "-".join(map(str, [net.inputs, *(len(b) for _, b in net.weights)]))
    activations = ", ".join(net.activations)
    what = {
        "identity": "outputs",
        "softmax": "probabilities of the classes, by the softmax",
        "sigmoid": "probabilities, by the sigmoid",
        "exp": "rates, by the exponential",
    }[net.final]
    lines = [f"A network of {sizes} ({activations}), written by bpkern {__version__}.", ""]
    if table is None:
        lines += [
            "void net_predict(const float *x, float *out);",
            f"    x    {net.inputs} inputs" + (", which are scaled here" if net.scaling is not None else ""),
            f"    out  {net.predictions} {what}; it must not overlap x",
        ]
    else:
        lines += [f"void net_predict(const double *row, {table.real} *out);"]
        lines += [f"    row  the {table.columns} columns of the table:", *table.heading]
        lines += ["         NAN is a gap: do not compile with -ffast-math."]
        lines += [f"    out  {net.predictions} {what if table.center is None else 'values'}"]
    if table is not None and table.has_texts:
        lines += ["double net_code(int column, const char *text);"]
        lines += [
            "    the number for a text (UTF-8) in a row; 0 for a gap, and for a text that training did not"
        ]
        lines += ["    have"]
    if _has_class(net):
        lines += ["int net_class(const float *out);", "    the number of the most probable class, from 0"]
    if net.classes is not None:
        lines += ["net_classes", "    the label of each output"]
    lines += [
        "",
        "C99 with math.h alone. Nothing is allocated or kept: several threads may predict at once.",
        f"Flash: {constants} bytes of constants (weights in {weights}), besides code.",
        f"RAM:   {stack} bytes on the stack of net_predict. Where constants are copied to RAM, as on most",
        "       AVR, they take RAM, too.",
        *([comparison] if comparison else []),
        "",
        f"Self-test on {of_data} rows: with NET_TEST defined, int net_test(void) returns the number of wrong",
        "predictions; with NET_TEST_MAIN there is also a main, which returns 0 if all are right.",
    ]
    return "/* " + "\n * ".join(lines).replace(" * \n", " *\n") + "\n */\n#include <math.h>\n"


def _interface(net: Net, table: CTable | None) -> str:
    arguments = "const float *x, float *out" if table is None else f"const double *row, {table.real} *out"
    lines = [
        f"#define NET_INPUTS {net.inputs if table is None else table.columns}",
        f"#define NET_OUTPUTS {net.predictions}",
        "",
        f"void net_predict({arguments});",
    ]
    if table is not None and table.has_texts:
        lines.append("double net_code(int column, const char *text);")
    if _has_class(net):
        lines.append("int net_class(const float *out);")
    if net.classes is not None:
        lines.append(f"extern {_class_type(net.classes)}net_classes[NET_OUTPUTS];")
    return "\n".join(lines) + "\n"


def _class_type(classes: np.ndarray) -> str:
    if classes.dtype.kind in "biu":
        return "const long " if np.abs(classes.astype(object)).max() < 1 << 31 else "const long long "
    return "const double " if classes.dtype.kind == "f" else "const char *const "


def _classes(net: Net) -> str:
    if net.classes is None:
        return ""
    classes = net.classes
    if classes.dtype.kind in "biu":
        items = [str(int(label)) for label in classes]
    elif classes.dtype.kind == "f":
        items = [repr(float(label)) for label in classes]
    else:
        items = [text_constant(str(label)) for label in classes]
    return f"{_class_type(classes)}net_classes[NET_OUTPUTS] = {braces(items)};\n"


def _scaling(made: Net) -> list[str]:
    """The constants of the scaling and its function."""
    if made.scaling is None:
        return []
    constants = [
        f"static const float net_{part}[{made.inputs}] = {braces(numbers(array))};\n"
        for part, array in zip(("center", "factor", "offset"), made.scaling, strict=True)
    ]
    return [
        *constants,
        SCALE.replace("COUNT", str(made.inputs)),
    ]


def _layer(made: Net, net: Net, l: int, weights: str) -> Layer:
    """The constants of a layer. `net` has the weights before they were rounded to int8."""
    w, b = made.weights[l]
    constants, size, arguments = [], b.nbytes, f"net_w{l}, "
    if weights == "int8":
        q, scale = rounded_to_int8(net.weights[l][0].astype(np.float32))
        constants.append(
            f"static const signed char net_w{l}[{q.size}] = {braces(numbers(interleaved(q)))};\n"
        )
        constants.append(f"static const float net_s{l}[{scale.size}] = {braces(numbers(scale))};\n")
        size += q.nbytes + scale.nbytes
        arguments += f"net_s{l}, "
    else:
        constants.append(f"static const float net_w{l}[{w.size}] = {braces(numbers(interleaved(w)))};\n")
        size += w.nbytes
    constants.append(f"static const float net_b{l}[{b.size}] = {braces(numbers(b))};\n")
    name = net.activations[l]
    call = "" if name == "identity" else f"net_{c_functions.function_name(name)}("
    if (alpha := made.share(l)) is not None and call:
        constants.append(constant(f"p{l}", alpha))
        size += alpha.nbytes
        call = f"net_share({call[:-1]}, net_p{l}, "
    return Layer(constants, size, f"{arguments}net_b{l}", call)


def _functions(net: Net, weights: str) -> list[str]:
    """The functions that the network needs, each once, in an order in which they may call each other."""
    found = [c_functions.DENSE[weights]]
    found += [SHARE] * any(
        net.share(l) is not None and a != "identity" for l, a in enumerate(net.activations)
    )
    for name in net.activations:
        found += c_functions.functions_of(name)
    found += c_functions.FINAL[net.final]
    return list(dict.fromkeys(found))


def _buffers(net: Net) -> list[tuple[str, int]]:
    """The names and sizes of the arrays on the stack: layers read one and write the other, by turns."""
    widths = [len(b) for _, b in net.weights[:-1]]
    if net.front is not None:
        widths.insert(0, net.front.width)
    if net.scaling is not None:
        widths.insert(0, net.inputs)
    return [(name, max(part)) for name, part in (("u", widths[::2]), ("v", widths[1::2])) if part]


def _predict(head: str, net: Net, layers: list[Layer], buffers: list[tuple[str, int]]) -> str:
    lines = [f"    float {name}[{size}];" for name, size in buffers]
    turns, source = ["u", "v"], "x"
    for function in ["net_scale"] * (net.scaling is not None) + ["net_inputs"] * (net.front is not None):
        lines.append(f"    {function}({source}, {turns[0]});")
        source = turns[0]
        turns.reverse()
    for l, layer in enumerate(layers):
        w, b = net.weights[l]
        if l == len(layers) - 1:
            target = "out + 1" if net.both_classes else "out"
        else:
            target = turns[0]
            turns.reverse()
        lines.append(f"    net_layer({layer.arguments}, {source}, {w.shape[1]}, {len(b)}, {target});")
        if layer.call:
            lines.append(f"    {layer.call}{target}, {len(b)});")
        source = target
    if net.final != "identity":
        lines.append(f"    net_{net.final}({source}, {net.outputs});")
    if net.both_classes:
        lines.append("    out[0] = 1.0f - out[1];")
    return f"{head}(const float *x, float *out) {{\n" + "\n".join(lines) + "\n}\n"


def _comparison(net: Net, found: Evaluated, X: np.ndarray, of_data: str, table: CTable | None) -> str:
    """How far the predictions by int8 are from those by float32, as lines of the heading."""
    exact = evaluated(as_computed(net, "float32"), X, EPS)
    if table is not None:
        exact, found = (Evaluated(*table.values(*each)) for each in (exact, found))
    error = np.abs(found.values - exact.values)
    text = (
        f"int8 against float32 on {len(X)} {of_data} rows: the predictions differ by at most "
        f"{error.max():.2g}, {error.mean():.2g} in the mean"
    )
    if _has_class(net):
        same = (found.values.argmax(axis=1) == exact.values.argmax(axis=1)).mean()
        text += f";\n *   the class is the same in {100 * same:.4g} % of the rows"
    return text + "."


def _self_test(found: Evaluated, X: np.ndarray, table: CTable | None) -> str:
    y, bound = (part[: len(X)] for part in found)
    given, real = "float", "float"
    if table is not None:
        y, bound = table.values(y, bound)
        X, given, real = table.rows[: len(X)], "double", table.real
    y = y.astype(np.float32 if real == "float" else np.float64)
    # Twice the bound, in case the functions of math.h are less exact, and the rounding of y itself.
    tolerance = 2 * float(bound.max()) + float(np.finfo(y.dtype).eps) * float(np.abs(y).max())
    return (
        c_functions.TEST.replace("ROWS", str(len(X)))
        .replace("GIVEN", given)
        .replace("REAL", real)
        .replace("FABS", "fabsf" if real == "float" else "fabs")
        .replace("INPUTS;", f"{rows(X)};")
        .replace("PREDICTIONS;", f"{rows(y)};")
        .replace("TOLERANCE", f"{tolerance:.1e}" + "f" * (real == "float"))
    )
