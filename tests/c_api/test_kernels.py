"""The kernels of the C API against NumPy, and what they refuse."""

import numpy as np
import pytest
from c_nets import API, address, number, status_of
from hypothesis import given
from hypothesis import strategies as st

from bpkern import _core, reference

SIZES = st.integers(0, 40)
BOUND = {"float32": 1e-5, "float64": 1e-13}


def matrix(rng, rows, columns, extra, dtype):
    """A matrix whose rows lie `extra` elements farther apart than they are wide, with NaN between them."""
    whole = np.full((rows, columns + extra), np.nan, dtype)
    whole[:, :columns] = rng.normal(size=(rows, columns))
    return whole[:, :columns], columns + extra


@given(st.data(), SIZES, SIZES, SIZES, st.integers(0, 3), st.integers(0, 2), st.sampled_from(sorted(BOUND)))
def test_the_three_kernels(data, n, width_in, width, extra, threads, dtype):
    name = data.draw(st.sampled_from(_core.ACTIVATIONS))
    rng = np.random.default_rng(n + 41 * width_in + 1681 * width)
    x, ldx = matrix(rng, n, width_in, extra, dtype)
    w, ldw = matrix(rng, width, width_in, extra, dtype)
    b = rng.normal(size=width).astype(dtype)
    a, lda = matrix(rng, n, width, extra, dtype)
    call = (number(dtype), threads, n, width_in, width)
    status = status_of(
        *(
            API.linear_forward,
            *call,
            address(x),
            ldx,
            address(w),
            ldw,
            address(b),
            number(name),
            address(a),
            lda,
        )
    )
    assert status == "OK"
    expected = reference.kernels.linear_forward(x, w, b, name)
    assert np.allclose(a, expected, rtol=BOUND[dtype], atol=50 * BOUND[dtype])

    delta_next, ldn = matrix(rng, n, width, extra, dtype)
    below, ldb = matrix(rng, n, width_in, extra, dtype)  # z of the layer below, or its activations
    delta, ldd = matrix(rng, n, width_in, extra, dtype)
    status = status_of(
        *(API.delta_backward, *call, address(delta_next), ldn, address(w), ldw, address(below), ldb),
        *(number(name), address(delta), ldd),
    )
    assert status == "OK"
    z = below if API.needs_z(number(name)) else None
    expected = reference.kernels.delta_backward(delta_next, w, below, name, z=z)
    assert np.allclose(delta, expected, rtol=BOUND[dtype], atol=50 * BOUND[dtype])

    momentum = data.draw(st.sampled_from([0.0, 0.9]))
    (vw, ldv), vb = matrix(rng, width, width_in, extra, dtype), rng.normal(size=width).astype(dtype)
    expected = [np.array(array) for array in (w, b, vw, vb)]
    reference.kernels.sgd_update(
        *(*expected[:2], delta_next, x, 0.1),
        **dict(momentum=momentum, nesterov=momentum > 0, weight_decay=0.01, vw=expected[2], vb=expected[3]),
    )
    status = status_of(
        *(API.sgd_update, *call, address(w), ldw, address(b), address(delta_next), ldn, address(x), ldx),
        *(address(vw), ldv, address(vb), 0.1, momentum, int(momentum > 0), 0.01),
    )
    assert status == "OK"
    for array, wanted in zip((w, b, vw, vb), expected, strict=True):
        assert np.allclose(array, wanted, rtol=BOUND[dtype], atol=50 * BOUND[dtype])
    for array in (x, w, a, delta):
        if array.base is not None and extra:
            assert np.isnan(array.base[:, array.shape[1] :]).all()


@pytest.mark.parametrize("name", _core.ACTIVATIONS)
def test_activations_and_their_derivatives(name, dtype):
    rng = np.random.default_rng(0)
    z, ld = matrix(rng, 7, 13, 2, dtype)
    delta, _ = matrix(rng, 7, 13, 2, dtype)
    a, slope, with_slope = z.copy(), np.empty((7, 13), dtype), z.copy()
    number_of, kind = number(name), number(dtype)
    assert status_of(API.activate, kind, number_of, 7, 13, address(a), 13) == "OK"
    identity = np.eye(13, dtype=dtype)
    expected = reference.kernels.linear_forward(z, identity, np.zeros(13, dtype), name)
    assert np.allclose(a, expected, rtol=BOUND[dtype], atol=BOUND[dtype])
    assert (
        status_of(
            *(API.activate_with_slope, kind, number_of, 7, 13, address(with_slope), 13, address(slope), 13)
        )
        == "OK"
    )
    assert np.allclose(with_slope, expected, rtol=BOUND[dtype], atol=BOUND[dtype])
    from_z = bool(API.needs_z(number_of))
    wanted = reference.kernels.delta_backward(
        delta, identity, expected, name, z=np.array(z) if from_z else None
    )
    assert np.allclose(slope * delta, wanted, rtol=20 * BOUND[dtype], atol=20 * BOUND[dtype])
    operand = z if from_z else expected
    leading = ld if from_z else 13
    arguments = (address(operand), leading, address(delta), ld)
    assert status_of(API.apply_derivative, kind, number_of, 7, 13, *arguments) == "OK"
    assert np.allclose(delta, wanted, rtol=20 * BOUND[dtype], atol=20 * BOUND[dtype])


