"""The tools: what they do with a picture, in threads, with progress for the client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from agents.audit.auditor import PictureClaims, audit_claims
from agents.audit.rewrite import without
from agents.claims.extract import extract_claims
from agents.interview.driver import finished, interview_picture
from agents.interview.events import Answered, PlainCaption, QuestionAsked, SummaryWritten
from agents.interview.protocol import InterviewOptions
from agents.text.cleaning import clean_answer
from agents.witnesses.choice import examine, load_witnesses
from agents.witnesses.examination import examine_pictures
from agents.witnesses.words import text_in_words
from core.errors import InquisightError, UsageError
from core.records import Caption, Claim
from core.stopping import in_thread
from core.store.query import TranscriptQuery
from core.store.transcripts import TranscriptStore
from core.vision import EncodedImage, GenerationOptions
from serving.mcp.pictures import AllowedPictures
from serving.mcp.results import (
    AnswerAbout,
    AuditedText,
    Box,
    Description,
    FoundLine,
    FoundText,
    FoundThing,
    FoundThings,
    FoundTranscript,
    FoundTranscripts,
    JudgedClaim,
    PictureList,
    Turn,
)

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from core.images.picture import Picture
    from core.vision import VisionBackend
    from core.witness import Findings, Witness

T = TypeVar("T")
Report = Callable[[float, str], None]
"""Receives the number of finished steps and what happens now."""

MOST_LISTED: Final = 200
MOST_FOUND: Final = 50
ANSWER_TOKENS: Final = 80
Name = Annotated[
    str, Field(description="Path below an allowed folder, data URL, or the handle that an earlier call returned")
]


class PictureTools:
    """The methods are the tools. Models are loaded when a tool first needs them."""

    def __init__(
        self,
        pictures: AllowedPictures,
        load_vision: Callable[[], VisionBackend],
        load_questioner: Callable[[], BaseChatModel],
        options: InterviewOptions,
        store: TranscriptStore | None = None,
    ) -> None:
        """`store`: where interviews are saved and searched; None: nowhere."""
        self.pictures, self.options, self.store = pictures, options, store
        self._load_vision, self._load_questioner = load_vision, load_questioner
        self._loading = threading.Lock()
        self._vision: VisionBackend | None = None
        self._witnesses: list[Witness] | None = None

    # ---- tools -------------------------------------------------------------------------------------------------

    async def describe_picture(
        self,
        picture: Name,
        context: Context,
        rounds: Annotated[int | None, Field(description="Number of questions", ge=1, le=50)] = None,
        audit: Annotated[bool, Field(description="Check each claim and leave the false ones out")] = False,
    ) -> Description:
        """Describe a picture after an interview: many questions to a vision model, then a text. Slow but thorough."""
        options = self.options if rounds is None else replace(self.options, rounds=rounds, min_rounds=None)
        options = replace(options, audit="drop") if audit else options

        def work(report: Report) -> Description:
            handle, opened = self.pictures.open(picture)
            vision, questioner = self.vision(), self._load_questioner()
            save = self.store.add if self.store is not None else None
            steps = 0

            def followed() -> Any:
                nonlocal steps
                for event in interview_picture(opened, vision, questioner, options, save=save):
                    if isinstance(event, PlainCaption | Answered | SummaryWritten):
                        steps += 1
                    if isinstance(event, QuestionAsked):
                        report(steps, event.question)
                    yield event

            caption = finished(followed())
            return _description(handle, caption)

        return await self._run(context, work, options.rounds + 2)

    async def ask_picture(self, picture: Name, question: str, context: Context) -> AnswerAbout:
        """Ask one short question about a picture: a colour, a number, a place, what a thing is."""

        def work(report: Report) -> AnswerAbout:
            if not question.strip():
                raise UsageError("there is no question")
            handle, opened = self.pictures.open(picture)
            vision = self.vision()
            answer = vision.ask(self._encoded(opened), question, options=GenerationOptions(ANSWER_TOKENS))
            return AnswerAbout(picture=handle, answer=clean_answer(answer, question) or "(no answer)")

        return await self._run(context, work)

    async def read_text(self, picture: Name, context: Context) -> FoundText:
        """Read what is written in a picture, line by line, with boxes."""

        def work(report: Report) -> FoundText:
            handle, found = self._examine(picture, "text")
            lines = [line for one in found for line in one.lines]
            return FoundText(
                picture=handle,
                text="\n".join(line.text for line in lines if line.certain) or text_in_words(found),
                lines=[
                    FoundLine(text=line.text, score=line.score, certain=line.certain, box=_box(line.box))
                    for line in lines
                ],
            )

        return await self._run(context, work)

    async def find_things(
        self,
        picture: Name,
        context: Context,
        names: Annotated[list[str] | None, Field(description="Things to look for, if the detector takes names")] = None,
    ) -> FoundThings:
        """Find things with a detector: better than questions for counting and for left and right."""

        def work(report: Report) -> FoundThings:
            handle, found = self._examine(picture, "things", names or ())
            width, height = found[0].width, found[0].height
            return FoundThings(
                picture=handle,
                width=width,
                height=height,
                things=[_thing(thing, width) for one in found for thing in one.things],
                perhaps=[_thing(thing, width) for one in found for thing in one.maybe],
            )

        return await self._run(context, work)

    async def audit_caption(self, picture: Name, caption: str, context: Context) -> AuditedText:
        """Check a caption by anybody against its picture, claim by claim."""

        def work(report: Report) -> AuditedText:
            handle, opened = self.pictures.open(picture)
            claims = extract_claims(caption)
            if not claims:
                raise UsageError("the caption makes no claim that can be checked")
            [examined] = examine_pictures(self.options.witnesses, [opened])
            about = PictureClaims(self._encoded(opened), claims, examined.findings)
            [judged] = audit_claims(self.vision(), [about], threshold=self.options.threshold)
            return AuditedText(picture=handle, claims=_claims(judged.claims), repaired=without(caption, judged.claims))

        return await self._run(context, work)

    async def search_transcripts(
        self, words: str, context: Context, limit: Annotated[int, Field(ge=1, le=MOST_FOUND)] = 10
    ) -> FoundTranscripts:
        """Search earlier interviews on this machine by words in questions, answers and descriptions."""

        def work(report: Report) -> FoundTranscripts:
            if self.store is None:
                raise UsageError("this server keeps no transcripts; start it without --no-store")
            rows = self.store.find(TranscriptQuery(words=words), limit=limit)
            return FoundTranscripts(
                transcripts=[
                    FoundTranscript(
                        id=row.id, created=row.created.isoformat(), source=row.source.rpartition("/")[2], text=row.text
                    )
                    for row in rows
                ]
            )

        return await self._run(context, work)

    async def list_pictures(self, context: Context) -> PictureList:
        """List the pictures in the allowed folders."""

        def work(report: Report) -> PictureList:
            names, left_out = self.pictures.listing(MOST_LISTED)
            return PictureList(pictures=names, left_out=left_out)

        return await self._run(context, work)

    # ---- models ------------------------------------------------------------------------------------------------

    def vision(self) -> VisionBackend:
        """The vision model, loaded once."""
        with self._loading:
            if self._vision is None:
                self._vision = self._load_vision()
            return self._vision

    def _encoded(self, picture: Picture) -> EncodedImage:
        return self.vision().encode_image(picture)

    def _examine(self, name: str, kind: str, names: Sequence[str] = ()) -> tuple[str, list[Findings]]:
        """What the witnesses that look for things or for text find."""
        handle, picture = self.pictures.open(name)
        with self._loading:
            if self._witnesses is None:
                self._witnesses = load_witnesses(self.options.witnesses)
        found = [one for one in examine(self._witnesses, picture, names) if kind in one.looked_for]
        if not found:
            raise UsageError(f"no witness of this server looks for {kind}; see `inquisight plugins`")
        return handle, found

    def close(self) -> None:
        """Free the models."""
        if self._vision is not None:
            self._vision.close()

    async def _run(self, context: Context, work: Callable[[Report], T], total: float | None = None) -> T:
        """Run `work` in a thread; a client that cancels stops it before its next call of a model."""
        loop = asyncio.get_running_loop()

        def report(steps: float, message: str) -> None:
            with suppress(RuntimeError):  # the server is closing
                asyncio.run_coroutine_threadsafe(context.report_progress(steps, total, message), loop)

        try:
            return await in_thread(lambda: work(report))
        except InquisightError as error:
            raise ToolError(str(error)) from error


def _description(handle: str, caption: Caption) -> Description:
    return Description(
        picture=handle,
        description=caption.text,
        plain=caption.plain,
        dialogue=[
            Turn(
                question=turn.question,
                answer=turn.answer,
                asked_by=turn.asked_by,
                answered_by=turn.answered_by,
                certainty=turn.certainty,
            )
            for turn in caption.dialogue.turns
        ],
        claims=_claims(caption.claims),
    )


def _claims(claims: Sequence[Claim]) -> list[JudgedClaim]:
    return [
        JudgedClaim(
            text=claim.text, verdict=claim.verdict or "", score=round(claim.score or 0.0, 4), question=claim.question
        )
        for claim in claims
    ]


def _box(box: Any) -> Box:
    return Box(left=box.left, top=box.top, right=box.right, bottom=box.bottom)


def _thing(thing: Any, width: int) -> FoundThing:
    return FoundThing(name=thing.name, score=thing.score, place=thing.box.third(width), box=_box(thing.box))
