"""SECURITY.md: each promise has a test that quotes it. What would crash runs in a process of its own.

Not tested: that `ndarray.resize(..., refcheck=False)` may crash, because it may also not; and what the page
leaves out of scope. Many more trials of the same promises are in tests/attacks.
"""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from helpers import parameter_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import bpkern
from bpkern import schedules
from bpkern._files import container

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
PROSE = " ".join(PAGE.split())
SOURCES = sorted((ROOT / "src" / "bpkern").rglob("*.p*[yxi]"))

X = (np.arange(300 * 6).reshape(300, 6) * 37 % 64 - 32).astype(np.float32) / 16
LABELS = np.arange(300) * 7 % 3


def net(**more):
    return bpkern.MLP([6, 16, 3], **{"loss": "cross_entropy", "seed": 0} | more)


SETUP = """
import numpy as np
import bpkern
X = (np.arange(300 * 6).reshape(300, 6) * 37 % 64 - 32).astype(np.float32) / 16
y = np.arange(300) * 7 % 3
def net(**more):
    return bpkern.MLP([6, 16, 3], **{"loss": "cross_entropy", "seed": 0} | more)
def bits(model):
    return [a.tobytes() for pair in model.get_weights() for a in pair]
def finite(model):
    return all(np.isfinite(a).all() for pair in model.get_weights() for a in pair)
class Once(bpkern.callbacks.Callback):
    "Calls a function before the second epoch."
    def __init__(self, function):
        self.function = function
    def on_epoch_begin(self, model, epoch):
        if epoch == 1:
            self.function()
"""


def in_a_process(code, folder=None, **environment):
    """The process that runs the code after SETUP."""
    return subprocess.run(
        [sys.executable, "-B", "-c", SETUP + textwrap.dedent(code)],
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join(sys.path), **os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def survives(code, folder=None):
    """The code runs to its end in a process."""
    done = in_a_process(code, folder)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"


# Reporting --------------------------------------------------------------------------------------------------


def test_the_way_to_report():
    """ "through the repository's Security tab on GitHub": and no address that nobody reads"""
    assert "Report a vulnerability" in PROSE
    assert not re.search(r"[\w.]+@[\w.]+\.\w+", PAGE)


def test_the_page_names_its_tests():
    """ "`tests/package/test_security_promises.py` has a test for each of these promises." """
    assert Path(__file__).relative_to(ROOT).as_posix() in PROSE


# Files ------------------------------------------------------------------------------------------------------


class Payload:
    def __reduce__(self):
        return open, ("ran", "w")


@pytest.mark.parametrize("name", ["__metadata__", "0.weight", "0.bias", "history.loss"])
def test_arrays_of_objects_are_refused(name, tmp_path, monkeypatch):
    """ "arrays of Python objects are refused": the code in them does not run"""
    monkeypatch.chdir(tmp_path)
    net().fit(X, LABELS, checkpoint="net.npz", verbose=0)
    with np.load("net.npz") as file:
        members = dict(file)
    members[name] = np.array([Payload()], object)
    np.savez("net.npz", **members)
    for call in (
        lambda: bpkern.MLP.load("net.npz"),
        lambda: net().fit(X, LABELS, epochs=2, checkpoint="net.npz", resume=True, verbose=0),
    ):
        with pytest.raises(ValueError, match=r"net\.npz"):
            call()
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("loss", {"name": "os.system", "delta": "touch ran"}),
        ("loss", "__import__('os').system('touch ran')"),
        ("optimizer", {"rule": "os.system", "lr": 1.0}),
        ("optimizer", {"rule": "sgd", "lr": {"schedule": "Schedule"}}),
        ("optimizer", {"rule": "sgd", "lr": {"schedule": "os.system"}}),
        ("activation", ["os.system"]),
        ("init", "os.system"),
        ("dtype", "O"),
    ],
)
def test_names_in_files_are_names_of_bpkern(place, value, tmp_path, monkeypatch):
    """ "`MLP.load` and `fit(resume=True)` run no code from a file." """
    monkeypatch.chdir(tmp_path)
    net().save("net.npz")
    config, arrays = container.read("net.npz")
    config["model"][place] = value
    container.write("net.npz", config, arrays)
    with pytest.raises(ValueError, match=r"net\.npz"):
        bpkern.MLP.load("net.npz")
    assert not Path("ran").exists()


