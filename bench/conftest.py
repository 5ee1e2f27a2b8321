"""Every instruction set and the reference side by side, with the same number of threads; a table of rates."""

import pytest
from machine import fma_peak
from threadpoolctl import threadpool_limits

import bpkern
from bpkern import _core

WHO = ("reference", *_core.available_isas())
REPORT = []


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, default=1, help="threads of bpkern and of NumPy's BLAS (1)")


@pytest.fixture(params=WHO)
def who(request):
    """The NumPy reference, or an instruction set, which is in use during the benchmark."""
    before = _core.isa()
    if request.param != "reference":
        _core.select_isa(request.param)
    threads = request.config.getoption("--threads")
    bpkern.set_num_threads(threads)
    with threadpool_limits(threads):
        yield request.param
    bpkern.set_num_threads(None)
    _core.select_isa(before)


@pytest.fixture
def rated(benchmark, who, request):
    """Benchmark a function of `flops` floating-point operations, and keep its rate for the table."""

    def run(function, flops, what, dtype="float32"):
        benchmark.group = what
        benchmark(function)
        if benchmark.stats is None:  # --benchmark-disable
            return
        seconds = benchmark.stats.stats.median
        isa = _core.available_isas()[-1] if who == "reference" else who
        part = flops / seconds / fma_peak(isa, dtype, request.config.getoption("--threads"))
        benchmark.extra_info.update(gflops=flops / seconds / 1e9, part_of_peak=part)
        REPORT.append((what, who, seconds, flops / seconds / 1e9, part))

    return run


def pytest_terminal_summary(terminalreporter):
    if not REPORT:
        return
    write = terminalreporter.write_line
    threads = terminalreporter.config.getoption("--threads")
    terminalreporter.section(f"threads: {threads}; FMA peak of the same instruction set, NumPy's of the best")
    write(f"{'':46} {'':9} {'median us':>10} {'GFLOP/s':>8} {'of peak':>8} {'NumPy/it':>9}")
    numpy_seconds = {what: seconds for what, who, seconds, _, _ in REPORT if who == "reference"}
    for what, who, seconds, gflops, part in sorted(REPORT, key=lambda row: (row[0], WHO.index(row[1]))):
        ratio = f"{numpy_seconds[what] / seconds:9.2f}" if what in numpy_seconds else ""
        write(f"{what:46} {who:9} {seconds * 1e6:10.1f} {gflops:8.1f} {100 * part:7.1f}% {ratio}")
