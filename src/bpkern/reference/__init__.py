"""Backpropagation in plain NumPy, to be read: the oracle of the tests and the baseline of the benchmarks.

The three functions have the signatures of `bpkern.kernels`, and room for `scratch` arrays besides; `MLP` has
the constructor and `fit` of `bpkern.MLP`, its gradients and predictions, and no more. Products are BLAS's and
outputs are allocated once; nothing else is made clever. Shapes: x (n, in), w (out, in), b (out,), a, z and
delta (n, out), with n the rows of the mini-batch.

To read it from the bottom up: `activations`, `losses`, `dropout`, `optimizers` and `kernels`; then `network`,
which takes one mini-batch forward and back, `update`, which makes a step of its gradients, and `mlp`, the
trainer.
"""

from .kernels import delta_backward, linear_forward, sgd_update
from .mlp import MLP

__all__ = ["MLP", "delta_backward", "linear_forward", "sgd_update"]
