"""The README: its examples run as printed, and its two commands are where they are looked for."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_examples_run(capsys, monkeypatch, tmp_path):
    """One after the other, the first by itself."""
    first, *others = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
    namespace = {}
    exec(compile(first, "README.md", "exec"), namespace)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("History(30 epochs, 1290 iterations, last: loss=")
    assert namespace["model"].evaluate(namespace["X"], namespace["y"])["accuracy"] > 0.97
    assert len([line for line in first.splitlines() if line.strip()]) <= 15

    matplotlib = pytest.importorskip("matplotlib", reason="the second example plots")
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    for code in others:
        exec(compile(code, "README.md", "exec"), namespace)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["circle.npz", "curves.png", "fit.npz"]
    assert "total" in capsys.readouterr().out
    assert namespace["model"].evaluate(namespace["X"], namespace["y"])["accuracy"] > 0.97


def test_the_two_commands():
    commands = dict(re.findall(r"^## (Run it|Test it)\n.*?^```sh\n(.*?)^```$", README, re.M | re.S))
    assert commands["Run it"].strip().endswith(".venv/bin/bpkern demo")
    assert commands["Test it"].strip().endswith(".venv/bin/python -m pytest")
    assert all(command.count("\n") == 1 for command in commands.values())


def test_links_lead_somewhere():
    for path in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / path).read_text()):
            assert (ROOT / target).exists(), target


def test_the_index_of_files_is_whole():
    """Every source file stands in CONTRIBUTING.md, by its name or by that of its family."""
    index = (ROOT / "CONTRIBUTING.md").read_text()
    families = re.findall(r"`(\w+_)\*`", index)
    package = ROOT / "src" / "bpkern"
    folders = (ROOT / "csrc", package, package / "reference", package / "sklearn")
    for path in [path for folder in folders for path in folder.iterdir()]:
        if path.suffix in (".c", ".h", ".py", ".pyx", ".pxi", ".pxd", ".pyi") and path.name != "__init__.py":
            assert f"`{path.name}`" in index or path.name.startswith(tuple(families)), path.name
