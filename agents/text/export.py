"""Transcripts as a file for other programs: JSON Lines, CSV or Parquet.

JSON Lines loses nothing: a line is the record itself, as `Caption.from_json` and `Chat.from_json` read it. CSV and
Parquet have one row per transcript with the columns of `row`; what is a list there is JSON in a CSV cell.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, cast

from core.errors import UsageError, printable
from core.records import Caption, Chat

Kind = Literal["jsonl", "csv", "parquet"]
KINDS: Final[dict[Kind, str]] = {"jsonl": "JSON Lines", "csv": "CSV", "parquet": "Parquet"}
MIME: Final[dict[Kind, str]] = {
    "jsonl": "application/jsonl",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}
COLUMNS: Final = (
    "id", "kind", "status", "created", "pictures", "text", "plain", "opening", "summary", "vision", "questioner",
    "seed", "turns", "error", "dialogue",
)  # fmt: skip
_ROWS: Final = 1000  # of a Parquet file that are written at a time
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def kind_of(path: Path) -> Kind:
    """What a file of this name holds. Raises UsageError."""
    for kind in KINDS:
        if path.suffix.lower() == f".{kind}":
            return kind
    known = ", ".join(f".{kind} ({what})" for kind, what in KINDS.items())
    raise UsageError(f"'{printable(path)}': the name says what is written, and must end in one of {known}")


def row(record: Caption | Chat) -> dict[str, Any]:
    """The columns of a record; plain values only."""
    return _interview_row(record) if isinstance(record, Caption) else _chat_row(record)


def write(records: Iterable[Caption | Chat], file: BinaryIO, kind: Kind) -> int:
    """Write all of them; gives back how many. Raises UsageError where Parquet cannot be written here."""
    return {"jsonl": _json_lines, "csv": _csv, "parquet": _parquet}[kind](records, file)


def _interview_row(caption: Caption) -> dict[str, Any]:
    dialogue = [
        _said(turn.question, turn.answer, turn.asked_by, turn.certainty, None) for turn in caption.dialogue.turns
    ]
    return {
        "id": caption.id,
        "kind": "interview",
        "status": caption.status,
        "created": caption.created,
        "pictures": [caption.picture.model_dump()],
        "text": caption.text,
        "plain": caption.plain,
        "opening": caption.opening,
        "summary": caption.summary,
        "vision": caption.vision.get("name", ""),
        "questioner": caption.questioner.get("name", ""),
        "seed": caption.seed,
        "turns": len(dialogue),
        "error": caption.error,
        "dialogue": dialogue,
    }


def _chat_row(chat: Chat) -> dict[str, Any]:
    return {
        "id": chat.id,
        "kind": chat.kind,
        "status": chat.turns[-1].status if chat.turns else "complete",
        "created": chat.created,
        "pictures": [picture.model_dump() for picture in chat.pictures],
        "text": chat.text,
        "plain": "",
        "opening": "",
        "summary": "",
        "vision": chat.vision.get("name", ""),
        "questioner": chat.assistant.get("name", ""),
        "seed": chat.seed,
        "turns": len(chat.turns),
        "error": None,
        "dialogue": [_said(turn.question, turn.answer, "person", "sure", turn.task) for turn in chat.turns],
    }


def _said(question: str, answer: str, asked_by: str, certainty: str, task: str | None) -> dict[str, str | None]:
    return {"question": question, "answer": answer, "asked_by": asked_by, "certainty": certainty, "task": task}


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
            writer.writerow([_cell(value) for value in row(record).values()])
            count += 1
        return count
    finally:
        out.detach()


def _cell(value: Any) -> Any:
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
    said = pyarrow.struct([(name, text) for name in ("question", "answer", "asked_by", "certainty", "task")])
    picture = pyarrow.struct(
        [("sha256", text), ("source", text), ("width", pyarrow.int32()), ("height", pyarrow.int32()), ("note", text)]
    )
    kinds = {
        "created": pyarrow.timestamp("us", tz="UTC"),
        "pictures": pyarrow.list_(picture),
        "seed": pyarrow.int64(),
        "turns": pyarrow.int32(),
        "dialogue": pyarrow.list_(said),
    }
    schema = pyarrow.schema([(name, kinds.get(name, text)) for name in COLUMNS])
    count = 0
    with pyarrow.parquet.ParquetWriter(file, schema) as table:
        for some in _groups(records):
            table.write_table(pyarrow.Table.from_pylist([row(record) for record in some], schema))
            count += len(some)
    return count


def _groups(records: Iterable[Caption | Chat]) -> Iterator[list[Caption | Chat]]:
    some: list[Caption | Chat] = []
    for record in records:
        some.append(record)
        if len(some) == _ROWS:
            yield some
            some = []
    if some:
        yield some


def exported(records: Iterable[Caption | Chat], kind: Kind) -> bytes:
    """The file's bytes."""
    out = io.BytesIO()
    write(records, cast(BinaryIO, out), kind)
    return out.getvalue()
