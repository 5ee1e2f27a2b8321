"""Changed model files: loading one gives the model, or an error that names the file.

Each file is loaded in a child process in which warnings are errors and memory is limited. A model that loads
also predicts and trains.
"""

import contextlib
import hashlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from children import Wrong, folder_in_memory, in_children
from hostile import Original, one
from journal import ROOT, Journal, attack, main
from mutations import mutated

import bpkern
from bpkern import callbacks, losses, schedules
from bpkern._files import container, state
from bpkern._model.core import core_of

MOST_SECONDS, MOST_BYTES = 1.0, 32 << 20
GOLDEN = ROOT / "tests" / "golden"
SUFFIXES = (".npz", ".safetensors")

X = np.linspace(-1, 1, 40).reshape(8, 5)
Y = np.arange(8) % 3
VALUES = np.linspace(0, 1, 24).reshape(8, 3)

# Errors that a model from elsewhere may raise when it is trained further, because of its numbers.
REFUSALS = (ValueError, TypeError, bpkern.DivergedError)


# Valid files -----------------------------------------------------------------------------------------------


def make_classifier(seed: Any = 0) -> bpkern.MLP:
    optimizer = bpkern.Adam(lr=0.01, amsgrad=True)
    return bpkern.MLP(
        [5, 4, 3], loss="cross_entropy", optimizer=optimizer, dropout=0.1, label_smoothing=0.1, seed=seed
    )


def make_regressor(kind: str) -> bpkern.MLP:
    generator = np.random.Generator(getattr(np.random, kind)(3))
    return bpkern.MLP(
        [5, 17, 3],
        activation="silu",
        loss=losses.Huber([0.5, 1.0, 2.0]),
        optimizer=bpkern.RMSprop(momentum=0.5, centered=True),
        dtype="float64",
        seed=generator,
    )


class Resumed(callbacks.Callback):
    """Records whether the checkpoint was accepted: even with no epochs left, the fit then reaches its end."""

    accepted = False

    def on_fit_end(self, model: Any) -> None:
        self.accepted = True


def resume(model: bpkern.MLP, path: str, resumed: Resumed) -> None:
    """Resume the fit from a checkpoint; its two epochs are done."""
    others = [callbacks.EarlyStopping("loss", patience=9), callbacks.ReduceLROnPlateau("loss")]
    model.fit(X, Y, epochs=2, ema=0.9, callbacks=[resumed, *others], checkpoint=path, resume=True, verbose=0)


def models() -> Iterator[bpkern.MLP]:
    for kind in ("MT19937", "Philox", "SFC64"):
        model = make_regressor(kind)
        model.fit(X, VALUES, verbose=0)
        yield model
    falling = bpkern.SGD(lr=schedules.Cosine(0.01, 50, restarts=2), momentum=0.9)
    yield bpkern.MLP([5, 4, 3], loss="mse", init=make_classifier().get_weights(), optimizer=falling, seed=1)
    model = bpkern.MLP(
        [5, 1], loss="quantile", optimizer=bpkern.Adagrad(initial_accumulator_value=0.1), seed=2
    )
    model.fit(X, VALUES[:, 0], metrics="mae", validation_split=0.25, verbose=0)
    yield model


def originals(suffix: str, folder: str) -> list[Original]:
    """Valid files; the last ones are checkpoints."""
    path = os.path.join(folder, f"good{suffix}")
    found = []
    for model in models():
        model.save(path)
        found.append(Original(Path(path).read_bytes(), *container.read(path)))
    os.unlink(path)
    resume(make_classifier(), path, Resumed())
    for _ in range(2):  # about one file in three is a checkpoint
        found.append(Original(Path(path).read_bytes(), *container.read(path)))
    return found


# One file --------------------------------------------------------------------------------------------------


def use(model: bpkern.MLP) -> None:
    """Predict and make a step of training, neither of which may read or write out of bounds."""
    width, outputs = model.layers[0], model.layers[-1]
    if width * outputs > 10**6:
        return
    with contextlib.suppress(*REFUSALS):
        if not np.isfinite(model.get_weights()[0][0]).all():
            raise Wrong("weights that are not finite")
        model.predict(np.ones((2, width)))
        y = np.zeros(4, np.int64) if model.loss == "cross_entropy" else np.zeros((4, outputs))
        model.fit(np.ones((4, width)), y, validation_split=0.25, verbose=0)


def bits(model: bpkern.MLP) -> bytes:
    """The whole state of a model; optimiser states that are all zero count as absent."""
    config, arrays = state.model_state(core_of(model))
    digest = hashlib.sha256(repr((config, model.stop_training)).encode())
    for name, array in sorted(arrays.items()):
        if array.any():
            digest.update(name.encode() + array.tobytes())
    return digest.digest()


def loaded(path: str) -> bpkern.MLP | None:
    """The model of a file, or None if it is refused by name."""
    try:
        return bpkern.MLP.load(path)
    except ValueError as error:
        if path not in str(error):
            raise Wrong(f"an error that does not name the file: {error}") from error
        return None


def load(path: str) -> str:
    """Load a file and return the outcome in a word."""
    model = loaded(path)
    if model is None:
        return "refused"
    use(model)
    return "loaded"


def take_up(path: str) -> str:
    """Resume a fit from the file and return the outcome in a word."""
    model, resumed = make_classifier(), Resumed()
    before = bits(model)
    try:
        resume(model, path, resumed)
    except ValueError as error:
        if resumed.accepted:  # the error comes from a callback's state, used at the end of the fit
            return "loaded"
        if path not in str(error):
            raise Wrong(f"an error that does not name the file: {error}") from error
        if bits(model) != before:
            raise Wrong("a refused checkpoint that has changed the model") from error
        return "refused"
    use(model)
    return "loaded"


