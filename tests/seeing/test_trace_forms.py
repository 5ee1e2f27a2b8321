"""A trace as text, dictionary, JSON and files, and the command `bpkern trace`."""

import html
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from textbook import two_two_two

import bpkern
from bpkern import _cli

FIELDS = ("x", "W", "b", "z", "a", "slope", "delta", "dW", "db", "dx", "new_W", "new_b")


def other_trace(dtype="float32", **settings):
    rng = np.random.default_rng(0)
    settings = {"optimizer": bpkern.Adam(bpkern.schedules.Step(0.01, 5), amsgrad=True), "l2": 0.1} | settings
    model = bpkern.MLP([3, 4, 2], loss="cross_entropy", dropout=0.5, dtype=dtype, seed=0, **settings)
    return model.trace(rng.standard_normal((5, 3)), [0, 1, 0, 1, 1], steps=2)


TEXT = """\
MLP 2-2-2 in float64, squared_error, 1 row, 1 step
SGD(lr=0.5, momentum=0.0, nesterov=False, weight_decay=0.0)

step 0: learning rate 0.5, loss 0.298371

forward
  layers[0]: 2 → 2, sigmoid
    x, the inputs                       [[0.0500 0.1000]]
    W                                   [[0.1500 0.2000]
                                         [0.2500 0.3000]]
    b                                   [0.3500 0.3500]
    z = x Wᵀ + b                        [[0.3775 0.3925]]
    a = sigmoid(z)                      [[0.5933 0.5969]]
"""


def test_the_text_of_the_textbook():
    text = str(two_two_two().trace([[0.05, 0.10]], [[0.01, 0.99]]))
    assert text.startswith(TEXT)
    for line in (
        "    E = ½ Σ (a − y)²                    0.298371",
        "    ∂E/∂a = a − y                       [[ 0.7414 -0.2171]]",
        "    ∂a/∂z = a (1 − a)                   [[0.1868 0.1755]]",
        "    dW = δᵀ x                           [[ 0.0822  0.0827]",
        "    dW = δᵀ x                           [[0.0004 0.0009]",
        "  w ← w − lr g",
        "    new W                               [[0.3589 0.4087]",
    ):
        assert line in text.splitlines(), line
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_the_text_shows_what_a_model_has():
    lines = str(other_trace()).splitlines()
    for start in (
        "  layers[0]: 3 → 4, relu, dropout 0.5",
        "    a = relu(z), after dropout",
        "    p  ",
        "    E₀ = −Σ y log p, p = softmax(a), mean over the rows",
        "    penalty = 0.1 Σ W²",
        "    E = E₀ + penalty",
        "    ∂E/∂a = (p − y) · 1/5",
        "    dW = δᵀ x + 0.2 W",
        "  mean ← 0.9 mean + 0.1 g",
        "  largest ← max(largest, square)",
        "    mean of W before",
        "    largest of b after",
        "step 1: learning rate 0.01",
    ):
        assert any(line.startswith(start) for line in lines), start


@pytest.mark.parametrize(
    ("optimizer", "lines"),
    [
        (bpkern.SGD(momentum=0.9), ["velocity ← 0.9 velocity + g", "w ← w − lr velocity"]),
        (bpkern.SGD(momentum=0.9, nesterov=True), ["w ← w − lr (g + 0.9 velocity)"]),
        (bpkern.SGD(weight_decay=0.25), ["g ← g + 0.25 w", "w ← w − lr g"]),
        (bpkern.RMSprop(), ["square ← 0.99 square + 0.01 g²", "w ← w − lr g / (√square + 1e-08)"]),
        (
            bpkern.RMSprop(centered=True, momentum=0.5),
            ["mean ← 0.99 mean + 0.01 g", "velocity ← 0.5 velocity + g / (√(square − mean²) + 1e-08)"],
        ),
        (bpkern.Adagrad(), ["total ← total + g²", "w ← w − lr · g / (√total + 1e-10)"]),
        (bpkern.Adagrad(lr_decay=0.5), ["w ← w − lr / (1 + (t − 1) · 0.5) · g / (√total + 1e-10)"]),
        (bpkern.Adam(), ["w ← w − lr / (1 − 0.9ᵗ) · mean / (√square / √(1 − 0.999ᵗ) + 1e-08)"]),
        (bpkern.Adam(eps_hat=True), ["w ← w − lr / (1 − 0.9ᵗ) · mean / ((√square + 1e-08) / √(1 − 0.999ᵗ))"]),
        (
            bpkern.Adam(amsgrad=True),
            [
                "largest ← max(largest, square)",
                "w ← w − lr / (1 − 0.9ᵗ) · mean / (√largest / √(1 − 0.999ᵗ) + 1e-08)",
            ],
        ),
        (bpkern.AdamW(weight_decay=0.5), ["w ← (1 − lr · 0.5) w"]),
    ],
)
def test_the_formulas_of_the_optimisers(optimizer, lines):
    text = str(bpkern.MLP([1, 1], loss="mse", optimizer=optimizer, seed=0).trace([[1.0]], [[0.0]]))
    assert set(lines) <= {line.strip() for line in text.splitlines()}


