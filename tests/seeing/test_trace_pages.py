"""Traces as pictures and pages: every number of the trace is there, and each equation is right."""

import html
import json
import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markup import Page, check_that_nothing_is_loaded
from textbook import TARGET, X, two_two_two

import bpkern

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "</style><script>alert(\"1\") & '2'</script><!--"


class NastySchedule:
    """A learning rate whose text is an attack."""

    def __call__(self, iteration):
        return 0.1

    def __repr__(self):
        return NASTY


def textbook():
    return two_two_two().trace(X, TARGET, steps=3)


def rich():
    """Several rows, dropout, penalties, weights of rows, an optimiser with states."""
    rng = np.random.default_rng(0)
    model = bpkern.MLP(
        [3, 4, 2],
        activation="tanh",
        loss="cross_entropy",
        optimizer=bpkern.Adam(0.01, amsgrad=True),
        dropout=0.5,
        l1=0.01,
        l2=0.1,
        seed=0,
    )
    X, y = rng.standard_normal((4, 3)), [0, 1, 0, 1]
    return model.trace(X, y, sample_weight=[1, 2, 3, 4], steps=2)


def nasty():
    def loss(outputs, y):
        return ((outputs - y) ** 2).sum(axis=1), 2 * (outputs - y)

    loss.__name__ = NASTY
    model = bpkern.MLP([2, 3, 1], loss=loss, optimizer=bpkern.SGD(NastySchedule(), momentum=0.9), seed=0)
    return model.trace([[1.0, -2.0], [3.0, 0.0]], [[1.0], [-1.0]])


def large():
    rng = np.random.default_rng(0)
    model = bpkern.MLP([50, 60, 9], loss="binary_cross_entropy", l2=0.01, seed=0)
    return model.trace(rng.standard_normal((70, 50)), rng.integers(0, 2, (70, 9)), steps=2)


def large_nasty():
    def loss(outputs, y):
        return ((outputs - y[:, None]) ** 2).sum(axis=1), 2 * (outputs - y[:, None])

    model = bpkern.MLP([9, 3], loss=loss, optimizer=bpkern.SGD(NastySchedule()), seed=0)
    return model.trace(np.ones((2, 9)), [1.0, 2.0])


TRACES = pytest.mark.parametrize(
    "make", [textbook, rich, nasty, large, large_nasty], ids=lambda f: f.__name__
)
SUFFIXES = pytest.mark.parametrize("suffix", ["svg", "html"])


def saved(trace, path, **given):
    trace.save(path, **given)
    return path.read_text("utf-8")


def real(text):
    return float(text.replace("−", "-"))


def shows(text, value):
    """Whether a text is a number rounded to four decimals, or to four digits."""
    return real(text) == pytest.approx(float(value), abs=5.01e-5, rel=5.01e-4 if abs(value) < 1e-3 else 0)


def groups(text, kind):
    """The texts in each part of an SVG that has this class."""
    root = ElementTree.fromstring(text)
    found = [part for part in root.iter(f"{SVG}g") if kind in part.get("class", "").split()]
    return [[each for line in part.iter(f"{SVG}text") for each in line.itertext()] for part in found]


# Form ----------------------------------------------------------------------------------------------------


@TRACES
@SUFFIXES
def test_files_are_well_formed_and_load_nothing(make, suffix, tmp_path):
    text = saved(make(), tmp_path / f"trace.{suffix}")
    check_that_nothing_is_loaded(text)
    tags = [tag for tag, _ in Page(text).elements]
    assert tags.count("script") == (suffix == "html")
    if suffix == "svg":
        assert ElementTree.fromstring(text).tag == f"{SVG}svg"
    else:
        for drawing in re.findall(r"<svg.*?</svg>", text, re.S):
            ElementTree.fromstring(drawing)


@pytest.mark.parametrize("make", [nasty, large_nasty], ids=lambda f: f.__name__)
@SUFFIXES
def test_names_of_users_are_text(make, suffix, tmp_path):
    text = saved(make(), tmp_path / f"trace.{suffix}")
    assert "alert(" not in re.sub(r"&lt;script&gt;alert\(&quot;1", "", text)
    assert "<!--" not in text
    if suffix == "html":
        assert html.escape(NASTY, quote=False)[:20] in text


@TRACES
def test_every_part_is_spoken_and_reached_by_keyboard(make, tmp_path):
    page = Page(saved(make(), tmp_path / "trace.html"))
    parts = [each for tag, each in page.elements if tag == "g" and "tabindex" in each]
    assert parts
    assert all(part["tabindex"] == "0" and part["role"] == "img" and part["aria-label"] for part in parts)
    assert all(part["aria-label"] in page.text for part in parts)
    drawings = [each for tag, each in page.elements if tag == "svg"]
    assert all(drawing["role"] == "group" and drawing["aria-label"] for drawing in drawings)


