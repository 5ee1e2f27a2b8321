"""Models in files: a configuration and arrays, in .npz or .safetensors, written whole or not at all.

Both kinds of file hold the arrays under their names and, as a map of strings named "__metadata__", "format"
(always "bpkern"), "version", "config" (JSON) and "sha256" (of all the rest). An .npz holds that map as JSON,
the bytes of which are an array. Nothing in a file is ever run.
"""

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

Arrays = dict[str, np.ndarray]

FORMAT, VERSION = "bpkern", 1
METADATA = "__metadata__"

# What describes the arrays may be this long, in bytes, and hold so many lists and objects: parsed, it takes
# many times the memory. No file takes more than twice its size and 32 MiB to be read.
MOST_TEXT, MOST_CONTAINERS = 1 << 20, 1 << 15

# What both formats can hold: booleans, integers and floats up to 8 bytes.
KINDS, MOST_ITEM_SIZE = "biuf", 8
SAFETENSORS_TYPES = {"BOOL", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64", "F16", "F32", "F64"}


def write(path: "str | os.PathLike[str]", config: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file, or replace one: whatever happens meanwhile, the old file or the new one is there, whole.

    Parameters
    ----------
    path : str or path
        Its suffix, .npz or .safetensors, is the format.
    config : dict
        Of what JSON holds and gives back as it was: dict with keys of type str, list, str, int, finite float,
        bool, None.
    arrays : mapping of str to ndarray
        Booleans, integers or floats of up to 8 bytes, of any shape.

    Raises
    ------
    ValueError, TypeError
        For another suffix, and what a file cannot hold.
    ModuleNotFoundError
        For .safetensors where that library is not installed.
    OSError
        Where the file cannot be written; an old one is as it was, and nothing else is left. Where only the
        folder cannot be synced, the new file is in place, whole: a loss of power may bring the old one back.
    """
    encode = _encoder(path)
    metadata, stored = _checked(config, arrays)
    with naming(path):
        _replace(os.fspath(path), encode, metadata, stored)


@contextlib.contextmanager
def naming(path: "str | os.PathLike[str]") -> Iterator[None]:
    """A context whose errors of the operating system name this file, as those of a write or a sync do not."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not the operating system's
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def read(path: "str | os.PathLike[str]") -> tuple[dict[str, Any], Arrays]:
    """What `write` was given: the configuration and the arrays, by name in sorted order.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    ValueError
        For another suffix, and for a file that is not one of bpkern's, was damaged, or was written by a newer
        version. It names the file.
    ModuleNotFoundError
        For .safetensors where that library is not installed.
    OSError
        Where the file cannot be read.
    """
    decode = _decoder(path)
    with naming(path), open(path, "rb") as file:
        raw = file.read()
    try:
        metadata, arrays = decode(raw)
        return _config_of(metadata, arrays), arrays
    except _NewerError as error:
        raise ValueError(f"{os.fspath(path)} {error}") from None
    except DAMAGED as error:
        raise ValueError(f"{os.fspath(path)} is no bpkern file, or was damaged: {error}") from error


# What zipfile, json, NumPy and safetensors make of files that are none of theirs.
DAMAGED = (ArithmeticError, EOFError, LookupError, NotImplementedError, RecursionError, TypeError, ValueError)


class _NewerError(Exception):
    """The file is of a format of later."""


def check_path(path: "str | os.PathLike[str]") -> None:
    """Raise what `write` would raise for the path itself, before there is anything to write."""
    _suffix(path)
    with naming(path):
        folder = os.path.dirname(_target(path))
    if not stat.S_ISDIR(os.stat(folder).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)


def remove_leftovers(path: "str | os.PathLike[str]") -> None:
    """Delete what writers of this file left next to it when they were killed; none may be at work."""
    with naming(path):
        folder, name = os.path.split(_target(path))
    leftover = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{16}\.tmp")
    for entry in os.listdir(folder):
        if leftover.fullmatch(entry):
            os.unlink(os.path.join(folder, entry))


def _suffix(path: "str | os.PathLike[str]") -> str:
    suffix = os.path.splitext(os.fspath(path))[1]
    if suffix not in (".npz", ".safetensors"):
        raise ValueError(f"a model's file must end in .npz or .safetensors, not {os.fspath(path)!r}")
    if suffix == ".safetensors":
        _safetensors()
    return suffix


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a .safetensors file needs safetensors: pip install 'bpkern[safetensors]', or take .npz",
            name=error.name,
        ) from None
    return safetensors


def _encoder(path: "str | os.PathLike[str]") -> "Callable[[BinaryIO, dict[str, str], Arrays], None]":
    return _write_npz if _suffix(path) == ".npz" else _write_safetensors


def _decoder(path: "str | os.PathLike[str]") -> "Callable[[bytes], tuple[dict[str, str], Arrays]]":
    return _read_npz if _suffix(path) == ".npz" else _read_safetensors


# What is in a file -----------------------------------------------------------------------------------------


def _checked(config: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, str], Arrays]:
    """The metadata, and the arrays as both formats store them: sorted, little-endian, in C order."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if json.loads(text) != config:
        raise TypeError("config must hold only what JSON gives back as it was: str keys, lists, no tuples")
    # At most, of what either format makes of the text and of an array.
    length = len(json.dumps(text)) + 200
    length += sum(len(json.dumps(name)) + 110 + 21 * np.ndim(array) for name, array in arrays.items())
    if length > MOST_TEXT:
        raise ValueError(f"config and names must be at most {MOST_TEXT} bytes in a file, not {length}")
    containers = _containers(text) + 3 * len(arrays) + 2
    if containers > MOST_CONTAINERS:
        raise ValueError(
            f"config and arrays must be at most {MOST_CONTAINERS} lists and objects in a file, "
            f"not {containers}"
        )
    stored = {}
    for name, array in sorted(arrays.items()):
        if not name or name == METADATA or "\0" in name:
            raise ValueError(f"an array cannot have the name {name!r} in a file")
        _check_type(name, array.dtype)
        stored[name] = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    metadata = {"format": FORMAT, "version": str(VERSION), "config": text}
    return metadata | {"sha256": _digest(metadata, stored)}, stored


def _check_type(name: str, dtype: "np.dtype[Any]") -> None:
    if dtype.kind not in KINDS or dtype.itemsize > MOST_ITEM_SIZE:
        raise TypeError(f"an array in a file must hold booleans, integers or floats: {name} is {dtype}")


def _digest(metadata: Mapping[str, str], arrays: Arrays) -> str:
    """Of the metadata but the digest, and of each array its name, dtype, shape and bytes."""
    digest = hashlib.sha256()
    digest.update(json.dumps([metadata[key] for key in ("format", "version", "config")]).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.newbyteorder("<").str, array.shape]).encode())
        digest.update(array.data)
    return digest.hexdigest()


def _config_of(metadata: Any, arrays: Arrays) -> dict[str, Any]:
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError("it does not say that it is one")
    version = int(metadata["version"])
    if version > VERSION:
        raise _NewerError(f"was written by a newer bpkern (format {version}): this one reads up to {VERSION}")
    if metadata["sha256"] != _digest(metadata, arrays):
        raise ValueError("its contents do not match its SHA-256 digest")
    config = _json(metadata["config"])
    if not isinstance(config, dict):
        raise ValueError("its config is no JSON object")
    return config


def _json(text: str) -> Any:
    if _containers(text) > MOST_CONTAINERS:
        raise ValueError(f"its JSON has more than {MOST_CONTAINERS} lists and objects")
    return json.loads(text, parse_constant=_refuse_constant)


def _containers(text: str) -> int:
    """The lists and objects of a JSON text, and the brackets in its strings."""
    return text.count("[") + text.count("{")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


# .npz ------------------------------------------------------------------------------------------------------


def _write_npz(file: BinaryIO, metadata: dict[str, str], arrays: Arrays) -> None:
    text = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {METADATA: text, **arrays}.items():
            # Without a time, so that the same model makes the same file.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


class _Directory(io.BytesIO):
    """What zipfile takes the directory from: it reads that at once, and makes much larger objects of it."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MOST_TEXT:
            raise ValueError(f"its directory is longer than {MOST_TEXT} bytes")
        return super().read(size)