def test_weights_of_rows_stand_in_the_formulas(tmp_path):
    """In the text, on the page and in the explanation: 1/n would be the factor of no row."""
    model = bpkern.MLP([2, 2], loss="mse", seed=0)
    trace = model.trace([[1.0, 2.0], [3.0, 4.0]], [[0, 0], [0, 0]], sample_weight=[1, 3])
    trace.save(tmp_path / "trace.html")
    derivative, share = "(2/m (a − y)) · r", "r = the row's share of the sample weights"
    texts = (
        str(trace),
        html.unescape((tmp_path / "trace.html").read_text("utf-8")),
        str(trace.explain("layers[0].W[0, 0]")),
    )
    for text in texts:
        assert derivative in text
        assert share in text
        assert f"{share} = " not in text
        assert "1/2" not in text
    for text in texts[:2]:
        assert "E = 1/m Σ (a − y)², weighted mean over the rows" in text


def test_numbers_at_a_place_are_no_result():
    """A slope of relu has no formula with numbers: its z says which of two cases it is."""
    model = bpkern.MLP([1, 1, 1], loss="mse", init=[([[1.0]], [0.0])] * 2)
    text = str(model.trace([[0.5]], [[1.0]]).explain("layers[0].W[0, 0]"))
    assert "1 if z > 0, else 0, at z = 0.5000  (relu)" in text


def test_long_arrays_are_abbreviated_in_text_only():
    model = bpkern.MLP([300, 200, 2], loss="mse", seed=0)
    trace = model.trace(np.ones((50, 300)), np.ones((50, 2)))
    with np.printoptions(threshold=10**9, precision=12):
        text = str(trace)
    assert text == str(trace)
    assert len(text) < 10_000
    assert "..." in text
    assert len(trace.to_dict()["steps"][0]["layers"][0]["W"]) == 200


def test_reprs_are_short():
    trace = other_trace()
    first, second = (f"{step.loss:.6g}" for step in trace.steps)
    assert repr(trace) == f"<Trace of MLP 3-4-2: rows 5, steps 2, loss {first} to {second}>"
    assert repr(trace.steps[1]).startswith("<Step 1: loss ")
    assert repr(trace.steps[0].layers[0]) == "<Layer 3 -> 4, relu>"


def plain(value):
    """Whether a value has only dictionaries, lists, strings, numbers and None of Python itself."""
    if type(value) is dict:
        return all(type(name) is str and plain(each) for name, each in value.items())
    if type(value) is list:
        return all(map(plain, value))
    return type(value) in (str, int, float, bool, type(None))


@pytest.mark.parametrize("form", [other_trace, lambda: two_two_two().trace([[0.05, 0.1]], [[0.01, 0.99]])])
def test_the_dictionary_holds_every_number(form, tmp_path):
    trace = form()
    found = trace.to_dict()
    assert found["version"] == 1
    assert plain(found)
    for step, shown in zip(trace.steps, found["steps"], strict=True):
        for name in ("loss", "penalty", "learning_rate", "number", "update"):
            assert shown[name] == getattr(step, name)
        assert shown["doutputs"] == step.doutputs.tolist()
        for layer, numbers in zip(step.layers, shown["layers"], strict=True):
            for name in FIELDS:
                assert (np.array(numbers[name], trace.dtype) == getattr(layer, name)).all()
            for name, (w, b) in layer.new_states.items():
                assert numbers["new_states"][name] == {"W": w.tolist(), "b": b.tolist()}
    trace.save(tmp_path / "trace.json")
    assert json.loads((tmp_path / "trace.json").read_text(encoding="utf-8")) == found


