"""Trials in children: one that crashes, hangs, raises, prints or leaks a descriptor fails alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent

SCRIPT = """
'''An attack for the tests.'''
import os, signal, sys
sys.path.insert(0, {folder!r})
import children
import journal
from journal import attack, main

def crash(): os.kill(os.getpid(), signal.SIGSEGV)
def hang():
    signal.alarm(1)
    while True: pass
def leak(): os.open('/dev/null', os.O_RDONLY)
def say(): print('said', flush=True)
def fail(): raise ValueError('wrong')

@attack(trials=9)
def trials(journal):
    'One of them misbehaves.'
    def work(trial):
        if trial == 4:
            {misdeed}()
        return 'good'
    children.in_children(journal, work, size=5, name=lambda trial: f'the one named {{trial}}')
    return f'{{journal.figures}}'

main(journal.__file__)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize(
    ("misdeed", "message"),
    [
        ("crash", f"the one named 4 the process ended with status {-signal.SIGSEGV}"),
        ("hang", f"the one named 4 the process ended with status {-signal.SIGALRM}"),
        ("leak", "a descriptor that is left open"),
        ("say", "something that was printed"),
        ("fail", "ValueError: wrong"),
    ],
)
def test_only_the_trial_that_misbehaves_fails(tmp_path, misdeed, message):
    script = SCRIPT.format(folder=str(FOLDER), misdeed=misdeed)
    made = subprocess.run(
        [sys.executable, "-c", script, "--state", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert made.returncode == 1, made.stderr
    assert "9 of 9, 1 failed" in made.stdout
    assert "'good': 8" in made.stdout
    assert "trial 4: " in made.stderr
    assert message in made.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
def test_nothing_fails_without_misdeeds(tmp_path):
    script = SCRIPT.format(folder=str(FOLDER), misdeed="int")
    made = subprocess.run(
        [sys.executable, "-c", script, "--state", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert "9 of 9, 0 failed" in made.stdout