@TRACES
def test_every_step_shows_something(make, tmp_path):
    """In each training step of the page, the steps count from 1, and each highlights a part."""
    trace = make()
    text = saved(trace, tmp_path / "trace.html")
    sections = re.findall(r"<section.*?</section>", text, re.S)
    assert len(sections) == len(trace.steps)
    for section in sections:
        steps = len(re.findall("<li>", section))
        assert steps == 3 + 6 * len(trace.activations)
        elements = Page(section).elements
        shown = {int(step) for _, each in elements for step in each.get("data-step", "").split()}
        assert shown == set(range(1, steps + 1))
        assert {int(each["data-from"]) for _, each in elements if "data-from" in each} <= shown


def test_the_same_page_each_time(tmp_path):
    assert saved(textbook(), tmp_path / "one.html") == saved(textbook(), tmp_path / "two.html")


# Numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "row"), [(textbook, 0), (rich, 0), (rich, 3), (rich, "mean"), (nasty, 1)])
@pytest.mark.parametrize("number", [0, -1])
def test_the_numbers_of_a_drawing_are_those_of_the_trace(make, row, number, tmp_path):
    trace = make()
    step = trace.steps[number]
    text = saved(trace, tmp_path / "trace.svg", step=step.number, row=row)

    def value(matrix):
        return np.average(matrix, axis=0, weights=trace.row_weights) if row == "mean" else matrix[row]

    def derivative(matrix):
        return matrix.sum(axis=0, dtype=float) if row == "mean" else matrix[row]

    weights = iter(groups(text, "weight"))
    for l, layer in enumerate(step.layers):
        for j in range(len(layer.b)):
            rows = [
                (f"W{l}[{j},{i}]", layer.W, layer.dW, layer.new_W, (j, i)) for i in range(layer.W.shape[1])
            ]
            for name, old, by, new, index in [*rows, (f"b{l}[{j}]", layer.b, layer.db, layer.new_b, (j,))]:
                shown = next(weights)
                assert shown[0] == name
                assert all(map(shows, shown[1:], (old[index], by[index], new[index]))), name
    assert next(weights, None) is None

    *units, loss = groups(text, "node")
    units = iter(units)
    for x, dx in zip(value(step.layers[0].x), derivative(step.layers[0].dx), strict=True):
        name, _, shown, _, by = next(units)
        assert name.startswith("x[")
        assert shows(shown, x)
        assert shows(by, dx)
    das = [*(layer.dx for layer in step.layers[1:]), step.doutputs]
    for layer, da in zip(step.layers, das, strict=True):
        numbers = value(layer.z), derivative(layer.delta), value(layer.a), derivative(da)
        for of_unit in zip(*numbers, strict=True):
            _, function, *fields = next(units)
            assert layer.activation in function or layer.activation == "identity"
            assert fields[0::2] == ["z", "δ", "a", "∂E/∂a"]
            assert all(map(shows, fields[1::2], of_unit))
    ends = step.outputs if step.probabilities is None else step.probabilities
    expected = [each for pair in zip(value(ends), value(trace.targets), strict=True) for each in pair]
    assert all(map(shows, loss[1 : 2 * len(expected) : 2], expected))
    assert loss[-1] == f"E = {step.loss:.6g}"
    if trace.l2:
        assert loss[-3:-1] == [f"E₀ = {step.loss - step.penalty:.6g}", f"penalty = {step.penalty:.6g}"]


@pytest.mark.parametrize(("make", "row"), [(textbook, 0), (rich, 2), (rich, "mean"), (nasty, 0)])
def test_equations_add_up(make, row, tmp_path):
    """Wherever a text says that an expression of numbers is a number, it is, up to their rounding."""
    page = Page(saved(make(), tmp_path / "trace.html", row=row))
    lines = [line for _, each in page.elements for line in each.get("aria-label", "").splitlines()]
    checked = 0
    for line in lines:
        terms = [term.strip(" .").partition(", ")[0] for term in line.split(" = ")]
        for left, right in pairwise(terms):
            expression = left.replace("−", "-").replace("·", "*").replace("sign(", "np.sign(")
            if re.fullmatch(r"(?:np\.sign|[\d.e+*() /-])+", expression) and re.search(
                r"[*/+]| - ", expression
            ):
                number = re.match(r"−?[\d.]+(?:e[−+]\d+)?", right)
                terms_of_sum = 1 + expression.count("+")
                assert number, line
                found = eval(expression, {"np": np})
                assert found == pytest.approx(real(number[0]), abs=3e-4 * terms_of_sum), line
                checked += 1
    assert checked >= 10


