"""Labels in a table: one row per image or per question, in CSV, TSV or JSON Lines.

Columns, in any order and case: `image` (or file_name, path, ...), `objects`, `maybe` (objects that are neither right
nor wrong), `caption`, `text`, `question`, `answers`, `kind` (of the question). Several objects or answers are separated
by ";", lines of text by "|"; in JSON Lines they may be lists. Rows that name the same image are joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.datasets.left_out import LeftOut
from core.datasets.tables import PICTURE_COLUMNS
from core.errors import UsageError, printable
from evaluation.data.documents import BAD_ENTRY, rows_of
from evaluation.data.examples import Example, LabelledQuestion, names_of, once


def read_table(path: Path, folders: Sequence[Path], left_out: LeftOut) -> list[Example]:
    """The images of a table. Raises UsageError if it has no column of images."""
    found: dict[str, Example] = {}
    rows = 0
    for number, row in enumerate(rows_of(path, left_out), start=1):
        rows += 1
        column = next((name for name in PICTURE_COLUMNS if name in row), None)
        if column is None:
            if number == 1:
                there = ", ".join(printable(name, 40) for name in row) or "none"
                raise UsageError(f"'{printable(path)}' has no column of images; it has {there}: call one 'image'.")
            left_out.add(BAD_ENTRY, f"{path.name}, row {number}")
            continue
        name = str(row[column] or "").strip()
        if not name:
            left_out.add(BAD_ENTRY, f"{path.name}, row {number}")
            continue
        before = found.get(name) or Example(name, locate(name, folders), names_of(name, row.get("image_id", name)))
        found[name] = _with(before, row, number)
    if not rows:
        raise UsageError(f"'{printable(path)}' has no rows.")
    return list(found.values())


def locate(name: str, folders: Sequence[Path]) -> Path:
    """The file of an image: in the first folder that has it, else in the first folder, where it is reported missing."""
    return next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name)


def _with(example: Example, row: Mapping[str, Any], number: int) -> Example:
    if (objects := _several(row.get("objects"), ";")) is not None:
        example = replace(example, objects=once([*(example.objects or ()), *(one.lower() for one in objects)]))
    if maybe := _several(row.get("maybe"), ";"):
        example = replace(example, maybe=example.maybe | {one.lower() for one in maybe})
    if (lines := _several(row.get("text"), "|")) is not None:
        example = replace(example, lines=(*(example.lines or ()), *lines))
    if (caption := str(row.get("caption") or "").strip()) != "":
        example = replace(example, captions=(*example.captions, caption))
    answers = _several(row.get("answers", row.get("answer", row.get("label"))), ";")
    if (question := str(row.get("question") or "").strip()) and answers:
        asked = LabelledQuestion(
            str(row.get("question_id", number)), question, tuple(answers), str(row.get("kind") or "")
        )
        example = replace(example, questions=(*example.questions, asked))
    return example


def _several(cell: Any, separator: str) -> list[str] | None:
    """The parts of a cell; None if there is no such column."""
    if cell is None:
        return None
    parts = cell if isinstance(cell, list) else str(cell).split(separator)
    return [text for one in parts if (text := str(one).strip())]
