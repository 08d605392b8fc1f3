"""Whatever holds the pictures: the same ones are found in it every time, and any of them is read again later."""

from __future__ import annotations

import base64
import csv
import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import webdataset
from PIL import Image

from agents.batch.ledger import Ledger
from core.datasets.pictures import tables
from core.datasets.pictures.inputs import bytes_of, find_sources, open_item
from core.datasets.pictures.sources import Item, PictureSource
from core.errors import ImageError, InquisightError, UsageError


def png(number: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (10 + number, 8), (number, 90, 90)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures in a working folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for number, name in enumerate(("photos/a.png", "photos/b.PNG", "photos/deep/c.png")):
        (tmp_path / name).write_bytes(png(number))
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    (tmp_path / "photos" / ".thumb.png").write_bytes(png(9))
    return tmp_path


def found(*named: str, column: str | None = None) -> tuple[list[PictureSource], list[Item]]:
    """Every item, in the order in which the source tells them."""
    sources = find_sources(named, column)
    items = []
    for number, source in enumerate(sources):
        entries = list(source.scan())
        if not source.sorted:
            entries.sort()
        items += [Item(0, key, number, part, cursor) for key, part, cursor in entries]
    return sources, items


def widths(sources: list[PictureSource], items: list[Item]) -> list[int]:
    """Which pictures they are; read backwards, since nothing promises an order."""
    return [open_item(sources, item, 10**6).width for item in reversed(items)][::-1]


class Piped:
    """Standard input of a command in a pipe."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("name", ["photos", "photos/", "./photos", "photos/**/*"])
def test_folders_and_patterns(photos: Path, name: str) -> None:
    sources, items = found(name)
    assert sorted(Path(item.key).as_posix() for item in items) == ["photos/a.png", "photos/b.PNG", "photos/deep/c.png"]
    assert sorted(widths(sources, items)) == [10, 11, 12]


def test_a_file_and_here(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, items = found("photos/a.png")
    assert [item.key for item in items] == ["photos/a.png"] and widths(sources, items) == [10]
    assert bytes_of(sources, items[0]) == (photos / "photos" / "a.png").read_bytes()
    monkeypatch.chdir(photos / "photos")
    assert [item.key for item in found(".")[1]] == ["a.png", "b.PNG", "deep/c.png"]


def test_a_list_of_paths(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"\ufeffb.PNG\r\n\n{photos}/photos/a.png\nmissing one.png\nhttp://host/x.png\n"
    (photos / "photos" / "list.txt").write_bytes(text.encode())
    sources, items = found("photos/list.txt")
    keys = ["photos/b.PNG", f"{photos}/photos/a.png", "photos/missing one.png", "http://host/x.png"]
    assert [item.key for item in items] == keys, "relative to the list"
    assert widths(sources, items[:2]) == [11, 10]
    for item, words in ((items[2], "does not exist"), (items[3], "web address")):
        with pytest.raises(ImageError, match=words):
            open_item(sources, item, 10**6)

    monkeypatch.setattr("sys.stdin", Piped(b"photos/a.png\nphotos/b.PNG\n"))
    assert [item.key for item in found("-")[1]] == ["photos/a.png", "photos/b.PNG"]


@pytest.mark.parametrize("kind", ["csv", "tsv", "semicolons", "jsonl"])
def test_text_tables(photos: Path, kind: str) -> None:
    data = "data:image/png;base64," + base64.b64encode(png(5)).decode()
    name = "table.jsonl" if kind == "jsonl" else "table.tsv" if kind == "tsv" else "table.csv"
    cells: list[Any] = ["photos/a.png", "photos/b.PNG", None, data]
    if kind == "jsonl":
        cells[1] = {"path": "photos/b.PNG"}
        text = "".join(json.dumps({"id": 1, "Image": cell}) + "\n\n" for cell in cells) + "not json\n"
    else:
        buffer = io.StringIO()
        writer = csv.writer(buffer, delimiter={"tsv": "\t", "semicolons": ";"}.get(kind, ","))
        writer.writerows([("id", "Image", "note"), *((1, cell, "two\nlines; and, more") for cell in cells)])
        text = buffer.getvalue()
    (photos / name).write_text(text, "utf-8")
    sources, items = found(name)
    assert [item.key for item in items[:4]] == ["photos/a.png", "photos/b.PNG", f"{name}:3", f"{name}:4"]
    assert widths(sources, [items[0], items[1], items[3]]) == [10, 11, 15]
    for item in (items[2], *items[4:]):
        with pytest.raises(ImageError, match=r"names no picture|is not JSON"):
            open_item(sources, item, 10**6)
    assert len(items) == (5 if kind == "jsonl" else 4)


def test_the_column_is_named_or_told(photos: Path) -> None:
    (photos / "t.csv").write_text("id,foto\n1,photos/a.png\n")
    with pytest.raises(UsageError, match=r"no column that looks like pictures; it has id, foto: choose one with --col"):
        found("t.csv")
    with pytest.raises(UsageError, match="no column 'photo'; it has id, foto"):
        found("t.csv", column="photo")
    assert [item.key for item in found("t.csv", column="foto")[1]] == ["photos/a.png"]


def parquet(path: Path, cells: list[Any], kind: Any = None, group: int = 7) -> None:
    column = pyarrow.array(cells, kind)
    pyarrow.parquet.write_table(pyarrow.table({"image": column, "n": range(len(cells))}), path, row_group_size=group)


@pytest.mark.slow
def test_parquet_with_paths(photos: Path) -> None:
    parquet(photos / "t.parquet", ["photos/a.png", None, "photos/b.PNG"])
    sources, items = found("t.parquet")
    assert [item.key for item in items] == ["photos/a.png", "t.parquet:2", "photos/b.PNG"]
    assert widths(sources, [items[0], items[2]]) == [10, 11]
    with pytest.raises(ImageError, match=r"'t\.parquet:2' names no picture"):
        open_item(sources, items[1], 10**6)


@pytest.mark.parametrize("shape", ["bytes", "struct"])
def test_parquet_with_pictures_in_it_in_any_order(photos: Path, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS", 3)
    folder = photos / "tables"
    folder.mkdir()
    for part in range(2):
        cells: list[Any] = [png(part * 20 + number) for number in range(20)]
        if shape == "struct":
            cells = [{"bytes": cell, "path": "x.png"} for cell in cells]
            cells[4] = {"bytes": None, "path": "../photos/a.png"}
        parquet(folder / f"{part}.parquet", cells)
    sources, items = found("tables")
    assert [items[0].key, items[39].key] == ["tables/0.parquet:1", "tables/1.parquet:20"]
    expected = list(range(10, 50))
    if shape == "struct":
        expected[4] = expected[24] = 10
    assert widths(sources, items) == expected, "backwards"
    assert [open_item(sources, item, 10**6).width for item in items] == expected, "forwards"
    shuffled = [items[number] for number in (3, 1, 2, 0, 25, 7, 39, 8)]
    elsewhere = pickle.loads(pickle.dumps(sources))
    assert [open_item(elsewhere, item, 10**6).width for item in shuffled] == [
        expected[number] for number in (3, 1, 2, 0, 25, 7, 39, 8)
    ]


def shards(folder: Path, count: int = 2, each: int = 3) -> None:
    folder.mkdir()
    for part in range(count):
        with webdataset.TarWriter(str(folder / f"{part:05d}.tar")) as writer:
            for number in range(each):
                key = f"{part}/{number:09d}"
                kind = ("png", "jpg")[number % 2]
                data = png(part * each + number, {"png": "PNG", "jpg": "JPEG"}[kind])
                writer.write({"__key__": key, kind: data, "txt": "old words", "json": {"a": 1}})


@pytest.mark.parametrize("name", ["shards", "shards/{00000..00001}.tar", "shards/*.tar"])
def test_webdataset_shards(photos: Path, name: str) -> None:
    shards(photos / "shards")
    sources, items = found(name)
    assert [item.key for item in items][::5] == ["shards/00000.tar/0/000000000", "shards/00001.tar/1/000000002"]
    assert widths(sources, items) == [10, 11, 12, 13, 14, 15]


def test_a_shard_that_was_cut_short_gives_what_it_has(photos: Path) -> None:
    shards(photos / "shards", count=1)
    path = photos / "shards" / "00000.tar"
    data = path.read_bytes()
    for end in (len(data) // 2, len(data) // 2 // 512 * 512):
        path.write_bytes(data[:end])
        sources, items = found("shards/00000.tar")
        assert 0 < len(items) < 3 and widths(sources, items) == [10, 11, 12][: len(items)]
        assert "cut short or damaged after byte" in sources[0].problems[0]
        assert "the same command takes the others too" in sources[0].problems[0]


def test_a_shard_of_tar_alone(photos: Path) -> None:
    """Long names and folders, as GNU tar and Python's own write them."""
    name = "folder/" + "n" * 120
    with tarfile.open(photos / "one.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("folder/"))
        for number in range(2):
            member = tarfile.TarInfo(f"{name}{number}.v2.png")
            member.size = len(png(number))
            tar.addfile(member, io.BytesIO(png(number)))
        member = tarfile.TarInfo(f"{name}2.png")
        member.size = len(png(2))
        tar.addfile(member, io.BytesIO(png(2)))
    sources, items = found("one.tar")
    assert [item.key for item in items] == [f"one.tar/{name}{rest}" for rest in ("0.v2", "1.v2", "2")]
    assert widths(sources, items) == [10, 11, 12]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "'nowhere' does not exist; name a folder"),
        ("https://host/photos.tar", "is an address; download it"),
        ("empty", "holds no pictures"),
        ("photos/*.gif", r"no picture fits 'photos/\*.gif'"),
        ("shards/{00..03}.tar", "4 of 4 shards do not exist, the first is shards/00.tar"),
        ("packed.tar.gz", "is packed; unpack it first"),
        ("table.json", "write the table as JSON Lines"),
        ("photos/{a,b}.png", "braces are for shards"),
        ("short.tar", "'short.tar' holds no pictures that can be read: .* copy or download it again"),
        ("words.tar", "'words.tar' holds no pictures that can be read"),
        ("empty.jsonl", "holds no rows"),
        ("broken.parquet", "not a Parquet file or was cut short"),
        ("broken.csv", "'broken.csv' is not a table from line 2 on: a quote that opens there is never closed"),
        ("noise.csv", "'noise.csv' is not a table from line 1 on: it is not text"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(photos: Path, name: str, words: str) -> None:
    (photos / "empty").mkdir()
    for file in ("packed.tar.gz", "table.json", "empty.jsonl", "broken.parquet"):
        (photos / file).touch()
    (photos / "broken.csv").write_text("path\n" + '"' + "x" * 200_000)
    (photos / "noise.csv").write_bytes(b"\x89P\xffG\r\x1a,\0\n")
    (photos / "words.tar").write_text("no shard " * 500)
    shards(photos / "one", count=1)
    (photos / "short.tar").write_bytes((photos / "one" / "00000.tar").read_bytes()[:600])
    with pytest.raises(InquisightError, match=words) as wrong:
        found(name)
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize("name", ["empty.txt", "blank.txt", "header.csv", "rows.parquet", "-"])
def test_what_names_no_picture_is_told(photos: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "empty.txt").touch()
    (photos / "blank.txt").write_text("\n  \n")
    (photos / "header.csv").write_text("id,image\n")
    parquet(photos / "rows.parquet", [], pyarrow.string())
    monkeypatch.setattr("sys.stdin", Piped(b""))
    work = photos / "work"
    work.mkdir()
    ledger = Ledger(work)
    where = "standard input" if name == "-" else f"'{name}'"
    with pytest.raises(ImageError, match=f"{where} names no pictures; give the path of one in each line"):
        list(ledger.listing().add(find_sources(["photos", name])))
    ledger.close()


def test_nothing_was_named() -> None:
    with pytest.raises(UsageError, match="name what holds the pictures: a folder, a pattern"):
        find_sources([])
