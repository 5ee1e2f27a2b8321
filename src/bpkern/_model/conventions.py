"""Definitions of loss, penalties and means in which libraries differ."""

import math
from typing import NamedTuple


class Conventions(NamedTuple):
    """The definitions that a model follows. The defaults are those of this package.

    A subclass of `bpkern.MLP` that follows another library returns its own from `__bpkern_conventions__`.
    They are not saved in files. With a loss that is a Python function, only `penalty_per_weight` has an
    effect.

    Attributes
    ----------
    loss_factor : float
        Multiplies the reported loss, without the penalties.
    slope_factor : float
        Multiplies the derivative of the loss and thereby the gradients, without the penalties.
    log_loss_cap : float
        Upper bound of one log loss in the reported loss; its derivative is not capped. In cross_entropy it
        caps -log of the label's probability (targets that are rows of probabilities are not capped), in
        binary_cross_entropy the loss of each output.
    penalty_per_weight : bool
        Divide l1 and l2 by the weight of the batch: the sum of its sample weights, or its number of rows.
    mean_by_rows : bool
        The loss and accuracy of an epoch are means over its batches, each counted by its number of rows
        instead of its weight. A batch of zero weight does not count.
    deviance : bool
        Add ``y * log(y) - y`` to the poisson loss, not to its derivative. The loss is then half the deviance:
        0 if the rate is exact.
    """

    loss_factor: float = 1.0
    slope_factor: float = 1.0
    log_loss_cap: float = math.inf
    penalty_per_weight: bool = False
    mean_by_rows: bool = False
    deviance: bool = False
