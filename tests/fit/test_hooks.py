"""A class of callbacks with a misspelt hook, or one of another library, is refused when it is defined."""

import numpy as np
import pytest

import bpkern
from bpkern._fit.hooks import HOOKS
from bpkern.callbacks import Callback


def define(**members):
    return type("Mine", (Callback,), members)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"on_epoch_ends": lambda self, model, epoch, logs: None}, "did you mean 'on_epoch_end'?"),
        (
            {"on_epochend": None},
            "Mine.on_epochend is no hook, so no fit would call it: the hooks are on_fit_begin,",
        ),
        ({"on_train_begin": lambda self, logs=None: None}, "did you mean 'on_fit_begin'?"),
        ({"on_train_batch_end": lambda self, batch, logs=None: None}, "did you mean 'on_batch_end'?"),
        (
            {"on_epoch_end": lambda self, epoch, logs=None: None},
            "Mine.on_epoch_end must take (self, model, epoch, logs), not (self, epoch, logs): "
            "unlike Keras's, hooks get the model as their first argument, and have no self.model",
        ),
        ({"on_fit_end": lambda self: None}, "Mine.on_fit_end must take (self, model), not (self)"),
        (
            {"on_batch_end": lambda self, model, batch, logs, more: None},
            "not (self, model, batch, logs, more)",
        ),
    ],
)
def test_no_hook(members, words):
    with pytest.raises(TypeError) as error:
        define(**members)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "hook",
    [
        lambda self, model, epoch, logs: self.seen.append(epoch),
        lambda self, net, number, values=None, more=3: self.seen.append(number),
        lambda self, *arguments: self.seen.append(arguments[1]),
        lambda self, model, *rest, **others: self.seen.append(rest[0]),
    ],
)
def test_other_names_of_arguments_are_allowed(hook):
    mine = define(on_epoch_end=hook, online=3, seen=[])()
    X = np.ones((2, 1))
    bpkern.MLP([1, 1], loss="mse").fit(X, X, epochs=2, callbacks=mine)
    assert mine.seen == [0, 1]


def test_the_base_class_has_the_hooks_with_their_arguments():
    own = {name: hook.__code__.co_varnames for name, hook in vars(Callback).items() if name.startswith("on_")}
    assert own == HOOKS
