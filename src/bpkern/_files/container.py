"""A configuration and arrays in one file, .npz or .safetensors.

Both formats hold the arrays under their names and, as a map of strings named "__metadata__", "format" (always
"bpkern"), "version", "config" (JSON) and "sha256" (of everything else). No code in a file is ever run.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from .._data.digest import little_endian
from . import npz, tensors
from .regular import read_regular
from .replacing import check_place, naming, replace
from .text import METADATA, MOST_CONTAINERS, MOST_TEXT, containers, parse

Arrays = dict[str, np.ndarray]

FORMAT = "bpkern"

# The latest version of the format. A file has the first one whose readers understand it.
VERSION = 2

# Both formats hold booleans, integers and floats of up to 8 bytes.
KINDS, MOST_ITEM_SIZE = "biuf", 8

# The errors of zipfile, json, NumPy and safetensors on files of other origin.
DAMAGED = (ArithmeticError, EOFError, LookupError, NotImplementedError, RecursionError, TypeError, ValueError)

# By suffix: the module that writes and reads the format.
FORMATS = {".npz": npz, ".safetensors": tensors}


class NewerError(Exception):
    """The file has a later version of the format. The message continues a sentence after the path."""


def write(
    path: "str | os.PathLike[str]",
    config: dict[str, Any],
    arrays: Mapping[str, np.ndarray],
    version: int = 1,
) -> None:
    """Write or replace a file. At any moment either the old or the new file exists, complete.

    Parameters
    ----------
    path : str or path
        Its suffix, .npz or .safetensors, is the format.
    config : dict
        Values that JSON returns unchanged: dict with keys of type str, list, str, int, finite float, bool,
        None.
    arrays : mapping of str to ndarray
        Booleans, integers or floats of up to 8 bytes, of any shape.
    version : int
        The first version of the format whose readers understand the configuration.

    Raises
    ------
    ValueError, TypeError
        For another suffix, and for values that a file cannot hold.
    ModuleNotFoundError
        For .safetensors without that library.
    OSError
        If the file cannot be written, as for `replacing.replace`.
    """
    kind = _format(path)
    metadata, stored = _checked(config, arrays, version)
    with naming(path):
        replace(path, lambda file: kind.write(file, metadata, stored))


def read(path: "str | os.PathLike[str]") -> tuple[dict[str, Any], Arrays]:
    """The configuration and the arrays of a file, the arrays by name in sorted order, in native byte order.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    ValueError
        For another suffix, and for a file that is not bpkern's, damaged, or of a newer version. It names the
        file.
    ModuleNotFoundError
        For .safetensors without that library.
    OSError
        If the file cannot be read, or is not a regular file.
    """
    kind = _format(path)
    with naming(path):
        raw = read_regular(path)
    try:
        metadata, arrays = kind.read(raw)
        config = _config_of(metadata, arrays)
    except NewerError as error:
        raise ValueError(f"{os.fspath(path)} {error}") from None
    except DAMAGED as error:
        raise ValueError(f"{os.fspath(path)} is no bpkern file, or was damaged: {error}") from error
    return config, {
        name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in arrays.items()
    }


def check_path(path: "str | os.PathLike[str]") -> None:
    """Raise the errors of `write` that are known beforehand: of suffix, library and place."""
    _format(path)
    check_place(path)


def _format(path: "str | os.PathLike[str]") -> ModuleType:
    """The module for the suffix of a path. Raises ValueError or ModuleNotFoundError."""
    suffix = os.path.splitext(os.fspath(path))[1]
    if suffix not in FORMATS:
        raise ValueError(f"a model's file must end in .npz or .safetensors, not {os.fspath(path)!r}")
    if suffix == ".safetensors":
        tensors.library()
    return FORMATS[suffix]


def _checked(
    config: dict[str, Any], arrays: Mapping[str, np.ndarray], version: int
) -> tuple[dict[str, str], Arrays]:
    """The metadata, and the arrays as both formats store them: sorted, little-endian, in C order."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if json.loads(text) != config:
        raise TypeError("config must hold only what JSON gives back as it was: str keys, lists, no tuples")
    # Upper bounds of the lengths of the text and of each array's description in either format: 200 bytes for
    # the other metadata, 110 for the keys and offsets of an array, 21 for each number of its shape.
    length = len(json.dumps(text)) + 200
    length += sum(len(json.dumps(name)) + 110 + 21 * np.ndim(array) for name, array in arrays.items())
    if length > MOST_TEXT:
        raise ValueError(f"config and names must be at most {MOST_TEXT} bytes in a file, not {length}")
    count = containers(text) + 3 * len(arrays) + 2
    if count > MOST_CONTAINERS:
        raise ValueError(
            f"config and arrays must be at most {MOST_CONTAINERS} lists and objects in a file, not {count}"
        )
    stored = {}
    for name, array in sorted(arrays.items()):
        if not name or name == METADATA or "\0" in name:
            raise ValueError(f"an array cannot have the name {name!r} in a file")
        _check_type(name, array.dtype)
        stored[name] = np.asarray(array, little_endian(array.dtype), order="C")
    metadata = {"format": FORMAT, "version": str(version), "config": text}
    return metadata | {"sha256": digest(metadata, stored)}, stored


def _check_type(name: str, dtype: "np.dtype[Any]") -> None:
    if dtype.kind not in KINDS or dtype.itemsize > MOST_ITEM_SIZE:
        raise TypeError(f"an array in a file must hold booleans, integers or floats: {name} is {dtype}")


def digest(metadata: Mapping[str, str], arrays: Arrays) -> str:
    """SHA-256 of the metadata without the digest, and of the name, dtype, shape and bytes of each array."""
    sha = hashlib.sha256()
    sha.update(json.dumps([metadata[key] for key in ("format", "version", "config")]).encode())
    for name, array in sorted(arrays.items()):
        sha.update(json.dumps([name, little_endian(array.dtype).str, array.shape]).encode())
        sha.update(array.data)
    return sha.hexdigest()


def _config_of(metadata: Any, arrays: Arrays) -> dict[str, Any]:
    """The configuration, after comparison of format, version and digest. Raises NewerError or one of DAMAGED.

    The messages continue those of `read`: "it" is the file.
    """
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError("it does not say that it is one")
    version = int(metadata["version"])
    if version > VERSION:
        raise NewerError(f"was written by a newer bpkern (format {version}): this one reads up to {VERSION}")
    if metadata["sha256"] != digest(metadata, arrays):
        raise ValueError("its contents do not match its SHA-256 digest")
    config = parse(metadata["config"])
    if not isinstance(config, dict):
        raise ValueError("its config is no JSON object")
    return config
