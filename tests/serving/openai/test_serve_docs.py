"""The commands and programs of docs/serve.md, as they are written, against a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.documents import blocks, commands
from tests.serving.openai.test_serve_command import served

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "serve.md"


def test_the_page_as_it_is_written(tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    [start] = blocks(text, "console")
    assert commands(start) == ["inquisight serve"]
    with served(tmp_path) as (_, address):
        here = text.replace("http://127.0.0.1:8300", address)
        [shell] = blocks(here, "bash")
        answer = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=True)
        assert "cat" in json.loads(answer.stdout)["choices"][0]["message"]["content"].lower()
        program = "\n".join(blocks(here, "python"))
        env = {**os.environ, "NO_PROXY": "127.0.0.1"}
        told = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, check=True
        ).stdout
    assert re.search(r"^Question: .+\nAnswer: .+$", told, re.MULTILINE) and told.lower().count("cat") > 3
