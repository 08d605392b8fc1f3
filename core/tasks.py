"""The interview's request to a questioner as data.

The prompt states the request in English for language models. The last message also carries it as
`additional_kwargs={"inquisight": {...}}`, for questioners that are no language models (`scripted`, a rule-based plugin,
a test double). Chat providers drop unknown `additional_kwargs`, so it does not leave the machine.

    HumanMessage(text, additional_kwargs=Task("question", turns).to_kwargs())
    Task.from_kwargs(message.additional_kwargs)   # None if the message carries no task
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from core.records import Turn

KEY: Final = "inquisight"  # in additional_kwargs

QUESTION: Final[Literal["question"]] = "question"
SUMMARY: Final[Literal["summary"]] = "summary"
CLAIMS: Final[Literal["claims"]] = "claims"
STYLE: Final[Literal["style"]] = "style"
TaskName = Literal["question", "summary", "claims", "style"]

OWNER: Final = "owner"
"""`Turn.answered_by` and `asked_by` of what the owner of the picture told."""
KEYWORDS: Final = "Keywords: "
"""Begins the sentence of what the owner told that lists keywords; it is no sentence of a description."""

NOTHING_NEW: Final = "Nothing new to ask."
"""A questioner's reply if it has no further question; an empty reply means the same."""


@dataclass(frozen=True, slots=True)
class TaskTurn:
    """One question and its answer; `sure` is False if the summary may not use it.

    `answered_by`: names of the witnesses that answered; "" for the vision model.
    """

    question: str
    answer: str
    sure: bool = True
    answered_by: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One request to a questioner.

    `turns` are all turns so far, uncertain ones included, oldest first. `refused` are questions of this round that were
    rejected as repetitions. `language` is the language of the summary (any name or tag); None means English.

    `frames` are the frames of a video that may be asked about, as (number, seconds); empty for a picture. Questions
    about a video start with "Frame N: ", and a summary describes the video without naming frames. The turns of a
    video's last summary are "Scene N, 0:00 to 0:12:" and the summary of that scene.

    The claims are those of `text`, a caption; nothing else is known then. The reply is JSON: see
    `agents.claims.questioner`.

    A style is a text about the same turns for another use: `style` is "alt", "short", "tags" (one a line), "prompt", or
    a style of the user's own; `purpose` is what it is for, and `most` the characters it may have (0: any number).

    `cannot_tell` are the aspects that the vision model never tells (`core.vision.Aspect`): a question for one is lost.
    """

    name: TaskName
    turns: tuple[TaskTurn, ...] = ()
    language: str | None = None
    refused: tuple[str, ...] = ()
    frames: tuple[tuple[int, float], ...] = ()
    text: str = ""
    style: str = ""
    purpose: str = ""
    most: int = 0
    cannot_tell: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        name: TaskName,
        turns: Iterable[Turn],
        *,
        language: str | None = None,
        refused: Iterable[str] = (),
        frames: Iterable[tuple[int, float]] = (),
        cannot_tell: Iterable[str] = (),
    ) -> Task:
        """The task for the turns of a `core.records.Dialogue`."""
        plain = tuple(
            TaskTurn(turn.question, turn.answer, turn.certainty == "sure", turn.answered_by) for turn in turns
        )
        return cls(name, plain, language, tuple(refused), tuple(frames), cannot_tell=tuple(sorted(cannot_tell)))

    def to_kwargs(self) -> dict[str, Any]:
        """`additional_kwargs` for the last message, as plain JSON values."""
        optional = {
            "language": self.language,
            "refused": list(self.refused),
            "frames": [list(frame) for frame in self.frames],
            "text": self.text,
            "style": self.style,
            "purpose": self.purpose,
            "most": self.most,
            "cannot_tell": list(self.cannot_tell),
        }
        body = {"task": self.name, "turns": [asdict(turn) for turn in self.turns]}
        return {KEY: body | {name: value for name, value in optional.items() if value}}

    @classmethod
    def from_kwargs(cls, additional_kwargs: Mapping[str, Any]) -> Task | None:
        """Read what `to_kwargs` wrote; None if there is no task or its name is unknown."""
        body = additional_kwargs.get(KEY)
        if not isinstance(body, Mapping) or body.get("task") not in (QUESTION, SUMMARY, CLAIMS, STYLE):
            return None
        turns = tuple(
            TaskTurn(
                str(turn.get("question", "")),
                str(turn.get("answer", "")),
                bool(turn.get("sure", True)),
                str(turn.get("answered_by", "")),
            )
            for turn in body.get("turns") or ()
            if isinstance(turn, Mapping)
        )
        refused = tuple(str(question) for question in body.get("refused") or ())
        frames = tuple((int(number), float(seconds)) for number, seconds in body.get("frames") or ())
        text, style, purpose = (str(body.get(name) or "") for name in ("text", "style", "purpose"))
        most = int(body.get("most") or 0)
        language = body.get("language") or None
        cannot_tell = tuple(str(aspect) for aspect in body.get("cannot_tell") or ())
        return cls(body["task"], turns, language, refused, frames, text, style, purpose, most, cannot_tell)


def is_nothing_new(text: str) -> bool:
    """Whether a questioner's reply means that it has no further question (empty, or `NOTHING_NEW`)."""
    words = re.sub(r"[\W_]+", " ", text).strip().casefold()
    return not words or words == re.sub(r"[\W_]+", " ", NOTHING_NEW).strip().casefold()
