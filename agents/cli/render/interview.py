"""Print interviews: rich in a terminal, plain in a pipe, one JSON object per picture, or only the description."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Protocol, TextIO

from agents.cli.render.audit import audit_lines, counts_line, marks
from agents.cli.render.output import Output, output_for, put_line, transcript_line
from agents.interview.events import (
    Answered,
    Done,
    Event,
    Failed,
    QuestionAsked,
    QuestionRefused,
    Started,
    SummaryRefused,
    Waiting,
)
from agents.interview.protocol import END_NO_QUESTION, END_NOTHING_NEW
from agents.styles.owner import told_sentences
from core.console.status import Status
from core.errors import printable
from core.records import Caption, StyledText, Turn

_SAYS = {
    "looking": "looking at the picture",
    "asking": "thinking of a question",
    "answering": "looking for the answer",
    "examining": "looking for things and text",
    "summarising": "writing the description",
    "reading": "finding the claims of the description",
    "auditing": "checking the claims of the description",
    "styling": "writing the texts of the styles",
}
EMPTY = "(empty: the picture is decorative)"
_LABELS = (("plain", "at a glance"), ("opening", "asked for detail"), ("summary", "after the interview"))


def show_status(status: Status, event: Event) -> None:
    """Show what a model is doing; clear the line for any other event."""
    if isinstance(event, Waiting):
        status.show(_SAYS.get(event.doing, event.doing))
    else:
        status.clear()


class Printer(Protocol):
    """Writes events to standard output."""

    def event(self, event: Event) -> None: ...


def make_printer(
    *, json: bool = False, quiet: bool = False, stream: TextIO | None = None, styles: Sequence[str] = ()
) -> Printer:
    """The printer for these options and this output; `styles`: the texts that a quiet one prints."""
    out = stream if stream is not None else sys.stdout
    if json:
        return JsonPrinter(out)
    if quiet:
        return QuietPrinter(out, styles)
    return InterviewPrinter(output_for(out))


def replay(caption: Caption) -> Iterator[Event]:
    """The events of a saved interview, to print it."""
    yield Started(caption.picture, caption.vision, caption.questioner)
    for number, turn in enumerate(caption.dialogue.turns, start=1):
        for refused in caption.refused:
            if refused.step == number - 1:
                yield QuestionRefused(refused.text, 0.0, refused.reason)
        yield QuestionAsked(number, turn.question, turn.asked_by, turn.seconds_question)
        yield Answered(number, turn, turn.seconds_answer)
    yield Done(caption, caption.id)


class JsonPrinter:
    """JSON Lines: one caption per picture, as `Caption.from_json` reads it."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def event(self, event: Event) -> None:
        if isinstance(event, Done):
            put_line(event.caption.to_json(), self.out)


class QuietPrinter:
    """The summary, or the text of each style, one line per picture; nothing for one that failed or was stopped."""

    def __init__(self, out: TextIO, styles: Sequence[str] = ()) -> None:
        self.out, self.styles = out, styles

    def event(self, event: Event) -> None:
        if isinstance(event, Done) and event.caption.status == "complete":
            caption = event.caption
            for text in [one.text for one in caption.styles if one.style in self.styles] or [caption.text]:
                put_line(printable(text, limit=None), self.out)


class InterviewPrinter:
    """Questions and answers as they come, then the description; unsure answers are marked."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self._pictures = 0

    def event(self, event: Event) -> None:
        output = self.output
        match event:
            case Started():
                output.line(*[""] * bool(self._pictures))
                self._pictures += 1
                output.heading(_heading(event))
                output.dim(_who(event))
                output.line("")
                for number, turn in enumerate(event.turns, start=1):
                    self._question(number, turn.question, turn.asked_by)
                    self._answer(turn)
            case QuestionAsked():
                self._question(event.number, event.question, event.asked_by)
            case QuestionRefused():
                said = printable(event.question, limit=100) or "(nothing)"
                output.dim(f"      refused, {printable(event.reason, limit=40)}: {said}")
            case SummaryRefused():
                output.dim(f"      draft of the description refused: {event.reason}")
            case Answered():
                self._answer(event.turn)
            case Done():
                output.line("")
                self._texts(event.caption)
                output.line(*[""] * (not output.rich))
                output.dim(*_closing(event))

    def _question(self, number: int, question: str, asked_by: str) -> None:
        style = "bold magenta" if asked_by == "person" else "bold cyan"
        mark = "  [asked by the rules]" if asked_by == "fallback" else ""
        self.output.entry(number, "Q", printable(question, limit=None) + mark, style)

    def _answer(self, turn: Turn) -> None:
        text = printable(turn.answer, limit=None) or "(nothing)"
        marks = (
            (printable(turn.answered_by), bool(turn.answered_by)),
            ("unsure: not used", turn.certainty == "unsure"),
            ("cut short", turn.truncated),
        )
        text += "".join(f"  [{mark}]" for mark, applies in marks if applies)
        self.output.entry(None, "A", text, "italic bright_black" if turn.certainty == "unsure" else "default")

    def _texts(self, caption: Caption) -> None:
        rows = [(label, printable(getattr(caption, name), limit=None)) for name, label in _LABELS]
        if caption.audited:
            rows = [
                *rows[:-1],
                ("before the audit", rows[-1][1]),
                ("after the audit", printable(caption.audited, None)),
            ]
        if caption.edits:
            rows = [*rows, ("edited by a person", printable(caption.text, None))]
        summary = rows.pop()[1] if self.output.rich else ""
        width = max(len(label) for _, label in _LABELS) + 2
        self.output.labelled([(label, text) for label, text in rows if text], width)
        if summary:
            title = "what happens in the video" if "video" in caption.options else "what the picture shows"
            shown = () if caption.audited or caption.edits else marks(caption.claims, summary, caption.summary)
            self.output.box(title, summary, shown)
        written = [(one.style, printable(one.text, None) or EMPTY) for one in caption.styles]
        if written:
            self.output.line("")
            self.output.labelled(written, max(len(name) for name, _ in written) + 2)


def style_lines(styles: Sequence[StyledText]) -> list[str]:
    """What the reader has to know of the texts: who wrote one in the questioner's place, and what was taken out."""
    lines = []
    for one in styles:
        if one.refused:
            who = "the rules" if one.by == "rules" else one.by
            lines.append(f"{one.style}: written by {who}; drafts refused: {', '.join(one.refused)}")
        if one.removed:
            lines.append(f"{one.style}: taken out, no answer says it: {printable('; '.join(one.removed), limit=200)}")
    return lines


