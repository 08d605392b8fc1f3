"""A prompts file is complete and right, or one line says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.interview.prompts import DEFAULT_FILE, Prompts
from core.errors import UsageError


def test_a_replaced_file_is_used_and_known_by_its_hash(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        DEFAULT_FILE.read_text("utf-8").replace("Describe this picture in detail.", "What is here?"), "utf-8"
    )
    prompts = Prompts.load(mine)
    assert prompts.text("answerer.opening") == "What is here?"
    assert prompts.sha256 != Prompts.load().sha256


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("opening =", "openning =", "unknown key 'answerer.openning', did you mean 'answerer.opening'"),
        ("opening =", "# opening =", "missing key 'answerer.opening'"),
        ("[answerer]", "[answerer", "not valid TOML"),
        ('short = "{question}"', 'short = "{quesiton}"', "uses {quesiton}"),
        ('short = "{question}"', 'short = "go"', "must contain {question}"),
        ('short = "{question}"', 'short = "{question"', "stray brace"),
        ('short = "{question}"', 'short = "{question:d}"', "cannot be filled in"),
        ('short = "{question}"', "short = 3", "must be a text"),
        ('short = "{question}"', 'short = ""', "must be a text"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path: Path, old: str, new: str, told: str) -> None:
    mine = tmp_path / "mine.toml"
    text = DEFAULT_FILE.read_text("utf-8")
    assert old in text
    mine.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(UsageError) as raised:
        Prompts.load(mine)
    assert told in str(raised.value) and "mine.toml" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_files_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "prompts.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError) as raised:
        Prompts.load(path)
    assert "\n" not in str(raised.value)
