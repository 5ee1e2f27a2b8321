"""Shards in one process: their order, the same losses as without shards, and what is refused."""

import numpy as np
import pytest
import ranks_fits
from hypothesis import given, settings
from hypothesis import strategies as st

import bpkern
from bpkern._ranks import rows as parts
from bpkern.distributed import own_rows


class Comm:
    def __init__(self, size, rank):
        self.size, self.rank = size, rank


def dealt(rows, shards):
    """The rows in the order of an epoch, one by one: the first of each shard, then the second of each, ..."""
    each = np.array_split(np.arange(rows), shards)
    return np.array([shard[i] for i in range(len(each[0])) for shard in each if i < len(shard)])


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 70))
def test_every_rank_takes_its_rows_of_each_mini_batch(rows, shards, batch):
    rows = max(rows, shards)
    order = dealt(rows, shards)
    for ranks in (size for size in range(1, shards + 1) if shards % size == 0):
        whole = [own_rows(rows, Comm(ranks, rank), shards) for rank in range(ranks)]
        assert [i for own in whole for i in range(own.start, own.stop)] == list(range(rows))
        for rank, own in enumerate(whole):
            found = own.start + parts.layout(rows, batch, shards, ranks, rank)
            wanted = [
                i
                for start in range(0, rows, batch)
                for i in sorted(order[start : start + batch])
                if own.start <= i < own.stop
            ]
            assert found.tolist() == wanted


@given(st.integers(1, 40))
def test_the_tree_adds_halves(shards):
    def node(first, last):
        if last - first == 1:
            return f"{first}"
        half = 1 << (last - first - 1).bit_length() - 1
        return f"({node(first, first + half)}+{node(first + half, last)})"

    class Text:
        def __init__(self, text):
            self.text = text

        def __add__(self, other):
            return Text(f"({self.text}+{other.text})")

    values = np.array([Text(str(i)) for i in range(shards)], object)
    assert parts.tree_sum(values).item().text == node(0, shards)


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("batch_size", [7, 64, 1000])
def test_without_shuffling_losses_are_those_without_shards(shards, batch_size):
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(203, 9)), rng.integers(0, 4, 203), rng.random(203)
    order = dealt(203, shards)

    def fitted(rows, **arguments):
        model = bpkern.MLP(
            [9, 33, 4], loss="cross_entropy", optimizer="adam", dtype="float64", l2=0.01, seed=0
        )
        return model, model.fit(
            x[rows],
            y[rows],
            sample_weight=w[rows],
            epochs=4,
            batch_size=batch_size,
            shuffle=False,
            **arguments,
        )

    (cut, found), (whole, wanted) = fitted(slice(None), shards=shards), fitted(order)
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-9)
    assert found.iterations == wanted.iterations
    for (a, b), (c, d) in zip(cut.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(b, d, rtol=1e-6, atol=1e-9)


def test_drop_last_leaves_out_the_mini_batch_that_is_not_full():
    x, y, w = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50.0), np.ones(50)
    kept = np.sort(dealt(50, 4)[:42])

    def fitted(w, **arguments):
        model = bpkern.MLP([3, 4, 1], loss="mse", dtype="float64", seed=0)
        model.fit(x, y, sample_weight=w, batch_size=14, shuffle=False, shards=4, **arguments)
        return model

    # The mini-batch is not full, so it has no weight, and moves nothing.
    w[np.setdiff1d(np.arange(50), kept)] = 0
    rows = lambda true, predicted: len(true)  # noqa: E731
    dropped, whole = fitted(None, drop_last=True, epochs=2, metrics=rows), fitted(w, epochs=2)
    assert dropped.history_["<lambda>"] == [42, 42]
    assert dropped.history_.iterations == 6
    assert whole.history_.iterations == 8
    assert dropped.history_["loss"] == whole.history_["loss"]
    assert all((a == b).all() for a, b in zip(dropped.get_weights()[0], whole.get_weights()[0], strict=True))
    with pytest.raises(ValueError, match="at most the number of rows of all ranks, 50, not 51"):
        dropped.fit(x, y, batch_size=51, shards=4, drop_last=True)


def test_batches_of_a_stream_have_the_losses_without_shards():
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(n, 5)), rng.integers(0, 3, n)) for n in (9, 30, 17)]
    losses = []
    for arguments in ({}, {"shards": 8}):
        model = bpkern.MLP([5, 20, 3], loss="cross_entropy", optimizer="adam", dtype="float64", seed=0)
        losses.append(model.fit(batches, epochs=3, **arguments)["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-12)


@settings(max_examples=8)
@given(st.integers(0, 10**6))
def test_bits_do_not_depend_on_threads(seed):
    assert ranks_fits.run(seed, None, 1) == ranks_fits.run(seed, None, 3)


def test_dropout_drops_the_same_activations_for_any_shards():
    """In one mini-batch of all rows in their order: 8 shards of a row and one shard have the same masks."""
    x, y = np.random.default_rng(0).normal(size=(8, 5)), np.zeros(8, int)
    losses = []
    for shards in (1, 8):
        model = bpkern.MLP([5, 64, 3], loss="cross_entropy", dtype="float64", dropout=0.5, seed=0)
        losses.append(model.fit(x, y, batch_size=8, shuffle=False, shards=shards)["loss"][0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_each_shard_is_shuffled_by_itself():
    """Each row is its number: one epoch at batch 1 sees each once, and the shards in turns."""
    seen = []

    def metric(true, predicted):
        seen.append(true.ravel().tolist())
        return 0.0

    x = np.arange(12.0)[:, None]
    model = bpkern.MLP([1, 1], loss="mse", optimizer=bpkern.SGD(lr=0.0), seed=0)
    model.fit(x, x, epochs=2, batch_size=1, shards=3, metrics=metric)
    for epoch in seen:
        assert [sorted(part) for part in np.array_split(epoch, 3)] == [
            [0, 1, 2, 3],
            [4, 5, 6, 7],
            [8, 9, 10, 11],
        ]
    assert seen[0] != seen[1]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"shards": 0}, ValueError, "shards"),
        ({"shards": 5000}, ValueError, "at most 4096"),
        ({"shards": 2.5}, TypeError, "shards"),
        ({"shards": 11}, ValueError, "each of the 11 shards needs one"),
        ({"shards": 2, "validation_split": 0.5}, ValueError, "validation_split"),
        ({"comm": 3}, TypeError, "communicator"),
    ],
)
def test_what_is_refused(arguments, error, text):
    model = bpkern.MLP([2, 1], loss="mse", seed=0)
    before = model.get_weights()
    with pytest.raises(error, match=text):
        model.fit(np.ones((10, 2)), np.ones(10), **arguments)
    assert all(
        (a == c).all() and (b == d).all() for (a, b), (c, d) in zip(model.get_weights(), before, strict=True)
    )


def test_own_rows():
    assert [own_rows(10, Comm(4, rank), 4) for rank in range(4)] == [
        slice(0, 3), slice(3, 6), slice(6, 8), slice(8, 10),
    ]  # fmt: skip
    assert own_rows(10, None) == slice(0, 10)
    with pytest.raises(ValueError, match="multiple of the 4 ranks of comm, not 6"):
        own_rows(10, Comm(4, 0), 6)
