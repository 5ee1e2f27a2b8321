"""Networks out to torch and back: docs/export.md."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from export_helpers import TEXTS, assert_agree, predictions, random_model  # noqa: E402

import bpkern  # noqa: E402
from bpkern import export  # noqa: E402

NETS = range(100)
nn = torch.nn


@pytest.mark.parametrize("number", NETS)
@pytest.mark.filterwarnings("ignore:the loss .* applies its own")
def test_out_and_back(number, tmp_path):
    """Predictions within the bound; back again the same bits, with the same settings."""
    model, X = random_model(number)
    sequential = export.to_torch(model)
    with torch.no_grad():
        found = sequential(torch.from_numpy(X)).numpy()
    assert found.dtype == model.dtype
    assert_agree(model, X, found)
    again = bpkern.MLP.from_torch(sequential, loss=model.loss)
    assert repr(again).replace(", init='(arrays)'", "") == repr(model)
    assert np.array_equal(predictions(again, X), predictions(model, X))


def test_probabilities_come_back_without_rounding():
    model = bpkern.MLP([3, 4, 5, 1], loss="mse", dropout=[0.2, 0.3], input_dropout=0.2)
    again = bpkern.MLP.from_torch(export.to_torch(model), loss="mse")
    assert repr(again).replace(", init='(arrays)'", "") == repr(model)


def test_every_activation_and_loss_is_among_them():
    models = [random_model(number)[0] for number in NETS]
    texts = " ".join(map(repr, models))
    for name in (*TEXTS, *bpkern._core.LOSSES, "float32", "float64", " dropout=0.25", "input_dropout=0.125"):
        assert name in texts


@pytest.mark.parametrize("dropout", [0.0, [0.5, 0.0]])
def test_the_names_of_files_and_of_the_sequential(dropout, tmp_path):
    safetensors = pytest.importorskip("safetensors")
    from safetensors.numpy import load_file
    from safetensors.torch import load_file as load_tensors

    model = bpkern.MLP([5, 4, 3, 2], loss="cross_entropy", dropout=dropout, seed=0)
    sequential = export.to_torch(model)
    path = tmp_path / "net.safetensors"
    export.to_safetensors(model, path)
    state = load_tensors(path)
    assert list(state) == sorted(sequential.state_dict())
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt"}
    other = bpkern.MLP([5, 4, 3, 2], loss="cross_entropy", dropout=dropout, seed=1)
    X = np.ones((2, 5), np.float32)
    before = export.to_torch(other)
    before.load_state_dict(state)
    assert torch.equal(before(torch.from_numpy(X)), sequential(torch.from_numpy(X)))
    for given in (load_file(path), sequential.state_dict()):
        other.reset()
        other.load_state_dict(given)
        assert np.array_equal(other.forward(X), model.forward(X))


def test_logits_are_what_forward_returns():
    model = bpkern.MLP([3, 4, 2], loss="cross_entropy", seed=0)
    X = np.ones((2, 3), np.float32)
    found = export.to_torch(model, logits=True)(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(found, model.forward(X), rtol=1e-5, atol=1e-6)


def test_the_weights_are_copies_and_torch_draws_nothing():
    model = bpkern.MLP([3, 4, 2], loss="mse", seed=0)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    sequential = export.to_torch(model)
    assert torch.equal(torch.rand(1), expected)
    before = model.forward(np.ones((1, 3)))
    with torch.no_grad():
        sequential[0].weight.zero_()
    assert np.array_equal(model.forward(np.ones((1, 3))), before)
    assert all(parameter.requires_grad for parameter in sequential.parameters())
    assert not sequential.training


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_estimators_and_pipelines():
    pytest.importorskip("sklearn")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    from bpkern.sklearn import MLPClassifier, MLPRegressor

    rng = np.random.default_rng(0)
    X = rng.normal(3, 2, (60, 4))
    x = torch.from_numpy(X)
    y = (X[:, 0] > 3).astype(int) + (X[:, 1] > 3)
    several = make_pipeline(StandardScaler(), MinMaxScaler((-1, 2)), MLPClassifier((5,), max_iter=3)).fit(
        X, y
    )
    found = export.to_torch(several)(x).detach().numpy()
    np.testing.assert_allclose(found, several.predict_proba(X), rtol=1e-12)
    two = MLPClassifier((5,), max_iter=3).fit(X, y > 0)
    found = export.to_torch(two)(x).detach().numpy()
    np.testing.assert_allclose(found, two.predict_proba(X)[:, 1:], rtol=1e-12)
    rates = MLPRegressor("poisson", (5,), max_iter=3).fit(X, y)
    with pytest.raises(ValueError, match="logits=True"):
        export.to_torch(rates)
    found = export.to_torch(rates, logits=True)(x).exp().detach().numpy()
    np.testing.assert_allclose(found[:, 0], rates.predict(X), rtol=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "activations",
    [
        [nn.GELU(), nn.SiLU(), nn.Softplus()],
        [nn.GELU(approximate="tanh"), nn.ELU(), nn.LeakyReLU(0.01)],
        [nn.Tanh(), nn.Sigmoid(), nn.ReLU()],
        [nn.SELU(), nn.Mish(), nn.ReLU()],
        [nn.LeakyReLU(0.3), nn.ELU(1.5), nn.LeakyReLU(2.0)],
    ],
)
@pytest.mark.parametrize("opset", [11, 20])
def test_files_of_the_exporter_of_torch(activations, opset, tmp_path):
    """Its own decompositions of the activations are recognised."""
    pytest.importorskip("onnx")
    path, (first, second, third) = str(tmp_path / "net.onnx"), activations
    linear = [nn.Linear(4, 5), nn.Linear(5, 6, bias=False), nn.Linear(6, 7), nn.Linear(7, 3)]
    sequential = nn.Sequential(
        linear[0], first, nn.Dropout(0.2), linear[1], second, linear[2], third, linear[3], nn.Softmax(1)
    ).eval()
    x = torch.randn(9, 4)
    torch.onnx.export(sequential, x, path, opset_version=opset, dynamo=False)
    model = bpkern.MLP.from_onnx(path, loss="cross_entropy")
    np.testing.assert_allclose(model.predict_proba(x), sequential(x).detach(), rtol=1e-5, atol=1e-6)
    direct = bpkern.MLP.from_torch(sequential, loss="cross_entropy")
    assert model.layers == direct.layers
    assert repr(model).split(", loss")[0] == repr(direct).split(", loss")[0]


# Foreign Sequentials -------------------------------------------------------------------------------------


def test_a_foreign_sequential():
    """Nested, with a Flatten, no bias, and modules used twice."""
    relu = nn.ReLU()
    sequential = nn.Sequential(
        nn.Flatten(),
        nn.Sequential(nn.Linear(4, 5, bias=False), relu),
        nn.Dropout(0.5),
        nn.Linear(5, 6),
        relu,
        nn.Linear(6, 3),
        nn.LogSoftmax(dim=-1),
    ).eval()
    model = bpkern.MLP.from_torch(sequential, loss="cross_entropy", seed=0)
    assert "activation='relu'" in repr(model)
    assert "dropout=[0.5, 0.0]" in repr(model)
    x = torch.randn(7, 4)
    expected = sequential(x).exp().detach().numpy()
    np.testing.assert_allclose(model.predict_proba(x.numpy()), expected, rtol=1e-5)
    model.fit(x.numpy(), [0, 1, 2, 0, 1, 2, 0], verbose=0)
    model.reset()
    np.testing.assert_allclose(model.predict_proba(x.numpy()), expected, rtol=1e-5)


class Own(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


class OwnLinear(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def unfinished():
    linear = nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight[0, 0] = torch.nan
    return linear


REFUSED = {
    "no module": (lambda: [1, 2], TypeError, "torch.nn.Sequential, not list"),
    "no Sequential": (lambda: nn.Linear(2, 2), TypeError, "torch.nn.Sequential, not Linear"),
    "own forward": (lambda: Own(nn.Linear(2, 2)), TypeError, "not Own"),
    "empty": (nn.Sequential, ValueError, "at least one Linear"),
    "activation first": (
        lambda: nn.Sequential(nn.ReLU(), nn.Linear(2, 2)),
        ValueError,
        "module 0: the first",
    ),
    "own linear": (lambda: nn.Sequential(OwnLinear(2, 2)), ValueError, "module 0: the first"),
    "convolution": (
        lambda: nn.Sequential(nn.Linear(2, 2), nn.Conv1d(1, 1, 1)),
        ValueError,
        "module 1: Conv1d",
    ),
    "slope": (lambda: nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(-0.2)), ValueError, "module 1: LeakyReLU"),
    "elu": (lambda: nn.Sequential(nn.Linear(2, 2), nn.ELU(-2.0)), ValueError, "module 1: ELU"),
    "softplus": (lambda: nn.Sequential(nn.Linear(2, 2), nn.Softplus(2.0)), ValueError, "module 1: Softplus"),
    "two": (lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh()), ValueError, "module 2: Tanh"),
    "after dropout": (
        lambda: nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Tanh(), nn.Linear(2, 2)),
        ValueError,
        "module 2: Tanh",
    ),
    "last dropout": (lambda: nn.Sequential(nn.Linear(2, 2), nn.Dropout()), ValueError, "module 1: a Dropout"),
    "alpha dropout": (
        lambda: nn.Sequential(nn.Linear(2, 2), nn.AlphaDropout()),
        ValueError,
        "module 1: Alpha",
    ),
    "inner softmax": (
        lambda: nn.Sequential(nn.Linear(2, 2), nn.Softmax(1), nn.Linear(2, 2)),
        ValueError,
        "module 2: nothing can follow",
    ),
    "softmax over rows": (lambda: nn.Sequential(nn.Linear(2, 2), nn.Softmax(0)), ValueError, "dim 1, not 0"),
    "sizes": (lambda: nn.Sequential(nn.Linear(2, 3), nn.Linear(2, 3)), ValueError, "a layer of 3 outputs"),
    "half": (lambda: nn.Sequential(nn.Linear(2, 3).half()), ValueError, "0.weight must be float32 or"),
    "mixed": (
        lambda: nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3).double()),
        ValueError,
        "module 1: float64 follows",
    ),
    "meta": (lambda: nn.Sequential(nn.Linear(2, 3, device="meta")), ValueError, "0.weight must be dense"),
    "sparse": (lambda: nn.Sequential(sparse()), ValueError, "0.weight must be dense"),
    "not finite": (
        lambda: nn.Sequential(nn.Sequential(unfinished())),
        ValueError,
        "0.0.weight must be finite",
    ),
    "weight norm": (lambda: nn.Sequential(weight_norm()), (TypeError, ValueError), "0"),
    "no outputs": (lambda: nn.Sequential(no_outputs()), ValueError, "size must be at least 1"),
}


def sparse():
    linear = nn.Linear(2, 3)
    linear.weight = nn.Parameter(linear.weight.detach().to_sparse())
    return linear


def weight_norm():
    return nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))


def no_outputs():
    linear = nn.Linear(2, 1)
    linear.weight, linear.bias = nn.Parameter(torch.zeros(0, 2)), nn.Parameter(torch.zeros(0))
    return linear


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    make, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        bpkern.MLP.from_torch(make(), loss="cross_entropy")


def test_a_softmax_needs_its_loss():
    with pytest.raises(
        ValueError, match="module 1: a softmax after the outputs is for the loss 'cross_entropy', not 'mse'"
    ):
        bpkern.MLP.from_torch(nn.Sequential(nn.Linear(2, 2), nn.Softmax(1)), loss="mse")
    model = bpkern.MLP.from_torch(nn.Sequential(nn.Linear(2, 2), nn.Sigmoid()), loss="mse")
    assert "output_activation='sigmoid'" in repr(model)


STATES = {
    "list": lambda s: list(s.items()),
    "missing": lambda s: {name: s[name] for name in list(s)[1:]},
    "more": lambda s: {**s, "4.weight": s["0.weight"]},
    "prefixed": lambda s: {f"net.{name}": value for name, value in s.items()},
    "numbers": lambda s: dict(enumerate(s.values())),
    "zeros before": lambda s: {f"0{name}": value for name, value in s.items()},
    "gradients": lambda s: {name: value.clone().requires_grad_() for name, value in s.items()},
    "bfloat16": lambda s: {name: value.bfloat16() for name, value in s.items()},
    "meta": lambda s: {name: value.to("meta") for name, value in s.items()},
    "sparse": lambda s: {name: value.to_sparse() for name, value in s.items()},
    "complex": lambda s: {name: value + 1j for name, value in s.items()},
    "not finite": lambda s: {name: value * torch.inf for name, value in s.items()},
    "turned": lambda s: {name: value.T for name, value in s.items()},
    "None": lambda s: dict.fromkeys(s),
}


@pytest.mark.filterwarnings("ignore:The use of `x.T`", "ignore:Casting complex")
@pytest.mark.parametrize("case", STATES)
def test_foreign_state_dicts(case):
    """ValueError or TypeError, and nothing has changed."""
    model = bpkern.MLP([3, 4, 2], loss="mse", seed=0)
    before = model.get_weights()
    state = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).state_dict()
    with pytest.raises((ValueError, TypeError)):
        model.load_state_dict(STATES[case](state))
    for old, new in zip(before, model.get_weights(), strict=True):
        assert all(map(np.array_equal, old, new))
    model.load_state_dict(state)
