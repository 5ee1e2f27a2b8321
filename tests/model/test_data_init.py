"""Initial weights and biases by the data."""

import numpy as np
import pytest

import bpkern
from bpkern import reference
from bpkern.inputs import NumericEmbedding, Scale

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 4)) * [1, 5, 0.1, 2] + [0, 3, 0, 0]
Y = rng.normal(size=(300, 2))


def model(kind=bpkern.MLP, layers=(4, 32, 16, 2), **options):
    options = {"activation": "elu", "loss": "mse", "dtype": "float64", "seed": 3, **options}
    return kind(list(layers), **options)


@pytest.mark.parametrize("inputs", [[], [NumericEmbedding(), Scale()]], ids=["plain", "inputs"])
def test_sums_have_deviation_1_and_biases_are_in_their_range(inputs):
    net = model(inputs=inputs)
    before = {name: array for name, array in net.state_dict().items() if name.startswith("inputs.")}
    net.initialize(X)
    for l, (_, b) in enumerate(net.get_weights()):
        # Of elu and the identity, z is found again from a.
        a = net.forward(X, layer=l)
        z = np.where(a < 0, np.log1p(np.minimum(a, 0)), a) if l < 2 else a
        sums = z - b
        np.testing.assert_allclose(sums.std(axis=0), 1, atol=1e-9)
        # Within the hull of the sums, and not at their mean: the bend is among the data.
        assert ((-b >= sums.min(axis=0) - 1e-12) & (-b <= sums.max(axis=0) + 1e-12)).all()
        assert (np.abs(-b - sums.mean(axis=0)) > 1e-6).all()
    for name, array in before.items():
        assert (net.state_dict()[name] == array).all()


@pytest.mark.parametrize("how", [{}, {"weights": "keep"}, {"biases": "zeros"}, {"biases": "keep"}], ids=repr)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_reference_draws_the_same(how, dropout):
    nets = [model(kind, inputs=[NumericEmbedding()], dropout=dropout) for kind in (bpkern.MLP, reference.MLP)]
    for net in nets:
        net.fit(X, Y, epochs=1, verbose=0)  # is forgotten
        net.initialize(X, **how)
        net.fit(X, Y, epochs=1, verbose=0)
    for ours, theirs in zip(*(net.get_weights() for net in nets), strict=True):
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-9)
        np.testing.assert_allclose(ours[1], theirs[1], atol=1e-9)


def test_he_plus_5_is_a_convex_combination_of_five_rows():
    """Of two rows, at 0 and at 1: each bias is minus a sum of random parts of 1."""
    net = model(layers=(1, 4000), init=[(np.ones((4000, 1)), np.zeros(4000))])
    net.initialize(np.array([[0.0], [1.0]]), weights="keep")
    places = -net.get_weights()[0][1]
    assert places.min() >= 0
    assert places.max() <= 1 + 1e-12
    assert places.mean() == pytest.approx(0.5, abs=0.02)
    # Each of five parts counts with probability 1/2, and the squares of the parts add up to 1/3 in the mean.
    assert places.var() == pytest.approx(1 / 12, abs=0.01)
    assert ((places == 0).mean(), (places > 1 - 1e-12).mean()) == pytest.approx((1 / 32, 1 / 32), abs=0.012)


def test_training_is_forgotten_and_reset_goes_back():
    net = model(optimizer="adam")
    start = net.get_weights()
    net.fit(X, Y, epochs=1, ema=0.9, verbose=0)
    net.initialize(X)
    assert net.history_ is None
    again = model(optimizer="adam")
    again.set_weights(net.get_weights())
    for each in (net, again):
        each.fit(X, Y, shuffle=False, verbose=0)
    assert all(
        (a == b).all()
        for p, q in zip(net.get_weights(), again.get_weights(), strict=True)
        for a, b in zip(p, q, strict=True)
    )
    net.reset()
    assert (net.get_weights()[0][0] == start[0][0]).all()


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (X[:0], {}, "no rows"),
        (X[:, :3], {}, "4 columns"),
        (np.where(np.arange(300)[:, None] == 7, np.nan, X), {}, "row 7"),
        (X, {"weights": "he"}, "weights"),
        (X, {"biases": "ones"}, "biases"),
    ],
)
def test_what_does_not_fit_changes_nothing(given, options, message):
    net, same = model(), model()
    before = net.get_weights()
    with pytest.raises(ValueError, match=message):
        net.initialize(given, **options)
    assert (net.get_weights()[1][0] == before[1][0]).all()
    for each in (net, same):  # nor the generator
        each.fit(X, Y, verbose=0)
    assert (net.get_weights()[1][0] == same.get_weights()[1][0]).all()


def test_a_constant_column_leaves_finite_weights():
    net = model()
    net.initialize(np.ones((20, 4)))
    assert all(np.isfinite(array).all() for pair in net.get_weights() for array in pair)
