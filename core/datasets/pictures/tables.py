"""Tables of pictures: CSV, TSV, JSON Lines and Parquet. A column holds paths, or the pictures themselves."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from core.datasets.folders import count_beside
from core.datasets.left_out import PICTURE
from core.datasets.parquet import open_parquet, read_batches
from core.datasets.pictures.sources import BY_PATH, Found, Item, PictureSource
from core.datasets.tables import PICTURE_COLUMNS, NoPicture, TextTable, choose_column, is_path, picture_of, pictures_in
from core.errors import ImageError, UsageError, printable
from core.files.paths import located

ROWS: Final = 16  # of a Parquet table, read at a time; pictures may be in them
_ROW_BITS: Final = 40  # of a cursor; above them stands the picture's position in its row
_LOCK: Final = threading.Lock()  # one thread at a time moves the window of a Parquet table


def _column(name: str, requested: str | None, columns: Sequence[str]) -> str:
    return choose_column(name, columns, requested, PICTURE_COLUMNS, what="pictures", way="choose one with --column")


def _text_column(name: str, column: str, columns: Sequence[str]) -> None:
    """Raise UsageError if a table has no such column."""
    if column not in columns:
        known = ", ".join(printable(one, 40) for one in columns)
        raise UsageError(f"'{printable(name)}' has no column '{printable(column, 40)}'; it has {known}")


class RowTable(PictureSource):
    """CSV or TSV with a header line, or JSON Lines. Paths are relative to the table's folder."""

    has_columns = True

    def __init__(self, name: str, column: str | None) -> None:
        super().__init__(name)
        self.folder = os.path.dirname(name)
        self.table = TextTable(name)
        if not self.table.columns:
            raise UsageError(f"'{printable(name)}' holds no rows")
        self.column = _column(name, column, self.table.columns)

    def scan(self) -> Iterator[Found]:
        with self.table.open() as file:
            for number, row in enumerate(self.table.rows(file), start=1):
                pictures = pictures_in((row.fields or {}).get(self.column))
                for key, place in _found(pictures, self.folder, f"{self.name}:{number}"):
                    yield key, place, 0 if place == BY_PATH else row.begin

    def texts(self, column: str) -> Iterator[tuple[str, str]]:
        _text_column(self.name, column, self.table.columns)
        with self.table.open() as file:
            for number, row in enumerate(self.table.rows(file), start=1):
                text = (row.fields or {}).get(column)
                for key, _ in _found(
                    pictures_in((row.fields or {}).get(self.column)), self.folder, f"{self.name}:{number}"
                ):
                    if text is not None and str(text).strip():
                        yield key, str(text)

    def read(self, item: Item) -> bytes | str:
        with self.table.open() as file:
            row = next(self.table.rows(file, item.cursor), None)
        if row is None or row.fields is None:
            raise ImageError(f"'{printable(item.key)}' {row.problem if row else 'is not in its table any more'}.")
        return _opened(row.fields.get(self.column), item.part, item.key, self.folder)


def _found(pictures: Sequence[Any], folder: str, row: str) -> Iterator[tuple[str, int]]:
    """Yield the key of each picture of a row with its position in it, or with BY_PATH if the key is its path."""
    for place, picture in enumerate(pictures):
        if is_path(picture):
            yield located(folder, picture), BY_PATH
        else:
            yield row if len(pictures) == 1 else f"{row}/{place + 1}", place


def _opened(cell: Any, number: int, key: str, folder: str) -> bytes | str:
    """Return the bytes or the path of one of the pictures of a cell. Raises ImageError."""
    pictures = pictures_in(cell)
    if number >= len(pictures):
        raise ImageError(f"'{printable(key)}' is not in its table any more.")
    try:
        found = picture_of(pictures[number])
    except NoPicture as error:
        raise ImageError(f"'{printable(key)}' {error}.") from None
    return located(folder, found) if isinstance(found, str) else found


