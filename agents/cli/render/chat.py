"""How a chat looks: drawn in a terminal, plain in a pipe, or one JSON object at its end.

Everything that models, files and people say goes through `tidy`, `printable` or rich's Text, never through markup.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import StringIO
from typing import TYPE_CHECKING, Protocol, TextIO

from agents.chat.events import (
    Answered,
    Asked,
    Notice,
    PictureAdded,
    Piece,
    Rewritten,
    Silenced,
    Started,
    Waiting,
    tidy,
)
from agents.chat.repl import Ended, Failed, LoopEvent, Told, Undone, Written
from agents.cli.errors import complain
from agents.cli.render.flow import Flow
from agents.cli.render.interview import SHORT_ID, looks, put_line
from core.console.status import Status
from core.errors import printable
from core.records import Chat as ChatRecord
from core.records import ChatTurn, PictureInfo

if TYPE_CHECKING:
    from rich.console import Console

_SAYS = {"looking": "looking at the picture", "answering": "thinking"}
_NO_INSTRUCTIONS = "It answers questions about the picture; it follows no instructions such as 'write a poem'."
REASONED = "(the above was the model's reasoning; its answer:)"
CUT = "(the above was cut at the limit of tokens; the answer:)"
HINT = "Type a question, or /help. Ctrl-C stops an answer, Ctrl-D leaves."


class ChatPrinter(Protocol):
    """Shows events."""

    def event(self, event: LoopEvent) -> None: ...


def make_chat_printer(*, json: bool = False, typing: bool = False, stream: TextIO | None = None) -> ChatPrinter:
    """The printer for these options and this output; `typing`: the person sees their own words already."""
    out = stream if stream is not None else sys.stdout
    if json:
        return JsonChatPrinter(out)
    return RichChatPrinter(out, typing=typing) if out.isatty() else PlainChatPrinter(out)


def replay_chat(record: ChatRecord) -> Iterator[LoopEvent]:
    """The events of a conversation that is over, so that it can be shown again."""
    known: list[PictureInfo] = []
    yield Started(record.turns[0].pictures if record.turns else (), record.vision)
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
        yield Answered(number, turn)
    yield Ended(record, record.id)


def as_text(record: ChatRecord) -> str:
    """The conversation for reading, as /save writes it."""
    out = StringIO()
    printer = PlainChatPrinter(out, err=StringIO())
    for event in replay_chat(record):
        printer.event(event)
    return out.getvalue()


class JsonChatPrinter:
    """One JSON object at the end, as `core.records.Chat.from_json` reads it; errors on standard error."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.status = out, Status()

    def event(self, event: LoopEvent) -> None:
        _progress(self.status, event)
        if isinstance(event, Failed):
            complain(event.error)
        elif isinstance(event, Written):
            print(f"inquisight: {_written(event)}", file=sys.stderr, flush=True)
        elif isinstance(event, Notice):
            print(f"inquisight: {printable(event.text, limit=None)}", file=sys.stderr, flush=True)
        elif isinstance(event, Ended):
            put_line(event.record.to_json(), self.out)


class PlainChatPrinter:
    """Unadorned lines: "> question", the answer, an empty line. What is told besides goes to standard error."""

    def __init__(self, out: TextIO, err: TextIO | None = None) -> None:
        self.out, self.err, self.status = out, err, Status()
        self._flow = Flow(out)

    def event(self, event: LoopEvent) -> None:
        _progress(self.status, event)
        match event:
            case Started():
                self._line(*_pictures(event), looks(event.vision))
                if not event.follows:
                    self._line(_NO_INSTRUCTIONS)
                self._line("")
            case PictureAdded():
                self._line(_picture(event.number, event.picture), "")
            case Asked():
                self._line(*(f"> {line}" for line in tidy(event.prompt).split("\n")))
            case Piece():
                self._flow.write(event.text)
            case Rewritten():
                rewrite(self._flow, event)
            case Answered():
                self._flow.end()
                self._line(*_after(event.turn), "")
            case Silenced():
                self._line("(stopped)", "")
            case Notice():
                self._flow.end()
                self._aside(printable(event.text, limit=None))
            case Failed():
                self._flow.end()
                if self.err is None:
                    complain(event.error)
            case Undone():
                self._line(f"({_undone(event)})", "")
            case Written():
                self._aside(_written(event))
            case Told():
                width = max(len(name) for name, _ in event.rows) + 2
                self._line(*(f"{printable(name)}".ljust(width) + printable(words) for name, words in event.rows), "")
            case Ended():
                self._line(*_closing(event))
            case _:
                pass

    def _line(self, *lines: str) -> None:
        for line in lines:
            put_line(line, self.out)

    def _aside(self, text: str) -> None:
        print(f"inquisight: {text}", file=self.err if self.err is not None else sys.stderr, flush=True)


