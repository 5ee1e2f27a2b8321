"""The history of a fit: lists, a table, a plot."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from bpkern.history import History


def history(epochs=4, validation=True, metrics=("accuracy",), rates=(0.1,)):
    """A history whose validation loss is lowest in the third epoch, or in the last if there are fewer."""
    made = History()
    for epoch in range(epochs):
        values = {"loss": 3.0 - epoch} | dict.fromkeys(metrics, 0.1 * epoch)
        if validation:
            values["val_loss"] = 1.0 + abs(epoch - 2)
            values |= {f"val_{name}": 0.05 * epoch for name in metrics}
        made.add_epoch(values, 7, rates[epoch % len(rates)])
    return made


def test_a_mapping_of_lists():
    made = history(3)
    assert list(made) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert made["loss"] == [3, 2, 1]
    assert made.iterations == 21
    assert made.lr == [0.1] * 3
    assert repr(made) == (
        "History(3 epochs, 21 iterations, last: loss=1, accuracy=0.2, val_loss=1, val_accuracy=0.1)"
    )
    assert repr(History()) == "History(0 epochs, 0 iterations)"


def test_copies():
    made = history(2)
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert type(other) is History
        assert other == made
        assert (other.lr, other.iterations) == (made.lr, made.iterations)


def test_to_frame():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = history(3).to_frame()
    assert list(frame.columns) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert list(frame.index) == [1, 2, 3]
    assert frame.index.name == "epoch"
    assert list(frame["val_loss"]) == [3, 2, 1]
    empty = History().to_frame()
    assert isinstance(empty, pandas.DataFrame)
    assert empty.shape == (0, 0)
    assert empty.index.name == "epoch"


@pytest.mark.parametrize(
    ("hidden", "call", "message"),
    [
        ("pandas", "to_frame", "History.to_frame needs pandas: pip install pandas"),
        ("matplotlib", "plot", "History.plot needs matplotlib: pip install 'bpkern[plot]'"),
    ],
)
def test_what_is_missing_is_named(hidden, call, message):
    code = f"""
import sys
sys.modules[{hidden!r}] = None
from bpkern.history import History
made = History()
made.add_epoch({{"loss": 1.0}}, 1, 0.1)
try:
    made.{call}()
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert message in done.stdout


# The plot ----------------------------------------------------------------------------------------------


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def labels(figure):
    return [ax.get_ylabel() for ax in figure.axes]


def curves(ax):
    """The labelled lines of the axes, by label."""
    return {
        line.get_label(): line.get_xydata().tolist()
        for line in ax.lines
        if not line.get_label().startswith("_")
    }


def test_a_notebook_draws_a_figure_once(pyplot, monkeypatch):
    """As a value by IPython, which pyplot then does not at the end of the cell."""
    figure = history(4).plot()
    other = pyplot.figure()
    monkeypatch.setattr("matplotlib.get_backend", lambda: "module://matplotlib_inline.backend_inline")
    with pytest.raises(NotImplementedError):  # IPython goes on to the formats of figures
        figure._ipython_display_()
    assert pyplot.get_fignums() == [other.number]


def test_a_notebook_with_a_backend_of_its_own_draws_the_figure(pyplot, monkeypatch):
    figure = history(4).plot()
    monkeypatch.setattr("matplotlib.get_backend", lambda: "module://ipympl.backend_nbagg")
    figure._ipython_display_()
    assert pyplot.fignum_exists(figure.number)


def test_panels(pyplot):
    assert labels(history(metrics=()).plot()) == ["loss"]
    assert labels(history(validation=False).plot()) == ["loss", "accuracy"]
    assert labels(history(metrics=("r2", "my_own"), rates=(0.1, 0.05)).plot()) == [
        "loss",
        "R²",
        "my own",
        "learning rate",
    ]
    assert len(history(metrics=("a", "b", "c", "d", "e", "f")).plot().axes) == 7


