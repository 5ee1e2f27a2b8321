"""What `Tape.matrix` and `Tape.loss` copy out of the workspace, at the edges of blocks and batches."""

import numpy as np
import pytest

import bpkern
from bpkern import _core
from bpkern._model.core import core_of

ROWS = (1, 2, 15, 16, 17, 48, 257)


def tape_of(sizes, rows, activation="tanh", loss="mse", dtype="float32", **settings):
    """A tape after forward and backward, the model and its data."""
    rng = np.random.default_rng(rows)
    model = bpkern.MLP(sizes, activation=activation, loss=loss, dtype=dtype, seed=2, **settings)
    x, y = rng.standard_normal((rows, sizes[0])), rng.random((rows, sizes[-1]))
    tape = _core.Tape(core_of(model).net)
    tape.forward(_core.Data(x, y), None)
    gradient = tape.loss()
    tape.backward(gradient, False)
    return model, tape, x, y, gradient


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("widths", [(1, 1), (2, 3), (8, 16), (47, 48), (49, 97), (96, 33)])
def test_every_number_is_copied(isa, dtype, widths, rows):
    """Against NumPy, in layers at the edges of vectors and of blocks of columns."""
    first, last = widths
    model, tape, x, y, gradient = tape_of([5, first, last], rows, dtype=dtype)
    (w1, b1), (w2, b2) = model.get_weights()
    tolerance = 3e-5 if dtype == "float32" else 1e-12
    a1 = np.tanh(x.astype(dtype) @ w1.T + b1)
    a2 = a1 @ w2.T + b2
    delta2 = 2 * (a2 - y.astype(dtype)) / a2.size
    delta1 = delta2 @ w2 * (1 - a1**2)
    expected = {
        ("x", 0): x.astype(dtype),
        ("a", 0): a1,
        ("slope", 0): 1 - a1**2,
        ("delta", 0): delta1,
        ("x", 1): a1,
        ("a", 1): a2,
        ("slope", 1): np.ones_like(a2),
        ("delta", 1): delta2,
    }
    assert {name for name, _ in expected} == set(_core.TAPE_MATRICES)
    for (name, l), matrix in expected.items():
        got = tape.matrix(name, l)
        assert (got.dtype, got.shape) == (matrix.dtype, matrix.shape)
        assert np.abs(got - matrix).max() <= tolerance * max(np.abs(matrix).max(), 1e-3), (name, l)
    assert np.abs(gradient - delta2).max() <= tolerance * np.abs(delta2).max()


@pytest.mark.parametrize("activation", _core.ACTIVATIONS)
def test_slopes_that_are_stored_and_slopes_that_are_not(isa, activation):
    """It is stored with dropout, and where it is a function of z; otherwise it is computed from a."""
    for dropout in (0.0, 0.4):
        model, tape, _, _, gradient = tape_of(
            [5, 50, 20], 17, activation, dropout=dropout, output_activation=activation
        )
        a, slope = tape.matrix("a", 0), tape.matrix("slope", 0)
        assert ((slope != 0) | (a <= 0)).all()  # dropped, or below zero
        assert (slope[a == 0] == 0).mean() > 0.2 if dropout else True
        assert tape.matrix("delta", 1) == pytest.approx(gradient * tape.matrix("slope", 1), abs=1e-7)
        through = tape.matrix("delta", 1) @ model.get_weights()[1][0] * slope
        assert tape.matrix("delta", 0) == pytest.approx(through, abs=1e-6)


def test_a_smaller_batch_after_a_larger_one():
    """The workspace has room for 257 rows; the blocks are as high as the batch."""
    model, tape, *_ = tape_of([5, 60, 3], 257)
    x = np.ones((4, 5), np.float32)
    outputs = tape.forward(_core.Data(x, np.zeros((4, 3))), None)
    assert tape.matrix("x", 0).tolist() == x.tolist()
    assert tape.matrix("a", 1).tobytes() == outputs.tobytes()
    assert tape.matrix("a", 0).shape == (4, 60)
    assert tape.matrix("a", 0) == pytest.approx(model.forward(x, layer=0), rel=1e-6)


def test_no_matrix_before_its_pass():
    model = bpkern.MLP([2, 3, 1], loss="mse", seed=0)
    tape = _core.Tape(core_of(model).net)
    with pytest.raises(RuntimeError, match="needs a forward"):
        tape.matrix("a", 0)
    tape.forward(_core.Data(np.ones((2, 2))), None)
    with pytest.raises(RuntimeError, match="no deltas before backward"):
        tape.matrix("delta", 0)
    with pytest.raises(RuntimeError, match="no targets"):
        tape.loss()
    tape.backward(np.ones((2, 1), np.float32), False)
    assert tape.matrix("delta", 0).shape == (2, 3)
    tape.forward(_core.Data(np.ones((2, 2))), None)
    with pytest.raises(RuntimeError, match="no deltas before backward"):
        tape.matrix("delta", 0)
    model.set_weights(model.get_weights())
    with pytest.raises(RuntimeError, match="were changed"):
        tape.matrix("a", 0)


@pytest.mark.parametrize("layer", [-1, 2, 10**6])
def test_a_layer_that_does_not_exist(layer):
    _, tape, *_ = tape_of([2, 3, 1], 2)
    with pytest.raises(ValueError, match="layers are from 0 to 1"):
        tape.matrix("a", layer)
    with pytest.raises(ValueError, match="not in tuple"):
        tape.matrix("z", 0)


def test_targets_of_another_width_are_refused_before_anything_is_read():
    model = bpkern.MLP([2, 3, 4], loss="mse", seed=0)
    tape = _core.Tape(core_of(model).net)
    for columns in (1, 3, 5, 1000):
        with pytest.raises(ValueError, match="y must have 4 columns"):
            tape.forward(_core.Data(np.ones((2, 2)), np.ones((2, columns))), None)


def test_the_pass_with_targets_is_the_pass_without():
    """Targets and weights change no activation; a bad target is a bad row."""
    _, tape, x, y, _ = tape_of([5, 8, 3], 20)
    assert (
        tape.forward(_core.Data(x), None).tobytes()
        == tape.forward(_core.Data(x, y, np.linspace(0, 1, 20)), None).tobytes()
    )
    y[7, 1] = np.nan
    with pytest.raises(_core.BadRowError) as error:
        tape.forward(_core.Data(x, y), None)
    assert error.value.row == 7
