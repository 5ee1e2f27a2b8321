"""Checks of weights and biases, and their names in dictionaries.

Throughout the package, l counts the weight matrices from 0: matrix l leads from layers[l] to layers[l + 1].
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np

from .. import _core
from .._data.interchange import as_numeric

# The names of a layer's parameters, without needless zeros: two names never mean the same layer. Compiled at
# its first use, as that takes a fiftieth of the package's import.
NUMBERED = r"(0|[1-9][0-9]{0,8})\.(?:weight|bias)"

# [(W, b), ...], W of shape (out, in) and b of shape (out,).
Weights = list[tuple[np.ndarray, np.ndarray]]


def checked_weights(
    weights: Sequence[Any],
    layers: list[int],
    dtype: "np.dtype[Any]",
    bias: Sequence[bool],
    copy: bool = True,
    names: tuple[str, str] = ("W", "b"),
) -> Weights:
    """`weights` as contiguous arrays of this dtype.

    Parameters
    ----------
    weights : sequence of (W, b)
        Weights may also be a flat list as of Keras's `get_weights`: see `_from_keras`.
    layers : list of int
        Sizes, input first.
    dtype : numpy.dtype
    bias : sequence of bool
        Whether each layer has biases. One without has b of None or zeros, and gets zeros.
    copy : bool
        Also copy arrays that already fit, because other code may change them.
    names : (str, str)
        Of the two arrays of a layer, for errors.

    Raises
    ------
    ValueError, TypeError
        For shapes, values and dtypes that do not fit.
    """
    whole, pair_name = "weights" if names == ("W", "b") else "gradients", f"({', '.join(names)})"
    # A flat list of gradients is no form of Keras: whether to transpose would be a guess.
    is_list = isinstance(weights, (list, tuple)) and names == ("W", "b")
    if is_list and weights and all(hasattr(each, "shape") for each in weights):
        weights = _from_keras(weights, layers, bias)
    if not isinstance(weights, (list, tuple)) or not all(isinstance(pair, (list, tuple)) for pair in weights):
        raise TypeError(f"{whole} must be a list of pairs {pair_name}")
    if len(weights) != len(layers) - 1:
        raise ValueError(f"{whole} must hold {len(layers) - 1} pairs {pair_name}, not {len(weights)}")
    checked = []
    for l, pair in enumerate(weights):
        if len(pair) != 2:
            raise ValueError(f"{whole} must hold pairs {pair_name}, not {len(pair)} items for layer {l}")
        w = checked_array(f"{names[0]} of layer {l}", pair[0], (layers[l + 1], layers[l]), dtype, copy)
        b_name, b_shape = f"{names[1]} of layer {l}", (layers[l + 1],)
        if bias[l]:
            if pair[1] is None:
                raise TypeError(
                    f"{b_name} must be an array of shape {b_shape}, not None: the layer has biases"
                )
            b = checked_array(b_name, pair[1], b_shape, dtype, copy)
        else:
            if pair[1] is not None and checked_array(b_name, pair[1], b_shape, dtype, False).any():
                raise ValueError(f"{b_name} must be None or zeros: the layer has no bias")
            b = np.zeros(b_shape, dtype)
        checked.append((w, b))
    return checked


def _from_keras(arrays: Sequence[Any], layers: list[int], bias: Sequence[bool]) -> list[tuple[Any, Any]]:
    """The pairs (W, b) of a flat list ``[kernel, bias, kernel, bias, ...]``, as of Keras's `get_weights`.

    Kernels have the shape (in, out); layers without biases have a kernel alone. Raises ValueError for another
    number of arrays and for other shapes.
    """
    if len(arrays) != len(bias) + sum(bias):
        raise ValueError(
            f"weights must hold {len(layers) - 1} pairs (W, b), or as many kernels and biases in a flat "
            f"list, not {len(arrays)} arrays"
        )
    left = iter(arrays)
    pairs = [(next(left), next(left) if has_bias else None) for has_bias in bias]
    kernels = [kernel for kernel, _ in pairs]
    for l, (kernel, sizes) in enumerate(zip(kernels, pairwise(layers), strict=True)):
        if tuple(kernel.shape) != sizes:
            raise ValueError(
                f"kernel {l} of a flat list of weights, which is Keras's form, must have the shape "
                f"(in, out), {sizes}, not {tuple(kernel.shape)}; pairs (W, b) have W of shape (out, in)"
            )
    return [(kernel.T, b) for kernel, b in pairs]


def checked_array(
    name: str, values: Any, shape: tuple[int, ...], dtype: "np.dtype[Any]", copy: bool
) -> np.ndarray:
    """`values` as a finite array of this shape and dtype. Raises ValueError or TypeError."""
    if not isinstance(values, np.ndarray) and hasattr(values, "__dlpack__"):  # a tensor of another library
        values = as_numeric(name, values)
    array = np.asarray(values).view()  # an object of our own, whose shape nobody else changes after the check
    casts = array.dtype != dtype
    if casts and not np.can_cast(array.dtype, np.float64, "safe"):
        raise TypeError(f"{name} must cast safely to float64, not from {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {array.shape}")
    # The last check is of the copy: the caller may change the array meanwhile.
    with np.errstate(over="ignore", under="ignore") if casts else nullcontext():
        own = np.array(array, dtype, order="C") if copy else np.require(array, dtype, ["C", "A"])
    if not _core.all_finite(own):
        raise ValueError(f"{name} must be finite in {dtype.name}")
    return own


def state_of(weights: Weights, bias: Sequence[bool] | None = None) -> dict[str, np.ndarray]:
    """The arrays by the names "0.weight", "0.bias", "1.weight", ...

    With `bias`, which says whether each layer has biases, those of other layers are left out.
    """
    state = {}
    for l, (w, b) in enumerate(weights):
        state[f"{l}.weight"] = w
        if bias is None or bias[l]:
            state[f"{l}.bias"] = b
    return state


def weights_of(
    state: Mapping[str, Any], count: int, bias: Sequence[bool] | None = None
) -> list[tuple[Any, Any]]:
    """The inverse of `state_of` for `count` layers, with None for what is left out.

    Raises ValueError for missing and unknown names.
    """
    names = {
        f"{l}.{kind}"
        for l in range(count)
        for kind in ("weight", "bias")
        if kind == "weight" or bias is None or bias[l]
    }
    if set(state) != names:
        missing, unknown = sorted(names - set(state)), sorted(map(str, set(state) - names))
        raise ValueError(f"state must hold just the model's names: missing {missing}, unknown {unknown}")
    return [(state[f"{l}.weight"], state.get(f"{l}.bias")) for l in range(count)]


# Before the names of extra parameters: "inputs.0.scale" is of the first of the inputs, and
# "activations.0.alpha" of the activation of layer 0.
INPUTS = "inputs."
ACTIVATIONS = "activations."


def extra_of(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The extra parameters, and all others, by name."""
    own = {name: array for name, array in state.items() if str(name).startswith((INPUTS, ACTIVATIONS))}
    return own, {name: array for name, array in state.items() if name not in own}


def checked_mapping(state: Any) -> Mapping[str, Any]:
    """The state itself. Raises TypeError unless it is a mapping."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a mapping of names to arrays, not {state!r}")
    return state


def without_gaps(state: Mapping[str, Any], count: int) -> Mapping[str, Any]:
    """A state whose layers are numbered in steps of 1, as in `state_of`, from one with greater steps.

    Anything but `count` numbers is returned as it is, for `weights_of` to refuse.
    """
    state = checked_mapping(state)
    numbers = {found[1] for name in state if (found := re.fullmatch(NUMBERED, str(name), re.ASCII))}
    if len(numbers) != count:
        return state
    places = {number: str(l) for l, number in enumerate(sorted(numbers, key=int))}
    return {renamed(name, places): array for name, array in state.items()}


def renamed(name: str, places: Mapping[str, str]) -> str:
    """The name with the number of its layer replaced."""
    number, dot, kind = str(name).partition(".")
    return f"{places[number]}.{kind}" if dot and number in places else name
