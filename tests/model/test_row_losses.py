"""losses(X, y) returns each row's loss as NumPy computes it, and evaluate returns their mean."""

import numpy as np
import pytest

import bpkern

ROWS, OUT = 300, 5
RNG = np.random.default_rng(6)
X = RNG.standard_normal((ROWS, 4))
TARGETS = RNG.random((ROWS, OUT))
LABELS = RNG.integers(0, OUT, ROWS)
SHARES = TARGETS / TARGETS.sum(axis=1, keepdims=True)


def log_softmax(a):
    shifted = a - a.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def huber(a, t, delta):
    d = np.abs(a - t)
    return np.where(d <= delta, d**2 / 2, delta * (d - delta / 2)).mean(axis=1)


def quantile(a, t, q):
    return np.maximum(q * (t - a), (q - 1) * (t - a)).mean(axis=1)


DELTAS, QS = [0.1, 0.5, 1.0, 2.0, 30.0], [0.1, 0.3, 0.5, 0.7, 0.99]

CASES = {
    "mse": ("mse", TARGETS, {}, lambda a, t: ((a - t) ** 2).mean(axis=1)),
    "squared_error": ("squared_error", TARGETS, {}, lambda a, t: ((a - t) ** 2).sum(axis=1) / 2),
    "labels": ("cross_entropy", LABELS, {}, lambda a, t: -log_softmax(a)[np.arange(len(a)), t]),
    "shares": ("cross_entropy", SHARES, {}, lambda a, t: -(t * log_softmax(a)).sum(axis=1)),
    "smoothed": (
        "cross_entropy",
        LABELS,
        {"label_smoothing": 0.2},
        lambda a, t: -((0.8 * np.eye(OUT)[t] + 0.2 / OUT) * log_softmax(a)).sum(axis=1),
    ),
    "binary": (
        "binary_cross_entropy",
        TARGETS,
        {},
        lambda a, t: (t * np.log1p(np.exp(-a)) + (1 - t) * np.log1p(np.exp(a))).mean(axis=1),
    ),
    "mae": ("mae", TARGETS, {}, lambda a, t: np.abs(a - t).mean(axis=1)),
    "huber": ("huber", TARGETS, {}, lambda a, t: huber(a, t, 1)),
    "hubers": (bpkern.losses.Huber(DELTAS), TARGETS, {}, lambda a, t: huber(a, t, np.array(DELTAS))),
    "quantile": ("quantile", TARGETS, {}, lambda a, t: quantile(a, t, 0.5)),
    "quantiles": (bpkern.losses.Quantile(QS), TARGETS, {}, lambda a, t: quantile(a, t, np.array(QS))),
    "poisson": ("poisson", TARGETS, {}, lambda a, t: (np.exp(a) - t * a).mean(axis=1)),
    "custom": (
        lambda a, t: (((a - t) ** 4).sum(axis=1), 4 * (a - t) ** 3),
        TARGETS,
        {},
        lambda a, t: ((a - t) ** 4).sum(axis=1),
    ),
}


@pytest.mark.parametrize(("loss", "y", "settings", "expected"), CASES.values(), ids=CASES)
def test_each_row(isa, dtype, loss, y, settings, expected):
    model = bpkern.MLP(
        [4, 20, OUT], activation="tanh", loss=loss, dtype=dtype, seed=1, dropout=0.5, l2=0.01, **settings
    )
    model.set_weights([(3 * w, b + 0.5) for w, b in model.get_weights()])
    rows = expected(model.forward(X).astype(np.float64), y)
    tolerance = 100 * float(np.finfo(dtype).eps)
    got = model.losses(X, y)
    assert got.dtype == np.float64
    assert got.shape == (ROWS,)
    assert got == pytest.approx(rows, rel=tolerance, abs=tolerance)
    penalty = 0.01 * sum((w.astype(np.float64) ** 2).sum() for w, _ in model.get_weights())
    assert model.evaluate(X, y)["loss"] == pytest.approx(got.mean() + penalty, rel=tolerance)
    weights = RNG.random(ROWS)
    weighed = model.evaluate(X, y, sample_weight=weights)["loss"]
    assert weighed == pytest.approx((weights * got).sum() / weights.sum() + penalty, rel=tolerance)


def test_those_of_the_average():
    model = bpkern.MLP([4, 20, OUT], loss="mse", dtype="float64", seed=1)
    model.fit(X, TARGETS, ema=0.9)
    assert model.losses(X, TARGETS) == pytest.approx(
        ((model.forward(X) - TARGETS) ** 2).mean(axis=1), rel=1e-12
    )


def test_what_is_refused():
    model = bpkern.MLP([4, OUT], loss="mse", dtype="float64", seed=1)
    bad = TARGETS.copy()
    bad[270, 1] = np.nan
    with pytest.raises(ValueError, match="y holds nan at row 270, column 1"):
        model.losses(X, bad)
    with pytest.raises(ValueError, match="X has no rows"):
        model.losses(X[:0], TARGETS[:0])
    with pytest.raises(ValueError, match="y must be given"):
        model.losses(X, None)
    mean = bpkern.MLP([4, OUT], loss=lambda a, t: (np.mean((a - t) ** 2), 2 * (a - t) / a.size), seed=1)
    with pytest.raises(ValueError, match="one number per row for weights and for losses"):
        mean.losses(X, TARGETS)
