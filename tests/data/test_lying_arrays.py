"""C reads arrays as NumPy's C API describes them, whatever a subclass says, and refuses what does not fit."""

import contextlib

import numpy as np
import pytest
from helpers import parameter_bits
from hypothesis import given
from hypothesis import strategies as st

import bpkern
from bpkern import _core, kernels
from bpkern._data.sparse import SparseRows
from bpkern._model.core import core_of
from bpkern._model.seeding import RandomState

RNG = np.random.default_rng(0)
X, LABELS, VALUES = RNG.standard_normal((40, 3)), RNG.integers(0, 2, 40), RNG.standard_normal((40, 2))


def liar(array, **lies):
    """The array as an object of a subclass whose attributes say something else."""
    kind = type(
        "Liar", (np.ndarray,), {name: property(lambda self, lie=lie: lie) for name, lie in lies.items()}
    )
    return np.asarray(array).view(kind)


LIES = {
    "shape": (10**6, 3),
    "strides": (8, 8),
    "dtype": np.dtype(np.float64),
    "ndim": 2,
    "size": 3,
    "itemsize": 1,
    "flags": np.zeros(1).flags,
    "__array_interface__": {"shape": (10**6, 3), "typestr": "<f8", "data": (64, False), "version": 3},
    "__len__": lambda: 10**6,
    "data": None,
    "T": None,
}


def net(loss="cross_entropy", **settings):
    return bpkern.MLP([3, 9, 2], loss=loss, seed=0, **settings)


@pytest.mark.parametrize("lie", LIES)
def test_models_train_on_what_the_array_is(lie):
    honest, lied_to = net(), net()
    honest.fit(X, LABELS, epochs=2, sample_weight=np.arange(40.0))
    lies = {lie: LIES[lie]}
    lied_to.fit(liar(X, **lies), liar(LABELS, **lies), epochs=2, sample_weight=liar(np.arange(40.0), **lies))
    assert parameter_bits(lied_to) == parameter_bits(honest)
    assert np.array_equal(lied_to.predict(liar(X, **lies)), honest.predict(X))
    assert lied_to.train_on_batch(liar(X, **lies), LABELS) == honest.train_on_batch(X, LABELS)


@pytest.mark.parametrize("lie", LIES)
def test_kernels_compute_on_what_the_array_is(lie):
    x, w, b, out = RNG.random((5, 3)), RNG.random((4, 3)), RNG.random(4), np.zeros((5, 4))
    expected = kernels.linear_forward(x, w, b, "relu")
    for place in range(4):
        arrays = [x, w, b, out]
        arrays[place] = liar(arrays[place], **{lie: LIES[lie]})
        got = kernels.linear_forward(*arrays[:3], "relu", out=arrays[3])
        assert got is arrays[3]
        assert np.array_equal(np.asarray(got), expected)


def test_what_only_claims_to_be_an_array_is_none():
    class Claims:
        __class__ = np.ndarray
        shape = (5, 3)

    arrays = [RNG.random((5, 3)), RNG.random((4, 3)), RNG.random(4)]
    for place in range(3):
        given = [*arrays[:place], Claims(), *arrays[place + 1 :]]
        with pytest.raises(TypeError, match="must be a NumPy array, not Claims"):
            kernels.linear_forward(*given)
    with pytest.raises(TypeError, match="must be a NumPy array"):
        _core.all_finite(Claims())


@pytest.mark.parametrize("name", ["Reversed", "Short", "Far", "Real", "Flat"])
@pytest.mark.parametrize("rows", [40, 300_000])
def test_orders_of_a_generator_of_the_users(name, rows):
    """Its methods may return anything, and its bit generator's capsule may be anything."""
    orders = {
        "Reversed": lambda n: np.arange(n)[::-1],
        "Short": lambda n: np.arange(n - 1),
        "Far": lambda n: np.arange(n) + 10**12,
        "Real": lambda n: np.arange(n) / 2,
        "Flat": lambda n: np.arange(n)[None],
    }

    class Mine(np.random.Generator):
        def permutation(self, x):
            return orders[name](x)

        @property
        def bit_generator(self):
            raise AssertionError("the capsule of another class is not read")

    order = RandomState(0)
    order.generator = Mine(np.random.PCG64(0))
    if name == "Reversed":
        assert np.array_equal(order.permutation(rows), np.arange(rows)[::-1])
    else:
        with pytest.raises(ValueError, match="a generator must"):
            order.permutation(rows)
    if rows == 40:
        model = bpkern.MLP([3, 9, 2], loss="cross_entropy", seed=np.random.default_rng(0))
        core_of(model).random = order
        order.state, order.go_back = (lambda: None), (lambda state: None)
        before = parameter_bits(model)
        if name == "Reversed":
            model.fit(X, LABELS)
            other = net()
            other.fit(X[::-1], LABELS[::-1], shuffle=False)
            assert parameter_bits(model) == parameter_bits(other)
        else:
            with pytest.raises(ValueError, match="a generator must"):
                model.fit(X, LABELS)
            assert parameter_bits(model) == before


