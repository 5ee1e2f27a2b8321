"""Constants, attributes and names in foreign ONNX files."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any

import numpy as np

# A constant, the value of a layer or its probabilities (`onnx_in.py`), or None for an input that is left out.
Value = Any


def described(node: Any, graph: Any) -> str:
    """A node's name and operator; its place in the graph if it has no name."""
    if node.name:
        return f"{node.name!r} ({node.op_type})"
    return f"{list(graph.node).index(node)} ({node.op_type})"


def attribute(node: Any, name: str, default: Any) -> Any:
    """An attribute of the type of its default: int, float, str or list of int. Raises ValueError."""
    for each in node.attribute:
        if each.name == name:
            value = _attribute_value(each)
            if type(value) is not type(default):
                raise ValueError(f"its attribute {name} must be of type {type(default).__name__}")
            return value
    return default


def _attribute_value(found: Any) -> Any:
    """The value of an attribute of one of four types; None for others."""
    kinds = found.AttributeType
    if found.type == kinds.INT:
        return found.i
    if found.type == kinds.FLOAT:
        return found.f
    if found.type == kinds.STRING:
        return found.s.decode("utf-8", "replace")
    return list(found.ints) if found.type == kinds.INTS else None


def tensor_array(onnx: Any, tensor: Any) -> np.ndarray:
    """The array of a tensor in the file itself. Raises ValueError, which names it."""
    name, types = tensor.name, onnx.TensorProto
    if tensor.data_location == types.EXTERNAL:
        raise ValueError(f"the tensor {name!r} is in another file, which is not opened")
    if tensor.data_type not in (types.FLOAT, types.DOUBLE, types.INT64, types.BOOL):
        raise ValueError(f"the tensor {name!r} must be float32 or float64")
    try:
        array: np.ndarray = onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # of any kind: the tensor may be anything
        raise ValueError(f"the tensor {name!r} is damaged: {error}") from None
    if not np.isfinite(array).all():
        raise ValueError(f"the tensor {name!r} must be finite")
    return array


def constant_of(onnx: Any, node: Any) -> np.ndarray:
    """The value of a node Constant. Raises ValueError."""
    if len(node.attribute) != 1:
        raise ValueError("it must have one attribute")
    (found,) = node.attribute
    if found.name == "value":
        return tensor_array(onnx, found.t)
    if found.name == "value_float":
        return np.array(found.f, np.float32)
    if found.name == "value_ints":
        return np.array(found.ints, np.int64)
    raise ValueError(f"a constant by {found.name} is none of a network")
