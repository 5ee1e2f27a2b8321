"""Worked examples of textbooks, to their printed digits, and the scripts that show them."""

import itertools
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import bpkern
from bpkern import kernels, reference

EXAMPLES = Path(__file__).parents[2] / "examples"

STEP = 1e-6  # of finite differences


def digits(array, expected, places=4):
    return np.array_equal(np.round(array, places), np.array(expected))


@pytest.mark.parametrize("trainer", [bpkern.MLP, reference.MLP])
@pytest.mark.parametrize("loss", ["squared_error", "mse"])
def test_two_two_two(trainer, loss, dtype):
    """With two outputs and one row, mse and squared_error are equal."""
    model = trainer(
        [2, 2, 2],
        activation="sigmoid",
        output_activation="sigmoid",
        loss=loss,
        optimizer=bpkern.SGD(lr=0.5),
        dtype=dtype,
    )
    model.set_weights(
        [
            ([[0.15, 0.20], [0.25, 0.30]], [0.35, 0.35]),
            ([[0.40, 0.45], [0.50, 0.55]], [0.60, 0.60]),
        ]
    )
    x, target = [[0.05, 0.10]], [[0.01, 0.99]]
    assert digits(model.forward(x).astype(float), [[0.7514, 0.7729]])
    value, [(dw1, _), (dw2, _)] = model.gradients(x, target)
    assert round(value, 4) == 0.2984
    assert digits(dw1.astype(float), [[0.0004, 0.0009], [0.0005, 0.0010]])
    assert digits(dw2.astype(float), [[0.0822, 0.0827], [-0.0226, -0.0227]])
    history = model.fit(x, target)
    assert round(history["loss"][0], 4) == 0.2984
    (w1, b1), (w2, b2) = ((w.astype(float), b.astype(float)) for w, b in model.get_weights())
    assert digits(w1, [[0.1498, 0.1996], [0.2498, 0.2995]])
    assert digits(b1, [0.3456, 0.3450])
    assert digits(w2, [[0.3589, 0.4087], [0.5113, 0.5614]])
    assert digits(b2, [0.5308, 0.6190])


def test_three_outputs_and_two_rows_tell_the_losses_apart():
    x, y = np.array([[0.05, 0.10], [0.4, -0.2]]), np.array([[0.01, 0.99, 0.5], [0.3, 0.1, 0.9]])
    models = {
        loss: bpkern.MLP([2, 3], output_activation="sigmoid", loss=loss, dtype="float64", seed=1)
        for loss in ("squared_error", "mse")
    }
    a = models["mse"].forward(x)
    gradients = {loss: model.gradients(x, y) for loss, model in models.items()}
    errors = a - y
    assert gradients["squared_error"][0] == pytest.approx((errors**2).sum() / 2 / 2, rel=1e-14)
    assert gradients["mse"][0] == pytest.approx((errors**2).sum() / 6, rel=1e-14)
    delta = errors * a * (1 - a)
    for loss, factor in (("squared_error", 1 / 2), ("mse", 2 / 6)):
        [(dw, db)] = gradients[loss][1]
        assert dw == pytest.approx(factor * delta.T @ x, rel=1e-13)
        assert db == pytest.approx(factor * delta.sum(axis=0), rel=1e-13)


def test_one_sigmoid_neuron_by_the_chain_rule():
    x, y, w, b = 1.5, 1.0, 0.4, -0.2
    model = bpkern.MLP([1, 1], output_activation="sigmoid", loss="squared_error", dtype="float64")
    model.set_weights([([[w]], [b])])
    prediction = 1 / (1 + np.exp(-(w * x + b)))
    dz = (prediction - y) * prediction * (1 - prediction)
    loss, [(dw, db)] = model.gradients([[x]], [[y]])
    assert loss == pytest.approx(0.5 * (y - prediction) ** 2, rel=1e-14)
    assert dw[0, 0] == pytest.approx(dz * x, rel=1e-13)
    assert db[0] == pytest.approx(dz, rel=1e-13)


def test_the_slope_of_sigmoid_at_zero_is_a_quarter():
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    a = kernels.linear_forward(one, zero, zero[0], "sigmoid")
    assert kernels.delta_backward(one, one, a, "sigmoid")[0, 0] == 0.25


