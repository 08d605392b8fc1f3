"""Questions as VQA v2 and OK-VQA give them: a file of questions, one of annotations, a folder of pictures.

    {"questions": [{"question_id", "image_id", "question"}, ...], "data_subtype": "train2014"}
    {"annotations": [{"question_id", "answers": [{"answer"}, ...]}, ...]}

Pictures are named as in COCO, `COCO_train2014_000000000009.jpg` or `000000000009.jpg`. Source: "VQA Input Questions
Format" and "VQA Annotation Format" of visualqa.org.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

from core.datasets.samples.captions import make_sample, picture_file
from core.datasets.samples.rows import open_json
from core.datasets.samples.sample import BrokenSample, Sample, answers_of, caption_of
from core.datasets.samples.sources import digest, file_size
from core.datasets.samples.spec import DataSpec, Kind
from core.datasets.samples.tables import RowSource
from core.errors import UsageError, printable

QUESTIONS: Final = "questions"
_HEAD: Final = 1 << 16  # bytes in which the key must occur
_DIGITS: Final = 12  # of a picture's number in COCO's names
_SUFFIXES: Final = (".jpg", ".png")


class VqaSource(RowSource):
    """A sample per question; its `answers` are those of all people who were asked."""

    kind: ClassVar[Kind] = "vqa"

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec.model_copy(update={"questions": True}))
        self.path = Path(spec.path).expanduser()
        answers = Path(spec.annotations).expanduser() if spec.annotations else _annotations_of(self.path)
        self.sizes = (file_size(self.path), file_size(answers))
        self.rows = open_json(self.path, f"{QUESTIONS}.item")
        if not self.rows.count:
            raise UsageError(f'{printable(self.path)} holds no {{"questions": [...]}}.')
        self.answers = _read_answers(answers)
        self.subtype = _subtype(self.path)
        folders = [
            self.path.parent,
            self.path.parent / "images",
            *([self.path.parent / self.subtype] * bool(self.subtype)),
        ]
        self.folders = [Path(spec.pictures).expanduser()] if spec.pictures else folders
        if spec.pictures and not self.folders[0].is_dir():
            raise UsageError(f"pictures={printable(spec.pictures)} is no folder; check the path.")

    def identity(self) -> str:
        return digest((self.path.name, *self.sizes, self.rows.count))

    def paths(self, row: dict[str, Any]) -> Iterator[str]:
        yield str(self._file(row.get("image_id")))

    def key(self, number: int, row: dict[str, Any]) -> str:
        return f"{row.get('question_id', 'no question_id')}#{number + 1}"

    def sample(self, key: str, row: dict[str, Any]) -> Sample:
        name = row.get("image_id")
        if not isinstance(name, str | int) or isinstance(name, bool) or "/" in str(name):
            raise BrokenSample(key, "its image_id is missing or not a name", "broken row")
        caption_of(row.get("question"), key, "its question")
        answers = answers_of(self.answers.get(row.get("question_id"), ()), key)
        return make_sample(self, key, picture_file(self._file(name), key), answers, row)

    def _file(self, image: Any) -> Path:
        """Return the picture of this number, or where it was expected."""
        number = str(image).zfill(_DIGITS)
        stems = [f"COCO_{self.subtype}_{number}", number, str(image)]
        names = [f"{stem}{suffix}" for stem in stems for suffix in _SUFFIXES]
        places = (folder / name for name in names for folder in self.folders)
        return next((place for place in places if place.is_file()), self.folders[0] / names[0])


def is_questions(path: Path) -> bool:
    """Whether a file is VQA's questions."""
    if path.suffix.lower() != ".json":
        return False
    head = _head(path).lstrip()
    return head.startswith(b"{") and b'"questions"' in head


def questions_in(folder: Path) -> Path | None:
    """Return the file with VQA's questions in a folder. Raises UsageError if there are several."""
    found = [path for path in sorted(folder.glob("*questions*.json")) if is_questions(path)]
    if len(found) > 1:
        names = ", ".join(printable(path.name, 60) for path in found[:4])
        raise UsageError(f"{printable(folder)} holds several files of questions ({names}): name one of them.")
    return found[0] if found else None


def _annotations_of(questions: Path) -> Path:
    """Return the file that VQA v2 gives with `v2_OpenEnded_mscoco_train2014_questions.json`. Raises UsageError."""
    name = questions.name.replace(QUESTIONS, "annotations")
    names = [name.replace("OpenEnded_", ""), name, questions.name]
    for path in (questions.with_name(name) for name in names):
        if path.is_file() and b'"annotations"' in _head(path):
            return path
    raise UsageError(
        f"{printable(questions)} has questions without answers: put {printable(names[0])} beside it, or set "
        "annotations."
    )


def _read_answers(file: Path) -> dict[Any, tuple[str, ...]]:
    """Return the answers by the number of the question. Equal texts are one object, which saves most of the memory."""
    rows = open_json(file, "annotations.item")
    found: dict[Any, tuple[str, ...]] = {}
    for part in range(len(rows.places)):
        for _, row in rows.read(part):
            entry = row.fields or {}
            answers = [one.get("answer") for one in entry.get("answers", ()) if isinstance(one, dict)]
            kept = [sys.intern(one) for one in answers if isinstance(one, str) and one.strip()]
            if kept:
                found[entry.get("question_id")] = tuple(kept)
    if not found:
        raise UsageError(f"{printable(file)} holds no answers.")
    return found


def _subtype(questions: Path) -> str:
    """Return the name of the split, such as train2014; "" if the file does not say."""
    import ijson

    with questions.open("rb") as file:
        return str(next(ijson.items(file, "data_subtype"), ""))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""
