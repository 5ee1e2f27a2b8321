"""A trace as dictionaries, lists and numbers, and as JSON."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import numpy as np

from .trace_data import Layer, States, Step, TraceData

# The version of the form that `dict_of` returns.
VERSION = 1


def dict_of(trace: TraceData) -> dict[str, Any]:
    """As `Trace.to_dict`."""
    optimizer = trace.optimizer
    settings = {name: _plain(value) for name, value in optimizer.settings().items()}
    return {
        "version": VERSION,
        "model": {
            "sizes": list(trace.sizes),
            "activations": list(trace.activations),
            "dropout": _plain(trace.dropout),
            "loss": trace.loss,
            "loss_parameters": _plain(trace.loss_parameters),
            "label_smoothing": trace.label_smoothing,
            "l1": trace.l1,
            "l2": trace.l2,
            "optimizer": {"rule": optimizer.rule, **settings},
            "dtype": trace.dtype.name,
            "bias": list(trace.bias),
            "groups": [[group.by_name() for group in layer] for layer in trace.groups],
        },
        "targets": _plain(trace.targets),
        "row_weights": _plain(trace.row_weights),
        "steps": [_step(step) for step in trace.steps],
    }


def json_of(trace: TraceData) -> str:
    """`dict_of` as JSON, with null for numbers that are not finite."""
    return json.dumps(_finite(dict_of(trace)), allow_nan=False)


def _step(step: Step) -> dict[str, Any]:
    found = {
        field.name: _plain(getattr(step, field.name))
        for field in fields(step)
        if field.name not in ("layers", "setting")
    }
    return found | {"layers": [_layer(layer) for layer in step.layers]}


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        field.name: _states(value) if isinstance(value, dict) else _plain(value)
        for field in fields(layer)
        for value in [getattr(layer, field.name)]
    }


def _states(states: States) -> dict[str, Any]:
    return {name: {"W": _plain(w), "b": _plain(b)} for name, (w, b) in states.items()}


def _plain(value: Any) -> Any:
    """Arrays as lists, NumPy's numbers as Python's, tuples as lists, and schedules as text."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)


def _finite(value: Any) -> Any:
    """The same lists and dictionaries, with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
