"""The error a diverging fit raises."""


class DivergedError(ArithmeticError):
    """The loss or the weights are no longer finite numbers.

    The model is left whole, with finite weights: as before the step whose loss was not finite, or as of the
    start of the epoch in which the weights overflowed, or the optimiser's states or the average did.

    Attributes
    ----------
    epoch : int
        The epoch of the fit in which it happened, from 0.
    iteration : int
        The mini-batch of the fit at which it was noticed, from 0; where that was at an epoch's end, the one
        that would have come next. A fit that is resumed goes on counting.
    """

    def __init__(self, message: str, epoch: int, iteration: int) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.iteration = iteration

    def __reduce__(self) -> tuple[type, tuple[str, int, int]]:
        return type(self), (self.args[0], self.epoch, self.iteration)
