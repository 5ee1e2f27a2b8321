"""The colours of pictures are readable in light, dark and print: the contrasts that WCAG asks for at AA."""

import re

import pytest

from bpkern._seeing.picture import resource, tint

SCHEMES = dict(
    zip(
        ("light", "dark", "print"), re.findall(r":root \{(.*?)\}", resource("picture.css"), re.S), strict=True
    )
)
SCHEMES = {name: dict(re.findall(r"--([\w-]+): (#\w{6});", text)) for name, text in SCHEMES.items()}
MOST_TINT = tint(1.0, 1.0)

TEXT, GRAPHICS = 4.5, 3.0


def rgb(colour):
    return [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]


def mixed(above, below, opacity):
    return [opacity * one + (1 - opacity) * other for one, other in zip(above, below, strict=True)]


def luminance(colour):
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(params=SCHEMES)
def colours(request):
    return {name: rgb(colour) for name, colour in SCHEMES[request.param].items()}


def test_the_schemes_have_the_same_names():
    assert SCHEMES["light"].keys() == SCHEMES["dark"].keys() == SCHEMES["print"].keys()


@pytest.mark.parametrize("ground", ["ground", "box", "now-box"])
@pytest.mark.parametrize("text", ["ink", "quiet"])
def test_text(colours, text, ground):
    assert contrast(colours[text], colours[ground]) >= TEXT


@pytest.mark.parametrize("sign", ["positive", "negative"])
@pytest.mark.parametrize("text", ["ink", "quiet"])
def test_text_on_tints(colours, text, sign):
    """Up to the strongest tint."""
    for ground in ("ground", "box"):
        assert contrast(colours[text], mixed(colours[sign], colours[ground], MOST_TINT)) >= TEXT


@pytest.mark.parametrize("line", ["positive", "negative", "line", "border", "now"])
@pytest.mark.parametrize("ground", ["ground", "box"])
def test_lines(colours, line, ground):
    assert contrast(colours[line], colours[ground]) >= GRAPHICS
