"""Rows of text files found again by number: only the place of every 64th is in memory.

A JSON Lines or CSV file is read where it is; a JSON array or a folder's listing is first spooled into a temporary file
as JSON Lines.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from core.errors import printable
from training.data.samples import DataError

CHUNK: Final = 64
Row = dict[str, Any] | None  # None: a line that is no row


class Lines:
    """The lines of a binary file from its present place on, with the byte at which the next one begins."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.offset = file.tell()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.file.readline()
        if not line:
            raise StopIteration
        self.offset += len(line)
        return line


Parse = Callable[[Lines], Iterator[Row]]


class Rows:
    """A file of rows in chunks of 64. `parse` must take lines only as it needs them."""

    def __init__(self, file: BinaryIO, parse: Parse, name: str, start: int = 0) -> None:
        self.file, self.parse, self.name = file, parse, name
        self.places = array("Q")  # the first byte of each chunk
        self.count = 0
        file.seek(start)
        lines = Lines(file)
        place = start
        for _ in self._parsed(lines):
            if self.count % CHUNK == 0:
                self.places.append(place)
            self.count += 1
            place = lines.offset

    @property
    def chunks(self) -> int:
        return len(self.places)

    def read(self, chunk: int, first: int = 0) -> Iterator[tuple[int, Row]]:
        """(number within the chunk, row) of a chunk's rows from `first` on."""
        self.file.seek(self.places[chunk])
        rows = list(islice(self._parsed(Lines(self.file)), CHUNK))  # all at once: the file is shared
        yield from islice(enumerate(rows), first, None)

    def _parsed(self, lines: Lines) -> Iterator[Row]:
        try:
            yield from self.parse(lines)
        except csv.Error as error:
            raise DataError(f"{printable(self.name)} is not a table after row {self.count}: {error}.") from None
        except OSError as error:
            raise DataError(f"{printable(self.name)} cannot be read: {error.strerror}.") from None


def json_lines(lines: Lines) -> Iterator[Row]:
    """One JSON object per line; blank lines do not count."""
    for line in lines:
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        yield value if isinstance(value, dict) else None


def spooled(rows: Iterable[dict[str, Any]], name: str) -> Rows:
    """Rows from anywhere, in a temporary file that vanishes with the process."""
    try:
        file = tempfile.TemporaryFile(prefix="inquisight-")  # noqa: SIM115 - it lives as long as the rows do
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=True, default=str).encode() + b"\n")
    except OSError as error:
        raise DataError(f"the list of {printable(name)} cannot be kept in {tempfile.gettempdir()}: {error}.") from None
    return Rows(file, json_lines, name)


def open_json_lines(path: Path) -> Rows:
    """The rows of a .jsonl file."""
    return Rows(path.open("rb"), json_lines, str(path))


def open_json(path: Path, prefix: str) -> Rows:
    """The objects of a JSON array, read as a stream; `prefix` is ijson's ("item", "annotations.item").

    Raises DataError where it is not JSON.
    """
    try:
        import ijson
    except ImportError:
        raise DataError("JSON files need ijson: pip install 'inquisight[train]'.") from None

    def objects() -> Iterator[dict[str, Any]]:
        with path.open("rb") as file:
            for value in ijson.items(file, prefix, use_float=True):
                yield value if isinstance(value, dict) else {}

    try:
        return spooled(objects(), str(path))
    except (ijson.JSONError, UnicodeDecodeError):
        raise DataError(f"{printable(path)} is not JSON or was cut short; copy it again.") from None


def open_csv(path: Path) -> tuple[Rows, list[str]]:
    """The rows of a .csv or .tsv file with a header line, and the names in it."""
    file = path.open("rb")
    first = file.readline()
    bom = 3 if first.startswith(b"\xef\xbb\xbf") else 0
    # A spreadsheet writes ; where the comma belongs to numbers.
    delimiter = max(",;\t", key=lambda one: (first.count(one.encode()), one == ","))
    file.seek(bom)
    lines = Lines(file)
    header = next(csv.reader(_decoded(lines), delimiter=delimiter), [])

    def parse(lines: Lines) -> Iterator[Row]:
        for values in csv.reader(_decoded(lines), delimiter=delimiter):
            if values:
                yield dict(zip(header, values, strict=False))

    return Rows(file, parse, str(path), start=lines.offset), header


def _decoded(lines: Lines) -> Iterator[str]:
    for line in lines:
        yield line.decode("utf-8", errors="surrogateescape")


def walk(folder: Path, suffixes: frozenset[str]) -> Iterator[dict[str, Any]]:
    """{"path": ...} of every picture below a folder, sorted within each folder; hidden ones are left out."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for one in sorted(files):
            if not one.startswith(".") and Path(one).suffix.lower() in suffixes:
                yield {"path": Path(here, one).relative_to(folder).as_posix()}
