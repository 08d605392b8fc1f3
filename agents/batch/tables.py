"""Tables of pictures: CSV, TSV, JSON Lines and Parquet. A cell holds a path, or the picture itself."""

from __future__ import annotations

import base64
import binascii
import csv
import json
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final

from agents.batch.inputs import BY_PATH, Found, Source, joined, unreadable
from agents.batch.listing import Item
from core.errors import ImageError, UsageError, printable

COLUMNS: Final = (
    "picture", "image", "file_name", "filename", "file", "path", "image_path", "picture_path", "jpg", "png", "img"
)  # fmt: skip
IN_ROW: Final = 0  # as the part of an item of a text table: the row at byte `cursor` holds the picture
ROWS: Final = 16  # of a Parquet table that are read at a time; pictures may be in them
_DATA: Final = "data:image/"


def choose_column(name: str, wanted: str | None, columns: Sequence[str]) -> str:
    """The column of the pictures. Raises UsageError that lists what there is."""
    if wanted is not None and wanted in columns:
        return wanted
    if wanted is None:
        by_name = {column.strip().lower(): column for column in reversed(columns)}
        if found := next((by_name[usual] for usual in COLUMNS if usual in by_name), None):
            return found
    there = ", ".join(printable(column, 40) for column in columns[:12]) or "none"
    asked = f"no column '{printable(wanted, 40)}'" if wanted else "no column that looks like pictures"
    raise UsageError(f"'{printable(name)}' has {asked}; it has {there}: choose one with --column")


