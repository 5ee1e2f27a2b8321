"""The progress display of a fit, or of `fit_many`, on a terminal or in a notebook."""

import sys
import time
from collections.abc import Mapping
from typing import Any

REFRESH_SECONDS = 0.1

# The rate that is shown is that of the last one or two times this long.
RATE_SECONDS = 0.25

# A fit in a notebook that is shorter leaves no bar in its cell, unless it was asked for.
NOTEBOOK_DELAY = 0.5


class Progress:
    """Receives the progress of a fit, or of `fit_many`, whose models count as epochs. Displays nothing."""

    def begin(self, epochs: int, rows: int | None, done: int) -> None:
        """A fit begins: its epochs, its rows per epoch or None if unknown, and the epochs already done."""

    def rows(self, done: int) -> None:
        """`done` rows of the current epoch are done."""

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        """Epoch `number`, counted from 1, has ended."""

    def close(self, reason: str | None = None) -> None:
        """The fit has ended; `reason` says why a callback has stopped it."""


def make_progress(verbose: Any, noun: str = "epoch") -> Progress:
    """The display for `verbose`, one of "auto", 0, 1, 2, False and True.

    `noun` names the unit that is counted: "epoch", or "model" for `fit_many`. Raises ValueError for another
    `verbose`.
    """
    if not isinstance(verbose, (str, int)) or verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"unknown verbose {verbose!r}: allowed are 'auto', 0, 1, 2, False, True")
    if verbose == 0:
        return Progress()
    in_notebook = _is_notebook()
    if verbose == 2:
        return Unfailing(Lines(noun, on_stdout=in_notebook))
    if in_notebook:
        return Unfailing(_in_notebook(noun, delay=NOTEBOOK_DELAY if verbose == "auto" else 0.0))
    if not _is_terminal():
        return Progress() if verbose == "auto" else Unfailing(Lines(noun))
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return Unfailing(Lines(noun, in_place=True))
    return Unfailing(Bar(tqdm, noun))


def _is_terminal() -> bool:
    """Whether standard error is a terminal. It may be None, closed, or any object of the user."""
    try:
        return bool(sys.stderr.isatty())
    except Exception:
        return False


def _is_notebook() -> bool:
    """Whether this is a cell of a notebook, where standard error would be shown in red. What is loaded under
    the name IPython may be any module."""
    ipython = sys.modules.get("IPython")
    try:
        return ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"
    except Exception:
        return False


def _in_notebook(noun: str, delay: float) -> Progress:
    """The bar of a notebook if ipywidgets is there, as `tqdm.auto` chooses it, and otherwise one of text."""
    try:
        import ipywidgets  # noqa: F401
        from tqdm.notebook import tqdm
    except ModuleNotFoundError:
        try:
            from tqdm import tqdm
        except ModuleNotFoundError:
            return Lines(noun, in_place=True, on_stdout=True)
        return Bar(tqdm, noun, delay=delay, file=_cell())
    return Bar(tqdm, noun, delay=delay)


def _cell() -> Any:
    """A stream for a bar of text: a part of the cell's output, or without IPython's display all of it."""
    try:
        return CellText()
    except Exception:  # what is loaded under the name IPython may be any module
        return sys.stdout


class CellText:
    """A stream whose lines are a part of a notebook's cell. A saved notebook has their last state alone.

    In the output of a cell itself, a line that is overwritten stays in saved notebooks.
    """

    encoding = "utf-8"  # tqdm draws with blocks

    def __init__(self) -> None:
        from IPython.display import display

        self._make, self._display = display, None
        self._lines, self._line = "", ""

    def write(self, text: str) -> None:
        """Append the text. As on a terminal, a carriage return begins the line anew."""
        *ended, last = (self._line + text).split("\n")
        for line in ended:
            self._lines += line.rpartition("\r")[2].rstrip() + "\n"
        self._line = last.rpartition("\r")[2]
        shown = {"text/plain": (self._lines + self._line).rstrip()}
        if self._display is not None:
            self._display.update(shown, raw=True)
        elif shown["text/plain"]:
            self._display = self._make(shown, raw=True, display_id=True)

    def flush(self) -> None:
        """Do nothing: `write` shows the text at once."""


class Unfailing(Progress):
    """Passes all calls on to a display until one raises an error; from then on, shows nothing."""

    def __init__(self, display: Progress) -> None:
        self._display = display

    def _call(self, method: str, *arguments: Any) -> None:
        try:
            getattr(self._display, method)(*arguments)
        except Exception:  # of any kind: standard error may be any object of the user
            self._display = Progress()

    def begin(self, epochs: int, rows: int | None, done: int) -> None:
        self._call("begin", epochs, rows, done)

    def rows(self, done: int) -> None:
        self._call("rows", done)

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        self._call("epoch", number, metrics)

    def close(self, reason: str | None = None) -> None:
        self._call("close", reason)


def _text(metrics: Mapping[str, float]) -> str:
    return "".join(f", {name} {value:.4f}" for name, value in metrics.items())


