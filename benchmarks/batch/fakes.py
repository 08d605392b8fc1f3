"""Two fake models for batch benchmarks, installed as a plugin.

`fixed:SECONDS` asks the same questions of every picture and answers after so many seconds, as a language model behind a
network would; it makes no calls. `hash` is a vision model that derives its answers from the bytes of the picture.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from core import EncodedImage, Picture, Register, VisionBackend, VisualQuestion, hookimpl
from core.tasks import NOTHING_NEW, SUMMARY, Task

QUESTIONS: Final = (
    "What is the main thing in this picture?",
    "What colour is the background?",
    "How many things are there?",
    "What else is in the picture?",
    "Where is it?",
    "Is there a person in the picture?",
    "What are the main colours?",
    "Is it indoors or outdoors?",
    "What is in the middle of the picture?",
)
_WORDS: Final = "red green blue small large round wooden old cup cat tree house boat lamp ball table".split()


class FixedQuestioner(BaseChatModel):
    """A fake questioner: fixed questions, each after `seconds`."""

    seconds: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "a fake that asks fixed questions"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        time.sleep(self.seconds)
        task = Task.from_kwargs(messages[-1].additional_kwargs)
        assert task is not None
        asked = len(task.turns) - 1 + len(task.refused)
        text = QUESTIONS[asked] if asked < len(QUESTIONS) else NOTHING_NEW
        if task.name == SUMMARY:
            text = " ".join(turn.answer for turn in task.turns if turn.sure)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


def fixed(argument: str | None = None) -> FixedQuestioner:
    """The registry's factory."""
    return FixedQuestioner(seconds=float(argument or 0))


class HashVision(VisionBackend):
    """A fake vision model: the same words for the same picture and question, without delay."""

    def __init__(self, argument: str | None = None) -> None:
        pass

    @property
    def name(self) -> str:
        return "hash"

    @property
    def revision(self) -> str:
        return "a fake that sees nothing"

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        return [EncodedImage(picture.sha256, self.revision, None) for picture in pictures]

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        return [self._say(f"{one.image.sha256}{one.question}") for one in questions]

    @staticmethod
    def _say(seen: str) -> str:
        digest = hashlib.sha256(seen.encode()).digest()
        return "a " + " ".join(_WORDS[byte % len(_WORDS)] for byte in digest[:4])


@hookimpl
def register_vision_backends(register: Register) -> None:
    register("hash", HashVision, description="Fake vision model for benchmarks.")


@hookimpl
def register_questioners(register: Register) -> None:
    register("fixed", fixed, description="A fake questioner for benchmarks: fixed questions after fixed:SECONDS.")


def install(folder: Path) -> Path:
    """Make `folder`, on PYTHONPATH, offer both to a process of its own, as an installed plugin would."""
    info = folder / "batch_fakes-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: batch-fakes\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[inquisight]\nbatch_fakes = benchmarks.batch.fakes\n", "utf-8")
    return folder
