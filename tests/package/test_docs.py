"""The pages in docs/: their examples run, their links lead somewhere, and the index lists all of them."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest
from pages import python_blocks, run_blocks

import bpkern

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


@pytest.mark.parametrize("page", LINKING, ids=named)
def test_names_are_spelled_as_in_the_package(page):
    """In backticks: names that begin with `bpkern.` or a public name, and methods of `model` and `trace`."""
    objects = {"model": bpkern.MLP, "trace": bpkern.Trace}
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for name, call in re.findall(r"`((?:\w+\.)+\w+)([(`])", prose):
        first, _, rest = name.partition(".")
        if first in objects:
            assert call == "`" or hasattr(objects[first], rest), name
        elif first in ("bpkern", *bpkern.__all__) and rest not in (
            "c",
            "h",
            "pc",
            "pxd",
            "pxi",
            "py",
        ):  # files
            resolve_name(name if first == "bpkern" else f"bpkern.{name}")


def test_the_site_has_every_page():
    """Each page of docs/ is in the contents of one chapter of the site."""
    contents = re.findall(
        r"^   (?:.* <)?([\w-]+)>?$", "".join(path.read_text() for path in (ROOT / "docs").glob("*.rst")), re.M
    )
    assert [page.stem for page in PAGES if contents.count(page.stem) != (page.name != "README.md")] == []


def test_the_index_is_whole():
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in PAGES if page.name != "README.md" and f"({page.name})" not in index] == []
