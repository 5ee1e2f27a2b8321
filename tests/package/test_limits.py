"""docs/limits.md: sizes at and beyond each limit, and memory against the formulas of the page."""

import json
import os
import re
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers import parameter_bits

import bpkern

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "limits.md").read_text()
PROSE = " ".join(PAGE.split())

X = np.random.default_rng(0).random((8, 3), np.float32)
LABELS = np.arange(8) % 2


def net(**more):
    return bpkern.MLP([3, 4, 2], **{"loss": "cross_entropy", "seed": 0} | more)


# Sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layers", [[10**9, 10**9], [1, 2**50], [2**62, 1], [2**63, 1], [2**70, 3], [1] * 3 + [2**45]]
)
def test_widths_that_no_memory_holds(layers):
    """ "width of a layer | at least 1; as wide as memory holds | MemoryError" """
    with pytest.raises(MemoryError):
        bpkern.MLP(layers, loss="mse", seed=0)


@pytest.mark.parametrize("layers", [[], [3], [3, 0], [0, 3], [3, -1, 3]])
def test_widths_that_are_too_small(layers):
    """ "ValueError below two sizes", "ValueError below 1" """
    with pytest.raises(ValueError, match="layer"):
        bpkern.MLP(layers, loss="mse", seed=0)


def test_many_layers():
    """ "as many as memory holds": deep and trained, although no file holds so many"""
    model = bpkern.MLP([1] * 10_001, loss="mse", activation="identity", seed=0)
    model.fit(np.ones((4, 1)), np.ones((4, 1)), verbose=0)
    assert model.predict(np.ones((2, 1))).shape == (2, 1)


MANY_ROWS = """
import numpy as np, bpkern
x, y = (np.broadcast_to(np.int8(1), shape) for shape in (({rows}, 1), {rows}))
for layers, loss in (([1, 2, 1], "mse"), ([1, 2], "cross_entropy")):
    model = bpkern.MLP(layers, loss=loss, seed=0)
    before = model.get_weights()[0][0].tobytes()
    for name in ("fit", "predict", "losses", "train_on_batch", "gradients"):
        try:
            getattr(model, name)(*((x,) if name == "predict" else (x, y)))
        except (MemoryError, ValueError) as error:
            print(name, type(error).__name__)
        assert model.get_weights()[0][0].tobytes() == before
"""


