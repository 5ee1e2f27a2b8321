"""Groups of parameters, those of one kind of one layer: frozen, or trained by factors.

All groups of a model are a tuple with one tuple per layer, which has a `Group` for each of `KINDS`. They are
settings: they stay when a model is reset.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from .. import _checks
from ..optimizers import Optimizer

# In the order of bpk_kind in bpkern.h.
KINDS = ("weights", "biases")

# The largest factor: a product with any learning rate is finite in float64.
MOST_FACTOR = 1e100


class Group(NamedTuple):
    """How training moves the parameters of a group. The default is as if there were no groups.

    Attributes
    ----------
    lr, weight_decay : float
        Factors of the optimiser's learning rate and weight decay.
    frozen : bool
        Whether training leaves them as they are.
    """

    lr: float = 1.0
    weight_decay: float = 1.0
    frozen: bool = False

    def but(self, **changes: Any) -> Group:
        """The group with other values of the named attributes."""
        return self._replace(**changes)

    def by_name(self) -> dict[str, float | bool]:
        """The attributes by their names."""
        return self._asdict()


Groups = tuple[tuple[Group, ...], ...]


def plain_groups(layers: int) -> Groups:
    """The groups of a new model with that many weight matrices."""
    return ((Group(),) * len(KINDS),) * layers


def layer_numbers(layers: Any, count: int) -> set[int]:
    """The layers of an argument: None for all, a number, or several; negative ones count from the end.

    Raises
    ------
    ValueError, TypeError
        For a layer that does not exist, and for anything but whole numbers.
    """
    if layers is None:
        return set(range(count))
    if isinstance(layers, (str, bytes)):
        raise TypeError(
            f"layers are counted from 0, with -1 for the output, and have no names: not {layers!r}"
        )
    if not hasattr(layers, "__iter__"):
        layers = [layers]
    return {_checks.whole("a layer", l, -count, count - 1) % count for l in layers}


def changed(groups: Groups, layers: Any, kinds: dict[str, Any], change: Callable[[Group], Group]) -> Groups:
    """The groups after a change of those of some layers and kinds.

    Parameters
    ----------
    groups : Groups
    layers : None, int, or iterable of int
        As the caller of a method gave them.
    kinds : dict of str to bool
        The flags of a method's arguments, by the names in `KINDS`.
    change : callable

    Raises
    ------
    ValueError, TypeError
        As `layer_numbers`, and for a flag that is not a bool.
    """
    chosen = layer_numbers(layers, len(groups))
    flags = [_checks.flag(kind, kinds[kind]) for kind in KINDS]
    return tuple(
        tuple(
            change(group) if flag and l in chosen else group for group, flag in zip(layer, flags, strict=True)
        )
        for l, layer in enumerate(groups)
    )


def frozen(groups: Groups, layers: Any, is_frozen: bool, **kinds: Any) -> Groups:
    """As `MLP.freeze` and `MLP.unfreeze`."""
    return changed(groups, layers, kinds, lambda group: group.but(frozen=is_frozen))


def with_factors(groups: Groups, layers: Any, lr: Any, weight_decay: Any, **kinds: Any) -> Groups:
    """As `MLP.set_factors`."""
    if lr is None and weight_decay is None:
        raise ValueError("give the factor lr, the factor weight_decay, or both, as in set_factors(0, lr=0.1)")
    given = {"lr": lr, "weight_decay": weight_decay}
    factors: Any = {
        name: _checks.real(f"the factor {name}", value, 0.0, MOST_FACTOR)
        for name, value in given.items()
        if value is not None
    }
    return changed(groups, layers, kinds, lambda group: group.but(**factors))


def with_ntk_factors(groups: Groups, sizes: Sequence[int], optimizer: Optimizer, bias_scale: Any) -> Groups:
    """As `MLP.set_ntk_factors`, for layers of these sizes, the number of inputs of layer 0 first."""
    scale = _checks.positive("bias_scale", bias_scale)
    return tuple(
        tuple(
            group.but(**_scaled(optimizer, s))
            for group, s in zip(layer, (1 / math.sqrt(fan_in), scale), strict=True)
        )
        for layer, (fan_in, _) in zip(groups, pairwise(sizes), strict=True)
    )


def _scaled(optimizer: Optimizer, s: float) -> dict[str, Any]:
    """The factors for W with which it moves as s V does, if V is trained by the optimiser's settings.

    By the chain rule the gradient by V is s times that by W, and W moves s times as far as V.
    """
    # The steps of the other rules do not depend on the gradient's scale.
    lr = s**2 if optimizer.rule == "sgd" else s
    # Decay of V adds lambda V = (lambda / s) W to the gradient by V, as (lambda / s^2) W to that by W.
    # Decoupled decay multiplies V and W by the same 1 - lr lambda.
    is_decoupled = optimizer.rule == "adamw" or getattr(optimizer, "decoupled_weight_decay", False)
    return {"lr": lr, "weight_decay": 1 / s if is_decoupled else 1 / s**2}


def trained(groups: Groups, bias: Sequence[bool]) -> list[tuple[bool, bool]]:
    """Whether training changes the weights, and the biases, of each layer. Absent biases never change."""
    return [
        (not weights.frozen, has_bias and not biases.frozen)
        for (weights, biases), has_bias in zip(groups, bias, strict=True)
    ]


def listed(groups: Groups, bias: Sequence[bool]) -> list[dict[str, Any]]:
    """As `MLP.parameter_groups`."""
    return [
        {"layer": l, "kind": kind, **group.by_name()}
        for l, (layer, has_bias) in enumerate(zip(groups, bias, strict=True))
        for kind, group in zip(KINDS, layer, strict=True)
        if has_bias or kind != "biases"
    ]


def config_of(groups: Groups) -> list[list[list[float | bool]]]:
    """The groups in a form that JSON can hold."""
    return [[list(group) for group in layer] for layer in groups]


def groups_of(config: Any, layers: int) -> Groups:
    """The inverse of `config_of`. Raises ValueError or TypeError for anything else."""
    if len(config) != layers or any(len(layer) != len(KINDS) for layer in config):
        raise ValueError(f"there must be groups of {', '.join(KINDS)} for {layers} layers, not {config!r}")
    return tuple(tuple(_group(*each) for each in layer) for layer in config)


def _group(lr: Any, weight_decay: Any, is_frozen: Any) -> Group:
    return Group(
        _checks.real("the factor lr", lr, 0.0, MOST_FACTOR),
        _checks.real("the factor weight_decay", weight_decay, 0.0, MOST_FACTOR),
        _checks.flag("frozen", is_frozen),
    )


def lines_of(groups: Groups, bias: Sequence[bool]) -> list[str]:
    """What differs from plain training, one line per layer that differs."""
    lines = []
    for l, (layer, has_bias) in enumerate(zip(groups, bias, strict=True)):
        said = [
            f"{kind} {text}"
            for kind, group in zip(KINDS, layer, strict=True)
            if (text := _text(group)) and (has_bias or kind != "biases")
        ]
        if not has_bias:
            said.append("no biases")
        if said:
            lines.append(f"layer {l}: {', '.join(said)}")
    return lines


def _text(group: Group) -> str:
    """What differs from the default, or ""."""
    if group.frozen:
        return "frozen"
    factors = [
        f"{name} x {f'{value:g}' if float(f'{value:g}') == value else repr(value)}"
        for name, value in (("lr", group.lr), ("weight decay", group.weight_decay))
        if value != 1
    ]
    return " and ".join(factors)
