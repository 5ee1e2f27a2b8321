"""Arrays and tables of other libraries: the same numbers give the same bits, and nothing is copied."""

import tracemalloc

import numpy as np
import pytest

import bpkern
from bpkern._data.interchange import as_numeric
from bpkern._data.rows import as_rows

X = np.random.default_rng(0).integers(0, 100, (60, 5))
Y = X[:, 0] % 3
WEIGHTS = np.arange(60) + 1.0


def trained(x, y=Y, sample_weight=None):
    model = bpkern.MLP([5, 8, 3], loss="cross_entropy", optimizer=bpkern.SGD(lr=1e-3), seed=3)
    model.fit(x, y, epochs=2, batch_size=16, sample_weight=sample_weight)
    return np.concatenate([array.ravel() for pair in model.get_weights() for array in pair])


def same_results(x, y, sample_weight):
    expected = trained(X, Y, WEIGHTS)
    assert np.array_equal(trained(x, y, sample_weight), expected)
    model = bpkern.MLP([5, 3], loss="cross_entropy", seed=0)
    assert np.array_equal(model.forward(x), model.forward(X))
    assert model.evaluate(x, y) == model.evaluate(X, Y)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch makes the tensors")


@pytest.fixture
def jax():
    return pytest.importorskip("jax", reason="JAX makes the arrays")


@pytest.fixture
def polars():
    return pytest.importorskip("polars", reason="Polars makes the tables")


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas", reason="pandas makes the tables")


def test_numpy_arrays_are_not_copied():
    for array in (X, X.astype("f4")[::2, ::-1], X.astype(">i2"), np.asfortranarray(X)):
        rows = as_rows(array, 5)
        assert rows is not array  # whose shape its owner may change
        assert (rows.ctypes.data, rows.strides, rows.dtype) == (array.ctypes.data, array.strides, array.dtype)


# PyTorch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "int64", "int32", "int16", "uint8"])
def test_torch(torch, name):
    x = torch.tensor(X).to(getattr(torch, name))
    same_results(x, torch.tensor(Y).to(getattr(torch, name)), torch.tensor(WEIGHTS))


def test_torch_tensors_are_not_copied(torch):
    tensor = torch.tensor(X, dtype=torch.float32)
    for view in (tensor, tensor.T.contiguous().T, tensor[::2], tensor.detach()):
        array = as_rows(view, 5)
        assert array.ctypes.data == view.data_ptr()
        assert np.array_equal(array, view.numpy())


def test_torch_tensors_that_are_read_where_they_are_cannot_go_away(torch):
    tensor = torch.zeros(60, 5)
    rows = as_rows(tensor, 5)
    with pytest.raises(RuntimeError, match="resize"):
        tensor.resize_(6000, 500)
    assert rows.sum() == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda torch: torch.zeros(60, 5, requires_grad=True),
            r"must not require gradients: pass X.detach\(\)",
        ),
        (
            lambda torch: torch.zeros(60, 5, dtype=torch.bfloat16),
            r"of dtype torch.bfloat16, device cpu cannot be read",
        ),
        (
            lambda torch: torch.zeros(60, 5, device="meta"),
            r"device meta cannot be read .* pass X.cpu\(\).float\(\)",
        ),
        (lambda torch: torch.zeros(60, 5).to_sparse(), "to_dense"),
        (
            lambda torch: torch.zeros(60, 5, dtype=torch.complex64),
            "X must hold real numbers, not dtype complex64",
        ),
    ],
    ids=range(5),
)
def test_torch_tensors_that_numpy_cannot_read(torch, make, message):
    model = bpkern.MLP([5, 3], loss="cross_entropy", seed=0)
    for call in (lambda x: model.fit(x, Y), model.predict):
        with pytest.raises(TypeError, match=message):
            call(make(torch))


def test_torch_targets_that_require_gradients(torch):
    with pytest.raises(TypeError, match=r"y must not require gradients: pass y.detach\(\)"):
        trained(X, torch.ones(60, requires_grad=True))


# JAX -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float32", "float16", "int32", "uint8"])
def test_jax(jax, name):
    same_results(
        jax.numpy.asarray(X, name), jax.numpy.asarray(Y, name), jax.numpy.asarray(WEIGHTS, "float32")
    )


def test_jax_arrays_are_not_copied(jax):
    array = jax.numpy.asarray(X, "float32")
    assert as_rows(array, 5).ctypes.data == array.unsafe_buffer_pointer()


def test_jax_types_that_numpy_has_not(jax):
    with pytest.raises(TypeError, match="X must hold real numbers, not dtype bfloat16"):
        trained(jax.numpy.asarray(X, "bfloat16"))


# Anything else ---------------------------------------------------------------------------------------------


