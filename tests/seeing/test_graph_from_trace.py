"""`graph.from_trace`: the graph of a training step has the values and gradients of its trace."""

import numpy as np
import pytest
from helpers import fitting

import bpkern
from bpkern.graph import from_trace

LOSSES = [name for name in bpkern._core.LOSSES if name != "custom"]


def values_and_gradients(loss):
    """By name, the value and the gradient of each node that has one."""
    return {node.name: (node.value, by) for node, by in loss.gradients().items() if node.name}


def check(trace, tolerance=1e-12):
    """Every number of a layer that the graph has, and the loss."""
    for step in trace.steps:
        loss = from_trace(step)
        assert loss.value == pytest.approx(step.loss, rel=tolerance)
        found, rows = values_and_gradients(loss), len(step.outputs)
        seen = 0
        for l, layer in enumerate(step.layers):
            for quantity, derivative in (("W", "dW"), ("b", "db"), ("z", "delta"), ("x", "dx")):
                values, slopes = getattr(layer, quantity), getattr(layer, derivative)
                for index in np.ndindex(values.shape):
                    shown = index[1:] if quantity in "zx" and rows == 1 else index
                    letter, layer_of = ("a", l - 1) if quantity == "x" and l else (quantity, l)
                    name = f"{letter}{'' if letter == 'x' else layer_of}[{','.join(map(str, shown))}]"
                    if name not in found:  # a of the identity is z
                        assert letter == "a"
                        assert trace.activations[l - 1] == "identity"
                        continue
                    seen += 1
                    assert found[name] == pytest.approx((values[index], slopes[index]), rel=1e-9, abs=1e-12)
        assert seen > 0


def a_trace(rng, loss, activation, rows, *, targets=None, sample_weight=None, **settings):
    outputs = int(rng.integers(1, 4)) if targets is None else targets.shape[1]
    model = bpkern.MLP(
        [2, 3, outputs],
        activation=activation,
        loss=loss,
        dtype="float64",
        init="he_normal",
        seed=1,
        **settings,
    )
    if targets is None:
        targets = rng.integers(0, outputs, rows) if loss == "cross_entropy" else rng.random((rows, outputs))
        targets = fitting(loss, targets)
    return model.trace(rng.normal(0, 2, (rows, 2)), targets, sample_weight=sample_weight, steps=2)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", [*bpkern._core.ACTIVATIONS, "leaky_relu(0.2)", "elu(2.5)"])
def test_every_activation_and_loss(loss, activation):
    rng = np.random.default_rng(len(loss) + 100 * len(activation))
    for rows in (1, 3):
        check(a_trace(rng, loss, activation, rows))


def test_penalties_dropout_and_weights():
    rng = np.random.default_rng(0)
    trace = a_trace(
        rng, "mse", "tanh", 4, l1=0.1, l2=0.05, dropout=0.5, sample_weight=[1.0, 0.5, 0.0, 2.0],
        output_activation="sigmoid",
    )  # fmt: skip
    assert (trace.steps[0].layers[0].a == 0).any()
    check(trace)


def test_soft_targets_and_label_smoothing():
    targets = np.array([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]])
    rng = np.random.default_rng(0)
    check(a_trace(rng, "cross_entropy", "relu", 2, targets=targets, label_smoothing=0.2))


@pytest.mark.parametrize("logit", [-3000.0, 3000.0])
def test_large_logits(logit):
    model = bpkern.MLP([1, 2], loss="cross_entropy", dtype="float64")
    model.set_weights([([[0.0], [0.0]], [logit, logit + 1])])
    check(model.trace([[1.0]], [0]))


def test_kinks():
    """The derivatives at 0 are those of training."""
    for loss in ("mae", "huber", "quantile"):
        for activation in ("relu", "leaky_relu", "elu"):
            model = bpkern.MLP([1, 1, 1], activation=activation, loss=loss, dtype="float64")
            model.set_weights([([[0.0]], [0.0]), ([[1.0]], [0.0])])
            check(model.trace([[1.0]], [[0.0]]))
            check(model.trace([[1.0]], [[5.0]]))


def test_the_textbook(tmp_path):
    model = bpkern.MLP(
        [2, 2, 2], activation="sigmoid", output_activation="sigmoid", loss="squared_error", dtype="float64"
    )
    model.set_weights(
        [([[0.15, 0.20], [0.25, 0.30]], [0.35, 0.35]), ([[0.40, 0.45], [0.50, 0.55]], [0.60, 0.60])]
    )
    loss = from_trace(model.trace([[0.05, 0.10]], [[0.01, 0.99]]).steps[0])
    assert (loss.name, round(loss.value, 4)) == ("E", 0.2984)
    found = values_and_gradients(loss)
    assert [round(found[f"W1[{j},{i}]"][1], 4) for j in (0, 1) for i in (0, 1)] == [
        0.0822, 0.0827, -0.0226, -0.0227
    ]  # fmt: skip
    loss.save(tmp_path / "step.html")
    assert "a1[0] = σ(z1[0])" in (tmp_path / "step.html").read_text("utf-8")


def test_float32():
    """Within its rounding."""
    model = bpkern.MLP([2, 3, 1], loss="mse", seed=0)
    [step] = model.trace([[0.5, -1.0]], [[0.25]]).steps
    loss = from_trace(step)
    assert loss.value == pytest.approx(step.loss, rel=1e-5)
    assert values_and_gradients(loss)["W1[0,0]"][1] == pytest.approx(step.layers[1].dW[0, 0], rel=1e-5)


def test_what_has_no_graph():
    model = bpkern.MLP([100, 100], loss="mse", seed=0)
    with pytest.raises(TypeError, match="step must be a step of a trace"):
        from_trace(model.trace(np.ones((1, 100)), np.ones((1, 100))))
    [step] = model.trace(np.ones((5, 100)), np.ones((5, 100))).steps
    with pytest.raises(ValueError, match="101,000 nodes and more, and at most 100,000 are allowed"):
        from_trace(step)
    own = bpkern.MLP([1, 1], loss=lambda a, y: (((a - y) ** 2).sum(axis=1), 2 * (a - y)), seed=0)
    with pytest.raises(ValueError, match="needs the formula of the loss"):
        from_trace(own.trace([[1.0]], [[0.0]]).steps[0])
