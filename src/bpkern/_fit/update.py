"""The settings of an update, from gradients to new parameters, for the extension."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from .. import _core
from .._model.settings import Settings
from ..optimizers import Optimizer


def make_update(
    settings: Settings,
    optimizer: Optimizer,
    *,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    accumulate: int = 1,
    ema: float | None = None,
    penalised: bool = True,
) -> _core.Update:
    """The update of a model with these settings.

    Parameters
    ----------
    settings : Settings
        Penalties and conventions.
    optimizer : Optimizer
        From `Settings.current_optimizer`.
    clip_norm, clip_value, accumulate, ema
        As for `MLP.fit`, checked.
    penalised : bool
        Whether the gradients of the penalties are added. False for gradients that contain them.
    """
    conventions = settings.conventions
    return _core.Update(
        optimizer,
        l1=settings.l1 if penalised else 0.0,
        l2=settings.l2 if penalised else 0.0,
        clip_norm=clip_norm,
        clip_value=clip_value,
        accumulate=accumulate,
        ema=ema,
        penalty_per_weight=conventions.penalty_per_weight,
        mean_by_rows=conventions.mean_by_rows,
    )
