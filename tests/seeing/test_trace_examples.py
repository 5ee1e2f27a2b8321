"""The worked examples of textbooks through `MLP.trace`, to their printed digits."""

import numpy as np
import pytest
from textbook import TARGET, X, two_two_two

import bpkern


def digits(array, places=4):
    return np.round(np.asarray(array, float), places).tolist()


def test_two_two_two(isa, dtype):
    [step] = two_two_two(dtype).trace(X, TARGET).steps
    first, last = step.layers
    assert digits(step.outputs) == [[0.7514, 0.7729]]
    assert round(step.loss, 4) == 0.2984
    assert (step.penalty, step.learning_rate, step.probabilities) == (0, 0.5, None)
    assert digits(first.x) == X
    assert digits(first.z) == [[0.3775, 0.3925]]
    assert digits(first.a) == digits(last.x) == [[0.5933, 0.5969]]
    assert digits(last.z) == [[1.1059, 1.2249]]
    assert digits(step.doutputs) == [[0.7414, -0.2171]]
    assert digits(last.slope) == [[0.1868, 0.1755]]
    assert digits(last.delta) == [[0.1385, -0.0381]]
    assert digits(first.dW) == [[0.0004, 0.0009], [0.0005, 0.0010]]
    assert digits(last.dW) == [[0.0822, 0.0827], [-0.0226, -0.0227]]
    assert digits(first.new_W) == [[0.1498, 0.1996], [0.2498, 0.2995]]
    assert digits(first.new_b) == [0.3456, 0.3450]
    assert digits(last.new_W) == [[0.3589, 0.4087], [0.5113, 0.5614]]
    assert digits(last.new_b) == [0.5308, 0.6190]


def test_two_two_two_for_many_steps():
    """Each step begins where the last one ended; after 10,000 of them the loss is 0.000035, as Mazur writes.

    He leaves the biases as they are; this net moves them, so its loss is compared with training."""
    model = two_two_two()
    trace = model.trace(X, TARGET, steps=20)
    losses = [model.train_on_batch(X, TARGET) for _ in range(20)]
    assert [step.loss for step in trace.steps] == losses
    for before, after in zip(trace.steps, trace.steps[1:], strict=False):
        assert (before.layers[0].new_W == after.layers[0].W).all()
    assert [(step.number, step.update) for step in trace.steps] == [(i, i) for i in range(20)]


def test_the_slope_of_one_neuron_is_a_quarter():
    """d/dw s(w x + b) at x = 1, w = 0, b = 0"""
    model = bpkern.MLP([1, 1], output_activation="sigmoid", loss="squared_error", dtype="float64")
    model.set_weights([([[0.0]], [0.0])])
    [layer] = model.trace([[1.0]], [[1.0]]).steps[0].layers
    assert layer.slope.tolist() == [[0.25]]
    assert layer.dW.tolist() == [[(0.5 - 1) * 0.25]]


def test_a_layer_of_two():
    model = bpkern.MLP([2, 2], output_activation="sigmoid", loss="squared_error", dtype="float64")
    model.set_weights([([[0.1, 0.2], [0.3, 0.4]], [0.5, 0.5])])
    [layer] = model.trace([[1.0, 2.0]], [[1.0, 1.0]]).steps[0].layers
    assert digits(layer.z) == [[1.0, 1.6]]
    assert digits(layer.delta, 5) == [[-0.05288, -0.02348]]
    assert np.abs(layer.dW - [[-0.05288, -0.10575], [-0.02348, -0.04696]]).max() < 1e-5


def test_softmax_and_l2():
    rng, l2 = np.random.default_rng(0), 0.05
    inputs, labels = rng.standard_normal((5, 3072)), rng.integers(0, 10, 5)
    model = bpkern.MLP([3072, 20, 10], loss="cross_entropy", dtype="float64", l2=l2, seed=0)
    trace = model.trace(inputs, labels)
    [step] = trace.steps
    (w1, b1), (w2, b2) = model.get_weights()
    h1 = np.maximum(inputs @ w1.T + b1, 0)
    p = np.exp(h1 @ w2.T + b2)
    p /= p.sum(axis=1, keepdims=True)
    assert round(step.loss, 6) == 5.62386
    assert step.penalty == pytest.approx(l2 * ((w1**2).sum() + (w2**2).sum()), rel=1e-13)
    assert step.probabilities == pytest.approx(p, rel=1e-12)
    assert (trace.targets == np.eye(10)[labels]).all()
    delta2 = (p - np.eye(10)[labels]) / 5
    assert step.doutputs == pytest.approx(delta2, abs=1e-15)
    delta1 = (delta2 @ w2) * (h1 > 0)
    for layer, delta, x, w in zip(step.layers, (delta1, delta2), (inputs, h1), (w1, w2), strict=True):
        assert layer.delta == pytest.approx(delta, abs=1e-14)
        assert layer.dW == pytest.approx(delta.T @ x + 2 * l2 * w, abs=1e-13)
        assert layer.db == pytest.approx(delta.sum(axis=0), abs=1e-14)
        assert layer.new_W == pytest.approx(w - 0.01 * layer.dW, abs=1e-14)
