"""What ranks must have in common before a fit, and the state of the model, which rank 0 gives to all."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core
from .._files import state
from .._model.core import Core
from .group import Group


def check_alike(group: Group, core: Core, others: Mapping[str, Any]) -> None:
    """Raise ValueError, on all ranks alike, if a rank has another version, model or argument than rank 0."""
    own = {
        "bpkern": _core.__version__,
        "NumPy": np.__version__,
        "the instruction set (BPKERN_ISA)": _core.isa(),
        **state.model_config(core.settings),
        **others,
    }
    # A learning rate that a callback changes is compared after each epoch.
    given = group.objects({name: _text(value) for name, value in own.items()})
    for rank, theirs in enumerate(given):
        for name, value in given[0].items():
            if theirs.get(name) != value:
                raise ValueError(f"rank {rank} has {name}={theirs.get(name)}, and rank 0 has {value}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=repr)


def share_state(group: Group, core: Core) -> None:
    """Give the state of rank 0's model to those ranks whose model has another.

    Models with ``seed=None`` have begun with other weights; a file may have been loaded by rank 0 alone.
    """
    if group.engine is None:
        return
    config, arrays = state.model_state(core)
    digest = hashlib.sha256(json.dumps(config["training"], sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).data)
    digests = group.objects(digest.digest())
    if all(each == digests[0] for each in digests):
        return
    config, arrays = group.of_first((config, arrays))
    if digests[group.rank] != digests[0]:
        seed = core.random.seed
        state.restore(core, state.checked_state(core.settings, config, arrays))
        core.random.seed = seed


def threads_of_rank(group: Group, limit: int) -> int:
    """The most threads of this rank: the ranks that may run on the same processors share them."""
    if group.engine is None:
        return limit
    has_affinity = hasattr(os, "sched_getaffinity")
    own = os.sched_getaffinity(0) if has_affinity else set(range(os.cpu_count() or 1))
    sets = group.objects(own)
    sharing = sum(1 for rank in group.engine.local if not own.isdisjoint(sets[rank]))
    return max(1, limit // max(1, sharing))
