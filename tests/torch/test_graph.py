"""`bpkern.graph` against PyTorch's autograd, if PyTorch is installed."""

import pytest
from expressions import ARITHMETIC, FLOATS, computed, random_expression

from bpkern import graph

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch

NODES = ARITHMETIC | {name: getattr(graph, name) for name in FLOATS if name not in ARITHMETIC}


def tensor(value):
    return value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=torch.float64)


TENSORS = ARITHMETIC | {
    **{name: getattr(torch, name) for name in ("exp", "log", "sin", "cos", "tanh", "sigmoid", "relu")},
    "max": lambda a, b: torch.maximum(tensor(a), tensor(b)),
}


@pytest.mark.parametrize("seed", range(200))
def test_expression(seed):
    """To repeat: random_expression(seed)."""
    start, steps = random_expression(seed)
    nodes = graph.variables(**{f"x{index}": value for index, value in enumerate(start)})
    tensors = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in start]
    result, expected = computed(steps, nodes, NODES), computed(steps, tensors, TENSORS)
    assert result.value == pytest.approx(expected.item(), rel=1e-13, abs=1e-13)
    result.backward()
    expected.backward()
    for node, leaf in zip(nodes, tensors, strict=True):
        if leaf.grad is None:
            assert node.gradient is None
        else:
            assert node.gradient == pytest.approx(leaf.grad.item(), rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("at", [-1.0, 0.0, 1.0])
def test_kinks(at):
    """relu'(0) = 0, and equal operands of max share the derivative."""
    for name, other in (("relu", ()), ("max", (0.0,))):
        [x] = graph.variables(x=at)
        leaf = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        NODES[name](x, *other).backward()
        TENSORS[name](leaf, *other).backward()
        assert x.gradient == leaf.grad.item()
