"""Batches from an iterable: what is one; reading ahead keeps order and errors, and leaves no thread."""

import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpkern._data.prefetch import Prefetched
from bpkern._data.streams import ReadBatches, as_batch, check_epochs, is_stream

X, Y = np.zeros((4, 3)), np.zeros(4)

# Seconds, so that a thread that does not end fails its test instead of blocking all tests.
WAIT = 60


@pytest.fixture(autouse=True)
def no_thread_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


class Batches:
    """Counts the items made, and sets `told` when there are `tell_at`."""

    def __init__(self, count, tell_at=0):
        self.count, self.tell_at, self.made = count, tell_at, 0
        self.told = threading.Event()

    def __iter__(self):
        for i in range(self.count):
            self.made += 1
            if self.made == self.tell_at:
                self.told.set()
            yield i


class Items:
    """An iterable that is not a list."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


class ArrayLike:
    def __iter__(self):
        return iter(X)

    def __array__(self, dtype=None, copy=None):
        return X


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        (Items([(X, Y)]), True),
        (iter([(X, Y)]), True),
        (((X, Y) for _ in range(3)), True),
        (Batches(3), True),
        (Prefetched([(X, Y)]), True),
        ([(X, Y), (X, Y)], True),
        ([(X, Y, Y)], True),
        ([[X.tolist(), Y.tolist()]], True),
        (((X, Y),), True),
        (X, False),
        (X.tolist(), False),
        ([[1.0, 2.0], [3.0, 4.0]], False),
        (tuple(map(tuple, X.tolist())), False),
        ([X[0], X[1]], False),
        ([], False),
        ("batches", False),
        (b"batches", False),
        (memoryview(X), False),
        ({"X": X}, False),
        (ArrayLike(), False),
        (3, False),
        (None, False),
    ],
)
def test_what_is_a_stream(batches, expected):
    assert is_stream(batches, None) is expected
    assert not is_stream(batches, Y)


def test_tables_and_sparse_matrices_are_no_streams():
    pandas = pytest.importorskip("pandas", reason="pandas makes the table")
    assert not is_stream(pandas.DataFrame(X), None)
    scipy = pytest.importorskip("scipy.sparse", reason="SciPy makes the matrix")
    assert not is_stream(scipy.csr_matrix(X), None)


def test_batches():
    for item in ((X, Y), [X, Y]):
        x, y, weight = as_batch(item)
        assert x is X
        assert y is Y
        assert weight is None
    assert as_batch((X, Y, Y))[2] is Y


@pytest.mark.parametrize("item", [X, None, {"X": X}, "ab", 3])
def test_what_is_no_batch(item):
    with pytest.raises(
        TypeError, match=rf"must be \(X, y\) or \(X, y, sample_weight\), not {type(item).__name__}"
    ):
        as_batch(item)


@pytest.mark.parametrize("item", [(), (X,), (X, Y, Y, Y)])
def test_batches_of_the_wrong_length(item):
    with pytest.raises(ValueError, match=f"not {len(item)} items"):
        as_batch(item)


def test_one_shot_iterators():
    for one_shot in (iter([1]), (i for i in range(3)), map(str, [1])):
        with pytest.raises(
            ValueError, match=rf"one-shot {type(one_shot).__name__}, empty after the first of 2"
        ):
            check_epochs(one_shot, 2)
        check_epochs(one_shot, 1)
        assert next(one_shot) is not None
    for again in ([1], Items([1]), Batches(3), Prefetched([1])):
        check_epochs(again, 2)


def test_items_are_read_as_they_are_fetched():
    """On the thread that fetches them, before the iterable goes on."""
    log = []

    def fetched():
        for number in range(3):
            log.append(("fetch", number, threading.current_thread()))
            yield number

    def read(item):
        log.append(("read", item, threading.current_thread()))
        return 10 * item

    assert list(Prefetched(ReadBatches(fetched(), read))) == [0, 10, 20]
    assert [what for what, _, _ in log] == ["fetch", "read"] * 3
    (thread,) = {thread for _, _, thread in log}
    assert thread is not threading.current_thread()


def test_an_item_that_cannot_be_read_is_the_last():
    error, fetched = ValueError("bad"), iter(range(9))

    def read(item):
        if item == 2:
            raise error
        return item

    assert list(ReadBatches(fetched, read)) == [0, 1, error]
    assert next(fetched) == 3


def test_an_interrupt_while_an_item_is_read_comes_through():
    def read(item):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Prefetched(ReadBatches([1], read)))


@given(count=st.integers(0, 30), depth=st.integers(1, 5))
def test_order_is_kept_again_and_again(count, depth):
    batches = Prefetched(Items(range(count)), depth)
    assert list(batches) == list(range(count))
    assert list(batches) == list(range(count))


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_so_many_are_made_ahead_and_no_more(depth):
    batches = Batches(100, tell_at=depth + 1)
    items = iter(Prefetched(batches, depth))
    assert next(items) == 0
    assert batches.told.wait(WAIT)
    # A producer that makes too many has done so once the next item is taken and the thread has ended.
    assert next(items) == 1
    items.close()
    assert depth + 1 <= batches.made <= depth + 2


def test_they_are_made_on_another_thread():
    def name():
        yield threading.current_thread()

    made_on = list(Prefetched(Items(name())))
    assert made_on != [threading.current_thread()]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("after", [0, 1, 7])
def test_an_error_comes_in_its_place(error, after):
    def broken():
        yield from range(after)
        raise error

    seen = []
    with pytest.raises(type(error)) as caught:  # noqa: PT012
        for item in Prefetched(Items(broken()), 3):
            seen.append(item)
    assert caught.value is error
    assert seen == list(range(after))


def test_what_cannot_be_iterated():
    with pytest.raises(TypeError, match="not iterable"):
        list(Prefetched(3))


@pytest.mark.parametrize("way", ["close", "with", "break", "error", "never"])
def test_ending_early_stops_a_producer_that_waits_for_room(way):
    batches = Batches(10**9, tell_at=3)
    ahead = Prefetched(batches, 2)
    if way == "close":
        items = iter(ahead)
        next(items)
        assert batches.told.wait(WAIT)
        items.close()
        with pytest.raises(StopIteration):
            next(items)
    elif way == "with":
        with ahead:
            items, others = iter(ahead), iter(ahead)
            assert next(items) == next(others) == 0
            assert batches.told.wait(WAIT)
        assert next(items, "closed") == next(others, "closed") == "closed"
    elif way == "break":
        for item in ahead:
            assert item == 0
            assert batches.told.wait(WAIT)
            break
    elif way == "error":
        with pytest.raises(ZeroDivisionError), ahead:  # noqa: PT012
            for item in ahead:
                assert batches.told.wait(WAIT)
                1 / item
    else:
        items = iter(ahead)  # never advanced
        del items
    assert batches.made <= 6


def test_a_generator_that_is_left_is_closed_when_its_thread_has_ended():
    closed = []

    class Endless:
        def __iter__(self):
            try:
                while True:
                    yield 1
            finally:
                closed.append(threading.current_thread())

    with Prefetched(Endless()) as ahead:
        items = iter(ahead)
        assert next(items) == 1
        assert closed == []
    assert len(closed) == 1


def test_an_interrupt_while_it_waits_ends_the_thread(monkeypatch):
    waiting, release = threading.Event(), threading.Event()

    def slow():
        yield 0
        release.wait(WAIT)
        yield 1

    class Interrupted(threading.Condition):
        def wait_for(self, predicate, timeout=None):
            if waiting.is_set() and threading.current_thread() is threading.main_thread():
                release.set()
                raise KeyboardInterrupt
            return super().wait_for(predicate, timeout)

    monkeypatch.setattr(threading, "Condition", Interrupted)
    items = iter(Prefetched(Items(slow())))
    assert next(items) == 0
    waiting.set()
    with pytest.raises(KeyboardInterrupt):
        next(items)


def test_items_are_not_kept():
    class Item:
        pass

    made = []

    def items():
        for _ in range(4):
            item = Item()
            made.append(weakref.ref(item))
            yield item
            del item

    iterator = iter(Prefetched(Items(items()), 1))
    item = next(iterator)
    item = next(iterator)
    assert made[0]() is None
    assert made[1]() is item
    iterator.close()
    del item
    assert all(ref() is None for ref in made)


@pytest.mark.parametrize(
    ("depth", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_depth(depth, error):
    with pytest.raises(error, match="depth must be"):
        Prefetched([], depth)
