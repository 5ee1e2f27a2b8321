"""Calls that together reach every allocation of the package; the objects of each are made anew."""

import itertools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import bpkern
from bpkern import callbacks, kernels, losses

Things = dict[str, Any]


class Scenario(NamedTuple):
    """`make` returns the arguments of `act`; if `ends_midway`, an error may leave some steps made."""

    make: Callable[[], Things]
    act: Callable[[Things], Any]
    ends_midway: bool


ALL: dict[str, Scenario] = {}

# A net with layers wider than a vector, and one without, which trains on single rows by the online path.
WIDE, NARROW = [20, 33, 17, 3], [4, 5, 3]
ROWS = 37
RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, WIDE[0])).astype(np.float32)
LABELS = RNG.integers(0, 3, ROWS)
TARGETS = RNG.standard_normal((ROWS, 3)).astype(np.float32)
WEIGHTS = RNG.random(ROWS) + 0.5
FOLDER = Path(tempfile.mkdtemp())


def scenario(make: Callable[[], Things], name: str = "", ends_midway: bool = False) -> Callable[..., Any]:
    def register(act: Callable[[Things], Any]) -> Callable[[Things], Any]:
        ALL[name or act.__name__] = Scenario(make, act, ends_midway)
        return act

    return register


def classifier(layers: list[int] = WIDE, **settings: Any) -> bpkern.MLP:
    settings = {"optimizer": bpkern.Adam(0.01), **settings}
    return bpkern.MLP(layers, loss="cross_entropy", seed=1, **settings)


def fresh(**settings: Any) -> Callable[[], Things]:
    return lambda: {"model": classifier(**settings)}


def trained(**settings: Any) -> Callable[[], Things]:
    """A model that has everything a model can have: optimiser states, average, split, history."""

    def make() -> Things:
        model = classifier(optimizer=bpkern.Adam(0.01, amsgrad=True), dropout=0.2, **settings)
        model.fit(X, LABELS, epochs=2, ema=0.9, validation_split=0.3)
        return {"model": model}

    return make


def in_folder(make: Callable[[], Things]) -> Callable[[], Things]:
    """The same arguments and an empty folder."""

    def make_both() -> Things:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        return {**make(), "folder": FOLDER}

    return make_both


# Constructors ----------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": lambda: bpkern.SGD(0.01),
    "momentum": lambda: bpkern.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.01),
    "rmsprop": lambda: bpkern.RMSprop(0.01, momentum=0.9, centered=True),
    "adagrad": lambda: bpkern.Adagrad(0.01, initial_accumulator_value=0.1),
    "adam": lambda: bpkern.Adam(0.01, amsgrad=True),
    "adamw": lambda: bpkern.AdamW(0.01),
}
LOSSES = {
    "cross_entropy": lambda: "cross_entropy",
    "mse": lambda: "mse",
    "huber": lambda: losses.Huber(0.5),
    "quantiles": lambda: losses.Quantile([0.1, 0.5, 0.9]),
}
for (optimizer, make_optimizer), (loss, make_loss) in zip(
    OPTIMIZERS.items(), itertools.cycle(LOSSES.items()), strict=False
):

    @scenario(dict, f"construct {optimizer} {loss}")
    def construct(things, make_optimizer=make_optimizer, make_loss=make_loss):
        return bpkern.MLP(
            WIDE, loss=make_loss(), optimizer=make_optimizer(), dropout=0.1, init="orthogonal", seed=3
        )


@scenario(fresh())
def reset(things):
    things["model"].reset()


# Training --------------------------------------------------------------------------------------------------


def outputs_and_gradient(outputs, y):
    return ((outputs - y) ** 2).sum(1), 2 * (outputs - y)


for optimizer, make_optimizer in OPTIMIZERS.items():

    @scenario(
        lambda make_optimizer=make_optimizer: {"model": classifier(optimizer=make_optimizer())},
        f"fit {optimizer}",
        ends_midway=True,
    )
    def fit_optimizer(things):
        return things["model"].fit(X, LABELS, epochs=2, batch_size=8)


FITS = {
    "average": dict(ema=0.9),
    "clipped": dict(clip_norm=0.5, clip_value=0.1),
    "accumulated": dict(accumulate=3),
    "split": dict(validation_split=0.3, shuffle=False),
    "validation data": dict(validation_data=(X[:20], LABELS[:20], WEIGHTS[:20])),
    "weighted": dict(sample_weight=WEIGHTS, class_weight="balanced"),
    "metrics": dict(metrics=["accuracy", "f1"], validation_split=0.3, sample_weight=WEIGHTS),
    "threads": dict(n_threads=3, batch_size=32, validation_split=0.3, clip_norm=0.5),
}
for name, settings in FITS.items():
    for before, make in {"": fresh(), " again": trained()}.items():

        @scenario(make, f"fit {name}{before}", ends_midway=True)
        def fit_settings(things, settings=settings):
            return things["model"].fit(X, LABELS, **{"epochs": 2, "batch_size": 8, **settings})


