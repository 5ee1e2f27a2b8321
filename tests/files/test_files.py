"""Configurations and arrays in files: reading returns them; a file is replaced whole or not at all."""

import errno
import io
import itertools
import json
import os
import stat
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import make_link, needs_posix

from bpkern._files import container, replacing


def needs(suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors reads and writes these files")
    return suffix


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request, tmp_path):
    return tmp_path / f"net{needs(request.param)}"


CONFIG = {
    "layers": [3, 2],
    "state": 2**127 + 1,
    "negative": -(2**70),
    "floats": [0.1, 1e-320, -0.0, 1.7976931348623157e308, 1 / 3, 1.0],
    "none": None,
    "flags": [True, False],
    "text": 'é, 𝄞, "quoted", \\ and \n',
    "nested": {"": {}, "a": [[], [{}]]},
}
ARRAYS = {
    "0.weight": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "0.bias": np.array([np.nan, -np.inf]),
}
DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]


def same(arrays, others):
    return set(arrays) == set(others) and all(
        array.dtype == others[name].dtype
        and array.shape == others[name].shape
        and array.tobytes() == others[name].tobytes()
        for name, array in arrays.items()
    )


def content(folder):
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


# Round trips -----------------------------------------------------------------------------------------------


def test_configurations(path):
    container.write(path, CONFIG, {})
    config, arrays = container.read(path)
    assert config == CONFIG
    assert json.dumps(config, sort_keys=True) == json.dumps(CONFIG, sort_keys=True)
    assert arrays == {}


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (5,), (4, 3), (2, 3, 2)])
def test_arrays(path, code, shape):
    array = np.random.default_rng(0).integers(0, 2, shape).astype(code)
    container.write(path, {}, {"a": np.asarray(array)})
    _, arrays = container.read(path)
    assert same(arrays, {"a": np.asarray(array)})
    assert arrays["a"].flags.writeable
    assert arrays["a"].flags.aligned


def test_layouts(path):
    array = np.arange(24.0).reshape(4, 6)
    forms = {"F": np.asfortranarray(array), "strided": array[::2, ::-1], "swapped": array.astype(">f4")}
    container.write(path, {}, forms)
    _, arrays = container.read(path)
    assert all(np.array_equal(arrays[name], forms[name]) for name in forms)
    assert arrays["swapped"].dtype == np.dtype("<f4")


def test_names(path):
    arrays = {
        name: np.ones(1) * i for i, name in enumerate(["10.weight", "2.weight", "file", "a/b", "é", "../x"])
    }
    container.write(path, {}, arrays)
    assert list(container.read(path)[1]) == sorted(arrays)
    assert same(container.read(path)[1], arrays)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@given(config=st.dictionaries(st.text(), plain, max_size=5), values=st.lists(st.floats(), max_size=5))
def test_whatever_goes_in_comes_out(suffix, tmp_path_factory, config, values):
    path = tmp_path_factory.mktemp("files") / f"net{needs(suffix)}"
    container.write(path, config, {"values": np.array(values, np.float64)})
    config_read, arrays = container.read(path)
    # Compared as text, in which 1, 1.0 and True differ.
    assert json.dumps(config_read, sort_keys=True) == json.dumps(config, sort_keys=True)
    assert same(arrays, {"values": np.array(values, np.float64)})


def test_the_same_model_makes_the_same_file(tmp_path):
    path = tmp_path / "net.npz"
    container.write(path, CONFIG, ARRAYS)
    first = path.read_bytes()
    container.write(path, dict(reversed(CONFIG.items())), dict(reversed(ARRAYS.items())))
    assert path.read_bytes() == first


def test_numpy_alone_reads_npz(tmp_path):
    container.write(tmp_path / "net.npz", CONFIG, ARRAYS)
    with np.load(tmp_path / "net.npz", allow_pickle=False) as file:
        metadata = json.loads(file["__metadata__"].tobytes())
        assert same({name: file[name] for name in ARRAYS}, ARRAYS)
    assert metadata["format"] == "bpkern"
    assert metadata["version"] == "1"
    assert json.loads(metadata["config"]) == CONFIG


