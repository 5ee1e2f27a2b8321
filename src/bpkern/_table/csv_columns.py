"""Columns of texts as numbers, or as codes of categories.

A column is of numbers if all its values are. Numbers may have a decimal comma, and then points between groups
of three digits.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np

from .frames import Coded

GAPS = frozenset(["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "?"])

# With a decimal comma: "1.234.567,8", "12,5", "12", "-0,5e3".
WITH_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?([eE][+-]?\d+)?")
# May be 1.234 as well as 1234.
DOUBTFUL = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")

# A column of this part of numbers is refused as one of texts: the others are mistakes, or words for gaps.
MOSTLY = 0.9


class NotNumbers(Exception):
    """A column of numbers so far goes on with a text: it must be read again as one of texts."""


class Column:
    """A column of a CSV file, added to a range of rows at a time.

    Parameters
    ----------
    title : str
        The file and the column in messages.
    as_text : bool
        Whether it is known not to be of numbers.
    decimal : {".", ","} or None
        Found if None.
    gaps : collection of str
        The texts that are gaps.
    """

    def __init__(self, title: str, as_text: bool, decimal: str | None, gaps: Collection[str]) -> None:
        self.title, self._as_text, self._decimal, self._gaps = title, as_text, decimal, gaps
        self._parts: list[np.ndarray] = []
        self._codes: dict[str, int] = {}
        self._sure = decimal is not None

    def add(self, texts: list[str], rows: list[int]) -> None:
        """Add values.

        Raises
        ------
        NotNumbers
        ValueError
            For infinity, and numbers that may have either decimal sign.
        """
        texts = [text.strip() for text in texts]
        if self._as_text:
            codes = self._codes
            found = [-1 if text in self._gaps else codes.setdefault(text, len(codes)) for text in texts]
            self._parts.append(np.array(found, np.int32))
            return
        numbers = self._numbers(texts, rows)
        if np.isinf(numbers).any():
            row = rows[int(np.argmax(np.isinf(numbers)))]
            raise ValueError(f"{self.title}, row {row} holds infinity, or a number beyond 1.8e308")
        self._parts.append(numbers)

    def _numbers(self, texts: list[str], rows: list[int]) -> np.ndarray:
        present = ["nan" if text in self._gaps else text for text in texts]
        if self._decimal != ",":
            try:
                numbers = np.array(list(map(float, present)))
            except ValueError:
                pass
            else:
                joined = "".join(present)
                if self._decimal is None and "." in joined:
                    self._decimal = "."
                if "_" not in joined:  # float reads "1_000", which is hardly meant as a number
                    return numbers
        if self._decimal == ".":
            raise NotNumbers
        values = [text for text in present if text != "nan"]
        if not all(map(WITH_COMMA.fullmatch, values)):
            raise NotNumbers
        with_comma = [text for text in values if "," in text]
        if not self._sure and with_comma and all(map(DOUBTFUL.fullmatch, with_comma)):
            first = with_comma[0]
            row = rows[texts.index(first)]
            raise ValueError(
                f"{self.title}, row {row}: {first!r} may be {first.replace(',', '.')} or "
                f"{first.replace(',', '')}: give --decimal , or --decimal ."
            )
        self._decimal, self._sure = ",", True
        return np.array([float(text.replace(".", "").replace(",", ".")) for text in present])

    def result(self, rows: list[int], known: bool) -> np.ndarray | Coded:
        """The whole column: float64 with NaN in gaps, or codes of texts.

        Parameters
        ----------
        rows : list of int
            The file's row of each value.
        known : bool
            Whether the column is to be of texts; otherwise, one of almost only numbers is refused.

        Raises
        ------
        ValueError
        """
        if not self._as_text:
            return np.concatenate(self._parts) if self._parts else np.zeros(0)
        codes = np.concatenate(self._parts) if self._parts else np.zeros(0, np.int32)
        names = list(self._codes)
        if not known and len(codes):
            self._check_mixture(codes, names, rows)
        return Coded(codes, names)

    def _check_mixture(self, codes: np.ndarray, names: list[str], rows: list[int]) -> None:
        is_number = np.array([WITH_COMMA.fullmatch(name) or _is_number(name) for name in names], bool)
        counts = np.bincount(codes[codes >= 0], minlength=len(names))
        part = counts[is_number].sum() / max(1, counts.sum())
        if part < MOSTLY:
            return
        odd = np.flatnonzero((codes >= 0) & ~is_number[np.maximum(codes, 0)])
        if not len(odd):
            raise ValueError(f"{self.title} holds numbers with a decimal point and such with a comma")
        first = int(odd[0])
        word = names[codes[first]]
        raise ValueError(
            f"{self.title}, row {rows[first]}: {word!r} is no number, as {100 * part:.4g} % of the rest "
            f"are: correct it, or give --missing {word!r} if it means a gap, or --categorical if these are "
            "categories"
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def not_a_number(title: str, texts: list[str], rows: list[int], gaps: Collection[str]) -> ValueError:
    """The error for a text in a column that must hold numbers."""
    for text, row in zip(texts, rows, strict=True):
        if text.strip() not in gaps and not (_is_number(text) or WITH_COMMA.fullmatch(text.strip())):
            return ValueError(
                f"{title}, row {row}: {text!r} is no number, as all were in fit: correct it, or give "
                f"--missing {text!r} if it means a gap"
            )
    return ValueError(f"{title} holds numbers with a decimal point and such with a comma")
