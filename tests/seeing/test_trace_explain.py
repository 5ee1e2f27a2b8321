"""`Trace.explain`: products of local derivatives along all paths, whose sum is the derivative of training."""

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers import fitting
from textbook import TARGET, X, two_two_two

import bpkern
from bpkern._core import ACTIVATIONS, LOSSES


@pytest.fixture(scope="module")
def textbook():
    return two_two_two().trace(X, TARGET, steps=2)


def test_a_weight_of_the_last_layer(textbook):
    """dE/dw5 = 0.7414 * 0.1868 * 0.5933 = 0.0822"""
    found = textbook.explain("layers[1].W[0, 0]")
    [term] = found.terms
    assert [round(factor.value, 4) for factor in term.factors] == [0.7414, 0.1868, 0.5933]
    assert round(found.value, 4) == 0.0822
    assert found.count == 1
    assert (
        str(found)
        == """\
layers[1].W[0, 0], step 0: ∂E/∂W1[0,0] = 0.0822

  ∂E/∂W1[0,0] = ∂E/∂a1[0] · σ′(z1[0]) · a0[0]
              = 0.7414 · 0.1868 · 0.5933
              = 0.0822

  with
    ∂E/∂a1[0]  0.7414  ∂E/∂a1[0]        a − y = 0.7514 − 0.0100  (squared_error)
    σ′(z1[0])  0.1868  ∂a1[0]/∂z1[0]    a (1 − a) = 0.7514 · (1 − 0.7514)  (sigmoid)
    a0[0]      0.5933  ∂z1[0]/∂W1[0,0]"""
    )
    assert repr(found) == "<Explanation of layers[1].W[0, 0] in step 0: 0.082167, a sum of 1 product>"


def test_a_weight_of_the_first_layer_has_two_paths(textbook):
    """dE/dw1 = (sum over the outputs of dE/dout * dout/dnet * w) * dout_h1/dnet_h1 * i1 = 0.000438568"""
    found = textbook.explain("layers[0].W[0, 0]")
    assert found.value == pytest.approx(0.000438568, abs=5e-10)
    assert [[round(factor.value, 4) for factor in term.factors] for term in found.terms] == [
        [0.7414, 0.1868, 0.4, 0.2413, 0.05],
        [-0.2171, 0.1755, 0.5, 0.2413, 0.05],
    ]
    text = str(found)
    assert "the sum of 2 products" in text
    assert "  ∂E/∂a1[0] · σ′(z1[0]) · W1[0,0] · σ′(z0[0]) · x[0]\n" in text
    assert "+ ∂E/∂a1[1] · σ′(z1[1]) · W1[1,0] · σ′(z0[0]) · x[0]\n" in text
    assert "= (−0.2171) · 0.1755 · 0.5000 · 0.2413 · 0.0500 = −0.0002" in text


def test_the_others_of_the_textbook(textbook):
    assert round(textbook.explain("layers[1].b[0]").value, 4) == 0.1385
    assert round(textbook.explain("layers[1].delta[0]").value, 4) == 0.1385
    assert round(textbook.explain("layers[1].a[0, 0]").value, 4) == 0.7414
    assert round(textbook.explain("layers[0].a[0]").value, 4) == 0.0364  # dE/dout_h1 = 0.036350306
    assert textbook.explain("layers[1].x[0]").value == textbook.explain("layers[0].a[0]").value
    assert textbook.explain("layers[0].W[0,0]", step=1).value == textbook.steps[1].layers[0].dW[0, 0]
    same = [str(textbook.explain(name)) for name in ("layers[1].dW[0,0]", "  layers[ 1 ] . W[ 0 , 0 ] ")]
    assert same == [str(textbook.explain("layers[1].W[0, 0]"))] * 2


def every_name(trace):
    for l, layer in enumerate(trace.steps[0].layers):
        for quantity in ("W", "b", "x", "z", "a"):
            for index in np.ndindex(getattr(layer, quantity).shape):
                yield f"layers[{l}].{quantity}[{', '.join(map(str, index))}]"


