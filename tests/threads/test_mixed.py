"""Eight threads with everything at once: models of their own, one shared model, generators and settings.

Where Python has no lock, this is the test for the thread sanitizer (docs/versions.md, "Without the lock").
"""

import random
import threading

import numpy as np
from helpers import parameter_bits

import bpkern
from bpkern import _core

RNG = np.random.default_rng(0)
X = RNG.standard_normal((600, 4)).astype(np.float32)
Y, LABELS = RNG.standard_normal((600, 2)), RNG.integers(0, 2, 600)
# Of the guard; and of `by_hand`, if another thread makes a step or a reset between its three calls.
REFUSED = ("give each thread its own, or take turns", "forward(X, train=True)", "the gradients of backward")


def own(seed):
    """The bits of a model that one thread trains."""
    sgd = bpkern.SGD(0.01, momentum=0.9)
    model = bpkern.MLP([4, 6, 2], loss="cross_entropy", seed=seed, dropout=0.2, optimizer=sgd)
    model.fit(X, LABELS, epochs=3, verbose=0, validation_split=0.2)
    model.train_on_batch(X[:5], LABELS[:5])
    model.evaluate(X, LABELS)
    return parameter_bits(model.copy())


def many():
    models = [bpkern.MLP([4, 5, 2], loss="mse", seed=seed) for seed in range(4)]
    bpkern.fit_many(models, X, Y, epochs=2, verbose=0)
    return [parameter_bits(model) for model in models]


def by_hand(model):
    model.forward(X, train=True)
    model.backward(np.ones((600, 2), np.float32))
    model.step()


def use(model, seed):
    """Random calls on a shared model: each succeeds, or is refused."""
    calls = (
        lambda: model.predict(X),
        lambda: model.predict(X[:1]),
        lambda: model.evaluate(X, Y),
        lambda: model.gradients(X, Y),
        lambda: model.state_dict(),
        lambda: model.copy(),
        lambda: model.summary(),
        lambda: model.train_on_batch(X[:8], Y[:8]),
        lambda: model.fit(X, Y, verbose=0),
        lambda: by_hand(model),
        lambda: model.reset(),
    )
    chosen = random.Random(seed)
    for _ in range(40):
        try:
            chosen.choice(calls)()
        except RuntimeError as error:
            if not any(text in str(error) for text in REFUSED):
                raise


def settings(generator):
    """Everything that the process has once."""
    for _ in range(60):
        bpkern.set_num_threads(1)
        assert bpkern.get_num_threads() == 1
        _core.select_isa(bpkern.isa())
        bpkern.show_config(mode="dicts")
        assert sorted(_core.permutation(generator, 50)) == list(range(50))
        bpkern.kernels.linear_forward(X, np.ones((3, 4), np.float32), np.zeros(3, np.float32))


def test_everything_at_once():
    expected = [own(0), own(1), many()]
    shared = bpkern.MLP([4, 8, 2], loss="mse", seed=0, optimizer=bpkern.Adam())
    generator = np.random.default_rng(1)
    work = [lambda: own(0), lambda: own(1), many, *(lambda seed=seed: use(shared, seed) for seed in range(3))]
    work += [lambda: settings(generator)] * 2
    together, results, errors = threading.Barrier(len(work)), {}, []

    def run(i):
        together.wait()
        try:
            results[i] = work[i]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(work))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        bpkern.set_num_threads(None)
    assert errors == []
    assert [results[i] for i in range(3)] == expected
    assert np.isfinite(shared.predict(X)).all()
