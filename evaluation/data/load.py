"""Find out which format labels have, and read them.

data = load_data(Path("instances_val2014.json"), images=Path("val2014"))
data.examples[0].objects            # ("person", "dog")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.datasets.folders import find_pictures
from core.datasets.left_out import LeftOut, Reason
from core.errors import UsageError, printable
from evaluation.data.coco import read_instances, read_pope, read_vqa, with_captions
from evaluation.data.documents import TABLES, parse_json, read_bytes, sha256_of
from evaluation.data.examples import DataSet, Example, names_of, once
from evaluation.data.tables import read_table


def load_data(
    path: Path, *, images: Path | None = None, references: Path | None = None, answers: Path | None = None
) -> DataSet:
    """Read labelled images from a file or folder. Raises UsageError, one line."""
    if images is not None and not images.is_dir():
        raise UsageError(f"--images '{printable(images)}' is no folder; name the folder of the images.")
    if not path.exists():
        raise UsageError(f"--data '{printable(path)}' does not exist; name a file with labels, or a folder of images.")
    left_out = LeftOut()
    labels = _labels_in(path) if path.is_dir() else path
    if labels is None:
        return _images_only(path, left_out)
    folders = [images] if images else [labels.parent, labels.parent / "images"]
    contents = [read_bytes(one) for one in (labels, references, answers) if one is not None]
    name, examples, categories = _read(labels, contents[0], folders, answers, left_out)
    if references is not None:
        examples = with_captions(examples, references)
    if not examples:
        raise UsageError(f"'{printable(labels)}' labels no image" + (f"; {left_out}." if left_out else "."))
    if not any(one.file.is_file() for one in examples):
        where = " or ".join(f"'{printable(folder)}'" for folder in folders)
        raise UsageError(
            f"none of the {len(examples):,} images of '{printable(labels)}' is in {where}, such as "
            f"'{printable(examples[0].file.name, 80)}'; name their folder with --images DIR."
        )
    categories = categories or once(sorted({name for one in examples for name in one.objects or ()}))
    return DataSet(path, name, sha256_of(*contents), tuple(examples), categories, left_out)


def _labels_in(folder: Path) -> Path | None:
    """The file with labels in a folder; None if there is none. Raises UsageError for several."""
    found = sorted(one for one in folder.iterdir() if one.suffix.lower() in (*TABLES, ".json") and one.is_file())
    if len(found) > 1:
        names = ", ".join(printable(one.name, 60) for one in found[:6])
        raise UsageError(
            f"'{printable(folder)}' has several files with labels ({names}); name one of them with --data."
        )
    return found[0] if found else None


def _images_only(folder: Path, left_out: LeftOut) -> DataSet:
    files = [Path(one) for one in find_pictures([str(folder)], left_out)]
    if not files:
        raise UsageError(f"'{printable(folder)}' holds no image and no file with labels.")
    keys = [str(one.relative_to(folder)) for one in files]
    examples = tuple(Example(key, file, names_of(key)) for key, file in zip(keys, files, strict=True))
    return DataSet(folder, "images", sha256_of("\n".join(keys).encode()), examples, left_out=left_out)


def _read(
    labels: Path, content: bytes, folders: Sequence[Path], answers: Path | None, left_out: LeftOut
) -> tuple[str, list[Example], tuple[str, ...]]:
    """The name of the format, the examples, and the categories if the format lists them."""
    suffix = labels.suffix.lower()
    document: Any = None if suffix in TABLES else parse_json(labels, content)
    if isinstance(document, dict) and "questions" in document:
        return "VQA", read_vqa(document, labels, answers, folders, left_out), ()
    if isinstance(document, dict) and "categories" in document:
        return "COCO instances", *read_instances(document, labels, folders, left_out)
    if isinstance(document, dict) and {"image", "text", "label"} <= document.keys():
        document = None  # POPE's lines, of which there is one
    if document is not None:
        raise UsageError(
            f"'{printable(labels)}' holds none of the formats that are read: COCO instances ('categories'), VQA "
            "('questions'), POPE (one question a line)."
        )
    if suffix not in (".csv", ".tsv") and b'"label"' in content.split(b"\n", 1)[0]:
        return "POPE", read_pope(labels, folders, left_out), ()
    return "table", read_table(labels, folders, left_out), ()


def needing(data: DataSet, what: str, has: Sequence[bool], way: str) -> DataSet:
    """The examples with the labels that a task needs. Raises UsageError if none has them."""
    kept = tuple(one for one, there in zip(data.examples, has, strict=True) if there)
    if not kept:
        raise UsageError(f"no image of '{printable(data.path)}' has {what}; {way}.")
    missing = [one for one, there in zip(data.examples, has, strict=True) if not there]
    if missing:
        data.left_out.add(Reason(f"image without {what}", f"images without {what}"), missing[0].key, len(missing))
    return replace(data, examples=kept)
