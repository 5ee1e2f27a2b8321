"""Optimisers hold checked settings and nothing else."""

import copy
import pickle

import numpy as np
import pytest

from bpkern import _core, schedules
from bpkern.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop

DEFAULTS = {
    SGD: {
        "lr": 0.01,
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
        "dampening": 0.0,
        "maximize": False,
    },
    RMSprop: {
        "lr": 0.01,
        "alpha": 0.99,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "momentum": 0.0,
        "centered": False,
        "maximize": False,
    },
    Adagrad: {
        "lr": 0.01,
        "lr_decay": 0.0,
        "weight_decay": 0.0,
        "initial_accumulator_value": 0.0,
        "eps": 1e-10,
        "maximize": False,
    },
    Adam: {
        "lr": 0.001,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "amsgrad": False,
        "eps_hat": False,
        "maximize": False,
    },
    AdamW: {
        "lr": 0.001,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.01,
        "amsgrad": False,
        "eps_hat": False,
        "maximize": False,
    },
    NAdam: {
        "lr": 0.002,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "momentum_decay": 0.004,
        "decoupled_weight_decay": False,
        "maximize": False,
    },
}
OTHERS = {
    "lr": 0.5,
    "momentum": 0.25,
    "nesterov": True,
    "weight_decay": 0.125,
    "alpha": 0.75,
    "eps": 1e-3,
    "centered": True,
    "lr_decay": 0.5,
    "initial_accumulator_value": 2.0,
    "betas": (0.5, 0.75),
    "amsgrad": True,
    "eps_hat": True,
    "dampening": 0.0,  # nesterov allows no other
    "momentum_decay": 0.25,
    "decoupled_weight_decay": True,
    "maximize": True,
}


def test_each_rule_of_c_has_a_class():
    assert tuple(OPTIMIZERS) == _core.OPTIMIZERS


