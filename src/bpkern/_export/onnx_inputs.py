"""What stands in front of layer 0, and trained shares of activations, as ONNX nodes."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import numpy as np

from .front import Front, Periodic, Table
from .onnx_graph import Graph

INT64 = 7  # TensorProto.INT64


def add_front(graph: Graph, front: Front, x: str) -> str:
    """Append embeddings and factors: from X (n, columns) to the inputs of layer 0 (n, width)."""
    parts, places = [], []
    for each in front.embeddings:
        if isinstance(each, Table):
            parts.append(_rows(graph, each, x))
            places.append(_results(front, [each.column], each.weight.shape[1]))
        else:
            parts.append(_periodic(graph, each, x))
            places.append(_results(front, each.columns, each.v.shape[2] + 1))
    if front.plain:
        parts.append(add_columns(graph, x, front.plain))
        places.append(_results(front, front.plain, 1))
    a = graph.node("Concat", parts, axis=1) if len(parts) > 1 else parts[0]
    order = np.argsort(np.concatenate(places), kind="stable")
    if (order != np.arange(front.width)).any():
        a = add_columns(graph, a, order)
    return a if front.scale is None else graph.node("Mul", [a, graph.constant(front.scale)])


def add_share(graph: Graph, alpha: np.ndarray, z: str, activated: str) -> str:
    """Append ``z + alpha * (activated - z)``."""
    part = graph.node("Mul", [graph.node("Sub", [activated, z]), graph.constant(alpha)])
    return graph.node("Add", [z, part])


def add_columns(graph: Graph, x: str, columns: list[int] | np.ndarray) -> str:
    """Append some columns of a matrix."""
    return graph.node("Gather", [x, graph.constant(np.asarray(columns, np.int64))], axis=1)


def _results(front: Front, columns: list[int], dim: int) -> np.ndarray:
    """The places of the results of these columns among the inputs of layer 0."""
    starts = np.array([front.starts[column] for column in columns], np.int64)
    return (starts[:, None] + np.arange(dim)).ravel()


def _rows(graph: Graph, table: Table, x: str) -> str:
    codes = graph.node("Cast", [add_columns(graph, x, [table.column])], to=INT64)  # (n, 1)
    found = graph.node("Gather", [graph.constant(table.weight), codes], axis=0)  # (n, 1, dim)
    return graph.node("Squeeze", [found, graph.constant(np.array([1], np.int64))])


def _periodic(graph: Graph, each: Periodic, x: str) -> str:
    """All columns at once, as a stack of products of (n, hidden) and (hidden, dim - 1)."""
    axis = graph.constant(np.array([2], np.int64))
    own = graph.node("Transpose", [add_columns(graph, x, each.columns)], perm=[1, 0])
    own = graph.node("Unsqueeze", [own, axis])  # (c, n, 1)
    angle = graph.node("Mul", [own, graph.constant(each.w[:, None])])
    angle = graph.node("Add", [angle, graph.constant(each.b[:, None])])
    linear = graph.node("MatMul", [graph.node("Cos", [angle]), graph.constant(each.v)])
    linear = graph.node("Add", [linear, graph.constant(each.u[:, None])])
    dense = graph.node("Concat", [linear, own], axis=2)  # (c, n, dim)
    shape = graph.constant(np.array([0, len(each.columns) * (each.v.shape[2] + 1)], np.int64))
    return graph.node("Reshape", [graph.node("Transpose", [dense], perm=[1, 0, 2]), shape])
