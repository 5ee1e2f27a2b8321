"""Random numbers of a model: initial weights, dropout, validation splits and shuffles.

A model draws from its generator in this order: the initial parameters of its inputs, if it has any; initial
weights layer by layer; one number for dropout, if it
has any; one number for validation splits, at the first split; one permutation per epoch.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks, _core
from . import initializers
from .parameters import Weights

if TYPE_CHECKING:
    from typing import Protocol

    from .named import Named
else:
    Protocol = object  # a real one takes a fiftieth of the package's import


def make_generator(seed: Any) -> np.random.Generator:
    """The generator of a seed. A Generator is returned itself, and so advanced by its use."""
    if seed is None or isinstance(seed, (np.random.SeedSequence, np.random.Generator)):
        return np.random.default_rng(seed)
    try:
        return np.random.default_rng(_checks.whole("seed", seed, 0))
    except TypeError:
        raise TypeError(
            f"seed must be None, a whole number, a SeedSequence or a Generator, not {seed!r}"
        ) from None


def _copy_at_start(generator: np.random.Generator, seed: Any) -> np.random.Generator:
    """A copy of a generator that `make_generator` has just returned for this seed."""
    if isinstance(seed, np.random.Generator):
        import copy  # few seeds are generators

        return copy.deepcopy(generator)
    # The same numbers again, in a sixth of the time of a copy, which is a third of that of a small model.
    source: Any = generator.bit_generator.seed_seq
    return np.random.default_rng(source)


class Shuffler(Protocol):
    """A source of row orders, such as NumPy's generators."""

    def permutation(self, x: int, /) -> np.ndarray:
        """The numbers from 0 to ``x - 1`` in a new order, shape (x,)."""


def checked_order(order: Any, rows: int) -> np.ndarray:
    """A copy of `order` as int64. ValueError unless it is a permutation."""
    array = np.array(order)
    if array.shape != (rows,) or array.dtype.kind not in "iu":
        given = f"{array.dtype} of shape {array.shape}"
        raise ValueError(f"a generator must permute the {rows} rows, not return {given}")
    if rows and not np.array_equal(np.sort(array), np.arange(rows)):
        raise ValueError(f"a generator must return each row from 0 to {rows - 1} once")
    return array.astype(np.int64, copy=False)


# Permutations of more rows take so long that they are drawn in slices, with checks for signals in between.
MOST_AT_ONCE = 1 << 18

# NumPy's bit generators, the only ones that a file may name.
BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


def _state_to_plain(state: Any) -> Any:
    """The state of a bit generator in plain Python types."""
    if isinstance(state, dict):
        return {name: _state_to_plain(value) for name, value in state.items()}
    if isinstance(state, np.ndarray):
        return {"dtype": state.dtype.name, "values": state.tolist()}
    return state if isinstance(state, str) else int(state)


# Upper bounds of the positions and flags in the state of a bit generator. NumPy does not check them: with
# larger ones it would read past the end of its buffer.
STATE_BOUNDS = {"pos": 624, "buffer_pos": 4, "has_uint32": 1}

# The largest number in any state: those of PCG64 have 128 bits.
MOST_IN_STATE = 2**128 - 1


def _state_from_plain(state: Any, example: Any, name: str = "state") -> Any:
    """The inverse of `_state_to_plain`. ValueError or TypeError if `state` has not the form of `example`."""
    if isinstance(example, dict):
        if not isinstance(state, dict) or set(state) != set(example):
            raise ValueError(f"the {name} of a bit generator must hold just {', '.join(example)}")
        if set(example) == {"dtype", "values"}:
            numbers = [_state_from_plain(number, 0, name) for number in state["values"]]
            if state["dtype"] != example["dtype"] or len(numbers) != len(example["values"]):
                raise ValueError(
                    f"the {name} of a bit generator must be {len(example['values'])} of {example['dtype']}"
                )
            return np.array(numbers, example["dtype"])
        return {key: _state_from_plain(value, example[key], key) for key, value in state.items()}
    if isinstance(example, str):
        return _checks.one_of(name, state, (example,))
    return _checks.whole(name, state, 0, STATE_BOUNDS.get(name, MOST_IN_STATE))


def _generator_in(state: dict[str, Any]) -> np.random.Generator:
    """A generator in a state of `_state_to_plain`. Raises LookupError, ValueError or TypeError."""
    name = state["bit_generator"]
    _check_name(name)
    bit_generator = getattr(np.random, name)(0)
    bit_generator.state = _state_from_plain(state, _example(name))
    return np.random.Generator(bit_generator)


@functools.cache
def _example(name: str) -> Any:
    """The form of the plain states of a bit generator."""
    return _state_to_plain(getattr(np.random, name)(0).state)


def _check_name(name: Any) -> None:
    if name not in BIT_GENERATORS:
        raise ValueError(
            f"unknown bit generator {name!r}: a model that is saved or copied may have one of "
            f"{', '.join(BIT_GENERATORS)}"
        )


