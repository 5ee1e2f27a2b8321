"""Steps by hand: weighted rows, gradients of the caller, and outputs into the caller's memory."""

import numpy as np
import pytest

import bpkern

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype(np.float32)
Y = RNG.normal(size=(12, 3)).astype(np.float32)
LABELS = RNG.integers(0, 3, 12)
WEIGHTS = RNG.uniform(0, 2, 12)

OPTIMIZERS = (
    bpkern.SGD(lr=0.1),
    bpkern.SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    bpkern.RMSprop(centered=True, momentum=0.5),
    bpkern.Adagrad(),
    bpkern.Adam(amsgrad=True, weight_decay=0.1),
    bpkern.AdamW(),
)


def model(**settings):
    return bpkern.MLP(**{"layers": [4, 9, 3], "loss": "mse", "activation": "tanh", "seed": 0} | settings)


def flat(of):
    return np.concatenate([array.ravel() for pair in of.get_weights() for array in pair])


# Weighted rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_weights_of_rows_as_in_a_fit_of_one_batch(loss):
    y = Y if loss == "mse" else LABELS
    by_step, by_fit = model(loss=loss, l2=0.01), model(loss=loss, l2=0.01)
    for _ in range(3):
        loss_of_step = by_step.train_on_batch(X, y, WEIGHTS)
        history = by_fit.fit(X, y, sample_weight=WEIGHTS, batch_size=12, shuffle=False)
        assert loss_of_step == history["loss"][0]
    assert np.array_equal(flat(by_step), flat(by_fit))


def test_a_row_with_twice_the_weight_is_two_rows():
    weighted, repeated = model(dtype="float64"), model(dtype="float64")
    losses = (
        weighted.train_on_batch(X, Y, sample_weight=[2] + [1] * 10 + [0]),
        repeated.train_on_batch(X[[0, *range(11)]], Y[[0, *range(11)]]),
    )
    assert losses[0] == pytest.approx(losses[1], rel=1e-14)
    assert flat(weighted) == pytest.approx(flat(repeated), rel=1e-12)


@pytest.mark.parametrize("weights", [np.zeros(12), -WEIGHTS, WEIGHTS[:5], ["a"] * 12])
def test_bad_weights_change_nothing(weights):
    trained = model()
    before = flat(trained)
    with pytest.raises((ValueError, TypeError), match="sample_weight must"):
        trained.train_on_batch(X, Y, weights)
    assert np.array_equal(before, flat(trained))


# Gradients of the caller -----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: type(each).__name__)
def test_gradients_of_the_model_make_its_own_step(optimizer, dtype):
    """With the penalties, which `gradients` contains, and the states of the optimiser."""
    settings = dict(optimizer=optimizer, dtype=dtype, l2=0.01, l1=0.001)
    own, applied = model(**settings), model(**settings)
    for _ in range(4):
        own.train_on_batch(X, Y)
        applied.apply_gradients(applied.gradients(X, Y)[1])
    tolerance = 1e-4 if dtype == "float32" else 1e-10
    assert flat(applied) == pytest.approx(flat(own), rel=tolerance, abs=tolerance)
    assert not np.array_equal(flat(applied), flat(model(**settings)))


@pytest.mark.parametrize("layers", [[4, 3], [4, 1, 3], [4, 130, 2, 3], [1, 1], [50, 17, 9, 1]])
def test_sgd_moves_by_the_gradients_in_all_layouts(layers, dtype):
    """Wide and narrow layers are stored in different layouts."""
    trained = bpkern.MLP(layers, loss="mse", dtype=dtype, optimizer=bpkern.SGD(lr=0.5), seed=1)
    before = trained.get_weights()
    gradients = [(RNG.normal(size=w.shape), RNG.normal(size=b.shape)) for w, b in before]
    trained.apply_gradients(gradients)
    for old, new, moved in zip(before, trained.get_weights(), gradients, strict=True):
        for was, now, gradient in zip(old, new, moved, strict=True):
            expected = was - np.asarray(0.5, dtype) * gradient.astype(dtype)
            assert now == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_gradients_may_be_clipped():
    trained = model(optimizer=bpkern.SGD(lr=1.0))
    before = flat(trained)
    gradients = [(np.full_like(w, 3), np.full_like(b, 3)) for w, b in trained.get_weights()]
    trained.apply_gradients(gradients, clip_norm=0.5)
    assert np.linalg.norm(before - flat(trained)) == pytest.approx(0.5, rel=1e-5)
    trained.apply_gradients(gradients, clip_value=0.25)
    assert np.linalg.norm(before - flat(trained), np.inf) < 0.25 + 0.5


def test_gradients_of_backward_still_wait():
    trained, other = model(optimizer=bpkern.SGD(lr=0.1)), model(optimizer=bpkern.SGD(lr=0.1))
    gradient = 2 * (trained.forward(X, train=True) - Y) / Y.size
    trained.backward(gradient)
    zeros = [(0 * w, 0 * b) for w, b in trained.get_weights()]
    trained.apply_gradients(zeros)
    trained.step()
    other.train_on_batch(X, Y)
    assert flat(trained) == pytest.approx(flat(other), abs=1e-6)


