"""The command `bpkern export`."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from .. import export
from .._files.replacing import write_bytes
from .._table.command import columns_and_kinds
from .._table.reading import read_table
from .._table.table_model import TableModel, holds_table
from ..mlp import MLP


def run_export(options: argparse.Namespace) -> int:
    """Write the files of these options; returns the exit status."""
    try:
        if not (options.c or options.onnx or options.safetensors):
            raise ValueError("give at least one of --c, --onnx and --safetensors")
        kind: type[MLP | TableModel] = TableModel if holds_table(options.model) else MLP
        model = kind.load(options.model)
        made: dict[str, bytes] = {}  # all before the first file is written: each may be refused
        if options.c:
            data = _data(model, options) if options.data else None
            text = export.to_c(model, name=options.name, weights=options.weights, data=data)
            made[options.c] = text.encode("ascii")
        if options.onnx:
            made[options.onnx] = export.to_onnx(model).SerializeToString()
        if options.safetensors:
            export.to_safetensors(
                model.model if isinstance(model, TableModel) else model, options.safetensors
            )
        for path, content in made.items():
            write_bytes(path, content)
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        print(f"bpkern export: {error}", file=sys.stderr)
        return 1
    return 0


def _data(model: MLP | TableModel, options: argparse.Namespace) -> Any:
    """The rows of a file: a table with the columns of the model, or its inputs as numbers."""
    if isinstance(model, TableModel):
        names, kinds = columns_and_kinds(model, options.model)
        return read_table(options.data, kinds=kinds).frame(names)
    return np.loadtxt(options.data, delimiter=",", ndmin=2)[:, : model.layers[0]]
