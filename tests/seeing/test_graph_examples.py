"""`bpkern.graph` gives the numbers of textbooks."""

import pytest

from bpkern.graph import sigmoid, variables


def test_a_sum_times_a_number():
    x, y, w = variables(x=-2, y=5, w=-4)
    z = (x + y) * w
    assert z.value == -12
    z.backward()
    assert (x.gradient, y.gradient, w.gradient, z.gradient) == (-4, -4, 3, 1)
    [(total, by_sum, _), (_, by_w, _)] = z.edges
    assert (total.value, total.gradient, by_sum, by_w) == (3, -4, -4, 3)
    assert [(edge.operand, edge.derivative) for edge in total.edges] == [(x, 1), (y, 1)]


def test_the_neuron_whose_slope_is_a_quarter():
    w, x, b = variables(w=0, x=1, b=0)
    a = sigmoid(w * x + b)
    a.backward()
    assert (a.value, w.gradient, x.gradient, b.gradient) == (0.5, 0.25, 0, 0.25)


def test_the_loss_of_a_neuron():
    x, y, w, b = variables(x=1.5, y=1.0, w=0.4, b=-0.2)
    prediction = sigmoid(w * x + b)
    loss = 0.5 * (y - prediction) ** 2
    loss.backward()
    a = prediction.value
    dz = (a - 1) * a * (1 - a)
    assert w.gradient == pytest.approx(dz * 1.5, rel=1e-15)
    assert b.gradient == pytest.approx(dz, rel=1e-15)


def test_two_two_two():
    """The net with two inputs, neurons and outputs: its loss 0.2984, and dW2 by the chain rule."""
    i1, i2, b1, b2 = variables(i1=0.05, i2=0.10, b1=0.35, b2=0.60)
    w1, w2, w3, w4 = variables(w1=0.15, w2=0.20, w3=0.25, w4=0.30)
    w5, w6, w7, w8 = variables(w5=0.40, w6=0.45, w7=0.50, w8=0.55)
    h1, h2 = sigmoid(w1 * i1 + w2 * i2 + b1), sigmoid(w3 * i1 + w4 * i2 + b1)
    o1, o2 = sigmoid(w5 * h1 + w6 * h2 + b2), sigmoid(w7 * h1 + w8 * h2 + b2)
    loss = 0.5 * (0.01 - o1) ** 2 + 0.5 * (0.99 - o2) ** 2
    assert [round(node.value, 4) for node in (o1, o2, loss)] == [0.7514, 0.7729, 0.2984]
    loss.backward()
    assert [round(w.gradient, 4) for w in (w1, w2, w3, w4)] == [0.0004, 0.0009, 0.0005, 0.0010]
    assert [round(w.gradient, 4) for w in (w5, w6, w7, w8)] == [0.0822, 0.0827, -0.0226, -0.0227]
    # 0.7414 · 0.1868 · 0.5933 = 0.0822
    [to_net] = o1.edges
    assert (round(o1.gradient, 4), round(to_net.derivative, 4), round(h1.value, 4)) == (
        0.7414,
        0.1868,
        0.5933,
    )
