"""Calls that run at the same time share the threads of the process, except those with a given number."""

import os
import threading

import numpy as np
import pytest
from signals import ctrl_c

import bpkern
from bpkern import _core
from bpkern._fit.steps import CustomLossSteps, Steps
from bpkern._model.core import core_of
from bpkern.callbacks import Callback

RNG = np.random.default_rng(6)
X, Y = RNG.standard_normal((256, 512)).astype(np.float32), RNG.integers(0, 10, 256)


@pytest.fixture(autouse=True)
def four_threads():
    bpkern.set_num_threads(4)
    assert _core.fair_share() == 4
    yield
    assert _core.fair_share() == 4  # no other call is running
    bpkern.set_num_threads(None)


@pytest.fixture
def taken(monkeypatch):
    """The numbers of threads that the epochs used, by network."""
    taken = {}

    def noting(train):
        def noted(steps, *arguments):
            taken.setdefault(steps._net, []).append(steps.threads)
            return train(steps, *arguments)

        return noted

    for kind in (Steps, CustomLossSteps):
        monkeypatch.setattr(kind, "train", noting(kind.train))
    return taken


def make(seed=0):
    """A net large enough that its steps use four threads."""
    return bpkern.MLP([512, 512, 10], loss="cross_entropy", seed=seed)


def in_threads(*calls):
    """Run the calls in parallel threads; raise the error of any of them."""
    errors = []

    def run(call):
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    if errors:
        raise errors[0]


class Meet(Callback):
    """All fits wait for each other around the first epoch; one also waits for an event before the second."""

    def __init__(self, together, event=None):
        self.together, self.event = together, event

    def on_epoch_begin(self, model, epoch):
        if epoch == 0:
            self.together.wait(timeout=60)
        elif self.event is not None:
            assert self.event.wait(timeout=60)

    def on_epoch_end(self, model, epoch, logs):
        if epoch == 0:
            self.together.wait(timeout=60)


def test_a_fit_alone_takes_all(taken):
    model = make()
    model.fit(X, Y, epochs=2, batch_size=128)
    assert taken[core_of(model).net] == [4, 4]


def test_fits_side_by_side_share_and_look_anew_each_epoch(taken):
    first, second, ended = make(0), make(1), threading.Event()
    together = threading.Barrier(2)

    def short():
        first.fit(X, Y, batch_size=128, callbacks=Meet(together))
        ended.set()

    def long():
        second.fit(X, Y, epochs=3, batch_size=128, callbacks=Meet(together, ended))

    in_threads(short, long)
    assert taken == {core_of(first).net: [2], core_of(second).net: [2, 4, 4]}
    alone = make(1)
    alone.fit(X, Y, epochs=3, batch_size=128, n_threads=1)
    for (w, b), (w_alone, b_alone) in zip(second.get_weights(), alone.get_weights(), strict=True):
        assert np.array_equal(w, w_alone)
        assert np.array_equal(b, b_alone)


def test_more_fits_than_threads_take_one_each(taken):
    models, together = [make(seed) for seed in range(5)], threading.Barrier(5)
    in_threads(*(lambda m=m: m.fit(X, Y, batch_size=128, callbacks=Meet(together)) for m in models))
    assert taken == {core_of(model).net: [1] for model in models}


def test_a_number_that_is_given_is_taken(taken):
    first, second, together = make(0), make(1), threading.Barrier(2)
    in_threads(
        lambda: first.fit(X, Y, batch_size=128, callbacks=Meet(together), n_threads=3),
        lambda: second.fit(X, Y, batch_size=128, callbacks=Meet(together)),
    )
    assert taken == {core_of(first).net: [3], core_of(second).net: [2]}


def test_batches_of_a_stream_and_losses_in_python(taken):
    """A fit on a stream recomputes its share at each batch, one with a Python loss at each epoch."""

    def loss(outputs, y):
        return (outputs**2).sum(axis=1), 2 * outputs

    model, mine = make(), bpkern.MLP([512, 512, 10], loss=loss, seed=0)
    together = threading.Barrier(2)
    in_threads(
        lambda: model.fit([(X, Y), (X, Y)], callbacks=Meet(together)),
        lambda: mine.fit(X, Y, batch_size=256, callbacks=Meet(together)),
    )
    assert taken[core_of(model).net][0] == 2
    assert taken[core_of(mine).net] == [2]


