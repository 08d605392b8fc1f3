"""Shared frozen records (Turn, Dialogue, Caption, Chat) with JSON serialisation and a schema version."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field, ValidationError

from core.errors import StoreError
from core.findings import Findings
from core.frozen import Record as Record
from core.text import sentences

SCHEMA_VERSION: Final = 1

Certainty = Literal["sure", "unsure"]
Status = Literal["complete", "stopped", "failed"]
ClaimKind = Literal["thing", "attribute", "number", "place", "relation", "action", "text"]
Verdict = Literal["supported", "contradicted", "unsupported"]


_HEDGE: Final = re.compile(r"\b(?:perhaps|unclear|not sure|cannot tell|could not be told)\b", re.IGNORECASE)


def is_unsure(text: str, certain: Sequence[bool]) -> bool:
    """Whether a caption rests on little: it says so itself, or fewer than half of the answers are certain."""
    return bool(_HEDGE.search(text)) or 2 * sum(certain) < len(certain)


def canonical_json(value: Any) -> bytes:
    """A canonical encoding for hashing: sorted keys, no spaces, UTF-8 (after RFC 8785)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", errors="backslashreplace")


def run_key(
    *,
    picture_sha256: str,
    vision: Mapping[str, str],
    questioner: Mapping[str, str],
    options: Mapping[str, Any],
    seed: int | None,
) -> str:
    """A key of an interview's inputs: picture, models, options and seed. It finds a failed interview again.

    Of a model's description only name, model and revision count (if it has a name), not the device.
    """
    parts = {
        "picture": picture_sha256,
        "vision": _identity(vision),
        "questioner": _identity(questioner),
        "options": dict(options),
        "seed": seed,
    }
    # JSON turns tuples in options into lists; a round trip makes both sides equal.
    return hashlib.sha256(canonical_json(json.loads(json.dumps(parts, default=str)))).hexdigest()


def _identity(description: Mapping[str, str]) -> dict[str, str]:
    if "name" not in description:
        return dict(description)
    return {key: description[key] for key in ("name", "model", "revision") if key in description}


class Turn(Record):
    """One question and its answer."""

    question: str
    answer: str
    # "opening", "witness" (put to the witnesses), "owner" (told with the picture), "questioner", "fallback" (asked in
    # its place) or "person"
    asked_by: str = "questioner"
    answered_by: str = ""  # names of the witnesses that answered, or "owner"; "": the vision model
    certainty: Certainty = "sure"  # "unsure": the summary may not use it
    raw_question: str | None = None  # before cleaning, if that changed it
    raw_answer: str | None = None
    truncated: bool = False  # the answer reached the token limit; its unfinished sentence was removed
    seconds_question: float = 0.0
    seconds_answer: float = 0.0


class Dialogue(Record):
    """Turns in order."""

    turns: tuple[Turn, ...] = ()

    def append(self, turn: Turn) -> Dialogue:
        """A new dialogue with `turn` at its end."""
        return Dialogue(turns=(*self.turns, turn))

    @property
    def certain(self) -> tuple[Turn, ...]:
        """The turns that a summary may use."""
        return tuple(turn for turn in self.turns if turn.certainty == "sure")


class RefusedQuestion(Record):
    """A reply of the questioner that was not asked."""

    text: str  # shortened
    reason: str  # "statement", "repeated", "too early" ...; see `agents.text.questions`
    step: int  # number of the turn that it was to become, from 0


class QuestionCounts(Record):
    """How many replies the questioner gave when it was to ask, and how many of them were refused."""

    proposed: int = 0
    refused: int = 0


class PictureInfo(Record):
    """Source and size of a picture, without its pixels."""

    sha256: str
    source: str
    width: int
    height: int
    note: str | None = None  # e.g. "animated: first of 12 frames"


class Claim(Record):
    """One checkable statement of a caption, and the verdict on it once it was checked."""

    text: str  # the statement alone: "a red car", "the dog is on the left"
    kind: ClaimKind
    start: int  # its span in the caption, in characters
    end: int
    about: str = ""  # the head noun in the singular: "car"
    value: str = ""  # what is claimed of it: "red", "left", "3", "next to the tree"
    parent: int | None = None  # index of the claim that must hold for this one: the thing is there
    verdict: Verdict | None = None  # None: not checked
    score: float | None = None  # probability that it is true, 0 to 1
    question: str = ""  # what was asked to check it
    turns: tuple[int, ...] = ()  # numbers (from 1) of the turns that say it
    evidence: str = ""  # who decided: a witness, a vision model
    claims_by: str = "rules"  # who read it out of the caption: "rules" or "questioner"


