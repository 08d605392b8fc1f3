"""Outputs of a batch: JSON Lines, Parquet, COCO captions, texts beside the pictures; `shard_output` writes shards.

Every file is written as a whole, in the order of the input and without times, so a batch that was killed and resumed
writes the same bytes as one without interruption.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from agents.batch.ledger import CaptionRow, Failure
from core.errors import StoreError, UsageError, printable
from core.files.journal import as_bytes, replaced
from core.records import Caption

KINDS: Final = {
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".parquet": "Parquet",
    ".json": "COCO captions",
    ".tar": "webdataset shards",
}
ROWS: Final = 1000  # rows of a Parquet file per write
Styles = Mapping[str, str]
"""The styles of the outputs, with their forms: "text" or "tags"."""
NO_STYLES: Final[Styles] = {}
Rows = Callable[[], Iterator[CaptionRow]]  # all rows


def kind_of(path: Path) -> str:
    """The format that the suffix selects. Raises UsageError."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(f"{suffix} ({what})" for suffix, what in KINDS.items())
        raise UsageError(f"--out '{printable(path)}': the name selects the format and must end in one of {known}")
    return kind


def with_shard(path: Path, shard: int, of: int) -> Path:
    """The output of one of several machines, such as captions.0-of-4.jsonl."""
    return path if of == 1 else path.with_name(f"{path.stem}.{shard}-of-{of}{path.suffix}")


def failures_of(path: Path) -> Path:
    """The list of failed pictures."""
    return path.with_name(f"{path.stem}.failed.jsonl")


def column_of(style: str) -> str:
    """The field that holds the text of a style, or its list of tags."""
    return f"style_{style.replace('-', '_')}"


def text_of(caption: Caption, styles: Styles) -> str:
    """The caption of the outputs: the first of the styles, or the description."""
    return caption.chosen if styles else caption.text


def styles_of(caption: Caption, styles: Styles) -> dict[str, Any]:
    """The fields of the styles; None where one is missing."""
    written = {one.style: one for one in caption.styles}
    found: dict[str, Any] = dict.fromkeys(map(column_of, styles))
    for name, form in styles.items():
        if (one := written.get(name)) is not None:
            found[column_of(name)] = list(one.tags) if form == "tags" else one.text
    return found


def record(row: CaptionRow, styles: Styles = NO_STYLES) -> dict[str, Any]:
    """A row of the outputs, as plain values."""
    caption = row.caption
    return {
        "key": row.key,
        "caption": text_of(caption, styles),
        "summary": caption.summary,
        "opening": caption.opening,
        "plain": caption.plain,
        "sha256": caption.picture.sha256,
        "width": caption.picture.width,
        "height": caption.picture.height,
        "note": caption.picture.note,
        "same_as": row.same_as,
        "ended_because": caption.ended_because,
        "truncated": caption.truncated,
        "dialogue": [
            {"question": turn.question, "answer": turn.answer, "asked_by": turn.asked_by, "certainty": turn.certainty}
            | {"answered_by": turn.answered_by, "truncated": turn.truncated}
            for turn in caption.dialogue.turns
        ],
        "findings": [findings.model_dump(mode="json", exclude={"maybe"}) for findings in caption.findings],
        "problems": list(caption.problems),
        "claims": [claim.model_dump(mode="json") for claim in caption.claims],
        "told": caption.told,
        "conflicts": [conflict.model_dump(mode="json", exclude={"told"}) for conflict in caption.conflicts],
        **styles_of(caption, styles),
    }


def write_output(path: Path, rows: Rows, styles: Styles = NO_STYLES) -> None:
    """Replace `path`, in the format of its suffix; each style gets a field or column. Raises StoreError."""
    write = {"JSON Lines": write_json_lines, "Parquet": write_parquet, "COCO captions": write_coco}[kind_of(path)]
    with replaced(path) as file:
        write(file, rows(), styles)


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """List the failed pictures; remove the file if there are none. Raises StoreError."""
    first = next(failures := iter(failures), None)
    if first is None:
        path.unlink(missing_ok=True)
        return
    with replaced(path) as file:
        for failure in chain((first,), failures):
            line = {"key": failure.key, "where": failure.where, "reason": failure.reason}
            file.write(as_bytes(json.dumps(line, ensure_ascii=False)) + b"\n")


def write_json_lines(file: BinaryIO, rows: Iterator[CaptionRow], styles: Styles = NO_STYLES) -> None:
    """Write one JSON object for each row."""
    for row in rows:
        file.write(as_bytes(json.dumps(record(row, styles), ensure_ascii=False)) + b"\n")


