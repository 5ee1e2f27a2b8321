"""Arrays and metadata as .safetensors, by the library of that name."""

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from .._model.compression import MARK
from .._needs import needs
from .text import METADATA, MOST_TEXT, parse

# By the format's name: NumPy's types. NumPy has no BF16: its bits are uint16 with a marked name.
TYPES = {"BOOL": "?", "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"}
TYPES |= {f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)}


def library() -> Any:
    """The library; raises ModuleNotFoundError if it is not installed."""
    needs("safetensors.numpy", "safetensors", "a .safetensors file")
    import safetensors

    return safetensors


def write(file: BinaryIO, metadata: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the file; the metadata go into its header. Marked arrays become BF16, without the mark."""
    raw = library().numpy.save(arrays, metadata)
    if any(name.endswith(MARK) for name in arrays):
        start = 8 + int.from_bytes(raw[:8], "little")
        header = _with_bfloat16(json.loads(raw[8:start]))
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        raw = memoryview(raw)[start:]
    file.write(raw)


def _with_bfloat16(header: dict[str, Any]) -> bytes:
    """The header for arrays in the same places, as bytes in whole words of 8."""
    for name in [name for name in header if name.endswith(MARK)]:
        header[name.removesuffix(MARK)] = {**header.pop(name), "dtype": "BF16"}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % 8)


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
        found = safetensors.deserialize(raw)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    arrays = {}
    for name, entry in found:
        array = np.frombuffer(entry["data"], TYPES[entry["dtype"]]).reshape(entry["shape"])
        arrays[f"{name}{MARK}" if entry["dtype"] == "BF16" else name] = array
    return metadata, {name: arrays[name] for name in sorted(arrays)}