def check_all(trace):
    """Every explanation of every number: the products add up, and there are as many as it says."""
    count = 0
    for name in every_name(trace):
        whole = trace.explain(name, terms=10**6)
        assert len(whole.terms) == whole.count
        assert whole.rest == 0
        values = [term.value for term in (*whole.terms, *whole.penalties)]
        tolerance = (
            1e-6 * sum(map(abs, values)) if trace.dtype == np.float32 else 1e-13 * sum(map(abs, values))
        )
        assert abs(math.fsum(values) - whole.value) <= tolerance + 1e-300, name
        short = trace.explain(name, terms=1)
        assert (short.value, short.count, short.terms) == (whole.value, whole.count, whole.terms[:1])
        left = math.fsum(term.value for term in whole.terms[1:])
        assert abs(left - short.rest) <= tolerance + 1e-300
        count += 1
    return count


@pytest.mark.parametrize("loss", [*LOSSES, "custom"])
def test_totals_of_each_loss(isa, dtype, loss):
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((3, 2)), rng.random((3, 2))
    if loss == "cross_entropy":
        y = rng.integers(0, 2, 3)
    y = fitting(loss, y)
    function = (lambda a, y: (((a - y) ** 4).sum(axis=1), 4 * (a - y) ** 3)) if loss == "custom" else loss
    model = bpkern.MLP([2, 3, 2, 2], activation="tanh", loss=function, dtype=dtype, l2=0.01, l1=0.003, seed=1)
    trace = model.trace(X, y, sample_weight=[1, 2, 3])
    assert check_all(trace) == 6 + 3 + 6 + 9 + 9 + 6 + 2 + 9 + 6 + 6 + 4 + 2 + 6 + 6 + 6


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_totals_of_each_activation(activation):
    rng = np.random.default_rng(1)
    model = bpkern.MLP(
        [2, 3, 2, 2],
        activation=activation,
        output_activation=activation,
        loss="mse",
        dropout=[0.5, 0.0],
        dtype="float64",
        seed=1,
    )
    check_all(model.trace(rng.standard_normal((2, 2)), rng.random((2, 2))))


def test_softmax_and_cross_entropy_are_one_factor():
    """p - y, with label smoothing the smoothed y"""
    for smoothing, target in ((0.0, 1.0), (0.3, 0.8)):
        model = bpkern.MLP([2, 3], loss="cross_entropy", label_smoothing=smoothing, dtype="float64", seed=0)
        trace = model.trace([[1.0, 2.0]], [1])
        found = trace.explain("layers[0].W[1, 0]")
        first, second = found.terms[0].factors
        assert first.symbol == "(p[1] − y[1])"
        assert first.value == pytest.approx(trace.steps[0].probabilities[0, 1] - target, rel=1e-12)
        assert second.symbol == "x[0]"
        assert f"− {target:.4f}" in first.numbers
    several = model.trace([[1.0, 2.0], [2.0, 1.0]], [1, 0]).explain("layers[0].b[1]")
    assert [term.factors[0].symbol for term in several.terms] == [
        "(p[0,1] − y[0,1]) · 0.5000",
        "(p[1,1] − y[1,1]) · 0.5000",
    ]


@pytest.mark.parametrize("loss", [*LOSSES, "custom"])
def test_the_numbers_of_a_loss_give_its_derivative(loss):
    """The formula with its numbers, evaluated: each loss's own derivative."""
    function = (lambda a, y: (((a - y) ** 2).sum(axis=1), 2 * (a - y))) if loss == "custom" else loss
    model = bpkern.MLP([2, 2], loss=function, dtype="float64", seed=3)
    y = [1, 0] if loss == "cross_entropy" else fitting(loss, np.array([[0.25, 0.75], [0.5, 0.0]]))
    trace = model.trace([[1.0, 2.0], [0.5, -1.0]], y)
    for r in range(2):
        for k in range(2):
            [term] = trace.explain(f"layers[0].a[{r}, {k}]").terms
            [factor] = term.factors
            assert factor.value == trace.steps[0].doutputs[r, k]
            if loss in ("custom", "huber"):
                continue
            code = factor.numbers.replace("·", "*").replace("−", "-").replace("e^", "2.718281828459045**")
            found = eval(code, {"sign": np.sign, "tanh": np.tanh})
            assert found == pytest.approx(factor.value, abs=2e-4), factor.numbers


