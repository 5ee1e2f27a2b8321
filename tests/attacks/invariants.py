"""What must hold after any call, whatever the user's code did in it."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from children import Wrong, told

import bpkern
from bpkern._files import state
from bpkern._model.core import core_of

# The kinds of errors that public calls document. Errors that user code raises come through as they are.
DOCUMENTED = (ValueError, TypeError, MemoryError, RuntimeError, OSError, bpkern.DivergedError)

# Weights beyond this may overflow the outputs, which a prediction may refuse.
LARGE = 1e15


def judge(
    what: str, error: BaseException, raised: list[BaseException], more: tuple[type[Exception], ...] = ()
) -> None:
    """Take up a documented error, or one of the user, into `raised`. Raises Wrong for any other.

    Parameters
    ----------
    what : str
        The call that has raised it, for the message.
    error : exception
    raised : list of exceptions
        Those that the user's code has raised itself.
    more : tuple of exception classes
        That may come as well.
    """
    if isinstance(error, Wrong):
        raise error
    if not (isinstance(error, (*DOCUMENTED, *more)) or any(error is own for own in raised)):
        raise Wrong(f"{what} raised {told(error)}") from error
    raised.append(error)


@contextlib.contextmanager
def documented(what: str, raised: list[BaseException]) -> Iterator[None]:
    """A context that ends with any error that `judge` takes up."""
    try:
        yield
    except BaseException as error:
        judge(what, error, raised)


def bits(model: bpkern.MLP) -> str:
    """A digest of the whole state of a model."""
    config, arrays = state.model_state(core_of(model))
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def trained_bits(model: bpkern.MLP) -> bytes:
    """The trained parameters alone, without their average."""
    layers = core_of(model).net.get_layers("parameters")
    return b"".join(array.tobytes() for pair in layers for array in pair)


def largest_weight(model: bpkern.MLP) -> float:
    """The largest absolute value among the parameters. Raises Wrong if one is not finite."""
    arrays = [array for pair in model.get_weights() for array in pair]
    arrays += [array for pair in core_of(model).net.get_layers("parameters") for array in pair]
    if not all(np.isfinite(array).all() for array in arrays):
        raise Wrong("weights that are not finite")
    return max(float(np.abs(array).max()) for array in arrays)


def reload(model: bpkern.MLP, path: str) -> bpkern.MLP:
    """The model from the file of `save`, with the parts that no file holds."""
    optimizer, loss = model.optimizer, core_of(model).settings.given_loss
    is_plain = type(optimizer).__module__ == "bpkern.optimizers" and not callable(optimizer.lr)
    is_named = isinstance(loss, str) or type(loss).__module__ == "bpkern.losses"
    return bpkern.MLP.load(path, loss=None if is_named else loss, optimizer=None if is_plain else optimizer)


def check_whole(model: bpkern.MLP, folder: str, was_edited: bool = False) -> None:
    """Check that the weights are finite, that the model predicts, and that a file gives back its bits.

    Parameters
    ----------
    model : MLP
    folder : str
        For the file.
    was_edited : bool
        The user's code has changed settings or history, which `save` may then refuse.
    """
    largest = largest_weight(model)
    x = np.linspace(-1, 1, 3 * model.layers[0]).reshape(3, -1)
    try:
        outputs = model.predict(x)
    except (ValueError, bpkern.DivergedError):
        if largest < LARGE:
            raise
    else:
        if largest < LARGE and not np.isfinite(outputs).all():
            raise Wrong("predictions that are not finite")
    try:
        before = bits(model)
        path = os.path.join(folder, "whole.npz")
        model.save(path)
    except DOCUMENTED as error:
        if was_edited:
            return
        raise Wrong(f"save raised {told(error)}") from error
    if bits(reload(model, path)) != before:
        raise Wrong("load gave back another model than was saved")
    os.unlink(path)


def check_finite(model: bpkern.MLP, what: str) -> None:
    """Raise Wrong, with what was done, if a parameter is not finite."""
    try:
        largest_weight(model)
    except Wrong as wrong:
        raise Wrong(f"{what}: {wrong}") from None


class Unchanged:
    """The caller's arrays, compared with copies of their bytes."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays
        self._before = {name: self._of(array) for name, array in arrays.items()}

    @staticmethod
    def _of(array: np.ndarray) -> tuple[Any, ...]:
        return array.shape, array.dtype, array.strides, array.flags.writeable, array.tobytes()

    def check(self) -> None:
        for name, array in self._arrays.items():
            if self._of(array) != self._before[name]:
                raise Wrong(f"the caller's {name} has changed")
