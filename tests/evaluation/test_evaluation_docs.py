"""What docs/evaluate.md promises: its commands run, and it names every option and task."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evaluation.request import TASKS
from tests.agents.plugin_on_disk import ROOT, Shell
from tests.documents import blocks, commands

PAGE = (ROOT / "docs" / "evaluate.md").read_text("utf-8")


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path) -> None:
    for package in ("matplotlib", "skimage", "sklearn"):
        pytest.importorskip(package)
    shell = Shell(tmp_path)
    shell.program()
    lines = [line for block in blocks(PAGE, "console") for line in commands(block)]
    assert len(lines) >= 7
    done = shell.script(*lines)
    assert done.returncode == 0, done.stderr
    for name in ("pope", "chair", "coverage", "failures"):
        assert (tmp_path / "results" / name / "result.json").is_file()
    assert (tmp_path / "tasks" / "inquisight_pope.yaml").is_file() and (
        tmp_path / "tables" / "inquisight_POPE.tsv"
    ).is_file()


def test_the_page_names_every_option_and_task(tmp_path: Path) -> None:
    known = set(re.findall(r"^ +(--[a-z-]+)", Shell(tmp_path).run("evaluate", "--help").stdout, re.MULTILINE)) - {
        "--help"
    }
    ours = re.sub(r"^(?:OPENAI_API_KEY|LMUData|python -m).*$", "", PAGE, flags=re.MULTILINE).replace(" --help", "")
    named = set(re.findall(r"(--[a-z][a-z-]*)", ours))
    assert len(known) > 15 and named == known
    assert all(f"`{task}`" in PAGE for task in TASKS)
