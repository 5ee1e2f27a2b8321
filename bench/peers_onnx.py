"""ONNX Runtime, which does not train."""

import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from peers_base import Peer

ACTIVATIONS = {"relu": "Relu", "leaky_relu": "LeakyRelu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
# Old enough for every current runtime.
OPSET, IR_VERSION = 17, 8


def _model(net, weights):
    """Alternating Gemm and activation nodes, from "x" to "out"."""
    nodes, constants, x = [], [], "x"
    for l, (w, b) in enumerate(weights):
        constants += [numpy_helper.from_array(w, f"w{l}"), numpy_helper.from_array(b, f"b{l}")]
        last = l == len(weights) - 1
        nodes.append(helper.make_node("Gemm", [x, f"w{l}", f"b{l}"], ["out" if last else f"z{l}"], transB=1))
        if not last:
            slope = {"alpha": 0.01} if net.activation == "leaky_relu" else {}
            nodes.append(helper.make_node(ACTIVATIONS[net.activation], [f"z{l}"], [f"a{l}"], **slope))
            x = f"a{l}"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("x", net.layers[0]), ("out", net.layers[-1]))
    ]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


class OnnxPeer(Peer):
    """An inference session of a model with these weights."""

    def __init__(self, net, weights, X, y, lr, threads):
        super().__init__(net, weights, X, y, lr, threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        model = _model(net, weights).SerializeToString()
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def forward(self, X):
        return self.session.run(None, {"x": X})[0]
