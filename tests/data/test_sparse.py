"""Sparse X gives the bits of its dense form; invalid indices never cause a read out of bounds."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bpkern
from bpkern._data.rows import bad_row
from bpkern._data.sparse import SparseRows, sparse_rows
from bpkern._model.core import core_of

sparse = pytest.importorskip("scipy.sparse", reason="SciPy makes the sparse matrices")

ROWS, WIDTH = 70, 300  # more columns, and in some rows more entries, than a chunk of the conversion


def matrix(code="f4", rows=ROWS, width=WIDTH, seed=0):
    rng = np.random.default_rng(seed)
    dense = np.where(rng.random((rows, width)) < 0.1, rng.integers(1, 90, (rows, width)), 0)
    if rows > 4:
        dense[3] = 0
        dense[4] = 1
        dense[-1] = 0
    return dense.astype(code)


def model(dtype="float32", layers=(WIDTH, 8, 3), loss="cross_entropy", **settings):
    return bpkern.MLP(layers, loss=loss, dtype=dtype, seed=3, optimizer=bpkern.SGD(lr=1e-3), **settings)


LABELS = np.arange(ROWS) % 3


def trained(X, dtype="float32", **fit):
    net = model(dtype)
    net.fit(X, LABELS, epochs=2, batch_size=16, **fit)
    return np.concatenate([array.ravel() for pair in net.get_weights() for array in pair])


def with_indices(csr, kind):
    csr.indices, csr.indptr = csr.indices.astype(kind), csr.indptr.astype(kind)
    return csr


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_the_bits_of_the_dense_form(isa, dtype, kind):
    dense = matrix(dtype)
    X = with_indices(sparse.csr_array(dense), kind)
    net = model(dtype)
    assert np.array_equal(net.forward(X), net.forward(dense))
    assert np.array_equal(trained(X, dtype), trained(dense, dtype))
    loss, gradients = net.gradients(X, LABELS)
    expected_loss, expected = net.gradients(dense, LABELS)
    assert loss == expected_loss
    assert all(np.array_equal(*pair) for pair in zip(gradients[0], expected[0], strict=True))
    assert net.evaluate(X, LABELS) == net.evaluate(dense, LABELS)
    assert net.train_on_batch(X, LABELS) == model(dtype).train_on_batch(dense, LABELS)


@pytest.mark.parametrize("code", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "g"])
def test_dtypes(dtype, code):
    dense = matrix(code)
    assert np.array_equal(trained(sparse.csr_matrix(dense), dtype), trained(dense.astype(dtype), dtype))


def test_values_in_the_other_byte_order_and_of_half_precision():
    dense = matrix("f4")
    csr = sparse.csr_array(dense)
    for code in (">f4", ">f8", ">i4", "f2", ">f2"):
        rows = SparseRows(csr.data.astype(code), csr.indices, csr.indptr, WIDTH)
        outputs = core_of(model()).net.forward_data(bpkern._core.Data(rows))
        assert np.array_equal(outputs, model().forward(dense))


@pytest.mark.parametrize("form", ["csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_formats(form, kind):
    dense = np.eye(ROWS, WIDTH, 2) if form == "dia" else matrix()
    X = getattr(sparse, f"{form}_{kind}")(dense)
    assert np.array_equal(model().forward(X), model().forward(dense))


@pytest.mark.parametrize("batch_size", [1, 7, ROWS])
def test_shuffles_weights_validation_and_threads(batch_size):
    dense = matrix()
    X = sparse.csr_array(dense)
    settings = dict(sample_weight=np.arange(ROWS) + 1.0, validation_split=0.3, batch_size=batch_size)
    histories = []
    for x, threads in ((X, 1), (X, 3), (dense, 1)):
        net = model()
        histories.append(dict(net.fit(x, LABELS, epochs=2, n_threads=threads, **settings)))
    assert histories[0] == histories[1] == histories[2]
    net = model()
    validated = net.fit(dense, LABELS, validation_data=(X, LABELS))
    assert validated["val_loss"] == model().fit(X, LABELS, validation_data=(dense, LABELS))["val_loss"]


def test_nets_that_take_dense_rows_of_one_in_registers():
    dense = matrix(rows=ROWS, width=4)
    results = []
    for x in (dense, sparse.csr_array(dense)):
        net = model(layers=(4, 3, 3))
        net.fit(x, LABELS, batch_size=1)
        results.append(net.get_weights())
    for (w, b), (expected_w, expected_b) in zip(*results, strict=True):
        assert w == pytest.approx(expected_w, rel=1e-5)
        assert b == pytest.approx(expected_b, rel=1e-5, abs=1e-7)


@given(
    entries=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(-9, 9)), max_size=40),
    wide=st.booleans(),
)
def test_unsorted_and_repeated_entries_add_up(entries, wide):
    entries = sorted(entries, key=lambda entry: entry[0])  # by row; columns stay in random order
    rows, columns, values = (np.array([entry[i] for entry in entries], np.int64) for i in range(3))
    indptr = np.searchsorted(rows, np.arange(7))
    kind = np.int64 if wide else np.int32
    X = sparse.csr_array((values.astype(np.float32), columns.astype(kind), indptr.astype(kind)), shape=(6, 9))
    dense = np.zeros((6, 9), np.float32)
    np.add.at(dense, (rows, columns), values)
    net = model(layers=(9, 5, 3))
    assert np.array_equal(net.forward(X), net.forward(dense))
    assert np.array_equal(np.asarray(sparse_rows(X)), dense)


def test_no_rows_no_entries_and_entries_before_and_after():
    net = model()
    assert net.forward(sparse.csr_array((0, WIDTH))).shape == (0, 3)
    with pytest.raises(ValueError, match="X has no rows"):
        net.fit(sparse.csr_array((0, WIDTH)), [])
    nothing = sparse.csr_array((5, WIDTH), dtype=np.float32)
    assert np.array_equal(net.forward(nothing), net.forward(np.zeros((5, WIDTH))))
    part = SparseRows(np.arange(5.0), np.array([-7, 0, 1, 2, 9999]), np.array([1, 2, 4]), WIDTH)
    dense = np.zeros((2, WIDTH))
    dense[0, 0], dense[1, 1:3] = 1, (2, 3)
    assert np.array_equal(np.asarray(part), dense)
    assert np.array_equal(core_of(net).net.forward_data(bpkern._core.Data(part)), net.forward(dense))


def test_strided_values():
    csr = sparse.csr_array(matrix())
    wide = np.full(3 * csr.nnz, np.nan, np.float32)
    wide[::3] = csr.data
    rows = SparseRows(wide[::3], csr.indices, csr.indptr, WIDTH)
    assert np.array_equal(
        core_of(model()).net.forward_data(bpkern._core.Data(rows)), model().forward(matrix())
    )


def test_the_matrix_is_neither_copied_nor_changed():
    X = sparse.csr_array(matrix())
    rows = sparse_rows(X)
    assert np.shares_memory(rows.data, X.data)
    assert np.shares_memory(rows.indices, X.indices)
    assert np.shares_memory(rows.indptr, X.indptr)
    before = X.copy()
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    trained(X)
    assert (before != X).nnz == 0


def test_no_memory_for_the_dense_form():
    n, width = 3000, 10_000
    X = sparse.csr_array((np.ones(n, np.float32), np.arange(n) % width, np.arange(n + 1)), shape=(n, width))
    net = bpkern.MLP([width, 2], loss="cross_entropy", seed=0)
    tracemalloc.start()
    net.fit(X, np.arange(n) % 2, batch_size=10)
    net.evaluate(X, np.arange(n) % 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < n * width / 20


def test_the_reference_takes_it_too():
    dense = matrix(rows=ROWS, width=20)
    losses = []
    for trainer, x in ((bpkern.reference.MLP, sparse.csr_array(dense)), (bpkern.MLP, dense)):
        net = trainer([20, 4, 3], loss="cross_entropy", seed=0, optimizer=bpkern.SGD(lr=1e-3))
        losses.append(net.fit(x, LABELS, epochs=2)["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def broken(name, position, value):
    X = sparse.csr_array(matrix())
    getattr(X, name)[position] = value
    return X


BROKEN = [
    ("indices", 5, WIDTH, "column indices from 0 to 299, not from 0 to 300"),
    ("indices", 5, -1, "column indices from 0 to 299, not from -1 to 299"),
    ("indices", -1, 2**31 - 1, "column indices from 0 to 299"),
    ("indptr", 0, -1, "an indptr that rises from 0"),
    ("indptr", -1, 10**6, "an indptr that rises from 0"),
    ("indptr", 5, 10**6, "an indptr that rises from 0"),
    ("indptr", 5, -(10**6), "an indptr that rises from 0"),
]


@pytest.mark.parametrize(("name", "position", "value", "message"), BROKEN)
def test_broken_matrices_are_refused_before_the_start(name, position, value, message):
    X = broken(name, position, value)
    net = model()
    for call in (lambda: net.fit(X, LABELS), lambda: net.forward(X), lambda: net.evaluate(X, LABELS)):
        with pytest.raises(ValueError, match=message):
            call()
    assert all(
        np.array_equal(*pair) for pair in zip(net.get_weights()[0], model().get_weights()[0], strict=True)
    )


@pytest.mark.parametrize("kind", [np.int32, np.int64])
@pytest.mark.parametrize(("name", "position", "value", "message"), BROKEN)
def test_what_is_broken_later_is_a_bad_row(isa, kind, name, position, value, message):
    csr = with_indices(sparse.csr_array(matrix()), kind)
    rows = SparseRows(csr.data, csr.indices, csr.indptr, WIDTH)
    data = bpkern._core.Data(rows)
    getattr(rows, name)[position] = np.iinfo(kind).max if value > 10**6 else value
    with pytest.raises(bpkern._core.BadRowError) as caught:
        core_of(model()).net.forward_data(data)
    row = caught.value.row
    expected = {("indptr", 5): 4, ("indptr", 0): 0, ("indptr", -1): ROWS - 1}.get((name, position))
    if expected is None:
        expected = int(np.searchsorted(rows.indptr, position % len(rows.indices), side="right")) - 1
    assert row == expected
    error = bad_row((rows, None, None), row, core_of(model()).settings)
    assert f"row {row}" in str(error)


def test_what_is_broken_in_the_middle_of_a_fit_stops_it():
    X = sparse.csr_array(matrix())

    class Late:
        """Labels that corrupt X when they are read, which is after X has been checked."""

        def __array__(self, dtype=None, copy=None):
            X.indices[:] = 10**6
            return LABELS

    with pytest.raises(ValueError, match="X holds a column index out of range at row"):
        model().fit(X, Late())


def test_numpy_indexes_by_copies():
    """NumPy checks indices and then reads them again; in shared memory they may change in between."""
    rows = sparse_rows(sparse.csr_array(matrix()))
    for taken, caller in zip(rows.entries(0, ROWS), (rows.indices, rows.data), strict=True):
        assert np.array_equal(taken, caller[:ROWS])
        assert not np.shares_memory(taken, caller)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "X holds nan at row 6, column 7: no finite number"),
        (-np.inf, "X holds -inf at row 6, column 7: no finite number"),
        (1e300, r"X holds 1e\+300 at row 6, column 7: too large for float32"),
    ],
)
def test_bad_values(value, message):
    dense = matrix("f8")
    dense[6, 7] = value
    X = sparse.csr_array(dense)
    net = model()
    for call in (lambda: net.fit(X, LABELS), lambda: net.predict(X), lambda: net.gradients(X, LABELS)):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_bad_target_beside_sparse_rows():
    y = np.zeros((ROWS, 3))
    y[5, 1] = np.inf
    with pytest.raises(ValueError, match="y holds inf at row 5, column 1"):
        model(loss="mse").fit(sparse.csr_array(matrix()), y)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (
            sparse.csr_array(matrix(width=5)),
            ValueError,
            "X must have 300 columns, the size of",
        ),
        (sparse.coo_array(np.arange(3)), ValueError, r"X must have 2 dimensions, not shape \(3,\)"),
        (sparse.csr_array(matrix("c8")), TypeError, "X must hold real numbers, not dtype complex64"),
    ],
)
def test_what_does_not_fit(X, error, message):
    with pytest.raises(error, match=message):
        model().predict(X)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((np.ones(3), np.zeros(2, int), np.array([0, 2])), "an index for each of its 3 entries, not 2"),
        ((np.ones(0), np.zeros(0, int), np.zeros(0, int)), "an indptr of at least one element"),
    ],
)
def test_arrays_that_do_not_fit_each_other(arrays, message):
    with pytest.raises(ValueError, match=message):
        SparseRows(*arrays, 5)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, r"X\.tocsr\(\) must return a CSR matrix, not NoneType"),
        ([1.0], r"X\.tocsr\(\) must return a CSR matrix, not list"),
        (np.zeros((3, 5)), r"X\.tocsr\(\) must return a CSR matrix, not ndarray"),
        (SimpleNamespace(data=[1.0], indices=[0.5], indptr=[0, 1]), "X must have indices of integers"),
        (SimpleNamespace(data=[1.0], indices=[0], indptr=[0, 10**40]), "X must have indptr of integers"),
    ],
    ids=["None", "list", "dense", "fractions", "too large"],
)
def test_conversions_that_return_something_else(returned, message):
    X = SimpleNamespace(shape=(1, WIDTH), tocsr=lambda: returned)
    for call in (lambda: model().predict(X), lambda: model().fit(X, [0])):
        with pytest.raises(TypeError, match=message):
            call()


def test_targets_of_another_number_of_rows():
    with pytest.raises(ValueError, match=r"y must have as many rows as X, 70, not shape \(69,\)"):
        model().fit(sparse.csr_array(matrix()), LABELS[1:])