class _Lines:
    """The lines of a file, and the byte at which the next one begins."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.offset = file, file.tell()

    def __iter__(self) -> Iterator[str]:
        while line := self.file.readline():
            self.offset += len(line)
            yield line.decode("utf-8", errors="surrogateescape")


class TextTable(Source):
    """CSV or TSV with a header line, or JSON Lines. Paths are relative to the table's own folder."""

    has_columns = True

    def __init__(self, name: str, column: str | None) -> None:
        super().__init__(name)
        self.folder = os.path.dirname(name)
        self.is_csv = name.lower().endswith((".csv", ".tsv"))
        self.header: list[str] = []
        self.delimiter = ","
        self.start = 0  # the first row's first byte
        with self._opened() as file:
            if self.is_csv:
                self._read_header(file)
            columns = self.header or self._first_keys(file)
        self.column = choose_column(name, column, columns)

    def scan(self) -> Iterator[Found]:
        with self._opened() as file:
            file.seek(self.start)
            for number, (begin, row) in enumerate(self._rows(file), start=1):
                value = _cell(row, self.column)
                if isinstance(value, str) and not value.startswith(_DATA):
                    yield joined(self.folder, value), BY_PATH, 0
                else:
                    yield f"{self.name}:{number}", IN_ROW, begin

    def read(self, item: Item) -> bytes | str:
        with self._opened() as file:
            file.seek(item.cursor)
            _, row = next(self._rows(file), (0, None))
        return _decoded(_cell(row, self.column), item.key, self.folder)

    def _opened(self) -> BinaryIO:
        try:
            return open(self.name, "rb")
        except OSError as error:
            raise unreadable(self.name, error) from None

    def _read_header(self, file: BinaryIO) -> None:
        first = file.readline()
        # A spreadsheet writes ; where the comma belongs to numbers.
        self.delimiter = max(",;\t", key=lambda one: (first.count(one.encode()), one == ","))
        file.seek(3 if first.startswith(b"\xef\xbb\xbf") else 0)
        lines = _Lines(file)
        try:
            self.header = next(csv.reader(lines, delimiter=self.delimiter), [])
        except csv.Error as error:
            raise self._no_table(0, error) from None
        self.start = lines.offset

    def _first_keys(self, file: BinaryIO) -> list[str]:
        for _, row in self._rows(file):
            if row:
                return list(row)
        raise UsageError(f"'{printable(self.name)}' holds no rows")

    def _rows(self, file: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """(first byte, row) from the present place on; None for a line that is no row."""
        lines = _Lines(file)
        begin = lines.offset
        try:
            if self.is_csv:
                for values in csv.reader(lines, delimiter=self.delimiter):
                    if values:
                        yield begin, dict(zip(self.header, values, strict=False))
                    begin = lines.offset
                return
            for line in lines:
                if line.strip("\ufeff \t\r\n"):
                    yield begin, _json_row(line)
                begin = lines.offset
        except (csv.Error, OSError) as error:
            raise self._no_table(begin, error) from None

    def _no_table(self, begin: int, error: Exception) -> UsageError:
        return UsageError(f"'{printable(self.name)}' is not a table near byte {begin}: {printable(error)}")


class ParquetTable(Source):
    """One Parquet file or several; the column holds paths, bytes, or {"bytes", "path"} as Hugging Face writes it."""

    has_columns = True

    def __init__(self, name: str, files: list[str], column: str | None) -> None:
        super().__init__(name)
        self.files = files
        table = self._opened(files[0])
        self.column = choose_column(files[0], column, list(table.schema_arrow.names))
        table.close()
        self._cache = _Cache()

    def scan(self) -> Iterator[Found]:
        import pyarrow

        for part, file in enumerate(self.files):
            table = self._opened(file)
            try:
                if self.column not in table.schema_arrow.names:
                    choose_column(file, self.column, list(table.schema_arrow.names))
                kind = table.schema_arrow.field(self.column).type
                if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
                    for row in range(table.metadata.num_rows):
                        yield f"{file}:{row + 1}", part, row
                    continue
                row = 0
                for batch in table.iter_batches(1024, columns=[self.column], use_threads=False):
                    for value in batch.column(0).to_pylist():
                        is_path = isinstance(value, str) and value.strip() and not value.startswith(_DATA)
                        path = joined(os.path.dirname(file), value) if is_path else ""
                        yield (path, BY_PATH, 0) if is_path else (f"{file}:{row + 1}", part, row)
                        row += 1
            except (pyarrow.ArrowException, OSError) as error:
                what = printable(str(error).partition("\n")[0], 120)
                raise UsageError(f"'{printable(file)}' cannot be read: {what}") from None
            finally:
                table.close()

    def read(self, item: Item) -> bytes | str:
        value = self._cache.get(self, item.part, item.cursor, item.key)
        return _decoded(value, item.key, os.path.dirname(self.files[item.part]))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_cache"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._cache = _Cache()

    def _opened(self, file: str) -> Any:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise UsageError("Parquet tables need pyarrow: pip install 'inquisight[batch]'") from None
        try:
            return pyarrow.parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        except (pyarrow.ArrowException, OSError):
            raise UsageError(f"'{printable(file)}' is not a Parquet file or was cut short; copy it again") from None


class _Cache:
    """The cells around the one that was asked for last: rows are asked for almost in order, by several threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.part = -1
        self.cells: dict[int, Any] = {}
        self.next = 0  # the first row that was not read yet
        self.batches: Iterator[Any] = iter(())

    def get(self, table: ParquetTable, part: int, row: int, key: str) -> Any:
        """The value of a cell. Raises ImageError where it is not there any more."""
        with self.lock:
            if part != self.part or (row < self.next and row not in self.cells):
                self._go_to(table, part, row)
            while row not in self.cells:
                batch = self._next(key)
                values = batch.column(0).to_pylist()
                older = {number: value for number, value in self.cells.items() if number >= self.next - ROWS}
                self.cells = older | dict(enumerate(values, start=self.next))
                self.next += len(values)
            return self.cells[row]

    def _go_to(self, table: ParquetTable, part: int, row: int) -> None:
        """To the row group that holds the row: groups can be skipped, rows within one cannot."""
        file = table._opened(table.files[part])
        first, group = 0, 0
        while group + 1 < file.num_row_groups and first + file.metadata.row_group(group).num_rows <= row:
            first += file.metadata.row_group(group).num_rows
            group += 1
        groups = list(range(group, file.num_row_groups))
        self.batches = file.iter_batches(ROWS, row_groups=groups, columns=[table.column], use_threads=False)
        self.part, self.next, self.cells = part, first, {}

    def _next(self, key: str) -> Any:
        import pyarrow

        try:
            return next(self.batches)
        except (StopIteration, pyarrow.ArrowException, OSError):
            self.part = -1
            raise ImageError(f"'{printable(key)}' cannot be read from its table; has the file changed?") from None


def _json_row(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _cell(row: dict[str, Any] | None, column: str) -> Any:
    """The value; a path as text without blanks around it, None where there is nothing."""
    value = (row or {}).get(column)
    if isinstance(value, dict) and not value.get("bytes"):
        value = value.get("path")
    return (value.strip() or None) if isinstance(value, str) else value


def _decoded(value: Any, key: str, folder: str) -> bytes | str:
    """The picture's bytes, or its path. Raises ImageError."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes) and value:
        return value
    if isinstance(value, str) and value.startswith(_DATA):
        try:
            return base64.b64decode(value.partition(",")[2], validate=True)
        except binascii.Error:
            raise ImageError(f"'{printable(key)}' is not proper base64.") from None
    if isinstance(value, str) and value.strip():
        return joined(folder, value.strip())
    raise ImageError(f"'{printable(key)}' names no picture.")
