"""Shared by the tests of other packages: data, and small fitted estimators of every kind."""

import numpy as np

from bpkern.sklearn import MLPClassifier, MLPRegressor

X = np.random.default_rng(0).standard_normal((80, 3))
BINARY = (X[:, 0] > 0).astype(int)
CLASSES = X.argmax(axis=1) + 3
SMALL = dict(hidden_layer_sizes=(7, 5), max_iter=20, tol=0, n_iter_no_change=100, random_state=0)

# Name, class, parameters, targets.
TASKS = {
    "binary": (MLPClassifier, {}, BINARY),
    "classes": (MLPClassifier, {"activation": ["silu", "elu"]}, CLASSES),
    "strings": (MLPClassifier, {"activation": "gelu"}, np.array(["ash", "elm", "oak"])[CLASSES - 3]),
    "several labels": (MLPClassifier, {"solver": "sgd"}, (X > 0).astype(int)),
    "values": (MLPRegressor, {"loss": "huber", "activation": "leaky_relu"}, X[:, 0] - X[:, 1]),
    "several values": (MLPRegressor, {"early_stopping": True}, X**2),
    "rates": (MLPRegressor, {"loss": "poisson"}, np.abs(X[:, 0])),
}


def new(task):
    kind, parameters, _ = TASKS[task]
    return kind(**SMALL | parameters)


def fitted(task):
    return new(task).fit(X, TASKS[task][2])