def test_numbers_that_are_not_finite_are_null_in_json(tmp_path):
    """z may overflow where its sigmoid does not."""
    model = bpkern.MLP([1, 1, 1], activation="sigmoid", loss="mse")
    model.set_weights([([[3e38]], [3e38]), ([[1.0]], [0.0])])
    trace = model.trace([[3e38]], [[0.0]])
    assert trace.to_dict()["steps"][0]["layers"][0]["z"] == [[np.inf]]
    trace.save(tmp_path / "trace.json")
    found = json.loads((tmp_path / "trace.json").read_text())
    assert found["steps"][0]["layers"][0]["z"] == [[None]]


def test_files_by_suffix(tmp_path):
    trace = other_trace()
    trace.save(tmp_path / "trace.TXT")
    assert (tmp_path / "trace.TXT").read_text(encoding="utf-8") == f"{trace}\n"
    trace.save(str(tmp_path / "trace.json"))
    trace.save(tmp_path / "trace.json")  # over the old one
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trace.TXT", "trace.json"]


def test_importing_bpkern_does_not_import_it():
    code = "import sys, bpkern; print([name for name in sys.modules if 'bpkern' in name and 'trace' in name])"
    code += "; bpkern.Trace; print('bpkern.trace' in sys.modules, 'Trace' in dir(bpkern))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "True True"]


# The command ---------------------------------------------------------------------------------------------


def run(capsys, *arguments):
    """(exit status, printed, errors) of the command."""
    try:
        status = _cli.main(["trace", *arguments])
    except SystemExit as stop:
        status = stop.code
    return status, *capsys.readouterr()


def test_the_command_prints_the_textbook(capsys, tmp_path):
    expected = two_two_two().trace([[0.05, 0.10]], [[0.01, 0.99]])
    assert run(capsys) == (0, f"{expected}\n", "")
    status, printed, _ = run(
        capsys, "--steps", "2", "--save", str(tmp_path / "t.json"), "--explain", "layers[1].b[0]"
    )
    assert status == 0
    assert "step 1: " in printed
    assert printed.endswith(f"{expected.explain('layers[1].b[0]')}\n")
    assert len(json.loads((tmp_path / "t.json").read_text())["steps"]) == 2


def test_other_nets_by_options(capsys):
    status, printed, _ = run(
        capsys, "--layers", "3-4-2", "--activation", "tanh", "--loss", "cross_entropy", "--x", "1,2,3;4,5,6",
        "--y", "0;1", "--lr", "0.25", "--seed", "3",
    )  # fmt: skip
    model = bpkern.MLP(
        [3, 4, 2],
        activation="tanh",
        loss="cross_entropy",
        optimizer=bpkern.SGD(0.25),
        dtype="float64",
        seed=3,
    )
    assert (status, printed) == (0, f"{model.trace([[1, 2, 3], [4, 5, 6]], [0, 1])}\n")


@pytest.mark.parametrize("loss", bpkern._core.LOSSES)
def test_rows_that_are_not_given_are_drawn(capsys, loss):
    first = run(capsys, "--layers", "3,5,1", "--loss", loss, "--seed", "1")
    assert first[0] == 0
    assert run(capsys, "--layers", "3,5,1", "--loss", loss, "--seed", "1") == first
    assert run(capsys, "--layers", "3,5,1", "--loss", loss, "--seed", "2") != first
    assert run(capsys, "--loss", loss, "--x", "1,2;3,4")[0] == 0


@pytest.mark.parametrize("sizes", ["2,2,2", "3,4,2"])
def test_rows_of_the_textbook_are_for_its_network_alone(capsys, sizes):
    drawn = [run(capsys, "--layers", sizes, "--seed", seed)[1] for seed in ("1", "2")]
    targets = [re.search(r"^    y  .*", text, re.MULTILINE)[0] for text in drawn]
    assert targets[0] != targets[1]
    assert "0.0500 0.1000" not in drawn[0]


