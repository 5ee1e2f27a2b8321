"""Trained networks for other programs: torch, ONNX, safetensors and plain C.

Each function takes a `bpkern.MLP`, a fitted MLP estimator of `bpkern.sklearn`, or a scikit-learn Pipeline of
scalers and such an estimator. Scalers are StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, and
`bpkern.preprocessing.TableEncoder` where it scales numbers alone by "standard". `to_onnx` and `to_c` also
take what reads raw tables: RealMLP's estimators, `bpkern.preprocessing.TableModel`, and a Pipeline that
begins with any other `TableEncoder`. What is made computes the predictions from the inputs: the probabilities
of `predict_proba` for classifiers and the two cross-entropies, and otherwise the values of `predict`.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _checks
from ._arguments import proposes_arguments
from ._data.interchange import as_numeric
from ._export.net import Net, net_of_core
from ._model.core import core_of
from ._model.settings import refuse_extra

if TYPE_CHECKING:
    import onnx
    import torch

__all__ = ["to_c", "to_onnx", "to_safetensors", "to_torch"]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)


@proposes_arguments("to_torch")
def to_torch(model: Any, *, logits: bool = False) -> torch.nn.Sequential:
    """A torch.nn.Sequential of Linear layers and activations that predicts as the model does.

    It computes in the model's dtype, has its own copy of the weights, which can be trained, and is in the
    mode of evaluation. Dropout is included, and acts after ``sequential.train()``.

    Parameters
    ----------
    model : MLP, estimator or Pipeline
        The scaling of a Pipeline is multiplied into the first layer.
    logits : bool
        Leave out the softmax or sigmoid of the loss, as torch.nn.CrossEntropyLoss and
        torch.nn.BCEWithLogitsLoss expect. The Sequential then returns what `MLP.forward` returns.

    Returns
    -------
    torch.nn.Sequential
        From (n, in) to (n, out). For an estimator of two classes the one output is the probability of
        ``classes_[1]``.

    Raises
    ------
    TypeError, ValueError
        For another model, one with `inputs` or a parametric activation, one that is not fitted, and for the
        rates of an estimator's poisson loss without `logits`.
    ModuleNotFoundError
        If torch is not installed.
    """
    from ._export.torch_out import sequential

    return sequential(_plain_net_of(model), _checks.flag("logits", logits))


@proposes_arguments("to_onnx")
def to_onnx(model: Any, path: str | os.PathLike[str] | None = None) -> onnx.ModelProto:
    """An ONNX model that predicts as the model does, in its dtype.

    It needs no more than opset 13. Activations that not every runtime has are made of basic operators, in
    float64 also those that onnxruntime has for float32 alone.

    Parameters
    ----------
    model : MLP, estimator, Pipeline or TableModel
        The scaling of a Pipeline is computed in the ONNX model, and the encoding of a table, too.
    path : str or path, optional
        Also write it to this file. An old file is replaced at once.

    Returns
    -------
    onnx.ModelProto
        With the input "X", (n, in), of the model's dtype, for any number of rows. The outputs of a classifier
        are "label" (int64, float64 or strings) and "probabilities", that of a regressor is "variable", (n,
        out). A `bpkern.MLP` has one output: "probabilities" for the two cross-entropies, and otherwise
        "outputs". A model that reads tables has an input (n, 1) per column that is used, with its name:
        strings for texts, float64 for others, NaN for gaps; or "X" of float64, for columns without names and
        texts. Its values are float64. `_` is appended to an output's name that a column has.

    Raises
    ------
    TypeError, ValueError
        For another model, labels that are neither numbers nor strings, whole-number categories from 2**53 on,
        and for 2 GiB or more.
    OSError
        If the file cannot be written; an old file is unchanged.
    ModuleNotFoundError
        If onnx is not installed.
    """
    from ._export.onnx_model import model_of
    from ._export.table_net import table_net_of

    path = None if path is None else _checks.path("path", path)
    if (table := table_net_of(model)) is not None:
        from ._export.onnx_table import table_model_of

        return table_model_of(table, path)
    return model_of(net_of(model), path)


@proposes_arguments("to_safetensors")
def to_safetensors(model: Any, path: str | os.PathLike[str]) -> None:
    """Write the weights to a .safetensors file with the names that the Sequential of `to_torch` has.

    The file holds "0.weight", "0.bias", "2.weight", ... and nothing else. It loads into that Sequential, or
    into one of the same modules, by ``sequential.load_state_dict(safetensors.torch.load_file(path))``, and
    into a `bpkern.MLP` of the same layers by ``model.load_state_dict(safetensors.numpy.load_file(path))``.

    Parameters
    ----------
    model : MLP, estimator or Pipeline
        As for `to_torch`; torch is not needed.
    path : str or path
        A .safetensors file. An old file is replaced at once.

    Raises
    ------
    TypeError, ValueError
        For another model, one with `inputs` or a parametric activation, or another suffix.
    OSError
        If the file cannot be written; an old file is unchanged.
    ModuleNotFoundError
        If safetensors is not installed.
    """
    from ._export.torch_out import named_parameters
    from ._files.plain_tensors import write_tensors

    write_tensors(_checks.path("path", path), named_parameters(_plain_net_of(model)))


@proposes_arguments("to_c")
def to_c(model: Any, *, name: str = "net", weights: str = "float32", data: Any = None) -> str:
    """One C file that predicts as the model does, in float32.

    C99 with math.h and no other library; no memory is allocated; the weights are ``static const``. The file
    has ``void net_predict(const float *x, float *out)``, for classifiers ``int net_class(const float *out)``,
    and a self-test. A comment at its top states the sizes in flash and RAM.

    Parameters
    ----------
    model : MLP, estimator, Pipeline or TableModel
        The scaling of a Pipeline is computed in the C file, and the encoding of a table, too. The function is
        then ``void net_predict(const double *row, float *out)``, with ``double *out`` for values, and
        ``double net_code(int column, const char *text)`` returns the number for a text in a row.
    name : str
        The prefix of all names in the file, a C identifier of at most 40 characters.
    weights : {"float32", "int8"}
        "int8" stores each row of W as whole numbers up to 127 and one scale, in a quarter of the memory. Each
        weight is then off by up to 1/254 of the largest in its row; inputs, biases and sums stay float32.
    data : array_like, shape (n, in), or table, optional
        The first rows are those of the self-test. For int8, the comment states how far the predictions for
        these rows are from those of float32, so they should be typical. Without it rows are random.

    Returns
    -------
    str
        The text of the file; nothing is written.

    Raises
    ------
    TypeError, ValueError
        For another model, several networks, another name or kind of weights; for data of another shape, not
        finite, or with wrong codes of categories; for weights beyond float32, and whole-number categories
        from 2**53 on.
    """
    from ._export.c_file import c_text, checked_name
    from ._export.table_net import table_net_of

    name = checked_name(name)
    weights = _checks.one_of("weights", weights, ("float32", "int8"))
    if (table := table_net_of(model)) is not None:
        from ._export.c_table import c_table_of

        return c_text(table.nets[0], name, weights, None, c_table_of(table, data))
    net = net_of(model)
    return c_text(net, name, weights, None if data is None else _checked_data(data, net))


def _checked_data(data: Any, net: Net) -> np.ndarray:
    """Rows (n, in) that are finite in float32, with codes in range."""
    inputs = net.inputs
    array = as_numeric("data", data)
    if array.ndim != 2 or array.shape[1] != inputs or len(array) == 0:
        raise ValueError(f"data must have shape (n, {inputs}) with n of at least 1, not {array.shape}")
    with np.errstate(over="ignore", under="ignore"):
        narrow = array.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise ValueError("data must be finite in float32")
    if net.front is not None and (wrong := net.front.wrong_code(narrow)) is not None:
        raise ValueError(f"data holds a wrong code at row {wrong}")
    return narrow


def net_of(model: Any) -> Net:
    """The network of a model, an estimator or a Pipeline. Raises TypeError or ValueError."""
    if hasattr(type(model), "__bpkern_core__"):
        return net_of_core(core_of(model))
    if not hasattr(model, "get_params"):
        raise TypeError(f"model must be a bpkern.MLP, an estimator or a Pipeline, not {model!r}")
    from ._export.estimators import net_of_estimator

    return net_of_estimator(model)


def _plain_net_of(model: Any) -> Net:
    """As `net_of`, of layers and activations alone. Raises TypeError or ValueError for other parts."""
    if hasattr(type(model), "__bpkern_whole__"):
        raise TypeError(
            f"{type(model).__name__} reads raw tables, which only to_onnx and to_c export: export its "
            "network (TableModel.model, or models_[0] of an estimator), which reads the encoder's results"
        )
    if hasattr(type(model), "__bpkern_core__"):
        refuse_extra(core_of(model).settings, "export to torch and safetensors")
    return net_of(model)
