"""The Video ChatCaptioner protocol: an interview whose questions are each about one frame, as a state machine.

The questioner chooses the frame; the answer comes from that frame only. A video of several parts is summarised part by
part, then as a whole. Like `agents.interview.protocol`, this has no input or output.
Protocol: Video ChatCaptioner (Chen et al. 2023, arXiv:2304.04227).

Invalid questions (about a missing frame, none, several, or what `agents.interview.asking` refuses) are refused
`options.repeats` times a round. Then the question goes to the nearest frame, or to the last one; without a question,
the fallback asks; without a fallback, a frame without questions gets the opening one.

Witnesses answer two fixed questions about each part: which things there are and when, and what is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, get_args

from agents.interview.asking import EARLY, FALLBACK, QUESTIONER
from agents.interview.prompts import Prompts
from agents.interview.protocol import (
    END_FAILED,
    END_NO_QUESTION,
    END_NOTHING_NEW,
    END_ROUNDS,
    END_STOPPED,
    NOTHING_SUPPORTED,
    RAW_CHARS,
    Finished,
    Interview,
    InterviewOptions,
    Message,
    Need,
    NeedAnswer,
    NeedFindings,
    NeedQuestion,
    NeedSummary,
    usable,
)
from agents.styles.owner import told_in, without_conflicts
from agents.text.cleaning import AskedQuestions, clean_summary, is_repeated
from agents.text.questions import wants_to_end
from agents.video.evidence import Fact
from agents.video.replies import read_question, speaks_of_frames, without_frames
from core.errors import UsageError
from core.findings import Kind
from core.records import Caption, Turn
from core.tasks import OWNER, QUESTION, SUMMARY, Task
from core.video.base import clock

SCENE: Final = "scene"  # `asked_by` of a turn that holds the summary of a part
MENDED: Final = "mended"  # `asked_by` of a question that replaces the questioner's
NO_FRAME, NO_SUCH_FRAME = "no frame", "no such frame"  # reasons of a refusal
_FREE: Final = ("person", "witness", OWNER)  # `asked_by` of turns that use up no question
_LABEL = re.compile(r"Frame (\d+): ")
_SCENE_LABEL = re.compile(r"Scene \d+, [\d:]+ to [\d:]+: ")


@dataclass(frozen=True, slots=True)
class VideoOptions(InterviewOptions):
    """Options of an interview about a video; `rounds` are those of each part."""

    rounds: int = 30


@dataclass(frozen=True, slots=True)
class VideoPart:
    """Frames `first` to `last`, numbered from 1 in the whole video, and their time in seconds."""

    first: int
    last: int
    begin: float
    end: float

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, int) and self.first <= frame <= self.last

    @property
    def frames(self) -> range:
        return range(self.first, self.last + 1)


@dataclass(frozen=True, slots=True)
class NeedFrameAnswer(NeedAnswer):
    """The vision model's answer about one frame; `history` holds pairs about the same frame only."""

    frame: int = 1

    @property
    def labelled(self) -> str:
        """The question as it is recorded."""
        return label(self.frame, self.question)


@dataclass(frozen=True, slots=True)
class NeedVideoSummary(NeedSummary):
    """The questioner's summary of one part, or (`part` None) of the whole."""

    part: int | None = None


def label(frame: int, question: str) -> str:
    """ "Frame 3: What is it?" """
    return f"Frame {frame}: {question}"


def frame_of(question: str) -> int | None:
    """The frame of a labelled question, or None."""
    found = _LABEL.match(question)
    return int(found[1]) if found else None


def without_label(question: str) -> str:
    """The question without its label."""
    return _LABEL.sub("", question, count=1)


