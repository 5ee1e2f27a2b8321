"""The journal of the attacks: an attack stopped at any moment continues, and failed trials stay failed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent

SCRIPT = """
'''An attack for the tests.'''
import sys
sys.path.insert(0, {folder!r})
import journal
from journal import attack, main

@attack(trials=6)
def draws(journal):
    'Drawn numbers are not above a half.'
    for trial in journal:
        if trial == {stops}:
            raise KeyboardInterrupt
        drawn = float(journal.generator(trial).random())
        journal.count('draws')
        journal.keep('largest', max, drawn)
        if drawn > 0.5:
            journal.fail(trial, f'{{drawn:.3f}}')
    return f'{{journal.figures}}'

@attack(trials=1)
def tools(journal):
    'A tool is there.'
    raise journal_missing('no such tool')

journal_missing = journal.Missing
main(journal.__file__)
"""


def run(tmp_path, *arguments, stops=None):
    script = SCRIPT.format(folder=str(FOLDER), stops=stops)
    command = [sys.executable, "-c", script, *arguments, "--state", str(tmp_path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def kept(tmp_path):
    found = json.loads((tmp_path / "journal.draws.json").read_text())
    del found["seconds"]
    return found


def test_a_stopped_attack_goes_on(tmp_path):
    whole = run(tmp_path / "whole", "draws")
    assert whole.returncode == 1, whole.stderr  # some of six numbers are above a half
    stopped = run(tmp_path / "parts", "draws", stops=4)
    assert "KeyboardInterrupt" in stopped.stderr
    assert kept(tmp_path / "parts")["done"] == 4
    assert run(tmp_path / "parts", "draws").returncode == 1
    assert kept(tmp_path / "parts") == kept(tmp_path / "whole")
    assert kept(tmp_path / "whole")["figures"]["draws"] == 6
    assert kept(tmp_path / "whole")["failed"] == len(kept(tmp_path / "whole")["failures"]) > 0


def test_another_seed_begins_anew(tmp_path):
    run(tmp_path, "draws", stops=4)
    run(tmp_path, "draws", "--seed", "1")
    assert kept(tmp_path)["figures"]["draws"] == 6


def test_a_missing_tool_is_told(tmp_path):
    done = run(tmp_path, "tools")
    assert done.returncode == 0
    assert "tools: NOT MADE: no such tool" in done.stdout


def test_unknown_attacks_are_refused(tmp_path):
    done = run(tmp_path, "walls")
    assert done.returncode == 2
    assert "there is no attack walls, only draws, tools" in done.stderr


COMMANDS = sorted(path.name for path in FOLDER.glob("*.py") if path.read_text().endswith("main(__file__)\n"))


@pytest.mark.parametrize("script", ["__main__.py", "table.py", *COMMANDS])
def test_each_file_is_a_command(script):
    done = subprocess.run(
        [sys.executable, str(FOLDER / script), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--state" in done.stdout
