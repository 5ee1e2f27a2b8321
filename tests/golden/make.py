"""Write the golden files: models in each version of the file format, which all later versions read.

python tests/golden/make.py

writes v<format>_<name>.npz and .safetensors, and v<format>_predictions.npz with the models' parameters,
predictions and losses of one more epoch, for the versions that have no files yet. test_golden.py reads them.
"""

from pathlib import Path

import numpy as np

import bpkern
from bpkern import callbacks, inputs, losses, schedules

FOLDER = Path(__file__).resolve().parent

# Multiples of 1/16 and 1/64: exact on every processor.
X = (np.arange(60).reshape(12, 5) * 37 % 64 - 32) / 16
CLASSES = np.arange(12) * 7 % 3
VALUES = (np.arange(36).reshape(12, 3) * 29 % 64) / 64


def classes() -> bpkern.MLP:
    """A trained classifier with label smoothing, metrics of classes and an average of the parameters."""
    model = bpkern.MLP(
        [5, 7, 6, 3],
        activation=["gelu", "tanh"],
        init=["he_uniform", "glorot_uniform", "glorot_uniform"],  # "auto" in version 0.1
        loss="cross_entropy",
        optimizer=bpkern.Adam(lr=schedules.Cosine(0.02, 30, warmup=3, restarts=2), amsgrad=True),
        dropout=[0.25, 0.5],
        l1=1e-4,
        l2=1e-3,
        label_smoothing=0.1,
        seed=5,
    )
    model.fit(
        X,
        CLASSES,
        epochs=3,
        batch_size=5,
        ema=0.9,
        validation_split=0.25,
        metrics=["accuracy", "f1"],
        verbose=0,
    )
    return model


def values() -> bpkern.MLP:
    """A trained float64 model: the other activations, a loss with parameters and another bit generator."""
    model = bpkern.MLP(
        [5, 4, 4, 4, 4, 4, 4, 4, 3],
        activation=["relu", "leaky_relu", "sigmoid", "elu", "softplus", "gelu_tanh", "silu"],
        output_activation="identity",
        loss=losses.Huber([0.25, 0.5, 1.0]),
        optimizer=bpkern.RMSprop(lr=0.01, centered=True, weight_decay=1e-3),
        dtype="float64",
        init="orthogonal",
        seed=np.random.Generator(np.random.Philox(9)),
    )
    model.fit(X, VALUES, epochs=2, batch_size=4, verbose=0)
    return model


def untrained() -> bpkern.MLP:
    """The model of the checkpoint, with arrays as initial weights."""
    weights = [(np.full((2, 5), 0.25), np.zeros(2)), (np.full((1, 2), -0.5), np.ones(1))]
    return bpkern.MLP(
        [5, 2, 1],
        loss="binary_cross_entropy",
        optimizer=bpkern.SGD(lr=0.125, momentum=0.9, nesterov=True),
        init=weights,
        seed=1,
    )


def fit_with(path: Path, epochs: int) -> bpkern.MLP:
    """Fit until `epochs` epochs are done in all, from the checkpoint if it exists, and write a checkpoint."""
    model = untrained()
    plateau = [callbacks.EarlyStopping("loss", patience=7), callbacks.ReduceLROnPlateau("loss", patience=3)]
    model.fit(X, VALUES[:, 0], epochs=epochs, callbacks=plateau, checkpoint=path, resume=True, verbose=0)
    return model


def groups() -> bpkern.MLP:
    """A trained model with a frozen layer, factors, layers without biases, and dropout of its inputs."""
    model = bpkern.MLP(
        [5, 6, 4, 3],
        activation="tanh",
        loss="mse",
        optimizer=bpkern.AdamW(lr=0.01),
        bias=[True, False, True],
        input_dropout=0.25,
        seed=2,
    )
    model.freeze(0, biases=False)
    model.set_factors(-1, lr=0.5, weight_decay=2.0)
    model.fit(X, VALUES, epochs=2, batch_size=4, verbose=0)
    return model


def embedded() -> bpkern.MLP:
    """A trained model with inputs of two kinds."""
    stage = [inputs.NumericEmbedding([0, 3], hidden=4, dim=2), inputs.Scale(lr_factor=2.0)]
    settings = {"loss": "cross_entropy", "optimizer": bpkern.SGD(0.05, momentum=0.9), "seed": 3}
    model = bpkern.MLP([5, 4, 3], inputs=stage, **settings)
    model.fit(X, CLASSES, epochs=2, batch_size=4, verbose=0)
    return model


# The names of each version's files.
NAMES = {1: ("classes", "values", "checkpoint"), 2: ("groups", "embedded")}

MODELS = {"classes": classes, "values": values, "groups": groups, "embedded": embedded}

TARGETS = {
    "classes": CLASSES,
    "values": VALUES,
    "checkpoint": VALUES[:, 0],
    "groups": VALUES,
    "embedded": CLASSES,
}


def write(version: int) -> None:
    """Write the files of a version of the format."""
    recorded = {}
    for name in NAMES[version]:
        y = TARGETS[name]
        for suffix in (".npz", ".safetensors"):
            path = FOLDER / f"v{version}_{name}{suffix}"
            if name == "checkpoint":
                fit_with(path, epochs=2)
            else:
                MODELS[name]().save(path)
        model = bpkern.MLP.load(path)
        recorded[f"{name}.forward"] = model.forward(X)
        recorded[f"{name}.predict"] = model.predict(X)
        recorded |= {f"{name}.{key}": array for key, array in model.state_dict().items()}
        # One more epoch: its loss depends on the optimiser's states, dropout and the order of the rows.
        recorded[f"{name}.loss"] = np.array(model.fit(X, y, batch_size=4, verbose=0)["loss"])
    np.savez_compressed(FOLDER / f"v{version}_predictions.npz", **recorded)


if __name__ == "__main__":
    for version in NAMES:
        if not list(FOLDER.glob(f"v{version}_*")):
            write(version)