def test_a_model_and_its_rows_from_files(capsys, tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((4, 3)).round(3), np.array([0, 1, 1, 0])
    model = bpkern.MLP([3, 4, 2], loss="cross_entropy", optimizer=bpkern.Adam(), seed=0)
    model.fit(X, y, epochs=2, verbose=0)
    model.save(tmp_path / "net.npz")
    np.savetxt(tmp_path / "rows.csv", np.column_stack([X, y]), delimiter=",", header="three inputs, a class")
    status, printed, _ = run(
        capsys, "--model", str(tmp_path / "net.npz"), "--data", str(tmp_path / "rows.csv")
    )
    assert (status, printed) == (0, f"{model.trace(X, y)}\n")
    status, printed, _ = run(
        capsys, "--model", str(tmp_path / "net.npz"), "--x", "1,2,3", "--y", "1", "--lr", "0.5"
    )
    model.optimizer.lr = 0.5
    assert (status, printed) == (0, f"{model.trace([[1, 2, 3]], [1])}\n")


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """The addresses that the web browser was told to show; temporary files are in tmp_path."""
    addresses = []
    monkeypatch.setattr("webbrowser.open", lambda address: addresses.append(address) or True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return addresses


def test_open_shows_a_temporary_page(capsys, shown, tmp_path):
    assert run(capsys, "--open", "--save", str(tmp_path / "trace.txt"))[0] == 0
    [page] = tmp_path.glob("bpkern-trace-*.html")
    assert shown == [page.as_uri()]
    assert "Backpropagation through MLP 2-2-2" in page.read_text("utf-8")


def test_open_shows_the_saved_page(capsys, shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = ("--x", "1,2;3,4", "--y", "1,0;0,1", "--row", "mean")
    assert run(capsys, *rows, "--open", "--save", "a page.HTML")[0] == 0
    assert shown == [(tmp_path / "a page.HTML").as_uri()]
    assert [path.name for path in tmp_path.iterdir()] == ["a page.HTML"]
    assert "means over the rows" in (tmp_path / "a page.HTML").read_text("utf-8")


def test_open_without_a_browser(capsys, shown, tmp_path, monkeypatch):
    """The page is named, and the numbers are printed."""
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    status, printed, errors = run(capsys, "--open")
    [page] = tmp_path.iterdir()
    assert (status, errors) == (1, f"bpkern trace: no web browser was found; the page is {page}\n")
    assert "new W" in printed


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--layers", "3"], 1, "must name an input and an output"),
        (["--layers", "3,0"], 2, "a layer's size must be at least 1"),
        (["--layers", "a,b"], 2, "invalid literal"),
        (["--activation", "sinus"], 1, "unknown activation 'sinus': allowed are"),
        (["--loss", "none"], 1, "unknown loss 'none': allowed are"),
        (["--x", "1,2;3"], 2, "rows of the same length"),
        (["--x", "1,b"], 2, "x must be numbers like 1,2;3,4"),
        (["--x", "1,2,3"], 1, "X must have 2 columns"),
        (["--x", "1,2;3,4", "--y", "1,2"], 1, "y must have as many rows as X"),
        (["--lr", "-1"], 1, "lr must be finite and at least 0"),
        (["--lr", "1e400"], 1, "lr must be finite"),
        (["--steps", "0"], 2, "steps must be at least 1"),
        (["--seed", "-1"], 2, "seed must be at least 0"),
        (["--save", "trace.png"], 1, "must end in one of .svg, .html, .json, .txt"),
        (["--save", "trace.svg", "--row", "1"], 1, "row must be at most 0, not 1"),
        (["--row", "median"], 2, "argument --row"),
        (["--explain", "W"], 1, "name must be like"),
        (["--model", "missing.npz", "--x", "1", "--y", "1"], 1, "missing.npz"),
        (["--model", "net.npz"], 1, "needs its rows"),
        (["--model", "net.npz", "--layers", "2,2"], 1, "not together with --model"),
        (["--model", "net.npz", "--data", "missing.csv"], 1, "missing.csv"),
        (["--model", "net.npz", "--data", "short.csv"], 1, "must have 2 columns of inputs and then targets"),
        (["--model", "net.npz", "--data", "words.csv"], 1, "could not convert"),
        (["--data", "short.csv", "--x", "1,2"], 1, "not both"),
    ],
)
def test_bad_commands(capsys, tmp_path, monkeypatch, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    bpkern.MLP([2, 1], loss="mse", seed=0).save("net.npz")
    (tmp_path / "short.csv").write_text("1,2\n")
    (tmp_path / "words.csv").write_text("one,two,three\n")
    found, printed, errors = run(capsys, *arguments)
    assert (found, printed) == (status, "")
    assert message in errors
    assert not list(tmp_path.glob("trace.*"))


def test_a_terminal_without_the_letters():
    """An encoding that lacks σ and δ shows others in their place, and the numbers are there."""
    done = subprocess.run(
        [sys.executable, "-m", "bpkern", "trace"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert b"[[0.7514 0.7729]]" in done.stdout
    assert done.stderr == b""
