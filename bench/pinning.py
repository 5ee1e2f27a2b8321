"""As many cores and threads as asked for, and no more, for whatever the process loads.

Libraries look at the cores they may use when they are loaded, and some make threads then; so the process is
confined first and started again.
"""

import os
import sys


def _environment(threads: int) -> dict[str, str]:
    """What the BLAS, OpenMP and XLA libraries read."""
    several = "true" if threads > 1 else "false"
    return {
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "NPROC": str(threads),
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={several} intra_op_parallelism_threads={threads}",
        "JAX_PLATFORMS": "cpu",
    }


def pin(threads: int) -> None:
    """Restart this program on so many of its cores, unless it is; call it before anything large is imported.

    Parameters
    ----------
    threads : int
        The cores to keep of those that the process may use; where the system has no affinity, only the
        environment is set.

    Raises
    ------
    SystemExit
        Where there are fewer cores.
    """
    wanted = _environment(threads)
    confined = True
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < threads:
            raise SystemExit(f"{threads} threads were asked for, and there are {len(cores)} cores")
        confined = len(cores) == threads
        os.sched_setaffinity(0, cores[-threads:])  # the first one has the interrupts
    if confined and all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    os.environ.update(wanted)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
