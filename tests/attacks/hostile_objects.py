"""Objects of a user's code that call `Mischief.at` whenever the package uses them, and that lie."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hostile import one
from mischief import NUMBERS, VALUES, Mischief, extreme_numbers
from public_calls import Hook, squares

import bpkern
from bpkern import losses, schedules

# Functions -------------------------------------------------------------------------------------------------


def metric(mischief: Mischief) -> Callable[..., Any]:
    def hostile(y_true: Any, y_pred: Any) -> Any:
        value = float(np.asarray(y_pred, np.float64).sum())
        mischief.at(y_true, y_pred)
        return mischief.or_lie(value, y_true, y_pred)

    return hostile


def loss(mischief: Mischief) -> Callable[..., Any]:
    def hostile(outputs: np.ndarray, y: np.ndarray) -> Any:
        values, gradient = squares(outputs, y)
        mischief.at(outputs, y)
        lies = (
            (values.mean(), gradient / len(outputs)),
            (values[:-1], gradient),
            (values, gradient[:, :-1]),
            (values, outputs),
            (values, np.broadcast_to(gradient[:1, :1], gradient.shape)),
            (values, gradient[::-1]),
            (values.astype(object), gradient),
            (values, Liar.of(gradient, mischief)),
            (Liar.of(values, mischief), gradient),
            (values, gradient, 3),
            (np.inf * values, gradient),
            (values, np.nan * gradient),
            (values,),
            values,
        )
        return mischief.or_lie((values, gradient), *lies)

    return hostile


def rate(mischief: Mischief) -> Callable[[int], Any]:
    """A learning rate that is a function."""

    def hostile(iteration: int) -> Any:
        mischief.at()
        return mischief.or_lie(0.01, 1e30, -1.0, np.nan, np.array([0.1, 0.2]))

    return hostile


class Rates(schedules.Schedule):
    """A schedule of a user, whose rates may have another shape, dtype or strides."""

    __slots__ = ("mischief",)
    names = ()

    def __init__(self, mischief: Mischief) -> None:
        super().__init__(mischief=mischief)

    def _rate(self, t: np.ndarray) -> Any:
        self.mischief.at()
        fine = np.full(np.shape(t), 0.01)
        return self.mischief.or_lie(
            fine,
            np.broadcast_to(np.float64(0.01), np.shape(t)),
            np.full(np.size(t) // 2, 0.01),
            np.full((np.size(t), 2), 0.01),
            np.full(2 * np.size(t), 0.01)[::2],
            np.full(np.size(t), 0.01, np.float32),
            np.full(np.size(t), 0.01)[:, None],
            np.zeros(0),
            Liar.of(np.full(np.size(t), 0.01), self.mischief),
        )


# Arrays ----------------------------------------------------------------------------------------------------


class Liar(np.ndarray):
    """An array whose attributes and methods lie about it."""

    mischief: Mischief | None = None

    @classmethod
    def of(cls, array: np.ndarray, mischief: Mischief) -> "Liar":
        made = np.asarray(array).view(cls)
        made.mischief = mischief
        return made

    def __array_finalize__(self, of: Any) -> None:
        self.mischief = getattr(of, "mischief", None)

    def _or_lie(self, honest: Any, *lies: Any) -> Any:
        mischief = self.__dict__.get("mischief")
        if mischief is None:
            return honest
        mischief.at()
        return mischief.or_lie(honest, *lies)

    @property
    def shape(self) -> Any:
        true = np.ndarray.shape.__get__(self)
        return self._or_lie(true, (10**6, *true[1:]), (*true[:-1], 99), (), (1,) * len(true))

    @property
    def strides(self) -> Any:
        true = np.ndarray.strides.__get__(self)
        return self._or_lie(true, (8,) * len(true), (-8,) * len(true), (10**6,) * len(true))

    @property
    def dtype(self) -> Any:
        return self._or_lie(np.ndarray.dtype.__get__(self), np.dtype("f8"), np.dtype("i8"), np.dtype("O"))

    @property
    def flags(self) -> Any:
        return self._or_lie(np.ndarray.flags.__get__(self), np.zeros(1).flags, np.zeros((2, 2)).T.flags)

    @property
    def ndim(self) -> Any:
        return self._or_lie(np.ndarray.ndim.__get__(self), 1, 2, 3)

    @property
    def size(self) -> Any:
        return self._or_lie(np.ndarray.size.__get__(self), 0, 1, 10**9)

    def __len__(self) -> int:
        return self._or_lie(super().__len__(), 10**6, 0, 1)

    def __array__(self, *arguments: Any, **named: Any) -> Any:
        return self._or_lie(np.array(self.view(np.ndarray)), np.zeros((3, 3)), np.zeros(0), np.array("x"))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        plain = [each.view(np.ndarray) if isinstance(each, Liar) else each for each in inputs]
        out = named.pop("out", None)
        if out is not None:
            named["out"] = tuple(each.view(np.ndarray) if isinstance(each, Liar) else each for each in out)
        return self._or_lie(getattr(ufunc, method)(*plain, **named), np.array(True), np.zeros(1))

    def __array_function__(self, function: Any, types: Any, arguments: Any, named: Any) -> Any:
        plain = [each.view(np.ndarray) if isinstance(each, Liar) else each for each in arguments]
        return self._or_lie(function(*plain, **named), np.zeros(1), True)

    def __getitem__(self, key: Any) -> Any:
        return self._or_lie(super().__getitem__(key), np.zeros(1), 5)

    def min(self, *arguments: Any, **named: Any) -> Any:
        return self._or_lie(self.view(np.ndarray).min(*arguments, **named), 0, 1)

    def max(self, *arguments: Any, **named: Any) -> Any:
        return self._or_lie(self.view(np.ndarray).max(*arguments, **named), 0, 1)

    def all(self, *arguments: Any, **named: Any) -> Any:
        return self._or_lie(self.view(np.ndarray).all(*arguments, **named), True)

    def sum(self, *arguments: Any, **named: Any) -> Any:
        return self._or_lie(self.view(np.ndarray).sum(*arguments, **named), 1.0)

    def astype(self, *arguments: Any, **named: Any) -> Any:
        return self._or_lie(self.view(np.ndarray).astype(*arguments, **named), np.zeros((1, 1)))

    def reshape(self, *arguments: Any, **named: Any) -> Any:
        return self._or_lie(self.view(np.ndarray).reshape(*arguments, **named), np.zeros((1, 1)))

    def copy(self, *arguments: Any, **named: Any) -> Any:
        return self._or_lie(self.view(np.ndarray).copy(*arguments, **named), np.zeros((1, 1)))


class Claims:
    """No array, but an object that claims to be one by one of the protocols."""

    def __init__(self, array: np.ndarray, mischief: Mischief, kind: str) -> None:
        self._array, self._mischief = array, mischief
        if kind == "interface":
            self.__array_interface__ = self._interface()
        elif kind == "array":
            self.__array__ = self._as_array
        elif kind == "tocsr":
            self.tocsr = lambda: self._mischief.or_lie(self, self._array)
        self.shape, self.dtype = array.shape, array.dtype

    def _interface(self) -> dict[str, Any]:
        found = dict(self._array.__array_interface__)
        found["shape"] = self._mischief.or_lie(found["shape"], (), (0,), found["shape"][:1])
        found["typestr"] = self._mischief.or_lie(found["typestr"], "|i1", "x")
        return found

    def _as_array(self, *arguments: Any, **named: Any) -> Any:
        self._mischief.at()
        return self._mischief.or_lie(self._array, self._array[:1], np.zeros(0), self)

    def __len__(self) -> int:
        return self._mischief.or_lie(len(self._array), 10**6, 0)

    def __iter__(self) -> Iterator[Any]:
        self._mischief.at()
        return iter(self._mischief.or_lie(self._array, self._array[:1], []))

    def __getitem__(self, key: Any) -> Any:
        self._mischief.at()
        return self._mischief.or_lie(self._array[key], 5)


def array(mischief: Mischief, given: np.ndarray) -> Any:
    """A hostile form of an array, or the array itself, which hostile code may change."""
    if mischief.rng is None or mischief.is_harmless:
        return given
    kinds = "liar", "liar", "interface", "array", "tocsr", "list", "objects", "zero strides"
    kind = one(mischief.rng, kinds)
    if kind == "liar":
        return Liar.of(given, mischief)
    if kind == "list":
        listed = given.tolist()
        listed[0] = one(mischief.rng, VALUES)
        return listed
    if kind == "objects":
        objects = given.astype(object)
        objects.flat[0] = Number(mischief, 1.0)
        return objects
    if kind == "zero strides":
        return np.broadcast_to(given[:1], given.shape)
    return Claims(given, mischief, kind)


class Number:
    """A number whose value changes, to `most` at the most."""

    def __init__(self, mischief: Mischief, value: Any, most: float = np.inf) -> None:
        self._mischief, self._value, self._most = mischief, value, most

    def _now(self, kind: type) -> Any:
        self._mischief.at()
        try:
            number = kind(self._mischief.or_lie(self._value, *NUMBERS))
            return kind(self._most) if number > self._most else number
        except Exception as error:
            self._mischief.raised.append(error)
            raise

    def __index__(self) -> int:
        return self._now(int)

    def __int__(self) -> int:
        return self._now(int)

    def __float__(self) -> float:
        return self._now(float)

    def __bool__(self) -> bool:
        return self._now(bool)


# Batches ---------------------------------------------------------------------------------------------------


class Batches:
    """A stream of batches that changes what it gave, and gives other things than batches.

    Without mischief it gives batches from fresh arrays. A "refilled" stream gives the same batches in one
    buffer. In a "weighted" stream every second batch has weights of 2, the others of 1: with mischief, the
    latter come without weights.
    """

    def __init__(self, mischief: Mischief, x: np.ndarray, y: np.ndarray, form: str) -> None:
        self._mischief, self._x, self._y = mischief, x, y
        self._refills = form == "refilled" and mischief.rng is not None
        self._is_weighted = form.startswith("weighted")
        self._doubled = form == "weighted first"  # the first batch is one with weights of 2

    def __iter__(self) -> Iterator[Any]:
        mischief, buffers = self._mischief, (np.empty_like(self._x[:4]), np.empty_like(self._y[:4]))
        for start in range(0, len(self._x) - 3, 4):
            x, y = self._x[start : start + 4].copy(), self._y[start : start + 4].copy()
            if self._refills:
                mischief.done.append("refill")
                buffers[0][...], buffers[1][...] = x, y
                x, y = buffers
            mischief.at()
            doubled = (start % 8 == 0) == self._doubled
            honest: tuple[Any, ...] = (x, y)
            if self._is_weighted and (doubled or mischief.rng is None):
                honest = (x, y, np.full(4, 1.0 + doubled))
            yield mischief.or_lie(
                honest,
                (x, y, np.ones(4)),
                (x, y, np.zeros(4)),
                (x, y[:-1]),
                (x[:0], y[:0]),
                (x, y, None, 3),
                (Liar.of(x, mischief), y),
                (x, Liar.of(y, mischief)),
                [x, y],
                x,
                self,
            )
            if mischief.rng is not None and not mischief.is_harmless and mischief.rng.random() < 0.2:
                extreme_numbers(mischief.rng, one(mischief.rng, (x, y)))

    def __len__(self) -> int:
        return self._mischief.or_lie(max(1, len(self._x) // 4), -1, 0, 10**9)


# Settings --------------------------------------------------------------------------------------------------


class Generator(np.random.Generator):
    """A seed whose draws have other shapes, types and values."""

    mischief: Mischief

    @classmethod
    def of(cls, mischief: Mischief) -> "Generator":
        mischief.breaks_contracts = True
        made = cls(np.random.PCG64(1))
        made.mischief = mischief
        return made

    def _or_lie(self, honest: Any, *lies: Any) -> Any:
        mischief = self.__dict__.get("mischief")
        return honest if mischief is None else (mischief.at(), mischief.or_lie(honest, *lies))[1]

    def permutation(self, x: Any, axis: int = 0) -> Any:
        fine = super().permutation(x, axis)
        return self._or_lie(fine, fine[:-1], fine + 10**6, fine.astype("f8"), fine - 5, [0], fine[::-1])

    def uniform(self, *arguments: Any, **named: Any) -> Any:
        fine = np.asarray(super().uniform(*arguments, **named))
        return self._or_lie(fine, fine[:1], fine * np.nan, fine.ravel(), 0.5)

    def standard_normal(self, *arguments: Any, **named: Any) -> Any:
        fine = np.asarray(super().standard_normal(*arguments, **named))
        return self._or_lie(fine, fine[:1], fine * np.inf, fine.ravel())

    def normal(self, *arguments: Any, **named: Any) -> Any:
        fine = np.asarray(super().normal(*arguments, **named))
        return self._or_lie(fine, fine[:1], fine * np.inf, fine.ravel())

    def integers(self, *arguments: Any, **named: Any) -> Any:
        return self._or_lie(super().integers(*arguments, **named), -5, 2**80, 0.5)

    def random(self, *arguments: Any, **named: Any) -> Any:
        return self._or_lie(super().random(*arguments, **named), -5.0, np.zeros(3))


class LyingHuber(losses.Huber):
    """A loss whose parameters have another length, and whose settings and name are others."""

    __slots__ = ("mischief",)

    def __init__(self, mischief: Mischief) -> None:
        self.mischief, mischief.breaks_contracts = mischief, True
        super().__init__(0.5)

    def settings(self) -> dict[str, Any]:
        return self.mischief.or_lie({"delta": self.delta}, {}, {"delta": -1.0}, {"x": 1, "y": 2})

    def parameters(self, outputs: int) -> Any:
        self.mischief.at()
        return self.mischief.or_lie(
            np.full(outputs, 0.5),
            np.full(1, 0.5),
            np.zeros(0),
            np.full((outputs, 2), 0.5),
            np.full(outputs, -1),
        )

    def __deepcopy__(self, memo: Any) -> "LyingHuber":
        return self  # the mischief is not copied


class LyingSGD(bpkern.SGD):
    """An optimiser whose settings change whenever they are read."""

    __slots__ = ("mischief",)

    def __init__(self, *arguments: Any, mischief: Mischief | None = None, **named: Any) -> None:
        self.mischief = mischief
        if mischief is not None:
            mischief.breaks_contracts = True
        super().__init__(*arguments, **named)

    def _or_lie(self, honest: Any, *lies: Any) -> Any:
        mischief = getattr(self, "mischief", None)
        return honest if mischief is None else (mischief.at(), mischief.or_lie(honest, *lies))[1]

    def check(self) -> None:
        self._or_lie(super().check())

    def values(self) -> Any:
        fine = super().values()
        return self._or_lie(fine, fine[:-1], (), (np.nan,) * len(fine))

    def settings(self) -> Any:
        fine = super().settings()
        return self._or_lie(fine, {}, {"x": 1}, {**fine, "lr": np.nan})

    def checked_copy(self) -> Any:
        return self._or_lie(super().checked_copy(), self, bpkern.Adam(), bpkern.SGD(np.nan))


class Weights(dict[int, float]):
    """Class weights that are others each time."""

    def __init__(self, mischief: Mischief) -> None:
        super().__init__({0: 1.0, 1: 2.0})
        self._mischief = mischief

    def items(self) -> Any:
        self._mischief.at()
        return self._mischief.or_lie(super().items(), [(0, -1.0)], [("x", 1.0)], [(10**9, 1.0)], [3])

    def __iter__(self) -> Iterator[int]:
        self._mischief.at()
        return iter(self._mischief.or_lie([0, 1], [-1], [10**9], ["x"]))

    def __getitem__(self, key: Any) -> Any:
        return self._mischief.or_lie(super().__getitem__(key), np.nan, 1e-320, 1e308)


class Path(os.PathLike):
    """A path that is another each time."""

    def __init__(self, mischief: Mischief, path: str) -> None:
        self._mischief, self._path = mischief, path

    def __fspath__(self) -> Any:
        self._mischief.at()
        return self._mischief.or_lie(self._path, f"{self._path}.npz", "/nowhere/x.npz", "x\0.npz")


class Callbacks:
    """Callbacks that are others each time they are iterated."""

    def __init__(self, mischief: Mischief) -> None:
        self._mischief = mischief

    def __iter__(self) -> Iterator[Any]:
        self._mischief.at()
        return iter(self._mischief.or_lie([Hook(self._mischief.at)], [None], [Hook], [3]))


class LyingHook(Hook):
    """Hooks whose state no file can hold."""

    def __init__(self, mischief: Mischief) -> None:
        super().__init__(mischief.at)
        self._mischief = mischief

    def state_dict(self) -> Any:
        value = self._mischief.or_lie(1, *VALUES)
        return self._mischief.or_lie({"number": value}, {"": 1}, {3: 1}, {"a": {}}, {"a\0": np.zeros(2)})