def test_a_layer_of_two():
    x, w, b = np.array([[1.0, 2.0]]), np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([0.5, 0.5])
    assert digits(kernels.linear_forward(x, w, b), [[1.0, 1.6]])
    model = bpkern.MLP([2, 2], output_activation="sigmoid", loss="squared_error", dtype="float64")
    model.set_weights([(w, b)])
    _, [(dw, db)] = model.gradients(x, [[1.0, 1.0]])
    assert digits(db, [-0.05288, -0.02348], 5)
    # -.10575 and -.04696 were rounded from half-way cases, hence a tolerance of a unit of the last digit.
    assert np.abs(dw - [[-0.05288, -0.10575], [-0.02348, -0.04696]]).max() < 1e-5


def test_two_layers_by_finite_differences():
    """delta1 = (delta2 W2) * s'(z1)"""
    rng = np.random.default_rng(0)
    x, w1, w2 = (rng.standard_normal(shape) for shape in ((1, 3), (4, 3), (2, 4)))
    zero1, zero2 = np.zeros(4), np.zeros(2)

    def loss_of(z1):
        a1 = 1 / (1 + np.exp(-z1))
        return 0.5 * float(((kernels.linear_forward(a1, w2, zero2, "sigmoid") - 1) ** 2).sum())

    z1 = kernels.linear_forward(x, w1, zero1)
    a1 = kernels.linear_forward(x, w1, zero1, "sigmoid")
    a2 = kernels.linear_forward(a1, w2, zero2, "sigmoid")
    delta1 = kernels.delta_backward((a2 - 1) * a2 * (1 - a2), w2, a1, "sigmoid")
    for j in range(4):
        step = STEP * np.eye(4)[[j]]
        numeric = (loss_of(z1 + step) - loss_of(z1 - step)) / (2 * STEP)
        assert abs(numeric - delta1[0, j]) <= 1e-8
    assert np.abs(delta1).max() > 1e-3


def test_relu_softmax_l2():
    """loss (1/N) sum L + l2 sum W^2; dW2 = delta2' h1 + 2 l2 W2; biases averaged over the batch once."""
    rng, l2 = np.random.default_rng(0), 0.05
    X, y = rng.standard_normal((5, 3072)), rng.integers(0, 10, 5)
    model = bpkern.MLP([3072, 20, 10], loss="cross_entropy", dtype="float64", l2=l2, seed=0)
    loss, [(dw1, db1), (dw2, db2)] = model.gradients(X, y)
    (w1, b1), (w2, b2) = model.get_weights()
    h1 = np.maximum(X @ w1.T + b1, 0)
    p = np.exp(h1 @ w2.T + b2)
    p /= p.sum(axis=1, keepdims=True)
    penalty = l2 * ((w1**2).sum() + (w2**2).sum())
    assert loss == pytest.approx(-np.log(p[np.arange(5), y]).mean() + penalty, rel=1e-13)
    delta2 = (p - np.eye(10)[y]) / 5
    delta1 = (delta2 @ w2) * (h1 > 0)
    for got, expected in (
        (dw2, delta2.T @ h1 + 2 * l2 * w2),
        (db2, delta2.sum(axis=0)),
        (dw1, delta1.T @ X + 2 * l2 * w1),
        (db1, delta1.sum(axis=0)),
    ):
        assert np.abs(got - expected).max() <= 1e-13 * np.abs(expected).max()

    state = model.state_dict()
    for name, index, analytic in (
        ("0.weight", (3, 1000), dw1),
        ("0.bias", (4,), db1),
        ("1.weight", (2, 7), dw2),
        ("1.bias", (9,), db2),
    ):
        value, losses = state[name][index], []
        for step in (STEP, -STEP):
            state[name][index] = value + step
            model.load_state_dict(state)
            losses.append(model.evaluate(X, y)["loss"])
        state[name][index] = value
        numeric = (losses[0] - losses[1]) / (2 * STEP)
        assert abs(numeric - analytic[index]) <= 1e-6 * np.abs(analytic).max()


