"""The calls that `interrupts.py` interrupts: endless ones, each with a check of the state it leaves."""

import math
import time
import warnings
from pathlib import Path

import numpy as np

import bpkern
from bpkern._model.core import core_of

# More epochs than any trial lasts.
ENDLESS = 10**9

# Rows in an epoch.
LONG = 6_000_000


def layers_of(model):
    """Everything that training changes, as bytes by store. States that are all zero count as absent."""
    net = core_of(model).net
    stores = {
        store: b"".join(array.tobytes() for pair in net.get_layers(store) for array in pair)
        for store in net.stores()
    }
    return {store: values for store, values in stores.items() if any(values)}


def compare(model, twin):
    """The differences between a model and a twin that has made the same steps."""
    if layers_of(model) != layers_of(twin):
        return [f"after {core_of(model).net.counts} updates and batches it is not what these steps make"]
    return []


class FitOfRows:
    """A fit of rows in memory."""

    def __init__(self, make, X, y, **given):
        self.make, self.X, self.y, self.given = make, X, y, given
        self.model = make()

    @property
    def models(self):
        return [self.model]

    def run(self):
        self.model.fit(self.X, self.y, epochs=ENDLESS, verbose=0, **self.given)

    def wrong(self):
        return replayed(self.model, self.make(), self.X, self.y, self.given)

    def step(self):
        """The seconds that a step takes."""
        batch = self.given.get("batch_size", 32)
        x, y = self.X[:batch], self.y[:batch]
        seconds = []
        for _ in range(3):
            began = time.monotonic()
            self.model.train_on_batch(x, y)
            seconds.append(time.monotonic() - began)
        return max(seconds)

    def use(self):
        self.model.fit(self.X[:200], self.y[:200], verbose=0)


def replayed(model, twin, X, y, given):
    """The twin makes the steps that the model reports."""
    given = {name: value for name, value in given.items() if name not in ("validation_data", "callbacks")}
    train = np.arange(X.shape[0])
    if "validation_split" in given:
        # A second request gives the same split.
        train = core_of(twin).random.split(len(train), given["validation_split"], None)[0]
    given |= {"n_threads": 1, "verbose": 0}
    if core_of(model).net.counts == (0, 0):
        return compare(model, twin)
    accumulate = given.get("accumulate", 1)
    epochs, rest = divmod(core_of(model).net.counts[1], math.ceil(len(train) / given["batch_size"]))
    history = model.history_
    told = 0 if history is None else len(history.get("loss", []))
    if history is None or told not in (epochs, epochs - (rest == 0)):
        return [f"{told} epochs in the history, and {epochs} in the model"]
    twin.fit(X, y, epochs=epochs, **given)
    rest -= rest % accumulate  # pending gradients are dropped
    if rest:
        order = train[core_of(twin).random.permutation(len(train))][: rest * given["batch_size"]]
        given = given | {"shuffle": False, "validation_split": 0.0}
        bpkern.fit_many([twin], X, y, splits=[(order, None)], **given)
    return compare(model, twin)


class FitOfStream(FitOfRows):
    """A fit on a stream of batches."""

    def __init__(self, make, batches):
        super().__init__(make, *batches[0])
        self.batches = batches

    def run(self):
        self.model.fit(self.batches, epochs=ENDLESS, verbose=0)

    def wrong(self):
        twin = self.make()
        epochs, rest = divmod(core_of(self.model).net.counts[1], len(self.batches))
        if epochs:
            twin.fit(self.batches, epochs=epochs, verbose=0)
        if rest:
            twin.fit(self.batches[:rest], verbose=0)
        return compare(self.model, twin)


class FitOfMany(FitOfRows):
    """`fit_many`."""

    def __init__(self, makes, X, y, **given):
        super().__init__(makes[0], X, y, **given)
        self.makes = makes
        self.all = [self.model, *(make() for make in makes[1:])]

    @property
    def models(self):
        return self.all

    def run(self):
        bpkern.fit_many(self.all, self.X, self.y, epochs=ENDLESS, n_threads=2, verbose=0, **self.given)

    def wrong(self):
        pairs = zip(self.makes, self.all, strict=True)
        return [each for make, m in pairs for each in replayed(m, make(), self.X, self.y, self.given)]


class Steps(FitOfRows):
    """Single steps in a Python loop."""

    def one(self, model, number):
        rows = slice(number * 7 % 500, number * 7 % 500 + 32)
        model.train_on_batch(self.X[rows], self.y[rows])

    def run(self):
        for number in range(ENDLESS):
            self.one(self.model, number)

    def wrong(self):
        twin = self.make()
        for number in range(core_of(self.model).net.counts[0]):
            self.one(twin, number)
        return compare(self.model, twin)


