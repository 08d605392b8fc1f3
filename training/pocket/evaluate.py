"""The pocket table: accuracy of a backend on held-out scenes, and its descriptions of real photographs.

    python -m training.pocket.evaluate SOURCES --scenes 600 --out docs/pocket-table.json

Scenes: the cut-outs of training in new compositions on held-out photographs; the questions use the wordings of
training, other wordings, and the mirrored picture. Photographs: the free pictures of scikit-image and scikit-learn, and
the held-out ones of `training.pocket.sources`. None was used in training.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from core.datasets.text_lines import split_lines
from core.images.picture import Picture
from core.registry import get_registry
from core.vision import EncodedImage, VisionBackend, VisualQuestion
from plugins.pocket.colours import COLOURS
from training.pocket.features import truth as truth_of
from training.pocket.foundation import known_names
from training.pocket.scene_questions import SceneQuestions
from training.pocket.scenes import ComposedScene, Composer
from training.pocket.sight.said import names_in
from training.pocket.wording import NUMBERS, UNANSWERABLE, phrase

DETAIL = "Describe this picture in detail."
SIZES = ("small", "large", "medium")
NOTHING = re.compile(r"\b(do not know|cannot tell|not sure|don't know|nothing on it)\b")
_MENTION = re.compile(r"there (?:is|are) (?:(?:a|an|some|the) )?([^.\n]++)")
LOOKS = re.compile(r"this looks like (?:a|an|some|the) ([^,.]+)")
SKIMAGE = (
    "astronaut brick camera cat chelsea clock coffee coins colorwheel grass gravel hubble_deep_field "
    "immunohistochemistry moon page rocket retina skin text"
).split()
BARS = {
    "background colour": 0.90,
    "colour of a named thing": 0.70,
    "number (0-4)": 0.92,
    "presence, balanced": 0.90,
    "left / middle / right": 0.80,
    "left or right": 0.95,
    "left or right, and the other side in the mirror": 0.95,
    "recall in the description": 0.85,
    "invented per picture": 0.25,
    "does not know what cannot be known": 0.70,
}
OTHER = ", in other words"
# None of these wordings is in questions.toml.
OTHER_WORDS = {
    "number": ("Could you tell me the count of objects?", "Everything counted, how many things do you get?"),
    "background": ("And the background, what colour has it got?", "Which colour is behind everything?"),
    "colour": ("The {name}: which colour is it?", "Can you name the colour of the {name}?"),
    "place": ("Whereabouts is the {name}?", "Please point me to the {name}: where is it?"),
    "presence": ("Have you spotted {thing}?", "Would I find {thing} here?"),
    "unanswerable": ("Who painted the {name}?", "Does the {name} smell nice?", "How long has the {name} been there?"),
}
PHOTOGRAPHS = Path(__file__).with_name("data") / "photographs.tsv"


def picture(image: Image.Image, name: str) -> Picture:
    """An image as the Picture that backends expect."""
    digest = hashlib.sha256(name.encode() + image.tobytes()).hexdigest()
    return Picture(image=image, sha256=digest, source=name, note=None)


def first(words: Sequence[str], text: str) -> str:
    """The word of `words` that comes first in `text`."""
    found = [(match.start(), word) for word in words if (match := re.search(rf"\b{word}\b", text))]
    return min(found)[1] if found else ""


def mentions(description: str) -> list[str]:
    """What follows each "there is a", up to the end of the sentence or to secondary colours."""
    found = []
    for match in _MENTION.finditer(description):
        thing, end = match[1], match.end()
        if end < len(description) - 1 and description[end] != ".":
            continue  # the line ends within the sentence
        plain = len(thing.rstrip("abcdefghijklmnopqrstuvwxyz ,"))  # from here on nothing but words
        colours = thing.find(" with some ", plain)
        found.append(thing[:colours] if 0 < colours < len(thing) - len(" with some ") else thing)
    return found


def mentioned(description: str) -> list[str]:
    """Names of the things in a description, without sizes and colours."""
    names = []
    for found in [*mentions(description), *LOOKS.findall(description)]:
        words = [word for word in found.split() if word not in SIZES and word not in COLOURS]
        if words and words[0] not in ("nothing", "no"):
            names.append(" ".join(words))
    return names


def score_scenes(vision: VisionBackend, scenes: list[ComposedScene]) -> dict[str, Any]:
    """All figures of the table over composed scenes."""
    names = known_names()
    encoded = vision.encode([picture(scene.image, f"scene {i}") for i, scene in enumerate(scenes)])
    rng = random.Random(7)
    mirrored = vision.encode(
        [picture(ImageOps.mirror(scene.image), f"mirrored scene {i}") for i, scene in enumerate(scenes)]
    )
    asked: list[VisualQuestion] = []
    marks: list[tuple[str, Any, str]] = []

    def put(image: EncodedImage, question: str, kind: str, truth: Any, manner: str = "") -> None:
        asked.append(VisualQuestion(image, question))
        marks.append((kind, truth, manner))

    def also(image: EncodedImage, kind: str, truth: Any, name: str = "") -> None:
        """Ask the same in other words."""
        wording = other.choice(OTHER_WORDS[kind]).format(name=name, thing=phrase(name) if name else "")
        put(image, wording, "present" if kind == "presence" else kind, truth, OTHER)

    other = random.Random(8)
    for scene, image, mirror in zip(scenes, encoded, mirrored, strict=True):
        scene_facts = SceneQuestions(truth_of(scene), names)
        put(image, DETAIL, "description", [thing.name for thing in scene.things])
        if scene.things or scene.background != "photo":  # the number of things in a bare photograph is unknown
            put(image, "How many things are there?", "number", len(scene.things))
            also(image, "number", len(scene.things))
        put(image, "What colour is the background?", "background", scene.background_colours)
        also(image, "background", scene.background_colours)
        single = [t for t in scene.things if t.name and scene_facts.counts[t.name] == 1]
        if single:
            thing = rng.choice(single)
            verb = "are" if phrase(thing.name).startswith("some") and thing.name.endswith("s") else "is"
            put(image, f"What colour {verb} the {thing.name}?", "colour", thing.colours)
            put(image, f"Where {verb} the {thing.name}?", "place", thing.column)
            put(image, f"Is there {phrase(thing.name)}?", "present", True)
            absent = scene_facts.absent(rng)[0]
            put(image, f"Is there {phrase(absent)}?", "present", False)
            put(image, rng.choice(UNANSWERABLE).format(x=thing.name).capitalize(), "unanswerable", None)
            also(image, "colour", thing.colours, thing.name)
            also(image, "place", thing.column, thing.name)
            also(image, "presence", True, thing.name)
            also(image, "presence", False, absent)
            also(image, "unanswerable", None, thing.name)
            if thing.column != "middle":
                question = f"{verb} the {thing.name} on the left or on the right?".capitalize()
                put(image, question, "side", thing.column)
                put(mirror, question, "mirrored", thing.column)
    answers = [answer.lower() for answer in vision.answer(asked)]
    right: dict[str, list[float]] = {}

    def mark(name: str, value: float) -> None:
        right.setdefault(name, []).append(float(value))

    side = ""  # the answer about the picture; its mirrored one comes next
    for (kind, truth, manner), answer in zip(marks, answers, strict=True):
        if kind == "number":
            said = first(NUMBERS, answer)
            mark(f"number (0-4){manner}", said != "" and NUMBERS.index(said) == truth)
        elif kind == "background":
            mark(f"background colour{manner}", first(COLOURS, answer) in truth)
        elif kind == "colour":
            mark(f"colour of a named thing{manner}", first(COLOURS, answer) == truth[0])
            if not manner:
                mark("colour of a named thing, any it has", first(COLOURS, answer) in truth)
        elif kind == "place":
            column = first(("left", "middle", "right"), answer.replace("in the middle of the picture", "middle"))
            mark(f"left / middle / right{manner}", column == truth)
        elif kind == "side":
            side = first(("left", "right"), answer)
            mark("left or right", side == truth)
            if side:
                mark("left or right, where it sees the thing", side == truth)
        elif kind == "mirrored":
            now = first(("left", "right"), answer)
            mark("left or right, and the other side in the mirror", side == truth and now not in ("", truth))
            if side and now:
                mark("left and right swap in the mirror, where it sees the thing in both", side != now)
        elif kind == "present":
            yes = answer.startswith("yes")
            no = answer.startswith("no") or "i see no" in answer
            mark(f"presence, balanced{manner}", yes if truth else no and not yes)
        elif kind == "unanswerable":
            mark(f"does not know what cannot be known{manner}", bool(NOTHING.search(answer)))
        elif kind == "description":
            named = mentioned(answer)
            expected = [name for name in truth if name]
            for name in expected:
                mark("recall in the description", name in named)
            left = list(expected)
            invented = 0
            for name in named:
                if name in left:
                    left.remove(name)
                elif name != "unknown thing":
                    invented += 1
            mark("invented per picture", invented)
    return {name: {"value": round(float(np.mean(values)), 4), "n": len(values)} for name, values in right.items()}


def free_photographs() -> list[tuple[str, Image.Image]]:
    """The photographs in the wheels of scikit-image and scikit-learn."""
    import skimage
    from sklearn.datasets import load_sample_images

    found: list[tuple[str, Image.Image]] = []
    folder = Path(skimage.__file__).parent / "data"
    for path in sorted(folder.iterdir()):
        if path.suffix in (".png", ".jpg", ".jpeg", ".tif") and path.stem in SKIMAGE:
            with Image.open(path) as opened:
                found.append((f"scikit-image {path.stem}", opened.convert("RGB")))
    samples = load_sample_images()
    names = [Path(name).stem for name in samples.filenames]
    found += [
        (f"scikit-learn {name}", Image.fromarray(image)) for name, image in zip(names, samples.images, strict=True)
    ]
    return found


def score_single_things(vision: VisionBackend, composer: Composer) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Descriptions of held-out photographs of single things, compared with manual names (photographs.tsv)."""
    lines = [line.split("\t") for line in split_lines(PHOTOGRAPHS.read_text(encoding="utf-8")) if line[0] != "#"]
    files = {path.stem: path for path in composer.photographs}
    shown = [(stem, names.split(", ")) for stem, names in lines if stem in files]
    pictures = [picture(composer._photograph(files[stem]), stem) for stem, _ in shown]
    questions = [VisualQuestion(image, "What is this?") for image in vision.encode(pictures)]
    rows = []
    for (stem, names), answer in zip(shown, vision.answer(questions), strict=True):
        lower = answer.lower()
        right = any(re.search(rf"\b{name}s?\b", lower) for name in names)
        nothing = NOTHING.search(lower) or "photograph" in lower or not names_in(lower)
        verdict = "right" if right else "admits" if nothing else "wrong"
        rows.append({"photograph": stem, "names": names, "says": answer, "verdict": verdict})
    counted = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in ("right", "admits", "wrong")}
    return rows, {"photographs": len(rows), **counted}


