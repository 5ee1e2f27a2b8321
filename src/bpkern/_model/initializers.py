"""Initial weights: drawn from a named distribution, or given as arrays."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import _checks
from .parameters import Weights, checked_weights

# Activations for which "auto" means "he_uniform"; for all others it means "glorot_uniform".
RECTIFIERS = ("relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "softplus")

# (Generator, fan in, fan out, dtype) -> W of shape (out, in), drawn in float64.
Draw = Callable[[Any, int, int, Any], np.ndarray]

# Numbers drawn at a time. A whole layer drawn in float64 would need twice the memory of its float32 weights.
PIECE = 1 << 16


def _in_pieces(draw: Callable[[int], np.ndarray], shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """A matrix of numbers in their order, from `draw(count)`. Raises ValueError as `_drawn`."""
    matrix = np.empty(shape, dtype)
    numbers = matrix.reshape(-1)
    for start in range(0, numbers.size, PIECE):
        count = min(PIECE, numbers.size - start)
        numbers[start : start + count] = _drawn(draw(count), (count,))
    return matrix


def _drawn(numbers: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of a generator, which may be a user's. Raises ValueError unless they have this shape."""
    drawn = np.asarray(numbers)
    if drawn.shape != shape:
        raise ValueError(f"a generator must draw weights in shape {shape}, not {drawn.shape}")
    return drawn


def _uniform(limit_squared: Callable[[int, int], float]) -> Draw:
    """Uniform on [-limit, limit), with limit**2 = limit_squared(fan in, fan out)."""

    def draw(generator: np.random.Generator, fan_in: int, fan_out: int, dtype: Any) -> np.ndarray:
        limit = np.sqrt(limit_squared(fan_in, fan_out))
        return _in_pieces(lambda count: generator.uniform(-limit, limit, count), (fan_out, fan_in), dtype)

    return draw


def _normal(variance: Callable[[int, int], float]) -> Draw:
    """Normal with the variance variance(fan in, fan out)."""

    def draw(generator: np.random.Generator, fan_in: int, fan_out: int, dtype: Any) -> np.ndarray:
        deviation = np.sqrt(variance(fan_in, fan_out))
        return _in_pieces(lambda count: generator.normal(0.0, deviation, count), (fan_out, fan_in), dtype)

    return draw


def _orthogonal(generator: np.random.Generator, fan_in: int, fan_out: int, dtype: Any) -> np.ndarray:
    """Orthonormal rows, or columns if there are more rows: PyTorch's orthogonal_ (Saxe et al., 2014).

    The only initial weights computed by LAPACK, whose last bits may differ between machines and numbers of
    BLAS threads.
    """
    shape = max(fan_in, fan_out), min(fan_in, fan_out)
    q, r = np.linalg.qr(_drawn(generator.standard_normal(shape), shape))
    # With a positive diagonal of R, Q is unique, and uniformly distributed over the orthogonal matrices.
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return np.ascontiguousarray(q if fan_out >= fan_in else q.T, dtype)


# Fan in and fan out are the numbers of a layer's inputs and outputs. Glorot's are PyTorch's xavier_uniform_
# and xavier_normal_, He's its kaiming_uniform_ and kaiming_normal_ for relu. LeCun's are Keras's, except that
# Keras truncates the normal distribution.
INITIALIZERS: dict[str, Draw] = {
    "glorot_uniform": _uniform(lambda fan_in, fan_out: 6.0 / (fan_in + fan_out)),
    "glorot_normal": _normal(lambda fan_in, fan_out: 2.0 / (fan_in + fan_out)),
    "he_uniform": _uniform(lambda fan_in, _: 6.0 / fan_in),
    "he_normal": _normal(lambda fan_in, _: 2.0 / fan_in),
    "lecun_uniform": _uniform(lambda fan_in, _: 3.0 / fan_in),
    "lecun_normal": _normal(lambda fan_in, _: 1.0 / fan_in),
    "orthogonal": _orthogonal,
}
NAMES = ("auto", *INITIALIZERS)


def checked_init(init: Any, layers: list[int], dtype: np.dtype[Any]) -> str | Weights:
    """`init` in the form that `each_initial_layer` takes: a known name, or copies of the given arrays.

    Parameters
    ----------
    init : str or sequence of (W, b)
        Arrays are checked as in `MLP.set_weights`.
    layers : list of int
    dtype : numpy.dtype

    Raises
    ------
    ValueError, TypeError
        For an unknown name, and for arrays that do not fit.
    """
    if isinstance(init, str):
        return _checks.one_of("init", init, NAMES)
    if not isinstance(init, (list, tuple)):
        raise TypeError(f"init must be a name, one of {', '.join(NAMES)}, or a list of (W, b), not {init!r}")
    try:
        return checked_weights(init, layers, dtype)
    except (ValueError, TypeError) as error:
        raise _checks.within("init", error) from None


def each_initial_layer(
    init: str | Weights,
    layers: list[int],
    activations: list[str],
    generator: np.random.Generator,
    dtype: np.dtype[Any],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """New weights of shape (out, in) and biases of shape (out,); each pair is drawn when it is asked for.

    Parameters
    ----------
    init : str or list of (W, b)
        From `checked_init`. For a name, weights are drawn in float64, and biases are 0. "auto"
        is "he_uniform" before one of `RECTIFIERS`, and "glorot_uniform" before any other activation.
    layers : list of int
    activations : list of str
        One per weight matrix.
    generator : Generator
        Not used if `init` is arrays.
    dtype : numpy.dtype

    Raises
    ------
    ValueError
        For a subclass of Generator that draws other shapes, or numbers that are not finite.
    """
    if not isinstance(init, str):
        for w, b in init:
            yield w.copy(), b.copy()
        return
    for fan_in, fan_out, activation in zip(layers, layers[1:], activations, strict=False):
        name = init
        if name == "auto":
            name = "he_uniform" if activation in RECTIFIERS else "glorot_uniform"
        with np.errstate(all="ignore"):  # a user's generator may draw numbers that overflow
            w = INITIALIZERS[name](generator, fan_in, fan_out, dtype)
        if type(generator) is not np.random.Generator and not np.isfinite(w).all():
            raise ValueError(f"a generator must draw weights that are finite in {w.dtype.name}")
        yield w, np.zeros(fan_out, dtype)
