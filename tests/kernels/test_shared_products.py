"""The kernels as functions, by several threads: the same bits as by one, within the bound.

The shapes take every way in which a product is made: by dot products, for few rows, block after block, strip
after strip, as transposes; and rows whose distance in memory makes them displace each other from the caches.
"""

import threading

import numpy as np
import pytest
from helpers import EXACT, product_bound, using

from bpkern import kernels

# (batch, in, out): few rows and many; few blocks of columns, which make members share rows, and many.
SHAPES = [
    (1, 300, 70),
    (5, 100, 9),
    (17, 1100, 130),
    (33, 101, 257),
    (70, 33, 700),
    (300, 260, 20),
    (31, 530, 100),
    (32, 530, 100),
    (24, 1403, 3),
    (5, 3, 328),
    (178, 1, 241),
    (40, 7, 304),
    (2, 517, 183),
    (66, 205, 547),
    (9, 1346, 490),  # weights beyond the second cache
    (3, 2, 1810),
]
THREADS = (2, 5)

# Distances of rows in bytes: none beyond the row, and a multiple of the distance from which rows are copied.
STRIDES = (None, 16384)


def matrix(rng, shape, dtype, stride):
    """Random numbers, with rows that many bytes apart."""
    columns = shape[1] if stride is None else stride // np.dtype(dtype).itemsize
    return rng.standard_normal((shape[0], columns)).astype(dtype)[:, : shape[1]]


def twin(array):
    """A copy of a `matrix`, with rows as far apart."""
    return array.base.copy()[:, : array.shape[1]]


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_forward(isa, dtype, shape, stride):
    n, width_in, width = shape
    rng = np.random.default_rng(n)
    x, w = matrix(rng, (n, width_in), dtype, stride), matrix(rng, (width, width_in), dtype, stride)
    b = rng.standard_normal(width).astype(dtype)
    with using(isa):
        a = kernels.linear_forward(x, w, b, n_threads=1)
        for n_threads in THREADS:
            out = matrix(rng, (n, width), dtype, stride)
            assert kernels.linear_forward(x, w, b, out=out, n_threads=n_threads) is out
            assert np.array_equal(out, a)
    exact = EXACT[dtype]
    magnitude = np.abs(x).astype(exact) @ np.abs(w).astype(exact).T + np.abs(b)
    error = np.abs(a - (x.astype(exact) @ w.astype(exact).T + b))
    assert (error <= product_bound(width_in, magnitude, dtype)).all()


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_delta(isa, dtype, shape, stride):
    n, width_in, width = shape
    rng = np.random.default_rng(n)
    delta_next, w = matrix(rng, (n, width), dtype, stride), matrix(rng, (width, width_in), dtype, stride)
    a = matrix(rng, (n, width_in), dtype, stride)
    with using(isa):
        delta = kernels.delta_backward(delta_next, w, a, "relu", n_threads=1)
        for n_threads in THREADS:
            out = matrix(rng, (n, width_in), dtype, stride)
            kernels.delta_backward(delta_next, w, a, "relu", out=out, n_threads=n_threads)
            assert np.array_equal(out, delta)
    exact = EXACT[dtype]
    magnitude = np.abs(delta_next).astype(exact) @ np.abs(w).astype(exact)
    error = np.abs(delta - (delta_next.astype(exact) @ w.astype(exact)) * (a > 0))
    assert (error <= product_bound(width, magnitude, dtype)).all()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_update(isa, dtype, shape, stride, momentum):
    n, width_in, width = shape
    rng = np.random.default_rng(n)
    x, delta = matrix(rng, (n, width_in), dtype, stride), matrix(rng, (n, width), dtype, stride)
    first, velocity = (matrix(rng, (width, width_in), dtype, stride) for _ in range(2))
    bias = rng.standard_normal((2, width)).astype(dtype)
    results = []
    with using(isa):
        for n_threads in (1, *THREADS):
            w, vw, (b, vb) = twin(first), twin(velocity), bias.copy()
            kernels.sgd_update(w, b, delta, x, 0.5, momentum=momentum, vw=vw, vb=vb, n_threads=n_threads)
            results.append(b"".join(array.tobytes() for array in (w, b, vw, vb)))
    assert len(set(results)) == 1
    exact = EXACT[dtype]
    moved = momentum * velocity.astype(exact) + delta.astype(exact).T @ x.astype(exact)
    magnitude = np.abs(delta).astype(exact).T @ np.abs(x).astype(exact) + np.abs(velocity) + np.abs(first)
    assert (np.abs(w - (first - 0.5 * moved)) <= 2 * product_bound(n, magnitude, dtype)).all()


def test_calls_at_once():
    """A call waits for the helpers that have taken a part of it; others leave its memory alone."""
    rng = np.random.default_rng(0)
    x, w = matrix(rng, (64, 300), "float64", 16384), matrix(rng, (200, 300), "float64", 16384)
    b, right = np.zeros(200), []
    wanted = kernels.linear_forward(x, w, b, n_threads=1).tobytes()

    def calls(n_threads):
        good = True
        for _ in range(500):
            good &= kernels.linear_forward(x, w, b, n_threads=n_threads).tobytes() == wanted
        right.append(good)

    threads = [threading.Thread(target=calls, args=(n_threads,)) for n_threads in (2, 5, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 3


@pytest.mark.parametrize("number", [0, -1, 2**70])
def test_numbers_of_threads(number):
    x, w, b = np.zeros((2, 3)), np.zeros((4, 3)), np.zeros(4)
    if number < 1:
        with pytest.raises(ValueError, match="n_threads must be at least 1"):
            kernels.linear_forward(x, w, b, n_threads=number)
    else:
        assert kernels.linear_forward(x, w, b, n_threads=number).shape == (2, 4)
