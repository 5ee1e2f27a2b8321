"""The error of a diverging fit."""

from typing import Any


class DivergedError(ArithmeticError):
    """The loss or the weights are no longer finite numbers.

    The model keeps finite weights. If a loss was not finite, they are those before that step. If the weights,
    their average or the optimiser's states overflowed, they are those at the start of that epoch, or, if a
    callback trained the model during the epoch, those before the last such call.

    Parameters
    ----------
    message : str
        What `str` returns.
    epoch, iteration : int
        The attributes of these names.

    Attributes
    ----------
    epoch : int
        The epoch of the fit, counted from 0.
    iteration : int
        The mini-batch of the fit at which the divergence was found, counted from 0; at the end of an epoch,
        the mini-batch that would have been next. A resumed fit continues the count. `MLP.step` belongs to no
        fit: its `epoch` is 0, and its `iteration` the number of updates that the model had made before.
    """

    def __init__(self, message: str, epoch: int, iteration: int) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.iteration = iteration

    def __reduce__(self) -> tuple[type, tuple[str, int, int], dict[str, Any]]:
        return type(self), (self.args[0], self.epoch, self.iteration), vars(self)  # with its notes
