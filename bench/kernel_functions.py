"""The three kernels as functions, against the NumPy reference with the same number of threads.

python bench/kernel_functions.py [--threads N] [--isa avx2]
python bench/kernel_functions.py --random 100 --seed 1 [--threads N] [--isa avx2]

Kernels and reference take turns, and the best of several rounds counts, because other programs only slow a
run down: processor time on one thread, time that passes on more. A random shape has 1 to 512 rows, layers of
1 to 2048, and rows that are adjacent, some elements apart, or a power of two apart. Forward and delta are
those of relu, update has momentum; all write to given arrays. With --isa avx2, NumPy and its BLAS are told
to use AVX2 too.
"""

import argparse
import math
import os
import time
from collections.abc import Callable, Iterable

from pinning import limit_isa, pin

# batch size, in, out
SHAPES = [
    (1, 64, 64),
    (1, 784, 256),
    (5, 784, 500),
    (32, 64, 128),
    (33, 101, 57),
    (64, 64, 64),
    (64, 784, 256),
    (256, 1024, 1024),
]
DTYPES = ("float32", "float64")
ROUNDS, LEAST_SECONDS = 9, 1e-3
# Seconds before each round with several threads: those of NumPy's BLAS spin for about 0.1 s after a call, and
# would take a processor from the kernels.
REST = 0.3


def calls(shape: tuple[int, int, int], dtype: str, gap: Callable[[int], int] = lambda width: width):
    """The calls of the kernels and of the reference, by name, on equal arrays. `gap(width)` is the distance
    of a matrix's rows in elements."""
    import numpy as np

    from bpkern import kernels, reference

    rng = np.random.default_rng(0)

    def matrix(rows: int, columns: int):
        return rng.standard_normal((rows, gap(columns))).astype(dtype)[:, :columns]

    n, width_in, width = shape
    x, w, delta = matrix(n, width_in), matrix(width, width_in), matrix(n, width)
    a, below, vw = matrix(n, width), matrix(n, width_in), matrix(width, width_in)
    b, vb = np.zeros((2, width), dtype)

    def of(module) -> dict[str, Callable[[], object]]:
        return {
            "linear_forward": lambda: module.linear_forward(x, w, b, "relu", a),
            "delta_backward": lambda: module.delta_backward(delta, w, x, "relu", out=below),
            "sgd_update": lambda: module.sgd_update(w, b, delta, x, 1e-6, momentum=0.9, vw=vw, vb=vb),
        }

    return of(kernels), of(reference)


def random_shapes(count: int, seed: int):
    """Random shapes, each with the distances of its rows."""
    import numpy as np

    rng = np.random.default_rng(seed)

    def size(most: int) -> int:
        return int(np.exp(rng.uniform(0, np.log(most + 1))))

    for _ in range(count):
        shape = (size(512), size(2048), size(2048))
        kind, apart = int(rng.integers(3)), int(rng.integers(1, 65))
        gaps = (
            lambda width: width,
            lambda width, apart=apart: width + apart,
            lambda width: 1 << width.bit_length(),
        )
        yield shape, gaps[kind], ("", f" rows +{apart}", " rows 2^k apart")[kind]


def best_seconds(
    functions: Iterable[Callable[[], object]], clock: Callable[[], float], rest: float
) -> list[float]:
    """The seconds of a call of each function, which take turns, with a rest of seconds before each round."""
    functions = list(functions)
    repeats, best = [], []
    for function in functions:
        function()
        began = time.perf_counter()
        function()
        repeats.append(max(1, int(LEAST_SECONDS / (time.perf_counter() - began))))
        best.append(math.inf)
    for _ in range(ROUNDS):
        time.sleep(rest)
        for i, function in enumerate(functions):
            function()
            began = clock()
            for _ in range(repeats[i]):
                function()
            best[i] = min(best[i], (clock() - began) / repeats[i])
    return best


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--isa", help="the instruction set of both; default: the best")
    parser.add_argument(
        "--random", type=int, default=0, help="that many random shapes instead of the table's"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random shapes (1)")
    parser.add_argument("--dtype", choices=DTYPES, help="only this one")
    return parser.parse_args()


def main() -> None:
    args = parse()
    os.environ["BPKERN_NUM_THREADS"] = str(args.threads)
    limit_isa(args.isa)
    pin(args.threads)

    from machine import cpu_model
    from timing import microseconds

    import bpkern

    clock = time.thread_time if args.threads == 1 else time.perf_counter
    rest = 0.0 if args.threads == 1 else REST
    print(
        f"{cpu_model()}, {bpkern.isa()}, threads: {args.threads}; "
        "µs per call: kernels / reference (times faster)\n"
    )
    if args.random:
        shapes = list(random_shapes(args.random, args.seed))
    else:
        shapes = [(shape, lambda width: width, "") for shape in SHAPES]
    print("| batch x in x out | dtype | forward | delta | update |\n| --- | --- | ---: | ---: | ---: |")
    ratios, lost = [], []
    for shape, gap, strides in shapes:
        name = "x".join(map(str, shape)) + strides
        for dtype in DTYPES if args.dtype is None else (args.dtype,):
            ours, theirs = calls(shape, dtype, gap)
            cells = []
            for kernel, call in ours.items():
                kernels, reference = best_seconds((call, theirs[kernel]), clock, rest)
                ratios.append(reference / kernels)
                cells.append(f"{microseconds(kernels)} / {microseconds(reference)} ({ratios[-1]:.2f})")
                if ratios[-1] < 1:
                    lost.append(f"{kernel} {name} {dtype}: {cells[-1]}")
            print(f"| {name} | {dtype} | {' | '.join(cells)} |", flush=True)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(
        f"\n{len(ratios)} cells: geometric mean {mean:.2f}, from {min(ratios):.2f} to {max(ratios):.1f}; "
        f"lost: {len(lost)}"
    )
    for line in lost:
        print(f"- {line}")


if __name__ == "__main__":
    main()
