"""What hostile code does when it is called, as a generator of its own decides.

It reads, writes, lies, raises, deletes, changes settings, and calls the model again.

Every hook calls `Mischief.at` with the objects that the package has handed to it. Harmless mischief only
calls methods that read the model, and writes to what it was handed: a fit must then give the same bits as
without it.
"""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from hostile import one
from invariants import DOCUMENTED, judge
from public_calls import CHANGING, READING, World

import bpkern
from bpkern import schedules

Rng = np.random.Generator


class Own(Exception):
    """An error of the user."""


class OwnBase(BaseException):
    """An error of the user that is not an Exception."""


ERRORS: tuple[type[BaseException], ...] = (
    *(Own, OwnBase, KeyboardInterrupt, MemoryError, StopIteration, GeneratorExit, IndexError, KeyError),
    *(ValueError, TypeError, RuntimeError, OSError, AttributeError, ZeroDivisionError, RecursionError),
)

# Further errors where a subclass lies about what it is.
BREACHES = (AttributeError, LookupError, ArithmeticError)

# Numbers to write and to return.
NUMBERS: tuple[Any, ...] = (
    *(-1, 0, 1, 2, 7, 999, 2**31, 2**40, 2**62, -(2**63), 0.5, -0.0, 1e-320, 1e30, 1e300, -1e300),
    *(np.nan, np.inf, -np.inf, True, 10**400),
)
VALUES: tuple[Any, ...] = (
    *NUMBERS,
    *(None, "x", b"x", "", (), [], [1.0], {}, object(), int, 1j, np.float32(0.5), np.int8(-1)),
    *(np.array(0.5), np.array([0.5]), np.zeros((0,)), np.zeros((2, 0)), np.array([None, "x"])),
    *(np.ma.masked, np.array("2020", "M8[Y]"), np.zeros(2, "f4,f8"), np.longdouble(1)),
)

Action = Callable[["Mischief", tuple[Any, ...]], None]


def extreme_numbers(rng: Rng, array: np.ndarray) -> None:
    """Write a number into some places of an array, without warnings."""
    with np.errstate(all="ignore"):
        places = rng.random(array.shape) < one(rng, (0.1, 1.0))
        array[places] = np.asarray(one(rng, NUMBERS[:-1])).astype(array.dtype)


class Mischief:
    """The decisions of the hostile code of one trial.

    Parameters
    ----------
    rng : Generator
        None for hostile code that does nothing.
    world : World
    is_harmless : bool

    Attributes
    ----------
    done : list of str
        The names of its actions, for messages.
    raised : list of exceptions
        Those that hostile code has raised, which may come out of the call.
    changed_arrays, edited : bool
        Whether hostile code has changed the caller's own arrays; settings or history.
    breaks_contracts : bool
        Whether a method of a base class of this package or of NumPy was overridden by one that lies. The kind
        of the error is then no promise, but all else is.
    """

    def __init__(self, rng: Rng | None, world: World, is_harmless: bool) -> None:
        self.rng, self.world, self.is_harmless = rng, world, is_harmless
        self.raised: list[BaseException] = []
        self.done: list[str] = []
        self.changed_arrays = self.edited = self.breaks_contracts = False
        self.model: bpkern.MLP | None = None
        # So many actions, in a chain of so many calls inside each other.
        self._left = 0 if rng is None else int(rng.integers(1, 8))
        self._depth = 0

    def at(self, *handed: Any) -> None:
        """Hostile code is called, and was handed these objects."""
        if self._left <= 0 or self._depth > 1 or self.rng is None or self.rng.random() < 0.5:
            return
        self._left -= 1
        self._depth += 1
        try:
            actions = HARMLESS if self.is_harmless else (*HARMLESS, *HARMFUL)
            action = one(self.rng, actions)
            self.done.append(action.__name__)
            action(self, handed)
        finally:
            self._depth -= 1

    def or_lie(self, honest: Any, *lies: Any) -> Any:
        """The honest value, or one of the lies, or any value."""
        if self.rng is None or self.is_harmless or self.rng.random() < 0.8:
            return honest
        return one(self.rng, lies) if lies and self.rng.random() < 0.7 else one(self.rng, VALUES)

    @contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """A context that ends with any error that may come out of a call."""
        try:
            yield
        except BaseException as error:
            judge(what, error, self.raised, BREACHES if self.breaks_contracts else ())

    def raise_error(self) -> None:
        assert self.rng is not None
        error = one(self.rng, ERRORS)("the user's")
        self.raised.append(error)
        raise error

    def call(self, calls: dict[str, Any]) -> None:
        """A public call on the model from within hostile code, which sometimes lets its error pass."""
        if self.model is None or self.rng is None:
            return
        name = one(self.rng, sorted(calls))
        if name in ("__init__", "history_, edited", "history_, None", "lr, schedule"):
            self.edited = True
        before = len(self.raised)
        with self.calling(f"{name} within a hook"):
            calls[name](self.world, self.model)
        if len(self.raised) > before and not self.is_harmless and self.rng.random() < 0.2:
            raise self.raised[-1]