@pytest.mark.parametrize("rows", [2**46, 2**60, 2**63 - 1])
def test_rows_that_no_memory_holds(rows):
    """ "rows of X | as many as memory holds, at 8 bytes per row for their order | MemoryError": the rows of a
    broadcast array, which has no memory of its own, in a process"""
    done = subprocess.run(
        [sys.executable, "-c", MANY_ROWS.format(rows=rows)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 20, done.stdout


def test_no_rows():
    """ "at least 1 | ValueError", and for predictions "from 0 on" """
    model = net()
    for method in (model.fit, model.train_on_batch, model.gradients, model.evaluate, model.losses):
        with pytest.raises(ValueError, match=r"no rows|at least one"):
            method(X[:0], LABELS[:0])
    for method, shape in ((model.predict, (0,)), (model.predict_proba, (0, 2)), (model.forward, (0, 2))):
        assert method(X[:0]).shape == shape


def test_batch_size_and_epochs():
    """ "above the number of rows, it is that number"; "at least 0, any whole number" """
    large, whole = net(), net()
    large.fit(X, LABELS, batch_size=2**70, verbose=0)
    whole.fit(X, LABELS, batch_size=8, verbose=0)
    assert parameter_bits(large) == parameter_bits(whole)
    for name, bad in (("batch_size", 0), ("epochs", -1)):
        with pytest.raises(ValueError, match=f"{name} must be at least"):
            net().fit(X, LABELS, verbose=0, **{name: bad})
    stop = type("Stop", (bpkern.callbacks.Callback,), {"on_epoch_end": stop_training})
    assert len(net().fit(X, LABELS, epochs=2**70, callbacks=stop(), verbose=0)["loss"]) == 1
    assert net().fit(X, LABELS, epochs=0) == {}


def stop_training(self, model, epoch, logs):
    model.stop_training = True


def test_threads_beyond_the_limit():
    """ "above 1024, or above what the system can start, it is that number": the same bits as with one"""
    one, many = net(), net()
    one.fit(X, LABELS, n_threads=1, verbose=0)
    many.fit(X, LABELS, n_threads=2**40, verbose=0)
    assert parameter_bits(many) == parameter_bits(one)
    for name, call in (
        ("n_threads", lambda: net().fit(X, LABELS, n_threads=0, verbose=0)),
        ("the number of threads", lambda: bpkern.set_num_threads(0)),
    ):
        with pytest.raises(ValueError, match=f"{name} must be at least 1"):
            call()


LARGE_CALL = """
import numpy as np, bpkern
{}
model = bpkern.MLP([300, 200, 10], loss="mse", seed=0)
model.fit(np.ones((600, 300)), np.ones((600, 10)), batch_size=300, verbose=0)
print(model.predict(np.ones((600, 300))).shape)
"""


@pytest.mark.parametrize("number", [1025, 2**31, 2**31 - 1, 2**64])
@pytest.mark.parametrize("way", ["BPKERN_NUM_THREADS", "set_num_threads"])
def test_settings_of_threads_beyond_the_limit(number, way):
    """As above, for the other two settings and calls that are large enough for threads."""
    done = subprocess.run(
        [sys.executable, "-c", LARGE_CALL.format(f"bpkern.{way}({number})" if way.islower() else "")],
        env=os.environ | ({} if way.islower() else {way: str(number)}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout == "(600, 10)\n", done.stderr


def test_values():
    """ "finite in the dtype of the model | ValueError that names the row and the column" """
    for value in (np.nan, np.inf, -np.inf, 1e39):
        x = X.astype(np.float64)
        x[5, 2] = value
        for call in (lambda x=x: net().fit(x, LABELS, verbose=0), lambda x=x: net().predict(x)):
            with pytest.raises(ValueError, match="row 5, column 2"):
                call()


def test_seeds():
    """ "from 0 on, any whole number" """
    assert net(seed=2**200).get_weights()
    with pytest.raises(ValueError, match="seed must be at least 0"):
        net(seed=-1)


# Files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 100, 232, 233, 251])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_names_of_files(length, suffix, tmp_path):
    """ "name of a file | as the file system allows, 255 bytes as a rule" """
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors writes these files")
    path = tmp_path / ("n" * (min(length, 255 - len(suffix))) + suffix)
    net().save(path)
    assert bpkern.MLP.load(path).predict(X).shape == (8,)
    net().fit(X, LABELS, checkpoint=path, verbose=0)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_names_that_are_too_long(tmp_path):
    """As above: "OSError" """
    with pytest.raises(OSError, match="too long"):
        net().save(tmp_path / ("n" * 300 + ".npz"))
    assert list(tmp_path.iterdir()) == []


def deep(layers, optimizer, **fit):
    model = bpkern.MLP([1] * (layers + 1), loss="mse", activation="identity", optimizer=optimizer, seed=0)
    if fit:
        model.fit(np.ones((2, 1)), np.ones((2, 1)), verbose=0, **fit)
    return model


def test_layers_in_a_file(tmp_path):
    """ "at least 3000 without an optimiser's state, 1000 with Adam, 600 with every state and an average" """
    sizes = [
        int(size)
        for size in re.search(r"at least (\d+) without .*?, (\d+) with Adam, (\d+) with every", PAGE).groups()
    ]
    for layers, optimizer, fit in (
        (sizes[0], bpkern.SGD(), {"epochs": 1}),
        (sizes[1], bpkern.Adam(), {"epochs": 1}),
        (sizes[2], bpkern.Adam(amsgrad=True), {"epochs": 1, "ema": 0.9}),
    ):
        deep(layers, optimizer, **fit).save(tmp_path / "net.npz")
        assert len(bpkern.MLP.load(tmp_path / "net.npz").get_weights()) == layers
    before = (tmp_path / "net.npz").read_bytes()
    with pytest.raises(ValueError, match="must be at most"):
        deep(2 * sizes[0], bpkern.SGD()).save(tmp_path / "net.npz")
    assert (tmp_path / "net.npz").read_bytes() == before


class Wordy(bpkern.callbacks.Callback):
    """A callback whose state has a long text, and a large array."""

    def __init__(self, length):
        self.length = length

    def state_dict(self):
        return {"text": "x" * self.length, "array": np.zeros(10**6)}


def test_the_state_of_callbacks(tmp_path):
    """ "is part of that text; arrays are not" """
    path = tmp_path / "fit.npz"
    net().fit(X, LABELS, checkpoint=path, callbacks=Wordy(10**6), verbose=0)
    assert path.stat().st_size > 8 * 10**6
    with pytest.raises(ValueError, match="must be at most 1048576 bytes"):
        net().fit(X, LABELS, checkpoint=path, callbacks=Wordy(2**20), verbose=0)


def test_the_page_has_the_limits_of_the_file_format():
    """The row of text, lists and objects says what file-format.md says."""
    table = (ROOT / "docs" / "file-format.md").read_text()
    assert "1 MiB of text, 32768 lists and objects" in PAGE
    assert "| lists and objects in these texts | 32768 |" in table
    assert "1 MiB (1048576 bytes)" in table


# Memory -----------------------------------------------------------------------------------------------------

MEASURE = """
import json, sys
import numpy as np
import bpkern

def of_process(field):
    with open("/proc/self/status") as file:
        [line] = [line for line in file if line.startswith(field)]
    return int(line.split()[1]) * 1024

def peak(call):
    "The result of a call, and by how much memory grew at its peak."
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak becomes the present size
    before = of_process("VmRSS")
    result = call()
    return result, of_process("VmHWM") - before

layers, dtype = {layers}, {dtype!r}
X, y = np.ones((3000, layers[0]), dtype), np.zeros(3000, np.int64)
def net(layers=layers, **more):
    return bpkern.MLP(layers, **{{"loss": "cross_entropy", "dtype": dtype, "seed": 0}} | more)
bpkern.set_num_threads(1)
# Imports and small allocations, before anything is measured.
for init in ("auto", "orthogonal"):
    small = net([layers[0], 4, 3], init=init)
small.fit(X[:9], y[:9], verbose=0)
small.predict(X[:9]), small.gradients(X[:9], y[:9]), small.save("small.npz"), bpkern.MLP.load("small.npz")
"""

LAYERS = [1100, 900, 800, 10]
SLACK = 6 << 20


def measured(code, folder, layers=LAYERS, dtype="float32"):
    """The numbers that the code prints after MEASURE, in a process that returns freed memory at once."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system does not measure the peak of a call")
    trimming = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TOP_PAD_": "0"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(layers=layers, dtype=dtype) + textwrap.dedent(code)],
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join(sys.path), **os.environ, **trimming, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Formulas:
    """The table of memory, for layers and a dtype."""

    def __init__(self, layers=LAYERS, dtype="float32", stores=1):
        self.s = np.dtype(dtype).itemsize
        grain = 64 // self.s
        self.inputs, *self.widths = (-(-width // grain) * grain for width in layers)
        size = self.s * sum((fan_in + 1) * w for fan_in, w in zip(layers, self.widths, strict=False))
        self.n = -(-size // (2 << 20)) * (2 << 20)
        self.model = self.n * stores
        sizes = [self.s * a * b for a, b in pairwise(layers)]
        self.two_layers = max(map(sum, pairwise([0, *sizes])))
        self.largest = 8 * max(a * b for a, b in pairwise(layers))

    def step(self, rows, slopes=0):
        per_row = self.inputs + 2 * sum(self.widths) + 2 * self.widths[-1] + slopes
        return self.s * rows * per_row + 40 * rows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", [LAYERS, [1500, 1500]])
def test_memory_of_the_constructor(dtype, layers, tmp_path):
    """ "a model | *M*", the two rows of the constructor, and "`reset` | *N* more" """
    code = """
        model, usual = peak(net)
        other, orthogonal = peak(lambda: net(init="orthogonal"))
        _, again = peak(model.reset)
        del model
        before = of_process("VmRSS")
        del other
        print(json.dumps([usual, orthogonal, again, before - of_process("VmRSS")]))
    """
    usual, orthogonal, again, model = measured(code, tmp_path, layers, dtype)
    formulas = Formulas(layers, dtype)
    assert usual < formulas.n + formulas.two_layers + SLACK
    assert orthogonal < formulas.n + 5 * formulas.largest + SLACK
    assert again < formulas.n + formulas.two_layers + SLACK
    assert formulas.n / 2 < model < formulas.n + SLACK


def test_memory_of_a_compressed_model(tmp_path):
    """ "*N* / 2, ... and nothing for states; *M* + *N* more until `compress` returns" """
    layers = [2000, 2000, 2000, 10]
    code = """
        model = net(optimizer=bpkern.Adam())
        model.fit(X[:9], y[:9], verbose=0)
        small.compress("bfloat16")
        before = of_process("VmRSS")
        compressed, at_most = peak(lambda: model.compress("bfloat16"))
        print(json.dumps([at_most, of_process("VmRSS") - before]))
    """
    at_most, kept = measured(code, tmp_path, layers)
    formulas = Formulas(layers, stores=3)
    assert at_most < formulas.n / 2 + formulas.model + formulas.n + SLACK
    assert formulas.n / 4 < kept < formulas.n / 2 + SLACK


@pytest.mark.parametrize(
    ("optimizer", "states"),
    [
        ("SGD(0.001)", 0),
        ("SGD(0.001, 0.9)", 1),
        ("Adagrad()", 1),
        ("RMSprop()", 1),
        ("RMSprop(momentum=0.5, centered=True)", 3),
        ("NAdam()", 2),
        ("Adam()", 2),
        ("Adam(amsgrad=True)", 3),
    ],
)
def test_states_of_the_optimisers(optimizer, states, tmp_path):
    """ "SGD has no state, and one with momentum; Adagrad has one, RMSprop one to three, NAdam two, Adam
    two, and three with `amsgrad`", and "training, for a copy to restore after a failed step; `train_on_batch`
    only if the step might overflow | *M*" """
    code = f"""
        model = net(optimizer=bpkern.{optimizer})
        _, used = peak(lambda: model.train_on_batch(X[:1], y[:1]))
        stores = len(model.__bpkern_core__().net.stores())
        model = net(optimizer=bpkern.{optimizer})
        _, fitting = peak(lambda: model.fit(X[:2], y[:2], batch_size=1))
        print(json.dumps([used, stores, fitting]))
    """
    used, stores, fitting = measured(code, tmp_path)
    formulas = Formulas(stores=1 + states)
    assert stores == 1 + states
    new = formulas.model - formulas.n  # the states
    assert new / 2 <= used < new + formulas.step(1) + SLACK
    new += formulas.model  # and the copy to restore
    assert new / 2 < fitting < new + formulas.step(1) + SLACK


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("settings", "slopes"), [("", 0), ("dropout=0.5", 2), ("activation='silu'", 2)])
def test_memory_of_a_step(dtype, settings, slopes, tmp_path):
    """ "a training step | ...", and "Slopes are the widths of the layers with dropout or with gelu, ..." """
    code = f"""
        model = net({settings})
        model.train_on_batch(X[:1], y[:1])
        _, used = peak(lambda: model.train_on_batch(X, y))
        print(json.dumps(used))
    """
    used = measured(code, tmp_path, dtype=dtype)
    formulas = Formulas(dtype=dtype)
    step = formulas.step(3000, sum(formulas.widths[:slopes]))
    assert step / 2 < used < step + formulas.n + 24 * 3000 + SLACK


def test_memory_of_clipping(tmp_path):
    """ "`clip_norm`, ... | *N* + *s* · *B* · inputs, and the step twice while it grows" """
    code = """
        model = net()
        model.fit(X, y, batch_size=3000, verbose=0)
        _, used = peak(lambda: model.fit(X, y, batch_size=3000, clip_norm=1.0, verbose=0))
        print(json.dumps(used))
    """
    used = measured(code, tmp_path)
    formulas = Formulas()
    assert used < formulas.n + formulas.s * 3000 * formulas.inputs + formulas.step(3000) + 24 * 3000 + SLACK


@pytest.mark.parametrize("call", ["model.reset()", "model.fit(X, y, batch_size=16, verbose=0)"])
def test_memory_that_is_given_back(call, tmp_path):
    """ "what is above 16 MiB is given back by `reset`, and by a fit whose mini-batches have less than a
    quarter of the rows" """
    code = f"""
        model = net()
        model.fit(X[:16], y[:16], batch_size=16, verbose=0)
        before = of_process("VmRSS")
        model.fit(X, y, batch_size=3000, verbose=0)
        large = of_process("VmRSS")
        {call}
        print(json.dumps([large - before, of_process("VmRSS") - before]))
    """
    large, left = measured(code, tmp_path)
    assert large > Formulas().step(3000) / 2 > 16 << 20
    assert left < SLACK


def test_memory_of_reading(tmp_path):
    """ "`predict`, `forward`, `evaluate` | the result, and a step with *B* = 256"; "`get_weights` ... | *N*";
    "`gradients` also 2 · *N*" """
    code = """
        model = net()
        model.train_on_batch(X[:1], y[:1])
        calls = (
            lambda: model.predict(X),
            lambda: model.forward(X),
            lambda: model.evaluate(X, y),
            lambda: model.predict_proba(X),
            model.get_weights,
            model.state_dict,
            lambda: model.gradients(X[:500], y[:500]),
        )
        print(json.dumps([peak(call)[1] for call in calls]))
    """
    *reading, weights, state, gradients = measured(code, tmp_path)
    formulas = Formulas()
    for used in reading:
        assert used < 2 * formulas.s * 3000 * formulas.widths[-1] + formulas.step(256) + 8 * 3000 + SLACK
    assert max(weights, state) < formulas.n + SLACK
    assert gradients < 2 * formulas.n + formulas.step(500) + formulas.s * 500 * formulas.inputs + SLACK


@pytest.mark.parametrize(("suffix", "times"), [(".npz", 1), (".safetensors", 3)])
def test_memory_of_files(suffix, times, tmp_path):
    """ "`save` | the size of the file, three times for `.safetensors`", and "`load` | twice the size of the
    file and 32 MiB, the model included" """
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors writes these files")
    code = f"""
        import os
        small.save("small{suffix}"), bpkern.MLP.load("small{suffix}")
        model = net(optimizer=bpkern.Adam())
        model.train_on_batch(X[:1], y[:1])
        _, saving = peak(lambda: model.save("net{suffix}"))
        _, loading = peak(lambda: bpkern.MLP.load("net{suffix}"))
        print(json.dumps([saving, loading, os.path.getsize("net{suffix}")]))
    """
    saving, loading, size = measured(code, tmp_path)
    assert saving < times * size + SLACK
    assert loading < 2 * size + (32 << 20)


def test_summary_prints_the_memory():
    """ "`model.summary(batch_size=B)` prints parameters, states and activations without the rounding." """
    summary = bpkern.MLP([100, 50, 10], loss="mse", optimizer=bpkern.Adam(), seed=0).summary(batch_size=32)
    assert summary.parameter_bytes == 4 * (101 * 50 + 51 * 10)
    assert summary.state_bytes == 2 * summary.parameter_bytes
    assert summary.activation_bytes == 4 * 32 * 160
