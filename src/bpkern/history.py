"""The record of a fit: for each metric a list with one value per epoch."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._seeing.curves import Panel

# Distinct for every kind of colour vision, and in print (Okabe and Ito, 2008).
TRAINING, VALIDATION, RATE = "#0072B2", "#D55E00", "#4D4D4D"


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

    if not TYPE_CHECKING:  # checkers would take any attribute to be there

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError, with where the metric of that name is."""
            from ._attributes import unknown_attribute  # only for an error

            error = unknown_attribute("History", name, self)
            if name in self:
                error.args = (f"{error}: it is history[{name!r}]",)
            raise error

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
        ModuleNotFoundError
            If pandas is not installed.
        """
        from ._needs import needs

        library = needs("pandas", None, "History.to_frame")
        index = library.RangeIndex(1, len(self.lr) + 1, name="epoch")
        frame: pandas.DataFrame = library.DataFrame(dict(self), index=index)
        return frame

    def plot(self, ax: "Axes | None" = None) -> "Figure":
        """Draw the learning curves: a panel for the losses and one for each other metric.

        Training is a solid line, validation a dashed one. The epoch of the lowest validation loss is marked.
        The learning rate has its own panel if it has changed. The axis of positive values that fall by more
        than a factor of ten is logarithmic.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Draw only the losses, into these axes.

        Returns
        -------
        matplotlib.figure.Figure
            That of `ax`, or a new one.

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed; the extra ``plot`` installs it.
        ValueError
            If there has been no epoch.
        """
        from ._needs import needs

        pyplot = needs("matplotlib.pyplot", "plot", "History.plot")
        from ._seeing.curves import panels_of
        from ._seeing.notebook_figure import NotebookFigure

        if not self.lr:
            raise ValueError("there is nothing to plot: the fit has had no epoch")
        panels = panels_of(self, self.lr)
        if ax is not None:
            _draw(ax, panels[0])
            figure: Figure = ax.get_figure()
            return figure
        columns = 2 if len(panels) == 4 else min(len(panels), 3)
        rows = -(-len(panels) // columns)
        size = (4.4 * columns, 3.2 * rows)
        figure = pyplot.figure(figsize=size, layout="constrained", FigureClass=NotebookFigure)
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for panel, each in zip(panels, axes, strict=False):
            _draw(each, panel)
        for empty in axes[len(panels) :]:
            empty.remove()
        return figure

    def _repr_html_(self) -> str:
        from ._seeing.curves_drawing import in_notebook

        return in_notebook(self, self.lr, self.iterations)

    def __repr__(self) -> str:
        epochs = len(next(iter(self.values()), []))
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.items())
        counts = ", ".join(
            f"{count} {name}{'' if count == 1 else 's'}"
            for count, name in ((epochs, "epoch"), (self.iterations, "iteration"))
        )
        ending = "" if self.stop_reason is None else f"; stopped: {self.stop_reason}"
        return f"History({counts}{', last: ' if last else ''}{last}{ending})"


def _draw(ax: "Axes", panel: "Panel") -> None:
    """Draw the curves of one metric."""
    from matplotlib.ticker import MaxNLocator

    training = ("learning rate", RATE) if panel.name == "lr" else ("training", TRAINING)
    curves = [(panel.training, "-", *training), (panel.validation, "--", "validation", VALIDATION)]
    for values, style, label, color in curves:
        if values:
            # With markers for few epochs: a single point would make no line.
            marker = "." if len(values) <= 10 else ""
            epochs = range(1, len(values) + 1)
            ax.plot(epochs, values, style, marker=marker, color=color, linewidth=1.6, label=label)
    if panel.best is not None:
        best, value = panel.best, panel.validation[panel.best]
        ax.axvline(best + 1, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
        ax.plot(
            best + 1,
            value,
            "o",
            color=VALIDATION,
            markersize=6,
            markeredgecolor="white",
            label=f"best epoch, {best + 1}: {value:.4g}",
            clip_on=False,
            zorder=3,
        )
    ax.set_ylabel(panel.label)
    ax.set_xlabel("epoch")
    count = max(len(panel.training), len(panel.validation))
    if count > 1:
        ax.set_xlim(1, count)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    if panel.logarithmic:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if panel.name != "lr":
        # Above the axes, where no curve is.
        ax.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=3,
            frameon=False,
            fontsize="small",
            borderaxespad=0.2,
            handlelength=1.6,
            handletextpad=0.5,
            columnspacing=1.2,
        )
