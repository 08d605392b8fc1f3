"""What the pages about chats and the assistant promise: commands run, examples execute, tables are complete."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agents.chat_loop import COMMANDS
from agents.tasks import Tasks
from tests.agents.talking import Talk

ROOT = Path(__file__).resolve().parents[2]
CHAT, ASSISTANT = ((ROOT / "docs" / name).read_text("utf-8") for name in ("chat.md", "assistant.md"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Talk:
    if shutil.which("bash") is None:
        pytest.skip("the pages are written for a shell")
    talk = Talk(tmp_path_factory.mktemp("docs"))
    shutil.copytree(ROOT / "examples" / "photos", talk.folder / "examples" / "photos")
    programs = talk.folder / "bin"
    programs.mkdir()
    command = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m agents.cli "$@"\n'
    (programs / "inquisight").write_text(command)
    (programs / "inquisight").chmod(0o755)
    talk.environment["PATH"] = f"{programs}:{talk.environment['PATH']}"
    return talk


def shell(reader: Talk, script: str) -> subprocess.CompletedProcess[str]:
    """Run it with bash, with a fake eye that is quick."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=reader.folder,
        env=reader.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("block", [*blocks(CHAT, "console"), *blocks(ASSISTANT, "console")])
def test_commands_run(reader: Talk, block: str) -> None:
    done = shell(reader, "\n".join(re.findall(r"^\$ (.+)$", block, re.MULTILINE)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() and "Traceback" not in done.stderr


def test_python_examples_run(reader: Talk) -> None:
    [chat] = blocks(CHAT, "python")
    (reader.folder / "example.py").write_text(chat.replace('"pocket"', '"parrot"'), "utf-8")
    done = shell(reader, f"{shlex.quote(sys.executable)} example.py")
    assert done.returncode == 0 and "heard: What is it?" in done.stdout and "Piece" in done.stdout, done.stderr
    [assistant] = blocks(ASSISTANT, "python")
    code = (
        assistant.replace('"pocket"', '"blocks"') + '\nprint(look_into("What?", "examples/photos/cat.jpg", "caller"))'
    )
    (reader.folder / "example.py").write_text(code, "utf-8")
    done = shell(reader, f"{shlex.quote(sys.executable)} example.py")
    assert "ask_about_picture -> Seen by blocks" in done.stdout and "I was told:" in done.stdout, done.stderr


def test_tables_are_complete() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", CHAT, re.MULTILINE)) == dict(Tasks.load().titles)
    assert set(re.findall(r"`/(\w+)", CHAT)) == set(COMMANDS)
