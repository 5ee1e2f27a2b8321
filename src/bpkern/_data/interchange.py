"""Numbers from NumPy and other libraries as arrays of the same memory."""

from typing import Any

import numpy as np


def as_numeric(name: str, values: Any) -> np.ndarray:
    """An array of a real dtype; the same memory where `values` is one already, of whatever library."""
    if type(values) is np.ndarray and values.dtype.kind in "biuf":
        return values
    if hasattr(values, "tocsr"):
        raise TypeError(f"{name} must be dense, not a sparse {type(values).__name__}: pass {name}.toarray()")
    if np.ma.isMaskedArray(values):
        raise TypeError(f"{name} must have a value everywhere, and is a masked array: fill it, or drop rows")
    array = _from_library(name, values) if _is_foreign(values) else np.asarray(values)
    if array.dtype.kind == "O":
        try:
            if any(isinstance(value, (str, bytes)) for value in array.flat):
                raise TypeError("strings are none")
            array = array.astype(np.float64)
        except OverflowError as error:
            raise ValueError(f"{name} holds a number too large for float64: {error}") from None
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name} must hold numbers: {error}{_hint(name)}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, not dtype {array.dtype}{_hint(name)}")
    return array


def _hint(name: str) -> str:
    return "; classes are 0, 1, ...: numpy.unique(y, return_inverse=True)" if name == "y" else ""


def _is_foreign(values: Any) -> bool:
    """Whether it is an array of another library: of those that NumPy can share, all speak DLPack."""
    return hasattr(values, "__dlpack__") and not isinstance(values, np.ndarray)


def _from_library(name: str, values: Any) -> np.ndarray:
    if getattr(values, "requires_grad", False):
        raise TypeError(f"{name} must not require gradients: pass {name}.detach()")
    try:
        # By DLPack, PyTorch would still let the tensor be resized, and its memory go, while it is read.
        return np.asarray(values) if hasattr(values, "__array__") else np.from_dlpack(values)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        what = [f"{part} {getattr(values, part)}" for part in ("dtype", "device") if hasattr(values, part)]
        raise TypeError(
            f"{name} must hold real numbers that NumPy can read, on the CPU: {type(values).__name__} of "
            f"{', '.join(what) or 'unknown dtype'} is none ({error}); with PyTorch, pass {name}.cpu().float()"
        ) from None
