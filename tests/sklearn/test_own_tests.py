"""scikit-learn's own tests of its multilayer perceptrons, run on this package's.

The installed scikit-learn's test module is loaded a second time with this package's classes under the names
that it imports, and each of its test functions is a test here.
"""

import importlib.util
import inspect
from unittest import mock

import pytest

pytest.importorskip("sklearn", minversion="1.9", reason="scikit-learn 1.9 has the tests that are run")

from sklearn import neural_network

from bpkern.sklearn import MLPClassifier, MLPRegressor

# Tests of scikit-learn's private attributes, not of behaviour.
PRIVATE = {
    "test_fit": "sets _coef_grads and other private attributes that training continues from",
    "test_gradient": "calls _loss_grad_lbfgs; tests/trainer/test_gradients.py checks gradients itself",
    "test_learning_rate_warmstart": "reads _optimizer.learning_rate",
    "test_adaptive_learning_rate": "reads _optimizer.learning_rate",
}


def load_their_tests():
    """scikit-learn's test module, loaded with this package's classes already in place."""
    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    if spec is None:
        pytest.skip("this scikit-learn was installed without its tests", allow_module_level=True)
    module = importlib.util.module_from_spec(spec)
    with mock.patch.multiple(neural_network, MLPClassifier=MLPClassifier, MLPRegressor=MLPRegressor):
        spec.loader.exec_module(module)
    return module


def cases(module):
    """The module's test functions by name; those in PRIVATE are expected to fail."""
    found = {
        name: function
        for name, function in vars(module).items()
        if name.startswith("test_") and inspect.isfunction(function)
    }
    for name, reason in PRIVATE.items():
        found[name] = pytest.mark.xfail(reason=reason, raises=AttributeError)(found[name])
    return found


their_tests = load_their_tests()
globals().update(cases(their_tests))


@pytest.fixture(params=[42])
def global_random_seed(request):
    """The fixture of scikit-learn's conftest.py, with its default."""
    return request.param


def test_that_ours_are_tested():
    assert their_tests.MLPClassifier is MLPClassifier
    assert their_tests.MLPRegressor is MLPRegressor
    assert len(cases(their_tests)) >= 40
