"""How many threads a call may use: which source decides, what is refused, and what a container allows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bpkern
from bpkern import _threads as threads

SHOW = """
shown = bpkern.show_config(mode="dicts")["threads"]
assert shown["in use up to"] == str(bpkern.get_num_threads())
print(shown["in use up to"], "by", shown["decided by"])
"""

VARIABLES = ("BPKERN_NUM_THREADS", "OMP_NUM_THREADS", "PYTHON_CPU_COUNT")


def run(code, **environment):
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.run(
        [sys.executable, "-c", "import os, bpkern\n" + code],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def answer(code=SHOW, **environment):
    done = run(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def machine(monkeypatch):
    """Replaces the environment's and the machine's limits by made-up ones."""
    monkeypatch.setattr(threads, "_chosen", None)
    monkeypatch.setattr(threads, "_from_environment", None)

    def has(cpus, quota):
        monkeypatch.setattr(threads, "_usable_cpus", lambda: cpus)
        monkeypatch.setattr(threads, "_own_quota", lambda: quota)

    return has


@pytest.mark.parametrize(
    ("own", "openmp", "expected"),
    [
        ("37", "41", "37 by BPKERN_NUM_THREADS"),
        ("37", "many", "37 by BPKERN_NUM_THREADS"),
        ("", "41", "41 by OMP_NUM_THREADS"),
        ("", "43,2", "43 by OMP_NUM_THREADS"),
        ("", " 43 , 2", "43 by OMP_NUM_THREADS"),
    ],
)
def test_the_environment_decides(own, openmp, expected):
    assert answer(BPKERN_NUM_THREADS=own, OMP_NUM_THREADS=openmp) == expected


@pytest.mark.parametrize("bad", ["", "many", "0", "-2", "2.5", ",3"])
def test_a_bad_openmp_variable_is_ignored(bad):
    assert threads.read_environment({"OMP_NUM_THREADS": bad}) is None


def test_an_import_survives_a_bad_openmp_variable():
    assert answer(OMP_NUM_THREADS="many") == answer()


@pytest.mark.parametrize("bad", ["0", "-1", "2.5", "many", "4,2", " "])
def test_a_bad_variable_of_our_own_is_refused(bad):
    done = run("", BPKERN_NUM_THREADS=bad)
    assert done.returncode != 0
    assert f"ValueError: BPKERN_NUM_THREADS={bad}: allowed are whole numbers of at least 1" in done.stderr


def test_what_is_set_comes_before_the_environment():
    code = f"bpkern.set_num_threads(31){SHOW}bpkern.set_num_threads(None){SHOW}"
    got = answer(code, BPKERN_NUM_THREADS="37", OMP_NUM_THREADS="41")
    assert got.splitlines() == ["31 by set_num_threads", "37 by BPKERN_NUM_THREADS"]


# Enough work for many threads, in calls of every kind.
LARGE = """
import numpy as np
rng = np.random.default_rng(0)
X, y = rng.random((2000, 300)), rng.random((2000, 3))
model = bpkern.MLP([300, 300, 3], loss="mse", seed=0)
model.fit(X, y, validation_data=(X, y))
model.train_on_batch(X, y), model.gradients(X, y), model.evaluate(X, y), model.predict(X), model.losses(X, y)
bpkern.fit_many([model, model.copy()], X, y)
print(bpkern.get_num_threads())
"""
HUGE = [1025, 2**31 - 1, 2**31, 2**32 + 1, 2**63, 10**30]


@pytest.mark.parametrize("name", ["BPKERN_NUM_THREADS", "OMP_NUM_THREADS"])
def test_a_huge_number_in_the_environment_counts_as_1024(name):
    for number in HUGE:
        assert threads.read_environment({name: str(number)}) == (1024, name)
    assert threads.read_environment({name: "1024"}) == (1024, name)
    assert answer(LARGE, **{name: str(2**31)}) == "1024"


def test_a_huge_number_that_is_set_counts_as_1024(machine):
    machine(6, None)
    for number in HUGE:
        bpkern.set_num_threads(number)
        assert bpkern.get_num_threads() == 1024
    assert answer(f"bpkern.set_num_threads({2**31})\n{LARGE}") == "1024"


def test_the_largest_number_is_that_of_the_library():
    header = Path(__file__).parents[2] / "csrc" / "bpkern.h"
    assert f"BPK_MAX_THREADS = {threads.MOST}" in header.read_text()


def test_the_environment_is_read_at_import():
    code = 'os.environ["BPKERN_NUM_THREADS"] = "31"' + SHOW
    assert answer(code, BPKERN_NUM_THREADS="37") == "37 by BPKERN_NUM_THREADS"


@pytest.mark.parametrize("cpus", [1, 6])
@pytest.mark.parametrize("quota", [None, 2, 6, 9])
def test_the_machine_decides_last(machine, cpus, quota):
    machine(cpus, quota)
    expected = (2, "cgroup quota") if (cpus, quota) == (6, 2) else (cpus, "CPUs of this process")
    assert threads.number_and_source() == expected
    assert bpkern.get_num_threads() == expected[0]
    bpkern.set_num_threads(31)
    assert bpkern.get_num_threads() == 31


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (0, ValueError, "the number of threads must be at least 1, not 0"),
        (-3, ValueError, "the number of threads must be at least 1, not -3"),
        (2.0, TypeError, r"the number of threads must be a whole number, not 2\.0"),
        ("2", TypeError, "the number of threads must be a whole number, not '2'"),
        (True, TypeError, "the number of threads must be a whole number, not True"),
    ],
)
def test_a_refused_number_changes_nothing(machine, bad, error, message):
    machine(6, None)
    bpkern.set_num_threads(31)
    with pytest.raises(error, match=message):
        bpkern.set_num_threads(bad)
    assert bpkern.get_num_threads() == 31


def test_the_affinity_is_followed():
    """The affinity is read at the first call, and again after it changes."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no CPU affinity")
    if answer("print(bpkern.get_num_threads())") == "1":
        pytest.skip("with one CPU, the affinity equals the number of CPUs")
    code = """
cpus = sorted(os.sched_getaffinity(0))
for some in (cpus[:1], cpus[:2], cpus[1:2]):
    os.sched_setaffinity(0, some)
    print(bpkern.get_num_threads(), end=" ")
"""
    assert answer(code) == "1 2 1"


