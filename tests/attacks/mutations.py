"""Model files as somebody would make them who means harm: bytes, archives, headers, configurations changed.

`mutated` makes one of some good ones, by a generator alone. A part of them carries a digest that is right, so
that what is behind it is reached.
"""

import base64
import copy
import io
import json
import pickle
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from bpkern import files

Arrays = dict[str, np.ndarray]
Rng = np.random.Generator


class Original(NamedTuple):
    """A good file: its bytes, and what is in it."""

    raw: bytes
    config: dict[str, Any]
    arrays: Arrays


class Harmful:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import os; os.kill(os.getpid(), 9)",)


def one(rng: Rng, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def mutated(rng: Rng, suffix: str, originals: list[Original]) -> bytes:
    """A changed file of that suffix."""
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


def extreme(rng: Rng, bits: int, value: int = 0) -> int:
    """A number of so many bits that is seldom meant well; perhaps one near `value`."""
    top = 1 << bits
    choices = (0, 1, 2, top - 1, top - 2, top // 2, top // 2 - 1, value + 1, value - 1, 2 * value, value // 2)
    if rng.random() < 0.8:
        return one(rng, choices) % top
    return int.from_bytes(rng.bytes(bits // 8), "little")


def changed_bytes(rng: Rng, raw: bytes, other: bytes) -> bytes:
    """Some places changed without a look at what they mean."""
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


# What is in a file, signed ---------------------------------------------------------------------------------

# Text that stands for JSON which Python's own encoder does not write.
TOKENS = {
    "@huge@": "1e999",
    "@minus@": "-1e999",
    "@nan@": "NaN",
    "@infinity@": "-Infinity",
    "@digits@": "9" * 5000,
    "@deep@": "[" * 5000 + "]" * 5000,
    # About as deep as Python's own limit lets some of those who read it go, and others not.
    **{f"@lists {depth}@": "[" * depth + "]" * depth for depth in range(70, 1000, 30)},
    **{f"@objects {depth}@": '{"a":' * depth + "1" + "}" * depth for depth in range(70, 1000, 30)},
    **{f"@floats {depth}@": '{"float":' * depth + "1" + "}" * depth for depth in range(70, 1000, 90)},
}


VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 5, 624, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 2**70),
    *(-(2**63), 2**127, 10**400, 10**4299, 0.0, -0.0, 0.5, 1.5, -1.0, 1e308, 1e-320, 1e39),
    *(
        "",
        "nan",
        "inf",
        "O",
        "S1000000000",
        "V2000000000",
        "a5",
        "f8,f8",
        "(1000000,)f4",
        "M8[s]",
        "datetime64",
    ),
    *("\ud800", "\0", "x" * 10**5, "../../etc/passwd", "os.system", "builtins.exec", "callable", "custom"),
    *("relu", "gelu", "float64", "mse", "huber", "quantile", "cross_entropy", "sgd", "adam", "adagrad", "lr"),
    *("PCG64", "MT19937", "Philox", "SFC64", "auto", "1", "-5", *TOKENS),
    *([], [[]], [1, [2]], [None], [0.5, 0.5], [10**9, 10**9], [2**62, 2**62], [5, 10**12], [1] * 5000),
    *(["x" * 20000] + ["a"] * 20000, [0.0] * 5000, [10**400] * 3, ["relu"] * 3000, [True], ["lr", "lr"]),
    *({}, {"a": 1}, {"callable": True}, {"float": "nan"}, {"float": []}, {"name": "huber"}, {"rule": "sgd"}),
    *({"name": "huber", "delta": 1.0}, {"name": "quantile", "q": ["x" * 20000] + ["a"] * 20000}),
    *({"schedule": "Step"}, {"schedule": "Cosine", "lr": 1, "iterations": 10**400}),
    *({"dtype": "O", "values": [1, 2]}, {"dtype": "S1000000000", "values": ["a"]}),
    *({"dtype": "uint32", "values": [2**40] * 624}, {"dtype": "(1000000,)f4", "values": [1, 2, 3]}),
    *({"dtype": "uint64", "values": []}, {"dtype": "uint32", "values": [1] * 600}, {"class": "os.system"}),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all values in one, but for those of long lists."""
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
    """Some values replaced, taken out, or put elsewhere."""
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
    """Some arrays of other types, shapes and values, missing, or under other names."""
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


def as_text(value: Any) -> str:
    text = json.dumps(value)
    for token, json_of in TOKENS.items():
        text = text.replace(f'"{token}"', json_of)
    return text


def metadata_of(text: str, arrays: Arrays) -> dict[str, Any]:
    """With the digest that belongs to them."""
    metadata = {"format": "bpkern", "version": "1", "config": text}
    return metadata | {"sha256": files._digest(metadata, arrays)}


def changed_content(rng: Rng, suffix: str, original: Original) -> bytes:
    """A file that is whole and signed, of something else than a model wrote."""
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
            metadata["sha256"] = files._digest(metadata, arrays)
    if rng.random() < 0.02:
        del metadata[one(rng, sorted(metadata))]
    return container(suffix, metadata, arrays)


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
    """A zip archive; `change` may change the fields of each of its records."""
    raw, directory = b"", b""
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
    return raw + directory + (changed if extra else b"") + packed(END, change(END, end))


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
    """The same content, or almost, in an archive or under a header that says something else."""
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
    """An array under another header."""
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


# Very many small things: what each of them takes in memory is many times its size in the file ---------------

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
    """A file of up to some megabytes, which holds nothing else."""
    size, unit = 1 << int(rng.integers(14, 23)), one(rng, UNITS)
    text = f"[{unit * (size // len(unit))}0]"
    if unit == "0,":
        config = as_text(original.config)
        text = (
            config.replace('"layers": [', f'"layers": [{"1, " * (size // 3)}') if rng.random() < 0.5 else text
        )
    kind = int(rng.integers(4))
    arrays = original.arrays
    if kind == 0:  # as the configuration
        return container(
            suffix, metadata_of(text if "layers" in text else f'{{"a": {text}}}', arrays), arrays
        )
    if kind == 1:  # beside it
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
    # A directory without anything that it would be of.
    entries = packed(CENTRAL, [b"PK\1\2", *[0] * 16]) * (size // 46)
    return entries + packed(END, [b"PK\5\6", 0, 0, 65535, 65535, len(entries), 0, 0])
