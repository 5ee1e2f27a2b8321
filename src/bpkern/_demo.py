"""`bpkern demo`: handwritten digits, trained by the kernels and then by the NumPy reference."""

import sys
import time
from typing import Any

import numpy as np

from . import _core, reference
from .mlp import MLP
from .optimizers import SGD

LAYERS = (64, 128, 64, 10)
BATCH_SIZE = 32
# The fraction of all rows for validation, and the same for the test.
HELD_OUT = 0.15
# The digits from 0 to 9; of the mistakes, how many are listed.
DIGITS, MOST_MISTAKES = 10, 3
# The two trainers take turns; the medians of their times are compared.
TIMED_RUNS = 3


def split_digits(seed: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """scikit-learn's digits as three pairs (X, y): training, validation and test, stratified.

    X is float32 (n, 64), scaled to [0, 1]; y is int64 (n,), the digits from 0 to 9.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    held_out = round(HELD_OUT * len(y))
    state = seed % 2**32  # scikit-learn takes 32 bits
    X, X_test, y, y_test = train_test_split(X, y, test_size=held_out, stratify=y, random_state=state)
    X, X_val, y, y_val = train_test_split(X, y, test_size=held_out, stratify=y, random_state=state)
    return (X, y), (X_val, y_val), (X_test, y_test)


def make_model(trainer: Any, seed: int) -> Any:
    """The demo's network, of `bpkern.MLP` or `bpkern.reference.MLP`."""
    return trainer(LAYERS, loss="cross_entropy", optimizer=SGD(lr=0.1, momentum=0.9), seed=seed)


def confusion_matrix(y: np.ndarray, predicted: np.ndarray) -> str:
    """The counts as text: a row per true digit, a column per predicted digit.

    The last column is the recall, the part of a true digit that was recognised; the last row the precision,
    the part of a predicted digit that was right. Below are the most frequent mistakes.
    """
    counts = np.zeros((DIGITS, DIGITS), int)
    np.add.at(counts, (y, predicted), 1)
    right = np.diag(counts)
    lines = [
        " " * 11 + "predicted",
        "     true  " + "".join(f"{digit:5d}" for digit in range(DIGITS)) + "  recall",
    ]
    for digit, row in enumerate(counts):
        cells = "".join(f"{n:5d}" if n else "    ." for n in row)
        lines.append(f"{digit:9d}  {cells}{_percent(right[digit], row.sum()):>8}")
    precisions = (_percent(n, total) for n, total in zip(right, counts.sum(axis=0), strict=True))
    lines.append("precision  " + "".join(f"{text:>5}" for text in precisions))
    mistakes = sorted(
        ((int(n), digit, other) for (digit, other), n in np.ndenumerate(counts) if n and digit != other),
        key=lambda mistake: (-mistake[0], *mistake[1:]),
    )
    shown = [
        f"{digit} as {other}, {n} time{'s' if n > 1 else ''}" for n, digit, other in mistakes[:MOST_MISTAKES]
    ]
    lines += ["", f"most frequent mistakes: {'; '.join(shown)}" if shown else "no mistakes"]
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    """The part in percent without decimals; "-" of nothing."""
    return f"{100 * part / whole:.0f}%" if whole else "-"


def _compare(
    seed: int, epochs: int, train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray]
) -> tuple[Any, list[float]]:
    """The trained reference, and the median seconds of a fit by the kernels and by the reference.

    Each pair of runs is printed when it ends, because all of them take seconds.
    """
    from threadpoolctl import threadpool_limits

    seconds: list[list[float]] = [[], []]
    with threadpool_limits(1):
        for number in range(1, TIMED_RUNS + 1):
            for trainer, times in zip((MLP, reference.MLP), seconds, strict=True):
                model = make_model(trainer, seed)
                began = time.perf_counter()
                model.fit(*train, epochs=epochs, batch_size=BATCH_SIZE, validation_data=validation, verbose=0)
                times.append(time.perf_counter() - began)
            fast, slow = seconds[0][-1], seconds[1][-1]
            print(f"  run {number} of {TIMED_RUNS}: kernels {fast:.3f} s, NumPy {slow:.3f} s", flush=True)
    return model, [float(np.median(times)) for times in seconds]


def _difference(others: int, of: int, steps: int) -> str:
    """Why the two networks classify some digits differently, or that they do not."""
    if others == 0:
        return f"Both networks classify all {of} test digits alike."
    digits = "1 digit" if others == 1 else f"{others} digits"
    return (
        f"The two networks classify {digits} of {of} differently: both computed the same formulas from the\n"
        f"same start, but round in another order, and in {steps} steps their weights drift apart."
    )


def run(seed: int, epochs: int) -> int:
    """Train, test and compare; prints the results and returns the exit status."""
    try:
        train, validation, test = split_digits(seed)
        import threadpoolctl  # noqa: F401
    except ModuleNotFoundError as error:
        print(
            f"bpkern demo needs {error.name}: install the extra `demo`, as in pip install '.[demo]'",
            file=sys.stderr,
        )
        return 1
    print(
        f"{sum(len(y) for _, y in (train, validation, test))} handwritten digits of 8 x 8 pixels\n"
        f"{len(train[1])} to train on, {len(validation[1])} to validate, {len(test[1])} to test\n"
        f"net {'-'.join(map(str, LAYERS))}, batch {BATCH_SIZE}, seed {seed}",
        flush=True,
    )
    model = make_model(MLP, seed)
    began = time.perf_counter()
    history = model.fit(*train, epochs=epochs, batch_size=BATCH_SIZE, validation_data=validation, n_threads=1)
    took = time.perf_counter() - began
    predicted = model.predict(test[0])
    print(
        f"\ntest accuracy: {100 * np.mean(predicted == test[1]):.1f} %\n"
        f"time: {took:.3f} s for {history.iterations} steps, on {_core.isa()}, 1 thread\n\n"
        f"{confusion_matrix(test[1], predicted)}\n\n"
        "The same training by the NumPy reference, from the same seed, in turns with the kernels, "
        "1 thread each:",
        flush=True,
    )
    slow, (kernel_seconds, numpy_seconds) = _compare(seed, epochs, train, validation)
    by_numpy = slow.predict(test[0])
    ratio = numpy_seconds / kernel_seconds
    verdict = f"the kernels were {ratio:.1f} times as fast as NumPy"
    if ratio < 1:
        verdict = f"the kernels were {1 / ratio:.1f} times slower than NumPy"
    print(
        f"{verdict} (medians)\n\n"
        f"test accuracy of the NumPy reference: {100 * np.mean(by_numpy == test[1]):.1f} %\n"
        f"{_difference(int(np.sum(by_numpy != predicted)), len(predicted), history.iterations)}"
    )
    return 0
