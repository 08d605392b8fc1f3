"""Everything that is a list of rows: tables, a folder of pictures with texts beside them, the cc_sbu_align layout."""

from __future__ import annotations

import base64
import binascii
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from core.errors import printable
from core.sniff import SUFFIXES
from training.data.rows import CHUNK, Row, Rows, open_csv, open_json, open_json_lines, spooled, walk
from training.data.samples import BrokenSample, DataError, Sample, caption_of, picture_file
from training.data.shards import CAPTION, TEXT_SUFFIXES, json_object
from training.data.sources import Place, Source, digest, file_size
from training.data.spec import DataSpec, Kind

TABLES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
PICTURE_COLUMNS: Final = (
    "picture", "image", "file_name", "filename", "file", "path", "image_path", "picture_path", "jpg", "png", "img"
)  # fmt: skip
TEXT_COLUMNS: Final = ("caption", "text", "description", "txt", "answer", "target", "title")
ALIGNED: Final = "filter_cap.json"


class RowSource(Source):
    """Rows that point at pictures: reading a row is cheap, so every process reads all rows and takes its own."""

    rows: Rows
    root: Path  # what paths in rows are relative to

    @property
    def parts(self) -> int:
        return self.rows.chunks

    def count(self) -> int | None:
        return self.rows.count

    def read(self, part: int, cursor: int = 0) -> Iterator[Place]:
        for number, row in self.rows.read(part, cursor):
            key = self.key(part * CHUNK + number, row)
            yield Place(number, number + 1, key, lambda key=key, row=row: self._load(key, row))  # type: ignore[misc]

    def _load(self, key: str, row: Row) -> Sample:
        if row is None:
            raise BrokenSample(key, "the line is not a JSON object", "broken row")
        return self.sample(key, row)

    @abstractmethod
    def key(self, number: int, row: Row) -> str:
        """A name that is unique in this source."""

    @abstractmethod
    def sample(self, key: str, row: dict[str, Any]) -> Sample:
        """Read what the row points at. Raises BrokenSample. Called from several threads."""


class FolderSource(RowSource):
    """Pictures in a folder and its subfolders, each with NAME.txt or NAME.json beside it."""

    kind: ClassVar[Kind] = "folder"

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        self.root = Path(spec.path).expanduser()
        if not self.root.is_dir():
            raise DataError(f"{printable(spec.path)} is not a folder; check the path.")
        self.rows = spooled(walk(self.root, SUFFIXES), spec.path)
        if not self.rows.count:
            raise DataError(f"{printable(spec.path)} holds no pictures; check the path.")

    def identity(self) -> str:
        return digest((self.rows.count, *(self._name(chunk) for chunk in range(self.rows.chunks))))

    def _name(self, chunk: int) -> Row:
        return next(self.rows.read(chunk))[1]

    def key(self, number: int, row: Row) -> str:
        return str((row or {})["path"])

    def sample(self, key: str, row: dict[str, Any]) -> Sample:
        path = self.root / key
        spec = self.spec
        texts = [] if spec.text_column else [path.with_suffix(f".{suffix}") for suffix in TEXT_SUFFIXES]
        beside = path.with_suffix(".json")
        text = next((file for file in texts if file.is_file()), None)
        fields: dict[str, Any] = {}
        if text is None or spec.instruction_column:
            if not beside.is_file():
                raise BrokenSample(key, f"it has no {path.stem}.txt or {path.stem}.json beside it", "missing caption")
            fields = json_object(_small_file(beside, key), key)
        caption = _small_file(text, key) if text else fields.get(spec.text_column or CAPTION)
        what = f"its {text.suffix}" if text else f"'{spec.text_column or CAPTION}' in its .json"
        return _sample(self, key, picture_file(path, key), caption_of(caption, key, what), fields)


class TableSource(RowSource):
    """A CSV, TSV, JSON or JSON Lines file with a column of pictures and one of texts."""

    kind: ClassVar[Kind] = "table"

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        self.path = Path(spec.path).expanduser()
        self.size = file_size(self.path)
        self.root = self.path.parent
        suffix = self.path.suffix.lower()
        if suffix in (".csv", ".tsv"):
            self.rows, columns = open_csv(self.path)
        else:
            self.rows = open_json(self.path, "item") if suffix == ".json" else open_json_lines(self.path)
            columns = list(next((row for _, row in self.rows.read(0) if row), {})) if self.rows.count else []
        if not self.rows.count:
            raise DataError(f"{printable(spec.path)} holds no rows.")
        self.picture, self.text = columns_of(spec, columns)

    def identity(self) -> str:
        return digest((self.path.name, self.size, self.rows.count))

    def key(self, number: int, row: Row) -> str:
        return f"{self.path.name}:{number + 1}"

    def sample(self, key: str, row: dict[str, Any]) -> Sample:
        return table_sample(self, key, row, self.root, self.picture, self.text)


