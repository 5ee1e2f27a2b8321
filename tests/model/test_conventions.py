"""The definitions of other libraries: training, losses and gradients agree with float64 NumPy code that has
the same definitions written out."""

import copy
import pickle

import numpy as np
import pytest
from helpers import distance, fitting, sigmoid
from signals import ctrl_c

import bpkern
from bpkern import _core
from bpkern._data.rows import as_sample_weight
from bpkern._model.conventions import Conventions
from bpkern._model.core import core_of

ROWS, BATCH, LAYERS = 45, 7, (5, 19, 3)
RNG = np.random.default_rng(11)
X = RNG.standard_normal((ROWS, LAYERS[0]))
LABELS = RNG.integers(0, LAYERS[-1], ROWS)
TARGETS = {
    "squared_error": RNG.standard_normal((ROWS, LAYERS[-1])),
    "binary_cross_entropy": RNG.integers(0, 2, (ROWS, LAYERS[-1])).astype(float),
    "cross_entropy": LABELS,
}
WEIGHTS = {
    "none": None,
    "any": 3 * RNG.random(ROWS),
    "a batch of zero": np.where(np.arange(ROWS) // BATCH == 1, 0.0, 1 + RNG.random(ROWS)),
}
L1, L2, LR = 0.02, 0.05, 0.1

MINE = Conventions()
THEIRS = {
    "mine": MINE,
    "loss": Conventions(loss_factor=3.0),
    "slope": Conventions(slope_factor=0.25),
    "most": Conventions(log_loss_cap=0.7),
    "penalty": Conventions(penalty_per_weight=True),
    "rows": Conventions(mean_by_rows=True),
    "all": Conventions(3.0, 0.25, 0.7, True, True),
}
EACH = pytest.mark.parametrize("conventions", THEIRS.values(), ids=THEIRS)
LOSSES = pytest.mark.parametrize("loss", TARGETS)

TOLERANCE = {"float32": 3e-5, "float64": 1e-12}


class Follower(bpkern.MLP):
    """A model with conventions; new models, and networks that a model makes anew, take those in `given`."""

    given = MINE

    @staticmethod
    def __bpkern_conventions__(settings):
        return Follower.given


def make(conventions, loss, monkeypatch, layers=LAYERS, **settings):
    monkeypatch.setattr(Follower, "given", conventions)
    settings = {"l1": L1, "l2": L2, "optimizer": bpkern.SGD(LR), "dtype": "float64"} | settings
    model = Follower(layers, activation="tanh", loss=loss, seed=1, **settings)
    # Large enough that some losses are above the cap of THEIRS["most"].
    model.set_weights([(2 * w, b + 0.25) for w, b in model.get_weights()])
    return model


def identity_net(width, loss, dtype, conventions, monkeypatch):
    """A network whose output is its input."""
    monkeypatch.setattr(Follower, "given", conventions)
    model = Follower([width, width], loss=loss, dtype=dtype, seed=0)
    model.set_weights([(np.eye(width), np.zeros(width))])
    return model


# By hand ---------------------------------------------------------------------------------------------------


def of_rows(loss, a, y, most):
    """Each row's loss and its derivative with respect to the outputs."""
    width = a.shape[1]
    if loss == "squared_error":
        return ((a - y) ** 2).sum(axis=1) / 2, a - y
    if loss == "binary_cross_entropy":
        losses = np.maximum(a, 0) - a * y + np.log1p(np.exp(-np.abs(a)))
        return np.minimum(losses, most).mean(axis=1), (sigmoid(a) - y) / width
    log_p = a - np.logaddexp.reduce(a, axis=1, keepdims=True)
    losses = -log_p[np.arange(len(a)), y]
    return np.minimum(losses, most), np.exp(log_p) - np.eye(width)[y]


def mean(parameters, loss, rows, weights, conventions):
    """The mean loss of the given rows and its gradients, without penalties."""
    (w1, b1), (w2, b2) = parameters
    x = X[rows]
    hidden = np.tanh(x @ w1.T + b1)
    losses, delta = of_rows(loss, hidden @ w2.T + b2, TARGETS[loss][rows], conventions.log_loss_cap)
    share = weights[rows] / weights[rows].sum()
    delta = conventions.slope_factor * share[:, None] * delta
    below = (delta @ w2) * (1 - hidden**2)
    gradients = [(below.T @ x, below.sum(axis=0)), (delta.T @ hidden, delta.sum(axis=0))]
    return conventions.loss_factor * (share @ losses), gradients


def penalty(parameters):
    return sum(L2 * (w**2).sum() + L1 * np.abs(w).sum() for w, _ in parameters)


def with_penalties(parameters, gradients, part):
    return [
        (dw + part * (2 * L2 * w + L1 * np.sign(w)), db)
        for (w, _), (dw, db) in zip(parameters, gradients, strict=True)
    ]


def epoch(parameters, loss, weights, conventions, batch=BATCH, accumulate=1, clip_value=np.inf):
    """(parameters, loss) after an epoch of plain SGD."""
    weights = np.ones(ROWS) if weights is None else weights
    loss_sum = counted = 0.0
    pending = []
    for number, start in enumerate(range(0, ROWS, batch), 1):
        rows = slice(start, min(start + batch, ROWS))
        weight = weights[rows].sum()
        if weight > 0:
            value, gradients = mean(parameters, loss, rows, weights, conventions)
            value += penalty(parameters) / (weight if conventions.penalty_per_weight else 1)
            counts = rows.stop - rows.start if conventions.mean_by_rows else weight
            loss_sum, counted = loss_sum + counts * value, counted + counts
            pending.append((weight, gradients))
        if (number % accumulate and rows.stop < ROWS) or not pending:
            continue
        total = sum(weight for weight, _ in pending)
        sums = [
            [sum(weight * gradients[l][i] for weight, gradients in pending) / total for i in range(2)]
            for l in range(2)
        ]
        sums = with_penalties(parameters, sums, 1 / total if conventions.penalty_per_weight else 1)
        parameters = [
            (w - LR * np.clip(dw, -clip_value, clip_value), b - LR * np.clip(db, -clip_value, clip_value))
            for (w, b), (dw, db) in zip(parameters, sums, strict=True)
        ]
        pending = []
    return parameters, loss_sum / counted


def exact(layers):
    return [(w.astype(np.float64), b.astype(np.float64)) for w, b in layers]


def bits(layers):
    return b"".join(array.tobytes() for pair in layers for array in pair)


# Training --------------------------------------------------------------------------------------------------

WAYS = [{}, {"accumulate": 3}, {"clip_value": 0.02}]


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@LOSSES
@EACH
def test_an_epoch(isa, dtype, conventions, loss, weights, monkeypatch):
    for way in WAYS:
        model = make(conventions, loss, monkeypatch, dtype=dtype)
        wanted, value = epoch(exact(model.get_weights()), loss, weights, conventions, **way)
        history = model.fit(
            X, TARGETS[loss], batch_size=BATCH, shuffle=False, sample_weight=weights, verbose=0, **way
        )
        assert history["loss"][0] == pytest.approx(value, rel=TOLERANCE[dtype])
        assert distance(model.get_weights(), wanted) <= TOLERANCE[dtype]


def test_each_changes_something():
    """Each changes the result by far more than the tolerance of the test above, which thus proves
    something."""
    start = exact(bpkern.MLP(LAYERS, loss="mse", seed=1).get_weights())
    start = [(2 * w, b + 0.25) for w, b in start]
    moved, value = epoch(start, "cross_entropy", WEIGHTS["any"], MINE)
    for name, conventions in THEIRS.items():
        others, other = epoch(start, "cross_entropy", WEIGHTS["any"], conventions)
        assert (abs(other - value) > 1e-3) == (name != "mine")
        assert (distance(others, moved) > 1e-3) == (name in ("slope", "penalty", "all"))


@LOSSES
@EACH
def test_one_row_at_a_time(isa, dtype, conventions, loss, monkeypatch):
    """Batches of one row take the online path, for the plain definitions of the losses without penalties."""
    layers, y = (3, 4, 2), TARGETS[loss][:, :2] if TARGETS[loss].ndim == 2 else LABELS % 2
    model = make(conventions, loss, monkeypatch, layers, dtype=dtype, l1=0.0, l2=0.0)
    twin = make(conventions, loss, monkeypatch, layers, dtype=dtype, l1=0.0, l2=0.0)
    got = model.fit(X[:, :3], y, batch_size=1, shuffle=False, verbose=0)
    # The general step: batches of all rows, of which one has a weight.
    wanted = [
        twin.fit(X[:, :3], y, batch_size=ROWS, shuffle=False, sample_weight=only, verbose=0)["loss"][0]
        for only in np.eye(ROWS)
    ]
    assert got["loss"][0] == pytest.approx(np.mean(wanted), rel=TOLERANCE[dtype])
    assert distance(model.get_weights(), twin.get_weights()) <= TOLERANCE[dtype]


@pytest.mark.parametrize(
    "arguments",
    [dict(batch_size=50), dict(batch_size=20, accumulate=3, clip_norm=0.1)],
    ids=["fused", "stored"],
)
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_the_same_bits_at_any_number_of_threads(isa, dtype, loss, arguments, monkeypatch):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((65, 61))
    y = rng.integers(0, 50, 65) if loss == "cross_entropy" else rng.random((65, 50))
    results = []
    for n_threads in (1, 3):
        adam = bpkern.Adam(0.01, eps=0.01, eps_hat=True)
        model = make(THEIRS["all"], loss, monkeypatch, (61, 90, 97, 50), dtype=dtype, optimizer=adam)
        history = model.fit(
            x, y, epochs=2, sample_weight=np.arange(65) % 3, n_threads=n_threads, verbose=0, **arguments
        )
        results.append((bits(model.get_weights()), dict(history)))
    assert results[0] == results[1]


@EACH
def test_a_stream_is_an_epoch_of_its_batches(conventions, monkeypatch):
    y, weights = TARGETS["cross_entropy"], WEIGHTS["a batch of zero"]
    batches = [(part, y[i : i + BATCH], weights[i : i + BATCH]) for i, part in parts(X)]
    model = make(conventions, "cross_entropy", monkeypatch)
    wanted, value = epoch(model.get_weights(), "cross_entropy", weights, conventions)
    assert model.fit(batches, verbose=0)["loss"][0] == pytest.approx(value, rel=1e-12)
    assert distance(model.get_weights(), wanted) <= 1e-12


def parts(rows):
    return [(i, rows[i : i + BATCH]) for i in range(0, len(rows), BATCH)]


def test_accuracy_is_counted_as_the_loss_is(monkeypatch):
    """The learning rate is 0, so that the outputs stay the same during the epoch."""
    weights = WEIGHTS["a batch of zero"]
    for conventions, by_rows in ((MINE, False), (Conventions(mean_by_rows=True), True)):
        model = make(conventions, "cross_entropy", monkeypatch, optimizer=bpkern.SGD(0.0))
        right = model.predict(X) == LABELS
        counted = [
            (len(part) if by_rows else w.sum(), (w @ r) / w.sum())
            for (_, part), (_, w), (_, r) in zip(parts(X), parts(weights), parts(right), strict=True)
            if w.any()
        ]
        wanted = sum(c * value for c, value in counted) / sum(c for c, _ in counted)
        got = model.fit(X, LABELS, batch_size=BATCH, shuffle=False, sample_weight=weights, verbose=0)
        assert got["accuracy"][0] == pytest.approx(wanted, rel=1e-12)


def rows_of_squared_error(outputs, y):
    return ((outputs - y) ** 2).sum(axis=1) / 2, outputs - y


def test_penalties_beside_a_python_function(monkeypatch):
    y, weights = TARGETS["squared_error"], WEIGHTS["a batch of zero"]
    ours, theirs = (
        make(THEIRS["penalty"], loss, monkeypatch) for loss in (rows_of_squared_error, "squared_error")
    )
    arguments = dict(batch_size=BATCH, sample_weight=weights, validation_data=(X[:9], y[:9]), verbose=0)
    got, wanted = (model.fit(X, y, **arguments) for model in (ours, theirs))
    assert distance(ours.get_weights(), theirs.get_weights()) <= 1e-12
    for name in ("loss", "val_loss"):
        assert got[name] == pytest.approx(wanted[name], rel=1e-12)
    assert ours.gradients(X, y)[0] == pytest.approx(theirs.gradients(X, y)[0], rel=1e-12)
    assert distance(ours.gradients(X, y)[1], theirs.gradients(X, y)[1]) <= 1e-12


# Other calls -----------------------------------------------------------------------------------------------


@LOSSES
@EACH
def test_calls_without_training(isa, dtype, conventions, loss, monkeypatch):
    model, y = make(conventions, loss, monkeypatch, dtype=dtype), TARGETS[loss]
    start, tolerance = exact(model.get_weights()), TOLERANCE[dtype]
    (w1, b1), (w2, b2) = start
    losses, _ = of_rows(loss, np.tanh(X @ w1.T + b1) @ w2.T + b2, y, conventions.log_loss_cap)
    losses *= conventions.loss_factor
    assert model.losses(X, y) == pytest.approx(losses, rel=tolerance, abs=tolerance)

    for weights in WEIGHTS.values():
        w = np.ones(ROWS) if weights is None else weights
        part = 1 / w.sum() if conventions.penalty_per_weight else 1
        value = w @ losses / w.sum() + part * penalty(start)
        assert model.evaluate(X, y, sample_weight=weights)["loss"] == pytest.approx(value, rel=tolerance)

    part = 1 / ROWS if conventions.penalty_per_weight else 1
    value, gradients = mean(start, loss, slice(0, ROWS), np.ones(ROWS), conventions)
    value, gradients = value + part * penalty(start), with_penalties(start, gradients, part)
    got, ours = model.gradients(X, y)
    assert got == pytest.approx(value, rel=tolerance)
    assert distance(ours, gradients) <= tolerance
    assert model.train_on_batch(X, y) == pytest.approx(value, rel=tolerance)
    stepped = [
        tuple(p - LR * g for p, g in zip(*pairs, strict=True)) for pairs in zip(start, gradients, strict=True)
    ]
    assert distance(model.get_weights(), stepped) <= tolerance


def test_validation(monkeypatch):
    model = make(THEIRS["all"], "cross_entropy", monkeypatch)
    held_out = (X[:20], LABELS[:20], WEIGHTS["any"][:20])
    history = model.fit(X[20:], LABELS[20:], validation_data=held_out, verbose=0)
    after = model.evaluate(X[:20], LABELS[:20], sample_weight=WEIGHTS["any"][:20])
    assert history["val_loss"] == [after["loss"]]


@pytest.mark.parametrize(
    "way",
    [lambda model: model.copy(), copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_follow_as_well(way, monkeypatch):
    model = make(THEIRS["all"], "cross_entropy", monkeypatch)
    assert way(model).evaluate(X, LABELS) == model.evaluate(X, LABELS)
    monkeypatch.setattr(Follower, "given", MINE)
    assert way(model).evaluate(X, LABELS) != model.evaluate(X, LABELS)  # the class has them, not the state


def test_files_hold_none(tmp_path, monkeypatch):
    model = make(THEIRS["all"], "cross_entropy", monkeypatch)
    model.save(tmp_path / "net.npz")
    assert Follower.load(tmp_path / "net.npz").evaluate(X, LABELS) == model.evaluate(X, LABELS)
    mine = make(MINE, "cross_entropy", monkeypatch)
    assert bpkern.MLP.load(tmp_path / "net.npz").evaluate(X, LABELS) == mine.evaluate(X, LABELS)


# The cap of a loss -----------------------------------------------------------------------------------------

WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 100)


def logits(width, dtype):
    """Logits of predictions from nearly right to entirely wrong."""
    rng = np.random.default_rng(width)
    return (rng.standard_normal((12, width)) * rng.choice([0.1, 3, 40, 1000], (12, width))).astype(dtype)


@pytest.mark.parametrize("most", [0.25, 3.0, 36.0])
def test_each_output_of_binary_counts_at_most(isa, dtype, most, monkeypatch):
    eps = float(np.finfo(dtype).eps)
    for width in WIDTHS:
        a, y = logits(width, dtype), np.random.default_rng(0).integers(0, 2, (12, width)).astype(dtype)
        capped = identity_net(
            width, "binary_cross_entropy", dtype, Conventions(log_loss_cap=most), monkeypatch
        )
        plain = identity_net(width, "binary_cross_entropy", dtype, MINE, monkeypatch)
        wanted, _ = of_rows("binary_cross_entropy", a.astype(np.float64), y, most)
        above, _ = of_rows("binary_cross_entropy", a.astype(np.float64), y, np.inf)
        assert (above > wanted).any()
        assert capped.losses(a, y) == pytest.approx(wanted, rel=16 * eps, abs=16 * eps)
        assert bits(capped.gradients(a, y)[1]) == bits(plain.gradients(a, y)[1])


@pytest.mark.parametrize("most", [0.25, 3.0, 36.0])
def test_a_label_counts_at_most(isa, dtype, most, monkeypatch):
    eps = float(np.finfo(dtype).eps)
    for width in WIDTHS[1:]:
        a, y = logits(width, dtype), np.random.default_rng(0).integers(0, width, 12)
        capped = identity_net(width, "cross_entropy", dtype, Conventions(log_loss_cap=most), monkeypatch)
        plain = identity_net(width, "cross_entropy", dtype, MINE, monkeypatch)
        wanted, _ = of_rows("cross_entropy", a.astype(np.float64), y, most)
        assert (plain.losses(a, y) > wanted + 1).any()
        size = np.abs(a).max(axis=1).astype(np.float64) + 1
        assert (np.abs(capped.losses(a, y) - wanted) <= 16 * eps * size).all()
        assert bits(capped.gradients(a, y)[1]) == bits(plain.gradients(a, y)[1])
        rows = np.eye(width)[y]
        assert np.array_equal(capped.losses(a, rows), plain.losses(a, rows))


def test_nothing_hides_a_nan(isa, dtype, monkeypatch):
    """Large weights make the outputs infinite; the loss is then NaN in spite of the cap."""
    large = 1e30 if dtype == "float32" else 1e200
    for loss, y in (("binary_cross_entropy", np.ones((1, 9))), ("cross_entropy", [3])):
        model = identity_net(9, loss, dtype, Conventions(log_loss_cap=2.0), monkeypatch)
        model.set_weights([(large * np.eye(9), np.zeros(9))])
        x = np.full((1, 9), large)
        assert np.isnan(model.losses(x, y)).all()
        with pytest.raises(bpkern.DivergedError):
            model.fit(x, y, verbose=0)


def test_other_losses_have_no_most(isa, dtype, monkeypatch):
    for loss in bpkern._core.LOSSES:
        if "cross_entropy" not in loss:
            capped = identity_net(9, loss, dtype, Conventions(log_loss_cap=1e-6), monkeypatch)
            plain = identity_net(9, loss, dtype, MINE, monkeypatch)
            a, y = RNG.standard_normal((6, 9)), RNG.random((6, 9))
            y = fitting(loss, y)
            assert np.array_equal(capped.losses(a, y), plain.losses(a, y))


def test_poissons_deviance(isa, dtype, monkeypatch):
    """With deviance=True the loss is half the deviance: 0 at the right rate, and with the same gradients."""
    eps, rng = float(np.finfo(dtype).eps), np.random.default_rng(2)
    for width in WIDTHS:
        y = rng.poisson(1.5, (12, width)).astype(dtype)
        y[0], y[1] = 0, 1e-30
        a = rng.standard_normal((12, width)).astype(dtype)
        a[2:6] = np.log(np.maximum(y[2:6], 1e-6))
        whole = identity_net(width, "poisson", dtype, Conventions(deviance=True), monkeypatch)
        plain = identity_net(width, "poisson", dtype, MINE, monkeypatch)
        t, z = y.astype(np.float64), a.astype(np.float64)
        each = np.where(t > 0, t * (np.log(np.maximum(t, 1e-300)) - z), 0) - t + np.exp(z)
        assert (np.abs(each[2:6]) < 1e-5).all()
        size = (np.exp(z) + t * (np.abs(z) + 4)).mean(axis=1)
        assert (np.abs(whole.losses(a, y) - each.mean(axis=1)) <= 16 * eps * size).all()
        assert (np.abs(plain.losses(a, y) - each.mean(axis=1))[6:] > 1e-3).any()
        assert bits(whole.gradients(a, y)[1]) == bits(plain.gradients(a, y)[1])
    x, y = X[:, :3], np.abs(TARGETS["squared_error"][:, :2])
    small, general = (
        make(Conventions(deviance=True), "poisson", monkeypatch, (3, 4, 2), dtype=dtype, l1=0.0, l2=0.0)
        for _ in "ab"
    )
    one_by_one = small.fit(x, y, batch_size=1, shuffle=False, verbose=0)["loss"]
    weighed = general.fit(x, y, batch_size=1, shuffle=False, sample_weight=np.ones(ROWS), verbose=0)["loss"]
    assert one_by_one == pytest.approx(weighed, rel=TOLERANCE[dtype])


# The scale of weights --------------------------------------------------------------------------------------


def test_the_scale_of_the_weights_counts_beside_penalties_alone(monkeypatch):
    for conventions, matters in ((MINE, False), (THEIRS["rows"], False), (THEIRS["penalty"], True)):
        models = [make(conventions, "cross_entropy", monkeypatch) for _ in "abc"]
        fits = [
            model.fit(X, LABELS, sample_weight=factor * WEIGHTS["any"], shuffle=False, verbose=0)["loss"]
            for model, factor in zip(models, (1, 4, 0.125), strict=True)
        ]
        assert (fits[0] == fits[1] == fits[2]) is not matters
        evaluations = [models[0].evaluate(X, LABELS, sample_weight=f * WEIGHTS["any"]) for f in (1, 4)]
        assert (evaluations[0] == evaluations[1]) is not matters


def test_weights_with_a_scale():
    weights = np.array([0.3, 5.0, 0.0])
    assert np.array_equal(as_sample_weight(weights, 3, has_scale=True), weights)
    assert as_sample_weight(weights, 3).max() < 1
    with pytest.raises(ValueError, match="sample_weight must have a finite sum"):
        as_sample_weight([1e308, 1e308], 2, has_scale=True)
    with pytest.raises(ValueError, match="sample_weight must not be 0 in every row"):
        as_sample_weight([0.0, 0.0], 2, has_scale=True)


def test_class_weights_have_a_scale_too(monkeypatch):
    ones, fours = (make(THEIRS["penalty"], "cross_entropy", monkeypatch) for _ in "ab")
    ones.fit(X, LABELS, sample_weight=4 * np.ones(ROWS), shuffle=False, verbose=0)
    fours.fit(X, LABELS, class_weight={0: 4, 1: 4, 2: 4}, shuffle=False, verbose=0)
    assert bits(ones.get_weights()) == bits(fours.get_weights())


# Gradients in batches --------------------------------------------------------------------------------------


def data(loss, weights):
    return _core.Data(X, TARGETS[loss], weights)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@LOSSES
def test_gradients_in_batches(isa, dtype, loss, weights, monkeypatch):
    """They are means over all rows, without penalties; batch sizes of at least all rows give the same
    bits."""
    model, conventions = make(THEIRS["all"], loss, monkeypatch, dtype=dtype), THEIRS["all"]
    w = np.ones(ROWS) if weights is None else weights
    value, gradients = mean(exact(model.get_weights()), loss, slice(0, ROWS), w, conventions)
    whole = core_of(model).net.gradients(data(loss, weights))
    for batch in (ROWS, ROWS + 1, 10**9):
        got = core_of(model).net.gradients(data(loss, weights), batch)
        assert (got[0], bits(got[1])) == (whole[0], bits(whole[1]))
    for batch in (0, 1, BATCH, ROWS - 1):
        results = [
            core_of(model).net.gradients(data(loss, weights), batch, n_threads) for n_threads in (1, 3)
        ]
        assert (results[0][0], bits(results[0][1])) == (results[1][0], bits(results[1][1]))
        assert results[0][0] == pytest.approx(value, rel=TOLERANCE[dtype])
        assert distance(results[0][1], gradients) <= TOLERANCE[dtype]


def test_gradients_in_batches_change_nothing(monkeypatch):
    model = make(MINE, "cross_entropy", monkeypatch)
    before, counts = bits(model.get_weights()), core_of(model).net.counts
    core_of(model).net.gradients(data("cross_entropy", None), BATCH)
    assert (bits(model.get_weights()), core_of(model).net.counts) == (before, counts)
    bad = X.copy()
    bad[ROWS - 2, 1] = np.nan
    with pytest.raises(_core.BadRowError) as info:
        core_of(model).net.gradients(_core.Data(bad, LABELS), BATCH)
    assert info.value.row == ROWS - 2


def test_ctrl_c_in_long_gradients():
    rows = np.lib.stride_tricks.as_strided(X, (1 << 40, 5), (0, 8))
    targets = np.lib.stride_tricks.as_strided(X, (1 << 40, 2), (0, 8))
    model = bpkern.MLP([5, 2], loss="mse", seed=0)
    with ctrl_c() as press:
        press()
        with pytest.raises(KeyboardInterrupt):
            core_of(model).net.gradients(_core.Data(rows, targets), 256)
    assert model.forward(X).shape == (ROWS, 2)
    model.fit(X, X[:, :2], verbose=0)  # the interrupted call no longer holds the model