class RichChatPrinter:
    """For a terminal: who speaks by colour, answers as they grow, everything else dimmed."""

    def __init__(self, out: TextIO, console: Console | None = None, *, typing: bool = False) -> None:
        from rich.console import Console

        self.console = console or Console(file=out, highlight=False, emoji=False, markup=False)
        self.typing, self.status = typing, Status()
        self._flow = flow_for(self.console)

    def event(self, event: LoopEvent) -> None:
        _progress(self.status, event)
        match event:
            case Started():
                self._start(event)
            case PictureAdded():
                self._dim(_picture(event.number, event.picture), "")
            case Asked():
                if not (self.typing and event.typed):
                    self._question(event)
            case Piece():
                self._flow.write(event.text)
            case Rewritten():
                rewrite(self._flow, event)
            case Answered():
                self._flow.end()
                self._dim(*_after(event.turn), "")
            case Silenced():
                self._dim("(stopped)", "")
            case Notice():
                self._flow.end()
                self._styled(printable(event.text, limit=None), "yellow")
            case Failed():
                self._flow.end()
                self._styled(printable(event.error, limit=1000), "red")
                self.console.print()
            case Undone():
                self._dim(f"({_undone(event)})", "")
            case Written():
                self._styled(_written(event), "green")
                self.console.print()
            case Told():
                self._table(event)
            case Ended():
                self._dim(*_closing(event))
            case _:
                pass

    def _start(self, event: Started) -> None:
        from rich.rule import Rule
        from rich.text import Text

        for line in _pictures(event):
            self.console.print(Rule(Text(line, style="bold"), align="left", style="bright_black"))
        self._dim(looks(event.vision))
        if not event.follows:
            self._dim(_NO_INSTRUCTIONS)
        if self.typing:
            self._dim(HINT)
        self.console.print()

    def _question(self, event: Asked) -> None:
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid()
        grid.add_column(width=2)
        grid.add_column(overflow="fold")
        style = "bold magenta" if event.typed else "magenta"
        grid.add_row(Text(">", style="bold magenta"), Text(tidy(event.prompt), style=style))
        self.console.print(Padding(grid, 0))

    def _table(self, event: Told) -> None:
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 3, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for name, words in event.rows:
            grid.add_row(Text(printable(name), style="cyan"), Text(printable(words)))
        self.console.print(grid)
        self.console.print()

    def _dim(self, *lines: str) -> None:
        for line in lines:
            self._styled(line, "bright_black")

    def _styled(self, line: str, style: str) -> None:
        from rich.text import Text

        self.console.print(Text(line, style=style))


def flow_for(console: Console) -> Flow:
    """A flow that fills a terminal and can erase what it wrote there."""
    erases = console.is_terminal and not (console.is_dumb_terminal or console.legacy_windows)
    return Flow(console.file, console.width, height=console.height if erases else 0)


def rewrite(flow: Flow, event: Rewritten) -> None:
    """Show the answer in place of what was shown; where that cannot be erased, below it and a line that says so."""
    if not flow.take_back():
        flow.end()
        flow.write(f"{CUT if event.cut else REASONED}\n")
    flow.write(event.text)


def _progress(status: Status, event: LoopEvent) -> None:
    if isinstance(event, Waiting):
        status.show(_SAYS.get(event.doing, event.doing))
    else:
        status.clear()


def _pictures(event: Started) -> list[str]:
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


def _closing(event: Ended) -> list[str]:
    if event.id is None:
        return []
    return [f"{event.record.kind} {event.id[:SHORT_ID]}: inquisight show {event.id[:SHORT_ID]}"]
