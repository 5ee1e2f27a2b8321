"""Zip archives, NumPy arrays and safetensors files, built by hand so that every part can be changed."""

import copy
import io
import json
import pickle
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from hostile import VALUES, Arrays, Original, Rng, as_text, extreme, metadata_of, one


class Harmful:
    """An object whose unpickling runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import os; os.kill(os.getpid(), 9)",)


def container(suffix: str, metadata: Any, arrays: Arrays) -> bytes:
    if suffix == ".npz":
        return archive([(f"{name}.npy", body) for name, body in members(metadata, arrays)])
    return safetensors(as_text(header_of(metadata, arrays)), arrays)


# .npz ------------------------------------------------------------------------------------------------------

LOCAL, CENTRAL = "<4sHHHHHIIIHH", "<4sHHHHHHIIIHHHHHII"
END, END64, LOCATOR = "<4sHHHHIIH", "<4sQHHIIQQQQ", "<4sIQI"
BITS = {"H": 16, "I": 32, "Q": 64}


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0))
    return file.getvalue()


def members(metadata: Any, arrays: Arrays) -> list[tuple[str, bytes]]:
    text = np.frombuffer(as_text(metadata).encode(errors="replace"), np.uint8)
    return [("__metadata__", npy(text)), *((name, npy(array)) for name, array in arrays.items())]


Change = Callable[[str, list[Any]], list[Any]]


def archive(
    listed: list[tuple[str, bytes]], change: Change = lambda form, fields: fields, extra: bytes = b""
) -> bytes:
    """A zip archive. `change` may modify the fields of each record."""
    raw, directory = bytearray(), bytearray()
    for name, body in listed:
        encoded = name.encode(errors="replace")
        crc, size = zlib.crc32(body), len(body)
        local = [b"PK\3\4", 20, 0x800, 0, 0, 33, crc, size, size, len(encoded), len(extra)]
        central = [b"PK\1\2", 20, 20, 0x800, 0, 0, 33, crc, size, size, len(encoded), len(extra)]
        central += [0, 0, 0, 0, len(raw)]
        directory += packed(CENTRAL, change(CENTRAL, central)) + encoded + extra
        raw += packed(LOCAL, change(LOCAL, local)) + encoded + extra + body
    end = [b"PK\5\6", 0, 0, len(listed), len(listed), len(directory), len(raw), 0]
    end64 = [b"PK\6\6", 44, 45, 45, 0, 0, len(listed), len(listed), len(directory), len(raw)]
    locator = [b"PK\6\7", 0, len(raw) + len(directory), 1]
    changed = packed(END64, change(END64, end64)) + packed(LOCATOR, change(LOCATOR, locator))
    return bytes(raw + directory) + (changed if extra else b"") + packed(END, change(END, end))


def packed(form: str, fields: list[Any]) -> bytes:
    return struct.pack(form, *fields)


def changed_fields(rng: Rng, chance: float) -> Change:
    def change(form: str, fields: list[Any]) -> list[Any]:
        if rng.random() > chance:
            return fields
        fields, i = list(fields), int(rng.integers(1, len(fields)))
        fields[i] = extreme(rng, BITS[form[3:][i - 1]], fields[i])
        return fields

    return change


MEMBER_NAMES = (
    *("../../../tmp/evil.npy", "/etc/passwd.npy", "C:\\x.npy", "0.weight", ".npy", "a\0b.npy", "é𝄞.npy"),
    *("__metadata__.npy", "x" * 60000 + ".npy", "0.weight.npy", "../.npy", "%s%n.npy"),
)


def changed_container(rng: Rng, suffix: str, original: Original) -> bytes:
    """The same or nearly the same content, in an archive or under a header with false entries."""
    if suffix == ".safetensors":
        return changed_header(rng, original)
    arrays = original.arrays
    metadata = metadata_of(json.dumps(original.config), arrays)
    listed = [(f"{name}.npy", body) for name, body in members(metadata, arrays)]
    for _ in range(int(rng.integers(0, 3))):
        i, j, kind = int(rng.integers(len(listed))), int(rng.integers(len(listed))), int(rng.integers(8))
        (name, body), (other, other_body) = listed[i], listed[j]
        if kind == 0:
            listed[i], listed[j] = (name, other_body), (other, body)
        elif kind == 1:
            listed.append((name, one(rng, (body, other_body))))
        elif kind == 2:
            listed[i] = one(rng, MEMBER_NAMES), body
        elif kind == 3:
            file = io.BytesIO()
            np.lib.format.write_array(file, np.array([Harmful()], object), allow_pickle=True)
            listed[i] = name, one(rng, (file.getvalue(), pickle.dumps(Harmful())))
        elif kind == 4:
            text = as_text(one(rng, VALUES)).encode(errors="replace")
            listed[i] = "__metadata__.npy", npy(np.frombuffer(text, np.uint8))
        else:
            listed[i] = name, changed_npy(rng, body)
    extras = (b"", b"", struct.pack("<HHQQQ", 1, 24, 1, 1, 0), struct.pack("<HHQ", 1, 8, 2**63), rng.bytes(6))
    change = changed_fields(rng, one(rng, (0.0, 0.05, 0.2)))
    return archive(listed, change, one(rng, extras)) + one(rng, (b"", b"", b"", rng.bytes(20), b"\0" * 70000))


DESCRIPTIONS = (
    *(
        "'<f4'",
        "'<f8'",
        "'>f4'",
        "'|O'",
        "'|b1'",
        "'|u1'",
        "'<f16'",
        "'<c8'",
        "'|S1000000000'",
        "'<U500000000'",
    ),
    *(
        "'<M8[s]'",
        "[('a', '<f4')]",
        "'(1000,)f4'",
        "'|V2000000000'",
        "'<f9'",
        "None",
        "'|i8'",
        "'<b1'",
        "'|f4'",
    ),
)
SHAPES = (
    *(
        "()",
        "(0,)",
        "(1,)",
        "(-1,)",
        "(-2, -3)",
        "(2.0,)",
        "(1e3,)",
        "(True,)",
        "(,)",
        "(1 2,)",
        "(, 3)",
        "(3)",
    ),
    *(
        "(99999999999999999999,)",
        "(9223372036854775807, 3)",
        "(4294967296, 4294967296)",
        "(0, 9" + "9" * 30 + ")",
    ),
    *("(0, 9223372036854775807, 9)", "(" + "1, " * 70 + ")", "(9" + "0" * 5000 + ",)", "(0, 0, 0)"),
    *("(2147483648,)", "(__import__('os').system('true'),)", "(1,),), }", "(" + "1, " * 9000 + ")"),
)


def changed_npy(rng: Rng, body: bytes) -> bytes:
    """An array under a false header."""
    length = int.from_bytes(body[8:10], "little")
    header, data = body[10 : 10 + length].decode(errors="replace"), body[10 + length :]
    head, _, shape = header.partition("'shape': ")
    shape = shape.partition(", }")[0]
    description = one(rng, DESCRIPTIONS) if rng.random() < 0.5 else head[10 : head.find(",")]
    order = one(rng, ("False", "True", "0", "None")) if rng.random() < 0.2 else "False"
    shape = one(rng, SHAPES) if rng.random() < 0.6 else shape
    text = f"{{'descr': {description}, 'fortran_order': {order}, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + one(rng, ("\n", "\n", "\n", "", " "))
    version = one(rng, ((1, 0), (1, 0), (1, 0), (2, 0), (3, 0), (0, 0), (255, 255)))
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text) % 65536)
    keep = len(data) if rng.random() < 0.7 else int(rng.integers(len(data) + 1))
    return b"\x93NUMPY" + bytes(version) + size + text.encode() + data[:keep]


# .safetensors ----------------------------------------------------------------------------------------------

TYPES = {
    "?": "BOOL",
    "b": "I8",
    "B": "U8",
    "h": "I16",
    "H": "U16",
    "i": "I32",
    "I": "U32",
    "l": "I64",
    "L": "U64",
}
TYPES |= {"e": "F16", "f": "F32", "d": "F64", "q": "I64", "Q": "U64"}


def header_of(metadata: Any, arrays: Arrays) -> dict[str, Any]:
    header, offset = {"__metadata__": metadata}, 0
    for name, array in arrays.items():
        end = offset + array.nbytes
        header[name] = {
            "dtype": TYPES[array.dtype.char],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    return header


def safetensors(header: str, arrays: Arrays, length: int | None = None) -> bytes:
    text = header.encode(errors="replace")
    text += b" " * (-len(text) % 8)
    size = struct.pack("<Q", len(text) if length is None else length % 2**64)
    return size + text + b"".join(array.tobytes() for array in arrays.values())


ENTRIES: tuple[Any, ...] = (
    *(
        "BOOL",
        "U8",
        "F8_E4M3",
        "F8_E5M2",
        "BF16",
        "F4",
        "U64",
        "F64",
        "C64",
        "f32",
        [1],
        [-1],
        [2**40, 2**40],
    ),
    *(
        [0, 2**64],
        [0, -1],
        [8, 0],
        [0, 2**63],
        [2**64 - 1, 2**64],
        [0],
        [0, 4, 8],
        [0.5, 8],
        ["0", "8"],
        [0] * 90,
    ),
)


def changed_header(rng: Rng, original: Original) -> bytes:
    arrays = original.arrays
    header = header_of(metadata_of(json.dumps(original.config), arrays), arrays)
    for _ in range(int(rng.integers(1, 4))):
        name = one(rng, sorted(header))
        entry, kind = header[name], int(rng.integers(9))
        if not isinstance(entry, dict):
            continue
        key = one(rng, ("dtype", "shape", "data_offsets"))
        if kind < 3 and name != "__metadata__":
            entry[key] = one(rng, ENTRIES)
        elif kind < 5 and name != "__metadata__":
            values = entry.get(key)
            if isinstance(values, list) and values and all(isinstance(value, int) for value in values):
                i = int(rng.integers(len(values)))
                values[i] = extreme(rng, 64, values[i] % 2**64)
        elif kind == 5:
            entry[one(rng, ("dtype", "shape", "data_offsets", "extra", "config"))] = copy.deepcopy(
                one(rng, VALUES)
            )
        elif kind == 6 and entry:
            del entry[one(rng, sorted(entry))]
        elif kind == 7:
            header[one(rng, ("", "a", "__metadata__", "0.weight", "../x"))] = json.loads(json.dumps(entry))
        else:
            header[name] = copy.deepcopy(one(rng, VALUES))
    text = as_text(header)
    if rng.random() < 0.05:
        text = text[:-1] + "," + text[1:]  # all names twice
    if rng.random() < 0.1:
        return safetensors(text, arrays, extreme(rng, 64, len(text)))
    if rng.random() < 0.03:
        return struct.pack("<Q", 2 * len(text)) + text.encode("utf-16-le", errors="replace")
    return safetensors(text, arrays) + one(rng, (b"", b"", b"", b"\0", rng.bytes(40)))
