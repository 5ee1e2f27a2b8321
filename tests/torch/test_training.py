"""Twenty steps of the kernels and of the reference against PyTorch, with every feature of training."""

import itertools

import numpy as np
import pytest
from helpers import fitting

import bpkern
from bpkern import losses, reference, schedules
from bpkern._model.core import core_of
from bpkern.reference.dropout import mask

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch
from torch_helpers import FUNCTIONS, LOSS_FUNCTIONS, pinball

ROWS, BATCH, WIDTHS = 200, 10, [6, 11, 8, 4]
TOLERANCE = 1e-12


class Twin:
    """The same network in PyTorch, trained by the same mini-batches in their order.

    Parameters
    ----------
    model : bpkern.MLP or reference.MLP
        Not trained yet.
    activations : list of str
    loss : callable
        Of outputs and targets, both tensors.
    """

    def __init__(self, model, activations, loss):
        self.activations, self.loss = activations, loss
        self.parameters = [
            torch.nn.Parameter(torch.from_numpy(array)) for pair in model.get_weights() for array in pair
        ]

    def outputs(self, x, masks=None):
        layers = zip(self.parameters[0::2], self.parameters[1::2], self.activations, strict=True)
        for l, (w, b, activation) in enumerate(layers):
            x = FUNCTIONS[activation](x @ w.T + b)
            if masks is not None and l < len(masks):
                x = x * torch.from_numpy(masks[l])
        return x

    def train(self, torch_optimizer, X, y, masks=None, before=None, after=None, batch=BATCH):
        """One epoch. `masks` is called with the number of the mini-batch; `before` and `after` without
        arguments, before and after each of the optimiser's steps."""
        X, y = torch.from_numpy(X), torch.from_numpy(y)
        for number, start in enumerate(range(0, len(X), batch)):
            rows = slice(start, start + batch)
            torch_optimizer.zero_grad()
            self.loss(self.outputs(X[rows], masks and masks(number)), y[rows]).backward()
            if before is not None:
                before()
            torch_optimizer.step()
            if after is not None:
                after()


def problem(loss="mse"):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((ROWS, WIDTHS[0]))
    if loss == "cross_entropy":
        return X, rng.integers(0, WIDTHS[-1], ROWS)
    y = rng.random((ROWS, WIDTHS[-1]))
    return X, fitting(loss, y)


@pytest.fixture(params=[bpkern.MLP, reference.MLP], ids=["kernels", "reference"], autouse=True)
def trainer(request, monkeypatch):
    """Each test runs with `pair` making a kernel model and with it making a reference model."""
    monkeypatch.setitem(MADE, "by", request.param)


