"""Annotations: a strictly typed script with every public call is accepted by mypy, and runs."""

from pathlib import Path

import pytest
import typed_calls

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.filterwarnings("ignore:.* columns of X hold large numbers")
def test_the_script_runs(tmp_path):
    typed_calls.use(typed_calls.train(tmp_path))
    typed_calls.other_parts()


def test_the_linter_checks_it():
    assert '"tests/support/typed_calls.py"' in (ROOT / "pyproject.toml").read_text()


def test_the_script_has_every_public_call():
    """Every method of a model, and every name of the package."""
    import bpkern

    text = Path(typed_calls.__file__).read_text()
    methods = [name for name in vars(bpkern.MLP) if not name.startswith("_")]
    attributes = {"history_", "stop_training"}
    assert [name for name in methods if f".{name}" not in text and name not in attributes] == []
    assert [name for name in bpkern.__all__ if name not in text and name != "Trace"] == []
