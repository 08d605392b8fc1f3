"""How `inquisight ask` looks: drawn in a terminal, plain in a pipe, JSON Lines for programs."""

from __future__ import annotations

import json as json_module
import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from agents.assistant.events import Begun, Called, Concluded, Event, Overheard, Returned, Said, Thinking
from agents.chat.events import Event as ChatEvent
from agents.chat.events import Notice, Piece, Rewritten, Waiting, tidy
from agents.cli.render.chat import flow_for, rewrite
from agents.cli.render.flow import Flow
from agents.cli.render.interview import SHORT_ID, Printer, looks, make_printer, put_line, show_status
from agents.interview.events import Done
from core.console.status import Status
from core.errors import printable
from core.records import TokenUsage, ToolCall

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Interviewed:
    """An event of an interview that is held instead of an assistant's run (see `agents.interview.driver`)."""

    event: Any


AnyEvent = Event | ChatEvent | Interviewed


class AssistantPrinter(Protocol):
    """Shows events."""

    def event(self, event: AnyEvent) -> None: ...

    def close(self) -> None: ...


def make_assistant_printer(*, json: bool = False, why: str = "", stream: TextIO | None = None) -> AssistantPrinter:
    """The printer for these options and this output; `why` is a choice that was made for the person."""
    out = stream if stream is not None else sys.stdout
    if json:
        return JsonAssistantPrinter(out)
    return RichAssistantPrinter(out, why) if out.isatty() else PlainAssistantPrinter(out, why)


class _Base:
    """What both printers for people have in common: the order of things, and how an interview is passed on."""

    def __init__(self, out: TextIO, why: str, interview: Printer, flow: Flow) -> None:
        self.out, self.why, self.interview, self.flow = out, why, interview, flow
        self.status = Status()
        self.heard = False  # words since the model was last asked
        self.apart = False  # something else was printed since

    def event(self, event: AnyEvent) -> None:
        if not isinstance(event, Piece | Rewritten):
            self.flow.end()
        self._progress(event)
        match event:
            case Thinking():
                self.heard = False
            case Begun():
                self.begin(event)
            case Interviewed():
                if self.why:
                    self.aside(self.why)
                    self.why = ""
                self.interview.event(event.event)
            case Piece():
                if self.apart:
                    self.flow.write("\n")
                    self.apart = False
                self.heard = True
                self.flow.write(event.text)
            case Rewritten():
                rewrite(self.flow, event)
            case Notice():
                self.aside(printable(event.text, limit=None))
            case Said() if not self.heard:
                self.said(event.text)
            case Called():
                self.called(event)
            case Overheard():
                self.overheard(event)
            case Returned():
                self.apart = True
                self.returned(event.call)
            case Concluded():
                self.conclude(event)
            case _:
                pass

    def close(self) -> None:
        self.status.clear()

    def _progress(self, event: AnyEvent) -> None:
        if isinstance(event, Thinking | Waiting):
            self.status.show("thinking")
        elif isinstance(event, Called | Overheard):
            self.status.clear()
        elif isinstance(event, Interviewed):
            show_status(self.status, event.event)
        else:
            self.status.clear()

    def begin(self, event: Begun) -> None:
        raise NotImplementedError

    def aside(self, text: str) -> None:
        raise NotImplementedError

    def said(self, text: str) -> None:
        raise NotImplementedError

    def called(self, event: Called) -> None:
        raise NotImplementedError

    def overheard(self, event: Overheard) -> None:
        raise NotImplementedError

    def returned(self, call: ToolCall) -> None:
        raise NotImplementedError

    def conclude(self, event: Concluded) -> None:
        raise NotImplementedError


class PlainAssistantPrinter(_Base):
    """Unadorned lines."""

    def __init__(self, out: TextIO, why: str = "") -> None:
        super().__init__(out, why, make_printer(stream=out), Flow(out))

    def begin(self, event: Begun) -> None:
        self._line(*_heading(event), "")

    def aside(self, text: str) -> None:
        print(f"inquisight: {text}", file=sys.stderr, flush=True)

    def said(self, text: str) -> None:
        self._line(*tidy(text).split("\n"))

    def called(self, event: Called) -> None:
        self._line(f"{event.number:3}  {event.tool}  {_arguments(event.arguments)}".rstrip())

    def overheard(self, event: Overheard) -> None:
        question, answer = printable(event.question, limit=None), printable(event.answer, limit=None)
        self._line(f"       {question} {answer or '(nothing)'}")

    def returned(self, call: ToolCall) -> None:
        self._line(*(f"     {line}" for line in tidy(call.result).split("\n")))

    def conclude(self, event: Concluded) -> None:
        if event.answer and not self.heard:
            self._line("", *tidy(event.answer).split("\n"))
        self._line(*_closing(event))

    def _line(self, *lines: str) -> None:
        for line in lines:
            put_line(line, self.out)


