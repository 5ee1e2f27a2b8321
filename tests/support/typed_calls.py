"""A script of a user with every public call, for ``mypy --strict``; test_types.py runs it.

`[tool.mypy]` in pyproject.toml lists it among the files to check.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bpkern
from bpkern import (
    activations,
    c_api,
    callbacks,
    distributed,
    export,
    graph,
    kernels,
    losses,
    preprocessing,
    reference,
    schedules,
)

Array = NDArray[np.float32]


class Halve(callbacks.Callback):
    """A callback of the user."""

    def on_epoch_end(self, model: bpkern.MLP, epoch: int, logs: Mapping[str, float]) -> None:
        if epoch == 0 and logs["loss"] > 0 and not callable(model.optimizer.lr):
            model.optimizer.lr /= 2


def own_loss(outputs: Array, y: Array) -> tuple[Array, Array]:
    """Half the squared error of each row, and its gradient."""
    difference = outputs - y
    return 0.5 * (difference**2).sum(axis=1), difference


def own_metric(y: Array, predicted: Array) -> float:
    """The largest error."""
    return float(np.abs(y - predicted).max())


def batches(X: Array, y: NDArray[np.int64]) -> Iterator[tuple[Array, NDArray[np.int64]]]:
    """Mini-batches of ten rows."""
    for start in range(0, len(X), 10):
        yield X[start : start + 10], y[start : start + 10]


def train(folder: Path) -> bpkern.MLP:
    """Models, fits, callbacks and files."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 4)).astype(np.float32)
    y = rng.integers(0, 3, 40)
    values = X[:, :2].copy()
    model = bpkern.MLP(
        [4, 8, 3],
        activation=[activations.ELU(1.5)],
        output_activation="identity",
        loss="cross_entropy",
        optimizer="adam",
        dtype=np.float32,
        init=["he_normal", ("orthogonal", 0.5)],
        l2=1e-4,
        dropout=[0.1],
        l1=0.0,
        label_smoothing=0.1,
        seed=0,
    )
    history: bpkern.History = model.fit(
        X,
        y,
        epochs=2,
        batch_size=8,
        validation_split=0.2,
        class_weight={0: 2.0},
        metrics=["accuracy", "f1"],
        callbacks=[
            Halve(),
            callbacks.EarlyStopping("val_loss", patience=3, min_delta=0.0, mode="min"),
            callbacks.ReduceLROnPlateau(factor=0.5, patience=2, cooldown=1, min_lr=1e-5),
            callbacks.ModelCheckpoint(folder / "net-{epoch}.npz", save_best_only=False, every=1),
            callbacks.CSVLogger(folder / "log.csv", append=False, separator=";"),
        ],
        clip_norm=1.0,
        clip_value=0.5,
        accumulate=2,
        ema=0.9,
        checkpoint=folder / "fit.npz",
        checkpoint_every=1,
        resume=False,
        verbose=False,
        n_threads=1,
    )
    curve: list[float] = history["val_loss"]
    reason: str | None = history.stop_reason
    best: int | None = history.best_epoch
    assert (len(curve), reason, best, history.iterations > 0, len(history.lr)) == (2, None, 1, True, 2)
    model.fit(batches(X, y), epochs=1, verbose=0)
    model.fit(X, y, sample_weight=np.ones(40), validation_data=(X, y), class_weight="balanced", shuffle=False)
    bpkern.MLP([4, 2], loss=own_loss, init="auto").fit(X, values, metrics=own_metric, callbacks=Halve())
    model.optimizer = bpkern.NAdam(lr=0.01, momentum_decay=4e-3)
    model.optimizer = bpkern.AdamW(lr=schedules.Cosine(0.01, 100, lowest=1e-4, warmup=5), betas=(0.9, 0.99))
    model.optimizer = "sgd"
    model.save(folder / "net.npz")
    loaded: bpkern.MLP = bpkern.MLP.load(str(folder / "net.npz"), optimizer=bpkern.RMSprop(alpha=0.9))
    histories: list[bpkern.History] = bpkern.fit_many(
        [loaded, model.copy()], X, y, each=[{"epochs": 1}, {"epochs": 2}], n_threads=1, verbose="auto"
    )
    assert [len(each.lr) for each in histories] == [1, 2]
    return model


