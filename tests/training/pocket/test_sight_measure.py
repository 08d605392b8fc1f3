"""The figures of descriptions of photographs, computed by hand, and the page that shows them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from core.images.picture import Picture, open_picture
from core.vision import EncodedImage, VisionBackend, VisualQuestion
from training.pocket.sight import page
from training.pocket.sight.measure import DETAIL, Labelled, Names, evaluate, mirror

SHORT = "Answer with one word: yes or no."


def thing(name: str, place: str = "middle", *colours: str, count: int = 1) -> dict[str, Any]:
    places = [place] if count == 1 else ["middle", "right"]
    return {"name": name, "count": count, "exact": True, "places": places, "colours": list(colours), "size": "large"}


TRUTHS: dict[str, dict[str, Any]] = {
    "a": {"things": [thing("dog", "left", "brown"), thing("person", count=2)], "scene": ["grass"], "maybe": []},
    "b": {
        "things": [thing("car", "right", "red"), thing("bicycle", "middle", "black")],
        "scene": [],
        "maybe": ["bench"],
    },
    "c": {"things": [thing("cup", "middle", "white"), thing("person", "left")], "scene": ["indoors"], "maybe": []},
}
SAYS = {
    "a": "The picture shows a dog and a cat. It is outdoors, with grass.",
    "b": "The picture shows a car, a bicycle and a bench.",
    "c": "I am not sure what this is, perhaps a cup.",
}
PEOPLE = "How many people are there?"
ANSWERS = {
    ("a", PEOPLE): "There are two people.",
    ("b", PEOPLE): "There are no people.",
    ("c", PEOPLE): "There are three people.",
    ("a", "Where is the dog?"): "The dog is on the left.",
    ("mirrored a", "Where is the dog?"): "The dog is on the right.",
    ("b", "Where is the car?"): "The car is on the right.",
    ("mirrored b", "Where is the car?"): "The car is on the right.",
    ("b", "Where is the bicycle?"): "The bicycle is on the left.",
    ("mirrored b", "Where is the bicycle?"): "The bicycle is on the right.",
    ("a", "What colour is the dog?"): "The dog is brown.",
    ("b", "What colour is the car?"): "The car is blue.",
    ("b", "What colour is the bicycle?"): "I am not sure, perhaps black.",
    ("c", f"Is there a cup in the picture? {SHORT}"): "Perhaps.",
    ("c", "Is there a cup in the picture?"): "I cannot tell.",
} | {(name, DETAIL): text for name, text in SAYS.items()}


class Scripted(VisionBackend):
    """Gives the answers above; says "Yes." in one word and "No, ..." in sentences to all other questions."""

    follows_instructions: ClassVar[bool] = False
    name = revision = "scripted"  # type: ignore[assignment]

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        return [EncodedImage(picture.sha256, "scripted", picture.source) for picture in pictures]

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        found = []
        for one in questions:
            question = one.question or ""
            name = one.image.data if not one.image.sha256.startswith("mirrored") else f"mirrored {one.image.data}"
            usual = "Yes." if question.endswith(SHORT) else "No, there is none."
            assert (name, question) in ANSWERS or question.startswith(("Is there", "Are there")), (name, question)
            found.append(ANSWERS.get((name, question), usual))
        return found


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Names:
    """A WordNet of three nouns: a spaniel is a dog, a dog an animal."""
    folder = tmp_path_factory.mktemp("wordnet")
    (folder / "index.noun").write_text(
        "  a licence\ndog n 1 1 @ 1 0 00000002\nspaniel n 1 1 @ 1 0 00000001\nbeast n 1 0 1 0 00000003\n"
    )
    (folder / "data.noun").write_text(
        "  a licence\n00000001 05 n 01 spaniel 0 001 @ 00000002 n 0000 | a dog\n"
        "00000002 05 n 01 dog 0 001 @ 00000003 n 0000 | a beast\n00000003 05 n 01 beast 0 000 | any\n"
    )
    return Names(folder)


def labelled(*chosen: str) -> list[Labelled]:
    def picture(name: str) -> Picture:
        image = Image.new("RGB", (20, 20), "grey")
        return Picture(image, hashlib.sha256(name.encode()).hexdigest(), name, None)

    return [Labelled(name, picture(name), {"id": name, **TRUTHS[name]}) for name in chosen]


def test_every_figure_is_the_one_computed_by_hand(names: Names) -> None:
    figures, said = evaluate(Scripted(), labelled("a", "b", "c"), names)
    assert said == [{"photograph": name, "says": text} for name, text in SAYS.items()]
    assert {name: (one["value"], one["n"]) for name, one in figures.items()} == {
        "photographs on which a true thing is named": (0.6667, 3),  # not on c
        "precision of named things": (0.75, 4),  # the cat is wrong, the bench neither
        "inventions per photograph": (0.3333, 3),
        "precision of scene words": (0.5, 2),  # grass holds, outdoors does not
        "says that it is not sure": (0.3333, 3),
        "number of people (one to five)": (0.5, 2),  # three instead of one on c
        "no people where there are none": (1.0, 1),
        "left, middle or right": (0.6667, 3),  # the bicycle is in the middle
        "left and right swap in the mirror": (0.5, 2),  # the car stays on the right
        "a colour is named": (0.6667, 3),
        "colour of a named thing": (0.5, 2),
        "presence, one word": (0.4167, 12),  # five of six that are there, none of six that are not
        "presence, one word: there": (0.8333, 6),
        "presence, one word: not there": (0.0, 6),
        "presence, one word: parses": (0.9167, 12),
        "presence, in a sentence: is sure": (0.9167, 12),
        "presence, in a sentence, where sure": (0.5455, 11),  # "no" is right for six of eleven
    }


def test_one_photograph_alone_is_asked_for_what_is_there(names: Names) -> None:
    figures, _ = evaluate(Scripted(), labelled("a"), names)
    assert figures["presence, one word: there"]["n"] == 2
    assert "presence, one word: not there" not in figures


def test_a_narrower_name_is_right_and_another_is_not(names: Names) -> None:
    assert names.match("spaniel", "dog") and names.match("dogs", "spaniel") and names.match("Spaniel", "beast")
    assert not names.match("spaniel", "teapot")


def test_the_mirror_image_is_another_picture() -> None:
    picture = labelled("a")[0].picture
    picture.image.putpixel((0, 3), (250, 0, 0))
    other = mirror(picture)
    assert other.image.getpixel((19, 3)) == (250, 0, 0) and other.sha256 != picture.sha256


def test_the_page_shows_every_photograph_with_its_number_and_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    names = [f"photo-{number:02}" for number in range(1, 18)]
    for name in names:
        Image.new("RGB", (80, 60), (200, 30, 30)).save(photographs / f"{name}.png")
    table = [f"{name}\tnpm:archive-{name}\t1\tpath\tsum\tMIT\tAda" for name in names]
    (tmp_path / "photographs.tsv").write_text("\n".join(["# id", *table]) + "\n")
    monkeypatch.setattr(page, "LABELS", tmp_path)
    says = {name: f"The picture shows {{{name}}} & more." for name in names}
    figures = {"inventions per photograph": {"value": 0.1, "n": 17}}
    report = {
        "says nothing": {"figures": figures, "descriptions": []},
        "pocket": {"figures": figures, "descriptions": [{"photograph": n, "says": s} for n, s in says.items()]},
    }
    (tmp_path / "report.json").write_text(json.dumps(report))
    page.write(photographs, tmp_path / "report.json", tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    for number, name in enumerate(names, start=1):
        assert f"\n{number}. {says[name]} ({name}: archive-{name}, MIT, Ada)\n" in text
    assert "| inventions per photograph | 0.100 | 0.100 | 17 | at most 0.15 |" in text
    assert "![1 to 15](page/1.jpg)" in text and "![16 to 17](page/2.jpg)" in text
    sheets = sorted((tmp_path / "page").iterdir())
    assert [sheet.name for sheet in sheets] == ["1.jpg", "2.jpg"]
    for sheet, shown in zip(sheets, (15, 2), strict=True):
        pixels = np.asarray(open_picture(sheet).image).astype(int)
        assert pixels.shape == (3 * page.SIDE, 5 * page.SIDE, 3)
        for place in range(15):
            top, left = place // 5 * page.SIDE, place % 5 * page.SIDE
            cell = pixels[top : top + page.SIDE, left : left + page.SIDE]
            red = (cell[..., 0] > cell[..., 1] + 100).any()
            number = (cell[:24, :30].max(2) < 90).any()
            assert red == number == (place < shown)
