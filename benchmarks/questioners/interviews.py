"""Hold one interview and keep what the table counts, so that a second run goes on where the first one stopped."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agents.interview.calls import described_options, resume_key
from agents.interview.events import Done, QuestionRefused
from agents.interview.prompts import Prompts
from agents.llm.usage import Meter, count_calls
from core.files.journal import read_json, write_json
from core.images.picture import open_picture
from core.records import Caption, TokenUsage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agents.interview.protocol import InterviewOptions
    from core.vision import VisionBackend


@dataclass(frozen=True, slots=True)
class Held:
    """One interview: its caption, the calls of the questioner, and the questions that were refused."""

    caption: Caption
    usage: TokenUsage
    refused: tuple[tuple[str, str], ...] = ()  # (reason, reply)

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """What `write` kept, or None."""
        kept = read_json(file)
        if kept is None:
            return None
        return cls(
            Caption.model_validate(kept["caption"]),
            TokenUsage.model_validate(kept["usage"]),
            tuple((reason, text) for reason, text in kept["refused"]),
        )

    def write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        value: dict[str, Any] = {"refused": list(self.refused), "usage": self.usage.model_dump()}
        write_json(file, {**value, "caption": self.caption.model_dump(mode="json")})


class Interviewer:
    """Holds interviews with one questioner. `folder`: where they are kept; None keeps nothing."""

    def __init__(
        self,
        questioner: BaseChatModel,
        vision: VisionBackend,
        options: InterviewOptions,
        seed: int,
        folder: Path | None,
    ) -> None:
        self.questioner, self.vision, self.options = questioner, vision, options
        self.seed, self.folder = seed, folder
        self.prompts = Prompts.load()
        self.meter = Meter()
        count_calls(questioner, self.meter)

    def hold(self, path: Path) -> Held:
        """The interview about a picture, or the complete one that is kept of it. Raises ImageError, StoreError."""
        from agents.interview.driver import interview_picture

        picture = open_picture(path)
        file = self.folder / f"{path.stem}-{picture.sha256[:8]}.json" if self.folder else None
        held = Held.read(file) if file else None
        if held and held.caption.status == "complete" and held.caption.run_key == self._key(picture.sha256):
            return held
        refused: list[tuple[str, str]] = []
        self.meter.take()
        for event in interview_picture(
            picture, self.vision, self.questioner, self.options, prompts=self.prompts, seed=self.seed
        ):
            if isinstance(event, QuestionRefused):
                refused.append((event.reason, event.question))
        assert isinstance(event, Done)
        held = Held(event.caption, self.meter.take(), tuple(refused))
        if file:
            held.write(file)
        if held.caption.status == "stopped":
            raise KeyboardInterrupt
        return held

    def _key(self, sha256: str) -> str:
        options = described_options(self.options, self.prompts)
        return resume_key(sha256, self.vision, self.questioner, options, self.seed)


def folder_name(spec: str) -> str:
    """A questioner's name as a folder's: unlike names give unlike folders."""
    plain = re.sub(r"[^\w.-]", "_", spec)[:60]
    return plain if plain == spec else f"{plain}-{hashlib.sha256(spec.encode()).hexdigest()[:6]}"
