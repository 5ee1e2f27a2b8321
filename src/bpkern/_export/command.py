"""The command `bpkern export`."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import argparse
import sys

import numpy as np

from .. import export
from .._files.replacing import write_bytes
from ..mlp import MLP


def run_export(options: argparse.Namespace) -> int:
    """Write the files of these options; returns the exit status."""
    try:
        if not (options.c or options.onnx or options.safetensors):
            raise ValueError("give at least one of --c, --onnx and --safetensors")
        model = MLP.load(options.model)
        if options.c:
            data = None
            if options.data:
                data = np.loadtxt(options.data, delimiter=",", ndmin=2)[:, : model.layers[0]]
            text = export.to_c(model, name=options.name, weights=options.weights, data=data)
            write_bytes(options.c, text.encode("ascii"))
        if options.onnx:
            export.to_onnx(model, options.onnx)
        if options.safetensors:
            export.to_safetensors(model, options.safetensors)
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        print(f"bpkern export: {error}", file=sys.stderr)
        return 1
    return 0