def test_other_calls_of_a_thread_that_fits_count_no_second_time():
    shares = []

    class Inner(Callback):
        def on_epoch_begin(self, model, epoch):
            shares.append(_core.fair_share())

        def on_epoch_end(self, model, epoch, logs):
            other.evaluate(X, Y)
            other.fit(X, Y, callbacks=Inside())
            shares.append(_core.fair_share())

    class Inside(Callback):
        def on_epoch_begin(self, model, epoch):
            shares.append(_core.fair_share())
            in_threads(lambda: shares.append(_core.fair_share()))

    other = make(1)
    make().fit(X, Y, callbacks=Inner())
    assert shares == [4, 4, 2, 4]


def test_calls_that_raise_leave_nobody_behind():
    class Fail(Callback):
        def on_epoch_end(self, model, epoch, logs):
            raise ZeroDivisionError

    model = make()
    with pytest.raises(ZeroDivisionError):
        model.fit(X, Y, callbacks=Fail())
    bad = X.copy()
    bad[200, 1] = np.nan
    for call in (
        lambda: model.fit(bad, Y, batch_size=7),
        lambda: model.evaluate(np.vstack([X, bad]), np.zeros(512, int)),
    ):
        with pytest.raises(ValueError, match="X holds nan"):
            call()
    with (
        core_of(model).net.writing(),
        pytest.raises(RuntimeError, match="another thread is using this model"),
    ):
        in_threads(lambda: model.fit(X, Y))
    with (
        core_of(model).net.reading(),
        pytest.raises(RuntimeError, match="another thread is using this model"),
    ):
        in_threads(lambda: model.fit(X, Y))


@pytest.mark.parametrize("name", ["evaluate", "gradients"])
def test_a_long_pass_without_training_counts(name):
    """The share is read in a signal handler that runs in the middle of the pass."""
    shares = []

    def look(*signal):
        shares.append(_core.fair_share())
        in_threads(lambda: shares.append(_core.fair_share()))
        raise InterruptedError

    rows = np.lib.stride_tricks.as_strided(X, (1 << 40, 5), (0, 4))
    values = np.lib.stride_tricks.as_strided(X, (1 << 40, 2), (0, 4))
    model = bpkern.MLP([5, 2], loss="mse", seed=0)
    calls = {
        "evaluate": lambda: model.evaluate(rows, values),
        "gradients": lambda: core_of(model).net.gradients(_core.Data(rows, values, None), 256),
    }
    with ctrl_c(look) as press:
        press()
        with pytest.raises(InterruptedError):
            calls[name]()
    assert shares == [4, 2]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_threads_that_a_fork_leaves_behind_do_not_count():
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    shares = []

    class Fork(Callback):
        def on_epoch_begin(self, model, epoch):
            child = os.fork()
            if child == 0:
                os._exit(10 + _core.fair_share())
            shares.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) - 10)

    with core_of(make(1)).net.writing():
        in_threads(lambda: make(0).fit(X, Y, callbacks=Fork()))
    assert shares == [4]


@pytest.mark.parametrize(("n_threads", "each"), [(2, 1), (3, 1), (5, 2), (8, 4)])
def test_fit_many_shares_out_the_threads_it_is_given(taken, n_threads, each):
    models = [make(0), make(1)]
    bpkern.fit_many(models, X, Y, epochs=2, batch_size=128, n_threads=n_threads)
    assert taken == {core_of(model).net: [each, each] for model in models}


def test_fit_many_begins_with_the_threads_that_others_leave():
    """So if every thread of a pool calls fit_many, few more threads start."""
    counts = []

    class Count(Callback):
        def on_fit_begin(self, model):
            counts.append(sum(thread.name == "bpkern fit_many" for thread in threading.enumerate()))

    def fit_four():
        models = [make(seed) for seed in range(4)]
        bpkern.fit_many(models, X, Y, epochs=0, each=[{"callbacks": Count()} for _ in models])

    fit_four()
    assert max(counts) == 3  # including the caller's
    counts.clear()
    with core_of(make()).net.writing():
        in_threads(fit_four)
    assert max(counts) == 1


def test_the_models_of_fit_many_share_like_other_fits(taken):
    """From the first epoch on; and the last model that still trains takes all threads."""
    models, ended = [make(0), make(1)], threading.Event()

    class Wait(Callback):
        def on_epoch_begin(self, model, epoch):
            assert epoch != 1 or ended.wait(timeout=60)

    class Tell(Callback):
        def on_epoch_end(self, model, epoch, logs):
            threading.Thread(target=tell).start()

    def tell():
        while _core.fair_share() != 2:  # the share of one more call beside the last model
            threading.Event().wait(0.001)
        ended.set()

    own = [{"callbacks": Wait(), "epochs": 3}, {"callbacks": Tell()}]
    bpkern.fit_many(models, X, Y, each=own, batch_size=128)
    assert taken == {core_of(models[0]).net: [2, 4, 4], core_of(models[1]).net: [2]}
