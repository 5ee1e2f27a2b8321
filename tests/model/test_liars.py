"""Subclasses of users that return what they must not: C gets checked numbers, or nothing."""

import numpy as np
import pytest
from helpers import parameter_bits

import bpkern
from bpkern.callbacks import Callback

RNG = np.random.default_rng(4)
ROWS = 30
X, LABELS, Y = RNG.standard_normal((ROWS, 6)), RNG.integers(0, 3, ROWS), RNG.standard_normal((ROWS, 3))


class Own(np.random.Generator):
    """A generator of which one method returns something else."""

    def __init__(self, method, returns):
        super().__init__(np.random.PCG64(0))
        self.returns = returns
        setattr(self, method, self.answer)

    def __reduce__(self):
        return np.random.default_rng, ()

    def answer(self, *arguments, **settings):
        return self.returns(*arguments)


PERMUTATIONS = {
    "too few": lambda n: np.arange(n - 1),
    "too many": lambda n: np.arange(n + 1),
    "none": lambda n: np.arange(0),
    "a row twice": lambda n: np.zeros(n, int),
    "beyond": lambda n: np.arange(n) + 1,
    "far beyond": lambda n: np.arange(n) + 10**12,
    "before": lambda n: np.arange(n) - 1,
    "unsigned": lambda n: np.arange(n).astype("u8") + np.uint64(2**63),
    "a table": lambda n: np.arange(n)[:, None],
    "one number": lambda n: 0,
    "floats": lambda n: np.arange(n) + 0.5,
    "bools": lambda n: np.ones(n, bool),
    "texts": lambda n: np.array(list("abc")),
    "nothing": lambda n: None,
}


@pytest.mark.parametrize("kind", [bpkern.MLP, bpkern.reference.MLP])
@pytest.mark.parametrize("returns", PERMUTATIONS.values(), ids=PERMUTATIONS)
def test_orders_that_are_no_permutation(returns, kind):
    model = kind([6, 16, 3], loss="cross_entropy", seed=Own("permutation", returns))
    before = model.get_weights()
    with pytest.raises(ValueError, match="a generator must"):
        model.fit(X, LABELS, verbose=0)
    for pair, others in zip(model.get_weights(), before, strict=True):
        assert all(map(np.array_equal, pair, others))
    model.fit(X, LABELS, shuffle=False, verbose=0)


RIGHT = {
    "an order of its own": lambda n: np.arange(n)[::-1],
    "strided": lambda n: np.repeat(np.arange(n)[::-1], 2)[::2],
    "a list": lambda n: list(range(n - 1, -1, -1)),
    "small integers": lambda n: np.arange(n, dtype=np.uint8)[::-1],
    "big-endian": lambda n: np.arange(n, dtype=">i8")[::-1],
}


@pytest.mark.parametrize("returns", RIGHT.values(), ids=RIGHT)
def test_orders_in_any_memory(returns):
    model = bpkern.MLP([6, 16, 3], loss="cross_entropy", dtype="float64", seed=Own("permutation", returns))
    plain = model.copy()
    model.fit(X, LABELS, batch_size=8)
    plain.fit(X[::-1], LABELS[::-1], batch_size=8, shuffle=False)
    assert parameter_bits(model) == parameter_bits(plain)


def test_an_order_of_many_rows():
    """Above the number from which the package shuffles by itself."""
    model = bpkern.MLP([1, 1], loss="mse", seed=Own("permutation", lambda n: np.zeros(n, int)))
    with pytest.raises(ValueError, match="each row from 0 to 299999 once"):
        model.fit(np.zeros((300_000, 1)), np.zeros(300_000), batch_size=300_000)