class VideoInterview(Interview):
    """One video's interview. `times` are the seconds of its frames 1, 2 ...; the parts hold them all, in order."""

    kind = "video"

    def __init__(
        self, prompts: Prompts, options: VideoOptions | None, times: Sequence[float], parts: Sequence[VideoPart]
    ) -> None:
        super().__init__(prompts, options or VideoOptions())
        if not times or [frame for part in parts for frame in part.frames] != list(range(1, len(times) + 1)):
            raise UsageError("a video's parts must hold each of its frames once, in order, and one at least")
        self.times, self.parts = tuple(times), tuple(parts)
        self.plain = ""  # a whole video has no plain caption
        self._pending_frame = 1
        self._ended: dict[int, str] = {}  # part: why asking ended
        self._wrong_frame = 0  # of the last refused question
        self._refused_summaries: tuple[str, ...] = ()  # summaries of the current need that mention frames

    def resume(self, caption: Caption) -> Self:
        """Resume the interview of `caption`; its questions are not asked again."""
        self.dialogue, self.problems = caption.dialogue if caption.dialogue.turns else self.dialogue, caption.problems
        self.asking.resume(caption)
        examined = any(turn.asked_by == "witness" for turn in caption.dialogue.turns)
        if self.problems or caption.status == "complete" or examined:
            self.findings = ()
        if caption.status == "complete":
            self.summary, self._end = caption.summary, caption.ended_because
            self.check.resume(caption)
            self._ended = dict.fromkeys(range(len(self.parts)), caption.ended_because)
        return self

    # --- state -------------------------------------------------------------------------------------------------

    @property
    def asked(self) -> int:
        """Questions asked of the vision model so far, in all parts."""
        return len(self._asked_of_vision())

    @property
    def summarised(self) -> int:
        """Number of parts with a summary; 0 for a video of one part."""
        return len(self._scene_places())

    def place_of(self, part: int) -> int:
        """Index of the turn with the summary of this part."""
        return self._scene_places()[part]

    def _scene_places(self) -> list[int]:
        return [place for place, turn in enumerate(self.dialogue.turns) if turn.asked_by == SCENE]

    def _outdated(self) -> int | None:
        """The first part whose summary a person's change has outdated (it is empty)."""
        tales = enumerate(self._scene_places())
        return next((part for part, place in tales if not self.dialogue.turns[place].answer), None)

    @property
    def part(self) -> VideoPart:
        """The current part; the last one at the end."""
        return self.parts[min(self.summarised, len(self.parts) - 1)]

    def turns_of(self, part: VideoPart) -> tuple[Turn, ...]:
        """The turns about the part's frames, what the owner tells, and what witnesses say about the part."""
        stated = {self._witness_question(self.parts.index(part), kind) for kind in get_args(Kind)}
        return tuple(
            turn
            for turn in self.dialogue.turns
            if turn.asked_by == OWNER
            or (turn.question in stated if turn.answered_by else frame_of(turn.question) in part)
        )

    def _witness_question(self, part: int, kind: Kind) -> str:
        """The question to the witnesses about this part (from 0), as it is recorded."""
        question = self.prompts.text(f"witness.{kind}")
        return f"{self._scene_label(part)} {question}" if len(self.parts) > 1 else question

    def _scene_label(self, part: int) -> str:
        about = self.parts[part]
        return f"Scene {part + 1}, {clock(about.begin)} to {clock(about.end)}:"

    @property
    def need(self) -> Need:
        if self._halted:
            return Finished(END_FAILED if self._halted == "failed" else END_STOPPED)
        if self.summary is not None:
            return Finished(self._end or END_ROUNDS)
        if self._pending:
            return self._need_answer(self._pending[0], self._pending[1])
        if (outdated := self._outdated()) is not None:
            return self._need_summary_of(outdated)
        if self.summarised == len(self.parts) > 1:
            return self._need_whole()
        turns = [turn for turn in self.turns_of(self.part) if turn.asked_by not in _FREE]
        if not turns:
            return self._about(self.part.first, self.prompts.text("answerer.opening"), "opening")
        if self.lacks_findings:
            return NeedFindings(self.options.witnesses)
        if self.summarised not in self._ended and len(turns) < self.options.rounds:
            return self._need_question()
        return self._need_summary_of(self.summarised)

    # --- transitions -----------------------------------------------------------------------------------------------

    def feed_facts(self, facts: Sequence[Fact], problems: Sequence[str] = (), *, seconds: float = 0.0) -> None:
        """Pass on what the witnesses of `NeedFindings` say about each part; `seconds` go to the first turn."""
        if not isinstance(self.need, NeedFindings):
            raise RuntimeError("no findings are needed")
        self.findings, self.problems = (), tuple(problems)
        for fact in facts:
            turn = Turn(
                question=self._witness_question(fact.part, fact.kind),
                answer=fact.answer,
                asked_by="witness",
                answered_by=fact.names,
                certainty="sure" if fact.sure else "unsure",
                seconds_answer=round(seconds, 4),
            )
            self.dialogue, seconds = self.dialogue.append(turn), 0.0
        self._skip_empty_summary()

    def inject(self, question: str) -> None:
        """Put a person's question ("Frame 1: ...") next; its part is summarised again. Raises UsageError."""
        asked = read_question(question)
        if not asked.question or asked.frame is None or not 1 <= asked.frame <= len(self.times):
            raise UsageError(
                f"this is no question about one of frames 1 to {len(self.times)}: {question!r}; write 'Frame 1: ...'"
            )
        self._pending = (asked.question, "person", None, 0.0)
        self._pending_frame = asked.frame
        self._outdate(asked.frame)
        self._reopen()

    def correct(self, index: int, answer: str, *, go_on: bool = False) -> None:
        """Replace the answer of turn `index` (from 0), which is about a frame; `go_on` has no effect.

        Its part and the whole video are summarised again; later questions stay. Raises UsageError.
        """
        turns = self.dialogue.turns
        frame = frame_of(turns[index].question) if 0 <= index < len(turns) else None
        if frame is None:
            raise UsageError(f"turn {index} is no answer about a frame")
        self._outdate(frame)
        super().correct(index, answer)

    def _outdate(self, frame: int) -> None:
        """Mark the summary of this frame's part as outdated."""
        part = next(number for number, part in enumerate(self.parts) if frame in part)
        if part < self.summarised:
            self._set_summary(part, "")

    # --- questions --------------------------------------------------------------------------------------------------

    def _need_answer(self, question: str, asked_by: str) -> NeedFrameAnswer:
        return self._about(self._pending_frame, question, asked_by)

    def _about(self, frame: int, question: str, asked_by: str) -> NeedFrameAnswer:
        pairs = [
            (without_label(turn.question), turn.answer)
            for turn in self.dialogue.turns
            if frame_of(turn.question) == frame and turn.answer
        ]
        last = len(pairs) if self.options.history == -1 else self.options.history
        history = tuple(pairs[max(0, len(pairs) - last) :])
        return NeedFrameAnswer(question, history, asked_by, len(self.dialogue.turns), frame)

    def _need_question(self) -> NeedQuestion:
        part = self.part
        task = Task.of(
            QUESTION,
            self.turns_of(part),
            language=self.options.language,
            refused=self.asking.texts,
            cannot_tell=self.asking.cannot_tell,
            frames=((frame, round(self.times[frame - 1], 3)) for frame in part.frames),
        )
        return NeedQuestion(self._messages(), task, len(self.dialogue.turns), self.asking.attempt, self.asking.by)

    def _messages(self) -> tuple[Message, ...]:
        """The dialogue about this part for the questioner: its questions (assistant), the answers (user)."""
        part, turns = self.part, self.turns_of(self.part)
        ends = {"first": str(part.first), "last": str(part.last)}
        shown = ", ".join(f"frame {frame} at {clock(self.times[frame - 1], exact=True)}" for frame in part.frames)
        brief = self.prompts.text(
            "questioner.brief",
            length=_length(part.end - part.begin),
            count=str(len(part.frames)),
            frames=shown,
            first=ends["first"],
        )
        messages = [Message("system", brief), Message("user", self.prompts.text("questioner.hello", **ends))]
        known = {frame_of(turn.question) for turn in turns}
        unknown = ", ".join(str(frame) for frame in part.frames if frame not in known)
        for number, turn in enumerate(turns, start=1):
            answer = turn.answer or "(no answer)"
            if number == len(turns):
                unasked = self.prompts.text("questioner.unasked", frames=unknown) if unknown else ""
                why, may_end = self._why_refused(ends), self._may_end()
                answer = self.asking.answered(answer, turns, may_end=may_end, why=why, unasked=unasked, **ends)
            messages += [Message("assistant", turn.question), Message("user", answer)]
        return tuple(messages)

    def _why_refused(self, ends: dict[str, str]) -> str:
        """Why the frame of the last refused question is wrong, or ""."""
        reason = self.asking.refused[-1].reason if self.asking.refused else ""
        if reason == NO_FRAME:
            return self.prompts.text("questioner.no_frame", **ends)
        if reason == NO_SUCH_FRAME:
            return self.prompts.text("questioner.no_such_frame", frame=str(self._wrong_frame), **ends)
        return ""

    def _may_end(self) -> bool:
        turns = self.turns_of(self.part)
        rounds = sum(turn.asked_by not in _FREE for turn in turns)
        return self.asking.may_end(rounds, self.options.fewest_rounds, turns)

    def _take_question(self, need: NeedQuestion, text: str, seconds: float) -> None:
        asking, part, turns = self.asking, self.part, self.turns_of(self.part)
        asking.spent += seconds
        asked = read_question(text)
        ends = wants_to_end(asked.question or text)
        if need.by == FALLBACK:
            new = asked.question and not ends and not _is_known(asked.frame, asked.question, turns)
            if new and asked.frame is not None and asked.frame in part:
                self._put_to(asked.frame, asked.question, FALLBACK, text)
            else:
                self._ask_unknown_frame(turns, END_NOTHING_NEW, text)
            return
        if ends and self._may_end():
            self._end_asking(END_NOTHING_NEW)
            return
        mentioned = [frame for turn in turns if (frame := frame_of(turn.question)) is not None]
        nearest = mentioned[-1] if asked.frame is None else min(max(asked.frame, part.first), part.last)
        fault = EARLY if ends else self._fault_of(nearest, asked.question, text, turns)
        if asked.frame not in part and fault in ("vague", "repeated") and asking.attempt < self.options.repeats:
            fault = None  # the frame is what is wrong
        if fault is None and (asked.frame in part or asking.attempt >= self.options.repeats):
            asking.accept()
            self._put_to(nearest, asked.question, QUESTIONER, text)
            return
        self._wrong_frame = asked.frame or 0
        asking.refuse(text, fault or (NO_FRAME if asked.frame is None else NO_SUCH_FRAME), len(self.dialogue.turns))
        if asking.exhausted and not asking.helped:
            reason = END_NOTHING_NEW if asking.by_rules or ends else END_NO_QUESTION
            self._ask_unknown_frame(turns, reason, text)

    def _fault_of(self, frame: int, question: str, said: str, turns: Sequence[Turn]) -> str | None:
        """Why the question about this frame is refused; of a frame without questions, anything may be asked."""
        here = [without_label(turn.question) for turn in turns if frame_of(turn.question) == frame]
        return self.asking.fault_of(question, said, turns, AskedQuestions(here), vague=not here)

    def _ask_unknown_frame(self, turns: Sequence[Turn], reason: str, said: str) -> None:
        """Ask the opening question of a frame without questions; if there is none, end asking."""
        known = {frame_of(turn.question) for turn in turns}
        unknown = next((frame for frame in self.part.frames if frame not in known), None)
        if unknown is not None:
            self._put_to(unknown, self.prompts.text("answerer.opening"), MENDED, said)
        else:
            self._end_asking(reason)

    def _put_to(self, frame: int, question: str, asked_by: str, said: str) -> None:
        raw = said[:RAW_CHARS] if said.strip() != label(frame, question) else None
        self._pending = (question, asked_by, raw, self.asking.spent)
        self._pending_frame = frame
        self.asking.next_round()

    def _end_asking(self, reason: str) -> None:
        self._ended[self.summarised] = reason
        self.asking.next_round()

    # --- summaries ----------------------------------------------------------------------------------------------------

    def _need_summary_of(self, number: int) -> NeedVideoSummary:
        """Summarise one part from its certain answers, in the order of the video."""
        part = self.parts[min(number, len(self.parts) - 1)]
        turns = sorted(usable(self.turns_of(part)), key=lambda turn: frame_of(turn.question) or 0)
        notes: list[str] = []
        for frame in dict.fromkeys(frame_of(turn.question) for turn in turns):
            when = f"At {clock(self.times[frame - 1], exact=True)}:" if frame is not None else "All in all:"
            notes.append(when)
            notes += [f"- {_bare_question(t)} {t.answer}" for t in turns if frame_of(t.question) == frame]
        only = len(self.parts) == 1
        return self._summary_need("summary.request", notes, turns, part.frames, part, None if only else number)

    def _need_whole(self) -> NeedVideoSummary:
        turns = usable([turn for turn in self.dialogue.turns if turn.asked_by in (SCENE, OWNER)])
        whole = VideoPart(1, len(self.times), self.parts[0].begin, self.parts[-1].end)
        return self._summary_need(
            "summary.whole", [f"- {turn.question} {turn.answer}" for turn in turns], turns, whole.frames, whole, None
        )

    def _summary_need(
        self, key: str, notes: list[str], turns: Sequence[Turn], frames: range, about: VideoPart, part: int | None
    ) -> NeedVideoSummary:
        name = self.options.language if part is None else None  # summaries of parts are notes for the whole
        language = self.prompts.text("summary.language", name=name.strip()) if name else ""
        request = self.prompts.text(
            key, length=_length(about.end - about.begin), notes="\n".join(notes), language=language
        )
        messages = [Message("system", self.prompts.text("summary.brief")), Message("user", self._once_more(request))]
        for said in self._refused_summaries:
            messages += [Message("assistant", said), Message("user", self.prompts.text("summary.no_frames"))]
        task = Task.of(
            SUMMARY, turns, language=name, frames=((frame, round(self.times[frame - 1], 3)) for frame in frames)
        )
        attempt = len(self._refused_summaries) + self.check.attempt
        return NeedVideoSummary(tuple(messages), task, self.check.by, attempt, part)

    def _take_summary(self, need: NeedSummary, text: str, seconds: float, truncated: bool) -> None:
        assert isinstance(need, NeedVideoSummary)
        summary = clean_summary(self._whole(text, truncated, f"summary {need.part}"))
        if not summary:
            self.fail("the questioner wrote an empty summary")
            return
        if speaks_of_frames(summary):
            if len(self._refused_summaries) < self.options.repeats and need.by == QUESTIONER:
                self._refused_summaries = (*self._refused_summaries, summary)
                return
            summary = without_frames(summary)
            if not summary:
                self.fail("the questioner's summary speaks of nothing but frames; try another questioner")
                return
        times = " ".join([_length(self.times[-1]), *(clock(time) for time in self.times)])
        language = self.options.language if need.part is None else None
        kept = self.check.take(summary, need.task.turns, language=language, cut=truncated, also=times)
        self._refused_summaries = ()
        if kept is None:
            return
        if not kept:
            self.fail(NOTHING_SUPPORTED)
            return
        self._set_summary(need.part, kept, seconds, raw=text[:RAW_CHARS] if text != kept else None)

    def _as_told(self, summary: str, part: int | None = None) -> str:
        """The summary without what contradicts the owner; that of the whole video says what was told."""
        told = told_in(self.dialogue.turns)
        if part is None or not told:
            return super()._as_told(summary)
        return without_conflicts(summary, told) or self.prompts.text("summary.nothing_certain")

    def _set_summary(self, part: int | None, text: str, seconds: float = 0.0, *, raw: str | None = None) -> None:
        """Add or replace the summary of a part; "" marks it as outdated. None: the summary of the whole video."""
        if part is not None:
            self.check.restart(forget=False)
        text = self._as_told(text, part) if text else ""
        if part is None:
            self.summary = text
            self._end = self._ended.get(len(self.parts) - 1, END_ROUNDS)
            return
        nothing = ("", self.prompts.text("summary.nothing_certain"))
        turn = Turn(
            question=self._scene_label(part),
            answer=text,
            asked_by=SCENE,
            certainty="unsure" if text in nothing else "sure",
            raw_answer=raw,
            seconds_answer=round(seconds, 4),
        )
        turns = list(self.dialogue.turns)
        place = self.place_of(part) if part < self.summarised else len(turns)
        turns[place : place + 1] = [turn]
        self.dialogue = self.dialogue.model_copy(update={"turns": tuple(turns)})

    def _asked_of_vision(self) -> tuple[Turn, ...]:
        return tuple(turn for turn in self.dialogue.turns if turn.asked_by not in (SCENE, "witness", OWNER))

    def _skip_empty_summary(self) -> None:
        """Use a fixed summary if nothing certain was learned."""
        while isinstance(need := self.need, NeedVideoSummary) and {t.answered_by for t in need.task.turns} <= {OWNER}:
            self._set_summary(need.part, self.prompts.text("summary.nothing_certain"))


def _is_known(frame: int | None, question: str, turns: Sequence[Turn]) -> bool:
    """Whether this question was asked about this frame; other frames may get the same one."""
    return is_repeated(question, [without_label(t.question) for t in turns if frame_of(t.question) == frame])


def _bare_question(turn: Turn) -> str:
    """The question without the label of its frame or scene."""
    return _SCENE_LABEL.sub("", without_label(turn.question), count=1)


def _length(seconds: float) -> str:
    return f"{seconds:.1f} seconds" if seconds < 60 else clock(seconds)
