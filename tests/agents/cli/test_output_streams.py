"""What goes into a pipe or a file is UTF-8, whatever the system's encoding; what cannot be written is an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.records import Caption
from tests.agents.plugin_on_disk import Shell

NAME = "Bäckerei \u65e5\u672c \U0001f600.png"
LOCALES = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "latin-1, strict": {"PYTHONIOENCODING": "latin-1:strict"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "iso": {"LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.picture(NAME)
    return made


def raw(shell: Shell, *arguments: str, module: str = "agents.cli", **environment: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=shell.folder,
        env=shell.environment | environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


COMMANDS = (
    ("caption", ".", "--json", "--rounds", "1"),
    ("caption", ".", "--rounds", "1"),
    ("chat", NAME, "--ask", "What colour is it?", "--json"),
    ("ask", "What colour is it?", NAME, "--mode", "chat", "--json"),
    ("batch", ".", "--out", "made.jsonl", "--rounds", "1"),
    ("history", "--json"),
    ("history",),
    ("caption", f"{NAME}.missing"),
)


@pytest.mark.parametrize("locale", LOCALES)
def test_every_command_writes_utf_8(shell: Shell, locale: str) -> None:
    shown = NAME if "PYTHONUTF8" not in LOCALES[locale] else None  # in a C locale arguments are bytes to Python
    some = COMMANDS if locale in ("cp1252", "C") else COMMANDS[3:6]  # all ways to print, in one locale of each kind
    for command in some:
        code, out, err = raw(shell, *command, **LOCALES[locale])
        assert code == (2 if "missing" in command[-1] else 0), (command, err)
        text = out.decode("utf-8") + err.decode("utf-8")
        assert "????" not in text and "\r" not in out.decode()
        if shown is not None and command[0] not in ("batch",):
            assert NAME in text or NAME[:14] in text, (command, text[:400])
    rows = (shell.folder / "made.jsonl").read_text("utf-8").splitlines()
    assert len(rows) == 1


def test_the_other_name_of_the_command(shell: Shell) -> None:
    code, out, _ = raw(shell, NAME, "--json", module="agents.chatcaptioner", PYTHONIOENCODING="cp1252")
    assert code == 0 and Caption.from_json(out.decode("utf-8")).picture.source == NAME


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
@pytest.mark.parametrize("locale", [None, *LOCALES])
def test_a_name_that_is_not_utf_8_comes_back_from_json(shell: Shell, locale: str | None) -> None:
    path = os.path.join(os.fsencode(shell.folder), b"caf\xe9.png")
    with open(path, "wb") as file:
        file.write((shell.folder / NAME).read_bytes())
    (shell.folder / NAME).unlink()
    code, out, err = raw(shell, "caption", ".", "--json", "--rounds", "1", **LOCALES.get(locale or "", {}))
    assert code == 0, err
    assert "caf" in json.loads(out.decode("utf-8"))["picture"]["source"]
    code, out, err = raw(shell, "batch", ".", "--out", "made.jsonl", "--rounds", "1")
    assert code == 0, err
    row = json.loads((shell.folder / "made.jsonl").read_text("utf-8"))
    assert os.fsencode(row["key"]).endswith(b"caf\xe9.png")


def test_a_terminal_that_lacks_a_character_gets_an_escape(shell: Shell) -> None:
    pty = pytest.importorskip("pty")
    main, side = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "agents.cli", "caption", NAME, "--json", "--rounds", "1"],
        cwd=shell.folder,
        env=shell.environment | {"PYTHONIOENCODING": "latin-1"},
        stdout=side,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    os.close(side)
    out = b""
    try:
        while part := os.read(main, 65536):
            out += part
    except OSError:  # the terminal is closed
        pass
    os.close(main)
    assert done.wait() == 0
    text = out.decode("latin-1")
    assert (
        "\\u65e5" in text
        and "\\ud83d\\ude00" in text
        and "B\u00e4ckerei" in text
        and "?" not in text.split("question")[0]
    )
    assert json.loads(text)["picture"]["source"] == NAME


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    "command", [("plugins",), ("--help",), ("caption", NAME, "--json"), ("caption", NAME), ("tasks", "--print")]
)
def test_standard_output_on_a_full_disk(shell: Shell, command: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "agents.cli", *command],
            cwd=shell.folder,
            env=shell.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 74
    assert done.stderr.decode() == "inquisight: standard output cannot be written: no space left on device\n"
    if command == ("caption", NAME, "--json"):
        kept = json.loads(raw(shell, "history", "--json")[1])
        assert kept["source"] == NAME and kept["status"] == "complete", "what was done is kept"


@pytest.mark.skipif(os.name != "posix", reason="pipes")
@pytest.mark.parametrize("command", [("plugins",), ("caption", NAME), ("caption", NAME, "--json")])
def test_a_reader_that_has_enough(shell: Shell, command: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "agents.cli", *command],
        cwd=shell.folder,
        env=shell.environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_the_linter_watches_the_encoding_of_files() -> None:
    settings = (Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8")
    assert '"PLW1514"' in settings and "explicit-preview-rules = true" in settings