def test_penalties_are_terms_of_their_own():
    model = bpkern.MLP([1, 1], loss="mse", l2=0.25, l1=0.5, dtype="float64")
    model.set_weights([([[-2.0]], [0.0])])
    found = model.trace([[1.0]], [[-2.0]]).explain("layers[0].W[0, 0]")
    assert [term.value for term in found.penalties] == [-1.0, -0.5]
    assert found.value == -1.5
    assert "+ 2 · l2 · W0[0,0]\n      = 0.5000 · (−2.0000) = −1.0000" in str(found)
    assert "+ l1 · sign(W0[0,0])\n      = 0.5000 · (−1.0000) = −0.5000" in str(found)
    assert model.trace([[1.0]], [[-2.0]]).explain("layers[0].b[0]").penalties == ()


def test_many_paths_are_abbreviated_with_the_exact_total():
    """257 rows with 30 * 40 paths each: ten are listed, and the sum is that of training."""
    rng = np.random.default_rng(0)
    model = bpkern.MLP([5, 20, 30, 40], loss="mse", dtype="float64", seed=0)
    trace = model.trace(rng.standard_normal((257, 5)), rng.random((257, 40)))
    found = trace.explain("layers[0].W[3, 2]")
    assert found.count == 257 * 30 * 40
    assert len(found.terms) == 10
    assert found.value == trace.steps[0].layers[0].dW[3, 2]
    assert f"+ {found.count - 10:,} more products, together " in str(found)
    assert math.fsum(term.value for term in found.terms) + found.rest == pytest.approx(found.value, rel=1e-14)
    assert len(trace.explain("layers[0].W[3, 2]", terms=3).terms) == 3


def test_a_net_with_more_paths_than_any_memory_holds():
    model = bpkern.MLP([3, *[300] * 8, 2], activation="tanh", loss="mse", seed=0)
    found = model.trace(np.ones((2, 3)), np.ones((2, 2))).explain("layers[0].b[7]")
    assert found.count == 2 * 300**7 * 2
    assert len(str(found).splitlines()) < 300


class Tags(HTMLParser):
    """The open tags, to check that a fragment is balanced."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html(textbook):
    found = textbook.explain("layers[0].W[0, 0]")
    assert found._repr_html_() == found.html()
    parser = Tags()
    parser.feed(found.html())
    assert parser.open == []
    assert "0.7414 · 0.1868 · 0.4000 · 0.2413 · 0.0500" in parser.text
    assert "http" not in found.html()


def test_latex(textbook):
    assert (
        textbook.explain("layers[1].W[0, 0]").latex()
        == r"""\begin{aligned}
\frac{\partial E}{\partial W^{(1)}_{0,0}} &= \frac{\partial E}{\partial a^{(1)}_{0}} \cdot \sigma'(z^{(1)}_{0}) \cdot a^{(0)}_{0} \\
&= 0.7414 \cdot 0.1868 \cdot 0.5933 \\
&= 0.0822 \\
\frac{\partial E}{\partial a^{(1)}_{0}} &: a - y = 0.7414 \\
\sigma'(z^{(1)}_{0}) &: a (1 - a) = 0.1868
\end{aligned}"""  # noqa: E501
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_latex_of_everything_is_balanced_ascii(activation, loss):
    """Also numbers so small that they are written with a power of ten."""
    model = bpkern.MLP([2, 2, 2], activation=activation, loss=loss, dtype="float64", l2=1e-9, seed=0)
    y = [0, 1] if loss == "cross_entropy" else fitting(loss, np.array([[0.5, 0.6], [0.1, 0.2]]))
    for name in ("layers[0].W[0, 1]", "layers[1].b[0]"):
        text = model.trace([[1e-7, -1e-7], [1e-9, 0.0]], y).explain(name).latex()
        assert text.isascii(), text
        for left, right in ("{}", "()"):
            assert text.count(left) == text.count(right)
        assert not re.search(r"\de", text), text