@pytest.fixture(params=DEFAULTS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def test_defaults_in_the_order_of_the_constructor(kind):
    settings = kind().settings()
    assert settings == DEFAULTS[kind]
    assert list(settings) == list(DEFAULTS[kind])
    by_position = kind(*(OTHERS[name] for name in settings))
    assert by_position.settings() == {name: OTHERS[name] for name in settings}
    assert by_position.values() == tuple(OTHERS[name] for name in settings)


def test_copies(kind):
    original = kind(**{name: OTHERS[name] for name in DEFAULTS[kind]})
    for other in (
        original.checked_copy(),
        copy.copy(original),
        copy.deepcopy(original),
        pickle.loads(pickle.dumps(original)),
    ):
        assert type(other) is kind
        assert other is not original
        assert other.settings() == original.settings()
        other.lr = 0.0
    assert original.lr == 0.5


def test_a_misspelt_attribute_is_an_error(kind):
    with pytest.raises(AttributeError):
        kind().learning_rate = 0.1
    with pytest.raises(TypeError, match="learning_rate"):
        kind(learning_rate=0.1)


def test_the_rule_names_the_class(kind):
    assert kind.rule == kind.__name__.lower()
    assert OPTIMIZERS[kind.rule] is kind
    assert isinstance(kind(), Optimizer)


@pytest.mark.parametrize("kind", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_settings_as_parameters(kind):
    optimizer = kind()
    assert optimizer.get_params() == optimizer.settings()
    assert optimizer.set_params(lr=0.25, weight_decay=0.5) is optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (0.25, 0.5)
    before = optimizer.settings()
    with pytest.raises(ValueError, match="has no setting 'rate': there are lr, "):
        optimizer.set_params(lr=1.0, rate=2.0)
    with pytest.raises(ValueError, match="weight_decay"):
        optimizer.set_params(lr=1.0, weight_decay=-1.0)
    assert optimizer.settings() == before


def test_repr():
    assert repr(SGD(0.1, 0.9, True)) == "SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.0)"
    assert repr(SGD(0.1, 0.9, dampening=0.5)).endswith("weight_decay=0.0, dampening=0.5)")
    assert repr(AdamW(maximize=True)) == (
        "AdamW(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01, amsgrad=False, eps_hat=False, "
        "maximize=True)"
    )
    step = schedules.Step(0.1, 30)
    assert repr(Adagrad(step)).startswith("Adagrad(lr=Step(lr=0.1, every=30, factor=0.1), lr_decay=0.0")


BAD = [
    (SGD, "nesterov", True, ValueError, "nesterov needs a momentum above 0, not 0"),
    (SGD, "momentum", 1.5, ValueError, "momentum must be from 0 to 1, not 1.5"),
    (SGD, "dampening", 1.5, ValueError, "dampening must be from 0 to 1, not 1.5"),
    (NAdam, "momentum_decay", -1, ValueError, "momentum_decay must be finite and at least 0, not -1"),
    (NAdam, "betas", (1.0, 0.9), ValueError, r"betas\[0\] must be at least 0 and below 1, not 1"),
    (NAdam, "decoupled_weight_decay", 1, TypeError, "decoupled_weight_decay must be True or False, not 1"),
    (RMSprop, "alpha", 1.01, ValueError, "alpha must be from 0 to 1, not 1.01"),
    (RMSprop, "alpha", -0.01, ValueError, "alpha must be from 0 to 1"),
    (RMSprop, "momentum", 2, ValueError, "momentum must be from 0 to 1, not 2"),
    (RMSprop, "centered", 1, TypeError, "centered must be True or False, not 1"),
    (Adagrad, "lr_decay", -1, ValueError, "lr_decay must be finite and at least 0, not -1"),
    (Adagrad, "initial_accumulator_value", -1, ValueError, "initial_accumulator_value must be finite"),
    (Adagrad, "initial_accumulator_value", np.inf, ValueError, "initial_accumulator_value must be finite"),
    (Adam, "betas", (0.9, 1.0), ValueError, r"betas\[1\] must be at least 0 and below 1, not 1"),
    (Adam, "betas", (-0.1, 0.9), ValueError, r"betas\[0\] must be at least 0 and below 1, not -0.1"),
    (Adam, "betas", (0.9, np.nan), ValueError, r"betas\[1\] must be at least 0 and below 1, not nan"),
    (Adam, "betas", (0.9,), ValueError, "betas must be two numbers, not 1"),
    (Adam, "betas", 0.9, TypeError, "betas must be a tuple of two numbers, not 0.9"),
    (Adam, "betas", ("0.9", 0.9), TypeError, r"betas\[0\] must be a number, not '0.9'"),
    (AdamW, "amsgrad", None, TypeError, "amsgrad must be True or False, not None"),
    (Adam, "eps_hat", 1, TypeError, "eps_hat must be True or False, not 1"),
    (AdamW, "weight_decay", -1e-9, ValueError, "weight_decay must be finite and at least 0"),
]
ANYWHERE = [
    ("lr", -1, ValueError, "lr must be finite and at least 0, not -1"),
    ("lr", np.nan, ValueError, "lr must be finite and at least 0, not nan"),
    ("lr", "0.1", TypeError, "lr must be a number, a schedule or a callable .*, not '0.1'"),
    ("lr", None, TypeError, "lr must be a number, a schedule or a callable .*, not None"),
    ("lr", schedules.Step, TypeError, "lr must be a number, a schedule or a callable .*, not <class"),
    ("eps", -1e-9, ValueError, "eps must be finite and at least 0"),
    ("maximize", 1, TypeError, "maximize must be True or False, not 1"),
    ("weight_decay", np.inf, ValueError, "weight_decay must be finite and at least 0, not inf"),
]


@pytest.mark.parametrize(
    ("kind", "name", "value", "error", "message"),
    BAD + [(kind, *bad) for kind in DEFAULTS for bad in ANYWHERE if bad[0] in DEFAULTS[kind]],
)
def test_bad_settings(kind, name, value, error, message):
    with pytest.raises(error, match=message):
        kind(**{name: value})
    optimizer = kind()
    setattr(optimizer, name, value)
    for check in (optimizer.check, optimizer.checked_copy):
        with pytest.raises(error, match=message):
            check()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (SGD, {"lr": 0, "momentum": 1}),
        (RMSprop, {"alpha": 0, "eps": 0, "momentum": 1}),
        (RMSprop, {"alpha": 1}),
        (Adagrad, {"eps": 0.0, "lr_decay": 3}),
        (Adam, {"betas": (0, 0), "eps": 0}),
        (AdamW, {"lr": np.float32(0.1), "betas": (np.float64(0.5), np.nextafter(1, 0))}),
    ],
)
def test_the_ends_of_the_ranges_are_allowed(kind, settings):
    assert kind(**settings).settings() == DEFAULTS[kind] | settings


def test_nesterov_without_dampening():
    with pytest.raises(ValueError, match="nesterov needs a dampening of 0"):
        SGD(momentum=0.9, nesterov=True, dampening=0.5)


def test_states_of_older_pickles():
    """They lack the settings of this version, which then have their defaults."""
    optimizer = SGD.__new__(SGD)
    optimizer.__setstate__((None, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0}))
    assert optimizer.settings() == DEFAULTS[SGD] | {"lr": 0.1, "momentum": 0.9, "nesterov": True}


@pytest.mark.parametrize("lr", [schedules.InverseScaling(0.1), lambda t: 0.1 / (1 + t)])
def test_lr_may_be_a_function_of_the_iteration(kind, lr):
    optimizer = kind(lr)
    assert optimizer.lr is lr
    assert optimizer.checked_copy().lr is lr


def test_an_abstract_subclass_has_no_names():
    class Base(Optimizer):
        __slots__ = ()

    class Plain(Base):
        names = ("lr", "weight_decay")
        __slots__ = names[1:]

    optimizer = Plain(0.1)
    optimizer.weight_decay = 0.2
    assert optimizer.settings() == {"lr": 0.1, "weight_decay": 0.2}


def test_betas_in_a_list():
    """JSON files have lists, not tuples."""
    betas = [0.8, 0.9]
    optimizer = Adam(betas=betas)
    betas[0] = 5
    assert optimizer.betas == (0.8, 0.9)
    optimizer.betas = betas
    with pytest.raises(TypeError, match="betas must be a tuple"):
        optimizer.check()