def test_curves(pyplot):
    figure = history(4, rates=(0.1, 0.1, 0.01, 0.001)).plot()
    losses, accuracies, rates = figure.axes
    assert curves(losses) == {
        "training": [[1, 3], [2, 2], [3, 1], [4, 0]],
        "validation": [[1, 3], [2, 2], [3, 1], [4, 2]],
        "best epoch, 3: 1": [[3, 1]],
    }
    assert list(curves(accuracies)) == ["training", "validation", "best epoch, 3: 0.1"]
    assert curves(accuracies)["validation"][3] == [4, pytest.approx(0.15)]
    assert [rate for _, rate in curves(rates)["learning rate"]] == [0.1, 0.1, 0.01, 0.001]
    assert {ax.get_xlabel() for ax in figure.axes} == {"epoch"}
    shown = [text.get_text() for text in losses.get_legend().get_texts()]
    assert shown == ["training", "validation", "best epoch, 3: 1"]
    # The axis of a rate that fell a hundredfold is logarithmic; that of a loss that reaches 0 is not.
    assert rates.get_yscale() == "log"
    assert losses.get_yscale() == "linear"


def test_a_metric_of_validation_alone(pyplot):
    made = History()
    made.add_epoch({"loss": 1.0, "val_loss": 2.0, "val_f1": 0.5}, 1, 0.1)
    figure = made.plot()
    assert labels(figure) == ["loss", "F1"]
    assert list(curves(figure.axes[1])) == ["validation", "best epoch, 1: 0.5"]


def test_curves_of_training_alone(pyplot):
    assert list(curves(history(validation=False).plot().axes[0])) == ["training"]


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_epochs_are_whole_and_from_one(pyplot, epochs):
    figure = history(epochs).plot()
    figure.canvas.draw()
    low, high = figure.axes[0].get_xlim()
    ticks = [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high]
    assert ticks
    assert all(tick == round(tick) and 1 <= tick <= epochs for tick in ticks)


def test_values_that_are_not_finite(pyplot):
    made = History()
    for loss, val_loss in ((1.0, np.nan), (np.inf, 2.0), (0.5, 1.5), (np.nan, -np.inf)):
        made.add_epoch({"loss": loss, "val_loss": val_loss}, 1, 0.1)
    figure = made.plot()
    figure.canvas.draw()
    assert "best epoch, 3: 1.5" in curves(figure.axes[0])
    nothing = History()
    nothing.add_epoch({"loss": 1.0, "val_loss": np.nan}, 1, 0.1)
    assert list(curves(nothing.plot().axes[0])) == ["training", "validation"]


def test_axes_of_ones_own(pyplot):
    figure, axes = pyplot.subplots(1, 2)
    assert history().plot(axes[1]) is figure
    assert not axes[0].lines
    assert "validation" in curves(axes[1])
    assert len(figure.axes) == 2


def test_nothing_to_plot(pyplot):
    with pytest.raises(ValueError, match="nothing to plot"):
        History().plot()
    assert not pyplot.get_fignums()


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_an_epoch_is_added_whole_or_not_at_all(error):
    class Breaking(dict):
        def items(self):
            yield "loss", 1.0
            raise error

    history = History()
    history.add_epoch({"loss": 0.5, "val_loss": 0.25}, 3, 0.1)
    with pytest.raises(error):
        history.add_epoch(Breaking(), 3, 0.1)
    assert (history, history.lr, history.iterations) == ({"loss": [0.5], "val_loss": [0.25]}, [0.1], 3)

    class Full(list):
        def append(self, value):
            raise error

    history["loss"].append(7.0)  # a user's: it stays
    history["val_loss"] = Full([0.25])
    with pytest.raises(error):
        history.add_epoch({"loss": 1.0, "val_loss": 1.0}, 3, 0.1)
    assert (history, history.lr, history.iterations) == ({"loss": [0.5, 7.0], "val_loss": [0.25]}, [0.1], 3)
