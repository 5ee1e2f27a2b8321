"""A table's encoder and its networks as one ONNX model, with an input for each column that is used."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .._needs import needs
from .._table.encoding import Category, Encoding, Number
from .._table.scaling import BOUND, LARGEST
from .onnx_graph import Graph
from .onnx_inputs import INT64, add_columns
from .onnx_model import ModelGraph, finished, name_of_predictions
from .onnx_nodes import add_labels, add_predictions, labels_of
from .table_net import TableNet

FLOAT, DOUBLE = 1, 11  # of TensorProto

# The operators that map texts to numbers, and their version.
ML, ML_OPSET = "ai.onnx.ml", 2


def table_model_of(table: TableNet, path: str | None) -> Any:
    """As `bpkern.export.to_onnx`, of a model that reads tables."""
    onnx = needs("onnx", "onnx", "to_onnx")
    helper, encoding = onnx.helper, table.encoding
    places = encoding.used
    texts = {place for place in places if _kind(encoding, place) == "text"}
    single = table.names is None and not texts
    titles = {place: _title(table.names or [], place) for place in places}
    graph = ModelGraph(onnx, {"X"} if single else set(titles.values()))
    column: Callable[[int], str]
    if single:
        inputs = [helper.make_tensor_value_info("X", DOUBLE, ["N", len(encoding.columns)])]
        column = partial(_column_of_x, graph)
    else:
        inputs = [
            helper.make_tensor_value_info(titles[place], onnx.TensorProto.STRING, ["N", 1])
            if place in texts
            else helper.make_tensor_value_info(titles[place], DOUBLE, ["N", 1])
            for place in places
        ]
        column = titles.__getitem__
    matrix = add_encoding(graph, encoding, column)
    first = table.nets[0]
    predicted = _mean(graph, table, matrix)
    outputs = []
    if first.estimator in ("classifier", "multilabel"):
        several = first.estimator == "multilabel"
        kind = np.dtype(np.int64) if several else labels_of(first).dtype
        name = graph.named(add_labels(graph, first, predicted), "label")
        shape = ["N", first.outputs] if several else ["N"]
        outputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(kind), shape))
    real = DOUBLE if table.center is not None else helper.np_dtype_to_tensor_dtype(first.dtype)
    name = graph.named(predicted, name_of_predictions(first))
    outputs.append(helper.make_tensor_value_info(name, real, ["N", first.predictions]))
    opsets = [helper.make_opsetid(ML, ML_OPSET)]
    return finished(onnx, graph, inputs, outputs, table.nets, path, opsets)


def _column_of_x(graph: Graph, place: int) -> str:
    return add_columns(graph, "X", [place])


def _mean(graph: Graph, table: TableNet, matrix: str) -> str:
    """Append the networks, and the mean of their predictions."""
    found = []
    for net, limits in zip(table.nets, table.limits, strict=True):
        x = matrix
        if net.dtype != np.float32:
            x = graph.node("Cast", [matrix], to=DOUBLE)
        values = add_predictions(graph, net, x)
        if table.center is not None and table.spread is not None:
            values = graph.node("Cast", [values], to=DOUBLE)
            values = graph.node("Mul", [values, graph.constant(table.spread)])
            values = graph.node("Add", [values, graph.constant(table.center)])
        if limits is not None:
            values = graph.node("Max", [values, graph.constant(limits[0].astype(np.float64))])
            values = graph.node("Min", [values, graph.constant(limits[1].astype(np.float64))])
        found.append(values)
    if len(found) == 1:
        return found[0]
    kind = np.float64 if table.center is not None else table.nets[0].dtype
    return graph.node("Div", [graph.node("Sum", found), graph.constant(np.array([len(found)], kind))])


def _title(names: list[str], place: int) -> str:
    """The name of an input: that of its column. ONNX has no empty names: they become a free one."""
    if names and names[place]:
        return names[place]
    title = f"x{place}"
    while title in names:
        title += "_"
    return title


def _kind(encoding: Encoding, place: int) -> str:
    column = encoding.columns[place]
    return "number" if isinstance(column, Number) else column.kind


def add_encoding(graph: Graph, encoding: Encoding, column: Callable[[int], str]) -> str:
    """Append an encoding; returns the matrix (n, width) of float32.

    Parameters
    ----------
    graph : Graph
    encoding : Encoding
    column : callable
        The name of a column of the table, (n, 1): strings for texts, and float64 for all others.
    """
    parts = []
    if encoding.kept:
        parts.append(_numbers(graph, encoding, encoding.kept, column))
    if encoding.indicators:
        given = [column(place) for place in encoding.indicators]
        parts.append(graph.node("Cast", [graph.node("IsNaN", [_beside(graph, given)])], to=FLOAT))
    parts += [_one_hot(graph, encoding.category(place), column(place)) for place in encoding.one_hot]
    for place in encoding.coded:
        parts.append(graph.node("Cast", [_codes(graph, encoding.category(place), column(place))], to=FLOAT))
    return _beside(graph, parts)


def _beside(graph: Graph, parts: list[str]) -> str:
    return graph.node("Concat", parts, axis=1) if len(parts) > 1 else parts[0]


def _numbers(graph: Graph, encoding: Encoding, places: list[int], column: Callable[[int], str]) -> str:
    """Scaled numbers, in float64 until they are; 0 in gaps."""

    def number(value: float) -> str:
        return graph.constant(np.array([value]))

    scales = [each.scale for place in places if isinstance(each := encoding.columns[place], Number)]
    given = [column(place) for place in places]
    gaps = graph.node("IsNaN", [_beside(graph, given)])
    for i, scale in enumerate(scales):
        if scale.knots is not None:
            given[i] = _between_knots(graph, scale.knots, given[i])
    x = graph.node("Sub", [_beside(graph, given), graph.constant(np.array([s.center for s in scales]))])
    x = graph.node("Mul", [x, graph.constant(np.array([s.factor for s in scales]))])
    if encoding.scaling == "robust":
        x = graph.node("Max", [graph.node("Min", [x, number(LARGEST)]), number(-LARGEST)])
        part = graph.node("Mul", [x, number(1 / BOUND)])
        root = graph.node("Sqrt", [graph.node("Add", [graph.node("Mul", [part, part]), number(1.0)])])
        x = graph.node("Div", [x, root])
    return graph.node("Cast", [graph.node("Where", [gaps, number(0.0), x])], to=FLOAT)


def _between_knots(graph: Graph, knots: np.ndarray, x: str) -> str:
    """Straight lines between the knots, and constants beyond them."""
    at, values = knots
    slopes = np.diff(values) / np.diff(at)
    x = graph.node("Max", [graph.node("Min", [x, graph.constant(at[-1:])]), graph.constant(at[:1])])
    # The last knot that is not above x, of those where a line begins; -1, which is allowed, for NaN.
    below = graph.node("Cast", [graph.node("GreaterOrEqual", [x, graph.constant(at[:-1])])], to=INT64)
    one = graph.constant(np.array([1], np.int64))
    place = graph.node("Sub", [graph.node("ReduceSum", [below, one], keepdims=1), one])
    start, slope, value = (
        graph.node("Gather", [graph.constant(each), place], axis=0) for each in (at[:-1], slopes, values[:-1])
    )
    step = graph.node("Mul", [graph.node("Sub", [x, start]), slope])
    return graph.node("Add", [step, value])


def _codes(graph: Graph, column: Category, x: str) -> str:
    """The codes (n, 1) of a column of categories: int64, 0 for missing and unknown ones."""
    codes = np.arange(1, len(column.categories) + 1)
    if column.kind == "text":
        return graph.node(
            "LabelEncoder",
            [x],
            domain=ML,
            keys_strings=list(column.categories),
            values_int64s=codes.tolist(),
            default_int64=0,
        )
    keys = [int(each) for each in column.categories]
    # Whole numbers in range are looked up. NaN is equal to nothing.
    rounded = graph.node("Floor", [x])
    low, high = (graph.constant(np.array([float(end)])) for end in (min(keys), max(keys)))
    inside = graph.node("Min", [graph.node("Max", [rounded, low]), high])
    is_key = graph.node("Equal", [inside, x])
    whole = graph.node("Cast", [graph.node("Where", [is_key, inside, low])], to=INT64)
    found = graph.node(
        "LabelEncoder", [whole], domain=ML, keys_int64s=keys, values_int64s=codes.tolist(), default_int64=0
    )
    return graph.node("Where", [is_key, found, graph.constant(np.zeros(1, np.int64))])


def _one_hot(graph: Graph, column: Category, x: str) -> str:
    """The columns of a one-hot category, (n, columns)."""
    codes, results = _codes(graph, column, x), column.results
    assert results is not None
    if results.ndim == 1:
        return graph.node("Gather", [graph.constant(results), codes], axis=0)
    own = graph.constant(np.arange(1, results.shape[1] + 1))
    off, on = (graph.constant(each[None]) for each in results)
    return graph.node("Where", [graph.node("Equal", [codes, own]), on, off])
