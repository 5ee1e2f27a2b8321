"""Many models trained in one call: each ends as if trained alone, to the bit; refused arguments; errors."""

import gc
import os
import re
import signal
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from helpers import parameter_bits
from hypothesis import given
from hypothesis import strategies as st

import bpkern
from bpkern._model.core import core_of
from bpkern.callbacks import Callback, CSVLogger, EarlyStopping, ReduceLROnPlateau

RNG = np.random.default_rng(5)
X = RNG.standard_normal((120, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, 120)
VALUES = RNG.standard_normal((120, 2))
WEIGHTS = RNG.random(120)
FOLDS = [(np.setdiff1d(np.arange(120), np.arange(i, 120, 4)), np.arange(i, 120, 4)) for i in range(4)]


def classifiers(count=4, layers=(6, 9, 3), **settings):
    settings = dict(loss="cross_entropy", optimizer=bpkern.SGD(0.05, momentum=0.9)) | settings
    return [bpkern.MLP(layers, seed=seed, **settings) for seed in range(count)]


def bits(model):
    """Parameters, history, and the counts and generator that training continues from."""
    return (
        parameter_bits(model),
        dict(model.history_),
        model.history_.iterations,
        core_of(model).net.counts,
        core_of(model).random.state(),
    )


def alone(models, fits):
    """The histories of these fits, made one after another on one thread."""
    return [
        model.fit(*data, n_threads=1, **given) for model, (*data, given) in zip(models, fits, strict=True)
    ]


def assert_as_alone(make, fits, X, y, **given):
    """Check fit_many at several numbers of threads against single fits, whose arguments `fits` makes."""
    expected = make()
    histories = alone(expected, fits())
    for n_threads in (1, 2, 3, 9, None):
        models = make()
        got = bpkern.fit_many(models, X, y, n_threads=n_threads, **given)
        assert got == histories
        assert [bits(model) for model in models] == [bits(model) for model in expected]
        assert [model.history_ for model in models] == histories
        assert all(model.history_ is history for model, history in zip(models, got, strict=True))


# The same bits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "given"),
    [
        ({}, {}),
        ({}, {"batch_size": 1}),
        ({}, {"batch_size": 1000, "shuffle": False}),
        ({"dropout": 0.3}, {"validation_split": 0.2}),
        ({"dtype": "float64", "l2": 1e-3}, {"validation_data": (X[:20], LABELS[:20], WEIGHTS[:20])}),
        ({"optimizer": bpkern.Adam(0.01)}, {"sample_weight": WEIGHTS, "class_weight": "balanced"}),
        ({"activation": "gelu"}, {"metrics": ("accuracy", "f1"), "class_weight": {0: 3.0}}),
        ({}, {"clip_norm": 0.5, "accumulate": 3, "ema": 0.9}),
        ({"optimizer": bpkern.SGD(bpkern.schedules.Cosine(0.1, iterations=20))}, {}),
    ],
)
def test_each_model_ends_as_alone(made, given):
    given = {"epochs": 3} | given
    assert_as_alone(lambda: classifiers(**made), lambda: [(X, LABELS, given)] * 4, X, LABELS, **given)


def test_each_model_ends_as_alone_on_every_instruction_set(isa):
    given = {"epochs": 2, "validation_split": 0.1}
    assert_as_alone(classifiers, lambda: [(X, LABELS, given)] * 4, X, LABELS, **given)


def test_models_of_all_kinds():
    """Layers, dtypes and losses differ; each has its own y."""

    def loss_of_my_own(outputs, y):
        return ((outputs - y) ** 2).sum(axis=1), 2 * (outputs - y)

    def make():
        return [
            *classifiers(1),
            bpkern.MLP([6, 2], loss="mse", seed=1),
            bpkern.MLP([6, 40, 20, 2], loss=loss_of_my_own, dtype="float64", seed=2),
            bpkern.MLP([6, 5, 1], loss="binary_cross_entropy", seed=3),
        ]

    own = [LABELS, VALUES, VALUES, LABELS == 1]
    assert_as_alone(
        make, lambda: [(X, y, {"epochs": 2}) for y in own], X, None, epochs=2, each=[{"y": y} for y in own]
    )
    models = make()
    bpkern.fit_many(models, X, LABELS, each=[{}, *({"y": y} for y in own[1:])])
    assert models[3].predict(X).shape == (120,)  # because its y was one-dimensional


