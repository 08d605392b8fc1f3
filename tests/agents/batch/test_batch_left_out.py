"""A batch counts what its inputs hold and it does not read: in the summary, in `--json` and in `--dry-run`."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from agents.batch.ledger import Ledger
from core.datasets.pictures.inputs import find_sources, open_item
from core.datasets.pictures.listing import Scope
from core.datasets.pictures.sources import Item, PictureSource
from core.errors import ImageError, InquisightError, UsageError
from tests.agents.batch.making import HashedEye, batch, lines, register

CASES = Path(__file__).parents[2] / "fixtures" / "cases"


def png(number: int, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (10 + number, 8), (number, 90, 90)).save(out, kind)
    return out.getvalue()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(
    tmp_path: Path, *named: str, column: str | None = None
) -> tuple[list[PictureSource], list[Item], dict[str, int]]:
    """(sources, items of the listing in order, what was left out by reason)."""
    (tmp_path / "work").mkdir(exist_ok=True)
    ledger = Ledger(tmp_path / "work")
    try:
        sources = pickle.loads(pickle.dumps(find_sources(named, column)))
        listing = ledger.listing()
        list(listing.add(sources))
        items = list(listing.items(Scope(), "1"))
    finally:
        ledger.close()
        shutil.rmtree(tmp_path / "work")
    reasons = {name: one["count"] for source in sources for name, one in source.left_out.as_json()["reasons"].items()}
    return sources, items, reasons


def widths(sources: list[PictureSource], items: list[Item]) -> list[int]:
    return [open_item(sources, item, 10**6).width for item in items]


def tar(path: Path, *names: str) -> None:
    with tarfile.open(path, "w") as file:
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            body = png(number)
            member.size = len(body)
            file.addfile(member, io.BytesIO(body))


# --- shards -----------------------------------------------------------------------------------------------------------


def test_every_picture_of_a_shard_with_dots(here: Path) -> None:
    shutil.copy(CASES / "tars" / "dots.tar", here)
    sources, items, left_out = listed(here, "dots.tar")
    assert [item.key for item in items] == [
        "dots.tar/photo.v2", "dots.tar/22.05", "dots.tar/plain", "dots.tar/UP", "dots.tar/dir.v1/x", "dots.tar/./dot/y",
        "dots.tar/z.img", "dots.tar/Track 2.0 (x)",
    ]  # fmt: skip
    assert left_out == {} and len(widths(sources, items)) == 8


def test_pictures_that_would_share_a_key_are_all_taken(here: Path) -> None:
    tar(here / "s.tar", "a.jpg", "a.png", "b.png", "a.PNG", "a.jpg", "noext", "a.seg.png", "x/a.jpg")
    sources, items, left_out = listed(here, "s.tar")
    keys = [item.key for item in items]
    assert keys[:4] == ["s.tar/a", "s.tar/a.png", "s.tar/b", "s.tar/a.PNG"]
    assert keys[4] == "s.tar/a.jpg" and keys[5:] == ["s.tar/noext", "s.tar/a.seg", "s.tar/x/a"]
    assert widths(sources, items) == [10, 11, 12, 13, 14, 15, 16, 17] and left_out == {}

    tar(here / "t.tar", "a.jpg", "a.jpg", "a.jpg", "a.jpg")
    sources, items, _ = listed(here, "t.tar")
    assert len({item.key for item in items}) == 4 and widths(sources, items) == [10, 11, 12, 13]
    assert [item.key for item in items][:2] == ["t.tar/a", "t.tar/a.jpg"]


def test_the_same_shard_named_twice_is_read_once(here: Path) -> None:
    (here / "s").mkdir()
    tar(here / "s" / "0.tar", "a.jpg", "a.png", "b.v2.png")
    _, once, _ = listed(here, "s")
    _, twice, _ = listed(here, "s", "s/*.tar", "s/0.tar")
    assert [item.key for item in once] == [item.key for item in twice]


def test_what_a_folder_of_shards_holds_beside_them(here: Path) -> None:
    (here / "s").mkdir()
    tar(here / "s" / "0.tar", "a.jpg", "f.psd", "._a.jpg")
    for name in ("0.parquet", "0_stats.json", "1.tar.gz", "x.psd", ".hidden.tar"):
        (here / "s" / name).write_bytes(b"{}")
    _, items, left_out = listed(here, "s")
    assert [item.key for item in items] == ["s/0.tar/a", "s/0.tar/f.psd"], "that one is a PNG"
    assert left_out == {"Photoshop": 1, "archive": 1}


def test_a_compressed_shard_is_said_to_be_one(here: Path) -> None:
    import gzip

    tar(here / "s.tar", "a.png")
    (here / "z.tar").write_bytes(gzip.compress((here / "s.tar").read_bytes()))
    sources, items, _ = listed(here, "*.tar")
    assert len(items) == 1
    assert sources[0].problems == [
        "'z.tar' is compressed (gzip), so nothing of it is read. Unpack it to a plain .tar, and the same command takes "
        "the others too"
    ]
    (here / "s").mkdir()
    (here / "s" / "0.tar.zst").touch()
    with pytest.raises(
        ImageError, match=r"'s' holds no pictures that can be read \(1 left out: 1 archive \(s/0.tar.zst\)"
    ):
        find_sources(["s"])


# --- tables and lists -------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(here: Path) -> Path:
    (here / "sub").mkdir()
    for number, name in enumerate(("0.jpg", "sub/1.jpg", "sub/2.jpg")):
        (here / name).write_bytes(png(number))
    return here


def test_the_tables_of_windows(photos: Path) -> None:
    for name in ("back.csv", "list_bom.txt"):
        shutil.copy(CASES / "tables" / name, photos)
    sources, items, _ = listed(photos, "back.csv")
    assert [item.key for item in items] == [".\\0.jpg".replace("\\", "/"), "sub/1.jpg"]
    assert widths(sources, items) == [10, 11]
    text = (photos / "back.csv").read_text()
    (photos / "unicode.tsv").write_bytes(text.encode("utf-16"))
    (photos / "cells.jsonl").write_text('{"image": "sub\\\\1.jpg"}\n{"image": "C:\\\\gone\\\\2.jpg"}\n')
    for name, count in (("unicode.tsv", 2), ("cells.jsonl", 2)):
        sources, items, _ = listed(photos, name)
        assert len(items) == count
    with pytest.raises(ImageError, match=r"does not exist \(it is written with backslashes, as on Windows"):
        open_item(sources, items[1], 10**6)


class Piped:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_is_the_same_from_standard_input(photos: Path, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = "0.jpg\r\nsub\\1.jpg\r\n\r\nsub/2.jpg".encode(encoding)
    (photos / "list.txt").write_bytes(data)
    monkeypatch.setattr("sys.stdin", Piped(data))
    for name in ("list.txt", "-"):
        _, items, _ = listed(photos, name)
        assert [item.key for item in items] == ["0.jpg", "sub/1.jpg", "sub/2.jpg"]


def test_a_picture_in_a_cell_that_csv_would_refuse(photos: Path) -> None:
    noise = io.BytesIO()
    Image.frombytes("RGB", (250, 200), os.urandom(150_000)).save(noise, "PNG")
    data = "data:image/png;base64," + base64.b64encode(noise.getvalue()).decode()
    assert len(data) > 131_072
    (photos / "t.csv").write_text(f'image,caption\n0.jpg,x\n"{data}",y\nsub/1.jpg,z\n')
    sources, items, _ = listed(photos, "t.csv")
    assert [item.key for item in items] == ["0.jpg", "t.csv:2", "sub/1.jpg"] and widths(sources, items) == [10, 250, 11]


def test_all_pictures_of_a_cell_that_holds_a_list(photos: Path) -> None:
    inside = "data:image/png;base64," + base64.b64encode(png(7)).decode()
    rows: list[Any] = [["0.jpg", "sub/1.jpg"], ["sub/2.jpg", inside, None], [], "0.jpg"]
    (photos / "t.jsonl").write_text("".join(json.dumps({"image": row}) + "\n" for row in rows))
    (photos / "t.csv").write_text('image\n"[""0.jpg"", ""sub/1.jpg""]"\n"[\'sub/2.jpg\']"\n')
    sources, items, _ = listed(photos, "t.jsonl")
    assert [item.key for item in items] == [
        "0.jpg",
        "sub/1.jpg",
        "sub/2.jpg",
        "t.jsonl:2/2",
        "t.jsonl:2/3",
        "t.jsonl:3",
    ]
    assert widths(sources, items[:4]) == [10, 11, 12, 17]
    for item in items[4:]:
        with pytest.raises(ImageError, match="names no picture"):
            open_item(sources, item, 10**6)
    sources, items, _ = listed(photos, "t.csv")
    assert widths(sources, items) == [10, 11, 12]


STRUCT = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


@pytest.mark.parametrize("kind", [pyarrow.binary(), STRUCT, pyarrow.string()])
def test_all_pictures_of_a_parquet_cell_that_holds_a_list(photos: Path, kind: Any) -> None:
    def cell(number: int) -> Any:
        if kind == pyarrow.string():
            return ("0.jpg", "sub/1.jpg", "sub/2.jpg")[number]
        return png(number) if kind == pyarrow.binary() else {"bytes": png(number), "path": None}

    cells = [[cell(0), cell(1)], None, [], [cell(2)]]
    table = pyarrow.table({"id": [1, 2, 3, 4], "image": pyarrow.array(cells, pyarrow.list_(kind))})
    pyarrow.parquet.write_table(table, photos / "t.parquet", row_group_size=2)
    sources, items, _ = listed(photos, "t.parquet")
    assert widths(sources, [items[0], items[1], items[4]]) == [10, 11, 12] and len(items) == 5
    if kind != pyarrow.string():
        assert [item.key for item in items] == [
            "t.parquet:1/1", "t.parquet:1/2", "t.parquet:2", "t.parquet:3", "t.parquet:4"
        ]  # fmt: skip
    for item in items[2:4]:
        with pytest.raises(ImageError, match="names no picture"):
            open_item(sources, item, 10**6)


def test_a_row_that_is_not_like_the_header_is_named(photos: Path) -> None:
    (photos / "t.csv").write_text("image,caption\n0.jpg,a cat, sitting\nsub/1.jpg,x\n")
    sources, items, _ = listed(photos, "t.csv")
    with pytest.raises(ImageError, match=r"'t.csv:1' has 3 cells and the header 2; put a cell"):
        open_item(sources, items[0], 10**6)
    (photos / "two.csv").write_text("image,image\n0.jpg,sub/1.jpg\n")
    with pytest.raises(UsageError, match=r"'two.csv' has 2 columns named 'image'; rename all but one"):
        find_sources(["two.csv"])


# --- folders, and what is said ----------------------------------------------------------------------------------------


def fill(folder: Path) -> None:
    folder.mkdir()
    for name in ("a.avif", "b.jfif", "noext", "f.psd"):
        shutil.copy(CASES / "pictures" / name, folder)
    (folder / "trail.jpg ").write_bytes(png(3))
    (folder / "gone").symlink_to("nowhere")
    (folder / "b.txt").write_text("words")


def test_the_summary_the_fields_and_the_exit_code(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(monkeypatch, HashedEye())
    fill(here / "p")
    (here / "list.txt").write_text("p/b.jfif\np/b.jfif\n")
    line = "2 left out: 1 Photoshop (p/f.psd), 1 broken link (p/gone)"
    assert batch("p", out=here / "dry.jsonl", dry_run=True) == 0
    assert line in capsys.readouterr().out.splitlines()
    assert batch("p", out=here / "dry.jsonl", dry_run=True, json=True) == 0
    assert json.loads(capsys.readouterr().out)["left_out"]["count"] == 2

    assert batch("p", out=here / "c.jsonl", rounds=1) == 0, "what is no picture is no failure"
    said = capsys.readouterr()
    assert line in said.out.splitlines() and f"inquisight: {line}" in said.err.splitlines()
    assert sorted(row["key"] for row in lines(here / "c.jsonl")) == [
        "p/a.avif",
        "p/b.jfif",
        "p/noext",
        "p/trail.jpg ",
    ]

    assert batch("p", "list.txt", out=here / "j.jsonl", rounds=1, json=True) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["left_out"] == {
        "count": 4,
        "reasons": {
            "named more than once": {"count": 2, "first": "p/b.jfif"},
            "Photoshop": {"count": 1, "first": "p/f.psd"},
            "broken link": {"count": 1, "first": "p/gone"},
        },
    }


def test_its_own_shards_are_no_pictures_left_out(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(monkeypatch, HashedEye())
    (here / "p").mkdir()
    (here / "p" / "a.png").write_bytes(png(0))
    for _ in range(2):
        assert batch("p", out=here / "p" / "out.jsonl", more=(here / "p" / "shards.tar",), rounds=1, json=True) == 0
        assert json.loads(capsys.readouterr().out)["left_out"]["count"] == 0
    assert (here / "p" / "shards-000000.tar").exists()


def test_a_folder_that_cannot_be_read_is_a_fault(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(monkeypatch, HashedEye())
    (here / "p" / "private").mkdir(parents=True)
    (here / "p" / "a.png").write_bytes(png(0))
    real = os.scandir

    def scan(path: str) -> object:
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert batch("p", out=here / "c.jsonl", rounds=1) == 1
    assert "1 left out: 1 folder that cannot be read (p/private)" in capsys.readouterr().out


def test_patterns(here: Path) -> None:
    fill(here / "p")
    (here / "p" / "sub").mkdir()
    _, items, left_out = listed(here, "p/*")
    assert len(items) == 4 and left_out == {"Photoshop": 1, "broken link": 1, "folder": 1}
    assert listed(here, "p/**/*")[2] == {"Photoshop": 1, "broken link": 1}
    with pytest.raises(InquisightError, match=r"no picture fits 'p/\*.psd' \(1 left out: 1 Photoshop"):
        listed(here, "p/*.psd")


def test_parquet_in_a_folder_with_other_files(here: Path) -> None:
    (here / "t").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"image": [png(0)]}), here / "t" / "0.parquet")
    (here / "t" / "x.psd").touch()
    _, items, left_out = listed(here, "t")
    assert [item.key for item in items] == ["t/0.parquet:1"] and left_out == {"Photoshop": 1}