DRAWS = {
    "one": lambda count: np.zeros(1),
    "fewer": lambda count: np.zeros(count - 1),
    "more": lambda count: np.zeros(10_000),
    "a matrix": lambda count: np.zeros((count, 1)),
    "a number": lambda count: 0.5,
    "NaN": lambda count: np.full(count, np.nan),
    "infinite": lambda count: np.full(count, np.inf),
    "too large for float32": lambda count: np.full(count, 1e300),
}


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("kind", [bpkern.MLP, bpkern.reference.MLP])
@pytest.mark.parametrize(("method", "init"), [("uniform", "he_uniform"), ("normal", "lecun_normal")])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_initial_weights_that_do_not_fit(draw, method, init, kind):
    generator = Own(method, lambda low, high, count: draw(count))
    with pytest.raises(ValueError, match="a generator must draw weights"):
        kind([6, 16, 3], loss="mse", init=init, seed=generator)


class Wide(np.ndarray):
    """Weights that claim to have the shape that was asked for."""

    shape = (16, 6)


@pytest.mark.parametrize(
    "drawn",
    [np.ones(3), np.ones((6, 16)), np.ones((16, 7)).view(Wide), np.full((16, 6), np.nan)],
    ids=["a row", "turned", "lying", "NaN"],
)
def test_orthogonal_weights_that_do_not_fit(drawn):
    generator = Own("standard_normal", lambda shape: drawn)
    with pytest.raises(ValueError, match="a generator must draw weights"):
        bpkern.MLP([6, 16, 3], loss="mse", init="orthogonal", seed=generator)


@pytest.mark.parametrize("number", [-1, 2**64, 0.5, None, "1", [1, 2]])
def test_numbers_for_dropout_and_splits(number):
    generator = Own("integers", lambda *_: number)
    with pytest.raises((ValueError, TypeError), match="a number of the generator"):
        bpkern.MLP([6, 16, 3], loss="mse", dropout=0.5, seed=generator)
    model = bpkern.MLP([6, 16, 3], loss="mse", seed=generator)
    with pytest.raises((ValueError, TypeError), match="a number of the generator"):
        model.fit(X, Y, validation_split=0.5)
    assert model.history_ is None


# Losses --------------------------------------------------------------------------------------------------


class OwnHuber(bpkern.losses.Huber):
    returned = None
    called = "huber"

    @property
    def name(self):
        return self.called

    def parameters(self, outputs):
        return self.returned


@pytest.mark.parametrize("kind", [bpkern.MLP, bpkern.reference.MLP])
@pytest.mark.parametrize(
    "returned", [np.ones(2), np.ones(4), np.ones(0), np.ones((3, 1)), 1.0, [1.0], np.ones((3, 3))]
)
def test_parameters_of_a_loss_of_another_length(returned, kind):
    loss = OwnHuber()
    loss.returned = returned
    with pytest.raises(ValueError, match=r"one number per output, \(3,\), not"):
        kind([6, 16, 3], loss=loss)


@pytest.mark.parametrize("returned", [np.full(3, np.nan), np.full(3, -1.0), np.zeros(3), [1, 1, np.inf]])
def test_parameters_of_a_loss_out_of_range(returned):
    loss = OwnHuber()
    loss.returned = returned
    with pytest.raises(ValueError, match="out of the range"):
        bpkern.MLP([6, 16, 3], loss=loss)


def test_parameters_of_a_loss_in_any_memory():
    """Strided, in another dtype, and changed afterwards: the loss keeps a copy."""
    loss, kept = OwnHuber(), np.repeat(np.float32([0.25, 0.5, 2]), 2)
    loss.returned = kept[::2]
    models = [
        bpkern.MLP([6, 16, 3], loss=each, seed=0) for each in (loss, bpkern.losses.Huber([0.25, 0.5, 2]))
    ]
    kept[:] = 1000
    for model in models:
        model.fit(X, Y, epochs=2)
    assert parameter_bits(models[0]) == parameter_bits(models[1])


@pytest.mark.parametrize("called", ["mse", "custom", "unknown", "cross_entropy"])
def test_a_loss_with_a_parameter_has_the_name_of_one(called):
    loss = OwnHuber()
    loss.called, loss.returned = called, np.ones(3)
    with pytest.raises(ValueError, match=f"unknown loss {called!r}: allowed are huber, quantile"):
        bpkern.MLP([6, 16, 3], loss=loss)


