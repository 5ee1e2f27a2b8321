"""A file, pickle or copy of a model is complete: it predicts and continues training to the same bits."""

import copy
import json
import pickle
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import ISAS, using

import bpkern
from bpkern import _core, losses, schedules
from bpkern._files import container
from bpkern._model.core import core_of

RNG = np.random.default_rng(0)
X = RNG.standard_normal((70, 5))
LABELS = RNG.integers(0, 3, 70)
VALUES = RNG.standard_normal((70, 3))


def squares(outputs, y):
    """A user's loss."""
    difference = outputs - y
    return (difference**2).sum(axis=1), 2 * difference


def falling(iteration):
    """A user's learning rate."""
    return 0.01 / (1 + iteration)


class Halving(schedules.Schedule):
    """A user's schedule."""

    names = ()
    __slots__ = ()

    def _rate(self, t):
        return 0.02 * 0.5 ** (t / 50)


class Named(bpkern.MLP):
    """A subclass with its own constructor."""

    def __init__(self, name):
        super().__init__([5, 4, 3], loss="cross_entropy", seed=3)
        self.name = name


def by_npz(model, folder, **given):
    model.save(folder / "net.npz")
    return type(model).load(folder / "net.npz", **given)


def by_safetensors(model, folder, **given):
    pytest.importorskip("safetensors", reason="safetensors reads and writes these files")
    model.save(folder / "net.safetensors")
    return type(model).load(folder / "net.safetensors", **given)


def by_pickle(model, folder):
    return pickle.loads(pickle.dumps(model))


def by_joblib(model, folder):
    joblib = pytest.importorskip("joblib", reason="joblib comes with scikit-learn")
    joblib.dump(model, folder / "net.joblib", compress=3)
    return joblib.load(folder / "net.joblib")


FILES = [by_npz, by_safetensors]
COPIES = [
    by_pickle,
    by_joblib,
    lambda model, folder: copy.copy(model),
    lambda model, folder: copy.deepcopy(model),
    lambda model, folder: model.copy(),
]
NAMES = ["npz", "safetensors", "pickle", "joblib", "copy", "deepcopy", "model.copy"]


@pytest.fixture(params=FILES + COPIES, ids=NAMES)
def way(request):
    return request.param


@pytest.fixture(params=FILES, ids=NAMES[:2])
def file_way(request):
    return request.param


def make(layers=(5, 9, 6, 3), loss="cross_entropy", seed=7, **settings):
    return bpkern.MLP(list(layers), loss=loss, seed=seed, **settings)


def bits(model):
    """All parameters, optimiser states and averages that the model has."""
    net = core_of(model).net
    stores = {name: [a.tobytes() for pair in net.get_layers(name) for a in pair] for name in net.stores()}
    return stores, net.counts


def same(model, other, y=LABELS):
    """The two models are the same, and stay so after more training."""
    assert repr(other) == repr(model)
    assert bits(other) == bits(model)
    assert other.dtype == model.dtype
    assert other.predict(X).tobytes() == model.predict(X).tobytes()
    assert other.predict(X).shape == model.predict(X).shape
    assert same_history(model.history_, other.history_)


def same_history(history, other):
    if history is None:
        return other is None
    return (
        type(other) is bpkern.History
        and list(history.items()) == list(other.items())
        and (history.lr, history.iterations) == (other.lr, other.iterations)
    )


def check(model, way, folder, y=LABELS, fit=None, **given):
    """Train a model, make another by `way`, and compare them through more training and after reset."""
    fit = {"epochs": 2, "batch_size": 8, **(fit or {})}
    model.fit(X, y, **fit)
    other = way(model, folder, **given)
    same(model, other)
    assert other.stop_training is False
    model.fit(X, y, **fit)
    assert bits(other) != bits(model)  # they share no arrays
    other.fit(X, y, **fit)
    same(model, other)
    model.train_on_batch(X[:9], y[:9])
    other.train_on_batch(X[:9], y[:9])
    same(model, other)
    model.reset()
    other.reset()
    same(model, other)
    model.fit(X, y, **fit)
    other.fit(X, y, **fit)
    same(model, other)
    return other