@pytest.fixture(autouse=True)
def _numbers_in_float64():
    """PyTorch's NAdam keeps the product of its momenta in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


MADE = {}


def dropout_key(model):
    random = model._random if isinstance(model, reference.MLP) else core_of(model).random
    return random.dropout_key


def pair(given=None, loss="mse", hidden="tanh", output="identity", torch_loss=None, **settings):
    """(model, twin)."""
    model = MADE["by"](
        WIDTHS,
        activation=hidden,
        output_activation=output,
        loss=loss,
        optimizer=given,
        dtype="float64",
        seed=1,
        **settings,
    )
    return model, Twin(model, [hidden, hidden, output], torch_loss or LOSS_FUNCTIONS[loss])


def assert_equal(weights, parameters, tolerance=TOLERANCE):
    for got, parameter in zip(itertools.chain(*weights), parameters, strict=True):
        expected = parameter.detach().numpy()
        assert np.linalg.norm(got - expected) <= tolerance * np.linalg.norm(expected)


def fit(model, X, y, **arguments):
    before = model.get_weights()
    history = model.fit(X, y, **{"batch_size": BATCH, "shuffle": False, "verbose": 0} | arguments)
    for (w, b), (w_before, b_before) in zip(model.get_weights(), before, strict=True):
        assert np.abs(w - w_before).max() > 1e-4
        assert np.abs(b - b_before).max() > 1e-5
    return history


OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.02}),
    ("SGD", {"lr": 0.03, "momentum": 0.9, "weight_decay": 0.02, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.003, "centered": True, "momentum": 0.5, "maximize": True}),
    ("RMSprop", {"lr": 0.003, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.1, "initial_accumulator_value": 0.3}),
    ("Adagrad", {"eps": 1e-2}),
    ("Adagrad", {"lr": 0.003, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"maximize": True, "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "betas": (0.5, 0.6)}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.5}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True, "betas": (0.5, 0.6)}),
    ("AdamW", {"weight_decay": 0.5, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.01, "betas": (0.7, 0.95), "eps": 1e-3, "weight_decay": 0.1, "momentum_decay": 0.3}),
    ("NAdam", {"weight_decay": 0.3, "decoupled_weight_decay": True, "maximize": True}),
]


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
def test_optimisers(name, settings, loss):
    X, y = problem(loss)
    model, twin = pair(getattr(bpkern, name)(**settings), loss)
    twin.train(getattr(torch.optim, name)(twin.parameters, **settings), X, y)
    fit(model, X, y)
    assert_equal(model.get_weights(), twin.parameters)


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adagrad", "Adam", "AdamW", "NAdam"])
def test_rates_that_change(name):
    """Over two fits: the iteration continues, as the optimiser's state does."""
    X, y = problem()

    def rate(iteration):
        return 0.05 * 0.9**iteration

    model, twin = pair(getattr(bpkern, name)(lr=rate))
    torch_optimizer = getattr(torch.optim, name)(twin.parameters, lr=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(torch_optimizer, lambda iteration: 0.9**iteration)
    for half in (slice(0, 100), slice(100, 200)):
        twin.train(torch_optimizer, X[half], y[half], after=schedule.step)
        model.fit(X[half], y[half], batch_size=BATCH, shuffle=False)
    assert_equal(model.get_weights(), twin.parameters)


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_activations(activation):
    X, y = problem()
    model, twin = pair(bpkern.Adam(lr=0.01), hidden=activation, output=activation)
    twin.train(torch.optim.Adam(twin.parameters, lr=0.01), X, y)
    fit(model, X, y)
    assert_equal(model.get_weights(), twin.parameters, 1e-11)


@pytest.mark.parametrize("loss", LOSS_FUNCTIONS)
def test_losses(loss):
    X, y = problem(loss)
    model, twin = pair(bpkern.SGD(lr=0.1, momentum=0.9), loss)
    twin.train(torch.optim.SGD(twin.parameters, lr=0.1, momentum=0.9), X, y)
    fit(model, X, y)
    assert_equal(model.get_weights(), twin.parameters)
    expected = LOSS_FUNCTIONS[loss](twin.outputs(torch.from_numpy(X)), torch.from_numpy(y)).item()
    assert model.evaluate(X, y)["loss"] == pytest.approx(expected, rel=1e-12)


def test_label_smoothing_of_two_classes():
    """As torch's cross-entropy of the two logits 0 and z."""
    X, y = problem("binary_cross_entropy")
    y = (y > 0.5).astype(float)

    def loss(outputs, targets):
        logits = torch.stack([torch.zeros_like(outputs), outputs], dim=-1)
        of_all = torch.nn.CrossEntropyLoss(label_smoothing=0.2)
        return of_all(logits.reshape(-1, 2), targets.reshape(-1).long())

    model, twin = pair(bpkern.SGD(lr=0.5), "binary_cross_entropy", torch_loss=loss, label_smoothing=0.2)
    twin.train(torch.optim.SGD(twin.parameters, lr=0.5), X, y)
    fit(model, X, y)
    assert_equal(model.get_weights(), twin.parameters)
    expected = loss(twin.outputs(torch.from_numpy(X)), torch.from_numpy(y)).item()
    assert model.evaluate(X, y)["loss"] == pytest.approx(expected, rel=1e-12)


def test_slopes_as_parameters():
    X, y = problem()
    activations = [bpkern.activations.LeakyReLU(0.2), bpkern.activations.ELU(2.5), "leaky_relu(1.5)"]
    model = MADE["by"](
        WIDTHS,
        activation=activations[:2],
        output_activation=activations[2],
        loss="mse",
        optimizer=bpkern.SGD(lr=0.05, momentum=0.9),
        dtype="float64",
        seed=1,
    )
    functions = {"a": torch.nn.LeakyReLU(0.2), "b": torch.nn.ELU(2.5), "c": torch.nn.LeakyReLU(1.5)}
    twin = Twin(model, list("abc"), LOSS_FUNCTIONS["mse"])
    FUNCTIONS.update(functions)
    twin.train(torch.optim.SGD(twin.parameters, lr=0.05, momentum=0.9), X, y)
    for name in functions:
        del FUNCTIONS[name]
    fit(model, X, y)
    assert_equal(model.get_weights(), twin.parameters)


def test_maximize_with_clipping_accumulation_and_penalties():
    """The penalties still make the weights smaller: the loss minus the penalty grows."""
    X, y = problem()
    model, twin = pair(bpkern.Adam(lr=0.01, maximize=True), l2=0.03)
    mse = twin.loss
    twin.loss = lambda outputs, targets: (
        mse(outputs, targets) - sum(0.03 * w.square().sum() for w in twin.parameters[0::2])
    )
    twin.train(
        torch.optim.Adam(twin.parameters, lr=0.01, maximize=True),
        X,
        y,
        batch=2 * BATCH,
        before=lambda: torch.nn.utils.clip_grad_norm_(twin.parameters, 0.3),
    )
    fit(model, X, y, clip_norm=0.3, accumulate=2)
    assert_equal(model.get_weights(), twin.parameters)


def test_label_smoothing():
    X, y = problem("cross_entropy")
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.2)
    model, twin = pair(bpkern.SGD(lr=0.1), "cross_entropy", torch_loss=loss, label_smoothing=0.2)
    twin.train(torch.optim.SGD(twin.parameters, lr=0.1), X, y)
    fit(model, X, y)
    assert_equal(model.get_weights(), twin.parameters)
    expected = loss(twin.outputs(torch.from_numpy(X)), torch.from_numpy(y)).item()
    assert model.evaluate(X, y)["loss"] == pytest.approx(expected, rel=1e-12)


