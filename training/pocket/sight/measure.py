"""What a vision model says of real photographs, against the truth that was written down before.

    python -m training.pocket.sight.measure PHOTOGRAPHS --vision pocket --half development --wordnet /usr/share/wordnet

PHOTOGRAPHS is a folder filled by training.photographs.fetch. Names count as right where WordNet 3.0 (Debian's
`wordnet-base`) calls the one a kind of the other, or the detector's table of synonyms makes them one. What the truth
calls `maybe` is neither right nor wrong, and neither is what a model calls uncertain.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final

from PIL import ImageOps

from core.datasets.text_lines import split_lines
from core.errors import UsageError
from core.files.atomic import replacing
from core.images.picture import Picture, open_picture
from core.nouns import plural, singular, with_article
from core.registry import get_registry
from core.vision import EncodedImage, VisionBackend, VisualQuestion
from plugins.pocket.asked import Vocabulary
from plugins.pocket.colours import COLOURS
from training.detector.names import synsets
from training.pocket.sight.said import Said, names_in, scene_words_in
from training.pocket.sight.scene_words import LABELS, THINGS, rows

TRUTH: Final = LABELS / "truth.jsonl"
DETAIL: Final = "Describe this picture in detail."
NUMBERS: Final = "no one two three four five six seven eight nine ten".split()
PRESENCES: Final = 3  # true things asked for per photograph, and as many that are not there
BARS: Final = {
    "photographs on which a true thing is named": 0.65,
    "precision of named things": 0.90,
    "inventions per photograph": 0.15,
    "number of people (one to five)": 0.80,
    "left, middle or right": 0.90,
    "left and right swap in the mirror": 0.90,
    "colour of a named thing": 0.80,
    "precision of scene words": 0.90,
    "presence, one word": 0.85,
    "presence, one word: parses": 1.0,
}


@dataclass(frozen=True, slots=True)
class Labelled:
    """One photograph and its truth."""

    name: str
    picture: Picture
    truth: dict[str, Any]

    @property
    def things(self) -> dict[str, dict[str, Any]]:
        """The true things by name."""
        return {thing["name"].lower(): thing for thing in self.truth["things"]}

    @property
    def maybe(self) -> set[str]:
        return {name.lower() for name in self.truth["maybe"]}

    @property
    def scene(self) -> set[str]:
        """The scene words that hold, and those that follow from its things."""
        found = set(self.truth["scene"])
        return found | {word for word, names in THINGS.items() if set(self.things) & set(names.split(", "))}


class Names:
    """Which names mean the same kind of thing."""

    def __init__(self, wordnet: Path) -> None:
        self.senses, self.above = synsets(wordnet)
        self.synonyms = Vocabulary(()).subjects

    @cache  # noqa: B019 - one object per run
    def kinds(self, synset: str) -> frozenset[str]:
        """The synset and all wider ones."""
        return frozenset({synset}).union(*map(self.kinds, self.above[synset]))

    def ids(self, name: str) -> list[str]:
        """The senses of a name, or of its last word."""
        return self.senses.get(name.replace(" ", "_")) or self.senses.get(name.split()[-1], [])

    def match(self, said: str, true: str) -> bool:
        """Whether the one is the other, or a kind of it."""
        said, true = singular_of(said), singular_of(true)
        if said == true or said.split()[-1] == true or true.split()[-1] == said:
            return True
        one, other = self.synonyms.get(said), self.synonyms.get(true)
        if one is not None and other is not None and one.names & other.names:
            return True
        mine, theirs = self.ids(said), self.ids(true)
        return self.kind_of(mine, theirs) or self.kind_of(theirs, mine)

    def kind_of(self, narrow: Sequence[str], wide: Sequence[str]) -> bool:
        """Whether the usual sense of one name is a kind of one of the two most usual senses of another."""
        return bool(narrow) and any(sense in self.kinds(narrow[0]) for sense in wide[:2])


def singular_of(name: str) -> str:
    """The singular of a name of several words."""
    before, space, noun = name.lower().rpartition(" ")
    return f"{before}{space}{singular(noun)}"


class Constant(VisionBackend):
    """A baseline that says the same of every picture, and "no" or "yes" to every question."""

    follows_instructions: ClassVar[bool] = False

    def __init__(self, description: str, yes: str = "No.") -> None:
        self.description, self.yes = description, yes

    @property
    def name(self) -> str:
        return f"always {self.description!r}"

    @property
    def revision(self) -> str:
        return self.name

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        return [EncodedImage(picture.sha256, self.revision, None) for picture in pictures]

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        return [self.description if question.question == DETAIL else self.yes for question in questions]


BASELINES: Final = {"says nothing": Constant(""), "says person": Constant("The picture shows a person.", "Yes.")}


def photographs(folder: Path, half: str) -> list[Labelled]:
    """The photographs of one half, in order. Raises SystemExit for one that is missing."""
    halves = {name: which for name, which, *_ in rows("split.tsv")}
    found = []
    for line in split_lines(TRUTH.read_text(encoding="utf-8")):
        truth = json.loads(line)
        if halves[truth["id"]] == half:
            file = next(iter(folder.glob(f"{truth['id']}.*")), None)
            if file is None:
                raise SystemExit(
                    f"{truth['id']} is not in {folder}: run `python -m training.photographs.fetch {folder}`."
                )
            found.append(Labelled(truth["id"], open_picture(file), truth))
    return found


class Marks:
    """Counts right answers by figure."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    def add(self, figure: str, value: float) -> None:
        self.values.setdefault(figure, []).append(float(value))

    def table(self) -> dict[str, dict[str, float]]:
        """Mean and number of each figure."""
        return {
            name: {"value": round(sum(found) / len(found), 4), "n": len(found)} for name, found in self.values.items()
        }