def _informative(metrics: Mapping[str, float]) -> dict[str, float]:
    """The loss and the most informative other metric: a line of a terminal has no room for all."""
    other = next((name for name in ("val_accuracy", "val_loss", "accuracy") if name in metrics), "loss")
    return {name: metrics[name] for name in ("loss", other) if name in metrics}


def _stopped(noun: str, done: int, of: int, reason: str) -> str:
    return f"stopped after {noun} {done} of {of}: {reason}\n"


class Bar(Progress):
    """tqdm's bar over all rows of all epochs, with the epoch and its metrics beside it.

    Parameters
    ----------
    tqdm : type
        The kind of bar.
    noun : str
    settings
        Further arguments for the bar, such as ``file``.
    """

    def __init__(self, tqdm: Any, noun: str, **settings: Any) -> None:
        self._tqdm, self._noun, self._settings = tqdm, noun, settings
        self._bar: Any = None
        self._ended = 0
        self._metrics: Mapping[str, float] = {}
        self._shown_at = 0.0

    def begin(self, epochs: int, rows: int | None, done: int) -> None:
        self._epochs, self._epoch_rows, self._ended = epochs, rows, done
        if done == epochs:
            return
        self._bar = self._tqdm(
            total=epochs * (rows or 1),
            initial=done * (rows or 1),
            desc=f"{self._noun} {min(done + 1, epochs)}/{epochs}",
            unit=" samples" if rows else f" {self._noun}s",
            unit_scale=True,
            mininterval=REFRESH_SECONDS,
            dynamic_ncols=True,
            bar_format="{desc} |{bar:10}| {rate_fmt}",
            **self._settings,
        )

    def rows(self, done: int) -> None:
        """Advance the bar. It counts epochs if the rows of an epoch are not known in advance."""
        if self._epoch_rows:
            self._bar.update(self._ended * self._epoch_rows + done - self._bar.n)

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        self._ended, self._metrics = number, metrics
        now = time.monotonic()
        if now - self._shown_at > REFRESH_SECONDS:
            self._shown_at = now
            self._describe()
        self._bar.update(number * (self._epoch_rows or 1) - self._bar.n)

    def _describe(self) -> None:
        text = f"{self._noun} {self._ended}/{self._epochs}{_text(_informative(self._metrics))}"
        self._bar.set_description_str(text, refresh=False)

    def close(self, reason: str | None = None) -> None:
        """Leave the last finished epoch on the screen; a fit that was stopped leaves a full bar."""
        if self._bar is None:
            return
        if self._metrics:
            self._describe()
        if reason is not None:
            # Not the total: the bar of a notebook keeps its own. Rows that are skipped have no rate.
            skipped = self._bar.total - self._bar.n
            self._bar.initial, self._bar.n = self._bar.initial + skipped, self._bar.total
        self._bar.close()
        if reason is not None:
            self._bar.fp.write(_stopped(self._noun, self._ended, self._epochs, reason))


class Rate:
    """Samples per second of the recent past: one to two RATE_SECONDS, or two epochs if longer."""

    def __init__(self) -> None:
        self._before = self._last = (time.monotonic(), 0)

    def at(self, now: float, samples: int) -> float:
        """The rate if there have been this many samples until now."""
        began, at_first = self._before
        if now - self._last[0] >= RATE_SECONDS:
            self._before, self._last = self._last, (now, samples)
        return (samples - at_first) / max(now - began, 1e-9)


class Lines(Progress):
    """A plain line per epoch with all metrics; with `in_place`, a single line that is overwritten."""

    def __init__(self, noun: str, in_place: bool = False, on_stdout: bool = False) -> None:
        self._noun, self._in_place, self._on_stdout = noun, in_place, on_stdout
        self._ended = 0
        self._shown_at = 0.0
        self._unshown: str | None = None

    def begin(self, epochs: int, rows: int | None, done: int) -> None:
        self._epochs, self._samples, self._rows_done = epochs, 0, 0
        self._rate = Rate()

    def rows(self, done: int) -> None:
        self._rows_done = done

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        self._ended = number
        self._samples += self._rows_done
        now = time.monotonic()
        shown = _informative(metrics) if self._in_place else metrics
        line = f"{self._noun} {number}/{self._epochs}{_text(shown)}"
        if self._samples:
            line += f", {self._rate.at(now, self._samples):,.0f} samples/s"
        if not self._in_place:
            self._write(line + "\n")
        elif now - self._shown_at < REFRESH_SECONDS:
            self._unshown = line
        else:
            self._shown_at, self._unshown = now, None
            self._write(f"\r{line}\x1b[K")

    def _write(self, text: str) -> None:
        stream = sys.stdout if self._on_stdout else sys.stderr
        stream.write(text)
        if hasattr(stream, "flush"):
            stream.flush()

    def close(self, reason: str | None = None) -> None:
        """Leave the last finished epoch on the screen."""
        if self._unshown is not None:
            self._write(f"\r{self._unshown}\x1b[K")
        if self._in_place and self._shown_at:
            self._write("\n")
        if reason is not None:
            self._write(_stopped(self._noun, self._ended, self._epochs, reason))