class RandomState:
    """The generator of one model, and the seeds of its splits and of its dropout.

    It is not `numpy.random.RandomState`, NumPy's legacy generator.

    Parameters
    ----------
    seed : None, int, SeedSequence or Generator
    start : Generator, optional
        A generator in the initial state, to which `at_start` returns; by default a copy of the generator of
        `seed` in its present state.
    split_seed : int, optional
        The seed of all validation splits, if it has been drawn.
    dropout_key : int
        See `draw_dropout_key`.

    Attributes
    ----------
    generator : Generator
    dropout_key : int
        64 bits; 0 without dropout.
    seed : int or None
        The seed, if it was given as a number. Files do not hold it.
    """

    def __init__(
        self,
        seed: Any,
        *,
        start: np.random.Generator | None = None,
        split_seed: int | None = None,
        dropout_key: int = 0,
    ) -> None:
        self.generator = make_generator(seed)
        is_other = seed is None or isinstance(seed, (np.random.SeedSequence, np.random.Generator))
        self.seed: int | None = None if is_other else int(seed)
        self._start = _copy_at_start(self.generator, seed) if start is None else start
        self._split_seed = split_seed
        self.dropout_key = dropout_key

    def at_start(self) -> RandomState:
        """A new object in the initial state. It does not advance a Generator that the caller gave as seed."""
        import copy  # few models are reset

        fresh = RandomState(copy.deepcopy(self._start), start=self._start, dropout_key=self.dropout_key)
        fresh.seed = self.seed
        return fresh

    def draw_dropout_key(self) -> None:
        """Draw the key of the counter-based generator of the dropout masks (csrc, philox.h)."""
        drawn = self.generator.integers(2**64, dtype=np.uint64)
        self.dropout_key = _checks.whole("a number of the generator", drawn, 0, 2**64 - 1)

    def state(self) -> tuple[Any, int | None]:
        """The state that `go_back` takes. It is only valid for this object; files hold `config`."""
        return self.generator.bit_generator.state, self._split_seed

    def go_back(self, state: tuple[Any, int | None]) -> None:
        """Return to what `state` has returned, also in a Generator that the caller gave as seed."""
        self.generator.bit_generator.state, self._split_seed = state

    def config(self) -> dict[str, Any]:
        """The complete state in plain Python types, as a file holds it.

        Raises
        ------
        ValueError
            For a bit generator that is not NumPy's.
        """
        state = self.generator.bit_generator.state
        _check_name(state["bit_generator"])
        return {
            "generator": _state_to_plain(state),
            "start": _state_to_plain(self._start.bit_generator.state),
            "split_seed": self._split_seed,
            "dropout_key": self.dropout_key,
        }

    @classmethod
    def of(cls, config: dict[str, Any]) -> RandomState:
        """The object whose `config` this is.

        Raises
        ------
        LookupError, ValueError, TypeError
            For a dictionary that `config` did not return.
        """
        generator, start = _generator_in(config["generator"]), _generator_in(config["start"])
        split_seed = config["split_seed"]
        if split_seed is not None:
            split_seed = _checks.whole("split_seed", split_seed, 0, 2**63 - 1)
        dropout_key = _checks.whole("dropout_key", config["dropout_key"], 0, 2**64 - 1)
        return cls(generator, start=start, split_seed=split_seed, dropout_key=dropout_key)

    def permutation(self, rows: int) -> np.ndarray:
        """The generator's next permutation, int64 (rows,). Ctrl-C interrupts it at any number of rows.

        Raises ValueError for a subclass of Generator that returns anything else.
        """
        if type(self.generator) is not np.random.Generator:
            return checked_order(self.generator.permutation(rows), rows)
        if rows > MOST_AT_ONCE:
            return _core.permutation(self.generator, rows)
        return self.generator.permutation(rows)

    def each_initial_layer(
        self,
        init: str | initializers.Draws | Weights,
        layers: list[int],
        dtype: np.dtype[Any],
        bias: list[bool],
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """`initializers.each_initial_layer` with this generator."""
        return initializers.each_initial_layer(init, layers, self.generator, dtype, bias)

    def initial_extra(self, extra: Named, dtype: np.dtype[Any]) -> np.ndarray:
        """`Named.draw` with this generator."""
        return extra.draw(self.generator, dtype)

    def split(self, rows: int, fraction: float, classes: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on and rows to validate on: int64, each in ascending order.

        The same data gets the same split at every fit: a model never trains on the rows that validate it.

        Parameters
        ----------
        rows : int
        fraction : float
            The fraction of the rows to validate on.
        classes : ndarray, shape (rows,), or None
            Stratify: each class is in both parts in proportion.

        Raises
        ------
        ValueError
            If one part would be empty.
        """
        held_out = round(rows * fraction)
        if not 0 < held_out < rows:
            raise ValueError(f"validation_split {fraction} of {rows} rows leaves one part empty")
        if self._split_seed is None:
            drawn = self.generator.integers(2**63)
            self._split_seed = _checks.whole("a number of the generator", drawn, 0, 2**63 - 1)
        order = np.random.default_rng(self._split_seed).permutation(rows)
        if classes is not None:
            order = order[np.argsort(classes[order], kind="stable")]
        # Evenly spaced positions in a list sorted by class hold each class in proportion, to within one row.
        places = ((np.arange(held_out) + 0.5) * (rows / held_out)).astype(np.int64)
        chosen = np.zeros(rows, bool)
        chosen[order[places]] = True
        train, validation = np.flatnonzero(~chosen), np.flatnonzero(chosen)
        return train.astype(np.int64, copy=False), validation.astype(np.int64, copy=False)