def test_one_y_for_several_losses():
    """The same y holds classes for one model and values for another."""

    def make():
        return [
            *classifiers(2),
            bpkern.MLP([6, 1], loss="mse", seed=2),
            bpkern.MLP([6, 4, 1], loss="mae", seed=3),
        ]

    assert_as_alone(make, lambda: [(X, LABELS, {})] * 4, X, LABELS)
    with pytest.raises(ValueError, match="y must have shape"):
        bpkern.fit_many([*make(), bpkern.MLP([6, 2], loss="mse", seed=4)], X, LABELS)


def test_arguments_of_each_stand_in_place_of_the_shared():
    own = [{}, {"batch_size": 50, "shuffle": False}, {"epochs": 4, "sample_weight": None}, {"epochs": 0}]
    shared = {"epochs": 2, "sample_weight": WEIGHTS}
    assert_as_alone(
        classifiers, lambda: [(X, LABELS, shared | mine) for mine in own], X, LABELS, each=own, **shared
    )


def parts(sample_weight=None, **given):
    """The arguments of each model's fit if it were trained alone."""
    fits = []
    for train, held_out in FOLDS:
        validation = (X[held_out], LABELS[held_out])
        weighted = {}
        if sample_weight is not None:
            validation += (sample_weight[held_out],)
            weighted["sample_weight"] = sample_weight[train]
        fits.append((X[train], LABELS[train], {"validation_data": validation, **weighted, **given}))
    return fits


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"batch_size": 1000},
        {"shuffle": False, "batch_size": 7},
        {"sample_weight": WEIGHTS},
        {"sample_weight": WEIGHTS, "class_weight": "balanced", "metrics": "recall"},
        {"class_weight": {1: 0.0, 2: 5.0}},
    ],
)
def test_splits_are_the_rows_themselves(given):
    given = {"epochs": 3} | given
    assert_as_alone(classifiers, lambda: parts(**given), X, LABELS, splits=FOLDS, **given)


def test_splits_of_nets_with_dropout():
    """The place of a row in its batch, not in X, selects the dropped activations."""
    assert_as_alone(lambda: classifiers(dropout=0.2), parts, X, LABELS, splits=FOLDS)


def test_splits_of_any_form():
    """Lists, unsigned numbers, rows drawn more than once, and no validation rows."""
    drawn = RNG.integers(0, 120, 300)
    splits = [(list(range(50)), None), (np.arange(50, dtype=np.uint8), None), (drawn, None), ([3], [4, 4])]
    fits = [(X[:50], LABELS[:50], {}), (X[:50], LABELS[:50], {}), (X[drawn], LABELS[drawn], {})]
    fits.append((X[3:4], LABELS[3:4], {"validation_data": (X[[4, 4]], LABELS[[4, 4]])}))
    assert_as_alone(classifiers, lambda: fits, X, LABELS, splits=splits)
    models = classifiers()
    histories = bpkern.fit_many(iter(models), X, LABELS, splits=iter(splits), each=iter([{}] * 4))
    assert histories == alone(classifiers(), fits)


def test_balanced_weights_are_those_of_the_rows_trained_on():
    """Weights of all rows would be too small for the rare class in a fold that lacks most of its rows."""
    y = np.where(np.arange(120) % 4 == 0, 1, 0)
    y[1] = 1
    train, held_out = FOLDS[0]
    [model], [expected] = classifiers(1), classifiers(1)
    bpkern.fit_many([model], X, y, splits=[FOLDS[0]], class_weight="balanced")
    expected.fit(X[train], y[train], validation_data=(X[held_out], y[held_out]), class_weight="balanced")
    assert bits(model) == bits(expected)


@given(st.data())
def test_random_splits(data):
    rows = data.draw(st.integers(1, 40))
    index = st.lists(st.integers(0, rows - 1), min_size=1, max_size=60)
    split = data.draw(index), data.draw(st.none() | index)
    batch = data.draw(st.integers(1, 70))
    [model], [expected] = classifiers(1), classifiers(1)
    bpkern.fit_many([model], X[:rows], LABELS[:rows], splits=[split], batch_size=batch)
    train, held_out = split
    validation = None if held_out is None else (X[held_out], LABELS[held_out])
    expected.fit(X[train], LABELS[train], batch_size=batch, validation_data=validation)
    assert bits(model) == bits(expected)


