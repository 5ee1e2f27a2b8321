"""Ctrl-C at random moments, from another process: what it takes to be answered, and what it leaves behind.

A child makes one endless call after another; the parent sends SIGINT into each and the child says when
KeyboardInterrupt reached it, by the clock that both share. Then it looks at what is left: the steps that the
model says it has made are made once more by a twin, which must come to the same bits.
"""

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from operator import add
from pathlib import Path

import numpy as np
from journal import Journal, Missing, attack, main

import bpkern
from bpkern import _core
from bpkern.steps import Watcher, make_steps

# Ctrl-C answers within this, in seconds, or by the end of the step under way.
LIMIT = 0.2

# A child that says nothing for so long is stuck, in seconds.
PATIENCE = 60.0

# Endless: more epochs than any trial lasts.
ENDLESS = 10**9


# Endless calls, in the child --------------------------------------------------------------------------------


def layers_of(model):
    """All that training changes, as bytes by store. States that are all zero may have been made or not."""
    net = model._net
    stores = {
        store: b"".join(array.tobytes() for pair in net.get_layers(store) for array in pair)
        for store in net.stores()
    }
    return {store: values for store, values in stores.items() if any(values)}


def compare(model, twin):
    """What is wrong with a model whose steps a twin has made, too."""
    if layers_of(model) != layers_of(twin):
        return [f"after {model._net.counts} updates and batches it is not what these steps make"]
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
        """The seconds of a step."""
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
    """The twin makes the steps that the model says it has made."""
    given = {name: value for name, value in given.items() if name not in ("validation_data", "callbacks")}
    train = np.arange(X.shape[0])
    if "validation_split" in given:
        # The split is drawn before the first order of the rows, and is no other where it is asked for twice.
        train = twin._random.split(len(train), given.pop("validation_split"), None)[0]
    batch, accumulate = given["batch_size"], given.get("accumulate", 1)
    epochs, rest = divmod(model._net.counts[1], math.ceil(len(train) / batch))
    history = model.history_
    told = 0 if history is None else len(history.get("loss", []))
    if history is not None and told not in (epochs, epochs - (rest == 0)):
        return [f"{told} epochs in the history, and {epochs} in the model"]
    if history is None and model._net.counts[0]:
        return ["updates, and no history"]
    twin.fit(X[train], y[train], epochs=epochs, verbose=0, **given)
    rest -= rest % accumulate  # those that were pending are dropped
    if rest:
        order = train[twin._random.permutation(len(train))][: rest * batch]
        twin.fit(X[order], y[order], shuffle=False, verbose=0, **given)
    return compare(model, twin)


class FitOfStream(FitOfRows):
    """A fit of batches that come one by one."""

    def __init__(self, make, batches):
        super().__init__(make, *batches[0])
        self.batches = batches

    def run(self):
        self.model.fit(self.batches, epochs=ENDLESS, verbose=0)

    def wrong(self):
        twin = self.make()
        epochs, rest = divmod(self.model._net.counts[1], len(self.batches))
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
        for number in range(self.model._net.counts[0]):
            self.one(twin, number)
        return compare(self.model, twin)


class StepsByHand(Steps):
    """Forward, backward and update in a Python loop."""

    def one(self, model, number):
        rows = slice(number * 7 % 500, number * 7 % 500 + 32)
        outputs = model.forward(self.X[rows], train=True)
        model.backward((outputs - self.y[rows]) / 32, input_gradient=False)
        model.step()


class Reading(FitOfRows):
    """A pass without training, or many: it changes nothing."""

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
        return [] if layers_of(self.model) == self.before else ["it has changed"]


class Estimator:
    """An estimator of scikit-learn's: it says that it was interrupted, as those do."""

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
        # A fit that stops before its first step leaves what was not fitted.
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
    """Python after each step."""

    def on_batch_end(self, model, batch, logs):
        sum(range(2000))


def own_loss(outputs, y):
    return ((outputs - y) ** 2).sum(axis=1), 2 * (outputs - y)


