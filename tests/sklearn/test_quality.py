"""The same quality as scikit-learn's, on its data: a short run of ``python bench/drop_in.py --quality``.

Scores with equal parameters are paired by seed and pooled over the data sets.
"""

import numpy as np
import pytest

pytest.importorskip(
    "sklearn", minversion="1.9", reason="scikit-learn 1.9 is what the estimators are held against"
)

from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn_helpers import THEIRS

from bpkern.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SEEDS = range(3)

# Estimator and epochs by data set: few enough that scores still rise, so that slower learning would show.
SETS = {
    "digits": (MLPClassifier, 7),
    "iris": (MLPClassifier, 30),
    "wine": (MLPClassifier, 20),
    "breast_cancer": (MLPClassifier, 15),
    "diabetes": (MLPRegressor, 20),
}

# The least scores: far above chance, so that two estimators that learn nothing do not pass.
LEAST = {"digits": 0.85, "iris": 0.8, "wine": 0.85, "breast_cancer": 0.85, "diabetes": 0.2}


def parts(name, seed):
    """(X, X_test, y, y_test), standardised, with a quarter of the rows for testing."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if name == "diabetes":
        y = (y - y.mean()) / y.std()
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=seed)
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), scaler.transform(X_test), y, y_test


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_are_no_worse(dtype):
    differences = []
    for name, (kind, epochs) in SETS.items():
        for seed in SEEDS:
            X, X_test, y, y_test = parts(name, seed)
            parameters = dict(max_iter=epochs, random_state=seed, learning_rate_init=0.003, batch_size=64)
            ours, theirs = (each(**parameters) for each in (kind, THEIRS[kind]))
            own = ours.fit(X.astype(dtype), y).score(X_test.astype(dtype), y_test)
            their = theirs.fit(X, y).score(X_test, y_test)
            assert own > LEAST[name]
            differences.append(own - their)
    differences = np.array(differences)
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    # Scores that differ only by the rounding of R2 have a standard error of nearly 0.
    assert differences.mean() >= -2 * error - 1e-6
    # The same random numbers give nearly the same fit, in float32 too.
    assert np.abs(differences).mean() < 0.01
