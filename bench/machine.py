"""The FMA peak of one core of this machine, measured when asked: what the benchmarks are a fraction of."""

import ctypes
import functools
import itertools
import os
import subprocess
import tempfile
from pathlib import Path

# Bytes of a vector register and the compiler's flags; scalar kernels are held against the baseline's vectors.
TARGETS = {
    "scalar": (16, []),
    "avx2": (32, ["-mavx2", "-mfma"]),
    "avx512": (64, ["-mavx512f"]),
}


@functools.cache
def _library(isa: str, dtype: str) -> ctypes.CDLL:
    size, flags = TARGETS[isa]
    real, item = ("float", 4) if dtype == "float32" else ("double", 8)
    source = Path(__file__).with_name("machine.c")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "machine.so"
        command = [os.environ.get("CC", "cc"), "-O3", "-ffp-contract=fast", "-shared", "-fPIC", *flags]
        command += [f"-DREAL={real}", f"-DLANES={size // item}", str(source), "-o", str(built)]
        subprocess.run(command, check=True)
        library = ctypes.CDLL(str(built))
    library.fma_peak.restype = ctypes.c_double
    library.fma_peak.argtypes = [ctypes.c_long]
    return library


def fma_peak(isa: str, dtype: str) -> float:
    """Floating-point operations a second on one core: the best of several short runs."""
    library = _library(isa, dtype)
    return max(library.fma_peak(1_000_000) for _ in range(10))


def training_flops(layers: list[int], rows: int) -> int:
    """Of all products of a training step: forward, delta and update of each layer; the first has no delta."""
    sizes = [n * m for n, m in itertools.pairwise(layers)]
    return 2 * rows * (3 * sum(sizes) - sizes[0])


if __name__ == "__main__":
    from bpkern import available_isas

    for isa in available_isas():
        for dtype in ("float32", "float64"):
            print(f"{isa:8} {dtype} {fma_peak(isa, dtype) / 1e9:7.1f} GFLOP/s")
