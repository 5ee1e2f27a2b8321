"""The numbers of docs/graph.md and of the module's docstring are those that are printed."""

import doctest
import re
from pathlib import Path

from pages import python_blocks, run_blocks

from bpkern import graph

PAGE = Path(__file__).parents[2] / "docs" / "graph.md"


def test_the_page(capsys, monkeypatch, tmp_path):
    """Its Python blocks print its text blocks, in this order."""
    monkeypatch.chdir(tmp_path)
    run_blocks(PAGE, python_blocks(PAGE))
    shown = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    assert capsys.readouterr().out == "".join(shown)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".html", ".svg", ".txt"]


def test_the_docstring():
    failed, tried = doctest.testmod(graph)
    assert (failed, tried) == (0, 10)
