"""Pages and drawings, read by the parser of the standard library."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """The elements of a page, in order, and its text."""

    VOID = ("meta", "input")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def check_that_nothing_is_loaded(text):
    """No address but the name of SVG's namespace, no attribute that loads or runs, no import of styles."""
    assert set(re.findall(r"\w+://[^\"'\s]*", text)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert "url(" not in text
    given = {name for _, attributes in Page(text).elements for name in attributes}
    assert given.isdisjoint({"src", "href", "xlink:href", "srcset", "action", "data", "srcdoc"})
    assert not [name for name in given if name.startswith("on")]
