"""Write labelled images for `inquisight evaluate`, where COCO is not at hand.

    python -m benchmarks.evaluation packages OUT                    (12 photographs of installed packages)
    python -m benchmarks.evaluation scenes OUT --from SOURCES       (composed scenes: COCO and VQA files)
    python -m benchmarks.evaluation photographs OUT --from FOLDER   (75 labelled photographs of one half)
    python -m benchmarks.evaluation signs OUT                       (lines of text, drawn)

SOURCES is what `training.pocket.sources` filled, FOLDER what `training.photographs.fetch` filled.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from core.errors import InquisightError, UsageError
from core.files.journal import write_json

PACKAGES: Final = Path(__file__).with_name("packages.csv")
FIRST: Final = 6_000_000  # seed of the first scene; no other benchmark and no training uses these
COLUMNS: Final = ("image", "objects", "maybe", "text")
SIGNS: Final = "OPEN|BAKERY|MAIN STREET|Exit 24|NO PARKING|Fresh fish|HOTEL|Mind the gap|SALE 50 %|Platform 9|CAFE|Post"


def packages(out: Path) -> None:
    """A table of the twelve photographs of benchmarks.questioners, labelled by a person."""
    from benchmarks.questioners.pictures import twelve

    files = {file.name: file for file in twelve()}
    with PACKAGES.open(encoding="utf-8", newline="") as file:
        rows = [{**row, "image": str(files[row["image"]])} for row in csv.DictReader(file)]
    write_table(out / "labels.csv", rows)


def photographs(out: Path, folder: Path, half: str) -> None:
    """A table of the labelled photographs of one half."""
    from training.photographs.labels import labelled_pictures

    rows = []
    for labels, picture in labelled_pictures(folder, half):
        text = labels.writing if not labels.small_writing else ()  # else more is written than the labels say
        objects = dict.fromkeys(thing.name.lower() for thing in labels.things)
        rows.append(
            {
                "image": str(Path(picture.source).absolute()),
                "objects": ";".join(objects),
                "maybe": ";".join(sorted(labels.maybe)),
                "text": "|".join(text),
            }
        )
    write_table(out / "labels.csv", rows)


def scenes(out: Path, sources: Path, count: int) -> None:
    """COCO instances and VQA questions of composed scenes: colours and numbers."""
    from training.pocket.scenes import Composer

    composer = Composer(sources, held_out=True)
    (out / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    questions: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for number in range(count):
        scene = composer.scene(FIRST + number)
        name = f"{number:06d}.png"
        scene.image.save(out / "images" / name)
        width, height = scene.image.size
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        names = [thing.name for thing in scene.things]
        asked = [("How many things are there?", "number", [str(len(names))])]
        asked += [
            (f"What colour is the {thing.name}?", "other", [*thing.colours])
            for thing in scene.things
            if thing.name and names.count(thing.name) == 1
        ]
        for text, kind, given in asked:
            identity = len(questions) + 1
            questions.append({"question_id": identity, "image_id": number, "question": text})
            people = [{"answer": one, "answer_id": at + 1} for at, one in enumerate(given * 4)]
            label = {"question_id": identity, "image_id": number, "answer_type": kind, "answers": people}
            answers.append(label)
        for thing in scene.things:
            if not thing.name:
                continue
            left, top, right, bottom = thing.box
            box = [left * width, top * height, (right - left) * width, (bottom - top) * height]
            category = categories.setdefault(thing.name, len(categories) + 1)
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": category, "bbox": box})
    listed = [{"id": identity, "name": name} for name, identity in categories.items()]
    write_json(out / "instances.json", {"images": images, "annotations": annotations, "categories": listed})
    write_json(out / "vqa_questions.json", {"images": images, "questions": questions})
    write_json(out / "vqa_annotations.json", {"annotations": answers})


def signs(out: Path) -> None:
    """Signs with one or two lines of text, drawn in Pillow's own font."""
    from PIL import Image, ImageDraw, ImageFont

    rng, words = random.Random(5), SIGNS.split("|")
    rows = []
    for number, word in enumerate(words):
        lines = [word, *([rng.choice(words)] if number % 3 == 0 else [])]
        image = Image.new("RGB", (320, 200), rng.choice(("white", "#f4e04d", "#d0e6ff")))
        draw = ImageDraw.Draw(image)
        for at, line in enumerate(lines):
            font = ImageFont.load_default(rng.choice((28, 36, 44)))
            draw.text((160, 70 + 60 * at), line, fill="black", font=font, anchor="mm")
        image.save(out / f"sign-{number:02d}.png")
        rows.append({"image": f"sign-{number:02d}.png", "objects": "", "maybe": "", "text": "|".join(lines)})
    write_table(out / "labels.csv", rows)


def write_table(path: Path, rows: Iterable[dict[str, str]]) -> None:
    """Write labels as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=("packages", "scenes", "photographs", "signs"))
    parser.add_argument("out", type=Path, help="folder of the data; made if missing")
    parser.add_argument("--from", dest="folder", type=Path, metavar="DIR", help="SOURCES or FOLDER")
    parser.add_argument("--scenes", type=int, default=200, metavar="N", help="number of scenes [200]")
    parser.add_argument("--half", choices=("development", "held-out"), default="development", help="[development]")
    options = parser.parse_args(argv)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        if options.kind in ("scenes", "photographs") and options.folder is None:
            raise UsageError(f"{options.kind} need --from DIR; see --help.")
        match options.kind:
            case "packages":
                packages(options.out)
            case "signs":
                signs(options.out)
            case "scenes":
                scenes(options.out, options.folder, options.scenes)
            case _:
                photographs(options.out, options.folder, options.half)
    except InquisightError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.kind}: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
