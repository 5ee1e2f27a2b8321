"""fit_many on executors: the bits of the serial run, in the caller's objects; errors; interrupts."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import numpy as np
import pytest
from executor_helpers import Count, Die, Fail, FailWithTwo, Freeze, Keep, Record, squares
from helpers import parameter_bits

import bpkern
from bpkern._fit.carried import Carrier, MappedFile
from bpkern._fit.worker import Origin
from bpkern._model.core import core_of
from bpkern.callbacks import Callback, CSVLogger, EarlyStopping, ReduceLROnPlateau
from bpkern.inputs import NumericEmbedding, Scale

RNG = np.random.default_rng(7)
X = RNG.standard_normal((90, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, 90)
WEIGHTS = RNG.random(90)


@pytest.fixture(scope="module", params=["threads", "processes"])
def executor(request):
    if request.param == "threads":
        with ThreadPoolExecutor(2) as pool:
            yield pool
    else:  # not forked: the suite has threads
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            yield pool


def classifiers(count=3, **settings):
    settings = dict(loss="cross_entropy", optimizer=bpkern.SGD(0.05, momentum=0.9)) | settings
    return [bpkern.MLP([6, 9, 3], seed=seed, **settings) for seed in range(count)]


def bits(model):
    """All of a model's state that training continues from."""
    core = core_of(model)
    history = None if model.history_ is None else (model.history_.columns(), model.history_.iterations)
    stores = {name: core.net.get_layers(name) for name in core.net.stores()}
    states = {name: [part.tobytes() for pair in layers for part in pair] for name, layers in stores.items()}
    if core.settings.stage is not None:
        states |= {f"extra of {name}": core.net.get_extra(name).tobytes() for name in core.net.stores()}
    history = history, model.parameter_groups
    return parameter_bits(model), states, history, core.net.counts, core.net.moves, core.random.state()


def assert_as_serial(executor, make, **given):
    models, expected = make(), make()
    histories = bpkern.fit_many(models, X, LABELS, executor=executor, **given)
    serial = bpkern.fit_many(expected, X, LABELS, **given)
    assert histories == serial
    assert all(model.history_ is history for model, history in zip(models, histories, strict=True))
    assert [bits(model) for model in models] == [bits(model) for model in expected]


# The same bits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "given"),
    [
        ({}, {}),
        ({"dropout": 0.3, "optimizer": bpkern.Adam(0.01)}, {"validation_split": 0.2}),
        ({"dtype": "float64", "l2": 1e-3}, {"validation_data": (X[:20], LABELS[:20].tolist(), WEIGHTS[:20])}),
        ({"optimizer": "adagrad"}, {"sample_weight": WEIGHTS, "class_weight": "balanced", "metrics": "f1"}),
        ({}, {"clip_norm": 0.5, "accumulate": 3, "ema": 0.9, "n_threads": 2}),
        ({"optimizer": bpkern.SGD(bpkern.schedules.Cosine(0.1, iterations=20))}, {"batch_size": 1}),
        ({}, {"splits": [(range(60), range(60, 90)), ([5, 5, 7], None), (range(90), [0])]}),
        ({}, {"each": [{"epochs": 4}, {"batch_size": 90, "shuffle": False}, {"sample_weight": WEIGHTS}]}),
        ({}, {"epochs": 0}),
    ],
)
def test_each_model_ends_as_in_the_serial_run(executor, made, given):
    assert_as_serial(executor, lambda: classifiers(**made), **{"epochs": 2} | given)


@pytest.mark.parametrize("given", [{}, {"ema": 0.9}])
def test_models_with_inputs(executor, given):
    inputs = [NumericEmbedding([0, 1], hidden=3), Scale(lr_factor=6)]
    assert_as_serial(executor, lambda: classifiers(2, inputs=inputs), epochs=2, **given)


def test_groups_that_a_callback_changes_come_back(executor):
    each = [{"callbacks": Freeze()}, {"callbacks": Freeze()}]
    assert_as_serial(executor, lambda: classifiers(2), epochs=3, each=each)
    models = classifiers(2)
    bpkern.fit_many(models, X, LABELS, epochs=2, executor=executor, each=each)
    assert [model.parameter_groups[0]["frozen"] for model in models] == [True, True]