def test_sparse_rows():
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy makes the sparse matrix")
    rows = sparse.csr_matrix(np.where(X > 0.5, X, 0))
    assert_as_alone(
        classifiers,
        lambda: [(rows[train], LABELS[train], {"epochs": 2}) for train, _ in FOLDS],
        rows,
        LABELS,
        splits=[(train, None) for train, _ in FOLDS],
        epochs=2,
    )


class CountedRows:
    """An array-like that counts how often it is converted to an array."""

    def __init__(self, values):
        self.values, self.count = values, 0

    def __array__(self, dtype=None, copy=None):
        self.count += 1
        return np.array(self.values, dtype)


def test_what_is_shared_is_converted_once():
    pandas = pytest.importorskip("pandas", reason="one of the forms is a DataFrame")
    rows, weights, held_out = CountedRows(X), CountedRows(WEIGHTS), CountedRows(X[:9])
    models, expected = classifiers(), classifiers()
    bpkern.fit_many(
        models, rows, list(LABELS), sample_weight=weights, validation_data=(held_out, list(LABELS[:9]))
    )
    assert (rows.count, weights.count, held_out.count) == (1, 1, 1)
    given = {"sample_weight": WEIGHTS, "validation_data": (X[:9], LABELS[:9])}
    alone(expected, [(X, LABELS, given)] * 4)
    assert [bits(model) for model in models] == [bits(model) for model in expected]
    again = classifiers()
    bpkern.fit_many(again, pandas.DataFrame(X), LABELS, **given)
    assert [bits(model) for model in again] == [bits(model) for model in expected]


def test_the_caller_may_change_what_it_gave():
    """Labels and splits are copied before the first step: C uses them as indices without checking."""

    class Change(Callback):
        def on_epoch_end(self, model, epoch, logs):
            y[:], train[:] = 1000, -1000

    y, train = LABELS.copy(), np.arange(60)
    [model], [expected] = classifiers(1), classifiers(1)
    bpkern.fit_many([model], X, y, splits=[(train, None)], epochs=3, callbacks=Change())
    expected.fit(X[:60], LABELS[:60], epochs=3)
    assert bits(model) == bits(expected)


def test_training_goes_on():
    models, expected = classifiers(), classifiers()
    for _ in range(2):
        bpkern.fit_many(models, X, LABELS, epochs=2, validation_split=0.1)
    alone(expected, [(X, LABELS, {"epochs": 4, "validation_split": 0.1})] * 4)
    for model, other in zip(models, expected, strict=True):
        assert bits(model)[0] == bits(other)[0]


def test_callbacks_of_each(tmp_path):
    def own(folder):
        return [
            {"callbacks": EarlyStopping(patience=1), "epochs": 30},
            {"callbacks": [ReduceLROnPlateau("loss", patience=0), CSVLogger(folder / "log.csv")]},
            {"callbacks": ()},
            {},
        ]

    def make():
        return [model for seed in range(4) for model in [classifiers(seed + 1)[-1]]]

    (tmp_path / "alone").mkdir()
    shared = {"epochs": 4, "validation_split": 0.3}
    expected, models = make(), make()
    alone(expected, [(X, LABELS, shared | mine) for mine in own(tmp_path / "alone")])
    bpkern.fit_many(models, X, LABELS, each=own(tmp_path), **shared, n_threads=2)
    assert [bits(model) for model in models] == [bits(model) for model in expected]
    assert (tmp_path / "log.csv").read_text() == (tmp_path / "alone" / "log.csv").read_text()


def test_checkpoints_of_each(tmp_path):
    own = [{"checkpoint": tmp_path / f"{i}.npz"} for i in range(4)]
    models, expected = classifiers(), classifiers()
    bpkern.fit_many(models, X, LABELS, each=own, epochs=2)
    again = classifiers()
    bpkern.fit_many(again, X, LABELS, each=own, epochs=5, resume=True)
    alone(expected, [(X, LABELS, {"epochs": 5})] * 4)
    assert [bits(model) for model in again] == [bits(model) for model in expected]