@pytest.mark.parametrize("suffix", [".pickle", ".pkl", ".joblib", ".npy", ""])
def test_pickles_are_no_model_files(suffix, tmp_path):
    """ "Files hold numbers and JSON" """
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(ValueError, match=r"must end in \.npz or \.safetensors"):
        bpkern.MLP.load(path)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "net.npz"
    net().fit(X, LABELS, checkpoint=path, verbose=0)
    return path.read_bytes()


@settings(max_examples=40)
@given(data=st.data())
def test_damaged_files(data, raw, tmp_path_factory):
    """ "A file that is damaged ... raises ValueError with its name, or loads as a model." """
    changed = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4), "changes")):
        place = data.draw(st.integers(0, len(changed) - 1), "place")
        if data.draw(st.booleans(), "cut"):
            del changed[place : place + data.draw(st.integers(1, 200), "length")]
        else:
            changed[place] ^= data.draw(st.integers(1, 255), "bits")
    path = tmp_path_factory.mktemp("damaged") / "net.npz"
    path.write_bytes(changed)
    try:
        model = bpkern.MLP.load(path)
    except ValueError as error:
        refusal = str(error)
        assert str(path) in refusal
    else:
        assert model.predict(X).shape == (300,)


def test_the_memory_of_loading(tmp_path):
    """ "Loading takes memory of at most twice the size of the file and 32 MiB" """
    path = tmp_path / "net.npz"
    bpkern.MLP([1500, 1500, 10], loss="mse", seed=0).save(path)
    tracemalloc.start()
    try:
        bpkern.MLP.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2 * path.stat().st_size + (32 << 20)
    finally:
        tracemalloc.stop()


def test_only_regular_files_are_read(tmp_path):
    """ "and reads nothing but regular files" """
    path = tmp_path / "net.npz"
    path.symlink_to(os.devnull)
    with pytest.raises(OSError, match=r"net\.npz"):
        bpkern.MLP.load(path)
    with pytest.raises(OSError, match=r"net\.npz"):
        net().fit(X, LABELS, checkpoint=path, resume=True, verbose=0)


def test_the_digest_is_no_signature(tmp_path):
    """ "The digest in a file shows damage. It is not a signature." """
    path = tmp_path / "net.npz"
    net().save(path)
    config, arrays = container.read(path)
    raw, old = path.read_bytes(), arrays["0.weight"].tobytes()
    path.write_bytes(raw.replace(old, bytes(len(old))))
    with pytest.raises(ValueError, match="SHA-256"):
        bpkern.MLP.load(path)
    container.write(path, config, arrays | {"0.weight": np.zeros_like(arrays["0.weight"])})
    assert not bpkern.MLP.load(path).get_weights()[0][0].any()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_error_leaves_the_old_file(call, tmp_path, monkeypatch):
    """ "an error ... leaves the old file or the new one, complete" """
    path = tmp_path / "net.npz"
    net().save(path)
    old = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space left"):
            net(seed=1).save(path)
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.npz"]


# Arrays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, 3, 2**40, -(2**62), 2**63 - 1])
@pytest.mark.parametrize("method", ["fit", "train_on_batch", "evaluate", "losses", "gradients"])
def test_labels_are_checked(method, bad):
    """ "Labels ... are copied, and the copies are checked before C uses them as positions." """
    y = LABELS.copy()
    y[150] = bad
    model = net()
    before = parameter_bits(model)
    with pytest.raises(ValueError, match="labels must be from 0 to 2"):
        getattr(model, method)(X, y)
    assert parameter_bits(model) == before


def test_row_numbers_are_checked():
    """As above: the splits of `fit_many`."""
    for bad in (-1, 300, 2**40, -(2**62)):
        with pytest.raises((ValueError, IndexError)):
            bpkern.fit_many([net()], X, LABELS, splits=[(np.array([0, bad]), np.array([1]))])