def check_parquet() -> None:
    """Raise UsageError if Parquet cannot be written."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise UsageError("Parquet needs pyarrow: pip install 'inquisight[batch]'") from None


def write_parquet(file: BinaryIO, rows: Iterator[CaptionRow], styles: Styles = NO_STYLES) -> None:
    """Write the rows as columns, a thousand rows in memory at a time."""
    import pyarrow
    import pyarrow.parquet

    text, flag, size = pyarrow.string(), pyarrow.bool_(), pyarrow.int32()
    turn = [(name, text) for name in ("question", "answer", "asked_by", "certainty", "answered_by")]
    box = ("box", pyarrow.struct([(name, pyarrow.float32()) for name in ("left", "top", "right", "bottom")]))
    score = ("score", pyarrow.float32())
    thing = pyarrow.struct([("name", text), score, box, ("finer", text)])
    line = pyarrow.struct([("text", text), score, box])
    sizes = [(name, size) for name in ("width", "height", "left_out")]
    lists = [("things", thing), ("lines", line), ("looked_for", text)]
    found = [("witness", text), ("revision", text), *sizes, *((name, pyarrow.list_(kind)) for name, kind in lists)]
    types = {"width": size, "height": size, "truncated": flag}
    types["dialogue"] = pyarrow.list_(pyarrow.struct([*turn, ("truncated", flag)]))
    spans = [("start", size), ("end", size), ("parent", size)]
    words = [
        (name, text) for name in ("text", "kind", "about", "value", "verdict", "question", "evidence", "claims_by")
    ]
    claim = pyarrow.struct([*words, *spans, score, ("turns", pyarrow.list_(size))])
    types |= {"claims": pyarrow.list_(claim)}
    types |= {"findings": pyarrow.list_(pyarrow.struct(found)), "problems": pyarrow.list_(text)}
    conflict = [("answer", text), ("turn", size), ("reason", text)]
    types |= {"conflicts": pyarrow.list_(pyarrow.struct(conflict))}
    texts = ("key", "caption", "summary", "opening", "plain", "sha256")
    names = (
        *texts,
        "width",
        "height",
        "note",
        "same_as",
        "ended_because",
        "truncated",
        "dialogue",
        "findings",
        "problems",
        "claims",
        "told",
        "conflicts",
        *map(column_of, styles),
    )
    types |= {column_of(name): pyarrow.list_(text) for name, form in styles.items() if form == "tags"}
    schema = pyarrow.schema([(name, types.get(name, text)) for name in names])
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while some := list(islice(rows, ROWS)):
            writer.write_table(pyarrow.Table.from_pylist([_encodable(record(row, styles)) for row in some], schema))


def _encodable(value: Any) -> Any:
    """Texts without lone surrogates, which Parquet cannot hold."""
    if isinstance(value, str):
        return as_bytes(value).decode()
    if isinstance(value, dict):
        return {name: _encodable(one) for name, one in value.items()}
    return [_encodable(one) for one in value] if isinstance(value, list) else value


def write_coco(
    file: BinaryIO,
    rows: Iterator[CaptionRow],
    styles: Styles = NO_STYLES,
    *,
    description: str = "captions by inquisight batch",
    truncated: bool = True,
) -> None:
    """Write {"images": [...], "annotations": [...]}, see https://cocodataset.org/#format-data; ids count from 1.

    There may be a million rows, so the annotations are collected in a temporary file beside `file`, which is named.
    `truncated`: add a field that COCO does not have, and that its readers ignore.
    """
    with tempfile.TemporaryFile(dir=os.path.dirname(os.path.abspath(file.name))) as annotations:
        about = json.dumps({"description": description}, ensure_ascii=False)
        file.write(b'{"info": %b, "licenses": [], "images": [\n' % as_bytes(about))
        for number, row in enumerate(rows, start=1):
            between = b",\n" if number > 1 else b""
            picture = row.caption.picture
            image = {"id": number, "file_name": row.key, "width": picture.width, "height": picture.height}
            file.write(between + as_bytes(json.dumps(image, ensure_ascii=False)))
            annotation: dict[str, Any] = {"id": number, "image_id": number, "caption": text_of(row.caption, styles)}
            annotation |= styles_of(row.caption, styles)
            if truncated:
                annotation["truncated"] = row.caption.truncated
            annotations.write(between + as_bytes(json.dumps(annotation, ensure_ascii=False)))
        file.write(b'\n], "annotations": [\n')
        annotations.seek(0)
        shutil.copyfileobj(annotations, file)
        file.write(b"\n]}\n")


def make_folders(paths: Iterable[Path]) -> None:
    """Make the folders of outputs, so errors show now and not after days. Raises StoreError."""
    for path in paths:
        folder = path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            raise StoreError(
                f"the folder '{printable(folder)}' cannot be made: {reason}; name another --out."
            ) from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(f"the folder '{printable(folder)}' is not writable; name another --out.")
