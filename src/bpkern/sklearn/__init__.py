"""scikit-learn's multilayer perceptrons, trained by bpkern's kernels.

>>> from bpkern.sklearn import MLPClassifier  # in place of sklearn.neural_network
>>> MLPClassifier(random_state=0).fit(X, y).score(X_test, y_test)

`MLPClassifier` and `MLPRegressor` have scikit-learn's parameters, draw the same random numbers, and follow
its definitions: with equal parameters they make the same steps, up to rounding. Additional parameters are off
by default. `from_sklearn` and the method `to_sklearn` convert fitted estimators.

`RealMLPClassifier` and `RealMLPRegressor` learn raw tables without tuning: RealMLP by its published settings.

All need the extra ``sklearn``.
"""

import sys

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("bpkern.sklearn needs scikit-learn: pip install 'bpkern[sklearn]'") from error

from .classifier import MLPClassifier
from .conversion import from_sklearn
from .hummingbird import register_hummingbird
from .realmlp_classifier import RealMLPClassifier
from .realmlp_regressor import RealMLPRegressor
from .regressor import MLPRegressor
from .skl2onnx import register_skl2onnx

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "RealMLPClassifier",
    "RealMLPRegressor",
    "from_sklearn",
    "register_hummingbird",
    "register_skl2onnx",
]

if "skl2onnx" in sys.modules:
    register_skl2onnx()
if "hummingbird.ml" in sys.modules:
    register_hummingbird()
