"""The docstrings of public names: their examples run, and print what they show."""

import doctest
import importlib
import io
import re

import numpy as np
import pytest
from public_names import MODULES

import bpkern
from bpkern import preprocessing


class Shown(doctest.OutputChecker):
    """Compares the output of an example only where the docstring shows one."""

    def check_output(self, want, got, optionflags):
        return not want or super().check_output(want, got, optionflags)


def docstrings():
    """The docstrings with examples, each once: modules share names."""
    found = {}
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:  # without an optional library
            continue
        shared = [getattr(module, each) for each in getattr(module, "__all__", ())]
        for each in [module, *shared]:
            for test in doctest.DocTestFinder(exclude_empty=True).find(each, name=name, globs=vars(module)):
                if test.examples:
                    found[test.filename, test.lineno] = test
    return list(found.values())


TESTS = docstrings()


def surroundings(docstring):
    """The names that an example uses without making them."""
    made = re.search(r"MLP\(\[(\d+)", docstring)
    X, y = np.random.default_rng(0).random((32, int(made[1]) if made else 4)), np.arange(32) % 3
    model = bpkern.MLP([4, 3, 3], loss="cross_entropy", seed=0)
    return {
        "np": np,
        "bpkern": bpkern,
        "model": model,
        "X": X,
        "y": y,
        "X_new": X,
        "X_test": X,
        "y_test": y,
        "trace": model.trace(np.eye(2, 4), y[:2]),
        "epochs": 1,
        "steps": 600,
        "gradient_of_my_loss": np.ones_like,
        "EarlyStopping": bpkern.callbacks.EarlyStopping,
        "Callback": bpkern.callbacks.Callback,
    }


def of_tables(namespace):
    """The names of the examples of `bpkern.preprocessing`."""
    table = {"size": [1.0, 2, 4] * 4, "colour": ["red", "blue", "green"] * 4}
    encoder = preprocessing.TableEncoder()
    X = encoder.fit_transform(table)
    model = bpkern.MLP([X.shape[1], 1], loss="binary_cross_entropy", seed=0)
    shared = {"table": table, "new_table": table, "encoder": encoder, "model": model, "y": np.arange(12) % 3}
    return namespace | shared | {name: getattr(preprocessing, name) for name in preprocessing.__all__}


def test_there_are_examples():
    assert len(TESTS) >= 12


@pytest.mark.parametrize("test", TESTS, ids=lambda test: f"{test.name}:{test.lineno}")
@pytest.mark.filterwarnings("default")
def test_the_examples_run(test, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    test.globs = {**test.globs, **surroundings(test.docstring)}
    if "able" in test.name or test.name == "bpkern.preprocessing":
        test.globs = of_tables(test.globs)
    if "KFold" in test.docstring:
        test.globs["KFold"] = pytest.importorskip("sklearn.model_selection").KFold
    if "from_torch" in test.docstring:
        torch = pytest.importorskip("torch")
        test.globs["sequential"] = torch.nn.Sequential(torch.nn.Linear(4, 3))
    if "from_onnx" in test.docstring:
        pytest.importorskip("onnx")
        bpkern.export.to_onnx(bpkern.MLP([4, 3], loss="mse"), "net.onnx")
    report = io.StringIO()
    doctest.DocTestRunner(Shown(), verbose=False).run(test, out=report.write)
    assert not report.getvalue(), report.getvalue()