def _read_npz(raw: bytes) -> tuple[dict[str, str], Arrays]:
    try:
        with zipfile.ZipFile(_Directory(raw)) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from None
    stored: Arrays = {}
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
    return _json(str(text.data, "ascii")), {name: stored[name].copy() for name in sorted(stored)}


# The start of an array as NumPy writes it, of the first version of its format.
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"\{'descr': '(?P<dtype>[<|][biuf][1248])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>[0-9, ]*)\), \} *\n",
    re.DOTALL,
)


def _member(raw: bytes, info: zipfile.ZipInfo) -> np.ndarray:
    """The array of a stored member where it lies in `raw`: no size is believed that its bytes do not fill."""
    local = raw[info.header_offset : info.header_offset + 30]
    if len(local) < 30 or local[:4] != b"PK\3\4":
        raise ValueError(f"its member {info.filename} is not where the directory says")
    name, extra = (int.from_bytes(local[i : i + 2], "little") for i in (26, 28))
    start = info.header_offset + 30 + name + extra
    header = HEADER.match(raw, start)
    if not header or header.end() - start != 10 + int.from_bytes(header["length"], "little"):
        raise ValueError(f"its member {info.filename} is no array of numbers as numpy.savez writes it")
    dtype = np.dtype(header["dtype"].decode())
    shape = tuple(int(size) for size in header["shape"].split(b",") if size.strip())
    count = math.prod(shape)
    if start + info.file_size > len(raw) or header.end() - start + count * dtype.itemsize != info.file_size:
        raise ValueError(f"its member {info.filename} does not hold what its header says")
    return np.frombuffer(raw, dtype, count, header.end()).reshape(shape)


