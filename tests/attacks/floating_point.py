"""The floating-point mode before, during and after every call.

python tests/attacks/floating_point.py [modes ...] [--trials N]
"""

import ctypes
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np
from journal import ROOT, STATE, Journal, Missing, attack, main

sys.path.insert(0, str(ROOT / "tests" / "support"))

from helpers import using

import bpkern
from bpkern._model.core import core_of
from bpkern.callbacks import Callback

# Bits of MXCSR: exception flags, denormal operands count as zero, denormal results become zero.
FLAGS, DAZ, FTZ = 0x3F, 0x40, 0x8000
INEXACT = 0x20
USUAL, USUAL_X87 = 0x1F80, 0x037F
# Masked by default, but trapped by some programs: invalid operations, divisions by zero, overflows.
TRAPS = 0x0080 | 0x0200 | 0x0400

RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((200, 7)), RNG.standard_normal((200, 3))
LABELS = RNG.integers(0, 3, 200)


@functools.cache
def shim() -> ctypes.CDLL:
    """The library that reads and writes the mode."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Missing("there is no C compiler")
    STATE.mkdir(exist_ok=True)
    library = STATE / "fp_modes.so"
    source = Path(__file__).with_name("fp_modes.c")
    subprocess.run([compiler, "-O0", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    loaded = ctypes.CDLL(str(library))
    for name in ("get_mxcsr", "get_x87"):
        getattr(loaded, name).restype = ctypes.c_uint
        getattr(loaded, name).argtypes = []
    return loaded


class Mode:
    """Sets the calling thread's mode during a block; `left` is the mode found at its end."""

    def __init__(self, mxcsr: int, x87: int) -> None:
        self.given = mxcsr, x87
        self.left = mxcsr, x87

    def __enter__(self):
        self._before = shim().get_mxcsr(), shim().get_x87()
        shim().set_x87(self.given[1])
        shim().set_mxcsr(self.given[0])
        return self

    def __exit__(self, *error):
        self.left = shim().get_mxcsr(), shim().get_x87()
        shim().set_mxcsr(self._before[0])
        shim().set_x87(self._before[1])

    def complaint(self) -> str:
        """What has changed, or "". NumPy may clear flags, and Python's arithmetic may set `INEXACT`."""
        (given, given_x87), (left, left_x87) = self.given, self.left
        if left & ~FLAGS != given & ~FLAGS or left_x87 != given_x87:
            return f"MXCSR {given:#x} became {left:#x}, x87 {given_x87:#x} {left_x87:#x}"
        if left & FLAGS & ~given & ~INEXACT:
            return f"flags {given & FLAGS:#x} became {left & FLAGS:#x}"
        return ""


