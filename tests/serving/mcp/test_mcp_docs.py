"""The program of docs/mcp.md runs as it is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.documents import blocks

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "mcp.md").read_text("utf-8")


def test_the_program_runs() -> None:
    [program] = blocks(PAGE, "python")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert "cat" in told.stdout.lower()


def test_the_entry_is_json() -> None:
    [entry] = blocks(PAGE, "json")
    assert json.loads(entry)["mcpServers"]["inquisight"]["args"][0] == "mcp"
