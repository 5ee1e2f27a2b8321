"""Branches add, layers multiply; a second backward changes nothing; what is refused, and how."""

import builtins
import math

import numpy as np
import pytest

from bpkern import graph
from bpkern.graph import Edge, Node, exp, log, relu, sigmoid, tanh, variables


def gradient(function, value):
    """The derivative of a function of one variable."""
    [x] = variables(x=value)
    function(x).backward()
    return x.gradient


def test_branches_add():
    assert gradient(lambda x: x * x, 3) == 6
    assert gradient(lambda x: x - x, 3) == 0
    assert gradient(lambda x: x * x * x + 2 * x, 3) == 29
    assert gradient(lambda x: graph.max(x, x), 3) == 1


def test_layers_multiply():
    assert gradient(lambda x: exp(2 * x), 0) == 2
    assert gradient(lambda x: -(-1 * x) / 4, 7) == 0.25


def test_a_second_backward_gives_the_same_gradients():
    x, y = variables(x=3, y=2)
    z = x * y + x
    z.backward()
    first = x.gradient, y.gradient, z.gradient
    z.backward()
    assert (x.gradient, y.gradient, z.gradient) == first == (3, 3, 1)


def test_gradients_are_those_of_the_last_result():
    x, y = variables(x=3, y=2)
    product, double = x * y, 2 * x
    assert x.gradient is None
    product.backward()
    double.backward()
    assert (x.gradient, y.gradient) == (2, 3)
    assert product.gradients() == {x: 2, y: 3, product: 1}
    assert x.gradient == 2


def test_nodes_that_no_path_leads_to_keep_their_gradients():
    x, y = variables(x=3, y=2)
    (x * 2).backward()
    assert (x.gradient, y.gradient) == (2, None)


def test_a_variable_alone():
    [x] = variables(x=3)
    x.backward()
    assert (x.gradient, x.order()) == (1, [x])


def test_the_order_has_operands_first():
    x, y = variables(x=3, y=2)
    z = (x + y) * (x - y) + x
    order = z.order()
    assert order[-1] is z
    assert len(order) == len(set(order)) == 6
    for index, node in enumerate(order):
        assert all(edge.operand in order[:index] for edge in node.edges)


def test_values_and_edges_cannot_be_changed():
    """So no node can come to depend on itself."""
    x, y = variables(x=3, y=2)
    z = x + y
    for name in ("value", "edges", "name", "formula", "other"):
        with pytest.raises(AttributeError):
            setattr(z, name, None)
    with pytest.raises(TypeError):
        z.edges[0] = Edge(z, 1.0, "1")


def test_deep_chains():
    [x] = variables(x=1.0)
    node = x
    for _ in range(50_000):
        node = node * 1.0 + 0.0
    node.backward()
    assert (node.value, x.gradient) == (1, 1)
    assert len(node.order()) == 200_001
    del node


def test_many_users():
    [x] = variables(x=1.0)
    total = x
    for _ in range(10_000):
        total = total + x
    total.backward()
    assert x.gradient == 10_001


@pytest.mark.parametrize(
    ("function", "at", "expected"),
    [
        (relu, 0.0, 0.0),
        (relu, -1.0, 0.0),
        (lambda x: x**0, 0.0, 0.0),
        (lambda x: x**1, 0.0, 1.0),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: x**3, -2.0, 12.0),
        (lambda x: x**-1, -2.0, -0.25),
        (lambda x: x**0.5, 4.0, 0.25),
        (lambda x: 2**x, 3.0, 8 * math.log(2)),
        (lambda x: Node(0.0, name="zero") ** x, 3.0, 0.0),
        (lambda x: graph.max(x, 1), 1.0, 0.5),
        (lambda x: graph.max(1, x), 2.0, 1.0),
        (lambda x: 3 - x, 1.0, -1.0),
        (lambda x: 6 / x, 2.0, -1.5),
    ],
)
def test_special_points(function, at, expected):
    assert gradient(function, at) == expected


@pytest.mark.parametrize("at", [40.0, -40.0, 800.0, -800.0])
def test_slopes_of_saturated_functions_keep_their_digits(at):
    """Where 1 - a would be rounded to 0."""
    assert gradient(sigmoid, at) == pytest.approx(math.exp(-abs(at)), rel=1e-14)
    assert gradient(tanh, at) == pytest.approx(4 * math.exp(-2 * abs(at)), rel=1e-14)


