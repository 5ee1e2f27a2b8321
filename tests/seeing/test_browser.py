"""Pages in a headless Chromium, if one is installed: by keyboard, on a phone, in print, without a script."""

import numpy as np
import pytest
from browser import Browser, executable

import bpkern
from bpkern._seeing.markup import Markup, element
from bpkern._seeing.page import Frame, shell
from bpkern.graph import max, sigmoid, variables

pytestmark = pytest.mark.skipif(executable() is None, reason="needs Chromium")

STEP = "document.querySelector('.sentence').textContent"
HIDDEN = (
    "[...document.querySelectorAll('svg *')].filter(e => getComputedStyle(e).visibility == 'hidden').length"
)
SHOWN_FRAME = "document.querySelector('.frame:not([hidden])')"
HIDDEN_IN_FRAME = (
    f"[...{SHOWN_FRAME}.querySelectorAll('svg *')]"
    ".filter(e => getComputedStyle(e).visibility == 'hidden').length"
)
# Whether a part of what is highlighted is inside the box of the picture.
IN_SIGHT = f"""(() => {{
    const view = {SHOWN_FRAME}.querySelector('.view').getBoundingClientRect();
    return [...{SHOWN_FRAME}.querySelectorAll('.now .box')].map(part => part.getBoundingClientRect())
        .some(part => part.right > view.left && part.left < view.right
            && part.bottom > view.top && part.top < view.bottom);
}})()"""
FOCUS = "document.activeElement.getAttribute('aria-label')"
SIDES = (("x", "width"), ("y", "height"))
PANEL = "document.querySelector('.panel').textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def page(tmp_path):
    x, y, w, b = variables(x=1.5, y=1.0, w=0.4, b=-0.2)
    loss = (0.5 * (y - sigmoid(w * x + b)) ** 2).named("loss")
    loss.save(tmp_path / "graph.html")
    return tmp_path / "graph.html"


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """Pages of a small and of a large network, each in three steps of training."""
    folder = tmp_path_factory.mktemp("traces")
    rng = np.random.default_rng(0)
    for name, sizes in (("small", [2, 3, 2]), ("large", [30, 20, 3])):
        model = bpkern.MLP(sizes, loss="cross_entropy", optimizer=bpkern.Adam(), l2=0.01, seed=0)
        trace = model.trace(rng.standard_normal((5, sizes[0])), [0, 1, 0, 1, 1], steps=3)
        trace.save(folder / f"{name}.html", row=2)
    return folder


TRACES = pytest.mark.parametrize("name", ["small", "large"])


@TRACES
@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("dark", [False, True])
def test_a_trace_by_keyboard(browser, traces, name, width, dark):
    """Each step shows more; what it highlights is in sight; the page is no wider than the window."""
    browser.open(traces / f"{name}.html", width, dark=dark)
    hidden = []
    for step in range(1, 16):
        assert browser.run(STEP).startswith(f"{step} of 15. ")
        hidden.append(browser.run(HIDDEN_IN_FRAME))
        assert browser.run(IN_SIGHT)
        browser.press("ArrowRight")
    assert hidden == sorted(hidden, reverse=True)
    assert hidden[0] > hidden[-1] == 0
    assert browser.run(STEP).startswith("1 of 15. Start: ")  # of the next training step
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.complaints() == []


def test_the_slider_keeps_the_step(browser, traces):
    """So that a number can be followed through the training."""
    browser.open(traces / "small.html")
    browser.press("ArrowRight", "ArrowRight")
    browser.press(*["Tab"] * 5)
    assert browser.run("document.activeElement.type") == "range"
    browser.press("ArrowRight")
    label = browser.run("document.activeElement.getAttribute('aria-valuetext')")
    assert label.startswith("Training step 1: loss ")
    assert browser.run(STEP).startswith("3 of 15. ")
    browser.press("End")
    assert browser.run("document.activeElement.getAttribute('aria-valuetext')").startswith("Training step 2")
    assert browser.run(STEP).startswith("3 of 15. ")


@TRACES
def test_the_focus_shows_what_a_part_is(browser, traces, name):
    browser.open(traces / f"{name}.html")
    browser.press(*["Tab"] * 6)
    seen = []
    while label := browser.run(FOCUS):
        assert browser.run(PANEL) == label
        seen.append(label.splitlines()[0])
        browser.press("Tab")
    if name == "small":
        assert len(seen) == 2 + (2 + 1) * 3 + 3 + (3 + 1) * 2 + 2 + 1
        assert any(line.startswith("W1[1,2] = ") for line in seen)
    else:
        assert len(seen) == 2 + 6 + 6 + 3 + 1
        assert any(line.startswith("dW of layers[0]: 20 × 30, from ") for line in seen)


