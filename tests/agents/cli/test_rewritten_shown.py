"""Reasoning that shows late, and cut answers that are requested again, do not stay on the screen."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agents.chat.conversation import Conversation
from agents.chat.events import Asked, ChatAnswered, ChatStarted, Piece, Rewritten
from agents.cli.render.assistant import AssistantPrinter
from agents.cli.render.chat import ChatPrinter
from agents.cli.render.flow import Flow
from agents.cli.render.output import CUT, REASONED, PlainOutput, TerminalOutput
from core.vision import Reply, VisualQuestion
from tests.agents.fakes import picture
from tests.agents.talking import Parrot
from tests.agents.terminal import Terminal

REASONING = "Secret: the person asks about a duck. I ought to say what colour it has. " * 3
ANSWER = "It is a yellow duck."


class LateReasoner(Parrot):
    """A vision model whose reply turns out at its end to have been reasoning, but for its last sentence."""

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        for start in range(0, len(REASONING), 5):
            yield REASONING[start : start + 5]
        yield Reply(ANSWER, "stop")


def console(screen: Terminal, **more: Any) -> Console:
    return Console(
        file=screen, width=screen.width, height=screen.height, force_terminal=True, color_system=None, **more
    )


@pytest.mark.parametrize("width", [20, 37, 80])
def test_a_terminal_shows_what_the_record_says(width: int) -> None:
    screen = Terminal(width)
    printer = ChatPrinter(TerminalOutput(screen, console(screen)))
    chat = Conversation(LateReasoner(), [picture("red")])
    for event in [chat.started(), *chat.ask("What is it?")]:
        printer.event(event)
    rows = screen.shown
    assert "Secret" not in "".join(rows) and REASONED not in rows
    answered = rows[rows.index("> What is it?") + 1 :]
    assert " ".join(answered).strip() == chat.turns[0].answer == ANSWER


@pytest.mark.parametrize("cut", [False, True])
def test_the_answer_of_an_assistant_takes_the_place_of_what_was_shown(cut: bool) -> None:
    screen = Terminal(30)
    printer = AssistantPrinter(TerminalOutput(screen, console(screen)))
    for event in (Piece(REASONING), Rewritten(ANSWER, cut=cut)):
        printer.event(event)
    printer.output.flow.end()
    assert [row for row in screen.shown if row] == [ANSWER]


def test_what_has_left_the_window_is_marked_as_what_it_was() -> None:
    screen = Terminal(20, height=4)
    printer = ChatPrinter(TerminalOutput(screen, console(screen)))
    for event in (Piece(REASONING), Rewritten(ANSWER)):
        printer.event(event)
    printer.output.flow.end()
    shown = " ".join(" ".join(screen.shown).split())
    assert shown.endswith(f"{REASONED} {ANSWER}")


@pytest.mark.parametrize(("cut", "mark"), [(False, REASONED), (True, CUT)])
def test_a_file_has_a_line_before_the_answer(cut: bool, mark: str) -> None:
    for printer in (ChatPrinter(PlainOutput(out := io.StringIO())), AssistantPrinter(PlainOutput(out))):
        out.seek(0)
        out.truncate()
        for event in (Piece("Hm, a duck"), Rewritten(ANSWER, cut=cut)):
            printer.event(event)
        printer.output.flow.end()
        assert out.getvalue() == f"Hm, a duck\n{mark}\n{ANSWER}\n" and "\x1b" not in out.getvalue()


@pytest.mark.parametrize("more", [{"TERM": "dumb"}])
def test_a_terminal_that_cannot_erase_gets_no_escapes(more: dict[str, str]) -> None:
    screen = Terminal(40)
    printer = ChatPrinter(TerminalOutput(screen, console(screen, _environ=more)))
    for event in (Piece("Hm, a duck"), Rewritten(ANSWER)):
        printer.event(event)
    assert "\x1b[J" not in screen.getvalue() and REASONED in " ".join(screen.shown)


@given(
    before=st.text(alphabet="ab \n", max_size=30),
    pieces=st.lists(st.text(alphabet="abcdefgh \n", max_size=25), max_size=8),
    width=st.integers(4, 30),
)
def test_no_more_and_no_less_is_erased(before: str, pieces: list[str], width: int) -> None:
    screen = Terminal(width, height=1000)
    flow = Flow(screen, width, height=1000)
    flow.write(before)
    flow.end()
    kept = screen.shown
    for piece in pieces:
        flow.write(piece)
    assert flow.take_back()
    flow.write("x")
    flow.end()
    expected = Terminal(width, height=1000)
    expected.write(screen.getvalue()[:0])
    plain = Flow(expected, width)
    for text in (before, None, "x", None):
        plain.end() if text is None else plain.write(text)
    assert screen.shown == expected.shown and kept[:-1] == screen.shown[: len(kept) - 1]


def test_events_of_a_chat_end_with_the_record() -> None:
    chat = Conversation(LateReasoner(), [picture("red")])
    written = ""
    for event in chat.ask("What is it?"):
        match event:
            case Piece():
                written += event.text
            case Rewritten():
                written = event.text
            case ChatAnswered():
                assert written == event.turn.answer == ANSWER
            case Asked() | ChatStarted():
                assert not written
