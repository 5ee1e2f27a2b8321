"""The limits of this machine, measured on demand, to which the benchmarks are compared.

python bench/machine.py

The clock, the FMA peak, and the streaming rates of each cache and of memory, measured by compiled C in
several threads at once. Each is the best of several short runs, because other programs only slow a run down.
"""

import ctypes
import functools
import itertools
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np

from bpkern import _core

RUNS = 10
# Bytes streamed in one run, and the least bytes of the buffer for the stream through memory.
STREAMED, MEMORY = 1 << 27, 1 << 27
# Bytes of the data caches by level, if the system does not report them.
CACHES = {1: 32 << 10, 2: 1 << 20, 3: 32 << 20}


def target(isa: str) -> tuple[int, list[str]]:
    """(bytes of a vector, compiler flags). Code for any processor is compared with the baseline's vectors."""
    return (16, []) if isa in ("scalar", "generic") else (_core.vector_bytes(isa), ["-march=native"])


@functools.cache
def _library(isa: str, dtype: str) -> ctypes.CDLL:
    size, flags = target(isa)
    real, item = ("float", 4) if dtype == "float32" else ("double", 8)
    source = Path(__file__).with_name("machine.c")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "machine.so"
        command = [os.environ.get("CC", "cc"), "-O3", "-ffp-contract=fast", "-shared", "-fPIC", *flags]
        command += [f"-DREAL={real}", f"-DLANES={size // item}", str(source), "-o", str(built)]
        subprocess.run(command, check=True)
        library = ctypes.CDLL(str(built))
    for function in (library.clock_rate, library.fma_peak):
        function.argtypes = [ctypes.c_long]
    for function in (library.read_rate, library.update_rate):
        function.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long]
    for function in (library.clock_rate, library.fma_peak, library.read_rate, library.update_rate):
        function.restype = ctypes.c_double
    return library


def _best(threads: int, run: Callable[[int], float]) -> float:
    """The best sum of the rates of all threads, which run at the same time and are numbered from 0."""
    together = Barrier(threads)

    def one(thread: int) -> list[float]:
        rates = []
        for _ in range(RUNS):
            together.wait()
            rates.append(run(thread))
        return rates

    with ThreadPoolExecutor(threads) as pool:
        return max(map(sum, zip(*pool.map(one, range(threads)), strict=True)))


def clock_rate() -> float:
    """Clocks per second of a core under an integer load."""
    library = _library("scalar", "float32")
    return _best(1, lambda thread: library.clock_rate(500_000))


def fma_peak(isa: str, dtype: str, threads: int = 1) -> float:
    """Floating-point operations per second of that many threads."""
    library = _library(isa, dtype)
    return _best(threads, lambda thread: library.fma_peak(1_000_000))


def cache_sizes() -> dict[int, int]:
    """Bytes of the first core's data caches by level, from the system or else from `CACHES`."""
    sizes = dict(CACHES)
    for level in (2, 3):
        name = f"SC_LEVEL{level}_CACHE_SIZE"
        if os.sysconf_names.get(name) is not None and os.sysconf(name) > 0:
            sizes[level] = os.sysconf(name)
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            sizes[int(level)] = int(size[:-1]) << {"K": 10, "M": 20}[size[-1]]
    return sizes


def _stream(stream: Callable[..., float], isa: str, size: int, threads: int) -> float:
    """Bytes per second of a stream through a buffer of `size` bytes per thread."""
    kept = [np.ones(size + 64, np.uint8) for _ in range(threads)]
    starts = [array.ctypes.data + -array.ctypes.data % 64 for array in kept]
    vectors = size // 512 * 512 // target(isa)[0]
    passes = max(1, STREAMED // size)
    return _best(threads, lambda thread: stream(starts[thread], vectors, passes))


def bandwidth(isa: str, size: int, threads: int = 1) -> dict[str, float]:
    """Bytes per second of reading and of updating in place, by that many threads that share `size` bytes."""
    library = _library(isa, "float32")
    streams = {"read": library.read_rate, "update": library.update_rate}
    return {name: _stream(stream, isa, size // threads, threads) for name, stream in streams.items()}


def bandwidths(isa: str, threads: int = 1) -> dict[str, dict[str, float]]:
    """The `bandwidth` by level: L2, L3 and memory.

    A thread's buffer is half the second cache; or for L3 three times the second cache, because a guest's
    share of the third may be little more; or for memory its share of four times the third cache.
    """
    sizes = cache_sizes()
    buffers = {
        "L2": sizes[2] // 2 * threads,
        "L3": min(3 * sizes[2] * threads, sizes[3] // 2),
        "memory": max(4 * sizes[3], MEMORY),
    }
    return {level: bandwidth(isa, size, threads) for level, size in buffers.items()}


def cpu_model() -> str:
    """The processor's name."""
    try:
        found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()


def measured(isa: str, threads: int = 1) -> dict:
    """The properties of this machine that are kept with a result."""
    peaks = {count: fma_peak(isa, "float32", count) for count in {1, threads}}
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "isa": isa,
        "threads": threads,
        "caches": {f"L{level}": size for level, size in sorted(cache_sizes().items())},
        "clock": clock_rate(),
        "fma_peak_one_thread": peaks[1],
        "fma_peak": peaks[threads],
        "bandwidths": bandwidths(isa, threads),
    }


def described(machine: dict) -> str:
    """The result of `measured` as two lines of text."""
    streams = ", ".join(
        f"{level} {rates['read'] / 1e9:.0f} read {rates['update'] / 1e9:.0f} update"
        for level, rates in machine["bandwidths"].items()
    )
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['isa']}, {machine['clock'] / 1e9:.2f} GHz; "
        f"float32 FMA peak {machine['fma_peak_one_thread'] / 1e9:.0f} GFLOP/s on one thread\n"
        f"threads: {machine['threads']}: {machine['fma_peak'] / 1e9:.0f} GFLOP/s; GB/s: {streams}"
    )


def training_flops(layers: list[int], rows: int) -> int:
    """The operations of a step's products: forward, delta (except in the first layer) and update."""
    sizes = [n * m for n, m in itertools.pairwise(layers)]
    return 2 * rows * (3 * sum(sizes) - sizes[0])


if __name__ == "__main__":
    from bpkern import available_isas

    for isa in available_isas():
        for dtype in ("float32", "float64"):
            print(f"{isa:8} {dtype} {fma_peak(isa, dtype) / 1e9:7.1f} GFLOP/s")
        print(described(measured(isa)))
