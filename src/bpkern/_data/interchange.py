"""Numbers of NumPy and of other libraries as arrays, without a copy if possible."""

from typing import Any

import numpy as np


def as_numeric(name: str, values: Any) -> np.ndarray:
    """`values` as a new array object of a real dtype; the same memory if it is an array of any library.

    The new object keeps its shape and dtype if the caller changes those of the array.

    Raises
    ------
    TypeError, ValueError
        For values that are not real numbers in dense memory of the CPU. The message begins with `name`.
    """
    if type(values) is np.ndarray and (view := values.view()).dtype.kind in "biuf":
        return view
    if hasattr(values, "tocsr"):
        raise TypeError(f"{name} must be dense, not a sparse {type(values).__name__}: pass {name}.toarray()")
    if np.ma.isMaskedArray(values):
        raise TypeError(f"{name} must have a value everywhere, and is a masked array: fill it, or drop rows")
    array = (_from_library(name, values) if _is_foreign(values) else np.asarray(values)).view()
    if array.dtype.kind == "O":
        try:
            if (found := _text_in(values, array)) is not None:
                raise TypeError(found)
            array = array.astype(np.float64)
        except OverflowError as error:
            raise ValueError(f"{name} holds a number too large for float64: {error}") from None
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name} must hold numbers: {error}{_hint(name)}") from None
    if array.dtype.kind not in "biuf":
        if array.dtype.kind in "USO" and array.size:
            raise TypeError(f"{name} must hold numbers: {_text_in(values, array)}{_hint(name)}")
        raise TypeError(f"{name} must hold real numbers, not dtype {array.dtype}{_hint(name)}")
    return array


def _text_in(values: Any, array: np.ndarray) -> str | None:
    """Where an array of objects or strings holds its first string, for errors; None without any.

    `values` is the object of the caller, such as a table whose columns have names.
    """
    if array.dtype.kind != "O" and not isinstance(values, np.ndarray):
        array = np.asarray(values, object).reshape(array.shape)  # as a list of numbers and strings was given
    for place, value in np.ndenumerate(array):
        if isinstance(value, (str, bytes)):
            where = f"row {place[0]}" if place else "it"
            if len(place) == 2:
                names = list(getattr(values, "columns", ()))
                column = repr(names[place[1]]) if len(names) == array.shape[1] else str(place[1])
                where = f"column {column}, row {place[0]},"
            return f"{where} holds the string {str(value)!r}"
    return None


def _hint(name: str) -> str:
    """How to make class numbers from other labels, for errors about y."""
    return "; classes are 0, 1, ...: numpy.unique(y, return_inverse=True)" if name == "y" else ""


def _is_foreign(values: Any) -> bool:
    """Whether `values` is an array of another library: all that can share memory with NumPy have DLPack."""
    return hasattr(values, "__dlpack__") and not isinstance(values, np.ndarray)


def _from_library(name: str, values: Any) -> np.ndarray:
    """An array of another library as a NumPy array of the same memory. Raises TypeError."""
    if getattr(values, "requires_grad", False):
        raise TypeError(f"{name} must not require gradients: pass {name}.detach()")
    try:
        # __array__ first: through DLPack, PyTorch would let the tensor be resized while its memory is read.
        return np.asarray(values) if hasattr(values, "__array__") else np.from_dlpack(values)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        what = [f"{part} {getattr(values, part)}" for part in ("dtype", "device") if hasattr(values, part)]
        raise TypeError(
            f"{name} must hold real numbers that NumPy can read, on the CPU: {type(values).__name__} of "
            f"{', '.join(what) or 'unknown dtype'} cannot be read ({error}); "
            f"with PyTorch, pass {name}.cpu().float()"
        ) from None