def test_the_textbook_in_words(tmp_path):
    """The factors of ∂E/∂w5 in Mazur's example, and its new weight."""
    page = Page(saved(textbook(), tmp_path / "trace.html"))
    labels = [each.get("aria-label", "") for _, each in page.elements]
    assert (
        "W1[0,0] = 0.4000, from a0[0] to z1[0]\n"
        "dW1[0,0] = δ1[0] · a0[0] = 0.1385 · 0.5933 = 0.0822\n"
        "new W1[0,0] = W1[0,0] − lr · dW1[0,0] = 0.4000 − 0.5 · 0.0822 = 0.3589"
    ) in labels
    assert (
        "z1[0] = W1[0,0] · a0[0] + W1[0,1] · a0[1] + b1[0] = "
        "0.4000 · 0.5933 + 0.4500 · 0.5969 + 0.6000 = 1.1059\n"
        "a1[0] = sigmoid(z1[0]) = sigmoid(1.1059) = 0.7514\n"
        "∂E/∂a1[0] = a − y = 0.7514 − 0.0100 = 0.7414\n"
        "δ1[0] = ∂E/∂a1[0] · σ′(z1[0]) = 0.7414 · 0.1868 = 0.1385\n"
        "σ′(z1[0]) = a (1 − a) = 0.7514 · (1 − 0.7514) = 0.1868 (sigmoid)"
    ) in labels
    sentences = re.findall(r"<li>(.*?)</li>", (tmp_path / "trace.html").read_text("utf-8"))
    assert len(sentences) == 45
    assert "Loss: E = ½ Σ (a − y)². E = 0.298371." in sentences
    assert (
        "Backward, layers[0]: ∂E/∂a = δ W of layers[1], the sum over all ways to the loss. "
        "∂E/∂a0[0] = 0.1385 · 0.4000 + (−0.0381) · 0.5000 = 0.0364; "
        "∂E/∂a0[1] = 0.1385 · 0.4500 + (−0.0381) · 0.5500 = 0.0414."
    ) in sentences


def test_which_rows_are_shown_is_said(tmp_path):
    trace = rich()
    assert "those of row 2; dW and db are of all rows" in saved(trace, tmp_path / "trace.html", row=2)
    assert "are weighted means over the rows" in saved(trace, tmp_path / "trace.html", row="mean")
    assert "are means over the rows" in saved(nasty(), tmp_path / "trace.html", row="mean")
    assert "of row" not in saved(textbook(), tmp_path / "trace.html")
    text = saved(trace, tmp_path / "trace.svg", row=2)
    assert "z0[2,0]" in text
    assert "z0[1,0]" not in text


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"row": 4}, ValueError, "row must be at most 3, not 4"),
        ({"row": "median"}, ValueError, "row must be a row's number from 0 or 'mean', not 'median'"),
        ({"row": 1.0}, TypeError, "row must be a whole number, not 1.0"),
        ({"row": None}, TypeError, "row must be a whole number, not None"),
        ({"step": 2}, ValueError, "step must be at most 1, not 2"),
        ({"step": -1}, ValueError, "step must be at least 0, not -1"),
    ],
)
def test_bad_rows_and_steps(given, error, message, tmp_path):
    with pytest.raises(error, match=re.escape(message)):
        rich().save(tmp_path / "trace.svg", **given)
    assert not list(tmp_path.iterdir())


def test_scales_are_shared_by_all_steps(tmp_path):
    """So that the tints of two training steps can be compared."""
    text = saved(textbook(), tmp_path / "trace.html")
    legends = re.findall(r'<g class="legend".*?</g>', text, re.S)
    assert len(legends) == 3
    assert len(set(legends)) == 1


# Sizes ---------------------------------------------------------------------------------------------------


def zeros(sizes, rows=1):
    model = bpkern.MLP(sizes, loss="mse", init=[(np.zeros((o, i)), np.zeros(o)) for i, o in pairwise(sizes)])
    return model.trace(np.zeros((rows, sizes[0])), np.zeros((rows, sizes[-1])))


@pytest.mark.parametrize(
    ("sizes", "small"),
    [
        ([8, 8], True),
        ([9, 1], False),
        ([1, 9, 1], False),
        ([8, 8, 4, 1], True),  # 100 weights
        ([8, 8, 4, 1, 1], False),
        ([1] * 9, True),
        ([1] * 10, False),
    ],
)
def test_the_limit_of_drawings(sizes, small, tmp_path):
    drawing, page = (saved(zeros(sizes), tmp_path / f"trace.{suffix}") for suffix in ("svg", "html"))
    assert ("weight" in re.findall(r'class="([^"]*)"', drawing) or 'class="edge weight"' in drawing) == small
    said = "Networks of up to 8 units in a layer, 100 weights and 8 layers are drawn unit by unit."
    assert (said in page) != small


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 70), min_size=2, max_size=4), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_any_size(tmp_path_factory, sizes, rows, seed):
    rng = np.random.default_rng(seed)
    model = bpkern.MLP(sizes, loss="mse", seed=seed)
    trace = model.trace(rng.standard_normal((rows, sizes[0])), rng.standard_normal((rows, sizes[-1])))
    path = tmp_path_factory.mktemp("any") / "trace.svg"
    root = ElementTree.fromstring(saved(trace, path, row=rows - 1))
    width, height = map(float, root.get("viewBox").split()[2:])
    assert 0 < width < 5000
    assert 0 < height < 5000
    assert "nan" not in path.read_text("utf-8")


