"""leaky_relu and elu with a parameter: values, slopes, and the paths of training."""

import numpy as np
import pytest

import bpkern
from bpkern import reference
from bpkern.activations import ELU, LeakyReLU


def exact(activation, z):
    """(value, slope) of z in a wider type."""
    [p] = activation.settings().values()
    p = z.dtype.type(p)
    below = p * z if isinstance(activation, LeakyReLU) else p * np.expm1(np.minimum(z, 0))
    slope = p if isinstance(activation, LeakyReLU) else p * np.exp(np.minimum(z, 0))
    return np.where(z < 0, below, z), np.where(z > 0, 1, slope)


def copying(width, activation, dtype, hidden=False, **settings):
    """A net whose output is the activation of its input."""
    layers = 1 + hidden
    return bpkern.MLP(
        [width] * (layers + 1),
        **({"activation": activation} if hidden else {"output_activation": activation}),
        loss="squared_error",
        dtype=dtype,
        init=[(np.eye(width), np.zeros(width))] * layers,
        **settings,
    )


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    "activation", [LeakyReLU(0.2), LeakyReLU(0.0), LeakyReLU(3.0), ELU(0.25), ELU(0.0), ELU(2.5)], ids=repr
)
def test_values_and_slopes(isa, dtype, activation, hidden):
    """Against the formulas, at every tail of a vector; predictions have the bits of training."""
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    for i, width in enumerate((1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 50, 100)):
        model, rows = copying(width, activation, dtype, hidden), (1, 2, 5, 33)[i % 4]
        z = (4 * rng.standard_normal((rows, width))).astype(dtype)
        z[0, 0] = 0
        value, slope = exact(activation, z.astype(np.longdouble))
        a = model.forward(z)
        assert (np.abs(a - value) <= 3 * eps * np.abs(value)).all()
        assert np.array_equal(model.forward(z, train=True), a)
        dx = model.backward(np.ones_like(z))
        assert (np.abs(dx - slope) <= 3 * eps * (1 + max(activation.settings().values()))).all()


@pytest.mark.parametrize("activation", [LeakyReLU(0.2), ELU(2.5)], ids=repr)
@pytest.mark.parametrize(
    ("layers", "batch"), [([3, 4, 2], 1), ([3, 4, 2], 300), ([200, 90, 33, 3], 5), ([20, 90, 33, 3], 64)]
)
def test_training_is_the_references(isa, activation, layers, batch):
    """In the nets of the online path and of row tiles, in batches of the pass ahead, and in others."""
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((300, layers[0])), rng.standard_normal((300, layers[-1]))
    ours, theirs = (
        kind(
            layers,
            activation=activation,
            output_activation=activation,
            loss="mse",
            optimizer=bpkern.SGD(0.002, 0.9),
            dtype="float64",
            seed=2,
        )
        for kind in (bpkern.MLP, reference.MLP)
    )
    for model in (ours, theirs):
        model.fit(X, y, epochs=2, batch_size=batch, verbose=0)
    for (w, b), (expected_w, expected_b) in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert w == pytest.approx(expected_w, rel=1e-10, abs=1e-11)
        assert b == pytest.approx(expected_b, rel=1e-10, abs=1e-11)


def test_the_default_is_the_name():
    for given, name in ((LeakyReLU(), "leaky_relu"), (ELU(1), "elu"), ("elu(1.0)", "elu")):
        model = bpkern.MLP([2, 3, 1], activation=given, loss="mse", seed=0)
        assert f"activation='{name}'" in repr(model)
    model = bpkern.MLP([2, 3, 1], activation="leaky_relu( slope = 2e-1 )", loss="mse")
    assert "activation='leaky_relu(0.2)'" in repr(model)


def test_files_pickles_and_copies(tmp_path):
    import pickle

    X = np.random.default_rng(2).standard_normal((5, 3))
    model = bpkern.MLP(
        [3, 4, 4, 2], activation=[LeakyReLU(0.2), "tanh"], output_activation=ELU(2), loss="mse", seed=0
    )
    model.save(tmp_path / "net.npz")
    others = [bpkern.MLP.load(tmp_path / "net.npz"), pickle.loads(pickle.dumps(model)), model.copy()]
    for other in others:
        assert np.array_equal(other.forward(X), model.forward(X))
        assert repr(other) == repr(model)
    compressed, plain = model.compress("bfloat16"), bpkern.MLP([3, 4, 4, 2], activation="tanh", loss="mse")
    assert "leaky_relu(0.2)" in repr(compressed)
    assert np.abs(compressed.forward(X) - model.forward(X)).max() < 0.1
    assert not np.array_equal(model.forward(X), plain.forward(X))


def of_text(activation):
    return lambda: bpkern.MLP([1, 1, 1], activation=activation, loss="mse")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: LeakyReLU(-0.1), ValueError, "slope must be finite and at least 0, not -0.1"),
        (lambda: ELU(np.inf), ValueError, "alpha must be finite"),
        (lambda: ELU("1"), TypeError, "alpha must be a number, not '1'"),
        (lambda: LeakyReLU(negative_slope=0.1), TypeError, "unknown argument 'negative_slope' of LeakyReLU"),
        (of_text("leaky_relu(x)"), ValueError, "slope of leaky_relu must be a number, not 'x'"),
        (of_text("leaky_relu(alpha=1)"), ValueError, "leaky_relu has no parameter 'alpha': it has slope"),
        (of_text("elu(-1)"), ValueError, "alpha must be finite and at least 0, not -1"),
        (of_text("tanh(1)"), ValueError, r"unknown activation 'tanh\(1\)'"),
        (of_text(LeakyReLU), TypeError, r"an instance, as in LeakyReLU\(\)"),
        (
            of_text(LeakyReLU(1e-60)),
            ValueError,
            r"the parameter of leaky_relu\(1e-60\) is out of the range of float32",
        ),
    ],
)
def test_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_changed_attribute_is_checked_when_it_is_used():
    given = LeakyReLU(0.2)
    given.slope = -1
    with pytest.raises(ValueError, match="slope must be finite"):
        bpkern.MLP([1, 1, 1], activation=given, loss="mse")
