"""The arguments that the kernels refuse, the messages, and that a refusal changes nothing."""

import inspect

import numpy as np
import pytest
from helpers import unaligned

from bpkern import kernels, reference


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    shapes = {"x": (4, 3), "w": (5, 3), "b": (5,), "delta": (4, 5), "vw": (5, 3), "vb": (5,), "a": (4, 3)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def forward(a, /, **changes):
    given = {"x": a["x"], "w": a["w"], "b": a["b"]} | changes
    return kernels.linear_forward(**given)


def delta(a, /, **changes):
    given = {"delta_next": a["delta"], "w_next": a["w"], "a": a["a"], "activation": "tanh"} | changes
    return kernels.delta_backward(**given)


def update(a, /, **changes):
    given = {"w": a["w"], "b": a["b"], "delta": a["delta"], "x": a["x"], "lr": 0.1} | changes
    return kernels.sgd_update(**given)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


F32 = np.float32
REFUSED = [
    (forward, lambda a: {"x": a["x"].tolist()}, TypeError, "x must be a NumPy array, not list"),
    (forward, lambda a: {"x": a["x"].astype(int)}, TypeError, "x must be float32 or float64, not int64"),
    (forward, lambda a: {"w": a["w"].astype(float)}, TypeError, "one dtype: w is float64"),
    (forward, lambda a: {"x": a["x"].astype(">f4")}, TypeError, "not >f4"),
    (forward, lambda a: {"x": a["x"][0]}, ValueError, r"x must have 2 dimensions, not shape \(3,\)"),
    (forward, lambda a: {"w": a["w"][:, :2]}, ValueError, r"as many columns as x, 3, not shape \(5, 2\)"),
    (forward, lambda a: {"b": a["b"][:4]}, ValueError, r"b must have shape \(5,\), not \(4,\)"),
    (forward, lambda a: {"w": np.asfortranarray(a["w"])}, ValueError, "w must be contiguous along its last"),
    (forward, lambda a: {"x": unaligned(a["x"])}, ValueError, "x is not aligned"),
    (forward, lambda a: {"activation": "swish"}, ValueError, "unknown activation 'swish': allowed are"),
    (forward, lambda a: {"out": np.zeros((4, 6), F32)}, ValueError, r"out must have shape \(4, 5\)"),
    (forward, lambda a: {"out": np.zeros((4, 5))}, TypeError, "out is float64"),
    (forward, lambda a: {"out": read_only(np.zeros((4, 5), F32))}, ValueError, "out is read-only"),
    (forward, lambda a: {"out": np.zeros((5, 4), F32).T}, ValueError, "out must be contiguous"),
    (
        forward,
        lambda a: {"out": np.lib.stride_tricks.as_strided(np.zeros(8, F32), (4, 5), (4, 4))},
        ValueError,
        "out has rows that overlap",
    ),
    (delta, lambda a: {"w_next": a["w"][:4]}, ValueError, "as many rows as delta_next has columns, 5"),
    (delta, lambda a: {"a": a["a"][:3]}, ValueError, r"a must have shape \(4, 3\)"),
    (delta, lambda a: {"z": a["a"]}, ValueError, "z is only for activations"),
    (
        delta,
        lambda a: {"activation": "gelu"},
        ValueError,
        "'gelu' needs z: its derivative is no function of a",
    ),
    (delta, lambda a: {"activation": "silu", "z": a["a"][:3]}, ValueError, r"z must have shape \(4, 3\)"),
    (delta, lambda a: {"activation": "silu", "z": a["a"].astype(float)}, TypeError, "z is float64"),
    (delta, lambda a: {"activation": "silu", "z": a["a"].tolist()}, TypeError, "z must be a NumPy array"),
    (
        delta,
        lambda a: {"activation": "gelu_tanh", "z": (z := a["a"].copy()), "out": z},
        ValueError,
        "out overlaps z",
    ),
    (
        delta,
        lambda a: {"activation": "elu", "z": a["a"]},
        ValueError,
        "z is only for activations .* not 'elu'",
    ),
    (delta, lambda a: {"activation": None}, ValueError, "unknown activation None"),
    (delta, lambda a: {"out": a["a"]}, ValueError, "out overlaps a"),
    (update, lambda a: {"delta": a["delta"][:3]}, ValueError, "as many rows as x, 4"),
    (update, lambda a: {"w": a["w"][:4]}, ValueError, r"w must have shape \(5, 3\)"),
    (update, lambda a: {"w": read_only(a["w"])}, ValueError, "w is read-only"),
    (update, lambda a: {"momentum": 0.9}, ValueError, "momentum 0.9 needs the velocities"),
    (update, lambda a: {"momentum": 0.9, "vw": a["vw"]}, ValueError, "needs the velocities"),
    (update, lambda a: {"nesterov": True}, ValueError, "nesterov needs a momentum above 0"),
    (update, lambda a: {"momentum": 0.9, "vw": a["w"], "vb": a["vb"]}, ValueError, "w overlaps vw"),
    (update, lambda a: {"lr": "fast"}, TypeError, "real number"),
]


@pytest.mark.parametrize(("call", "changes", "error", "message"), REFUSED)
def test_refusals(arrays, call, changes, error, message):
    before = {name: array.copy() for name, array in arrays.items()}
    with pytest.raises(error, match=message):
        call(arrays, **changes(arrays))
    assert all(np.array_equal(arrays[name], before[name]) for name in arrays)


@pytest.mark.parametrize(("n", "width", "out_at"), [(4, 3, 0), (4, 5, 1), (2, 3, 2)])
def test_out_may_overlap_no_input(n, width, out_at):
    buffer = np.zeros(200, np.float32)
    x, w, b = buffer[: n * 3].reshape(n, 3), np.zeros((width, 3), np.float32), np.zeros(width, np.float32)
    out = buffer[out_at : out_at + n * width].reshape(n, width)
    with pytest.raises(ValueError, match="out overlaps x"):
        kernels.linear_forward(x, w, b, out=out)


def test_out_may_lie_beside_its_input_in_one_array():
    both = np.ones((6, 9), np.float32)
    w, b = np.ones((5, 4), np.float32), np.zeros(5, np.float32)
    kernels.linear_forward(both[:, :4], w, b, out=both[:, 4:])
    assert (both[:, 4:] == 4).all()
    assert (both[:, :4] == 1).all()


def test_one_column_or_row_needs_no_contiguity():
    column = np.ones((8, 6), np.float32)[:, 2:3]
    got = kernels.linear_forward(column, np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    assert np.array_equal(got, np.ones((8, 1), np.float32))


@pytest.mark.parametrize("name", kernels.__all__)
def test_the_reference_has_the_same_signatures(name):
    """Besides `scratch`, and `n_threads`, which NumPy's products do not take."""
    ours = dict(inspect.signature(getattr(kernels, name)).parameters)
    theirs = dict(inspect.signature(getattr(reference, name)).parameters)
    del theirs["scratch"], ours["n_threads"]
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]
