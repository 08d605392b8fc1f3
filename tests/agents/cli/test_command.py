"""The command as a user runs it: in a process of its own, with a plugin's models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.records import Caption
from tests.agents.plugin_on_disk import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def encodes(shell: Shell) -> int:
    log = Path(shell.environment["ENCODES"])
    return len(log.read_text("utf-8").splitlines()) if log.exists() else 0


def test_the_dialogue_the_three_captions_and_where_the_transcript_lies(shell: Shell) -> None:
    done = shell.run(shell.picture(), module="agents.chatcaptioner")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    for text in (
        "red.png (40 x 30)",
        "Describe this picture in detail.",
        "What colour is it?",
        "i do not know.  [unsure",
    ):
        assert text in done.stdout
    for label in ("at a glance:", "asked for detail:", "after the interview:"):
        assert label in done.stdout
    assert "\x1b" not in done.stdout, "plain where it is piped"
    assert encodes(shell) == 1
    command = done.stdout.strip().splitlines()[-1].split("inquisight ")[1].split()
    shown = shell.run(*command)
    assert shown.returncode == 0
    assert "What colour is it?" in shown.stdout and "after the interview:" in shown.stdout


def test_both_names_of_the_command_do_the_same(shell: Shell) -> None:
    name = shell.picture()
    one = shell.run(name, "--quiet", "--seed", "3", module="agents.chatcaptioner")
    two = shell.run("caption", name, "--quiet", "--seed", "3")
    assert one.stdout == two.stdout != ""


def test_json_lines_and_nothing_else(shell: Shell) -> None:
    done = shell.run(
        "caption", shell.picture("a.png"), "nope.png", shell.picture("b.png", "blue"), "--json", "--rounds", "2"
    )
    assert done.returncode == 2
    captions = [Caption.from_json(line) for line in done.stdout.splitlines()]
    assert [caption.picture.source for caption in captions] == ["a.png", "b.png"], "one bad picture stops no other"
    assert done.stderr == "inquisight: 'nope.png' does not exist; check the path.\n"
    assert all(len(caption.dialogue.turns) == 2 for caption in captions)
    stored = shell.run("show", captions[0].id, "--json")
    assert Caption.from_json(stored.stdout) == captions[0]


def test_quiet_prints_the_description_of_each_picture(shell: Shell) -> None:
    folder = shell.folder / "photos" / "more"
    folder.mkdir(parents=True)
    shell.picture("photos/b.png", "blue")
    shell.picture("photos/more/c.jpg", "lime")
    (shell.folder / "photos" / "notes.txt").write_text("no picture", "utf-8")
    done = shell.run("caption", "photos", "--quiet", "--rounds", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["The picture shows a blue block.", "The picture shows a green block."]


def test_a_picture_from_standard_input(shell: Shell) -> None:
    data = (shell.folder / shell.picture()).read_bytes()
    done = shell.run("caption", "-", "--quiet", "--rounds", "1", stdin=data)
    assert (done.returncode, done.stdout) == (0, "The picture shows a red block.\n"), done.stderr


def test_the_description_beside_the_picture(shell: Shell) -> None:
    name = shell.picture("my photo.v2.png")
    done = shell.run("caption", name, "--save-beside", "--quiet", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    sidecar = shell.folder / "my photo.v2.txt"
    assert sidecar.read_text("utf-8") == done.stdout
    again = shell.run("caption", name, "--save-beside", "--quiet", "--rounds", "2", "--overwrite")
    assert again.returncode == 0, again.stderr
    assert sidecar.read_text("utf-8") == again.stdout != done.stdout
    assert sorted(path.name for path in shell.folder.glob("*.part")) == []


def test_a_failed_interview_is_kept_and_the_same_command_goes_on(shell: Shell) -> None:
    name = shell.picture()
    command = ["caption", name, "--questioner", "broken", "--save-beside"]
    failed = shell.run(*command)
    assert failed.returncode == 5
    assert failed.stderr.count("\n") == 1 and "cannot be reached" in failed.stderr and "3 answers" in failed.stderr
    assert not (shell.folder / "red.txt").exists(), "half an interview is no description"
    assert "failed" in shell.run("history").stdout

    Path(shell.environment["MENDED"]).touch()
    mended = shell.run(*command)
    assert mended.returncode == 0
    assert "going on after 3 answers" in mended.stderr
    whole = shell.run("caption", name, "--questioner", "broken", "--fresh", "--json")
    assert "going on" not in whole.stderr
    lines = shell.run("history").stdout.splitlines()
    assert len(lines) == 2 and not any("failed" in line for line in lines), "the finished one took the place"
    mended_id = lines[-1].split("\t")[0]
    mended_caption = Caption.from_json(shell.run("show", mended_id, "--json").stdout)
    whole_caption = Caption.from_json(whole.stdout)
    assert mended_caption.summary == whole_caption.summary
    assert [turn.question for turn in mended_caption.dialogue.turns] == [
        turn.question for turn in whole_caption.dialogue.turns
    ]


def test_ctrl_c_keeps_what_was_learned_and_resume_goes_on(shell: Shell) -> None:
    name = shell.picture()
    stopped = shell.run("caption", name, shell.picture("b.png", "blue"), "--questioner", "interrupted", "--rounds", "5")
    assert stopped.returncode == 130
    assert "stopped" in stopped.stderr and stopped.stderr.count("\n") == 1
    assert "b.png" not in stopped.stdout, "the others are not begun"
    identity, *_ = shell.run("history").stdout.split("\t")
    Path(shell.environment["MENDED"]).touch()
    resumed = shell.run("caption", "--resume", identity, "--json")
    assert resumed.returncode == 0, resumed.stderr
    caption = Caption.from_json(resumed.stdout)
    assert caption.status == "complete" and caption.options["rounds"] == 5
    assert caption.asked_by == {"opening": 1, "questioner": 3, "fallback": 1}, "the questioner has three questions"
    again = shell.run("caption", "--resume", caption.id)
    assert again.returncode == 2 and "complete" in again.stderr


def test_resume_wants_the_same_picture(shell: Shell) -> None:
    shell.run("caption", shell.picture(), "--questioner", "broken")
    identity, *_ = shell.run("history").stdout.split("\t")
    other = shell.run("caption", shell.picture("b.png", "blue"), "--resume", identity)
    assert other.returncode == 2 and "not the picture" in other.stderr
    assert other.stderr.count("\n") == 1


def test_several_failures_have_one_line_each(shell: Shell) -> None:
    names = [shell.picture("a.png"), shell.picture("b.png", "blue")]
    done = shell.run("caption", *names, "nope.png", "--questioner", "broken", "--quiet")
    assert done.returncode == 1, "failures of different kinds"
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in lines[:2]] == names
    assert len(lines) == 3 and "nope.png" in lines[2]


def test_own_prompts(shell: Shell) -> None:
    mine = shell.folder / "mine.toml"
    mine.write_text(
        shell.run("prompts").stdout.replace("Describe this picture in detail.", "Which colour is here?"), "utf-8"
    )
    done = shell.run("caption", shell.picture(), "--prompts", "mine.toml", "--rounds", "1", "--json")
    caption = Caption.from_json(done.stdout)
    assert caption.dialogue.turns[0].question == "Which colour is here?" and caption.opening == "red"


def test_history_is_recorded_and_options_come_from_the_environment(shell: Shell) -> None:
    done = shell.run(
        "caption",
        shell.picture(),
        "--json",
        environment={"INQUISIGHT_ROUNDS": "2", "INQUISIGHT_HISTORY": "-1", "INQUISIGHT_SEED": "9"},
    )
    caption = Caption.from_json(done.stdout)
    assert (caption.options["rounds"], caption.options["history"], caption.seed) == (2, -1, 9)


def test_history_finds_words(shell: Shell) -> None:
    shell.run("caption", shell.picture("a.png"), shell.picture("b.png", "blue"), "--quiet", "--rounds", "1")
    assert len(shell.run("history").stdout.splitlines()) == 2
    found = shell.run("history", "blue", "block").stdout.splitlines()
    assert len(found) == 1 and "b.png" in found[0]
    none = shell.run("history", "zebra")
    assert (none.returncode, none.stdout) == (0, "") and "zebra" in none.stderr


def test_plugins_are_listed_with_those_that_were_left_out(shell: Shell) -> None:
    site = Path(shell.environment["PYTHONPATH"].split(os.pathsep)[0])
    info = site / "crooked-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crooked\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[inquisight]\ncrooked = no_such_module_of_crooked\n", "utf-8")
    rows = [line.split("\t") for line in shell.run("plugins").stdout.splitlines()]
    assert ["vision backend", "blocks", "Names the main colour.", "blocks-for-tests", ""] in rows
    can = {row[1]: row[4] for row in rows if row[0] == "vision backend"}
    assert can["pocket"] == "streams, scores, 1 picture"
    assert can["minigpt4"] == "chats, streams, scores, 16 pictures, at any turn"
    [left_out] = [row for row in rows if row[:2] == ["left out", "crooked"]]
    assert "no_such_module_of_crooked" in left_out[2]
    assert shell.run("caption", shell.picture(), "--quiet").returncode == 0, "and harms nobody"


def test_a_plugin_adds_a_command(shell: Shell) -> None:
    assert shell.run("blocks-hello", "--loud").stdout == "HELLO\n"
    assert "blocks-hello" in shell.run("--help").stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_in_a_terminal_it_is_drawn(shell: Shell) -> None:
    import pty

    shell.picture()
    outer, inner = pty.openpty()
    environment = {key: value for key, value in shell.environment.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.chatcaptioner", "red.png"],
        stdin=subprocess.DEVNULL,
        stdout=inner,
        stderr=inner,
        cwd=shell.folder,
        env=environment | {"TERM": "xterm-256color", "COLUMNS": "90"},
    )
    os.close(inner)
    seen = b""
    while True:
        try:
            piece = os.read(outer, 65536)
        except OSError:  # the other end was closed
            break
        if not piece:
            break
        seen += piece
    os.close(outer)
    assert process.wait(timeout=60) == 0
    text = seen.decode("utf-8", "replace")
    assert "╭" in text and "what the picture shows" in text and "inquisight show" in text
    assert "[bold" not in text


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["caption", "--help"], ["plugins"], ["--version"]])
def test_looking_around_loads_no_model_library(shell: Shell, arguments: list[str]) -> None:
    code = (
        "import sys, json\nfrom agents.cli.main import run\n"
        f"code = run({arguments!r})\n"
        "heavy = ('torch', 'transformers', 'langchain', 'langchain_core', 'streamlit', 'sqlalchemy', 'PIL')\n"
        "print(json.dumps([code, [name for name in heavy if name in sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=shell.environment,
        cwd=shell.folder,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


@pytest.mark.skipif(sys.platform == "win32", reason="needs the processor time of child processes")
def test_help_costs_less_than_half_a_second(shell: Shell) -> None:
    """Processor time, the best of three: what a machine does besides is not ours."""
    import resource

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    times = []
    for _ in range(3):
        before = spent()
        assert shell.run("--help", module="agents.chatcaptioner").returncode == 0
        times.append(spent() - before)
    assert min(times) < 0.5
