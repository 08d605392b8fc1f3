"""A data set of images of one colour each, and a vision model that knows what each colour stands for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from core.entries import Entry
from core.images.picture import Picture
from core.registry import get_registry
from core.vision import EncodedImage, VisualQuestion
from tests.fakes import FakeVision
from tests.pictures import saved

COLOURS = ("red", "lime", "blue", "yellow")
OBJECTS = {
    "red": ("person", "dog"),
    "lime": ("person", "bicycle", "dog"),
    "blue": ("boat", "person"),
    "yellow": ("pizza", "dining table"),
}
RGB = {(255, 0, 0): "red", (0, 255, 0): "lime", (0, 0, 255): "blue", (255, 255, 0): "yellow"}


class KnowingVision(FakeVision):
    """Says yes to an object that is there, in a sentence; its captions name the first one only, and a cat."""

    label: ClassVar[str] = "knowing"
    asked: ClassVar[list[str]] = []

    def keep(self, picture: Picture) -> Any:
        colour = RGB[picture.image.resize((1, 1)).getpixel((0, 0))]  # type: ignore[index]
        return colour, picture.sha256.startswith("mirrored")

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        return [self.one(question) for question in questions]

    def one(self, question: VisualQuestion) -> str:
        colour, mirrored = question.image.data
        text = (question.question or "").lower()
        KnowingVision.asked.append(text)
        if text.startswith("is there"):
            there = any(text.startswith((f"is there a {name} ", f"is there an {name} ")) for name in OBJECTS[colour])
            return "Yes, there is." if there else "No."
        if text.startswith("is the"):
            return "On the right." if mirrored else "It is on the left side."
        if "colour" in text:
            return f"It is {colour}."
        if "text" in text:
            return f'It says "{colour.upper()} sign".'
        if "poem" in text:
            return "The dog, the dog, the dog, the dog, the dog, the dog, the dog and"
        if "story" in text:
            return f"Once there was a {OBJECTS[colour][0]}. It met a cat."
        return f"A {OBJECTS[colour][0]} and a cat."


class FailingVision(KnowingVision):
    """Fails in many ways: for one image, for one question, with an error of its own, with too few answers."""

    label: ClassVar[str] = "failing"

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        encoded = super().encode(pictures)
        if any(one.data[0] == "lime" for one in encoded):
            raise MemoryError("CUDA out of memory")
        return encoded

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        if any(one.image.data[0] == "blue" for one in questions):
            raise ValueError("a bug\nin many lines")
        if any(one.image.data[0] == "yellow" for one in questions):
            return ["one answer"] * (len(questions) + 1)
        return super().answer(questions)


class SpoiltVision(KnowingVision):
    """Answers with whatever models answer when something is wrong."""

    label: ClassVar[str] = "spoilt"
    said: ClassVar[tuple[str, ...]] = ("", "\x1b[31m###Human:", "是", "yes no yes no", "no " * 500, "| yes |\n")

    def one(self, question: VisualQuestion) -> str:
        return self.said[len(question.question or "") % len(self.said)]


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the vision models of this file available by name."""
    backends = get_registry().vision_backends
    for kind in (KnowingVision, FailingVision, SpoiltVision):
        entry = Entry(
            "vision backend", kind.label, lambda argument, kind=kind: kind(), "for tests", {}, "tests", "tests"
        )
        monkeypatch.setitem(backends, kind.label, entry)
    monkeypatch.setattr(KnowingVision, "asked", [])


def write_images(folder: Path) -> Path:
    """The images of `COLOURS`."""
    for colour in COLOURS:
        saved(folder / f"{colour}.png", colour)
    return folder


def write_instances(folder: Path) -> Path:
    """COCO instances of these images; gives back the file."""
    write_images(folder)
    names = sorted({name for objects in OBJECTS.values() for name in objects} | {"cat"})
    document = {
        "images": [{"id": place, "file_name": f"{colour}.png"} for place, colour in enumerate(COLOURS, start=1)],
        "categories": [{"id": place, "name": name} for place, name in enumerate(names)],
        "annotations": [
            {"id": 10 * place + at, "image_id": place, "category_id": names.index(name)}
            for place, colour in enumerate(COLOURS, start=1)
            for at, name in enumerate((*OBJECTS[colour], OBJECTS[colour][0]))
        ],
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