def test_models_of_all_kinds(executor):
    values = RNG.standard_normal((90, 2))

    def make():
        return [
            *classifiers(1),
            bpkern.MLP([6, 2], loss=bpkern.losses.Huber(0.5), seed=1),
            bpkern.MLP([6, 40, 20, 2], loss=squares, dtype="float64", seed=2),
            bpkern.MLP([6, 5, 1], loss="mse", seed=3),
        ]

    assert_as_serial(executor, make, each=[{}, {"y": values}, {"y": values}, {}])
    models = make()
    bpkern.fit_many(models, X, LABELS, each=[{}, {"y": values}, {"y": values}, {}], executor=executor)
    assert models[3].predict(X).shape == (90,)  # because its y was one-dimensional


def test_rows_of_any_kind(executor):
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy makes the sparse matrix")
    dense = np.where(X > 0.5, X, 0)
    expected = classifiers()
    bpkern.fit_many(expected, sparse.csr_matrix(dense), LABELS)
    for rows in (sparse.csr_matrix(dense), sparse.coo_matrix(dense)):
        models = classifiers()
        bpkern.fit_many(models, rows, LABELS, executor=executor)
        assert [bits(model) for model in models] == [bits(model) for model in expected]

    class ArrayLike:  # which pickle cannot write
        def __array__(self, dtype=None, copy=None):
            return np.array(X, dtype)

    models, expected = classifiers(), classifiers()
    bpkern.fit_many(models, ArrayLike(), LABELS, executor=executor)
    bpkern.fit_many(expected, X, LABELS)
    assert [bits(model) for model in models] == [bits(model) for model in expected]


def test_mapped_files_travel_by_name(executor, tmp_path):
    """Whole, in part, and with the header of .npy; what is changed in memory only is copied."""
    np.save(tmp_path / "X.npy", X.astype("f2"))
    rows = np.load(tmp_path / "X.npy", mmap_mode="r")
    LABELS.astype("u1").tofile(tmp_path / "y")
    labels = np.memmap(tmp_path / "y", "u1", "r")
    changed = np.load(tmp_path / "X.npy", mmap_mode="c")
    changed[:] *= 2
    parts = [(rows, labels), (rows[7:80], labels[7:80]), (rows[::2], labels[::2]), (changed, labels)]
    carried = [Carrier().rows({"X": x, "y": y, "validation_data": None}) for x, y in parts]
    assert [isinstance(each["X"], MappedFile) for each in carried] == [True, True, False, False]
    assert [isinstance(each["y"], MappedFile) for each in carried] == [True, True, False, True]
    for x, y in parts:
        given = {"validation_data": (x[:9], y[:9])}
        models, expected = classifiers(2), classifiers(2)
        bpkern.fit_many(models, x, y, executor=executor, **given)
        bpkern.fit_many(expected, np.array(x), np.array(y), **given)
        assert [bits(model) for model in models] == [bits(model) for model in expected]
    if os.name == "posix":
        (tmp_path / "X.npy").unlink()
        with pytest.raises(FileNotFoundError, match="X") as caught:
            bpkern.fit_many(classifiers(2), rows, labels, executor=executor)
        assert caught.value.__notes__ == ["models[0] of fit_many raised it, and models[1] an error, too."]


def test_training_continues(executor):
    """From a state with momentum, an average and a history, and with gradients that wait for `step`."""
    models, expected = classifiers(2), classifiers(2)
    for each, given in ((models, {"executor": executor}), (expected, {})):
        bpkern.fit_many(each, X, LABELS, ema=0.5, epochs=2)
        for model in each:
            model.backward(model.forward(X, train=True))
        bpkern.fit_many(each, X, LABELS, validation_split=0.1, **given)
        for model in each:
            model.step()
        bpkern.fit_many(each, X, LABELS, validation_split=0.1, **given)
    assert [bits(model) for model in models] == [bits(model) for model in expected]


# The caller's objects --------------------------------------------------------------------------------------


