"""Learning curves in notebooks, and a model's: drawings by the standard library alone."""

import html
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markup import Page, check_that_nothing_is_loaded

import bpkern
from bpkern.history import History

SVG = "{http://www.w3.org/2000/svg}"


def history(columns, rates=None):
    """A history with these lists."""
    made = History()
    for epoch in range(len(next(iter(columns.values())))):
        rate = 0.1 if rates is None else rates[epoch]
        made.add_epoch({name: values[epoch] for name, values in columns.items()}, 3, rate)
    return made


def page_of(made):
    """The page in the frame that notebooks get."""
    [(tag, attributes)] = Page(made._repr_html_()).elements
    assert tag == "iframe"
    return attributes["srcdoc"]


def drawing_of(made):
    return ElementTree.fromstring(re.search(r"<svg.*?</svg>", page_of(made), re.S)[0])


def panels(made):
    return [part for part in drawing_of(made) if part.get("role") == "img"]


def curve(panel, kind):
    """The points of a curve."""
    [path] = [each for each in panel if each.get("class") == f"curve {kind}"]
    return np.array([list(map(float, point.split())) for point in path.get("d")[1:].split("L")])


def labels(panel):
    return [text.text for text in panel.iter(f"{SVG}text") if text.get("class") == "label"]


LOSSES = {"loss": [3.0, 2.0, 1.5, 1.25], "val_loss": [2.5, 2.0, 1.0, 1.5]}


def test_the_curves_are_the_values():
    """Heights on the drawing are proportional to the values, or to their logarithms."""
    made = history(LOSSES | {"accuracy": [0.2, 0.5, 0.75, 0.7]}, rates=[1.0, 0.1, 0.01, 0.001])
    loss, accuracy, rate = panels(made)
    assert [labels(panel) for panel in (loss, accuracy, rate)] == [["loss"], ["accuracy"], ["learning rate"]]
    values = {
        (loss, "training"): LOSSES["loss"],
        (loss, "validation"): LOSSES["val_loss"],
        (accuracy, "training"): [0.2, 0.5, 0.75, 0.7],
        (rate, "training"): np.log([1.0, 0.1, 0.01, 0.001]),
    }
    for (panel, kind), expected in values.items():
        x, y = curve(panel, kind).T
        assert np.allclose(np.diff(x), np.diff(x)[0], atol=0.11)
        slope, start = np.polyfit(expected, y, 1)
        assert slope < 0
        assert np.allclose(y, slope * np.array(expected) + start, atol=0.11)
    # Both curves of a panel have one scale.
    assert curve(loss, "training")[1, 1] == curve(loss, "validation")[1, 1]


def test_the_best_epoch_is_marked():
    loss, accuracy = panels(history(LOSSES | {"val_accuracy": [0.1, 0.2, 0.9, 0.8]}))
    for panel in (loss, accuracy):
        [dot] = panel.iter(f"{SVG}circle")
        assert [float(dot.get("cx")), float(dot.get("cy"))] == pytest.approx(
            curve(panel, "validation")[2], abs=0.11
        )
    assert loss.get("aria-label") == (
        "loss: training from 3 to 1.25, validation from 2.5 to 1.5, in the best epoch, 3: 1"
    )
    assert "best epoch, 3: that of the lowest validation loss" in page_of(history(LOSSES))
    assert "best epoch, " not in page_of(history({"loss": [2.0, 1.0]}))


@pytest.mark.parametrize(
    ("columns", "logarithmic"),
    [
        ({"loss": [1.0, 0.2, 0.05]}, True),
        ({"loss": [1.0, 0.2, 0.15]}, False),
        ({"loss": [1.0, 0.2, 0.0]}, False),
        ({"loss": [1.0, 1.0], "accuracy": [0.01, 1.0]}, False),  # a metric that rises
        ({"loss": [0.01, 1.0]}, False),
    ],
)
def test_when_an_axis_is_logarithmic(columns, logarithmic):
    from bpkern._seeing.curves import panels_of

    assert any(panel.logarithmic for panel in panels_of(columns, [0.1])) == logarithmic


def test_the_table():
    text = page_of(history(LOSSES | {"accuracy": [0.25, 0.5, 0.75, 1.0]}, rates=[0.5, 0.4, 0.3, 0.2]))
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", text)]
    assert rows == [
        ["metric", "first epoch", "last epoch", "best epoch"],
        ["loss, training", "3", "1.25", "1.5"],
        ["loss, validation", "2.5", "1.5", "1"],
        ["accuracy, training", "0.25", "1", ""],
        ["learning rate", "0.5", "0.2", ""],
    ]


def test_no_epoch_and_one():
    assert html.unescape(History()._repr_html_()) == "<p>History: 0 epochs, 0 iterations</p>"
    [panel] = panels(history({"loss": [2.0]}))
    assert len(list(panel.iter(f"{SVG}circle"))) == 1
    assert "History: 1 epoch, 3 iterations" in page_of(history({"loss": [2.0]}))


def test_many_epochs_make_a_small_drawing():
    made = history({"loss": list(np.linspace(2, 1, 100_000))})
    assert len(page_of(made)) < 30_000
    [panel] = panels(made)
    x, y = curve(panel, "training").T
    assert len(x) == 400
    assert (np.diff(y) > 0).all()


def test_names_are_text():
    name = "</style><script>alert(1)</script>"
    text = page_of(history({"loss": [1.0], name: [2.0]}))
    check_that_nothing_is_loaded(text)
    assert "<script" not in text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=6), st.lists(st.floats(), min_size=6, max_size=6))
def test_any_values(losses, validation):
    """Infinite, missing, tiny and huge ones."""
    made = history({"loss": losses, "val_loss": validation[: len(losses)]})
    drawing = drawing_of(made)
    text = ElementTree.tostring(drawing, "unicode")
    assert not re.search(r'="[^"]*\b(nan|inf)\b', re.sub(r'aria-label="[^"]*"', "", text))
    finite = sum(map(math.isfinite, losses))
    drawn = [
        each for each in drawing.iter() if each.get("class") == "curve training" and "L" in each.get("d")
    ]
    assert len(drawn) == (finite > 1)


def test_a_model():
    model = bpkern.MLP([2, 3, 1], loss="mse", seed=0)
    table = model.summary()._repr_html_()
    assert model.summary().html() == table
    assert model._repr_html_() == f"<div>{table}</div>"
    model.fit(np.ones((4, 2)), np.ones(4), epochs=2, verbose=0)
    made = model._repr_html_()
    assert made.startswith(f"<div>{table}<details>")
    assert model.history_._repr_html_() in made
    Page(made)
    assert "bfloat16" in model.compress("bfloat16")._repr_html_()


def test_matplotlib_is_not_needed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert "<iframe" in history(LOSSES)._repr_html_()
