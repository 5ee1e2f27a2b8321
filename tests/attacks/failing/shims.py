"""Preloaded C libraries that make calls fail, and the process that answers one question per line."""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from journal import ROOT, STATE, Missing

HERE = Path(__file__).resolve().parent

# The seconds after which a trial counts as hanging.
PATIENCE = 120.0


def build(source: str) -> Path:
    """The library of a source file beside this one, compiled again if the source has changed."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise Missing("no C compiler, cc")
    if not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        raise Missing("no GNU C library, whose functions are replaced")
    path, library = HERE / source, STATE / f"{Path(source).stem}.so"
    if not library.exists() or library.stat().st_mtime_ns <= path.stat().st_mtime_ns:
        STATE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=STATE) as folder:
            made = Path(folder) / library.name
            options = ["-std=c11", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC"]
            subprocess.run([compiler, *options, str(path), "-o", str(made), "-ldl", "-pthread"], check=True)
            os.replace(made, library)
    return library


class Child:
    """A script beside this file, run in a separate process with a preloaded library. It reads one JSON line
    per trial and answers with another; if it dies, it is started again for the next trial. `before` is a
    command to run it with."""

    def __init__(self, script: str, library: Path, *arguments: str, before: Sequence[str] = ()) -> None:
        self._command = [*before, sys.executable, str(HERE / script), *arguments]
        path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        self._environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": path}
        self._process: subprocess.Popen[str] | None = None

    def ask(self, question: Any) -> Any:
        """The answer; raises ChildProcessError with the way the child ended."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=self._environment,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            print(json.dumps(question), file=process.stdin, flush=True)
            if not select.select([process.stdout], [], [], PATIENCE)[0]:
                raise ChildProcessError(f"hangs for {PATIENCE:.0f} s")
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        except BaseException:
            self.close()
            raise
        if not answer:
            self._process = None
            status = process.wait()
            how = signal.Signals(-status).name if status < 0 else f"status {status}"
            raise ChildProcessError(f"the process died: {how}")
        return json.loads(answer)

    def trial(self, question: Any) -> str:
        """What the child answers that is wrong, or how it ended; "" if nothing is wrong."""
        try:
            return str(self.ask(question) or "")
        except ChildProcessError as error:
            return str(error)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
