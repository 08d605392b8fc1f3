"""`inquisight chat` as a user runs it: in a process of its own, in a pipe and in a terminal."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.records import Chat
from tests.agents.talking import PAGE, Talk


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Talk:
    talk = Talk(tmp_path_factory.mktemp("chat"))
    talk.picture("red.png")
    talk.picture("blue.png", "blue")
    return talk


def test_one_shot_questions_are_answered_in_order(talk: Talk) -> None:
    done = talk.run("red.png", "blue.png", "--ask", "What?", "--ask", "Why?", "--seed", "1", module="agents.chat")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    first, second = done.stdout.index("> What?"), done.stdout.index("> Why?")
    assert first < done.stdout.index("I see [red,blue], by seed") < second < done.stdout.index("heard: Why?")
    shown = talk.run(*done.stdout.strip().splitlines()[-1].split("inquisight ")[1].split())
    assert shown.stdout == done.stdout, "what was kept is what was shown"
    assert "2 turns, chat" in talk.run("history", "Why").stdout


def test_both_names_of_the_command_do_the_same_with_a_seed(talk: Talk) -> None:
    one = talk.run("chat", "red.png", "--ask", "What?", "--seed", "3", "--json")
    two = talk.run("red.png", "--ask", "What?", "--seed", "3", "--json", module="agents.chat")
    answers = [Chat.from_json(done.stdout).turns[0].answer for done in (one, two)]
    assert answers[0] == answers[1]
    assert one.stderr == two.stderr == ""


def test_options_reach_the_eye(talk: Talk) -> None:
    options = ["--temperature", "0", "--max-new-tokens", "9", "--short", "--json"]
    record = Chat.from_json(talk.run("chat", "red.png", "--ask", "What?", *options).stdout)
    turn = record.turns[0]
    assert turn.options["temperature"] == 0 and turn.options["max_new_tokens"] == 9
    assert turn.answer.startswith("I see [red], and heard: What? Keep it")
    assert record.options["form"] == "short"


def test_a_web_page_is_written_where_it_is_wanted_and_never_over_another(talk: Talk) -> None:
    done = talk.run("chat", "red.png", "--task", "webpage", "--out", "page.html")
    assert done.returncode == 0 and "the web page is in page.html" in done.stderr
    assert (talk.folder / "page.html").read_text("utf-8") == PAGE + "\n"
    again = talk.run("chat", "red.png", "--task", "webpage", "--out", "page.html")
    assert again.returncode == 2 and "page.html" in again.stderr and again.stdout == ""
    for name in ("red.html", "red-2.html"):
        assert f"in {name}" in talk.run("chat", "red.png", "--task", "webpage").stderr
        assert (talk.folder / name).read_text("utf-8") == PAGE + "\n"


def test_an_answer_without_a_page_is_said_and_counted(talk: Talk) -> None:
    done = talk.run("chat", "red.png", "--task", "webpage", "--vision", "starer")
    assert done.returncode == 2 and "holds no HTML" in done.stderr
    assert "/retry" not in done.stderr and "another vision model may do better" in done.stderr
    assert not list(talk.folder.glob("*starer*"))


def test_an_eye_that_follows_no_instructions_answers_and_says_so(talk: Talk) -> None:
    done = talk.run("chat", "red.png", "--task", "poem", "--vision", "starer")
    assert done.returncode == 0
    assert "follows no instructions" in done.stdout and "> What is the mood of this picture?" in done.stdout


def test_lines_from_a_pipe(talk: Talk) -> None:
    script = b"What?\n/image blue.png\ntwo \\\nlines\n/nonsense\n/save talk.txt\n/save talk.json\n"
    done = talk.run("chat", "red.png", "--temperature", "0", stdin=script)
    assert done.returncode == 2 and done.stderr.startswith("inquisight: there is no command '/nonsense'")
    assert "> two \n> lines\nI see [red; blue], and heard: two\nlines\n" in done.stdout
    record = Chat.from_json((talk.folder / "talk.json").read_bytes())
    assert [turn.question for turn in record.turns] == ["What?", "two \nlines"]
    assert "I see [red; blue]" in (talk.folder / "talk.txt").read_text("utf-8")


def test_a_picture_from_standard_input(talk: Talk) -> None:
    data = (talk.folder / "red.png").read_bytes()
    done = talk.run("chat", "-", "--ask", "What?", "--temperature", "0", stdin=data)
    assert done.returncode == 0 and "heard: What?" in done.stdout, done.stderr


def test_ctrl_c_ends_a_list_of_questions_and_keeps_what_was_said(talk: Talk) -> None:
    done = talk.run("chat", "red.png", "--ask", "stop now", "--ask", "What?", "--json", "--temperature", "0")
    assert done.returncode == 130
    record = Chat.from_json(done.stdout)
    assert [(turn.answer, turn.status) for turn in record.turns] == [("I see [red],", "stopped")]
    assert "stop now" in talk.run("show", record.id).stdout


def test_tasks_are_listed_and_replaced(talk: Talk) -> None:
    listed = talk.run("tasks").stdout
    assert "poem\ta poem about the picture" in listed and talk.run("chat", "--list-tasks").stdout == listed
    mine = talk.folder / "mine.toml"
    mine.write_text(talk.run("tasks", "--print").stdout.replace("[task.poem]", "[task.verse]"), "utf-8")
    done = talk.run("chat", "red.png", "--tasks", "mine.toml", "--task", "verse", "--temperature", "0")
    assert done.returncode == 0 and "heard: Write a poem" in done.stdout
    assert "verse" in talk.run("chat", "--list-tasks", "--tasks", "mine.toml").stdout


@pytest.mark.parametrize("arguments", [["chat", "--help"], ["ask", "--help"], ["tasks"], ["chat", "--list-tasks"]])
def test_looking_around_loads_no_model_library(talk: Talk, arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom agents.cli.main import run\ncode = run({arguments!r})\n"
        "heavy = {'torch', 'transformers', 'langchain', 'langchain_core', 'prompt_toolkit', 'sqlalchemy', 'PIL'}\n"
        "sys.exit(code or sorted(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=talk.environment, cwd=talk.folder, check=False
    )
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.strip()


BAD: list[tuple[list[str], int, list[str]]] = [
    (["chat"], 2, ["name at least one picture"]),
    (["chat", "nope.png", "--ask", "x"], 2, ["nope.png", "does not exist"]),
    (["chat", "red.png", "--ask", " "], 2, ["--ask is empty"]),
    (["chat", "red.png", "--task", "peom"], 2, ["'peom'", "did you mean 'poem'"]),
    (["chat", "red.png", "--ask", "x", "--vision", "parot"], 3, ["'parot'", "did you mean", "'parrot'"]),
    (["chat", "red.png", "blue.png", "--ask", "x", "--vision", "starer"], 2, ["starer", "one picture", "not 2"]),
    (["chat", *["red.png"] * 5, "--ask", "x"], 2, ["parrot", "at most 4", "not 5"]),
    (["chat", "red.png", "--ask", "x", "--temperature", "warm"], 2, ["--temperature", "warm"]),
    (["chat", "red.png", "--ask", "x", "--temperature", "-1"], 2, ["temperature", "-1"]),
    (["chat", "red.png", "--ask", "x", "--seed", "-1"], 2, ["seed", "-1"]),
    (["chat", "red.png", "--ask", "x", "--max-new-tokens", "0"], 2, ["max-new-tokens", "0"]),
    (["chat", "red.png", "--ask", "x", "--short", "--long"], 2, ["--short", "--long"]),
    (["chat", "red.png", "--ask", "x", "--out", "a.html"], 2, ["--out", "webpage"]),
    (["chat", "red.png", "--task", "webpage", "--out", "red.png"], 2, ["red.png", "exists already"]),
    (["chat", "red.png", "--tasks", "nope.toml", "--ask", "x"], 2, ["nope.toml", "does not exist"]),
    (["chat", "-"], 2, ["standard input", "--ask"]),
    (["chat", "red.png", "--ask", "fail"], 4, ["parrot has lost its voice"]),
    (["chat", "red.png", "--ask", "crash"], 4, ["ZeroDivisionError"]),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_one_line_and_an_exit_code(talk: Talk, arguments: list[str], code: int, words: list[str]) -> None:
    done = talk.run(*arguments)
    assert done.returncode == code, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("inquisight: ") and all(word in line for word in words), line
    assert "Traceback" not in done.stderr


# --- in a terminal ------------------------------------------------------------------------------------------------


class Terminal:
    """The command in a pseudo-terminal of 80 columns: types, and waits for what has to appear."""

    def __init__(self, outer: int, process: subprocess.Popen[bytes]) -> None:
        self.outer, self.process = outer, process
        self.seen = ""  # everything, without the escapes that move the cursor or colour
        self._raw = b""
        self._read = 0  # of `seen`, by `wait`

    def type(self, keys: str) -> None:
        os.write(self.outer, keys.encode())

    def say(self, keys: str) -> None:
        """Type at the next prompt; before it is there, keys belong to the terminal and not to the editor."""
        self.wait("> ")
        self.type(keys)

    def wait(self, text: str, seconds: float = 120) -> str:
        """What appeared up to `text`, from where the last wait ended."""
        end = time.monotonic() + seconds
        while text not in self.seen[self._read :]:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not appear in {self.seen[self._read :]!r}"
            if select.select([self.outer], [], [], min(left, 0.5))[0]:
                try:
                    self._raw += os.read(self.outer, 65536)
                except OSError:
                    assert text in self.seen[self._read :], f"{text!r} did not appear in {self.seen!r}"
                self._answer_queries()
                plain = re.sub(
                    r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>])", "", self._raw.decode("utf-8", "replace")
                )
                self.seen = plain.replace("\r", "")
        start, self._read = self._read, self.seen.index(text, self._read) + len(text)
        return self.seen[start : self._read]

    def _answer_queries(self) -> None:
        """A terminal says where its cursor is when it is asked; without an answer a program waits a while."""
        if self._raw.endswith(b"\x1b[6n"):
            os.write(self.outer, b"\x1b[1;1R")


@contextmanager
def terminal(talk: Talk, *arguments: str) -> Iterator[Terminal]:
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    import fcntl
    import struct
    import termios

    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C reaches it

    environment = {key: value for key, value in talk.environment.items() if key not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.chat", *arguments],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=talk.folder,
        env=environment | {"TERM": "xterm-256color"},
        preexec_fn=own_terminal,
    )
    os.close(inner)
    try:
        yield Terminal(outer, process)
    finally:
        process.kill()
        process.wait()
        os.close(outer)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_conversation_in_a_terminal(talk: Talk) -> None:
    with terminal(talk, "red.png", "--temperature", "0", "--seed", "1") as screen:
        head = screen.wait("Ctrl-D leaves.")
        assert "red.png (40 x 30)" in head and "parrot looks" in head
        screen.say("What is it?\r")
        screen.wait("I see [red], and heard: What is it?")
        screen.say("one\x1b\rtwo\r")  # Alt-Enter
        screen.wait("and heard: one\ntwo")
        screen.say("/image blue.png\r")
        screen.wait("picture 2: blue.png (40 x 30)")
        screen.say("never sent")
        screen.wait("never sent")
        screen.type("\x03")  # Ctrl-C empties the line
        screen.say("stop now\r")  # and this question is interrupted while it is answered
        screen.wait("I see [red; ; blue],")
        screen.wait("(stopped)")
        screen.say("/undo\r")
        screen.wait("(taken back: stop now)")
        screen.say("/retry\r")
        screen.wait("> one")
        screen.wait("by seed")
        screen.say("/imgae\r")
        screen.wait("did you mean /image?")
        screen.say("\x1b[A" * 6 + "\r")  # six lines back
        screen.wait("and heard: one\ntwo")
        screen.say("\x04")
        screen.wait("inquisight show ")
        assert screen.process.wait(timeout=60) == 0
        assert "Traceback" not in screen.seen and "never sent" not in screen.seen.split("stop now")[-1]
    history = Path(talk.environment["INQUISIGHT_HOME"]) / "chat_history"
    assert "What is it?" in history.read_text("utf-8") and history.stat().st_mode & 0o077 == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_real_ctrl_c_stops_an_answer_and_not_the_chat(talk: Talk) -> None:
    with terminal(talk, "red.png", "--temperature", "0") as screen:
        screen.wait("Ctrl-D leaves.")
        screen.say("wait here\r")
        screen.wait("I am waiting")
        screen.type("\x03")
        screen.wait("(stopped)")
        screen.say("What?\r")
        screen.wait("and heard: What?")
        screen.say("/quit\r")
        screen.wait("inquisight show ")
        assert screen.process.wait(timeout=60) == 0
