"""Power loss at any moment of a save or a checkpoint, on a disk that writes in any order.

The calls that change files are recorded once (failing/recording.c). A trial takes a moment, and one of the
states in which POSIX allows the disk to be then: what was synced is there, and of everything else any part,
as `Disk` says. The file must hold one complete version in all of these states.
"""

import os
import tempfile
from typing import Any, NamedTuple

import numpy as np
from failing.shims import Child, build
from hostile import one
from journal import Journal, attack, main

Rng = np.random.Generator

# A write of a sector is complete or not made.
SECTOR = 512


class Recording(NamedTuple):
    """The answer of record_writes.py, with contents as bytes."""

    inodes: dict[str, int]
    before: dict[str, bytes]
    path: str
    versions: list[bytes | None]
    log: list[list[str]]
    after: dict[str, bytes]

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Recording":
        def plain(contents: dict[str, str]) -> dict[str, bytes]:
            return {path: bytes.fromhex(text) for path, text in contents.items()}

        versions = [None if text is None else bytes.fromhex(text) for text in given["versions"]]
        return cls(
            given["inodes"],
            plain(given["before"]),
            given["path"],
            versions,
            given["log"],
            plain(given["after"]),
        )


class Disk:
    """A state of the disk after the first `moment` calls of a recording.

    A name is durable after a sync of its folder, data after a sync of their file. Of the other calls any may
    be lost, of a write any sectors; a file may have the length of a lost write, with zeros in it.

    Parameters
    ----------
    recording : Recording
    moment : int
    rng : Generator or None
        None loses nothing.
    """

    def __init__(self, recording: Recording, moment: int, rng: Rng | None) -> None:
        self._rng = rng
        self._of = recording
        self._log = recording.log[:moment]
        # How likely names and data are kept: all, none, or any part.
        self._names, self._data = (
            (1.0, 1.0) if rng is None else (one(rng, (0.0, 0.5, 0.9, 1.0)) for _ in "nd")
        )
        self._names_now = dict(recording.inodes)  # as if nothing were lost
        self.names = dict(recording.inodes)
        self.data = {recording.inodes[path]: bytearray(raw) for path, raw in recording.before.items()}
        last_sync = {line[1]: number for number, line in enumerate(self._log) if line[0] == "sync"}
        self._last_sync = {int(inode): number for inode, number in last_sync.items()}
        for number, line in enumerate(self._log):
            self._take(number, *line)

    def content(self, path: str) -> bytes | None:
        inode = self.names.get(path)
        return None if inode is None else bytes(self.data.get(inode, b""))

    def _keeps(self, likely: float, inode: int, number: int) -> bool:
        """Whether a change of this file or folder is kept."""
        if number < self._last_sync.get(inode, -1):
            return True
        return self._rng is None or self._rng.random() < likely

    def _take(self, number: int, what: str, *fields: str) -> None:
        if what in ("create", "link", "rename", "unlink"):
            self._name(number, what, *fields)
        elif what == "write":
            self._write(number, int(fields[0]), int(fields[1]), bytes.fromhex(fields[2]))
        elif what == "truncate" and self._keeps(self._data, int(fields[0]), number):
            self._resize(int(fields[0]), int(fields[1]))

    def _name(self, number: int, what: str, *fields: str) -> None:
        """A change of names, which is kept or lost as a whole."""
        if what == "create":
            inode, target, gone = int(fields[0]), fields[1], None
        elif what == "unlink":
            inode, target, gone = 0, None, fields[0]
        else:
            inode, target = self._names_now[fields[0]], fields[1]
            gone = fields[0] if what == "rename" else None
        folder = self._of.inodes[os.path.dirname(target or gone or "")]
        kept = (
            (self._names_now, self.names) if self._keeps(self._names, folder, number) else (self._names_now,)
        )
        for names in kept:
            if gone is not None:
                names.pop(gone, None)
            if target is not None:
                names[target] = inode

    def _write(self, number: int, inode: int, offset: int, raw: bytes) -> None:
        start = offset
        while start < offset + len(raw):
            end = min(offset + len(raw), (start // SECTOR + 1) * SECTOR)
            if self._keeps(self._data, inode, number):
                self._resize(inode, max(end, self._length(inode)))
                self.data[inode][start:end] = raw[start - offset : end - offset]
            start = end
        if self._rng is not None and self._keeps(0.5, inode, number):
            self._resize(inode, max(offset + len(raw), self._length(inode)))

    def _length(self, inode: int) -> int:
        return len(self.data.get(inode, b""))

    def _resize(self, inode: int, size: int) -> None:
        data = self.data.setdefault(inode, bytearray())
        del data[size:]
        data.extend(bytes(size - len(data)))


def wrong_at(recording: Recording, moment: int, rng: Rng) -> str:
    """What is wrong with the file in one state of the disk, or ""."""
    done = sum(line[0] == "mark" for line in recording.log[:moment])
    is_between = moment == len(recording.log) or recording.log[moment - 1][0] == "mark"
    allowed = recording.versions[done : done + 1 if is_between else done + 2]
    found = Disk(recording, moment, rng).content(recording.path)
    if found in allowed:
        return ""
    if found in recording.versions:
        return f"version {recording.versions.index(found)}, with {done} writes done"
    return "no file" if found is None else f"a file of {len(found)} bytes that is no version"


def check_recording(recording: Recording) -> None:
    """Check that the log is complete: with nothing lost, it leads to the files that there are."""
    disk = Disk(recording, len(recording.log), None)
    found = {path: disk.content(path) for path, inode in disk.names.items() if inode in disk.data}
    if found != recording.after:
        raise RuntimeError(f"the log leads to other files: {sorted(found)}, not {sorted(recording.after)}")


def check_finds(recording: Recording, unsynced: set[str], seed: int) -> None:
    """Check that these attacks find a writer which does not sync the files or folders `unsynced`."""
    log = [line for line in recording.log if line[0] != "sync" or line[1] not in unsynced]
    without = recording._replace(log=log)
    rng = np.random.default_rng(seed)
    if not any(wrong_at(without, int(rng.integers(1, len(log) + 1)), rng) for _ in range(1000)):
        raise RuntimeError("the simulation does not find that nothing is synced")


@attack(trials=100_000)
def moments(journal: Journal) -> str:
    """After a power loss at any moment a saved file is the old or the new version, after save the new one."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Child("record_writes.py", build("recording.c"), folder) as child,
    ):
        names = child.ask(["names"])
        recordings = [Recording.of(child.ask(["record", name])) for name in names]
    for recording in recordings:
        check_recording(recording)
        folders = {str(recording.inodes[os.path.dirname(recording.path)])}
        files = {line[1] for line in recording.log if line[0] == "write"}
        check_finds(recording, folders, journal.seed)
        check_finds(recording, files, journal.seed)
    for trial in journal:
        rng = journal.generator(trial)
        recording = recordings[trial % len(recordings)]
        moment = int(rng.integers(1, len(recording.log) + 1))
        if wrong := wrong_at(recording, moment, rng):
            line = recording.log[moment - 1]
            journal.fail(trial, f"{names[trial % len(names)]}, after {line[0]}, call {moment}: {wrong}")
    return f"{sum(len(each.log) for each in recordings)} calls of {len(recordings)} ways to write"


if __name__ == "__main__":
    main(__file__)
