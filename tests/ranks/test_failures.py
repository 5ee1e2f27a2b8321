"""A failure of one rank ends the fit on all, and names the rank."""

import _thread
import re
import signal

import pytest

import bpkern
from bpkern._ranks.interrupts import Interrupts

ERRORS = {
    "callback": "ZeroDivisionError",
    "begin": "LookupError",
    "between": "LookupError",
    "row": "ValueError",
    "argument": "ValueError",
    "interrupt": "KeyboardInterrupt",
    "alarm_entering": "LookupError",
    "alarm_ahead": "LookupError",
    "alarm_within": "LookupError",
    "alarm_torn": "LookupError",
    "clipped/alarm_within": "LookupError",
    "messages/alarm_within": "LookupError",
}
ALIKE = {
    "differs": "layers",
    "rows": "must give",
    "diverges": "DivergedError",
    "groups": "layer 0: weights frozen, biases frozen",
    "shards": " has shards=",
    "batches": "batches in an epoch",
    "interrupts": "KeyboardInterrupt",
    "entering": "KeyboardInterrupt",
    "ahead": "KeyboardInterrupt",
    "within": "KeyboardInterrupt",
    "torn": "KeyboardInterrupt",
    "clipped/within": "KeyboardInterrupt",
    "messages/ahead": "KeyboardInterrupt",
}


@pytest.fixture(scope="module")
def endings(on_ranks):
    """By case, the error of each rank, and the last line."""
    lines = on_ranks(2, "ranks_failures.py", ",".join([*ERRORS, *ALIKE]), 1)
    cases = dict(zip([*ERRORS, *ALIKE], zip(*[iter(lines)] * 3, strict=True), strict=True))
    return {case: ([line.split(" ", 2)[2] for line in ranks], last) for case, (*ranks, last) in cases.items()}


@pytest.mark.parametrize("case", ERRORS)
def test_one_rank_fails(endings, case):
    found, last = endings[case]
    failed = int(re.match(r"failed on (\d+): whole$", last)[1])
    for rank, got in enumerate(found):
        if rank == failed:
            assert got.startswith(ERRORS[case])
        elif case == "interrupt":
            assert got == f"KeyboardInterrupt rank {failed}: KeyboardInterrupt"
        else:
            assert got.startswith(f"RankError rank {failed}: {ERRORS[case]}")


@pytest.mark.parametrize("case", ALIKE)
def test_all_ranks_fail_alike(endings, case):
    found, last = endings[case]
    assert all(ALIKE[case] in got and "RankError" not in got for got in found)
    assert last.endswith(": whole") or case == "differs"


@pytest.mark.parametrize("case", ["exchange", "messages/alarm_ahead"])
def test_an_error_amid_an_exchange_ends_it_on_all_ranks(on_ranks, case):
    """The others get no message, for which some already wait, or later do."""
    *ranks, last = on_ranks(3, "ranks_failures.py", case, 1)
    failed = int(re.match(r"failed on (\d): whole$", last)[1])
    found = [line.split(" ", 2)[2] for line in ranks]
    assert found.pop(failed).startswith("LookupError")
    assert found == [f"KeyboardInterrupt rank {failed} has left the call"] * 2


def test_ranks_that_come_after_one_has_gone_answer_ctrl_c(on_ranks):
    """It has waited for them in vain. One of them gets Ctrl-C twice, which ends the call on all."""
    *ranks, last = on_ranks(3, "ranks_failures.py", "gone", 1)
    gone = int(re.match(r"failed on (\d): whole$", last)[1])
    own, other = "KeyboardInterrupt ", f"KeyboardInterrupt rank {(gone + 1) % 3} has left the call"
    found = [line.split(" ", 2)[2] for line in ranks]
    assert found == [other if rank == (gone + 2) % 3 else own for rank in range(3)]


def test_ctrl_c_waits_for_the_next_meeting_if_the_system_starts_no_thread(monkeypatch):
    def refuse(*arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []

    def call():
        with Interrupts(True) as interrupts:
            interrupts.release()
            signal.raise_signal(signal.SIGINT)
            done.append("steps")
            interrupts.hold()
            done.append("a meeting")

    try:
        with pytest.raises(KeyboardInterrupt):
            call()
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["steps"]


@pytest.mark.skipif(bpkern.available_isas() == ("scalar",), reason="needs two instruction sets")
def test_other_instruction_sets_are_refused(on_ranks):
    first, second = on_ranks(2, "ranks_isa.py")
    assert first.startswith(f"{bpkern.isa()}: ")
    assert second.startswith("scalar: ")
    assert first.split(": ")[1] == second.split(": ")[1]
    assert "rank 1 has the instruction set (BPKERN_ISA)=scalar, and rank 0 has " in first
