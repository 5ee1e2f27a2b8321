"""Malicious model files, made from valid ones: changed bytes, archives, headers and configurations.

`mutated` makes one with a random generator. Some have the right digest, so that loading goes beyond that
check.
"""

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from containers import CENTRAL, END, archive, changed_container, container, members, npy, packed, safetensors
from hostile import VALUES, Arrays, Original, Rng, as_text, extreme, metadata_of, one

from bpkern._files.container import digest


def mutated(rng: Rng, suffix: str, originals: list[Original]) -> bytes:
    """The bytes of a changed file with that suffix."""
    original = one(rng, originals)
    kind = rng.random()
    if kind < 0.001:
        raw = many(rng, suffix, original)
    elif kind < 0.25:
        return changed_bytes(rng, one(rng, originals).raw, one(rng, originals).raw)
    elif kind < 0.6:
        raw = changed_container(rng, suffix, original)
    else:
        raw = changed_content(rng, suffix, original)
    return changed_bytes(rng, raw, original.raw) if rng.random() < 0.05 else raw


# Bytes -----------------------------------------------------------------------------------------------------

BLOCKS = (
    b"\xff" * 8,
    b"\0" * 8,
    b"PK\1\2",
    b"PK\3\4",
    b"PK\5\6",
    b"PK\6\6",
    b"PK\6\7",
    b"\x93NUMPY",
    b"NaN",
    b"1e999",
    b"9" * 30,
    b"[" * 2000,
    b'"sha256"',
    b"-",
    b"\\u0000",
)


def changed_bytes(rng: Rng, raw: bytes, other: bytes) -> bytes:
    """Bytes changed at a few places, whatever they mean."""
    changed = bytearray(raw)
    for _ in range(1 + int(rng.geometric(0.5))):
        kind, at = int(rng.integers(8)), int(rng.integers(len(changed) + 1))
        span = int(rng.integers(1, 60))
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[at : at + span] = rng.bytes(span)
        elif kind == 2:
            del changed[at:]
        elif kind == 3:
            changed[at:at] = one(rng, BLOCKS)
        elif kind == 4:
            del changed[at : at + span]
        elif kind == 5:
            changed[at : at + span] = changed[at : at + span] * int(rng.integers(2, 40))
        elif kind == 6:
            size = one(rng, (2, 4, 8))
            value = int.from_bytes(changed[at : at + size], "little")
            changed[at : at + size] = extreme(rng, 8 * size, value).to_bytes(size, "little")
        else:
            changed[at:] = other[int(rng.integers(len(other))) :]
    return bytes(changed)


