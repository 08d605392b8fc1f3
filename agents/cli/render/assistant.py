"""Print the answers of `inquisight ask`: rich in a terminal, plain in a pipe, JSON Lines for programs."""

from __future__ import annotations

import json as json_module
import sys
import textwrap
from dataclasses import dataclass
from typing import Any, TextIO

from agents.assistant.events import Begun, Called, Concluded, Event, Overheard, Returned, Said, Thinking
from agents.chat.events import Event as ChatEvent
from agents.chat.events import Notice, Piece, Rewritten, tidy
from agents.cli.render.interview import InterviewPrinter, looks, show_status
from agents.cli.render.output import Output, output_for, put_line, rewrite, transcript_line
from agents.interview.events import Done, Waiting
from core.console.status import Status
from core.errors import printable
from core.records import TokenUsage


@dataclass(frozen=True, slots=True)
class Interviewed:
    """An event of an interview that is held instead of an assistant's run (see `agents.interview.driver`)."""

    event: Any


AnyEvent = Event | ChatEvent | Interviewed


def make_assistant_printer(
    *, json: bool = False, why: str = "", stream: TextIO | None = None
) -> AssistantPrinter | JsonAssistantPrinter:
    """The printer for these options and this output; `why` explains an automatic choice."""
    out = stream if stream is not None else sys.stdout
    return JsonAssistantPrinter(out) if json else AssistantPrinter(output_for(out), why)


class AssistantPrinter:
    """Tool calls and their results as they come, then the answer. An interview is printed by its own printer."""

    def __init__(self, output: Output, why: str = "") -> None:
        self.output, self.why = output, why
        self.interview = InterviewPrinter(output)
        self.status = Status()
        self.streamed = False  # text since the model was last called
        self.apart = False  # something else was printed since

    def event(self, event: AnyEvent) -> None:
        output = self.output
        if not isinstance(event, Piece | Rewritten):
            output.flow.end()
        self._progress(event)
        match event:
            case Thinking():
                self.streamed = False
            case Begun():
                *pictures, who = _heading(event)
                output.heading(*pictures)
                output.dim(who)
                output.line("")
            case Interviewed():
                if self.why:
                    output.notice(self.why)
                    self.why = ""
                self.interview.event(event.event)
            case Piece():
                if self.apart:
                    output.flow.write("\n")
                    self.apart = False
                self.streamed = True
                output.flow.write(event.text)
            case Rewritten():
                rewrite(output.flow, event)
            case Notice():
                output.notice(printable(event.text, limit=None))
            case Said() if not self.streamed:
                output.indented(tidy(event.text), 5 if output.rich else 0, "italic")
            case Called():
                output.call(event.number, event.tool, _arguments(event.arguments))
            case Overheard():
                answer = printable(event.answer, limit=None) or "(nothing)"
                output.exchange(printable(event.question, limit=None), answer)
            case Returned():
                self.apart = True
                output.indented(tidy(event.call.result), 5, "red" if event.call.failed else "bright_black")
            case Concluded():
                self._conclude(event)

    def close(self) -> None:
        self.status.clear()

    def _progress(self, event: AnyEvent) -> None:
        if isinstance(event, Thinking | Waiting):
            self.status.show("thinking")
        elif isinstance(event, Interviewed):
            show_status(self.status, event.event)
        else:
            self.status.clear()

    def _conclude(self, event: Concluded) -> None:
        output = self.output
        if event.answer and not self.streamed:
            output.line("")
            output.box("answer", tidy(event.answer))
        output.dim(*_closing(event))
        if output.rich:
            output.dim(*(_used(turn.usage) for turn in event.record.turns if turn.usage and turn.usage.calls))


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
        lines.append(f"transcript {transcript_line(event.id)}")
    return ["", *lines] if lines else []


def _used(usage: TokenUsage) -> str:
    calls = f"{usage.calls} {'call' if usage.calls == 1 else 'calls'} of the language model"
    failed = f" ({usage.failed} failed)" if usage.failed else ""
    about = "about " if usage.guessed else ""
    return f"{calls}{failed}, {about}{usage.input_tokens:,} tokens read and {usage.output_tokens:,} written"