class StyledText(Record):
    """What was written about a picture for one use."""

    style: str  # "description", "alt", "short", "tags", "prompt", or a style of the prompts file
    text: str  # "" in "alt": a decorative picture
    tags: tuple[str, ...] = ()  # in "tags"
    by: str = ""  # "questioner", "rules", or "fixed": the same for every picture
    options: dict[str, Any] = Field(default_factory=dict)  # max_chars, purpose, vocabulary, prefix ...
    removed: tuple[str, ...] = ()  # sentences or tags of the drafts that were taken out
    refused: tuple[str, ...] = ()  # why drafts of the questioner were refused, in order
    seconds: float = 0.0


class Conflict(Record):
    """An answer that contradicts what the owner of the picture told."""

    told: str  # the words of the owner
    answer: str  # the sentence of the answer
    turn: int  # number of the turn, from 1
    reason: str  # what differs: "blue car, told: red"


class ClaimCounts(Record):
    """How a questioner read the claims of a caption."""

    proposed: int = 0  # claims in its replies
    dropped: int = 0  # of these, what the caption does not say or the checks refuse
    sentences: int = 0  # of the caption
    by_rules: int = 0  # of these, read by the rules, since they find more claims or no reply could be read


class Edit(Record):
    """A person's version of a caption."""

    text: str
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))


