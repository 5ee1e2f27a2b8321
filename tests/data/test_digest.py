"""The digest of data changes with any shape, type or value that it covers, and with nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bpkern._data import digest
from bpkern._data.digest import digest_of
from bpkern._data.sparse import SparseRows

SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6)
DTYPES = st.sampled_from(["?", "i1", "u2", "i4", "i8", "f2", "f4", "f8", ">f4", "g"])


def different(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


@given(shape=SHAPES, dtype=DTYPES)
def test_layouts_and_byte_orders_do_not_matter(shape, dtype):
    array = different(shape, dtype)
    spread = np.zeros([2 * size for size in shape], dtype)[tuple(slice(None, None, 2) for _ in shape)]
    spread[...] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    swapped = array.astype(array.dtype.newbyteorder())
    forms = [array.copy(), np.asfortranarray(array), spread, read_only, swapped]
    assert {digest_of(form) for form in forms} == {digest_of(array)}


@given(shape=SHAPES, dtype=DTYPES, data=st.data())
def test_each_value_matters(shape, dtype, data):
    array = different(shape, dtype)
    if not array.size:
        return
    other = array.copy()
    place = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    other[place] = not other[place] if dtype == "?" else other[place] + 1
    assert digest_of(other) != digest_of(array)


def test_shapes_types_and_orders_matter():
    array = np.zeros((4, 6), np.float32)
    others = [
        array.reshape(6, 4),
        array.ravel(),
        array[:0],
        array[:, :0],
        array.astype(np.float64),
        array.view(np.int32),
        None,
        SparseRows(np.zeros(0), np.zeros(0, np.int32), np.zeros(5, np.int32), 6),
    ]
    assert len({digest_of(each) for each in [array, *others]}) == 9
    rows = np.arange(6.0)
    assert digest_of(rows[::-1]) != digest_of(rows)
    assert digest_of(rows, None) != digest_of(None, rows) != digest_of(rows) != digest_of(rows, rows)
    assert digest_of(rows[:3], rows[3:]) != digest_of(rows[:2], rows[2:])


@pytest.mark.parametrize("part", ["data", "indices", "indptr", "columns"])
def test_sparse_rows(part):
    def made(**changed):
        parts = dict(data=np.ones(3), indices=np.array([0, 2, 1]), indptr=np.array([0, 1, 3]), columns=3)
        return digest_of(SparseRows(**parts | changed))

    changed = {
        "data": np.arange(3.0),
        "indices": np.array([0, 1, 2]),
        "indptr": np.array([0, 2, 3]),
        "columns": 4,
    }
    assert made(**{part: changed[part]}) != made() == made()


def test_long_doubles_by_value():
    """Their padding is arbitrary."""
    array = np.zeros(4, np.longdouble)
    other = np.frombuffer(b"\x01" * array.nbytes, np.longdouble).copy()
    other[...] = 0
    assert digest_of(other) == digest_of(array)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(digest, "MOST_BLOCKS", 4)
    monkeypatch.setattr(digest, "BLOCK_BYTES", 3 * 8)


@pytest.mark.parametrize(("rows", "columns"), [(12, 1), (4, 3), (4, 7), (11, 1)])
def test_all_of_what_fits_the_blocks(small_blocks, rows, columns):
    array = np.zeros((rows, columns))
    found = set()
    for place in np.ndindex(array.shape):
        other = array.copy()
        other[place] = 1
        found.add(digest_of(other))
    assert len(found | {digest_of(array)}) == array.size + 1


def test_a_sample_of_more(small_blocks):
    """Four blocks of three rows out of 23: with the first and the last, and evenly spread."""
    array, seen = np.zeros(23), []
    for row in range(23):
        other = array.copy()
        other[row] = 1
        seen.append(digest_of(other) != digest_of(array))
    assert [row for row in range(23) if seen[row]] == [0, 1, 2, 6, 7, 8, 13, 14, 15, 20, 21, 22]


def test_rows_without_end():
    """Broadcast rows take no memory, and the digest reads 64 MiB of them."""
    rows = np.broadcast_to(np.int8(1), (2**62,))
    assert digest_of(rows) != digest_of(rows[1:])
