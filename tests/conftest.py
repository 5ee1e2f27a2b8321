"""Fixtures and settings for all tests."""

import gc
import random

import hypothesis
import pytest
from helpers import ISAS, using

from bpkern import _core

hypothesis.settings.register_profile("bpkern", deadline=None, print_blob=True, max_examples=60)
hypothesis.settings.load_profile("bpkern")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if getattr(config.option, "hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(random.randrange(2**32))


def pytest_report_header(config):
    return [
        f"instruction sets: {', '.join(_core.available_isas())}",
        f"to repeat: --hypothesis-seed={config.option.hypothesis_seed}",
    ]


def pytest_collection_finish():
    # Hypothesis makes its generator in its first test, and then asks the collector who refers to it. The
    # collector does not see what is frozen.
    hypothesis.given(hypothesis.strategies.none())(lambda value: None)()
    gc.freeze()  # some 25,000 tests, which every full collection would look through


@pytest.fixture(params=ISAS)
def isa(request):
    """Each compiled instruction set by name, in use during the test."""
    if request.param not in _core.available_isas():
        pytest.skip(f"this processor has no {request.param}")
    with using(request.param):
        yield request.param


@pytest.fixture(params=("float32", "float64"))
def dtype(request):
    return request.param
