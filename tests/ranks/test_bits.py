"""The same bits on any number of ranks, by shared memory and by messages."""

import ranks_fits

SEEDS = range(3)
NUMBERS = f"{SEEDS.start}-{SEEDS.stop}"


def wanted(streams=False):
    return [f"{seed} {ranks_fits.run(seed, None, 1, streams)}" for seed in SEEDS]


def test_two_ranks(on_ranks):
    assert on_ranks(2, "ranks_fits.py", NUMBERS, 2) == wanted()


def test_four_ranks(on_ranks):
    assert on_ranks(4, "ranks_fits.py", "0-2", 1) == wanted()[:2]


def test_four_ranks_by_messages(on_ranks):
    assert on_ranks(4, "ranks_fits.py", NUMBERS, 1, "messages") == wanted()


def test_streams_on_two_ranks(on_ranks):
    assert on_ranks(2, "ranks_fits.py", NUMBERS, 1, "stream") == wanted(streams=True)