@scenario(fresh(dropout=0.2, l1=0.01, l2=0.01), ends_midway=True)
def fit_dropout(things):
    return things["model"].fit(X, LABELS, epochs=2, batch_size=8)


@scenario(lambda: {"model": classifier(NARROW)}, ends_midway=True)
def fit_narrow(things):
    return things["model"].fit(X[:, :4], LABELS, epochs=2, batch_size=1)


@scenario(
    lambda: {"model": bpkern.MLP(WIDE, loss=outputs_and_gradient, optimizer=bpkern.Adam(0.01), seed=1)},
    ends_midway=True,
)
def fit_custom_loss(things):
    return things["model"].fit(X, TARGETS, epochs=2, batch_size=8, sample_weight=WEIGHTS, accumulate=2)


@scenario(in_folder(fresh()), ends_midway=True)
def fit_callbacks(things):
    folder = things["folder"]
    return things["model"].fit(
        X,
        LABELS,
        epochs=3,
        validation_split=0.3,
        ema=0.9,
        callbacks=[
            callbacks.EarlyStopping(patience=2),
            callbacks.ReduceLROnPlateau(patience=1),
            callbacks.ModelCheckpoint(folder / "best.npz"),
            callbacks.CSVLogger(folder / "log.csv"),
        ],
        checkpoint=folder / "fit.npz",
    )


def begun() -> Things:
    things = in_folder(fresh(dropout=0.1))()
    things["model"].fit(X, LABELS, epochs=2, checkpoint=things["folder"] / "fit.npz", ema=0.9)
    return {**things, "model": classifier(dropout=0.1)}


@scenario(begun, ends_midway=True)
def fit_resumed(things):
    path = things["folder"] / "fit.npz"
    return things["model"].fit(X, LABELS, epochs=3, checkpoint=path, resume=True, ema=0.9)


@scenario(fresh(), ends_midway=True)
def fit_stream(things):
    batches = [(X[:8], LABELS[:8]), (X[8:30], LABELS[8:30]), (X[30:], LABELS[30:], WEIGHTS[30:])]
    return things["model"].fit(batches, epochs=2, accumulate=2, metrics=["f1"], validation_data=(X, LABELS))


@scenario(fresh(), ends_midway=True)
def fit_lists(things):
    return things["model"].fit(X.tolist(), LABELS.tolist(), batch_size=8)


@scenario(fresh(), ends_midway=True)
def fit_probabilities(things):
    return things["model"].fit(X[:, ::-1], np.full((ROWS, 3), 1 / 3), batch_size=8)


try:
    import scipy.sparse
except ModuleNotFoundError:
    pass
else:

    @scenario(
        lambda: {"model": classifier(), "rows": scipy.sparse.csr_array(np.where(X > 1, X, 0))},
        ends_midway=True,
    )
    def fit_sparse(things):
        return things["model"].fit(things["rows"], LABELS, batch_size=8, validation_split=0.3)

    @scenario(lambda: {"model": classifier(), "rows": scipy.sparse.coo_array(np.where(X > 1, X, 0))})
    def predict_sparse(things):
        return things["model"].predict(things["rows"])


try:
    import pandas
except ModuleNotFoundError:
    pass
else:

    @scenario(
        lambda: {"model": classifier(), "X": pandas.DataFrame(X), "y": pandas.Series(LABELS)},
        ends_midway=True,
    )
    def fit_frame(things):
        return things["model"].fit(things["X"], things["y"], batch_size=8)


@scenario(
    lambda: {"models": [classifier(), classifier(optimizer=bpkern.SGD(0.1, momentum=0.9))]},
    ends_midway=True,
)
def fit_many(things):
    return bpkern.fit_many(things["models"], X, LABELS, epochs=2, validation_split=0.3, n_threads=2)


for before, make in {"": fresh(), " again": trained()}.items():

    @scenario(make, f"train_on_batch{before}")
    def train_on_batch(things):
        return things["model"].train_on_batch(X, LABELS)

    @scenario(make, f"trace{before}")
    def trace(things):
        return things["model"].trace(X, LABELS, steps=2).to_dict()


# By hand ---------------------------------------------------------------------------------------------------


def went_forward() -> Things:
    things = trained()()
    things["model"].forward(X, train=True)
    return things


def went_back() -> Things:
    things = went_forward()
    things["model"].backward(TARGETS)
    return things


@scenario(trained())
def tape_forward(things):
    return things["model"].forward(X, train=True)


@scenario(went_back)
def tape_forward_more_rows(things):
    model = things["model"]
    return model.forward(np.concatenate([X, X]), train=True)


@scenario(went_forward)
def tape_backward(things):
    return things["model"].backward(TARGETS.astype(np.float64))


def went_back_fresh() -> Things:
    things = fresh(optimizer=bpkern.RMSprop(0.01, momentum=0.9, centered=True))()
    things["model"].forward(X, train=True)
    things["model"].backward(TARGETS)
    return things


for before, make in {"": went_back_fresh, " again": went_back}.items():

    @scenario(make, f"tape_step{before}")
    def tape_step(things):
        things["model"].step(clip_norm=1.0)


# Without training ------------------------------------------------------------------------------------------