@pytest.mark.filterwarnings("ignore:the loss cross_entropy applies its own softmax")
def test_sigmoid_outputs_under_cross_entropy(dtype):
    """Five images of noise labelled 0 to 4: the loss falls, and equals the reference's at every step."""
    rng = np.random.default_rng(0)
    X, y = rng.random((5, 784)), np.arange(5)
    settings = dict(
        activation="sigmoid",
        output_activation="sigmoid",
        loss="cross_entropy",
        optimizer=bpkern.SGD(lr=0.01, momentum=0.9),
        dtype=dtype,
        seed=0,
    )
    ours = bpkern.MLP([784, 500, 10], **settings).fit(X, y, epochs=60, batch_size=5)["loss"]
    theirs = reference.MLP([784, 500, 10], **settings).fit(X, y, epochs=60, batch_size=5)["loss"]
    assert np.abs(np.subtract(ours, theirs)).max() <= 200 * np.finfo(dtype).eps
    assert all(later < earlier for earlier, later in itertools.pairwise(ours[:4]))
    assert np.log((np.e + 9) / np.e) < ours[-1] < ours[0] - 0.3


@pytest.mark.parametrize(("batch_size", "each"), [(256, 196), (50_000, 1), (1, 50_000), (60_000, 1)])
def test_iterations_of_an_epoch(batch_size, each):
    X, y = np.zeros((50_000, 1), np.float32), np.zeros(50_000)
    model = bpkern.MLP([1, 1], loss="mse", seed=0)
    epochs = 10 if batch_size == 256 else 1
    assert model.fit(X, y, epochs=epochs, batch_size=batch_size).iterations == each * epochs


SHOWN = {
    "two_two_two.py": ["[0.7514 0.7729]", "loss 0.2984", "[0.5113 0.5614]", "b1 [0.5308 0.619 ]"],
    "expression.py": ["z = -12", "∂v1/∂y = 1", "dq/du = 7"],
    "one_neuron.py": ["da/dw = 0.25", "dE/dw = -0.1446", "w is now 0.4723"],
    "two_layers.py": ["z [1.  1.6]", "delta [-0.05288 -0.02348]", "by finite differences -0.01083988"],
    "relu_softmax_l2.py": ["loss 5.623860, by hand 5.623860"],
    "sigmoid_cross_entropy.py": ["the floor is 1.461"],
    "batch_sizes.py": ["196 iterations an epoch,  1960 in 10"],
    "reinforcement.py": ["after 30 updates a pole stays up for 200 of 200 steps"],
    "larger_than_memory.py": ["2000 batches; 8 of 10 should be inside: 8.0 are"],
}


def prose_and_code(script):
    """The lines of text of a chapter, those of its title included, and its code."""
    source = script.read_text()
    [title] = re.findall(r'^r?"""(.*?)^"""$', source, re.M | re.S)[:1]
    lines = source.replace(title, "", 1).splitlines()
    text = [line.removeprefix("#") for line in lines if line.startswith("#")]
    return "\n".join([title, *text]), "\n".join(line for line in lines if not line.startswith("#"))


def decimals(text):
    """The numbers with a decimal point, without their signs and last zeros."""
    return {number.rstrip("0") for number in re.findall(r"\d+\.\d+", text)}


@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_the_scripts_print_them(script, capsys, monkeypatch):
    """Each decimal number of a chapter's text and formulas is in its code, or is printed by it."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    if "matplotlib" in (EXAMPLES / script).read_text():
        pytest.importorskip("matplotlib")
    with np.printoptions():  # which scripts set
        runpy.run_path(str(EXAMPLES / script))
    printed = capsys.readouterr().out
    for text in SHOWN[script]:
        assert text in printed
    prose, code = prose_and_code(EXAMPLES / script)
    assert decimals(prose) - decimals(code) - decimals(printed) == set()


def test_the_chapters_are_in_a_book():
    """The site has all scripts."""
    chapters = re.findall(r"^   (\w+)$", (EXAMPLES / "index.rst").read_text(), re.M)
    assert sorted(chapters) == sorted(path.stem for path in EXAMPLES.glob("*.py"))
