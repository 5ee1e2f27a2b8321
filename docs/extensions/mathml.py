"""Formulas as MathML, which browsers set and screen readers read without a script or another file."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError


def visit_math(translator, node):
    """Write a formula within a line."""
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def visit_math_block(translator, node):
    """Write a formula of its own lines, which narrow screens scroll."""
    translator.body.append(f'<div class="formula" tabindex="0">{_mathml(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def _mathml(node, as_block):
    formula = node.astext()
    # The converter takes 12 for the numerator of \frac12, without an error.
    if re.search(r"\\[dt]?frac\s*[^{\s]", formula):
        raise ExtensionError(f"{node.source}: \\frac needs braces in the formula {formula}")
    try:
        return tex2mathml(formula, as_block=as_block)
    except MathError as error:
        raise ExtensionError(f"{node.source}: {error} in the formula {formula}") from error


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
