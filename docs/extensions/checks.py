"""What the build of the site checks besides Sphinx's own warnings.

Every public name has its place on an API page; a name in backticks of a docstring leads to one; and every
link between the built pages leads to a page and a place in it.
"""

import inspect
from html.parser import HTMLParser
from pathlib import Path
from pkgutil import resolve_name
from urllib.parse import unquote, urlsplit

from numpydoc.docscrape import ClassDoc
from public_names import INTERNAL, public_names
from sphinx.util import logging

logger = logging.getLogger(__name__)


def skip_internal(app, what, name, obj, skip, options):
    """Leave out what the modules of the package call of each other; docs/versions.md names it."""
    return True if what == "class" and name in INTERNAL else None


def find_in_package(app, env, node, contnode):
    """A name as docstrings write it, without the package or the module: `MLP.fit`, `EarlyStopping`."""
    target = node["reftarget"]
    # A single word in lower case may be the name of an argument.
    if node.get("refdomain") != "py" or ("." not in target and target.islower()):
        return None
    domain = env.get_domain("py")
    names = [name for name in domain.objects if name.endswith(f".{target}")]
    if not names:
        return None
    # The shortest of several: `MLP` is bpkern.MLP, not bpkern.reference.MLP.
    name = min(names, key=len)
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, contnode)


def check_public_names(app, env):
    """Warn of each public name that no page describes."""
    described = env.get_domain("py").objects
    for line in public_names():
        name = line.partition("(")[0]
        if name not in described and not _is_described_elsewhere(name, described):
            logger.warning("no API page describes %s", name)


def _is_described_elsewhere(name, described):
    """Whether a name is another one's object, a base class's member, or an attribute that a class lists."""
    owner, _, member = name.rpartition(".")
    kind = resolve_name(owner)
    if not inspect.isclass(kind):
        value = getattr(kind, member)
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}" in described
    bases = [base for base in kind.__mro__ if base.__module__.startswith("bpkern")]
    if any(f"{base.__module__}.{base.__qualname__}.{member}" in described for base in bases):
        return True
    sections = [ClassDoc(base)[section] for base in bases for section in ("Parameters", "Attributes")]
    return any(member in entry.name.split(", ") for section in sections for entry in section)


class Page(HTMLParser):
    """The links and the anchors of an HTML page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.add(value)


def check_links(app, error):
    """Warn of each link of the built pages to a file or an anchor that does not exist."""
    if error or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    files = set(folder.rglob("*.html")) - set((folder / "_static").rglob("*"))
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(files)}
    for path, page in pages.items():
        for link in sorted(page.links):
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                logger.warning("%s has a link to %s, which does not exist", path.relative_to(folder), link)
                continue
            anchors = pages[target].anchors if target in pages else ()
            if address.fragment and anchors and unquote(address.fragment) not in anchors:
                logger.warning("%s has a link to %s: no such anchor", path.relative_to(folder), link)


def setup(app):
    app.connect("autodoc-skip-member", skip_internal)
    app.connect("missing-reference", find_in_package)
    app.connect("env-check-consistency", check_public_names)
    app.connect("build-finished", check_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
