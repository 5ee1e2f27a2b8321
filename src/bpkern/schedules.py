"""Schedules: functions of the iteration, which is the number of updates made so far.

>>> bpkern.Adam(lr=bpkern.schedules.Cosine(0.001, iterations=epochs * steps, warmup=500))

The learning rate and the weight decay of an optimiser and the dropout of a model may be schedules. What is
called the rate below, and `lr` in the arguments, is the weight decay or the probability there.

An epoch of n rows (without those of the validation split) in batches of b has ceil(n / b) iterations, with
``drop_last`` floor(n / b), and with ``accumulate=k`` a k-th of that, rounded up. They are counted over the
whole life of a model, not for each `fit`. Any callable of the iteration may be used instead; a schedule
computes all rates of an epoch in one call.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from typing import Any, ClassVar, overload

import numpy as np

from . import _checks
from ._arguments import proposes_arguments

__all__ = ["CosLog4", "Cosine", "Exponential", "FlatCos", "InverseScaling", "OneCycle", "Schedule", "Step"]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)


# The largest number of iterations, and the largest factor of a period: float64 holds their product.
MOST = 2**62


class Schedule:
    """The base class of the schedules, which are immutable.

    A call with an iteration returns the rate as a float; with an array of iterations, as a float64 array of
    the same shape.

    Parameters
    ----------
    **settings
        Those of the subclass, by name.
    """

    __slots__ = ()

    # The names of the settings, in the order of the constructor.
    names: ClassVar[tuple[str, ...]]

    def __init__(self, **settings: Any) -> None:
        for name, value in settings.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a schedule does not change: make another {type(self).__name__}")

    def settings(self) -> dict[str, Any]:
        """The settings by name.

        Returns
        -------
        dict
            In the order of the constructor.
        """
        return {name: getattr(self, name) for name in self.names}

    @overload
    def __call__(self, iteration: int) -> float: ...
    @overload
    def __call__(self, iteration: np.ndarray) -> np.ndarray: ...
    def __call__(self, iteration: int | np.ndarray) -> float | np.ndarray:
        t = np.asarray(iteration, np.float64)
        # `rates` refuses rates that overflow; those that underflow are 0.
        with np.errstate(all="ignore"):
            given = self._rate(t)
        rate = _as_rates(self, given, t.shape)
        return rate if rate.ndim else float(rate)

    def _rate(self, t: np.ndarray) -> Any:
        """The rates of the iterations t, float64 of any shape, as real numbers in the shape of t."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return type(self) is type(other) and self.settings() == other.settings()

    def __hash__(self) -> int:
        return hash((type(self), *self.settings().values()))

    def __reduce__(self) -> tuple[type[Schedule], tuple[Any, ...]]:
        return type(self), tuple(self.settings().values())

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings().items())
        return f"{type(self).__name__}({settings})"


