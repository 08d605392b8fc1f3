"""How an interview looks: rich in a terminal, plain in a pipe, one JSON object per picture, or quiet.

Each printer takes the driver's events. What models and files say is untrusted and goes through
`printable` or rich's Text, never through markup. Progress belongs to `Status`, on standard error.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from agents.interview.events import (
    Answered,
    Done,
    Event,
    Failed,
    InterviewStopped,
    PlainCaption,
    QuestionAsked,
    Started,
    Waiting,
)
from core.console.status import Status
from core.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

    from core.records import Caption

SHORT_ID = 10
_SAYS = {
    "looking": "looking at the picture",
    "asking": "thinking of a question",
    "answering": "looking for the answer",
    "summarising": "writing the description",
}
_LABELS = (("plain", "at a glance"), ("opening", "asked for detail"), ("summary", "after the interview"))


def show_status(status: Status, event: Event) -> None:
    """Show what a model is doing; clear the line for any other event."""
    if isinstance(event, Waiting):
        status.show(_SAYS.get(event.doing, event.doing))
    else:
        status.clear()


def put_line(line: str, out: TextIO) -> None:
    """Write a line and its end in one go: `print` writes the end by itself, so Ctrl-C can come before it."""
    out.write(f"{line}\n")
    out.flush()


class Printer(Protocol):
    """Writes events to standard output."""

    def event(self, event: Event) -> None: ...


def make_printer(*, json: bool = False, quiet: bool = False, stream: TextIO | None = None) -> Printer:
    """The printer for these options and this output."""
    out = stream if stream is not None else sys.stdout
    if json:
        return JsonPrinter(out)
    if quiet:
        return QuietPrinter(out)
    return RichPrinter(out) if out.isatty() else PlainPrinter(out)


def replay(caption: Caption) -> Iterator[Event]:
    """The events of an interview that is over, so that it can be shown again."""
    yield Started(caption.picture, caption.vision, caption.questioner)
    for number, turn in enumerate(caption.dialogue.turns, start=1):
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
    """The summary, one line per picture; nothing for one that failed or was stopped."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def event(self, event: Event) -> None:
        if isinstance(event, Done) and event.caption.status == "complete":
            put_line(printable(event.caption.text, limit=None), self.out)


