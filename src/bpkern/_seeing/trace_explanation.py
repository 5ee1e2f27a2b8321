"""A derivative as a sum of products of local derivatives, in text, LaTeX and HTML."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from .trace_formulas import factor as in_product
from .trace_formulas import number


@dataclass(frozen=True)
class Factor:
    """A local derivative.

    Attributes
    ----------
    symbol, latex : str
        How it is written in a product.
    value : float
    meaning : str
        What it is: ∂z1[0]/∂W1[0,0], for example.
    formula, formula_latex, numbers, note : str
        How it was computed: the formula, the formula with its numbers, and the name of the function; "" for
        a number that is only read.
    """

    symbol: str
    latex: str
    value: float
    meaning: str
    formula: str = ""
    formula_latex: str = ""
    numbers: str = ""
    note: str = ""


@dataclass(frozen=True)
class Term:
    """A product of local derivatives: one path from the loss, in one row.

    Attributes
    ----------
    factors : tuple of Factor
    """

    factors: tuple[Factor, ...]

    @property
    def value(self) -> float:
        """The product."""
        return prod(factor.value for factor in self.factors)


@dataclass(frozen=True, repr=False)
class Explanation:
    """The derivative of the loss by one number, explained by the chain rule: see `Trace.explain`.

    ``print`` shows it as text; notebooks show it as HTML. Layers, rows and units count from 0, as in the
    trace: W1[0,0] is ``layers[1].W[0, 0]``, and a0[2] is the activation of unit 2 of ``layers[0]``.

    Attributes
    ----------
    name : str
    step : int
    symbol, symbol_latex : str
        Of the number by which the loss is derived.
    value : float
        The derivative as training has it, with the penalties.
    terms : tuple of Term
        The products that are listed, without those of the penalties.
    penalties : tuple of Term
    count : int
        The number of all products: rows times paths.
    rest : float
        The sum of the products that are not listed.
    """

    name: str
    step: int
    symbol: str
    symbol_latex: str
    value: float
    terms: tuple[Term, ...]
    penalties: tuple[Term, ...]
    count: int
    rest: float

    def __repr__(self) -> str:
        return f"<Explanation of {self.name} in step {self.step}: {self.value:.6g}, a sum of {self._terms()}>"

    def __str__(self) -> str:
        left = f"∂E/∂{self.symbol}"
        lines = [f"{self.name}, step {self.step}: {left} = {number(self.value)}", ""]
        if len(self.terms) == self.count == 1 and not self.penalties:
            [term], indent = self.terms, " " * len(left)
            lines += [f"  {left} = {_symbols(term)}"]
            if len(term.factors) > 1:
                lines += [f"  {indent} = {_numbers(term)}"]
            lines += [f"  {indent} = {number(term.value)}"]
        else:
            lines += [f"  {left} = the sum of {self._terms()}"]
            for i, term in enumerate((*self.terms, *self.penalties)):
                lines += [f"    {'+' if i else ' '} {_symbols(term)}"]
                lines += [f"      = {_numbers(term)} = {number(term.value)}"]
            if self._hidden:
                lines += [f"    + {self._hidden:,} more products, together {number(self.rest)}"]
            lines += [f"    = {number(self.value)}"]
        rows = [(factor.symbol, *_cells(factor)) for factor in self._factors()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["", "  with"]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines += [f"    {'  '.join(cells).rstrip()}"]
        return "\n".join(lines)

    def latex(self) -> str:
        """LaTeX of the sum and of its numbers.

        Returns
        -------
        str
            An ``aligned`` environment without dollar signs.
        """
        left = rf"\frac{{\partial E}}{{\partial {self.symbol_latex}}}"
        terms = (*self.terms, *self.penalties)
        more = rf" + \underbrace{{\cdots}}_{{{self._hidden}}}" if self._hidden else ""
        rest = f" + {_latex_number(in_product(self.rest))}" if self._hidden else ""
        symbols = [r" \cdot ".join(factor.latex for factor in term.factors) for term in terms]
        numbers = [
            r" \cdot ".join(_latex_number(in_product(factor.value)) for factor in term.factors)
            for term in terms
        ]
        lines = [f"{left} &= {_sum(symbols)}{more}", f"&= {_sum(numbers)}{rest}"]
        lines += [f"&= {_latex_number(number(self.value))}"]
        for factor in self._factors():
            if factor.formula_latex:
                computed = f"{factor.formula_latex} = {_latex_number(number(factor.value))}"
                lines += [rf"{factor.latex} &: {computed}"]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def html(self) -> str:
        """The explanation as HTML.

        Returns
        -------
        str
            A fragment: a table of the products, and one of the local derivatives.
        """
        # Imported here: only notebooks need it, and it loads every HTML entity.
        from html import escape

        def row(tag: str, cells: Sequence[str]) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        products = [
            (_symbols(term), _numbers(term), number(term.value)) for term in (*self.terms, *self.penalties)
        ]
        if self._hidden:
            products += [(f"{self._hidden:,} more products", "", number(self.rest))]
        factors = [(factor.symbol, *_cells(factor)) for factor in self._factors()]
        title = f"{self.name}, step {self.step}: ∂E/∂{self.symbol} = {number(self.value)}"
        return (
            f'<div class="bpkern-explanation"><p><strong>{escape(title)}</strong></p>'
            f"<table><caption>The sum of {escape(self._terms())}</caption>"
            f"<thead>{row('th', ('product', 'numbers', 'value'))}</thead>"
            f"<tbody>{''.join(row('td', cells) for cells in products)}</tbody>"
            f"<tfoot>{row('th', ('sum', '', number(self.value)))}</tfoot></table>"
            "<table><caption>The local derivatives</caption>"
            f"<thead>{row('th', ('factor', 'value', 'is', 'computed as'))}</thead>"
            f"<tbody>{''.join(row('td', cells) for cells in factors)}</tbody></table></div>"
        )

    def _repr_html_(self) -> str:
        return self.html()

    @property
    def _hidden(self) -> int:
        """How many products are not listed."""
        return self.count - len(self.terms)

    def _terms(self) -> str:
        """The number of products in words."""
        products = f"{self.count:,} product{'s' if self.count != 1 else ''}"
        return f"{products} and the penalties" if self.penalties else products

    def _factors(self) -> list[Factor]:
        """The factors of all listed terms, each once."""
        return list(
            dict.fromkeys(factor for term in (*self.terms, *self.penalties) for factor in term.factors)
        )


def _cells(factor: Factor) -> tuple[str, str, str]:
    """A factor's value, meaning and computation."""
    joint = ", " if factor.numbers.startswith("at ") else " = "  # "at z = 0.5" is where, not how much
    how = joint.join(text for text in (factor.formula, factor.numbers) if text)
    if factor.note:
        how += f"  ({factor.note})"
    return number(factor.value), factor.meaning, how


def _symbols(term: Term) -> str:
    return " · ".join(factor.symbol for factor in term.factors)


def _numbers(term: Term) -> str:
    return " · ".join(in_product(factor.value) for factor in term.factors)


def _sum(terms: Sequence[str]) -> str:
    return " + ".join(terms)


def _latex_number(text: str) -> str:
    """The text of `number` in LaTeX."""
    text = text.replace("−", "-")
    mantissa, exponent, power = text.partition("e")
    if not exponent:
        return text
    closing = ")" if power.endswith(")") else ""
    return rf"{mantissa} \cdot 10^{{{int(power.rstrip(')'))}}}{closing}"