def test_indices_of_sparse_matrices_are_checked():
    """ "The indices of sparse matrices are checked whenever a row is read.": columns and rows out of range"""
    pytest.importorskip("scipy", reason="SciPy makes sparse matrices")
    survives("""
        import scipy.sparse
        for name, bad in (("indices", 2**30), ("indices", -1), ("indptr", 2**30), ("indptr", -5)):
            matrix = scipy.sparse.csr_matrix(X)
            getattr(matrix, name)[7] = bad
            model = net()
            for call in (model.fit, model.evaluate, model.losses, lambda x, _: model.predict(x)):
                try:
                    call(matrix, y)
                except ValueError:
                    continue
                raise SystemExit(f"{name} {bad} was accepted")
            matrix = scipy.sparse.csr_matrix(X)
            def change():
                getattr(matrix, name)[7] = bad
            model = net()
            try:
                model.fit(matrix, y, epochs=3, callbacks=Once(change), verbose=0)
            except ValueError:
                continue
            raise SystemExit(f"{name} {bad} during the fit was accepted")
    """)


def test_arrays_with_positions_are_copied():
    """ "Labels, weights ... are copied": a callback that changes them changes nothing"""
    survives("""
        expected = net()
        expected.fit(X, y, epochs=3, sample_weight=np.ones(300), verbose=0)
        weights = np.ones(300)
        def overwrite():
            y[:] = 10**12
            weights[:] = np.nan
        model = net()
        model.fit(X, y, epochs=3, sample_weight=weights, callbacks=Once(overwrite), verbose=0)
        assert bits(model) == bits(expected)
    """)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_x_may_change_during_a_call(dtype, shuffle):
    """ "The numbers of that call are then undefined, and a row may be refused for NaN" """
    survives(f"""
        X = X.astype("{dtype}")
        def overwrite():
            X[:] = 100 if X.dtype == np.int8 else np.nan
        model = net()
        try:
            model.fit(X, y, epochs=3, shuffle={shuffle}, callbacks=Once(overwrite), verbose=0)
        except (ValueError, bpkern.DivergedError):
            pass
        assert finite(model)
    """)


@pytest.mark.parametrize(
    "change", ["X.shape = (6, 300)", "X.dtype = np.int8", "X.shape = (1800,)", "X.strides = (4, 4)"]
)
def test_x_may_change_its_form_during_a_fit(change):
    """ "The call goes on with the array as it was at its start." """
    survives(f"""
        expected = net()
        expected.fit(X, y, epochs=3, verbose=0)
        def change():
            {change}
        model = net()
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y, epochs=3, callbacks=Once(change), verbose=0)
        assert bits(model) == bits(expected)
    """)


def test_a_memory_map_whose_file_is_made_shorter(tmp_path):
    """ "may crash the process: ... making the file of a memory map shorter": as any reader of it does"""
    if sys.platform != "linux":
        pytest.skip("the signal is Linux's")
    done = in_a_process(
        """
        import os
        np.save("X.npy", np.ones((100_000, 6), np.float32))
        rows = np.load("X.npy", mmap_mode="r")
        shorten = Once(lambda: os.truncate("X.npy", 128))
        net().fit(rows, np.zeros(100_000, int), epochs=3, callbacks=shorten, verbose=0)
        """,
        tmp_path,
    )
    assert done.returncode == -signal.SIGBUS, done.stderr


# Functions and classes of the user --------------------------------------------------------------------------


def test_arrays_for_metrics_and_losses_are_read_only_or_copies():
    """ "The arrays that they receive are read-only, or copies." """

    def spoil(*arrays):
        for array in arrays:
            if array.flags.writeable:
                array[...] = 0

    def metric(true, predicted):
        spoil(true, predicted)
        return 0.0

    def loss(outputs, y):
        d = outputs - y
        spoil(outputs, y)
        return (d**2).mean(axis=1), 2 * d / 3

    def harmless(outputs, y):
        d = outputs - y
        return (d**2).mean(axis=1), 2 * d / 3

    for make, y, bad, good in (
        (net, LABELS, {"metrics": metric}, {}),
        (lambda: net(loss=loss), np.eye(3)[LABELS], {}, {}),
    ):
        kept = y.copy()
        for shuffle in (True, False):
            model, other = make(), net(loss=harmless) if make is not net else net()
            for trained, more in ((model, bad), (other, good)):
                trained.fit(
                    X, y, epochs=2, shuffle=shuffle, validation_data=(X[:50], y[:50]), verbose=0, **more
                )
            assert np.array_equal(y, kept)
            assert parameter_bits(model) == parameter_bits(other)
            assert model.history_["val_loss"] == other.history_["val_loss"]