def test_a_large_network_makes_a_small_file(tmp_path):
    rng = np.random.default_rng(0)
    model = bpkern.MLP([500, 700, 10], loss="mse", seed=0)
    trace = model.trace(rng.standard_normal((100, 500)), rng.standard_normal((100, 10)))
    assert len(saved(trace, tmp_path / "trace.html")) < 300_000


def test_a_deep_network(tmp_path):
    """Of 150 layers, which has coarser maps."""
    text = saved(zeros([2] * 151, rows=100), tmp_path / "trace.html")
    assert "MLP of 150 layers" in text
    assert "Each cell is the number of the largest size among up to 17 × 1." in text
    assert len(re.findall("<li>", text)) == 903


def test_many_steps_are_chosen(tmp_path):
    model = bpkern.MLP([1, 1], loss="mse", seed=0)
    trace = model.trace([[1.0]], [[0.0]], steps=120)
    text = saved(trace, tmp_path / "trace.html")
    numbers = [int(number) for number in re.findall(r"<h2>Training step (\d+):", text)]
    assert len(numbers) == 50
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (0, 119)
    assert "Of the 120 steps, 50 are shown, from the first to the last." in text
    assert "Of the" not in saved(model.trace([[1.0]], [[0.0]], steps=50), tmp_path / "trace.html")


@pytest.mark.parametrize("sizes", [[1, 1, 1], [1, 20, 1]])
def test_numbers_that_are_not_finite(sizes, tmp_path):
    """z may overflow where its sigmoid does not."""
    model = bpkern.MLP(sizes, activation="sigmoid", loss="mse")
    hidden = sizes[1]
    model.set_weights(
        [(np.full((hidden, 1), 3e38), np.full(hidden, 3e38)), (np.ones((1, hidden)) / hidden, [0.0])]
    )
    trace = model.trace([[3e38]], [[0.0]])
    assert np.isinf(trace.steps[0].layers[0].z).all()
    for row in (0, "mean"):
        text = saved(trace, tmp_path / "trace.svg", row=row)
        assert "nan" not in text
        assert ("20 not finite" if hidden == 20 else ">inf<") in text


def test_the_texts_of_maps(tmp_path):
    trace = large()
    page = Page(saved(trace, tmp_path / "trace.svg"))
    labels = [each.get("aria-label", "") for _, each in page.elements]
    layer = trace.steps[0].layers[0]
    [text] = [label for label in labels if label.startswith("dW of layers[0]")]
    first, second, third = text.splitlines()
    shape, low, high, root = re.fullmatch(
        r"dW of layers\[0\]: (.*), from (\S+) to (\S+), root mean square (\S+)", first
    ).groups()
    assert shape == "60 × 50"
    assert shows(low, layer.dW.min())
    assert shows(high, layer.dW.max())
    assert shows(root, np.sqrt(np.mean(layer.dW**2)))
    assert second.startswith("db: from ")
    assert third == "Each cell is the number of the largest size among up to 2 × 2."
    [zeros] = [label for label in labels if label.startswith("a of layers[0]")]
    assert f"{100 * np.mean(layer.a == 0):.3g} % zeros" in zeros


# Notebooks -----------------------------------------------------------------------------------------------


def test_notebooks_get_the_page_in_a_frame(tmp_path):
    trace = textbook()
    [(tag, attributes)] = Page(trace._repr_html_()).elements
    assert tag == "iframe"
    assert attributes["title"] == "Backpropagation through MLP 2-2-2, step by step"
    assert attributes["srcdoc"] + "\n" == saved(trace, tmp_path / "trace.html")


def test_notebooks_get_few_steps():
    model = bpkern.MLP([1, 1], loss="mse", seed=0)
    [(_, attributes)] = Page(model.trace([[1.0]], [[0.0]], steps=30)._repr_html_()).elements
    assert len(re.findall("<h2>", attributes["srcdoc"])) == 10


def test_the_dictionary_is_as_before():
    """What steps know of their trace is not repeated in them."""
    assert "setting" not in json.dumps(textbook().to_dict())
