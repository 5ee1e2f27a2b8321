"""A fit works with any standard error: none, a closed one, one that fails, or an object of the user's."""

import errno
import io
import subprocess
import sys

import numpy as np
import pytest

import bpkern

X, Y = np.arange(20.0).reshape(10, 2) / 20, np.arange(10.0)


class NoTerminal:
    """Has no `isatty`, as loggers that stand in for a stream often have none."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Flushed(NoTerminal):
    def flush(self):
        self.text += "|"


class Failing(io.StringIO):
    """Fails at its n-th write."""

    def __init__(self, at, error, terminal):
        super().__init__()
        self.left, self.error, self.terminal = at, error, terminal

    def isatty(self):
        return self.terminal

    def write(self, text):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super().write(text)


class Strange:
    """Answers anything with an error."""

    def __getattr__(self, name):
        raise RuntimeError(name)


def closed(terminal=False):
    stream = Failing(10**9, None, terminal)
    stream.close()
    return stream


STREAMS = {
    "none": lambda: None,
    "closed": closed,
    "no isatty": NoTerminal,
    "strange": Strange,
    "an object": object,
    "a broken pipe": lambda: Failing(0, BrokenPipeError(errno.EPIPE, "broken"), False),
    "a terminal that is gone": lambda: Failing(0, OSError(errno.EIO, "gone"), True),
    "a terminal that goes": lambda: Failing(3, OSError(errno.EIO, "gone"), True),
    "a terminal that is closed": lambda: closed(True),
    "a terminal of the user's": lambda: Failing(2, KeyError("user"), True),
}


@pytest.mark.parametrize("with_tqdm", [True, False])
@pytest.mark.parametrize("verbose", ["auto", 0, 1])
@pytest.mark.parametrize("name", STREAMS)
def test_a_fit_works(monkeypatch, name, verbose, with_tqdm):
    if not with_tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    model, other = bpkern.MLP([2, 1], loss="mse", seed=0), bpkern.MLP([2, 1], loss="mse", seed=0)
    with monkeypatch.context() as patches:
        patches.setattr(sys, "stderr", STREAMS[name]())
        history = model.fit(X, Y, epochs=5, verbose=verbose)
        patches.setattr(sys, "stderr", STREAMS[name]())
        bpkern.fit_many([other], X, Y, epochs=5, verbose=verbose)
    assert history["loss"] == other.history_["loss"]
    assert len(history["loss"]) == 5


@pytest.mark.parametrize("verbose", ["auto", 0])
def test_what_is_no_terminal_stays_silent(monkeypatch, verbose):
    stream = NoTerminal()
    monkeypatch.setattr(sys, "stderr", stream)
    bpkern.MLP([2, 1], loss="mse", seed=0).fit(X, Y, epochs=3, verbose=verbose)
    assert stream.text == ""


@pytest.mark.parametrize("kind", [NoTerminal, Flushed])
def test_lines_go_to_whatever_can_be_written(monkeypatch, kind):
    stream = kind()
    monkeypatch.setattr(sys, "stderr", stream)
    bpkern.MLP([2, 1], loss="mse", seed=0).fit(X, Y, epochs=3, verbose=1)
    lines = stream.text.replace("|", "").splitlines()
    assert [line[:9] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert stream.text.count("|") == (3 if kind is Flushed else 0)


def test_errors_that_are_not_the_display_s_are_raised(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    model = bpkern.MLP([2, 1], loss="mse", seed=0)
    with pytest.raises(ValueError, match="unknown verbose 3"):
        model.fit(X, Y, verbose=3)
    monkeypatch.setattr(sys, "stderr", Failing(1, KeyboardInterrupt(), False))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, epochs=3, verbose=1)


@pytest.mark.parametrize("verbose", ["'auto'", "0", "1"])
def test_a_process_without_standard_error(verbose):
    """As of a service, or of a program without a console."""
    program = (
        "import sys; assert sys.stderr is None\n"
        "import numpy as np, bpkern\n"
        "bpkern.MLP([2, 1], loss='mse').fit(np.ones((4, 2)), np.ones(4), epochs=3, verbose=" + verbose + ")\n"
        "print('trained')"
    )
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "trained\n")
