"""Parquet tables: one file or a folder of them, read row group by row group in small batches."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from core.datasets.folders import files_below, pictures_below
from core.datasets.left_out import UNNAMED
from core.datasets.samples.sample import DataError
from core.datasets.samples.sources import Load, Ref, SamplePlace, SampleSource, digest, file_size, loaded
from core.datasets.samples.spec import DataSpec, Kind
from core.datasets.samples.tables import columns_of, table_sample
from core.datasets.tables import is_path, pictures_in
from core.errors import UsageError, printable
from core.files.paths import located

BATCH = 32  # rows; pictures may be in them


class ParquetSource(SampleSource):
    """Columns as in any table; the picture's column may hold bytes or {"bytes", "path"}."""

    kind: ClassVar[Kind] = "table"
    eager: ClassVar[bool] = True

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        path = Path(spec.path).expanduser()
        self.root = path if path.is_dir() else path.parent
        try:
            self.files = sorted(map(Path, files_below(str(path), ".parquet"))) if path.is_dir() else [path]
        except UsageError as error:
            raise DataError(str(error)) from None
        self.sizes = [file_size(file) for file in self.files]
        self.groups: list[tuple[int, int]] = []  # (file, row group)
        self.rows = 0
        columns: list[str] = []
        for number, file in enumerate(self.files):
            table = self._open(file)
            columns = columns or list(table.schema_arrow.names)
            self.groups += [(number, group) for group in range(table.num_row_groups)]
            self.rows += table.metadata.num_rows
            table.close()
        if not self.rows:
            raise DataError(f"{printable(spec.path)} holds no rows.")
        self.picture, self.text = columns_of(spec, columns)
        wanted = (self.picture, self.text, spec.instruction_column)
        self.columns = list(dict.fromkeys(one for one in wanted if one))

    @property
    def parts(self) -> int:
        return len(self.groups)

    def count(self) -> int | None:
        return self.rows

    def identity(self) -> str:
        names = [file.relative_to(self.root).as_posix() for file in self.files]
        return digest(zip(names, self.sizes, strict=True))

    def survey(self) -> None:
        if self.folder is None:
            return
        named = {os.path.abspath(path) for file in self.files for path in self._paths(file)}
        for path in pictures_below(str(self.folder), self.left_out):
            if os.path.abspath(path) not in named:
                self.left_out.add(UNNAMED, path)

    def _paths(self, file: Path) -> Iterator[str]:
        """The paths in the column of the pictures; none where it holds the pictures themselves."""
        from pyarrow import types

        table = self._open(file)
        try:
            kind = table.schema_arrow.field(self.picture).type
            has_path = types.is_struct(kind) and kind.get_field_index("path") >= 0
            if has_path or types.is_string(kind) or types.is_large_string(kind):
                column = f"{self.picture}.path" if has_path else self.picture
                for batch in table.iter_batches(1024, columns=[column], use_threads=False):
                    for cell in batch.column(0).to_pylist():
                        yield from (located(str(self.root), one) for one in pictures_in(cell) if is_path(one))
        finally:
            table.close()

    def read(self, part: int, cursor: int = 0) -> Iterator[SamplePlace]:
        number, group = self.groups[part]
        file = self.files[number]
        name = f"{file.relative_to(self.root).as_posix()}:{group}"
        import pyarrow

        table = self._open(file)
        row = 0
        try:
            for batch in table.iter_batches(BATCH, row_groups=[group], columns=self.columns, use_threads=False):
                skipped = min(max(cursor - row, 0), len(batch))
                for place, fields in enumerate(batch.slice(skipped).to_pylist(), start=row + skipped):
                    yield self._place(f"{name}:{place + 1}", place, fields)
                row += len(batch)
        except (pyarrow.ArrowException, KeyError, OSError) as error:
            what = printable(str(error).partition("\n")[0], 120)
            raise DataError(f"{printable(file)}, row group {group}, cannot be read: {what}.") from None
        finally:
            table.close()

    def at(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Load]]:
        """A row group is read once for all of its rows that are wanted."""
        wanted: dict[int, set[int]] = defaultdict(set)
        for part, row in refs:
            wanted[part].add(row)
        for part, rows in sorted(wanted.items()):
            for place in self.read(part, min(rows)):
                if place.cursor in rows:
                    rows.remove(place.cursor)
                    yield (part, place.cursor), loaded(place.load)
                if not rows:
                    break
            if rows:
                raise self.changed()

    def _place(self, key: str, row: int, fields: dict[str, Any]) -> SamplePlace:
        return SamplePlace(
            row, row + 1, key, lambda: table_sample(self, key, fields, self.root, self.picture, self.text)
        )

    def _open(self, file: Path) -> Any:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise DataError("Parquet tables need pyarrow: pip install 'inquisight[train]'.") from None
        try:
            return pyarrow.parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        except (pyarrow.ArrowException, OSError):
            raise DataError(f"{printable(file)} is not a Parquet file or was cut short; copy it again.") from None
