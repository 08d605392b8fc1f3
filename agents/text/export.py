"""Transcripts as a file for other programs: JSON Lines, CSV or Parquet.

JSON Lines loses nothing: a line is the record itself, as `Caption.from_json` and `Chat.from_json` read it. CSV and
Parquet have one row per transcript with the columns of `row`; what is a list there is JSON in a CSV cell.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, cast

from core.errors import UsageError, printable
from core.records import Caption, Chat, PictureInfo

Kind = Literal["jsonl", "csv", "parquet"]
KINDS: Final[dict[Kind, str]] = {"jsonl": "JSON Lines", "csv": "CSV", "parquet": "Parquet"}
COLUMNS: Final = (
    "id", "kind", "status", "created", "pictures", "text", "plain", "opening", "summary", "vision", "questioner",
    "seed", "turns", "error", "dialogue", "style_alt", "style_short", "style_tags", "style_prompt", "styles",
)  # fmt: skip
STYLE_TEXT: Final = ("style", "text")
SAID: Final = ("question", "answer", "asked_by", "certainty", "task", "answered_by")
_ROWS: Final = 1000  # of a Parquet file that are written at a time
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def kind_of(path: Path) -> Kind:
    """The format of a file by its name. Raises UsageError."""
    for kind in KINDS:
        if path.suffix.lower() == f".{kind}":
            return kind
    known = ", ".join(f".{kind} ({what})" for kind, what in KINDS.items())
    raise UsageError(f"'{printable(path)}': the name says what is written, and must end in one of {known}")


def row(record: Caption | Chat) -> dict[str, Any]:
    """The columns of a record; plain values only."""
    error: str | None = None
    styles: dict[str, str] = {}
    pictures: Sequence[PictureInfo]
    said: list[tuple[str, str, str, str, str | None, str]]
    if isinstance(record, Caption):
        kind, status, pictures, questioner = "interview", record.status, (record.picture,), record.questioner
        texts = (record.text, record.plain, record.opening, record.summary)
        said = [
            (one.question, one.answer, one.asked_by, one.certainty, None, one.answered_by)
            for one in record.dialogue.turns
        ]
        error = record.error
        styles = {one.style: one.text for one in record.styles}
    else:
        kind, status = record.kind, record.turns[-1].status if record.turns else "complete"
        pictures, questioner, texts = record.pictures, record.assistant, (record.text, "", "", "")
        said = [(one.question, one.answer, "person", "sure", one.task, "") for one in record.turns]
    dialogue = [dict(zip(SAID, one, strict=True)) for one in said]
    values = (
        record.id, kind, status, record.created, [picture.model_dump() for picture in pictures], *texts,
        record.vision.get("name", ""), questioner.get("name", ""), record.seed, len(dialogue), error, dialogue,
        *(styles.get(name.removeprefix("style_")) for name in COLUMNS if name.startswith("style_")),
        [dict(zip(STYLE_TEXT, one, strict=True)) for one in styles.items()],
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def write(records: Iterable[Caption | Chat], file: BinaryIO, kind: Kind) -> int:
    """Write all records and return their number. Raises UsageError if Parquet cannot be written here."""
    return {"jsonl": _json_lines, "csv": _csv, "parquet": _parquet}[kind](records, file)


def _json_lines(records: Iterable[Caption | Chat], file: BinaryIO) -> int:
    count = 0
    for record in records:
        file.write(record.to_json().encode() + b"\n")
        count += 1
    return count


def _csv(records: Iterable[Caption | Chat], file: BinaryIO) -> int:
    """UTF-8 with a mark at its beginning, by which spreadsheets know it."""
    out = io.TextIOWrapper(file, "utf-8-sig", newline="", write_through=True)
    try:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        count = 0
        for record in records:
            writer.writerow([cell(value) for value in row(record).values()])
            count += 1
        return count
    finally:
        out.detach()


def cell(value: Any) -> Any:
    """A value as a cell of a CSV file."""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        # What a model or a file's name says must not become a spreadsheet's formula (OWASP, "CSV Injection").
        return f"'{value}" if value.startswith(_FORMULA) else value
    return value.isoformat() if hasattr(value, "isoformat") else value


def _parquet(records: Iterable[Caption | Chat], file: BinaryIO) -> int:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError("Parquet needs pyarrow: pip install 'inquisight[batch]'") from None
    text = pyarrow.string()
    said = pyarrow.struct([(name, text) for name in SAID])
    picture = pyarrow.struct(
        [("sha256", text), ("source", text), ("width", pyarrow.int32()), ("height", pyarrow.int32()), ("note", text)]
    )
    kinds = {
        "created": pyarrow.timestamp("us", tz="UTC"),
        "pictures": pyarrow.list_(picture),
        "seed": pyarrow.int64(),
        "turns": pyarrow.int32(),
        "dialogue": pyarrow.list_(said),
        "styles": pyarrow.list_(pyarrow.struct([(name, text) for name in STYLE_TEXT])),
    }
    schema = pyarrow.schema([(name, kinds.get(name, text)) for name in COLUMNS])
    count = 0
    with pyarrow.parquet.ParquetWriter(file, schema) as table:
        rows = iter(records)
        while some := list(itertools.islice(rows, _ROWS)):
            table.write_table(pyarrow.Table.from_pylist([row(record) for record in some], schema))
            count += len(some)
    return count


def exported(records: Iterable[Caption | Chat], kind: Kind) -> bytes:
    """The file's bytes."""
    out = io.BytesIO()
    write(records, cast(BinaryIO, out), kind)
    return out.getvalue()