@given(
    rows=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9),
    batch=st.integers(1, 9),
    loss=st.sampled_from(["cross_entropy", "mse"]),
)
def test_an_order_out_of_range_reads_nothing(rows, batch, loss):
    """Also in the online path, which batches of one row take."""
    model = net(loss)
    core = core_of(model)
    update = _core.Update(model.optimizer)
    data = _core.Data(X.astype("f4"), LABELS if loss == "cross_entropy" else VALUES.astype("f4"))
    index = np.array(rows)
    wrong = [row for row in rows if not 0 <= row < 40]
    core.net.reserve(9, 1, update, None)
    train = lambda: core.net.train(data, index, batch, update, 0.1, 1, _core.Pace(), Nobody())  # noqa: E731
    with core.net.writing():
        if wrong:
            with pytest.raises(
                ValueError, match=f"the order of the rows must hold numbers from 0 to 39, not {wrong[0]}"
            ):
                train()
        else:
            train()
    if wrong:
        with pytest.raises(ValueError, match="the order of the rows"):
            core.net.forward_data(data, index)


class Nobody:
    def before(self):
        pass

    def after(self, rows, loss, weight):
        pass


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("label", [2, -1, 2**62, -(2**63)])
def test_a_label_out_of_range_is_a_bad_row(isa, batch, label):
    """Labels are checked once more where they are gathered: after the first check, others may change them."""
    model = net()
    core, labels = core_of(model), LABELS.copy()
    labels[7] = label
    data = _core.Data(X, labels)
    update = _core.Update(model.optimizer)
    core.net.reserve(batch, 1, update, None)
    with core.net.writing(), pytest.raises(_core.BadRowError) as caught:
        core.net.train(data, None, batch, update, 0.1, 1, _core.Pace(), Nobody())
    assert (caught.value.row, caught.value.step) == (7, 7 // batch)
    for call in (lambda: core.net.evaluate(data, None, None), lambda: core.net.gradients(data)):
        with pytest.raises(_core.BadRowError) as caught:
            call()
        assert caught.value.row == 7


def test_the_message_about_a_changed_label(monkeypatch):
    """A callback finds the labels that the trainer reads, and changes one."""
    model = net()
    made = []
    original = _core.Data
    monkeypatch.setattr(_core, "Data", lambda *arrays: made.append(arrays[1]) or original(*arrays))

    class Spoil(bpkern.callbacks.Callback):
        def on_batch_end(self, model, batch, logs):
            made[0].setflags(write=True)
            made[0][33] = 5

    with pytest.raises(ValueError, match="labels must be from 0 to 1: row 33 of y is 5"):
        model.fit(X, LABELS, batch_size=8, shuffle=False, callbacks=[Spoil()])


@pytest.mark.parametrize(
    "rates",
    [
        np.broadcast_to(np.float64(0.1), (5,)),
        np.full(4, 0.1),
        np.full((1, 5), 0.1),
        np.full(5, 0.1, "f4"),
        np.full(5, 1),
        np.full(5, 0.1).astype(">f8"),
        np.full(10, 0.1)[::2],
        liar(np.full(4, 0.1), shape=(5,), size=5),
        [0.1] * 5,
        None,
    ],
)
def test_learning_rates_that_do_not_fit(rates):
    model = net()
    core, update = core_of(model), _core.Update(model.optimizer)
    core.net.reserve(8, 5, update, None)
    before = parameter_bits(model)
    with core.net.writing(), pytest.raises((ValueError, TypeError), match="learning rate"):
        core.net.train(_core.Data(X, LABELS), None, 8, update, rates, 1, _core.Pace(), Nobody())
    assert parameter_bits(model) == before


@pytest.mark.parametrize(
    ("dropouts", "error", "message"),
    [
        (np.full((4, 2), 0.1), ValueError, "for each update, 5 in all, not 4"),
        (np.full((2, 5), 0.1), ValueError, r"must have 2 columns, not shape \(2, 5\)"),
        (np.full(10, 0.1), ValueError, r"must have 2 columns, not shape \(10,\)"),
        (np.full((5, 2), 0.1, "f4"), TypeError, "must be float64, not float32"),
        (liar(np.full((4, 2), 0.1), shape=(5, 2), size=10), ValueError, "5 in all, not 4"),
        ([[0.1] * 2] * 5, TypeError, "must be a NumPy array"),
    ],
)
def test_probabilities_that_do_not_fit(dropouts, error, message):
    model = bpkern.MLP([3, 4, 2], loss="cross_entropy", seed=0, dropout=bpkern.schedules.FlatCos(0.1, 9))
    core, update = core_of(model), _core.Update(model.optimizer)
    core.net.reserve(8, 5, update, None)
    before = parameter_bits(model)
    given = (_core.Pace(), Nobody(), None, False, None, None, dropouts)
    with core.net.writing(), pytest.raises(error, match=message):
        core.net.train(_core.Data(X.astype("f4"), LABELS), None, 8, update, 0.1, 1, *given)
    assert parameter_bits(model) == before


def test_a_schedule_whose_rates_are_a_broadcast():
    class Constant(bpkern.schedules.Schedule):
        names = ()

        def _rate(self, t):
            return np.broadcast_to(np.float64(0.1), t.shape)

    model, other = net(optimizer=bpkern.SGD(Constant())), net(optimizer=bpkern.SGD(0.1))
    untouched = parameter_bits(model)
    other.fit(X, LABELS, batch_size=7)
    with contextlib.suppress(ValueError):
        model.fit(X, LABELS, batch_size=7)
    assert parameter_bits(model) in (untouched, parameter_bits(other))


WRONG_DATA = {
    "columns": (X[:, :2], LABELS, None, ValueError, "X must have 3 columns"),
    "dimensions": (X[0], LABELS[:3], None, ValueError, "X must have 2 dimensions"),
    "complex": (X.astype("c8"), LABELS, None, TypeError, "X must hold real numbers, not dtype complex64"),
    "objects": (X.astype(object), LABELS, None, TypeError, "X must hold real numbers, not dtype object"),
    "labels": (X, LABELS[1:], None, ValueError, r"labels must have shape \(40,\), not shape \(39,\)"),
    "label type": (X, LABELS.astype("i4"), None, TypeError, "labels must be int64, not int32"),
    "swapped labels": (X, LABELS.astype(">i8"), None, ValueError, "labels must be contiguous"),
    "spread labels": (X, LABELS.repeat(2)[::2], None, ValueError, "labels must be contiguous"),
    "rows of y": (X, VALUES[1:], None, ValueError, "y must have as many rows as X, 40"),
    "columns of y": (X, VALUES[:, :1], None, ValueError, "y must have 2 columns"),
    "weights": (X, LABELS, np.ones(39), ValueError, r"sample_weight must have shape \(40,\)"),
    "weight type": (X, LABELS, np.ones(40, "f4"), TypeError, "sample_weight must be float64, not float32"),
    "no y": (X, None, None, ValueError, "y must be given"),
}


@pytest.mark.parametrize(("x", "y", "weights", "error", "message"), WRONG_DATA.values(), ids=WRONG_DATA)
def test_data_that_does_not_fit_the_network(x, y, weights, error, message):
    with pytest.raises(error, match=message):
        core_of(net()).net.evaluate(_core.Data(x, y, weights), None, None)


def test_labels_are_for_cross_entropy():
    with pytest.raises(ValueError, match="labels are for cross_entropy, not mse"):
        core_of(net("mse")).net.evaluate(_core.Data(X, LABELS), None, None)


WRONG_CSR = {
    "no columns of data": lambda d, i, p: (np.zeros((len(d), 0)), i, p),
    "data of two dimensions": lambda d, i, p: (d[:, None], i, p),
    "indices of two dimensions": lambda d, i, p: (d, i[:, None], p),
    "indptr of two dimensions": lambda d, i, p: (d, i, p[:, None]),
    "scalars": lambda d, i, p: (d[0], i[0], p),
    "no entries": lambda d, i, p: (d[:0], i, p),
}


@pytest.mark.parametrize("wrong", WRONG_CSR.values(), ids=WRONG_CSR)
def test_sparse_arrays_of_other_dimensions(wrong):
    sparse = pytest.importorskip("scipy.sparse")
    made = sparse.csr_array(np.where(X > 0, X, 0))
    arrays = wrong(made.data, made.indices, made.indptr)

    class Made:
        """A matrix of these arrays, as a library of its own might make one."""

        shape = made.shape
        data, indices, indptr = arrays

        def tocsr(self):
            return self

    with pytest.raises(ValueError, match="X must have"):
        net().fit(Made(), LABELS)
    rows = SparseRows(made.data, made.indices, made.indptr, 3)
    rows.data, rows.indices, rows.indptr = arrays
    with pytest.raises((ValueError, TypeError), match="X"):
        _core.Data(rows, LABELS)


@pytest.mark.parametrize(
    "change",
    [
        lambda w, b: (w.T, b),
        lambda w, b: (w[:1], b),
        lambda w, b: (w, b[:1]),
        lambda w, b: (w.astype("f8"), b),
        lambda w, b: (w, b.astype(">f4")),
        lambda w, b: (w.ravel(), b),
        lambda w, b: (np.asfortranarray(w), b),
        lambda w, b: (liar(w[:1], shape=(9, 3)), b),
    ],
)
@pytest.mark.parametrize("store", ["parameters", "m", "average"])
def test_layers_that_do_not_fit_change_nothing(change, store):
    model = net()
    network = core_of(model).net
    first, second = network.get_layers()
    before = parameter_bits(model)
    for layers in ([change(*first), second], [first], [first, second, second]):
        with pytest.raises((ValueError, TypeError), match=r"layer|pairs"):
            network.set_layers(layers, store)
    assert parameter_bits(model) == before
    assert network.stores() == ["parameters"]


@pytest.mark.parametrize("store", ["parameters", "m", "average"])
def test_what_has_become_infinite_after_the_check_changes_nothing(store):
    """Another process may change the arrays that `set_weights` has checked: the copy is checked once more."""
    model = net()
    network = core_of(model).net
    first, second = network.get_layers()
    before = parameter_bits(model)
    for value in (np.nan, np.inf, -np.inf):
        for position in range(2):
            changed = [array.copy() for array in second]
            changed[position].flat[-1] = value
            with pytest.raises(ValueError, match="must be finite in float32"):
                network.set_layers([first, tuple(changed)], store)
    assert parameter_bits(model) == before
    assert network.stores() == ["parameters"]


@pytest.mark.parametrize("length", [0, 1, 3])
def test_parameters_of_a_loss_that_are_not_one_per_output(length):
    class Mine(bpkern.losses.Huber):
        __slots__ = ()

        def parameters(self, outputs):
            return np.ones(length)

    with pytest.raises(
        ValueError,
        match=rf"parameters of Mine\(\) must return one number per output, \(2,\), not shape \({length},",
    ):
        net(Mine())


def test_the_gradient_of_a_backward_pass():
    model = net("mse")
    tape = core_of(model).tape
    model.forward(X, train=True)
    good = np.ones((40, 2), "f4")
    for gradient in (
        liar(good[:1], shape=(40, 2)),
        good.astype("f8"),
        good.T,
        np.broadcast_to(np.float32(1), (40, 2)),
        good.astype(">f4"),
    ):
        with pytest.raises((ValueError, TypeError), match="grad_output"):
            tape.backward(gradient, False)
    with pytest.raises(TypeError, match="grad_output must be a NumPy array"):
        tape.backward([[1.0]], False)


def test_as_many_rows_as_a_machine_word_counts():
    """Broadcasting makes an array of 2^63 - 1 rows: no call crashes or starts to train."""
    n = 2**63 - 1
    x, y = np.broadcast_to(np.int8(1), (n, 1)), np.broadcast_to(np.int8(1), (n, 1))
    model = bpkern.MLP([1, 2, 1], loss="mse", seed=0)
    before = parameter_bits(model)
    for call in (
        lambda: _core.permutation(np.random.default_rng(0), n),
        lambda: RandomState(0).permutation(n),
        lambda: model.predict(x),
        lambda: model.forward(x, train=True),
        lambda: model.gradients(x, y),
        lambda: model.train_on_batch(x, y),
        lambda: model.fit(x, y),
        lambda: model.fit(x, y, shuffle=False, batch_size=n),
        lambda: model.fit(x, y, validation_split=0.5),
        lambda: model.fit(x, np.broadcast_to(np.int8(1), n)),
        lambda: model.losses(x, y),
    ):
        with pytest.raises((MemoryError, ValueError)):
            call()
    assert parameter_bits(model) == before