def test_no_models_and_one():
    assert bpkern.fit_many([], X, LABELS) == []
    [model], [expected] = classifiers(1), classifiers(1)
    assert bpkern.fit_many((model,), X, LABELS, callbacks=EarlyStopping("loss")) == [expected.fit(X, LABELS)]


# Threads ---------------------------------------------------------------------------------------------------


class Where(Callback):
    """Records the thread of each epoch; in the first epoch all fits wait for each other."""

    def __init__(self, together=None):
        self.threads, self.together = set(), together

    def on_epoch_begin(self, model, epoch):
        self.threads.add(threading.current_thread())
        if self.together is not None and epoch == 0:
            self.together.wait(timeout=60)


@pytest.mark.parametrize(("n_threads", "at_once"), [(1, 1), (2, 2), (3, 3), (4, 4), (7, 4)])
def test_so_many_threads_at_once_and_the_callers_among_them(n_threads, at_once):
    """If fewer models trained at once, they would wait in vain."""
    together = threading.Barrier(at_once)
    before = threading.active_count()
    callbacks = [Where(together if i < at_once else None) for i in range(4)]
    own = [{"callbacks": callback} for callback in callbacks]
    bpkern.fit_many(classifiers(), X, LABELS, each=own, n_threads=n_threads)
    used = set().union(*(callback.threads for callback in callbacks))
    assert len(used) == at_once
    assert threading.main_thread() in used
    assert all(len(callback.threads) == 1 for callback in callbacks)
    assert threading.active_count() == before


def test_the_longest_fit_begins_first():
    """If it began last, the other threads would be idle meanwhile."""
    begun = []

    class Note(Callback):
        def on_fit_begin(self, model):
            begun.append(models.index(model))

    models = [bpkern.MLP([6, width, 3], loss="cross_entropy", seed=0) for width in (2, 50, 9, 9)]
    own = [{"callbacks": Note()} for _ in models]
    own[3]["epochs"] = 4
    bpkern.fit_many(models, X, LABELS, each=own, n_threads=1)
    assert begun == [1, 3, 2, 0]


# What is refused -------------------------------------------------------------------------------------------


LOG = CSVLogger("log.csv")


def one(**given):
    """`each` for four models, with these arguments for the last."""
    return {"each": [{}, {}, {}, given]}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"verbose": 3}, ValueError, "unknown verbose 3"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1, not 0"),
        ({"epoch": 2}, TypeError, "unknown argument 'epoch' of fit_many: allowed are models, X, y, splits,"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
        ({"each": {"epochs": 2}}, TypeError, "each must be a sequence with an item for each model, not {"),
        ({"each": [{}] * 3}, ValueError, "each must have an item for each of the 4 models, not 3"),
        ({"each": [{}, {}, {}, 3]}, TypeError, "each must hold mappings of fit's arguments, not 3"),
        (one(n_threads=3), TypeError, "unknown argument 'n_threads' of each: allowed are .* y\n"),
        (one(X=X), TypeError, "unknown argument 'X' of each"),
        (one(batch_size=0), ValueError, "batch_size must be at least 1, not 0"),
        (one(y=VALUES), ValueError, "y must have shape"),
        ({"splits": 3}, TypeError, "splits must be a sequence with an item for each model, not 3"),
        ({"splits": FOLDS[:3]}, ValueError, "splits must have an item for each of the 4 models, not 3"),
        ({"splits": [[1, 2, 3]] * 4}, ValueError, r"must hold pairs \(train, validation\), not \[1, 2, 3\]"),
        (
            {"splits": [([], None)] * 4},
            ValueError,
            r"train rows .* list of at least one, not shape \(0,\)",
        ),
        ({"splits": [([1], [])] * 4}, ValueError, "validation rows of a split must be"),
        ({"splits": [([[1]], None)] * 4}, ValueError, r"of at least one, not shape \(1, 1\)"),
        ({"splits": [([1.0], None)] * 4}, TypeError, "must be whole numbers, not float64"),
        ({"splits": [(X[:, 0] > 0, None)] * 4}, TypeError, r"not bool: numpy.flatnonzero\(mask\)"),
        ({"splits": [([120], None)] * 4}, ValueError, "from 0 to 119, not from 120 to 120"),
        ({"splits": [([0], [-1, 2])] * 4}, ValueError, "from 0 to 119, not from -1 to 2"),
        ({"splits": FOLDS, "validation_split": 0.1}, ValueError, "and not two of them"),
        ({"splits": FOLDS, "validation_data": (X, LABELS)}, ValueError, "and not two of them"),
        (
            {"splits": FOLDS, "sample_weight": (np.arange(120) % 4 == 2) * 1.0},
            ValueError,
            "not be 0 in every row of a part of the split",
        ),
        (
            {"callbacks": LOG},
            ValueError,
            r"needs its own callback: models\[0\] and models\[1\] have the same",
        ),
        ({"callbacks": iter([LOG])}, ValueError, r"needs its own callback: models\[0\] and models\[1\]"),
        (
            {"each": [{"callbacks": callbacks} for callbacks in ((), [LOG], (), LOG)]},
            ValueError,
            r"its own callback: models\[1\] and models\[3\]",
        ),
        ({"checkpoint": "fit.npz"}, ValueError, "each model needs its own checkpoint"),
        (
            {"each": [{"checkpoint": path} for path in ("a.npz", "b.npz", "./a.npz", "c.npz")]},
            ValueError,
            r"its own checkpoint: models\[0\] and models\[2\]",
        ),
    ],
)
def test_what_is_refused_changes_nothing(given, error, message):
    models = classifiers()
    before = [(core_of(model).get_parameters(), core_of(model).random.state()) for model in models]
    with pytest.raises(error, match=message):
        bpkern.fit_many(models, X, LABELS, **given)
    for model, (parameters, state) in zip(models, before, strict=True):
        assert model.history_ is None
        assert core_of(model).random.state() == state
        assert all(
            np.array_equal(parameters[name], now) for name, now in core_of(model).get_parameters().items()
        )


