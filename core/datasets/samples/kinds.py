"""Detect what kind of data set a path is, and open it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from core.datasets.folders import entries_below, suffix_of
from core.datasets.left_out import LeftOut
from core.datasets.samples.parquet import ParquetSource
from core.datasets.samples.sample import DataError
from core.datasets.samples.shards import ShardSource
from core.datasets.samples.sources import SampleSource
from core.datasets.samples.spec import DataSpec, Kind
from core.datasets.samples.tables import ALIGNED, TABLES, AlignSource, FolderSource, TableSource
from core.datasets.samples.vqa import VqaSource, is_questions, questions_in
from core.errors import ImageError, UsageError, printable

_CLASSES: Final[Mapping[Kind, Callable[[DataSpec], SampleSource]]] = {
    "webdataset": ShardSource,
    "folder": FolderSource,
    "table": TableSource,
    "cc_sbu_align": AlignSource,
    "vqa": VqaSource,
}
METADATA: Final = ("metadata.jsonl", "metadata.csv", "metadata.parquet")  # as in Hugging Face's imagefolder


def open_source(spec: DataSpec) -> SampleSource:
    """Open a data set and read the list of its parts. Raises DataError, one line, if it cannot be used."""
    try:
        kind, path = detect(spec)
        found = spec if kind == "webdataset" else spec.model_copy(update={"path": str(path)})
        parquet = kind == "table" and (path.is_dir() or path.suffix.lower() == ".parquet")
        source = ParquetSource(found) if parquet else _CLASSES[kind](found)
    except (ImageError, UsageError) as error:
        raise DataError(str(error)) from None
    source.name = spec.path  # as the user wrote it
    if (folder := Path(spec.path).expanduser()).is_dir():
        source.folder = folder
    return source


def detect(spec: DataSpec) -> tuple[Kind, Path]:
    """Return (kind, path) of a spec; for a folder that a table in it describes, the table's path. Raises UsageError."""
    path = Path(spec.path).expanduser()
    if spec.kind != "auto":
        return spec.kind, _described(path) if spec.kind == "table" else path
    quoted = printable(spec.path)
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        suffix = path.suffix.lower()
        if path.name == ALIGNED:
            return "cc_sbu_align", path
        if suffix == ".tar":
            return "webdataset", path
        if is_questions(path):
            return "vqa", path
        if suffix in TABLES:
            return "table", path
        known = ", ".join((".tar", *TABLES))
        raise UsageError(f"{quoted} is no data set: name a folder, or a file that ends in {known}.")
    if "{" in spec.path or "://" in spec.path or spec.path.startswith("pipe:"):
        return "webdataset", path
    raise UsageError(f"{quoted} does not exist; check the path.")


def _folder(path: Path) -> tuple[Kind, Path]:
    if (path / ALIGNED).is_file():
        return "cc_sbu_align", path
    if (questions := questions_in(path)) is not None:
        return "vqa", questions
    if (table := _described(path)) != path:
        return "table", table
    suffixes = {suffix_of(entry.name) for entry in entries_below(str(path), LeftOut())}
    if ".tar" in suffixes:
        return "webdataset", path
    if ".parquet" in suffixes:
        return "table", path
    # A .json may as well be the text of a picture.
    tables = sorted(file for file in path.iterdir() if file.suffix.lower() in TABLES and file.suffix.lower() != ".json")
    return ("table", tables[0]) if len(tables) == 1 else ("folder", path)


def _described(path: Path) -> Path:
    return next((path / name for name in METADATA if (path / name).is_file()), path)
