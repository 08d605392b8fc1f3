"""What the pages about chats and the assistant promise: commands run, examples execute, tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.chat.presets import Tasks
from agents.chat.repl import COMMANDS
from tests.agents.talking import Talk
from tests.documents import blocks, commands

ROOT = Path(__file__).resolve().parents[3]
CHAT, ASSISTANT = ((ROOT / "docs" / name).read_text("utf-8") for name in ("chat.md", "ask.md"))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Talk:
    """With a fake vision model that is quick."""
    talk = Talk(tmp_path_factory.mktemp("docs"))
    talk.program()
    talk.photos()
    return talk


@pytest.mark.slow
@pytest.mark.parametrize("block", [*blocks(CHAT, "console"), *blocks(ASSISTANT, "console")])
def test_commands_run(reader: Talk, block: str) -> None:
    done = reader.script(*commands(block))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() and "Traceback" not in done.stderr


@pytest.mark.slow
def test_python_examples_run(reader: Talk) -> None:
    [chat] = blocks(CHAT, "python")
    done = reader.python(chat.replace('"pocket"', '"parrot"'))
    assert done.returncode == 0 and "heard: What is it?" in done.stdout and "Piece" in done.stdout, done.stderr
    [assistant] = blocks(ASSISTANT, "python")
    call = 'print(answer_question("What?", "examples/photos/cat.jpg", "caller"))'
    code = assistant.replace('"pocket"', '"blocks"') + f"\n{call}"
    done = reader.python(code)
    assert "ask_about_picture -> Seen by blocks" in done.stdout and "I was told:" in done.stdout, done.stderr


def test_tables_are_complete() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", CHAT, re.MULTILINE)) == dict(Tasks.load().titles)
    assert set(re.findall(r"`/(\w+)", CHAT)) == set(COMMANDS)
