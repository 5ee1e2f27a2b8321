"""Write the golden pickles: objects pickled by version 0.1.0, which all later versions load.

python tests/golden/make_pickles.py

writes pickles.pickle, a dictionary from names to pickled bytes, and pickles.npz with the predictions of the
pickled models and estimators. It refuses to overwrite them. test_pickles.py reads both.
"""

import pickle
from pathlib import Path

import numpy as np
from make import CLASSES, VALUES, X, classes, values

import bpkern
from bpkern import callbacks, losses, schedules
from bpkern.sklearn import MLPClassifier, MLPRegressor

FOLDER = Path(__file__).resolve().parent

SMALL = {"hidden_layer_sizes": (6,), "random_state": 3, "batch_size": 4}


def models() -> dict[str, bpkern.MLP]:
    """Trained models in both dtypes, together with every store, and an untrained model."""
    return {
        "model_classes": classes(),
        "model_values": values(),
        "model_untrained": bpkern.MLP([5, 3, 2], loss="mse", seed=8),
    }


def estimators() -> dict[str, MLPClassifier | MLPRegressor]:
    """Fitted estimators: every solver and every kind of target."""
    labels = np.array(["ant", "bee", "cow"])[CLASSES]
    return {
        "classifier_adam": MLPClassifier(max_iter=4, n_iter_no_change=10, **SMALL).fit(X, labels),
        "classifier_sgd": MLPClassifier(
            solver="sgd", learning_rate="adaptive", max_iter=4, n_iter_no_change=10, **SMALL
        ).fit(X, CLASSES > 0),
        "classifier_partial": MLPClassifier(**SMALL).partial_fit(X, CLASSES, classes=[0, 1, 2]),
        "regressor_lbfgs": MLPRegressor(solver="lbfgs", max_iter=5, **SMALL).fit(X, VALUES[:, 0]),
        "regressor_early": MLPRegressor(early_stopping=True, max_iter=4, n_iter_no_change=10, **SMALL).fit(
            X, VALUES
        ),
    }


def settings() -> list[object]:
    """Small objects that users may pickle by themselves."""
    history = classes().history_
    return [
        bpkern.SGD(0.1, 0.9, nesterov=True, weight_decay=1e-3),
        bpkern.RMSprop(0.01, centered=True),
        bpkern.Adagrad(0.02),
        bpkern.Adam(schedules.Exponential(0.1, 0.99), amsgrad=True),
        bpkern.AdamW(0.003),
        schedules.Step(0.1, 5),
        schedules.Exponential(0.1, 0.9, every=3),
        schedules.InverseScaling(0.1),
        schedules.Cosine(0.1, 50, warmup=5),
        schedules.OneCycle(0.1, 50),
        losses.Huber(0.5),
        losses.Quantile(0.25),
        callbacks.EarlyStopping("loss", patience=2),
        callbacks.ReduceLROnPlateau("loss"),
        history,
        bpkern.DivergedError("the loss is no longer finite", 3, 70),
    ]


def main() -> None:
    if (FOLDER / "pickles.pickle").exists():
        raise SystemExit("pickles.pickle exists, and is never overwritten")
    pickled, predicted = {}, {}
    for name, model in models().items():
        pickled[name] = pickle.dumps(model, protocol=4)
        predicted[name] = model.predict(X)
    for name, estimator in estimators().items():
        pickled[name] = pickle.dumps(estimator, protocol=4)
        predicted[name] = estimator.predict(X)
    for number, setting in enumerate(settings()):
        pickled[f"setting{number:02d}_{type(setting).__name__}"] = pickle.dumps(setting, protocol=4)
    (FOLDER / "pickles.pickle").write_bytes(pickle.dumps(pickled, protocol=4))
    np.savez_compressed(FOLDER / "pickles.npz", **predicted)


if __name__ == "__main__":
    main()
