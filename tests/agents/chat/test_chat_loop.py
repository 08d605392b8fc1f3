"""What a person types: questions and commands, mistakes that end nothing, and Ctrl-C that ends one answer."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.chat.conversation import ChatOptions, Conversation
from agents.chat.events import ChatAnswered, ChatStarted, Notice, PictureAdded, Piece, Silenced, drive
from agents.chat.repl import (
    COMMANDS,
    Ask,
    ChatEnded,
    ChatFailed,
    ChatListing,
    Do,
    Said,
    Undone,
    Written,
    converse,
    parse,
)
from core.errors import ImageError, StoreError, UsageError
from core.images.picture import Picture
from core.records import Chat as ChatRecord
from core.records import PictureInfo
from tests.agents.fakes import picture
from tests.agents.talking import PAGE, Parrot, collect


class World:
    """A fake outside: pictures by the name of their colour, files in a dictionary."""

    def __init__(self) -> None:
        self.files: dict[str, Any] = {}

    def open(self, path: str) -> Picture:
        if path == "nope.png":
            raise ImageError("'nope.png' does not exist; check the path.")
        return picture(Path(path).stem)

    def save(self, path: str, record: ChatRecord) -> Path:
        self.files[path] = record
        return Path(path)

    def write_page(self, html: str, picture: PictureInfo) -> Path:
        self.files["page.html"] = html
        return Path("page.html")


def talk(lines: Iterable[str | Said], world: World | None = None, **options: Any) -> list[Any]:
    chat = Conversation(Parrot(), [picture("red")], ChatOptions(temperature=0, seed=1))
    return list(converse(chat, lines, world or World(), **options))


def answers(events: list[Any]) -> list[str]:
    return [event.turn.answer for event in collect(iter(events), ChatAnswered)]


# --- reading a line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("What is it?", Ask("What is it?")),
        ("  two\nlines  ", Ask("two\nlines")),
        ("//etc is a path", Ask("/etc is a path")),
        ("/image my photo.png", Do("image", "my photo.png")),
        ("/IMAGE a.png", Do("image", "a.png")),
        ("/task poem in German", Do("task", "poem in German")),
        ("/exit", Do("quit")),
        ("/?", Do("help")),
        ("   ", None),
    ],
)
def test_lines_are_questions_or_commands(line: str, said: Said | None) -> None:
    assert parse(line) == said


def test_an_unknown_command_is_named_with_what_was_meant() -> None:
    with pytest.raises(UsageError, match=r"no command '/imgae': did you mean /image\?"):
        parse("/imgae x.png")
    with pytest.raises(UsageError, match="there is /image, /task") as caught:
        parse("/\x1b[31m")
    assert str(caught.value).isprintable()


@settings(deadline=None)
@given(st.text())
def test_any_line_is_understood_or_refused_in_one_line(line: str) -> None:
    try:
        said = parse(line)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert said is None or isinstance(said, Ask) or said.command in COMMANDS


# --- a conversation -----------------------------------------------------------------------------------------------


def test_questions_pictures_and_the_end() -> None:
    events = talk(["What?", "/image blue.png", "", "And now?", "/quit", "never asked"])
    assert isinstance(events[0], ChatStarted) and isinstance(events[-1], ChatEnded)
    assert answers(events) == ["I see [red], and heard: What?", "I see [red; blue], and heard: And now?"]
    added = collect(iter(events), PictureAdded)[0]
    assert (added.number, added.picture.source) == (2, "blue.png")
    assert events[-1].record.turns[1].pictures[0].source == "blue.png"


def test_mistakes_end_nothing() -> None:
    wrong = ["/retry", "/undo", "/image", "/image nope.png", "/save", "/save x.txt", "/task moon", "/nonsense", "fail"]
    events = talk([*wrong, "What?"])
    assert len(collect(iter(events), ChatFailed)) == len(wrong)
    assert answers(events) == ["I see [red], and heard: What?"]


def test_retry_undo_help_and_the_list_of_tasks() -> None:
    events = talk(["What?", "/retry", "/undo", "/help", "/task"])
    assert len(answers(events)) == 2 and len(events[-1].record.turns) == 0
    assert len(collect(iter(events), Undone)) == 1
    commands, tasks = collect(iter(events), ChatListing)
    assert [name.split()[0] for name, _ in commands.rows] == [f"/{name}" for name in COMMANDS]
    assert ("poem", "a poem about the picture") in tasks.rows


def test_a_task_with_words_of_ones_own() -> None:
    events = talk(["/task poem in German"])
    turn = collect(iter(events), ChatAnswered)[0].turn
    assert turn.task == "poem" and turn.question.startswith("Write a poem") and turn.question.endswith("in German")


def test_a_web_page_is_written_and_an_answer_without_one_says_so() -> None:
    world = World()
    events = talk([Do("task", "webpage")], world)
    assert world.files["page.html"] == PAGE + "\n"
    assert collect(iter(events), Written)[0].path == Path("page.html")

    class Talker(Parrot):
        def _pieces(self, question: Any) -> Any:
            yield "I see two boxes."

    world = World()
    chat = Conversation(Talker(), [picture("red")], ChatOptions(temperature=0))
    events = list(converse(chat, [Do("task", "webpage")], world))
    assert world.files == {} and "no HTML" in str(collect(iter(events), ChatFailed)[0].error)
    assert "/retry" in str(collect(iter(events), ChatFailed)[0].error)
    assert len(events[-1].record.turns) == 1, "the answer itself is kept"


def test_a_page_that_breaks_off_is_written_with_a_word_about_it() -> None:
    class Cut(Parrot):
        def _pieces(self, question: Any) -> Any:
            yield "```html\n<html><body><h1>Sh"

    world = World()
    events = list(converse(Conversation(Cut(), [picture("red")]), [Do("task", "webpage")], world))
    assert "not whole" in collect(iter(events), Notice)[0].text and world.files["page.html"].startswith("<html>")


def test_save_hands_over_the_conversation_so_far() -> None:
    world = World()
    talk(["One?", "/save a.json", "Two?", '/save "b c.txt"'], world)
    assert len(world.files["a.json"].turns) == 1 and len(world.files["b c.txt"].turns) == 2


def test_a_store_that_fails_is_told_once() -> None:
    def save(record: ChatRecord) -> str:
        raise StoreError("the disk is full.")

    chat = Conversation(Parrot(), [picture("red")], ChatOptions(temperature=0), save=save)
    events = list(converse(chat, ["One?", "Two?"], World()))
    told = [event.text for event in collect(iter(events), Notice)]
    assert told == ["this conversation is not saved: the disk is full."]
    assert events[-1].id is None and "full" in str(events[-1].save_error)


# --- Ctrl-C -------------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_the_answer_and_a_conversation_goes_on() -> None:
    events = talk(["stop now", "silent stop", "What?"])
    assert answers(events) == ["I see [red],", "I see [red; ], and heard: What?"]
    assert len(collect(iter(events), Silenced)) == 1 and not events[-1].interrupted


def test_ctrl_c_ends_a_list_of_questions() -> None:
    events = talk([Ask("stop now"), Ask("What?")], goes_on=False)
    assert answers(events) == ["I see [red],"] and events[-1].interrupted


@pytest.mark.parametrize("kind", [Piece, ChatAnswered, ChatStarted, ChatEnded])
def test_ctrl_c_while_something_is_shown_loses_nothing(kind: type) -> None:
    chat = Conversation(Parrot(), [picture("red")], ChatOptions(temperature=0))
    shown: list[Any] = []
    pressed: list[bool] = []

    def show(event: Any) -> None:
        shown.append(event)
        if isinstance(event, kind) and not pressed:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)

    events = converse(chat, ["What?", "And?"], World())
    if kind in (ChatStarted, ChatEnded):
        with pytest.raises(KeyboardInterrupt):
            drive(events, show)
        return
    last = drive(events, show)
    assert isinstance(last, ChatEnded) and len(last.record.turns) == 2
    assert last.record.turns[1].answer.endswith("heard: And?")
    assert last.record.turns[0].status == ("stopped" if kind is Piece else "complete")
