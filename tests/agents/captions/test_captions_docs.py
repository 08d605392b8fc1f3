"""What docs/captions.md promises: its commands run, its example executes, its options exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.agents.plugin_on_disk import ROOT, Shell
from tests.documents import blocks, commands
from tests.pictures import saved

PAGE = (ROOT / "docs" / "captions.md").read_text("utf-8")


@pytest.fixture
def curator(tmp_path: Path) -> Shell:
    """Somebody with three images, two of them with captions."""
    shell = Shell(tmp_path)
    shell.program()
    for name in ("a", "b", "c"):
        saved(shell.folder / "photos" / f"{name}.jpg")
    (shell.folder / "photos" / "a.txt").write_text("A black cat.\n", "utf-8")
    (shell.folder / "photos" / "b.txt").write_text("A cat.\n", "utf-8")
    return shell


@pytest.mark.slow
def test_the_commands_run(curator: Shell) -> None:
    [block] = blocks(PAGE, "console")
    done = curator.script(*commands(block))
    assert done.returncode == 0, done.stderr
    assert (curator.folder / "photos" / "a.txt").read_text("utf-8") == "A black tabby cat.\n"
    assert "undo: prefix 'sks, '" in done.stdout
    assert "A black tabby cat." in (curator.folder / "captions.csv").read_text("utf-8-sig")


@pytest.mark.slow
def test_the_example_executes(curator: Shell) -> None:
    [example] = blocks(PAGE, "python")
    done = curator.python(example)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a.jpg A black cat.\nb.jpg A cat.\n"


def test_the_page_names_every_option(curator: Shell) -> None:
    known = set(re.findall(r"^ +(--[a-z-]+)", curator.run("captions", "--help").stdout, re.MULTILINE)) - {"--help"}
    section = PAGE[PAGE.index("## List, search and change") :]
    assert len(known) > 25 and known <= set(re.findall(r"(--[a-z-]+)", section))