# .safetensors ----------------------------------------------------------------------------------------------


def _write_safetensors(file: BinaryIO, metadata: dict[str, str], arrays: Arrays) -> None:
    file.write(_safetensors().numpy.save(arrays, metadata))


def _read_safetensors(raw: bytes) -> tuple[dict[str, str], Arrays]:
    library = _safetensors()
    length = int.from_bytes(raw[:8], "little")
    if length > min(len(raw) - 8, MOST_TEXT):
        raise ValueError(f"its header is longer than the file, or than {MOST_TEXT} bytes")
    header = _json(str(raw[8 : 8 + length], "utf-8"))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    metadata = header.pop(METADATA, None)
    for name, entry in header.items():
        if entry["dtype"] not in SAFETENSORS_TYPES:
            raise ValueError(f"its array {name} is of type {entry['dtype']}")
    del header  # the library makes one of its own
    try:
        # That the arrays lie side by side and fill the file is the library's to check.
        arrays = library.numpy.load(raw)
    except library.SafetensorError as error:
        raise ValueError(str(error)) from None
    return metadata, {name: arrays[name] for name in sorted(arrays)}


# Files -----------------------------------------------------------------------------------------------------


def _target(path: "str | os.PathLike[str]") -> str:
    """Where the path leads: a link stays a link, and one that cannot be read is not taken for a file."""
    try:
        return os.path.realpath(path, strict=True)
    except FileNotFoundError:  # it is yet to be written
        return os.path.realpath(path)


def _replace(
    path: str,
    encode: "Callable[[BinaryIO, dict[str, str], Arrays], None]",
    metadata: dict[str, str],
    arrays: Arrays,
) -> None:
    """Write a new file next to the old one, and then put it in its place at once."""
    target = _target(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            with contextlib.suppress(FileNotFoundError):  # there is no old file to take the mode from
                os.chmod(temporary, os.stat(target).st_mode & 0o7777)
            encode(file, metadata, arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        # It could not be made, is in place already, or stays: what went wrong first is told.
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


# A folder that may be written and not read, and file systems that cannot do it.
UNSYNCED = (errno.EACCES, errno.EINVAL, errno.ENOTSUP)


def _sync_folder(folder: str) -> None:
    """Make the name last, too, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise
