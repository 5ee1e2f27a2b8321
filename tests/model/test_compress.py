"""`MLP.compress`: weights in bfloat16, for inference only."""

import pickle
import struct

import numpy as np
import pytest

import bpkern
from bpkern import _core
from bpkern._files import container
from bpkern._model.core import core_of

RNG = np.random.default_rng(0)

# Widths around vectors, panels and groups of blocks of every instruction set, odd and even; narrow outputs.
NETS = [
    ([1, 1], "relu"),
    ([2, 2, 2], "tanh"),
    ([17, 64, 64, 6], "gelu"),
    ([33, 1, 129, 2], "silu"),
    ([101, 64, 49, 97, 1], "sigmoid"),
    ([48, 47, 25, 24, 23, 9, 8, 7], "leaky_relu"),
    ([95, 240, 191, 31], "elu"),
    ([1001, 300, 10], "relu"),
    ([5, 999, 17], "softplus"),
    ([482, 79, 40], "identity"),
]


def model_of(layers, activation="relu", loss="mse", **settings):
    model = bpkern.MLP(layers, activation=activation, loss=loss, seed=0, **settings)
    model.set_weights([(w, RNG.standard_normal(b.shape)) for w, b in model.get_weights()])
    return model


def with_weights_of(small):
    """A float32 model with the rounded weights."""
    settings = core_of(small).settings
    other = bpkern.MLP(
        settings.layers,
        activation=settings.activations[:-1],
        loss=settings.given_loss,
        l2=settings.l2,
        l1=settings.l1,
        seed=1,
    )
    other.set_weights(small.get_weights())
    return other


def rounded(w):
    """To 8 significant bits, half-way to even, by arithmetic in float64; for normal numbers."""
    fraction, exponent = np.frexp(w.astype(np.float64))
    return np.ldexp(np.rint(fraction * 256), exponent - 8).astype(np.float32)


@pytest.mark.parametrize(("layers", "activation"), NETS)
def test_outputs_are_those_of_the_rounded_weights(isa, layers, activation):
    """ "the outputs are, to the bit, those of a float32 model with the rounded weights" """
    model = model_of(layers, activation)
    small = model.compress("bfloat16")
    for (w, b), (narrow, same) in zip(model.get_weights(), small.get_weights(), strict=True):
        assert narrow.dtype == np.float32
        assert np.array_equal(narrow, rounded(w))
        assert same.tobytes() == b.tobytes()
    other = with_weights_of(small)
    for rows in (0, 1, 2, 3, 4, 5, 9, 15, 64, 255, 256, 257, 513):
        X = RNG.standard_normal((rows, layers[0])).astype(np.float32)
        assert small.forward(X).tobytes() == other.forward(X).tobytes(), rows
        for layer in range(len(layers) - 1):
            assert small.forward(X, layer=layer).tobytes() == other.forward(X, layer=layer).tobytes()


@pytest.mark.parametrize("depth", [1, 2, 47, 48, 97, 480, 481, 960, 2001])
@pytest.mark.parametrize("rows", [1, 7])
def test_error(isa, rows, depth):
    """ "a layer's sum over its inputs x moves by at most ``2**-8 * sum(abs(w * x))``, in addition to the
    rounding of float32": max(16, 2 sqrt(K)) eps (sum + |b|), as for all products."""
    model = model_of([depth, 70])
    ((w, b),) = model.get_weights()
    X = RNG.standard_normal((rows, depth)).astype(np.float32)
    exact = X.astype(np.float64) @ w.T.astype(np.float64) + b
    magnitude = np.abs(X).astype(np.float64) @ np.abs(w).T
    bound = 2**-8 * magnitude
    bound += max(16, 2 * depth**0.5) * np.finfo(np.float32).eps * ((1 + 2**-8) * magnitude + np.abs(b))
    assert (np.abs(model.compress("bfloat16").forward(X) - exact) <= bound).all()


