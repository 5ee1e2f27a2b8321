"""A fit killed by SIGKILL at random moments and run again ends with the same bits.

python bench/kill.py [--trials 100] [--seed N] [--epochs 24]

A trial runs the same training script repeatedly in its own folder and kills it at random moments until it
reaches its end. It compares the outcome with that of an undisturbed run: the weights, the history, the log,
the file of the best weights, and the weights after one more epoch, which depend on the optimiser's state, the
average and the generator. In half of the runs, writing a file is slowed down, so that many kills come in the
middle of it. The exit status is 0 if everything was the same in all trials and no temporary file was left.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import bpkern
from bpkern import callbacks, schedules

# Checkpoints of about 1 MB, and epochs of a few tens of milliseconds.
LAYERS, ROWS, BATCH = [64, 256, 96, 10], 3000, 50
BEGUN, ENDED = "begun", "ended"
# The range of seconds by which a write is delayed at each array, sync and rename.
HELD_UP = 0.001, 0.01


# The script that is killed ---------------------------------------------------------------------------------


def hold_up(module, name: str, seconds: float) -> None:
    """Make a function wait before and after its work."""
    function = getattr(module, name)

    def slowly(*arguments, **settings):
        time.sleep(seconds)
        result = function(*arguments, **settings)
        time.sleep(seconds)
        return result

    setattr(module, name, slowly)


def digest(model) -> str:
    weights = b"".join(array.tobytes() for pair in model.get_weights() for array in pair)
    return hashlib.sha256(weights).hexdigest()


def train(folder: Path, epochs: int, n_threads: int, slow: bool) -> None:
    """Train up to `epochs` epochs and print a summary of the outcome."""
    if slow:
        hold_up(np.lib.format, "write_array", HELD_UP[0])
        hold_up(os, "fsync", HELD_UP[1])
        hold_up(os, "replace", HELD_UP[1])
    rng = np.random.default_rng(0)
    X = rng.standard_normal((ROWS, LAYERS[0])).astype(np.float32)
    y = (
        X @ rng.standard_normal((LAYERS[0], LAYERS[-1])) + 4 * rng.standard_normal((ROWS, LAYERS[-1]))
    ).argmax(1)
    rate = schedules.Cosine(0.002, epochs * ROWS // BATCH, warmup=100)
    model = bpkern.MLP(
        LAYERS, loss="cross_entropy", optimizer=bpkern.Adam(lr=rate, amsgrad=True), dropout=0.2, seed=0
    )
    stopping = callbacks.EarlyStopping(patience=8)
    settings = dict(batch_size=BATCH, validation_split=0.2, ema=0.99, n_threads=n_threads, verbose=0)
    print(BEGUN, flush=True)
    history = model.fit(
        X,
        y,
        epochs=epochs,
        callbacks=[
            stopping,
            callbacks.ModelCheckpoint(folder / "best.npz"),
            callbacks.CSVLogger(folder / "log.csv"),
        ],
        checkpoint=folder / "checkpoint.npz",
        resume=True,
        **settings,
    )
    end = {
        "history": dict(history),
        "lr": history.lr,
        "iterations": history.iterations,
        "stopped": [stopping.best_, stopping.best_epoch_, stopping.stopped_epoch_],
        "weights": digest(model),
        "log": (folder / "log.csv").read_text(),
        "best": hashlib.sha256((folder / "best.npz").read_bytes()).hexdigest(),
    }
    model.fit(X, y, **settings)
    print(ENDED, json.dumps(end | {"one more": digest(model)}), flush=True)


# The killer ------------------------------------------------------------------------------------------------


class Run:
    """The script in a separate process, which has reached the start of its fit."""

    def __init__(self, folder: Path, epochs: int, n_threads: int, slow: bool) -> None:
        command = [sys.executable, __file__, "--run", str(folder), "--epochs", str(epochs)]
        command += ["--n-threads", str(n_threads), *(["--slow"] if slow else [])]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == f"{BEGUN}\n"
        self.began = time.perf_counter()

    def end(self) -> str | None:
        """The outcome that the script printed, or None if it was killed before."""
        printed, _ = self.process.communicate()
        if self.process.returncode == -signal.SIGKILL:
            return None
        if self.process.returncode:
            raise SystemExit(f"the script failed with exit status {self.process.returncode}")
        return printed.removeprefix(ENDED).strip()

    def kill_after(self, seconds: float) -> str | None:
        """Kill the script after that time; return its outcome if it finished sooner, else None."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.process.kill()
        return self.end()


def leftovers(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".tmp")]


def trial(folder: Path, epochs: int, longest: float, rng: random.Random) -> tuple[str, int, int]:
    """(outcome, number of kills, number of kills during a write) of one trial."""
    kills = inside = 0
    while True:
        slow = kills == 0 or rng.random() < 0.5
        run = Run(folder, epochs, n_threads=rng.choice((1, 2)), slow=slow)
        before = set(leftovers(folder))
        # Slow runs take several times as long as the undisturbed one; the first run never reaches its end.
        end = run.kill_after(rng.uniform(0, longest * (1 if kills == 0 else 6 if slow else 2)))
        if end is not None:
            return end, kills, inside
        kills += 1
        inside += not before.issuperset(leftovers(folder))


def attack(trials: int, seed: int, epochs: int) -> bool:
    rng = random.Random(seed)
    print(f"{trials} trials, seed {seed}, up to {epochs} epochs", flush=True)
    whole = Path(tempfile.mkdtemp(prefix="bpkern-kill-"))
    try:
        (whole / "unbroken").mkdir()
        run = Run(whole / "unbroken", epochs, n_threads=1, slow=False)
        unbroken = run.end()
        longest = time.perf_counter() - run.began
        done = len(json.loads(unbroken)["lr"])
        size = (whole / "unbroken" / "checkpoint.npz").stat().st_size
        print(f"unbroken: {done} epochs in {longest:.2f} s, checkpoints of {size / 1e6:.2f} MB", flush=True)
        same = kills = inside = left = 0
        for number in range(trials):
            folder = whole / str(number)
            folder.mkdir()
            end, killed, killed_inside = trial(folder, epochs, longest, rng)
            kills, inside, left = kills + killed, inside + killed_inside, left + len(leftovers(folder))
            same += end == unbroken
            verdict = "the same" if end == unbroken else "ANOTHER END"
            print(f"trial {number + 1}: {killed} kills, {killed_inside} in a write, {verdict}", flush=True)
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(whole)
    print(
        f"{same} of {trials} trials ended with the same bits, after {kills} kills, {inside} of them in a "
        f"write; {left} temporary files left"
    )
    return same == trials and left == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--epochs", type=int, default=24)
    # Options for the script itself.
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--n-threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--slow", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        train(arguments.run, arguments.epochs, arguments.n_threads, arguments.slow)
    elif not attack(arguments.trials, arguments.seed, arguments.epochs):
        sys.exit(1)


if __name__ == "__main__":
    main()
