"""How a chat looks: in a narrow terminal, in a pipe, as JSON; and nothing a model says can steer the terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from agents.chat.conversation import ChatOptions, Conversation
from agents.chat.events import Asked, ChatAnswered, ChatStarted, Notice
from agents.chat.repl import Ask, ChatEnded, ChatFailed, Do, converse
from agents.cli.render.chat import ChatPrinter, JsonChatPrinter, as_text, replay_chat
from agents.cli.render.flow import Flow
from agents.cli.render.output import PlainOutput, TerminalOutput
from agents.interview.events import Waiting
from core.errors import UsageError
from core.records import Chat as ChatRecord
from core.records import ChatTurn, PictureInfo
from tests.agents.chat.test_chat_loop import World
from tests.agents.fakes import picture
from tests.agents.talking import Parrot

LONG = "a lamp with a green shade stands on the table beside two cups " * 5


def events(*said: Any, vision: Any = None) -> list[Any]:
    chat = Conversation(vision or Parrot(), [picture("red"), picture("blue")], ChatOptions(temperature=0, seed=1))
    return list(converse(chat, said, World()))


def rich(shown: list[Any], *, typing: bool = False, width: int = 80) -> str:
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=True, color_system=None, highlight=False, emoji=False, markup=False
    )
    printer = ChatPrinter(TerminalOutput(out, console), typing=typing)
    for event in shown:
        printer.event(event)
    return out.getvalue()


def plain(shown: list[Any]) -> str:
    out = io.StringIO()
    printer = ChatPrinter(PlainOutput(out))
    for event in shown:
        printer.event(event)
    return out.getvalue()


def test_in_a_pipe_it_is_a_script_to_read() -> None:
    text = plain(events(Ask("What is it?"), Do("image", "green.png"), Ask("And now?")))
    assert text.split("\n\n") == [
        "picture 1: red.png (32 x 24)\npicture 2: blue.png (32 x 24)\nparrot looks",
        "> What is it?\nI see [red,blue], and heard: What is it?",
        "picture 3: green.png (32 x 24)",
        "> And now?\nI see [red,blue; green], and heard: And now?",
        "",
    ]


def test_what_is_told_besides_stays_out_of_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    text = plain(events(Ask("warn me"), Ask("fail"), Do("task", "webpage")))
    err = capsys.readouterr().err
    assert "left out" not in text and "voice" not in text
    assert err.splitlines() == [
        "inquisight: the oldest exchange was left out",
        "inquisight: parrot has lost its voice.",
        "inquisight: the web page is in page.html; a model wrote it, so read it before you open it",
    ]


def test_a_terminal_of_80_columns_is_filled_and_not_overrun() -> None:
    text = rich(events(Ask(LONG), Do("task", "poem"), Do("help"), Do("task", "")))
    lines = text.split("\n")
    assert max(map(len, lines)) <= 80
    assert not any(line.endswith("gre") or line.startswith("en shade") for line in lines), "lines break between words"
    assert "> a lamp with" in text and "> Write a poem" in text
    for narrow in (40, 20):
        assert max(len(line) for line in rich(events(Ask(LONG)), width=narrow).split("\n")) <= narrow


def test_what_was_typed_is_not_shown_twice_but_a_task_is() -> None:
    text = rich(events(Ask("What is it?"), Do("task", "poem")), typing=True)
    assert "> What is it?" not in text and "> Write a poem" in text
    assert "Ctrl-C stops an answer, Ctrl-D leaves" in text
    assert "Ctrl-C" not in rich(events(Ask("What?")))


def test_the_person_is_told_what_the_eye_cannot_do() -> None:
    started = ChatStarted((picture("red").info(),), {"name": "starer", "device": "cpu"}, follows=False)
    for text in (rich([started]), plain([started])):
        assert "red.png (32 x 24)" in text and "picture 1" not in text
        assert "starer looks (cpu)" in text and "follows no instructions" in text


def test_a_stopped_and_an_empty_answer_say_so() -> None:
    class Mute(Parrot):
        def _pieces(self, question: Any) -> Any:
            yield ""

    silent = events(Ask("What?"), vision=Mute())
    assert "parrot gave no answer" in rich(silent) and any(isinstance(event, ChatFailed) for event in silent)
    for show in (rich, plain):
        assert "(stopped)" in show(events(Ask("stop now"))) and "(stopped)" in show(events(Ask("silent stop")))


def test_nothing_from_outside_steers_the_terminal() -> None:
    nasty = "\x1b[2Ja\x07\u202e[bold]x[/bold]"
    info = PictureInfo(sha256="0" * 64, source=nasty, width=1, height=1)
    turn = ChatTurn(question=nasty, answer="ok", task=None)
    shown = [
        ChatStarted((info,), {"name": nasty}),
        Asked(1, nasty),
        Notice(nasty),
        ChatFailed(UsageError(nasty)),
        ChatAnswered(1, turn),
    ]
    for text in (rich(shown), plain(shown), as_text(ChatRecord(turns=(turn,), vision={"name": nasty}))):
        assert "\x1b[2J" not in text and "\x07" not in text and "\u202e" not in text
        assert "[bold]" in text, "and is no markup"


def test_json_is_one_record_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    printer = JsonChatPrinter(out)
    shown = events(Ask("What?"), Ask("warn me"), Ask("fail"))
    for event in shown:
        printer.event(event)
    assert ChatRecord.from_json(out.getvalue()) == shown[-1].record and out.getvalue().count("\n") == 1
    assert capsys.readouterr().err.count("inquisight: ") == 2


def test_a_kept_chat_is_shown_as_it_was() -> None:
    now = events(Ask("What is it?"), Do("image", "green.png"), Ask("stop now"))
    record = now[-1].record
    again = plain(list(replay_chat(record)))
    assert again.startswith(plain(now[:-1]).rstrip("\n"))
    assert f"chat {record.id[:10]}: inquisight show {record.id[:10]}" in again
    assert as_text(record) == again


def test_an_empty_chat_can_be_shown() -> None:
    assert "chat " in as_text(ChatRecord(vision={"name": "parrot"}))


def test_progress_is_only_for_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    rich([Waiting("looking"), Waiting("answering")])
    assert capsys.readouterr().err == ""


# --- text that grows ----------------------------------------------------------------------------------------------


def flow(pieces: list[str], width: int, indent: str = "") -> str:
    out = io.StringIO()
    writer = Flow(out, width, indent)
    for piece in pieces:
        writer.write(piece)
    writer.end()
    return out.getvalue()


@pytest.mark.slow
@settings(deadline=None)
@given(
    pieces=st.lists(st.text(alphabet="abc \n", max_size=12), max_size=12),
    width=st.integers(4, 20),
    indent=st.sampled_from(["", "  "]),
)
def test_no_word_is_lost_and_no_line_too_long(pieces: list[str], width: int, indent: str) -> None:
    text = "".join(pieces)
    laid = flow(pieces, width, indent)
    assert laid.split() == text.split()
    longest = max((len(word) for word in text.split()), default=0)
    for line in laid.split("\n"):
        assert (
            len(line) <= max(width, longest + len(indent)) or not line.strip() or line.startswith((" ", indent + " "))
        )
    assert laid == flow(list(text), width, indent), "however it was cut into pieces"


def test_without_a_width_text_stays_as_it_is() -> None:
    code = "<ul>\n  <li>one two three</li>\n</ul>\n"
    assert flow(list(code), 0) == code


def test_wide_characters_count_twice() -> None:
    laid = flow(["一只猫咪在椅子上睡觉"], 8)
    assert laid == "一只猫咪\n在椅子上\n睡觉\n"


def test_what_was_said_is_out_at_once_but_for_the_last_word() -> None:
    out = io.StringIO()
    writer = Flow(out, 80)
    writer.write("a lamp on a ta")
    assert out.getvalue() == "a lamp on a"
    writer.write("ble")
    writer.end()
    assert out.getvalue() == "a lamp on a table\n"


def test_the_end_has_no_number_where_nothing_was_kept() -> None:
    assert "inquisight show" not in plain([ChatEnded(ChatRecord())])