class PlainPrinter:
    """Unadorned lines for pipes, files and narrow terminals."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self._pictures = 0

    def event(self, event: Event) -> None:
        match event:
            case Started():
                self._line(*[""] * bool(self._pictures), _heading(event), _who(event), "")
                self._pictures += 1
                for number, turn in enumerate(event.turns, start=1):
                    self._question(number, turn.question)
                    self._answer(turn)
            case QuestionAsked():
                self._question(event.number, event.question)
            case Answered():
                self._answer(event.turn)
            case Done():
                self._line("")
                width = max(len(label) for _, label in _LABELS) + 2
                for name, label in _LABELS:
                    text = printable(getattr(event.caption, name), limit=None)
                    if text:
                        indent = " " * width
                        self._line(
                            textwrap.fill(text, 100, initial_indent=f"{label}:".ljust(width), subsequent_indent=indent)
                        )
                self._line("", *_closing(event))

    def _question(self, number: int, question: str) -> None:
        self._line(f"{number:3} Q  {printable(question, limit=None)}")

    def _answer(self, turn: Any) -> None:
        self._line(f"    A  {printable(turn.answer, limit=None) or '(nothing)'}{_mark(turn)}")

    def _line(self, *lines: str) -> None:
        for line in lines:
            put_line(line, self.out)


class RichPrinter:
    """For a terminal: who speaks by colour, unsure answers dimmed, the description in a box."""

    def __init__(self, out: TextIO, console: Console | None = None) -> None:
        from rich.console import Console

        self.console = console or Console(file=out, highlight=False, emoji=False, markup=False)
        self._pictures = 0

    def event(self, event: Event) -> None:
        match event:
            case Started():
                self._start(event)
            case PlainCaption():
                pass  # shown beside the others at the end
            case QuestionAsked():
                self._question(event.number, event.question, event.asked_by)
            case Answered():
                self._answer(event.turn)
            case Done():
                self._end(event)

    def _start(self, event: Started) -> None:
        from rich.rule import Rule
        from rich.text import Text

        if self._pictures:
            self.console.print()
        self._pictures += 1
        self.console.print(Rule(Text(_heading(event), style="bold"), align="left", style="bright_black"))
        self.console.print(Text(_who(event), style="bright_black"))
        self.console.print()
        for number, turn in enumerate(event.turns, start=1):
            self._question(number, turn.question, turn.asked_by)
            self._answer(turn)

    def _question(self, number: int, question: str, asked_by: str) -> None:
        style = "bold magenta" if asked_by == "person" else "bold cyan"
        self._row(str(number), "bright_black", printable(question, limit=None), style)

    def _answer(self, turn: Any) -> None:
        unsure = turn.certainty == "unsure"
        text = (printable(turn.answer, limit=None) or "(nothing)") + _mark(turn)
        self._row("", "", text, "italic bright_black" if unsure else "default")

    def _row(self, left: str, left_style: str, right: str, style: str) -> None:
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=3, justify="right")
        grid.add_column(overflow="fold")
        grid.add_row(Text(left, style=left_style), Text(right, style=style))
        self.console.print(grid)

    def _end(self, event: Done) -> None:
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        caption = event.caption
        self.console.print()
        grid = Table.grid(padding=(0, 2))
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, label in _LABELS[:2]:
            text = printable(getattr(caption, name), limit=None)
            if text:
                grid.add_row(Text(label, style="bright_black"), Text(text))
        if grid.row_count:
            self.console.print(grid)
        if caption.summary:
            what = "what happens in the video" if "video" in caption.options else "what the picture shows"
            title = Text(what, style="bold green")
            body = Text(printable(caption.summary, limit=None))
            self.console.print(Panel(body, title=title, title_align="left", border_style="green", padding=(0, 1)))
        for line in _closing(event):
            self.console.print(Text(line, style="bright_black"))


def _heading(event: Started) -> str:
    picture = event.picture
    note = f", {printable(picture.note)}" if picture.note else ""
    return f"{printable(picture.source, limit=None)} ({picture.width} x {picture.height}{note})"


def _who(event: Started) -> str:
    return f"{printable(event.questioner.get('name', '?'))} asks, {looks(event.vision)}"


def looks(vision: dict[str, str]) -> str:
    """Who looks, on what, in which type of numbers, and why so: `describe()` of an eye as one line."""
    extra = ", ".join(vision[key] for key in ("device", "dtype") if vision.get(key))
    if extra and vision.get("why"):
        extra += f": {vision['why']}"
    return f"{printable(vision.get('name', '?'))} looks" + (f" ({printable(extra, limit=None)})" if extra else "")


def _mark(turn: Any) -> str:
    marks = [
        mark for mark, so in (("unsure: not used", turn.certainty == "unsure"), ("cut short", turn.truncated)) if so
    ]
    return "".join(f"  [{mark}]" for mark in marks)


def _closing(event: Done) -> list[str]:
    """Where the transcript lies, how it ended where that is worth a word, and where the time went."""
    caption = event.caption
    lines = []
    if caption.ended_because == "nothing new to ask":
        lines.append(f"asking ended after {len(caption.dialogue.turns)} questions: nothing new to ask")
    if isinstance(event, Failed | InterviewStopped) or caption.status != "complete":
        why = f": {printable(caption.error)}" if caption.error and not isinstance(event, Failed) else ""
        lines.append(f"not finished ({caption.status}{why})")
    if caption.truncated:
        lines.append("cut at the token limit in places: unfinished sentences are left out")
    total = caption.seconds.get("total")
    if total is not None:
        parts = [
            f"{name} {caption.seconds[name]:.1f}"
            for name in ("load", "encode", "vision", "language")
            if name in caption.seconds
        ]
        lines.append(f"{total:.1f} s ({', '.join(parts)})" if parts else f"{total:.1f} s")
    if event.id:
        lines.append(f"transcript {event.id[:SHORT_ID]}: inquisight show {event.id[:SHORT_ID]}")
    return lines
