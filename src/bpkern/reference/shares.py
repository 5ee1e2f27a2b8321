"""Shares of activations, z + alpha (f(z) - z): forward, and the gradient of alpha."""

import numpy as np

from .activations import FROM_Z, functions_of


class Share:
    """A parametric activation on a parameter of the caller.

    Parameters
    ----------
    activation : str
        The text of f.
    alpha : ndarray, shape (units,)
    place : int
        The number of alpha among the parameters.
    """

    def __init__(self, activation, alpha, place):
        self._activation, self._alpha, self.place = activation, alpha, place

    def forward(self, z, a, scratch):
        """a (n, units) <- z + alpha (f(z) - z). Returns f(z) - z, a new array."""
        np.copyto(a, z)
        functions_of(self._activation)[0](a, scratch)
        difference = a - z
        np.multiply(difference, self._alpha, out=a)
        a += z
        return difference

    def backward(self, delta, z, difference):
        """The gradient of alpha, from the derivative by the activations; that becomes the derivative by z."""
        gradient = (delta * difference).sum(axis=0)
        slope = np.ones_like(z)
        by = z if self._activation in FROM_Z else z + difference
        functions_of(self._activation)[1](slope, by, np.empty_like(z))
        slope -= 1
        slope *= self._alpha
        slope += 1
        delta *= slope
        return gradient


def shares_of(settings, parameters):
    """The `Share` of each layer that has one, by the layer's number.

    The parameters are [W, b, ...], those of the inputs, and those of the activations.
    """
    place = 2 * len(settings.activations) + (0 if settings.stage is None else len(settings.stage.shapes))
    mixed = [l for l, given in enumerate(settings.parametric) if given]
    return {l: Share(settings.activations[l], parameters[place + i], place + i) for i, l in enumerate(mixed)}