class Witness(Callback):
    """Records the modes in which Python code is called."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def look(self, *arguments):
        self.seen.add(shim().get_mxcsr() & ~FLAGS)

    on_fit_begin = on_fit_end = on_epoch_begin = on_epoch_end = on_batch_begin = on_batch_end = look


class Interrupt(Callback):
    """Sends Ctrl-C while C code runs."""

    def on_epoch_begin(self, model, epoch):
        if epoch == 0:
            self.timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
            self.timer.start()


class Stop(Exception):
    """Raised by a callback."""


class Raise(Callback):
    def on_batch_end(self, model, batch, logs):
        if batch == 3:
            raise Stop


# The calls -------------------------------------------------------------------------------------------------


class Case:
    """A model, data and a witness; each method is a call, and returns what must be the same in every mode."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.dtype = str(rng.choice(["float32", "float64"]))
        self.witness = Witness()
        self.threads = int(rng.choice([1, 1, 3]))
        self.x, self.y = X.astype(self.dtype), Y.astype(self.dtype)
        hidden = [str(name) for name in rng.choice(["relu", "tanh", "gelu", "silu", "elu", "softplus"], 2)]
        optimizer = rng.choice([bpkern.SGD(0.01, 0.9), bpkern.Adam(0.01), bpkern.RMSprop(0.01)])
        self.settings = dict(activation=hidden, dtype=self.dtype, seed=1, optimizer=optimizer)
        # Made before the mode is set: NumPy draws the initial weights and rounds by the mode.
        self.model, self.other = self.make("mse"), self.make("mse", seed=3)
        self.classes = self.make("cross_entropy", dropout=0.2, l2=1e-4)
        self.narrow = bpkern.MLP([7, 4, 3], loss="mse", dtype=self.dtype, seed=2)
        self.several = [self.make("mse", seed=seed) for seed in range(4)]
        self.folder = tempfile.TemporaryDirectory()

    def make(self, loss, layers=(7, 20, 9, 3), **settings):
        return bpkern.MLP(layers, loss=loss, **(self.settings | settings))

    @staticmethod
    def bits(model):
        return {name: array.tobytes() for name, array in model.state_dict().items()}

    def fit(self, model=None, y=None, **arguments):
        model = self.model if model is None else model
        model.fit(self.x, self.y if y is None else y, n_threads=self.threads, **arguments)
        return self.bits(model)

    def fit_watched(self):
        return self.fit(callbacks=self.witness, epochs=2)

    def fit_classes(self):
        return self.fit(self.classes, LABELS, epochs=2)

    def fit_online(self):
        return self.fit(self.narrow, batch_size=1)

    def fit_stored(self):
        return self.fit(accumulate=2, clip_norm=0.5, ema=0.9, callbacks=self.witness)

    def fit_stream(self):
        def batches():
            for at in range(0, 200, 50):
                self.witness.look()
                yield self.x[at : at + 50], self.y[at : at + 50]

        self.model.fit(batches(), n_threads=self.threads)
        return self.bits(self.model)

    def fit_custom(self):
        def loss(a, y):
            self.witness.look()
            return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / a.shape[1]

        self.fit(self.make(loss))

    def fit_metric(self):
        def metric(true, predicted):
            self.witness.look()
            return 0.0

        return self.fit(metrics=metric, validation_data=(self.x, self.y))

    def fit_several(self):
        own = [{"callbacks": self.witness}, {}, {}, {}]
        bpkern.fit_many(self.several, self.x, self.y, n_threads=2, each=own)
        return [self.bits(model) for model in self.several]

    def train_on_batch(self):
        self.model.train_on_batch(self.x[:30], self.y[:30])
        return self.bits(self.model)

    def by_hand(self):
        outputs = self.model.forward(self.x, train=True)
        self.model.backward(np.ones_like(outputs))
        self.model.step(clip_norm=1.0)
        return self.bits(self.model)

    def other_types(self):
        return self.model.forward(X.astype(np.float16)).tobytes(), self.model.forward(X.tolist()).tobytes()

    def predict(self):
        return self.model.predict(self.x).tobytes()

    def predict_proba(self):
        self.classes.predict_proba(self.x)

    def evaluate(self):
        self.model.evaluate(self.x, self.y)

    def losses(self):
        return self.model.losses(self.x, self.y).tobytes()

    def gradients(self):
        return [array.tobytes() for pair in self.model.gradients(self.x, self.y)[1] for array in pair]

    def polyak(self):
        self.model.polyak_update(self.other, 0.25)
        return self.bits(self.model)

    def files(self):
        path = Path(self.folder.name) / "net.npz"
        self.model.save(path)
        return self.bits(bpkern.MLP.load(path))

    def weights(self):
        self.model.set_weights(self.model.get_weights())
        self.model.load_state_dict(self.other.state_dict())
        self.other.reset()
        return self.bits(self.model.copy())

    def kernels(self):
        kernels, real = bpkern.kernels, self.dtype
        w, b = np.full((3, 7), 0.375, real), np.zeros(3, real)  # exact in every mode
        a = kernels.linear_forward(self.x, w, b, "tanh")
        z = kernels.linear_forward(self.x, w, b)
        gelu = kernels.linear_forward(self.x, w, b, "gelu")
        w_next = np.full((3, 3), 0.125, real)
        deltas = [
            kernels.delta_backward(self.y, w_next, a, "tanh"),
            kernels.delta_backward(self.y, w_next, gelu, "gelu", z=z),
        ]
        vw, vb = np.zeros_like(w), np.zeros_like(b)
        kernels.sgd_update(w, b, self.y, self.x, 0.1, momentum=0.9, vw=vw, vb=vb)
        return [array.tobytes() for array in (a, z, gelu, *deltas, w, b, vw, vb)]

    def kernels_of_no_numbers(self):
        wild = self.x.copy()
        wild[::3], wild[1::3] = np.nan, np.inf
        return bpkern.kernels.linear_forward(
            wild, np.zeros((3, 7), self.dtype), np.zeros(3, self.dtype)
        ).tobytes()

    # Calls that raise

    def bad_row(self):
        wild = self.x.copy()
        wild[150, 2] = np.nan
        self.raises(ValueError, lambda: self.model.fit(wild, self.y, n_threads=self.threads))
        self.raises(ValueError, lambda: self.model.predict(wild))

    def bad_argument(self):
        self.raises(ValueError, lambda: self.model.fit(self.x, self.y, epochs=-1))

    def diverging_loss(self):
        self.model.optimizer = bpkern.SGD(1e12)
        self.raises(bpkern.DivergedError, lambda: self.fit(epochs=40))
        return self.bits(self.model)

    def diverging_weights(self):
        self.model.optimizer = bpkern.SGD(3e38 if self.dtype == "float32" else 1e308, 0.9)
        x, y = 1e3 * self.x, 1e3 * self.y
        self.raises(
            bpkern.DivergedError, lambda: self.model.fit(x, y, batch_size=200, n_threads=self.threads)
        )
        return self.bits(self.model)

    def no_memory(self):
        self.raises(MemoryError, lambda: self.make("mse", (2**40, 2**40, 1, 1)))

    def two_threads(self):
        with core_of(self.model).net.writing():
            thread = threading.Thread(target=lambda: self.raises(RuntimeError, self.predict))
            thread.start()
            thread.join()

    def raising_callback(self):
        self.raises(Stop, lambda: self.fit(callbacks=[self.witness, Raise()]))

    def interrupt(self):
        model = self.make("mse", (7, 64, 9, 3))
        self.raises(KeyboardInterrupt, lambda: self.fit(model, epochs=1_000_000, callbacks=Interrupt()))

    @staticmethod
    def raises(kind, call):
        try:
            call()
        except kind:
            return
        raise AssertionError(f"no {kind.__name__}")


