"""The process in which writes of files fail: `python write_trials.py FOLDER`, run by failing_writes.py.

The questions are ["names"]; ["count", scenario], answered by the names of the system calls; ["fail",
scenario, first, last, errno], with the calls that fail, counted from 1, where errno -1 is a write of half the
bytes; and ["full", scenario, bytes, how], which fills the disk up to that many free bytes, or limits files to
that size. The answer to the last two is what was wrong, or "".
"""

import contextlib
import ctypes
import errno
import os
import resource
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from failing.trial import Wrong, digest, is_usable, serve

import bpkern
from bpkern import callbacks

SHORT = -1

shim = ctypes.CDLL(None)
shim.failing_counted.restype = shim.failing_failed.restype = ctypes.c_long
shim.failing_calls.restype = ctypes.c_char_p
shim.failing_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_long, ctypes.c_int]

ROOT = Path(sys.argv[1]).resolve()
FOLDER, ELSEWHERE = ROOT / "folder", ROOT / "folder" / "elsewhere"

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((40, 20)).astype(np.float32), RNG.integers(0, 3, 40)


def model() -> bpkern.MLP:
    return bpkern.MLP([20, 33, 3], loss="cross_entropy", optimizer=bpkern.Adam(0.01), dropout=0.1, seed=1)


# The files written -----------------------------------------------------------------------------------------


class Scenario(NamedTuple):
    """`prepare` fills the folder, `act` writes `name` in it, and `finish` tries again after a failure, as a
    script would. If it `appends`, the old content stays, and rows may be written twice."""

    name: str
    prepare: Callable[[], None]
    act: Callable[[bpkern.MLP], Any]
    finish: Callable[[bpkern.MLP], Any]
    is_fit: bool = False
    appends: bool = False


ALL: dict[str, Scenario] = {}


def nothing() -> None:
    pass


def older() -> bpkern.MLP:
    old = model()
    old.fit(X, LABELS)
    return old


def add_saves(suffix: str) -> None:
    name = f"net{suffix}"
    path = FOLDER / name

    def old() -> None:
        older().save(path)
        path.chmod(0o640)

    def link() -> None:
        ELSEWHERE.mkdir()
        older().save(ELSEWHERE / name)
        path.symlink_to(ELSEWHERE / name)

    def save(model: bpkern.MLP) -> None:
        model.save(path)

    for what, prepare in {"new": nothing, "old": old, "link": link}.items():
        ALL[f"save {suffix} {what}"] = Scenario(name, prepare, save, save)


SUFFIXES = [".npz"]
with contextlib.suppress(ModuleNotFoundError):
    import safetensors.numpy  # noqa: F401

    SUFFIXES.append(".safetensors")
for suffix in SUFFIXES:
    add_saves(suffix)


def add_fit(what: str, name: str, appends: bool = False, **settings: Any) -> None:
    """A fit that writes; another fit finishes it, from its checkpoint if it has one."""

    def fit(model: bpkern.MLP, epochs: int = 3) -> Any:
        made = {key: value() if callable(value) else value for key, value in settings.items()}
        return model.fit(X, LABELS, epochs=epochs, **made)

    def before() -> None:
        fit(model(), 2)

    for there, prepare in {"new": nothing, "old": before}.items():
        ALL[f"{what} {there}"] = Scenario(name, prepare, fit, lambda _: fit(model()), True, appends)


add_fit("checkpoint", "fit.npz", checkpoint=FOLDER / "fit.npz", resume=True)
add_fit(
    "ModelCheckpoint",
    "best.npz",
    callbacks=lambda: callbacks.ModelCheckpoint(FOLDER / "best.npz", save_best_only=False),
)
add_fit("CSVLogger", "log.csv", callbacks=lambda: callbacks.CSVLogger(FOLDER / "log.csv"))
add_fit(
    "CSVLogger append",
    "log.csv",
    appends=True,
    callbacks=lambda: callbacks.CSVLogger(FOLDER / "log.csv", append=True),
)
add_fit(
    "all three",
    "fit.npz",
    checkpoint=FOLDER / "fit.npz",
    resume=True,
    callbacks=lambda: [
        callbacks.ModelCheckpoint(FOLDER / "best.npz", "loss"),
        callbacks.CSVLogger(FOLDER / "log.csv"),
    ],
)


# Failures --------------------------------------------------------------------------------------------------


def put_up(scenario: Scenario) -> bpkern.MLP:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    scenario.prepare()
    return model()


class Undisturbed:
    """The result of a scenario without failures."""

    def __init__(self, scenario: Scenario) -> None:
        for _ in range(2):  # the first call imports
            writer = put_up(scenario)
            scenario.act(writer)
        self.folder, self.model = digest(FOLDER), digest(writer)


undisturbed: dict[str, Undisturbed] = {}


def reference(name: str) -> Undisturbed:
    if name not in undisturbed:
        undisturbed[name] = Undisturbed(ALL[name])
    return undisturbed[name]


