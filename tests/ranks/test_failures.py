"""A failure of one rank ends the fit on all, and names the rank."""

import re

import pytest

CASES = {
    "callback": "ZeroDivisionError",
    "row": "ValueError",
    "argument": "ValueError",
}


@pytest.mark.parametrize("case", CASES)
def test_one_rank_fails(on_ranks, case):
    *lines, last = on_ranks(2, "ranks_failures.py", case, 1)
    failed = int(re.match(r"failed on (\d+): whole$", last)[1])
    for rank, line in enumerate(lines):
        number, _, got = line.split(" ", 2)
        assert int(number) == rank
        if rank == failed:
            assert got.startswith(CASES[case])
        else:
            assert got.startswith(f"RankError rank {failed}: {CASES[case]}")


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("differs", "layers"),
        ("rows", "must give"),
        ("diverges", "DivergedError"),
        ("groups", "layer 0: weights frozen, biases frozen"),
    ],
)
def test_all_ranks_fail_alike(on_ranks, case, text):
    *lines, _ = on_ranks(2, "ranks_failures.py", case, 1)
    assert all(text in line and "RankError" not in line for line in lines)
