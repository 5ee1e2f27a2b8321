"""The arguments of `MLP.fit` that are not data, checked."""

import os
from typing import Any

from .. import _checks

# Larger values of `accumulate` are reduced to this number: no epoch has more mini-batches, and C counts them
# in 64 bits.
MOST_ACCUMULATE = 2**62


class FitArguments:
    """The arguments of `MLP.fit` that are not data, as attributes after their checks.

    The attributes have the names, meanings and, unless noted here, the types of the arguments.

    Attributes
    ----------
    clip_norm, clip_value, ema : float or None
    checkpoint : str or None
    n_threads : int or None
    shards : int or None
        Not an argument of this class: `bpkern._ranks` sets it.

    Raises
    ------
    ValueError, TypeError
        For arguments that are not allowed.
    """

    shards: int | None = None

    def __init__(
        self,
        *,
        epochs: Any = 1,
        batch_size: Any = 32,
        shuffle: Any = True,
        validation_data: Any = None,
        validation_split: Any = 0.0,
        clip_norm: Any = None,
        clip_value: Any = None,
        accumulate: Any = 1,
        drop_last: Any = False,
        ema: Any = None,
        checkpoint: Any = None,
        checkpoint_every: Any = 1,
        resume: Any = False,
        n_threads: Any = None,
    ) -> None:
        self.epochs = _checks.whole("epochs", epochs, 0)
        self.batch_size = _checks.whole("batch_size", batch_size, 1)
        self.shuffle = _checks.flag("shuffle", shuffle)
        self.validation_split = _checks.real("validation_split", validation_split, 0.0, 1.0)
        self.clip_norm = limit("clip_norm", clip_norm)
        self.clip_value = limit("clip_value", clip_value)
        self.accumulate = min(_checks.whole("accumulate", accumulate, 1), MOST_ACCUMULATE)
        self.drop_last = _checks.flag("drop_last", drop_last)
        self.ema = None if ema is None else _checks.real("ema", ema, 0.0, 1.0)
        self.checkpoint = None if checkpoint is None else _checks.path("checkpoint", checkpoint)
        self.checkpoint_every = _checks.whole("checkpoint_every", checkpoint_every, 1)
        if isinstance(resume, (str, os.PathLike)):
            raise TypeError(
                f"resume must be True or False, not {resume!r}: the file is the argument checkpoint"
            )
        self.resume = _checks.flag("resume", resume)
        if self.resume and checkpoint is None:
            raise ValueError("resume needs the checkpoint to resume from, and checkpoint is None")
        self.n_threads = None if n_threads is None else _checks.whole("n_threads", n_threads, 1)
        self.validation_data = validation_data
        if validation_data is not None:
            if self.validation_split:
                raise ValueError("give validation_data or validation_split, not both")
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
                given = type(validation_data).__name__
                if isinstance(validation_data, (tuple, list)):
                    given += f" of {len(validation_data)}"
                raise ValueError(f"validation_data must be (X, y) or (X, y, sample_weight), not a {given}")


def limit(name: str, value: Any) -> float | None:
    """`value` as a float above 0, or None for no limit. Raises ValueError or TypeError."""
    return None if value is None else _checks.positive(name, value)
