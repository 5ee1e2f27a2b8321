"""The summary table of a network, in text and in HTML."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from bpkern._model.summary import Summary, _size
from bpkern.optimizers import SGD, Adam

F32 = np.dtype("float32")


def summary(**changes):
    settings = dict(
        layers=[784, 256, 10],
        activations=["relu", "identity"],
        loss="cross_entropy",
        optimizer=Adam(),
        dtype=F32,
        dropout=[0.25],
        state_slots=2,
        batch_size=64,
    )
    return Summary(**settings | changes)


TEXT = """\
MLP 784-256-10 in float32, loss cross_entropy

layer  shape       activation  dropout  parameters    memory  flops forward  flops training
-------------------------------------------------------------------------------------------
    0  784 -> 256  relu           0.25     200,960  803.8 kB        401,408         802,816
    1  256 -> 10   identity          -       2,570   10.3 kB          5,120          15,360
-------------------------------------------------------------------------------------------
total                                      203,530  814.1 kB        406,528         818,176

Optimiser: Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, amsgrad=False, eps_hat=False)
Memory: parameters 814.1 kB, optimiser 1.6 MB, activations of 64 rows 268.8 kB"""


def test_text():
    assert str(summary()) == repr(summary()) == TEXT


def test_input_dropout():
    assert str(summary(input_dropout=0.5)) == TEXT.replace("\nMemory", "\nInput dropout: 0.5\nMemory")


def test_numbers():
    made = summary(dtype=np.dtype("float64"), state_slots=1)
    assert made.parameters == 784 * 256 + 256 + 256 * 10 + 10
    assert made.parameter_bytes == made.state_bytes == 8 * made.parameters
    assert made.activation_bytes == 64 * (784 + 256 + 10) * 8
    assert made.flops_forward == 2 * (784 * 256 + 256 * 10)
    # The gradient with respect to the inputs is not computed.
    assert made.flops_training == 3 * made.flops_forward - 2 * 784 * 256
    bare = summary(state_slots=0, batch_size=None)
    assert bare.state_bytes == 0
    assert bare.activation_bytes is None
    assert str(bare).endswith("Memory: parameters 814.1 kB, optimiser 0 B")


def test_one_layer():
    made = summary(layers=[1, 1], activations=["tanh"], dropout=[], optimizer=SGD())
    assert (made.parameters, made.flops_forward, made.flops_training) == (2, 2, 4)
    assert "    0  1 -> 1  tanh              -           2     8 B" in str(made)


def test_a_loss_that_is_a_function():
    def my_loss(outputs, y): ...

    assert ", loss my_loss\n" in str(summary(loss=my_loss))


def test_html_holds_what_the_text_does():
    table = ElementTree.fromstring(summary()._repr_html_())
    assert table.find("caption").text == TEXT.splitlines()[0]
    rows = [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
    assert len(rows) == 5
    lines = [line for line in TEXT.splitlines()[2:] if line and not line.startswith("-")]
    lines[-2:] = ["".join(lines[-2:])]
    for cells, line in zip(rows, lines, strict=True):
        assert "".join("".join(cells).split()) == "".join(line.split())


def test_html_is_escaped():
    def named(outputs, y): ...

    named.__name__ = "<lambda>"
    html = summary(loss=named)._repr_html_()
    assert "loss &lt;lambda&gt;" in html
    assert "<lambda>" not in html


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (5 * 10**9, "5.0 GB"),
        (2 * 10**15, "2000.0 TB"),
    ],
)
def test_sizes(count, text):
    assert _size(count) == text
