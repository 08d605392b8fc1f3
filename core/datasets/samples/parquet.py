"""Data sets in Parquet: one file or a folder of them, read row group by row group in small batches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from core.datasets.folders import files_below
from core.datasets.parquet import open_parquet, path_column, read_batches
from core.datasets.samples.captions import QUESTION
from core.datasets.samples.sample import DataError
from core.datasets.samples.sources import SamplePlace, SampleSource, attempt, digest, file_size
from core.datasets.samples.spec import DataSpec, Kind
from core.datasets.samples.tables import columns_of, table_sample
from core.datasets.tables import is_path, pictures_in
from core.errors import UsageError, printable
from core.files.paths import located

BATCH: Final = 32  # rows; pictures may be in them


class ParquetSource(SampleSource):
    """Columns as in any table; the picture's column may hold bytes or {"bytes", "path"}."""

    kind: ClassVar[Kind] = "table"
    eager: ClassVar[bool] = True

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        path = Path(spec.path).expanduser()
        self.root = path if path.is_dir() else path.parent
        self.files = list(map(Path, files_below(str(path), ".parquet"))) if path.is_dir() else [path]
        self.sizes = [file_size(file) for file in self.files]
        self.groups: list[tuple[Path, int]] = []  # (file, row group)
        self.rows = 0
        columns: list[str] = []
        for file in self.files:
            with open_parquet(file) as table:
                columns = columns or table.schema_arrow.names
                self.groups += [(file, group) for group in range(table.num_row_groups)]
                self.rows += table.metadata.num_rows
        if not self.rows:
            raise UsageError(f"{printable(spec.path)} holds no rows.")
        self.picture, self.text = columns_of(spec, columns)
        question = QUESTION if spec.questions and spec.instruction is None else self.text
        self.columns = list({self.picture, self.text, spec.instruction_column or question})

    @property
    def parts(self) -> int:
        return len(self.groups)

    def count(self) -> int | None:
        return self.rows

    def identity(self) -> str:
        return digest(zip(map(self._name, self.files), self.sizes, strict=True))

    def named(self) -> Iterator[str]:
        for file in self.files:
            with open_parquet(file) as table:
                column = path_column(table, self.picture)
            for batch in read_batches(file, [column], 1024) if column else ():
                for cell in batch.column(0).to_pylist():
                    yield from (located(str(self.root), one) for one in pictures_in(cell) if is_path(one))

    def read(self, part: int, cursor: int = 0) -> Iterator[SamplePlace]:
        file, group = self.groups[part]
        first = 0
        try:
            for batch in read_batches(file, self.columns, BATCH, [group]):
                skipped = min(max(cursor - first, 0), len(batch))
                for row, fields in enumerate(batch.slice(skipped).to_pylist(), start=first + skipped):
                    key = f"{self._name(file)}:{group}:{row + 1}"
                    load = partial(attempt, table_sample, self, key, fields, self.root, self.picture, self.text)
                    yield SamplePlace(row, row + 1, key, load)
                first += len(batch)
        except UsageError as error:
            raise DataError(f"row group {group}: {error}") from None

    def _name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()