# Limits ----------------------------------------------------------------------------------------------------


def mapped() -> int:
    """The size of this process's address space in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


@contextlib.contextmanager
def limits(size: int) -> Iterator[None]:
    """Limit the block's time, and its allocations (used or not) to twice the file and a constant."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (mapped() + 2 * size + MOST_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


# The attacks -----------------------------------------------------------------------------------------------


def fuzz(journal: Journal, suffix: str) -> str:
    with folder_in_memory() as folder:
        good = originals(suffix, folder)
        path = os.path.join(folder, f"net{suffix}")

        def work(trial: int) -> str:
            rng = journal.generator(trial)
            raw = mutated(rng, suffix, good)
            Path(path).write_bytes(raw)
            attempt = one(rng, (load, load, take_up))
            with limits(len(raw)):
                start = time.process_time()  # of this process only
                word = attempt(path)
                seconds = time.process_time() - start
            if seconds > MOST_SECONDS:
                raise Wrong(f"{seconds:.2f} s for {len(raw)} bytes")
            return word

        for original in good:  # imports at the first use should not count
            Path(path).write_bytes(original.raw)
            load(path)
        Path(path).write_bytes(good[-1].raw)
        take_up(path)
        in_children(journal, work)
    return told(journal)


def told(journal: Journal) -> str:
    loaded, refused = (journal.figures.get(word, 0) for word in ("loaded", "refused"))
    return f"{refused} refused, {loaded} loaded"


@attack(trials=100_000)
def npz(journal: Journal) -> str:
    """A changed `.npz` loads or raises a ValueError that names it, in 1 s and 2 x file + 32 MiB."""
    return fuzz(journal, ".npz")


@attack(trials=100_000)
def safetensors(journal: Journal) -> str:
    """A changed `.safetensors` loads or raises a ValueError that names it, in 1 s and 2 x file + 32 MiB."""
    return fuzz(journal, ".safetensors")


# A model in both formats, small enough to try every change.
SMALL = [GOLDEN / f"v1_checkpoint{suffix}" for suffix in SUFFIXES]
SIZES = [path.stat().st_size for path in SMALL]


def damage(journal: Journal, changes: int, change: Callable[[bytes, int], bytes]) -> str:
    """Try every change, `changes` for each byte: the file is refused, or its model is the same."""
    with folder_in_memory() as folder:
        model = bpkern.MLP.load(SMALL[0])
        expected = bits(model)

        def work(trial: int) -> str:
            number, which = (trial, 0) if trial < changes * SIZES[0] else (trial - changes * SIZES[0], 1)
            path = os.path.join(folder, f"net{SUFFIXES[which]}")
            Path(path).write_bytes(change(SMALL[which].read_bytes(), number))
            found = loaded(path)
            if found is None:
                return "refused"
            if bits(found) != expected:
                raise Wrong("another model")
            return "equal"

        for first in (0, changes * SIZES[0]):
            work(first)
        in_children(journal, work)
    return " and ".join(f"{count} {word}" for word, count in sorted(journal.figures.items(), reverse=True))


def flipped(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@attack(trials=8 * sum(SIZES))
def bit_flips(journal: Journal) -> str:
    """A small model's file with any one bit flipped is refused, or loads the same weights and states."""
    return damage(journal, 8, flipped)


@attack(trials=sum(SIZES))
def truncations(journal: Journal) -> str:
    """A small model's file truncated at any place is refused."""
    result = damage(journal, 1, lambda raw, length: raw[:length])
    if journal.figures.get("equal"):
        journal.fail(0, "a truncated file loads")
    return result


@attack(trials=20_000)
def audit(journal: Journal) -> str:
    """Loading runs no code and opens no other file: audit events, with valid and changed files."""
    with folder_in_memory() as folder:
        good = {suffix: originals(suffix, folder) for suffix in SUFFIXES}
        seen: list[tuple[str, Any]] = []
        hooked: list[bool] = []
        watching = [False]

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if watching[0] and event != "builtins.id":  # copies call id()
                seen.append((event, arguments[0] if arguments else None))

        def work(trial: int) -> str:
            rng = journal.generator(trial)
            suffix = one(rng, SUFFIXES)
            raw = mutated(rng, suffix, good[suffix]) if rng.random() < 0.9 else one(rng, good[suffix]).raw
            path = os.path.join(folder, f"net{suffix}")
            Path(path).write_bytes(raw)
            if rng.random() < 0.1:
                link = os.path.join(folder, f"link{suffix}")
                os.replace(path, link)
                os.symlink(link, path)
            if not hooked:  # an audit hook cannot be removed
                sys.addaudithook(hook)
                hooked.append(True)
            seen.clear()
            watching[0] = True
            try:
                bpkern.MLP.load(path)
                word = "loaded"
            except ValueError:
                word = "refused"
            finally:
                watching[0] = False
                os.unlink(path)
            opened = [given for event, given in seen if event == "open"]
            others = [event for event in seen if event[0] != "open"]
            # By its path, and then as a file of the descriptor.
            if others or opened[0] != path or not all(type(given) is int for given in opened[1:]):
                raise Wrong(f"{seen[:3]}")
            return word

        for trial in range(100):  # imports at the first use
            with contextlib.suppress(ValueError):
                suffix = SUFFIXES[trial % 2]
                path = os.path.join(folder, f"net{suffix}")
                Path(path).write_bytes(mutated(np.random.default_rng(trial), suffix, good[suffix]))
                bpkern.MLP.load(path)
        in_children(journal, work)
    return told(journal)


if __name__ == "__main__":
    main(__file__)
