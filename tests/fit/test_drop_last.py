"""drop_last: the rows of an epoch that do not fill a mini-batch are left out."""

import numpy as np
import pytest

import bpkern
from bpkern import reference

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((50, 3)), RNG.standard_normal((50, 2))


def make(kind=bpkern.MLP, **settings):
    return kind([3, 5, 2], loss="mse", optimizer=bpkern.SGD(0.1, 0.9), dtype="float64", seed=1, **settings)


def fit(model, **arguments):
    return model.fit(X, Y, **{"epochs": 3, "batch_size": 16, "drop_last": True, "verbose": 0} | arguments)


@pytest.mark.parametrize(
    "arguments", [{}, {"accumulate": 2}, {"ema": 0.9}, {"validation_split": 0.2}], ids=str
)
def test_the_references_training(arguments):
    (ours, history), (theirs, expected) = (
        (model, fit(model, **arguments)) for model in (make(), make(reference.MLP))
    )
    assert (
        history.iterations
        == expected.iterations
        == 3 * ((40 if "validation_split" in arguments else 50) // 16)
    )
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-11)
    for pair, expected_pair in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        for got, wanted in zip(pair, expected_pair, strict=True):
            assert got == pytest.approx(wanted, rel=1e-10, abs=1e-12)


def test_without_a_shuffle_the_first_rows():
    dropping, few = make(), make()
    first, second = (
        fit(dropping, shuffle=False),
        few.fit(X[:48], Y[:48], epochs=3, batch_size=16, shuffle=False),
    )
    assert first["loss"] == second["loss"]
    for pair, expected in zip(dropping.get_weights(), few.get_weights(), strict=True):
        assert all(map(np.array_equal, pair, expected))


def test_the_order_of_the_rows_is_that_of_other_fits():
    """The permutation is of all rows: the first mini-batches are those of a fit with all of them."""
    seen = {}

    class Watch(bpkern.callbacks.Callback):
        def __init__(self, name):
            self.losses = seen[name] = []

        def on_batch_end(self, model, batch, logs):
            self.losses.append(logs["loss"])

    for name, drop_last in (("dropping", True), ("all", False)):
        fit(make(), epochs=1, drop_last=drop_last, callbacks=Watch(name))
    assert len(seen["all"]) == 4
    assert seen["dropping"] == seen["all"][:3]


@pytest.mark.parametrize("batch_size", [10, 25, 50])
def test_full_mini_batches_change_nothing(batch_size):
    one, other = make(), make()
    fit(one, batch_size=batch_size), fit(other, batch_size=batch_size, drop_last=False)
    for pair, expected in zip(one.get_weights(), other.get_weights(), strict=True):
        assert all(map(np.array_equal, pair, expected))


def test_a_resumed_fit_and_a_custom_loss(tmp_path):
    def loss(outputs, y):
        return ((outputs - y) ** 2).mean(axis=1), 2 / 2 * (outputs - y)

    whole, parts = (bpkern.MLP([3, 5, 2], loss=loss, seed=1) for _ in "ab")
    fit(whole)
    fit(parts, epochs=2, checkpoint=tmp_path / "fit.npz")
    fit(parts, epochs=3, checkpoint=tmp_path / "fit.npz", resume=True)
    for pair, expected in zip(whole.get_weights(), parts.get_weights(), strict=True):
        assert all(map(np.array_equal, pair, expected))
    with pytest.raises(ValueError, match="of a fit with drop_last=True, and this one has False"):
        fit(parts, epochs=4, checkpoint=tmp_path / "fit.npz", resume=True, drop_last=False)


@pytest.mark.parametrize("kind", [bpkern.MLP, reference.MLP])
def test_refused_where_no_mini_batch_would_be_left(kind):
    model = make(kind)
    before = model.get_weights()
    with pytest.raises(ValueError, match="drop_last leaves no mini-batch"):
        fit(model, batch_size=51)
    with pytest.raises(ValueError, match="drop_last leaves no mini-batch"):
        fit(model, batch_size=41, validation_split=0.2)
    assert all(np.array_equal(w, old) for (w, _), (old, _) in zip(model.get_weights(), before, strict=True))


def test_refused_for_streams_and_for_rows_without_weight():
    with pytest.raises(ValueError, match="drop_last is for X and y"):
        make().fit([(X, Y)], drop_last=True)
    weights = np.zeros(50)
    weights[48:] = 1
    with pytest.raises(ValueError, match="drop_last has left only rows of weight 0"):
        fit(make(), sample_weight=weights, shuffle=False)
    with pytest.raises(TypeError, match="drop_last must be True or False, not 1"):
        fit(make(), drop_last=1)


def test_models_side_by_side():
    models, alone = [make() for _ in "ab"], make()
    bpkern.fit_many(models, X, Y, epochs=3, batch_size=16, drop_last=True)
    fit(alone)
    for model in models:
        assert np.array_equal(model.get_weights()[0][0], alone.get_weights()[0][0])
