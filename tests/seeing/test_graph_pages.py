"""What `save` and notebooks get: well-formed files that load nothing, with a text for every node and edge."""

import html
import re
from xml.etree import ElementTree

import pytest
from markup import Page, check_that_nothing_is_loaded

from bpkern.graph import exp, relu, sigmoid, variables

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "<script>alert(\"1\") & '2'</script>"


def textbook():
    x, y, w = variables(x=-2, y=5, w=-4)
    return ((x + y) * w).named("z")


def nasty():
    [x] = variables(**{NASTY: 2})
    return (exp(x) * 3 + x).named("</style><!--" + NASTY)


def reused():
    x, y = variables(x=3, y=0.5)
    return x * x + sigmoid(x * y) / (1 + y) - x


EXPRESSIONS = pytest.mark.parametrize("expression", [textbook, nasty, reused], ids=lambda make: make.__name__)


def saved(node, path):
    node.save(path)
    return path.read_text("utf-8")


@EXPRESSIONS
def test_the_svg_is_well_formed(expression, tmp_path):
    root = ElementTree.fromstring(saved(expression(), tmp_path / "graph.svg"))
    assert root.tag == f"{SVG}svg"
    assert not [element for element in root.iter() if "script" in element.tag]


@EXPRESSIONS
def test_the_page_is_well_formed(expression, tmp_path):
    page = Page(saved(expression(), tmp_path / "graph.html"))
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == tags.count("svg") == 1


@EXPRESSIONS
@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_nothing_is_loaded(expression, suffix, tmp_path):
    text = saved(expression(), tmp_path / f"graph.{suffix}")
    check_that_nothing_is_loaded(text)
    if suffix == "html":
        [policy] = [each for tag, each in Page(text).elements if tag == "meta" and "http-equiv" in each]
        assert policy["content"].startswith("default-src 'none'")


@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_names_are_text(suffix, tmp_path):
    text = saved(nasty(), tmp_path / f"graph.{suffix}")
    assert "<script>alert" not in text
    assert "<!--" not in text
    assert "&lt;script&gt;alert(&quot;1&quot;) &amp;" in text


@EXPRESSIONS
@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_every_node_and_edge_has_a_name(expression, suffix, tmp_path):
    """One that screen readers read, by keyboard too; a tooltip has the same text."""
    root = expression()
    page = Page(saved(root, tmp_path / f"graph.{suffix}"))
    parts = [each for tag, each in page.elements if tag == "g" and "tabindex" in each]
    order = root.order()
    assert len(parts) == len(order) + sum(len(node.edges) for node in order)
    assert all(part["tabindex"] == "0" and part["role"] == "img" for part in parts)
    assert all(part["aria-label"] in page.text for part in parts)
    [drawing] = [each for tag, each in page.elements if tag == "svg"]
    assert drawing["role"] == "group"
    assert drawing["aria-label"].startswith("Graph of ")


def test_the_texts_of_the_textbook_example(tmp_path):
    root = ElementTree.fromstring(saved(textbook(), tmp_path / "graph.svg"))
    texts = [element.get("aria-label") for element in root.iter(f"{SVG}g") if element.get("tabindex")]
    assert texts == [
        "x = −2\n∂z/∂x = ∂z/∂v1 · ∂v1/∂x = (−4) · 1 = −4",
        "y = 5\n∂z/∂y = ∂z/∂v1 · ∂v1/∂y = (−4) · 1 = −4",
        "Edge from x to v1: ∂v1/∂x = 1",
        "Edge from y to v1: ∂v1/∂y = 1",
        "v1 = x + y = (−2) + 5 = 3\n∂z/∂v1 = w = −4",
        "w = −4\n∂z/∂w = v1 = 3",
        "Edge from v1 to z: ∂z/∂v1 = w = −4",
        "Edge from w to z: ∂z/∂w = v1 = 3",
        "z = v1 × w = 3 × (−4) = −12\n∂z/∂z = 1",
    ]


def test_the_sentences_of_the_textbook_example(tmp_path):
    text = saved(textbook(), tmp_path / "graph.html")
    assert re.findall(r"<li>(.*?)</li>", text) == [
        "Start: x = −2, y = 5, w = −4.",
        "Forward: v1 = x + y = (−2) + 5 = 3.",
        "Forward: z = v1 × w = 3 × (−4) = −12.",
        "Backward, from the result: ∂z/∂z = 1.",
        "Backward: ∂z/∂w = v1 = 3.",
        "Backward: ∂z/∂v1 = w = −4.",
        "Backward: ∂z/∂y = ∂z/∂v1 · ∂v1/∂y = (−4) · 1 = −4.",
        "Backward: ∂z/∂x = ∂z/∂v1 · ∂v1/∂x = (−4) · 1 = −4.",
    ]
    assert "Backpropagation through z = (x + y) × w" in text


def test_branches_are_sums(tmp_path):
    """Both edges of x * x, and the edge that leads straight to the result."""
    [x] = variables(x=3)
    text = saved((x * x + x).named("z"), tmp_path / "graph.html")
    assert (
        "Backward, branches add: ∂z/∂x = ∂z/∂v1 · ∂v1/∂x (left) + ∂z/∂v1 · ∂v1/∂x (right) + "
        "∂z/∂z · ∂z/∂x (direct) = 1 · 3 + 1 · 3 + 1 · 1 = 7." in text
    )


