"""Builds the documentation site with Sphinx: ``make docs``."""

from __future__ import annotations

import logging
import sys
import tomllib
from pathlib import Path

from pygments.lexers.configs import IniLexer
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

project = PROJECT["name"]
version = release = PROJECT["version"]
author = "the zaikio_oauth authors"
copyright = author  # noqa: A001 (Sphinx reads this name)

# It is imported for the reference and tells of each of its parts.
logging.getLogger("alembic").setLevel(logging.WARNING)

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_llms_txt",
    "docstrings",
]
exclude_patterns = ["README.md"]
nitpicky = True

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "fieldlist", "tasklist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
# The documentation of these is elsewhere, and no inventory is downloaded. What is ours and private has none.
nitpick_ignore_regex = [
    ("py:.*", r"(?!zaikio_oauth\.).*"),
    ("py:.*", r"zaikio_oauth\.\w+\..*"),
]
# No inventory is downloaded, because the site is built without a network.
intersphinx_mapping: dict[str, tuple[str, str | None]] = {}

html_baseurl = PROJECT["urls"]["Documentation"]
html_theme = "furo"
html_title = f"zaikio_oauth {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/favicon.svg"
html_theme_options = {"source_directory": "docs/", "navigation_with_keys": True}
html_copy_source = True
html_show_copyright = False
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True


def setup(app: Sphinx) -> None:
    """Name the languages that Pygments does not know."""
    app.add_lexer("crontab", TextLexer)
    app.add_lexer("dotenv", IniLexer)
    app.add_lexer("caddyfile", TextLexer)
