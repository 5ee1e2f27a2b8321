"""Predictions with weights in float32 and in bfloat16 (`MLP.compress`), in turns.

python bench/compressed.py
python bench/compressed.py --net 2048-2048-2048-10 --rows 1 4 64

Prints the CPU microseconds of a `forward` on one thread: the least and the median of many short rounds.
"""

import argparse
import statistics
import time

from pinning import pin


def seconds(forward, rows, repeats: int) -> float:
    """CPU time of a call."""
    began = time.thread_time()
    for _ in range(repeats):
        forward(rows)
    return (time.thread_time() - began) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", nargs="*", default=["784-256-128-10", "2048-2048-10"], help="layer sizes")
    parser.add_argument("--rows", type=int, nargs="*", default=[1, 2, 4, 16, 256], help="rows of a call")
    parser.add_argument("--rounds", type=int, default=25)
    args = parser.parse_args()
    pin(1)

    import numpy as np

    import bpkern

    print(f"{bpkern.isa()}{'':19} rows  float32: least, median   bfloat16: least, median   gain")
    for net in args.net:
        model = bpkern.MLP([int(size) for size in net.split("-")], loss="mse", seed=0)
        forwards = [model.forward, model.compress("bfloat16").forward]
        for count in args.rows:
            rows = np.random.default_rng(0).standard_normal((count, model.layers[0]), dtype=np.float32)
            repeats = max(1, int(0.004 / seconds(forwards[0], rows, 3)))
            rounds = [[seconds(each, rows, repeats) for each in forwards] for _ in range(args.rounds)]
            each_times = list(zip(*rounds, strict=True))
            least, least_small = (min(times) * 1e6 for times in each_times)
            median, median_small = (statistics.median(times) * 1e6 for times in each_times)
            print(
                f"{net:24} {count:5} {least:12.1f} {median:12.1f} {least_small:12.1f} {median_small:12.1f}"
                f" {median / median_small:9.2f}"
            )


if __name__ == "__main__":
    main()