def test_models_that_are_none():
    with pytest.raises(TypeError, match=r"models must be a sequence of bpkern\.MLP, not 3"):
        bpkern.fit_many(3, X, LABELS)
    with pytest.raises(TypeError, match=r"models must be a sequence of bpkern\.MLP, not of 'net'"):
        bpkern.fit_many(["net"], X, LABELS)


def test_models_that_are_the_same():
    """A model in two threads, or two models with one generator, would depend on the order of the threads."""
    models = classifiers(2)
    with pytest.raises(ValueError, match=r"must be different: models\[0\] and models\[2\] are the same"):
        bpkern.fit_many(models * 2, X, LABELS)
    generator = np.random.default_rng(0)
    models = [bpkern.MLP([6, 3], loss="cross_entropy", seed=generator) for _ in range(2)]
    with pytest.raises(ValueError, match=r"needs its own generator: models\[0\] and models\[1\]"):
        bpkern.fit_many(models, X, LABELS)


@pytest.mark.parametrize("batches", [[(X, LABELS)], iter([(X, LABELS)])])
def test_streams_are_refused(batches):
    with pytest.raises(ValueError, match="give X and y, not batches"):
        bpkern.fit_many(classifiers(), batches, None)


def test_an_argument_of_one_model_is_told_before_any_is_trained():
    models = [*classifiers(2), bpkern.MLP([5, 3], loss="cross_entropy", seed=0)]
    with pytest.raises(ValueError, match="X must have 5 columns") as caught:
        bpkern.fit_many(models, X, LABELS)
    assert caught.value.__notes__ == ["It is about models[2] of fit_many."]
    with pytest.raises(ValueError, match="y is missing") as caught:
        bpkern.fit_many(models[:2], X, None, each=[{"y": LABELS}, {}])
    assert caught.value.__notes__ == ["It is about models[1] of fit_many."]
    assert all(model.history_ is None for model in models)


# How it ends -----------------------------------------------------------------------------------------------


class Fail(Callback):
    def __init__(self, error):
        self.error = error

    def on_epoch_end(self, model, epoch, logs):
        if epoch == 1:
            raise self.error


