"""Only regular files are read and replaced, under names of any length. They keep what belongs to them."""

import contextlib
import errno
import os
import socket
import stat

import numpy as np
import pytest
from systems import make_link, needs_posix

import bpkern
from bpkern._files import container

X, Y = np.arange(20.0).reshape(10, 2) / 20, np.arange(10.0)
NOT_REGULAR = "a device, pipe or socket, and not a regular file"


def net():
    return bpkern.MLP([2, 1], loss="mse", seed=0)


def device(path, minor):
    """A node of the test's own, with the numbers of /dev/null (3) or /dev/zero (5)."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        pytest.skip("this user or file system allows no device nodes")


def listening(path):
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        there = os.getcwd()
        os.chdir(path.parent)  # the path of a socket has at most 107 bytes
        try:
            server.bind(path.name)
        finally:
            os.chdir(there)


MAKE = {
    "null": lambda path: device(path, 3),
    "zero": lambda path: device(path, 5),
    "pipe": lambda path: os.mkfifo(path),
    "socket": listening,
}


@pytest.fixture(params=[pytest.param(kind, marks=needs_posix) for kind in MAKE])
def thing(request, tmp_path):
    """Something that is no regular file."""
    path = tmp_path / "thing"
    MAKE[request.param](path)
    return path


@pytest.fixture(params=["itself", "link", "link to a link"])
def path(request, thing):
    """A path with a suffix of a model's file that leads to it."""
    if request.param == "itself":
        return thing.rename(thing.with_suffix(".npz"))
    link = thing.with_name("link.npz")
    if request.param == "link":
        make_link(link, thing)
    else:
        make_link(link.with_name("other"), "thing")
        make_link(link, "other")
    return link


def listing(folder):
    return {entry.name: (entry.lstat().st_mode, entry.lstat().st_ino) for entry in folder.iterdir()}


def refuses(call, path):
    before = listing(path.parent)
    with pytest.raises(OSError, match=NOT_REGULAR) as caught:
        call()
    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, str(path))
    assert listing(path.parent) == before


def test_it_is_not_replaced(path):
    model = net()
    refuses(lambda: model.save(path), path)
    best = bpkern.callbacks.ModelCheckpoint(path, save_best_only=False)
    refuses(lambda: model.fit(X, Y, callbacks=best), path)


def test_it_is_no_checkpoint(path):
    """The error comes before the first epoch."""
    model = net()
    for resume in (False, True):
        refuses(lambda resume=resume: model.fit(X, Y, checkpoint=path, resume=resume), path)
    assert model.history_ is None


def test_it_is_not_read(path):
    """A device may have no end, and opening a pipe waits for a writer."""
    refuses(lambda: bpkern.MLP.load(path), path)


@needs_posix
def test_a_path_that_becomes_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    """Between the look at it and its opening."""
    path = tmp_path / "net.npz"
    os.mkfifo(path)
    status = os.stat

    def earlier(which, **settings):
        return status(__file__ if which == path else which, **settings)

    monkeypatch.setattr(os, "stat", earlier)
    with pytest.raises(OSError, match=NOT_REGULAR):
        container.read(path)


# Names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [99, 100, 101, 232, 233, 234, 254, 255])
@pytest.mark.parametrize("letter", ["n", "é"])
def test_names_of_any_length(tmp_path, length, letter):
    spare = length - len(".npz")
    size = len(letter.encode())
    path = tmp_path / f"{letter * (spare // size)}{'x' * (spare % size)}.npz"
    assert len(os.fsencode(path.name)) == length
    model = net()
    model.fit(X, Y, epochs=2, checkpoint=path)
    for _ in range(2):
        model.save(path)
    assert os.listdir(tmp_path) == [path.name]
    assert bpkern.MLP.load(path).history_ == model.history_


# What belongs to a file ------------------------------------------------------------------------------------


@needs_posix
def test_the_owner_stays(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root gives files to others")
    path = tmp_path / "net.npz"
    net().save(path)
    os.chown(path, 12345, 23456)
    path.chmod(0o640)
    net().save(path)
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 23456, 0o640)


@needs_posix
@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL])
@pytest.mark.parametrize("member", [False, True])
def test_an_owner_that_cannot_stay_is_no_error(tmp_path, monkeypatch, member, number):
    """A user who is not root may replace the file of another; a member of its group keeps the group.

    In a user namespace, owners may have no number: the system then says EINVAL, also to root.
    """
    path, asked = tmp_path / "net.npz", []
    net().save(path)
    status = os.stat

    def of_others(which, **settings):
        found = status(which, **settings)
        if os.fspath(which) != str(path):
            return found
        return os.stat_result((*found[:4], found.st_uid + 1, found.st_gid + 1, *found[6:10]))

    def chown(descriptor, user, group):
        asked.append((user, group))
        if user != -1 or not member:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "stat", of_others)
    monkeypatch.setattr(os, "chown", chown)
    net().save(path)
    monkeypatch.undo()
    own = path.stat()
    assert asked == [(own.st_uid + 1, own.st_gid + 1), (-1, own.st_gid + 1)]
    assert os.listdir(tmp_path) == ["net.npz"]


def test_extended_attributes_stay(tmp_path):
    path = tmp_path / "net.npz"
    net().save(path)
    try:
        os.setxattr(path, "user.note", b"the best")
    except (AttributeError, OSError):
        pytest.skip("this system or file system has no attributes of users")
    net().save(path)
    assert os.getxattr(path, "user.note") == b"the best"


def test_attributes_that_cannot_stay_are_no_error(tmp_path, monkeypatch):
    if not hasattr(os, "listxattr"):
        pytest.skip("this system has no extended attributes")
    path, set_so_far = tmp_path / "net.npz", []
    net().save(path)

    def refuse(which, name, value):
        set_so_far.append(name)
        if name == "security.secret":
            raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "listxattr", lambda which: ["security.secret", "user.note"])
    monkeypatch.setattr(os, "getxattr", lambda which, name: b"value")
    monkeypatch.setattr(os, "setxattr", refuse)
    net().save(path)
    assert set_so_far == ["security.secret", "user.note"]

    def unsupported(which):
        raise OSError(errno.ENOTSUP, "no attributes here")

    monkeypatch.setattr(os, "listxattr", unsupported)
    net().save(path)
    assert os.listdir(tmp_path) == ["net.npz"]


def test_a_link_to_a_file_stays_a_link(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    make_link(tmp_path / "link.npz", folder / "net.npz")
    for _ in range(2):  # first it leads to nothing
        net().save(tmp_path / "link.npz")
        assert (tmp_path / "link.npz").is_symlink()
        assert os.listdir(folder) == ["net.npz"]
        assert bpkern.MLP.load(tmp_path / "link.npz").layers == [2, 1]