def test_rounding(isa):
    """To nearest, half-way to even; numbers below the smallest normal one, too."""
    bits = [0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0x00008000, 0x00018000, 0x7F7F7FFF, 0xFF7F7FFF, 1]
    bits += [0x80000000, 0x80008001, 0x3FFFFFFF, 0x00000000]
    kept = [0x3F800000, 0x3F820000, 0x3F810000, 0x3F800000, 0x00000000, 0x00020000, 0x7F7F0000, 0xFF7F0000, 0]
    kept += [0x80000000, 0x80010000, 0x40000000, 0x00000000]
    w = np.array([bits], np.uint32).view(np.float32)
    for layers, given in (([len(bits), 1], w), ([len(bits), 40], np.repeat(w, 40, 0))):
        model = bpkern.MLP(layers, loss="mse", init=[(given, np.zeros(layers[1], np.float32))], seed=0)
        found = model.compress("bfloat16").get_weights()[0][0]
        assert found.view(np.uint32).tolist() == [kept] * layers[1]


@pytest.mark.parametrize("layers", [[3, 1], [3, 40], [40, 2]])
def test_weights_beyond_the_largest_number(layers):
    w = np.zeros((layers[1], layers[0]), np.float32)
    w[-1, -1] = np.finfo(np.float32).max
    model = bpkern.MLP(layers, loss="mse", init=[(w, np.zeros(layers[1], np.float32))], seed=0)
    with pytest.raises(ValueError, match=r"must be finite in bfloat16, whose largest number is 3\.39e38"):
        model.compress("bfloat16")


def test_threads(isa):
    """The bits do not depend on the number of threads."""
    small = model_of([300, 500, 70, 5], "tanh").compress("bfloat16")
    net = core_of(small).net
    for rows in (1, 2, 37, 300):
        X = RNG.standard_normal((rows, 300)).astype(np.float32)
        expected = small.forward(X).tobytes()
        for n_threads in range(1, 9):
            assert net.forward_data(_core.Data(X), n_threads=n_threads).tobytes() == expected


@pytest.mark.parametrize("layers", [[300, 500, 70, 5], [7, 2000, 40]])
def test_threads_of_one_row(isa, dtype, layers):
    """One row through blocks shared by threads, in models that are not compressed."""
    model = model_of(layers, "tanh", dtype=dtype)
    X = RNG.standard_normal((1, layers[0])).astype(dtype)
    expected = model.forward(X)
    a = X.astype(np.float64)
    for l, (w, b) in enumerate(model.get_weights()):
        a = a @ w.T.astype(np.float64) + b
        a = np.tanh(a) if l < len(layers) - 2 else a
    assert np.allclose(expected, a, rtol=0, atol=4e4 * np.finfo(dtype).eps)
    for n_threads in range(1, 9):
        found = core_of(model).net.forward_data(_core.Data(X), n_threads=n_threads)
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "huber"])
def test_predictions_and_measures(isa, loss):
    model = model_of([20, 50, 3], loss=loss, l2=0.01, l1=0.001)
    small = model.compress("bfloat16")
    other = with_weights_of(small)
    X = RNG.standard_normal((70, 20)).astype(np.float32)
    y = RNG.integers(0, 3, 70) if loss == "cross_entropy" else RNG.random((70, 3)).round()
    assert np.array_equal(small.predict(X), other.predict(X))
    if loss != "huber":
        assert np.array_equal(small.predict_proba(X), other.predict_proba(X))
    assert np.array_equal(small.losses(X, y), other.losses(X, y))
    # The penalty is summed in another order.
    assert small.evaluate(X, y) == pytest.approx(other.evaluate(X, y), rel=1e-6)


