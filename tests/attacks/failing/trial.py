"""Shared by the trials of failing allocations and failing writes: digests of models, checks, the protocol."""

import faulthandler
import hashlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import bpkern
from bpkern import _core
from bpkern._files import container, state
from bpkern._model.core import core_of

# More threads than any trial asks for: a smaller share means that calls are still counted as running.
THREADS = 8


class Wrong(Exception):
    """A failure that a trial found."""


def digest(thing: Any, generators: bool = True) -> str:
    """A digest of all bits of models (with or without their generators), arrays, files and their
    containers."""
    hashed = hashlib.sha256()
    _feed(hashed.update, thing, generators)
    return hashed.hexdigest()


def _feed(update: Callable[[bytes], None], thing: Any, generators: bool = True) -> None:
    update(type(thing).__name__.encode())
    if isinstance(thing, bpkern.MLP):
        config, arrays = state.model_state(core_of(thing))
        if not generators:
            del config["training"]["random"]
        _feed(update, [config, arrays, thing.stop_training])
    elif isinstance(thing, np.ndarray):
        update(f"{thing.dtype} {thing.shape}".encode())
        update(np.ascontiguousarray(thing).tobytes())
    elif isinstance(thing, Mapping):
        for name, value in thing.items():
            update(f"{name}=".encode())
            _feed(update, value, generators)
    elif isinstance(thing, (list, tuple)):
        for value in thing:
            _feed(update, value, generators)
    elif isinstance(thing, Path):
        for path in sorted(thing.iterdir()):
            update(f"{path.name} {path.stat().st_mode} {path.is_symlink()}".encode())
            if path.is_dir():
                _feed(update, path)
                continue
            # The safetensors library writes its metadata in any order.
            safe = path.suffix == ".safetensors"
            _feed(update, list(container.read(path)) if safe else path.read_bytes())
    elif hasattr(thing, "get_params"):  # an estimator: its fitted attributes
        _feed(update, [getattr(thing, name, None) for name in ("coefs_", "intercepts_", "n_iter_", "loss_")])
    elif thing is None or isinstance(thing, (bool, int, float, str, bytes, np.generic)):
        update(repr(thing).encode())


def models_of(thing: Any) -> list[bpkern.MLP]:
    if isinstance(thing, bpkern.MLP):
        return [thing]
    if isinstance(thing, Mapping):
        return models_of(list(thing.values()))
    return [model for each in thing for model in models_of(each)] if isinstance(thing, (list, tuple)) else []


def check_nobody_is_in(models: list[bpkern.MLP]) -> None:
    """Check that no guard is held and that no call is counted as running."""
    errors: list[Exception] = []

    def change() -> None:
        try:
            for model in models:
                with core_of(model).net.writing():
                    pass
        except Exception as error:
            errors.append(error)

    if models:
        thread = threading.Thread(target=change)
        thread.start()
        thread.join()
    if errors:
        raise Wrong(f"a guard is held: {errors[0]}")
    if _core.fair_share() != THREADS:
        raise Wrong("a call is still counted as running")


def is_usable(model: bpkern.MLP, X: np.ndarray) -> bool:
    """Whether the parameters are finite, and the model predicts and can be copied and trained further."""
    weights = [array for pair in model.get_weights() for array in pair]
    twin = model.copy()
    twin.fit(X, np.zeros((len(X), model.layers[-1])) if model.loss != "cross_entropy" else [0] * len(X))
    return all(np.isfinite(array).all() for array in [*weights, model.forward(X), twin.forward(X)])


def serve(answer: Callable[[Any], Any], may_print: bool = False) -> None:
    """Answer the questions of `shims.Child`. Nothing else may be printed."""
    bpkern.set_num_threads(THREADS)
    errors = os.dup(2)
    faulthandler.enable(errors)
    with os.fdopen(os.dup(1), "w") as told, tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        for question in sys.stdin:
            try:
                said = answer(json.loads(question))
            except Wrong as wrong:
                said = str(wrong)
            except BaseException:  # an error in the trials themselves
                os.dup2(errors, 2)
                raise
            sys.stdout.flush()
            sys.stderr.flush()
            if os.fstat(printed.fileno()).st_size and said == "" and not may_print:
                printed.seek(0)
                said = f"it printed {printed.read(500).decode()!r}"
            os.ftruncate(printed.fileno(), 0)
            os.lseek(printed.fileno(), 0, os.SEEK_SET)
            print(json.dumps(said), file=told, flush=True)