def good():
    return [(np.ones((9, 4)), np.ones(9)), (np.ones((3, 9)), np.ones(3))]


@pytest.mark.parametrize(
    ("gradients", "words"),
    [
        (good()[:1], r"gradients must hold 2 pairs \(dW, db\), not 1"),
        ([(np.ones((4, 9)), np.ones(9)), good()[1]], r"dW of layer 0 must have shape \(9, 4\), not \(4, 9\)"),
        ([good()[0], (np.ones((3, 9)), np.full(3, np.nan))], "db of layer 1 must be finite in float32"),
        ([good()[0], (np.full((3, 9), 1e300), np.ones(3))], "dW of layer 1 must be finite in float32"),
        ([good()[0], (np.ones((3, 9), complex), np.ones(3))], "dW of layer 1 must cast safely to float64"),
        (3, r"gradients must be a list of pairs \(dW, db\)$"),
        ((0.5, good()), r"pairs \(dW, db\): the method gradients returns \(loss, gradients\)"),
        # Flat, in the shapes of Keras and in those of this package: neither is a form of gradients.
        ([np.ones((4, 9)), np.ones(9), np.ones((9, 3)), np.ones(3)], r"must be a list of pairs \(dW, db\)"),
        ([each for pair in good() for each in pair], r"gradients must be a list of pairs \(dW, db\)"),
    ],
)
def test_bad_gradients_change_nothing(gradients, words):
    trained = model(optimizer=bpkern.Adam())
    before = flat(trained)
    with pytest.raises((ValueError, TypeError), match=words):
        trained.apply_gradients(gradients)
    assert np.array_equal(before, flat(trained))
    trained.apply_gradients(good())
    other = model(optimizer=bpkern.Adam())
    other.apply_gradients(good())
    assert np.array_equal(flat(other), flat(trained))


def test_an_overflow_is_undone():
    trained = model(optimizer=bpkern.SGD(lr=1e10))
    before = flat(trained)
    with pytest.raises(bpkern.DivergedError, match="the weights overflowed: lower the learning rate"):
        trained.apply_gradients([(1e30 * w, 1e30 * b) for w, b in good()])
    assert np.array_equal(before, flat(trained))
    with pytest.raises(TypeError, match="compress"):
        model().compress("bfloat16").apply_gradients(good())


# Outputs into the caller's memory ----------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 1, 12, 700])
def test_outputs_into_an_array(rows, dtype):
    trained = model(dtype=dtype)
    x = np.resize(X, (rows, 4)).astype(dtype)
    other = np.float64 if dtype == "float32" else np.float32
    for given in (x, x.astype(other), np.asfortranarray(x), x.tolist()):
        given = given if rows or not isinstance(given, list) else x
        for layer, width in ((None, 3), (0, 9), (1, 3)):
            out = np.full((rows, width), np.nan, dtype)
            assert trained.forward(given, layer=layer, out=out) is out
            assert np.array_equal(out, trained.forward(given, layer=layer))


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (np.ones((12, 2), np.float32), ValueError, r"out must have shape \(12, 3\), not \(12, 2\)"),
        (np.ones((11, 3), np.float32), ValueError, r"out must have shape \(12, 3\), not \(11, 3\)"),
        (np.ones((12, 3)), TypeError, "out is float64"),
        (np.ones((12, 3), int), TypeError, "out must be float32 or float64, not int64"),
        (np.ones((3, 12), np.float32).T, ValueError, "out must be "),
        (np.ones((12, 6), np.float32)[:, :3], ValueError, "out must be C-contiguous"),
        ([[0.0] * 3] * 12, TypeError, "out must be a NumPy array, not list"),
    ],
)
@pytest.mark.parametrize("x", [X, X.astype(np.float64)])
def test_other_arrays_are_refused(x, out, error, words):
    with pytest.raises(error, match=words):
        model().forward(x, out=out)


def test_arrays_that_cannot_be_written_are_refused():
    fixed = np.ones((12, 3), np.float32)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only, and would be written"):
        model().forward(X, out=fixed)
    memory = np.ones(12 * 4, np.float32)
    with pytest.raises(ValueError, match="out overlaps X, and would be written"):
        model().forward(memory.reshape(12, 4), out=memory[:36].reshape(12, 3))
    with pytest.raises(ValueError, match="give out or train=True, not both"):
        model().forward(X, train=True, out=np.ones((12, 3), np.float32))


def test_layers_count_from_0():
    trained = model()
    assert trained.forward(X, layer=0).shape == (12, 9)
    assert np.array_equal(trained.forward(X, layer=1), trained.forward(X))
    with pytest.raises(ValueError, match="layer must be at most 1, the last, not 2"):
        trained.forward(X, layer=2)
    with pytest.raises(ValueError, match="layer must be at least 0, not -1"):
        trained.forward(X, layer=-1)
