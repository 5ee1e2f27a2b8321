"""Attributes of other libraries' results and modules: what the error says they are called here."""

import copy
import inspect
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest

import bpkern
from bpkern import callbacks
from bpkern._attributes import ATTRIBUTES

X = np.random.default_rng(0).normal(size=(20, 3))
Y = (X[:, 0] > 0).astype(int)


def model():
    return bpkern.MLP([3, 4, 2], loss="cross_entropy", seed=0)


OWNERS = {
    "History": model().fit(X, Y),
    "Trace": model().trace(X[:1], Y[:1]),
    "module 'bpkern.callbacks'": callbacks,
    "module 'bpkern'": bpkern,
}


@pytest.mark.parametrize(
    ("whose", "name", "words"),
    [
        ("History", "history", "it is itself the mapping, as in history['loss']"),
        ("History", "accuracy", "it is history['accuracy']"),
        ("Trace", "z", "as in trace.steps[0].layers[1].z, the steps and layers counted from 0"),
        ("module 'bpkern.callbacks'", "Checkpoint", "it is ModelCheckpoint"),
        ("module 'bpkern'", "load_model", "it is bpkern.MLP.load(path)"),
    ],
)
def test_an_attribute_of_another_library_is_explained(whose, name, words):
    owner = OWNERS[whose]
    begin = whose if whose.startswith("module") else f"'{whose}' object"
    with pytest.raises(AttributeError) as error:
        getattr(owner, name)
    assert str(error.value) == f"{begin} has no attribute {name!r}: {words}"
    assert (error.value.name, error.value.obj) == (name, owner)


@pytest.mark.parametrize("whose", OWNERS)
def test_other_names_are_left_to_python(whose):
    with pytest.raises(AttributeError, match=r"has no attribute 'zigzag'$"):
        OWNERS[whose].zigzag  # noqa: B018
    assert not hasattr(OWNERS[whose], "__array__")


@pytest.mark.parametrize("whose", ATTRIBUTES)
def test_what_is_explained_is_missing_and_what_is_named_exists(whose):
    owner = OWNERS[whose]
    for name, words in ATTRIBUTES[whose].items():
        assert not hasattr(owner, name)
        for called in re.findall(r"(?<![\w.])(?:MLP\.)?(\w+)\(", words):
            assert any(hasattr(place, called) for place in (owner, bpkern.MLP, bpkern, callbacks)) or (
                called in dir(bpkern.schedules) or called in ("range", "len")
            )


def test_checkers_see_no_attribute_that_is_not_there():
    """Each class defines the method for the interpreter alone."""
    for place in (bpkern.History, bpkern.Trace, callbacks):
        source = inspect.getsource(place)
        assert re.search(r"if not TYPE_CHECKING:.*\n\n? +def __getattr__", source), place


def test_copies_and_pickles_are_as_without():
    trained = model()
    history = trained.fit(X, Y, epochs=2)
    for again in (copy.copy(history), copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert (again, again.iterations, again.lr) == (history, history.iterations, history.lr)
    for again in (copy.copy(trained), copy.deepcopy(trained), pickle.loads(pickle.dumps(trained))):
        assert np.array_equal(again.forward(X), trained.forward(X))
        assert again.history_ == history


def test_a_deep_copy_shares_nothing():
    trained = model()
    trained.notes = [[trained]]
    deep = copy.deepcopy(trained)
    assert deep.optimizer is not trained.optimizer
    assert deep.notes[0] is not trained.notes[0]
    assert deep.notes[0][0] is deep
    before = trained.forward(X)
    deep.fit(X, Y)
    deep.optimizer.lr = 1.0
    assert np.array_equal(trained.forward(X), before)
    assert trained.optimizer.lr == 0.01


def test_an_import_does_not_need_the_words():
    code = "import sys, bpkern; assert 'bpkern._attributes' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
