"""The three kernels on plain matrices, every instruction set and shape, against the NumPy reference with the
same number of threads.

pytest bench/bench_kernels.py --benchmark-columns=median,iqr,rounds [--threads 2]
"""

import numpy as np
import pytest
from kernel_functions import SHAPES

from bpkern import kernels, reference


@pytest.fixture(params=SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def arrays(request):
    n, width_in, width = request.param
    rng = np.random.default_rng(0)
    shapes = {"x": (n, width_in), "w": (width, width_in), "b": (width,), "delta": (n, width)}
    made = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    made |= {"a": np.empty((n, width), np.float32), "below": np.empty((n, width_in), np.float32)}
    made |= {"vw": np.zeros((width, width_in), np.float32), "vb": np.zeros(width, np.float32)}
    return made, 2 * n * width_in * width, "x".join(map(str, request.param))


def module(who):
    return reference if who == "reference" else kernels


def test_linear_forward(rated, who, arrays):
    a, flops, shape = arrays
    forward = module(who).linear_forward
    rated(lambda: forward(a["x"], a["w"], a["b"], "relu", a["a"]), flops, f"linear_forward relu {shape}")


def test_delta_backward(rated, who, arrays):
    a, flops, shape = arrays
    backward = module(who).delta_backward
    rated(
        lambda: backward(a["delta"], a["w"], a["x"], "relu", out=a["below"]),
        flops,
        f"delta_backward relu {shape}",
    )


def test_sgd_update(rated, who, arrays):
    a, flops, shape = arrays
    update, velocity = module(who).sgd_update, {"vw": a["vw"], "vb": a["vb"]}
    rated(
        lambda: update(a["w"], a["b"], a["delta"], a["x"], 1e-6, momentum=0.9, **velocity),
        flops,
        f"sgd_update momentum {shape}",
    )