def cases():
    """The endless calls by name, each made anew from a seed."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((20_000, 20)).astype(np.float32), rng.standard_normal((20_000, 3))
    labels = rng.integers(0, 3, 20_000)
    spread, spread_y = rng.standard_normal((2048, 256)).astype(np.float32), rng.standard_normal((2048, 4))
    same = np.lib.stride_tricks.as_strided

    def net(*layers, **made):
        made = {"loss": "mse", "optimizer": bpkern.SGD(1e-3, 0.9), **made}
        return lambda seed: lambda: bpkern.MLP(layers, seed=seed, **made)

    def fit(make, x, y, **given):
        return lambda seed: FitOfRows(make(seed), x, y, **given)

    small, adam = net(20, 16, 3), {"optimizer": bpkern.Adam(1e-3)}
    dropping = net(20, 40, 30, 3, dropout=0.3, l2=1e-4, **adam)
    classes = net(20, 30, 3, loss="cross_entropy", activation="tanh", **adam)
    batches = [(X[i * 150 : (i + 1) * 150 - i], Y[i * 150 : (i + 1) * 150 - i]) for i in range(8)]
    many, many_y = same(X, (1 << 40, 20), (0, 4)), same(Y, (1 << 40, 3), (0, 8))
    column, column_y = same(X, (6_000_000, 1), (0, 4)), same(Y, (6_000_000, 1), (0, 8))

    def sparse(seed):
        import scipy.sparse

        x = scipy.sparse.random_array((20_000, 20), density=0.1, format="csr", dtype=np.float32, rng=1)
        return FitOfRows(small(seed), x, Y, batch_size=32, n_threads=2)

    return {
        "small": fit(small, X, Y, batch_size=32),
        "two threads": fit(net(20, 60, 50, 3), X, Y, batch_size=64, n_threads=2),
        "one row a batch": fit(net(20, 8, 3), X, Y, batch_size=1),
        "wide": fit(net(256, 2048, 2048, 4), spread, spread_y, batch_size=256),
        "a long step": fit(net(256, 2048, 2048, 4), spread, spread_y, batch_size=2048),
        "clipped, accumulated": fit(
            net(20, 30, 3, **adam), X, Y, batch_size=50, clip_norm=0.5, accumulate=3, n_threads=2
        ),
        "dropout, split": fit(dropping, X, Y, batch_size=32, validation_split=0.3, n_threads=2),
        "average": fit(classes, X, labels, batch_size=300, ema=0.99, clip_value=0.1),
        "sparse": sparse,
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
        "estimator": lambda seed: Estimator(X, labels, random_state=seed),
        "L-BFGS": lambda seed: Estimator(X, labels, random_state=seed, solver="lbfgs", max_fun=ENDLESS),
    }


class Files:
    """Saves over one file, and loads: the file is the old one or the new one, whole, and alone."""

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
    """One call over and over, which has no state to be looked at but that of a model that can be used."""

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
    """The calls that are not endless by themselves."""
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


class Interrupted:
    """Runs a call until SIGINT comes; more of them do no harm, wherever in here they come."""

    def __init__(self):
        self.armed, self.stamps = False, []
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, *signal):
        if self.armed:
            raise KeyboardInterrupt

    def run(self, call, depth=8):
        try:
            if depth:
                self.run(call, depth - 1)
            else:
                self.armed = True
                print("begun", flush=True)
                call()
        except KeyboardInterrupt:
            self.armed = False
            self.stamps.append(time.monotonic())


def settles(condition):
    """Whether it comes true within two seconds."""
    until = time.monotonic() + 2
    while not condition() and time.monotonic() < until:
        time.sleep(0.001)
    return condition()


def tasks():
    return len(os.listdir("/proc/self/task"))


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def in_thread(call):
    """What it raises in another thread: one that holds no guard."""
    errors = []

    def run():
        try:
            call()
        except BaseException as error:
            errors.append(f"in another thread: {error!r}")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors


def child():
    """Makes the calls that it is told, and tells what came of them."""
    interrupted = Interrupted()
    bpkern.set_num_threads(2)
    folder = tempfile.TemporaryDirectory()
    threads = tasks()
    with folder:
        known = cases() | elsewhere_cases(folder.name)
        for line in sys.stdin:
            name, seed = json.loads(line)
            case = known[name](seed)
            open_before = descriptors()
            interrupted.stamps.clear()
            interrupted.run(case.run)
            wrong = [] if interrupted.stamps else ["it came to its end, as if nothing had been"]
            if not settles(lambda: tasks() == threads and threading.active_count() == 1):
                wrong.append(f"{tasks() - threads} threads are left")
            if descriptors() != open_before:
                wrong.append(f"{descriptors() - open_before} descriptors are left")
            for model in case.models:
                if not all(np.isfinite(array).all() for pair in model.get_weights() for array in pair):
                    wrong.append("not finite")
                wrong += in_thread(model.get_weights)
            if not wrong:
                wrong += case.wrong()
            if not wrong:
                wrong += in_thread(case.use)
            step = case.step()
            stamp = interrupted.stamps[0] if interrupted.stamps else 0.0
            print(json.dumps({"stamp": stamp, "step": step, "wrong": wrong}), flush=True)


# The parent -------------------------------------------------------------------------------------------------


class Child:
    """The process that is interrupted."""

    def __init__(self):
        here = str(Path(__file__).resolve().parent)
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-c", "import interrupts; interrupts.child()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            cwd=here,
            text=True,
            bufsize=1,
        )
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def say(self, what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def hear(self, patience=PATIENCE):
        """A line, or None where none comes."""
        if not self.selector.select(patience):
            return None
        return self.process.stdout.readline() or None

    def complaints(self):
        self.errors.seek(0)
        return self.errors.read()[-800:]

    def close(self):
        self.process.kill()
        self.process.communicate()
        self.selector.close()
        self.errors.close()


def interrupt(journal, trial, child, name, signals, most):
    """One trial. Returns whether the child is good for another."""
    rng = journal.generator(trial)
    child.say([name, int(rng.integers(2**31))])
    if child.hear() is None:
        journal.fail(trial, f"{name}: never began: {child.complaints()}")
        return False
    time.sleep(rng.uniform(0, most))
    sent = time.monotonic()
    for number in range(signals):
        if number:
            time.sleep(rng.exponential(0.002))
        child.process.send_signal(signal.SIGINT)
    line = child.hear()
    if line is None:
        journal.fail(trial, f"{name}: no answer: {child.complaints()}")
        return False
    told = json.loads(line)
    complaints = child.complaints()
    if told["wrong"] or complaints:
        journal.fail(trial, f"{name}: {'; '.join(told['wrong'])} {complaints}")
        return False
    journal.keep("seconds", add, [[round(told["stamp"] - sent, 4), round(told["step"], 4), name]])
    return True


def go_over(journal, names, signals, most):
    """All trials, with a child for a few of them."""
    if not hasattr(signal, "SIGINT") or not os.path.isdir("/proc/self/task"):
        raise Missing("/proc: it needs Linux")
    child = None
    try:
        for trial in journal:
            if child is None:
                child = Child()
            count = signals(journal.generator(trial + journal.trials))
            if not interrupt(journal, trial, child, names[trial % len(names)], count, most):
                child.close()
                child = None
    finally:
        if child is not None:
            child.close()


def answer_times(journal):
    """The 99th percentile of the answers, which is within the limit, and the longest step."""
    told = journal.figures.get("seconds", [])
    if not told:
        return "no answer"
    by_limit = sorted((seconds / max(LIMIT, step), seconds, name) for seconds, step, name in told)
    place = math.ceil(0.99 * len(by_limit)) - 1
    if by_limit[place][0] > 1:
        late = ", ".join(f"{name} after {seconds:.3f} s" for part, seconds, name in by_limit if part > 1)
        journal.fail(journal.trials, f"late at the 99th percentile: {late}")
    seconds = sorted(seconds for seconds, _, _ in told)
    return (
        f"answered in {1e3 * seconds[len(seconds) // 2]:.0f} ms in the median, "
        f"{1e3 * seconds[math.ceil(0.99 * len(seconds)) - 1]:.0f} ms at the 99th percentile"
    )


@attack(trials=210)
def during_fit(journal: Journal) -> str:
    """Ctrl-C is answered within 200 ms or the step, and leaves the model as of a finished step, to the bit."""
    with contextlib.suppress(ModuleNotFoundError):
        import scipy  # noqa: F401
        import sklearn  # noqa: F401

        go_over(journal, sorted(cases()), lambda rng: 1, 0.8)
        return answer_times(journal)
    raise Missing("SciPy and scikit-learn")


@attack(trials=105)
def several(journal: Journal) -> str:
    """Ctrl-C several times within milliseconds leaves a usable model of finished steps and no thread, too."""
    # The stamp is of the first that came through: no limit is set to those after it.
    go_over(journal, sorted(cases()), lambda rng: int(rng.integers(2, 7)), 0.5)
    return f"{sum(1 for _ in journal.figures.get('seconds', []))} as they should be"


@attack(trials=400)
def elsewhere(journal: Journal) -> str:
    """Ctrl-C, once or more, in save, load, callbacks and construction: files are whole, nothing is left open."""
    with tempfile.TemporaryDirectory() as folder:
        names = sorted(elsewhere_cases(folder))
    go_over(journal, names, lambda rng: int(rng.integers(1, 5)), 0.1)
    return answer_times(journal)


# What looking for signals costs -----------------------------------------------------------------------------


class Counting(Watcher):
    """Counts how often the steps come up."""

    def __init__(self, each):
        self.each, self.times = each, 0

    def after(self, rows, loss, weight):
        self.times += 1


def epoch(model, X, y, batch, threads, each):
    """The seconds of an epoch, and how often it came up: after each step, or as fits do."""
    settings, net = model._settings, model._net
    optimizer, watcher = settings.step(), Counting(each)
    update = _core.Update(optimizer, 0.0, 0.0, None, None, 1, None)
    with net.writing():
        net.reserve(batch, len(X) / batch, update, threads)
        steps = make_steps(net, settings, update, optimizer, batch, threads, watcher)
        steps.train((X, y, None), None)  # the pace is found here
        watcher.times, began = 0, time.perf_counter()
        steps.train((X, y, None), None)
        return time.perf_counter() - began, watcher.times


@attack(trials=60)
def polling(journal: Journal) -> str:
    """Coming up for signals costs a fit at most 0.5 % of its time, the start of its threads included."""
    nets = [
        ([20, 16, 3], 32, 1),
        ([64, 128, 10], 64, 1),
        ([64, 256, 10], 64, 2),
        ([256, 512, 512, 10], 128, 2),
    ]
    rng = np.random.default_rng(0)
    for trial in journal:
        layers, batch, threads = nets[trial % len(nets)]
        model = bpkern.MLP(layers, loss="mse", optimizer=bpkern.SGD(1e-4), seed=trial)
        few = batch * 400
        x = rng.standard_normal((few, layers[0])).astype(np.float32)
        y = rng.standard_normal((few, layers[-1])).astype(np.float32)
        # What coming up once costs: the same steps, up after each of them and as seldom as fits are.
        seldom, ups = epoch(model, x, y, batch, threads, False)
        often, all_ups = epoch(model, x, y, batch, threads, True)
        once = (often - seldom) / (all_ups - ups)
        # How often a fit comes up: in a long epoch, the rows of which are the same ones again and again.
        rows = few * max(1, round(1.0 / seldom))
        repeat = np.arange(rows) % few
        took, ups = epoch(model, x[repeat], y[repeat], batch, threads, False)
        name = "-".join(map(str, layers)) + f" by {threads}"
        journal.keep(name, add, [[once, ups / took]])
    parts = {}
    for name, told in journal.figures.items():
        once, rate = np.median(told, axis=0)
        parts[name] = once * rate
        if parts[name] > 0.005:
            journal.fail(journal.trials, f"{name}: {parts[name]:.2%}")
    return ", ".join(f"{name}: {part:.3%}" for name, part in parts.items())


if __name__ == "__main__":
    main(__file__)
