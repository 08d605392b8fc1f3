"""Export the captions of a folder: for spreadsheets, Hugging Face datasets, COCO's and webdataset's readers, trainers.

| file | content |
|---|---|
| .csv | file_name, text; UTF-8 with a mark, as spreadsheets expect |
| .jsonl | {"file_name": ..., "text": ...}: in the folder as `metadata.jsonl`, Hugging Face's `imagefolder` reads it |
| .parquet | file_name, text |
| .json | COCO captions, with the sizes of the images |
| .tar | webdataset shards NAME-000000.tar, ...: image, .txt, .json |
| .zip | a .txt for each image, with its subfolders, to unpack beside the images |

Names are relative to the folder. Images without caption are left out and counted.
"""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

from agents.batch.outputs import check_parquet
from agents.batch.shard_output import add_sample, shard_path
from agents.text.export import cell
from core.captions.folder import CaptionFolder
from core.captions.forms import Form, caption_file
from core.captions.places import batched
from core.captions.records import CaptionQuery, PictureCaption
from core.errors import ImageError, StoreError, UsageError, printable
from core.files.atomic import replacing
from core.files.journal import as_bytes
from core.images.file_type import SUFFIXES_OF, sniff
from core.images.picture import MAX_BYTES, open_picture

KINDS: Final = {
    ".csv": "CSV",
    ".jsonl": "JSON Lines",
    ".parquet": "Parquet",
    ".json": "COCO captions",
    ".tar": "webdataset shards",
    ".zip": "text files",
}
SHARD_SIZE: Final = 1000  # images per .tar
_ROWS: Final = 1000  # of a Parquet file that are written at a time
Progress = Callable[[int], None]


@dataclass
class Exported:
    """What was written, and what was not."""

    files: list[Path] = field(default_factory=list)
    exported: int = 0
    without: int = 0
    """Images without caption."""
    unreadable: int = 0
    """Images whose file cannot be read; only COCO and shards read them."""
    first_unreadable: str = ""


def check_kind(path: Path) -> str:
    """The suffix that selects the format. Raises UsageError."""
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        known = ", ".join(f"{one} ({what})" for one, what in KINDS.items())
        raise UsageError(f"'{printable(path)}': the name selects the format and must end in one of {known}")
    if suffix == ".parquet":
        check_parquet()
    return suffix


def export_captions(
    folder: CaptionFolder,
    path: Path,
    query: CaptionQuery | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the captions of the matching images, by path, to `path`; `progress` gets their number so far.

    Raises UsageError for an unknown suffix or a file that exists, StoreError for one that cannot be written.
    """
    suffix = check_kind(path)
    done = Exported()
    query = query or CaptionQuery()
    done.without = folder.count(replace(query, captioned=False)) if query.captioned is not False else 0
    rows = _captioned(folder, replace(query, captioned=True), done, progress or (lambda count: None))
    if suffix == ".tar":
        _shards(folder, path, rows, done, overwrite=overwrite)
        return done
    taken = "" if overwrite else "add --overwrite to replace it"
    with replacing(path, UsageError if taken else StoreError, taken=taken) as file:
        write = {".csv": _csv, ".jsonl": _lines, ".parquet": _parquet, ".json": _coco, ".zip": _zip}[suffix]
        write(folder, file, rows, done)
    done.files.append(path)
    return done


def _captioned(
    folder: CaptionFolder, query: CaptionQuery, done: Exported, progress: Progress
) -> Iterator[PictureCaption]:
    for one in folder.each(query):
        done.exported += 1
        if done.exported % 100 == 0:
            progress(done.exported)
        yield one


Rows = Iterator[PictureCaption]


def _csv(folder: CaptionFolder, file: BinaryIO, rows: Rows, done: Exported) -> None:
    out = io.TextIOWrapper(file, "utf-8-sig", errors="backslashreplace", newline="", write_through=True)
    try:
        writer = csv.writer(out)
        writer.writerow(("file_name", "text"))
        writer.writerows((cell(one.path), cell(one.text)) for one in rows)
    finally:
        out.detach()


def _lines(folder: CaptionFolder, file: BinaryIO, rows: Rows, done: Exported) -> None:
    for one in rows:
        file.write(as_bytes(json.dumps({"file_name": one.path, "text": one.text}, ensure_ascii=False)) + b"\n")


def _parquet(folder: CaptionFolder, file: BinaryIO, rows: Rows, done: Exported) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(name, pyarrow.string()) for name in ("file_name", "text")])
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for some in batched(rows, _ROWS):
            values = [{"file_name": as_bytes(one.path).decode(), "text": one.text} for one in some]
            writer.write_table(pyarrow.Table.from_pylist(values, schema))


def _coco(folder: CaptionFolder, file: BinaryIO, rows: Rows, done: Exported) -> None:
    """{"images": [...], "annotations": [...]}, see https://cocodataset.org/#format-data; ids count from 1."""
    annotations: list[bytes] = []
    file.write(b'{"info": {"description": "captions by inquisight"}, "licenses": [], "images": [\n')
    for one in rows:
        try:
            picture = open_picture(folder.root / one.path)
        except ImageError:
            _unreadable(done, one)
            continue
        number = len(annotations) + 1
        image = {"id": number, "file_name": one.path, "width": picture.width, "height": picture.height}
        file.write((b",\n" if number > 1 else b"") + as_bytes(json.dumps(image, ensure_ascii=False)))
        annotation = {"id": number, "image_id": number, "caption": one.text}
        annotations.append(as_bytes(json.dumps(annotation, ensure_ascii=False)))
    file.write(b'\n], "annotations": [\n')
    for number, line in enumerate(annotations):
        file.write((b",\n" if number else b"") + line)
    file.write(b"\n]}\n")


def _zip(folder: CaptionFolder, file: BinaryIO, rows: Rows, done: Exported) -> None:
    names: set[str] = set()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in rows:
            name = as_bytes(caption_file(one.path, Form.TXT).as_posix()).decode()
            if name in names:  # a.jpg and a.png
                name = f"{as_bytes(one.path).decode()}.txt"
            names.add(name)
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), f"{one.text}\n")


def _shards(folder: CaptionFolder, path: Path, rows: Rows, done: Exported, *, overwrite: bool) -> None:
    taken = "" if overwrite else "add --overwrite to replace it"
    for number in range(10**6):
        first = next(rows, None)
        if first is None:
            break
        shard = shard_path(path, number)
        with (
            replacing(shard, UsageError if taken else StoreError, taken=taken) as file,
            tarfile.TarFile(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for place, one in enumerate(chain([first], rows)):
                try:
                    with (folder.root / one.path).open("rb") as opened:
                        picture = opened.read(MAX_BYTES)
                except OSError:
                    _unreadable(done, one)
                else:
                    kind = sniff(picture)
                    record = {"file_name": one.path, "text": one.text}
                    members = {
                        SUFFIXES_OF[kind][0][1:] if kind else "bin": picture,
                        "txt": (one.text or "").encode("utf-8", "replace"),
                        "json": as_bytes(json.dumps(record, ensure_ascii=False)),
                    }
                    add_sample(tar, f"{number * SHARD_SIZE + place:09d}", members)
                if place + 1 == SHARD_SIZE:
                    break
        done.files.append(shard)


def _unreadable(done: Exported, one: PictureCaption) -> None:
    done.exported -= 1
    done.unreadable += 1
    done.first_unreadable = done.first_unreadable or one.path
