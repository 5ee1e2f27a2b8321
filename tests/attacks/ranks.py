"""Fits on ranks of MPI: the same bits on any number, and none hangs when another one fails or is killed."""

import importlib.util
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from journal import ROOT, Journal, Missing, attack, main

SUPPORT = ROOT / "tests" / "support"
PATIENCE = 300
MOST_LATE = 5.0  # seconds from a failure to the error on the last rank
# The ranks and threads of a number of shards, of which each rank has several nodes of the tree or one.
WAYS = {
    8: ((2, 1), (2, 2), (4, 1, "messages"), (8, 1)),
    18: ((6, 1), (3, 2)),
    21: ((7, 1),),
}
# Those of an alarm: the error of a handler of a signal, on a rank that waits for a slow one. In a clipped
# fit, ranks share no parameters, and with messages, no memory.
ALARMS = "alarm_entering", "alarm_ahead", "alarm_within", "alarm_torn"
ALARMS += "clipped/alarm_within", "messages/alarm_within", "messages/alarm_ahead"
ERRORS = "callback", "begin", "between", "exchange", *ALARMS
# On one rank, on all, while that rank is asleep in a callback, twice while it waits for such a rank, twice
# while it waits for a slow one at places of a step, and twice before others have come, and then on one of
# these.
INTERRUPTS = "interrupt", "interrupts", "asleep", "late", "entering", "ahead", "within", "torn", "gone"
INTERRUPTS += "clipped/within", "messages/ahead"


def on_ranks(number: int, program: str, *arguments: object) -> subprocess.Popen[str]:
    """A program of tests/support on several ranks, or with one rank by itself."""
    beside = Path(sys.executable).with_name("mpiexec")
    command = str(beside) if beside.exists() else shutil.which("mpiexec")
    if command is None or importlib.util.find_spec("mpi4py") is None:
        raise Missing("mpi4py and mpiexec: pip install mpi4py mpich")
    start = [command, "-n", str(number)] if number > 1 else []
    path = os.pathsep.join([str(SUPPORT), *sys.path])
    return subprocess.Popen(
        [*start, sys.executable, str(SUPPORT / program), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def lines_of(process: subprocess.Popen[str]) -> list[str]:
    """What it prints; nothing more after PATIENCE."""
    try:
        return process.communicate(timeout=PATIENCE)[0].splitlines()
    except subprocess.TimeoutExpired:
        process.kill()
        return ["stuck"]


@attack(trials=60)
def bits(journal: Journal) -> str:
    """A random fit leaves the same bits in one process and on 2 to 8 ranks, at 1 and 2 threads."""
    for chunk in journal.chunks(10):
        seeds = f"{chunk.start}-{chunk.stop}"
        for shards, ways in WAYS.items():
            given = f"shards={shards}"
            wanted = lines_of(on_ranks(1, "ranks_fits.py", seeds, 1, given, "alone"))
            for ranks, threads, *way in ways:
                found = lines_of(on_ranks(ranks, "ranks_fits.py", seeds, threads, given, *way))
                for trial in chunk:
                    pair = [
                        [each for each in lines if each.startswith(f"{trial} ")] for lines in (wanted, found)
                    ]
                    if pair[0] != pair[1] or len(pair[0]) != 1:
                        where = f"{ranks} ranks of {threads} threads, {given} {way}"
                        journal.fail(trial, f"{pair[1]} on {where}, {pair[0]} alone")
    return f"{journal.trials} random fits"


@attack(trials=40)
def failures(journal: Journal) -> str:
    """An error or Ctrl-C on one of 4 ranks ends the fit on all within seconds, and the models are whole."""
    for trial in journal:
        cases = (ERRORS, INTERRUPTS)[trial % 2]
        case = cases[trial // 2 % len(cases)]
        *lines, last = lines_of(on_ranks(4, "ranks_failures.py", case, trial))
        if not re.fullmatch(r"failed on \d: whole", last):
            journal.fail(trial, f"{case}: {last}")
            continue
        if case in INTERRUPTS and any(line.split()[2] != "KeyboardInterrupt" for line in lines):
            journal.fail(trial, f"{case}: {lines}")
        late = max(float(line.split()[1]) for line in lines)
        journal.keep(case, max, late)
        if late > MOST_LATE:
            journal.fail(trial, f"{case}: {late} s to the last rank")
    found = ", ".join(f"{case} {late:.2f} s" for case, late in sorted(journal.figures.items()))
    return f"the last rank has ended after {found}"


@attack(trials=20)
def kills(journal: Journal) -> str:
    """After SIGKILL of one of 4 ranks, the checkpoint resumes on 2, to the bits of an unbroken fit."""
    epochs = 60
    for trial in journal:
        drawn = random.Random(trial)
        with tempfile.TemporaryDirectory() as folder:
            wanted = lines_of(on_ranks(1, "ranks_checkpoints.py", f"{folder}/whole.npz", epochs, "alone"))[-1]
            process = on_ranks(4, "ranks_checkpoints.py", f"{folder}/cut.npz", epochs)
            assert process.stdout is not None
            process.stdout.readline()  # the ranks are at work
            time.sleep(drawn.uniform(0, 0.5))
            kill_one(process.pid, drawn)
            lines_of(process)
            found = lines_of(on_ranks(2, "ranks_checkpoints.py", f"{folder}/cut.npz", epochs))[-1]
            if found != wanted:
                journal.fail(trial, f"{found} after the kill, {wanted} without")
    return f"{journal.trials} kills"


def kill_one(launcher: int, drawn: random.Random) -> None:
    """Send SIGKILL to one of the ranks below a launcher."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended
                continue
    family, ranks = {launcher}, []
    for _ in range(4):
        family |= {child for child, parent in parents.items() if parent in family}
    for process in family:
        try:
            if b"ranks_checkpoints.py" in (Path("/proc") / str(process) / "cmdline").read_bytes():
                ranks.append(process)
        except OSError:
            continue
    ranks = [each for each in sorted(ranks) if parents.get(each) in family and each != launcher]
    leaves = [each for each in ranks if each not in parents.values()]
    if leaves:
        os.kill(drawn.choice(leaves), signal.SIGKILL)


if __name__ == "__main__":
    main(__file__)
