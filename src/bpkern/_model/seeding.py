"""Random numbers: the generator of a model, and the split that validation takes.

A model consumes its generator in this order: initial weights layer by layer, one number for dropout where
there is any, one for the splits when the first is asked for, then one permutation an epoch.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import copy
from typing import Any, Protocol

import numpy as np

from .. import _checks, _core
from . import initializers
from .parameters import Weights


def make_generator(seed: Any) -> np.random.Generator:
    """The generator a seed stands for; a Generator is taken as it is, and consumed."""
    if seed is None or isinstance(seed, (np.random.SeedSequence, np.random.Generator)):
        return np.random.default_rng(seed)
    try:
        return np.random.default_rng(_checks.whole("seed", seed, 0))
    except TypeError:
        raise TypeError(
            f"seed must be None, a whole number, a SeedSequence or a Generator, not {seed!r}"
        ) from None


class Shuffler(Protocol):
    """What has orders of rows: NumPy's generators do."""

    def permutation(self, x: int, /) -> np.ndarray:
        """The numbers from 0 to below `x` in a new order."""


# Of more rows an order takes so long that it is drawn in slices.
MOST_AT_ONCE = 1 << 18

# Those of NumPy: a file cannot name anything else.
BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


def _plain(state: Any) -> Any:
    """The state of a bit generator without NumPy's types."""
    if isinstance(state, dict):
        return {name: _plain(value) for name, value in state.items()}
    if isinstance(state, np.ndarray):
        return {"dtype": state.dtype.name, "values": state.tolist()}
    return state if isinstance(state, str) else int(state)


# The places in a buffer and the flag of a bit generator's state, and the most that each may be. NumPy takes
# any number, and reads the memory beyond.
PLACES = {"pos": 624, "buffer_pos": 4, "has_uint32": 1}


def _unplain(state: Any, example: Any, name: str = "state") -> Any:
    """What `_plain` was given, where it is of the same form as the example."""
    if isinstance(example, dict):
        if not isinstance(state, dict) or set(state) != set(example):
            raise ValueError(f"the {name} of a bit generator must hold just {', '.join(example)}")
        if set(example) == {"dtype", "values"}:
            numbers = [_unplain(number, 0, name) for number in state["values"]]
            if state["dtype"] != example["dtype"] or len(numbers) != len(example["values"]):
                raise ValueError(
                    f"the {name} of a bit generator must be {len(example['values'])} of {example['dtype']}"
                )
            return np.array(numbers, example["dtype"])
        return {key: _unplain(value, example[key], key) for key, value in state.items()}
    if isinstance(example, str):
        return _checks.one_of(name, state, (example,))
    return _checks.whole(name, state, 0, PLACES.get(name, 2**128 - 1))


def _generator_in(state: dict[str, Any]) -> np.random.Generator:
    name = state["bit_generator"]
    _check_name(name)
    bit_generator = getattr(np.random, name)(0)
    bit_generator.state = _unplain(state, _plain(bit_generator.state))
    return np.random.Generator(bit_generator)


def _check_name(name: Any) -> None:
    if name not in BIT_GENERATORS:
        raise ValueError(
            f"unknown bit generator {name!r}: a model that is saved or copied may have one of "
            f"{', '.join(BIT_GENERATORS)}"
        )


class RandomState:
    """The generator of one model and the numbers that its splits and its dropout come from.

    Parameters
    ----------
    seed : None, int, SeedSequence or Generator
    """

    def __init__(self, seed: Any) -> None:
        self.generator = make_generator(seed)
        self._start = copy.deepcopy(self.generator)
        self._split_seed: int | None = None
        self.dropout_key = 0

    def at_start(self) -> RandomState:
        """Another in the state at the start. A caller's Generator is left alone from there on."""
        random = copy.copy(self)
        random.generator = copy.deepcopy(self._start)
        random._split_seed = None
        return random

    def draw_dropout_key(self) -> None:
        """The key of the generator that says which activations are dropped (csrc/philox.h)."""
        self.dropout_key = int(self.generator.integers(2**64, dtype=np.uint64))

    def state(self) -> tuple[Any, int | None]:
        """What `go_back` takes."""
        return self.generator.bit_generator.state, self._split_seed

    def go_back(self, state: tuple[Any, int | None]) -> None:
        """To the state of then, the generator of a caller included."""
        self.generator.bit_generator.state, self._split_seed = state

    def config(self) -> dict[str, Any]:
        """All of it as values that a file holds.

        Raises
        ------
        ValueError
            For a bit generator that is not NumPy's.
        """
        _check_name(self.generator.bit_generator.state["bit_generator"])
        return {
            "generator": _plain(self.generator.bit_generator.state),
            "start": _plain(self._start.bit_generator.state),
            "split_seed": self._split_seed,
            "dropout_key": self.dropout_key,
        }

    @classmethod
    def of(cls, config: dict[str, Any]) -> RandomState:
        """What `config` was taken of."""
        random = cls(_generator_in(config["generator"]))
        random._start = _generator_in(config["start"])
        if config["split_seed"] is not None:
            random._split_seed = _checks.whole("split_seed", config["split_seed"], 0, 2**63 - 1)
        random.dropout_key = _checks.whole("dropout_key", config["dropout_key"], 0, 2**64 - 1)
        return random

    def permutation(self, rows: int) -> np.ndarray:
        """The generator's next, broken off by Ctrl-C wherever it is."""
        if rows > MOST_AT_ONCE:
            return _core.permutation(self.generator, rows)
        return self.generator.permutation(rows)

    def initial_weights(
        self, init: str | Weights, layers: list[int], activations: list[str], dtype: np.dtype[Any]
    ) -> Weights:
        """Those of `initializers.initial_weights`, drawn from this generator."""
        return initializers.initial_weights(init, layers, activations, self.generator, dtype)

    def split(self, rows: int, fraction: float, classes: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on and rows to validate on, each in ascending order.

        The same data gets the same split every time, so that a model that goes on training never sees the
        rows it is judged by. With `classes` (rows,) each class is in both parts in proportion.
        """
        held_out = round(rows * fraction)
        if not 0 < held_out < rows:
            raise ValueError(f"validation_split {fraction} of {rows} rows leaves one part empty")
        if self._split_seed is None:
            self._split_seed = int(self.generator.integers(2**63))
        order = np.random.default_rng(self._split_seed).permutation(rows)
        if classes is not None:
            order = order[np.argsort(classes[order], kind="stable")]
        # Evenly spaced places in a list sorted by class hold the classes in proportion, to within one row.
        places = ((np.arange(held_out) + 0.5) * (rows / held_out)).astype(np.int64)
        chosen = np.zeros(rows, bool)
        chosen[order[places]] = True
        train, validation = np.flatnonzero(~chosen), np.flatnonzero(chosen)
        return train.astype(np.int64, copy=False), validation.astype(np.int64, copy=False)