class Groups:
    """A made-up /proc/self/cgroup with a made-up /sys/fs/cgroup."""

    def __init__(self, root):
        self.memberships, self.mount = root / "memberships", root / "mount"

    def _write(self, group, name, text):
        directory = self.mount / group
        directory.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)

    def v2(self, group, text):
        self._write(group, "cpu.max", text)

    def v1(self, group, quota, period=100000):
        self._write(group, "cpu.cfs_quota_us", f"{quota}\n")
        self._write(group, "cpu.cfs_period_us", f"{period}\n")

    def quota(self, *memberships):
        self.memberships.write_bytes(b"".join(os.fsencode(line) + b"\n" for line in memberships))
        return threads.cgroup_quota(str(self.memberships), str(self.mount))


@pytest.fixture
def groups(tmp_path):
    return Groups(tmp_path)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("300000 100000\n", 3),
        ("300001 100000\n", 4),
        ("299999 100000\n", 3),
        ("1000 100000\n", 1),
        ("120000 50000\n", 3),
        ("max 100000\n", None),
        ("", None),
        ("300000\n", None),
        ("300000 0\n", None),
        ("unlimited of course\n", None),
    ],
)
def test_a_quota_of_version_2(groups, text, cpus):
    groups.v2("job", text)
    assert groups.quota("0::/job") == cpus


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [(300000, 100000, 3), (300001, 100000, 4), (1000, 100000, 1), (-1, 100000, None), (0, 100000, None)],
)
def test_a_quota_of_version_1(groups, quota, period, cpus):
    groups.v1("cpu/job", quota, period)
    assert groups.quota("9:memory:/job", "4:cpu:/job", "0::/job") == cpus


@pytest.mark.parametrize("smallest", ["", "outer", "outer/inner", "outer/inner/innermost"])
def test_the_smallest_of_nested_limits_holds(groups, smallest):
    for path in ("", "outer", "outer/inner", "outer/inner/innermost"):
        groups.v2(path, "200000 100000" if path == smallest else "500000 100000")
        groups.v1(f"cpu/{path}", 300000 if path == smallest else 600000)
    assert groups.quota("0::/outer/inner/innermost") == 2
    assert groups.quota("4:cpu:/outer/inner/innermost") == 3


def test_a_limit_above_a_group_without_one(groups):
    groups.v2("outer", "200000 100000")
    groups.v2("outer/inner", "max 100000")
    assert groups.quota("0::/outer/inner") == 2


def test_limits_of_other_groups_do_not_hold(groups):
    groups.v2("other", "100000 100000")
    groups.v2("job/below", "100000 100000")
    groups.v1("memory/job", 100000)
    groups.v1("cpu/other", 100000)
    groups.v1("cpu/job/below", 100000)
    assert groups.quota("9:memory:/job", "8:cpuset:/other", "4:cpu:/job", "0::/job") is None


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_controllers_mounted_together(groups, mount):
    groups.v1(f"{mount}/job", 250000)
    assert groups.quota("4:cpu,cpuacct:/job") == 3


def test_both_versions_at_once(groups):
    groups.v1("cpu/job", 400000)
    groups.v2("job", "500000 100000")
    assert groups.quota("4:cpu:/job", "0::/job") == 4
    assert groups.quota("0::/job", "4:cpu:/job") == 4


@pytest.mark.parametrize("path", ["/docker/0123456789ab", "/", "/../neighbour", "/gone (deleted)"])
def test_a_container_sees_its_own_group_at_the_root(groups, path):
    groups.v2("", "200000 100000")
    groups.v2("../neighbour", "100000 100000")
    assert groups.quota(f"0::{path}") == 2


def test_a_container_of_version_1_sees_its_own_group_at_the_root(groups):
    groups.v1("cpu,cpuacct", 200000)
    assert groups.quota("4:cpu,cpuacct:/docker/0123456789ab") == 2


@pytest.mark.parametrize("name", ["a:b", "sp ace", "\udcff"])
def test_names_of_any_kind(groups, name):
    groups.v2(name, "200000 100000")
    assert groups.quota(f"0::/{name}") == 2


def test_missing_files_are_no_limit(groups):
    assert threads.cgroup_quota(str(groups.memberships), str(groups.mount)) is None
    assert groups.quota("0::/job", "4:cpu:/job") is None
    assert groups.quota("", "nonsense") is None


def test_unreadable_files_are_no_limit(groups):
    """A directory in place of the file: not even root can read it."""
    (groups.mount / "job" / "cpu.max").mkdir(parents=True)
    groups.v2("", "200000 100000")
    assert groups.quota("0::/job") == 2
