"""Limits the process and all libraries it loads to a number of cores and threads.

Libraries read the cores that they may use when they are loaded, and some start threads then; so the process
is first confined and then started again.
"""

import os
import sys

# How other libraries are told to use no better instruction set. ONNX Runtime cannot be told.
LIMITS_OF_OTHERS = {
    "avx2": {
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    }
}


def limit_isa(isa: str | None) -> None:
    """Confine bpkern to an instruction set, and the other libraries if `LIMITS_OF_OTHERS` says how.

    Call it before `pin`. None changes nothing.
    """
    if isa is None:
        return
    os.environ["BPKERN_ISA"] = isa
    for name, value in LIMITS_OF_OTHERS.get(isa, {}).items():
        given = os.environ.get(name, "") if name == "XLA_FLAGS" else ""  # which is a list of flags
        if value not in given.split():
            os.environ[name] = f"{given} {value}".strip()


def _environment(threads: int) -> dict[str, str]:
    """The environment variables that the BLAS, OpenMP and XLA libraries read."""
    several = "true" if threads > 1 else "false"
    given = os.environ.get("XLA_FLAGS", "")  # such as that of `limit_isa`
    xla = f"--xla_cpu_multi_thread_eigen={several} intra_op_parallelism_threads={threads}"
    return {
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "NPROC": str(threads),
        "XLA_FLAGS": given if xla in given else f"{given} {xla}".strip(),
        "JAX_PLATFORMS": "cpu",
    }


def pin(threads: int) -> None:
    """Restart this program on that many cores, unless it already is; call it before importing anything large.

    Parameters
    ----------
    threads : int
        The number of cores to keep; if the system has no affinity, only the environment is set.

    Raises
    ------
    SystemExit
        If the process may use fewer cores.
    """
    wanted = _environment(threads)
    confined = True
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < threads:
            raise SystemExit(f"{threads} threads requested, but only {len(cores)} cores are available")
        confined = len(cores) == threads
        os.sched_setaffinity(0, cores[-threads:])  # the first core handles interrupts
    if confined and all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    os.environ.update(wanted)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
