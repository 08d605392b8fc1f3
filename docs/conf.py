"""Sphinx configuration: `make docs` builds the pages of this folder and the API reference into `build/docs`.

Pages are Markdown and link to files, so that they read well in the repository too. The API pages import the packages;
no import loads weights or opens a connection.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

project = "Inquisight"
author = "the Inquisight authors"
version = release = installed_version("inquisight")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
root_doc = "index"
highlight_language = "none"

myst_heading_anchors = 3

default_role = "code"  # docstrings put code between single backticks
add_module_names = False
python_maximum_signature_line_length = 88
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

copybutton_prompt_text = "$ "

html_theme = "furo"
html_title = "Inquisight"
html_show_copyright = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0f766e", "color-brand-content": "#0f766e"},
    "dark_css_variables": {"color-brand-primary": "#5eead4", "color-brand-content": "#5eead4"},
}

# Files outside this folder that are pages of the site; their namesakes here only point to them.
ELSEWHERE = {
    "model-card": ROOT / "plugins" / "pocket" / "model" / "README.md",
    "contributing": ROOT / "CONTRIBUTING.md",
    "security": ROOT / "SECURITY.md",
    "changelog": ROOT / "CHANGELOG.md",
}
_PAGE_OF = {path: DOCS / f"{name}.md" for name, path in ELSEWHERE.items()}


def read_source(_: object, docname: str, source: list[str]) -> None:
    """Load a page from `ELSEWHERE`, and point links to those files at their pages."""
    page = DOCS / f"{docname}.md"
    origin = ELSEWHERE.get(docname, page)
    text = source[0] if origin == page else origin.read_text("utf-8")

    def relink(match: re.Match[str]) -> str:
        target = (origin.parent / match["path"]).resolve()
        if not target.exists():
            return match[0]  # the build reports it
        if target.is_dir():
            return f"`{match['text']}`"
        return f"[{match['text']}]({os.path.relpath(_PAGE_OF.get(target, target), page.parent)}{match['anchor']})"

    source[0] = re.sub(r"\[(?P<text>[^]]*)\]\((?P<path>[^)#:\s]+)(?P<anchor>(?:#[^)\s]*)?)\)", relink, text)


def unquote_types(*event: Any) -> tuple[str, str | None] | None:
    """Show `number: int` where a dataclass without a docstring has `number: 'int'`."""
    *_, signature, result = event
    return (re.sub(r": '([^']+)'", r": \1", signature), result) if signature else None


def setup(app: Any) -> dict[str, bool]:
    import inquisight

    inquisight.Chat.__name__ = "Chat"  # otherwise autodoc shows no more than "alias of Conversation"
    app.connect("source-read", read_source)
    app.connect("autodoc-process-signature", unquote_types)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
