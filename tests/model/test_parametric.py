"""Parametric activations: the formula, gradients, training, files, and what is refused."""

import pickle

import numpy as np
import pytest
from differences import assert_gradients

import bpkern
from bpkern import reference
from bpkern._files import container
from bpkern.activations import ELU, LeakyReLU, Parametric
from bpkern.inputs import NumericEmbedding, Scale

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 6))
Y = rng.normal(size=(60, 2))

# A layer wider than any block, a narrow one, and one between.
SIZES = [6, 70, 3, 17, 2]
NAMES = ["activations.0.alpha", "activations.1.alpha", "activations.2.alpha"]
FUNCTIONS = ["selu", "mish", "relu", LeakyReLU(0.3), "tanh"]

OPTIMIZERS = [
    bpkern.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    bpkern.RMSprop(0.01, momentum=0.5, centered=True),
    bpkern.Adagrad(0.05, lr_decay=0.1),
    bpkern.Adam(0.01, weight_decay=0.1),
    bpkern.AdamW(0.01, weight_decay=0.3, amsgrad=True),
    bpkern.NAdam(0.01),
]


def model(activation=None, kind=bpkern.MLP, **options):
    if activation is None:
        activation = [Parametric("selu", 0.1), Parametric("mish", decay_factor=0.5), Parametric("tanh")]
    options = {"loss": "squared_error", "dtype": "float64", "seed": 1, **options}
    return kind(SIZES, activation=activation, **options)


def moved(net):
    """With shares other than 1, some of them negative."""
    state = net.state_dict()
    own = np.random.default_rng(1)
    state |= {name: own.normal(0.7, 0.6, state[name].shape) for name in NAMES if name in state}
    net.load_state_dict(state)
    return net


def bits(net):
    return b"".join(array.tobytes() for array in net.state_dict().values())


