"""The error of a diverging fit."""


class DivergedError(ArithmeticError):
    """The loss or the weights are no longer finite numbers.

    The model keeps finite weights. If a loss was not finite, they are those before that step. If the weights,
    the optimiser's states or the average overflowed, they are those at the start of that epoch.

    Attributes
    ----------
    epoch : int
        The epoch of the fit, counted from 0.
    iteration : int
        The mini-batch of the fit at which the divergence was found, counted from 0; at the end of an epoch,
        the mini-batch that would have been next. A resumed fit continues the count.
    """

    def __init__(self, message: str, epoch: int, iteration: int) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.iteration = iteration

    def __reduce__(self) -> tuple[type, tuple[str, int, int]]:
        return type(self), (self.args[0], self.epoch, self.iteration)
