"""Read CSV, TSV and JSON Lines tables of pictures row by row, each row with the byte at which it begins.

    table = TextTable("photos.csv")
    table.columns                       # ["image", "caption"]
    with table.open() as file:
        for row in table.rows(file):
            row.fields                  # {"image": "a.jpg", "caption": "..."}, or None, with the reason in row.problem

A cell holds one picture or a list of them: a path, `data:` and base64, bytes, or {"bytes", "path"}.
"""

from __future__ import annotations

import ast
import base64
import binascii
import csv
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from core.datasets.text_lines import LONGEST, Lines
from core.errors import UsageError, printable, why

PICTURE_COLUMNS: Final = (
    "picture", "image", "file_name", "filename", "file", "path", "image_path", "picture_path", "jpg", "png", "img"
)  # fmt: skip
_CSV: Final = (".csv", ".tsv")
_DELIMITERS: Final = ",;\t|"
_END: Final = "\0end of the table\0"  # appended as a last line of two cells; in one cell, a quote was never closed
_KEYS_FROM: Final = 64  # first rows of JSON Lines whose keys are the columns
_LONGEST_PATH: Final = 4096  # characters; longer cells hold the picture itself
_LONGEST_LIST: Final = 1_000_000  # characters of a cell that is parsed as a list

# A picture in a cell exceeds csv's limit of 131,072 characters. The limit applies to the whole process.
csv.field_size_limit(max(csv.field_size_limit(), LONGEST))


class TableRow(NamedTuple):
    """A row, or a line that is not one."""

    begin: int  # its first byte
    line: int  # its first line, from 1, counted from where reading began
    fields: dict[str, Any] | None
    problem: str = ""  # what is wrong if there are no fields; follows the name of the row


class TextTable:
    """A CSV or TSV file with a header line, or JSON Lines. Keeps no file open. Raises UsageError, one line."""

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        self.is_csv = self.name.lower().endswith(_CSV)
        self.delimiter = ","
        self.encoding = ""
        self.columns: list[str] = []
        self.start = 0  # the first row's first byte
        self._lines_before = 0
        with self.open() as file:
            lines = Lines(file, self.name)
            first = next(lines, "")
            self.encoding = lines.encoding or "utf-8"
            if self.is_csv:
                self._read_header(file, first, lines.offset)
            else:
                some = islice(self.rows(file), _KEYS_FROM)
                self.columns = list(dict.fromkeys(key for row in some for key in row.fields or ()))

    def open(self) -> BinaryIO:
        """Open the file. Raises UsageError."""
        try:
            return open(self.name, "rb")
        except OSError as error:
            raise UsageError(f"'{printable(self.name)}' cannot be read: {why(error)}.") from None

    def rows(self, file: BinaryIO, begin: int | None = None) -> Iterator[TableRow]:
        """Yield the rows from the first one, or from byte `begin`. Lines are read only as they are needed."""
        file.seek(self.start if begin is None else begin)
        lines = Lines(file, self.name, self.encoding)
        if begin is None:
            lines.number = self._lines_before
        try:
            yield from self._csv(lines) if self.is_csv else json_rows(lines)
        except csv.Error as error:
            raise self._no_table(lines.number, printable(error)) from None
        except OSError as error:
            raise UsageError(f"'{printable(self.name)}' cannot be read: {why(error)}.") from None

    def _read_header(self, file: BinaryIO, first: str, second: int) -> None:
        """Find the columns, and the delimiter that gives the most of them. `second`: the second line's first byte."""
        begin = 0
        if first.startswith("sep=") and len(first.rstrip("\r\n")) == 5:  # as Excel writes it
            candidates, begin = first[4], second
        elif self.name.lower().endswith(".tsv"):
            candidates = "\t" if "\t" in first else "\t" + _DELIMITERS.replace("\t", "")
        else:
            candidates = _DELIMITERS
        tried = []
        for delimiter in candidates:
            file.seek(begin)
            lines = Lines(file, self.name, self.encoding if begin else "")
            try:
                header = next(self._reader(lines, delimiter), [])
            except csv.Error as error:
                raise self._no_table(1, printable(error)) from None
            tried.append((header, delimiter, lines.offset, lines.number + bool(begin)))
        best = max(tried, key=lambda one: len(one[0]))  # the first, which is the usual one, if several are equal
        self.columns, self.delimiter, self.start, self._lines_before = best
        self.columns = [column.strip() for column in self.columns]

    def _reader(self, lines: Iterator[str], delimiter: str) -> Iterator[list[str]]:
        skips = delimiter != "\t" and len(self.columns) != 1
        return csv.reader(lines, delimiter=delimiter, skipinitialspace=skips)

    def _csv(self, lines: Lines) -> Iterator[TableRow]:
        def closed() -> Iterator[str]:
            yield from lines
            yield f"{_END}{self.delimiter}{_END}"

        begin, line, width = lines.offset, lines.number + 1, len(self.columns)
        for values in self._reader(closed(), self.delimiter):
            if any(_END in value for value in values[-1:]):
                if values != [_END, _END]:
                    raise self._no_table(line, "a quote that opens there is never closed")
                return
            while len(values) > width and not values[-1].strip():
                values.pop()  # empty cells that a spreadsheet leaves after the last column
            if width == 1 and len(values) > 1:  # a list with a title, whose names need no quotes
                values = [self.delimiter.join(values)]
            if len(values) > width:
                shown = "tabs" if self.delimiter == "\t" else f"'{self.delimiter}'"
                problem = (
                    f"has {len(values)} cells and the header {width}; put a cell that holds {shown} in double quotes"
                )
                yield TableRow(begin, line, None, problem)
            elif any(value.strip() for value in values):
                yield TableRow(begin, line, dict(zip(self.columns, values, strict=False)))
            begin, line = lines.offset, lines.number + 1

    def _no_table(self, line: int, what: str) -> UsageError:
        if "new-line character" in what:
            what = "it is not text, or its lines end in lone carriage returns; save it with the line ends of Unix"
        return UsageError(f"'{printable(self.name)}' is not a table from line {max(line, 1)} on: {what}.")


