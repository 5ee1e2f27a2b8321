"""The settings of an optimiser. The arithmetic is in the kernels, and in `bpkern.reference` once more."""

from . import checks


class SGD:
    """Stochastic gradient descent, with momentum and weight decay as PyTorch defines them.

    For each weight and bias ``w`` with gradient ``g`` and velocity ``v``, zero at first::

        g <- g + weight_decay * w
        v <- momentum * v + g
        w <- w - lr * v                       plain momentum
        w <- w - lr * (g + momentum * v)      Nesterov

    An optimiser holds settings only: models may share one, and a changed attribute takes effect at the next
    call of `fit` or `train_on_batch`.

    Parameters
    ----------
    lr : float
        The learning rate, at least 0.
    momentum : float
        From 0, which is none, to 1.
    nesterov : bool
        Look ahead along the velocity; needs a momentum above 0.
    weight_decay : float
        At least 0; for weights and biases alike. (`MLP(l2=...)` is for the weights only.)

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind, and Nesterov without momentum.
    """

    # A misspelt attribute is an error, not a setting that nobody reads.
    __slots__ = ("lr", "momentum", "nesterov", "weight_decay")

    def __init__(
        self, lr: float = 0.01, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        self.lr = lr
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError where the attributes as they are now make no optimiser."""
        checks.real("lr", self.lr)
        checks.real("momentum", self.momentum, 0.0, 1.0)
        checks.real("weight_decay", self.weight_decay)
        if checks.flag("nesterov", self.nesterov) and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, not 0")

    def __repr__(self) -> str:
        return (
            f"SGD(lr={self.lr}, momentum={self.momentum}, nesterov={self.nesterov}, "
            f"weight_decay={self.weight_decay})"
        )
