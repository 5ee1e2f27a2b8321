"""Initial weights: drawn from a named distribution, or given as arrays."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import _checks
from .parameters import Weights, checked_weights

# What "auto" means, for any activation: by measurement, docs/networks.md.
AUTO = "glorot_biased"
# In files of version 0.1, "auto" is he_uniform before these activations, otherwise glorot_uniform.
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


def _torch_biases(generator: np.random.Generator, fan_in: int, fan_out: int, dtype: Any) -> np.ndarray:
    """Biases of shape (out,), as torch.nn.Linear draws them: uniform on [-1 / sqrt(in), 1 / sqrt(in))."""
    limit = 1.0 / np.sqrt(fan_in)
    return _drawn(generator.uniform(-limit, limit, fan_out), (fan_out,)).astype(dtype)


_glorot_uniform = _uniform(lambda fan_in, fan_out: 6.0 / (fan_in + fan_out))

# Fan in and fan out are the numbers of a layer's inputs and outputs. Glorot's are PyTorch's xavier_uniform_
# and xavier_normal_, He's its kaiming_uniform_ and kaiming_normal_ for relu. LeCun's are Keras's, except that
# Keras truncates the normal distribution.
INITIALIZERS: dict[str, Draw] = {
    "glorot_uniform": _glorot_uniform,
    "glorot_normal": _normal(lambda fan_in, fan_out: 2.0 / (fan_in + fan_out)),
    "he_uniform": _uniform(lambda fan_in, _: 6.0 / fan_in),
    "he_normal": _normal(lambda fan_in, _: 2.0 / fan_in),
    "lecun_uniform": _uniform(lambda fan_in, _: 3.0 / fan_in),
    "lecun_normal": _normal(lambda fan_in, _: 1.0 / fan_in),
    "orthogonal": _orthogonal,
    AUTO: _glorot_uniform,
}
NAMES = ("auto", *INITIALIZERS)


# The name of a distribution and the gain of its weights, for each layer.
Draws = list[tuple[str, float]]


def checked_init(
    init: Any, layers: list[int], dtype: np.dtype[Any], bias: list[bool] | None = None
) -> str | Draws | Weights:
    """`init` in the form that `each_initial_layer` takes.

    Parameters
    ----------
    init : str, (str, float), or sequence
        A name; a name and a gain; a list of these, one per layer; or a list of (W, b), checked as in
        `MLP.set_weights`.
    layers : list of int
    dtype : numpy.dtype
    bias : list of bool, optional
        Whether each layer has biases; by default all have.

    Returns
    -------
    str, list of (name, gain), or list of (W, b)
        A known name, names and gains for each layer, or copies of the given arrays. "auto" becomes `AUTO`,
        which files hold.

    Raises
    ------
    ValueError, TypeError
        For an unknown name or a gain that is not allowed, and for arrays that do not fit.
    """
    if isinstance(init, str):
        return _named(init)
    if not isinstance(init, (list, tuple)):
        raise TypeError(
            f"init must be a name, one of {', '.join(NAMES)}, a pair (name, gain), a list with one of these "
            f"per layer, or a list of (W, b), not {init!r}"
        )
    count = len(layers) - 1
    if _is_pair(init):
        return [_draw_of(init)] * count
    if any(isinstance(each, str) or _is_pair(each) for each in init):
        if len(init) != count:
            raise ValueError(
                f"init must have one name per layer, the output included, {count}, not {len(init)}"
            )
        return [_draw_of(each) for each in init]
    try:
        return checked_weights(init, layers, dtype, [True] * count if bias is None else bias)
    except (ValueError, TypeError) as error:
        raise _checks.within("init", error) from None


def _is_pair(init: Any) -> bool:
    """Whether this is a name with a gain."""
    is_pair = isinstance(init, (list, tuple)) and len(init) == 2
    return is_pair and isinstance(init[0], str) and not isinstance(init[1], (str, list, tuple))


def _draw_of(init: Any) -> tuple[str, float]:
    """A name, or a name and a gain, as both. Raises ValueError or TypeError."""
    name, gain = init if _is_pair(init) else (init, 1.0)
    gain = _checks.positive("the gain of init", gain)
    return _named(name), gain


def _named(name: Any) -> str:
    """The name of a distribution. Raises ValueError or TypeError."""
    name = _checks.one_of("init", name, NAMES)
    return AUTO if name == "auto" else name


def of_version_0_1(init: Any, activations: list[str]) -> Any:
    """`init` of a file, whose "auto" means what it meant in version 0.1."""

    def meant(name: Any, activation: str) -> Any:
        if not isinstance(name, str) or name != "auto":
            return name
        return "he_uniform" if activation in RECTIFIERS else "glorot_uniform"

    if isinstance(init, str):
        return [(meant(init, each), 1.0) for each in activations] if init == "auto" else init
    if not isinstance(init, list) or len(init) != len(activations) or not all(map(_is_pair, init)):
        return init
    return [(meant(name, each), gain) for (name, gain), each in zip(init, activations, strict=True)]


def has_arrays(init: str | Draws | Weights) -> bool:
    """Whether a result of `checked_init` is arrays."""
    return not isinstance(init, str) and not isinstance(init[0][0], str)


def each_initial_layer(
    init: str | Draws | Weights,
    layers: list[int],
    generator: np.random.Generator,
    dtype: np.dtype[Any],
    bias: list[bool] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """New weights of shape (out, in) and biases of shape (out,); each pair is drawn when it is asked for.

    Parameters
    ----------
    init : str, list of (name, gain) or list of (W, b)
        From `checked_init`. For a name, weights are drawn in float64. Biases are 0; those of `AUTO` are drawn
        after the weights of their layer, uniform on [-1 / sqrt(in), 1 / sqrt(in)).
    layers : list of int
    generator : Generator
        Not used if `init` is arrays.
    dtype : numpy.dtype
    bias : list of bool, optional
        Whether each layer has biases; by default all have. None are drawn for the others.

    Raises
    ------
    ValueError
        For a subclass of Generator that draws other shapes, or numbers that are not finite; and for a gain
        with which the weights are not finite.
    """
    draws: Any = [(init, 1.0)] * (len(layers) - 1) if isinstance(init, str) else init
    if has_arrays(init):
        for w, b in draws:
            yield w.copy(), b.copy()
        return
    for l, ((name, gain), fan_in, fan_out) in enumerate(zip(draws, layers, layers[1:], strict=False)):
        draws_biases = name == AUTO and (bias is None or bias[l])
        with np.errstate(all="ignore"):  # a user's generator may draw numbers that overflow
            w = INITIALIZERS[name](generator, fan_in, fan_out, dtype)
            if gain != 1:
                w *= dtype.type(gain)
            b = _torch_biases(generator, fan_in, fan_out, dtype) if draws_biases else np.zeros(fan_out, dtype)
        is_checked = gain != 1 or type(generator) is not np.random.Generator
        if is_checked and not (np.isfinite(w).all() and np.isfinite(b).all()):
            what = (
                "a generator must draw weights"
                if gain == 1
                else f"init with the gain {gain:g} must draw weights"
            )
            raise ValueError(f"{what} that are finite in {w.dtype.name}")
        yield w, b