def test_the_callers_objects_change(executor):
    generator = np.random.default_rng(3)
    optimizer = bpkern.SGD(0.5)
    model = bpkern.MLP([6, 3], loss="cross_entropy", optimizer=optimizer, seed=generator)
    before = generator.bit_generator.state
    record, stopping = Record(), EarlyStopping("loss", patience=2)
    callbacks = [record, stopping, ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.2)]
    bpkern.fit_many([model], X, LABELS, epochs=30, callbacks=callbacks, executor=executor)
    assert generator.bit_generator.state != before
    assert model.optimizer is optimizer
    assert optimizer.lr < 0.5
    assert record.losses == model.history_["loss"]
    assert stopping.best_ == min(record.losses)
    assert model.stop_training is (len(record.losses) < 30)
    again = bpkern.MLP([6, 3], loss="cross_entropy", optimizer=bpkern.SGD(0.5), seed=np.random.default_rng(3))
    again.fit(X, LABELS, epochs=30, callbacks=[Record(), EarlyStopping("loss", patience=2), callbacks[2]])
    assert bits(model) == bits(again)


@pytest.mark.parametrize("given", [{}, {"ema": 0.8}, {"validation_split": 0.2}])
def test_a_fit_in_a_callback(executor, given):
    """Of the same model, whose own fit goes on afterwards."""

    class Nested(Callback):
        def __init__(self, executor):
            self.executor = executor

        def on_epoch_end(self, model, epoch, logs):
            if epoch == 1:
                stopping = EarlyStopping("loss", patience=1, min_delta=9.0)
                bpkern.fit_many([model], X, LABELS, epochs=5, callbacks=stopping, executor=self.executor)

    [model], [expected] = classifiers(1, dropout=0.1), classifiers(1, dropout=0.1)
    model.fit(X, LABELS, epochs=4, callbacks=Nested(executor), **given)
    expected.fit(X, LABELS, epochs=4, callbacks=Nested(None), **given)
    assert len(model.history_["loss"]) == 4
    assert bits(model) == bits(expected)


def test_an_optimizer_that_a_callback_replaces(executor):
    [model], [expected] = classifiers(1), classifiers(1)
    bpkern.fit_many([model], X, LABELS, epochs=3, callbacks=Record(replace=True), executor=executor)
    expected.fit(X, LABELS, epochs=3, callbacks=Record(replace=True))
    assert isinstance(model.optimizer, bpkern.Adam)
    assert model.optimizer.lr == 0.02
    assert bits(model) == bits(expected)


def test_checkpoints_and_logs_are_those_of_the_serial_run(executor, tmp_path):
    """The serial run resumes from a checkpoint of a worker, which so has the fingerprint of the same fit."""

    def each(folder):
        return [
            {"checkpoint": folder / f"{i}.npz", "callbacks": CSVLogger(folder / f"{i}.csv")} for i in range(2)
        ]

    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    models, expected = classifiers(2), classifiers(2)
    bpkern.fit_many(models, X, LABELS, epochs=2, each=each(tmp_path / "a"), executor=executor)
    bpkern.fit_many(expected, X, LABELS, epochs=2, each=each(tmp_path / "b"))
    for i in range(2):
        assert (tmp_path / "a" / f"{i}.csv").read_text() == (tmp_path / "b" / f"{i}.csv").read_text()
    other = bpkern.MLP([6, 9, 3], loss="cross_entropy", optimizer=models[0].optimizer, seed=5)
    with pytest.raises(ValueError, match="seed"):
        other.fit(X, LABELS, epochs=4, **each(tmp_path / "a")[0], resume=True)
    again = classifiers(2)
    bpkern.fit_many(again, X, LABELS, epochs=4, each=each(tmp_path / "a"), resume=True)
    straight = classifiers(2)
    bpkern.fit_many(straight, X, LABELS, epochs=4)
    assert [bits(model) for model in again] == [bits(model) for model in straight]


def test_progress(executor, capsys):
    models = classifiers()
    bpkern.fit_many(models, X, LABELS, executor=executor, verbose=1)
    shown = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in shown] == ["model 1/3", "model 2/3", "model 3/3"]
    assert sorted(line.split("loss ")[1][:6] for line in shown) == sorted(
        f"{model.history_['loss'][-1]:.4f}" for model in models
    )
    assert bpkern.fit_many([], X, LABELS, executor=executor) == []


# What is refused -------------------------------------------------------------------------------------------


def test_what_is_no_executor():
    class Client:
        def get_executor(self):
            pass

    with pytest.raises(TypeError, match=r"executor must be a concurrent\.futures\.Executor, not 4"):
        bpkern.fit_many(classifiers(), X, LABELS, executor=4)
    with pytest.raises(TypeError, match=r"pass its get_executor\(\)"):
        bpkern.fit_many(classifiers(), X, LABELS, executor=Client())