CALLS = [name for name, value in vars(Case).items() if callable(value) and name[0] != "_"]
CALLS = [name for name in CALLS if name not in ("make", "bits", "fit", "raises")]
# Calls that wait for a signal, which only the main thread gets.
IN_MAIN = {"interrupt"}
# Calls that write numbers as text: Python's round trip of a number needs rounding to nearest.
TO_NEAREST = {"files"}


def draw_mode(rng: np.random.Generator) -> tuple[int, int]:
    mxcsr = USUAL | int(rng.choice([0, 0x2000, 0x4000, 0x6000])) | int(rng.choice([0, FTZ, DAZ, FTZ | DAZ]))
    return mxcsr | int(rng.integers(0, 64)), USUAL_X87 | int(rng.choice([0, 0x400, 0x800]))


def one_call(name: str, seed: list[int], mode: tuple[int, int]) -> tuple[object, Mode, set[int]]:
    """(result, mode, modes in which Python code was called) of a call."""
    case = Case(np.random.default_rng(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Mode(*mode) as kept:
            given = getattr(case, name)()
    case.folder.cleanup()
    return given, kept, case.witness.seen


def in_thread(function, *arguments):
    """The result of the function in a new thread, which starts in the usual mode."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*arguments)))
    thread.start()
    thread.join()
    return results[0]


@attack(trials=1500)
def modes(journal: Journal) -> str:
    """Calls restore any floating-point mode, run callbacks in it, and give the same result in every mode."""
    shim()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for trial in journal:
        rng = journal.generator(trial)
        name, mode = CALLS[trial % len(CALLS)], draw_mode(rng)
        if name in TO_NEAREST:
            mode = mode[0] & ~0x6000, USUAL_X87
        isa, seed = str(rng.choice(bpkern.available_isas())), [journal.seed, trial, 1]
        threaded = name not in IN_MAIN and rng.random() < 0.3
        with using(isa):
            plain, _, _ = one_call(name, seed, (USUAL, USUAL_X87))
            call = functools.partial(in_thread, one_call) if threaded else one_call
            given, kept, seen = call(name, seed, mode)
        where = f"{name} on {isa} in mode {mode[0]:#x}"
        if complaint := kept.complaint():
            journal.fail(trial, f"{where}: {complaint}")
        elif seen - {mode[0] & ~FLAGS}:
            journal.fail(trial, f"{where}: called back in {[hex(mode) for mode in seen]}")
        elif given != plain:
            journal.fail(trial, f"{where}: other bits than in the usual mode")
    return f"{len(CALLS)} kinds of calls, 16 modes"


TRAPPED = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np
from floating_point import USUAL, USUAL_X87, TRAPS, one_call
from helpers import using
with using({isa!r}):
    given, kept, _ = one_call({name!r}, {seed!r}, (USUAL & ~TRAPS, USUAL_X87))
assert not kept.complaint(), kept.complaint()
"""


@attack(trials=len(CALLS))
def traps(journal: Journal) -> str:
    """A program that traps invalid operations and overflows gets no trap from the kernels."""
    shim()
    for trial in journal:
        name = CALLS[trial]
        isa = str(journal.generator(trial).choice(bpkern.available_isas()))
        code = TRAPPED.format(
            folder=str(Path(__file__).parent), isa=isa, name=name, seed=[journal.seed, trial]
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode:
            journal.fail(trial, f"{name} on {isa}: exit {done.returncode} {done.stderr[-200:]}")
    return "all kinds of calls, each in a process that traps"


IMPORT = """
import sys, threading
sys.path.insert(0, {folder!r})
import ctypes
shim = ctypes.CDLL({library!r})
shim.set_mxcsr({mode})
before = shim.get_mxcsr() & ~0x3f, shim.get_x87()
import bpkern
after = shim.get_mxcsr() & ~0x3f, shim.get_x87()
seen = []
thread = threading.Thread(target=lambda: seen.append((shim.get_mxcsr() & ~0x3f, shim.get_x87())))
thread.start(); thread.join()
assert "numpy" in sys.modules and before == after == seen[0], (before, after, seen)
"""


@attack(trials=24)
def importing(journal: Journal) -> str:
    """The import does not change the floating-point mode, also not that of later threads."""
    shim()
    for trial in journal:
        isas = ["", *bpkern.available_isas()]
        mode = USUAL if trial % 2 == 0 else draw_mode(journal.generator(trial))[0]
        code = IMPORT.format(folder=str(Path(__file__).parent), library=str(STATE / "fp_modes.so"), mode=mode)
        environment = os.environ | {"BPKERN_ISA": isas[trial // 2 % len(isas)]}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            journal.fail(trial, f"mode {mode:#x}: {done.stderr[-300:]}")
    return "the usual mode and random ones, each instruction set"


if __name__ == "__main__":
    main(__file__)
