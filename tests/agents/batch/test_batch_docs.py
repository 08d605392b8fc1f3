"""What the page about batches promises: its commands run, its example executes, its options exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

from agents.cli.main import app
from tests.agents.batch.making import lines
from tests.agents.plugin_on_disk import ROOT, Shell
from tests.documents import blocks, commands

PAGE = (ROOT / "docs" / "batch.md").read_text("utf-8")


@pytest.fixture
def reader(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.photos()
    shell.program()
    return shell


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks(PAGE, "console"))
def test_commands_run(reader: Shell, block: str) -> None:
    """With a quick fake eye in place of the shipped one."""
    done = reader.script(*commands(block))
    assert done.returncode == 0, done.stderr
    assert re.search(r"[1-9] pictures: |\"pictures\": [1-9]", done.stdout) and "Traceback" not in done.stderr
    if "broken" in block:
        assert "broken.png" in done.stdout and done.stdout.count("captioned") == 2
        assert done.stdout.splitlines()[-3].startswith("4 pictures: 3 captioned, 1 repeated")


@pytest.mark.slow
def test_the_example_executes(reader: Shell) -> None:
    [example] = blocks(PAGE, "python")
    done = reader.python(example.replace('"pocket"', '"blocks"'))
    assert done.returncode == 0, done.stderr
    assert sorted(line.split(" ")[0] for line in done.stdout.splitlines()) == [
        "examples/photos/cat.jpg", "examples/photos/coffee.jpg", "examples/photos/street.jpg"
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(find_spec("langchain_openai") is None, reason="the extra 'openai' is not installed")
def test_the_commands_with_a_server_run(reader: Shell) -> None:
    """With a small server in place of vLLM's, whose models `looks` and `asks` tell what they were sent."""
    section = PAGE.partition("\n## Models on a server\n")[2].partition("\n## ")[0]
    serve, export, *batches = re.findall(r"^\$ (.+)$", section, re.MULTILINE)
    model = shlex.split(serve)[2]
    server = [sys.executable, str(ROOT / "tests" / "servers" / "openai_eye.py")]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            script = [export.replace(":8000", f":{int(process.stdout.readline())}"), *batches]
            text = "\n".join(script).replace(f"--questioner openai:{model}", "--questioner openai:asks")
            text = text.replace(f"openai:{model}", "openai:looks")
            assert len(batches) == 3 and model not in text
            done = reader.script(text)
        finally:
            process.kill()
    assert done.returncode == 0 and done.stdout.count("3 pictures: 3 captioned\n") == 3, done.stdout + done.stderr
    sees, asks, both = (lines(reader.folder / f"{name}.jsonl") for name in ("sees", "asks", "both"))
    asked = "Is it day or night?"  # the server's words
    assert all(("#" in line["opening"]) == (found is not asks) for found in (sees, asks, both) for line in found)
    for found in (sees, asks, both):
        questions = {turn["question"] for line in found for turn in line["dialogue"]}
        assert (asked in questions) == (found is not sees)


def test_every_option_on_the_page_is_one() -> None:
    command = typer.main.get_command(app).commands["batch"]  # type: ignore[attr-defined]
    known = {flag for parameter in command.params for flag in parameter.opts}
    page = re.sub(r"^\$ (ray|vllm) .*$", "", PAGE, flags=re.MULTILINE)
    before, measured, after = re.split(r"^## (?:Measured|From Python)$", page, flags=re.MULTILINE)
    assert {*re.findall(r"(--[a-z][a-z-]+)", before + after)} <= known
    benchmarks = "".join(path.read_text("utf-8") for path in (ROOT / "benchmarks" / "batch").glob("*.py"))
    declared = {*re.findall(r'add_argument\(\s*"(--[a-z][a-z-]+)"', benchmarks)}
    assert declared and {*re.findall(r"(--[a-z][a-z-]+)", measured)} <= declared
