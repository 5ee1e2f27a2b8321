"""docs/reproducibility.md: what its table says cannot change bits, does not; a process per environment."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import bits
import numpy as np
import pytest
from helpers import using

import bpkern

ROOT = Path(__file__).parents[2]
CAUSES, TABLE = bits.table()

FEATURES = np._core._multiarray_umath.__cpu_features__
DISPATCHED = [name for name in np._core._multiarray_umath.__cpu_dispatch__ if FEATURES.get(name)]
OTHER_ISAS = [isa for isa in bpkern.available_isas() if isa not in (bpkern.isa(), "scalar")]

# Name of the test, column of the table, what is different in the environment.
ENVIRONMENTS = [
    ("two-threads", "threads", {"BPKERN_NUM_THREADS": "2"}),
    ("three-threads", "threads", {"BPKERN_NUM_THREADS": "3"}),
    *[(isa, "instruction set", {"BPKERN_ISA": isa}) for isa in OTHER_ISAS],
    ("numpys-baseline", "NumPy's CPU features", {"NPY_DISABLE_CPU_FEATURES": " ".join(DISPATCHED)}),
    ("older-blas", "BLAS", {"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "1"}),
    ("older-libm", "C library", {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F"}),
]


@cache
def run(**changes):
    """What bits.py prints in an environment with these changes."""
    named = ("BPKERN_", "NPY_", "OPENBLAS_", "OMP_", "MKL_", "GLIBC_TUNABLES")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(named)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", bits.__file__],
        env=environment | {"BPKERN_NUM_THREADS": "1", "BPKERN_ISA": bpkern.isa()} | changes,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_table_has_the_rows_that_are_computed():
    """Each row has its digest, and each cell is "no" or "may"."""
    assert list(TABLE) == list(bits.ROWS)
    assert {cell for cells in TABLE.values() for cell in cells.values()} == {"no", "may"}
    assert {cause for _, cause, _ in ENVIRONMENTS} <= set(CAUSES)


def test_run_after_run():
    """ "The same seed and data give the same bits, run after run, in the same environment." """
    again = run(PYTHONHASHSEED="1")
    assert run()["rows"] == again["rows"]


@pytest.mark.parametrize(
    ("cause", "changes"), [case[1:] for case in ENVIRONMENTS], ids=[case[0] for case in ENVIRONMENTS]
)
def test_what_cannot_change_bits(cause, changes):
    """Each "no" in the column of this cause."""
    if cause == "C library" and bpkern.isa() == "scalar":
        pytest.skip("scalar code depends on the C library")
    usual, other = run(), run(**changes)
    for name, cells in TABLE.items():
        if cells[cause] == "no":
            assert other["rows"][name] == usual["rows"][name], name


def test_the_environments_are_different():
    """Otherwise the comparison would show nothing: threads, instruction sets, and NumPy's CPU features."""
    for _, cause, changes in ENVIRONMENTS:
        other = run(**changes)
        if cause == "threads":
            assert other["threads"] == int(changes["BPKERN_NUM_THREADS"])
        if cause == "instruction set":
            assert other["isa"] == changes["BPKERN_ISA"]
        if cause == "NumPy's CPU features":
            assert not set(DISPATCHED).intersection(other["features"])


@pytest.mark.parametrize("isa", bits.VECTOR)
def test_recorded_bits(isa, monkeypatch):
    """ "So another machine, compiler or version of NumPy that changes them fails the tests there."

    If the kernels' arithmetic was changed deliberately, say so in the changelog and run
    ``python tests/support/bits.py --record``.
    """
    if isa not in bpkern.available_isas():
        pytest.skip(f"this processor has no {isa}")
    recorded = json.loads(bits.GOLDEN.read_text()).get(isa)
    if recorded is None:
        pytest.skip(f"no bits of {isa} are recorded")
    monkeypatch.setattr(bpkern, "get_num_threads", lambda: 1)
    with using(isa):
        assert {name: bits.digest(bits.ROWS[name]()) for name in bits.RECORDED} == recorded


