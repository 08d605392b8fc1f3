"""Sphinx configuration: `make docs` builds the pages of this folder and the API reference into `build/docs`.

Pages are Markdown (MyST) and link to each other as files, so that they can be read in the repository as well. The API
pages import the packages themselves; none of them loads model weights or opens a network connection.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

project = "Inquisight"
author = "the Inquisight authors"
version = release = installed_version("inquisight")
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
root_doc = "index"
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# Docstrings put code between single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_use_type_comments = False

copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = "Inquisight"
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {"light_css_variables": {"color-brand-primary": "#0f766e", "color-brand-content": "#0f766e"}}
pygments_dark_style = "monokai"