@pytest.mark.parametrize("n_threads", [1, 3])
def test_an_error_in_one_model_stops_no_other(n_threads):
    models, expected = classifiers(5), classifiers(5)
    models[3].optimizer = bpkern.SGD(1e30)
    own = [{} for _ in models]
    own[1] = {"callbacks": Fail(OSError("the disk is full"))}
    with pytest.raises(OSError, match="the disk is full") as caught:
        bpkern.fit_many(models, X, LABELS, epochs=4, each=own, n_threads=n_threads)
    assert caught.value.__notes__ == [
        "models[1] of fit_many raised it, and models[3] an error, too. The other models are trained."
    ]
    alone(expected, [(X, LABELS, {"epochs": 4})] * 5)
    for i in (0, 2, 4):
        assert bits(models[i]) == bits(expected[i])
    assert len(models[1].history_["loss"]) == 2
    assert all(np.isfinite(w).all() for model in models for w, _ in model.get_weights())
    with pytest.raises(bpkern.DivergedError) as caught:
        bpkern.fit_many(models[2:4], X, LABELS, epochs=4)
    assert caught.value.__notes__ == ["models[1] of fit_many raised it. The other models are trained."]
    with pytest.raises(bpkern.DivergedError) as caught:
        bpkern.fit_many(models[3:4], X, LABELS, epochs=4)
    assert caught.value.__notes__ == ["models[0] of fit_many raised it."]


def test_a_model_in_use_is_an_error_of_its_own():
    models, errors = classifiers(3), []

    def fit():
        try:
            bpkern.fit_many(models, X, LABELS)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=fit)
    with core_of(models[1]).net.writing():
        thread.start()
        thread.join()
    assert "another thread is using this model" in str(errors[0])
    assert errors[0].__notes__ == ["models[1] of fit_many raised it. The other models are trained."]
    assert models[1].history_ is None
    assert all(len(models[i].history_["loss"]) == 1 for i in (0, 2))


@pytest.mark.parametrize("from_main", [True, False])
def test_an_exit_stops_all(from_main):
    """In whichever thread it is raised."""
    together = threading.Barrier(2)

    class Exit(Where):
        def on_epoch_end(self, model, epoch, logs):
            if (threading.current_thread() is threading.main_thread()) == from_main:
                raise SystemExit(7)

    before = threading.active_count()
    models = classifiers()
    own = [{"callbacks": Exit(together)} for _ in models]
    with pytest.raises(SystemExit, match="7"):
        bpkern.fit_many(models, X, LABELS, each=own, epochs=10**9, n_threads=2)
    assert threading.active_count() == before
    assert [core_of(model).net.counts[0] > 0 for model in models] == [True, True, False, False]
    assert all(np.isfinite(w).all() for model in models for w, _ in model.get_weights())
    bpkern.fit_many(models, X, LABELS)


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt])
def test_the_rows_are_not_kept_after_an_error(kind):
    """They are freed at once, not when the garbage collector runs, which may take long."""

    class Raise(Callback):
        def on_epoch_end(self, model, epoch, logs):
            raise kind

    rows = X.copy()
    kept = weakref.ref(rows)
    gc.disable()
    try:
        with pytest.raises(kind):
            bpkern.fit_many(classifiers(), rows, LABELS, each=[{"callbacks": Raise()} for _ in range(4)])
        del rows
        assert kept() is None
    finally:
        gc.enable()


