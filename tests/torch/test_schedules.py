"""Arguments of the optimisers and schedules against PyTorch's, if PyTorch is installed."""

import inspect
import warnings

import numpy as np
import pytest

from bpkern.optimizers import OPTIMIZERS
from bpkern.schedules import Cosine, Exponential, OneCycle, Step

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
schedulers = torch.optim.lr_scheduler


def rates_of(make, lr, count):
    """The learning rates that PyTorch's scheduler sets in `count` iterations."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():
            # SequentialLR itself passes on the argument that this warning is about.
            warnings.filterwarnings("ignore", "The epoch parameter", UserWarning)
            scheduler.step()
    return np.array(rates)


def warmed_up(optimizer):
    first = schedulers.LinearLR(optimizer, start_factor=1 / 6, total_iters=5)
    second = schedulers.CosineAnnealingLR(optimizer, T_max=15, eta_min=0.1)
    return schedulers.SequentialLR(optimizer, [first, second], milestones=[5])


@pytest.mark.parametrize(
    ("schedule", "make", "count"),
    [
        (Step(0.5, 7, 0.3), lambda o: schedulers.StepLR(o, 7, 0.3), 50),
        (Exponential(0.5, 0.93), lambda o: schedulers.ExponentialLR(o, 0.93), 50),
        (Cosine(0.5, 20), lambda o: schedulers.CosineAnnealingLR(o, 20), 21),
        (Cosine(0.5, 20, lowest=0.1), lambda o: schedulers.CosineAnnealingLR(o, 20, 0.1), 21),
        (Cosine(0.5, 20, lowest=0.1, warmup=5), warmed_up, 21),
        (Cosine(0.5, 9, restarts=1), lambda o: schedulers.CosineAnnealingWarmRestarts(o, 9), 60),
        (
            Cosine(0.5, 4, lowest=0.1, restarts=3),
            lambda o: schedulers.CosineAnnealingWarmRestarts(o, 4, 3, 0.1),
            200,
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, (Step, Exponential, Cosine)) else "",
)
def test_schedules(schedule, make, count):
    expected = rates_of(make, 0.5, count)
    assert schedule(np.arange(count)) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize("pct_start", [0.0, 0.1, 0.3, 0.55])
@pytest.mark.parametrize("iterations", [7, 40])
def test_one_cycle(iterations, pct_start, anneal):
    def make(optimizer):
        return schedulers.OneCycleLR(
            optimizer,
            0.5,
            iterations,
            pct_start=pct_start,
            anneal_strategy=anneal,
            cycle_momentum=False,
            div_factor=10.0,
            final_div_factor=100.0,
        )

    expected = rates_of(make, 0.5, iterations)
    schedule = OneCycle(0.5, iterations, pct_start, 10.0, 100.0, anneal)
    assert schedule(np.arange(iterations)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rule", [rule for rule in OPTIMIZERS if rule != "sgd"])
def test_arguments_of_the_optimisers(rule):
    """Names, order and defaults; without SGD, which has another order and no dampening, and eps_hat."""
    kind = OPTIMIZERS[rule]
    theirs = inspect.signature(getattr(torch.optim, kind.__name__)).parameters
    ours = kind().settings()
    assert not ours.pop("eps_hat", False)
    assert {name: theirs[name].default for name in ours} == ours
    ours.pop("maximize")  # by name in PyTorch
    assert list(theirs)[1 : 1 + len(ours)] == list(ours)
