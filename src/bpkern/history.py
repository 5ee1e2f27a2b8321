"""The record of a fit: for each metric a list with one value per epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinct for every kind of colour vision, and in print (Okabe and Ito, 2008).
TRAINING, VALIDATION, RATE = "#0072B2", "#D55E00", "#4D4D4D"

# The axis of values that differ by a larger factor is logarithmic.
LOGARITHMIC = 50

# Metrics whose names are abbreviations.
LABELS = {"mae": "MAE", "mse": "MSE", "rmse": "RMSE", "r2": "R²", "f1": "F1"}


class History(dict[str, list[float]]):
    """The metrics of one fit: a mapping of name to a list with one value per epoch.

    Names are ``loss`` and the metrics; with validation data also each of them prefixed by ``val_``. The loss
    of an epoch is the mean over its rows, by their sample weights, of the losses before each update, with the
    penalties. Values whose names begin with ``val_`` are computed after the epoch.

    Attributes
    ----------
    iterations : int
        Mini-batches of all epochs. (The iterations of a learning-rate schedule are updates: fewer, if
        mini-batches are accumulated.)
    lr : list of float
        The learning rate of each epoch's last update.
    stop_reason : str or None
        Why a callback has ended the fit, in words; None if none has.
    best_epoch : int or None
        The epoch, counted from 0, whose parameters `EarlyStopping` has restored. None without that callback.

    Examples
    --------
    ``history["val_loss"][-1]`` is the last value; ``history.to_frame()`` has a row per epoch.
    """

    # Of the class, so that histories in older pickles have them.
    stop_reason: str | None = None
    best_epoch: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.iterations = 0
        self.lr: list[float] = []

    def add_epoch(self, metrics: Mapping[str, float], iterations: int, lr: float) -> None:
        """Append an epoch: its metrics, its number of mini-batches, and its last learning rate."""
        added = [(self.setdefault(name, []), value) for name, value in metrics.items()] + [(self.lr, lr)]
        # Not the number of epochs: users may have appended to the lists.
        lengths = [len(values) for values, _ in added]
        try:
            for values, value in added:
                values.append(value)
        except BaseException:  # an interrupt or no memory: all lists grow, or none
            for (values, _), length in zip(added, lengths, strict=True):
                del values[length:]
            raise
        self.iterations += iterations

    def columns(self) -> dict[str, list[float]]:
        """All lists by name, with the learning rates as "lr"."""
        return {**self, "lr": self.lr}

    @classmethod
    def of(
        cls,
        iterations: int,
        columns: Mapping[str, list[float]],
        stop_reason: str | None = None,
        best_epoch: int | None = None,
    ) -> "History":
        """The history whose `iterations` and `columns`, and attributes, these are."""
        history = cls()
        history.update(columns)
        history.lr = history.pop("lr")
        history.iterations = iterations
        history.stop_reason, history.best_epoch = stop_reason, best_epoch
        return history

    def to_frame(self) -> "pandas.DataFrame":
        """The values as a table: a column per name and a row per epoch, numbered from 1.

        Returns
        -------
        pandas.DataFrame
            float64; the index is named "epoch".

        Raises
        ------
        ImportError
            Without pandas.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ImportError("History.to_frame needs pandas: pip install pandas") from error
        return pandas.DataFrame(dict(self), index=pandas.RangeIndex(1, len(self.lr) + 1, name="epoch"))

    def plot(self, ax: "Axes | None" = None) -> "Figure":
        """Draw the learning curves: a panel for the losses and one for each other metric.

        Training is a solid line, validation a dashed one. The epoch of the lowest validation loss is marked.
        The learning rate has its own panel if it has changed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Draw only the losses, into these axes.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            Without matplotlib, which the extra ``plot`` installs.
        ValueError
            If there has been no epoch.
        """
        try:
            from matplotlib import pyplot
        except ModuleNotFoundError as error:
            raise ImportError("History.plot needs matplotlib: pip install 'bpkern[plot]'") from error
        if not self.lr:
            raise ValueError("there is nothing to plot: the fit has had no epoch")
        if ax is not None:
            self._draw(ax, "loss")
            figure: Figure = ax.get_figure()
            return figure
        names = list(dict.fromkeys(name.removeprefix("val_") for name in self))
        panels = len(names) + (len(set(self.lr)) > 1)
        columns = 2 if panels == 4 else min(panels, 3)
        rows = -(-panels // columns)
        figure = pyplot.figure(figsize=(4.4 * columns, 3.2 * rows), layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for name, each in zip(names, axes, strict=False):
            self._draw(each, name)
        if panels > len(names):
            self._draw_rate(axes[len(names)])
        for empty in axes[panels:]:
            empty.remove()
        return figure

    def _draw(self, ax: "Axes", name: str) -> None:
        """Draw one metric of training and validation."""
        curves = []
        if name in self:
            curves.append(self[name])
            _line(ax, self[name], TRAINING, "-", "training")
        if f"val_{name}" in self:
            values = self[f"val_{name}"]
            curves.append(values)
            _line(ax, values, VALIDATION, "--", "validation")
            best = _lowest(self.get("val_loss", []))
            if best is not None:
                ax.axvline(best + 1, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
                ax.plot(
                    best + 1,
                    values[best],
                    "o",
                    color=VALIDATION,
                    markersize=6,
                    markeredgecolor="white",
                    label=f"best epoch, {best + 1}: {values[best]:.4g}",
                    clip_on=False,
                    zorder=3,
                )
        _finish(ax, LABELS.get(name, name.replace("_", " ")), curves)
        ax.legend(frameon=False, fontsize="small")

    def _draw_rate(self, ax: "Axes") -> None:
        _line(ax, self.lr, RATE, "-", "learning rate")
        _finish(ax, "learning rate", [self.lr])

    def __repr__(self) -> str:
        epochs = len(next(iter(self.values()), []))
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.items())
        counts = ", ".join(
            f"{count} {name}{'' if count == 1 else 's'}"
            for count, name in ((epochs, "epoch"), (self.iterations, "iteration"))
        )
        ending = "" if self.stop_reason is None else f"; stopped: {self.stop_reason}"
        return f"History({counts}{', last: ' if last else ''}{last}{ending})"


def _lowest(values: Sequence[float]) -> int | None:
    """The index of the lowest finite value, or None."""
    finite = [epoch for epoch, value in enumerate(values) if math.isfinite(value)]
    return min(finite, key=lambda epoch: values[epoch], default=None)


def _line(ax: "Axes", values: Sequence[float], color: str, style: str, label: str) -> None:
    # With markers for few epochs: a single point would make no line.
    marker = "." if len(values) <= 10 else ""
    ax.plot(
        range(1, len(values) + 1),
        values,
        style,
        marker=marker,
        color=color,
        linewidth=1.6,
        label=label,
    )


def _finish(ax: "Axes", label: str, curves: list[list[float]]) -> None:
    """Set the labels, and a logarithmic axis if the values need one."""
    from matplotlib.ticker import MaxNLocator

    ax.set_ylabel(label)
    ax.set_xlabel("epoch")
    if len(curves[0]) > 1:
        ax.set_xlim(1, len(curves[0]))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    finite = [value for curve in curves for value in curve if math.isfinite(value)]
    if finite and min(finite) > 0 and max(finite) > LOGARITHMIC * min(finite):
        ax.set_yscale("log")
