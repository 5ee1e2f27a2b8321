"""Pickles made by version 0.1.0 load: models and estimators predict the same, settings are equal."""

import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import bpkern

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

import make_reference_pickle as reference_data  # noqa: E402
from make import CLASSES, VALUES, X  # noqa: E402
from make_pickles import settings  # noqa: E402

PICKLED = pickle.loads((FOLDER / "pickles.pickle").read_bytes())
MODELS = [name for name in PICKLED if name.startswith("model")]
ESTIMATORS = [name for name in PICKLED if name.startswith(("classifier", "regressor"))]
SETTINGS = sorted(name for name in PICKLED if name.startswith("setting"))


def loaded(name):
    with warnings.catch_warnings():
        # scikit-learn warns of its own objects of another version, such as a LabelBinarizer, in the pickle.
        warnings.filterwarnings("ignore", message="Trying to unpickle estimator")
        return pickle.loads(PICKLED[name])


@pytest.fixture(scope="module")
def predicted():
    with np.load(FOLDER / "pickles.npz", allow_pickle=False) as recorded:
        return dict(recorded)


def test_the_kinds_are_all_here():
    assert (len(MODELS), len(ESTIMATORS), len(SETTINGS)) == (3, 5, 16)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_predicts_and_trains_on(name, predicted):
    model = loaded(name)
    assert type(model) is bpkern.MLP
    assert model.predict(X) == pytest.approx(predicted[name], rel=1e-4, abs=1e-6)
    y = CLASSES if model.loss == "cross_entropy" else VALUES[:, : model.layers[-1]]
    history = model.fit(X, y, epochs=1, verbose=0)
    assert np.isfinite(history["loss"]).all()
    assert pickle.loads(pickle.dumps(model)).forward(X).tobytes() == model.forward(X).tobytes()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_predicts_and_is_pickled_again(name, predicted):
    estimator = loaded(name)
    found = estimator.predict(X)
    if found.dtype.kind == "f":
        assert found == pytest.approx(predicted[name], rel=1e-4, abs=1e-6)
    else:
        assert (found == predicted[name]).all()
    again = pickle.loads(pickle.dumps(estimator))
    assert (again.predict(X) == found).all()


def test_an_estimator_trains_on(predicted):
    estimator = loaded("classifier_partial")
    assert estimator.t_ == len(X)
    estimator.partial_fit(X, CLASSES)
    assert estimator.t_ == 2 * len(X)
    assert np.isfinite(estimator.loss_)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_equal(name):
    number = int(name.removeprefix("setting")[:2])
    found, expected = loaded(name), settings()[number]
    assert type(found) is type(expected)
    assert str(found) == str(expected)
    if isinstance(found, bpkern.DivergedError):
        assert (found.epoch, found.iteration) == (expected.epoch, expected.iteration)
    elif isinstance(found, bpkern.History):
        assert list(found) == list(expected)
        assert len(found["loss"]) == len(expected["loss"])
    else:
        assert repr(found) == repr(expected)


def test_names_of_modules_that_have_moved():
    recorded = pickle.loads((FOLDER / "reference.pickle").read_bytes())
    model = pickle.loads(recorded["model"])
    assert model.forward(reference_data.X) == pytest.approx(np.array(recorded["outputs"]), rel=1e-4, abs=1e-6)
    twin = reference_data.reference()
    for trained in (model, twin):
        trained.fit(reference_data.X, reference_data.Y, epochs=2, validation_split=0.25, verbose=0)
    assert model.history_["loss"] == pytest.approx(twin.history_["loss"], rel=1e-5)
    assert str(pickle.loads(recorded["summary"])) == recorded["text"]
