"""No public call depends on NumPy's settings for floating-point errors, such as `np.seterr(all="raise")`."""

import pickle

import numpy as np
import pytest
from helpers import fitting

import bpkern
from bpkern import kernels, losses, reference, schedules
from bpkern._core import ACTIVATIONS, LOSSES
from bpkern._model.initializers import NAMES as INITS

RNG = np.random.default_rng(0)
ROWS = 40
# From tiny numbers, some subnormal in float32 and some in float64, to large ones.
X = RNG.standard_normal((ROWS, 4)) * 10.0 ** RNG.integers(-320, 3, (ROWS, 4))
LABELS = RNG.integers(0, 3, ROWS)
VALUES = np.abs(RNG.standard_normal((ROWS, 3))) * 10.0 ** RNG.integers(-310, 2, (ROWS, 3))
SMALLER = VALUES * 1e-5
WEIGHTS = RNG.random(ROWS) * 10.0 ** RNG.integers(-320, 3, ROWS)
SOFT = np.where(np.arange(3) == LABELS[:, None], 1 - 2e-300, 1e-300)
TRAINERS = [bpkern.MLP, reference.MLP]
TRAINER_NAMES = ["kernels", "reference"]


def targets(loss):
    return {"cross_entropy": LABELS, "binary_cross_entropy": SOFT}.get(loss, fitting(loss, VALUES))


