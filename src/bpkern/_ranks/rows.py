"""Which rows are whose: shards of the rows, ranks' shards, and the order in which mini-batches take them.

The rows are cut into consecutive shards as equal as possible. An epoch takes the first row of each shard,
then the second of each, and so on: row i of the epoch is row ``i // shards`` of shard ``i % shards``. A
mini-batch is `batch_size` consecutive ones of these. Within a mini-batch, rows are computed shard by shard.
"""

import numpy as np


def bounds(rows: int, shards: int) -> np.ndarray:
    """The first row of each shard, and the end: int64 (shards + 1,)."""
    starts = np.arange(shards + 1, dtype=np.int64)
    return starts * (rows // shards) + np.minimum(starts, rows % shards)


def own_bounds(rows: int, shards: int, ranks: int, rank: int) -> np.ndarray:
    """As `bounds`, of a rank's shards and counted from its first row: (shards / ranks + 1,)."""
    count = shards // ranks
    part = bounds(rows, shards)[rank * count : (rank + 1) * count + 1]
    return np.asarray(part - part[0])


def layout(rows: int, batch: int, shards: int, ranks: int, rank: int, drop_last: bool = False) -> np.ndarray:
    """A rank's rows in the order of an epoch without shuffling, counted from its first row: int64 (rows,).

    They are sorted by mini-batch, then by shard, then by their place in the shard. With `drop_last`, those of
    a mini-batch that is not full are left out.
    """
    count, starts = shards // ranks, own_bounds(rows, shards, ranks, rank)
    places = [np.arange(size, dtype=np.int64) for size in np.diff(starts)]
    order = np.concatenate([start + place for start, place in zip(starts, places, strict=False)])
    batches = np.concatenate(
        [(place * shards + rank * count + shard) // batch for shard, place in enumerate(places)]
    )  # the mini-batch of each row
    order = order[np.argsort(batches, kind="stable")]
    return order[: np.count_nonzero(batches < rows // batch)] if drop_last else order


def height(batch: int, shards: int, ranks: int) -> int:
    """A number of rows that a rank never exceeds in a mini-batch, and at least 2 (bpk_shards in bpkern.h)."""
    return max(2, shards // ranks * -(-batch // shards))


def tree_sum(values: np.ndarray) -> np.ndarray:
    """The sum of values (shards, ...) over the shards, in the order of the tree of csrc/trainer/tree.h."""
    while len(values) > 1:
        pairs = values[: len(values) // 2 * 2]
        values = np.concatenate([pairs[::2] + pairs[1::2], values[len(pairs) :]])
    return np.asarray(values[0])