class Exporter:
    """An array that supports DLPack and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **settings):
        return self.array.__dlpack__(**settings)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OnAnotherDevice(Exporter):
    device = "gpu:0"

    def __dlpack__(self, **settings):
        raise BufferError("it is far away")

    def __dlpack_device__(self):
        return 2, 0


@pytest.mark.parametrize("code", ["f4", "f8", "i8", "u1"])
def test_dlpack(code):
    array = X.astype(code)
    assert np.shares_memory(as_rows(Exporter(array), 5), array)
    same_results(Exporter(array), Exporter(Y), Exporter(WEIGHTS))


def test_dlpack_of_another_device():
    message = (
        r"numbers that NumPy can read, on the CPU: OnAnotherDevice of device gpu:0 cannot be read "
        r"\(it is far away\)"
    )
    with pytest.raises(TypeError, match=f"X must hold real {message}"):
        trained(OnAnotherDevice(X))


def test_buffers():
    array = X.astype("f4")
    assert np.shares_memory(as_rows(memoryview(array), 5), array)
    same_results(memoryview(array), memoryview(Y), memoryview(WEIGHTS))


# Tables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["float32", "int64", "Float32", "Float64", "Int64", "Int16", "UInt8"])
def test_pandas(pandas, kind):
    x = pandas.DataFrame(X).astype(kind)
    same_results(x, pandas.Series(Y).astype(kind), pandas.Series(WEIGHTS))


def test_pandas_tables_of_several_types(pandas):
    x = pandas.DataFrame(X).astype({0: "float32", 1: "Int64", 2: "int8", 3: "Float64"})
    same_results(x, pandas.Series(Y, dtype="Int8"), pandas.Series(WEIGHTS, dtype="Float64"))
    flags = pandas.DataFrame({i: X[:, i] > 50 for i in range(5)})
    assert np.array_equal(trained(flags), trained(X > 50))
    assert np.array_equal(trained(flags.astype("boolean")), trained(X > 50))


def test_pandas_values_that_are_missing(pandas):
    x = pandas.DataFrame(X).astype("Int64")
    x.iloc[7, 2] = pandas.NA
    with pytest.raises(TypeError, match=r"X must hold numbers: .*NAType"):
        trained(x)
    with pytest.raises((TypeError, ValueError), match=r"NAType|whole numbers: row 7 of y is nan"):
        trained(X, x[2])


def test_pandas_tables_of_one_type_are_not_copied(pandas):
    array = X.astype("f4")
    table = pandas.DataFrame(array, copy=False)
    assert np.shares_memory(as_rows(table, 5), array)
    series = pandas.Series(WEIGHTS, copy=False)
    assert np.shares_memory(as_numeric("sample_weight", series), WEIGHTS)


@pytest.mark.parametrize("name", ["Float32", "Float64", "Int64", "Int8", "UInt16"])
def test_polars(polars, name):
    x = polars.DataFrame(X).cast(getattr(polars, name))
    same_results(x, polars.Series(Y).cast(getattr(polars, name)), polars.Series(WEIGHTS))


def test_polars_tables_of_several_types_and_chunks(polars):
    x = polars.DataFrame(X).with_columns(polars.col("column_1").cast(polars.Float32))
    same_results(x, polars.Series(Y), polars.Series(WEIGHTS))
    halves = polars.concat([x[:20], x[20:]], rechunk=False)
    same_results(
        halves, polars.concat([polars.Series(Y[:20]), polars.Series(Y[20:])]), polars.Series(WEIGHTS)
    )


def test_polars_values_that_are_missing(polars):
    x = polars.DataFrame(X).with_columns(
        polars.when(polars.col("column_2") >= 0).then(None).alias("column_2")
    )
    with pytest.raises((TypeError, ValueError), match=r"X holds nan at row|X must hold numbers"):
        trained(x)


def test_polars_columns_that_lie_side_by_side_are_not_copied(polars):
    array = np.asfortranarray(X.astype("f4"))
    table = polars.from_numpy(array)
    assert np.shares_memory(as_rows(table, 5), array)
    series = polars.Series(WEIGHTS)
    assert np.shares_memory(as_numeric("sample_weight", series), series.to_numpy())


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_text(library, request):
    module = request.getfixturevalue(library)
    with pytest.raises(
        TypeError, match=r"y must hold (real )?numbers.*numpy.unique\(y, return_inverse=True\)"
    ):
        trained(X, module.Series(["a", "b", "c"] * 20))


@pytest.mark.parametrize("library", ["torch", "jax", "polars", "pandas"])
def test_a_fit_makes_no_copy(library, request):
    module = request.getfixturevalue(library)
    array = np.ones((20_000, 100), np.float32, order="F" if library == "polars" else "C")
    x = {
        "torch": lambda: module.from_numpy(array),
        "jax": lambda: module.numpy.asarray(array),
        "polars": lambda: module.from_numpy(array),
        "pandas": lambda: module.DataFrame(array, copy=False),
    }[library]()
    model = bpkern.MLP([100, 2], loss="cross_entropy", seed=0)
    labels = np.zeros(len(array), np.int64)
    model.predict(x)  # libraries allocate at their first use, which should not count
    tracemalloc.start()
    model.fit(x, labels, batch_size=1000, shuffle=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < array.nbytes / 4