def assert_alike(net, plain, atol=1e-10):
    state = net.state_dict()
    for name, array in plain.get_inputs().items():
        np.testing.assert_allclose(state[name], array, atol=atol, err_msg=name)
    for ours, theirs in zip(net.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours[0], theirs[0], atol=atol)
        np.testing.assert_allclose(ours[1], theirs[1], atol=atol)


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
@pytest.mark.parametrize("rows", [1, 2, 60])
def test_forward_is_the_formula(isa, function, rows):
    net, plain = model(Parametric(function)), model(function)
    plain.set_weights(net.get_weights())
    # With shares of 1 it is the function itself, and with shares of 0 the identity.
    np.testing.assert_allclose(net.forward(X[:rows]), plain.forward(X[:rows]), atol=1e-13)
    state = moved(net).state_dict()
    a = X[:rows]
    for l in range(3):
        z = a @ state[f"{l}.weight"].T + state[f"{l}.bias"]
        name = str(function)
        own = bpkern.kernels.linear_forward(z, np.eye(z.shape[1]), np.zeros(z.shape[1]), "identity")
        if "(" in name:
            own = np.where(z < 0, 0.3 * z, z)
        else:
            own = bpkern.kernels.linear_forward(z, np.eye(z.shape[1]), np.zeros(z.shape[1]), name)
        a = z + state[f"activations.{l}.alpha"] * (own - z)
        np.testing.assert_allclose(net.forward(X[:rows], layer=l), a, atol=1e-12)


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
@pytest.mark.parametrize("rows", [1, 5, 60])
def test_gradients_are_finite_differences(isa, function, rows):
    net = moved(model(Parametric(function), l2=0.01))
    assert set(NAMES) <= set(net.state_dict())
    assert_gradients(net, X[:rows], Y[:rows], places=2, tolerance=1e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize(
    "how", [{}, {"accumulate": 3, "clip_norm": 0.5}, {"ema": 0.9, "clip_value": 0.01}], ids=repr
)
def test_training_agrees_with_the_reference(optimizer, how):
    options = {"optimizer": optimizer, "l2": 0.01, "dropout": 0.2}
    net, plain = (model(None, kind, **options) for kind in (bpkern.MLP, reference.MLP))
    for each in (net, plain):
        each.fit(X, Y, epochs=3, batch_size=17, verbose=0, **how)
    assert any((net.state_dict()[name] != 1).any() for name in NAMES)
    assert_alike(net, plain)


@pytest.mark.parametrize("threads", [1, 3])
def test_every_instruction_set_trains_alike(isa, threads):
    """With inputs in front, on several threads, and with rows that fill no block."""
    inputs = [NumericEmbedding([0, 3]), Scale(lr_factor=6.0)]
    options = {"inputs": inputs, "dropout": 0.1, "optimizer": bpkern.Adam(0.01)}
    net, plain = (model(None, kind, **options) for kind in (bpkern.MLP, reference.MLP))
    for each in (net, plain):
        each.fit(X, Y, epochs=2, batch_size=23, verbose=0, n_threads=threads)
    assert_alike(net, plain)


def test_float32_and_one_row_at_a_time(isa):
    options = {"dtype": "float32", "optimizer": bpkern.SGD(0.01)}
    net, plain = (model(None, kind, **options) for kind in (bpkern.MLP, reference.MLP))
    for each in (net, plain):
        each.fit(X[:20], Y[:20], epochs=1, batch_size=1, verbose=0)
    assert_alike(net, plain, atol=2e-5)


@pytest.mark.parametrize(("rows", "batch"), [(40, 1), (4000, 4000)])
def test_special_paths_refuse_them(rows, batch):
    """Tiny nets one row at a time, and thin nets in large batches, whose own paths know no shares."""
    own = np.random.default_rng(0)
    x, y = own.normal(size=(rows, 3)), own.normal(size=(rows, 2))
    nets = [
        kind([3, 4, 2], activation=Parametric("tanh"), loss="mse", dtype="float64", seed=0)
        for kind in (bpkern.MLP, reference.MLP)
    ]
    for net in nets:
        net.fit(x, y, batch_size=batch, verbose=0)
    assert_alike(*nets)


def test_factors_of_the_shares():
    """Without a learning rate, they stay; AdamW decays them by the product of rate, decay and factors."""
    activation = [Parametric("selu", 0.0), Parametric("selu", 0.5, 3.0), "selu"]
    net = moved(model(activation, optimizer=bpkern.AdamW(0.1, weight_decay=0.2)))
    before = net.state_dict()
    assert "activations.2.alpha" not in before
    net.train_on_batch(X, Y)
    after = net.state_dict()
    assert (after["activations.0.alpha"] == before["activations.0.alpha"]).all()
    # The first step of Adam is the learning rate itself, but for its eps.
    change = after["activations.1.alpha"] - (1 - 0.1 * 0.5 * 0.2 * 3.0) * before["activations.1.alpha"]
    np.testing.assert_allclose(np.abs(change), 0.05, rtol=1e-5)


def test_shares_below_frozen_layers_are_trained():
    nets = [model(None, kind, optimizer=bpkern.SGD(0.01)) for kind in (bpkern.MLP, reference.MLP)]
    for net in nets:
        net.freeze([0, 1, 2, 3])
        net.fit(X, Y, batch_size=20, verbose=0)
    assert_alike(*nets)
    state = nets[0].state_dict()
    assert all((state[name] != 1).any() for name in NAMES)


def test_a_loss_in_python_and_steps_by_hand():
    def squared_error(outputs, y):
        return 0.5 * ((outputs - y) ** 2).sum(axis=1), outputs - y

    named, python, by_hand, applied = (model(loss=loss) for loss in ("squared_error", squared_error) * 2)
    named.fit(X, Y, epochs=3, batch_size=60, shuffle=False, verbose=0)
    python.fit(X, Y, epochs=3, batch_size=60, shuffle=False, verbose=0)
    for _ in range(3):
        by_hand.backward((by_hand.forward(X, train=True) - Y) / len(X))
        by_hand.step()
        applied.apply_gradients(applied.gradients(X, Y, by_name=True)[1])
    for net in (python, by_hand, applied):
        for name, array in named.state_dict().items():
            np.testing.assert_allclose(net.state_dict()[name], array, atol=1e-12, err_msg=name)


def test_a_step_that_diverges_is_undone():
    net = model("parametric(selu)", dtype="float32", optimizer=bpkern.SGD(1e20, momentum=0.9))
    with pytest.raises(bpkern.DivergedError):  # noqa: PT012
        for _ in range(5):
            before = bits(net), pickle.dumps(net)
            net.train_on_batch(X, Y)
    assert (bits(net), pickle.dumps(net)) == before
    assert (net.state_dict()[NAMES[0]] != 1).any()


def test_threads_do_not_change_a_bit():
    x, y = np.tile(X, (5, 1)), np.tile(Y, (5, 1))
    for batch, sizes in ((100, [6, 300, 130, 2]), (1, [6, 700, 3, 2])):
        found = set()
        for threads in (1, 3):
            net = bpkern.MLP(
                sizes, activation="parametric(mish)", loss="mse", seed=0, optimizer=bpkern.AdamW(0.01)
            )
            net.fit(x[: 20 * batch], y[: 20 * batch], batch_size=batch, verbose=0, n_threads=threads)
            found.add(bits(net))
        assert len(found) == 1


def test_initialize_by_the_data():
    nets = [model(None, kind, dropout=0.1) for kind in (bpkern.MLP, reference.MLP)]
    for net in nets:
        net.initialize(X)
        net.fit(X, Y, batch_size=30, verbose=0)
    assert_alike(*nets)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_files_pickles_copies_and_continuing(tmp_path, suffix):
    if suffix == "safetensors":
        pytest.importorskip("safetensors", reason="safetensors is not installed")
    options = {"optimizer": bpkern.Adam(0.01), "inputs": [Scale()]}
    net = model([Parametric(LeakyReLU(0.3), 0.1), "relu", Parametric("mish", 1, 0.25)], **options)
    net.fit(X, Y, epochs=2, batch_size=20, ema=0.9, verbose=0)
    net.save(tmp_path / f"net.{suffix}")
    others = [bpkern.MLP.load(tmp_path / f"net.{suffix}"), pickle.loads(pickle.dumps(net)), net.copy()]
    text = "['parametric(leaky_relu(0.3), lr_factor=0.1)', 'relu', 'parametric(mish, decay_factor=0.25)']"
    assert f"activation={text}" in repr(net)
    for each in (net, *others):
        each.fit(X, Y, epochs=2, batch_size=20, verbose=0)
        assert repr(each) == repr(net)
        assert bits(each) == bits(net)


def test_a_file_without_shares_or_with_wrong_ones(tmp_path):
    model().save(tmp_path / "net.npz")
    config, arrays = container.read(tmp_path / "net.npz")
    for change in (None, np.ones(5), np.full(70, np.nan)):
        own = {**arrays, NAMES[0]: change}
        container.write(tmp_path / "bad.npz", config, {name: a for name, a in own.items() if a is not None})
        with pytest.raises(ValueError, match=r"activations\.0\.alpha"):
            bpkern.MLP.load(tmp_path / "bad.npz")


def test_states_by_name():
    net = model()
    state = net.state_dict()
    with pytest.raises(ValueError, match=r"missing \['activations.0.alpha'\]"):
        net.load_state_dict({name: array for name, array in state.items() if name != NAMES[0]})
    with pytest.raises(ValueError, match="takes gradients by name"):
        net.apply_gradients(net.gradients(X, Y)[1])
    assert "parametric(selu, lr_factor=0.1)" in str(net.summary())
    assert net.summary().parameters == sum(array.size for array in state.values())
    other = model("selu")
    with pytest.raises(ValueError, match="other must have the activations"):
        net.polyak_update(other, 0.5)
    net.polyak_update(moved(model()), 1.0)
    assert bits(net) == bits(moved(model()))


@pytest.mark.parametrize(
    "text", ["parametric(selu)", " parametric( leaky_relu(0.2) , lr_factor = 0.1 ,decay_factor=2)"]
)
def test_texts(text):
    net = model(text)
    assert repr(model(repr_of(net))) == repr(net)


def repr_of(net):
    """The text of the activation in the representation of a model."""
    return repr(net).split("activation='")[1].split("'")[0]


def test_what_refuses_them():
    net = model(dtype="float32")
    text = r"not available for a model with parametric activations \(parametric\(selu, lr_factor=0.1\), "
    for call in (
        lambda: net.compress("bfloat16"),
        lambda: net.trace(X, Y),
        lambda: net.fit(X, Y, shards=2),
    ):
        with pytest.raises(ValueError, match=text):
            call()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Parametric("selu", -1), ValueError, "lr_factor must be from 0"),
        (lambda: Parametric("selu", decay_factor=True), TypeError, "decay_factor must be a number"),
        (lambda: Parametric(Parametric("selu")), TypeError, "function must be a name or an activation"),
        (lambda: Parametric(ELU), TypeError, "function must be a name or an activation"),
        (lambda: model(Parametric("sell")), ValueError, "unknown activation 'sell'.*selu"),
        (
            lambda: model(Parametric(" parametric (selu)")),
            TypeError,
            "function must be a name or an activation",
        ),
        (
            lambda: model("parametric(parametric(selu, lr_factor=2), lr_factor=3)"),
            TypeError,
            r"function must be .* with a constant parameter, not 'parametric\(selu, lr_factor=2\)'",
        ),
        (
            lambda: model("parametric(selu, 0.1)"),
            ValueError,
            "takes lr_factor and decay_factor by name, not '0.1'",
        ),
        (lambda: model("parametric(selu,)"), ValueError, "takes lr_factor and decay_factor by name, not ''"),
        (
            lambda: model("parametric(selu, lr_factor=x)"),
            ValueError,
            "lr_factor .* must be a number, not 'x'",
        ),
        (
            lambda: model("parametric(selu, lr_factor=1, lr_factor=2)"),
            ValueError,
            "lr_factor of parametric is given twice",
        ),
        (lambda: model("parametric"), ValueError, r"parametric needs a function, as in 'parametric\(selu\)'"),
        (lambda: model(["selu", "relu", "parametric( )"]), ValueError, "parametric needs a function"),
        (lambda: model("parametric(selu, rate=0.1)"), ValueError, "no argument 'rate'"),
        (lambda: model(Parametric), TypeError, "activation must be an instance"),
        (lambda: model(output_activation=Parametric("tanh")), ValueError, "only in the hidden layers"),
        (lambda: Parametric("selu", factor=3), TypeError, "factor"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_estimators_refuse_them():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from bpkern.sklearn import MLPRegressor

    with pytest.raises(ValueError, match="only in the hidden layers of MLP"):
        MLPRegressor(activation=Parametric("selu")).fit(X, Y)
