"""What a model is: settings, parameters, generator and history, and their way in and out."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from .. import _checks, _core
from .._files import state
from ..history import History
from ..optimizers import Optimizer
from .parameters import Weights, checked_weights, state_of, weights_of
from .seeding import RandomState, Shuffler
from .settings import Settings, checked_loss, checked_optimizer
from .summary import Summary


def new_network(settings: Settings) -> _core.Network:
    """A network of these settings, without dropout; its parameters are yet to be set."""
    conventions = settings.conventions
    return _core.Network(
        settings.layers,
        settings.activations,
        "squared_error" if settings.custom_loss else settings.loss,
        settings.dtype,
        settings.loss_parameters,
        settings.label_smoothing,
        conventions.loss_factor,
        conventions.slope_factor,
        conventions.most,
        conventions.deviance,
    )


class Model:
    """A network and what belongs to it. `bpkern.MLP` is one, and trains and predicts besides."""

    _settings: Settings
    _net: _core.Network
    _tape: _core.Tape
    _random: RandomState
    _fitted_1d: bool
    history_: History | None
    stop_training: bool

    def _make(self, settings: Settings, seed: Any) -> None:
        self._make_net(settings)
        self._start(RandomState(seed))

    def _make_net(self, settings: Settings) -> None:
        self._settings = settings
        self._net = new_network(settings)

    def reset(self) -> None:
        """Go back to the seed's initial state: weights, the optimiser's states, generator, history.

        Raises
        ------
        RuntimeError
            While another thread uses the model.
        """
        with self._net.writing():
            self._start(self._random.at_start())

    def _start(self, random: RandomState) -> None:
        """Begin with these random numbers; what has no memory raises before anything is changed."""
        settings = self._settings
        weights = random.initial_weights(settings.init, settings.layers, settings.activations, settings.dtype)
        if any(settings.dropout):
            random.draw_dropout_key()
        self._random, self._tape = random, _core.Tape(self._net)
        self._net.forget()
        self._net.set_layers(weights)
        self._net.set_dropout(settings.dropout, random.dropout_key)
        self._fitted_1d = False
        self.history_ = None
        self.stop_training = False

    # What it is --------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[int]:
        """The sizes of the layers, input first."""
        return list(self._settings.layers)

    @property
    def loss(self) -> str:
        """The name of the loss; "custom" where it is a Python function."""
        return self._settings.loss

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the network computes in."""
        return self._settings.dtype

    @property
    def optimizer(self) -> Optimizer:
        """The settings of the optimiser."""
        return self._settings.optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        checked_optimizer(optimizer)
        with self._net.writing():
            if optimizer is not self._settings.optimizer:
                self._net.drop_states()
            self._settings.optimizer = optimizer

    def __repr__(self) -> str:
        return repr(self._settings)

    # Parameters --------------------------------------------------------------------------------------

    def get_weights(self) -> Weights:
        """Copies of the parameters: [(W, b), ...], W of shape (out, in) and b of shape (out,).

        Of their average, where the last fit kept one: that is what predicts.
        """
        with self._net.reading():
            return self._net.get_layers("average" if self._net.has_average else "parameters")

    def set_weights(self, weights: Sequence[tuple[Any, Any]]) -> None:
        """Set all parameters, and nothing else of the model's state but for their average, which ends.

        Parameters
        ----------
        weights : sequence of (W, b)
            As `get_weights` gives them: integers and floats up to float64, finite in the model's dtype.

        Raises
        ------
        ValueError, TypeError
            For shapes, values and dtypes that do not fit; nothing was changed.
        RuntimeError
            While another thread uses the model.
        """
        layers = checked_weights(weights, self._settings.layers, self._settings.dtype)
        with self._net.writing():
            self._net.set_layers(layers)
            self._net.drop_average()

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the parameters under the names "0.weight", "0.bias", "1.weight", ..."""
        return state_of(self.get_weights())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set all parameters from a dictionary like that of `state_dict`.

        Parameters
        ----------
        state : mapping of str to array_like

        Raises
        ------
        ValueError, TypeError, RuntimeError
            For names that are missing or unknown, and as for `set_weights`.
        """
        self.set_weights(weights_of(state, len(self._settings.layers) - 1))

    def polyak_update(self, other: Model, tau: float) -> None:
        """Move all parameters a part of the way to another model's: ``(1 - tau) * own + tau * other's``.

        Own ones are those that are trained: an average of them ends, as with `set_weights`.

        Parameters
        ----------
        other : MLP
            Of the same layers and dtype; what it predicts by is read.
        tau : float
            From 0 to 1.

        Raises
        ------
        ValueError, TypeError
            For another kind of model, or a tau that is none.
        RuntimeError
            While another thread uses one of them.
        """
        tau = _checks.real("tau", tau, 0.0, 1.0)
        if not isinstance(other, Model):
            raise TypeError(f"other must be a bpkern.MLP, not {other!r}")
        mine, theirs = self._settings, other._settings
        if (mine.layers, mine.dtype) != (theirs.layers, theirs.dtype):
            raise ValueError(
                f"other must have the layers {mine.layers} in {mine.dtype.name}, "
                f"not {theirs.layers} in {theirs.dtype.name}"
            )
        self._net.blend(other._net, tau)

    # Files and copies --------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of the model to a file: settings, parameters, the optimiser's states, generator, history.

        The file is written beside the old one and put in its place at once: one of them is always there.

        Parameters
        ----------
        path : str or path
            To an .npz file, or a .safetensors file with the extra of that name. The arrays "0.weight",
            "0.bias", ... in it are those of `state_dict`. A loss or a learning rate that is a Python function
            is left out, as are gradients that `backward` has stored and no `step` has spent.

        Raises
        ------
        ValueError
            For another suffix, or a seed whose bit generator is not NumPy's.
        OSError
            Where the file cannot be written; the old one is as it was. Where only the folder could not be
            synced, the new one is in place, and a loss of power may bring the old one back.
        ModuleNotFoundError
            For .safetensors without that library.
        RuntimeError
            While another thread trains the model.
        """
        from .._files import container  # with what it needs, half of the package's import

        container.write(path, *state.model_state(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, loss: Any = None, optimizer: Any = None) -> Self:
        """The model in a file that `save` wrote, or a checkpoint of `fit`.

        Nothing in the file is run, and no other file is opened.

        Parameters
        ----------
        path : str or path
        loss, optimizer : optional
            In place of those in the file; needed where the loss or the learning rate was a Python function.

        Raises
        ------
        ValueError
            For a file that is damaged, of something else, or of a newer version.
        ValueError, TypeError
            For a loss or an optimizer that is none.
        OSError
            Where it cannot be read.
        ModuleNotFoundError
            For .safetensors without that library.
        """
        from .._files import container

        if loss is not None:
            checked_loss(loss)
        if optimizer is not None:
            checked_optimizer(optimizer)
        config, arrays = container.read(path)
        try:
            model = cls._of(state.arguments_of(config, arrays, loss, optimizer), config, arrays)
            rule = config["model"]["optimizer"]["rule"]
        except state.MALFORMED as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error
        if model.optimizer.rule != rule:
            model._net.drop_states()  # those of another kind of optimiser mean something else
        return model

    @classmethod
    def _of(cls, arguments: dict[str, Any], config: state.Config, arrays: state.Arrays) -> Self:
        settings = Settings(**arguments)
        # Before there is a network: its sizes are believed where the arrays are there.
        found = state.checked_state(settings, config, arrays)
        model = cls.__new__(cls)
        model._make_net(settings)
        state.restore(model, found)
        return model

    def __reduce__(self) -> tuple[Any, ...]:
        settings = self._settings
        config, arrays = state.model_state(self)
        arguments = state.arguments_of(config, arrays, settings.given_loss, settings.optimizer)
        # Attributes that others have put there come along.
        others = {name: value for name, value in vars(self).items() if name not in Model.__annotations__}
        return type(self)._of, (arguments, config, arrays), others

    def copy(self) -> Self:
        """A model of its own in the same state. Both have the same optimiser, and a custom loss."""
        make, arguments, others = self.__reduce__()
        copied: Self = make(*arguments)
        vars(copied).update(others)
        return copied

    def __copy__(self) -> Self:
        return self.copy()

    def summary(self, batch_size: int | None = None) -> Summary:
        """Layers, parameters, memory and arithmetic as a table, to be printed or shown in a notebook.

        Parameters
        ----------
        batch_size : int, optional
            Rows to tell the memory of the activations for.
        """
        if batch_size is not None:
            batch_size = _checks.whole("batch_size", batch_size, 1)
        settings, update = self._settings, _core.Update(self._settings.step(), 0.0, 0.0, None, None, 1, None)
        return Summary(
            settings.layers,
            settings.activations,
            settings.given_loss,
            settings.optimizer,
            settings.dtype,
            settings.dropout,
            update.states,
            batch_size,
        )

    # Inside ------------------------------------------------------------------------------------------

    def _shuffler(self) -> Shuffler:
        """What the order of the rows of each epoch is drawn from."""
        return self._random

    def _get_parameters(self) -> dict[str, np.ndarray]:
        """Copies of those that are trained, and of their average where there is one."""
        with self._net.reading():
            parameters = state_of(self._net.get_layers())
            if self._net.has_average:
                average = state_of(self._net.get_layers("average"))
                parameters |= {f"average.{name}": array for name, array in average.items()}
        return parameters

    def _set_parameters(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Back to what `_get_parameters` gave."""
        count, prefix = len(self._settings.layers) - 1, "average."
        own = {name: array for name, array in parameters.items() if not name.startswith(prefix)}
        average = {name.removeprefix(prefix): array for name, array in parameters.items() if name not in own}
        self.set_weights(weights_of(own, count))
        if average:
            layers = checked_weights(weights_of(average, count), self._settings.layers, self._settings.dtype)
            self._net.set_layers(layers, "average")
