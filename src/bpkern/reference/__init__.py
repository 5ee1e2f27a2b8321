"""Backpropagation in plain NumPy, to be read: the oracle of the tests and the baseline of the benchmarks.

The three functions have the signatures of `bpkern.kernels`, and an optional argument `scratch`: arrays to be
overwritten, which some functions call `spare`.
`MLP` has the constructor, `fit`, gradients and predictions of `bpkern.MLP`, and no more. Products are BLAS's
and outputs are allocated once; there are no other optimisations. Shapes: x (n, in), w (out, in), b (out,); a,
z and delta (n, out), with n the rows of the mini-batch.

Read it from the bottom up: `activations`, `losses`, `dropout`, `optimizers` and `kernels`; then `network`,
the forward and backward pass of a mini-batch, `update`, which turns gradients into new weights, and `mlp`,
the trainer.
"""

from .kernels import delta_backward, linear_forward, sgd_update
from .mlp import MLP

__all__ = ["MLP", "delta_backward", "linear_forward", "sgd_update"]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)
