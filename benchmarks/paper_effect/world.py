"""The data of the experiment, made once.

OUT/model        smol: pocket's vision model, an untrained layer, SmolLM2-135M-Instruct
OUT/captions     composed scenes with short captions: the data of stage 1
OUT/photographs  photographs with captions of their main things, as people labelled them: data of stage 1, too
OUT/shuffled     the same captions with other pictures: a control
OUT/true         other scenes, to be described by stage 1 and curated, with their true descriptions
OUT/features     what the frozen vision model makes of all pictures
OUT/nothing      the same number of features, which say nothing: a control
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.paper_effect.measure import nothing
from core.datasets.text_lines import split_lines
from core.files.journal import Record, read_json, write_json, write_lines
from core.images.picture import open_picture
from training.features.store import FeatureStore, FeatureWriter, Manifest, create_store
from training.features.vision import FrozenVision
from training.photographs.labels import HALVES, labels
from training.pocket.wording import NUMBERS, phrase, plural

BATCH = 16


def copy_photographs(source: Path, to: Path) -> None:
    """Copy the photographs that no half of the labelled ones holds, with captions of their main things."""
    if (to / "captions.jsonl").is_file():
        return
    from training.photographs.fetch import TABLE

    held = {one.id for half in HALVES for one in labels(half)}
    (to / "image").mkdir(parents=True, exist_ok=True)
    lines: list[Record] = []
    for line in split_lines(TABLE.with_name("scenes.tsv").read_text("utf-8")):
        key, _, _, things, flags = (line.split("\t") + [""] * 4)[:5]
        file = source / f"{key}.jpg"
        if line.startswith("#") or key in held or not things.strip() or "drawing" in flags or not file.is_file():
            continue
        shutil.copyfile(file, to / "image" / file.name)
        lines.append({"picture": f"image/{file.name}", "caption": f"a photograph of {listed(things)}"})
    write_lines(to / "captions.jsonl", lines)


def listed(things: str) -> str:
    """ "book 1, chair 2, tree 3+" in words; at most four of them."""
    found = []
    for one in things.split(",")[:4]:
        name, _, number = one.strip().rpartition(" ")
        if number == "1":
            found.append(phrase(name))
        else:
            many = NUMBERS[int(number)] if number.isdigit() and int(number) < len(NUMBERS) else "some"
            found.append(f"{many} {plural(name)}")
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def shuffle(captions: Path, to: Path) -> None:
    """Give each picture the caption of the one before it."""
    if (to / "captions.jsonl").is_file():
        return
    rows = [json.loads(line) for line in split_lines((captions / "captions.jsonl").read_text("utf-8"))]
    lines = [
        {"picture": str(captions.absolute() / row["picture"]), "caption": other["caption"]}
        for row, other in zip(rows, [rows[-1], *rows[:-1]], strict=True)
    ]
    to.mkdir(parents=True, exist_ok=True)
    write_lines(to / "captions.jsonl", lines)


def keep_features(model: Path, folders: list[Path], to: Path, done: Callable[[int], None]) -> None:
    """Encode the pictures of `folders` once; goes on where it was interrupted."""
    files = [file for folder in folders for file in sorted((folder / "image").iterdir())]
    mark = to.with_name(f"{to.name}.complete.json")
    if (read_json(mark) or {}).get("pictures") == len(files):
        return
    vision = FrozenVision.open(model, device="cpu")
    store = create_store(to, Manifest(vision.fingerprint, vision.tokens, vision.width, "float16"))
    with FeatureWriter(store, "effect") as writer:
        for start, group in _groups(files):
            pictures = [one for one in map(open_picture, group) if not writer.has(one.sha256)]
            if pictures:
                encoded = vision(torch.stack([vision.pixels(one) for one in pictures]))
                for one, features in zip(pictures, encoded, strict=True):
                    writer.add(one.sha256, features)
            done(start)
    write_json(mark, {"pictures": len(files)})


def keep_nothing(features: Path, folders: list[Path], to: Path) -> None:
    """Write a store in which all pictures have the same features."""
    mark = to.with_name(f"{to.name}.complete.json")
    if mark.is_file():
        return
    manifest = FeatureStore(features).manifest
    with FeatureWriter(create_store(to, manifest), "effect") as writer:
        for folder in folders:
            for file in sorted((folder / "image").iterdir()):
                writer.add(open_picture(file).sha256, nothing())
    write_json(mark, {})


def _groups(files: list[Path]) -> Iterator[tuple[int, list[Path]]]:
    for start in range(0, len(files), BATCH):
        yield start, files[start : start + BATCH]
