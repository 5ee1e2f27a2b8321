"""The largest number of threads of a call: as set, from the environment, or the CPUs of this process."""

import functools
import os
import sys
from collections.abc import Mapping

from . import _checks, _core

# BPK_MAX_THREADS of bpkern.h: no call uses more threads. Larger numbers count as this one.
MOST = 1024

VARIABLE = "BPKERN_NUM_THREADS"
OPENMP_VARIABLE = "OMP_NUM_THREADS"


def set_num_threads(n: int | None) -> None:
    """Set the largest number of threads that a call may use if its `n_threads` is None.

    Calls that run at the same time in several Python threads share this number equally: with 8, each of three
    fits uses 2. A fit updates its share at the start of each epoch. Thread pools that fit models therefore
    need no setting. Different processes do not share the number; joblib limits its worker processes by
    OMP_NUM_THREADS.

    Parameters
    ----------
    n : int or None
        At least 1; it may exceed the number of CPUs, and a number above 1024 counts as 1024. None restores
        the default: BPKERN_NUM_THREADS, else OMP_NUM_THREADS, both read at the import of bpkern, else the
        CPUs that this process may use.

    Raises
    ------
    TypeError
        For a value that is neither a whole number nor None.
    ValueError
        For a number below 1.
    """
    global _chosen
    _chosen = None if n is None else min(MOST, _checks.whole("the number of threads", n, 1))


def get_num_threads() -> int:
    """The largest number of threads that a call may use if its `n_threads` is None and no other call runs.

    Returns
    -------
    int
        The number of `set_num_threads`; else of BPKERN_NUM_THREADS or OMP_NUM_THREADS as of the import; else
        the CPUs that this process may use: those of its present affinity, capped at the CPU quota of its
        control groups, rounded up. The quota is read once.
    """
    return number_and_source()[0]


def number_and_source() -> tuple[int, str]:
    """The value of `get_num_threads`, and the setting that decided it."""
    chosen = _chosen  # read once: another thread may set it meanwhile
    return _default() if chosen is None else (chosen, "set_num_threads")


def limit_threads(n: int) -> None:
    """Set the number as `set_num_threads`, and restore the default if it is this number.

    threadpoolctl restores a number, not the default, which may change with the affinity of the process.
    """
    set_num_threads(None if n == _default()[0] else n)


def _default() -> tuple[int, str]:
    """The number of threads unless `set_num_threads` has set one, and the setting that decided it."""
    if _from_environment is not None:
        return _from_environment
    cpus, quota = _usable_cpus(), _own_quota()
    if quota is not None and quota < cpus:
        return quota, "cgroup quota"
    return cpus, "CPUs of this process"


def read_environment(environment: Mapping[str, str]) -> tuple[int, str] | None:
    """The number of threads in the environment and the name of its variable, or None.

    Raises
    ------
    ValueError
        If BPKERN_NUM_THREADS is not a whole number of at least 1.
    """
    own = environment.get(VARIABLE)
    if own:
        number = _positive(own)
        if number is None:
            raise ValueError(f"{VARIABLE}={own}: allowed are whole numbers of at least 1")
        return number, VARIABLE
    # OpenMP's may be a list with a number per level of nesting. Bad values of it are ignored, not refused.
    number = _positive(environment.get(OPENMP_VARIABLE, "").partition(",")[0])
    return None if number is None else (number, OPENMP_VARIABLE)


def cgroup_quota(memberships: str, mount: str) -> int | None:
    """The CPU limit of a process's control groups, rounded up to whole CPUs; None without a limit.

    Parameters
    ----------
    memberships : str
        The file that names the groups of the process, one per hierarchy: /proc/self/cgroup.
    mount : str
        The folder of the mounted hierarchies: /sys/fs/cgroup.
    """
    limits = []
    for line in _read(memberships).split("\n"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if line.startswith("0::"):  # version 2
            limits += [_limit(_read(f"{group}/cpu.max")) for group in _with_ancestors(mount, path)]
        elif "cpu" in controllers.split(","):  # version 1, mounted under the name of one controller or of all
            for name in {controllers, "cpu"}:
                for group in _with_ancestors(f"{mount}/{name}", path):
                    quota, period = _read(f"{group}/cpu.cfs_quota_us"), _read(f"{group}/cpu.cfs_period_us")
                    limits.append(_limit(f"{quota} {period}"))
    return min((limit for limit in limits if limit is not None), default=None)


def _with_ancestors(root: str, path: str) -> list[str]:
    """The folders of a group and of all its ancestors, whose limits all apply.

    In a container, /proc may report the path of the group as the host sees it. Of the folders of such a path
    only the root exists, and it is the group of the container.
    """
    parts = [part for part in path.split("/") if part not in ("", "..")]  # ".." would leave the root
    return ["/".join([root, *parts[:depth]]) for depth in range(len(parts) + 1)]


def _limit(quota_and_period: str) -> int | None:
    """The whole CPUs of a quota and its period, both in microseconds; None without a limit."""
    try:
        quota, period = map(int, quota_and_period.split())
    except ValueError:  # "max", or empty because there is no file
        return None
    if quota <= 0 or period <= 0:  # -1 is version 1's value for no limit
        return None
    return -(-quota // period)


def _read(path: str) -> str:
    """The contents of a file; empty if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read())  # the name of a group may be any bytes
    except OSError:
        return ""


def _positive(text: str) -> int | None:
    """A whole number of at least 1, at most MOST, or None for any other text."""
    try:
        number = int(text)
    except ValueError:
        return None
    return min(MOST, number) if number > 0 else None


def _usable_cpus() -> int:
    """The CPUs of the affinity. Read at each call, which takes half a microsecond: it may change."""
    if sys.platform == "win32":  # where Python does not know the affinity
        return _core.processors()
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _own_quota() -> int | None:
    """The quota of this process, read once: reading the files takes longer than a small fit."""
    return cgroup_quota("/proc/self/cgroup", "/sys/fs/cgroup")


_chosen: int | None = None
_from_environment = read_environment(os.environ)
_core.use_thread_count(get_num_threads)  # the extension calls it for calls without `n_threads`