# The content of a file, with the right digest --------------------------------------------------------------


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values inside a value, except those in long lists."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for i in range(min(len(value), 4)):
            yield from places(value[i], (*path, i))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def changed_config(rng: Rng, config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with some values replaced, removed or moved."""
    config = json.loads(json.dumps(config))
    for _ in range(int(rng.geometric(0.6))):
        ways = list(places(config))
        if not ways:
            break
        path = one(rng, ways)
        parent, key, kind = at(config, path[:-1]), path[-1], int(rng.integers(10))
        if kind < 6:
            parent[key] = copy.deepcopy(one(rng, VALUES))
        elif kind == 6:
            del parent[key]
        elif kind == 7:
            parent[key] = json.loads(json.dumps(at(config, one(rng, ways))))
        elif kind == 8 and isinstance(parent, dict):
            parent[one(rng, ("", "self", "lr", "\ud800", "__class__", "x" * 1000))] = copy.deepcopy(
                one(rng, VALUES)
            )
        elif type(parent[key]) is int:
            parent[key] += one(rng, (1, -1, 2**32, -(2**32)))
    return config


DTYPES = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
NAMES = (
    "",
    "__metadata__",
    "10.weight",
    "m.0.weight",
    "trained.0.weight",
    "history.lr",
    "callbacks.x",
    "../../x",
)


def changed_arrays(rng: Rng, arrays: Arrays) -> Arrays:
    """Arrays of which some have other types, shapes, values or names, or are missing."""
    arrays = dict(arrays)
    for _ in range(int(rng.integers(1, 4))):
        if not arrays:
            break
        name = one(rng, sorted(arrays))
        array, kind = arrays[name], int(rng.integers(9))
        if kind == 0:
            del arrays[name]
        elif kind == 1:
            arrays[one(rng, NAMES)] = arrays.pop(name)
        elif kind == 2:
            with np.errstate(all="ignore"):
                arrays[name] = array.astype(one(rng, DTYPES))
        elif kind == 3:
            shapes = ((-1,), (-1, 1), (1, -1), (*array.shape, 1), (1,) * 30 + (-1,))
            arrays[name] = array.reshape(one(rng, shapes))
        elif kind == 4:
            arrays[name] = np.zeros(one(rng, ((), (0,), (0, 2**40), (2**31, 0), (3,), (50, 50))), array.dtype)
        elif kind == 5:
            with np.errstate(all="ignore"):
                arrays[name] = np.full_like(
                    array, one(rng, (np.nan, np.inf, -1, 1e30, 0)), dtype="f8"
                ).astype(array.dtype)
        elif kind == 6:
            other = one(rng, sorted(arrays))
            arrays[name], arrays[other] = arrays[other], arrays[name]
        elif kind == 7:
            arrays |= {f"{i}.weight": np.ones((1, 1), "f4") for i in range(int(rng.integers(1, 200)))}
        else:
            arrays[name] = np.concatenate([array.ravel(), array.ravel()])
    return arrays


def changed_content(rng: Rng, suffix: str, original: Original) -> bytes:
    """A complete file with the right digest, whose content no model wrote."""
    config, arrays = original.config, original.arrays
    if rng.random() < 0.85:
        config = changed_config(rng, config)
    if rng.random() < 0.4:
        arrays = changed_arrays(rng, arrays)
    metadata = metadata_of(as_text(config), arrays)
    if rng.random() < 0.1:
        key = one(rng, ("format", "version", "config", "sha256", "", "more"))
        values = ("2", "0", "-1", " 1 ", "1_0", "\u0661", "1e5", "9" * 4000, "", *VALUES)
        metadata[key] = one(rng, values)
        if (
            all(isinstance(metadata[name], str) for name in ("format", "version", "config"))
            and key != "sha256"
        ):
            metadata["sha256"] = digest(metadata, arrays)
    if rng.random() < 0.02:
        del metadata[one(rng, sorted(metadata))]
    return container(suffix, metadata, arrays)


# Very many small items, each of which takes many times its file size in memory ------------------------------

UNITS = (
    "[],",
    "{},",
    '{"":[]},',
    '{"":{"":0}},',
    "0,",
    "1.5,",
    '"a",',
    '"\U0001d11e",',
    "1234567,",
    "[[[[]]]],",
)


def many(rng: Rng, suffix: str, original: Original) -> bytes:
    """A file of up to a few megabytes that holds only small items."""
    size, unit = 1 << int(rng.integers(14, 23)), one(rng, UNITS)
    text = f"[{unit * (size // len(unit))}0]"
    if unit == "0,":
        config = as_text(original.config)
        text = (
            config.replace('"layers": [', f'"layers": [{"1, " * (size // 3)}') if rng.random() < 0.5 else text
        )
    kind = int(rng.integers(4))
    arrays = original.arrays
    if kind == 0:  # in the configuration
        return container(
            suffix, metadata_of(text if "layers" in text else f'{{"a": {text}}}', arrays), arrays
        )
    if kind == 1:  # beside the configuration
        metadata = as_text(metadata_of(json.dumps(original.config), arrays))
        whole = f'{metadata[:-1]}, "more": {text}}}'
        if suffix == ".npz":
            listed = [("__metadata__", npy(np.frombuffer(whole.encode(), np.uint8)))]
            return archive([(f"{name}.npy", body) for name, body in listed + members({}, arrays)[1:]])
        return safetensors(f'{{"__metadata__": {whole}}}', {})
    count = size // 64
    if kind == 2:  # arrays without elements
        names = (base64.b32encode(i.to_bytes(4, "big")).decode() for i in range(count))
        empty = {name: np.zeros(0, "u1") for name in names}
        if suffix == ".safetensors":
            return container(suffix, metadata_of(json.dumps(original.config), empty), empty)
        body = npy(np.zeros(0, "u1"))
        return archive([(f"{name}.npy", body) for name in list(empty)[: min(count // 4, 65535)]])
    if suffix == ".safetensors":
        return safetensors(f'{{"{"a" * size}": {text}}}', {})
    # A directory without members.
    entries = packed(CENTRAL, [b"PK\1\2", *[0] * 16]) * (size // 46)
    return entries + packed(END, [b"PK\5\6", 0, 0, 65535, 65535, len(entries), 0, 0])