def test_text_fits_the_boxes_of_a_trace(browser, tmp_path):
    """No text leaves its box or its row of a table, or meets another, with short and with long numbers."""
    model = bpkern.MLP([2, 2, 1], activation="gelu_tanh", loss="squared_error", dropout=0.5, dtype="float64")
    model.set_weights(
        [([[-123456.789, -1.2345e-10], [0, 1e300]], [-1e-300, 8]), ([[-1e-5, 1e-308]], [-999999.9])]
    )
    model.trace([[-1e-5, 1e-9]], [[-12345.678]]).save(tmp_path / "trace.html")
    browser.open(tmp_path / "trace.html", 2000)
    browser.press("End")
    outside = """[...document.querySelectorAll('.node, .weight')].flatMap(node => {
        const box = node.querySelector('.box').getBoundingClientRect();
        const texts = [...node.querySelectorAll('text')].map(text => text.getBoundingClientRect());
        return texts.filter((own, place) => own.left < box.left || own.right > box.right
            || own.bottom > box.bottom + 1 || own.top < box.top - 1 || texts.slice(place + 1).some(
                other => own.right > other.left && Math.abs(own.bottom - other.bottom) < 8));
    }).length"""
    assert browser.run(outside) == 0


def test_a_trace_in_print(browser, traces):
    """All training steps with all their numbers."""
    browser.open(traces / "small.html", media="print", dark=True)
    assert browser.run(HIDDEN) == 0
    frames = "[...document.querySelectorAll('.frame, .frame h2')].map(e => getComputedStyle(e).display)"
    assert set(browser.run(frames)) == {"block"}


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("dark", [False, True])
def test_steps_by_keyboard(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    assert browser.run(STEP).startswith("1 of 17. Start: ")
    hidden = [browser.run(HIDDEN)]
    for step in range(2, 18):
        browser.press("ArrowRight")
        assert browser.run(STEP).startswith(f"{step} of 17. ")
        hidden.append(browser.run(HIDDEN))
    assert hidden == sorted(hidden, reverse=True)
    assert hidden[0] > hidden[-1] == 0
    browser.press("ArrowRight")
    assert browser.run(STEP).startswith("17 of 17. ")
    browser.press("Home", "ArrowRight", "ArrowRight", "ArrowLeft")
    assert browser.run(STEP).startswith("2 of 17. Forward: ")
    browser.press("End")
    assert browser.run(STEP).startswith("17 of 17. Backward")
    assert browser.complaints() == []


def test_buttons_by_keyboard(browser, page):
    browser.open(page)
    browser.press("Tab", "Tab", "Tab", "Enter")
    assert browser.run("document.activeElement.textContent") == "Next"
    assert browser.run(STEP).startswith("2 of 17. ")
    browser.press("Tab", "Enter", "Enter")
    assert browser.run(STEP).startswith("17 of 17. ")
    assert browser.run("document.activeElement.getAttribute('aria-disabled')") == "true"


def test_the_focus_shows_formula_and_numbers(browser, page):
    browser.open(page)
    browser.press(*["Tab"] * 5)
    seen = []
    while label := browser.run(FOCUS):
        assert browser.run(PANEL) == label
        seen.append(label)
        browser.press("Tab")
    assert len(seen) == 21
    assert "v1 = w × x = 0.4 × 1.5 = 0.6\n∂loss/∂v1 = ∂loss/∂v2 · ∂v2/∂v1 = (−0.09642) · 1 = −0.09642" in seen


def test_the_pointer_shows_formula_and_numbers(browser, page):
    browser.open(page)
    for kind in ("node", "edge"):
        part = f"document.querySelector('.{kind} .box, .{kind} .reach')"
        browser.run(f"{part}.scrollIntoView({{ block: 'center', inline: 'center' }})")
        part += ".getBoundingClientRect()"
        browser.point_at(
            browser.run(f"{part}.x + {part}.width / 2"), browser.run(f"{part}.y + {part}.height / 2")
        )
        label = browser.run(f"document.querySelector('.{kind}').getAttribute('aria-label')")
        assert browser.run(PANEL) == label


def test_the_sentence_is_read_out(browser, page):
    browser.open(page)
    assert browser.run("document.querySelector('.sentence').getAttribute('aria-live')") == "polite"


@pytest.mark.parametrize("width", [320, 360, 1200])
def test_the_picture_scrolls_in_its_own_box(browser, page, width):
    """The page is no wider than the window, and the step under way is in sight."""
    browser.open(page, width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    for key in ["ArrowRight"] * 16:
        browser.press(key)
        inside = """(() => {
            const view = document.querySelector('.view').getBoundingClientRect();
            const part = document.querySelector('.node.now .box').getBoundingClientRect();
            return part.right > view.left && part.left < view.right;
        })()"""
        assert browser.run(inside)
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_the_picture_follows_the_steps(browser, tmp_path):
    """Also to a node with an edge from far away."""
    [x] = variables(x=1)
    node = x
    for _ in range(40):
        node = node * x
    node.save(tmp_path / "graph.html")
    browser.open(tmp_path / "graph.html", 800)
    browser.press(*["ArrowRight"] * 30)
    part = "document.querySelector('.node.now').getBoundingClientRect()"
    assert 300 < browser.run(f"({part}.left + {part}.right) / 2") < 500


def test_text_fits_its_box(browser, tmp_path):
    """No text leaves its box, or meets another."""
    x, weight = variables(x=-1.2345e-10, largest_weight=-0.012345)
    result = (sigmoid(x * weight) - max(-weight, x) ** 2.5e-1).named("bdhnpqu_023456789")
    result.save(tmp_path / "graph.html")
    browser.open(tmp_path / "graph.html", 2000)
    browser.press("End")
    outside = """[...document.querySelectorAll('.node')].flatMap(node => {
        const box = node.querySelector('.box').getBoundingClientRect();
        const texts = [...node.querySelectorAll('text')].map(text => text.getBoundingClientRect());
        return texts.filter((own, place) => own.left < box.left || own.right > box.right
            || own.bottom > box.bottom || own.top < box.top || texts.slice(place + 1).some(
                other => own.right > other.left && Math.abs(own.bottom - other.bottom) < 8));
    }).length"""
    assert browser.run(outside) == 0


def test_without_a_script(browser, page):
    browser.open(page, script=False)
    assert browser.run(HIDDEN) == 0
    assert browser.run("getComputedStyle(document.querySelector('.controls')).display") == "none"
    assert browser.run("document.querySelectorAll('.steps li').length") == 17


def test_print_shows_all(browser, page):
    browser.open(page, media="print", dark=True)
    assert browser.run(HIDDEN) == 0
    assert browser.run("getComputedStyle(document.querySelector('.controls')).display") == "none"
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_several_frames(browser, tmp_path):
    """A slider chooses the frame, and steps lead from one into the next. Without a script, parts that a later
    step replaces are not shown."""
    parts = '<g data-step="1" data-until="1">a</g><g data-from="2">b</g>'
    svg = Markup(f'<svg viewBox="0 0 9 9" style="--width: 9px">{parts}</svg>')
    frames = [Frame(f"Step {number} of training", svg, ["one.", "two."]) for number in (1, 2, 3)]
    path = tmp_path / "frames.html"
    path.write_text(shell("Frames", frames, before=[element("p", {}, "before")]), "utf-8")
    browser.open(path)
    shown = "[...document.querySelectorAll('.frame')].map(frame => frame.hidden)"
    marks = """[...document.querySelectorAll('.frame:not([hidden]) g')].map(
        part => getComputedStyle(part).display != 'none' && getComputedStyle(part).visibility == 'visible')"""
    assert browser.run(shown) == [False, True, True]
    assert browser.run(marks) == [True, False]
    browser.press("ArrowRight")
    assert browser.run(marks) == [False, True]
    browser.press("ArrowRight")
    assert browser.run(shown) == [True, False, True]
    assert browser.run(STEP) == "1 of 2. one."
    browser.press("ArrowLeft")
    assert browser.run(STEP) == "2 of 2. two."
    browser.run("document.querySelector('.slider input').focus()")
    browser.press("End")
    assert browser.run(shown) == [True, True, False]
    assert browser.run("document.querySelector('.slider span').textContent") == "Step 3 of training"
    browser.open(path, script=False)
    assert browser.run(shown) == [False, False, False]
    assert browser.run(marks) == [False, True] * 3
    assert browser.complaints() == []


def test_in_a_notebook(browser, tmp_path):
    x, y = variables(x=1, y=2)
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><meta charset='utf-8'><body>{(x * y)._repr_html_()}</body>", "utf-8")
    browser.open(path)
    assert browser.run(
        "document.querySelector('iframe').contentDocument.querySelector('.sentence').textContent"
    )
    assert browser.complaints() == []


def test_the_accessibility_tree(browser, page):
    """What a screen reader gets: the picture as a group; in it, each node, edge and legend has a text."""
    browser.open(page)
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]
    ]
    parts = [name for role, name in named if role in ("image", "img")]
    assert len(parts) == 22
    assert all(parts)
    assert parts[-1].startswith("Legend: blue is above zero, orange below")
    assert [name for role, name in named if name.startswith("Graph of loss = 0.5 × (y − σ(w × x + b))²")]
    assert [name for role, name in named if role == "button"] == ["First", "Previous", "Next", "Last"]
