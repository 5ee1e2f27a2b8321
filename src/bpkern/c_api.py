"""The C API of bpkern: its header for compilers, and its functions for ctypes and Numba.

C and C++ take the header and the capsule of the extension, Cython also c_api.pxd: docs/c-api.md has examples
of each. This module is for code that is not compiled against the header.
"""

import ctypes
import re
from ctypes import (
    CFUNCTYPE,
    POINTER,
    PYFUNCTYPE,
    c_char_p,
    c_double,
    c_int,
    c_size_t,
    c_ssize_t,
    c_uint64,
    c_void_p,
)
from pathlib import Path

__all__ = ["Api", "Data", "Report", "Training", "constants", "functions", "get_include"]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)


def get_include() -> str:
    """The folder of the headers bpkern.h and bpkern_python.h, for the compiler.

    Returns
    -------
    str
        An absolute path in the installed package.
    """
    return str(Path(__file__).parent.resolve() / "include")


class Data(ctypes.Structure):
    """`bpkern_data` of bpkern.h: the rows of a fit or an evaluation."""

    _fields_ = (
        ("size", c_size_t),
        ("n", c_ssize_t),
        ("x", c_void_p),
        ("ldx", c_ssize_t),
        ("labels", c_void_p),
        ("y", c_void_p),
        ("ldy", c_ssize_t),
        ("weights", c_void_p),
    )


class Training(ctypes.Structure):
    """`bpkern_training` of bpkern.h: how to train. `training_init` fills it."""

    _fields_ = (
        ("size", c_size_t),
        ("rule", c_int),
        ("shuffle", c_int),
        ("lr", c_double),
        ("weight_decay", c_double),
        ("momentum", c_double),
        ("square_decay", c_double),
        ("eps", c_double),
        ("lr_decay", c_double),
        ("nesterov", c_int),
        ("centered", c_int),
        ("amsgrad", c_int),
        ("threads", c_int),
        ("l1", c_double),
        ("l2", c_double),
        ("clip_norm", c_double),
        ("clip_value", c_double),
        ("epochs", c_ssize_t),
        ("batch", c_ssize_t),
        ("stop", CFUNCTYPE(c_int, c_void_p)),
        ("stop_context", c_void_p),
        ("dampening", c_double),
        ("momentum_decay", c_double),
        ("maximize", c_int),
        ("decoupled", c_int),
    )


class Report(ctypes.Structure):
    """`bpkern_report` of bpkern.h: what a fit or an evaluation found."""

    _fields_ = (
        ("size", c_size_t),
        ("losses", c_void_p),
        ("epochs", c_ssize_t),
        ("loss", c_double),
        ("accuracy", c_double),
        ("bad_row", c_ssize_t),
    )


# The types of arguments that follow each other in several functions: a matrix and its leading dimension; the
# dtype and the number of threads; three sizes.
_MATRIX = (c_void_p, c_ssize_t)
_CALL = (c_int, c_int)
_SIZES = (c_ssize_t, c_ssize_t, c_ssize_t)
_NAME = CFUNCTYPE(c_char_p, c_int)
_NUMBER = CFUNCTYPE(c_int)


class Api(ctypes.Structure):
    """`bpkern_api` of bpkern.h: its functions, which release Python's lock.

    A status is an int, 0 without an error. Pointers are addresses, such as ``array.ctypes.data``, and NULL is
    0 or None. Nothing checks the arrays behind them, and they must live as long as the call.
    """

    _fields_ = (
        ("abi", c_int),
        ("revision", c_int),
        ("size", c_size_t),
        ("version", CFUNCTYPE(c_char_p)),
        ("status_name", _NAME),
        ("activation_name", _NAME),
        ("loss_name", _NAME),
        ("rule_name", _NAME),
        ("needs_z", CFUNCTYPE(c_int, c_int)),
        ("isa_count", _NUMBER),
        ("isa_name", _NAME),
        ("isa_runs", CFUNCTYPE(c_int, c_int)),
        ("isa_selected", _NUMBER),
        ("isa_select", CFUNCTYPE(c_int, c_int)),
        ("processors", _NUMBER),
        ("linear_forward", CFUNCTYPE(c_int, *_CALL, *_SIZES, *_MATRIX, *_MATRIX, c_void_p, c_int, *_MATRIX)),
        ("delta_backward", CFUNCTYPE(c_int, *_CALL, *_SIZES, *_MATRIX, *_MATRIX, *_MATRIX, c_int, *_MATRIX)),
        (
            "sgd_update",
            CFUNCTYPE(
                *(c_int, *_CALL, *_SIZES, *_MATRIX, c_void_p, *_MATRIX, *_MATRIX, *_MATRIX, c_void_p),
                *(c_double, c_double, c_int, c_double),
            ),
        ),
        ("activate", CFUNCTYPE(c_int, c_int, c_int, c_ssize_t, c_ssize_t, *_MATRIX)),
        ("activate_with_slope", CFUNCTYPE(c_int, c_int, c_int, c_ssize_t, c_ssize_t, *_MATRIX, *_MATRIX)),
        ("apply_derivative", CFUNCTYPE(c_int, c_int, c_int, c_ssize_t, c_ssize_t, *_MATRIX, *_MATRIX)),
        ("probabilities", CFUNCTYPE(c_int, c_int, c_int, c_ssize_t, c_ssize_t, c_void_p, c_void_p)),
        (
            "net_create",
            CFUNCTYPE(c_int, c_int, c_int, c_void_p, c_void_p, c_int, c_void_p, POINTER(c_void_p)),
        ),
        ("net_free", CFUNCTYPE(None, c_void_p)),
        ("net_init", CFUNCTYPE(c_int, c_void_p, c_uint64)),
        ("net_layers", CFUNCTYPE(c_int, c_void_p)),
        ("net_width", CFUNCTYPE(c_ssize_t, c_void_p, c_int)),
        ("net_set_layer", CFUNCTYPE(c_int, c_void_p, c_int, c_void_p, c_void_p)),
        ("net_get_layer", CFUNCTYPE(c_int, c_void_p, c_int, c_void_p, c_void_p)),
        ("training_init", CFUNCTYPE(c_int, POINTER(Training), c_size_t, c_int)),
        ("net_fit", CFUNCTYPE(c_int, c_void_p, POINTER(Data), POINTER(Training), POINTER(Report))),
        ("net_evaluate", CFUNCTYPE(c_int, c_void_p, c_int, POINTER(Data), POINTER(Report))),
        ("net_forward", CFUNCTYPE(c_int, c_void_p, c_int, c_ssize_t, *_MATRIX, c_void_p)),
        ("net_set_activation_parameter", CFUNCTYPE(c_int, c_void_p, c_int, c_double)),
    )


def functions() -> Api:
    """The functions of the C API for ctypes and Numba.

    Returns
    -------
    Api
        Its members are ctypes functions, by their names in bpkern.h without ``bpkern_``.
    """
    # A function of its own: ctypes.pythonapi.PyCapsule_Import belongs to the whole process.
    find = PYFUNCTYPE(c_void_p, c_char_p, c_int)(("PyCapsule_Import", ctypes.pythonapi))
    return Api.from_address(find(b"bpkern._core._C_API", 0))


def constants() -> dict[str, int]:
    """The numbers of bpkern.h by their names: ``constants()["BPKERN_RELU"]``.

    Returns
    -------
    dict of str to int
        The enumerators, and the versions of the header.
    """
    header = (Path(get_include()) / "bpkern.h").read_text(encoding="utf-8")
    return {name: int(number) for name, number in re.findall(r"\b(BPKERN_\w+)(?: = | )(\d+)\b", header)}
