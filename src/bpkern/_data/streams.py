"""Batches from an iterable: which X is one, which item is a batch, and reading them as they are fetched."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

Batch = TypeVar("Batch")

# Attributes of arrays, tables and sparse matrices, which are iterable as well.
ARRAY_MARKS = ("__array__", "__array_interface__", "__dlpack__", "tocsr")


def is_stream(X: Any, y: Any) -> bool:
    """Whether X, given without y, is an iterable of batches instead of an array-like.

    A list or tuple is one if its first item is a batch; rows of numbers are not batches.
    """
    if y is not None or not hasattr(X, "__iter__"):
        return False
    if isinstance(X, (list, tuple)):
        return bool(X) and _looks_like_batch(X[0])
    if isinstance(X, (str, bytes, bytearray, memoryview, Mapping)):
        return False
    return not any(hasattr(X, mark) for mark in ARRAY_MARKS)


def _looks_like_batch(item: Any) -> bool:
    """Whether an item may be (X, y) or (X, y, sample_weight), whose X is iterable."""
    return isinstance(item, (list, tuple)) and len(item) in (2, 3) and np.iterable(item[0])


def check_epochs(batches: Iterable[Any], epochs: int) -> None:
    """Raise ValueError if the batches can be iterated only once and there are several epochs."""
    if epochs > 1 and isinstance(batches, Iterator) and iter(batches) is batches:
        raise ValueError(
            f"X is a one-shot {type(batches).__name__}, empty after the first of {epochs} epochs: "
            "pass an object whose __iter__ starts anew"
        )


def as_batch(item: Any) -> tuple[Any, Any, Any]:
    """An item of a stream as (X, y, sample_weight or None).

    Raises
    ------
    TypeError, ValueError
        If it is neither (X, y) nor (X, y, sample_weight).
    """
    if not isinstance(item, (tuple, list)):
        raise TypeError(f"a batch must be (X, y) or (X, y, sample_weight), not {type(item).__name__}")
    if len(item) not in (2, 3):
        raise ValueError(f"a batch must be (X, y) or (X, y, sample_weight), not {len(item)} items")
    return (*item, None) if len(item) == 2 else (item[0], item[1], item[2])


class ReadBatches(Generic[Batch]):
    """The items of an iterable, each read as soon as it is fetched.

    The iterable may use the memory of an item again for the next one, so `read` must copy the item.

    Parameters
    ----------
    batches : iterable
    read : callable
        Makes a batch of an item. If it raises, its exception is given in place of the batch, as the last one.
    """

    def __init__(self, batches: Iterable[Any], read: Callable[[Any], Batch]) -> None:
        self._batches, self._read = batches, read

    def __iter__(self) -> Iterator[Batch | Exception]:
        for item in self._batches:
            try:
                batch: Batch | Exception = self._read(item)
            except Exception as error:
                batch = error
            del item  # to free it while waiting for room
            yield batch
            if isinstance(batch, Exception):
                return
            del batch