def _by_rules(asked_by: dict[str, int]) -> str:
    return f"by the rules {asked_by.get('fallback', 0) + asked_by.get('mended', 0)}"


def _heading(event: Started) -> str:
    picture = event.picture
    note = f", {printable(picture.note)}" if picture.note else ""
    return f"{printable(picture.source, limit=None)} ({picture.width} x {picture.height}{note})"


def _who(event: Started) -> str:
    return f"{printable(event.questioner.get('name', '?'))} asks, {looks(event.vision)}"


def looks(vision: dict[str, str]) -> str:
    """`describe()` of a vision model as one line: name, device, dtype and why they were chosen."""
    extra = ", ".join(vision[key] for key in ("device", "dtype") if vision.get(key))
    if extra and vision.get("why"):
        extra += f": {vision['why']}"
    return f"{printable(vision.get('name', '?'))} looks" + (f" ({printable(extra, limit=None)})" if extra else "")


def _closing(event: Done) -> list[str]:
    """How the interview ended, if not as usual; the time it took; where the transcript is."""
    caption = event.caption
    lines = []
    if caption.ended_because in (END_NOTHING_NEW, END_NO_QUESTION):
        asked = sum(not turn.answered_by for turn in caption.dialogue.turns)
        lines.append(f"asking ended after {asked} questions: {caption.ended_because}")
    if caption.questions and caption.questions.refused:
        by = caption.asked_by
        counts = f"{caption.questions.proposed} proposed, {caption.questions.refused} refused"
        lines.append(f"questions: {counts}; asked by the questioner {by.get('questioner', 0)}, {_by_rules(by)}")
    if caption.status != "complete":
        why = f": {printable(caption.error)}" if caption.error and not isinstance(event, Failed) else ""
        lines.append(f"not finished ({caption.status}{why})")
    if caption.summary_by == "rules":
        lines.append("description: written by the rules, since no draft of the questioner could be used")
    if caption.removed:
        counts = f"{caption.sentences_written} sentences written, {len(caption.removed)} taken out, no answer says them"
        lines.append(f"description: {counts}")
        lines += [f"      taken out: {printable(sentence, limit=200)}" for sentence in caption.removed]
    if caption.claims:
        lines += audit_lines(caption.claims)
    if caption.claim_counts:
        lines.append(counts_line(caption.claim_counts))
    if caption.unaudited:
        why = "" if isinstance(event, Failed) else f": {printable(caption.unaudited)}"
        lines.append(f"the claims of the description were not checked{why}")
    lines += [f"told by the owner: {printable(sentence, limit=200)}" for sentence in told_sentences(caption)]
    for one in caption.conflicts:
        said = f"answer {one.turn} contradicts the owner: {printable(one.answer, limit=120)}"
        lines.append(f"{said} ({printable(one.reason, limit=80)})")
    lines += style_lines(caption.styles)
    lines += [f"without a witness: {printable(problem, limit=500)}" for problem in caption.problems]
    if caption.truncated:
        lines.append("cut at the token limit in places: unfinished sentences are left out")
    total = caption.seconds.get("total")
    if total is not None:
        parts = [
            f"{name} {caption.seconds[name]:.1f}"
            for name in ("load", "encode", "vision", "witnesses", "language", "audit")
            if name in caption.seconds
        ]
        lines.append(f"{total:.1f} s ({', '.join(parts)})" if parts else f"{total:.1f} s")
    if event.id:
        lines.append(f"transcript {transcript_line(event.id)}")
    return lines