@pytest.mark.parametrize("kind", [int, float, np.float64, np.float32, np.int64, np.uint8, np.longdouble])
def test_numbers_of_any_kind(kind):
    [x] = variables(x=kind(3))
    assert isinstance(x.value, float)
    two = kind(2)
    results = [x + two, two + x, x - two, two - x, x * two, two * x, x / two, two / x, x**two, two**x]
    assert [node.value for node in results] == [5, 5, 1, -1, 6, 6, 1.5, 2 / 3, 9, 8]
    assert all(type(node) is Node and type(node.value) is float for node in results)
    assert graph.max(x, two).value == 3


@pytest.mark.parametrize("other", [np.ones(2), np.ones(()), [1.0], "1", None, True, 1j])
def test_what_is_no_number_is_refused(other):
    [x] = variables(x=3)
    for combine in (
        lambda: x + other,
        lambda: other * x,
        lambda: x**other,
        lambda: exp(other),
        lambda: graph.max(x, other),
        lambda: variables(y=other),
    ):
        with pytest.raises(TypeError, match="must be a number"):
            combine()


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda x: x / 0, "3 ÷ 0 or its derivative is not defined"),
        (lambda x: log(x - 3), r"log\(0\) or its derivative is not defined"),
        (lambda x: log(-x), r"log\(−3\) or its derivative is not defined"),
        (lambda x: (x - 3) ** 0.5, r"0 \^ 0.5 or its derivative is not defined"),
        (lambda x: (x - 3) ** -1, r"0 \^ \(−1\) or its derivative is not defined"),
        (lambda x: (-x) ** x, r"\(−3\) \^ 3 or its derivative is not defined"),
        (lambda x: x + math.inf, "an operand must be finite, not inf"),
        (lambda x: x**math.nan, "the exponent must be finite, not nan"),
        (lambda x: variables(y=math.nan), "y must be finite, not nan"),
        (lambda x: x.named(""), "name must be printable and not empty, not ''"),
        (lambda x: x.named("a\nb"), r"name must be printable and not empty, not 'a\\nb'"),
        (lambda x: Node(1.0, (Edge(x, 1.0, "1"),) * 3), "a node has at most two edges, not 3"),
        (lambda x: x.table(0), "digits must be at least 1, not 0"),
        (lambda x: x.save("graph.png"), "path must end in one of .svg, .html, .txt, not 'graph.png'"),
    ],
)
def test_errors_say_what_was_given(compute, message):
    [x] = variables(x=3)
    with pytest.raises(ValueError, match=message):
        compute(x)


def test_edges_are_checked_when_a_node_is_made():
    [x] = variables(x=3)
    for edges in ((1,), (x,), ((x, 1.0, "1"),)):
        with pytest.raises(TypeError, match="edges must be a sequence of Edge, not "):
            Node(1.0, edges)


def test_a_star_import_leaves_the_functions_of_python():
    assert not set(graph.__all__) & set(dir(builtins))


@pytest.mark.parametrize(
    "compute",
    [lambda x: exp(1000 * x), lambda x: x * 1e308 * 10, lambda x: x**1000, lambda x: 1 / (x * 1e-320)],
)
def test_what_is_too_large(compute):
    [x] = variables(x=3)
    with pytest.raises(OverflowError, match="is too large for float64"):
        compute(x)


def test_gradients_that_are_too_large_change_nothing():
    x, tiny = variables(x=0.0, tiny=1e-300)
    y = x * 1e300 * tiny
    y.backward()
    before = x.gradient
    z = x * 1e300 * 1e300
    with pytest.raises(OverflowError, match=r"gradient of .*name='x'.* is too large"):
        z.backward()
    assert x.gradient == before
    assert z.gradient is None


def test_names():
    [x] = variables(x=3)
    y = (x * 2).named("y")
    assert y.name == "y"
    assert repr(y) == "Node(6, name='y')"
    y.backward()
    assert repr(x) == "Node(3, name='x', gradient=2)"
    assert type(x.named(np.str_("n")).name) is str
    with pytest.raises(TypeError, match="name must be a str, not 3"):
        x.named(3)
