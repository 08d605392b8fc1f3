"""What the dashboard's page promises about the history: its commands run, its example executes, its options exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.records import Caption, PictureInfo
from core.store.transcripts import TranscriptStore
from tests.agents.plugin_on_disk import ROOT, Shell
from tests.documents import blocks, commands

PAGE = (ROOT / "docs" / "dashboard.md").read_text("utf-8")
SECTION = PAGE[PAGE.index("\n## History\n") :].split("\n## ")[1]


@pytest.fixture
def reader(tmp_path: Path) -> Shell:
    """Somebody who has had two pictures described."""
    shell = Shell(tmp_path)
    shell.program()
    store = kept(shell)
    for number, summary in enumerate(("A cat.", "A duck.")):
        picture = PictureInfo(sha256=f"{number:064x}", source=f"photo{number}.jpg", width=4, height=3)
        store.add(Caption(picture=picture, summary=summary, vision={"name": "pocket"}))
    return shell


def kept(shell: Shell) -> TranscriptStore:
    return TranscriptStore(Path(shell.environment["INQUISIGHT_HOME"]) / "transcripts.sqlite")


@pytest.mark.slow
def test_the_commands_run(reader: Shell) -> None:
    pytest.importorskip("pyarrow", reason="pip install pyarrow")
    [block] = blocks(SECTION, "console")
    done = reader.script(*commands(block))
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 transcript deleted" in done.stdout and [one.text for one in kept(reader).recent()] == ["A duck."]
    for name, least in (("cats.jsonl", 1), ("everything.csv", 3), ("last-cats.parquet", 1)):
        assert (reader.folder / name).read_bytes().count(b"\n") >= least


@pytest.mark.slow
def test_the_example_executes(reader: Shell) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow")
    [example] = blocks(SECTION, "python")
    done = reader.python(example)
    assert done.returncode == 0, done.stderr
    assert parquet.read_table(reader.folder / "ducks.parquet").column("text").to_pylist() == ["A duck."]


def test_the_section_names_every_option(reader: Shell) -> None:
    known = set(re.findall(r"^ +(--[a-z]+)", reader.run("history", "--help").stdout, re.MULTILINE)) - {"--help"}
    assert len(known) > 10 and set(re.findall(r"(--[a-z]+)", SECTION)) == known