def test_what_cannot_travel(executor):
    class OwnGenerator(np.random.Generator):
        pass

    def unpicklable():
        callback = Record()
        callback.lock = threading.Lock()
        return callback

    models = classifiers()
    before = [bits(model) for model in models]
    own = [{}, {"callbacks": [Record(), unpicklable()]}, {}]
    with pytest.raises(TypeError, match=r"its callback <.*Record object.* cannot be pickled") as caught:
        bpkern.fit_many(models, X, LABELS, each=own, executor=executor)
    assert caught.value.__notes__ == ["It is about models[1] of fit_many."]
    models[0].note = threading.Lock()
    with pytest.raises(TypeError, match=r"its model MLP.* cannot be pickled"):
        bpkern.fit_many(models, X, LABELS, executor=executor)
    own_generator = bpkern.MLP([6, 3], loss="cross_entropy", seed=OwnGenerator(np.random.PCG64(0)))
    with pytest.raises(ValueError, match=r"must be a numpy\.random\.Generator .* not a OwnGen"):
        bpkern.fit_many([own_generator], X, LABELS, executor=executor)
    assert [bits(model) for model in models] == before
    with pytest.raises(ValueError, match="give X and y, not batches"):
        bpkern.fit_many(models, [(X, LABELS)], None, executor=executor)


def test_functions_of_functions_travel_by_cloudpickle(executor):
    pytest.importorskip("cloudpickle", reason="pickle writes no lambda")
    rate = bpkern.SGD(lambda iteration: 0.1 / (1 + iteration))
    assert_as_serial(executor, lambda: classifiers(optimizer=rate), epochs=2)


def test_workers_that_would_compute_other_bits():
    here = Origin.here()
    here.check()
    with pytest.raises(RuntimeError, match=f"a worker has bpkern {here.version}, and .* 9.9: other bits"):
        Origin("9.9", here.isa).check()
    with pytest.raises(RuntimeError, match=f"a worker computes with {here.isa}, and .* with vax: other bits"):
        Origin(here.version, "vax").check()


# How it ends -----------------------------------------------------------------------------------------------


def test_an_error_in_one_model_stops_no_other(executor):
    models, expected = classifiers(5), classifiers(5)
    models[3].optimizer, expected[3].optimizer = bpkern.SGD(1e30), bpkern.SGD(1e30)

    def own():
        return [{}, {"callbacks": Fail(OSError(28, "the disk is full"))}, {}, {}, {}]

    with pytest.raises(OSError, match="the disk is full") as caught:
        bpkern.fit_many(models, X, LABELS, epochs=4, each=own(), executor=executor)
    with pytest.raises(OSError, match="the disk is full"):
        bpkern.fit_many(expected, X, LABELS, epochs=4, each=own())
    assert caught.value.errno == 28
    traceback, note = caught.value.__notes__
    assert (
        note == "models[1] of fit_many raised it, and models[3] an error, too. The other models are trained."
    )
    assert traceback.startswith("In the worker:\nTraceback")
    assert "executor_helpers.py" in traceback
    assert [bits(model) for model in models] == [bits(model) for model in expected]
    with pytest.raises(bpkern.DivergedError) as caught:
        bpkern.fit_many(models[2:4], X, LABELS, epochs=4, executor=executor)
    with pytest.raises(bpkern.DivergedError) as serial:
        bpkern.fit_many(expected[2:4], X, LABELS, epochs=4)
    assert (caught.value.epoch, caught.value.iteration) == (serial.value.epoch, serial.value.iteration)
    assert caught.value.__notes__[-1] == "models[1] of fit_many raised it. The other models are trained."


def test_errors_that_cannot_travel(executor):
    with pytest.raises(RuntimeError, match=r"^TwoArguments: one and two"):
        bpkern.fit_many(classifiers(1), X, LABELS, callbacks=FailWithTwo(), executor=executor)
    [model], [expected] = classifiers(1), classifiers(1)
    with pytest.raises(TypeError, match="what the callbacks hold after the fit cannot be pickled"):
        bpkern.fit_many([model], X, LABELS, callbacks=Keep(), executor=executor)
    expected.fit(X, LABELS)
    assert bits(model) == bits(expected)


