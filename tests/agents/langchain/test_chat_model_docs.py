"""The example of docs/langchain.md runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.langchain.request import NO_PICTURE

ROOT = Path(__file__).parents[3]


def test_the_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "langchain.md").read_text("utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    namespace: dict[str, object] = {}
    exec(compile(code, "docs/langchain.md", "exec"), namespace)
    said = capsys.readouterr().out.strip()
    assert len(said.split()) > 2 and said != NO_PICTURE
    assert NO_PICTURE in " ".join(text.split()), "the page tells the sentence as it is"