class RichAssistantPrinter(_Base):
    """For a terminal: tool calls in cyan, what they bring dimmed, the answer as it grows."""

    def __init__(self, out: TextIO, why: str = "", console: Console | None = None) -> None:
        from rich.console import Console

        self.console = console or Console(file=out, highlight=False, emoji=False, markup=False)
        super().__init__(out, why, make_printer(stream=out), flow_for(self.console))

    def begin(self, event: Begun) -> None:
        from rich.rule import Rule
        from rich.text import Text

        *pictures, who = _heading(event)
        for line in pictures:
            self.console.print(Rule(Text(line, style="bold"), align="left", style="bright_black"))
        self.console.print(Text(who, style="bright_black"))
        self.console.print()

    def aside(self, text: str) -> None:
        self._indented(text, 0, "yellow")

    def said(self, text: str) -> None:
        self._indented(tidy(text), 5, "italic")

    def called(self, event: Called) -> None:
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=3, justify="right")
        grid.add_column(overflow="fold")
        call = Text(event.tool, style="bold cyan").append(f"  {_arguments(event.arguments)}", style="default")
        grid.add_row(Text(str(event.number), style="bright_black"), call)
        self.console.print(grid)

    def overheard(self, event: Overheard) -> None:
        from rich.padding import Padding
        from rich.text import Text

        text = Text(printable(event.question, limit=None), style="cyan")
        text.append(f" {printable(event.answer, limit=None) or '(nothing)'}", style="bright_black")
        self.console.print(Padding(text, (0, 0, 0, 7)))

    def returned(self, call: ToolCall) -> None:
        self._indented(tidy(call.result), 5, "red" if call.failed else "bright_black")

    def conclude(self, event: Concluded) -> None:
        from rich.panel import Panel
        from rich.text import Text

        if event.answer and not self.heard:
            self.console.print()
            title = Text("answer", style="bold green")
            body = Text(tidy(event.answer))
            self.console.print(Panel(body, title=title, title_align="left", border_style="green", padding=(0, 1)))
        used = [_used(turn.usage) for turn in event.record.turns if turn.usage is not None and turn.usage.calls]
        for line in _closing(event) + used:
            self.console.print(Text(line, style="bright_black"))

    def _indented(self, text: str, left: int, style: str) -> None:
        from rich.padding import Padding
        from rich.text import Text

        self.console.print(Padding(Text(text, style=style), (0, 0, 0, left)))


class JsonAssistantPrinter:
    """One JSON object per line as things happen; the last one has "event": "answer"."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def close(self) -> None:
        """Nothing is held."""

    def event(self, event: AnyEvent) -> None:
        match event:
            case Interviewed(Done() as done):
                self._put("interview", id=done.id, caption=done.caption.model_dump(mode="json"))
            case Said(text):
                self._put("said", text=text)
            case Notice(text):
                self._put("notice", text=text)
            case Called():
                self._put("call", number=event.number, tool=event.tool, arguments=event.arguments)
            case Overheard():
                self._put("interviewed", question=event.question, answer=event.answer)
            case Returned():
                self._put("result", number=event.number, **event.call.model_dump(mode="json"))
            case Concluded():
                record = event.record.model_dump(mode="json")
                cut = any(turn.truncated for turn in event.record.turns)
                self._put("answer", answer=event.answer, truncated=cut, id=event.id, record=record)
            case _:
                pass

    def _put(self, name: str, **values: Any) -> None:
        put_line(json_module.dumps({"event": name, **values}, ensure_ascii=False), self.out)


def _heading(event: Begun) -> list[str]:
    """A line per picture, and who is at work."""
    lines = [
        f"picture {number}: {printable(one.source, limit=None)} ({one.width} x {one.height})"
        for number, one in enumerate(event.pictures, start=1)
    ]
    sees = looks(event.vision)
    thinks = event.assistant.get("name")
    return [*lines, f"{printable(thinks)} thinks, {sees}" if thinks else sees]


def _arguments(arguments: dict[str, Any]) -> str:
    words = []
    for name, value in arguments.items():
        if name == "picture":
            words.append(f"picture {printable(value)}")
        elif name == "pictures" and isinstance(value, list):
            words.append(f"pictures {', '.join(map(printable, value))}")
        else:
            words.append(printable(value, limit=None))
    return textwrap.shorten(": ".join(words), 500, placeholder=" ...")


def _closing(event: Concluded) -> list[str]:
    lines = ["(stopped)"] if event.interrupted else []
    if event.id is not None:
        lines.append(f"transcript {event.id[:SHORT_ID]}: inquisight show {event.id[:SHORT_ID]}")
    return ["", *lines] if lines else []


def _used(usage: TokenUsage) -> str:
    calls = f"{usage.calls} {'call' if usage.calls == 1 else 'calls'} of the language model"
    failed = f" ({usage.failed} failed)" if usage.failed else ""
    about = "about " if usage.guessed else ""
    return f"{calls}{failed}, {about}{usage.input_tokens:,} tokens read and {usage.output_tokens:,} written"