def test_a_model_in_use_is_an_error_of_its_own(executor):
    models = classifiers(3)
    with ThreadPoolExecutor(1) as other:
        leave, entered = other.submit, []

        def enter():
            section = core_of(models[1]).net.writing()
            section.__enter__()
            entered.append(section)

        leave(enter).result()
        with pytest.raises(RuntimeError, match="another thread is using this model") as caught:
            bpkern.fit_many(models, X, LABELS, executor=executor)
        leave(lambda: entered[0].__exit__(None, None, None)).result()
    assert caught.value.__notes__[-1].endswith("raised it. The other models are trained.")
    assert models[1].history_ is None
    assert all(len(models[i].history_["loss"]) == 1 for i in (0, 2))


def test_a_worker_that_dies():
    """The models whose fits have not come back are as before."""
    models = classifiers(2)
    before = bits(models[1])
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        own = [{"epochs": 2}, {"callbacks": Die()}]
        with pytest.raises(BrokenProcessPool) as caught:
            bpkern.fit_many(models, X, LABELS, each=own, executor=pool)
        assert "models[1] of fit_many raised it" in caught.value.__notes__[-1]
        assert bits(models[1]) == before
        with pytest.raises(BrokenProcessPool):
            bpkern.fit_many(models, X, LABELS, executor=pool)
    bpkern.fit_many(models, X, LABELS)


def test_an_executor_that_was_shut_down():
    models = classifiers(2)
    before = [bits(model) for model in models]
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown") as caught:
        bpkern.fit_many(models, X, LABELS, executor=pool)
    assert caught.value.__notes__ == ["models[0] of fit_many raised it, and models[1] an error, too."]
    assert [bits(model) for model in models] == before


def test_an_exit_stops_all(executor, tmp_path):
    """The others end as of a finished step; those that had not begun are as before."""
    path = tmp_path / "begun"
    models = classifiers(6)
    own = [{"callbacks": [Count(path)], "epochs": 10**9} for _ in models]
    own[0]["callbacks"].append(Fail(SystemExit(7), 400))
    own[0]["epochs"] += 1  # which begins first
    with pytest.raises(SystemExit, match="7"):
        bpkern.fit_many(models, X, LABELS, each=own, executor=executor)
    begun = len(path.read_bytes())
    assert begun < 6
    counts = [core_of(model).net.counts[0] for model in models]
    assert counts[0] == 401 * 3
    assert sum(count > 0 for count in counts) == begun
    assert all(np.isfinite(w).all() for model in models for w, _ in model.get_weights())
    bpkern.fit_many(models, X, LABELS, executor=executor)


CTRL_C = """
import _thread, os, signal, sys, tempfile, threading, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import numpy as np
import bpkern
from bpkern._model.core import core_of
from executor_helpers import Count

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tempfile.tempdir, path = sys.argv[1], os.path.join(sys.argv[1], "begun")
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((5000, 20)).astype(np.float32), rng.integers(0, 3, 5000)
    models = [bpkern.MLP([20, 30, 3], loss="cross_entropy", seed=seed) for seed in range(5)]
    own = [{"callbacks": Count(path)} for _ in models]

    def press():
        while not os.path.exists(path) or os.path.getsize(path) < 2:
            time.sleep(0.01)
        _thread.interrupt_main()  # as if the signal had come just before that thread fell asleep

    threading.Thread(target=press).start()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        try:
            bpkern.fit_many(models, X, y, epochs=10**9, each=own, executor=pool)
        except KeyboardInterrupt:
            trained = sum(core_of(model).net.counts[0] > 0 for model in models)
            finite = all(np.isfinite(w).all() for model in models for w, _ in model.get_weights())
            print("interrupted", trained, finite, os.listdir(sys.argv[1]))
        bpkern.fit_many(models, X, y, executor=pool)
        print("usable")
"""


def test_ctrl_c(tmp_path):
    """Of the caller alone, as from a notebook: the workers stop, and none of them trains on."""
    script = tmp_path / "script.py"
    script.write_text(CTRL_C)
    (tmp_path / "temporary").mkdir()
    done = subprocess.run(
        [sys.executable, script, tmp_path / "temporary"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == ["interrupted 2 True ['begun']", "usable"], done.stderr


def test_nothing_is_imported_without_an_executor():
    code = (
        "import sys, numpy as np, bpkern; m = bpkern.MLP([2, 2], loss='mse'); x = np.zeros((9, 2));"
        "bpkern.fit_many([m], x, x); print('concurrent' in sys.modules, 'bpkern._fit.worker' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