def test_what_is_recorded_depends_on_the_instruction_set_alone():
    """ "The bits of the rows that depend on the instruction set alone are recorded": just those."""
    others = [cause for cause in CAUSES if cause != "instruction set"]
    alone = [name for name, cells in TABLE.items() if all(cells[cause] == "no" for cause in others)]
    assert sorted(bits.RECORDED) == sorted(alone)


def test_the_build_leaves_no_choice_to_the_compiler():
    """ "the kernels are compiled without fast-math and without contraction" """
    build = (ROOT / "CMakeLists.txt").read_text()
    assert "add_compile_options(-ffp-contract=off)" in build
    sources = [path.read_text() for path in (ROOT / "csrc").rglob("*.[ch]")]
    for text in (build, *sources):
        assert not re.search(r"-ffast-math|-Ofast|-funsafe|-fassociative|fp_contract|optimize\(", text, re.I)


# "What gives the same bits" -------------------------------------------------------------------------------


def trained(x=bits.X, **fit):
    """A model with everything that a generator draws, and a state of the optimiser."""
    model = bpkern.MLP([40, 20, 5], loss="cross_entropy", optimizer=bpkern.Adam(), dropout=0.2, seed=0)
    model.fit(x, bits.LABELS, **{"epochs": 4, "validation_split": 0.2, "verbose": 0} | fit)
    return model


def bytes_of(model):
    return [array.tobytes() for array in bits.arrays(model)], dict(model.history_)


def test_two_fits_and_one():
    """ "Two fits of 5 epochs, and one of 10." """
    twice = trained(epochs=2)
    first = twice.history_
    second = twice.fit(bits.X, bits.LABELS, epochs=2, validation_split=0.2, verbose=0)
    once = trained(epochs=4)
    assert bytes_of(once)[0] == bytes_of(twice)[0]
    assert {name: first[name] + second[name] for name in first} == dict(once.history_)


class Killer(bpkern.callbacks.Callback):
    """Ends the first fit before its third epoch."""

    killed = False

    def on_epoch_begin(self, model, epoch):
        if epoch == 2 and not self.killed:
            self.killed = True
            raise KeyError("killed")


def test_a_resumed_fit(tmp_path):
    """ "A fit that was killed and resumed from its checkpoint, and one that was not." """
    arguments = {"callbacks": Killer(), "checkpoint": tmp_path / "fit.npz", "resume": True}
    with pytest.raises(KeyError):
        trained(**arguments)
    assert bytes_of(trained(**arguments)) == bytes_of(trained())


def test_a_model_in_fit_many():
    """ "A model in `fit_many`, and the same model fitted alone." """
    models = [trained(epochs=0) for _ in range(3)]
    bpkern.fit_many(models, bits.X, bits.LABELS, epochs=4, validation_split=0.2)
    assert [bytes_of(model) for model in models] == [bytes_of(trained())] * 3


@pytest.mark.parametrize("dtype", ["float64", ">f8", "longdouble"])
@pytest.mark.parametrize("order", "CF")
def test_the_same_numbers_in_other_arrays(dtype, order):
    """ "Data in any real dtype that represents the same numbers, in any memory order." """
    assert bytes_of(trained(np.asarray(bits.X, dtype, order=order))) == bytes_of(
        trained(bits.X.astype("float32"))
    )


def test_the_dtype_of_a_history(dtype):
    """ "The losses and metrics of a history are float64 in both dtypes" """
    model = bits.fitted(bits.network(dtype))
    values = [value for column in model.history_.values() for value in column]
    assert {type(value) for value in values} == {float}
    assert any(value != float(np.float32(value)) for value in values)


def test_no_seed():
    """ "`seed=None`, the default, draws new numbers at every run." """
    first, second = (bpkern.MLP([5, 3], loss="mse").get_weights()[0][0] for _ in range(2))
    assert not np.array_equal(first, second)
