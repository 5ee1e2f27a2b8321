"""The reference's dropout masks: Philox's published answers, the order of the words, rates, and use."""

import numpy as np
import pytest

import bpkern
from bpkern.reference.dropout import mask, philox, words
from bpkern.reference.network import Batch, Network

KEY = 0x299F31D0A4093822


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_known_answers(counter, key, expected):
    """The answers that Philox's authors published for ten rounds."""
    assert [int(word) for word in philox(counter, key)] == expected


@pytest.mark.parametrize("columns", [1, 15, 16, 17, 63, 64, 65, 130])
@pytest.mark.parametrize(("batch", "layer"), [(0, 0), (5, 2), (2**32 + 7, 1), (2**47, 3)])
def test_place_of_each_word(columns, batch, layer):
    got = words(KEY, batch, layer, 3, columns)
    assert got.shape == (3, columns)
    for row in range(3):
        for column in range(columns):
            counter = (
                column // 64 * 16 + column % 16,
                row,
                batch % 2**32,
                (batch >> 32) * 65536 + layer,
            )
            outputs = philox(counter, (KEY % 2**32, KEY >> 32))
            assert got[row, column] == outputs[column // 16 % 4]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_rate_and_scale(p, dtype):
    given = mask(p, np.dtype(dtype), KEY, 3, 1, 500, 200)
    assert given.dtype == dtype
    assert set(np.unique(given)) == {0, np.dtype(dtype).type(1 / (1 - p))}
    # 100 000 draws: within five standard deviations of the dropped share.
    assert (given == 0).mean() == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / 100_000))


def test_ends_of_the_range():
    assert (mask(0.0, np.dtype("float64"), KEY, 0, 0, 50, 70) == 1).all()
    assert (mask(1 - 1e-12, np.dtype("float64"), KEY, 0, 0, 50, 70) == 0).all()


def test_places_are_independent():
    """No row, mini-batch or layer repeats the mask of another."""
    masks = [words(KEY, batch, layer, 4, 100) for batch in (0, 1, 2**32) for layer in (0, 1)]
    assert len(np.unique(np.concatenate(masks))) >= 4 * 100 * 6 - 1


def settings_of(**settings):
    return bpkern.reference.MLP([4, 9, 7, 3], loss="mse", dtype="float64", seed=1, **settings)._settings


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
def test_gradients_with_given_masks(activation):
    """Against finite differences of the loss, with the second hidden layer dropped."""
    rng = np.random.default_rng(0)
    settings = settings_of(activation=activation, dropout=[0.0, 0.3])
    shapes = [(9, 4), (9,), (7, 9), (7,), (3, 7), (3,)]
    parameters = [rng.standard_normal(shape) for shape in shapes]
    network = Network(settings, parameters)
    batch = Batch(5, settings, labels=False)
    batch.x[...], batch.y[...] = rng.standard_normal((5, 4)), rng.standard_normal((5, 3))
    batch.masks[1] = (rng.random((5, 7)) > 0.3) / 0.7

    def loss():
        return network.loss(batch)[0] / 5

    loss()
    gradients, spare = ([np.empty(shape) for shape in shapes] for _ in "ab")
    network.backward(batch, 5, gradients, spare)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        for place in rng.permutation(list(np.ndindex(parameter.shape)))[:5]:
            value = parameter[tuple(place)]
            parameter[tuple(place)] = value + 1e-6
            above = loss()
            parameter[tuple(place)] = value - 1e-6
            numeric = (above - loss()) / 2e-6
            parameter[tuple(place)] = value
            assert gradient[tuple(place)] == pytest.approx(numeric, rel=1e-6, abs=1e-7)


def train(model, epochs):
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((50, 6)), rng.standard_normal((50, 2))
    return model.fit(X, y, epochs=epochs, batch_size=16)["loss"]


def model(dropout, seed=2):
    return bpkern.reference.MLP([6, 20, 2], loss="mse", dtype="float64", dropout=dropout, seed=seed)


def test_training_goes_on_with_the_next_masks():
    whole, parts = model(0.4), model(0.4)
    assert train(whole, 4) == train(parts, 1) + train(parts, 3)
    assert train(model(0.4), 4) != train(model(0.4, seed=3), 4)


def test_dropout_takes_one_number_after_the_weights():
    plain, dropped = model(0.0), model(0.4)
    for (w, _), (expected, _) in zip(dropped.get_weights(), plain.get_weights(), strict=True):
        assert np.array_equal(w, expected)
    generator = np.random.default_rng(2)
    bpkern.reference.MLP([6, 20, 2], loss="mse", seed=generator)
    key = int(generator.integers(2**64, dtype=np.uint64))
    assert dropped._random.dropout_key == key
    assert generator.random() == dropped._random.generator.random()
    assert plain._random.generator.integers(2**64, dtype=np.uint64) == key


def test_predictions_drop_nothing():
    plain, dropped = model(0.0), model([0.4])
    x, y = np.random.default_rng(0).standard_normal((2, 8, 6))
    assert np.array_equal(plain.forward(x), dropped.forward(x))
    assert plain.evaluate(x, y[:, :2]) == dropped.evaluate(x, y[:, :2])
    assert plain.gradients(x, y[:, :2])[0] == dropped.gradients(x, y[:, :2])[0]
