"""Batches that come one by one from an iterable: what is one, and reading it ahead on another thread."""

import threading
import weakref
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from .._checks import whole

Item = TypeVar("Item")

# What says of an object that it is an array, a table or a sparse matrix, though it can be iterated as well.
ARRAY_MARKS = ("__array__", "__array_interface__", "__dlpack__", "tocsr")


def is_stream(X: Any, y: Any) -> bool:
    """Whether X, without a y, is an iterable of batches and no array-like.

    Lists and tuples are streams where their first item is a batch: rows of numbers are no batches.
    """
    if y is not None or not hasattr(X, "__iter__"):
        return False
    if isinstance(X, (list, tuple)):
        return bool(X) and _looks_like_batch(X[0])
    if isinstance(X, (str, bytes, bytearray, memoryview, Mapping)):
        return False
    return not any(hasattr(X, mark) for mark in ARRAY_MARKS)


def _looks_like_batch(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and len(item) in (2, 3) and np.iterable(item[0])


def check_epochs(batches: Iterable[Any], epochs: int) -> None:
    """Raise ValueError where the batches can be gone through once only, and there are more epochs."""
    if epochs > 1 and isinstance(batches, Iterator) and iter(batches) is batches:
        raise ValueError(
            f"X is a one-shot {type(batches).__name__}, empty after the first of {epochs} epochs: "
            "pass an object whose __iter__ starts anew"
        )


def as_batch(item: Any) -> tuple[Any, Any, Any]:
    """An item of a stream as X, y and sample weights or None.

    Raises
    ------
    TypeError, ValueError
        Where it is neither (X, y) nor (X, y, sample_weight).
    """
    if not isinstance(item, (tuple, list)):
        raise TypeError(f"a batch must be (X, y) or (X, y, sample_weight), not {type(item).__name__}")
    if len(item) not in (2, 3):
        raise ValueError(f"a batch must be (X, y) or (X, y, sample_weight), not {len(item)} items")
    return (*item, None) if len(item) == 2 else (item[0], item[1], item[2])


class Prefetched(Generic[Item]):
    """The items of an iterable in their order, made on another thread while earlier ones are worked on.

    Each iteration has a thread, which ends when the iteration is closed, dropped or done; the context manager
    closes those under way. Ending waits for the item that is being made, and for no other.

    Parameters
    ----------
    batches : iterable
        Iterated anew for each iteration. Its exception comes where its item would have come.
    depth : int
        How many items, at least 1, are made before they are asked for.
    """

    def __init__(self, batches: Iterable[Item], depth: int = 2) -> None:
        self._batches = batches
        self._depth = whole("depth", depth, 1)
        self._open: weakref.WeakSet[Generator[Item, None, None]] = weakref.WeakSet()

    def __iter__(self) -> Generator[Item, None, None]:
        items = self._items()
        self._open.add(items)
        return items

    def _items(self) -> Generator[Item, None, None]:
        shelf: _Shelf[Item] = _Shelf(self._depth)
        thread = threading.Thread(
            target=_fill, args=(shelf, self._batches), name="bpkern batches", daemon=True
        )
        try:
            thread.start()
            yield from shelf.taken()
        finally:
            shelf.close()
            if thread.ident is not None:
                thread.join()

    def close(self) -> None:
        """End the iterations under way, and their threads."""
        for items in list(self._open):
            items.close()

    def __enter__(self) -> "Prefetched[Item]":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Shelf(Generic[Item]):
    """Where one thread puts items and another takes them; both wait, until it is closed."""

    def __init__(self, room: int) -> None:
        self._items: deque[Item] = deque()
        self._room = room
        self._error: BaseException | None = None
        self._ended = self._closed = False
        self._changed = threading.Condition()

    def has_room(self) -> bool:
        """Wait for room for one more; False where nobody will take it."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._room)
            return not self._closed

    def put(self, item: Item) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def end(self, error: BaseException | None) -> None:
        """Nothing more will come but, after the last item, the error."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will be taken."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def taken(self) -> Iterator[Item]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended)
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item  # or it would be kept while the next is waited for
        if self._error is not None:
            raise self._error


def _fill(shelf: _Shelf[Item], batches: Iterable[Item]) -> None:
    try:
        items = iter(batches)
        while shelf.has_room():
            try:
                item = next(items)
            except StopIteration:
                break
            shelf.put(item)
            del item  # or it would be kept while there is no room
    except BaseException as error:  # whatever it is, the other thread raises it
        shelf.end(error)
    else:
        shelf.end(None)
