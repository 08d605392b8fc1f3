"""Export the captions of a folder: for spreadsheets, Hugging Face datasets, COCO's and webdataset's readers, trainers.

| format | file | content |
|---|---|---|
| txt | .zip | a .txt for each image, with its subfolders, to unpack beside the images |
| training | .zip | each image with its .txt beside it |
| xmp | .zip | an XMP sidecar for each image |
| csv | .csv | file_name, text; UTF-8 with a mark, as spreadsheets expect |
| jsonl | .jsonl | {"file_name": ..., "text": ...}; as `metadata.jsonl`, Hugging Face's `imagefolder` reads it |
| parquet | .parquet | file_name, text |
| coco | .json | COCO captions, with the sizes of the images |
| webdataset | .tar | webdataset shards: image, .txt, .json |

`detailed`: JSON Lines, Parquet, COCO and shards have the interviews, as `inquisight batch` writes them. Names are
relative to the folder. Images without caption are left out and counted.
"""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from agents.batch.ledger import CaptionRow
from agents.batch.outputs import check_parquet, record, write_coco, write_json_lines, write_parquet
from agents.batch.shard_output import add_sample, shard_path
from agents.text.export import cell
from core.captions.folder import CaptionFolder
from core.captions.forms import Form, caption_file, existing_xmp
from core.captions.places import batched
from core.captions.records import CaptionQuery
from core.captions.xmp.document import Xmp
from core.captions.xmp.sidecars import CaptionFields, write_fields
from core.errors import ImageError, StoreError, UsageError, printable
from core.files.atomic import replacing
from core.files.journal import as_bytes
from core.images.picture import MAX_BYTES, open_picture
from core.records import Caption