def use(model: bpkern.MLP) -> None:
    """Predictions, weights and steps by hand."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(6, 4)).astype(np.float32), np.array([0, 1, 2, 0, 1, 2])
    classes: NDArray[Any] = model.predict(X)
    probabilities: NDArray[Any] = model.predict_proba(X)
    hidden: NDArray[Any] = model.forward(X, layer=0)
    outputs: NDArray[Any] = model(X)
    assert model.forward(X, out=np.empty((6, 3), np.float32)).shape == outputs.shape == probabilities.shape
    assert (classes.shape, hidden.shape) == ((6,), (6, 8))
    scores: dict[str, float] = model.evaluate(X, y, sample_weight=None, metrics="precision")
    rows: NDArray[Any] = model.losses(X, y)
    loss: float = model.train_on_batch(X, y, sample_weight=np.ones(6))
    loss, gradients = model.gradients(X, y)
    model.apply_gradients(gradients, clip_norm=1.0)
    assert (rows.shape, sorted(scores), loss > 0) == ((6,), ["loss", "precision"], True)
    model.forward(X, train=True)
    by_inputs = model.backward(np.ones((6, 3), np.float32), input_gradient=True)
    assert by_inputs is not None
    model.step(clip_value=0.1)
    weights: list[tuple[np.ndarray, np.ndarray]] = model.get_weights()
    model.set_weights(weights)
    model.load_state_dict(model.state_dict())
    other = model.copy()
    other.polyak_update(model, tau=0.5)
    small: bpkern.MLP = model.compress("bfloat16")
    sizes: list[int] = model.layers
    assert (small.compressed, sizes, model.loss, model.dtype.name) == (
        "bfloat16",
        [4, 8, 3],
        "cross_entropy",
        "float32",
    )
    text: str = str(model.summary(batch_size=32))
    explained: str = str(model.trace(X, y, steps=2).explain("layers[1].W[0, 0]"))
    assert text
    assert explained
    model.reset()


def exchange(model: bpkern.MLP, path: str) -> bpkern.MLP:
    """Calls that need other libraries, for mypy alone."""
    sequential = export.to_torch(model)
    export.to_onnx(model, path)
    return bpkern.MLP.from_torch(sequential, loss="mse") or bpkern.MLP.from_onnx(path, loss="mse")


def groups_of(model: bpkern.MLP, X: Array) -> list[dict[str, Any]]:
    """Freezing and factors."""
    activations.LeakyReLU(slope=0.2)
    model.initialize(np.zeros((9, 3), np.float32))
    model.freeze([0, -1], weights=False)
    model.unfreeze(0)
    model.set_factors(0, lr=0.1, weight_decay=0.0, biases=False)
    model.set_ntk_factors(bias_scale=0.1)
    return model.parameter_groups


def rows_of_rank(comm: Any) -> Array:
    """The rows of one rank."""
    own = distributed.own_rows(100, comm, 4)
    return np.zeros((100, 3), np.float32)[own]


def other_parts() -> None:
    """Optimisers, schedules, losses, kernels, the reference, graphs and settings."""
    optimizers: list[bpkern.SGD | bpkern.RMSprop | bpkern.Adagrad | bpkern.Adam] = [
        bpkern.SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
        bpkern.RMSprop(lr=schedules.Step(0.1, every=10, factor=0.5), centered=True),
        bpkern.Adagrad(lr=schedules.Exponential(0.1, factor=0.9), lr_decay=0.1),
        bpkern.Adam(lr=schedules.OneCycle(0.1, iterations=100), amsgrad=True),
        bpkern.AdamW(lr=lambda iteration: 0.1 / (1 + iteration)),
    ]
    assert all(each.settings() for each in optimizers)
    for loss in (losses.Huber(delta=2.0), losses.Quantile(q=[0.1, 0.9]), "poisson"):
        bpkern.MLP([2, 2], loss=loss)
    x, w, b = np.ones((3, 2), np.float32), np.ones((4, 2), np.float32), np.zeros(4, np.float32)
    a: np.ndarray = kernels.linear_forward(x, w, b, "tanh")
    delta: np.ndarray = kernels.delta_backward(np.ones((3, 4), np.float32), w, x, "identity")
    kernels.sgd_update(w, b, a, x, 0.1, momentum=0.9, vw=np.zeros_like(w), vb=np.zeros_like(b))
    assert delta.shape == x.shape
    slow = reference.MLP([2, 1], loss="mse", seed=0)
    slow.fit(x, x[:, 0], epochs=1, verbose=0)
    slow.set_weights(slow.get_weights())
    assert slow.forward(x).shape == (3, 1)
    assert reference.linear_forward(x, w, b, "tanh").shape == a.shape
    table = {"size": [1.0, 2.0, 4.0], "colour": ["red", "blue", "red"]}
    encoder = preprocessing.TableEncoder(scaling="standard", categorical=("colour",), max_one_hot=8)
    encoded: np.ndarray = encoder.fit(table).transform(table)
    whole = preprocessing.TableModel(encoder, bpkern.MLP([encoded.shape[1], 1], loss="mse"), target="price")
    print(whole.predict(table), encoder.get_feature_names_out(), encoder.codes_)
    node = graph.Node(2.0) * graph.Node(3.0)
    assert float(node.value) == 6.0
    bpkern.set_num_threads(bpkern.get_num_threads())
    bpkern.set_num_threads(None)
    names: tuple[str, ...] = bpkern.available_isas()
    assert bpkern.isa() in names
    assert bpkern.__version__
    assert bpkern.get_include() == c_api.get_include()
    assert bpkern.show_config(mode="dicts")
    error = bpkern.DivergedError("the loss is no longer finite", epoch=0, iteration=3)
    assert error.epoch < error.iteration
