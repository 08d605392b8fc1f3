"""Which pictures are described: from folders, lists, tables and the cc_sbu_align layout, each with its own name."""

from __future__ import annotations

import csv
import json
import os
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from core.errors import UsageError, printable
from core.images import find_pictures
from core.sniff import SUFFIXES
from training.curation.folder import digest

Kind = Literal["auto", "folder", "list", "table", "cc_sbu_align"]
KINDS: Final = get_args(Kind)
ANNOTATIONS: Final = "filter_cap.json"  # of the released stage-2 data: {"annotations": [{"image_id", "caption"}]}
TABLES: Final = frozenset({".csv", ".tsv", ".jsonl", ".parquet"})
COLUMNS: Final = ("image", "picture", "image_path", "path", "file", "file_name", "filename")
NAMES: Final = ("image_id", "id")


@dataclass(frozen=True, slots=True)
class Entry:
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
) -> list[Entry]:
    """Every picture the sources name, once, in order; `sample` takes that many of them by chance, order kept.

    Raises UsageError where a source cannot be read, and ImageError for a folder without pictures. Whether a picture
    can be opened shows when it is described.
    """
    if not sources:
        raise UsageError("name at least one folder, table or list of pictures.")
    paths: dict[str, str] = {}
    for source in sources:
        for name, path in _found(source, kind, column):
            paths.setdefault(os.path.abspath(path), name)
    taken: set[str] = set()
    entries = [Entry(_unused(name, taken), path) for path, name in paths.items()]
    if not entries:
        raise UsageError(f"'{printable(sources[0])}' names no pictures.")
    if sample is not None and sample < len(entries):
        chosen = sorted(random.Random(f"pictures:{seed}").sample(range(len(entries)), sample))
        entries = [entries[index] for index in chosen]
    return entries


def fingerprint(entries: Iterable[Entry]) -> str:
    """The same for the same pictures in the same order, wherever their folder lies."""
    return digest([entry.id for entry in entries])


def _found(source: str, kind: Kind, column: str | None) -> Iterator[tuple[str, str]]:
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
        for one in find_pictures([path]):
            yield one.relative_to(path).with_suffix("").as_posix(), str(one)
    elif actual == "cc_sbu_align":
        yield from _aligned(path, shown)
    elif actual == "list":
        for line in _text(path, shown).splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield Path(line.strip()).stem, str(path.parent / line.strip())
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


def _aligned(path: Path, shown: str) -> Iterator[tuple[str, str]]:
    """The layout of the released stage-2 data: image/{image_id}.jpg beside filter_cap.json."""
    file = path / ANNOTATIONS
    if not file.is_file():
        for one in find_pictures([path / "image"]):
            yield one.stem, str(one)
        return
    try:
        names = [str(one["image_id"]) for one in json.loads(_text(file, shown))["annotations"]]
    except (ValueError, KeyError, TypeError):
        raise UsageError(f'\'{printable(file)}\' is not {{"annotations": [{{"image_id": ...}}]}}.') from None
    lying = {one.stem: one for one in sorted((path / "image").glob("*")) if one.suffix.lower() in SUFFIXES}
    for name in names:
        yield name, str(lying.get(name, path / "image" / f"{name}.jpg"))


def _table(path: Path, column: str | None, shown: str) -> Iterator[tuple[str, str]]:
    rows = list(_rows(path, shown))
    known = list(rows[0]) if rows else []
    wanted = column or next((name for name in COLUMNS if name in known), None)
    if rows and (wanted is None or wanted not in known):
        missing = f"no column '{printable(column, 60)}'" if column else f"no column {', '.join(COLUMNS)}"
        raise UsageError(
            f"{shown} has {missing}; name one of its own with --column: {', '.join(map(printable, known))}."
        )
    for number, row in enumerate(rows, start=1):
        value = row.get(wanted or "")
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"row {number} of {shown} has no picture in the column '{printable(wanted, 60)}'.")
        name = next((str(row[key]) for key in NAMES if row.get(key) not in (None, "")), Path(value).stem)
        yield name, str(path.parent / value)


def _rows(path: Path, shown: str) -> Iterator[dict[str, Any]]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet(path, shown)
    elif suffix == ".jsonl":
        for number, line in enumerate(_text(path, shown).splitlines(), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise UsageError(f"line {number} of {shown} is no JSON object.")
            yield row
    else:
        text = _text(path, shown)
        yield from csv.DictReader(text.splitlines(), delimiter="\t" if suffix == ".tsv" else ",")


def _parquet(path: Path, shown: str) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UsageError(f"{shown} needs a package: pip install pyarrow; or save it as CSV or JSONL.") from None
    try:
        yield from parquet.read_table(path).to_pylist()
    except (OSError, ValueError):  # pyarrow's own errors are ValueErrors
        raise UsageError(f"{shown} is not a Parquet file that can be read.") from None


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
