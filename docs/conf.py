"""The site: ``make docs`` builds it into build/site, each warning an error. It needs no network, neither built nor read."""

import sys
from pathlib import Path

from pygments.lexers.special import TextLexer

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_site")]

from accountant._version import __version__  # noqa: E402

project = "unlearning-accountant"
author = "the authors of unlearning-accountant"
project_copyright = "Apache-2.0"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "accessible",
    "keys",
    "plain_docstrings",
    "rooms",
]
exclude_patterns = ["_site", "_static", "pictures", "examples", "**/.ipynb_checkpoints"]

# Formulas are written in Unicode, so that a page reads the same in a terminal, and no page asks for MathJax.
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

# Links inside the project must lead somewhere, and so must names that a room hands on. Types of other libraries are not looked
# up, for want of a network, nor are files and types inside a room, which have no page.
smartquotes = False
nitpicky = True
nitpick_ignore_regex = [("py:mod", ".*"), ("py:.*", r"(?!accountant\.\w+(\.\w+)?$).*")]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = "The unlearning accountant"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_last_updated_fmt = None
html_theme_options = {
    "header_links_before_dropdown": 8,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
}
html_context = {"default_mode": "auto"}
html_sidebars = {page: [] for page in ("index", "theory", "glossary", "changelog")}


def setup(app) -> None:
    app.add_lexer("csv", TextLexer)
