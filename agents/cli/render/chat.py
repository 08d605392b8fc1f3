"""Print chats: rich in a terminal, plain in a pipe, or one JSON object at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import StringIO
from typing import Protocol, TextIO

from agents.chat.events import (
    Asked,
    ChatAnswered,
    ChatStarted,
    Notice,
    PictureAdded,
    Piece,
    Rewritten,
    Silenced,
    tidy,
)
from agents.chat.repl import ChatEnded, ChatFailed, ChatListing, LoopEvent, Undone, Written
from agents.cli.errors import complain
from agents.cli.render.interview import looks
from agents.cli.render.output import Output, PlainOutput, output_for, put_line, rewrite, transcript_line
from agents.interview.events import Waiting
from core.console.status import Status
from core.errors import printable
from core.records import Chat as ChatRecord
from core.records import ChatTurn, PictureInfo

_SAYS = {"looking": "looking at the picture", "answering": "thinking"}
_NO_INSTRUCTIONS = "It answers questions about the picture; it follows no instructions such as 'write a poem'."
HINT = "Type a question, or /help. Ctrl-C stops an answer, Ctrl-D leaves."


class Printer(Protocol):
    """Writes events to standard output."""

    def event(self, event: LoopEvent) -> None: ...


def make_chat_printer(*, json: bool = False, typing: bool = False, stream: TextIO | None = None) -> Printer:
    """The printer for these options and this output; `typing`: people see their own words already."""
    out = stream if stream is not None else sys.stdout
    return JsonChatPrinter(out) if json else ChatPrinter(output_for(out), typing=typing)


def replay_chat(record: ChatRecord) -> Iterator[LoopEvent]:
    """The events of a saved conversation, to print it."""
    known: list[PictureInfo] = []
    yield ChatStarted(record.turns[0].pictures if record.turns else (), record.vision)
    for number, turn in enumerate(record.turns, start=1):
        for picture in turn.pictures:
            known.append(picture)
            if number > 1:
                yield PictureAdded(len(known), picture)
        yield Asked(number, turn.question, turn.task)
        for text in turn.notices:
            yield Notice(text)
        for call in turn.calls:
            said = "failed: " if call.failed else ""
            words = ", ".join(f"{name} {value}" for name, value in call.arguments.items())
            yield Notice(f"{call.tool} ({words}): {said}{call.result}")
        yield Piece(turn.answer)
        yield ChatAnswered(number, turn)
    yield ChatEnded(record, record.id)


def as_text(record: ChatRecord) -> str:
    """The conversation as text, as /save writes it."""
    out = StringIO()
    printer = ChatPrinter(PlainOutput(out, err=StringIO()))
    for event in replay_chat(record):
        printer.event(event)
    return out.getvalue()


class JsonChatPrinter:
    """One JSON object at the end, as `core.records.Chat.from_json` reads it; errors on standard error."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.status = out, Status()

    def event(self, event: LoopEvent) -> None:
        _progress(self.status, event)
        if isinstance(event, ChatFailed):
            complain(event.error)
        elif isinstance(event, Written):
            print(f"inquisight: {_written(event)}", file=sys.stderr, flush=True)
        elif isinstance(event, Notice):
            print(f"inquisight: {printable(event.text, limit=None)}", file=sys.stderr, flush=True)
        elif isinstance(event, ChatEnded):
            put_line(event.record.to_json(), self.out)


class ChatPrinter:
    """The question, the answer as it grows, an empty line; everything else dimmed or on standard error."""

    def __init__(self, output: Output, *, typing: bool = False) -> None:
        self.output, self.typing, self.status = output, typing, Status()

    def event(self, event: LoopEvent) -> None:
        _progress(self.status, event)
        output = self.output
        match event:
            case ChatStarted():
                self._start(event)
            case PictureAdded():
                output.dim(_picture(event.number, event.picture), "")
            case Asked() if not (self.typing and event.typed):
                output.prompt(tidy(event.prompt), typed=event.typed)
            case Piece():
                output.flow.write(event.text)
            case Rewritten():
                rewrite(output.flow, event)
            case ChatAnswered():
                output.flow.end()
                output.dim(*_after(event.turn), "")
            case Silenced():
                output.dim("(stopped)", "")
            case Notice():
                output.flow.end()
                output.notice(printable(event.text, limit=None))
            case ChatFailed():
                output.flow.end()
                output.error(event.error)
            case Undone():
                output.dim(f"({_undone(event)})", "")
            case Written():
                output.notice(_written(event), "green")
                output.line(*[""] * output.rich)
            case ChatListing():
                output.table(event.rows)
                output.line("")
            case ChatEnded():
                output.dim(*_closing(event))

    def _start(self, event: ChatStarted) -> None:
        output = self.output
        output.heading(*_pictures(event))
        output.dim(looks(event.vision))
        if not event.follows:
            output.dim(_NO_INSTRUCTIONS)
        if self.typing:
            output.dim(HINT)
        output.line("")


def _progress(status: Status, event: LoopEvent) -> None:
    if isinstance(event, Waiting):
        status.show(_SAYS.get(event.doing, event.doing))
    else:
        status.clear()


def _pictures(event: ChatStarted) -> list[str]:
    """A line each; a single one needs no number."""
    many = len(event.pictures) > 1
    return [_picture(number if many else 0, picture) for number, picture in enumerate(event.pictures, start=1)]


def _picture(number: int, picture: PictureInfo) -> str:
    note = f", {printable(picture.note)}" if picture.note else ""
    name = f"picture {number}: " if number else ""
    return f"{name}{printable(picture.source, limit=None)} ({picture.width} x {picture.height}{note})"


def _after(turn: ChatTurn) -> list[str]:
    lines = [] if turn.answer else ["(nothing)"]
    return [*lines, "(stopped)"] if turn.status == "stopped" else lines


def _undone(event: Undone) -> str:
    if isinstance(event.what, ChatTurn):
        return f"taken back: {printable(event.what.question, limit=60)}"
    return f"taken back: the picture {printable(event.what.source, limit=60)}"


def _written(event: Written) -> str:
    warning = "; a model wrote it, so read it before you open it" if event.what == "web page" else ""
    return f"the {event.what} is in {printable(event.path, limit=None)}{warning}"


def _closing(event: ChatEnded) -> list[str]:
    if event.id is None:
        return []
    return [f"{event.record.kind} {transcript_line(event.id)}"]