READS = {
    "forward": lambda model: model.forward(X),
    "forward layer": lambda model: model.forward(X, layer=0),
    "forward float64": lambda model: model.forward(X.astype(np.float64)),
    "predict": lambda model: model.predict(X),
    "predict_proba": lambda model: model.predict_proba(X),
    "evaluate": lambda model: model.evaluate(X, LABELS, sample_weight=WEIGHTS, metrics=["f1", "accuracy"]),
    "losses": lambda model: model.losses(X, LABELS),
    "gradients": lambda model: model.gradients(X, LABELS),
    "get_weights": lambda model: model.get_weights(),
    "state_dict": lambda model: model.state_dict(),
    "copy": lambda model: model.copy(),
    "summary": lambda model: str(model.summary(32)),
}
for name, read in READS.items():

    @scenario(trained(l2=0.01), name)
    def reading(things, read=read):
        return read(things["model"])


@scenario(
    lambda: {"model": bpkern.MLP(WIDE, loss=outputs_and_gradient, l1=0.1, seed=1)},
    "gradients of a custom loss",
)
def custom_gradients(things):
    return things["model"].gradients(X, TARGETS)


MANY = np.tile(X, (40, 20))


@scenario(lambda: {"model": classifier([400, 300, 3])})
def evaluate_threads(things):
    return things["model"].evaluate(MANY, np.tile(LABELS, 40)), things["model"].predict(MANY)


@scenario(lambda: {**trained()(), "weights": classifier().get_weights()})
def set_weights(things):
    things["model"].set_weights([(w.astype(np.float64), b.tolist()) for w, b in things["weights"]])


@scenario(lambda: {**trained()(), "state": classifier().state_dict()})
def load_state_dict(things):
    things["model"].load_state_dict(things["state"])


@scenario(lambda: {**trained()(), "other": classifier()})
def polyak_update(things):
    things["model"].polyak_update(things["other"], 0.3)


# Files -----------------------------------------------------------------------------------------------------


def saved(suffix: str) -> Callable[[], Things]:
    def make() -> Things:
        things = in_folder(trained())()
        classifier().save(things["folder"] / f"net{suffix}")
        return things

    return make


SUFFIXES = [".npz"]
try:
    import safetensors.numpy  # noqa: F401
except ModuleNotFoundError:
    pass
else:
    SUFFIXES.append(".safetensors")
for suffix in SUFFIXES:

    @scenario(saved(suffix), f"save {suffix}")
    def save(things, suffix=suffix):
        things["model"].save(things["folder"] / f"net{suffix}")

    @scenario(saved(suffix), f"load {suffix}")
    def load(things, suffix=suffix):
        return bpkern.MLP.load(things["folder"] / f"net{suffix}")


# The kernels -----------------------------------------------------------------------------------------------

for dtype in ("float32", "float64"):

    def operands(dtype=dtype) -> Things:
        rng = np.random.default_rng(2)
        return {
            name: rng.standard_normal(shape).astype(dtype)
            for name, shape in {
                "x": (37, 20),
                "w": (33, 20),
                "b": (33,),
                "delta": (37, 33),
                "a": (37, 20),
                "vw": (33, 20),
                "vb": (33,),
            }.items()
        }

    @scenario(operands, f"linear_forward {dtype}")
    def linear_forward(things):
        return kernels.linear_forward(things["x"], things["w"], things["b"], "tanh")

    @scenario(operands, f"delta_backward {dtype}")
    def delta_backward(things):
        return kernels.delta_backward(things["delta"], things["w"], things["a"], "tanh")

    @scenario(operands, f"sgd_update {dtype}")
    def sgd_update(things):
        velocities = dict(momentum=0.9, vw=things["vw"], vb=things["vb"])
        kernels.sgd_update(things["w"], things["b"], things["delta"], things["x"], 0.1, **velocities)


# The estimators --------------------------------------------------------------------------------------------

try:
    from bpkern.sklearn import MLPClassifier, MLPRegressor
except ModuleNotFoundError:
    pass
else:
    ESTIMATORS = {
        "classifier": (
            lambda: MLPClassifier(hidden_layer_sizes=[33], max_iter=3, early_stopping=True, random_state=0),
            LABELS,
        ),
        "regressor": (lambda: MLPRegressor(hidden_layer_sizes=[33], max_iter=3, random_state=0), TARGETS),
        "lbfgs": (
            lambda: MLPClassifier(hidden_layer_sizes=[33], solver="lbfgs", max_iter=3, random_state=0),
            LABELS,
        ),
    }
    for name, (make_estimator, y) in ESTIMATORS.items():

        def made(make_estimator=make_estimator) -> Things:
            return {"estimator": make_estimator()}

        def fitted(make_estimator=make_estimator, y=y) -> Things:
            return {"estimator": make_estimator().fit(X, y)}

        @scenario(made, f"sklearn fit {name}", ends_midway=True)
        def fit_estimator(things, y=y):
            things["estimator"].fit(X, y)

        @scenario(fitted, f"sklearn predict {name}")
        def predict_estimator(things):
            return things["estimator"].predict(X)
