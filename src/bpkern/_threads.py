"""How many threads a call may use: what was set, what the environment says, or what this process has."""

import functools
import os
import sys
from collections.abc import Mapping

from . import _checks

VARIABLE = "BPKERN_NUM_THREADS"
OPENMP_VARIABLE = "OMP_NUM_THREADS"


def set_num_threads(n: int | None) -> None:
    """Set how many threads a call may use at most where its `n_threads` is None.

    Calls that are under way at the same time in several threads of Python share them: of 8, each of three
    fits takes 2. A fit looks anew how many there are when it begins an epoch. So pools of threads that fit
    need no setting; processes do not know of each other, and joblib sets OMP_NUM_THREADS for its own.

    Parameters
    ----------
    n : int or None
        At least 1; it may exceed the number of CPUs. None goes back to the default: BPKERN_NUM_THREADS, else
        OMP_NUM_THREADS, both as they were at import, else the CPUs that this process may use.

    Raises
    ------
    TypeError
        For what is neither a whole number nor None.
    ValueError
        For a number below 1.
    """
    global _chosen
    _chosen = None if n is None else _checks.whole("the number of threads", n, 1)


def get_num_threads() -> int:
    """How many threads a call may use at most where its `n_threads` is None, and no other is under way.

    Returns
    -------
    int
        What `set_num_threads` set; else what BPKERN_NUM_THREADS or OMP_NUM_THREADS said at import; else the
        CPUs that this process may use: those of its affinity as it is now, but no more than the CPU quota of
        its control groups, as it was when first asked for, rounded up.
    """
    return number_and_source()[0]


def number_and_source() -> tuple[int, str]:
    """What `get_num_threads` returns, and what decided it."""
    chosen = _chosen  # read once: another thread may set it meanwhile
    if chosen is not None:
        return chosen, "set_num_threads"
    if _from_environment is not None:
        return _from_environment
    cpus, quota = _usable_cpus(), _own_quota()
    if quota is not None and quota < cpus:
        return quota, "cgroup quota"
    return cpus, "CPUs of this process"


def read_environment(environment: Mapping[str, str]) -> tuple[int, str] | None:
    """The number that the environment names, and the variable that does; None where none does."""
    own = environment.get(VARIABLE)
    if own:
        number = _positive(own)
        if number is None:
            raise ValueError(f"{VARIABLE}={own}: allowed are whole numbers of at least 1")
        return number, VARIABLE
    # OpenMP's may be a list, a number for each level of nesting. A bad one is not ours to refuse.
    number = _positive(environment.get(OPENMP_VARIABLE, "").partition(",")[0])
    return None if number is None else (number, OPENMP_VARIABLE)


def cgroup_quota(memberships: str, mount: str) -> int | None:
    """The CPUs that the control groups of a process leave it, rounded up to whole ones; None for no limit.

    Parameters
    ----------
    memberships : str
        The file that names the groups of the process, one a hierarchy: /proc/self/cgroup.
    mount : str
        Where the hierarchies are mounted: /sys/fs/cgroup.
    """
    limits = []
    for line in _read(memberships).split("\n"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if line.startswith("0::"):  # version 2
            limits += [_limit(_read(f"{group}/cpu.max")) for group in _with_ancestors(mount, path)]
        elif "cpu" in controllers.split(","):  # version 1, mounted by the name of one controller or of all
            for name in {controllers, "cpu"}:
                for group in _with_ancestors(f"{mount}/{name}", path):
                    quota, period = _read(f"{group}/cpu.cfs_quota_us"), _read(f"{group}/cpu.cfs_period_us")
                    limits.append(_limit(f"{quota} {period}"))
    return min((limit for limit in limits if limit is not None), default=None)


def _with_ancestors(root: str, path: str) -> list[str]:
    """The directories of a group and of all above it: each may have a limit, and all of them hold.

    In a container the path may be the one outside it. Then the root alone is there, and is the container's.
    """
    parts = [part for part in path.split("/") if part not in ("", "..")]  # ".." would leave the root
    return ["/".join([root, *parts[:depth]]) for depth in range(len(parts) + 1)]


def _limit(quota_and_period: str) -> int | None:
    """Whole CPUs, from the microseconds of CPU time in each period and the period's length."""
    try:
        quota, period = map(int, quota_and_period.split())
    except ValueError:  # "max", or nothing because there was no file
        return None
    if quota <= 0 or period <= 0:  # version 1 says -1 for no limit
        return None
    return -(-quota // period)


def _read(path: str) -> str:
    """The contents of a file; nothing where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read())  # a group's name may be any bytes
    except OSError:
        return ""


def _positive(text: str) -> int | None:
    try:
        number = int(text)
    except ValueError:
        return None
    return number if number > 0 else None


def _usable_cpus() -> int:
    """The CPUs of the affinity, asked for each time: it may change, and asking takes half a microsecond."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _own_quota() -> int | None:
    """The quota of this process, looked up once: the files take longer to read than a small fit."""
    return cgroup_quota("/proc/self/cgroup", "/sys/fs/cgroup")


_chosen: int | None = None
_from_environment = read_environment(os.environ)
