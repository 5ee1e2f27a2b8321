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
    """A graph whose nodes and constants are collected for a model.

    Parameters
    ----------
    onnx : module
    taken : set of str
        The names of the inputs, which no other value gets.
    """

    def __init__(self, onnx: Any, taken: set[str]) -> None:
        self._onnx, self._taken = onnx, taken
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """As `onnx_graph.Graph.node`."""
        name = self._free(f"{kind}_{len(self.nodes)}")
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, array: np.ndarray) -> str:
        """As `onnx_graph.Graph.constant`."""
        name = self._free(f"constant_{len(self.constants)}")
        self.constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def named(self, value: str, name: str) -> str:
        """Give an output of the model its name, followed by _ if an input has that name; returns it."""
        name = self._free(name)
        self.nodes.append(self._onnx.helper.make_node("Identity", [value], [name], name=name))
        return name

    def _free(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        return name


def model_of(net: Net, path: str | None) -> Any:
    """As `bpkern.export.to_onnx`."""
    onnx = needs("onnx", "onnx", "to_onnx")
    graph, helper = ModelGraph(onnx, {"X"}), onnx.helper
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
    inputs = [helper.make_tensor_value_info("X", real, ["N", net.inputs])]
    return finished(onnx, graph, inputs, outputs, [net], path)


def finished(
    onnx: Any,
    graph: ModelGraph,
    inputs: list[Any],
    outputs: list[Any],
    nets: Sequence[Net],
    path: str | None,
    opsets: Sequence[Any] = (),
) -> Any:
    """The model of a graph, checked and, with a path, written.

    Parameters
    ----------
    onnx : module
    graph : ModelGraph
    inputs, outputs : list of ValueInfoProto
    nets : sequence of Net
        Whose weights are in the graph.
    path : str or None
    opsets : sequence of OperatorSetIdProto
        Besides that of the plain operators.
    """
    if sum(net.nbytes for net in nets) > MOST_BYTES - (1 << 20):
        raise ValueError("the weights must be smaller than 2 GiB: an ONNX file cannot hold more")
    helper = onnx.helper
    model = helper.make_model(
        helper.make_graph(graph.nodes, "net", inputs, outputs, graph.constants),
        producer_name="bpkern",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET), *opsets],
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
