"""The page around pictures: one HTML file that loads nothing, with buttons and keys for the steps.

Without a script, the page shows the final picture and the sentences of all steps. `page.js` adds the rest:
the steps, by the attributes that `picture.py` describes; the sentence of the present one, which screen
readers read out; the keys; a slider over frames if there are several; and a panel with the text of the
element under the pointer or the focus.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .markup import Markup, element
from .picture import resource

# The browser itself refuses whatever the file does not hold.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
HINT = "Point at a part of the picture, or go there by the Tab key, for its formula and its numbers."
KEYS = "Keys: ← → for the steps, Home and End for the first and the last."
# The parts of a page around its picture, in pixels, and the most that a page may take in a notebook.
AROUND, MOST = 420.0, 900.0


@dataclass(frozen=True)
class Frame:
    """A picture and its steps.

    Attributes
    ----------
    title : str
        A heading; shown beside the slider, if there are several frames.
    picture : Markup
        An svg element.
    steps : sequence of str
        A sentence for each step, from step 1.
    """

    title: str
    picture: Markup
    steps: Sequence[str]


def shell(
    title: str, frames: Sequence[Frame], before: Sequence[Markup] = (), after: Sequence[Markup] = ()
) -> Markup:
    """The page.

    Parameters
    ----------
    title : str
    frames : sequence of Frame
    before, after : sequence of Markup
        What stands before and after them.
    """
    head = [
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("title", {}, title),
        element("style", {}, Markup(resource("picture.css") + resource("page.css"))),
    ]
    body = [element("h1", {}, title), *before]
    if frames:
        body += [_controls(frames), *(_frame(frame) for frame in frames)]
    body += after
    script = [element("script", {}, resource("page.js"))] if frames else []
    page = [element("head", {}, *head), element("body", {}, element("main", {}, *body), *script)]
    return Markup(f"<!doctype html>\n{element('html', {'lang': 'en'}, *page)}")


def framed(page: Markup, title: str, height: float, around: float = AROUND) -> Markup:
    """A page as an element of a notebook, whose own styles and names it does not meet.

    Parameters
    ----------
    page : Markup
    title : str
    height : float
        Of its picture, in pixels.
    around : float
        The height of all else.
    """
    style = f"width: 100%; height: {min(height + around, MOST):.0f}px; border: 0"
    return element("iframe", {"srcdoc": page, "title": title, "style": style})


def _controls(frames: Sequence[Frame]) -> Markup:
    """Buttons, slider and the sentence of the present step, hidden until the script runs."""
    names = ("First", "Previous", "Next", "Last")
    buttons = [element("button", {"type": "button", "data-go": name.lower()}, name) for name in names]
    parts = [element("div", {"class": "buttons", "role": "group", "aria-label": "Steps"}, *buttons)]
    if len(frames) > 1:
        slider = {"type": "range", "min": "1", "max": str(len(frames)), "value": "1"}
        parts.append(element("label", {"class": "slider"}, element("span", {}, ""), element("input", slider)))
    parts.append(element("p", {"class": "sentence", "role": "status", "aria-live": "polite"}))
    return element("div", {"class": "controls", "hidden": ""}, *parts)


def _frame(frame: Frame) -> Markup:
    heading = [element("h2", {}, frame.title)] if frame.title else []
    steps = [element("li", {}, step) for step in frame.steps]
    return element(
        "section",
        {"class": "frame", "aria-label": frame.title or "Picture"},
        *heading,
        element("div", {"class": "view"}, frame.picture),
        element("p", {"class": "panel", "hidden": ""}, HINT),
        element("p", {"class": "keys", "hidden": ""}, KEYS),
        element("ol", {"class": "steps", "aria-label": "Steps"}, *steps),
    )
