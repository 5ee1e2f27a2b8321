"""Arrays and metadata as .safetensors, by the library of that name."""

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from .text import METADATA, MOST_TEXT, parse

TYPES = {"BOOL", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64", "F16", "F32", "F64"}


def library() -> Any:
    """The library; raises ModuleNotFoundError if it is not installed."""
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a .safetensors file needs safetensors: pip install 'bpkern[safetensors]', or take .npz",
            name=error.name,
        ) from None
    return safetensors


def write(file: BinaryIO, metadata: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the file; the metadata go into its header."""
    file.write(library().numpy.save(arrays, metadata))


def read(raw: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    """Metadata and arrays of a file, the arrays by name in sorted order.

    Raises
    ------
    ValueError, or another of `container.DAMAGED`
    """
    safetensors = library()
    length = int.from_bytes(raw[:8], "little")
    if length > min(len(raw) - 8, MOST_TEXT):
        raise ValueError(f"its header is longer than the file, or than {MOST_TEXT} bytes")
    header = parse(str(raw[8 : 8 + length], "utf-8"))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    metadata = header.pop(METADATA, None)
    for name, entry in header.items():
        if entry["dtype"] not in TYPES:
            raise ValueError(f"its array {name} is of type {entry['dtype']}")
    del header  # to save memory: the library parses it again
    try:
        # The library checks that the arrays do not overlap and fill the file.
        arrays = safetensors.numpy.load(raw)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    return metadata, {name: arrays[name] for name in sorted(arrays)}
