"""The same seed gives the same bits, and training continues where it stopped."""

import copy

import numpy as np
import pandas as pd
import pytest
from helpers import parameter_bits

import bpkern
from bpkern._model.core import core_of

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((90, 6)), RNG.integers(0, 3, 90)


def make(seed=7, **settings):
    optimizer = bpkern.SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
    return bpkern.MLP([6, 21, 3], loss="cross_entropy", optimizer=optimizer, seed=seed, **settings)


@pytest.mark.parametrize("split", [0.0, 0.2])
def test_same_seed_same_bits(isa, dtype, split):
    models = [make(dtype=dtype) for _ in range(2)]
    histories = [dict(model.fit(X, Y, epochs=5, validation_split=split)) for model in models]
    assert histories[0] == histories[1]
    assert parameter_bits(models[0]) == parameter_bits(models[1])
    other = make(seed=8, dtype=dtype)
    other.fit(X, Y, epochs=5, validation_split=split)
    assert parameter_bits(other) != parameter_bits(models[0])


@pytest.mark.parametrize("split", [0.0, 0.2])
def test_five_and_five_epochs_are_ten(isa, split):
    once, twice = make(), make()
    whole = once.fit(X, Y, epochs=10, validation_split=split)
    first = twice.fit(X, Y, epochs=5, validation_split=split)
    second = twice.fit(X, Y, epochs=5, validation_split=split)
    assert parameter_bits(once) == parameter_bits(twice)
    assert {name: first[name] + second[name] for name in first} == dict(whole)


def test_reset_goes_back_to_the_start():
    model = make()
    start = parameter_bits(model)
    first = dict(model.fit(X, Y, epochs=3, validation_split=0.2))
    after = parameter_bits(model)
    model.reset()
    assert parameter_bits(model) == start
    assert model.history_ is None
    assert dict(model.fit(X, Y, epochs=3, validation_split=0.2)) == first
    assert parameter_bits(model) == after


def test_kinds_of_seed():
    by_int = parameter_bits(make(seed=5))
    assert parameter_bits(make(seed=np.int64(5))) == by_int
    assert parameter_bits(make(seed=np.random.SeedSequence(5))) == by_int
    generator = np.random.default_rng(5)
    assert parameter_bits(make(seed=generator)) == by_int
    # The generator was consumed: the next model differs, and its own reset leaves the generator alone.
    second = make(seed=generator)
    assert parameter_bits(second) != by_int
    start, state = parameter_bits(second), copy.deepcopy(generator.bit_generator.state)
    second.reset()
    assert parameter_bits(second) == start
    assert generator.bit_generator.state == state
    assert parameter_bits(make(seed=None)) != parameter_bits(make(seed=None))


def test_the_order_in_which_the_generator_is_consumed():
    """Weights and biases layer by layer, one number for the splits, one permutation per epoch."""
    rng = np.random.default_rng(7)
    for (w, b), inputs, outputs in zip(make(dtype="float64").get_weights(), (6, 21), (21, 3), strict=True):
        limit = np.sqrt(6 / (inputs + outputs))
        assert np.array_equal(w, rng.uniform(-limit, limit, (outputs, inputs)))
        limit = 1 / np.sqrt(inputs)
        assert np.array_equal(b, rng.uniform(-limit, limit, outputs))
    by_hand, shuffled = make(), make()
    for _ in range(2):
        order = rng.permutation(90)
        by_hand.fit(X[order], Y[order], shuffle=False)
    shuffled.fit(X, Y, epochs=2)
    assert parameter_bits(by_hand) == parameter_bits(shuffled)


def test_a_split_is_stratified_and_remembered():
    labels = np.repeat([0, 1, 2], [60, 24, 6])
    for fraction in (0.1, 0.3, 0.5):
        train, held_out = core_of(make()).random.split(90, fraction, labels)
        assert np.array_equal(np.sort(np.concatenate([train, held_out])), np.arange(90))
        assert len(held_out) == round(90 * fraction)
        counts = np.bincount(labels[held_out], minlength=3)
        assert (np.abs(counts - fraction * np.array([60, 24, 6])) <= 1).all()
    random = core_of(make()).random
    assert np.array_equal(random.split(90, 0.3, labels)[1], random.split(90, 0.3, labels)[1])
    held_out = [core_of(make(seed=seed)).random.split(90, 0.3, None)[1] for seed in (1, 2)]
    assert not np.array_equal(*held_out)