TOOL: Final = "Inquisight"
SHARD_SIZE: Final = 1000  # images per .tar
_ROWS: Final = 1000  # of a Parquet file that are written at a time
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # of the files in a .zip: equal captions are equal bytes
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A format, with its words for people."""

    label: str
    file: str
    """The usual name of the file."""
    about: str

    @property
    def suffix(self) -> str:
        """The suffix of the file."""
        return Path(self.file).suffix


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
KINDS: Final = {
    ".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet", ".json": "coco", ".tar": "webdataset", ".zip": "txt",
}  # fmt: skip
"""The format that the suffix of a file selects."""


class CaptionedPicture(NamedTuple):
    """A picture with the caption to export."""

    path: str
    """Relative to the folder, with slashes."""
    text: str
    interview: Caption | None = None
    """The interview that the caption came from."""


@dataclass
class Exported:
    """What was written, and what was not."""

    files: list[Path] = field(default_factory=list)
    exported: int = 0
    without: int = 0
    """Images without caption."""
    unreadable: int = 0
    """Images whose file cannot be read and is needed."""
    first_unreadable: str = ""

    def leave_out(self, path: str) -> None:
        """Count an image that cannot be read."""
        self.exported -= 1
        self.unreadable += 1
        self.first_unreadable = self.first_unreadable or path


@dataclass
class Export:
    """One export of the folder `root`; `write` may be called once."""

    root: Path
    pictures: Iterable[CaptionedPicture]
    detailed: bool = False
    progress: Progress | None = None
    done: Exported = field(default_factory=Exported)

    def write(self, name: str, path: Path, *, shards: bool = False, overwrite: bool = False) -> Exported:
        """Write the format `name` of `FORMATS` to `path`; `shards`: a .tar for each thousand images.

        Raises UsageError for an unknown format or a file that exists, StoreError for one that cannot be written.
        """
        if name not in FORMATS:
            raise UsageError(f"there is no format '{printable(name, 40)}'; there is {', '.join(FORMATS)}")
        writers: dict[str, Callable[[BinaryIO], None]] = {
            "txt": self._texts,
            "training": self._training,
            "xmp": self._sidecars,
            "csv": self._csv,
            "jsonl": self._json_lines,
            "parquet": self._parquet,
            "coco": self._coco,
            "webdataset": lambda file: self._tar(file, enumerate(self._counted())),
        }
        taken = "" if overwrite else "add --overwrite to replace it"
        failed = UsageError if taken else StoreError
        if not shards:
            with replacing(path, failed, taken=taken) as file:
                writers[name](file)
            self.done.files.append(path)
            return self.done
        rows = enumerate(self._counted())
        for number in range(10**6):
            if (first := next(rows, None)) is None:
                break
            shard = shard_path(path, number)
            with replacing(shard, failed, taken=taken) as file:
                self._tar(file, chain([first], islice(rows, SHARD_SIZE - 1)))
            self.done.files.append(shard)
        return self.done

    def _counted(self) -> Iterator[CaptionedPicture]:
        for one in self.pictures:
            self.done.exported += 1
            if self.progress is not None and self.done.exported % 100 == 0:
                self.progress(self.done.exported)
            yield one

    # --- formats --------------------------------------------------------------------------------------------------

    def _texts(self, file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, one in self._named_texts():
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), f"{one.text}\n", zipfile.ZIP_DEFLATED)

    def _training(self, file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, one in self._named_texts():
                try:
                    archive.write(self.root / one.path, _encodable(one.path), zipfile.ZIP_STORED)
                except OSError:
                    self.done.leave_out(one.path)
                else:
                    archive.writestr(zipfile.ZipInfo(name, _EPOCH), f"{one.text}\n", zipfile.ZIP_DEFLATED)

    def _named_texts(self) -> Iterator[tuple[str, CaptionedPicture]]:
        """The name of the text file of each picture."""
        names: set[str] = set()
        for one in self._counted():
            name = _encodable(caption_file(one.path, Form.TXT).as_posix())
            if name in names:  # a.jpg and a.png
                name = f"{_encodable(one.path)}.txt"
            names.add(name)
            yield name, one

    def _sidecars(self, file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for one in self._counted():
                xmp = Xmp.new()
                _fields(one).apply(xmp)
                name = _encodable(caption_file(one.path, Form.XMP).as_posix())
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), xmp.to_bytes(), zipfile.ZIP_DEFLATED)

    def _csv(self, file: BinaryIO) -> None:
        out = io.TextIOWrapper(file, "utf-8-sig", errors="backslashreplace", newline="", write_through=True)
        try:
            writer = csv.writer(out)
            writer.writerow(("file_name", "text"))
            writer.writerows((cell(one.path), cell(one.text)) for one in self._counted())
        finally:
            out.detach()

    def _json_lines(self, file: BinaryIO) -> None:
        if self.detailed:
            write_json_lines(file, self._rows())
            return
        for one in self._counted():
            file.write(as_bytes(json.dumps(_plain(one), ensure_ascii=False)) + b"\n")

    def _parquet(self, file: BinaryIO) -> None:
        check_parquet()
        if self.detailed:
            write_parquet(file, self._rows())
            return
        import pyarrow
        import pyarrow.parquet

        schema = pyarrow.schema([(name, pyarrow.string()) for name in ("file_name", "text")])
        with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for some in batched(self._counted(), _ROWS):
                values = [{name: _encodable(text) for name, text in _plain(one).items()} for one in some]
                writer.write_table(pyarrow.Table.from_pylist(values, schema))

    def _coco(self, file: BinaryIO) -> None:
        write_coco(file, self._rows(), description="captions by inquisight", truncated=self.detailed)

    def _tar(self, file: BinaryIO, rows: Iterable[tuple[int, CaptionedPicture]]) -> None:
        with tarfile.TarFile(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for number, one in rows:
                try:
                    with (self.root / one.path).open("rb") as opened:
                        picture = opened.read(MAX_BYTES)
                except OSError:
                    self.done.leave_out(one.path)
                    continue
                add_sample(tar, number, picture, one.text, self._facts(number, one))

    def _facts(self, number: int, one: CaptionedPicture) -> dict[str, object]:
        """The .json of a sample."""
        if not self.detailed:
            return _plain(one)
        if one.interview is None:
            return {"key": one.path, "caption": one.text}
        return record(CaptionRow(number, one.path, _edited(one.interview, one.text), None))

    def _rows(self) -> Iterator[CaptionRow]:
        """The rows of a batch; images that cannot be read have none."""
        for number, one in enumerate(self._counted()):
            caption = one.interview
            if caption is None:
                try:
                    caption = Caption(picture=open_picture(self.root / one.path, name=one.path).info())
                except ImageError:
                    self.done.leave_out(one.path)
                    continue
            yield CaptionRow(number, one.path, _edited(caption, one.text), None)


def check_kind(path: Path, name: str | None = None) -> str:
    """The format `name`, or the one that the suffix selects. Raises UsageError."""
    shown = printable(path)
    if name is None:
        name = KINDS.get(path.suffix.lower())
    elif name not in FORMATS:
        raise UsageError(f"there is no format '{printable(name, 40)}'; there is {', '.join(FORMATS)}")
    elif path.suffix.lower() != FORMATS[name].suffix:
        raise UsageError(f"'{shown}': the name of a file of the format {name} must end in {FORMATS[name].suffix}")
    if name is None:
        known = ", ".join(f"{suffix} ({FORMATS[one].label})" for suffix, one in KINDS.items())
        raise UsageError(f"'{shown}': the name selects the format and must end in one of {known}")
    if name == "parquet":
        check_parquet()
    return name


def export_captions(
    folder: CaptionFolder,
    path: Path,
    query: CaptionQuery | None = None,
    *,
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the captions of the matching images, by path, to `path`; `progress` gets their number so far.

    `name`: one of `FORMATS` [the one that the suffix selects].

    Raises UsageError for an unknown format or a file that exists, StoreError for one that cannot be written.
    """
    name = check_kind(path, name)
    query = query or CaptionQuery()
    without = folder.count(replace(query, captioned=False)) if query.captioned is not False else 0
    pictures = (CaptionedPicture(one.path, one.text or "") for one in folder.each(replace(query, captioned=True)))
    export = Export(folder.root, pictures, progress=progress, done=Exported(without=without))
    return export.write(name, path, shards=name == "webdataset", overwrite=overwrite)


def write_beside(root: Path, pictures: Iterable[CaptionedPicture]) -> int:
    """Write an XMP sidecar beside each picture; what else is in one stays. Returns their number.

    Raises CaptionError.
    """
    written = 0
    for one in pictures:
        write_fields(existing_xmp(root / one.path), _fields(one))
        written += 1
    return written


def _fields(one: CaptionedPicture) -> CaptionFields:
    found = one.interview
    models = (found.vision.get("name", ""), found.questioner.get("name", "")) if found is not None else ()
    return CaptionFields(one.text, writer=", ".join(filter(None, models)), tool=TOOL, date=datetime.now(UTC))


def _edited(caption: Caption, text: str) -> Caption:
    """The interview with the caption that the picture has now; claims are of the text that was checked."""
    return caption if caption.chosen == text else caption.model_copy(update={"styles": ()}).edited(text)


def _plain(one: CaptionedPicture) -> dict[str, object]:
    return {"file_name": one.path, "text": one.text}


def _encodable(text: object) -> str:
    """Text without the lone surrogates of names that are not UTF-8."""
    return as_bytes(str(text)).decode()
