"""Which kernels run: the environment forces them, unknown names are refused, and rounding shows which ran."""

import os
import subprocess
import sys

import numpy as np
import pytest
from helpers import ISAS, using

import bpkern
from bpkern import _core

# Three rows whose sums of squares show which kernel added them. (1 + 2**-12)**2 has one bit too many for a
# float; the scalar kernel, which adds in double, keeps it. The second row adds 2**-24. With 16 lanes the two
# values are in different lanes, the square is rounded first, and 2**-24 is lost; with 8 lanes they share a
# lane, and a fused multiply-add rounds once; without one, the square is rounded first again. The third row
# adds 2**-24 twice to 1: with 4 lanes one by one, which changes nothing, and with more of them their sum.
VALUES = np.zeros((3, 16), np.float32)
VALUES[0, 0] = VALUES[1, 8] = 1 + 2.0**-12
VALUES[1, 0] = 2.0**-12
VALUES[2, [0, 4, 12]] = 1, 2.0**-12, 2.0**-12

FINGERPRINT = """
import bpkern, numpy as np
values = np.array({values}, np.float32)
model = bpkern.MLP([16, 16], loss="squared_error", seed=0)
model.set_weights([(np.eye(16), np.zeros(16))])
print(bpkern.isa(), model.evaluate(values, np.zeros((3, 16)))["loss"].hex())
"""


def fingerprint():
    model = bpkern.MLP([16, 16], loss="squared_error", seed=0)
    model.set_weights([(np.eye(16), np.zeros(16))])
    return model.evaluate(VALUES, np.zeros((3, 16)))["loss"].hex()


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_instruction_set_leaves_a_mark_of_its_own():
    marks = set()
    for isa in _core.available_isas():
        with using(isa):
            marks.add(fingerprint())
    assert len(marks) == len(_core.available_isas())


def test_the_environment_forces(isa):
    expected = f"{isa} {fingerprint()}"
    done = run(FINGERPRINT.format(values=VALUES.tolist()), BPKERN_ISA=isa)
    assert done.stdout.strip() == expected, done.stderr


def test_an_unknown_name_is_refused():
    done = run("import bpkern", BPKERN_ISA="avx1024")
    assert done.returncode != 0
    assert "ValueError: BPKERN_ISA=avx1024: unknown instruction set 'avx1024': allowed are" in done.stderr


def test_an_unsupported_one_is_refused():
    missing = [isa for isa in ISAS if isa not in _core.available_isas()]
    if not missing:
        pytest.skip("this processor has every instruction set")
    done = run("import bpkern", BPKERN_ISA=missing[0])
    assert done.returncode != 0
    assert f"BPKERN_ISA={missing[0]}: " in done.stderr


def test_the_fastest_is_the_default():
    done = run("import bpkern; print(bpkern.isa())", BPKERN_ISA="")
    assert done.stdout.strip() == bpkern.available_isas()[-1]


def test_show_config(capsys):
    config = bpkern.show_config(mode="dicts")
    assert config["instruction sets"]["in use"] == bpkern.isa()
    assert config["bpkern"]["version"] == bpkern.__version__
    assert all(value for section in config.values() for value in section.values())
    assert bpkern.show_config() is None
    shown = capsys.readouterr().out
    assert f"in use: {bpkern.isa()}" in shown
    with pytest.raises(ValueError, match="unknown mode 'json': allowed are stdout, dicts"):
        bpkern.show_config(mode="json")


def test_the_vector_is_that_of_the_instruction_set(isa):
    code = "import bpkern; print(bpkern.show_config(mode='dicts')['instruction sets']['vector'])"
    shown = run(code, BPKERN_ISA=isa).stdout.strip()
    assert shown == ("none" if isa == "scalar" else f"{_core.vector_bytes(isa)} bytes")


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="another system's names")
def test_caches_and_processors_are_the_systems():
    names = ("SC_LEVEL1_DCACHE_SIZE", "SC_LEVEL2_CACHE_SIZE", "SC_LEVEL3_CACHE_SIZE")
    for bytes_found, name in zip(_core.caches(), names, strict=True):
        if os.sysconf_names.get(name) and os.sysconf(name) > 0:
            assert bytes_found == os.sysconf(name)
    if hasattr(os, "sched_getaffinity"):
        assert _core.processors() == len(os.sched_getaffinity(0))


def test_the_flags_are_named_without_paths():
    flags = bpkern.show_config(mode="dicts")["build"]["flags"]
    assert "ffp-contract=off" in flags
    assert not any("/" in flag[1:] or "\\" in flag for flag in flags.split())
