"""The documentation as a site: `make -C docs html`. Its pages in Markdown are also read as they are."""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE / "extensions"), str(HERE.parent / "tests" / "support")]

import bpkern  # noqa: E402
import bpkern.trace  # noqa: E402
from bpkern._model.summary import Summary  # noqa: E402
from bpkern._seeing.trace_explanation import Explanation  # noqa: E402

# Classes of results, which nobody imports: on the site they are where the methods are that return them.
bpkern.Summary, bpkern.trace.Explanation = Summary, Explanation

project = "bpkern"
author = "The bpkern developers"
project_copyright = author
version = release = bpkern.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.githubpages",
    "sphinx_gallery.gen_gallery",
    # Those of extensions/.
    "checks",
    "mathml",
    "repository",
]
root_doc = "index"
# README.md is the index of those who read the pages as files.
exclude_patterns = ["_build", "_chapters", "README.md", "examples/*.md5"]

# Every name in backticks of a docstring must lead somewhere, except names of arguments and values.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:obj", r"[A-Z]|[a-z_][a-z_0-9]*")]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings have the types, with their shapes
autodoc_inherit_docstrings = False  # a hook that a callback overrides is described once, in the base class
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_use_plots = False
# All checks except these. Not every docstring has an extended summary, links and examples (ES01, SA01, SA04,
# EX01); the summary is beside the quotes (GL01, GL02); plural nouns are no verbs (SS05); sentences may begin
# with a dtype and end with a parenthesis (RT04, PR09).
numpydoc_validation_checks = {"all", "ES01", "SA01", "SA04", "EX01", "GL01", "GL02", "SS05", "RT04", "PR09"}
# Classes describe the arguments of hooks and all attributes; the functions of a number are their one line.
numpydoc_validation_exclude = {
    r"\.callbacks\.Callback\.",
    r"\.graph\.(Edge|exp|log|sin|cos|tanh|sigmoid|relu|max)\b",
    r"\.reference\.",
    r"\.trace\.(Trace|Step|Layer|Explanation)$",
}

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"bpkern {release}"
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "bpkern"},
    "navigation_with_keys": False,
    "navbar_persistent": ["search-button"],
    "show_prev_next": True,
    "show_toc_level": 2,
    # Not in examples/: the chapters have pictures, which need the width.
    "secondary_sidebar_items": {"[!e]**": ["page-toc"], "examples/*": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "project/readme": []}


# The gallery's tool takes every folder below its own for a gallery; examples/ also has those in C and Cython.
CHAPTERS = HERE / "_chapters"
shutil.rmtree(CHAPTERS, ignore_errors=True)
CHAPTERS.mkdir()
for path in (*(HERE.parent / "examples").glob("*.py"), HERE.parent / "examples" / "index.rst"):
    shutil.copy(path, CHAPTERS)

sphinx_gallery_conf = {
    "examples_dirs": "_chapters",
    "gallery_dirs": "examples",
    "copyfile_regex": r"index\.rst",  # the list of the chapters
    "filename_pattern": r"\.py$",
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_",),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 3600,
    "reset_modules_order": "before",
}
