"""What is odd about a picture is in every record of it: terminal, JSON, store, outputs of a batch, exports."""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path

import pytest

from core.records import Caption
from tests.agents.plugin_on_disk import Shell

CASES = Path(__file__).parents[2] / "fixtures" / "cases" / "pictures"
NOTE = "damaged or oversized parts ignored"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    (tmp_path / "odd.png").write_bytes((CASES / "badcrc_text.png").read_bytes())
    return made


def test_a_caption_and_what_is_kept_of_it(shell: Shell) -> None:
    done = shell.run("caption", "odd.png", "--rounds", "1")
    assert done.returncode == 0 and NOTE in done.stdout, done.stderr
    made = Caption.from_json(shell.run("caption", "odd.png", "--rounds", "1", "--json").stdout)
    assert made.picture.note == NOTE
    assert NOTE in shell.run("show", made.id).stdout
    assert shell.run("history", "--export", "all.csv").returncode == 0
    with open(shell.folder / "all.csv", encoding="utf-8-sig", newline="") as file:
        assert json.loads(next(csv.DictReader(file))["pictures"])[0]["note"] == NOTE
    assert NOTE in shell.run("chat", "odd.png", "--ask", "What colour is it?").stdout
    assert shell.run("caption", str(CASES / "cut.jpg")).returncode == 2


def test_the_outputs_of_a_batch(shell: Shell) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    shell.picture("plain.png")
    outputs = ["--out", "made.jsonl", "--out", "made.parquet", "--out", "made.tar"]
    done = shell.run("batch", "odd.png", "plain.png", *outputs, "--rounds", "1")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (shell.folder / "made.jsonl").read_text("utf-8").splitlines()]
    assert {row["key"]: row["note"] for row in rows} == {"odd.png": NOTE, "plain.png": None}
    assert pq.read_table(shell.folder / "made.parquet").column("note").to_pylist() == [NOTE, None]
    with tarfile.open(next(shell.folder.glob("made*.tar"))) as shard:
        found = [json.load(shard.extractfile(one)) for one in shard if one.name.endswith(".json")]  # type: ignore[arg-type]
    assert [one["note"] for one in found] == [NOTE, None]
