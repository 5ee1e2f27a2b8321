"""The progress display of a fit, or of `fit_many`, on the terminal."""

import sys
import time
from collections.abc import Mapping
from typing import Any

REFRESH_SECONDS = 0.1


class Progress:
    """Receives the progress of a fit, or of `fit_many`, whose models count as epochs. Displays nothing."""

    def begin(self, epochs: int, rows: int | None, done: int) -> None:
        """A fit begins: its epochs, its rows per epoch or None if unknown, and the epochs already done."""

    def rows(self, done: int) -> None:
        """`done` rows of the current epoch are done."""

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        """Epoch `number`, counted from 1, has ended."""

    def close(self) -> None:
        """The fit has ended or was stopped."""


def make_progress(verbose: Any, noun: str = "epoch") -> Progress:
    """The display for `verbose`, one of "auto", 0 and 1.

    `noun` names the unit that is counted: "epoch", or "model" for `fit_many`. Raises ValueError for another
    `verbose`.
    """
    if not isinstance(verbose, (str, int)) or verbose not in ("auto", 0, 1):
        raise ValueError(f"unknown verbose {verbose!r}: allowed are 'auto', 0, 1")
    if verbose == 0:
        return Progress()
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

    def close(self) -> None:
        self._call("close")


def _text(metrics: Mapping[str, float]) -> str:
    return "".join(f", {name} {value:.4f}" for name, value in metrics.items())


def _informative(metrics: Mapping[str, float]) -> dict[str, float]:
    """The loss and the most informative other metric: a line of a terminal has no room for all."""
    other = next((name for name in ("val_accuracy", "val_loss", "accuracy") if name in metrics), "loss")
    return {name: metrics[name] for name in ("loss", other) if name in metrics}


class Bar(Progress):
    """tqdm's bar over all rows of all epochs, with the epoch and its metrics beside it."""

    def __init__(self, tqdm: Any, noun: str) -> None:
        self._tqdm, self._noun = tqdm, noun
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

    def close(self) -> None:
        """Leave the last finished epoch on the terminal."""
        if self._bar is not None:
            if self._metrics:
                self._describe()
            self._bar.close()


class Lines(Progress):
    """A plain line per epoch with all metrics; with `in_place`, a single line that is overwritten."""

    def __init__(self, noun: str, in_place: bool = False) -> None:
        self._noun, self._in_place = noun, in_place
        self._shown_at = 0.0
        self._unshown: str | None = None

    def begin(self, epochs: int, rows: int | None, done: int) -> None:
        self._epochs, self._samples, self._rows_done = epochs, 0, 0
        self._began = time.monotonic()

    def rows(self, done: int) -> None:
        self._rows_done = done

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        self._samples += self._rows_done
        now = time.monotonic()
        shown = _informative(metrics) if self._in_place else metrics
        line = f"{self._noun} {number}/{self._epochs}{_text(shown)}"
        if self._samples:
            line += f", {self._samples / max(now - self._began, 1e-9):,.0f} samples/s"
        if not self._in_place:
            self._write(line + "\n")
        elif now - self._shown_at < REFRESH_SECONDS:
            self._unshown = line
        else:
            self._shown_at, self._unshown = now, None
            self._write(f"\r{line}\x1b[K")

    @staticmethod
    def _write(text: str) -> None:
        stream = sys.stderr
        stream.write(text)
        if hasattr(stream, "flush"):
            stream.flush()

    def close(self) -> None:
        """Leave the last finished epoch on the terminal."""
        if self._unshown is not None:
            self._write(f"\r{self._unshown}\x1b[K")
        if self._in_place and self._shown_at:
            self._write("\n")
