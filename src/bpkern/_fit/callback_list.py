"""The callbacks of one fit, called in order."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..callbacks import Callback


def has_batch_hooks(callback: Callback) -> bool:
    """Whether one callback overrides a batch hook."""
    hooks = (callback.on_batch_begin, Callback.on_batch_begin), (callback.on_batch_end, Callback.on_batch_end)
    return any(getattr(own, "__func__", own) is not empty for own, empty in hooks)


class CallbackList:
    """The callbacks of one fit, called in order.

    Parameters
    ----------
    callbacks : Callback or iterable of Callback
    writes_files : bool
        Whether those that write files are called; otherwise only their states are kept.

    Attributes
    ----------
    has_batch_hooks : bool
        Whether any callback overrides a batch hook.

    Raises
    ------
    TypeError
        For values that are not callbacks, such as a class instead of its instance.
    """

    def __init__(self, callbacks: Callback | Iterable[Callback], writes_files: bool = True) -> None:
        if isinstance(callbacks, Callback):
            callbacks = (callbacks,)
        if not hasattr(callbacks, "__iter__") or isinstance(callbacks, str):
            given = f"{callbacks!r}{_hint(callbacks)}"
            raise TypeError(f"callbacks must be a sequence of bpkern.callbacks.Callback, not {given}")
        self._callbacks = list(callbacks)
        for callback in self._callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"a callback must be a bpkern.callbacks.Callback, not {callback!r}{_hint(callback)}"
                )
        self._called = self._callbacks
        if not writes_files:
            self._called = [each for each in self._callbacks if not each.__bpkern_writes_files__]
        self._of_batches = [callback for callback in self._called if has_batch_hooks(callback)]
        self.has_batch_hooks = bool(self._of_batches)

    def __len__(self) -> int:
        return len(self._callbacks)

    def __iter__(self) -> Iterator[Callback]:
        return iter(self._callbacks)

    def on_fit_begin(self, model: Any) -> None:
        """Call this hook of each callback."""
        for callback in self._called:
            callback.on_fit_begin(model)

    def on_fit_end(self, model: Any) -> None:
        """Call this hook of each callback."""
        for callback in self._called:
            callback.on_fit_end(model)

    def release(self) -> None:
        """At the end of a fit, let each callback close what it has open, also if another one raises."""
        if not self._callbacks:
            return
        with contextlib.ExitStack() as ends:
            for callback in self._callbacks:
                ends.callback(callback.__bpkern_release__)

    def on_epoch_begin(self, model: Any, epoch: int) -> None:
        """Call this hook of each callback."""
        for callback in self._called:
            callback.on_epoch_begin(model, epoch)

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        """Call this hook of each callback, with logs of its own."""
        for callback in self._called:
            callback.on_epoch_end(model, epoch, dict(logs))

    def on_batch_begin(self, model: Any, batch: int) -> None:
        """Call the hook of those that have a batch hook."""
        for callback in self._of_batches:
            callback.on_batch_begin(model, batch)

    def on_batch_end(self, model: Any, batch: int, logs: Mapping[str, float]) -> None:
        """Call the hook of those that have a batch hook, with logs of its own."""
        for callback in self._of_batches:
            callback.on_batch_end(model, batch, dict(logs))

    def state_dict(self) -> dict[str, Any]:
        """The states of all callbacks, with keys of position, class and name: "0.EarlyStopping.best".

        Raises
        ------
        TypeError
            For a state that is not a dict, and for keys that are not strings.
        """
        states: dict[str, Any] = {}
        for prefix, callback in self._prefixed():
            state = callback.state_dict()
            if not isinstance(state, dict):
                raise TypeError(f"{type(callback).__name__}.state_dict() must return a dict, not {state!r}")
            for name, value in state.items():
                if not isinstance(name, str):
                    raise TypeError(
                        f"{type(callback).__name__}.state_dict() must have strings as keys, not {name!r}"
                    )
                states[f"{prefix}{name}"] = value
        return states

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the states of `state_dict`.

        Raises
        ------
        ValueError
            For a state of other callbacks; nothing has been restored.
        """
        shares = []
        for prefix, callback in self._prefixed():
            share = {
                key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
            }
            if not share and callback.state_dict():
                raise ValueError(f"the state must hold that of callback {prefix}*, not only {list(state)}")
            shares.append((callback, share))
        if sum(len(share) for _, share in shares) != len(state):
            known = ", ".join(f"{prefix}*" for prefix, _ in self._prefixed())
            raise ValueError(f"the state must be that of callbacks {known}, not {list(state)}")
        for callback, share in shares:
            if callback in self._called:
                callback.load_state_dict(share)

    def _prefixed(self) -> list[tuple[str, Callback]]:
        """Each callback, after the prefix of its keys in `state_dict`."""
        return [(f"{i}.{type(callback).__name__}.", callback) for i, callback in enumerate(self._callbacks)]


def _hint(given: Any) -> str:
    """The end of an error about what is no callback; empty if nothing is known about it."""
    if isinstance(given, type) and issubclass(given, Callback):
        return f": give an instance, as in {given.__name__}()"
    if hasattr(given, "on_epoch_end"):
        return ": derive its class from bpkern.callbacks.Callback"
    if callable(given):
        return ": make it the method on_epoch_end(self, model, epoch, logs) of a class derived from Callback"
    return ""