@EXPRESSIONS
def test_every_step_shows_something(expression, tmp_path):
    """Steps count from 1; each highlights a part, and nothing waits for a step that does not come."""
    text = saved(expression(), tmp_path / "graph.html")
    steps = len(re.findall("<li>", text))
    page = Page(text)
    highlighted = {
        int(step) for _, attributes in page.elements for step in (attributes.get("data-step") or "").split()
    }
    assert highlighted == set(range(1, steps + 1))
    since = {int(given["data-from"]) for _, given in page.elements if "data-from" in given}
    assert since <= highlighted


def test_without_a_script_all_is_visible(tmp_path):
    """Only what needs the script is hidden."""
    page = Page(saved(textbook(), tmp_path / "graph.html"))
    hidden = {attributes.get("class") for _, attributes in page.elements if "hidden" in attributes}
    assert hidden == {"controls", "panel", "keys"}
    assert not [attributes for _, attributes in page.elements if "data-until" in attributes]


def test_the_table(tmp_path):
    z = textbook()
    assert saved(z, tmp_path / "graph.TXT") == z.table() + "\n"
    assert z.table().splitlines() == [
        "node  formula  value  ∂z/∂node  local derivatives",
        "x                 −2        −4",
        "y                  5        −4",
        "v1    x + y        3        −4  ∂v1/∂x = 1; ∂v1/∂y = 1",
        "w                 −4         3",
        "z     v1 × w     −12         1  ∂z/∂v1 = w = −4; ∂z/∂w = v1 = 3",
    ]


def test_digits_of_the_table():
    [x] = variables(x=2)
    assert "0.11920292" in sigmoid(-x).table(digits=8)
    assert "0.1192 " in sigmoid(-x).table()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (20150, "20150"),
        (-123456.7, "−123457"),
        (1e6, "1e+06"),
        (12.3456, "12.35"),
        (-0.0, "0"),
        (-2e-5, "−2e−05"),
    ],
)
def test_numbers(value, shown):
    [x] = variables(x=value)
    assert x.table().split()[-2] == shown


def test_equal_names_are_told_apart():
    x, other, v1 = variables(x=1)[0], variables(x=2)[0], variables(v1=3)[0]
    z = x * other + v1 * (-2)
    labels = [line.split()[0] for line in z.table().splitlines()[1:]]
    assert labels == ["x", "x_2", "v2", "v1", "−2", "v3", "v4"]
    assert "v1 × (−2)" in z.table()


def test_cases_are_written_without_numbers():
    [x] = variables(x=2)
    assert "∂v1/∂x = 1 (1 if x > 0, else 0)" in relu(x).table()


@pytest.mark.parametrize(
    ("make", "expression"),
    [
        (lambda x, y: (x + y) * (x - y), "(x + y) × (x − y)"),
        (lambda x, y: x - (y - x), "x − (y − x)"),
        (lambda x, y: x * y + x / y, "x × y + x ÷ y"),
        (lambda x, y: x / (y * x), "x ÷ (y × x)"),
        (lambda x, y: -(x + y) * 2, "(−(x + y)) × 2"),
        (lambda x, y: exp(-x) ** 2, "exp(−x)²"),
        (lambda x, y: (x + y) ** -0.5, "(x + y) ^ (−0.5)"),
        (lambda x, y: x**y + sigmoid(x * y), "x ^ y + σ(x × y)"),
        (lambda x, y: (x + y).named("s") * y, "s × y"),
    ],
)
def test_the_title_is_the_expression(make, expression, tmp_path):
    x, y = variables(x=2, y=3)
    text = saved(make(x, y).named("z"), tmp_path / "graph.html")
    assert f"<h1>Backpropagation through z = {expression}</h1>" in text


def test_a_variable_alone(tmp_path):
    [x] = variables(x=0)
    ElementTree.fromstring(saved(x, tmp_path / "graph.svg"))
    assert "Start: x = 0." in saved(x, tmp_path / "graph.html")


@pytest.mark.parametrize("operations", [149, 150, 3000])
def test_large_expressions_are_tables(operations, tmp_path):
    """Up to 150 nodes are drawn."""
    [x] = variables(x=1)
    node = x
    for _ in range(operations):
        node = -node
    drawing = ElementTree.fromstring(saved(node, tmp_path / "graph.svg"))
    page = saved(node, tmp_path / "graph.html")
    boxes = [element for element in drawing.iter(f"{SVG}g") if element.get("tabindex")]
    said = f"The expression has {operations + 1} nodes. A drawing shows at most 150; this is the table."
    if operations < 150:
        assert len(boxes) == 2 * operations + 1
        assert said not in page
    else:
        assert boxes == []
        assert said in "".join(drawing.itertext())
        assert node.table().splitlines()[-1] in "".join(drawing.itertext())
        assert said in page
        assert "<svg" not in page
    assert page.count("<tr>") == operations + 2


def test_notebooks_get_the_page_in_a_frame(tmp_path):
    """Its styles and script stay in the frame."""
    z = textbook()
    [(tag, attributes)] = Page(z._repr_html_()).elements
    assert tag == "iframe"
    assert attributes["title"] == "Backpropagation through z = (x + y) × w"
    z.save(tmp_path / "graph.html")
    assert attributes["srcdoc"] + "\n" == (tmp_path / "graph.html").read_text("utf-8")
    assert html.unescape(z._repr_html_()).count("<script>") == 1


def test_saving_replaces_a_file_or_leaves_it(tmp_path):
    path = tmp_path / "graph.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="must end in one of"):
        textbook().save(tmp_path / "graph")
    with pytest.raises(FileNotFoundError):
        textbook().save(tmp_path / "missing" / "graph.svg")
    textbook().save(str(path))
    assert path.read_text("utf-8") == textbook().table() + "\n"
    assert [file.name for file in tmp_path.iterdir()] == ["graph.txt"]
