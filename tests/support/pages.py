"""The Python blocks of a page in Markdown, and how tests run them."""

import re

import pytest

# The libraries of the extras and of the tests: the package works without them.
OPTIONAL = ("matplotlib", "onnx", "pandas", "safetensors", "scipy", "sklearn", "torch")


def python_blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.M | re.S)


def run_blocks(page, blocks):
    """Run the blocks one after another in one namespace, which is returned.

    A block that needs a missing optional library is left out, and later blocks do without its names. The test
    is then skipped after the last block, with the names of the libraries.
    """
    namespace, missing = {"__name__": "__main__"}, []
    for block in blocks:
        try:
            exec(compile(block, page.name, "exec"), namespace)
        except ImportError as error:
            library = _missing_library(error)
            if library is None:
                raise
            missing.append(library)
    if missing:
        pytest.skip(f"{page.name} needs {', '.join(dict.fromkeys(missing))}; all its other blocks ran")
    return namespace


def _missing_library(error):
    """The optional library that was not found, by this error or by the one it was raised from; else None."""
    while error is not None:
        library = (getattr(error, "name", None) or "").partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and library in OPTIONAL:
            return library
        error = error.__cause__
    return None
