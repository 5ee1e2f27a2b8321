"""The README: its examples run and print what it shows, and its two commands are under their headings."""

import re
from pathlib import Path

import pytest
from pages import python_blocks, run_blocks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "README.md"
README = PAGE.read_text()


def test_the_first_example_prints_what_the_readme_shows(capsys):
    """It runs by itself. Numbers agree to two digits, because instruction sets round differently."""
    first = python_blocks(PAGE)[0]
    shown = re.search(r"^```\n(History.*?)^```$", README, re.M | re.S).group(1)
    namespace = run_blocks(PAGE, [first])
    printed = capsys.readouterr().out
    number = re.compile(r"\d+\.\d*")
    assert number.sub("#", printed) == number.sub("#", shown)
    numbers, expected = ([float(text) for text in number.findall(part)] for part in (printed, shown))
    assert numbers == pytest.approx(expected, abs=0.01)
    assert namespace["model"].evaluate(namespace["X"], namespace["y"])["accuracy"] > 0.97
    assert len([line for line in first.splitlines() if line.strip()]) <= 15


def test_the_examples_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    namespace = run_blocks(PAGE, python_blocks(PAGE))
    assert [path.name for path in tmp_path.iterdir()] == ["circle.npz"]
    assert namespace["classifier"].score(namespace["X"], namespace["y"]) > 0.97


def test_the_length():
    """At most 150 lines, without the tables of measurements: five minutes of reading."""
    own = re.sub(r"<!-- (kernels|peers): begin -->\n.*<!-- \1: end -->\n", "", README, flags=re.S)
    assert own.count("\n") <= 150


def test_the_two_commands():
    commands = dict(re.findall(r"^## (Run it|Test it)\n.*?^```sh\n(.*?)^```$", README, re.M | re.S))
    assert commands["Run it"].strip().endswith(".venv/bin/bpkern demo")
    assert commands["Test it"].strip().endswith(".venv/bin/python -m pytest")
    assert all(command.count("\n") == 1 for command in commands.values())


def test_the_index_of_files_is_whole():
    """CONTRIBUTING.md names every source file, or its family."""
    index = (ROOT / "CONTRIBUTING.md").read_text()
    families = re.findall(r"`(\w+_)\*`", index)
    for path in [path for folder in ("csrc", "src") for path in (ROOT / folder).rglob("*")]:
        if path.suffix in (".c", ".h", ".py", ".pyx", ".pxi", ".pxd", ".pyi") and path.name != "__init__.py":
            assert f"`{path.name}`" in index or path.name.startswith(tuple(families)), path.name
