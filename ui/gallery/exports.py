"""Captions of the gallery as files: what trainers, data sets, photo managers and spreadsheets read."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agents.batch.ledger import CaptionRow
from agents.batch.outputs import record, write_output
from agents.text.export import cell
from core.captions.forms import Form, caption_file
from core.captions.xmp.document import Xmp
from core.captions.xmp.sidecars import CaptionFields
from core.errors import ImageError, UsageError, printable, why
from core.files.journal import as_bytes
from core.images.picture import open_picture
from core.records import Caption
from ui.gallery.runs.journal import record_of

if TYPE_CHECKING:
    from ui.gallery.entries import Entry
    from ui.gallery.folder import GalleryFolder

TOOL: Final = "Inquisight"


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One format."""

    label: str
    file: str
    about: str


FORMATS: Final = {
    "txt": ExportFormat("Text files (.txt)", "captions-txt.zip", "One .txt for each picture, as trainers read them"),
    "training": ExportFormat(
        "Pictures with text files", "training.zip", "Each picture with its .txt beside it, for kohya's trainers"
    ),
    "xmp": ExportFormat("XMP sidecars", "captions-xmp.zip", "For digiKam, darktable, Immich and Lightroom"),
    "csv": ExportFormat("CSV", "captions.csv", "A table of file names and captions, for spreadsheets"),
    "jsonl": ExportFormat("JSON Lines", "captions.jsonl", "With the dialogue, for programs"),
    "parquet": ExportFormat("Parquet", "captions.parquet", "The same as columns"),
    "coco": ExportFormat("COCO captions", "captions.json", "images and annotations, as pycocotools reads them"),
    "webdataset": ExportFormat("webdataset shard", "captions.tar", "Pictures, captions and dialogue in one .tar"),
}


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is exported."""

    format: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    captions: int
    bare: int
    """Pictures left out since they have no caption."""
    unreadable: int = 0
    """Pictures left out since they cannot be read."""


def write_export(folder: GalleryFolder, request: ExportRequest, out: Path) -> Exported:
    """Write the file. Raises UsageError for an unknown format, StoreError or OSError if it cannot be written."""
    if request.format not in FORMATS:
        raise UsageError(f"there is no format '{printable(request.format, 40)}'; there is {', '.join(FORMATS)}")
    entries = [one for one in folder.entries(request.numbers) if one.caption.strip()]
    bare = len(folder.entries(request.numbers)) - len(entries)
    if not entries:
        raise UsageError("none of these pictures has a caption")
    match request.format:
        case "txt" | "training":
            _texts(folder, entries, out, pictures=request.format == "training")
        case "xmp":
            _sidecars(folder, entries, out)
        case "csv":
            _table(entries, out)
        case "webdataset":
            missing = _shard(folder, entries, out)
            return Exported(len(entries) - missing, bare, missing)
        case _:
            rows = list(_rows(folder, entries))
            write_output(out, lambda: iter(rows))
            return Exported(len(rows), bare, len(entries) - len(rows))
    return Exported(len(entries), bare)


def write_beside(folder: GalleryFolder, entries: Sequence[Entry]) -> int:
    """Write an XMP sidecar beside each picture that has a caption; what else is in one stays. Returns their number."""
    from core.captions.forms import existing_xmp
    from core.captions.xmp.sidecars import write_fields

    written = 0
    for entry in entries:
        if entry.caption.strip():
            write_fields(existing_xmp(folder.path(entry)), _fields(folder, entry))
            written += 1
    return written


# --- formats ------------------------------------------------------------------------------------------------------


def _texts(folder: GalleryFolder, entries: Sequence[Entry], out: Path, *, pictures: bool) -> None:
    names: set[str] = set()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in entries:
            name = _safe(str(caption_file(entry.key, Form.TXT)))
            if name in names:  # a.jpg and a.png
                name = f"{_safe(entry.key)}.txt"
            names.add(name)
            archive.writestr(name, f"{entry.caption.strip()}\n".encode())
            if pictures:
                archive.write(folder.path(entry), _safe(entry.key), zipfile.ZIP_STORED)


def _sidecars(folder: GalleryFolder, entries: Sequence[Entry], out: Path) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in entries:
            xmp = Xmp.new()
            _fields(folder, entry).apply(xmp)
            archive.writestr(_safe(str(caption_file(entry.key, Form.XMP))), xmp.to_bytes())


def _fields(folder: GalleryFolder, entry: Entry) -> CaptionFields:
    found = record_of(folder.data / "runs", folder.facts_of(entry))
    models = (found.vision.get("name", ""), found.questioner.get("name", "")) if found is not None else ()
    return CaptionFields(
        entry.caption.strip(), writer=", ".join(filter(None, models)), tool=TOOL, date=datetime.now(UTC)
    )


def _table(entries: Sequence[Entry], out: Path) -> None:
    with out.open("w", encoding="utf-8-sig", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "caption"))
        writer.writerows((cell(entry.key), cell(entry.caption.strip())) for entry in entries)


def _shard(folder: GalleryFolder, entries: Sequence[Entry], out: Path) -> int:
    """Write it; returns how many pictures cannot be read."""
    missing = 0
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        for number, entry in enumerate(entries):
            try:
                picture = folder.path(entry).read_bytes()
            except OSError:
                missing += 1
                continue
            suffix = Path(entry.key).suffix.lower().lstrip(".") or "bin"
            facts = {"key": entry.key, "caption": entry.caption}
            found = record_of(folder.data / "runs", folder.facts_of(entry))
            if found is not None:
                facts |= record(CaptionRow(number, entry.key, with_text(found, entry.caption), None))
            members = {
                suffix: picture,
                "txt": as_bytes(entry.caption.strip()),
                "json": as_bytes(json.dumps(facts, ensure_ascii=False)),
            }
            for kind, data in members.items():
                member = tarfile.TarInfo(f"{number:09d}.{kind}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return missing


def _rows(folder: GalleryFolder, entries: Sequence[Entry]) -> Iterator[CaptionRow]:
    """The rows of the batch's outputs; pictures that cannot be read have none."""
    for number, entry in enumerate(entries):
        found = record_of(folder.data / "runs", folder.facts_of(entry))
        if found is None:
            try:
                found = Caption(picture=open_picture(folder.path(entry), name=entry.key).info())
            except ImageError:
                continue
        yield CaptionRow(number, entry.key, with_text(found, entry.caption), None)


def with_text(caption: Caption, text: str) -> Caption:
    """The interview with the caption that the picture has now; claims are of the text that was checked."""
    return caption if caption.chosen == text else caption.model_copy(update={"styles": ()}).edited(text)


def _safe(name: str) -> str:
    """A name for an archive."""
    return name.encode("utf-8", "replace").decode()


def prepared(folder: GalleryFolder, request: ExportRequest, out: Path) -> Exported:
    """`write_export`; errors of the disk as one line. Raises InquisightError."""
    try:
        return write_export(folder, request, out)
    except OSError as error:
        raise UsageError(f"the export cannot be written: {why(error)}") from None