def score_photographs(
    vision: Any, photographs: list[tuple[str, Image.Image]]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Descriptions of photographs, compared with the classifier's guess; needs the pocket backend."""
    import torch

    from plugins.imagenet.tower import normalise
    from plugins.pocket.modeling import MAYBE, SURE
    from training.pocket.vocabulary import imagenet

    classes = imagenet()
    pictures = [picture(image, name) for name, image in photographs]
    encoded = vision.encode(pictures)
    said = vision.answer([VisualQuestion(image, DETAIL) for image in encoded])
    model = vision.engine.model.vision_model
    rows = []
    known = {name for name, _ in known_names()}
    for shown, text in zip(pictures, said, strict=True):
        array = np.array(shown.image.resize((260, 260), Image.Resampling.BICUBIC, reducing_gap=3.0))
        with torch.inference_mode():
            features = model.tower(normalise(torch.from_numpy(array)[None])).mean((2, 3))
            odds = model.tower.classifier(features).softmax(-1)[0]
        best, index = odds.max(0)
        guess = classes[int(index)][0].split(" ", 1)[1]
        lower = text.lower()
        names = set(mentioned(lower))
        bare = {guess, classes[int(index)][1]}
        rows.append(
            {
                "photograph": shown.source,
                "head": guess,
                "sure": round(float(best), 2),
                "says": text,
                "named": guess in lower,
                "admits": bool(NOTHING.search(lower)),
                "invents": sorted((names & known) - bare - {""}),
                "level": "sure" if best >= SURE else "maybe" if best >= MAYBE else "none",
            }
        )
    sure = [row for row in rows if row["level"] == "sure"]
    unsure = [row for row in rows if row["level"] == "none"]
    figures = {
        "photographs": len(rows),
        "head at least half sure": len(sure),
        "of these named": sum(row["named"] for row in sure),
        "head knows nothing (under 0.2)": len(unsure),
        "of these admits it, or names only the group": sum(
            row["admits"] or "looks like" in row["says"].lower() for row in unsure
        ),
        "photographs on which a thing is invented": sum(bool(row["invents"]) for row in rows),
    }
    return rows, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="folder filled by training.pocket.sources")
    parser.add_argument("--vision", default="pocket", help="backend to measure")
    parser.add_argument("--scenes", type=int, default=600)
    parser.add_argument("--out", type=Path, help="write everything as JSON")
    options = parser.parse_args()
    vision = get_registry().create_vision(options.vision)
    composer = Composer(options.sources, held_out=True)
    scenes = [composer.scene(1_000_000 + seed) for seed in range(options.scenes)]
    table = score_scenes(vision, scenes)
    print(f"{options.scenes} held-out scenes\n\n| figure | value | bar | n |\n|---|---|---|---|")
    for name, entry in sorted(table.items()):
        print(f"| {name} | {entry['value']:.3f} | {BARS.get(name, '')} | {entry['n']} |")
    report: dict[str, Any] = {"scenes": table}
    if options.vision.startswith("pocket"):
        for title, shown in (
            ("free photographs", free_photographs()),
            (
                "held-out photographs",
                [(f"held-out {path.stem}", composer._photograph(path)) for path in composer.photographs],
            ),
        ):
            rows, figures = score_photographs(vision, shown)
            report[title] = {"figures": figures, "rows": rows}
            print(f"\n{title}: {json.dumps(figures)}")
            if title == "free photographs":
                print("\n| photograph | the classifier | it says |\n|---|---|---|")
                for row in rows:
                    print(f"| {row['photograph']} | {row['head']} {row['sure']} | {row['says']} |")
    rows, figures = score_single_things(vision, composer)
    report["photographs of single things"] = {"figures": figures, "rows": rows}
    print(f"\nphotographs of single things, against names given by hand: {json.dumps(figures)}")
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"written to {options.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
