"""Frozen parameters keep their bits and everything else trains as without them; factors of the learning rate
and of weight decay. The oracles are the reference, the unfrozen network, and a published run."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textbook import TARGET, X, two_two_two

import bpkern
from bpkern import reference
from bpkern._model.core import core_of
from bpkern.callbacks import Callback
from bpkern.inputs import NumericEmbedding, Scale

OPTIMIZERS = [
    bpkern.SGD(0.05, weight_decay=0.1),
    bpkern.SGD(0.05, 0.9, nesterov=True),
    bpkern.RMSprop(0.01, centered=True, momentum=0.5, weight_decay=0.1, eps=0.1),
    bpkern.Adagrad(0.05, initial_accumulator_value=0.1),
    bpkern.Adam(0.01, weight_decay=0.1),
    bpkern.Adam(0.01, amsgrad=True, eps_hat=True),
    bpkern.AdamW(0.01, weight_decay=0.3),
]

# The ways of training: batches of a network that differ in C, and what needs whole gradients.
WIDE, TINY, THIN = [23, 70, 40, 3], [3, 4, 2, 2], [6, 16, 16, 2]
WAYS = {
    "one row": (WIDE, {"batch_size": 1}),
    "tiny": (TINY, {"batch_size": 1}),
    "ahead": ([300, 64, 20, 2], {"batch_size": 4}),
    "batches": (WIDE, {"batch_size": 32}),
    "threads": (WIDE, {"batch_size": 32, "n_threads": 3}),
    "row tiles": (THIN, {"batch_size": 6000}),
    "clipped": (WIDE, {"batch_size": 32, "clip_norm": 0.01}),
    "each clipped": (WIDE, {"batch_size": 32, "clip_value": 0.001}),
    "accumulated": (WIDE, {"batch_size": 16, "accumulate": 3}),
    "averaged": (WIDE, {"batch_size": 32, "ema": 0.9}),
}
FROZEN = [
    [(0, True, True)],
    [(0, True, True), (1, True, True)],
    [(1, True, False)],
    [(0, True, False), (2, False, True)],
    [(-1, True, True)],
    [(None, False, True)],
    [(0, True, True), (1, True, False)],
    [(None, True, True)],
]


def rows_of(layers, rows, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, layers[0])), rng.standard_normal((rows, layers[-1]))


def made(kind, layers, optimizer, frozen, **options):
    model = kind(
        layers,
        activation="tanh",
        loss="mse",
        optimizer=copy.copy(optimizer),
        dtype="float64",
        seed=3,
        **options,
    )
    rng = np.random.default_rng(9)
    model.set_weights([(w, rng.standard_normal(b.shape) / 9) for w, b in model.get_weights()])
    for which, weights, biases in frozen:
        model.freeze(which, weights=weights, biases=biases)
    return model


def flat(weights):
    return [array for pair in weights for array in pair]


def flags_of(model):
    return [group["frozen"] for group in model.parameter_groups]


def states_of(model):
    net = core_of(model).net
    return [flat(net.get_layers(store)) for store in net.stores() if store in ("m", "v", "u")]


def same_bits(one, other):
    return one.tobytes() == other.tobytes()


def test_the_published_run_with_fixed_biases():
    """Mazur (2015), "A Step by Step Backpropagation Example": after 10000 steps the error is 0.0000351085."""
    model = two_two_two()
    model.freeze(weights=False)
    for _ in range(9999):
        model.train_on_batch(X, TARGET)
    assert f"{model.train_on_batch(X, TARGET):.10f}" == "0.0000351085"
    assert all(
        np.all(b == expected) for (_, b), expected in zip(model.get_weights(), (0.35, 0.6), strict=True)
    )
    twin = two_two_two()
    twin.freeze(weights=False)
    twin.fit(X, TARGET, epochs=10000, batch_size=1)
    assert f"{twin.history_['loss'][-1]:.10f}" == "0.0000351085"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("frozen", FROZEN, ids=str)
def test_training_is_that_of_the_reference(way, frozen):
    layers, options = WAYS[way]
    x, y = rows_of(layers, max(options["batch_size"], 60))
    for optimizer in OPTIMIZERS if way in ("batches", "clipped") else OPTIMIZERS[:1] + OPTIMIZERS[4:5]:
        model, twin = (
            made(kind, layers, optimizer, frozen, l2=0.01, l1=0.001) for kind in (bpkern.MLP, reference.MLP)
        )
        before = flat(model.get_weights())
        model.fit(x, y, epochs=2, **options)
        twin.fit(x, y, epochs=2, **options)
        after, expected = flat(model.get_weights()), flat(twin.get_weights())
        for is_frozen, old, new, other in zip(flags_of(model), before, after, expected, strict=True):
            assert same_bits(old, new) == is_frozen
            np.testing.assert_allclose(new, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_states_of_frozen_parameters_wait(optimizer):
    x, y = rows_of(WIDE, 60)
    model = made(bpkern.MLP, WIDE, optimizer, [])
    model.fit(x, y)
    model.freeze([0, -1], biases=False)
    states, average = states_of(model), model.get_weights()
    model.fit(x, y, epochs=2, clip_norm=0.1)
    model.fit(x, y, epochs=2)
    for store, before in zip(states_of(model), states, strict=True):
        for is_frozen, new, old in zip(flags_of(model), store, before, strict=True):
            assert same_bits(new, old) == is_frozen
    model.unfreeze()
    model.fit(x, y)
    assert not any(map(same_bits, flat(model.get_weights()), flat(average)))


def by_hand(model, x, y):
    outputs = model.forward(x, train=True)
    model.backward(2 * (outputs - y) / y.size)
    model.step(clip_norm=0.5)


def by_gradients(model, x, y):
    _, gradients = model.gradients(x, y)
    assert all(dw.any() and db.any() for dw, db in gradients)  # also those of frozen parameters
    model.apply_gradients(gradients, clip_norm=0.5)


def by_stream(model, x, y):
    model.fit([(x[:20], y[:20]), (x[20:], y[20:])], clip_norm=0.5)


CALLS = {
    "train_on_batch": lambda model, x, y: model.train_on_batch(x, y),
    "by hand": by_hand,
    "apply_gradients": by_gradients,
    "stream": by_stream,
    "fit_many": lambda model, x, y: bpkern.fit_many([model, model.copy()], x, y, epochs=2),
    "checkpoint": lambda model, x, y: model.copy().fit(x, y),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_call_that_trains_leaves_frozen_parameters(call, custom, dtype):
    def mean_square(outputs, targets):
        difference = outputs - targets
        return (difference**2).mean(axis=1), 2 * difference / outputs.shape[1]

    x, y = rows_of(WIDE, 60)
    model = bpkern.MLP(
        WIDE, loss=mean_square if custom else "mse", optimizer=bpkern.Adam(0.01), dtype=dtype, seed=0
    )
    model.train_on_batch(x, y)
    model.freeze([0, 1], biases=False)
    model.freeze(2, weights=False)
    before, states = flat(model.get_weights()), states_of(model)
    CALLS[call](model, x, y)
    after = flat(model.get_weights())
    moves = call != "checkpoint"  # there a copy has trained
    for number, is_frozen in enumerate(flags_of(model)):
        assert same_bits(before[number], after[number]) == (is_frozen or not moves)
        for now, then in zip(states_of(model), states, strict=True):
            assert same_bits(now[number], then[number]) == (is_frozen or not moves)


@settings(max_examples=25, deadline=None)
@given(
    layers=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    rows=st.integers(1, 40),
    seed=st.integers(0, 1000),
    threads=st.integers(1, 3),
    data=st.data(),
)
def test_the_first_step_of_what_is_trained_is_that_of_the_whole_network(layers, rows, seed, threads, data):
    x, y = rows_of(layers, rows, seed)
    free = bpkern.MLP(
        layers, activation="gelu", loss="mse", optimizer=bpkern.SGD(0.1), dtype="float64", seed=seed
    )
    model, before = free.copy(), flat(free.get_weights())
    chosen = data.draw(st.lists(st.booleans(), min_size=len(before), max_size=len(before)))
    for number, is_frozen in enumerate(chosen):
        if is_frozen:
            model.freeze(number // 2, weights=number % 2 == 0, biases=number % 2 == 1)
    assert flags_of(model) == chosen
    for each in (free, model):
        each.fit(x, y, batch_size=rows, n_threads=threads)
    every = zip(chosen, before, flat(model.get_weights()), flat(free.get_weights()), strict=True)
    for is_frozen, old, new, trained in every:
        if is_frozen:
            assert same_bits(old, new)
        else:
            np.testing.assert_allclose(new, trained, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("threads", [2, 3])
def test_no_bit_depends_on_the_threads(threads):
    x, y = rows_of(WIDE, 96)
    models = [made(bpkern.MLP, WIDE, OPTIMIZERS[4], FROZEN[3]) for _ in range(2)]
    for model, n_threads in zip(models, (1, threads), strict=True):
        model.set_factors(1, lr=0.3)
        model.fit(x, y, epochs=2, batch_size=32, n_threads=n_threads)
    assert all(map(same_bits, flat(models[0].get_weights()), flat(models[1].get_weights())))


def test_frozen_averages_keep_their_bits():
    x, y = rows_of(WIDE, 60)
    model = made(bpkern.MLP, WIDE, OPTIMIZERS[0], [])
    model.fit(x, y, ema=0.9)
    model.freeze(0)
    before = model.get_weights()
    model.fit(x, y, ema=0.9)
    assert same_bits(before[0][0], model.get_weights()[0][0])
    assert not same_bits(before[1][0], model.get_weights()[1][0])


# Factors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_factors_are_those_of_the_reference(way):
    layers, options = WAYS[way]
    x, y = rows_of(layers, max(options["batch_size"], 60))
    for optimizer in OPTIMIZERS:
        pair = [made(kind, layers, optimizer, FROZEN[3], l2=0.01) for kind in (bpkern.MLP, reference.MLP)]
        for model in pair:
            model.set_factors(lr=0.2)
            model.set_factors([0, -1], lr=0.4, weight_decay=2.5)
            model.set_factors(biases=True, weights=False, weight_decay=0)
            model.fit(x, y, epochs=1, **options)
        for new, other in zip(*(flat(model.get_weights()) for model in pair), strict=True):
            np.testing.assert_allclose(new, other, rtol=1e-9, atol=1e-11)


def test_factors_of_1_change_no_bit():
    for layers, options in WAYS.values():
        x, y = rows_of(layers, max(options["batch_size"], 60))
        plain, other = (made(bpkern.MLP, layers, OPTIMIZERS[4], []) for _ in range(2))
        other.freeze()
        other.set_factors(lr=3.0, weight_decay=2.0)
        other.unfreeze()
        other.set_factors(lr=1.0, weight_decay=1.0)
        for model in (plain, other):
            model.fit(x, y, **options)
        assert all(map(same_bits, flat(plain.get_weights()), flat(other.get_weights())))


@pytest.mark.parametrize("kind", ["weights", "biases"])
@pytest.mark.parametrize("factors", [{"lr": 1e60}, {"weight_decay": 1e60}], ids=str)
def test_an_overflow_by_a_factor_is_undone(kind, factors):
    x, y = rows_of(WIDE, 20)
    model = bpkern.MLP(WIDE, loss="mse", optimizer=bpkern.SGD(0.01, weight_decay=0.01), seed=0)
    for _ in range(3):  # no copy of the parameters is needed
        model.train_on_batch(x, y)
    before = flat(model.get_weights())
    model.set_factors(1, **factors, weights=kind == "weights", biases=kind == "biases")
    with pytest.raises(bpkern.DivergedError):
        model.train_on_batch(x, y)
    assert all(map(same_bits, flat(model.get_weights()), before))


class ByV:
    """A network of layers s V x + beta c, trained on V and c by plain loops: the definition of the NTK
    parametrisation."""

    def __init__(self, weights, beta):
        self.scales = [1 / np.sqrt(w.shape[1]) for w, _ in weights]
        self.beta = beta
        self.parameters = [
            array for (w, b), s in zip(weights, self.scales, strict=True) for array in (w / s, b / beta)
        ]
        self.m = [np.zeros_like(p) for p in self.parameters]
        self.v = [np.zeros_like(p) for p in self.parameters]
        self.t = 0

    def weights(self):
        return [
            (s * v, self.beta * c)
            for s, v, c in zip(self.scales, self.parameters[0::2], self.parameters[1::2], strict=True)
        ]

    def gradients(self, x, y):
        weights, a = self.weights(), [x]
        for w, b in weights[:-1]:
            a.append(np.tanh(a[-1] @ w.T + b))
        outputs = a[-1] @ weights[-1][0].T + weights[-1][1]
        delta, found = 2 * (outputs - y) / y.size, []
        for l in reversed(range(len(weights))):
            found = [self.scales[l] * delta.T @ a[l], self.beta * delta.sum(axis=0), *found]
            delta = (delta @ weights[l][0]) * (1 - a[l] ** 2)
        return found

    def step(self, x, y, optimizer):
        self.t += 1
        lr, decay = optimizer.lr, optimizer.weight_decay
        for i, g in enumerate(self.gradients(x, y)):
            p = self.parameters[i]
            if optimizer.rule == "sgd":
                self.m[i] = optimizer.momentum * self.m[i] + g + decay * p
                self.parameters[i] = p - lr * self.m[i]
                continue
            if optimizer.rule == "adamw" or getattr(optimizer, "decoupled_weight_decay", False):
                p = p * (1 - lr * decay)
            else:
                g = g + decay * p
            first, second = optimizer.betas
            self.m[i] = first * self.m[i] + (1 - first) * g
            self.v[i] = second * self.v[i] + (1 - second) * g**2
            mean, square = self.m[i] / (1 - first**self.t), self.v[i] / (1 - second**self.t)
            if optimizer.rule == "nadam":
                times = np.arange(1, self.t + 2)
                momenta = first * (1 - 0.5 * 0.96 ** (times * optimizer.momentum_decay))
                now, later = np.prod(momenta[:-1]), np.prod(momenta)
                mean = (1 - momenta[-2]) * g / (1 - now) + momenta[-1] * self.m[i] / (1 - later)
            self.parameters[i] = p - lr * mean / (np.sqrt(square) + optimizer.eps)


@pytest.mark.parametrize(
    "optimizer",
    [
        bpkern.SGD(0.1, 0.9, weight_decay=0.01),
        bpkern.Adam(0.01, eps=1e-30, weight_decay=0.1),
        bpkern.AdamW(0.01, eps=1e-30, weight_decay=0.3),
        bpkern.NAdam(0.01, weight_decay=0.3, decoupled_weight_decay=True, eps=1e-30),
        bpkern.NAdam(0.01, weight_decay=0.3, eps=1e-30),
    ],
    ids=repr,
)
def test_ntk_factors_train_as_the_ntk_parametrisation(optimizer):
    layers = [7, 12, 9, 2]
    x, y = rows_of(layers, 40)
    model = made(bpkern.MLP, layers, optimizer, [], init="lecun_normal")
    model.set_ntk_factors(bias_scale=0.1)
    twin = ByV(model.get_weights(), 0.1)
    for _ in range(20):
        model.train_on_batch(x, y)
        twin.step(x, y, optimizer)
    for new, other in zip(flat(model.get_weights()), flat(twin.weights()), strict=True):
        np.testing.assert_allclose(new, other, rtol=1e-9, atol=1e-12)
    groups = model.parameter_groups
    expected = 1 / layers[1] if optimizer.rule == "sgd" else layers[1] ** -0.5
    assert groups[2]["lr"] == pytest.approx(expected, rel=1e-15)


def test_ntk_factors_of_a_model_with_inputs():
    """The fan-in of layer 0 is what the inputs give, not the number of columns."""
    inputs = [NumericEmbedding([0, 1], dim=4), Scale()]
    for kind in (bpkern.MLP, reference.MLP):
        model = kind([3, 8, 2], loss="mse", inputs=inputs)
        assert model.get_weights()[0][0].shape == (8, 9)
        model.set_ntk_factors()
        found = [group["lr"] for group in model.parameter_groups if group["kind"] == "weights"]
        np.testing.assert_allclose(found, [1 / 9, 1 / 8], rtol=1e-15)


# Layers without biases -------------------------------------------------------------------------------------


def test_layers_without_biases_train_as_frozen_zeros():
    x, y = rows_of(WIDE, 60)
    for optimizer in OPTIMIZERS:
        model = bpkern.MLP(
            WIDE,
            bias=[False, True, False],
            loss="mse",
            optimizer=copy.copy(optimizer),
            init="he_uniform",
            seed=1,
        )
        twin = bpkern.MLP(WIDE, loss="mse", optimizer=copy.copy(optimizer), init="he_uniform", seed=1)
        twin.freeze([0, 2], weights=False)
        model.unfreeze()  # there is nothing to train
        for each in (model, twin):
            each.fit(x, y, epochs=2, clip_norm=1.0)
        assert all(map(same_bits, flat(model.get_weights()), flat(twin.get_weights())))
        assert not model.get_weights()[0][1].any()
        assert not np.signbit(model.get_weights()[0][1]).any()
        assert set(model.state_dict()) == {"0.weight", "1.weight", "1.bias", "2.weight"}


def test_layers_without_biases_draw_none():
    """torch's Linear(bias=False) draws none either: the next layer's weights come next from the generator."""
    model = bpkern.MLP([3, 4, 2], bias=[False, True], loss="mse", dtype="float64", seed=0)
    rng = np.random.default_rng(0)
    (w1, b1), (w2, b2) = model.get_weights()
    assert np.array_equal(w1, rng.uniform(-np.sqrt(6 / 7), np.sqrt(6 / 7), (4, 3)))
    assert not b1.any()
    assert np.array_equal(w2, rng.uniform(-1, 1, (2, 4)))
    assert np.array_equal(b2, rng.uniform(-0.5, 0.5, 2))
    assert not reference.MLP([3, 4], bias=False, loss="mse", seed=0).get_weights()[0][1].any()


def test_layers_without_biases_have_none_to_set():
    model = bpkern.MLP([3, 4, 2], bias=[False, True], loss="mse", seed=0)
    state, weights = model.state_dict(), model.get_weights()
    model.load_state_dict(state)
    with pytest.raises(ValueError, match=r"unknown \['0.bias'\]"):
        model.load_state_dict(state | {"0.bias": np.zeros(4)})
    model.set_weights([(weights[0][0], None), weights[1]])
    model.set_weights([weights[0][0].T, weights[1][0].T, weights[1][1]])  # Keras's form
    with pytest.raises(ValueError, match="b of layer 0 must be None or zeros"):
        model.set_weights([(weights[0][0], np.ones(4)), weights[1]])
    with pytest.raises(ValueError, match="b of layer 0 must be None or zeros"):
        bpkern.MLP([3, 4], bias=False, loss="mse", init=[(np.ones((4, 3)), np.ones(4))])
    _, gradients = model.gradients(*rows_of([3, 4, 2], 5))
    assert not gradients[0][1].any()
    assert gradients[1][1].all()
    model.apply_gradients(gradients)
    with pytest.raises(ValueError, match="biases as this model"):
        model.polyak_update(bpkern.MLP([3, 4, 2], loss="mse"), 0.5)
    assert [group["layer"] for group in model.parameter_groups] == [0, 1, 1]
    assert model.summary().parameters == 3 * 4 + 4 * 2 + 2
    assert "bias=[False, True]" in repr(model)
    assert "bias=False" in repr(bpkern.MLP([3, 4], bias=False, loss="mse"))


# What carries them -----------------------------------------------------------------------------------------


def carried(model, tmp_path):
    for suffix in (".npz", ".safetensors"):
        if suffix == ".safetensors":
            pytest.importorskip("safetensors", reason="safetensors is not installed")
        model.save(tmp_path / f"net{suffix}")
        yield bpkern.MLP.load(tmp_path / f"net{suffix}")
    yield pickle.loads(pickle.dumps(model))
    yield model.copy()
    yield copy.deepcopy(model)


def test_files_pickles_and_copies_carry_groups(tmp_path):
    x, y = rows_of(WIDE, 60)
    model = bpkern.MLP(WIDE, bias=[True, False, True], loss="mse", optimizer=bpkern.Adam(0.01), seed=1)
    model.fit(x, y)
    model.freeze(0)
    model.set_factors(2, lr=0.5, weight_decay=0.0, weights=False)
    others = list(carried(model, tmp_path))
    model.fit(x, y)
    for other in others:
        assert other.parameter_groups == model.parameter_groups
        other.fit(x, y)
        assert all(map(same_bits, flat(other.get_weights()), flat(model.get_weights())))
    model.reset()
    assert model.parameter_groups == others[0].parameter_groups
    before = model.get_weights()
    model.fit(x, y)
    assert same_bits(before[0][0], model.get_weights()[0][0])
    small = model.compress("bfloat16")
    assert set(small.state_dict()) == set(model.state_dict())
    with pytest.raises(TypeError, match="made by compress"):
        small.freeze()
    text = str(model.summary())
    assert "layer 0: weights frozen, biases frozen" in text
    assert "layer 1: no biases" in text
    assert "layer 2: biases lr x 0.5 and weight decay x 0" in text
    assert f"Trained: {70 * 40 + 40 * 3 + 3:,} of {model.summary().parameters:,} parameters" in text


def test_files_of_plain_models_say_nothing_of_groups():
    model = bpkern.MLP([3, 4, 2], loss="mse", seed=0)
    _, (_, config, _), _ = model.__reduce__()
    assert "groups" not in config
    assert "bias" not in config["model"]


class Thaw(Callback):
    """Unfreezes a layer after each epoch, from the last down."""

    def on_epoch_end(self, model, epoch, logs):
        model.unfreeze(-1 - epoch)


class Stop(Exception):
    pass


class Breaks(Callback):
    def on_epoch_end(self, model, epoch, logs):
        if epoch == 1:
            raise Stop


def test_layers_thaw_during_a_fit_that_resumes(tmp_path):
    x, y = rows_of(WIDE, 60)

    def frozen():
        return made(bpkern.MLP, WIDE, OPTIMIZERS[4], [(None, True, True)])

    whole, broken, resumed = frozen(), frozen(), frozen()
    before = whole.get_weights()
    whole.fit(x, y, epochs=3, callbacks=Thaw())
    assert same_bits(before[0][0], whole.get_weights()[0][0])
    assert not same_bits(before[1][0], whole.get_weights()[1][0])
    options = {"epochs": 3, "checkpoint": tmp_path / "fit.npz"}
    with pytest.raises(Stop):
        broken.fit(x, y, callbacks=[Thaw(), Breaks()], **options)
    resumed.fit(x, y, callbacks=[Thaw()], resume=True, **options)
    assert all(map(same_bits, flat(whole.get_weights()), flat(resumed.get_weights())))
    assert resumed.parameter_groups == whole.parameter_groups
    other = bpkern.MLP(
        WIDE, activation="tanh", loss="mse", optimizer=bpkern.Adam(), dtype="float64", bias=False
    )
    with pytest.raises(ValueError, match="bias"):
        other.fit(x, y, resume=True, **options)


def test_a_trace_has_frozen_and_scaled_parameters():
    x, y = rows_of([3, 4, 2], 5)
    model = bpkern.MLP([3, 4, 2], loss="mse", bias=[True, False], dtype="float64", seed=0)
    model.freeze(0, biases=False)
    model.set_factors(0, weights=False, lr=0.5)
    trace = model.trace(x, y)
    first, second = trace.steps[0].layers
    assert same_bits(first.W, first.new_W)
    assert first.dW.any()
    np.testing.assert_allclose(first.new_b, first.b - 0.5 * 0.01 * first.db, rtol=1e-12)
    assert not second.db.any()
    assert not second.new_b.any()
    assert "weights frozen, biases lr x 0.5" in str(trace)
    assert "no biases" in str(trace)
    trace.to_dict()
    model.train_on_batch(x, y)
    assert all(
        map(same_bits, flat(model.get_weights()), [first.new_W, first.new_b, second.new_W, second.new_b])
    )
    with pytest.raises(ValueError, match="has no biases"):
        trace.explain("layers[1].b[0]")
    graph = bpkern.graph.from_trace(trace.steps[0])
    assert graph.value == pytest.approx(trace.steps[0].loss, rel=1e-12)


# Bad arguments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda model: model.freeze(2), ValueError, "a layer must be at most 1, not 2"),
        (lambda model: model.freeze([0, -3]), ValueError, "a layer must be at least -2, not -3"),
        (lambda model: model.freeze("0"), TypeError, "layers are counted from 0, .*: not '0'"),
        (lambda model: model.freeze(["0"]), TypeError, "a layer must be a whole number, not '0'"),
        (lambda model: model.unfreeze(0.5), TypeError, "a layer must be a whole number, not 0.5"),
        (lambda model: model.freeze(True), TypeError, "a layer must be a whole number, not True"),
        (lambda model: model.freeze(weights=1), TypeError, "weights must be True or False, not 1"),
        (lambda model: model.freeze(biases=None), TypeError, "biases must be True or False, not None"),
        (lambda model: model.set_factors(lr=-1), ValueError, "the factor lr must be from 0 to 1e"),
        (lambda model: model.set_factors(0, weight_decay=np.nan), ValueError, "the factor weight_decay"),
        (lambda model: model.set_factors(lr="1"), TypeError, "the factor lr must be a number"),
        (
            lambda model: model.set_ntk_factors(bias_scale=0),
            ValueError,
            "bias_scale must be finite and above 0",
        ),
    ],
)
def test_bad_arguments_change_nothing(call, error, message):
    for kind in (bpkern.MLP, reference.MLP):
        with pytest.raises(error, match=message):
            call(kind([3, 4, 2], loss="mse"))
    model = bpkern.MLP([3, 4, 2], loss="mse")
    model.freeze(1)
    before = model.parameter_groups
    with pytest.raises(error):
        call(model)
    assert model.parameter_groups == before


@pytest.mark.parametrize(
    ("bias", "error", "message"),
    [
        ([True], ValueError, "bias must have one flag per layer, the output included, 2, not 1"),
        (1, TypeError, "bias must be True or False, not 1"),
        ([True, None], TypeError, "bias must be True or False, not None"),
    ],
)
def test_bad_biases(bias, error, message):
    with pytest.raises(error, match=message):
        bpkern.MLP([3, 4, 2], loss="mse", bias=bias)


def test_damaged_groups_in_files_are_refused():
    model = bpkern.MLP([3, 4, 2], loss="mse", bias=[False, True], seed=0)
    model.freeze(0)
    make, (arguments, config, arrays), _ = model.__reduce__()
    for groups in (
        [],
        [[[1, 1, True]] * 2],
        [[[1, 1, 1]] * 2] * 2,
        [[[-1, 1, True]] * 2] * 2,
        3,
        [[[1, 1]] * 2] * 2,
    ):
        with pytest.raises((ValueError, TypeError)):
            make(arguments, config | {"groups": groups}, arrays)
    with pytest.raises(ValueError, match="b of layer 0 must be None or zeros"):
        make(arguments, config, arrays | {"0.bias": np.ones(4, np.float32)})
