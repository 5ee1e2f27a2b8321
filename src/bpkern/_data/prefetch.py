"""Items of an iterable, fetched ahead on another thread."""

import threading
import weakref
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Generic, TypeVar

from .._checks import whole

Item = TypeVar("Item")

# The most seconds that closing waits for the thread after Ctrl-C.
PATIENCE = 0.5

# Seconds after which a thread that waits for another wakes up, so that Python handles signals.
AWAKE = 0.1


class Prefetched(Generic[Item]):
    """The items of an iterable in their order, fetched on another thread while earlier ones are used.

    Each pass over this object has its own thread, which ends when the pass is closed, deleted or done.
    Leaving the context manager closes all passes. Closing waits for the item that is being fetched and for no
    other. After Ctrl-C it waits for `PATIENCE` at most, because the item may never come; the thread is a
    daemon, and ends when the item comes. If the system starts no thread, the pass fetches each item when it
    is needed.

    Parameters
    ----------
    batches : iterable
        Iterated anew in each pass. An exception that it raises is raised in place of the next item.
    depth : int
        The number of items to fetch ahead, at least 1.
    """

    def __init__(self, batches: Iterable[Item], depth: int = 2) -> None:
        self._batches = batches
        self._depth = whole("depth", depth, 1)
        self._open: weakref.WeakSet[Generator[Item, None, None]] = weakref.WeakSet()
        # The passes within the context manager, which closes them: an exception that leaves a loop deletes
        # the loop's iterator before the context manager learns of it.
        self._held: list[Generator[Item, None, None]] | None = None
        self._patience: float | None = None  # seconds to wait for a thread; None is no limit

    def __iter__(self) -> Generator[Item, None, None]:
        self._patience = None
        items = self._items()
        self._open.add(items)
        if self._held is not None:
            self._held.append(items)
        return items

    def _items(self) -> Generator[Item, None, None]:
        shelf: _Shelf[Item] = _Shelf(self._depth)
        thread = threading.Thread(
            target=_fill, args=(shelf, self._batches), name="bpkern batches", daemon=True
        )
        try:
            if _has_started(thread):
                yield from shelf.taken()
            else:
                yield from self._batches
        except KeyboardInterrupt:
            self._patience = PATIENCE
            raise
        finally:
            shelf.close()
            if thread.ident is not None:
                thread.join(self._patience)

    def close(self) -> None:
        """End all passes and their threads."""
        self._held = None
        for items in list(self._open):
            items.close()

    def __enter__(self) -> "Prefetched[Item]":
        self._held = []
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._patience = PATIENCE
        self.close()


class _Shelf(Generic[Item]):
    """A bounded queue from a thread that puts items to a thread that takes them.

    The first waits while the shelf is full, the second while it is empty. `close` wakes the first.
    """

    def __init__(self, room: int) -> None:
        self._items: deque[Item] = deque()
        self._room = room
        self._error: BaseException | None = None
        self._ended = self._closed = False
        self._changed = threading.Condition()

    def has_room(self) -> bool:
        """Wait for room for an item; False if the shelf is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._room)
            return not self._closed

    def put(self, item: Item) -> None:
        """Add an item. `has_room` has returned True, and only this thread puts items."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def end(self, error: BaseException | None) -> None:
        """No more items will be put; after the last one, `error` is raised unless it is None."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """No more items will be taken."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def taken(self) -> Iterator[Item]:
        """The items as they come, and then the error of `end`."""
        while True:
            with self._changed:
                # A signal that comes just before the thread sleeps does not wake it: it wakes by itself.
                while not self._changed.wait_for(lambda: self._items or self._ended, AWAKE):
                    pass
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item  # to free it while waiting for the next
        if self._error is not None:
            raise self._error


def _has_started(thread: threading.Thread) -> bool:
    """Start a thread; False if the system starts no more."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def _fill(shelf: _Shelf[Item], batches: Iterable[Item]) -> None:
    """Put all items on the shelf, until it is closed: the work of the fetching thread."""
    try:
        items = iter(batches)
        while shelf.has_room():
            try:
                item = next(items)
            except StopIteration:
                break
            shelf.put(item)
            del item  # to free it while waiting for room
    except BaseException as error:  # of any kind, to be raised in the other thread
        shelf.end(error)
    else:
        shelf.end(None)