class Document(Record):
    """A stored record with an id."""

    _called: ClassVar[str] = "document"  # in messages

    @property
    def id(self) -> str:
        """sha256 (hex) of the canonical JSON of this record."""
        return hashlib.sha256(canonical_json(self._content())).hexdigest()

    def _content(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def to_json(self, *, indent: int | None = None) -> str:
        """One JSON object, for `from_json`."""
        return self.model_dump_json(indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote. Raises StoreError on anything else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            raise StoreError(
                f"this is not a {cls._called} of schema version {SCHEMA_VERSION}: {where}: {first['msg']}"
            ) from error


class Caption(Document):
    """The result of an interview: three captions, and the data to trace or resume it."""

    _called: ClassVar[str] = "caption"

    schema_version: Literal[1] = SCHEMA_VERSION
    picture: PictureInfo
    status: Status = "complete"
    error: str | None = None  # one line, if status is "failed"
    plain: str = ""  # the backend's caption without any instruction
    opening: str = ""  # its answer to the opening question
    summary: str = ""  # what the questioner wrote from the certain turns, without `removed`
    summary_by: str = ""  # "questioner" or "rules"; "": not recorded
    removed: tuple[str, ...] = ()  # sentences taken out of the summary, since no certain answer says them
    audited: str = ""  # `summary` without the claims that an audit found false; "" if none was to be taken out
    claims: tuple[Claim, ...] = ()  # of the summary, where it was audited
    claim_counts: ClaimCounts | None = None  # where the questioner read them
    unaudited: str = ""  # why the audit that was asked for is missing, one line; the rest is complete
    styles: tuple[StyledText, ...] = ()  # those that were asked for last, in their order, then earlier ones
    conflicts: tuple[Conflict, ...] = ()  # answers that contradict what the owner told
    edits: tuple[Edit, ...] = ()  # versions that a person wrote, oldest first; the last one counts
    truncated: bool = False  # one of the models' captions, or an answer, reached the token limit
    dialogue: Dialogue = Dialogue()
    findings: tuple[Findings, ...] = ()  # of each witness that examined the picture
    problems: tuple[str, ...] = ()  # one line for each witness that could not
    refused: tuple[RefusedQuestion, ...] = ()  # replies of the questioner that were not asked, the first 50
    questions: QuestionCounts | None = None  # of the questioner
    vision: dict[str, str] = Field(default_factory=dict)  # VisionBackend.describe()
    questioner: dict[str, str] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)  # rounds, context, prompts' sha256, language, witnesses ...
    seed: int | None = None
    seconds: dict[str, float] = Field(default_factory=dict)  # load, encode, vision, language, total
    # "rounds", "nothing new to ask", "no usable question", "stopped" or "failed"
    ended_because: str = ""
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def _content(self) -> dict[str, Any]:
        """Without fields of later versions that are empty, so that older captions keep their id."""
        value = super()._content()
        later = (
            "findings problems refused questions summary_by removed audited claims claim_counts unaudited styles "
            "conflicts edits"
        ).split()
        for claim in value["claims"]:
            if claim["claims_by"] == "rules":
                del claim["claims_by"]
        for record, names in [(value, later)] + [(turn, ["answered_by"]) for turn in value["dialogue"]["turns"]]:
            for name in names:
                if not record[name]:
                    del record[name]
        return value

    @property
    def text(self) -> str:
        """The best available caption: a person's version, the models' one if there is none."""
        return self.edits[-1].text if self.edits else self.written

    @property
    def written(self) -> str:
        """The models' best caption: the summary, audited or not, the opening answer, or the plain caption."""
        return self.audited or self.summary or self.opening or self.plain

    @property
    def versions(self) -> tuple[str, ...]:
        """Every different text that the caption had, oldest first, beginning with the models' one."""
        return tuple(dict.fromkeys((self.written, *(edit.text for edit in self.edits))))

    def edited(self, text: str) -> Caption:
        """This caption with a person's version of its text, or itself if that is its text already."""
        return self if text == self.text else self.model_copy(update={"edits": (*self.edits, Edit(text=text))})

    @property
    def chosen(self) -> str:
        """The text of the first style that was asked for; without styles, `text`."""
        if not self.styles or (self.edits and self.styles[0].style == "description"):
            return self.text
        return self.styles[0].text

    @property
    def told(self) -> str:
        """What the owner told of the picture, or ""."""
        return next((turn.answer for turn in self.dialogue.turns if turn.asked_by == "owner"), "")

    @property
    def unsure(self) -> bool:
        """Whether the caption rests on little, so that a person should read it."""
        return is_unsure(self.text, [turn.certainty == "sure" for turn in self.dialogue.turns])

    @property
    def finished(self) -> bool:
        """Whether nothing that was asked for is missing: neither answers, nor the summary, nor its audit."""
        return self.status == "complete" and not self.unaudited

    @property
    def asked_by(self) -> dict[str, int]:
        """Number of turns by who asked: {"opening": 1, "questioner": 7, "fallback": 2}."""
        return dict(Counter(turn.asked_by for turn in self.dialogue.turns))

    @property
    def questioner_failed(self) -> bool:
        """Whether the questioner had no usable question in some round, so that another one asked or asking ended."""
        return not {"fallback", "mended"}.isdisjoint(self.asked_by) or self.ended_because == "no usable question"

    @property
    def sentences_written(self) -> int:
        """Sentences of the summary, with those that were taken out."""
        return len(sentences(self.summary)) + len(self.removed)

    @property
    def run_key(self) -> str:
        """The `run_key()` of this interview's inputs."""
        return run_key(
            picture_sha256=self.picture.sha256,
            vision=self.vision,
            questioner=self.questioner,
            options=self.options,
            seed=self.seed,
        )


class ToolCall(Record):
    """A tool call that a language model made for an answer."""

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    result: str = ""  # as passed to the model
    failed: bool = False
    seconds: float = 0.0


class TokenUsage(Record):
    """Calls of a language model and their tokens, including failed and repeated calls."""

    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    guessed: int = 0  # calls whose tokens are estimated, since the provider does not count them

    @property
    def tokens(self) -> int:
        """Input and output tokens."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(**{name: getattr(self, name) + getattr(other, name) for name in TokenUsage.model_fields})

    def cost(self, price_in: float | None, price_out: float | None) -> float | None:
        """The cost at these prices per million tokens; None without prices."""
        if price_in is None and price_out is None:
            return None
        return (self.input_tokens * (price_in or 0.0) + self.output_tokens * (price_out or 0.0)) / 1e6


class ChatTurn(Record):
    """A user's message and the answer."""

    question: str  # as sent to the model
    answer: str
    pictures: tuple[PictureInfo, ...] = ()  # added right before the question
    task: str | None = None  # name of the prompt preset
    status: Status = "complete"  # "stopped": the answer is incomplete
    truncated: bool = False  # the answer reached the token limit
    options: dict[str, Any] = Field(default_factory=dict)  # max_new_tokens, temperature, top_p, seed
    calls: tuple[ToolCall, ...] = ()
    notices: tuple[str, ...] = ()  # for the user, such as that the oldest turns were dropped
    usage: TokenUsage | None = None  # of the language model and its tools' interviews, if any
    seconds: float = 0.0


class Chat(Document):
    """A conversation of a user with a model about pictures."""

    _called: ClassVar[str] = "chat"

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["chat", "ask"] = "chat"  # "ask": a language model with tools answered
    turns: tuple[ChatTurn, ...] = ()
    vision: dict[str, str] = Field(default_factory=dict)  # VisionBackend.describe()
    assistant: dict[str, str] = Field(default_factory=dict)  # the language model, if kind is "ask"
    options: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    conversation: str = ""  # the same for all versions of a conversation whose questions were edited or asked again
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def _content(self) -> dict[str, Any]:
        """Without fields of later versions that are empty, so that older chats keep their id."""
        value = super()._content()
        if not self.conversation:
            del value["conversation"]
        return value

    @property
    def pictures(self) -> tuple[PictureInfo, ...]:
        """All pictures, in order of appearance."""
        return tuple(picture for turn in self.turns for picture in turn.pictures)

    @property
    def text(self) -> str:
        """The last answer."""
        return self.turns[-1].answer if self.turns else ""

    @property
    def run_key(self) -> str:
        """A key that stays the same while the chat grows."""
        parts = {"chat": self.created.isoformat(), "vision": _identity(self.vision), "seed": self.seed}
        return hashlib.sha256(canonical_json(parts)).hexdigest()
