"""Another process changes the inputs of a call, in shared memory, while the call reads them.

A trial repeats one call for a tenth of a second. The other process writes values that are not allowed, then
those that are, as fast as it can.
"""

import contextlib
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from children import folder_in_memory, in_children
from invariants import check_finite, check_whole, documented
from journal import Journal, attack, main

import bpkern
from bpkern import losses

SECONDS = 0.1

ROWS, WIDTH, HIDDEN, CLASSES = 300, 6, 16, 3

BAD_REALS = (np.nan, np.inf, 1e300, -1e30)
BAD_LABELS = (999, -1, 2**40, -(2**63))
BAD_ROWS = (10**6, -1, 2**62, -(2**62))


class Shared:
    """Arrays in memory that this process shares with the one that changes them."""

    def __init__(self) -> None:
        self._flips: list[tuple[np.ndarray, np.ndarray, tuple[Any, ...]]] = []

    def __call__(self, allowed: np.ndarray, *bad: Any) -> np.ndarray:
        """A shared copy of the array; the other process writes one of the numbers `bad` to some places."""
        memory = mmap.mmap(-1, max(1, allowed.nbytes))
        array = np.frombuffer(memory, allowed.dtype, allowed.size).reshape(allowed.shape)
        array[...] = allowed
        with np.errstate(all="ignore"):
            written = tuple(np.asarray(value).astype(allowed.dtype) for value in bad)
        self._flips.append((array, allowed.copy(), written))
        return array

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """A context during which the other process runs."""
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            try:
                while os.getppid() == parent:
                    self._change(100)
            finally:
                os._exit(0)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _change(self, times: int) -> None:
        for round in range(times):
            for array, allowed, bad in self._flips:
                value, flat = bad[round % len(bad)], array.reshape(-1)
                if round % 2:
                    flat[-1:] = value  # one place, perhaps after the check has passed all others
                else:
                    flat[::7] = value
                array[...] = allowed


# The calls -------------------------------------------------------------------------------------------------


RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, WIDTH))
LABELS = RNG.integers(0, CLASSES, ROWS)
ROWS_OF_ONE = np.eye(CLASSES)[LABELS]
VALUES = RNG.random((ROWS, CLASSES))
WEIGHTS = RNG.random(ROWS) + 0.5
QUIET: dict[str, Any] = {"verbose": 0, "batch_size": 32}

# A call that can be repeated; it returns the model that it has used or made, if there is one.
Repeated = Callable[[], bpkern.MLP | None]
CASES: dict[str, Callable[[Shared], Repeated]] = {}


def net(loss: Any = "cross_entropy", **settings: Any) -> bpkern.MLP:
    return bpkern.MLP([WIDTH, HIDDEN, CLASSES], loss=loss, seed=0, **settings)


def case(function: Callable[[Shared], Repeated]) -> Callable[[Shared], Repeated]:
    CASES[function.__name__] = function
    return function


def method(
    name: str, make: Callable[[Shared], Callable[[bpkern.MLP], Any]], loss: Any = "cross_entropy"
) -> None:
    """Add a case: a method of one model, with arguments that `make` puts into shared memory."""

    def prepare(shared: Shared) -> Repeated:
        model, call = net(loss), make(shared)

        def repeated() -> bpkern.MLP:
            call(model)
            return model

        return repeated

    CASES[name] = prepare


def x_of(shared: Shared, dtype: str = "float32") -> np.ndarray:
    bad = BAD_REALS if dtype.startswith("f") else (0, 100)
    return shared(X.astype(dtype), *bad)


def y_of(shared: Shared, dtype: str = "int64") -> np.ndarray:
    return shared(LABELS.astype(dtype), *(BAD_LABELS if dtype == "int64" else (999, -1, np.nan, 0.5)))


