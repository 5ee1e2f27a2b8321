"""The error of sigmoid and tanh, in units in the last place, over every float32 and many float64.

python bench/ulp.py

A unit is the distance between neighbouring numbers at the exact result; exact is NumPy's in float64 for
float32, and in long double for float64. Results too small to be normal count as zero on both sides.
"""

import numpy as np

from bpkern import _core, kernels

CHUNK = 1 << 22
EXACT = {
    "sigmoid": lambda x: np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x))),
    "tanh": np.tanh,
}


def activate(name: str, x: np.ndarray) -> np.ndarray:
    """The activation as the forward kernel computes it: one column, its weight 1 and its bias 0."""
    one, zero = np.ones((1, 1), x.dtype), np.zeros(1, x.dtype)
    return kernels.linear_forward(x.reshape(-1, 1), one, zero, name)[:, 0]


def worst_ulp(name: str, x: np.ndarray) -> tuple[float, float]:
    """The largest error over x, and where."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    with np.errstate(under="ignore"):
        exact = EXACT[name](x.astype(wide))
        rounded = exact.astype(x.dtype)
    tiny = np.finfo(x.dtype).tiny
    unit = np.spacing(np.maximum(np.abs(rounded), tiny)).astype(wide)
    small = np.abs(exact) < tiny
    got = activate(name, x).astype(wide)
    error = np.where(small, np.where(np.abs(got) <= tiny, 0, np.abs(got) / unit), np.abs(got - exact) / unit)
    at = int(error.argmax())
    return float(error[at]), float(x[at])


def every_float32():
    """All finite float32, a chunk at a time."""
    for start in range(0, 1 << 32, CHUNK):
        x = np.arange(start, start + CHUNK, dtype=np.uint32).view(np.float32)
        yield x[np.isfinite(x)]


def some_float64():
    """40 million float64: near zero at every magnitude, and dense where the functions bend."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        signs = rng.choice([-1.0, 1.0], CHUNK)
        yield signs * 2.0 ** rng.uniform(-1022, 10, CHUNK)
        yield rng.uniform(-50, 50, CHUNK)


def main() -> None:
    for isa in _core.available_isas():
        _core.select_isa(isa)
        for dtype, chunks in (("float32", every_float32), ("float64", some_float64)):
            worst = dict.fromkeys(EXACT, (0.0, 0.0))
            for x in chunks():
                if len(x):
                    worst = {name: max(worst[name], worst_ulp(name, x)) for name in EXACT}
            for name, (ulp, at) in worst.items():
                print(f"{isa:8} {dtype} {name:8} {ulp:6.3f} ULP at {at!r}", flush=True)


if __name__ == "__main__":
    main()