def test_safetensors_alone_reads_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors", reason="safetensors reads and writes these files")
    container.write(tmp_path / "net.safetensors", CONFIG, ARRAYS)
    with safetensors.safe_open(tmp_path / "net.safetensors", "np") as file:
        assert same({name: file.get_tensor(name) for name in file.keys()}, ARRAYS)  # noqa: SIM118
        assert json.loads(file.metadata()["config"]) == CONFIG
        assert file.metadata()["format"] == "bpkern"


# Refused before anything is written ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "arrays", "error", "message"),
    [
        ({"a": np.nan}, {}, ValueError, "not JSON compliant"),
        ({"a": np.inf}, {}, ValueError, "not JSON compliant"),
        ({"a": (1, 2)}, {}, TypeError, "config must hold only what JSON gives back"),
        ({1: 2}, {}, TypeError, "config must hold only what JSON gives back"),
        ({"a": np.float32(1)}, {}, TypeError, "not JSON serializable"),
        ({"a": {1, 2}}, {}, TypeError, "not JSON serializable"),
        ({"a": "x" * container.MOST_TEXT}, {}, ValueError, "must be at most 1048576 bytes in a file"),
        ({}, {"a": np.array([None])}, TypeError, "must hold booleans, integers or floats: a is object"),
        ({}, {"a": np.array(["x"])}, TypeError, "a is <U1"),
        ({}, {"a": np.ones(1, complex)}, TypeError, "a is complex128"),
        pytest.param(
            {},
            {"a": np.ones(1, np.longdouble)},
            TypeError,
            "a is float128|a is longdouble",
            marks=pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is double"),
        ),
        ({}, {"a": np.ones(1, "M8[s]")}, TypeError, "a is datetime64"),
        ({}, {"": np.ones(1)}, ValueError, "cannot have the name ''"),
        ({}, {"__metadata__": np.ones(1)}, ValueError, "cannot have the name '__metadata__'"),
        ({}, {"a\0b": np.ones(1)}, ValueError, "cannot have the name"),
    ],
)
def test_what_a_file_cannot_hold(path, config, arrays, error, message):
    container.write(path, CONFIG, ARRAYS)
    before = content(path.parent)
    with pytest.raises(error, match=message):
        container.write(path, config, arrays)
    assert content(path.parent) == before


@pytest.mark.parametrize("name", ["net", "net.pt", "net.npz.gz", "net.NPZ", ".npz", "net.npy"])
def test_suffixes(tmp_path, name):
    for call in (lambda path: container.write(path, {}, {}), container.read):
        with pytest.raises(ValueError, match=r"must end in .npz or .safetensors, not '.*'"):
            call(tmp_path / name)
    assert content(tmp_path) == {}


def test_without_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (lambda path: container.write(path, {}, {}), container.read):
        with pytest.raises(
            ModuleNotFoundError, match=r"needs safetensors: pip install 'bpkern\[safetensors\]'"
        ):
            call(tmp_path / "net.safetensors")
    assert content(tmp_path) == {}


# Written whole or not at all -------------------------------------------------------------------------------


class Broken(Exception):
    pass


def fail(*args, **kwargs):
    raise Broken