def add_methods() -> None:
    """The methods of a model that take X, y and weights."""
    for dtype in ("float32", "float64", "float16", "int8"):
        method(f"fit, X {dtype}", lambda s, d=dtype: _call("fit", x_of(s, d), LABELS, **QUIET))
    for dtype in ("int64", "float64", "float32"):
        for name in ("fit", "evaluate", "losses", "gradients", "train_on_batch", "trace"):
            given = QUIET if name == "fit" else {}
            method(f"{name}, y {dtype}", lambda s, n=name, d=dtype, g=given: _call(n, X, y_of(s, d), **g))
    for name in ("evaluate", "losses", "gradients", "train_on_batch", "trace"):
        method(f"{name}, X", lambda s, n=name: _call(n, x_of(s), LABELS))
    for name in ("forward", "predict", "predict_proba"):
        method(f"{name}, X", lambda s, n=name: _call(n, x_of(s)))
    method("fit, y of probabilities", lambda s: _call("fit", X, s(ROWS_OF_ONE, *BAD_REALS), **QUIET))
    method("fit, y of values", lambda s: _call("fit", X, s(VALUES, *BAD_REALS), **QUIET), "mse")
    method("fit, y of counts", lambda s: _call("fit", X, s(VALUES, -1.0, np.nan), **QUIET), "poisson")
    method(
        "fit, binary y",
        lambda s: _call("fit", X, s(ROWS_OF_ONE, -1.0, 1e30), **QUIET),
        "binary_cross_entropy",
    )
    weights = (np.nan, np.inf, -1.0, 1e308)
    method("fit, weights", lambda s: _call("fit", X, LABELS, sample_weight=s(WEIGHTS, *weights), **QUIET))
    method("evaluate, weights", lambda s: _call("evaluate", X, LABELS, sample_weight=s(WEIGHTS, *weights)))
    method("fit, balanced", lambda s: _call("fit", X, y_of(s), class_weight="balanced", **QUIET))
    method("fit, validation", lambda s: _call("fit", X, LABELS, validation_data=(x_of(s), y_of(s)), **QUIET))
    method("fit, split", lambda s: _call("fit", x_of(s), y_of(s), validation_split=0.3, **QUIET))
    method("fit, batches", lambda s: _call("fit", [(x_of(s), y_of(s)), (x_of(s), y_of(s), np.ones(ROWS))]))
    method("fit, metric", lambda s: _call("fit", X, y_of(s), metrics=["f1", lambda t, p: 0.0], **QUIET))
    method(
        "fit, a user's loss",
        lambda s: _call("fit", X, s(VALUES, *BAD_REALS), **QUIET),
        lambda outputs, y: (((outputs - y) ** 2).mean(), 2 * (outputs - y) / y.size),
    )


def _call(name: str, *arguments: Any, **named: Any) -> Callable[[bpkern.MLP], Any]:
    return lambda model: getattr(model, name)(*arguments, **named)


add_methods()


def parameters(shared: Shared) -> list[tuple[np.ndarray, np.ndarray]]:
    return [tuple(shared(array, *BAD_REALS) for array in pair) for pair in net().get_weights()]  # type: ignore[misc]


method("set_weights", lambda shared: _call("set_weights", parameters(shared)))
method(
    "load_state_dict",
    lambda shared: _call(
        "load_state_dict", {name: shared(value, *BAD_REALS) for name, value in net().state_dict().items()}
    ),
)


@case
def init(shared: Shared) -> Repeated:
    given = parameters(shared)
    return lambda: net(init=given)


@case
def loss_parameter(shared: Shared) -> Repeated:
    delta = shared(np.ones(CLASSES), np.nan, -1.0, 0.0)
    return lambda: net(losses.Huber(delta))


@case
def backward(shared: Shared) -> Repeated:
    model, gradient = net(), shared(np.ones((ROWS, CLASSES), np.float32), *BAD_REALS)

    def repeated() -> bpkern.MLP:
        model.forward(X, train=True)
        model.backward(gradient)
        model.step(clip_norm=1.0)
        return model

    return repeated


@case
def forward_train(shared: Shared) -> Repeated:
    model, x = net(), x_of(shared)

    def repeated() -> bpkern.MLP:
        outputs = model.forward(x, train=True)
        model.backward(np.ones_like(outputs))
        model.step(clip_norm=1.0)
        return model

    return repeated


@case
def many(shared: Shared) -> Repeated:
    models, x, y = [net(), net()], x_of(shared), y_of(shared)
    models[1] = bpkern.MLP([WIDTH, CLASSES], loss="cross_entropy", seed=1)

    def repeated() -> bpkern.MLP:
        bpkern.fit_many(models, x, y, n_threads=2, **QUIET)
        return models[1]

    return repeated