def test_penalties():
    X, y = problem()
    model, twin = pair(bpkern.Adam(lr=0.01), l1=0.01, l2=0.03)
    mse = twin.loss

    def penalised(outputs, targets):
        weights = twin.parameters[0::2]
        penalty = sum(0.01 * w.abs().sum() + 0.03 * w.square().sum() for w in weights)
        return mse(outputs, targets) + penalty

    twin.loss = penalised
    twin.train(torch.optim.Adam(twin.parameters, lr=0.01), X, y)
    fit(model, X, y)
    assert_equal(model.get_weights(), twin.parameters)
    expected = penalised(twin.outputs(torch.from_numpy(X)), torch.from_numpy(y)).item()
    assert model.evaluate(X, y)["loss"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("hidden", ["relu", "sigmoid", "gelu"])
@pytest.mark.parametrize("rates", [[0.2, 0.5], [0.0, 0.3]])
def test_dropout(hidden, rates):
    """PyTorch gets the masks that follow from the model's key."""
    X, y = problem()
    model, twin = pair(bpkern.Adam(lr=0.01), hidden=hidden, dropout=rates)
    dtype = np.dtype("float64")

    def masks(number):
        return [
            mask(p, dtype, dropout_key(model), number, l, BATCH, WIDTHS[l + 1]) for l, p in enumerate(rates)
        ]

    twin.train(torch.optim.Adam(twin.parameters, lr=0.01), X, y, masks=masks)
    fit(model, X, y)
    assert_equal(model.get_weights(), twin.parameters)


@pytest.mark.parametrize("rates", [[0.0, 0.0], [0.2, 0.5]])
def test_dropout_of_the_inputs(rates):
    X, y = problem()
    model, twin = pair(bpkern.Adam(lr=0.01), dropout=rates, input_dropout=0.3)
    dtype, dropped = np.dtype("float64"), []
    for number in range(ROWS // BATCH):
        dropped.append(mask(0.3, dtype, dropout_key(model), number, 2**16 - 1, BATCH, WIDTHS[0]))

    def masks(number):
        return [
            mask(p, dtype, dropout_key(model), number, l, BATCH, WIDTHS[l + 1]) for l, p in enumerate(rates)
        ]

    twin.train(torch.optim.Adam(twin.parameters, lr=0.01), X * np.concatenate(dropped), y, masks=masks)
    fit(model, X, y)
    assert_equal(model.get_weights(), twin.parameters)


@pytest.mark.parametrize("limit", [0.05, 1e3])
def test_clip_norm(limit):
    X, y = problem()
    model, twin = pair(bpkern.SGD(lr=0.5, momentum=0.9))
    norms = []
    twin.train(
        torch.optim.SGD(twin.parameters, lr=0.5, momentum=0.9),
        X,
        y,
        before=lambda: norms.append(torch.nn.utils.clip_grad_norm_(twin.parameters, limit)),
    )
    fit(model, X, y, clip_norm=limit)
    assert_equal(model.get_weights(), twin.parameters)
    assert (max(norms) > limit) == (limit < 1)


def test_clip_norm_then_value():
    X, y = problem()
    model, twin = pair(bpkern.SGD(lr=0.5))

    def clip():
        torch.nn.utils.clip_grad_norm_(twin.parameters, 0.1)
        torch.nn.utils.clip_grad_value_(twin.parameters, 0.005)

    twin.train(torch.optim.SGD(twin.parameters, lr=0.5), X, y, before=clip)
    fit(model, X, y, clip_norm=0.1, clip_value=0.005)
    assert_equal(model.get_weights(), twin.parameters)


def test_average_of_the_weights():
    X, y = problem()
    model, twin = pair(bpkern.Adam(lr=0.02))
    net = torch.nn.ParameterList(twin.parameters)
    averaged = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    averaged.update_parameters(net)  # the first call copies
    twin.train(
        torch.optim.Adam(twin.parameters, lr=0.02), X, y, after=lambda: averaged.update_parameters(net)
    )
    fit(model, X, y, ema=0.9)
    twin.parameters = list(averaged.module)
    assert_equal(model.get_weights(), twin.parameters)
    expected = twin.outputs(torch.from_numpy(X)).detach().numpy()
    assert np.abs(model.forward(X) - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulation(accumulate):
    """Like PyTorch with mini-batches `accumulate` times as large, including the short last one."""
    X, y = problem("cross_entropy")
    model, twin = pair(bpkern.Adam(lr=0.02), "cross_entropy")
    twin.train(torch.optim.Adam(twin.parameters, lr=0.02), X, y, batch=BATCH * accumulate)
    history = fit(model, X, y, accumulate=accumulate)
    assert history.iterations == ROWS // BATCH
    assert_equal(model.get_weights(), twin.parameters)


@pytest.mark.parametrize("output", ["identity", "tanh"])
@pytest.mark.parametrize(
    ("loss", "torch_loss"),
    [
        (losses.Huber(0.2), torch.nn.HuberLoss(delta=0.2)),
        (losses.Huber(3), torch.nn.HuberLoss(delta=3.0)),
        (losses.Quantile(0.9), lambda outputs, y: pinball(outputs, y, 0.9)),
        (
            losses.Quantile([0.05, 0.3, 0.5, 0.99]),
            lambda outputs, y: pinball(outputs, y, torch.tensor([0.05, 0.3, 0.5, 0.99], dtype=torch.float64)),
        ),
    ],
)
def test_losses_with_parameters(loss, torch_loss, output):
    X, y = problem()
    model, twin = pair(bpkern.SGD(lr=0.1), loss, output=output, torch_loss=torch_loss)
    twin.train(torch.optim.SGD(twin.parameters, lr=0.1), X, y)
    fit(model, X, y)
    assert_equal(model.get_weights(), twin.parameters)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_probabilities_as_targets(smoothing):
    X, y = problem()
    y /= y.sum(axis=1, keepdims=True)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
    model, twin = pair(bpkern.SGD(lr=0.1), "cross_entropy", torch_loss=loss, label_smoothing=smoothing)
    twin.train(torch.optim.SGD(twin.parameters, lr=0.1), X, y)
    fit(model, X, y)
    assert_equal(model.get_weights(), twin.parameters)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_class_weights(smoothing):
    """Without smoothing, PyTorch's loss is the same; with smoothing it also smooths the class weights."""
    X, y = problem("cross_entropy")
    weights = [0.5, 2.0, 0.0, 1.0]
    rows = torch.nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="none")

    def loss(outputs, targets):
        w = torch.tensor(weights, dtype=torch.float64)[targets]
        return (w * rows(outputs, targets)).sum() / w.sum()

    model, twin = pair(bpkern.Adam(lr=0.01), "cross_entropy", torch_loss=loss, label_smoothing=smoothing)
    twin.train(torch.optim.Adam(twin.parameters, lr=0.01), X, y)
    fit(model, X, y, class_weight=dict(enumerate(weights)))
    assert_equal(model.get_weights(), twin.parameters)
    if not smoothing:
        torchs = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights, dtype=torch.float64))
        outputs, targets = twin.outputs(torch.from_numpy(X)), torch.from_numpy(y)
        assert loss(outputs, targets).item() == pytest.approx(torchs(outputs, targets).item(), rel=1e-14)


