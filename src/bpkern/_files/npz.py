"""Arrays and metadata as NumPy's .npz: a zip archive of .npy members, without compression."""

import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from .text import METADATA, MOST_TEXT, parse

# The start of an array as NumPy writes it, in version 1.0 of its format.
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"\{'descr': '(?P<dtype>[<|][biuf][1248])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>[0-9, ]*)\), \} *\n",
    re.DOTALL,
)


def write(file: BinaryIO, metadata: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write an archive. The metadata become a member of their own, an array of the bytes of JSON."""
    text = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {METADATA: text, **arrays}.items():
            # Without a time, so that the same model makes the same file.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def read(raw: bytes) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Metadata and arrays of an archive, the arrays by name in sorted order.

    Raises
    ------
    ValueError, or another of `container.DAMAGED`
    """
    try:
        with zipfile.ZipFile(_Directory(raw)) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from None
    stored: dict[str, np.ndarray] = {}
    total = 0
    for info in members:
        total += info.file_size
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise ValueError(f"its member {info.filename} is compressed or encrypted")
        if info.compress_size != info.file_size or total > len(raw):
            raise ValueError(f"its member {info.filename} is larger than the file has room for")
        if not info.filename.endswith(".npy") or info.filename[:-4] in stored:
            raise ValueError(f"its member {info.filename} is not an array, or is there twice")
        stored[info.filename[:-4]] = _member(raw, info)
    text = stored.pop(METADATA, None)
    if text is None or text.dtype != np.uint8 or text.size > MOST_TEXT:
        raise ValueError("it does not say that it is one")
    return parse(str(text.data, "ascii")), {name: stored[name].copy() for name in sorted(stored)}


class _Directory(io.BytesIO):
    """The file, for zipfile to read its directory: limited, because zipfile makes large objects of it."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MOST_TEXT:
            raise ValueError(f"its directory is longer than {MOST_TEXT} bytes")
        return super().read(size)


def _member(raw: bytes, info: zipfile.ZipInfo) -> np.ndarray:
    """The array of a stored member as a view of `raw`. Its size is checked against the bytes that exist."""
    # A zip archive has a header of 30 bytes before each member. Its last two numbers, at 26 and 28, are the
    # lengths of the name and of the extra field, which follow the header.
    local = raw[info.header_offset : info.header_offset + 30]
    if len(local) < 30 or local[:4] != b"PK\3\4":
        raise ValueError(f"its member {info.filename} is not where the directory says")
    name, extra = (int.from_bytes(local[i : i + 2], "little") for i in (26, 28))
    start = info.header_offset + 30 + name + extra
    header = HEADER.match(raw, start)
    # NumPy's header: magic, version and length, together 10 bytes, and then as many bytes as the length says.
    if not header or header.end() - start != 10 + int.from_bytes(header["length"], "little"):
        raise ValueError(f"its member {info.filename} is no array of numbers as numpy.savez writes it")
    dtype = np.dtype(header["dtype"].decode())
    shape = tuple(int(size) for size in header["shape"].split(b",") if size.strip())
    count = math.prod(shape)
    if start + info.file_size > len(raw) or header.end() - start + count * dtype.itemsize != info.file_size:
        raise ValueError(f"its member {info.filename} does not hold what its header says")
    return np.frombuffer(raw, dtype, count, header.end()).reshape(shape)