# Harmless actions ------------------------------------------------------------------------------------------


def _arrays(handed: tuple[Any, ...]) -> list[np.ndarray]:
    return [each for each in handed if isinstance(each, np.ndarray)]


def read(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    mischief.call(READING)


def write(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    """Write to what was handed, which may refuse."""
    assert mischief.rng is not None
    for array in _arrays(handed):
        with suppress(ValueError, TypeError, OverflowError):
            extreme_numbers(mischief.rng, array)
    for each in handed:
        if isinstance(each, dict):
            each.update(loss=-1.0, other="x")


def reshape(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    """Change the attributes of the arrays that were handed."""
    assert mischief.rng is not None
    for array in _arrays(handed):
        name, value = one(
            mischief.rng,
            (
                *(("shape", (array.size,)), ("shape", (1, array.size)), ("dtype", np.int8)),
                *(("strides", (0,) * array.ndim), ("dtype", np.complex64)),
            ),
        )
        with suppress(ValueError, TypeError, AttributeError):
            setattr(array, name, value)


def shrink(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    for array in _arrays(handed):
        with suppress(ValueError, TypeError):
            array.resize((0,))


def collect(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    gc.collect(0)


def read_in_a_thread(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    thread = threading.Thread(target=_quietly, args=(mischief.world, mischief.model))
    thread.start()
    thread.join()


def _quietly(world: World, model: bpkern.MLP | None) -> None:
    with suppress(*DOCUMENTED):
        if model is not None:
            model.predict(world.reading[0])


def catch(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    try:
        raise Own
    except Own:
        pass


HARMLESS: tuple[Action, ...] = (read, read, read, write, write, reshape, shrink, collect, catch)


# Harmful actions -------------------------------------------------------------------------------------------


def change(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    mischief.call(CHANGING)


def force(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    """Make what was handed writeable, and write."""
    assert mischief.rng is not None
    for array in _arrays(handed):
        try:
            array.flags.writeable = True
        except ValueError:
            continue
        mischief.changed_arrays = True
        extreme_numbers(mischief.rng, array)


def change_own_arrays(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    """The caller changes the arrays that were given to the call, and all of their attributes."""
    assert mischief.rng is not None
    world = mischief.world
    mischief.changed_arrays = True
    array = one(mischief.rng, (world.x, world.y, world.weights))
    what = one(mischief.rng, ("values", "values", "shape", "dtype", "strides", "resize"))
    try:
        if what == "values":
            extreme_numbers(mischief.rng, array)
        elif what == "shape":
            array.shape = (array.size,)
        elif what == "dtype":
            array.dtype = one(mischief.rng, (np.int8, np.complex64, np.uint16, np.float16, "S1", "f4,f4"))
        elif what == "strides":
            array.strides = (0,) * array.ndim
        else:
            array.resize(one(mischief.rng, ((0,), (1,), (2 * array.size,))))
    except (ValueError, TypeError, AttributeError):
        pass


def forget(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    """Drop the caller's references to its arrays."""
    world = mischief.world
    mischief.changed_arrays = True
    world.x, world.y, world.weights = (np.zeros((1, 1)) for _ in range(3))
    gc.collect(0)


def change_settings(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    assert mischief.rng is not None
    if mischief.model is None:
        return
    mischief.edited = True
    rng, model = mischief.rng, mischief.model
    value = one(rng, (*VALUES, schedules.Step(0.1, 2), lambda iteration: one(rng, VALUES)))
    what = one(rng, ("lr", "weight_decay", "optimizer", "stop_training", "history_", "threads"))
    with mischief.calling(f"setting {what}"):
        if what == "threads":
            bpkern.set_num_threads(int(rng.integers(1, 4)))
        else:
            setattr(model.optimizer if what in ("lr", "weight_decay") else model, what, value)


def raise_error(mischief: Mischief, handed: tuple[Any, ...]) -> None:
    mischief.raise_error()


HARMFUL: tuple[Action, ...] = (
    *(change, change, change, force, change_own_arrays, change_own_arrays, forget, change_settings),
    *(raise_error, raise_error, read_in_a_thread),
)
