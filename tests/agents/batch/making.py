"""For the tests of batches: many small pictures, an eye that needs no model, and the command run in this process.

`HashedEye` is a fake: what it says follows from the picture's bytes and the question, so a mixed-up answer shows.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from agents.batch.request import BatchRequest
from agents.cli import batch as running
from core.entries import Entry
from core.images.picture import Picture, open_picture
from core.registry import get_registry
from core.vision import EncodedImage, VisionBackend, VisualQuestion
from tests.fakes import FakeVision
from tests.pictures import saved

THINGS = "ball cat duck table lamp tree boat horse kite cup chair dog bird flower car".split()
COLOURS = "red green blue yellow black white brown".split()


def make_pictures(folder: Path, count: int, first: int = 0) -> Path:
    """Small pictures p000.png, p001.png ..., no two alike."""
    for number in range(first, first + count):
        saved(folder / f"p{number:03d}.png", (number % 256, number // 256 % 256, 90), (12, 8))
    return folder


def pictures(folder: Path) -> list[Picture]:
    return [open_picture(path) for path in sorted(folder.iterdir())]


class HashedEye(FakeVision):
    """Says of every picture something of its own; counts what it is asked, and can be made to fail."""

    follows_instructions = False

    def __init__(self, argument: str | None = None) -> None:
        self.argument = argument
        self.looked: list[int] = []  # sizes of batches
        self.asked: list[int] = []
        self.spoil: Callable[[str, str | None], BaseException | None] = lambda sha256, question: None
        self.gate: threading.Event | None = None  # waits for it before each batch of answers

    @property
    def name(self) -> str:
        return "hashed" if self.argument is None else f"hashed:{self.argument}"

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        self.looked.append(len(pictures))
        for picture in pictures:
            if error := self.spoil(picture.sha256, "look"):
                raise error
        return super().encode(pictures)

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        if self.gate is not None:
            assert self.gate.wait(60)
        self.asked.append(len(questions))
        for question in questions:
            if error := self.spoil(question.image.sha256, question.question):
                raise error
        return [self.say(question) for question in questions]

    def say(self, question: VisualQuestion) -> str:
        seen = f"{question.image.sha256}|{question.question}|{question.history}|{question.options}"
        digest = hashlib.sha256(seen.encode()).digest()
        thing, other = THINGS[digest[0] % len(THINGS)], THINGS[digest[1] % len(THINGS)]
        colour = COLOURS[digest[2] % len(COLOURS)]
        kinds = (
            f"there is a {colour} {thing} next to a {other}.",
            f"a {colour} {thing}.",
            f"{colour}.",
            "i do not know.",
            f"{digest[3] % 5 + 2} of them, on the {other}.",
        )
        return kinds[0] if "detail" in (question.question or "detail") else kinds[digest[4] % len(kinds)]


def register(monkeypatch: Any, eye: VisionBackend, name: str = "hashed") -> None:
    """Make `--vision NAME` give this eye."""
    entry = Entry("vision backend", name, lambda argument: eye, "for tests", {}, "tests", "tests")
    monkeypatch.setitem(get_registry().vision_backends, name, entry)


def batch(*inputs: Path | str, out: Path, **fields: Any) -> int:
    """`inquisight batch`, in this process."""
    outs = (out, *fields.pop("more", ()))
    fields = {"vision": "hashed", "questioner": "scripted", "rounds": 4, "batch": 4, "concurrency": 4} | fields
    return running.run_batch(BatchRequest(inputs=tuple(map(str, inputs)), out=outs, **fields))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def said(caption: Any) -> list[tuple[str, str, str]]:
    """What counts of a dialogue."""
    return [(turn.question, turn.answer, turn.certainty) for turn in caption.dialogue.turns]


def counted(items: Sequence[Any], taken: list[int]) -> Iterator[Any]:
    for item in items:
        taken.append(1)
        yield item
