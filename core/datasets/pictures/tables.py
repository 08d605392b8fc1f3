"""Tables of pictures: CSV, TSV, JSON Lines and Parquet. A cell holds paths, or the pictures themselves."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from core.datasets.pictures.sources import BY_PATH, Found, Item, PictureSource
from core.datasets.tables import NoPicture, TextTable, choose_column, is_path, picture_of, pictures_in
from core.errors import ImageError, UsageError, printable
from core.files.paths import located

COLUMNS: Final = (
    "picture", "image", "file_name", "filename", "file", "path", "image_path", "picture_path", "jpg", "png", "img"
)  # fmt: skip
ROWS: Final = 16  # of a Parquet table that are read at a time; pictures may be in them
_PLACES: Final = 40  # bits of a row's number in a cursor; above them stands the picture's place in its row


def picture_column(name: str, wanted: str | None, columns: Sequence[str]) -> str:
    """The column of the pictures. Raises UsageError that lists what there is."""
    quoted = f"'{printable(name)}'"
    try:
        found = choose_column(wanted, COLUMNS, columns)
    except ValueError as error:
        raise UsageError(f"{quoted} has {error}") from None
    if found is not None:
        return found
    there = ", ".join(printable(column, 40) for column in columns[:12]) or "none"
    asked = f"no column '{printable(wanted, 40)}'" if wanted else "no column that looks like pictures"
    raise UsageError(f"{quoted} has {asked}; it has {there}: choose one with --column")


class RowTable(PictureSource):
    """CSV or TSV with a header line, or JSON Lines. Paths are relative to the table's own folder."""

    has_columns = True

    def __init__(self, name: str, column: str | None) -> None:
        super().__init__(name)
        self.folder = os.path.dirname(name)
        self.table = TextTable(name)
        if not self.table.columns:
            raise UsageError(f"'{printable(name)}' holds no rows")
        self.column = picture_column(name, column, self.table.columns)

    def scan(self) -> Iterator[Found]:
        with self.table.open() as file:
            for number, row in enumerate(self.table.rows(file), start=1):
                pictures = pictures_in((row.fields or {}).get(self.column))
                for key, place in _found(pictures, self.folder, f"{self.name}:{number}"):
                    yield key, place, 0 if place == BY_PATH else row.begin

    def read(self, item: Item) -> bytes | str:
        with self.table.open() as file:
            row = next(self.table.rows(file, item.cursor), None)
        if row is None or row.fields is None:
            raise ImageError(f"'{printable(item.key)}' {row.problem if row else 'is not in its table any more'}.")
        return _opened(pictures_in(row.fields.get(self.column)), item.part, item.key, self.folder)


def _found(pictures: Sequence[Any], folder: str, row: str) -> Iterator[tuple[str, int]]:
    """The key of each picture of a row, and its place in the row; BY_PATH where the key is its path."""
    for place, picture in enumerate(pictures):
        if is_path(picture):
            yield located(folder, picture), BY_PATH
        else:
            yield row if len(pictures) == 1 else f"{row}/{place + 1}", place


def _opened(pictures: Sequence[Any], number: int, key: str, folder: str) -> bytes | str:
    """The bytes or the path of one of the pictures of a row. Raises ImageError."""
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
        table = self._opened(files[0])
        self.column = picture_column(files[0], column, list(table.schema_arrow.names))
        table.close()
        self._cache = _Cache()

    def scan(self) -> Iterator[Found]:
        import pyarrow

        for part, file in enumerate(self.files):
            table = self._opened(file)
            try:
                if self.column not in table.schema_arrow.names:
                    picture_column(file, self.column, list(table.schema_arrow.names))
                yield from self._scanned(table, part, file)
            except (pyarrow.ArrowException, OSError) as error:
                what = printable(str(error).partition("\n")[0], 120)
                raise UsageError(f"'{printable(file)}' cannot be read: {what}") from None
            finally:
                table.close()
        self.count_beside(self.files)

    def _scanned(self, table: Any, part: int, file: str) -> Iterator[Found]:
        """The pictures of a file. Columns of bytes are counted, not read."""
        import pyarrow.compute as compute
        from pyarrow import types

        kind = table.schema_arrow.field(self.column).type
        is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        inner = kind.value_type if is_list or types.is_dictionary(kind) else kind
        is_text = types.is_string(inner) or types.is_large_string(inner) or types.is_string_view(inner)
        if not is_text and not is_list:
            for row in range(table.metadata.num_rows):
                yield f"{file}:{row + 1}", part, row
            return
        leaves = [table.schema.column(number).path for number in range(len(table.schema))]
        leaf = next((one for one in leaves if one.startswith(f"{self.column}.") and one.endswith(".path")), self.column)
        row = 0
        for batch in table.iter_batches(1024 if is_text else ROWS, columns=[leaf], use_threads=False):
            column = batch.column(0)
            cells = column.to_pylist() if is_text else compute.list_value_length(column).to_pylist()
            for cell in cells:
                pictures = pictures_in(cell) if is_text else [None] * (cell or 1)
                for key, place in _found(pictures, os.path.dirname(file), f"{file}:{row + 1}"):
                    by_path = place == BY_PATH
                    yield key, BY_PATH if by_path else part, 0 if by_path else row | place << _PLACES
                row += 1

    def read(self, item: Item) -> bytes | str:
        number, row = divmod(item.cursor, 1 << _PLACES)
        pictures = pictures_in(self._cache.get(self, item.part, row, item.key))
        return _opened(pictures, number, item.key, os.path.dirname(self.files[item.part]))

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