@pytest.mark.parametrize("loss", LOSS_FUNCTIONS)
def test_sample_weights(loss):
    """Also of losses that are means over elements: the weight multiplies the mean of each row."""
    X, y = problem(loss)
    weights = np.random.default_rng(1).random(ROWS)
    of_row = LOSS_FUNCTIONS[loss]
    taken = iter(np.split(weights, ROWS // BATCH))

    def weighed(outputs, targets):
        w = torch.from_numpy(next(taken))
        rows = [of_row(outputs[i : i + 1], targets[i : i + 1]) for i in range(len(w))]
        return (w * torch.stack(rows)).sum() / w.sum()

    model, twin = pair(bpkern.SGD(lr=0.1), loss, torch_loss=weighed)
    twin.train(torch.optim.SGD(twin.parameters, lr=0.1), X, y)
    fit(model, X, y, sample_weight=weights)
    assert_equal(model.get_weights(), twin.parameters)


@pytest.mark.parametrize(
    ("schedule", "of_torch"),
    [
        (schedules.Step(0.05, 7, 0.3), lambda o: torch.optim.lr_scheduler.StepLR(o, 7, 0.3)),
        (schedules.Exponential(0.05, 0.9), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)),
        (schedules.Cosine(0.05, 20), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20)),
    ],
)
@pytest.mark.parametrize("clip_norm", [None, 1e9])
def test_schedules(schedule, of_torch, clip_norm):
    """Also with stored gradients, which take another path through the kernels."""
    X, y = problem()
    model, twin = pair(bpkern.AdamW(lr=schedule, weight_decay=0.1))
    torch_optimizer = torch.optim.AdamW(twin.parameters, lr=0.05, weight_decay=0.1)
    twin.train(torch_optimizer, X, y, after=of_torch(torch_optimizer).step)
    model.fit(X, y, batch_size=BATCH, shuffle=False, clip_norm=clip_norm, verbose=0)
    assert_equal(model.get_weights(), twin.parameters)


