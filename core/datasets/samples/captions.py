"""Make a sample of a picture and the text that belongs to it: in a row, or in files beside the picture."""

from __future__ import annotations

import json
import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from core.datasets.samples.sample import BrokenSample, Sample, answers_of, caption_of
from core.datasets.samples.sources import SampleSource
from core.datasets.samples.spec import DataSpec
from core.errors import printable
from core.files.paths import why_missing
from core.images.picture import MAX_BYTES

CAPTION: Final = "caption"  # the field of img2dataset's .json
TEXT_SUFFIXES: Final = ("txt", "text", "caption")
QUESTION: Final = "question"
ANSWERS: Final = ("answers", "answer", "multiple_choice_answer")


def caption_beside(
    spec: DataSpec, key: str, texts: Mapping[str, Callable[[], bytes]]
) -> tuple[str | Sequence[str], dict[str, Any]]:
    """Return a picture's caption (or answers, with questions) and the fields of its .json, from files by their suffix.

    Raises BrokenSample.
    """
    needs_json = spec.text_column or spec.instruction_column or spec.questions
    suffix = None if spec.text_column or spec.questions else next((one for one in TEXT_SUFFIXES if one in texts), None)
    fields: dict[str, Any] = {}
    if needs_json or suffix is None:
        if "json" not in texts:
            what = ".json" if needs_json else ".txt or .json"
            raise BrokenSample(key, f"it has no {what} beside it", "missing caption")
        fields = _json_object(texts["json"](), key)
    if suffix is not None:
        return caption_of(texts[suffix](), key, f"its .{suffix}"), fields
    if spec.questions:
        field = spec.text_column or next((name for name in ANSWERS if name in fields), ANSWERS[0])
        return answers_of(fields.get(field), key, f"'{field}' in its .json"), fields
    field = spec.text_column or CAPTION
    return caption_of(fields.get(field), key, f"'{field}' in its .json"), fields


def _json_object(data: bytes, key: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise BrokenSample(key, "its .json is not JSON", "unreadable caption") from None
    if not isinstance(value, dict):
        raise BrokenSample(key, "its .json holds no object", "unreadable caption")
    return value


def make_sample(
    source: SampleSource, key: str, picture: bytes, text: str | Sequence[str], fields: Mapping[str, Any]
) -> Sample:
    """Return the sample, with its instruction or question if the spec names one; `text` may be several answers.

    Raises BrokenSample.
    """
    spec = source.spec
    column = spec.instruction_column or (QUESTION if spec.questions and spec.instruction is None else None)
    what = f"its {QUESTION if spec.questions else 'instruction'}"
    instruction = caption_of(fields.get(column), key, what) if column else spec.instruction
    if isinstance(text, str):
        return Sample(key, source.name, picture, text, instruction)
    [(usual, _)] = Counter(text).most_common(1)
    return Sample(key, source.name, picture, usual, instruction, answers=tuple(text))


def picture_file(path: Path, key: str) -> bytes:
    """Return the bytes of a picture's file, never of a device, a pipe or a folder. Raises BrokenSample."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BrokenSample(key, "its picture is not a regular file")
        if status.st_size > MAX_BYTES:
            raise BrokenSample(key, f"its picture is larger than the {MAX_BYTES:,} bytes allowed")
        return path.read_bytes()
    except FileNotFoundError:
        what = f"its picture {printable(path.name)} does not exist{why_missing(str(path))}"
        raise BrokenSample(key, what, "missing picture") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = (isinstance(error, OSError) and error.strerror) or "its name cannot be a file name"
        raise BrokenSample(key, f"its picture cannot be read: {reason.lower()}") from None
