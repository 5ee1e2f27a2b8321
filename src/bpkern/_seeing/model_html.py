"""A model in a notebook: the table of its layers, and the learning curves of its last fit."""

from .._model.core import Core
from .._model.summary import summary_of
from .curves_drawing import in_notebook
from .markup import Markup, element


def html_of(core: Core) -> Markup:
    """The table and, folded, the curves."""
    parts = [Markup(summary_of(core, None).html())]
    history = core.history
    if history is not None and history.lr:
        curves = in_notebook(history, history.lr, history.iterations)
        parts.append(element("details", {}, element("summary", {}, "The last fit"), curves))
    return element("div", {}, *parts)
