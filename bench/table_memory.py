"""Memory and speed of RealMLP on 2 million rows of 20 columns of numbers and 10 of categories.

python bench/table_memory.py [--rows 2000000] [--methods "bpkern td-s" "torch td-s"] [--rounds 1] [--epochs 1]
                             [--threads 2] [--task regression] [--text]

Each method trains in a process of its own, one after the other, `rounds` times. Prints the bytes of the
table, the peak of the process's memory beyond it (what the process holds when the fit begins, with the table
and the target, is not counted), and the training rows per second; also per second of processor time, which
other programs on the machine change less, for one thread. A fifth of the rows is for validation.

Of bpkern and pytabkit, the time is that of the whole fit, encoding and validation included. "torch td-s" is
a plain loop over the matrix that bpkern's encoder has made before: the same network and mini-batches, Adam,
and a new order of the rows in each epoch. Its time is that of the training alone. With --text, the categories
are Python strings; otherwise pandas' categoricals. "pytabkit td-s" and "pytabkit td" need pytabkit.
"""

import argparse
import ctypes
import gc
import resource
import threading
import time
from multiprocessing import get_context

import numpy as np
from tables import table

METHODS = ["bpkern td-s", "bpkern td", "torch td-s", "pytabkit td-s", "pytabkit td"]
VALIDATION = 0.2
HIDDEN, BATCH = (256, 256, 256), 256


def resident():
    """Bytes of the process now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def clocks():
    """Seconds that have passed, and those of the processors."""
    return np.array([time.perf_counter(), time.process_time()])


class Peak:
    """The largest memory of the process while the block runs, beyond that at its beginning."""

    def __enter__(self):
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what is free must not count as in use
        self._began = self._most = resident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._over.wait(0.002):
            self._most = max(self._most, resident())

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self.bytes = self._most - self._began


class Bpkern:
    def __init__(self, recipe, task, epochs, threads):
        from bpkern.sklearn import RealMLPClassifier, RealMLPRegressor

        kind = RealMLPClassifier if task == "classification" else RealMLPRegressor
        self._model = kind(
            recipe=recipe, n_epochs=epochs, validation_fraction=VALIDATION, random_state=0, n_threads=threads
        )

    def fit(self, frame, y):
        self._model.fit(frame, y)


class Pytabkit:
    def __init__(self, recipe, task, epochs, threads):
        import pytabkit

        kind = "Classifier" if task == "classification" else "Regressor"
        make = getattr(pytabkit, f"RealMLP_{recipe.upper().replace('-', '_')}_{kind}")
        self._model = make(
            device="cpu", n_epochs=epochs, val_fraction=VALIDATION, random_state=0, n_threads=threads
        )

    def fit(self, frame, y):
        self._model.fit(frame, y)


class Torch:
    """A loop over a matrix in memory."""

    def __init__(self, recipe, task, epochs, threads):
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self._task, self._epochs = task, epochs

    def fit(self, frame, y):
        import torch

        from bpkern.preprocessing import TableEncoder

        X = torch.from_numpy(TableEncoder().fit_transform(frame))
        is_class = self._task == "classification"
        kind = torch.nn.SELU if is_class else torch.nn.Mish
        if is_class:
            classes, numbers = np.unique(y, return_inverse=True)
            y, loss = torch.from_numpy(numbers), torch.nn.CrossEntropyLoss(label_smoothing=0.1)
        else:
            classes, loss = [0], torch.nn.MSELoss()
            y = torch.from_numpy(((y - y.mean()) / y.std()).astype(np.float32)[:, None])
        layers = []
        for width, height in zip((X.shape[1], *HIDDEN[:-1]), HIDDEN, strict=True):
            layers += [torch.nn.Linear(width, height), kind()]
        net = torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN[-1], len(classes)))
        scale = torch.nn.Parameter(torch.ones(X.shape[1]))
        optimizer = torch.optim.Adam([scale, *net.parameters()], lr=1e-3, betas=(0.9, 0.95))
        rows = int((1 - VALIDATION) * len(X))
        began = clocks()
        for _ in range(self._epochs):
            order = torch.randperm(rows)
            for start in range(0, rows - BATCH + 1, BATCH):
                part = order[start : start + BATCH]
                optimizer.zero_grad()
                loss(net(X[part] * scale), y[part]).backward()
                optimizer.step()
        self.seconds = clocks() - began


KINDS = {"bpkern": Bpkern, "pytabkit": Pytabkit, "torch": Torch}


def target(frame, task):
    y = np.log(frame["n0"].to_numpy()) + frame["c0"].astype("category").cat.codes.to_numpy()
    return np.where(y > 1, "more", "less") if task == "classification" else y


def measure(method, options):
    library, recipe = method.split()

    def model(epochs):
        return KINDS[library](recipe, options.task, epochs, options.threads)

    # A first fit imports everything, and is not measured.
    small = table(1000, as_text=options.text)
    model(1).fit(small, target(small, options.task))
    frame = table(options.rows, as_text=options.text)
    size = int(frame.memory_usage(deep=True).sum())
    y, own = target(frame, options.task), model(options.epochs)
    with Peak() as peak:
        began = clocks()
        own.fit(frame, y)
        seconds = clocks() - began
    seconds, of_processor = getattr(own, "seconds", seconds)
    rows = (1 - VALIDATION) * options.rows * options.epochs
    print(
        f"{method}: table {size / 1e6:.0f} MB, peak beyond it {peak.bytes / 1e6:.0f} MB "
        f"({100 * peak.bytes / size:.0f} %); {options.epochs} epochs in {seconds:.1f} s, "
        f"{rows / seconds / 1e3:.1f} thousand rows/s, {rows / of_processor / 1e3:.1f} per processor second",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["bpkern td-s", "torch td-s"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--task", choices=["regression", "classification"], default="regression")
    parser.add_argument("--text", action="store_true")
    options = parser.parse_args()
    for method in options.methods * options.rounds:
        process = get_context("spawn").Process(target=measure, args=(method, options))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(process.exitcode)


if __name__ == "__main__":
    main()
