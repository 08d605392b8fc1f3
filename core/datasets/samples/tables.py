"""Data sets that are a list of rows: tables, a folder of pictures with texts beside them, the cc_sbu_align layout."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from core.datasets.folders import no_pictures, pictures_below
from core.datasets.samples.captions import (
    ANSWERS,
    CAPTION,
    QUESTION,
    TEXT_SUFFIXES,
    caption_beside,
    make_sample,
    picture_file,
)
from core.datasets.samples.rows import CHUNK, RowFile, open_json, spooled
from core.datasets.samples.sample import BrokenSample, Sample, answers_of, caption_of
from core.datasets.samples.sources import SamplePlace, SampleSource, attempt, digest, file_size
from core.datasets.samples.spec import DataSpec, Kind
from core.datasets.shards import stem_of
from core.datasets.tables import (
    PICTURE_COLUMNS,
    NoPicture,
    TableRow,
    TextTable,
    choose_column,
    is_path,
    picture_of,
    pictures_in,
)
from core.errors import UsageError, printable
from core.files.paths import located

TABLES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
TEXT_COLUMNS: Final = ("caption", "text", "description", "txt", "answer", "target", "title")
ALIGNED: Final = "filter_cap.json"


class RowSource(SampleSource):
    """Rows that name pictures: reading a row is cheap, so every process reads all rows and uses its own."""

    rows: RowFile
    root: Path  # what paths in rows are relative to

    @property
    def parts(self) -> int:
        return len(self.rows.places)

    def count(self) -> int | None:
        return self.rows.count

    def read(self, part: int, cursor: int = 0) -> Iterator[SamplePlace]:
        for number, row in self.rows.read(part, cursor):
            key = self.key(part * CHUNK + number, row.fields or {})
            yield SamplePlace(number, number + 1, key, partial(attempt, self._load, key, row))

    def _load(self, key: str, row: TableRow) -> Sample:
        if row.fields is None:
            raise BrokenSample(key, f"the row {row.problem}", "broken row")
        return self.sample(key, row.fields)

    def named(self) -> Iterator[str]:
        for part in range(self.parts):
            for _, row in self.rows.read(part):
                yield from self.paths(row.fields or {})

    @abstractmethod
    def paths(self, row: dict[str, Any]) -> Iterator[str]:
        """Yield the paths of the pictures that a row names."""

    @abstractmethod
    def key(self, number: int, row: dict[str, Any]) -> str:
        """Return a name that is unique in this source."""

    @abstractmethod
    def sample(self, key: str, row: dict[str, Any]) -> Sample:
        """Read the picture and the text of a row. Raises BrokenSample. Called from several threads."""


class FolderSource(RowSource):
    """Pictures in a folder and its subfolders, each with NAME.txt or NAME.json beside it."""

    kind: ClassVar[Kind] = "folder"

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        self.root = Path(spec.path).expanduser()
        if not self.root.is_dir():
            raise UsageError(f"{printable(spec.path)} is not a folder; check the path.")
        found = pictures_below(str(self.root), self.left_out, ordered=True)
        self.rows = spooled(({"path": os.path.relpath(path, self.root)} for path in found), spec.path)
        if not self.rows.count:
            raise no_pictures(printable(spec.path), self.left_out)

    def identity(self) -> str:
        firsts = (next(self.rows.read(chunk))[1].fields for chunk in range(self.parts))
        return digest((self.rows.count, *firsts))

    def survey(self) -> None:
        """Do nothing: everything was counted when the folder was listed."""

    def paths(self, row: dict[str, Any]) -> Iterator[str]:
        yield str(self.root / row["path"])

    def key(self, number: int, row: dict[str, Any]) -> str:
        return str(row["path"])

    def sample(self, key: str, row: dict[str, Any]) -> Sample:
        path = self.root / key
        beside = {suffix: _beside(path, f".{suffix}") for suffix in (*TEXT_SUFFIXES, "json")}
        texts = {
            suffix: partial(_small_file, file, key)
            for suffix, file in beside.items()
            if file != path and file.is_file()
        }
        caption, fields = caption_beside(self.spec, key, texts)
        return make_sample(self, key, picture_file(path, key), caption, fields)


class TableSource(RowSource):
    """A CSV, TSV, JSON or JSON Lines file with a column of pictures and one of texts."""

    kind: ClassVar[Kind] = "table"

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        self.path = Path(spec.path).expanduser()
        self.size = file_size(self.path)
        self.root = self.path.parent
        if self.path.suffix.lower() == ".json":
            self.rows = open_json(self.path, "item")
            some = self.rows.read(0) if self.rows.count else iter(())
            columns = list(dict.fromkeys(name for _, row in some for name in row.fields or ()))
        else:
            table = TextTable(self.path)
            self.rows, columns = RowFile(table.open(), table.rows), table.columns
        if not self.rows.count:
            raise UsageError(f"{printable(spec.path)} holds no rows.")
        self.picture, self.text = columns_of(spec, columns)

    def identity(self) -> str:
        return digest((self.path.name, self.size, self.rows.count))

    def paths(self, row: dict[str, Any]) -> Iterator[str]:
        return (located(str(self.root), one) for one in pictures_in(row.get(self.picture)) if is_path(one))

    def key(self, number: int, row: dict[str, Any]) -> str:
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
            raise UsageError(f"{printable(spec.path)} has no folder image/ beside {file.name}.")
        self.rows = open_json(file, "annotations.item")
        if not self.rows.count:
            raise UsageError(f'{printable(file)} holds no {{"annotations": [...]}}.')

    def identity(self) -> str:
        return digest((self.size, self.rows.count))

    def paths(self, row: dict[str, Any]) -> Iterator[str]:
        yield str(self.root / f"{row.get('image_id')}.jpg")

    def key(self, number: int, row: dict[str, Any]) -> str:
        return f"{row.get('image_id', 'no image_id')}#{number + 1}"

    def sample(self, key: str, row: dict[str, Any]) -> Sample:
        name = row.get("image_id")
        if not isinstance(name, str | int) or isinstance(name, bool) or "/" in str(name):
            raise BrokenSample(key, "its image_id is missing or not a name", "broken row")
        caption = caption_of(row.get(self.spec.text_column or CAPTION), key)
        return make_sample(self, key, picture_file(self.root / f"{name}.jpg", key), caption, row)


def columns_of(spec: DataSpec, columns: Sequence[str]) -> tuple[str, str]:
    """Return the columns of the picture and of the text. Raises UsageError that lists the columns."""

    def choose(requested: str | None, usual: Sequence[str], what: str) -> str:
        return choose_column(spec.path, columns, requested, usual, what=f"the {what}", way=f"set {what}_column")

    if spec.instruction_column:
        choose(spec.instruction_column, (), "instruction")
    elif spec.questions and spec.instruction is None and QUESTION not in columns:
        listed = ", ".join(printable(column, 40) for column in columns[:12])
        raise UsageError(
            f"'{printable(spec.path)}' has no column '{QUESTION}'; it has {listed}: set instruction_column."
        )
    picture = choose(spec.picture_column, PICTURE_COLUMNS, "picture")
    return picture, choose(spec.text_column, ANSWERS if spec.questions else TEXT_COLUMNS, "text")


def table_sample(source: SampleSource, key: str, row: dict[str, Any], root: Path, picture: str, text: str) -> Sample:
    """Read a row of a table with its picture. Raises BrokenSample."""
    texts = answers_of if source.spec.questions else caption_of
    caption: str | Sequence[str] = texts(row.get(text), key, f"its '{text}'")
    return make_sample(source, key, _picture(row.get(picture), key, root), caption, row)


def _picture(value: Any, key: str, root: Path) -> bytes:
    """Return the bytes of the one picture of a cell. Raises BrokenSample."""
    found = pictures_in(value)
    if len(found) > 1:
        raise BrokenSample(key, f"it names {len(found)} pictures; give each of them a row of its own", "broken row")
    try:
        picture = picture_of(found[0])
    except NoPicture as error:
        if isinstance(found[0], str) and found[0]:
            raise BrokenSample(key, f"its picture {error}") from None
        raise BrokenSample(key, f"it {error}", "missing picture") from None
    if isinstance(picture, bytes):
        return picture
    if picture.startswith(("http://", "https://")):
        reason = "its picture is a web address; download the pictures first, with img2dataset for instance"
        raise BrokenSample(key, reason, "picture on the web")
    return picture_file(Path(located(str(root), picture)), key)


def _beside(path: Path, suffix: str) -> Path:
    """photo.v2.jpg -> photo.v2.txt; for a name without the suffix of a picture also v1.0 -> v1.0.txt."""
    whole = path.with_name(stem_of(path.name) + suffix)
    return whole if whole.is_file() else path.with_suffix(suffix)


def _small_file(path: Path, key: str) -> bytes:
    """Read a text beside a picture. Raises BrokenSample."""
    try:
        if path.stat().st_size <= 1 << 20:
            return path.read_bytes()
        reason = "is larger than a megabyte"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    raise BrokenSample(key, f"{printable(path.name)} {reason}", "unreadable caption")
