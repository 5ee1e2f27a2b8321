"""Models and callbacks that a user has edited, written to a file and read again.

Either the write raises a documented error and leaves the old file as it was, or the file gives back a model
with the same public face, which trains on to the same bits.
"""

import copy
import pickle
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from children import Wrong, folder_in_memory, in_children
from hostile import one
from invariants import documented, trained_bits
from journal import Journal, attack, main
from mischief import NUMBERS, VALUES

import bpkern
from bpkern import losses, schedules
from bpkern._model.core import core_of
from bpkern.callbacks import Callback

Rng = np.random.Generator

X = np.linspace(-1, 1, 40).reshape(8, 5)
LABELS = np.arange(8) % 3
REALS = np.linspace(0, 1, 24).reshape(8, 3)


def squares(outputs: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A user's loss."""
    return ((outputs - y) ** 2).mean(axis=1), 2 * (outputs - y) / y.shape[1]


def falling(iteration: int) -> float:
    """A user's learning rate."""
    return 0.01 / (1 + iteration)


class Slow(bpkern.SGD):
    """A user's optimiser."""

    __slots__ = ()


# Models before the edits -----------------------------------------------------------------------------------


class Held:
    """A trained model, and the objects that went into it and that the user still holds."""

    def __init__(self, kind: int) -> None:
        self.huber, self.generator = losses.Huber([0.5, 1.0, 2.0]), np.random.default_rng(kind)
        optimizers: tuple[Any, ...] = (
            bpkern.SGD(0.01, momentum=0.9),
            bpkern.Adam(0.01, amsgrad=True),
            bpkern.RMSprop(schedules.Cosine(0.01, 50)),
            Slow(0.01),
            bpkern.Adagrad(falling),
            bpkern.AdamW(0.01),
        )
        chosen: tuple[Any, ...] = ("cross_entropy", self.huber, "mse", squares, "cross_entropy", "poisson")
        loss = chosen[kind]
        self.y = LABELS if loss == "cross_entropy" else REALS
        self.model = bpkern.MLP(
            [5, 4, 3],
            loss=loss,
            optimizer=optimizers[kind],
            dtype=("float32", "float64")[kind % 2],
            dropout=0.1 if kind % 3 == 0 else 0.0,
            seed=self.generator,
        )
        self.fit(epochs=2, ema=0.9 if kind in (1, 2) else None, validation_split=0.25 * (kind % 2))

    def fit(self, **given: Any) -> None:
        self.model.fit(X, self.y, batch_size=4, verbose=0, **given)


KINDS = 6


# Edits -----------------------------------------------------------------------------------------------------


def value_of(rng: Rng) -> Any:
    more = (Fraction(1, 3), Decimal("0.1"), schedules.Step(0.1, 2), falling, Slow, np.float16(0.1), 2**70)
    return one(rng, (*VALUES, *NUMBERS, *more))


def edit_history(rng: Rng, held: Held) -> None:
    history = held.model.history_
    if history is None:
        return
    value = value_of(rng)
    name = one(rng, ("loss", "val_loss", "new", "lr", "", "a/b", "\0", "trained.0.weight", "x" * 300))
    column = history.setdefault(name, [0.5] * int(rng.integers(4))) if rng.random() < 0.5 else history["loss"]
    edits: tuple[Callable[[], Any], ...] = (
        lambda: column.append(one(rng, (1.0, value))),
        lambda: column.pop(),
        lambda: column.clear(),
        lambda: column.__setitem__(0, value),
        lambda: history.__setitem__(name, value),
        lambda: history.__setitem__(value, [1.0, 2.0]),
        lambda: history.pop("loss"),
        lambda: history.lr.append(0.1),
        lambda: setattr(history, "lr", value),
        lambda: setattr(history, "iterations", value),
        lambda: setattr(held.model, "history_", one(rng, (None, bpkern.History(), dict(history), value))),
    )
    one(rng, edits)()


def edit_optimizer(rng: Rng, held: Held) -> None:
    optimizer = held.model.optimizer
    setattr(optimizer, one(rng, optimizer.names), value_of(rng))


def replace_optimizer(rng: Rng, held: Held) -> None:
    held.model.optimizer = one(rng, (bpkern.SGD(0.1), Slow(0.2), bpkern.Adam(falling), value_of(rng)))


def edit_model(rng: Rng, held: Held) -> None:
    setattr(held.model, one(rng, ("stop_training", "name", "loss", "layers", "dtype")), value_of(rng))


def edit_held(rng: Rng, held: Held) -> None:
    """Objects that were given to the constructor."""
    if rng.random() < 0.5:
        held.huber.delta = value_of(rng)
    else:
        held.generator.random(int(rng.integers(4)))


EDITS = (edit_history, edit_history, edit_optimizer, edit_optimizer, replace_optimizer, edit_model, edit_held)


class Keeps(Callback):
    """A callback with any state."""

    def __init__(self, state: dict[Any, Any]) -> None:
        self.state, self.loaded = state, None

    def state_dict(self) -> Any:
        return self.state

    def load_state_dict(self, state: Any) -> None:
        self.loaded = dict(state)


def any_state(rng: Rng) -> dict[Any, Any]:
    names = ("a", "b.c", "", "0.weight", "x" * 300, 3, None, "\ud800")
    return {one(rng, names): one(rng, (value_of(rng), [value_of(rng)], (1, [2.5]), np.arange(3)))}


# Comparisons -----------------------------------------------------------------------------------------------


def is_same(a: Any, b: Any) -> bool:
    """Whether two values are equal: NaN to NaN, lists to tuples, NumPy's numbers to Python's."""
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(is_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(is_same(a[name], b[name]) for name in a)
    if callable(a) or callable(b) or a is None or b is None:
        return a == b or a is b
    a, b = (float(c) if isinstance(c, (Fraction, Decimal)) else c for c in (a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b or (a != a and b != b)
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind in "biuf" and b.dtype.kind in "biuf":
        return a.shape == b.shape and np.array_equal(a.astype(float), b.astype(float), equal_nan=True)
    return a.dtype.kind == b.dtype.kind and a.shape == b.shape and bool((a == b).all())


def as_floats(columns: dict[str, Any]) -> dict[str, list[float]]:
    """The columns of a history as they come back: None and masked values are NaN."""
    return {name: np.asarray(values, np.float64).tolist() for name, values in columns.items()}


def check_same(model: bpkern.MLP, found: bpkern.MLP, y: np.ndarray) -> None:
    """Check that both models have the same public face, and train on to the same bits."""
    faces = [
        {
            "layers": each.layers,
            "loss": each.loss,
            "dtype": str(each.dtype),
            "optimizer": (type(each.optimizer).__name__, each.optimizer.settings()),
            "history": None if each.history_ is None else as_floats(each.history_.columns()),
            "iterations": None if each.history_ is None else each.history_.iterations,
            "weights": [array for pair in each.get_weights() for array in pair],
            "outputs": each.predict(X),
        }
        for each in (model, found)
    ]
    for name in faces[0]:
        if not is_same(faces[0][name], faces[1][name]):
            raise Wrong(f"another {name}: {faces[1][name]!r}, not {faces[0][name]!r}"[:400])
    if trained_bits(model) != trained_bits(found):
        raise Wrong("other trained parameters")
    outcomes = []
    for each in (model, found):
        try:
            each.fit(X, y, batch_size=4, verbose=0)
            outcomes.append("trained")
        except (ValueError, TypeError, bpkern.DivergedError) as error:
            outcomes.append(type(error).__name__)  # the message may write a learning rate as 2 or as 2.0
    if outcomes[0] != outcomes[1] or trained_bits(model) != trained_bits(found):
        raise Wrong(f"after another epoch they differ: {outcomes}")


# Ways to a file and back -----------------------------------------------------------------------------------


def load(model: bpkern.MLP, path: Path) -> bpkern.MLP:
    """Load with the parts that no file holds: with an optimiser only if `load` asks for one."""
    custom = core_of(model).settings.custom_loss
    try:
        try:
            return bpkern.MLP.load(path, loss=custom)
        except ValueError as error:
            if "optimizer" not in str(error):
                raise
        return bpkern.MLP.load(path, loss=custom, optimizer=model.optimizer)
    except Exception as error:
        raise Wrong(f"load refused what save has written: {error}") from error


def through_a_file(rng: Rng, held: Held, path: Path) -> bpkern.MLP:
    held.model.save(path)
    return load(held.model, path)


def through_a_checkpoint(rng: Rng, held: Held, path: Path) -> bpkern.MLP:
    keeps = Keeps(any_state(rng))
    held.fit(epochs=1, checkpoint=path, callbacks=keeps)
    again = Keeps(keeps.state)
    with documented("resume", []):
        load(held.model, path).fit(
            X, held.y, epochs=1, batch_size=4, checkpoint=path, resume=True, callbacks=again, verbose=0
        )
    if again.loaded is not None and not is_same(again.loaded, keeps.state):
        raise Wrong(f"another state of a callback: {again.loaded}, not {keeps.state}"[:400])
    return load(held.model, path)


WAYS: dict[str, Callable[[Rng, Held, Path], bpkern.MLP]] = {
    "save": through_a_file,
    "checkpoint": through_a_checkpoint,
    "copy": lambda rng, held, path: held.model.copy(),
    "deepcopy": lambda rng, held, path: copy.deepcopy(held.model),
    "pickle": lambda rng, held, path: pickle.loads(pickle.dumps(held.model)),
}


@attack(trials=50_000)
def saved(journal: Journal) -> str:
    """What a user has edited is saved and loaded as it is, or save says why not and the old file is whole."""
    with folder_in_memory() as folder:
        bases = [pickle.dumps(Held(kind)) for kind in range(KINDS)]

        def work(trial: int) -> str:
            rng = journal.generator(trial)
            held = pickle.loads(one(rng, bases))
            path = Path(folder, one(rng, ("net.npz", "net.safetensors")))
            held.model.save(path)
            before, raised, done = path.read_bytes(), [], []
            for _ in range(int(rng.integers(1, 4))):
                edit = one(rng, EDITS)
                done.append(edit.__name__)
                try:
                    edit(rng, held)
                except (AttributeError, LookupError, TypeError, ValueError, RuntimeError):
                    continue  # the edit itself was refused
            way = one(rng, ("save", "save", *WAYS))
            with documented(f"{way} after {', '.join(done)}", raised):
                found = WAYS[way](rng, held, path)
                check_same(held.model, found, held.y)
                return "same"
            if path.read_bytes() != before and way != "checkpoint":
                raise Wrong(f"{way} raised {raised[-1]!r}, and the old file has changed")
            if way == "checkpoint":
                bpkern.MLP.load(path, loss=squares, optimizer=bpkern.SGD())
            if len(list(Path(folder).iterdir())) > 2:
                raise Wrong("temporary files are left")
            return "refused"

        in_children(journal, work, filtered="ignore")
    return f"{journal.figures.get('same', 0)} the same, {journal.figures.get('refused', 0)} refused"


if __name__ == "__main__":
    main(__file__)