def falling(rate):
    """A schedule of a user's own class, which returns what the function makes of t."""

    class Own(schedules.Schedule):
        names = ()

        def _rate(self, t):
            return rate(t)

    return Own()


@pytest.mark.parametrize(
    "rate",
    [
        lambda t: np.zeros(1),
        lambda t: np.zeros((2, *t.shape)),
        lambda t: "0.1",
        lambda t: np.full(t.shape, np.nan),
        lambda t: np.full(t.shape, -1.0),
        lambda t: None,
    ],
)
def test_rates_are_checked(rate):
    """ "What they return is checked for its type, its shape and, where C needs it, its values." """
    model = net(optimizer=bpkern.SGD(falling(rate)))
    before = parameter_bits(model)
    with pytest.raises((ValueError, TypeError)):
        model.fit(X, LABELS, verbose=0)
    assert parameter_bits(model) == before


def test_rates_in_any_memory():
    """As above: a broadcast view has the right shape, and no memory behind it."""
    broadcast = net(optimizer=bpkern.SGD(falling(lambda t: np.broadcast_to(np.float64(0.1), t.shape))))
    constant = net(optimizer=bpkern.SGD(0.1))
    for model in (broadcast, constant):
        model.fit(X, LABELS, epochs=2, verbose=0)
    assert parameter_bits(broadcast) == parameter_bits(constant)


@pytest.mark.parametrize(
    "returned",
    [
        None,
        1.0,
        (1.0, np.zeros(3)),
        (np.zeros(2), np.zeros((1, 3))),
        ("loss", "gradient"),
        (np.zeros(0), np.zeros((0, 3))),
    ],
)
def test_what_a_loss_returns_is_checked(returned):
    """As above."""
    model = net(loss=lambda outputs, y: returned)
    before = parameter_bits(model)
    with pytest.raises((ValueError, TypeError)):
        model.fit(X, np.eye(3)[LABELS], verbose=0)
    assert parameter_bits(model) == before


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_batch_begin", "on_batch_end", "on_epoch_end"])
@pytest.mark.parametrize("more", [{}, {"accumulate": 4}, {"clip_norm": 1.0}, {"ema": 0.9}])
def test_calls_from_a_callback(hook, more):
    """ "They may call every public method of the model, and train it. A call that would overwrite what the
    fit still needs raises RuntimeError.": here a fit that by itself changes nothing, at the first call"""
    calls = []

    def call_all(self, model, *_):
        model.predict(X), model.evaluate(X, LABELS), model.losses(X, LABELS), model.gradients(X, LABELS)
        model.get_weights(), model.state_dict(), model.summary(), model.copy()
        if not calls:
            calls.append(hook)
            lr, model.optimizer.lr = model.optimizer.lr, 0.0
            try:
                model.fit(X, LABELS, shuffle=False, verbose=0, **more)
            finally:
                model.optimizer.lr = lr

    model, alone = net(), net()
    caller = type("Caller", (bpkern.callbacks.Callback,), {hook: call_all})()
    alone.fit(X, LABELS, verbose=0, **more)
    try:
        model.fit(X, LABELS, callbacks=caller, verbose=0, **more)
    except RuntimeError:
        assert all(np.isfinite(array).all() for pair in model.get_weights() for array in pair)
    else:
        assert bits_of(model) == bits_of(alone)
    assert calls


def bits_of(model):
    """Of the trained parameters: their average may have had other updates."""
    return {key: raw for key, raw in parameter_bits(model).items() if not key.startswith("average")}


