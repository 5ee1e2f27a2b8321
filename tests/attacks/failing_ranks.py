"""Training on several ranks: random nets, their evaluations and predictions; ranks that stop or fail.

python tests/attacks/failing_ranks.py [nets] [interrupts] [errors] [--trials N]

Needs mpi4py and an `mpiexec`, as of `pip install mpi4py mpich`. Each job runs `ranks_job.py`. `ranks.py`
compares the ways of gradients between ranks, and kills ranks.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from journal import Journal, Missing, attack, main

JOB = Path(__file__).with_name("ranks_job.py")
RANKS = 1, 2, 4, 8
# The seconds within which every rank must have ended, and those after which a job counts as hanging.
MOST_SECONDS, PATIENCE = 5.0, 120.0
KINDS = "epoch", "batch", "row", "diverged"


def command(ranks: int, *words: str | int | Path) -> list[str]:
    """A job of `ranks_job.py`; one of one rank has no MPI."""
    own = [sys.executable, str(JOB), *map(str, words)]
    return own if ranks == 1 else [mpiexec(), "-n", str(ranks), *own]


def mpiexec() -> str:
    if find_spec("mpi4py") is None:
        raise Missing("mpi4py, for several ranks")
    search = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    found = shutil.which("mpiexec", path=search)
    if found is None:
        raise Missing("mpiexec, of an MPI library")
    return found


def printed(ranks: int, *words: str | int | Path) -> str:
    """What a job prints; how it failed if it did."""
    try:
        done = subprocess.run(
            command(ranks, *words), capture_output=True, text=True, timeout=PATIENCE * 5, check=False
        )
    except subprocess.TimeoutExpired:
        return "the job hangs"
    return done.stdout if done.returncode == 0 else f"exit {done.returncode}: {done.stderr[-1500:]}"


@attack(trials=60)
def nets(journal: Journal) -> str:
    """Random nets have the same bits in one process and on 2, 4 and 8 ranks, at 1 and 2 threads each."""
    mpiexec()
    for chunk in journal.chunks(20):
        made = {ranks: printed(ranks, "nets", journal.seed, chunk.start, chunk.stop) for ranks in RANKS}
        rows = {ranks: [line.split(" ", 2) for line in text.splitlines()] for ranks, text in made.items()}
        for trial in chunk:
            found = {
                (ranks, threads): rest[0]
                for ranks, lines in rows.items()
                for number, threads, *rest in (line for line in lines if len(line) == 3)
                if number == str(trial)
            }
            if len(found) != 2 * len(RANKS):
                missing = next(
                    (text for text in made.values() if not text[:1].isdigit()), "a job without output"
                )
                journal.fail(trial, f"only {sorted(found)}: {missing[-600:]}")
            elif len(set(found.values())) > 1:
                journal.fail(trial, f"{found}")
            journal.count("digests", len(found))
            if found and "Error" in next(iter(found.values())):
                journal.count("ended by an error")
    return (
        f"{journal.figures.get('digests', 0)} digests of weights, states and histories; "
        f"{journal.figures.get('ended by an error', 0)} fits ended by an error"
    )


class Job:
    """A job of four ranks in a folder, with the process numbers of its ranks."""

    def __init__(self, folder: Path, *words: str | int | Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            command(4, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_for(self, *names: str) -> None:
        """Wait until the ranks have written these files."""
        until = time.monotonic() + PATIENCE
        while not all((self.folder / name).exists() for name in names):
            if self.process.poll() is not None or time.monotonic() > until:
                return
            time.sleep(0.01)

    def send(self, rank: int, number: int) -> bool:
        """Send a signal to a rank; whether it was there."""
        try:
            os.kill(int((self.folder / f"pid_{rank}").read_text()), number)
        except (ProcessLookupError, FileNotFoundError, ValueError):
            return False
        return True

    def end(self) -> tuple[str, float]:
        """What the job has printed, "hangs" if it has not ended in time, and the seconds it took to end."""
        began = time.monotonic()
        try:
            text, errors = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            for rank in range(4):
                self.send(rank, signal.SIGKILL)
            self.process.kill()
            self.process.communicate()
            return "hangs", time.monotonic() - began
        return text or errors[-600:], time.monotonic() - began


def judged(
    journal: Journal, trial: int, text: str, own: int | None, name: str, sent: float | None = None
) -> None:
    """Check how a fit has ended: by the error `name` on rank `own`, or on all ranks if that is None.

    It must have ended on all ranks soon after the first error, or after a signal was `sent`.
    """
    try:
        told = json.loads(text)
    except ValueError:
        journal.fail(trial, f"no report: {text[-600:]}")
        return
    raised = [each for *_, at, error in told["endings"] for each in (at, error) if each is not None]
    seconds = max(raised) - (min(raised) if sent is None else sent)
    journal.keep("seconds", max, seconds)
    if seconds > MOST_SECONDS:
        journal.fail(trial, f"the ranks took {seconds:.1f} s to end")
    for rank, (how, whole, *_) in enumerate(told["endings"]):
        right = how.startswith(name) if own in (None, rank) else f"rank {own}" in how
        if not (right and whole):
            journal.fail(trial, f"rank {rank} ended by {how}, weights finite: {whole}")
    if not told["same"]:
        journal.fail(trial, "the ranks have different models")


@attack(trials=20)
def interrupts(journal: Journal) -> str:
    """Ctrl-C on one rank or all is KeyboardInterrupt on all; the models are whole and the same."""
    mpiexec()
    for trial in journal:
        rng = journal.generator(trial)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            job = Job(folder, "ended", folder, "none", 0, 0)
            job.wait_for(*(f"begun_{rank}" for rank in range(4)))
            time.sleep(float(rng.uniform(0, 0.5)))
            sent = time.time()
            for rank in range(4) if rng.random() < 0.3 else [int(rng.integers(4))]:
                job.send(rank, signal.SIGINT)
            judged(journal, trial, job.end()[0], None, "KeyboardInterrupt", sent)
    return f"the last rank ended {journal.figures.get('seconds', 0):.2f} s after the signal"


@attack(trials=20)
def errors(journal: Journal) -> str:
    """A bad row, a diverged loss or an error in a callback on one rank ends all, and the others name it."""
    mpiexec()
    names = {"row": "ValueError", "diverged": "", "epoch": "Planned", "batch": "Planned"}
    for trial in journal:
        rng = journal.generator(trial)
        kind, rank = str(rng.choice(KINDS)), int(rng.integers(4))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            place = int(rng.integers(1, 12))
            job = Job(folder, "ended", folder, kind, rank, place)
            journal.count(kind)
            judged(journal, trial, job.end()[0], None if kind == "diverged" else rank, names[kind])
    kinds = ", ".join(f"{journal.figures.get(kind, 0)} {kind}" for kind in KINDS)
    return f"{kinds}; the last rank ended {journal.figures.get('seconds', 0):.2f} s after the first error"


if __name__ == "__main__":
    main(__file__)