@case
def many_splits(shared: Shared) -> Repeated:
    models = [net(), bpkern.MLP([WIDTH, CLASSES], loss="cross_entropy", seed=1)]
    splits = [(shared(np.arange(200), *BAD_ROWS), shared(np.arange(200, 300), *BAD_ROWS)) for _ in models]

    def repeated() -> bpkern.MLP:
        bpkern.fit_many(models, X, LABELS, splits=splits, n_threads=1, **QUIET)
        return models[0]

    return repeated


def sparse(name: str, data: bool, indices: bool, pointers: bool) -> None:
    """Add two cases: fit and predict of a sparse X, of which another process changes these parts."""

    def rows(shared: Shared) -> Any:
        from scipy.sparse import csr_matrix

        x = csr_matrix(np.where(X > 0, X, 0).astype(np.float32))
        if data:
            x.data = shared(x.data, *BAD_REALS)
        if indices:
            x.indices = shared(x.indices, WIDTH, -1, 2**30, -(2**31))
        if pointers:
            x.indptr = shared(x.indptr, x.nnz + 10, -1, 2**30, 0)
        return x

    method(f"fit, {name} of CSR", lambda s: _call("fit", rows(s), LABELS, **QUIET))
    method(f"predict, {name} of CSR", lambda s: _call("predict", rows(s)))


sparse("data", True, False, False)
sparse("indices", False, True, False)
sparse("indptr", False, False, True)
sparse("all parts", True, True, True)


@case
def kernels(shared: Shared) -> Repeated:
    (w, b), x = parameters(shared)[0], x_of(shared)

    def repeated() -> None:
        a = bpkern.kernels.linear_forward(x, w, b, "tanh")
        delta = bpkern.kernels.delta_backward(
            np.ones((ROWS, HIDDEN), "f"), np.ones((HIDDEN, HIDDEN), "f"), a, "tanh"
        )
        bpkern.kernels.sgd_update(w.copy(), b.copy(), delta, x, 0.1)

    return repeated


@case
def estimator(shared: Shared) -> Repeated:
    from bpkern.sklearn import MLPClassifier

    x, y = shared(X, *BAD_REALS), y_of(shared)

    def repeated() -> None:
        MLPClassifier((4,), max_iter=1, random_state=0).fit(x, y)

    return repeated


@case
def estimator_coefs(shared: Shared) -> Repeated:
    from bpkern.sklearn import MLPClassifier

    fitted = MLPClassifier((4,), max_iter=1, random_state=0).fit(X, LABELS)
    fitted.coefs_ = [shared(w, *BAD_REALS) for w in fitted.coefs_]
    fitted.intercepts_ = [shared(b, *BAD_REALS) for b in fitted.intercepts_]

    def repeated() -> None:
        fitted.predict(X)
        fitted.partial_fit(X, LABELS)

    return repeated


# The attack ------------------------------------------------------------------------------------------------


@attack(trials=300)
def flipped(journal: Journal) -> str:
    """Inputs that another process changes during a call: no crash, documented errors, a finite model."""
    names = list(CASES)

    def name_of(trial: int) -> str:
        return names[(trial + journal.seed) % len(names)]

    with folder_in_memory() as folder:

        def work(trial: int) -> str:
            name = name_of(trial)
            shared, raised, calls, model = Shared(), [], 0, None
            repeated = CASES[name](shared)
            until = time.monotonic() + SECONDS
            with shared.changing():
                while time.monotonic() < until:
                    with documented(name, raised):
                        model = repeated()
                        if model is not None:
                            check_finite(model, name)
                    calls += 1
            if model is not None:
                # A loss is the user's object, as is its array: `save` may refuse what it holds in the end.
                check_whole(model, folder, was_edited=name == loss_parameter.__name__)
            return "mixed" if 0 < len(raised) < calls else "all the same"

        # One trial per child: a bad write may take effect later.
        in_children(journal, work, 1, "ignore", name_of)
    mixed = journal.figures.get("mixed", 0)
    return (
        f"{len(names)} inputs, each {SECONDS} s at a time; in {mixed} trials some calls ended, others did not"
    )


if __name__ == "__main__":
    main(__file__)
