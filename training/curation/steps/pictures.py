"""Which pictures are described: from folders, lists, tables and the cc_sbu_align layout, each with its own name."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from core.datasets.folders import find_pictures
from core.datasets.left_out import REPEATED, UNNAMED, LeftOut
from core.datasets.tables import TextTable, choose_column, is_path, pictures_in
from core.datasets.text_lines import names_in
from core.errors import UsageError, printable
from core.files.paths import located
from training.curation.folder import digest

Kind = Literal["auto", "folder", "list", "table", "cc_sbu_align"]
KINDS: Final = get_args(Kind)
ANNOTATIONS: Final = "filter_cap.json"  # of the released stage-2 data: {"annotations": [{"image_id", "caption"}]}
TABLES: Final = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})
COLUMNS: Final = ("image", "picture", "image_path", "path", "file", "file_name", "filename")
NAMES: Final = ("image_id", "id")


@dataclass(frozen=True, slots=True)
class CurationPicture:
    """One picture that is to be described: its name in this curation, and where it lies."""

    id: str
    path: str

    def record(self) -> dict[str, str]:
        return {"id": self.id, "path": self.path}


def list_pictures(
    sources: Sequence[str],
    *,
    kind: Kind = "auto",
    column: str | None = None,
    sample: int | None = None,
    seed: int = 0,
    left_out: LeftOut | None = None,
) -> list[CurationPicture]:
    """Every picture the sources name, once, in order; `sample` takes that many of them by chance, order kept.

    `left_out` counts what the sources hold and is not among them.
    Raises UsageError where a source cannot be read, and ImageError for a folder without pictures. Whether a picture
    can be opened shows when it is described.
    """
    if not sources:
        raise UsageError("name at least one folder, table or list of pictures.")
    left_out = LeftOut() if left_out is None else left_out
    paths: dict[str, str] = {}
    for source in sources:
        for name, path in _found(source, kind, column, left_out):
            if (place := os.path.abspath(path)) in paths:
                left_out.add(REPEATED, path)
            else:
                paths[place] = name
    taken: set[str] = set()
    entries = [CurationPicture(_unused(name, taken), path) for path, name in paths.items()]
    if not entries:
        raise UsageError(f"'{printable(sources[0])}' names no pictures.")
    if sample is not None and sample < len(entries):
        chosen = sorted(random.Random(f"pictures:{seed}").sample(range(len(entries)), sample))
        entries = [entries[index] for index in chosen]
    return entries


def fingerprint(entries: Iterable[CurationPicture]) -> str:
    """The same for the same pictures in the same order, wherever their folder lies."""
    return digest([entry.id for entry in entries])


def _found(source: str, kind: Kind, column: str | None, left_out: LeftOut) -> Iterator[tuple[str, str]]:
    """(name, path) for each picture."""
    path = Path(source)
    shown = f"'{printable(source)}'"
    actual = _kind_of(path) if kind == "auto" else kind
    if not path.exists():
        raise UsageError(f"{shown} does not exist; name a folder, a table or a picture.")
    if actual in ("folder", "cc_sbu_align") and not path.is_dir():
        raise UsageError(f"{shown} is a file, not a folder of the kind {actual}.")
    if actual in ("list", "table") and path.is_dir():
        raise UsageError(f"{shown} is a folder, not a {actual}; leave --kind out, or name the file.")
    if actual == "folder":
        for one in find_pictures([path], left_out):
            yield one.relative_to(path).with_suffix("").as_posix(), str(one)
    elif actual == "cc_sbu_align":
        yield from _aligned(path, shown, left_out)
    elif actual == "list":
        try:
            with path.open("rb") as file:
                for name in map(str.strip, names_in(file, source)):
                    if not name.startswith("#"):
                        found = located(str(path.parent), name)
                        yield Path(found).stem, found
        except OSError as error:
            raise UsageError(f"{shown} cannot be read: {(error.strerror or 'unknown error').lower()}.") from None
    elif actual == "table":
        yield from _table(path, column, shown)
    else:
        yield path.stem, str(path)


def _kind_of(path: Path) -> str:
    if path.is_dir():
        return "cc_sbu_align" if (path / ANNOTATIONS).is_file() else "folder"
    if path.suffix.lower() in TABLES:
        return "table"
    return "list" if path.suffix.lower() in {".txt", ".lst"} else "picture"


def _aligned(path: Path, shown: str, left_out: LeftOut) -> Iterator[tuple[str, str]]:
    """The layout of the released stage-2 data: image/{image_id}.jpg beside filter_cap.json."""
    file = path / ANNOTATIONS
    if not file.is_file():
        for one in find_pictures([path / "image"], left_out):
            yield one.stem, str(one)
        return
    try:
        names = [str(one["image_id"]) for one in json.loads(_text(file, shown))["annotations"]]
    except (ValueError, KeyError, TypeError):
        raise UsageError(f'\'{printable(file)}\' is not {{"annotations": [{{"image_id": ...}}]}}.') from None
    image = path / "image"
    there = {str(one): one.stem for one in (find_pictures([image], left_out) if image.is_dir() else ())}
    of_name = {stem: one for one, stem in reversed(there.items())}
    for name in names:
        yield name, of_name.get(name, str(image / f"{name}.jpg"))
    for unnamed in sorted(there.keys() - {of_name.get(name) for name in names}):
        left_out.add(UNNAMED, unnamed)


def _table(path: Path, column: str | None, shown: str) -> Iterator[tuple[str, str]]:
    known, rows = _parquet(path, shown) if path.suffix.lower() == ".parquet" else _rows(path)
    wanted = ""
    if known:
        wanted = choose_column(path, known, column, COLUMNS, what="pictures", way="choose one with --column")
    for number, (row, problem) in enumerate(rows, start=1):
        if row is None:
            raise UsageError(f"row {number} of {shown} {problem}.")
        for value in pictures_in(row.get(wanted)):
            if not is_path(value):
                raise UsageError(f"row {number} of {shown} has no path of a picture in '{printable(wanted, 60)}'.")
            found = located(str(path.parent), value)
            yield next((str(row[key]) for key in NAMES if row.get(key) not in (None, "")), Path(found).stem), found


def _rows(path: Path) -> tuple[list[str], Iterator[tuple[dict[str, Any] | None, str]]]:
    """The columns of a text table, and its rows with what is wrong with them."""
    table = TextTable(path)

    def rows() -> Iterator[tuple[dict[str, Any] | None, str]]:
        with table.open() as file:
            for row in table.rows(file):
                yield row.fields, row.problem

    return table.columns, rows()


def _parquet(path: Path, shown: str) -> tuple[list[str], Iterator[tuple[dict[str, Any] | None, str]]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UsageError(f"{shown} needs a package: pip install pyarrow; or save it as CSV or JSONL.") from None
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError):  # pyarrow's own errors are ValueErrors
        raise UsageError(f"{shown} is not a Parquet file that can be read.") from None
    return list(table.column_names), ((row, "") for row in table.to_pylist())


def _text(path: Path, shown: str) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {(error.strerror or 'unknown error').lower()}.") from None
    except ValueError:
        raise UsageError(f"{shown} is not UTF-8 text; save it as UTF-8.") from None


def _unused(name: str, taken: set[str]) -> str:
    """`name` as it can stand in a file name, numbered where it is taken; capitals alone tell no files apart."""
    base = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "picture"
    base = base[-80:]
    chosen, number = base, 1
    while chosen.lower() in taken:
        number += 1
        chosen = f"{base}-{number}"
    taken.add(chosen.lower())
    return chosen
