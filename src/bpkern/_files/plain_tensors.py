"""Arrays alone as a .safetensors file, without anything of this package."""

import os
from collections.abc import Mapping

import numpy as np

from . import tensors
from .replacing import naming, replace


def write_tensors(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write or replace a file of these arrays, in C order.

    Raises
    ------
    ValueError
        For another suffix.
    ModuleNotFoundError
        Without the library.
    OSError
        As for `replacing.replace`.
    """
    if os.path.splitext(path)[1] != ".safetensors":
        raise ValueError(f"the file must end in .safetensors, not {path!r}")
    tensors.library()
    # "pt" is the word by which other libraries recognise tensors for torch.
    with naming(path):
        replace(path, lambda file: tensors.write(file, {"format": "pt"}, arrays))