class ParquetTable(PictureSource):
    """One Parquet file or several; the column holds paths, bytes, or {"bytes", "path"} as Hugging Face writes it."""

    has_columns = True

    def __init__(self, name: str, files: list[str], column: str | None) -> None:
        super().__init__(name)
        self.files = files
        with open_parquet(files[0]) as table:
            self.column = _column(files[0], column, table.schema_arrow.names)
        self._window: _Window | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_window": None}

    def scan(self) -> Iterator[Found]:
        for part, file in enumerate(self.files):
            for key, place, row in self._scanned(file):
                yield (key, BY_PATH, 0) if place == BY_PATH else (key, part, row | place << _ROW_BITS)
        if os.path.isdir(self.name):
            count_beside(self.name, self.left_out, PICTURE, self.files)

    def _scanned(self, file: str) -> Iterator[Found]:
        """Yield (key, position in the row, row) of each picture of a file. Columns of bytes are counted, not read."""
        import pyarrow.compute as compute
        from pyarrow import types

        with open_parquet(file) as table:
            _column(file, self.column, table.schema_arrow.names)
            kind = table.schema_arrow.field(self.column).type
            rows = table.metadata.num_rows
            leaves = [table.schema.column(number).path for number in range(len(table.schema))]
        is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        inner = kind.value_type if is_list or types.is_dictionary(kind) else kind
        is_text = types.is_string(inner) or types.is_large_string(inner) or types.is_string_view(inner)
        if not is_text and not is_list:
            yield from ((f"{file}:{row + 1}", 0, row) for row in range(rows))
            return
        leaf = next((one for one in leaves if one.startswith(f"{self.column}.") and one.endswith(".path")), self.column)
        row = 0
        for batch in read_batches(file, [leaf], 1024 if is_text else ROWS):
            column = batch.column(0)
            cells = column.to_pylist() if is_text else compute.list_value_length(column).to_pylist()
            for cell in cells:
                pictures = pictures_in(cell) if is_text else [None] * (cell or 1)
                for key, place in _found(pictures, os.path.dirname(file), f"{file}:{row + 1}"):
                    yield key, place, row
                row += 1

    def texts(self, column: str) -> Iterator[tuple[str, str]]:
        for file in self.files:
            with open_parquet(file) as table:
                _text_column(file, column, table.schema_arrow.names)
            rows = (cell for batch in read_batches(file, [column], 1024) for cell in batch.column(0).to_pylist())
            pictures = self._scanned(file)
            following = next(pictures, None)
            for number, text in enumerate(rows):
                while following is not None and following[2] == number:
                    if text is not None and str(text).strip():
                        yield following[0], str(text)
                    following = next(pictures, None)

    def read(self, item: Item) -> bytes | str:
        place, row = divmod(item.cursor, 1 << _ROW_BITS)
        file = self.files[item.part]
        with _LOCK:
            try:
                if self._window is None or not self._window.reaches(file, row):
                    self._window = _Window(file, self.column, row)
                cell = self._window.cell(row)
            except (StopIteration, UsageError):
                self._window = None
                message = f"'{printable(item.key)}' cannot be read from its table; has the file changed?"
                raise ImageError(message) from None
        return _opened(cell, place, item.key, os.path.dirname(file))


class _Window:
    """The cells around the one read last: rows are read almost in order, by several threads."""

    def __init__(self, file: str, column: str, row: int) -> None:
        """Begin at the row group that holds `row`: groups can be skipped, rows within one cannot."""
        with open_parquet(file) as table:
            sizes = [table.metadata.row_group(number).num_rows for number in range(table.num_row_groups)]
        group = first = 0
        while group + 1 < len(sizes) and first + sizes[group] <= row:
            first += sizes[group]
            group += 1
        self.file = file
        self.cells: dict[int, Any] = {}
        self.next = first  # the first row not yet read
        self.batches = read_batches(file, [column], ROWS, range(group, len(sizes)))

    def reaches(self, file: str, row: int) -> bool:
        """Whether `row` is in the window, or after it."""
        return file == self.file and (row >= self.next or row in self.cells)

    def cell(self, row: int) -> Any:
        """Return the value of a cell. Raises StopIteration behind the last row, and UsageError."""
        while row not in self.cells:
            values = next(self.batches).column(0).to_pylist()
            older = {number: value for number, value in self.cells.items() if number >= self.next - ROWS}
            self.cells = older | dict(enumerate(values, start=self.next))
            self.next += len(values)
        return self.cells[row]
