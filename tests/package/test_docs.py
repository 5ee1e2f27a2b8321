"""The pages in docs/: their examples run, their links lead somewhere, and the index lists all of them."""

import re
from pathlib import Path

import pytest
from pages import python_blocks, run_blocks

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
LINKING = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")] + PAGES


def named(page):
    return page.name


@pytest.mark.parametrize("page", [page for page in PAGES if python_blocks(page)], ids=named)
def test_the_examples_run(page, monkeypatch, tmp_path):
    """Each page from top to bottom, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    run_blocks(page, python_blocks(page))


def test_the_large_example_trains(capsys, monkeypatch, tmp_path):
    """The first example of the page on training; run again, it only reads the checkpoint."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "training.md"
    example = python_blocks(page)[:1]
    first = run_blocks(page, example)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["circle.npz", "fit.npz"]
    assert "total" in capsys.readouterr().out
    assert first["model"].evaluate(first["X"], first["y"])["accuracy"] > 0.97
    again = run_blocks(page, example)
    assert again["history"] == first["history"]


def anchors(page):
    """The anchors that GitHub gives the headings."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", prose, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKING, ids=named)
def test_links_lead_somewhere(page):
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_the_index_is_whole():
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in PAGES if page.name != "README.md" and f"({page.name})" not in index] == []
