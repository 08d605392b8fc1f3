"""What is written can be read by the tools it is meant for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest
import webdataset

from agents.batch.ledger import CaptionRow, Ledger
from agents.batch.outputs import failures_of, kind_of, record, with_shard, write_failures, write_output
from agents.batch.shard_output import existing_shards, write_shards
from core.datasets.pictures.sources import Item
from core.errors import ImageError, UsageError
from core.records import Caption, Dialogue, PictureInfo, Turn
from tests.agents.batch.making import lines

ODD = "odd\udcff/ü.png"
PNG = b"\x89PNG\r\n\x1a\n"


def caption(number: int) -> Caption:
    turns = (
        Turn(question="Describe it.", answer=f"thing {number}, ünd 猫", asked_by="opening"),
        Turn(question="Where?", answer="i do not know.", certainty="unsure"),
    )
    info = PictureInfo(sha256=f"{number:064x}", source="x", width=4, height=3)
    return Caption(
        picture=info, plain="p", opening="o", summary=f"Thing {number}.\nReally.", dialogue=Dialogue(turns=turns)
    )


def rows() -> Iterator[CaptionRow]:
    yield CaptionRow(0, "a.png", caption(1), None)
    yield CaptionRow(1, ODD, caption(1), "a.png")
    yield CaptionRow(4, "c.png", caption(2), None)


def test_json_lines(tmp_path: Path) -> None:
    write_output(tmp_path / "out.jsonl", rows)
    found = lines(tmp_path / "out.jsonl")
    assert found == [record(row) for row in rows()]
    assert [one["key"] for one in found] == ["a.png", ODD, "c.png"]
    assert found[1]["same_as"] == "a.png" and found[0]["dialogue"][1]["certainty"] == "unsure"
    assert "猫" in (tmp_path / "out.jsonl").read_text("utf-8")


def test_parquet(tmp_path: Path) -> None:
    write_output(tmp_path / "out.parquet", rows)
    found = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [one["key"] for one in found] == ["a.png", "odd\\udcff/ü.png", "c.png"]
    assert found[2] == record(CaptionRow(4, "c.png", caption(2), None))


def test_coco(tmp_path: Path) -> None:
    write_output(tmp_path / "out.json", rows)
    coco = json.loads((tmp_path / "out.json").read_text("utf-8"))
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    assert {names[one["image_id"]]: one["caption"] for one in coco["annotations"]} == {
        "a.png": "Thing 1.\nReally.",
        ODD: "Thing 1.\nReally.",
        "c.png": "Thing 2.\nReally.",
    }
    assert coco["images"][0] == {"id": 1, "file_name": "a.png", "width": 4, "height": 3}
    write_output(tmp_path / "out.json", lambda: iter(()))
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["images"] == []


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    (tmp_path / "work").mkdir()
    ledger = Ledger(tmp_path / "work")
    yield ledger
    ledger.close()


def fetch(row: CaptionRow) -> bytes:
    return PNG + row.key.encode("utf-8", "replace")


def written(path: Path, ledger: Ledger, of: int = 1) -> list[int]:
    """Which shards were written now."""
    return [number - 1 for number, _, _ in write_shards(path, ledger, fetch, size=3, of=of)]


def test_shards_are_read_by_webdataset_and_only_those_that_changed_are_written(tmp_path: Path, ledger: Ledger) -> None:
    path = tmp_path / "out.tar"
    for number in (0, 1, 4, 5, 7):
        ledger.done(Item(number, f"{number}.png", 0, -1, 0), caption(number))
    assert written(path, ledger) == [0, 1, 2]
    shards = existing_shards(path)
    assert [one.name for one in shards] == ["out-000000.tar", "out-000001.tar", "out-000002.tar"]
    data = webdataset.WebDataset([str(one) for one in shards], shardshuffle=False, empty_check=False)
    samples = {sample["__key__"]: sample for sample in data}
    assert list(samples) == [f"{number:09d}" for number in (0, 1, 4, 5, 7)]
    assert samples["000000004"]["png"] == PNG + b"4.png"
    assert samples["000000004"]["txt"].decode() == "Thing 4.\nReally."
    assert json.loads(samples["000000004"]["json"]) == record(CaptionRow(4, "4.png", caption(4), None))

    before = [one.read_bytes() for one in shards]
    assert written(path, ledger) == []
    ledger.done(Item(3, "3.png", 0, -1, 0), caption(3))
    shards[2].unlink()
    assert written(path, ledger) == [1, 2]
    after = [one.read_bytes() for one in shards]
    assert after[0] == before[0] and after[2] == before[2] and after[1] != before[1]


def test_shards_of_one_of_several_machines(tmp_path: Path, ledger: Ledger) -> None:
    for number in (1, 3, 5, 7):  # --shard 1/2
        ledger.done(Item(number, f"{number}.png", 0, -1, 0), caption(number))
    assert written(tmp_path / "out.tar", ledger, of=2) == [0, 1]
    data = webdataset.WebDataset(str(tmp_path / "out-000000.tar"), shardshuffle=False)
    assert [sample["__key__"] for sample in data] == ["000000001", "000000003", "000000005"], (
        "no key twice among all machines"
    )


def test_a_picture_that_is_gone_is_left_out_and_counted(tmp_path: Path, ledger: Ledger) -> None:
    for number in (0, 1):
        ledger.done(Item(number, f"{number}.png", 0, -1, 0), caption(number))

    def gone(row: CaptionRow) -> bytes:
        if row.n == 0:
            raise ImageError("it is gone")
        return fetch(row)

    path = tmp_path / "out.tar"
    assert [missing for _, _, missing in write_shards(path, ledger, gone, size=3, of=1)] == [1]
    assert written(path, ledger) == [0], "it is tried again"


def test_failures(tmp_path: Path, ledger: Ledger) -> None:
    path = failures_of(tmp_path / "out.jsonl")
    write_failures(path, ledger.failures())
    assert path.name == "out.failed.jsonl" and not path.exists()
    ledger.failed(Item(2, ODD, 0, -1, 0), "picture", "it is damaged", None)
    write_failures(path, ledger.failures())
    assert lines(path) == [{"key": ODD, "where": "picture", "reason": "it is damaged"}]


def test_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in one of \.jsonl \(JSON Lines\).*\.tar"):
        kind_of(tmp_path / "captions.xml")
    assert with_shard(Path("a/captions.jsonl"), 1, 4) == Path("a/captions.1-of-4.jsonl")
    assert with_shard(Path("a/captions.jsonl"), 0, 1) == Path("a/captions.jsonl")


def test_a_caption_that_was_cut_is_marked_in_every_output(tmp_path: Path) -> None:
    def cut() -> Iterator[CaptionRow]:
        yield CaptionRow(0, "a.png", caption(1).model_copy(update={"truncated": True}), None)
        yield CaptionRow(1, "c.png", caption(2), None)

    for name in ("out.jsonl", "out.parquet", "out.json"):
        write_output(tmp_path / name, cut)
    assert [one["truncated"] for one in lines(tmp_path / "out.jsonl")] == [True, False]
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet")["truncated"].to_pylist() == [True, False]
    coco = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert [one["truncated"] for one in coco["annotations"]] == [True, False]