def count(name: str) -> list[str]:
    reference(name)
    writer = put_up(ALL[name])
    shim.failing_arm(bytes(FOLDER), 0, 0, 0)
    try:
        ALL[name].act(writer)
    finally:
        shim.failing_disarm()
    return shim.failing_calls().decode().split()


@contextlib.contextmanager
def faults(first: int, last: int, number: int) -> Iterator[None]:
    shim.failing_arm(bytes(FOLDER), first, last, number)
    try:
        yield
    finally:
        shim.failing_disarm()


def fail(name: str, first: int, last: int, number: int) -> str:
    raised = attempt(name, faults(first, last, number))
    hit, called = shim.failing_failed(), shim.failing_calls().decode().split()
    if not hit and raised is not None:
        raise Wrong(f"nothing failed, and it raised {raised!r}")
    if raised is not None and raised.errno != number:
        raise Wrong(f"it raised {raised!r} for {errno.errorcode[number]}")
    # A temporary file that could not be removed is still there.
    left = "unlink" in called[first - 1 : last]
    check(name, raised, in_place="rename" in called[: first - 1], removed=not left)
    return ""


@contextlib.contextmanager
def limited(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextlib.contextmanager
def filled(size: int) -> Iterator[None]:
    filler = ROOT / "filler"
    with filler.open("wb") as file:
        status = os.statvfs(ROOT)
        os.posix_fallocate(file.fileno(), 0, max(1, status.f_bavail * status.f_frsize - size))
    try:
        yield
    finally:
        filler.unlink()


def full(name: str, size: int, how: str) -> str:
    raised = attempt(name, {"limited": limited, "filled": filled}[how](size))
    expected = {"limited": errno.EFBIG, "filled": errno.ENOSPC}[how]
    if raised is not None and raised.errno != expected:
        raise Wrong(f"it raised {raised!r}")
    check(name, raised)
    return ""


def attempt(name: str, trouble: contextlib.AbstractContextManager[None]) -> OSError | None:
    """Write with this trouble; return the error raised, or None."""
    global writer, before, log
    reference(name)
    scenario = ALL[name]
    writer = put_up(scenario)
    before = digest(FOLDER), digest(writer)
    log = path.read_bytes() if (path := FOLDER / scenario.name).exists() else b""
    descriptors = os.listdir("/proc/self/fd")
    try:
        with trouble:
            scenario.act(writer)
    except OSError as error:
        raised = error.with_traceback(None)
    except Exception as error:
        raise Wrong(f"it raised {error!r}") from None
    else:
        raised = None
    if len(os.listdir("/proc/self/fd")) != len(descriptors):
        raise Wrong("a descriptor is left open")
    return raised


writer: bpkern.MLP
before: tuple[str, str]
log: bytes


def check(name: str, raised: OSError | None, in_place: bool = False, removed: bool = True) -> None:
    """Check that everything is as before or as intended, and that the script can continue."""
    scenario, wanted = ALL[name], reference(name)
    temporary = [path.name for path in FOLDER.rglob("*.tmp")]
    if temporary and removed:
        raise Wrong(f"{temporary[0]} is left")
    for path in FOLDER.rglob("*.tmp"):
        path.unlink()
    if raised is None:
        if (digest(FOLDER), digest(writer)) != (wanted.folder, wanted.model):
            raise Wrong("the call ended without an error, with another result")
        return
    if scenario.is_fit:
        named = {FOLDER, *FOLDER.iterdir()} | {
            FOLDER / scenario.name,
            FOLDER / "best.npz",
            FOLDER / "log.csv",
        }
        if raised.filename is None or Path(raised.filename) not in named:
            raise Wrong(f"the error names no file: {raised!r}")
        if not is_usable(writer, X):
            raise Wrong("it left a model that is not usable")
        for path in FOLDER.glob("*.npz"):
            bpkern.MLP.load(path)
        if scenario.appends:
            if log and not (FOLDER / scenario.name).read_bytes().startswith(log):
                raise Wrong("earlier rows were lost")
            return
    else:
        if raised.filename is None or Path(raised.filename) != FOLDER / scenario.name:
            raise Wrong(f"the error names no file: {raised!r}")
        if digest(writer) != before[1]:
            raise Wrong("the model has changed")
        if digest(FOLDER) not in ([before[0], wanted.folder] if in_place else [before[0]]):
            raise Wrong(f"the folder is not as it was: {[path.name for path in FOLDER.iterdir()]}")
    scenario.finish(writer)
    if digest(FOLDER) != wanted.folder:
        raise Wrong("afterwards the same call leaves another folder")


def main() -> None:
    warnings.simplefilter("ignore")

    def answer(question: Any) -> Any:
        what, *arguments = question
        if what == "names":
            return list(ALL)
        return {"count": count, "fail": fail, "full": full}[what](*arguments)

    serve(answer)


if __name__ == "__main__":
    main()
