"""The pages of the repository that are outside docs/, and links between files as links between pages.

README.md, SECURITY.md, CHANGELOG.md and CONTRIBUTING.md become pages of project/, and the tables of
docs/README.md files there, which other pages include. In these and in the pages of docs/, a link to a file
that is a page of the site becomes a link to that page. A link to any other file, such as a source, loses its
address and keeps its text.
"""

import os
import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent

# Files outside docs/ and the pages made of them, relative to docs/.
PAGES = {
    "README.md": "project/readme.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
}
# Other targets, with their anchors, and the pages that stand for them.
OTHERS = {
    "docs/README.md": "index.rst",
    "docs/README.md#promises": "promises.rst",
    "examples": "examples/index.rst",
}

LINK = re.compile(r"(?P<text>!?\[[^\]]*\])\((?P<path>[^()#\s:]+)(?P<anchor>#[^()\s]+)?\)")
FENCED = re.compile(r"^(```.*?^```)$", re.M | re.S)


def adapted(text, folder, page):
    """The text of a Markdown page with the links that it has on the site.

    Parameters
    ----------
    text : str
    folder : Path
        The folder of the file that the text is from.
    page : str
        The page on the site, relative to docs/.
    """

    def changed(match):
        target = (folder / match["path"]).resolve()
        if not target.exists():
            return match[0]
        file, anchor = target.relative_to(ROOT).as_posix(), match["anchor"] or ""
        place = _place(file, anchor)
        if place is None:
            return match["text"][1:-1]
        relative = os.path.relpath(place, Path(page).parent)
        return f"{match['text']}({Path(relative).as_posix()}{'' if file in OTHERS else anchor})"

    # Every other part is code between fences.
    parts = FENCED.split(text)
    parts[::2] = [LINK.sub(changed, part) for part in parts[::2]]
    return "".join(parts)


def _place(file, anchor):
    """The page or picture of a file of the repository, relative to docs/; None if the site has none."""
    if f"{file}{anchor}" in OTHERS:
        return OTHERS[f"{file}{anchor}"]
    if file in OTHERS or file in PAGES:
        return OTHERS.get(file) or PAGES[file]
    if file.startswith("docs/"):
        return file.removeprefix("docs/")
    if file.startswith("examples/") and file.endswith(".py") and file.count("/") == 1:
        return Path(file).with_suffix(".rst").as_posix()
    return None


def make_pages(app):
    texts = {page: adapted((ROOT / file).read_text("utf-8"), ROOT, page) for file, page in PAGES.items()}
    index = adapted((DOCS / "README.md").read_text("utf-8"), DOCS, "index.rst")
    for heading, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", index, re.M | re.S):
        texts[f"project/{heading.lower().replace(' ', '-')}.inc"] = text
    for page, text in texts.items():
        target = DOCS / page
        target.parent.mkdir(exist_ok=True)
        # An unchanged page keeps its time, so that Sphinx need not read it again.
        if not target.exists() or target.read_text("utf-8") != text:
            target.write_text(text, "utf-8")


def change_links(app, docname, source):
    page = Path(app.env.doc2path(docname)).relative_to(DOCS)
    if page.suffix == ".md" and page.as_posix() not in PAGES.values():
        source[0] = adapted(source[0], DOCS / page.parent, page.as_posix())


def setup(app):
    app.connect("builder-inited", make_pages)
    app.connect("source-read", change_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