def test_validation_split_judges_by_the_rows_held_out():
    model, by_hand = make(), make()
    train, held_out = core_of(make()).random.split(90, 0.2, Y)
    history = model.fit(X, Y, epochs=2, validation_split=0.2, shuffle=False)
    validation = X[held_out], Y[held_out]
    expected = by_hand.fit(X[train], Y[train], epochs=2, shuffle=False, validation_data=validation)
    assert dict(history) == dict(expected)
    assert parameter_bits(model) == parameter_bits(by_hand)
    assert history["val_accuracy"][-1] == (model.predict(X[held_out]) == Y[held_out]).mean()


def test_a_changed_learning_rate_takes_effect_at_the_next_call():
    model = make()
    model.fit(X, Y)
    before = parameter_bits(model)
    model.optimizer.lr = 0.0
    model.fit(X, Y, epochs=2)
    assert parameter_bits(model) == before
    model.optimizer.lr = 0.1
    model.train_on_batch(X, Y)
    assert parameter_bits(model) != before


def test_a_misspelt_setting_of_the_optimiser():
    with pytest.raises(AttributeError):
        make().optimizer.learning_rate = 0.1


def test_optimisers_are_shared_settings():
    optimizer = bpkern.SGD(lr=0.05, momentum=0.5)
    shared = [bpkern.MLP([6, 3], loss="cross_entropy", optimizer=optimizer, seed=1) for _ in range(2)]
    for model in shared:
        model.fit(X, Y, epochs=2)
    assert parameter_bits(shared[0]) == parameter_bits(shared[1])
    assert bpkern.MLP([6, 3], loss="mse").optimizer.lr == 0.01


def test_set_weights_leaves_the_velocity():
    model, other = make(), make()
    weights = model.get_weights()
    model.fit(X, Y)
    model.set_weights(weights)
    model.optimizer.lr = other.optimizer.lr = 0.1
    for each in (model, other):
        each.fit(X, Y, shuffle=False, batch_size=90)
    assert parameter_bits(model) != parameter_bits(other)


def test_epochs_of_zero():
    model = make()
    before = parameter_bits(model)
    history = model.fit(X, Y, epochs=0)
    assert len(history) == 0
    assert history.iterations == 0
    assert parameter_bits(model) == before


def test_history_is_a_mapping_of_lists():
    model = make()
    history = model.fit(X, Y, epochs=3, validation_data=(X, Y))
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert all(len(values) == 3 for values in history.values())
    assert history is model.history_
    assert history["val_loss"][-1] == model.evaluate(X, Y)["loss"]
    assert list(pd.DataFrame(history)["loss"]) == history["loss"]
    assert repr(history).startswith("History(3 epochs, 9 iterations, last: loss=")
    assert list(bpkern.MLP([6, 1], loss="mse", seed=0).fit(X, Y)) == ["loss"]


def test_the_loss_of_an_epoch_is_the_mean_over_rows_before_each_update():
    model = bpkern.MLP([6, 4, 3], loss="cross_entropy", l2=0.01, dtype="float64", seed=2)
    by_hand = bpkern.MLP([6, 4, 3], loss="cross_entropy", l2=0.01, dtype="float64", seed=2)
    losses = [(by_hand.train_on_batch(X[i : i + 40], Y[i : i + 40]), len(X[i : i + 40])) for i in (0, 40, 80)]
    history = model.fit(X, Y, batch_size=40, shuffle=False)
    assert history["loss"][0] == pytest.approx(sum(l * n for l, n in losses) / 90, rel=1e-14)


def test_sample_weight_repeats_rows():
    """Weight 2 counts a row twice, and weight 0 leaves it out."""
    weights = np.arange(90) % 3
    settings = dict(loss="cross_entropy", dtype="float64", seed=0)
    weighted, repeated = bpkern.MLP([6, 5, 3], **settings), bpkern.MLP([6, 5, 3], **settings)
    history = weighted.fit(X, Y, sample_weight=weights, batch_size=90, epochs=3, shuffle=False)
    rows = np.repeat(np.arange(90), weights)
    expected = repeated.fit(X[rows], Y[rows], batch_size=90, epochs=3, shuffle=False)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-13)
    assert history["accuracy"] == pytest.approx(expected["accuracy"], rel=1e-13)
    for pair, other in zip(weighted.get_weights(), repeated.get_weights(), strict=True):
        for got, wanted in zip(pair, other, strict=True):
            assert got == pytest.approx(wanted, rel=1e-11, abs=1e-14)


def test_a_batch_of_zero_weight_is_no_update():
    weights = np.ones(90)
    weights[30:60] = 0
    skipping, without = make(), make()
    history = skipping.fit(X, Y, sample_weight=weights, batch_size=30, shuffle=False)
    rows = np.flatnonzero(weights)
    expected = without.fit(X[rows], Y[rows], batch_size=30, shuffle=False)
    assert parameter_bits(skipping) == parameter_bits(without)
    assert dict(history) == dict(expected)
    assert history.iterations == 3
