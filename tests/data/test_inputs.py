"""X, y and weights in every form that users have: the same numbers give the same bits."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from helpers import unaligned

import bpkern

INTEGERS = np.random.default_rng(0).integers(0, 100, (60, 5))
TARGETS = INTEGERS.sum(axis=1) / 100


def trained(X, y=TARGETS, loss="mse", width=1, **fit):
    model = bpkern.MLP([5, 8, width], loss=loss, optimizer=bpkern.SGD(lr=1e-5), seed=3)
    model.fit(X, y, epochs=2, batch_size=16, **fit)
    return np.concatenate([array.ravel() for pair in model.get_weights() for array in pair])


def strided(array):
    wide = np.zeros((120, 11), array.dtype)
    wide[::2, 1::2] = array
    return wide[::2, 1::2]


def read_only(array):
    array.flags.writeable = False
    return array


FORMS = {
    "list": lambda a: a.tolist(),
    "Fortran order": np.asfortranarray,
    "every other row and column": strided,
    "backwards": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": read_only,
    "unaligned": unaligned,
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "DataFrame": pd.DataFrame,
    "objects": lambda a: a.astype(object),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_forms(form, dtype):
    assert np.array_equal(trained(FORMS[form](INTEGERS.astype(dtype))), trained(INTEGERS.astype(np.float32)))


@pytest.mark.parametrize("code", [*"bBhHiIlLqQefdg", ">g", ">i2", ">u4", ">f2", ">f8", ">i8"])
def test_dtypes(code):
    assert np.array_equal(trained(INTEGERS.astype(code)), trained(INTEGERS.astype(np.float32)))
    by_y = [trained(INTEGERS, INTEGERS[:, 0].astype(kind)) for kind in (code, np.float32)]
    assert np.array_equal(*by_y)


@pytest.mark.parametrize("name", ["y", "labels", "sample_weight", "weights"])
def test_unaligned(name):
    labels = INTEGERS[:, 0] % 3
    weights = np.arange(1.0, 61)
    if name == "y":
        results = [trained(INTEGERS, form(TARGETS)) for form in (np.copy, unaligned)]
    elif name == "labels":
        results = [trained(INTEGERS, form(labels), "cross_entropy", 3) for form in (np.copy, unaligned)]
    elif name == "sample_weight":
        results = [trained(INTEGERS, sample_weight=form(weights)) for form in (np.copy, unaligned)]
    else:
        results = []
        for form in (np.copy, unaligned):
            model = bpkern.MLP([5, 3], loss="mse", seed=0)
            model.set_weights([(form(np.ones((3, 5), np.float32)), form(np.ones(3, np.float32)))])
            results.append(model.forward(INTEGERS))
    assert np.array_equal(*results)


@pytest.mark.parametrize("scale", [2.0**-1070, 2.0**-40, 2.0**1010])
def test_the_scale_of_sample_weights_does_not_matter(scale):
    weights = np.arange(60) % 7 + 1.0
    assert np.array_equal(
        trained(INTEGERS, sample_weight=weights * scale), trained(INTEGERS, sample_weight=weights)
    )


def test_half_precision_takes_every_value():
    bits = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    values = bits[np.isfinite(bits)]
    model = bpkern.MLP([1, 1], loss="mse", dtype="float64")
    model.set_weights([([[1.0]], [0.0])])
    assert np.array_equal(model.forward(values.reshape(-1, 1))[:, 0], values.astype(np.float64))


def test_booleans():
    X = INTEGERS > 50
    assert np.array_equal(trained(X), trained(X.astype(np.float32)))


def test_memmap(tmp_path):
    X = np.memmap(tmp_path / "x", np.float32, "w+", shape=INTEGERS.shape)
    X[...] = INTEGERS
    X.flush()
    on_disk = np.memmap(tmp_path / "x", np.float32, "r", shape=INTEGERS.shape)
    assert np.array_equal(trained(on_disk), trained(INTEGERS.astype(np.float32)))


def test_labels_in_every_form():
    labels = INTEGERS[:, 0] % 3
    expected = trained(INTEGERS, labels, "cross_entropy", 3)
    for form in (labels.tolist(), labels.astype(np.uint8), labels.astype(float), labels[::-1].copy()[::-1]):
        assert np.array_equal(trained(INTEGERS, form, "cross_entropy", 3), expected)
    assert np.array_equal(trained(INTEGERS, pd.Series(labels), "cross_entropy", 3), expected)
    one_hot = trained(INTEGERS, np.eye(3)[labels], "cross_entropy", 3)
    assert one_hot == pytest.approx(expected, rel=1e-5)


def test_columns_of_y():
    by_vector = trained(INTEGERS, TARGETS)
    assert np.array_equal(trained(INTEGERS, TARGETS[:, None]), by_vector)
    binary = (INTEGERS[:, 0] > 50).astype(int)
    expected = trained(INTEGERS, binary, "binary_cross_entropy")
    assert np.array_equal(trained(INTEGERS, binary[:, None] > 0, "binary_cross_entropy"), expected)


def test_wide_rows_are_converted_in_pieces():
    X = np.random.default_rng(1).integers(-9, 9, (3, 1000)).astype(np.int8)
    model = bpkern.MLP([1000, 2], loss="mse", seed=0)
    for form in (X, np.asfortranarray(X), X.astype(">f4")):
        assert np.array_equal(model.forward(form), model.forward(X.astype(np.float32)))


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_x_is_never_copied_whole(dtype):
    X = np.ones((20_000, 400), dtype)
    y = np.zeros(len(X), np.int64)
    model = bpkern.MLP([400, 4, 2], loss="cross_entropy", seed=0)
    tracemalloc.start()
    model.fit(X, y, batch_size=1000, shuffle=False)
    model.evaluate(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes / 4


@pytest.mark.parametrize("width", [2, 40])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_largest_numbers_are_numbers(isa, dtype, batch_size, width):
    """In X and in y, on the online path and on the general one."""
    most = np.finfo(dtype).max
    x, y = np.zeros((8, width), dtype), np.zeros((8, 2), dtype)
    x[1, 0], x[2, -1], y[4, 0], y[5, 1] = most, -most, most, -most
    model = bpkern.MLP([width, 2], loss="mae", dtype=dtype, optimizer=bpkern.SGD(lr=0.0), seed=0)
    model.set_weights([(np.zeros((2, width)), np.zeros(2))])
    assert np.isfinite(model.fit(x, y, batch_size=batch_size, verbose=0)["loss"]).all()


def test_no_rows():
    model = bpkern.MLP([5, 3], loss="cross_entropy", seed=0)
    empty = np.empty((0, 5))
    assert model.forward(empty).shape == (0, 3)
    assert model.predict(empty).shape == (0,)
    assert model.predict(empty).dtype == np.int64
    assert model.predict_proba(empty).shape == (0, 3)
    for call in (model.fit, model.train_on_batch, model.gradients, model.evaluate):
        with pytest.raises(ValueError, match="X has no rows"):
            call(empty, [])


def test_shapes_of_predictions():
    X = INTEGERS / 100
    model = bpkern.MLP([5, 1], loss="mse", seed=0)
    assert model.predict(X).shape == (60, 1)
    model.fit(X, TARGETS)
    assert model.predict(X).shape == (60,)
    assert model.forward(X).shape == (60, 1)
    model.fit(X, TARGETS[:, None])
    assert model.predict(X).shape == (60, 1)

    binary = bpkern.MLP([5, 2], loss="binary_cross_entropy", seed=0)
    assert binary.predict(X).shape == (60, 2)
    assert binary.predict(X).dtype == np.int64
    p = binary.predict_proba(X)
    assert p.shape == (60, 2)
    assert p.dtype == np.float32
    assert np.array_equal(binary.predict(X), p > 0.5)
    assert bpkern.MLP([5, 1], loss="binary_cross_entropy", seed=0).predict(X).shape == (60,)


def test_probabilities():
    X = INTEGERS / 100
    model = bpkern.MLP([5, 4], loss="cross_entropy", seed=0)
    z = model.forward(X).astype(np.float64)
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    assert model.predict_proba(X) == pytest.approx(expected, rel=1e-5)
    assert np.array_equal(model.predict(X), z.argmax(axis=1))


def test_many_rows_go_through_in_pieces():
    X = np.random.default_rng(2).standard_normal((1000, 5))
    model = bpkern.MLP([5, 7, 3], loss="cross_entropy", dtype="float64", seed=0)
    whole = model.forward(X)
    for i in (0, 255, 256, 999):
        assert whole[i] == pytest.approx(model.forward(X[i : i + 1])[0], rel=1e-13)
    (w1, b1), (w2, b2) = model.get_weights()
    assert whole == pytest.approx(np.maximum(X @ w1.T + b1, 0) @ w2.T + b2, rel=1e-12)
