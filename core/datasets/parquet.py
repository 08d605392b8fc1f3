"""Open Parquet files and read them in small batches: pictures may be in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.errors import UsageError, printable


def open_parquet(file: str | Path) -> Any:
    """Return a `pyarrow.parquet.ParquetFile`, a context manager. Raises UsageError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError("Parquet tables need pyarrow: pip install 'inquisight[batch]'.") from None
    try:
        return pyarrow.parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
    except (pyarrow.ArrowException, OSError):
        raise UsageError(f"'{printable(file)}' is not a Parquet file or was cut short; copy it again.") from None


def read_batches(
    file: str | Path, columns: Sequence[str], size: int, groups: Sequence[int] | None = None
) -> Iterator[Any]:
    """Yield record batches of at most `size` rows, of all row groups or of `groups`. Raises UsageError."""
    with open_parquet(file) as table:
        import pyarrow

        try:
            yield from table.iter_batches(size, row_groups=groups, columns=list(columns), use_threads=False)
        except (pyarrow.ArrowException, KeyError, OSError) as error:
            what = printable(str(error).partition("\n")[0], 120)
            raise UsageError(f"'{printable(file)}' cannot be read: {what}.") from None


def path_column(table: Any, column: str) -> str | None:
    """Return the column to read for the paths in `column`: itself, or its field "path"; None if it holds no paths."""
    from pyarrow import types

    kind = table.schema_arrow.field(column).type
    if types.is_struct(kind) and kind.get_field_index("path") >= 0:
        return f"{column}.path"
    return column if types.is_string(kind) or types.is_large_string(kind) else None
