"""Gradients of a model beside finite differences of its loss."""

import numpy as np
import pytest

STEP = 1e-6


def assert_gradients(net, x, y, places, tolerance):
    """`net.gradients` by name, of a float64 model, at so many random places of each of its parameters."""
    _, gradients = net.gradients(x, y, by_name=True)
    state = net.state_dict()
    assert list(gradients) == list(state)
    for name, array in state.items():
        for place in np.random.default_rng(0).integers(0, array.size, places):
            at, losses = np.unravel_index(place, array.shape), []
            for change in (STEP, -2 * STEP, STEP):
                array[at] += change
                net.load_state_dict(state)
                losses.append(net.evaluate(x, y)["loss"])
            expected = (losses[0] - losses[1]) / (2 * STEP)
            assert gradients[name][at] == pytest.approx(expected, abs=tolerance), name