REFUSED = {
    "fit": lambda model, other, X, y: model.fit(X, y),
    "fit of batches": lambda model, other, X, y: model.fit([(X, y)]),
    "fit_many": lambda model, other, X, y: bpkern.fit_many([other, model], X, y),
    "train_on_batch": lambda model, other, X, y: model.train_on_batch(X, y),
    "gradients": lambda model, other, X, y: model.gradients(X, y),
    "forward": lambda model, other, X, y: model.forward(X, train=True),
    "backward": lambda model, other, X, y: model.backward(y),
    "step": lambda model, other, X, y: model.step(),
    "reset": lambda model, other, X, y: model.reset(),
    "set_weights": lambda model, other, X, y: model.set_weights(other.get_weights()),
    "load_state_dict": lambda model, other, X, y: model.load_state_dict(other.state_dict()),
    "polyak_update": lambda model, other, X, y: model.polyak_update(other, 0.5),
    "polyak_update of another": lambda model, other, X, y: other.polyak_update(model, 0.5),
    "optimizer": lambda model, other, X, y: setattr(model, "optimizer", bpkern.Adam()),
    "compress": lambda model, other, X, y: model.compress("bfloat16"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    model = model_of([6, 20, 3], optimizer=bpkern.SGD(0.1, momentum=0.9))
    small, X, y = model.compress("bfloat16"), RNG.standard_normal((5, 6)), RNG.standard_normal((5, 3))
    before, others = small.forward(X), model.forward(X)
    with pytest.raises(TypeError, match=r"made by compress\(\), for inference only"):
        REFUSED[what](small, model, X, y)
    assert small.forward(X).tobytes() == before.tobytes()
    assert model.forward(X).tobytes() == others.tobytes()
    assert small.history_ is None


def test_the_network_itself_refuses():
    net = core_of(model_of([6, 20, 3]).compress("bfloat16")).net
    for store in ("m", "average"):
        with pytest.raises(TypeError, match="for inference only"):
            net.make_room([store])
    with pytest.raises(TypeError, match="compressed network is of float32, not float64"):
        _core.Network([2, 3], ["relu"], _core.LossSettings("mse"), np.dtype(np.float64), True)


def test_arguments():
    with pytest.raises(ValueError, match="unknown dtype 'float16': allowed are bfloat16"):
        model_of([2, 3]).compress("float16")
    with pytest.raises(ValueError, match="compress is for models of float32, not float64: make one, MLP"):
        model_of([2, 3], dtype="float64").compress("bfloat16")


class Own(bpkern.MLP):
    """A class of a user."""


def test_what_it_takes_from_the_model():
    """Class, settings, history and attributes; the average, if there is one; no initial weights."""
    model = Own([4, 30, 2], loss="mse", init=model_of([4, 30, 2]).get_weights(), seed=0)
    model.note = ["kept"]
    X, y = RNG.standard_normal((64, 4)), RNG.standard_normal((64, 2))
    model.fit(X, y, epochs=3, ema=0.9)
    trained = core_of(model).net.get_layers()
    small = model.compress("bfloat16")
    assert type(small) is Own
    assert small.note is model.note
    assert small.history_ == model.history_
    assert small.compressed == "bfloat16"
    assert model.compressed is None
    assert small.dtype == np.float32
    assert repr(small).endswith("dtype='float32').compress('bfloat16')")
    average = model.get_weights()
    assert not np.array_equal(trained[0][0], average[0][0])
    assert np.array_equal(small.get_weights()[0][0], rounded(average[0][0]))
    model.fit(X, y)
    assert np.array_equal(small.get_weights()[0][0], rounded(average[0][0]))


def custom(outputs, y):
    return ((outputs - y) ** 2).sum(axis=1), 2 * (outputs - y)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_copies_and_files(tmp_path, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    X = RNG.standard_normal((9, 33)).astype(np.float32)
    for loss in ("mse", custom):
        small = model_of([33, 1, 129, 3], loss=loss).compress("bfloat16")
        expected = small.forward(X).tobytes()
        copies = [small.copy(), pickle.loads(pickle.dumps(small))]
        one, again = tmp_path / f"one{suffix}", tmp_path / f"again{suffix}"
        small.save(one)
        copies.append(bpkern.MLP.load(one, loss=custom if loss is custom else None))
        copies[2].save(again)
        if suffix == ".npz":
            assert one.read_bytes() == again.read_bytes()
        for same in copies:
            assert same.compressed == "bfloat16"
            assert same.forward(X).tobytes() == expected
            with pytest.raises(TypeError, match="for inference only"):
                same.reset()


def test_arrays_of_files(tmp_path):
    """The bits as uint16 with a marked name; in .safetensors as BF16."""
    model = model_of([100, 200, 8])
    small = model.compress("bfloat16")
    small.save(tmp_path / "small.npz")
    model.save(tmp_path / "model.npz")
    assert (tmp_path / "small.npz").stat().st_size < 0.55 * (tmp_path / "model.npz").stat().st_size
    with np.load(tmp_path / "small.npz") as file:
        for l, (w, b) in enumerate(small.get_weights()):
            bits = file[f"{l}.weight.bfloat16"]
            assert bits.dtype == np.uint16
            assert ((bits.astype(np.uint32) << 16).view(np.float32) == w).all()
            assert np.array_equal(file[f"{l}.bias"], b)
    pytest.importorskip("safetensors")
    small.save(tmp_path / "small.safetensors")
    raw = (tmp_path / "small.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    assert length % 8 == 0
    assert b'"0.weight":{"dtype":"BF16","shape":[200,100],' in raw[8 : 8 + length].replace(b", ", b",")
    assert b"uint16" not in raw[8 : 8 + length]


def test_files_that_lie(tmp_path):
    small = model_of([4, 30, 2]).compress("bfloat16")
    small.save(tmp_path / "small.npz")
    config, arrays = container.read(tmp_path / "small.npz")
    weight, bits = "0.weight", arrays["0.weight.bfloat16"]
    without = {name: array for name, array in arrays.items() if name != "0.weight.bfloat16"}
    plain = {name: value for name, value in config.items() if name != "compressed"}
    infinite = bits.copy()
    infinite[0, 0] = 0x7F80
    for damaged in (
        ({**config, "compressed": "float8"}, arrays),
        ({**config, "compressed": True}, arrays),
        (plain, arrays),
        ({**config, "model": {**config["model"], "dtype": "float64"}}, arrays),
        (config, without),
        (config, {**without, weight: np.zeros((30, 4), np.float32)}),
        (config, {**arrays, weight: np.zeros((30, 4), np.float32)}),
        (config, {**without, "0.weight.bfloat16": np.zeros((30, 4), np.float32)}),
        (config, {**without, "0.weight.bfloat16": bits.T}),
        (config, {**without, "0.weight.bfloat16": infinite}),
        (config, {**arrays, "m.0.weight": np.zeros((30, 4), np.float32)}),
        (config, {**arrays, "trained.0.weight": np.zeros((30, 4), np.float32)}),
    ):
        container.write(tmp_path / "bad.npz", *damaged)
        with pytest.raises(ValueError, match=r"bad\.npz"):
            bpkern.MLP.load(tmp_path / "bad.npz")


def test_a_compressed_model_is_no_checkpoint(tmp_path):
    model = model_of([4, 30, 2])
    model.compress("bfloat16").save(tmp_path / "fit.npz")
    with pytest.raises(ValueError, match="holds a model and no checkpoint"):
        model.fit(np.ones((4, 4)), np.ones((4, 2)), checkpoint=tmp_path / "fit.npz", resume=True)


def test_summary():
    """2 bytes per weight, 4 where few outputs keep float32, and no optimiser."""
    model = model_of([100, 200, 1], optimizer=bpkern.Adam())
    summary = model.compress("bfloat16").summary()
    assert "MLP 100-200-1 in float32, loss mse, weights in bfloat16, for inference only" in str(summary)
    assert "Optimiser" not in str(summary)
    assert summary.parameter_bytes == 2 * 20000 + 4 * 200 + 4 * 201
    assert summary.state_bytes == 0
    assert model.summary().parameter_bytes == 4 * (20200 + 201)
    assert "kB" in str(summary)
