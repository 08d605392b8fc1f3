"""COCO's formats: instances, captions, VQA questions, and POPE's questions about COCO's images.

Instances and captions: https://cocodataset.org/#format-data. VQA: https://visualqa.org/download.html. POPE: one JSON
object a line with question_id, image, text and label (https://github.com/AoiDragon/POPE).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.datasets.left_out import LeftOut
from core.errors import UsageError, printable
from evaluation.data.documents import BAD_ENTRY, entries, parse_json, read_bytes, rows_of
from evaluation.data.examples import Example, LabelledQuestion, names_of, once
from evaluation.data.tables import locate


def read_instances(
    document: Mapping[str, Any], path: Path, folders: Sequence[Path], left_out: LeftOut
) -> tuple[list[Example], tuple[str, ...]]:
    """The images of a file of instances with their objects, and all categories. Raises UsageError."""
    names = {one.get("id"): str(one.get("name", "")).lower() for one in entries(document, "categories", path)}
    objects: dict[Any, list[str]] = defaultdict(list)
    for number, one in enumerate(entries(document, "annotations", path)):
        if one.get("category_id") not in names:
            left_out.add(BAD_ENTRY, f"annotation {one.get('id', number)}: category {one.get('category_id')}")
            continue
        objects[one.get("image_id")].append(names[one["category_id"]])
    found = []
    for number, one in enumerate(entries(document, "images", path)):
        if "id" not in one or not isinstance(one.get("file_name"), str):
            left_out.add(BAD_ENTRY, f"image {number}")
            continue
        file = one["file_name"]
        known = names_of(file, one["id"])
        found.append(Example(str(one["id"]), locate(file, folders), known, once(objects[one["id"]])))
    return found, once(names.values())


def with_captions(examples: Sequence[Example], path: Path) -> list[Example]:
    """The examples with the captions of a COCO captions file. Raises UsageError."""
    document = parse_json(path, read_bytes(path))
    if not isinstance(document, dict):
        raise UsageError(f"'{printable(path)}' is no COCO captions file: it must hold an object with 'annotations'.")
    captions: dict[str, list[str]] = defaultdict(list)
    for one in entries(document, "annotations", path):
        if isinstance(one.get("caption"), str):
            captions[str(one.get("image_id"))].append(one["caption"])
    found = [replace(one, captions=(*one.captions, *captions.get(one.key, ()))) for one in examples]
    if not any(one.captions for one in found):
        raise UsageError(
            f"'{printable(path)}' has no caption of any image of the data; take the captions of that split."
        )
    return found


def read_pope(path: Path, folders: Sequence[Path], left_out: LeftOut) -> list[Example]:
    """The images of POPE's questions, each with its questions. Raises UsageError."""
    found: dict[str, list[LabelledQuestion]] = defaultdict(list)
    for number, row in enumerate(rows_of(path, left_out), start=1):
        label = str(row.get("label", "")).strip().lower()
        if not isinstance(row.get("image"), str) or not isinstance(row.get("text"), str) or label not in ("yes", "no"):
            left_out.add(BAD_ENTRY, f"{path.name}, line {number}")
            continue
        question = LabelledQuestion(str(row.get("question_id", number)), row["text"], (label,))
        found[row["image"]].append(question)
    return [
        Example(image, locate(image, folders), names_of(image), questions=tuple(questions))
        for image, questions in found.items()
    ]


def read_vqa(
    document: Mapping[str, Any], path: Path, answers: Path | None, folders: Sequence[Path], left_out: LeftOut
) -> list[Example]:
    """The images of VQA's questions, each with its questions and their answers. Raises UsageError."""
    labels = document if answers is None else parse_json(answers, read_bytes(answers))
    if not isinstance(labels, dict) or "annotations" not in labels:
        raise UsageError(f"'{printable(path)}' has questions without answers; name those with --answers FILE.")
    by_question = {one.get("question_id"): one for one in entries(labels, "annotations", answers or path)}
    files = {one["id"]: one["file_name"] for one in document.get("images", ()) if {"id", "file_name"} <= one.keys()}
    subtype = str(document.get("data_subtype", ""))
    found: dict[str, Example] = {}
    for one in entries(document, "questions", path):
        label = by_question.get(one.get("question_id"))
        given = [str(each.get("answer", "")) for each in label.get("answers", ())] if label else []
        if not given or not isinstance(one.get("question"), str) or "image_id" not in one:
            left_out.add(BAD_ENTRY, f"question {one.get('question_id')}")
            continue
        key = str(one["image_id"])
        if key not in found:
            file = _image_file(one["image_id"], files, subtype, folders)
            found[key] = Example(key, file, names_of(file.name, key))
        kind = str((label or {}).get("answer_type", ""))
        question = LabelledQuestion(str(one["question_id"]), one["question"], tuple(given), kind)
        found[key] = replace(found[key], questions=(*found[key].questions, question))
    return list(found.values())


def _image_file(image: Any, files: Mapping[Any, str], subtype: str, folders: Sequence[Path]) -> Path:
    """The file of an image of VQA: as listed, or by COCO's patterns for file names."""
    if image in files:
        return locate(files[image], folders)
    number = f"{image:012d}" if isinstance(image, int) else str(image)
    stems = [f"COCO_{subtype}_{number}", number, str(image)]
    names = [f"{stem}{suffix}" for stem in stems for suffix in (".jpg", ".png")]
    return next((file for name in names if (file := locate(name, folders)).is_file()), folders[0] / names[0])
