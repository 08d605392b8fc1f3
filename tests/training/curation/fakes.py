"""A fake vision model and a fake repairer, whose answers are functions of their input.

They stand in for a MiniGPT-4 and a paid language model. The eye's texts hang on the pictures that share its batch and
on the seed, so that a run that makes other batches says other things.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from agents.llm.mender import RepairReply
from core.errors import BackendError, QuestionerError
from core.images.picture import Picture
from core.records import TokenUsage
from core.vision import EncodedImage, VisualQuestion
from tests import fakes
from tests.pictures import saved
from training.curation.folder import CurationFolder
from training.curation.steps.generate import GenerateSettings, generate, remember_pictures
from training.curation.steps.pictures import list_pictures

THINGS = "cat dog boat tree lamp house table bottle horse violin bridge window garden mirror ladder basket".split()
COLOURS = "red green blue yellow white black orange purple brown grey".split()
DESCRIBE = ("Describe this picture in detail.", "What does this picture show?")


class FakeVision(fakes.FakeVision):
    """Says a few sentences about a picture; `says` may give another text for a picture's name."""

    label: ClassVar[str] = "fake-eye"

    follows_instructions: ClassVar[bool] = True

    def __init__(self, says: dict[str, str | Exception] | None = None) -> None:
        self.says = says or {}
        self.batches: list[list[VisualQuestion]] = []
        self.encoded: list[str] = []

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        self.encoded += [Path(one.source).stem for one in pictures]
        return super().encode(pictures)

    def keep(self, picture: Picture) -> str:
        return Path(picture.source).stem

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        self.batches.append(list(questions))
        company = "+".join(str(one.image.data) for one in questions)
        return [self._one(question, company) for question in questions]

    def _one(self, question: VisualQuestion, company: str) -> str:
        name = str(question.image.data)
        said = self.says.get(name)
        if isinstance(said, Exception):
            raise said
        if question.history:
            return "and that is all there is to see in it."
        return said if said is not None else sentences(f"{name}:{company}:{question.options.seed}")


def sentences(key: str, count: int = 4) -> str:
    """A description that hangs on `key` alone."""
    digest = hashlib.sha256(key.encode()).digest()
    said = []
    for at in range(count):
        colour, thing = COLOURS[digest[at] % len(COLOURS)], THINGS[digest[at + 8] % len(THINGS)]
        where = ("on the left", "in the middle", "far behind", "close by")[at % 4]
        said.append(f"There is a {colour} {thing} number {digest[at + 16]} {where}.")
    return " ".join(said)


class FakeMender:
    """Gives back what stands between the marks, through `how`; says nothing a language model would."""

    def __init__(self, how: Callable[[str, int], str | QuestionerError] = lambda text, seed: text) -> None:
        self.name = "fake-repairer"
        self.how = how
        self.calls: list[str] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, brief: str, request: str, *, seed: int, max_tokens: int) -> RepairReply:
        with self._lock:
            self.calls.append(request)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            said = self.how(between(request), seed)
        finally:
            with self._lock:
                self.at_once -= 1
        usage = TokenUsage(calls=1, input_tokens=100, output_tokens=50)
        return (
            RepairReply(error=said, usage=usage)
            if isinstance(said, QuestionerError)
            else RepairReply(said, usage=usage)
        )


def between(request: str) -> str:
    """The text that a repair request carries."""
    found = re.search(r"<description-(\w+)>\n(.*)\n</description-\1>", request, re.DOTALL)
    assert found, request
    return found[2]


def make_pictures(folder: Path, count: int, suffix: str = "png") -> Path:
    """`count` different small pictures, p00, p01, ..."""
    for number in range(count):
        colour = (number * 7 % 256, number * 31 % 256, number // 8 * 40 % 256)
        saved(folder / f"p{number:02d}.{suffix}", colour, (24, 16))
    return folder


def settings(**fields: object) -> GenerateSettings:
    values = {"vision": "fake-eye", "instructions": DESCRIBE, "continue_with": "Continue", "min_tokens": 5, "batch": 4}
    return GenerateSettings.model_validate({**values, **fields})


def generated_folder(root: Path, count: int = 8, says: dict[str, str | Exception] | None = None) -> CurationFolder:
    """A curation whose first step is done."""
    folder = CurationFolder(root / "curation", create=True)
    remember_pictures(folder, list_pictures([str(make_pictures(root / "pictures", count))]))
    list(generate(folder, settings(), lambda: FakeVision(says)))
    return folder


def backend_error(text: str = "the fake eye is tired") -> BackendError:
    return BackendError(text)
