"""`Core`: the parts of one model, on which training, prediction, files and estimators work.

`_core` with an underscore is the C extension.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..errors import DivergedError
from ..history import History
from ..optimizers import Optimizer
from .activation_texts import parts_of
from .groups import KINDS, Groups, plain_groups
from .parameters import Weights, checked_weights, extra_of, state_of, weights_of
from .seeding import RandomState
from .settings import Settings, checked_optimizer

if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object  # a real one takes a fiftieth of the package's import

# The prefix of the averaged parameters in `Core.get_parameters`. In files the average, which predicts, has no
# prefix, and the trained parameters have one (`bpkern._files.state`).
AVERAGE = "average."


class Core:
    """The parts of one model: `bpkern.MLP` holds one, and its methods work on it.

    A new core has its network, whose parameters are unset. `start` or `bpkern._files.state.restore` sets
    everything else.

    Parameters
    ----------
    settings : Settings

    Attributes
    ----------
    settings : Settings
    net : _core.Network
        The parameters, the optimiser's states and the passes over data, in C.
    tape : _core.Tape
        The stored forward pass and gradients of steps by hand.
    random : RandomState
    history : History or None
        The history of the last fit.
    fitted_1d : bool
        Whether the y of the last training had one dimension.
    stop_training : bool
        Whether the fit ends after the current epoch.
    fitting : bool
        Whether a fit is under way. In a callback, it is the fit that has called it.
    accumulate : int or None
        Mini-batches per update of the epoch whose steps are under way; None outside of one. Functions of the
        user are called between the steps, and may train as well.

    Raises
    ------
    MemoryError
        If there is no memory for the parameters.
    """

    tape: _core.Tape
    random: RandomState
    history: History | None
    fitted_1d: bool
    stop_training: bool
    fitting: bool
    accumulate: int | None

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.net = new_network(settings)
        if not all(settings.bias) or settings.groups != plain_groups(len(settings.bias)):
            self._put_groups()
        self.fitting = False
        self.accumulate = None

    def start(self, random: RandomState) -> None:
        """Draw new parameters and forget all training. A MemoryError is raised before anything changes."""
        settings, tape = self.settings, _core.Tape(self.net)
        extra = None if settings.extra is None else random.initial_extra(settings.extra, settings.dtype)
        self.net.set_layers(
            random.each_initial_layer(settings.init, settings.sizes, settings.dtype, settings.bias),
            extra=extra,
        )
        if settings.has_dropout:
            random.draw_dropout_key()
        self.random, self.tape = random, tape
        self.net.forget()
        hidden, of_inputs = settings.nominal_dropout
        self.net.set_dropout(hidden, random.dropout_key, of_inputs)
        self.fitted_1d = False
        self.history = None
        self.stop_training = False

    def set_optimizer(self, optimizer: Optimizer | str) -> None:
        """Replace the optimiser. Another object starts without the states of the old one."""
        optimizer = checked_optimizer(optimizer)
        self.net.check_trains()
        with self.net.writing():
            if optimizer is not self.settings.optimizer:
                self.net.discard_states()
            self.settings.optimizer = optimizer

    def set_groups(self, groups: Groups) -> None:
        """Train by other groups from the next update on."""
        self.net.check_trains()
        with self.net.writing():
            self.settings.groups = groups
            self._put_groups()

    def _put_groups(self) -> None:
        """Put the groups of the settings into the network. Biases that a layer does not have stay zero."""
        settings = self.settings
        for l, (layer, has_bias) in enumerate(zip(settings.groups, settings.bias, strict=True)):
            for number, (kind, group) in enumerate(zip(KINDS, layer, strict=True)):
                is_absent = kind == "biases" and not has_bias
                self.net.set_group(l, number, group.lr, group.weight_decay, group.frozen or is_absent)

    # Training within a fit ---------------------------------------------------------------------------

    def check_may_train(self) -> None:
        """Raise unless training may begin, with a snapshot of its own.

        Raises
        ------
        RuntimeError
            If gradients wait for their update, which training would overwrite.
        DivergedError
            As `check_may_snapshot`.
        """
        if self.accumulate is not None and self.accumulate > 1:
            raise RuntimeError(
                f"an epoch of fit(accumulate={self.accumulate}) is under way, and this would overwrite its "
                "gradients: train the model between two epochs, or train a copy()"
            )
        self.check_may_snapshot()

    def check_may_snapshot(self) -> None:
        """Raise DivergedError if the epoch under way has overflowed, and still needs its own snapshot."""
        if self.accumulate is not None and not self.net.finite():
            raise DivergedError(
                "the weights overflowed in the epoch that is under way", 0, self.net.counts[0]
            )

    # Parameters --------------------------------------------------------------------------------------

    def get_weights(self) -> Weights:
        """Copies of the parameters that predict: the average if there is one, otherwise the trained ones."""
        with self.net.reading():
            return self.net.get_layers("average" if self.net.has_average else "parameters")

    def set_weights(self, weights: Sequence[tuple[Any, Any]]) -> None:
        """Set all weights and biases after checking them, and drop the average of the parameters.

        The extra parameters stay those that predict: the average's, if there is one.
        """
        layers = checked_weights(weights, self.settings.sizes, self.settings.dtype, self.settings.bias)
        self._set(layers, None)

    def get_state(self, store: str | None = None, *, absent: bool = False) -> dict[str, np.ndarray]:
        """Copies of the parameters of a store by name; None is the store that predicts.

        With `absent`, zeros stand for the biases of layers that have none.
        """
        bias = None if absent else self.settings.bias
        with self.net.reading():
            if store is None:
                store = "average" if self.net.has_average else "parameters"
            state = state_of(self.net.get_layers(store), bias)
            if self.settings.extra is not None:
                state |= self.settings.extra.named(self.net.get_extra(store))
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Set all parameters, by name, after checking them, and drop their average."""
        self._set(*self._checked_state(state))

    def _checked_state(self, state: Mapping[str, Any]) -> tuple[Weights, np.ndarray | None]:
        """Weights and biases; and the extra parameters, or None. ValueError or TypeError."""
        settings, extra = self.settings, None
        if settings.extra is not None:
            own, state = extra_of(state)
            extra = settings.extra.flat(own, settings.dtype)
        layers = weights_of(state, len(settings.bias), settings.bias)
        return checked_weights(layers, settings.sizes, settings.dtype, settings.bias), extra

    def _set(self, layers: Weights, extra: np.ndarray | None) -> None:
        with self.net.writing():
            if extra is None and self.settings.extra is not None and self.net.has_average:
                extra = self.net.get_extra("average")
            self.net.set_layers(layers, extra=extra)
            self.net.discard_average()

    def get_parameters(self) -> dict[str, np.ndarray]:
        """Copies of the trained parameters and, if there is one, of their average, by name."""
        with self.net.reading():
            parameters = self.get_state("parameters")
            if self.net.has_average:
                average = self.get_state("average")
                parameters |= {f"{AVERAGE}{name}": array for name, array in average.items()}
        return parameters

    def set_parameters(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Set what `get_parameters` returned."""
        own = {name: array for name, array in parameters.items() if not name.startswith(AVERAGE)}
        average = {name.removeprefix(AVERAGE): array for name, array in parameters.items() if name not in own}
        self.set_state(own)
        if average:
            layers, extra = self._checked_state(average)
            self.net.set_layers(layers, "average", extra=extra)

    def blend(self, other: Core, tau: float) -> None:
        """Set the trained parameters to ``(1 - tau) * own + tau * other's``, and drop their average.

        Raises
        ------
        ValueError
            If the other model has other layers, another dtype or another instruction set, or biases in other
            layers.
        """
        mine, theirs = self.settings, other.settings
        if mine.stage != theirs.stage:
            raise ValueError(f"other must have the inputs {mine.stage}, not {theirs.stage}")
        if (mine.layers, mine.dtype) != (theirs.layers, theirs.dtype):
            raise ValueError(
                f"other must have the layers {mine.layers} in {mine.dtype.name}, "
                f"not {theirs.layers} in {theirs.dtype.name}"
            )
        has_shares = mine.extra is not None or theirs.extra is not None  # a quick no for most models
        if has_shares and list(map(bool, mine.parametric)) != list(map(bool, theirs.parametric)):
            raise ValueError(
                f"other must have the activations {mine.activation_texts}, not {theirs.activation_texts}"
            )
        if mine.bias != theirs.bias:
            raise ValueError(f"other must have biases as this model, {mine.bias}, not {theirs.bias}")
        self.net.blend(other.net, tau)


class HasCore(Protocol):
    """A model as the package's modules see it: `bpkern.MLP`, or a stand-in of the tests."""

    def __bpkern_core__(self) -> Core:
        """The parts of the model."""


def core_of(model: HasCore) -> Core:
    """The parts of a model: the one way from a `bpkern.MLP` to its inside."""
    return model.__bpkern_core__()


def new_network(settings: Settings) -> _core.Network:
    """A network of these settings, without dropout. Its parameters are unset."""
    conventions = settings.conventions
    loss = _core.LossSettings(
        # A custom loss is computed in Python: the name of the loss in C has no effect.
        "squared_error" if settings.custom_loss else settings.loss,
        settings.loss_parameters,
        settings.label_smoothing,
        conventions.loss_factor,
        conventions.slope_factor,
        conventions.log_loss_cap,
        conventions.deviance,
    )
    activations = [parts_of(text) for text in settings.activations]
    net = _core.Network(
        settings.layers,
        [name for name, _ in activations],
        loss,
        settings.dtype,
        settings.compressed is not None,
        None if settings.stage is None else settings.stage.plan(),
    )
    for l, (_, parameter) in enumerate(activations):
        if parameter is not None:
            net.set_activation_parameter(l, parameter)
    for l, given in enumerate(settings.parametric):
        if given is not None:
            net.set_share(l, given.lr_factor, given.decay_factor)
    return net