class Step(Schedule):
    """``lr * factor**(t // every)``: PyTorch's ``StepLR``.

    Parameters
    ----------
    lr : float
        The initial rate, at least 0.
    every : int
        Iterations between two steps, at least 1.
    factor : float
        The factor of the rate at each step, at least 0.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind, as all schedules.
    """

    names = ("lr", "every", "factor")
    __slots__ = names

    lr: float
    every: int
    factor: float

    @proposes_arguments("Step")
    def __init__(self, lr: float, every: int, factor: float = 0.1) -> None:
        super().__init__(
            lr=_checks.real("lr", lr),
            every=_checks.whole("every", every, 1, MOST),
            factor=_checks.real("factor", factor),
        )

    def _rate(self, t: np.ndarray) -> np.ndarray:
        return np.asarray(self.lr * self.factor ** (t // self.every))


class Exponential(Schedule):
    """``lr * factor**(t / every)``: PyTorch's ``ExponentialLR``, except for `every`.

    Parameters
    ----------
    lr : float
        The initial rate, at least 0.
    factor : float
        The factor of the rate over `every` iterations, at least 0; above 1 the rate grows.
    every : int
        At least 1.
    """

    names = ("lr", "factor", "every")
    __slots__ = names

    lr: float
    factor: float
    every: int

    @proposes_arguments("Exponential")
    def __init__(self, lr: float, factor: float, every: int = 1) -> None:
        super().__init__(
            lr=_checks.real("lr", lr),
            factor=_checks.real("factor", factor),
            every=_checks.whole("every", every, 1, MOST),
        )

    def _rate(self, t: np.ndarray) -> np.ndarray:
        return np.asarray(self.lr * self.factor ** (t / self.every))


class InverseScaling(Schedule):
    """``lr / (t + 1)**power``: scikit-learn's "invscaling".

    Parameters
    ----------
    lr : float
        The initial rate, at least 0.
    power : float
        At least 0.
    """

    names = ("lr", "power")
    __slots__ = names

    lr: float
    power: float

    @proposes_arguments("InverseScaling")
    def __init__(self, lr: float, power: float = 0.5) -> None:
        super().__init__(lr=_checks.real("lr", lr), power=_checks.real("power", power))

    def _rate(self, t: np.ndarray) -> np.ndarray:
        return np.asarray(self.lr / (t + 1) ** self.power)


class Cosine(Schedule):
    """Half a cosine from `lr` down to `lowest` after a linear warm-up, once or periodically.

    ::

        lr * (t + 1) / (warmup + 1)                                            for t < warmup
        lowest + (lr - lowest) * (1 + cos(pi * (t - start) / period)) / 2      otherwise

    Without restarts, ``start`` is `warmup` and ``period`` is ``iterations - warmup``; from `iterations` on
    the rate stays at `lowest` (PyTorch's ``CosineAnnealingLR``). With restarts, each period starts at the end
    of the one before and is `restarts` times as long (PyTorch's ``CosineAnnealingWarmRestarts``; Loshchilov
    and Hutter, 2017).

    Parameters
    ----------
    lr : float
        The highest rate, at least 0.
    iterations : int
        The end of the first period, with the warm-up; at least 1.
    lowest : float
        The lowest rate, from 0 to `lr`.
    warmup : int
        Iterations with growing rate, from 0 to below `iterations`.
    restarts : int, optional
        The factor from the length of one period to the next, at least 1; None is a single period.
    """

    names = ("lr", "iterations", "lowest", "warmup", "restarts")
    __slots__ = names

    lr: float
    iterations: int
    lowest: float
    warmup: int
    restarts: int | None

    @proposes_arguments("Cosine")
    def __init__(
        self, lr: float, iterations: int, lowest: float = 0.0, warmup: int = 0, restarts: int | None = None
    ) -> None:
        lr, iterations = _checks.real("lr", lr), _checks.whole("iterations", iterations, 1, MOST)
        super().__init__(
            lr=lr,
            iterations=iterations,
            lowest=_checks.real("lowest", lowest, 0.0, lr),
            warmup=_checks.whole("warmup", warmup, 0, MOST),
            restarts=None if restarts is None else _checks.whole("restarts", restarts, 1, MOST),
        )
        if self.warmup >= iterations:
            raise ValueError(f"warmup must be below iterations, {iterations}, not {self.warmup}")

    def _rate(self, t: np.ndarray) -> np.ndarray:
        period = self.iterations - self.warmup
        done = np.maximum(t - self.warmup, 0)
        if self.restarts is None:
            part = np.minimum(done / period, 1)
        elif self.restarts == 1:
            part = done % period / period
        else:
            part = _part_of_growing_periods(done, period, self.restarts)
        falling = self.lowest + (self.lr - self.lowest) * (1 + np.cos(np.pi * part)) / 2
        return np.where(t < self.warmup, self.lr * (t + 1) / (self.warmup + 1), falling)


def _part_of_growing_periods(done: np.ndarray, period: int, growth: int) -> np.ndarray:
    """For each iteration the elapsed fraction of its period, from 0 to below 1."""
    starts, lengths, last = [0], [period], done.max(initial=0)
    while starts[-1] + lengths[-1] <= last:
        starts.append(starts[-1] + lengths[-1])
        lengths.append(lengths[-1] * growth)
    which = np.searchsorted(starts, done, side="right") - 1
    return np.asarray((done - np.array(starts)[which]) / np.array(lengths, np.float64)[which])


class OneCycle(Schedule):
    """Up from ``highest / div_factor`` to `highest`, then down to almost 0: PyTorch's ``OneCycleLR``.

    The rate grows until iteration ``pct_start * iterations - 1`` and falls until ``iterations - 1``, to
    ``highest / div_factor / final_div_factor``, where it stays (Smith and Topin, 2018). The momentum stays
    constant.

    Parameters
    ----------
    highest : float
        At least 0.
    iterations : int
        The length of the cycle, at least 1.
    pct_start : float
        The fraction of the iterations with growing rate, from 0 to 1.
    div_factor, final_div_factor : float
        At least 1.
    anneal : {"cos", "linear"}
        The shape of both parts: half a cosine, or a line.
    """

    names = ("highest", "iterations", "pct_start", "div_factor", "final_div_factor", "anneal")
    __slots__ = names

    highest: float
    iterations: int
    pct_start: float
    div_factor: float
    final_div_factor: float
    anneal: str

    @proposes_arguments("OneCycle")
    def __init__(
        self,
        highest: float,
        iterations: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        anneal: str = "cos",
    ) -> None:
        super().__init__(
            highest=_checks.real("highest", highest),
            iterations=_checks.whole("iterations", iterations, 1, MOST),
            pct_start=_checks.real("pct_start", pct_start, 0.0, 1.0),
            div_factor=_checks.real("div_factor", div_factor, 1.0),
            final_div_factor=_checks.real("final_div_factor", final_div_factor, 1.0),
            anneal=_checks.one_of("anneal", anneal, ("cos", "linear")),
        )

    def _rate(self, t: np.ndarray) -> np.ndarray:
        first = self.highest / self.div_factor
        last = first / self.final_div_factor
        top, end = self.pct_start * self.iterations - 1, self.iterations - 1
        t = np.minimum(t, end)
        # A phase of length 0 contains no iteration; infinity avoids the division by 0.
        up = self._between(first, self.highest, t / (top if top > 0 else math.inf))
        down = self._between(self.highest, last, (t - top) / (end - top if end > top else math.inf))
        return np.where(t <= top, up, down)

    def _between(self, start: float, end: float, part: np.ndarray) -> np.ndarray:
        """The rate after a fraction `part` of the way from `start` to `end`."""
        if self.anneal == "linear":
            return np.asarray((end - start) * part + start)
        return np.asarray(end + (start - end) / 2 * (np.cos(np.pi * part) + 1))


class _Ending(Schedule):
    """A schedule of a highest rate that ends at 0 after a number of iterations."""

    names = ("lr", "iterations")
    __slots__ = names

    lr: float
    iterations: int

    def __init__(self, lr: float, iterations: int) -> None:
        super().__init__(
            lr=_checks.real("lr", lr), iterations=_checks.whole("iterations", iterations, 1, MOST)
        )


class CosLog4(_Ending):
    """Four cosine waves from 0 to `lr` and back to 0, each twice as long as the one before.

    ::

        lr * (1 - cos(2 * pi * log2(1 + 15 * t / iterations))) / 2

    From `iterations` on the rate is 0. It is the schedule of RealMLP (Holzmüller et al., 2024), "coslog4" in
    pytabkit.

    Parameters
    ----------
    lr : float
        The highest rate, at least 0.
    iterations : int
        The length of the four waves together, at least 1.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    __slots__ = ()

    @proposes_arguments("CosLog4")
    def __init__(self, lr: float, iterations: int) -> None:
        super().__init__(lr, iterations)

    def _rate(self, t: np.ndarray) -> np.ndarray:
        part = np.minimum(t / self.iterations, 1)
        return np.asarray(self.lr * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * part))) / 2)


class FlatCos(_Ending):
    """`lr` for the first half, then half a cosine down to 0.

    ::

        lr                                                       for t < iterations / 2
        lr * (1 + cos(pi * (2 * t / iterations - 1))) / 2        otherwise

    From `iterations` on the rate is 0. It is "flat_cos" in pytabkit.

    Parameters
    ----------
    lr : float
        At least 0.
    iterations : int
        The length of both halves together, at least 1.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    __slots__ = ()

    @proposes_arguments("FlatCos")
    def __init__(self, lr: float, iterations: int) -> None:
        super().__init__(lr, iterations)

    def _rate(self, t: np.ndarray) -> np.ndarray:
        part = np.clip(2 * t / self.iterations - 1, 0, 1)
        return np.asarray(self.lr * (1 + np.cos(np.pi * part)) / 2)


# The classes by name, for files.
SCHEDULES: dict[str, type[Schedule]] = {
    each.__name__: each for each in (Step, Exponential, InverseScaling, Cosine, OneCycle, CosLog4, FlatCos)
}


def rates(
    lr: Any, first: int, count: int, what: str = "learning rate", below: float = math.inf
) -> float | np.ndarray:
    """The learning rates, or other values of a schedule, of the next iterations.

    Parameters
    ----------
    lr : float or callable
        The checked `lr` of an optimiser. A callable other than a schedule is called once per iteration.
    first : int
        The first iteration.
    count : int
        The number of iterations.
    what : str
        What the values are, for messages.
    below : float
        What all values are below.

    Returns
    -------
    float or ndarray of float64, shape (count,)
        A float for an `lr` that is a number.

    Raises
    ------
    ValueError
        For a rate that is negative, not finite or not below `below`, and for rates of another shape.
    TypeError
        For a rate that is not a number.
    """
    if not callable(lr):
        return float(lr)
    if isinstance(lr, Schedule):
        values = _as_rates(lr, lr(np.arange(first, first + count)), (count,))
    else:
        numbers = [_number(lr, iteration, what) for iteration in range(first, first + count)]
        values = np.array(numbers, np.float64)
    wrong = np.flatnonzero(~((values >= 0) & (values < below)))
    if wrong.size:
        rule = f"at least 0 and below {below:g}" if below < math.inf else "finite and at least 0"
        raise ValueError(
            f"the {what} must be {rule}: {lr!r} gives {values[wrong[0]]} at iteration {first + int(wrong[0])}"
        )
    return values


def _as_rates(schedule: Schedule, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """What a schedule returned, as a new C-contiguous float64 array of this shape: C reads it unchecked.

    Raises TypeError or ValueError.
    """
    array = np.asarray(given)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"the learning rate must be a number: {schedule!r} gives dtype {array.dtype}")
    values = np.array(array, np.float64, order="C")
    if values.shape != shape:
        raise ValueError(
            f"a schedule must give one rate per iteration, shape {shape}: {schedule!r} gives {values.shape}"
        )
    return values


def rate(lr: Any, iteration: int, what: str = "learning rate", below: float = math.inf) -> float:
    """The learning rate, or another value of a schedule, of one iteration; see `rates`."""
    values = rates(lr, iteration, 1, what, below)
    return values if isinstance(values, float) else float(values[0])


def _number(function: Any, iteration: int, what: str) -> float:
    """The rate that a function returns. Raises TypeError unless it is a real number."""
    value = function(iteration)
    array = np.asarray(value)
    if array.ndim or array.dtype.kind not in "iuf":
        raise TypeError(f"the {what} must be a number: {function!r} gives {value!r} at {iteration}")
    return float(array)
