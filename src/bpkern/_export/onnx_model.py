"""A network as an ONNX model."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import __version__
from .._files.replacing import write_bytes
from .._needs import needs
from .net import Net
from .onnx_nodes import OPSET, add_labels, add_predictions, labels_of

# The version of the format that came with this version of the operators.
IR_VERSION = 7

# The most bytes of a protobuf message.
MOST_BYTES = (1 << 31) - 1


class ModelGraph:
    """A graph whose nodes and constants are collected for a model."""

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """As `onnx_nodes.Graph.node`."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, array: np.ndarray) -> str:
        """As `onnx_nodes.Graph.constant`."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def named(self, value: str, name: str) -> None:
        """Give an output of the model its name."""
        self.nodes.append(self._onnx.helper.make_node("Identity", [value], [name], name=name))


def model_of(net: Net, path: str | None) -> Any:
    """As `bpkern.export.to_onnx`."""
    onnx = needs("onnx", "onnx", "to_onnx")
    if net.nbytes > MOST_BYTES - (1 << 20):
        raise ValueError("the weights must be smaller than 2 GiB: an ONNX file cannot hold more")
    graph, helper = ModelGraph(onnx), onnx.helper
    real = helper.np_dtype_to_tensor_dtype(net.dtype)
    predicted = add_predictions(graph, net, "X")
    outputs = []
    if net.estimator in ("classifier", "multilabel"):
        labels = add_labels(graph, net, predicted)
        graph.named(labels, "label")
        several = net.estimator == "multilabel"
        kind = np.dtype(np.int64) if several else labels_of(net).dtype
        shape = ["N", net.outputs] if several else ["N"]
        outputs.append(helper.make_tensor_value_info("label", helper.np_dtype_to_tensor_dtype(kind), shape))
    name = name_of_predictions(net)
    graph.named(predicted, name)
    outputs.append(helper.make_tensor_value_info(name, real, ["N", net.predictions]))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "net",
            [helper.make_tensor_value_info("X", real, ["N", net.inputs])],
            outputs,
            graph.constants,
        ),
        producer_name="bpkern",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model)
    if path is not None:
        write_bytes(path, model.SerializeToString())
    return model


def name_of_predictions(net: Net) -> str:
    """The name of the predictions among the outputs, as scikit-learn's converters name them."""
    if net.estimator == "regressor":
        return "variable"
    return "probabilities" if net.final in ("softmax", "sigmoid") else "outputs"