@pytest.mark.parametrize(
    "hook", ["on_fit_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end", "on_fit_end"]
)
def test_an_error_in_a_callback(hook):
    """ "An error that they raise ends the fit and leaves a model as of a finished step" """

    def fail(*_):
        raise KeyError("mine")

    model = net()
    with pytest.raises(KeyError, match="mine"):
        model.fit(
            X, LABELS, callbacks=type("Failing", (bpkern.callbacks.Callback,), {hook: fail})(), verbose=0
        )
    assert all(np.isfinite(array).all() for pair in model.get_weights() for array in pair)
    assert model.fit(X, LABELS, verbose=0)["loss"]


def test_array_subclasses_that_lie():
    """ "A subclass of ndarray counts with the memory that NumPy's C interface reports" """
    survives("""
        class Liar(np.ndarray):
            shape = property(lambda self: (10**6, 6))
            strides = property(lambda self: (0, 4))
            size = property(lambda self: 6 * 10**6)
            dtype = property(lambda self: np.dtype(np.int8))
            flags = property(lambda self: {"C_CONTIGUOUS": True})
            def __len__(self):
                return 10**6
        expected = net()
        expected.fit(X, y, verbose=0)
        model = net()
        try:
            model.fit(X.view(Liar), y.view(Liar), verbose=0)
        except (ValueError, TypeError):
            pass
        else:
            assert bits(model) == bits(expected)
    """)


# The process ------------------------------------------------------------------------------------------------


def test_no_network_no_process_no_other_files(tmp_path):
    """ "bpkern opens no network connection, starts no process, and writes no file but those that it is asked
    for": Python's audit events of an import, a fit, files and a prediction"""
    done = in_a_process(
        """
        import json, pickle, sys
        events = []
        def audit(event, args):
            if event == "open" and args[0] is not None and not isinstance(args[0], int):
                flags = args[2] if isinstance(args[2], int) else 0
                if flags & 3 or (args[1] and set(args[1]) & set("wax+")):
                    events.append([event, str(args[0])])
            elif event.partition(".")[0] in ("socket", "subprocess", "pickle", "ctypes", "urllib", "ftplib"):
                events.append([event, ""])
            elif event in ("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn"):
                events.append([event, ""])
        for name in [name for name in sys.modules if name.startswith("bpkern") and name != "bpkern._core"]:
            del sys.modules[name]
        sys.addaudithook(audit)
        import bpkern
        model = bpkern.MLP([6, 16, 3], loss="cross_entropy", seed=0)
        model.fit(X, y, epochs=2, checkpoint="fit.npz", callbacks=bpkern.callbacks.CSVLogger("fit.csv"))
        model.fit(X, y, epochs=3, n_threads=2)
        model.save("net.npz")
        bpkern.MLP.load("net.npz").predict_proba(X)
        bpkern.fit_many([model, model.copy()], X, y)
        print(json.dumps(events))
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    events = json.loads(done.stdout)
    assert {event for event, _ in events} == {"open"}
    for _, path in events:
        place = Path(os.path.realpath(tmp_path / path))
        assert place.parent == Path(os.path.realpath(tmp_path)), path
        assert place.name.startswith((".", "fit.", "net.")), path
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["fit.csv", "fit.npz", "net.npz"]


def test_environment_variables():
    """ "It reads three environment variables": no other name stands near `environ`"""
    used = set()
    for path in SOURCES:
        if path.suffix == ".py":
            names = {
                node.value
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
            if "environ" in path.read_text():
                used |= {name for name in names if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", name)}
        else:
            assert "environ" not in path.read_text(), path.name
    assert used == set(re.findall(r"`([A-Z]+_[A-Z_]+)`", PAGE))
    assert not any("getenv" in path.read_text() for path in (ROOT / "csrc").rglob("*.[ch]"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BPKERN_ISA", "sse9"),
        ("BPKERN_ISA", "../avx2"),
        ("BPKERN_NUM_THREADS", "0"),
        ("BPKERN_NUM_THREADS", "many"),
    ],
)
def test_values_of_variables(variable, value):
    """ "A value of the first two that is not allowed ends the import with a ValueError." """
    done = in_a_process("", **{variable: value})
    assert done.returncode == 1
    assert f"ValueError: {variable}={value}: " in done.stderr
