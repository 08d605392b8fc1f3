"""The server process: where its scripts find modules."""

from __future__ import annotations

import subprocess
import sys

_PATH = """
import sys
from streamlit.runtime.scriptrunner.exec_code import modified_sys_path
from streamlit.web import bootstrap
import ui.server.app as app

bootstrap._fix_sys_path(app.__file__)
sys.modules.pop("ui.server.app")
import ui.server.app
before = list(sys.path)
with modified_sys_path(app.__file__):  # what each run of a page and of a part of it does
    assert sys.path == before, "a thread that imports something would miss an entry"
assert sys.path == before
import plugins
assert plugins.__file__.endswith("plugins/__init__.py"), "the page of that name hides no package"
"""


def test_no_run_of_a_page_changes_where_modules_are_found() -> None:
    done = subprocess.run([sys.executable, "-c", _PATH], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