def test_probabilities():
    a = np.random.default_rng(0).normal(size=(9, 5)) * 30
    p = np.empty_like(a)
    arguments = (9, 5, address(a), address(p))
    assert status_of(API.probabilities, number("float64"), number("cross_entropy"), *arguments) == "OK"
    powers = np.exp(a - a.max(1, keepdims=True))
    assert np.allclose(p, powers / powers.sum(1, keepdims=True), rtol=1e-13, atol=1e-300)
    assert status_of(API.probabilities, number("float64"), number("binary_cross_entropy"), *arguments) == "OK"
    assert np.allclose(p, 1 / (1 + np.exp(-a)), rtol=1e-13)
    assert status_of(API.probabilities, number("float64"), number("mse"), *arguments) == "BAD_NAME"


# x, w, b, a of a forward pass of 2 rows, 3 inputs and 4 outputs, by the place of the argument.
GOOD = dict(
    dtype=1, threads=1, n=2, width_in=3, width=4, x=..., ldx=3, w=..., ldw=3, b=..., s=0, a=..., lda=4
)


@pytest.mark.parametrize(
    ("argument", "value", "status"),
    [
        *(("dtype", value, "BAD_NAME") for value in (-1, 2)),
        *(("s", value, "BAD_NAME") for value in (-1, len(_core.ACTIVATIONS))),
        *(("threads", value, "BAD_SIZE") for value in (-1, 1025)),
        *((size, -1, "BAD_SIZE") for size in ("n", "width_in", "width")),
        *((ld, value, "BAD_SIZE") for ld in ("ldx", "ldw", "lda") for value in (2, -3, 2**62)),
        *((pointer, None, "NULL_POINTER") for pointer in ("x", "w", "b", "a")),
    ],
)
def test_bad_arguments_write_nothing(argument, value, status):
    arrays = {name: np.ones((4, 4)) for name in ("x", "w", "b", "a")}
    given = {name: address(arrays[name]) if found is ... else found for name, found in GOOD.items()}
    assert status_of(API.linear_forward, *given.values()) == "OK"
    arrays["a"][:] = 7
    assert status_of(API.linear_forward, *{**given, argument: value}.values()) == status
    assert (arrays["a"] == 7).all()


@pytest.mark.parametrize(("momentum", "nesterov"), [(-0.1, 0), (1.5, 0), (np.nan, 0), (0.0, 1)])
def test_bad_settings_of_an_update(momentum, nesterov):
    w = np.ones((4, 4))
    arguments = (1, 1, 2, 3, 4, address(w), 3, address(w), address(w), 4, address(w), 3)
    status = status_of(API.sgd_update, *arguments, address(w), 3, address(w), 0.1, momentum, nesterov, 0.0)
    assert status == "BAD_VALUE"
    assert status_of(API.sgd_update, *arguments, None, 3, None, 0.1, 0.9, 0, 0.0) == "NULL_POINTER"
    assert (w == 1).all()


def test_instruction_sets():
    """They are those of Python, and a selection is for both."""
    names = [API.isa_name(i).decode() for i in range(API.isa_count())]
    assert tuple(names) == _core.compiled_isas()
    assert API.isa_name(-1) is API.isa_name(len(names)) is None
    assert [name for i, name in enumerate(names) if API.isa_runs(i)] == list(_core.available_isas())
    assert names[API.isa_selected()] == _core.isa()
    assert API.processors() == _core.processors()
    before = API.isa_selected()
    try:
        assert status_of(API.isa_select, names.index("scalar")) == "OK"
        assert _core.isa() == "scalar"
        assert status_of(API.isa_select, len(names)) == "BAD_NAME"
        assert _core.isa() == "scalar"
    finally:
        API.isa_select(before)
