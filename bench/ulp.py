"""The error of the activations, in units in the last place, over every float32 and many float64.

python bench/ulp.py [--stride 1] [activation ...]

A unit is the distance between neighbouring numbers at the exact result. The exact functions are those of
tests/support/helpers.py, in float64 for float32, and in long double for float64. Results too small to be
normal count as zero on both sides. So do those of which a factor is too small: of z in gelu, gelu_tanh, silu
and mish, and z in selu.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from bpkern import _core, kernels

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from helpers import ACTIVATIONS, NEED_Z, counts_as_zero

CHUNK = 1 << 22
NAMES = ("sigmoid", "tanh", "elu", "selu", "softplus", *NEED_Z)


def activate(name: str, x: np.ndarray) -> np.ndarray:
    """The activation as the forward kernel computes it: one column, its weight 1 and its bias 0."""
    one, zero = np.ones((1, 1), x.dtype), np.zeros(1, x.dtype)
    return kernels.linear_forward(x.reshape(-1, 1), one, zero, name)[:, 0]


def worst_ulp(name: str, x: np.ndarray) -> tuple[float, float]:
    """(largest error over x, the x where it occurs)."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    with np.errstate(under="ignore", over="ignore"):
        exact = ACTIVATIONS[name](x.astype(wide))
        rounded = exact.astype(x.dtype)
    tiny = np.finfo(x.dtype).tiny
    unit = np.spacing(np.maximum(np.abs(rounded), tiny)).astype(wide)
    zero = counts_as_zero(name, x, wide)
    got = activate(name, x).astype(wide)
    error = np.abs(got - exact) / unit
    error[np.isinf(rounded) & np.isinf(got)] = 0  # of the largest numbers, in selu
    error[(np.abs(exact) < zero) & (np.abs(got) <= zero)] = 0
    at = int(error.argmax())
    return float(error[at]), float(x[at])


def every_float32(stride: int):
    """All finite float32, or every `stride`-th, one chunk at a time."""
    for start in range(0, 1 << 32, CHUNK * stride):
        x = np.arange(start, min(start + CHUNK * stride, 1 << 32), stride, dtype=np.uint32).view(np.float32)
        yield x[np.isfinite(x)]


def some_float64(stride: int):
    """40 million float64, or 1 / `stride` of that: of every magnitude down to the smallest, and dense where
    the functions bend."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        signs = rng.choice([-1.0, 1.0], CHUNK // stride)
        yield signs * 2.0 ** rng.uniform(-1022, 10, CHUNK // stride)
        yield rng.uniform(-50, 50, CHUNK // stride)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=NAMES, metavar="activation", help="all by default")
    parser.add_argument("--stride", type=int, default=1, help="take every STRIDE-th number (1)")
    arguments = parser.parse_args()
    for isa in _core.available_isas():
        _core.select_isa(isa)
        for dtype, chunks in (("float32", every_float32), ("float64", some_float64)):
            worst = dict.fromkeys(arguments.names, (0.0, 0.0))
            for x in chunks(arguments.stride):
                if len(x):
                    worst = {name: max(worst[name], worst_ulp(name, x)) for name in worst}
            for name, (ulp, at) in worst.items():
                print(f"{isa:8} {dtype} {name:9} {ulp:6.3f} ULP at {at!r}", flush=True)


if __name__ == "__main__":
    main()