class AlignSource(RowSource):
    """The released stage-2 data: filter_cap.json = {"annotations": [{"image_id", "caption"}]} and image/ID.jpg.

    Source: the dataset of Vision-CAIR/MiniGPT-4, `minigpt4/datasets/datasets/cc_sbu_dataset.py`.
    """

    kind: ClassVar[Kind] = "cc_sbu_align"

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        path = Path(spec.path).expanduser()
        file = path / ALIGNED if path.is_dir() else path
        self.size = file_size(file)
        self.root = file.parent / "image"
        if not self.root.is_dir():
            raise DataError(f"{printable(spec.path)} has no folder image/ beside {file.name}.")
        self.rows = open_json(file, "annotations.item")
        if not self.rows.count:
            raise DataError(f'{printable(file)} holds no {{"annotations": [...]}}.')

    def identity(self) -> str:
        return digest((self.size, self.rows.count))

    def key(self, number: int, row: Row) -> str:
        return f"{(row or {}).get('image_id', 'no image_id')}#{number + 1}"

    def sample(self, key: str, row: dict[str, Any]) -> Sample:
        name = row.get("image_id")
        if not isinstance(name, str | int) or isinstance(name, bool) or "/" in str(name):
            raise BrokenSample(key, "its image_id is missing or not a name", "broken row")
        caption = caption_of(row.get(self.spec.text_column or CAPTION), key)
        return _sample(self, key, picture_file(self.root / f"{name}.jpg", key), caption, row)


def columns_of(spec: DataSpec, columns: Sequence[str]) -> tuple[str, str]:
    """The names of the picture's and the text's column. Raises DataError that lists what there is."""

    def choose(wanted: str | None, usual: Sequence[str], what: str) -> str:
        if wanted is None:
            by_name = {name.strip().lower(): name for name in reversed(columns)}
            found = next((by_name[name] for name in usual if name in by_name), None)
        else:
            found = wanted if wanted in columns else None
        if found is None:
            there = ", ".join(printable(name, 40) for name in columns[:12]) or "none"
            asked = f"no column {printable(wanted)!r}" if wanted else f"no column that looks like the {what}"
            raise DataError(f"{printable(spec.path)} has {asked}; it has {there}: set {what}_column.")
        return found

    picture = choose(spec.picture_column, PICTURE_COLUMNS, "picture")
    text = choose(spec.text_column, TEXT_COLUMNS, "text")
    if spec.instruction_column:
        choose(spec.instruction_column, (), "instruction")
    return picture, text


def table_sample(source: Source, key: str, row: dict[str, Any], root: Path, picture: str, text: str) -> Sample:
    """A row of a table with its picture. Raises BrokenSample."""
    caption = caption_of(row.get(text), key, f"its '{text}'")
    return _sample(source, key, _picture(row.get(picture), key, root), caption, row)


def _picture(value: Any, key: str, root: Path) -> bytes:
    """Bytes as they are, {"bytes", "path"} as Hugging Face writes it, base64 as data:..., or a path."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes) and value:
        return value
    if not isinstance(value, str) or not value.strip():
        raise BrokenSample(key, "it names no picture", "missing picture")
    name = value.strip()
    if name.startswith("data:image/"):
        try:
            return base64.b64decode(name.partition(",")[2], validate=True)
        except binascii.Error:
            raise BrokenSample(key, "its picture is not proper base64") from None
    if name.startswith(("http://", "https://")):
        reason = "its picture is a web address; download the pictures first, with img2dataset for instance"
        raise BrokenSample(key, reason, "picture on the web")
    return picture_file(root / name, key)


def _sample(source: Source, key: str, picture: bytes, text: str, fields: dict[str, Any]) -> Sample:
    column = source.spec.instruction_column
    asked = caption_of(fields.get(column), key, "its instruction") if column else source.spec.instruction
    return Sample(key, source.name, picture, text, asked)


def _small_file(path: Path, key: str) -> bytes:
    """A text beside a picture. Raises BrokenSample."""
    try:
        if path.stat().st_size > 1 << 20:
            raise BrokenSample(key, f"{printable(path.name)} is larger than a megabyte", "unreadable caption")
        return path.read_bytes()
    except OSError as error:
        raise BrokenSample(
            key, f"{printable(path.name)} cannot be read: {error.strerror}", "unreadable caption"
        ) from None
