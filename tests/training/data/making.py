"""Small data sets of every kind, with real pictures whose bytes differ."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from core.datasets.samples.spec import DataSpec
from tests.pictures import encoded


@lru_cache(maxsize=4096)
def picture(number: int, size: int = 6, kind: str = "PNG") -> bytes:
    """A small picture that no other number gives."""
    colour = (number % 256, number // 256 % 256, number // 65536 % 256)
    return encoded(colour, (size, size), kind)


def text(number: int) -> str:
    return f"a picture of thing number {number}"


def write_tar(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def shards(folder: Path, sizes: Sequence[int], *, first: int = 0, changed: Mapping[int, bytes] | None = None) -> Path:
    """Shards as img2dataset writes them: .png, .txt and .json per sample; `changed` replaces pictures by number."""
    number = first
    for shard, size in enumerate(sizes):
        members: list[tuple[str, bytes]] = []
        for _ in range(size):
            name = f"{shard:05d}{number:04d}"
            fields = {"caption": text(number), "url": "https://example.org/x.png", "width": 6}
            data = (changed or {}).get(number, picture(number))
            members += [
                (f"{name}.png", data),
                (f"{name}.txt", text(number).encode()),
                (f"{name}.json", json.dumps(fields).encode()),
            ]
            number += 1
        write_tar(folder / f"{shard:05d}.tar", members)
    return folder


def folder(path: Path, count: int, *, first: int = 0) -> Path:
    """Pictures with sidecars: .txt for even numbers, .json for odd ones, in subfolders of ten."""
    for number in range(first, first + count):
        file = path / f"{number // 10:02d}" / f"{number:04d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number))
        if number % 2:
            file.with_suffix(".json").write_text(json.dumps({"caption": text(number)}))
        else:
            file.with_suffix(".txt").write_text(text(number) + "\n")
    return path


def pictures(path: Path, count: int, *, first: int = 0) -> list[str]:
    """Only pictures, and their names below `path`."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        (path / f"{number:04d}.png").write_bytes(picture(number))
    return [f"{number:04d}.png" for number in range(first, first + count)]


def csv_table(path: Path, count: int, *, first: int = 0, delimiter: str = ",") -> Path:
    """With line breaks, quotes and commas in the texts, as real captions have them."""
    names = pictures(path.parent / "pictures", count, first=first)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["image", "caption"])
        for number, name in enumerate(names, start=first):
            writer.writerow(
                [f"pictures/{name}", f'{text(number)},\n"quoted"; and more' if number % 3 == 0 else text(number)]
            )
    return path


def jsonl_table(path: Path, count: int, *, first: int = 0) -> Path:
    names = pictures(path.parent / "pictures", count, first=first)
    lines = [json.dumps({"image": f"pictures/{name}", "caption": text(n)}) for n, name in enumerate(names, start=first)]
    path.write_text("\n\n".join(lines) + "\n")
    return path


def json_table(path: Path, count: int, *, first: int = 0) -> Path:
    names = pictures(path.parent / "pictures", count, first=first)
    rows = [{"image": f"pictures/{name}", "caption": text(n)} for n, name in enumerate(names, start=first)]
    path.write_text(json.dumps(rows, indent=1))
    return path


def parquet_table(path: Path, count: int, *, first: int = 0, group: int = 7, struct: bool = True) -> Path:
    """Bytes in the table, as Hugging Face's `datasets` writes them, or bare."""
    import pyarrow
    import pyarrow.parquet

    numbers = range(first, first + count)
    images = [{"bytes": picture(n), "path": f"{n}.png"} if struct else picture(n) for n in numbers]
    table = pyarrow.table({"image": images, "text": [text(n) for n in numbers], "other": list(numbers)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, path, row_group_size=group)
    return path


def aligned(path: Path, count: int, *, first: int = 0) -> Path:
    """The released stage-2 layout."""
    (path / "image").mkdir(parents=True)
    notes = []
    for number in range(first, first + count):
        (path / "image" / f"{number}.jpg").write_bytes(picture(number))
        notes.append({"image_id": str(number), "caption": text(number)})
    (path / "filter_cap.json").write_text(json.dumps({"annotations": notes}))
    return path


KINDS = ("shards", "folder", "csv", "jsonl", "json", "parquet", "aligned")


def make(kind: str, place: Path, count: int, *, first: int = 0, **fields: object) -> DataSpec:
    """A data set of `count` samples at `place`, which does not exist yet."""
    if kind == "shards":
        sizes = [size for size in (count // 3, count - count // 3 - count // 5, count // 5) if size]
        shards(place, sizes, first=first)
        path = place
    elif kind == "folder":
        path = folder(place, count, first=first)
    elif kind == "aligned":
        path = aligned(place, count, first=first)
    else:
        place.mkdir(parents=True)
        maker = {"csv": csv_table, "jsonl": jsonl_table, "json": json_table, "parquet": parquet_table}[kind]
        path = maker(place / f"table.{kind}", count, first=first)  # type: ignore[operator]
    return DataSpec.model_validate({"path": str(path), **fields})
