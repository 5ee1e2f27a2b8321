"""A network as ONNX nodes, appended to a graph of any kind."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._model.activation_texts import parts_of
from . import normal
from .net import Net
from .onnx_graph import Graph
from .onnx_inputs import add_front, add_share

# All nodes below mean the same from this version of the operators up to the newest.
OPSET = 13

SLOPE = 0.01

# A and c of selu (Klambauer et al., 2017).
SELU_ALPHA, SELU_GAMMA = 1.6732632423543772, 1.0507009873554805


def add_predictions(graph: Graph, net: Net, x: str) -> str:
    """Append everything from the inputs (n, in) to the predictions (n, predictions); returns their name."""
    a = x
    if net.scaling is not None:
        center, factor, offset = (graph.constant(part.astype(net.dtype)) for part in net.scaling)
        a = graph.node("Sub", [a, center])
        a = graph.node("Mul", [a, factor])
        a = graph.node("Add", [a, offset])
    if net.front is not None:
        a = add_front(graph, net.front, a)
    for l, ((w, b), name) in enumerate(zip(net.weights, net.activations, strict=True)):
        bias = [graph.constant(b)] if net.has_bias(l) else []
        z = graph.node("Gemm", [a, graph.constant(w), *bias], transB=1)
        a = add_activation(graph, name, z, net.dtype)
        if (alpha := net.share(l)) is not None:
            a = add_share(graph, alpha, z, a)
    if net.final == "softmax":
        a = graph.node("Softmax", [a], axis=1)
    elif net.final != "identity":
        a = graph.node("Sigmoid" if net.final == "sigmoid" else "Exp", [a])
    if net.both_classes:
        other = graph.node("Sub", [graph.constant(np.ones(1, net.dtype)), a])
        a = graph.node("Concat", [other, a], axis=1)
    return a


def add_labels(graph: Graph, net: Net, probabilities: str) -> str:
    """Append the labels of a classifier: (n,), or 0 and 1 of shape (n, outputs) for several labels.

    They are int64 for whole numbers and booleans, float64 or strings.

    Raises
    ------
    TypeError
        For labels of other kinds.
    """
    if net.estimator == "multilabel":
        above = graph.node("Greater", [probabilities, graph.constant(np.full(1, 0.5, net.dtype))])
        return graph.node("Cast", [above], to=7)  # TensorProto.INT64
    best = graph.node("ArgMax", [probabilities], axis=1, keepdims=0)
    return graph.node("Gather", [graph.constant(labels_of(net)), best], axis=0)


def labels_of(net: Net) -> np.ndarray:
    """The classes as ONNX has them: int64, float64 or objects of str. Raises TypeError for other kinds."""
    assert net.classes is not None
    classes = net.classes
    if classes.dtype.kind in "biu":
        return classes.astype(np.int64)
    if classes.dtype.kind == "f":
        return classes.astype(np.float64)
    if not all(isinstance(label, str) for label in classes):
        raise TypeError(f"the classes must be numbers or strings in ONNX, not {classes[:3]!r}")
    return np.array([str(label) for label in classes], object)


def add_activation(graph: Graph, name: str, z: str, dtype: np.dtype[Any]) -> str:
    """Append an activation; returns the name of its values."""
    kind, parameter = parts_of(name)
    if parameter is not None:
        append = PARAMETRIC[kind](parameter, dtype)
    else:
        append = (FLOAT32 if dtype == np.float32 else FLOAT64)[kind]

    def number(value: float) -> str:
        return graph.constant(np.array(value, dtype))

    return append(graph, z, number)


Append = Callable[[Graph, str, Callable[[float], str]], str]


def _simple(kind: str, **attributes: Any) -> Append:
    return lambda graph, z, number: graph.node(kind, [z], **attributes)


def _softplus(graph: Graph, z: str, number: Callable[[float], str]) -> str:
    """max(z, 0) + log(1 + exp(-|z|)), in which nothing overflows."""
    e = graph.node("Exp", [graph.node("Neg", [graph.node("Abs", [z])])])
    return graph.node(
        "Add", [graph.node("Relu", [z]), graph.node("Log", [graph.node("Add", [e, number(1)])])]
    )


def _silu(graph: Graph, z: str, number: Callable[[float], str]) -> str:
    return graph.node("Mul", [z, graph.node("Sigmoid", [z])])


def _mish(graph: Graph, z: str, number: Callable[[float], str]) -> str:
    return graph.node("Mul", [z, graph.node("Tanh", [_softplus(graph, z, number)])])


def _half_of(graph: Graph, z: str, gate: str, number: Callable[[float], str]) -> str:
    """z (1 + gate) / 2, in the order in which runtimes recognise gelu."""
    return graph.node("Mul", [graph.node("Mul", [z, graph.node("Add", [gate, number(1)])]), number(0.5)])


def _gelu(graph: Graph, z: str, number: Callable[[float], str]) -> str:
    gate = graph.node("Erf", [graph.node("Div", [z, number(math.sqrt(2))])])
    return _half_of(graph, z, gate, number)


def _gelu_tanh(graph: Graph, z: str, number: Callable[[float], str]) -> str:
    cube = graph.node("Mul", [graph.node("Mul", [z, z]), z])
    inner = graph.node("Add", [z, graph.node("Mul", [cube, number(0.044715)])])
    gate = graph.node("Tanh", [graph.node("Mul", [inner, number(math.sqrt(2 / math.pi))])])
    return _half_of(graph, z, gate, number)


def _gelu_without_erf(graph: Graph, z: str, number: Callable[[float], str]) -> str:
    """max(z, 0) - v P(-v) with v = |z| and the distribution P of `normal.py`."""
    v = graph.node("Abs", [z])
    t = graph.node("Div", [number(3), graph.node("Add", [v, number(3)])])
    s = graph.node("Sub", [graph.node("Mul", [t, number(2)]), number(1)])
    total = number(normal.FLOAT64[-1])
    for coefficient in normal.FLOAT64[-2::-1]:
        total = graph.node("Add", [graph.node("Mul", [total, s]), number(coefficient)])
    half_square = graph.node("Mul", [graph.node("Mul", [v, v]), number(0.5)])
    e = graph.node("Exp", [graph.node("Sub", [total, half_square])])
    below = graph.node("Mul", [graph.node("Mul", [t, number(0.5)]), e])
    return graph.node("Sub", [graph.node("Relu", [z]), graph.node("Mul", [v, below])])


def _elu(graph: Graph, z: str, number: Callable[[float], str]) -> str:
    """max(z, 0) + exp(min(z, 0)) - 1."""
    e = graph.node("Exp", [graph.node("Min", [z, number(0)])])
    return graph.node("Add", [graph.node("Relu", [z]), graph.node("Sub", [e, number(1)])])


def _selu(graph: Graph, z: str, number: Callable[[float], str]) -> str:
    e = graph.node("Exp", [graph.node("Min", [z, number(0)])])
    below = graph.node("Mul", [graph.node("Sub", [e, number(1)]), number(SELU_GAMMA * SELU_ALPHA)])
    return graph.node("Add", [graph.node("Mul", [graph.node("Relu", [z]), number(SELU_GAMMA)]), below])


def _leaky_relu(graph: Graph, z: str, number: Callable[[float], str]) -> str:
    return graph.node("Max", [z, graph.node("Mul", [z, number(SLOPE)])])


def _leaky_relu_of(slope: float, dtype: np.dtype[Any]) -> Append:
    """LeakyRelu; in float64 max(z, 0) + slope min(z, 0)."""
    if dtype == np.float32:
        return _simple("LeakyRelu", alpha=slope)

    def append(graph: Graph, z: str, number: Callable[[float], str]) -> str:
        below = graph.node("Mul", [graph.node("Min", [z, number(0)]), number(slope)])
        return graph.node("Add", [graph.node("Relu", [z]), below])

    return append


def _elu_of(alpha: float, dtype: np.dtype[Any]) -> Append:
    """Elu; in float64 max(z, 0) + alpha (exp(min(z, 0)) - 1)."""
    if dtype == np.float32:
        return _simple("Elu", alpha=alpha)

    def append(graph: Graph, z: str, number: Callable[[float], str]) -> str:
        e = graph.node("Exp", [graph.node("Min", [z, number(0)])])
        below = graph.node("Mul", [graph.node("Sub", [e, number(1)]), number(alpha)])
        return graph.node("Add", [graph.node("Relu", [z]), below])

    return append


# The activations with a parameter, by its value and the dtype.
PARAMETRIC: dict[str, Callable[[float, np.dtype[Any]], Append]] = {
    "leaky_relu": _leaky_relu_of,
    "elu": _elu_of,
}

FLOAT32: dict[str, Append] = {
    "identity": lambda graph, z, number: z,
    "relu": _simple("Relu"),
    "leaky_relu": _simple("LeakyRelu", alpha=SLOPE),
    "sigmoid": _simple("Sigmoid"),
    "tanh": _simple("Tanh"),
    "elu": _simple("Elu", alpha=1.0),
    "selu": _simple("Selu", alpha=SELU_ALPHA, gamma=SELU_GAMMA),
    "softplus": _softplus,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "mish": _mish,
}

# onnxruntime has no LeakyRelu, Elu, Selu and Erf of float64.
FLOAT64 = FLOAT32 | {
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu_without_erf,
}
