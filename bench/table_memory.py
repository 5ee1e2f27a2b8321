"""Memory and speed of RealMLP on 2 million rows of 20 columns of numbers and 10 of categories.

python bench/table_memory.py [--rows 2000000] [--method "bpkern td-s"] [--epochs 1] [--threads 2]

trains in a process of its own. Prints the bytes of the table, the peak of the process's memory beyond the
table and what the imports take, and the training rows per second, encoding included. A fifth of the rows is
for validation. "pytabkit td-s" needs pytabkit.
"""

import argparse
import resource
import threading
import time
from multiprocessing import get_context

import numpy as np
from tables import table

METHODS = ["bpkern td-s", "bpkern td", "pytabkit td-s", "pytabkit td"]


def resident():
    """Bytes of the process now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class Peak:
    """The largest memory of the process while the block runs."""

    def __enter__(self):
        self.bytes, self._over = resident(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._over.wait(0.002):
            self.bytes = max(self.bytes, resident())

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def model_of(method, epochs, threads):
    library, recipe = method.split()
    if library == "bpkern":
        from bpkern.sklearn import RealMLPRegressor

        return RealMLPRegressor(
            recipe=recipe,
            n_epochs=epochs,
            validation_fraction=0.2,
            random_state=0,
            n_threads=threads,
            verbose=0,
        )
    import pytabkit

    kind = getattr(pytabkit, f"RealMLP_{recipe.upper().replace('-', '_')}_Regressor")
    return kind(device="cpu", n_epochs=epochs, val_fraction=0.2, random_state=0, n_threads=threads)


def measure(method, rows, epochs, threads):
    # A first fit imports everything, and is not measured.
    small = table(1000, as_text=False)
    model_of(method, 1, threads).fit(small, small["n0"].to_numpy())
    before = resident()
    frame = table(rows, as_text=False)
    size = int(frame.memory_usage(deep=False).sum())
    y = np.log(frame["n0"].to_numpy()) + frame["c0"].cat.codes.to_numpy()
    own = resident() - before
    began = time.perf_counter()
    with Peak() as peak:
        model_of(method, epochs, threads).fit(frame, y)
    seconds = time.perf_counter() - began
    beyond = peak.bytes - before - own
    print(
        f"{method}: table {size / 1e6:.0f} MB, peak beyond it {beyond / 1e6:.0f} MB "
        f"({100 * beyond / size:.0f} %); {epochs} epochs in {seconds:.1f} s, "
        f"{0.8 * rows * epochs / seconds / 1e3:.0f} thousand rows/s",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--method", choices=METHODS, default=METHODS[0])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    process = get_context("spawn").Process(
        target=measure, args=(options.method, options.rows, options.epochs, options.threads)
    )
    process.start()
    process.join()
    raise SystemExit(process.exitcode)


if __name__ == "__main__":
    main()