Described = tuple[dict[str, Any], list[dict[str, str]]]  # figures; photograph and description


def evaluate(
    vision: VisionBackend, shown: Sequence[Labelled], names: Names
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """All figures of one half, and the description of each photograph."""
    encoded = encode(vision, [one.picture for one in shown])
    mirrored = encode(vision, [mirror(one.picture) for one in shown])
    marks = Marks()
    described = vision.answer([VisualQuestion(image, DETAIL) for image in encoded])
    rows = [{"photograph": one.name, "says": text} for one, text in zip(shown, described, strict=True)]
    found = []
    for one, text in zip(shown, described, strict=True):
        found.append(names_in(text))
        mark_description(marks, one, found[-1], scene_words_in(text), names)
    mark_people(marks, vision, shown, encoded)
    mark_places(marks, vision, shown, encoded, mirrored, found, names)
    mark_colours(marks, vision, shown, encoded, found, names)
    mark_presence(marks, vision, shown, encoded, names)
    return marks.table(), rows


def encode(vision: VisionBackend, pictures: Sequence[Picture]) -> list[EncodedImage]:
    """The pictures encoded, a few at a time."""
    found = []
    for start in range(0, len(pictures), 8):
        found += vision.encode(pictures[start : start + 8])
        print(f"encoded: {len(found)} of {len(pictures)}", file=sys.stderr, flush=True)
    return found


def mirror(picture: Picture) -> Picture:
    """The mirror image."""
    return Picture(ImageOps.mirror(picture.image), f"mirrored{picture.sha256[:56]}", picture.source, None)


def ask(vision: VisionBackend, asked: Sequence[tuple[EncodedImage, str]]) -> list[str]:
    """The answers, in lower case."""
    return [answer.lower() for answer in vision.answer([VisualQuestion(image, question) for image, question in asked])]


def mark_description(marks: Marks, one: Labelled, said: Sequence[Said], scene: Iterable[str], names: Names) -> None:
    """How many named things are true, and which are inventions."""
    right = wrong = 0
    for thing in said:
        if any(names.match(thing.name, true) for true in one.things):
            right += 1
        elif not any(names.match(thing.name, perhaps) for perhaps in one.maybe):
            wrong += 1
    seen = one.scene | one.maybe
    words = set(scene)
    for word in words:
        if word not in one.maybe:
            marks.add("precision of scene words", word in seen)
    things = {word for word in words if word in THINGS or word == "mountain"} & one.scene
    marks.add("photographs on which a true thing is named", right > 0 or bool(things))
    marks.add("inventions per photograph", wrong)
    for value in [1.0] * right + [0.0] * wrong:
        marks.add("precision of named things", value)
    marks.add("says that it is not sure", not said and not words)


def mark_people(
    marks: Marks, vision: VisionBackend, shown: Sequence[Labelled], encoded: Sequence[EncodedImage]
) -> None:
    """How many people there are."""
    answers = ask(vision, [(image, "How many people are there?") for image in encoded])
    for one, answer in zip(shown, answers, strict=True):
        person = one.things.get("person")
        if "person" in one.maybe or (person and not person["exact"]):
            continue
        count = person["count"] if person else 0
        word = next((word for word in re.findall(r"[a-z]+|\d+", answer) if word in NUMBERS), "")
        said = NUMBERS.index(word) if word else -1
        if 1 <= count <= 5:
            marks.add("number of people (one to five)", said == count)
        if count == 0:
            marks.add("no people where there are none", said == 0 or "no people" in answer)


def one_of(one: Labelled, said: Said, names: Names) -> dict[str, Any] | None:
    """The true thing that is meant, if there is only one of it."""
    same = [thing for true, thing in one.things.items() if names.match(said.name, true)]
    single = len(same) == 1 and same[0]["count"] == 1 and same[0]["exact"]
    return same[0] if single else None


def mark_places(
    marks: Marks, vision: VisionBackend, shown: Sequence[Labelled], encoded: Sequence[EncodedImage],
    mirrored: Sequence[EncodedImage], found: Sequence[Sequence[Said]], names: Names,
) -> None:  # fmt: skip
    """Where the single things are that the description names, here and in the mirror."""
    asked, truths = [], []
    for one, image, other, said in zip(shown, encoded, mirrored, found, strict=True):
        for thing in said:
            true = one_of(one, thing, names)
            if true is not None and len(true["places"]) == 1:
                question = f"Where is the {thing.name}?"
                asked += [(image, question), (other, question)]
                truths.append(true["places"][0])
    answers = iter(ask(vision, asked))
    for place in truths:
        here, there = column(next(answers)), column(next(answers))
        marks.add("left, middle or right", here == place)
        if place != "middle" and here == place and there:
            marks.add("left and right swap in the mirror", there == {"left": "right", "right": "left"}[place])


def column(answer: str) -> str:
    """Left, middle or right, whichever an answer says first."""
    found = re.search(r"\b(left|middle|right)\b", re.sub(r"in the middle of the picture", "middle", answer))
    return found[1] if found else ""


def mark_colours(
    marks: Marks, vision: VisionBackend, shown: Sequence[Labelled], encoded: Sequence[EncodedImage],
    found: Sequence[Sequence[Said]], names: Names,
) -> None:  # fmt: skip
    """Which colour the single things have that the description names; of people the clothes."""
    asked, truths = [], []
    for one, image, said in zip(shown, encoded, found, strict=True):
        for thing in said:
            true = one_of(one, thing, names)
            if true is not None and (colours := set(true["colours"]) - {""}):
                asked.append((image, f"What colour is the {thing.name}?"))
                truths.append(colours)
    for answer, colours in zip(ask(vision, asked), truths, strict=True):
        said = re.findall(rf"\b({'|'.join(COLOURS)})\b", answer)
        unsure = re.search(r"not sure|cannot tell|do not know", answer)
        marks.add("a colour is named", bool(said) and not unsure)
        if said and not unsure:
            marks.add("colour of a named thing", said[0] in colours)


Presence = tuple[int, str, bool]  # place of a photograph, name of a thing, whether it is there


def presences(shown: Sequence[Labelled], names: Names) -> list[Presence]:
    """Things to ask for: true ones, the largest first, and as many true things of other photographs.

    Fewer, where the other photographs hold too few that are not here.
    """
    rng = random.Random(5)
    everywhere = [name for one in shown for name in one.things]
    sizes = ("large", "medium", "small")
    found: list[Presence] = []
    for place, one in enumerate(shown):
        there = sorted(one.things, key=lambda name: sizes.index(one.things[name]["size"]))[:PRESENCES]
        away: list[str] = []
        tried: set[str] = set()
        while len(away) < len(there) and not tried.issuperset(everywhere):
            name = rng.choice(everywhere)
            tried.add(name)
            known = [*one.things, *one.maybe, *one.scene, *away]
            if not any(names.match(name, other) for other in known):
                away.append(name)
        found += [(place, name, name in there) for name in (*there, *away)]
    return found


def presence_question(name: str) -> str:
    """Whether a thing is in the picture."""
    many = plural(name.split()[-1]) == name.split()[-1]
    return f"{'Are' if many else 'Is'} there {f'any {name}' if many else with_article(name)} in the picture?"


def mark_presence(
    marks: Marks, vision: VisionBackend, shown: Sequence[Labelled], encoded: Sequence[EncodedImage], names: Names
) -> None:
    """Whether things are there, in one word and in a sentence."""
    found = presences(shown, names)
    asked = [(encoded[place], presence_question(name)) for place, name, _ in found]
    truths = [truth for *_, truth in found]
    short = ask(vision, [(image, f"{question} Answer with one word: yes or no.") for image, question in asked])
    for said, truth in zip(short, truths, strict=True):
        marks.add("presence, one word: parses", bool(re.fullmatch(r"(yes|no)\.?", said.strip())))
        marks.add("presence, one word", said.startswith("yes") == truth)
        marks.add(f"presence, one word: {'there' if truth else 'not there'}", said.startswith("yes") == truth)
    for said, truth in zip(ask(vision, asked), truths, strict=True):
        sure = said.startswith(("yes", "no"))
        marks.add("presence, in a sentence: is sure", sure)
        if sure:
            marks.add("presence, in a sentence, where sure", said.startswith("yes") == truth)


def real_table(report: dict[str, Any]) -> str:
    """A report as a table, with one column for each vision model."""
    models = {spec.rsplit("/", 1)[-1]: entry["figures"] for spec, entry in report.items()}
    lines = [f"| figure | {' | '.join(models)} | n | at least |", f"|---|{'---:|' * (len(models) + 2)}"]
    for name in sorted({name for entry in models.values() for name in entry}):
        found = [entry.get(name) for entry in models.values()]
        values = " | ".join("" if one is None else f"{one['value']:.3f}" for one in found)
        bar = f"{BARS[name]:.2f}" if name in BARS else ""
        limit = f"at most {bar}" if name.startswith("inventions") else bar
        lines.append(f"| {name} | {values} | {next(one['n'] for one in found if one)} | {limit} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vision", action="append", help="a backend; repeat to compare")
    parser.add_argument("--half", choices=("development", "held-out"), default="development")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--most", type=int, help="only the first so many photographs")
    parser.add_argument("--out", type=Path, help="write figures and descriptions as JSON")
    options = parser.parse_args(arguments)
    names = Names(options.wordnet)
    shown = photographs(options.folder, options.half)[: options.most]
    models = options.vision or ["pocket"]
    report: dict[str, dict[str, Any]] = {}
    backends = {spec: get_registry().create_vision(spec) for spec in models} | dict(BASELINES)
    for spec, vision in backends.items():
        figures, said = evaluate(vision, shown, names)
        report[spec] = {"figures": figures, "descriptions": said if spec in models else []}
    print(f"{len(shown)} photographs, {options.half}\n\n{real_table(report)}")
    if options.out:
        with replacing(options.out, UsageError) as file:
            file.write(json.dumps(report, indent=1).encode() + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