@pytest.mark.parametrize(("name", "settings"), [each for each in OPTIMIZERS if "maximize" not in each[1]])
def test_all_at_once(name, settings):
    """Dropout, both penalties, clipping, accumulation and an average, with a gelu net on the way."""
    X, y = problem("cross_entropy")
    rates, dtype = [0.2, 0.4], np.dtype("float64")
    model, twin = pair(
        getattr(bpkern, name)(**settings), "cross_entropy", "gelu", dropout=rates, l1=0.003, l2=0.01
    )
    torch_optimizer = getattr(torch.optim, name)(twin.parameters, **settings)
    average = [w.detach().clone() for w in twin.parameters]
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)
    for update in range(7):  # of three mini-batches, the last of two
        torch_optimizer.zero_grad()
        starts = range(30 * update, min(30 * update + 30, ROWS), BATCH)
        for start in starts:
            masks = [
                mask(p, dtype, dropout_key(model), start // BATCH, l, BATCH, WIDTHS[l + 1])
                for l, p in enumerate(rates)
            ]
            rows = slice(start, start + BATCH)
            (twin.loss(twin.outputs(inputs[rows], masks), targets[rows]) / len(starts)).backward()
        for w in twin.parameters[0::2]:
            w.grad += 0.003 * w.detach().sign() + 0.02 * w.detach()
        torch.nn.utils.clip_grad_norm_(twin.parameters, 0.3)
        torch.nn.utils.clip_grad_value_(twin.parameters, 0.05)
        torch_optimizer.step()
        average = [0.8 * a + 0.2 * w.detach() for a, w in zip(average, twin.parameters, strict=True)]
    fit(model, X, y, accumulate=3, clip_norm=0.3, clip_value=0.05, ema=0.8)
    assert_equal(model.get_weights(), average)
