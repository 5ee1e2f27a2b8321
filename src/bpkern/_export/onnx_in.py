"""An ONNX model as the arguments of `bpkern.MLP`: a chain of linear layers and activations.

The nodes that lead to the output are read in order. The value of each is a constant, or a formula of the sums
z of one layer (`onnx_forms.py`): the layer is complete when its formula, as the input of the next layer, is
that of an activation. Files may come from anybody: nothing in them is executed, no other file is opened, and
anything else than such a chain is refused by the node's name.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._core import ACTIVATIONS
from .._files.regular import read_regular
from .._files.replacing import naming
from .._needs import needs
from .imported import Imported
from .net import FINAL
from .onnx_forms import OPERATORS, Form, Z, known_forms, number, with_parameter
from .onnx_values import Value, attribute, constant_of, described, tensor_array

# Nodes that change nothing in the prediction of rows.
SAME = ("Identity", "Dropout", "Cast", "Flatten", "Reshape")


class Signal(NamedTuple):
    """A formula of the sums of a layer. `layer` counts the steps of the chain; 0 is the input."""

    layer: int
    form: Form


class Probabilities(NamedTuple):
    """The softmax of the last layer's outputs, whose formula is `signal`."""

    signal: Signal


def read_onnx(path: str, loss: Any) -> Imported:
    """The network of a file.

    A last Softmax is left out for the loss "cross_entropy", and a last Sigmoid for "binary_cross_entropy":
    these losses contain them.

    Raises
    ------
    ValueError
        For a file that is no such model; it names the file, and the node.
    OSError
        If the file cannot be read, or is not a regular file.
    ModuleNotFoundError
        If onnx is not installed.
    """
    onnx = needs("onnx", "onnx", "MLP.from_onnx")
    from google.protobuf.message import DecodeError

    with naming(path):
        raw = read_regular(path)
    try:
        model = onnx.ModelProto.FromString(raw)
        return Chain(onnx, model.graph).read(loss)
    except DecodeError as error:
        raise ValueError(f"{path} is no ONNX model, or was damaged: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


class Chain:
    """The layers of a graph, read node by node."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        self._onnx, self._graph = onnx, graph
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._known = known_forms(ACTIVATIONS)
        self._values: dict[str, Value] = {}
        self._weights: list[tuple[np.ndarray, np.ndarray]] = []
        self._bias: list[bool] = []  # whether a bias has come
        self._activations: list[str] = []
        self._steps = 0
        self._cast_to: list[tuple[str, int]] = []

    # The graph ---------------------------------------------------------------------------------------

    def read(self, loss: Any) -> Imported:
        """The arguments of the model. Raises ValueError."""
        inputs = [each.name for each in self._graph.input if each.name not in self._tensors]
        if len(inputs) != 1:
            raise ValueError(f"the graph must have one input, not {len(inputs)}")
        self._values[inputs[0]] = Signal(0, Z)
        output = self._output()
        with np.errstate(all="ignore"):  # the constructor of the model refuses what has overflowed
            for node in self._needed(output):
                self._add(node)
        if output not in self._values:
            raise ValueError(f"no node computes the output {output!r}")
        return self._result(self._values[output], loss)

    def _output(self) -> str:
        """The output of real numbers; classifiers also have labels."""
        real = (self._onnx.TensorProto.FLOAT, self._onnx.TensorProto.DOUBLE)
        found = [each.name for each in self._graph.output if each.type.tensor_type.elem_type in real]
        if len(found) != 1:
            raise ValueError(f"the graph must have one output of float32 or float64, not {len(found)}")
        return str(found[0])

    def _needed(self, output: str) -> list[Any]:
        """The nodes that lead to an output, in the order of the graph. Raises ValueError for a cycle."""
        needed, nodes = {output}, []
        for node in reversed(self._graph.node):
            if needed.intersection(node.output):
                nodes.append(node)
                needed.update(node.input)
        return nodes[::-1]

    # Nodes -------------------------------------------------------------------------------------------

    def _add(self, node: Any) -> None:
        """Compute the value of a node. Raises ValueError."""
        try:
            if node.domain not in ("", "ai.onnx"):
                raise ValueError(f"its domain must be that of ONNX, not {node.domain!r}")
            if any(name in self._values for name in node.output if name):
                raise ValueError("its output has been computed before")
            if node.op_type == "Constant":
                value: Value = constant_of(self._onnx, node)
            else:
                value = self._value(node, [self._named(name) for name in node.input])
            self._values[node.output[0]] = value
        except (ValueError, TypeError, OverflowError, IndexError) as error:
            raise ValueError(f"node {described(node, self._graph)}: {error}") from None

    def _named(self, name: str) -> Value:
        """The value of a name; an optional input that is left out is None."""
        if not name:
            return None
        if name not in self._values and name in self._tensors:
            self._values[name] = tensor_array(self._onnx, self._tensors[name])
        if name not in self._values:
            raise ValueError(f"its input {name!r} is not known before it")
        return self._values[name]

    def _value(self, node: Any, inputs: list[Value]) -> Value:
        kind = node.op_type
        if kind in SAME:
            return self._same(node, inputs)
        if kind == "Transpose" and len(inputs) == 1 and isinstance(inputs[0], np.ndarray):
            if inputs[0].ndim != 2 or attribute(node, "perm", [1, 0]) != [1, 0]:
                raise ValueError("only a matrix of constants can be transposed")
            return inputs[0].T
        if kind in ("Gemm", "MatMul"):
            return self._linear(node, inputs)
        if kind in ("Softmax", "LogSoftmax"):
            (signal,) = self._arguments(inputs, 1, 1)
            if attribute(node, "axis", 1) not in (1, -1):
                raise ValueError("its axis must be 1")
            return Probabilities(self._signal(signal))
        if kind not in OPERATORS:
            raise ValueError(
                "it is not a Gemm, a MatMul with an Add, a Softmax at the end, or part of an activation of "
                "bpkern"
            )
        return self._formula(node, inputs)

    def _arguments(self, inputs: list[Value], fewest: int, most: int) -> list[Value]:
        if not fewest <= len(inputs) <= most or any(value is None for value in inputs):
            raise ValueError(f"it must have {fewest} to {most} inputs, not {len(inputs)}")
        return inputs

    def _signal(self, value: Value) -> Signal:
        """A value as a formula of the present layer. Raises ValueError."""
        if not isinstance(value, Signal):
            raise ValueError("it must compute with the values of a layer")
        if value.layer != self._steps:
            raise ValueError("it takes the values of an earlier layer, and the layers must be a chain")
        return value

    def _same(self, node: Any, inputs: list[Value]) -> Value:
        """The first input of a node that changes nothing."""
        kind, real = node.op_type, self._onnx.TensorProto
        value = inputs[0]
        if kind == "Dropout":
            mode = inputs[2] if len(inputs) > 2 else None
            if mode is not None and not (isinstance(mode, np.ndarray) and mode.size == 1 and not mode.any()):
                raise ValueError("it must not be in the mode of training")
        elif kind == "Cast":
            target = attribute(node, "to", 0)
            if target not in (real.FLOAT, real.DOUBLE):
                raise ValueError("it must cast to float32 or float64")
            self._cast_to.append((described(node, self._graph), target))
        elif kind == "Flatten" and attribute(node, "axis", 1) != 1:
            raise ValueError("its axis must be 1")
        elif kind == "Reshape":
            shape = inputs[1] if len(inputs) == 2 else None
            width = len(self._weights[-1][1]) if self._weights else 0
            if not isinstance(shape, np.ndarray) or shape.tolist() not in ([-1, width], [0, width]):
                raise ValueError("it must keep the shape of the rows")
        if isinstance(value, np.ndarray) and kind != "Identity":
            raise ValueError("it must compute with the values of a layer")
        return value

    def _linear(self, node: Any, inputs: list[Value]) -> Signal:
        """A new layer, whose weights are in the second input."""
        gemm = node.op_type == "Gemm"
        if gemm and len(inputs) == 3 and inputs[2] is None:
            inputs = inputs[:2]
        x, w, *rest = self._arguments(inputs, 2, 3 if gemm else 2)
        self._end_layer(self._signal(x))
        if not isinstance(w, np.ndarray) or w.ndim != 2 or w.size == 0:
            raise ValueError("its second input must be a constant matrix that is not empty")
        scale = 1.0
        if gemm:
            if attribute(node, "transA", 0):
                raise ValueError("transA must be 0")
            w = w if attribute(node, "transB", 0) else w.T
            w = np.asarray(w * attribute(node, "alpha", 1.0), w.dtype)
            scale = attribute(node, "beta", 1.0)
        else:
            w = w.T
        if self._weights and w.shape[1] != len(self._weights[-1][1]):
            raise ValueError(f"its weights are for {w.shape[1]} inputs, and the layer before has others")
        self._weights.append((np.ascontiguousarray(w), np.zeros(len(w), w.dtype)))
        self._bias.append(False)
        for bias in rest:
            self._add_bias(bias, scale)
        self._steps += 1
        return Signal(self._steps, Z)

    def _add_bias(self, bias: Value, scale: float) -> None:
        w, b = self._weights[-1]
        if not isinstance(bias, np.ndarray) or bias.dtype != w.dtype:
            raise ValueError(f"its bias must be a constant of {w.dtype}")
        if bias.ndim > 2 or (bias.ndim == 2 and len(bias) != 1) or bias.shape[-1:] not in ((), (1,), b.shape):
            raise ValueError(f"its bias must have shape {b.shape}, not {bias.shape}")
        self._weights[-1] = w, np.asarray(b + scale * bias.reshape(-1), w.dtype)
        self._bias[-1] = True

    def _end_layer(self, signal: Signal) -> None:
        """Note the activation of the last layer, the formula of what goes on. Raises ValueError."""
        name = self._known.get(signal.form.text())
        if self._weights:
            if name is None:
                name = with_parameter(signal.form, self._weights[-1][0].dtype)
            if name is None:
                raise ValueError("what comes before it is no activation of bpkern")
            self._activations.append(name)
        elif name != "identity":
            raise ValueError("the inputs must go into the first layer as they are")

    def _formula(self, node: Any, inputs: list[Value]) -> Signal:
        """An operator on formulas, or the bias of a MatMul."""
        operator = OPERATORS[node.op_type]
        self._arguments(inputs, operator.fewest, operator.most)
        signals = [self._signal(value) for value in inputs if not isinstance(value, np.ndarray)]
        constants = [value for value in inputs if isinstance(value, np.ndarray)]
        if not signals:
            raise ValueError("it must compute with the values of a layer")
        if node.op_type == "Add" and len(signals) == 1 and signals[0].form == Z and self._weights:
            self._add_bias(constants[0], 1.0)
            self._steps += 1
            return Signal(self._steps, Z)
        if any(constant.size != 1 or constant.dtype.kind != "f" for constant in constants):
            raise ValueError("a constant in it must be one real number")
        forms = [number(v.item()) if isinstance(v, np.ndarray) else v.form for v in inputs]
        options = {name: attribute(node, name, default) for name, default in operator.attributes.items()}
        return Signal(self._steps, operator.function(*forms, **options))

    # The end -----------------------------------------------------------------------------------------

    def _result(self, value: Value, loss: Any) -> Imported:
        """The arguments. Raises ValueError if the end does not fit the loss."""
        final = FINAL.get(loss) if isinstance(loss, str) else None
        if isinstance(value, Probabilities):
            if final != "softmax":
                raise ValueError(f"a Softmax after the outputs is for the loss 'cross_entropy', not {loss!r}")
            value = value.signal
        if not self._weights:
            raise ValueError("the graph must have at least one Gemm or MatMul")
        signal = self._signal(value)
        if final == "sigmoid" and signal.form.inner is not None:
            signal = Signal(signal.layer, signal.form.inner)
        try:
            self._end_layer(signal)
        except ValueError:
            raise ValueError("what comes after the last layer is no activation of bpkern") from None
        dtype = self._weights[0][0].dtype
        if any(array.dtype != dtype for pair in self._weights for array in pair):
            raise ValueError("all weights must have the same dtype")
        real = self._onnx.helper.np_dtype_to_tensor_dtype(dtype)
        for name, target in self._cast_to:
            if target != real:
                raise ValueError(f"node {name}: it must cast to the dtype of the weights, {dtype}")
        layers = [self._weights[0][0].shape[1], *(len(b) for _, b in self._weights)]
        return Imported(
            layers,
            self._activations[:-1],
            self._activations[-1],
            dtype.name,
            self._weights,
            [0.0] * (len(layers) - 2),
            self._bias,
        )