# Arrays --------------------------------------------------------------------------------------------------


class Liar(np.ndarray):
    """An array whose attributes and methods say something else than its memory."""

    shape = (10**6, 6)
    ndim = 2
    size = 6 * 10**6
    strides = (0, 0)
    dtype = np.dtype("f8")
    flags = None

    def __len__(self):
        return 10**6

    def __getitem__(self, key):
        raise AssertionError("an item was asked for")

    def astype(self, *_, **__):
        raise AssertionError("a conversion was asked for")

    min = max = all = any = sum = astype


def lying(array):
    return array.view(Liar)


def test_arrays_that_lie_are_read_as_they_are():
    weights = RNG.random(ROWS)
    made = []
    for form in (lying, np.asarray):
        model = bpkern.MLP([6, 16, 3], loss="cross_entropy", seed=0)
        x, y, w = (form(array.astype("f4")) for array in (X, LABELS, weights))
        history = model.fit(x, y, sample_weight=w, validation_data=(x, y, w), epochs=2, metrics="f1")
        model.train_on_batch(x, y)
        model.fit([(x, y, w)])
        model.set_weights([tuple(form(each) for each in pair) for pair in model.get_weights()])
        bpkern.fit_many([model], x, y, splits=[(form(np.arange(20)), form(np.arange(20, ROWS)))])
        model.forward(x, train=True)
        model.backward(form(np.ones((ROWS, 3)) / ROWS))
        model.step()
        made.append((dict(history), parameter_bits(model), model.predict(x).tolist()))
    assert made[0] == made[1]


@pytest.mark.parametrize("claimed", [np.array(1), np.True_, np.ma.masked], ids=repr)
def test_a_claimed_number_of_dimensions_is_no_part_of_a_file(tmp_path, claimed):
    class Claims(np.ndarray):
        ndim = claimed

    path = tmp_path / "net.npz"
    for train in (lambda model, y: model.fit(X, y), lambda model, y: model.train_on_batch(X, y)):
        model = bpkern.MLP([6, 16, 3], loss="cross_entropy", seed=0)
        train(model, LABELS.view(Claims))
        model.save(path)
        assert parameter_bits(bpkern.MLP.load(path)) == parameter_bits(model)


@pytest.mark.parametrize("rows", [1, ROWS - 1, ROWS + 1])
def test_arrays_of_another_length_are_found(rows):
    model = bpkern.MLP([6, 16, 3], loss="mse", seed=0)
    with pytest.raises(ValueError, match="as many rows as X"):
        model.fit(lying(X), lying(np.resize(Y, (rows, 3))))
    with pytest.raises(ValueError, match="sample_weight must have shape"):
        model.fit(lying(X), lying(Y), sample_weight=lying(np.ones(rows)))


# The constructor -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hook", ["on_fit_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end", "on_epoch_end"]
)
def test_the_constructor_is_refused_in_a_callback(hook):
    class Again(Callback):
        def on_batch_begin(self, model, batch):
            pass

        def on_batch_end(self, model, batch, logs):
            pass

        def again(self, *_):
            with pytest.raises(RuntimeError, match="is being fitted"):
                model.__init__([2, 2], loss="mse")
            refused.append(hook)

    refused = []
    again = Again()
    setattr(again, hook, again.again)
    model, plain = (bpkern.MLP([6, 16, 3], loss="mse", seed=0) for _ in "ab")
    history = model.fit(X, Y, epochs=2, callbacks=again)
    assert refused
    assert dict(history) == dict(plain.fit(X, Y, epochs=2))
    assert parameter_bits(model) == parameter_bits(plain)
    model.__init__([2, 2], loss="mse")  # outside of a fit, it makes a new model
    assert model.layers == [2, 2]