CTRL_C = """
import _thread, os, signal, sys, threading, time
import numpy as np
import bpkern
from bpkern._model.core import core_of

kind = sys.argv[1]
signal.signal(signal.SIGINT, signal.default_int_handler)
rng = np.random.default_rng(0)
X, y = rng.standard_normal((20_000, 20)).astype(np.float32), rng.integers(0, 3, 20_000)
begun = threading.Semaphore(0)


class Begun(bpkern.callbacks.Callback):
    def on_epoch_end(self, model, epoch, logs):
        if epoch == 0:
            begun.release()


class Validates(bpkern.callbacks.Callback):
    def on_batch_end(self, model, batch, logs):
        if batch == 624:  # the last one of the first epoch
            begun.release()


def loss(outputs, y):
    difference = outputs.copy()
    difference[np.arange(len(y)), y] -= 1
    return (difference**2).sum(axis=1), 2 * difference


settings = {"loss": loss if kind == "custom" else "cross_entropy"}
models = [bpkern.MLP([20, 30, 3], seed=seed, optimizer=bpkern.SGD(1e-3), **settings) for seed in range(5)]
given = {"epochs": 10**9}
if kind == "validation":  # 2**40 rows, so that nearly all the time is spent there
    many = np.lib.stride_tricks.as_strided(X, (1 << 40, 20), (0, 4))
    targets = np.lib.stride_tricks.as_strided(X, (1 << 40, 2), (0, 4))
    models = [bpkern.MLP([20, 2], loss="mse", seed=seed) for seed in range(5)]
    y, given["validation_data"] = rng.standard_normal((20_000, 2)), (many, targets)
own = [{"callbacks": (Validates if kind == "validation" else Begun)()} for _ in models]
if kind in ("helpers", "asleep"):  # the caller's thread has finished its model and waits
    own[0]["epochs"] = 1
    models, own = models[:2], own[:2]
if kind == "nested":

    class Nested(bpkern.callbacks.Callback):
        def on_epoch_end(self, model, epoch, logs):
            inner = bpkern.MLP([20, 30, 3], loss="cross_entropy", optimizer=bpkern.SGD(1e-3), seed=epoch)
            bpkern.fit_many([inner], X, y, callbacks=Begun(), epochs=10**9)

    own = [{"callbacks": Nested()} for _ in models]
pressed = []


def press():
    begun.acquire(), begun.acquire()
    pressed.append(time.perf_counter())
    if kind == "asleep":  # as if the signal had come just before the caller's thread fell asleep
        _thread.interrupt_main()
    else:
        os.kill(os.getpid(), signal.SIGINT)


threading.Thread(target=press).start()
try:
    bpkern.fit_many(models, X, y, each=own, n_threads=2, **given)
except KeyboardInterrupt:
    print(f"{time.perf_counter() - pressed[0]:.3f} s", file=sys.stderr)
    finite = all(np.isfinite(w).all() for model in models for w, _ in model.get_weights())
    trained = sum(core_of(model).net.counts[0] > 0 for model in models)
    print("interrupted", threading.active_count(), finite, trained)
    bpkern.fit_many(models, X, y)
    print("usable")
"""


@pytest.mark.parametrize("kind", ["training", "custom", "validation", "helpers", "asleep", "nested"])
def test_ctrl_c_stops_all(kind):
    """In a separate process: the main thread gets the signal and stops the others."""
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C, kind], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.splitlines() == ["interrupted 1 True 2", "usable"], done.stderr


def test_an_error_while_threads_are_started(monkeypatch):
    """Then nothing is trained, and the threads already started end."""
    start, started = threading.Thread.start, []

    def interrupt(thread):
        if len(started) == 2:
            raise KeyboardInterrupt
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupt)
    models = classifiers()
    with pytest.raises(KeyboardInterrupt):
        bpkern.fit_many(models, X, LABELS, n_threads=4)
    assert len(started) == 2
    assert not any(thread.is_alive() for thread in started)
    assert all(model.history_ is None for model in models)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_afterwards():
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    models = classifiers()
    bpkern.fit_many(models, X, LABELS, n_threads=2)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        bpkern.fit_many(models, X, LABELS, n_threads=2)
        os._exit(11)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 11


# What is shown ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("terminal", "verbose", "lines"), [(False, "auto", 0), (False, 1, 4), (True, 0, 0)])
def test_when_progress_is_shown(monkeypatch, capsys, terminal, verbose, lines):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    bpkern.fit_many(classifiers(), X, LABELS, verbose=verbose, epochs=3)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == lines


def test_a_line_a_model(capsys):
    models, own = classifiers(), [{}, {}, {}, {"callbacks": Fail(ZeroDivisionError())}]
    with pytest.raises(ZeroDivisionError):
        bpkern.fit_many(models, X, LABELS, each=own, epochs=2, n_threads=1, verbose=1)
    shown = capsys.readouterr().err.splitlines()
    for i, model in enumerate(models[:3]):
        loss, accuracy = model.history_["loss"][-1], model.history_["accuracy"][-1]
        assert shown[i] == f"model {i + 1}/4, loss {loss:.4f}, accuracy {accuracy:.4f}"
    assert shown[3] == "model 4/4"


@pytest.mark.parametrize("tqdm", [True, False])
def test_the_bar_on_a_terminal(monkeypatch, capsys, tqdm):
    if tqdm:
        pytest.importorskip("tqdm", reason="the bar is tqdm's")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bpkern.fit_many(classifiers(), X, LABELS, epochs=2)
    assert re.search(r"model 4/4, loss \d\.\d{4}", re.split(r"[\r\n]", capsys.readouterr().err.strip())[-1])