# The mode is set only if there is an old file to take it from.
@pytest.mark.parametrize(
    ("step", "there"),
    [
        *itertools.product(["fsync", "replace", "encode", "half", "interrupt"], [False, True]),
        pytest.param("chmod", True, marks=needs_posix),
    ],
)
def test_a_failure_leaves_the_old_file_and_nothing_else(path, monkeypatch, step, there):
    if there:
        container.write(path, CONFIG, ARRAYS)
    before = content(path.parent)
    error = Broken
    if step in ("fsync", "replace", "chmod"):
        monkeypatch.setattr(os, step, fail)
    elif step == "encode":
        monkeypatch.setattr(container, "digest", fail)
    else:
        error = Broken if step == "half" else KeyboardInterrupt
        kind = container.FORMATS[path.suffix]
        encode = kind.write

        def half(file, metadata, arrays):
            whole = io.BytesIO()
            encode(whole, metadata, arrays)
            file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
            file.flush()
            raise error

        monkeypatch.setattr(kind, "write", half)
    with pytest.raises(error):
        container.write(path, {"new": True}, {})
    monkeypatch.undo()
    assert content(path.parent) == before
    container.write(path, {"new": True}, {})
    assert container.read(path)[0] == {"new": True}


def test_a_full_disk_is_an_os_error(path, monkeypatch):
    resource = pytest.importorskip("resource", reason="limits the size of files")
    container.write(path, CONFIG, ARRAYS)
    before = content(path.parent)
    signal = pytest.importorskip("signal")
    old, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"\[Errno"):
            container.write(path, {}, {"large": np.ones(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert content(path.parent) == before


def test_all_is_on_the_disk_before_it_is_put_in_place(path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def told_fsync(descriptor):
        status = os.fstat(descriptor)
        calls.append(("fsync", None if stat.S_ISDIR(status.st_mode) else status.st_size))
        fsync(descriptor)

    def told_replace(source, target):
        calls.append(("replace", os.stat(source).st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", told_fsync)
    monkeypatch.setattr(os, "replace", told_replace)
    container.write(path, CONFIG, ARRAYS)
    size = path.stat().st_size
    folder = [("fsync", None)] if os.name == "posix" else []
    assert calls == [("fsync", size), ("replace", size), *folder]


@needs_posix
@pytest.mark.parametrize("number", ["EINVAL", "EACCES", "ENOTSUP", "EIO"])
def test_folders_that_cannot_be_synced(path, monkeypatch, number):
    code, sync = getattr(errno, number), os.fsync

    def refuse(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, "refused")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    if number == "EIO":
        with pytest.raises(OSError, match="refused"):
            container.write(path, CONFIG, ARRAYS)
    else:
        container.write(path, CONFIG, ARRAYS)
    assert list(content(path.parent)) == [path.name]
    assert container.read(path)[0] == CONFIG


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod", "unlink"])
def test_errors_of_the_system_name_the_file(path, monkeypatch, step):
    container.write(path, CONFIG, ARRAYS)

    def refuse(*arguments, **settings):
        raise OSError(errno.EIO, "refused")

    # If the temporary file cannot be removed either, the first error is reported.
    for name in {step, "fsync"}:
        monkeypatch.setattr(os, name, refuse)
    if step == "unlink":
        monkeypatch.setattr(os, step, lambda *arguments: os.rmdir(path.parent / "none"))
    with pytest.raises(OSError, match="refused") as caught:
        container.write(path, {}, {})
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(path))
    monkeypatch.undo()
    assert container.read(path)[0] == CONFIG


def test_a_link_that_cannot_be_read_is_not_replaced(path, monkeypatch):
    folder = path.parent / "elsewhere"
    folder.mkdir()
    container.write(folder / path.name, CONFIG, ARRAYS)
    make_link(path, folder / path.name)
    look = os.lstat

    def refuse(which, **settings):
        if os.fspath(which) == str(path):
            raise OSError(errno.EIO, "refused")
        return look(which, **settings)

    monkeypatch.setattr(os, "lstat", refuse)
    for call in (lambda: container.write(path, {}, {}), lambda: container.check_path(path)):
        with pytest.raises(OSError, match="refused"):
            call()
    monkeypatch.undo()
    assert path.is_symlink()
    assert container.read(path)[0] == CONFIG


@needs_posix
def test_modes(path):
    before = os.umask(0o027)
    try:
        container.write(path, {}, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    container.write(path, {}, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_a_link_stays_one(path):
    link = path.with_name(f"link{path.suffix}")
    make_link(link, path.name)
    container.write(link, CONFIG, {})
    assert link.is_symlink()
    assert container.read(path)[0] == container.read(link)[0] == CONFIG


def test_folders_that_are_not_there(path):
    with pytest.raises(FileNotFoundError):
        container.write(path.parent / "none" / path.name, {}, {})
    with pytest.raises(FileNotFoundError):
        container.read(path)
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        container.read(path)
    with pytest.raises(OSError, match="directory"):
        container.write(path, {}, {})
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_paths_of_the_working_folder(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    container.write(path.name, CONFIG, {})
    assert container.read(path.name)[0] == CONFIG
    (path.parent / f".{path.name}.0123456789abcdef.tmp").touch()
    replacing.remove_leftovers(path.name)
    assert list(content(path.parent)) == [path.name]


def test_what_a_killed_writer_leaves(path):
    container.write(path, CONFIG, ARRAYS)
    others = [
        f".{path.name}.tmp",
        f".{path.name}.0123.tmp",
        f"x{path.name}.0123456789abcdef.tmp",
        f"{path.name}.tmp",
    ]
    for name in others:
        (path.parent / name).touch()
    # Killed after the last byte is written and before the old file is replaced.
    program = (
        "import os, sys; from bpkern._files import container\n"
        "os.replace = lambda *paths: os._exit(5)\n"
        "container.write(sys.argv[1], {}, {})"
    )
    assert subprocess.run([sys.executable, "-c", program, path]).returncode == 5
    assert container.read(path)[0] == CONFIG
    assert len(content(path.parent)) == len(others) + 2
    replacing.remove_leftovers(path)
    assert set(content(path.parent)) == {path.name, *others}


# Damaged, foreign and malicious files ----------------------------------------------------------------------


def refused(path, raw, message="is no bpkern file, or was damaged"):
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=message) as caught:
        container.read(path)
    assert str(path) in str(caught.value)


def test_every_truncation_is_refused(path):
    container.write(path, {"a": 1}, ARRAYS)
    raw = path.read_bytes()
    for length in range(len(raw)):
        refused(path, raw[:length])


def refused_or_equal(path, raw, config, arrays):
    """Whether the file reads as the original; otherwise it must be refused by name."""
    path.write_bytes(raw)
    try:
        config_read, arrays_read = container.read(path)
    except ValueError as error:
        if str(path) not in str(error):
            raise
        return False
    assert config_read == config
    assert same(arrays_read, arrays)
    return True


def test_every_flipped_bit_is_refused_or_changes_nothing(path):
    config, arrays = {"a": 1}, {"w": np.arange(3, dtype=np.float32)}
    container.write(path, config, arrays)
    raw = path.read_bytes()
    equal = 0
    for i in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[i // 8] ^= 1 << i % 8
        equal += refused_or_equal(path, bytes(flipped), config, arrays)
    # Zip archives hold times, versions and checksums that reading ignores.
    assert equal < (0.35 * 8 * len(raw) if path.suffix == ".npz" else 1)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@given(data=st.data())
def test_any_change_is_refused_or_changes_nothing(suffix, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("files") / f"net{needs(suffix)}"
    config, arrays = {"a": [1, 2.5]}, ARRAYS
    container.write(path, config, arrays)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(raw)))
        end = min(len(raw), start + data.draw(st.integers(0, 40)))
        raw[start:end] = data.draw(
            st.binary(max_size=40)
            | st.sampled_from(
                [b"\xff" * 8, b"\0" * 8, b"PK\5\6", b"NaN", b"9" * 30, b"[" * 2000, bytes(raw[:90])]
            )
        )
    refused_or_equal(path, bytes(raw), config, arrays)


@given(raw=st.binary(max_size=200))
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_any_bytes_are_refused(suffix, tmp_path_factory, raw):
    refused(tmp_path_factory.mktemp("files") / f"net{needs(suffix)}", raw)


def archive(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as zipped:
        for name, raw in members:
            zipped.writestr(name, raw)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array))
    return file.getvalue()


def signed(config="{}", arrays=(), **changes):
    """Valid metadata with these changes."""
    metadata = {"format": "bpkern", "version": "1", "config": config} | changes
    return {"sha256": container.digest(metadata, dict(arrays))} | metadata


def npz(metadata, members=(), **settings):
    text = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    return archive([("__metadata__.npy", npy(text)), *members], **settings)


def safetensors_file(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def both(path, metadata):
    return npz(metadata) if path.suffix == ".npz" else safetensors_file({"__metadata__": metadata})


def test_newer_files(path):
    path.write_bytes(both(path, signed()))
    assert container.read(path) == ({}, {})
    refused(
        path,
        both(path, signed(version="3")),
        rf"{path.name} was written by a newer bpkern \(format 3\): this one reads up to 2",
    )


@pytest.mark.parametrize(
    "metadata",
    [
        signed(format="pt"),
        {"format": "pt"},
        {"format": "bpkern"},
        signed(version="one"),
        signed(sha256="0" * 64),
        signed("[]"),
        signed("{"),
        signed('{"a": NaN}'),
        signed('{"a": Infinity}'),
        signed('{"a": ' + "9" * 5000 + "}"),
        signed('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    ],
    ids=range(11),
)
def test_metadata_that_are_wrong(path, metadata):
    refused(path, both(path, metadata))


@pytest.mark.parametrize(
    "metadata", [None, 3, [], "bpkern", {"format": ["bpkern"]}, {"format": "bpkern", "version": []}]
)
def test_metadata_of_another_shape(tmp_path, metadata):
    refused(tmp_path / "net.npz", npz(metadata))


class Harmful:
    def __reduce__(self):
        return (fail, ())


@pytest.mark.parametrize(
    "members",
    [
        [("0.weight.npy", npy(np.array([Harmful()], dtype=object)))],
        [("0.weight.npy", npy(np.array(["text"])))],
        [("0.weight.npy", npy(np.ones((2, 3), order="F")))],
        [("0.weight.npy", npy(np.ones(2, np.longdouble)))],
        [("0.weight.npy", npy(np.ones(2))[:-1])],
        [("0.weight.npy", npy(np.ones(2)) + b"\0")],
        [("0.weight.npy", npy(np.ones(2)).replace(b"(2,)", b"(-2,)"))],
        [("0.weight.npy", npy(np.ones(2)).replace(b"(2,)", b"(2.)"))],
        [("0.weight.npy", npy(np.ones(2)).replace(b"(2,), }", b"(99999999999999999,), }"))],
        [("0.weight.npy", b"")],
        [("0.weight", npy(np.ones(2)))],
        [("a.txt", b"text")],
    ],
    ids=range(12),
)
def test_members_that_are_no_arrays(tmp_path, members):
    refused(tmp_path / "net.npz", npz(signed(), members))


def test_pickles_are_never_read(tmp_path):
    np.savez(tmp_path / "net.npz", a=np.array([Harmful()], dtype=object))
    refused(tmp_path / "net.npz", (tmp_path / "net.npz").read_bytes())
    np.savez(tmp_path / "net.npz", a=np.ones(3))
    refused(tmp_path / "net.npz", (tmp_path / "net.npz").read_bytes(), "does not say that it is one")


def test_names_that_are_there_twice(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        raw = npz(signed(), [("a.npy", npy(np.ones(1))), ("a.npy", npy(np.zeros(1)))])
    refused(tmp_path / "net.npz", raw, "is there twice")


def small_peak(path, raw, most):
    path.write_bytes(raw)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=path.name):
            container.read(path)
        return tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def test_bombs_are_refused_before_they_go_off(tmp_path):
    path = tmp_path / "net.npz"
    zeros = npy(np.zeros(10_000_000))
    raw = npz(signed(), [("a.npy", zeros)], compression=zipfile.ZIP_DEFLATED)
    refused(path, raw, "compressed")
    assert small_peak(path, raw, 2_000_000)
    del zeros

    # Overlapping members: the same bytes many times.
    many = archive([("a.npy", npy(np.zeros(10_000)))])
    start = many.index(b"PK\1\2")
    end = many.index(b"PK\5\6")
    entry = many[start:end]
    entries = [entry.replace(b"a.npy", b"%05d" % i) for i in range(1000)]
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1000, 1000, 1000 * len(entry), start, 0)
    raw = many[:start] + b"".join(entries) + tail
    assert small_peak(path, raw, 4 * len(raw) + 2_000_000)
    refused(path, raw)

    # A shape that needs far more bytes than the member has.
    raw = npz(signed(), [("a.npy", npy(np.zeros(1)).replace(b"(1,), }        ", b"(10000000,), } "))])
    assert b"10000000" in raw
    assert small_peak(path, raw, 2_000_000)


def test_a_directory_too_long_is_not_taken_apart(tmp_path):
    many = archive([("a.npy", npy(np.zeros(1)))])
    start, end = many.index(b"PK\1\2"), many.index(b"PK\5\6")
    count = container.MOST_TEXT // (end - start) + 1
    entries = many[start:end] * count
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 65535, 65535, len(entries), start, 0)
    refused(tmp_path / "net.npz", many[:start] + entries + tail, "its directory is longer than 1048576 bytes")


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({}, b""),
        ([], b""),
        ({"a": ENTRY}, b"\0" * 8),
        ({"a": ENTRY, "__metadata__": signed()}, b"\0" * 8),  # not what the digest covers
        ({"a": ENTRY | {"shape": [10**12]}, "__metadata__": signed()}, b"\0" * 8),
        ({"a": ENTRY | {"data_offsets": [0, 10**12]}, "__metadata__": signed()}, b"\0" * 8),
        ({"a": ENTRY | {"data_offsets": [8, 0]}, "__metadata__": signed()}, b"\0" * 8),
        ({"a": ENTRY, "b": ENTRY, "__metadata__": signed()}, b"\0" * 8),
        ({"a": ENTRY | {"dtype": "BF16", "shape": [4]}, "__metadata__": signed()}, b"\0" * 8),
        ({"a": ENTRY | {"dtype": "F99"}, "__metadata__": signed()}, b"\0" * 8),
        ({"a": ENTRY | {"dtype": ["F32"]}, "__metadata__": signed()}, b"\0" * 8),
        ({"a": 5, "__metadata__": signed()}, b"\0" * 8),
        ({"a": {}, "__metadata__": signed()}, b"\0" * 8),
        ({"__metadata__": signed()}, b"\0" * 8),
        ({"__metadata__": 5}, b""),
    ],
    ids=range(15),
)
def test_safetensors_headers_that_are_wrong(tmp_path, header, data):
    needs(".safetensors")
    refused(tmp_path / "net.safetensors", safetensors_file(header, data))


def test_safetensors_headers_that_are_too_long(tmp_path):
    path = tmp_path / f"net{needs('.safetensors')}"
    refused(path, struct.pack("<Q", 2**63) + b"{}", "longer than the file")
    refused(
        path,
        struct.pack("<Q", container.MOST_TEXT + 1) + b" " * (container.MOST_TEXT + 9),
        "longer than the file, or",
    )


def test_reading_takes_twice_the_file_at_most(path):
    array = np.ones(1_000_000)
    container.write(path, {}, {"a": array, "b": array})
    tracemalloc.start()
    container.read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.1 * path.stat().st_size
