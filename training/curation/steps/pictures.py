"""List the pictures to describe, from folders, lists, tables and the cc_sbu_align layout, each with its own name."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from core.datasets.folders import find_pictures
from core.datasets.left_out import REPEATED, UNNAMED, LeftOut
from core.datasets.parquet import open_parquet, read_batches
from core.datasets.pictures.inputs import PARQUET, TEXT_TABLES
from core.datasets.samples.rows import open_json
from core.datasets.samples.tables import ALIGNED
from core.datasets.tables import PICTURE_COLUMNS, TableRow, TextTable, choose_column, is_path, pictures_in
from core.datasets.text_lines import names_in
from core.errors import UsageError, printable, why
from core.files.paths import located
from training.curation.folder import digest

Kind = Literal["auto", "folder", "list", "table", "cc_sbu_align"]
KINDS: Final = get_args(Kind)
TABLES: Final = (*TEXT_TABLES, PARQUET)
NAMES: Final = ("image_id", "id")


@dataclass(frozen=True, slots=True)
class CurationPicture:
    """A picture to describe: its name in this curation, and its path."""

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
    """Return every picture the sources name, once, in order; `sample` draws that many of them, in order.

    `left_out` counts what the sources hold and is not among them. Raises UsageError if a source cannot be read, and
    ImageError for a folder without pictures. Whether a picture can be opened is found when it is described.
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
    """Return a digest of the pictures and their order, independent of their folder."""
    return digest([entry.id for entry in entries])


def _found(source: str, kind: Kind, column: str | None, left_out: LeftOut) -> Iterator[tuple[str, str]]:
    """Yield (name, path) of each picture."""
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
            raise UsageError(f"{shown} cannot be read: {why(error)}.") from None
    elif actual == "table":
        yield from _table(path, column, shown)
    else:
        yield path.stem, str(path)


def _kind_of(path: Path) -> str:
    if path.is_dir():
        return "cc_sbu_align" if (path / ALIGNED).is_file() else "folder"
    if path.suffix.lower() in TABLES:
        return "table"
    return "list" if path.suffix.lower() in {".txt", ".lst"} else "picture"


def _aligned(path: Path, shown: str, left_out: LeftOut) -> Iterator[tuple[str, str]]:
    """Read the layout of the released stage-2 data: image/{image_id}.jpg beside filter_cap.json."""
    file = path / ALIGNED
    if not file.is_file():
        for one in find_pictures([path / "image"], left_out):
            yield one.stem, str(one)
        return
    rows = open_json(file, "annotations.item")
    found = [row.fields or {} for part in range(len(rows.places)) for _, row in rows.read(part)]
    if not found or not all("image_id" in fields for fields in found):
        raise UsageError(f'\'{printable(file)}\' is not {{"annotations": [{{"image_id": ...}}]}}.')
    names = [str(fields["image_id"]) for fields in found]
    image = path / "image"
    there = {str(one): one.stem for one in (find_pictures([image], left_out) if image.is_dir() else ())}
    of_name = {stem: one for one, stem in reversed(there.items())}
    for name in names:
        yield name, of_name.get(name, str(image / f"{name}.jpg"))
    for unnamed in sorted(there.keys() - {of_name.get(name) for name in names}):
        left_out.add(UNNAMED, unnamed)


def _table(path: Path, column: str | None, shown: str) -> Iterator[tuple[str, str]]:
    is_parquet = path.suffix.lower() == PARQUET
    if is_parquet:
        with open_parquet(path) as table:
            known = table.schema_arrow.names
    else:
        known = TextTable(path).columns
    wanted = ""
    if known:  # else the first row reports what is wrong
        wanted = choose_column(path, known, column, PICTURE_COLUMNS, what="pictures", way="choose one with --column")
    columns = [name for name in known if name in (wanted, *NAMES)]
    for number, row in enumerate(_parquet_rows(path, columns) if is_parquet else _text_rows(path), start=1):
        if row.fields is None:
            raise UsageError(f"row {number} of {shown} {row.problem}.")
        for value in pictures_in(row.fields.get(wanted)):
            if not is_path(value):
                raise UsageError(f"row {number} of {shown} has no path of a picture in '{printable(wanted, 60)}'.")
            found = located(str(path.parent), value)
            ids = (str(row.fields[key]) for key in NAMES if row.fields.get(key) not in (None, ""))
            yield next(ids, Path(found).stem), found


def _text_rows(path: Path) -> Iterator[TableRow]:
    table = TextTable(path)
    with table.open() as file:
        yield from table.rows(file)


def _parquet_rows(path: Path, columns: list[str]) -> Iterator[TableRow]:
    for batch in read_batches(path, columns, 1024):
        yield from (TableRow(0, 0, fields) for fields in batch.to_pylist())


def _unused(name: str, taken: set[str]) -> str:
    """Return `name` as part of a file name, numbered if it is taken; case alone does not tell files apart."""
    base = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "picture"
    base = base[-80:]
    chosen, number = base, 1
    while chosen.lower() in taken:
        number += 1
        chosen = f"{base}-{number}"
    taken.add(chosen.lower())
    return chosen