def plain(value):
    """The bits of whatever a call returns."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return repr(value)


@pytest.fixture
def unchanged():
    """Checks that a call returns the same whatever the settings are, and does not raise."""

    def check(call):
        with np.errstate(all="ignore"):
            expected = plain(call())
        with np.errstate(all="raise"):
            assert plain(call()) == expected

    return check


def steep(trainer, loss, dtype="float32", **settings):
    """A model whose outputs are up to a few hundred, where softmax and sigmoid underflow."""
    settings = {"activation": "tanh", "optimizer": bpkern.SGD(1e-3), "seed": 0} | settings
    model = trainer([4, 6, 3], loss=loss, dtype=dtype, **settings)
    weights = model.get_weights()
    if loss not in ("poisson",):
        weights[-1] = (weights[-1][0] * 300, weights[-1][1])
    model.set_weights(weights)
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("trainer", TRAINERS, ids=TRAINER_NAMES)
def test_every_loss(unchanged, trainer, loss, dtype):
    y = targets(loss)

    def call():
        model = steep(trainer, loss, dtype)
        results = [model.fit(X, y, epochs=2, batch_size=8, sample_weight=WEIGHTS)["loss"]]
        results += [model.evaluate(X, y), model.gradients(X, y), model.forward(X), model.predict(X)]
        if trainer is bpkern.MLP:
            if loss in ("cross_entropy", "binary_cross_entropy"):
                results.append(model.predict_proba(X))
            results += [model.losses(X, y), model.train_on_batch(X, y)]
        return [*results, model.get_weights()]

    unchanged(call)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("trainer", TRAINERS, ids=TRAINER_NAMES)
def test_every_activation(unchanged, trainer, activation):
    def call():
        model = steep(trainer, "mse", activation=activation, output_activation=activation)
        return [model.fit(X, VALUES, epochs=2)["loss"], model.forward(X), model.get_weights()]

    unchanged(call)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("init", INITS)
def test_every_initialiser(unchanged, init, dtype):
    unchanged(lambda: bpkern.MLP([300, 200, 3], loss="mse", init=init, dtype=dtype, seed=0).get_weights())


OPTIMIZERS = [
    bpkern.SGD(0.01, 0.9, True, 1e-300),
    bpkern.RMSprop(centered=True, momentum=0.5),
    bpkern.Adagrad(lr_decay=1e-300),
    bpkern.Adam(amsgrad=True),
    bpkern.AdamW(betas=(0.0, 1e-300)),
    bpkern.SGD(schedules.Step(0.1, 1, 1e-200)),
    bpkern.SGD(schedules.Exponential(1e-3, 1e-200)),
    bpkern.SGD(schedules.InverseScaling(0.1, 300.0)),
    bpkern.SGD(schedules.Cosine(1e-3, 10, 1e-310, warmup=2, restarts=2)),
    bpkern.SGD(schedules.OneCycle(1e-3, 10, 0.0, 1e300, 1e300)),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("trainer", TRAINERS, ids=TRAINER_NAMES)
def test_every_optimiser_and_schedule(unchanged, trainer, optimizer):
    def call():
        model = trainer([4, 5, 3], loss="cross_entropy", optimizer=optimizer, seed=0)
        return [model.fit(X, LABELS, epochs=2, batch_size=8)["loss"], model.get_weights()]

    unchanged(call)


def custom(outputs, y):
    difference = outputs - y
    return np.abs(difference).sum(axis=1), np.sign(difference)


def hit(true, predicted):
    return float((true == predicted).mean())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fit_with_all_there_is(unchanged, tmp_path, dtype):
    def call():
        model = steep(
            bpkern.MLP, "cross_entropy", dtype, l1=1e-300, l2=1e-300, dropout=0.2, label_smoothing=1e-300
        )
        (tmp_path / "fit.npz").unlink(missing_ok=True)
        settings = dict(
            validation_split=0.25,
            sample_weight=WEIGHTS,
            class_weight={0: 1e-300, 1: 1e300},
            metrics=["accuracy", "f1", "precision", "recall", hit],
            clip_norm=1e-300,
            clip_value=1.0,
            accumulate=2,
            ema=1e-300,
            checkpoint=tmp_path / "fit.npz",
            resume=True,
            callbacks=[bpkern.callbacks.EarlyStopping(), bpkern.callbacks.CSVLogger(tmp_path / "log.csv")],
        )
        histories = [model.fit(X, LABELS, epochs=epochs, **settings) for epochs in (2, 4)]
        loaded = bpkern.MLP.load(tmp_path / "fit.npz")
        return [histories, [each.get_weights() for each in (model, loaded, loaded.copy())]]

    unchanged(call)


def test_streams_splits_and_many(unchanged):
    def call():
        batches = [(X[:20], LABELS[:20], WEIGHTS[:20]), (X[20:], LABELS[20:], WEIGHTS[20:])]
        models = [steep(bpkern.MLP, "cross_entropy", seed=seed) for seed in range(3)]
        models[0].fit(batches, epochs=2, class_weight={0: 1e-300, 2: 3.0}, metrics="f1")
        splits = [(np.arange(30), np.arange(30, 40))] * 3
        histories = bpkern.fit_many(models, X, LABELS, splits=splits, class_weight="balanced", n_threads=1)
        return [histories, [model.get_weights() for model in models]]

    unchanged(call)


@pytest.mark.parametrize("metrics", [["mae", "mse", "rmse", "r2"]])
@pytest.mark.parametrize(
    "loss", ["mse", "poisson", losses.Huber(1e-30), losses.Quantile([0.1, 0.5, 0.9]), custom]
)
def test_metrics_of_values(unchanged, loss, metrics):
    def call():
        model = steep(bpkern.MLP, loss if loss != "poisson" else "poisson", "float64", l1=1e-300)
        history = model.fit(
            X, VALUES, epochs=2, metrics=metrics, sample_weight=WEIGHTS, validation_data=(X, VALUES)
        )
        return [
            history,
            model.evaluate(X, SMALLER, metrics=metrics, sample_weight=WEIGHTS),
            model.gradients(X, VALUES),
        ]

    unchanged(call)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_by_hand_and_weights(unchanged, dtype):
    def call():
        model, other = steep(bpkern.MLP, "mse", dtype, l2=1e-300), steep(bpkern.MLP, "mse", dtype, seed=1)
        model.forward(X, train=True)
        gradient = model.backward(SMALLER)
        model.step(clip_norm=1e-300)
        model.polyak_update(other, 1e-300)
        tiny = [(np.full(w.shape, 1e-310), np.full(b.shape, 1e-41)) for w, b in model.get_weights()]
        other.set_weights(tiny)
        other.load_state_dict(model.state_dict())
        made = bpkern.MLP([4, 6, 3], loss="mse", dtype=dtype, init=tiny)
        made.reset()
        again = pickle.loads(pickle.dumps(model))
        texts = [str(model.summary(batch_size=3)), repr(model)]
        return [
            gradient,
            model.forward(X, layer=0),
            texts,
            *(m.get_weights() for m in (model, other, made, again)),
        ]

    unchanged(call)


@pytest.mark.parametrize("module", [kernels, reference], ids=["kernels", "reference"])
def test_kernels(unchanged, module):
    x, w, b = X.copy(), np.ascontiguousarray(VALUES[:5, :].repeat(2, 1)[:, :4]), np.full(5, 1e-310)

    def call():
        results = []
        for activation in ACTIVATIONS:
            a = module.linear_forward(x, w, b, activation)
            z = (
                module.linear_forward(x, w, b)
                if activation in ("gelu", "gelu_tanh", "silu", "mish")
                else None
            )
            delta = module.delta_backward(
                np.full((ROWS, 2), 1e-200), np.full((2, 5), 1e-200), a, activation, z=z
            )
            results += [a, delta]
        wide, bias = w.copy(), b.copy()
        module.sgd_update(wide, bias, np.full((ROWS, 5), 1e-200), x, 1e-200)
        return [*results, wide, bias]

    unchanged(call)


def test_estimators(unchanged):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from bpkern.sklearn import MLPClassifier, MLPRegressor

    def call():
        results = []
        for settings in (
            {},
            {"class_weight": {0: 1e-30, 1: 3.0}},
            {"activation": "tanh", "dtype": "float32"},
        ):
            classifier = MLPClassifier((6,), random_state=0, **settings)
            with np.errstate(all="ignore"):  # scikit-learn has arithmetic of its own in `fit`
                classifier.partial_fit(X, LABELS, classes=[0, 1, 2])
            classifier.coefs_[-1] *= 300
            results += [classifier.predict_proba(X), classifier.predict_log_proba(X), classifier.predict(X)]
        regressor = MLPRegressor(hidden_layer_sizes=(6,), random_state=0)
        with np.errstate(all="ignore"):
            regressor.partial_fit(X, VALUES[:, 0])
        return [*results, regressor.predict(X)]

    unchanged(call)


def test_users_functions_have_their_own_settings():
    """A loss or a metric of the user's still raises, if that is what the user has asked for."""

    def overflowing(true, predicted):
        return float(np.exp(predicted * 0 + 1e4).sum())

    model = bpkern.MLP([4, 3], loss="mse", seed=0)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="overflow"):
        model.evaluate(X, VALUES, metrics=overflowing)

    def loss(outputs, y):
        return np.exp(outputs * 0 + 1e4).sum(axis=1), outputs

    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="overflow"):
        bpkern.MLP([4, 3], loss=loss, seed=0).fit(X, VALUES)


def test_weights_of_longer_floats(unchanged):
    """Some are too small for float64."""
    weights = np.where(np.arange(ROWS) % 2, np.longdouble("1e-330"), np.longdouble(1))
    unchanged(lambda: steep(bpkern.MLP, "mse").fit(X, VALUES, sample_weight=weights)["loss"])