OPTIMIZERS = [
    bpkern.SGD(lr=0.1),
    bpkern.SGD(lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    bpkern.RMSprop(lr=0.005, alpha=0.9, momentum=0.5, centered=True),
    bpkern.RMSprop(lr=0.005, weight_decay=0.01),
    bpkern.Adagrad(lr=0.05, lr_decay=0.1, initial_accumulator_value=0.3),
    bpkern.Adam(lr=0.01, betas=(0.8, 0.95), eps=1e-6),
    bpkern.Adam(lr=0.01, amsgrad=True, weight_decay=0.02),
    bpkern.AdamW(lr=0.01, weight_decay=0.1, amsgrad=True),
    bpkern.Adam(lr=0.01, eps=0.1, eps_hat=True),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_optimizers(optimizer, way, tmp_path):
    other = check(make(optimizer=optimizer), way, tmp_path)
    assert type(other.optimizer) is type(optimizer)
    assert other.optimizer.settings() == optimizer.settings()


SCHEDULES = [
    schedules.Step(0.1, 10, 0.5),
    schedules.Exponential(0.1, 0.99),
    schedules.InverseScaling(0.1, power=0.4),
    schedules.Cosine(0.1, 30, warmup=5, restarts=3),
    schedules.OneCycle(0.1, 90),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_schedules(schedule, way, tmp_path):
    other = check(make(optimizer=bpkern.Adam(lr=schedule)), way, tmp_path)
    assert other.optimizer.lr == schedule
    assert len(set(other.history_.lr)) > 1


LOSSES = [
    ("mse", VALUES),
    ("squared_error", VALUES),
    ("mae", VALUES),
    ("huber", VALUES),
    ("quantile", VALUES),
    ("poisson", np.abs(VALUES)),
    ("binary_cross_entropy", (VALUES > 0).astype(float)),
    (losses.Huber(0.3), VALUES),
    (losses.Huber([0.3, 1.0, 2.0]), VALUES),
    (losses.Quantile(0.9), VALUES),
    (losses.Quantile((0.1, 0.5, 0.9)), VALUES),
    (losses.Quantile(np.array([0.1, 0.5, 0.9])), VALUES),
]


@pytest.mark.parametrize(("loss", "y"), LOSSES, ids=lambda value: repr(value)[:30])
def test_losses(loss, y, way, tmp_path):
    model = make(loss=loss)
    model.fit(X, y)
    other = way(model, tmp_path)
    assert type(core_of(other).settings.given_loss) is type(loss)
    assert bits(other) == bits(model)
    assert np.array_equal(other.losses(X, y), model.losses(X, y))
    model.fit(X, y)
    other.fit(X, y)
    assert bits(other) == bits(model)


@pytest.mark.parametrize(
    "settings",
    [
        dict(dropout=0.3),
        dict(dropout=[0.0, 0.5], l1=1e-3, l2=1e-2, label_smoothing=0.1),
        dict(dtype="float64"),
        dict(activation="tanh", output_activation="leaky_relu"),
        dict(activation=["gelu", "silu"], init="orthogonal"),
        dict(init="he_normal"),
        dict(layers=(5, 3)),
    ],
    ids=repr,
)
def test_settings(settings, way, tmp_path):
    check(make(optimizer=bpkern.Adam(), **settings), way, tmp_path)


@pytest.mark.parametrize(
    "fit",
    [
        dict(ema=0.9),
        dict(validation_split=0.25, metrics=["accuracy", "f1"]),
        dict(clip_norm=0.5, clip_value=0.1, accumulate=3),
        dict(class_weight="balanced", sample_weight=np.arange(70) % 4),
        dict(shuffle=False, validation_data=(X[:20], LABELS[:20])),
    ],
    ids=lambda fit: ",".join(fit),
)
def test_fits(fit, way, tmp_path):
    check(make(optimizer=bpkern.Adam(lr=0.01), dropout=0.2), way, tmp_path, fit=fit)


def test_the_validation_split_is_the_same_rows_as_before(way, tmp_path):
    model = make()
    model.fit(X, LABELS, validation_split=0.3)
    other = way(model, tmp_path)
    split = core_of(model).random.split(70, 0.3, LABELS)
    assert all(map(np.array_equal, split, core_of(other).random.split(70, 0.3, LABELS)))


def test_an_average_and_what_is_trained_beside_it(way, tmp_path):
    model = make(optimizer=bpkern.SGD(lr=0.1, momentum=0.9))
    model.fit(X, LABELS, ema=0.95)
    other = way(model, tmp_path)
    average, trained = (core_of(other).net.get_layers(store)[0][0] for store in ("average", "parameters"))
    assert not np.array_equal(average, trained)
    assert np.array_equal(other.get_weights()[0][0], average)
    assert np.array_equal(core_of(model).net.get_layers("parameters")[0][0], trained)
    # The next fit continues from the trained weights, not from the average.
    model.fit(X, LABELS)
    other.fit(X, LABELS)
    assert bits(other) == bits(model)
    assert "average" not in core_of(other).net.stores()


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_generators(kind, way, tmp_path):
    generator = np.random.Generator(getattr(np.random, kind)(5))
    generator.integers(10, dtype=np.uint32)  # the generator keeps half a word for the next number
    model = make(seed=generator, dropout=0.1)
    other = check(model, way, tmp_path, fit={"validation_split": 0.2})
    assert type(core_of(other).random.generator.bit_generator).__name__ == kind
    assert core_of(other).random.generator is not generator


@pytest.mark.parametrize("seed", [0, 2**200, np.random.SeedSequence(4, spawn_key=(1,)), None], ids=repr)
def test_seeds(seed, way, tmp_path):
    check(make(seed=seed), way, tmp_path)


def test_a_generator_that_no_file_holds(tmp_path):
    model = make()
    of_somebody_else = SimpleNamespace(state={"bit_generator": "Mine"})
    core_of(model).random.generator = SimpleNamespace(bit_generator=of_somebody_else)
    for way in (by_npz, by_pickle, lambda model, folder: model.copy()):
        with pytest.raises(ValueError, match="unknown bit generator 'Mine'"):
            way(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_initial_arrays(way, tmp_path):
    weights = make(layers=(5, 4, 3), seed=9).get_weights()
    model = make(layers=(5, 4, 3), init=weights)
    other = check(model, way, tmp_path)
    other.reset()
    assert all(
        np.array_equal(a, b)
        for p, q in zip(other.get_weights(), weights, strict=True)
        for a, b in zip(p, q, strict=True)
    )


def test_before_and_without_training(way, tmp_path):
    model = make(optimizer=bpkern.Adagrad(initial_accumulator_value=0.5))
    other = way(model, tmp_path)
    assert other.history_ is None
    assert bits(other) == bits(model)
    model.fit(X, LABELS)
    other.fit(X, LABELS)
    assert bits(other) == bits(model)
    empty = make()
    empty.fit(X, LABELS, epochs=0)
    assert same_history(way(empty, tmp_path).history_, bpkern.History())


def test_a_y_of_one_dimension(way, tmp_path):
    model = make(layers=(5, 4, 1), loss="mse")
    model.fit(X, VALUES[:, 0])
    assert way(model, tmp_path).predict(X).shape == (70,)
    model.fit(X, VALUES[:, :1])
    assert way(model, tmp_path).predict(X).shape == (70, 1)


def test_values_of_a_history_that_are_not_finite(way, tmp_path):
    def unknown(y, predicted):
        return np.nan

    def endless(y, predicted):
        return -np.inf

    model = make(layers=(5, 3), loss="mse")
    model.fit(X, VALUES, metrics=[unknown, endless], epochs=2)
    history = way(model, tmp_path).history_
    assert str(dict(history)) == str(dict(model.history_))
    assert str(history["unknown"]) == "[nan, nan]"
    assert str(history["endless"]) == "[-inf, -inf]"


def test_a_rate_that_was_changed(way, tmp_path):
    model = make()
    model.optimizer.lr = np.float32(0.3)
    other = way(model, tmp_path)
    assert other.optimizer.lr == np.float32(0.3)
    other.optimizer.lr = 0.5
    model.optimizer.lr = 0.5
    model.fit(X, LABELS)
    other.fit(X, LABELS)
    assert bits(other) == bits(model)


def test_what_a_copy_shares():
    model = make(loss=squares)
    assert model.copy().optimizer is model.optimizer
    assert core_of(model.copy()).settings.custom_loss is squares
    assert copy.deepcopy(model).optimizer is not model.optimizer
    twins = copy.deepcopy([model, model])
    assert twins[0] is twins[1]


def test_steps_by_hand_go_on(way, tmp_path):
    model = make(loss="mse", dropout=0.4, optimizer=bpkern.Adam())

    def step(model):
        model.backward((model.forward(X, train=True) - VALUES) / 70)
        model.step()

    step(model)
    other = way(model, tmp_path)
    step(model)
    step(other)
    assert bits(other) == bits(model)
    # Stored gradients that no step has applied are not saved.
    model.backward((model.forward(X, train=True) - VALUES) / 70)
    with pytest.raises(RuntimeError, match="step spends the gradients"):
        way(model, tmp_path).step()


def test_models_that_were_blended_or_given_weights(way, tmp_path):
    model, given = make(optimizer=bpkern.Adam()), make(seed=8)
    model.fit(X, LABELS)
    model.polyak_update(given, 0.25)
    other = way(model, tmp_path)
    assert bits(other) == bits(model)
    model.set_weights(given.get_weights())
    model.fit(X, LABELS)
    other.set_weights(given.get_weights())
    other.fit(X, LABELS)
    assert bits(other) == bits(model)


# Python functions ------------------------------------------------------------------------------------------


def test_a_loss_of_ones_own(file_way, tmp_path):
    model = make(loss=squares)
    with pytest.raises(
        ValueError, match=r"net\.\w+: the model has a Python function as its loss.*give loss="
    ):
        file_way(model, tmp_path)
    model.fit(X, VALUES)
    other = file_way(model, tmp_path, loss=squares)
    assert bits(other) == bits(model)
    model.fit(X, VALUES)
    other.fit(X, VALUES)
    assert bits(other) == bits(model)
    for copied in (by_pickle(model, tmp_path), by_joblib(model, tmp_path)):
        assert core_of(copied).settings.custom_loss is squares
        assert bits(copied) == bits(model)


@pytest.mark.parametrize("lr", [falling, Halving()], ids=["function", "schedule"])
def test_a_learning_rate_of_ones_own(file_way, tmp_path, lr):
    model = make(optimizer=bpkern.Adam(lr=lr))
    model.fit(X, LABELS)
    with pytest.raises(ValueError, match=r"net\.\w+: .*learning rate.*give optimizer="):
        file_way(model, tmp_path)
    other = file_way(model, tmp_path, optimizer=bpkern.Adam(lr=lr))
    copied = by_pickle(model, tmp_path)
    for each in (model, other, copied):
        each.fit(X, LABELS)
    assert bits(other) == bits(model) == bits(copied)


def test_functions_that_no_pickle_holds(tmp_path):
    model = make(loss=lambda outputs, y: squares(outputs, y))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(model)
    assert bits(model.copy()) == bits(model)
    assert bits(copy.deepcopy(model)) == bits(model)


def test_another_loss_or_optimizer(file_way, tmp_path):
    model = make(layers=(5, 1), loss="mse", optimizer=bpkern.Adam())
    model.fit(X, VALUES[:, 0])
    other = file_way(model, tmp_path, loss=losses.Huber(), optimizer=bpkern.SGD(lr=0.5))
    assert (other.loss, other.optimizer.settings()) == ("huber", bpkern.SGD(lr=0.5).settings())
    assert other.forward(X).tobytes() == model.forward(X).tobytes()
    with pytest.raises(ValueError, match="unknown loss 'mean'"):
        file_way(model, tmp_path, loss="mean")
    with pytest.raises(TypeError, match="loss must be a name"):
        file_way(model, tmp_path, loss=3)
    assert file_way(model, tmp_path, optimizer="sgd").optimizer.settings() == bpkern.SGD().settings()
    with pytest.raises(TypeError, match="optimizer must be one of"):
        file_way(model, tmp_path, optimizer=3)


def test_another_kind_of_optimizer_starts_without_the_states_of_the_old_one(file_way, tmp_path):
    model = make(optimizer=bpkern.Adam())
    model.fit(X, LABELS)
    other = file_way(model, tmp_path, optimizer=bpkern.SGD(lr=0.1, momentum=0.9))
    assert core_of(other).net.stores() == ["parameters"]
    # An optimiser of the same kind keeps them, and creates the further ones that it needs.
    third = file_way(model, tmp_path, optimizer=bpkern.Adam(amsgrad=True))
    assert bits(third) == bits(model)
    model.optimizer = bpkern.SGD(lr=0.1, momentum=0.9)
    for each in (model, other, third):
        each.fit(X, LABELS)
    assert bits(other) == bits(model)
    assert "u" in core_of(third).net.stores()


def test_subclasses_and_attributes_of_others(way, tmp_path):
    model = Named("iris")
    model.classes_ = np.array(["a", "b", "c"])
    model.fit(X, LABELS)
    other = way(model, tmp_path)
    assert type(other) is Named
    assert bits(other) == bits(model)
    # Files hold only the model, not attributes that users add.
    if way not in FILES:
        assert other.name == "iris"
        assert list(other.classes_) == ["a", "b", "c"]


def test_pickles_of_histories_and_settings():
    model = make()
    history = pickle.loads(pickle.dumps(model.fit(X, LABELS, epochs=2)))
    assert same_history(model.history_, history)
    for settings in (*OPTIMIZERS, *SCHEDULES, losses.Huber(2.0)):
        assert repr(pickle.loads(pickle.dumps(settings))) == repr(settings)


# Instruction sets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ISAS)
def test_a_file_of_another_instruction_set(isa, after, way, tmp_path, dtype):
    """Its blocks have another layout."""
    if after not in _core.available_isas():
        pytest.skip(f"this processor has no {after}")
    model = make(layers=(5, 50, 17, 3), dtype=dtype, optimizer=bpkern.Adam(amsgrad=True), dropout=0.2)
    model.fit(X, LABELS, ema=0.9)
    with using(after):
        other = way(model, tmp_path)
        assert bits(other) == bits(model)
        before = other.fit(X, LABELS, epochs=3)["loss"]
    history = model.fit(X, LABELS, epochs=3)["loss"]
    assert before == pytest.approx(history, rel=1e-3 if dtype == "float32" else 1e-9)


def test_an_older_file_without_a_setting_of_the_optimizer(tmp_path):
    path = tmp_path / "net.npz"
    for optimizer in (bpkern.Adam(0.01, amsgrad=True), bpkern.AdamW(0.01)):
        model = make(optimizer=optimizer)
        model.fit(X, LABELS, checkpoint=path, verbose=0)
        config, arrays = container.read(path)
        assert config["model"]["optimizer"].pop("eps_hat") is False
        container.write(path, config, arrays)
        same(model, bpkern.MLP.load(path))
        resumed = make(optimizer=optimizer)
        model.fit(X, LABELS, verbose=0)
        resumed.fit(X, LABELS, epochs=2, checkpoint=path, resume=True, verbose=0)
        assert bits(resumed) == bits(model)


# Files that are not models ---------------------------------------------------------------------------------


def test_files_of_other_things(tmp_path):
    path = tmp_path / "other.npz"
    for write in (
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(b"PK\3\4" * 30),
        lambda: path.write_text("weights"),
        lambda: np.savez(path, **{"0.weight": np.zeros((2, 2)), "0.bias": np.zeros(2)}),
        lambda: np.savez_compressed(path, a=1),
        lambda: path.write_bytes(pickle.dumps(make())),
        lambda: container.write(path, {}, {}),
        lambda: container.write(path, {"model": {}, "training": {}}, {"0.weight": np.zeros((2, 2))}),
        lambda: container.write(path, {"model": [], "training": None}, {}),
    ):
        write()
        with pytest.raises(ValueError, match=r"other\.npz"):
            bpkern.MLP.load(path)
    with pytest.raises(FileNotFoundError):
        bpkern.MLP.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="must end in"):
        bpkern.MLP.load(tmp_path / "net.pt")


def saved(folder):
    """(path, configuration, arrays) of a file that holds everything a file can hold."""
    weights = make(layers=(5, 4, 3)).get_weights()
    optimizer = bpkern.Adam(lr=schedules.Cosine(0.01, 20), amsgrad=True)
    model = make(layers=(5, 4, 3), init=weights, optimizer=optimizer, dropout=0.1)
    model.fit(X, LABELS, ema=0.9, validation_split=0.2)
    model.save(folder / "net.npz")
    return folder / "net.npz", *container.read(folder / "net.npz")


def test_arrays_that_do_not_belong(tmp_path):
    path, config, arrays = saved(tmp_path)
    assert {name.split(".")[0] for name in arrays} == {"0", "1", "trained", "m", "v", "u", "init", "history"}
    # An untrained model has neither optimiser states nor an average, so each may be missing as a whole.
    wholes = {"m.0.weight", "v.0.weight", "u.0.weight", "trained.0.weight"}
    for name in set(arrays) - wholes:
        container.write(path, config, {other: arrays[other] for other in arrays if other != name})
        with pytest.raises(ValueError, match=r"net\.npz"):
            bpkern.MLP.load(path)
    for name, array in arrays.items():
        wrong = [np.zeros((*array.shape, 1)), np.full(array.shape, np.nan), array[:-1], np.zeros(())]
        if name.startswith("history."):  # lists of float64, of any lengths
            wrong = [wrong[0], array.astype(np.float32), wrong[3]]
        for other in wrong:
            container.write(path, config, {**arrays, name: other})
            with pytest.raises(ValueError, match=r"net\.npz"):
                bpkern.MLP.load(path)


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    yield path


def changed(config, path, value):
    """A copy of the configuration with one value changed, or removed if the new value is `...`."""
    config = json.loads(json.dumps(config))
    place = config
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return config


WRONG = (..., None, -1, 2**70, 10**400, 1.5, "", "nan", [], [10**9, 10**9], {}, {"dtype": "O"}, True)


@pytest.mark.parametrize("seed", [7, "MT19937", "Philox", "SFC64"])
def test_configurations_that_do_not_belong(tmp_path, seed):
    """Any value in any place gives a model or a ValueError, and never a model of another size."""
    path, config, arrays = saved(tmp_path)
    if isinstance(seed, str):
        generator = np.random.Generator(getattr(np.random, seed)(1))
        config["training"]["random"] = core_of(make(seed=generator)).random.config()
    tried = named = accepted = 0
    for place in leaves(config):
        for value in WRONG if place else ():
            tried += 1
            container.write(path, changed(config, place, value), arrays)
            try:
                model = bpkern.MLP.load(path)
            except ValueError as error:
                named += str(path) in str(error)
            else:
                accepted += 1
                assert model.layers == [5, 4, 3]
    assert named + accepted == tried
    assert accepted < tried / 4


def test_a_size_is_believed_where_its_arrays_are_there(tmp_path):
    path, config, arrays = saved(tmp_path)
    config["model"]["init"] = "auto"
    for layers in ([5, 4, 10**6], [10**9, 10**9], [2**62, 4, 3], [5] * 10**4):
        config["model"]["layers"] = layers
        config["model"]["activation"] = ["relu"] * (len(layers) - 2)
        config["model"]["dropout"] = [0.0] * (len(layers) - 2)
        container.write(path, config, arrays)
        with pytest.raises(ValueError, match=r"net\.npz"):
            bpkern.MLP.load(path)


OPENED = """
import sys
import bpkern

# The first use reads modules and tables.
bpkern.MLP.load(sys.argv[1]).predict([[0.0] * 5])
seen = []
sys.addaudithook(lambda event, arguments: seen.append((event, arguments)))
model = bpkern.MLP.load(sys.argv[2])
seen.append(("end", ()))
watched = ("open", "exec", "compile", "import", "pickle.", "os.", "subprocess.", "socket.", "ctypes.")
for event, arguments in seen:
    if event == "end":
        break
    # A number is a file that is open already.
    if event.startswith(watched) and not (event == "open" and isinstance(arguments[0], int)):
        print(event, arguments[0] if arguments else "")
"""


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_loading_opens_no_other_file_and_runs_nothing(tmp_path, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors reads and writes these files")
    paths = [tmp_path / f"{name}{suffix}" for name in ("first", "second")]
    for path in paths:
        model = make(optimizer=bpkern.Adam(lr=schedules.Step(0.1, 5)), loss=losses.Huber(), dropout=0.1)
        model.fit(X, VALUES, ema=0.9)
        model.save(path)
    command = [sys.executable, "-c", OPENED, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"open {paths[1]}"]


def test_a_model_in_training_is_not_saved_by_another_thread(tmp_path):
    model, errors = make(), []

    class Other(bpkern.callbacks.Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.save(tmp_path / "own.npz")

            def other():
                for way in (by_npz, by_pickle, lambda model, folder: model.copy()):
                    try:
                        way(model, tmp_path)
                    except RuntimeError as error:
                        errors.append(error)

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    model.fit(X, LABELS, callbacks=Other())
    assert len(errors) == 3
    assert bits(bpkern.MLP.load(tmp_path / "own.npz")) == bits(model)


def test_a_loss_that_is_changed_later(tmp_path):
    """The model, its files and its copies keep the parameter that the loss had when the model was made."""
    deltas = [0.5, 2.0]
    loss = bpkern.losses.Huber(deltas)
    model = bpkern.MLP([3, 2], loss=loss, seed=0)
    deltas[0], loss.delta = 7.0, 9.0
    model.save(tmp_path / "model.npz")
    rows, targets = np.ones((4, 3)), np.full((4, 2), 20.0)
    for other in (bpkern.MLP.load(tmp_path / "model.npz"), model.copy()):
        assert np.array_equal(other.losses(rows, targets), model.losses(rows, targets))
    assert "Huber(delta=[0.5, 2.0])" in repr(model)