def json_rows(lines: Lines) -> Iterator[TableRow]:
    """Yield one JSON object per line; blank lines do not count. Raises UsageError."""
    begin = lines.offset
    for line in lines:
        text = line.strip("\ufeff \t\r\n")
        if text:
            yield TableRow(begin, lines.number, *_json_object(text))
        begin = lines.offset


def _json_object(text: str) -> tuple[dict[str, Any] | None, str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None, "is not JSON that can be read"
    return (value, "") if isinstance(value, dict) else (None, "is not a JSON object")


def choose_column(
    table: str | Path, columns: Sequence[str], requested: str | None, usual: Sequence[str], *, what: str, way: str
) -> str:
    """Return the column `requested`, or the first of the `usual` ones; case (of those) and blanks do not matter.

    Raises UsageError if there is none or more than one; it lists the columns, and says what was looked for (`what`) and
    how to choose (`way`).
    """
    stripped = [column.strip() for column in columns]
    if requested is None:
        lowered = [column.lower() for column in stripped]
        name = next((name for name in usual if name in lowered), None)
        places = [place for place, column in enumerate(lowered) if column == name]
        exact = [place for place in places if stripped[place] == stripped[places[0]]]
    else:
        exact = [place for place, column in enumerate(columns) if column == requested]
        exact = exact or [place for place, column in enumerate(stripped) if column == requested.strip()]
    if len(exact) == 1:
        return columns[exact[0]]
    if exact:
        problem = f"{len(exact)} columns named '{printable(columns[exact[0]], 40)}'; rename all but one"
    else:
        there = ", ".join(printable(column, 40) for column in columns[:12]) or "none"
        missing = f"no column '{printable(requested, 40)}'" if requested else f"no column that looks like {what}"
        problem = f"{missing}; it has {there}: {way}"
    raise UsageError(f"'{printable(table)}' has {problem}.")


# --- cells ------------------------------------------------------------------------------------------------------------


class NoPicture(ValueError):  # noqa: N818 - it describes a cell
    """A cell without a picture; the message follows the name of the row."""


def pictures_in(cell: Any) -> list[Any]:
    """Return the pictures of a cell, each for `picture_of`: one, or those of a list, also one written as text.

    Empty ones stay in their place.
    """
    if isinstance(cell, str):
        cell = cell.strip("\ufeff \t\r\n")
        cell = _written_list(cell) if cell[:1] == "[" and cell[-1:] == "]" else cell
    many = list(cell) if isinstance(cell, list | tuple) else [cell]
    return list(map(_picture, many)) or [None]


def _picture(value: Any) -> Any:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    return value.strip("\ufeff \t\r\n") if isinstance(value, str) else value


def _written_list(text: str) -> Any:
    """Parse ["a.jpg", "b.jpg"] as JSON or Python; return other text as is, since a file may be called "[1].jpg"."""
    if len(text) > _LONGEST_LIST and not text.startswith('["'):
        return text
    readers: tuple[Callable[[str], Any], ...] = (json.loads, ast.literal_eval)
    for read in readers:
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list) and all(isinstance(one, str | dict) for one in value):
            return value
    return text


def is_path(picture: Any) -> bool:
    """Whether one of `pictures_in` is the path of a file, not the picture itself."""
    return isinstance(picture, str) and 0 < len(picture) <= _LONGEST_PATH and not picture.startswith("data:")


def picture_of(picture: Any) -> bytes | str:
    """Return the bytes of one of `pictures_in`, or its path as written. Raises NoPicture."""
    if is_path(picture):
        return str(picture)
    if isinstance(picture, bytes) and picture:
        return picture
    if isinstance(picture, str) and picture:
        coded = picture.partition(",")[2] if picture.startswith("data:") else picture
        try:
            return base64.b64decode("".join(coded.split()), validate=True)
        except (binascii.Error, ValueError):  # ValueError: characters that are not ASCII
            raise NoPicture("is not proper base64") from None
    raise NoPicture("names no picture")
