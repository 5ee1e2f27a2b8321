"""skl2onnx's converters of the estimators, by themselves and in pipelines."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .classifier import MLPClassifier
from .regressor import MLPRegressor

# As those of scikit-learn's MLPClassifier.
OPTIONS = {"zipmap": [True, False, "columns"], "output_class_labels": [False, True]}


def register_skl2onnx() -> None:
    """Register converters of `MLPClassifier` and `MLPRegressor` with skl2onnx.

    Its `to_onnx` and `convert_sklearn` then convert them, also as steps of a Pipeline and in other
    meta-estimators. Importing `bpkern.sklearn` registers them if skl2onnx is loaded before; a second
    registration replaces the first. Inputs of float64 are computed in float64, all others in float32.

    Raises
    ------
    ModuleNotFoundError
        If skl2onnx is not installed.
    """
    try:
        import skl2onnx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("register_skl2onnx needs skl2onnx: pip install skl2onnx") from error
    register = skl2onnx.update_registered_converter
    register(MLPClassifier, "BpkernMLPClassifier", _classifier_types, _convert, options=OPTIONS)
    register(MLPRegressor, "BpkernMLPRegressor", _regressor_types, _convert)


class _ContainerGraph:
    """skl2onnx's container as a `bpkern._export.onnx_graph.Graph`."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """As `Graph.node`."""
        output: str = self._scope.get_unique_variable_name(f"bpkern_{kind}")
        self._container.add_node(
            kind, list(inputs), [output], name=self._scope.get_unique_operator_name(kind), **attributes
        )
        return output

    def constant(self, array: np.ndarray) -> str:
        """As `Graph.constant`."""
        from onnx.helper import np_dtype_to_tensor_dtype

        name: str = self._scope.get_unique_variable_name("bpkern_constant")
        kind = np_dtype_to_tensor_dtype(array.dtype)
        self._container.add_initializer(name, kind, list(array.shape), array.ravel().tolist())
        return name

    def named(self, value: str, name: str) -> None:
        """Give an output of the operator its name."""
        self._container.add_node(
            "Identity", [value], [name], name=self._scope.get_unique_operator_name("Identity")
        )


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Append the nodes of an estimator."""
    from onnx.helper import np_dtype_to_tensor_dtype

    from .._export.estimators import net_of_estimator
    from .._export.net import with_dtype
    from .._export.onnx_nodes import add_labels, add_predictions

    dtype = np.dtype(_real_type(operator)[1])
    net = with_dtype(net_of_estimator(operator.raw_operator), dtype)
    graph = _ContainerGraph(scope, container)
    x = graph.node("Cast", [operator.inputs[0].full_name], to=np_dtype_to_tensor_dtype(dtype))
    predicted = add_predictions(graph, net, x)
    if net.estimator != "regressor":
        graph.named(add_labels(graph, net, predicted), operator.outputs[0].full_name)
    graph.named(predicted, operator.outputs[-1].full_name)


def _real_type(operator: Any) -> tuple[Any, str]:
    """skl2onnx's type of the inputs and predictions, and its NumPy name."""
    from skl2onnx.common import data_types

    if isinstance(operator.inputs[0].type, data_types.DoubleTensorType):
        return data_types.DoubleTensorType, "float64"
    return data_types.FloatTensorType, "float32"


def _regressor_types(operator: Any) -> None:
    """Set the type and shape of the output, (n, outputs)."""
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].set_type(_real_type(operator)[0]([rows, operator.raw_operator.n_outputs_]))


def _classifier_types(operator: Any) -> None:
    """Set the types and shapes of the labels and of the probabilities."""
    from skl2onnx.common import data_types

    from .._export.estimators import net_of_estimator
    from .._export.onnx_nodes import labels_of

    net, rows = net_of_estimator(operator.raw_operator), operator.inputs[0].get_first_dimension()
    if net.estimator == "multilabel":
        labels = data_types.Int64TensorType([rows, net.predictions])
    else:
        kinds = {"i": data_types.Int64TensorType, "f": data_types.DoubleTensorType}
        labels = kinds.get(labels_of(net).dtype.kind, data_types.StringTensorType)([rows])
    operator.outputs[0].set_type(labels)
    operator.outputs[1].set_type(_real_type(operator)[0]([rows, net.predictions]))
