"""Bad input to `MLP.trace`, `Trace.explain` and `Trace.save`: errors that say what is allowed."""

import numpy as np
import pytest
from helpers import everything

import bpkern

X, Y = np.ones((3, 2)), np.ones((3, 1))


@pytest.fixture
def model():
    return bpkern.MLP([2, 3, 1], loss="mse", dropout=0.2, optimizer=bpkern.Adam(), seed=0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X": np.ones((3, 4))}, ValueError, "X must have 2 columns"),
        ({"X": np.ones(2)}, ValueError, "X must have 2 dimensions"),
        ({"X": np.ones((0, 2)), "y": np.ones((0, 1))}, ValueError, "X has no rows"),
        ({"y": np.ones((3, 2))}, ValueError, "y must have shape"),
        ({"y": None}, ValueError, "y must be given"),
        ({"X": X * np.nan}, ValueError, "X holds nan at row 0, column 0"),
        ({"y": Y * np.inf}, ValueError, "y holds inf at row 0"),
        ({"X": X * 1e300}, ValueError, "too large for float32"),
        ({"X": [["a", "b"]]}, TypeError, "X"),
        ({"sample_weight": [1, 2]}, ValueError, "sample_weight must have shape"),
        ({"sample_weight": [0, 0, 0]}, ValueError, "must not be 0 in every row"),
        ({"sample_weight": [1, -1, 1]}, ValueError, "at least 0"),
        ({"steps": 0}, ValueError, "steps must be at least 1, not 0"),
        ({"steps": 1.5}, TypeError, "steps must be a whole number"),
        ({"X": X * 1e30, "y": Y * 1e30}, bpkern.DivergedError, "no longer finite"),
    ],
)
def test_bad_rows(model, change, error, message):
    before = everything(model)
    with pytest.raises(error, match=message):
        model.trace(**({"X": X, "y": Y} | change))
    assert everything(model) == before


def test_a_later_step_that_diverges(model):
    model.optimizer = bpkern.SGD(lr=1e18)
    before = everything(model)
    with pytest.raises(bpkern.DivergedError):
        model.trace(X, Y, steps=20)
    assert everything(model) == before


def test_a_compressed_model_refuses_as_training_does(model):
    small = model.compress("bfloat16")
    for call in (small.trace, small.train_on_batch):
        with pytest.raises(TypeError, match="for inference only"):
            call(X, Y)


def test_errors_of_the_users_functions_arrive(model):
    def loss(outputs, y):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        bpkern.MLP([2, 1], loss=loss, seed=0).trace(X, Y)
    with pytest.raises(ValueError, match="one number per row"):
        bpkern.MLP([2, 1], loss=lambda a, y: (0.0, a), seed=0).trace(X, Y, sample_weight=[1, 2, 3])
    model.optimizer = bpkern.SGD(lambda iteration: -1.0)
    with pytest.raises(ValueError, match="learning rate"):
        model.trace(X, Y)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "name must be like"),
        ("W[0, 0]", "name must be like"),
        ("layers[0].W", "name must be like"),
        ("layers[0].W[0, 0, 0]", "name must be like"),
        ("layers[-1].W[0, 0]", "name must be like"),
        ("layers[0].W[0:1, 0]", "name must be like"),
        ("layers[0].W[0, 0].__class__", "name must be like"),
        ("layers[2].W[0, 0]", r"from layers\[0\] to layers\[1\]"),
        ("layers[0].w[0, 0]", "allowed are W, b, x, z, a, dW, db, dx, delta"),
        ("layers[0].new_W[0, 0]", "allowed are W, b, x"),
        ("layers[0].W[3, 0]", r"shape \(3, 2\)"),
        ("layers[0].W[0, 2]", r"shape \(3, 2\)"),
        ("layers[0].W[0]", r"shape \(3, 2\)"),
        ("layers[0].b[0, 0]", r"shape \(3,\)"),
        ("layers[0].x[0]", r"shape \(3, 2\)"),
        ("layers[0].delta[3, 0]", r"shape \(3, 3\)"),
        ("layers[0].W[99999999999999999999, 0]", "name must be like"),
    ],
)
def test_names_that_do_not_exist(model, name, message):
    with pytest.raises(ValueError, match=message):
        model.trace(X, Y).explain(name)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": 3}, TypeError, "must be a text"),
        ({"name": b"layers[0].b[0]"}, TypeError, "must be a text"),
        ({"step": 1}, ValueError, "step must be at most 0"),
        ({"step": -1}, ValueError, "step must be at least 0"),
        ({"step": 0.0}, TypeError, "step must be a whole number"),
        ({"terms": 0}, ValueError, "terms must be at least 1"),
    ],
)
def test_other_arguments_of_explain(model, arguments, error, message):
    with pytest.raises(error, match=message):
        model.trace(X, Y).explain(**({"name": "layers[0].b[0]"} | arguments))


@pytest.mark.parametrize("name", ["trace", "trace.csv", "trace.json.gz", "trace.svgz"])
def test_other_suffixes(model, name, tmp_path):
    with pytest.raises(ValueError, match=r"must end in one of \.svg, \.html, \.json, \.txt"):
        model.trace(X, Y).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist(model, tmp_path):
    """The error names the file of the user, not a temporary one."""
    path = tmp_path / "none" / "trace.html"
    with pytest.raises(FileNotFoundError) as error:
        model.trace(X, Y).save(path)
    assert error.value.filename == str(path)


def test_paths_that_are_none(model, tmp_path):
    trace = model.trace(X, Y)
    with pytest.raises(TypeError, match="must be a path"):
        trace.save(3)
    with pytest.raises(OSError, match="missing"):
        trace.save(tmp_path / "missing" / "trace.json")
