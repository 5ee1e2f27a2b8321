"""Where libraries define loss, penalties and means otherwise: what a model of another one's needs."""

import math
from typing import NamedTuple


class Conventions(NamedTuple):
    """Definitions in which libraries differ. The defaults are those of this package.

    A subclass of `MLP` that follows another library sets ``settings.conventions`` before its network is made.
    They are no part of a file. For a loss that is a Python function there is `penalty_per_weight` alone.

    Attributes
    ----------
    loss_factor : float
        Times the loss that is reported, penalties apart.
    slope_factor : float
        Times the derivative of the loss, and so times the gradients, penalties apart.
    most : float
        What one output's log loss counts at most, in the loss and not in its derivative: -log of the label's
        probability in cross_entropy, which is that of rows of probabilities as it is, and the loss of each
        output in binary_cross_entropy.
    penalty_per_weight : bool
        l1 and l2 are divided by the weight of the batch: the sum of its sample weights, or its rows without.
    mean_by_rows : bool
        The loss and the accuracy of an epoch are means of its batches', each counted by its rows and not by
        its weight. A batch of zero weight has none.
    deviance : bool
        The poisson loss, not its derivative, has ``y * log(y) - y`` besides, and so is half the deviance: 0
        where the rate is right.
    """

    loss_factor: float = 1.0
    slope_factor: float = 1.0
    most: float = math.inf
    penalty_per_weight: bool = False
    mean_by_rows: bool = False
    deviance: bool = False
