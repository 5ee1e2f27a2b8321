"""The three kernels of backpropagation: a layer forward, the delta recursion, a step of SGD."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from .activations import FROM_Z, functions_of
from .optimizers import STEPS


@np.errstate(all="ignore")
def linear_forward(
    x: Any, w: Any, b: Any, activation: str = "identity", out: Any = None, *, scratch: Any = None
) -> np.ndarray:
    """``a = s(x @ w.T + b)``; see `bpkern.kernels.linear_forward`. `scratch` has the shape of the result."""
    out = np.matmul(x, w.T, out=out)
    out += b
    forward, _ = functions_of(activation)
    forward(out, np.empty_like(out) if scratch is None else scratch)
    return out


@np.errstate(all="ignore")
def delta_backward(
    delta_next: Any,
    w_next: Any,
    a: Any,
    activation: str,
    *,
    z: Any = None,
    out: Any = None,
    scratch: Any = None,
) -> np.ndarray:
    """``delta = (delta_next @ w_next) * s'(z)``; see `bpkern.kernels.delta_backward`. `scratch` as above."""
    if activation in FROM_Z and z is None:
        raise ValueError(f"{activation!r} needs z: its derivative is no function of a")
    out = np.matmul(delta_next, w_next, out=out)
    _, backward = functions_of(activation)
    backward(out, z if activation in FROM_Z else a, np.empty_like(out) if scratch is None else scratch)
    return out


@np.errstate(all="ignore")
def sgd_update(
    w: Any,
    b: Any,
    delta: Any,
    x: Any,
    lr: float,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    vw: Any = None,
    vb: Any = None,
    scratch: Any = None,
) -> None:
    """One step of SGD in place; see `bpkern.kernels.sgd_update`. `scratch` is two arrays like w."""
    settings = SimpleNamespace(momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, dampening=0.0)
    gradient, spare = (np.empty(w.shape, w.dtype) for _ in range(2)) if scratch is None else scratch
    np.matmul(delta.T, x, out=gradient)
    STEPS["sgd"](w, gradient, {"velocity": vw}, 1, lr, settings, spare)
    STEPS["sgd"](b, delta.sum(axis=0), {"velocity": vb}, 1, lr, settings, np.empty_like(b))