class StepsByHand(Steps):
    """Forward, backward and step in a Python loop."""

    def one(self, model, number):
        rows = slice(number * 7 % 500, number * 7 % 500 + 32)
        outputs = model.forward(self.X[rows], train=True)
        model.backward((outputs - self.y[rows]) / 32, input_gradient=False)
        model.step()


class Reading(FitOfRows):
    """One or many passes without training, which change nothing."""

    def __init__(self, make, X, y, name):
        super().__init__(make, X, y)
        self.name, self.before = name, layers_of(self.model)

    def run(self):
        while True:
            if self.name == "evaluate":
                self.model.evaluate(self.X, self.y)
            else:
                self.model.predict(self.X)

    def wrong(self):
        return [] if layers_of(self.model) == self.before else ["the model has changed"]


class Estimator:
    """A scikit-learn estimator, which warns that it was interrupted."""

    models = ()

    def __init__(self, X, y, **settings):
        from bpkern.sklearn import MLPClassifier

        self.X, self.y = X, y
        self.estimator = MLPClassifier([30], max_iter=ENDLESS, tol=0.0, n_iter_no_change=ENDLESS, **settings)

    def run(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.estimator.fit(self.X, self.y)
        if any("interrupted by user" in str(each.message) for each in caught):
            raise KeyboardInterrupt

    def wrong(self):
        # A fit interrupted before its first step leaves an unfitted estimator.
        coefs = getattr(self.estimator, "coefs_", [])
        return [] if all(np.isfinite(coef).all() for coef in coefs) else ["not finite"]

    def step(self):
        return 0.0

    def use(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # two iterations are too few
            self.estimator.set_params(max_iter=2).fit(self.X[:200], self.y[:200])
        self.estimator.predict(self.X)


class EachBatch(bpkern.callbacks.Callback):
    """Runs Python code after each step."""

    def on_batch_end(self, model, batch, logs):
        sum(range(2000))


def own_loss(outputs, y):
    return ((outputs - y) ** 2).sum(axis=1), 2 * (outputs - y)


def cases():
    """The endless calls: for each name, a function that makes one from a seed."""
    rng, windows = np.random.default_rng(0), np.lib.stride_tricks.sliding_window_view
    # An epoch of so many rows takes seconds; neighbouring rows share memory, all numbers except one.
    X = windows(rng.standard_normal(LONG + 19).astype(np.float32), 20)
    Y, labels = windows(rng.standard_normal(LONG + 2), 3), rng.integers(0, 3, LONG)
    few = X[:20_000], Y[:20_000]
    spread, spread_y = rng.standard_normal((2048, 256)).astype(np.float32), rng.standard_normal((2048, 4))
    many, many_y = (np.lib.stride_tricks.as_strided(a, (1 << 40, a.shape[1]), (0, a.itemsize)) for a in few)
    column, column_y = X[:6_000_000, :1], Y[:6_000_000, :1]

    def net(*layers, **made):
        made = {"loss": "mse", "optimizer": bpkern.SGD(1e-3, 0.9), **made}
        return lambda seed: lambda: bpkern.MLP(layers, seed=seed, **made)

    def fit(make, x, y, **given):
        return lambda seed: FitOfRows(make(seed), x, y, **given)

    small, adam = net(20, 16, 3), {"optimizer": bpkern.Adam(1e-3)}
    dropping = net(20, 40, 30, 3, dropout=0.3, l2=1e-4, **adam)
    classes = net(20, 30, 3, loss="cross_entropy", activation="tanh", **adam)
    batches = [(X[i * 150 : (i + 1) * 150 - i], Y[i * 150 : (i + 1) * 150 - i]) for i in range(8)]

    def sparse(seed):
        import scipy.sparse

        x = scipy.sparse.random_array((20_000, 20), density=0.1, format="csr", dtype=np.float32, rng=1)
        return FitOfRows(small(seed), x, Y[:20_000], batch_size=32, n_threads=2)

    return {
        "small": fit(small, X, Y, batch_size=32),
        "two threads": fit(net(20, 60, 50, 3), X, Y, batch_size=64, n_threads=2),
        "one row a batch": fit(net(20, 8, 3), X, Y, batch_size=1),
        "wide": fit(net(256, 2048, 2048, 4), spread, spread_y, batch_size=256),
        "a long step": fit(net(256, 2048, 2048, 4), spread, spread_y, batch_size=2048),
        "clipped, accumulated": fit(
            net(20, 30, 3, **adam), X, Y, batch_size=50, clip_norm=0.5, accumulate=3, n_threads=2
        ),
        "dropout, split": fit(
            dropping, X[:400_000], Y[:400_000], batch_size=32, validation_split=0.3, n_threads=2
        ),
        "average": fit(classes, X, labels, batch_size=300, ema=0.99, clip_value=0.1),
        "sparse": sparse,
        "short epochs": fit(small, *few, batch_size=32),
        "stream": lambda seed: FitOfStream(small(seed), batches),
        "validation": fit(small, X[:999], Y[:999], batch_size=32, validation_data=(many, many_y)),
        "shuffle": fit(net(1, 1), column, column_y, batch_size=4096),
        "own loss": fit(net(20, 30, 3, loss=own_loss), X, Y, batch_size=256),
        "each batch": fit(small, X, Y, batch_size=32, callbacks=EachBatch()),
        "train_on_batch": lambda seed: Steps(classes(seed), X, labels),
        "backward": lambda seed: StepsByHand(net(20, 30, 3, **adam)(seed), X, Y),
        "evaluate": lambda seed: Reading(small(seed), many, many_y, "evaluate"),
        "predict": lambda seed: Reading(small(seed), many[:3_000_000], many_y[:3_000_000], "predict"),
        "fit_many": lambda seed: FitOfMany([small(seed + i) for i in range(4)], X, Y, batch_size=32),
        "estimator": lambda seed: Estimator(X[:200_000], labels[:200_000], random_state=seed),
        "L-BFGS": lambda seed: Estimator(
            few[0], labels[:20_000], random_state=seed, solver="lbfgs", max_fun=ENDLESS
        ),
    }


class Files:
    """Saves over one file, and loads it: the file is whole, old or new, and no other file is left."""

    def __init__(self, seed, folder, suffix, action):
        self.model = bpkern.MLP([20, 300, 3], loss="mse", optimizer=bpkern.Adam(), seed=seed)
        self.model.fit(np.ones((40, 20)), np.ones((40, 3)))
        self.path, self.action = Path(folder) / f"model{suffix}", action
        self.model.save(self.path)
        self.before = layers_of(self.model)

    models = property(lambda self: [self.model])

    def run(self):
        while True:
            if self.action == "save":
                self.model.save(self.path)
            else:
                bpkern.MLP.load(self.path)

    def wrong(self):
        found = sorted(path.name for path in self.path.parent.iterdir())
        wrong = [] if found == [self.path.name] else [f"{found} in the folder"]
        if layers_of(bpkern.MLP.load(self.path)) != self.before:
            wrong.append("another model in the file")
        for path in self.path.parent.iterdir():
            path.unlink()
        return wrong

    def step(self):
        return 0.0

    def use(self):
        self.model.fit(np.ones((40, 20)), np.ones((40, 3)))


class Calls(Files):
    """Repeats one call, of which only a usable model must be left."""

    def __init__(self, seed, call):
        self.model = bpkern.MLP([20, 100, 3], loss="mse", optimizer=bpkern.Adam(), seed=seed)
        self.model.fit(np.ones((40, 20)), np.ones((40, 3)))
        self.call = call

    def run(self):
        while True:
            self.call(self.model)

    def wrong(self):
        return []


def elsewhere_cases(folder):
    """The calls that are repeated because they end by themselves."""
    weights = bpkern.MLP([20, 100, 3], loss="mse", seed=9).get_weights()

    class Long(bpkern.callbacks.Callback):
        def on_epoch_end(self, model, epoch, logs):
            time.sleep(0.01)
            sum(range(100_000))

    def construct(model):
        bpkern.MLP([300, 300, 300, 3], loss="cross_entropy", dropout=0.1, init="orthogonal", seed=1)

    def in_callback(seed):
        rng = np.random.default_rng(0)
        X, Y = rng.standard_normal((300, 20)), rng.standard_normal((300, 3))
        made = {"loss": "mse", "optimizer": bpkern.Adam(1e-3), "seed": seed}
        make = lambda: bpkern.MLP([20, 16, 3], **made)  # noqa: E731
        return FitOfRows(make, X, Y, batch_size=32, callbacks=Long())

    return {
        "save": lambda seed: Files(seed, folder, ".npz", "save"),
        "load": lambda seed: Files(seed, folder, ".npz", "load"),
        "construct": lambda seed: Calls(seed, construct),
        "callback": in_callback,
        "set_weights": lambda seed: Calls(seed, lambda model: model.set_weights(weights)),
        "get_weights": lambda seed: Calls(seed, lambda model: model.get_weights()),
        "reset": lambda seed: Calls(seed, lambda model: model.reset()),
        "copy": lambda seed: Calls(seed, lambda model: model.copy()),
    }
