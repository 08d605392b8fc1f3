"""Captions to measure: of a vision model alone, of an interview, audited ones, and those of others in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agents.batch.pipeline import InterviewTask, PipelineConfig, Ready, interview_many
from core.datasets.left_out import LeftOut
from core.errors import InquisightError, UsageError, printable
from core.files.journal import SharedJournal
from core.images.picture import open_picture
from core.records import Caption
from core.vision import CHAT_TOKENS, Reply, VisionBackend
from evaluation.asking import Ask, Asked, Talk
from evaluation.data.documents import parse_json, read_bytes, rows_of
from evaluation.data.examples import Example

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

KINDS: Final = ("plain", "detailed", "interview", "audited")
ALONE: Final = ("plain", "detailed")
JOURNAL: Final = "answers.jsonl"
CAPTION_PARTS: Final = ("captions", "interviews")
DETAIL: Final = "Describe this image in detail."
_NAMES: Final = ("image_id", "image", "file_name", "filename", "file", "path", "key", "source", "id")
_TEXTS: Final = ("caption", "text", "summary", "answer", "description")


def caption_alone(kinds: Sequence[str], prompt: str) -> Talk:
    """The talk that asks a vision model alone for its captions."""
    asks = {"plain": Ask(None), "detailed": Ask(prompt, tokens=CHAT_TOKENS)}
    replies: list[Reply] = yield [asks[kind] for kind in kinds]
    return {kind: reply.text for kind, reply in zip(kinds, replies, strict=True)}


def interview_many_images(
    examples: Iterable[Example],
    vision: VisionBackend,
    questioner: BaseChatModel,
    config: PipelineConfig,
    max_pixels: int,
) -> Iterator[Asked]:
    """The descriptions of interviews about many images, and the same without what an audit found false."""

    def tasks() -> Iterator[InterviewTask | Ready]:
        for one in examples:
            try:
                yield InterviewTask(one.key, open_picture(one.file, max_pixels=max_pixels))
            except InquisightError as error:
                yield Ready(Asked(one.key, error=error))

    for outcome in interview_many(tasks(), vision, questioner, config):
        if isinstance(outcome, Ready):
            yield outcome.tag
        elif outcome.error is not None:
            yield Asked(outcome.tag, error=outcome.error)
        else:
            yield Asked(outcome.tag, record_of(outcome.caption))


def record_of(caption: Caption) -> dict[str, Any]:
    """What is kept of an interview."""
    turns = [[turn.question, turn.answer] for turn in caption.dialogue.turns]
    return {"interview": caption.summary, "audited": caption.audited or caption.summary, "turns": turns}


def earlier_captions(folder: Path, examples: Sequence[Example]) -> dict[str, dict[str, str]]:
    """The captions of an earlier run in its results folder, by kind and by the examples' keys. Raises UsageError."""
    wanted = {one.key for one in examples}
    found: dict[str, dict[str, str]] = {}
    for line in SharedJournal(folder / JOURNAL).read():
        if line.get("part") in CAPTION_PARTS and line.get("key") in wanted:
            for kind in KINDS:
                if kind in line["record"]:
                    found.setdefault(kind, {})[line["key"]] = line["record"][kind]
    if not found:
        raise UsageError(f"--caption-file '{printable(folder)}' is no folder of a run with captions of these images.")
    return found


def read_captions(path: Path, examples: Sequence[Example], left_out: LeftOut) -> Mapping[str, str]:
    """The captions of a file by the examples' keys. Raises UsageError if it has none of them."""
    document = None if path.suffix.lower() in (".csv", ".tsv", ".jsonl") else parse_json(path, read_bytes(path))
    if isinstance(document, dict):
        by_name = [{"image": name, "caption": text} for name, text in document.items()]
        document = document.get("annotations", by_name)
    rows = rows_of(path, left_out) if document is None else document
    captions: dict[str, str] = {}
    for row in rows if isinstance(rows, Iterable) else ():
        if isinstance(row, Mapping):
            name = next((str(row[key]) for key in _NAMES if row.get(key) not in (None, "")), "")
            text = next((row[key] for key in _TEXTS if isinstance(row.get(key), str)), None)
            if name and text is not None:
                captions[name] = text
                captions.setdefault(Path(name).name, text)
                captions.setdefault(Path(name).stem, text)
    found = {
        one.key: next(captions[name] for name in sorted(one.names, key=len, reverse=True) if name in captions)
        for one in examples
        if not one.names.isdisjoint(captions)
    }
    if not found:
        raise UsageError(
            f"--caption-file '{printable(path)}' has no caption of any of the {len(examples):,} images, such as "
            f"'{printable(examples[0].key, 80)}'; each entry needs image_id (or image) and caption."
        )
    return found
