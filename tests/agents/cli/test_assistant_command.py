"""`inquisight ask` as a user runs it: with a model that calls tools, with an interview, with the eye alone."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agents.assistant.events import Begun, Called, Concluded, Overheard, Returned, Said, Thinking
from agents.assistant.run import assist
from agents.assistant.tools import AssistantTools
from agents.chat.events import Notice, Piece, drive
from agents.cli.render.assistant import AssistantPrinter, JsonAssistantPrinter
from agents.cli.render.output import PlainOutput, TerminalOutput
from core.records import Chat, ChatTurn, TokenUsage, ToolCall
from tests.agents.fakes import CountingVision, picture
from tests.agents.talking import Parrot, Talk, ToolCaller


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Talk:
    talk = Talk(tmp_path_factory.mktemp("ask"))
    talk.picture("red.png")
    talk.picture("blue.png", "blue")
    return talk


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_tool_call_and_the_answer_are_shown(talk: Talk) -> None:
    done = talk.run("ask", "What is wrong?", "red.png", "--questioner", "caller", "--vision", "blocks")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    shown = done.stdout.splitlines()
    assert shown[:2] == ["picture 1: red.png (40 x 30)", "caller thinks, blocks looks"]
    assert shown[3:5] == [
        "  1  ask_about_picture  picture 1: What is it?",
        "     Seen by blocks in picture 1 (evidence, not an instruction): a red block",
    ]
    assert "I was told: Seen by blocks in picture 1" in done.stdout
    again = talk.run(*shown[-1].split("inquisight ")[1].split())
    assert again.returncode == 0 and "> What is wrong?" in again.stdout and "I was told: Seen" in again.stdout
    assert "1 turns, ask" in talk.run("history", "wrong").stdout


def test_json_lines_tell_what_happens_as_it_happens(talk: Talk) -> None:
    done = talk.run("ask", "What?", "red.png", "--questioner", "caller", "--vision", "blocks", "--json", "--seed", "2")
    events = lines(done.stdout)
    assert [event["event"] for event in events] == ["call", "result", "answer"]
    assert events[0]["tool"] == "ask_about_picture" and events[0]["arguments"]["picture"] == 1
    assert "a red block" in events[1]["result"] and events[1]["failed"] is False
    record = Chat.model_validate(events[2]["record"])
    assert record.id == events[2]["id"] and record.kind == "ask" and record.seed == 2
    assert record.turns[0].answer == events[2]["answer"]
    assert record.turns[0].usage is not None and record.turns[0].usage.calls == 2


def test_without_a_model_for_tools_an_interview_answers(talk: Talk) -> None:
    done = talk.run("ask", "What colour is it?", "red.png", "--vision", "blocks", "--questioner", "curt")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "inquisight: curt calls no tools, so it holds an interview\n"
    assert "  2 Q  What colour is it?\n    A  red\n" in done.stdout, "right after the opening question"
    assert "after the interview:" in done.stdout and done.stdout.rstrip().endswith("\nred")
    chosen = talk.run("ask", "What colour is it?", "red.png", "--mode", "interview", "--vision", "blocks")
    assert chosen.returncode == 0 and chosen.stderr == ""


def test_an_interview_for_each_picture(talk: Talk) -> None:
    options = ["--mode", "interview", "--vision", "blocks", "--questioner", "curt", "--json", "--rounds", "2"]
    done = talk.run("ask", "What colour is it?", "red.png", "blue.png", *options)
    events = lines(done.stdout)
    assert [event["event"] for event in events] == ["interview", "interview", "answer"]
    assert events[2]["answer"] == "Picture 1: red\nPicture 2: blue"
    assert events[0]["caption"]["dialogue"]["turns"][1]["asked_by"] == "person"


def test_the_eye_alone_answers_about_all_pictures(talk: Talk) -> None:
    done = talk.run("ask", "What differs?", "red.png", "blue.png", "--mode", "chat", "--seed", "1")
    assert done.returncode == 0, done.stderr
    assert "I see [red,blue]" in done.stdout and "heard: What differs?" in done.stdout
    [event] = lines(talk.run("ask", "What?", "red.png", "--mode", "chat", "--json").stdout)
    assert event["event"] == "answer" and "heard: What?" in event["answer"] and event["id"]


def test_ctrl_c_ends_it_and_keeps_what_was_found(talk: Talk) -> None:
    done = talk.run("ask", "What?", "red.png", "--questioner", "caller:stop", "--json")
    assert done.returncode == 130, done.stderr
    last = lines(done.stdout)[-1]
    assert last["event"] == "answer" and last["record"]["turns"][0]["status"] == "stopped"
    assert "Traceback" not in done.stderr


def test_ctrl_c_while_a_line_is_printed_leaves_whole_lines() -> None:
    class Pressed(io.StringIO):
        def write(self, text: str) -> int:
            done = super().write(text)
            if '"call"' in text:
                Parrot.interrupt()
            return done

    out = Pressed()
    model = ToolCaller(plan=[[("ask_about_picture", {"picture": 1, "question": "What is it?"})], "a duck"])
    last = drive(
        assist("What?", AssistantTools([picture("red")], CountingVision(), model), model),
        JsonAssistantPrinter(out).event,
    )
    assert isinstance(last, Concluded) and last.interrupted
    assert [event["event"] for event in lines(out.getvalue())] == ["call", "answer"]


@pytest.mark.slow
def test_the_answer_is_read_while_it_is_written_and_ctrl_c_keeps_that(talk: Talk) -> None:
    wire = subprocess.Popen(
        [sys.executable, "-u", str(Path(__file__).parents[2] / "servers" / "tool_wire.py")], stdout=subprocess.PIPE
    )
    assert wire.stdout is not None
    with wire:
        try:
            environment = {**talk.environment, "INQUISIGHT_API_KEY": "none"}
            environment["INQUISIGHT_BASE_URL"] = f"http://127.0.0.1:{int(wire.stdout.readline())}/v1"
            arguments = ["ask", "What is it?", "red.png", "--questioner", "openai:waits.cli", "--vision", "blocks"]
            command = [sys.executable, "-c", "from inquisight.__main__ import main; main()", *arguments]
            asking = subprocess.Popen(
                command, cwd=talk.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            with asking:
                assert asking.stdout is not None and asking.stderr is not None
                shown = ""
                while not shown.endswith("I heard:"):  # the server waits after these words
                    letter = asking.stdout.read(1)
                    assert letter, asking.stderr.read()
                    shown += letter
                asking.send_signal(signal.SIGINT)
                rest, errors = asking.communicate(timeout=60)
        finally:
            wire.kill()
    assert asking.returncode == 130 and "Traceback" not in errors, errors
    assert "  1  ask_about_picture  picture 1: What is it?\n" in shown and "(stopped)" in rest
    again = talk.run(*rest.splitlines()[-1].split("inquisight ")[1].split())
    assert "> What is it?\nI heard:\n(stopped)\n" in again.stdout and "a red block" in again.stderr


BAD: list[tuple[list[str], int, list[str]]] = [
    (["ask"], 2, ["QUESTION"]),
    (["ask", "What?"], 2, ["picture"]),
    (["ask", " ", "red.png"], 2, ["question is empty"]),
    (["ask", "red.png", "What?"], 2, ["'red.png' is a file", "question comes first"]),
    (["ask", "What?", "nope.png"], 2, ["nope.png", "does not exist"]),
    (["ask", "What?", "red.png", "--mode", "think"], 2, ["--mode", "think", "interview"]),
    (["ask", "What?", "red.png", "--mode", "agent"], 2, ["curt", "cannot call tools", "--mode interview or chat"]),
    (["ask", "What?", "red.png", "--steps", "0"], 2, ["--steps", "0"]),
    (["ask", "What?", "red.png", "--rounds", "0"], 2, ["rounds", "0"]),
    (["ask", "What?", "red.png", "--seed", "-1"], 2, ["seed", "-1"]),
    (["ask", "What?", "red.png", "--questioner", "nobody"], 3, ["nobody", "provider:model"]),
    (["ask", "What?", "red.png", "--vision", "parot"], 3, ["parot", "parrot"]),
    (["ask", "What?", "red.png", "--talk-vision", "starer"], 2, ["starer", "follows no instructions"]),
    (["ask", "What?", "red.png", "blue.png", "--mode", "chat", "--vision", "starer"], 2, ["starer", "one picture"]),
    (["ask", "fail", "red.png", "--mode", "chat"], 4, ["parrot has lost its voice"]),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_one_line_and_an_exit_code(talk: Talk, arguments: list[str], code: int, words: list[str]) -> None:
    done = talk.run(*arguments)
    assert done.returncode == code, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("inquisight: ") and all(word in line for word in words), line
    assert "Traceback" not in done.stderr


# --- how it looks -------------------------------------------------------------------------------------------------


def show(events: list[Any], width: int = 80) -> tuple[str, str]:
    """(in a terminal, in a pipe)"""
    drawn, piped = io.StringIO(), io.StringIO()
    console = Console(
        file=drawn, width=width, force_terminal=True, color_system=None, highlight=False, emoji=False, markup=False
    )
    for printer in (AssistantPrinter(TerminalOutput(drawn, console)), AssistantPrinter(PlainOutput(piped))):
        for event in events:
            printer.event(event)
        printer.close()
    return drawn.getvalue(), piped.getvalue()


def test_a_terminal_is_filled_and_not_overrun() -> None:
    long = {
        "picture": 1,
        "question": "Which of the many leaves of this plant look as if something had eaten them? " * 2,
    }
    model = ToolCaller(
        plan=[[("ask_about_picture", long)], [("describe_picture", {"picture": 1})], "It is fine. " * 20]
    )
    desk = AssistantTools([picture("red")], CountingVision(), model, rounds=2)
    events = list(assist("What is wrong?", desk, model))
    for width in (80, 40):
        drawn, _ = show(events, width)
        assert max(map(len, drawn.split("\n"))) <= width
    drawn, piped = show(events)
    for text in (drawn, piped):
        assert "ask_about_picture" in text and "What colour is it?" in text


def test_what_the_model_says_stands_apart_from_what_the_tools_bring() -> None:
    call = ToolCall(tool="ask_about_picture", arguments={"picture": 1}, result="a plant")
    told = [Thinking(), *map(Piece, ("Let ", "me ", "look.")), Said("Let me look.")]
    told += [Called(1, "ask_about_picture", {"picture": 1}), Returned(1, call), Notice("something left out")]
    told += [Thinking(), *map(Piece, ("It ", "is ", "a ", "plant.")), Concluded("It is a plant.", Chat())]
    for text in show(told):
        lines = [line.rstrip() for line in text.split("\n") if "left out" not in line]
        assert lines == ["Let me look.", "  1  ask_about_picture  picture 1", "     a plant", "", "It is a plant.", ""]


def test_a_terminal_is_told_what_it_took() -> None:
    usage = TokenUsage(calls=3, failed=1, input_tokens=1234, output_tokens=56, guessed=2)
    drawn, piped = show([Concluded("red", Chat(turns=(ChatTurn(question="What?", answer="red", usage=usage),)))])
    assert "3 calls of the language model (1 failed), about 1,234 tokens read and 56 written" in drawn
    assert piped == "\nred\n", "the answer is the last line for scripts"


def test_an_interview_has_its_answer_in_a_box() -> None:
    drawn, piped = show([Concluded("red", Chat())])
    assert "╭─ answer" in drawn and piped == "\nred\n"


def test_nothing_from_outside_steers_the_terminal() -> None:
    nasty = "\x1b[2Ja\x07\u202e[bold]x[/bold]"
    call = ToolCall(tool=nasty, arguments={"question": nasty}, result=nasty)
    events = [
        Begun((picture("red").info(),), {"name": nasty}, {"name": nasty}),
        Said(nasty),
        Called(1, "ask", {"question": nasty}),
        Overheard(nasty, nasty),
        Returned(1, call),
        Concluded(nasty, Chat()),
    ]
    for text in show(events):
        assert "\x1b[2J" not in text and "\x07" not in text and "\u202e" not in text and "[bold]" in text
