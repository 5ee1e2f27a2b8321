"""The optimisers as a trace shows them: the names of their states in use, and their formulas."""

from typing import Any

from .._model.groups import KINDS, Group, lines_of
from .trace_data import Setting


def used_states(optimizer: Any) -> dict[str, str]:
    """The states that an optimiser with these settings uses: by the name that users see, the store in C."""
    rule = optimizer.rule
    if rule == "sgd":
        return {"velocity": "m"} if optimizer.momentum else {}
    if rule == "rmsprop":
        used = {"square": "v"}
        if optimizer.centered:
            used["mean"] = "u"
        return used | ({"velocity": "m"} if optimizer.momentum else {})
    if rule == "adagrad":
        return {"total": "v"}
    return {"mean": "m", "square": "v"} | ({"largest": "u"} if getattr(optimizer, "amsgrad", False) else {})


def note_of(setting: Setting, l: int) -> str:
    """What differs from plain training in layer l, or ""."""
    lines = lines_of(setting.groups[l : l + 1], setting.bias[l : l + 1])
    return "".join(lines).removeprefix("layer 0: ")


def group_of(setting: Setting, l: int, kind: str) -> Group:
    """The group of the weights or the biases of layer l; biases that it does not have are frozen."""
    group = setting.groups[l][KINDS.index(kind)]
    return group.but(frozen=True) if kind == "biases" and not setting.bias[l] else group


def formulas(optimizer: Any) -> list[str]:
    """The lines of an update of the parameter w with the gradient g, in the order of computation.

    lr is the learning rate, t the number of the update since the states began, from 1.
    """
    rule, lines = optimizer.rule, []
    if optimizer.maximize:
        lines.append("g ← −g, except in the penalties")
    if optimizer.weight_decay:
        given = optimizer.weight_decay
        decay = "weight_decay" if callable(given) else f"{given:g}"
        lines.append(
            f"w ← (1 − lr · {decay}) w"
            if rule == "adamw" or getattr(optimizer, "decoupled_weight_decay", False)
            else f"g ← g + {decay} w"
        )
    every = {"sgd": _sgd, "rmsprop": _rmsprop, "adagrad": _adagrad, "nadam": _nadam}
    return lines + every.get(rule, _adam)(optimizer)


def _sgd(optimizer: Any) -> list[str]:
    if not optimizer.momentum:
        return ["w ← w − lr g"]
    momentum = f"{optimizer.momentum:g}"
    step = f"(g + {momentum} velocity)" if optimizer.nesterov else "velocity"
    gradient = f"{1 - optimizer.dampening:g} g (g if t = 1)" if optimizer.dampening else "g"
    return [f"velocity ← {momentum} velocity + {gradient}", f"w ← w − lr {step}"]


def _rmsprop(optimizer: Any) -> list[str]:
    alpha, rest, eps = f"{optimizer.alpha:g}", f"{1 - optimizer.alpha:g}", f"{optimizer.eps:g}"
    lines = [f"square ← {alpha} square + {rest} g²"]
    root = "√square"
    if optimizer.centered:
        lines.append(f"mean ← {alpha} mean + {rest} g")
        root = "√(square − mean²)"
    if not optimizer.momentum:
        return [*lines, f"w ← w − lr g / ({root} + {eps})"]
    return [
        *lines,
        f"velocity ← {optimizer.momentum:g} velocity + g / ({root} + {eps})",
        "w ← w − lr velocity",
    ]


def _adagrad(optimizer: Any) -> list[str]:
    rate = f"lr / (1 + (t − 1) · {optimizer.lr_decay:g})" if optimizer.lr_decay else "lr"
    return ["total ← total + g²", f"w ← w − {rate} · g / (√total + {optimizer.eps:g})"]


def _nadam(optimizer: Any) -> list[str]:
    first, second, eps = f"{optimizer.betas[0]:g}", f"{optimizer.betas[1]:g}", f"{optimizer.eps:g}"
    return [
        f"mean ← {first} mean + {1 - optimizer.betas[0]:g} g",
        f"square ← {second} square + {1 - optimizer.betas[1]:g} g²",
        f"p(t) = {first} (1 − 0.96^({optimizer.momentum_decay:g} t) / 2), P(t) = p(1) p(2) ⋯ p(t)",
        "step = (1 − p(t)) / (1 − P(t)) · g + p(t + 1) / (1 − P(t + 1)) · mean",
        f"w ← w − lr step / (√square / √(1 − {second}ᵗ) + {eps})",
    ]


def _adam(optimizer: Any) -> list[str]:
    first, second, eps = f"{optimizer.betas[0]:g}", f"{optimizer.betas[1]:g}", f"{optimizer.eps:g}"
    lines = [
        f"mean ← {first} mean + {1 - optimizer.betas[0]:g} g",
        f"square ← {second} square + {1 - optimizer.betas[1]:g} g²",
    ]
    square = "square"
    if optimizer.amsgrad:
        lines.append("largest ← max(largest, square)")
        square = "largest"
    if optimizer.eps_hat:
        divisor = f"((√{square} + {eps}) / √(1 − {second}ᵗ))"
    else:
        divisor = f"(√{square} / √(1 − {second}ᵗ) + {eps})"
    return [*lines, f"w ← w − lr / (1 − {first}ᵗ) · mean / {divisor}"]
