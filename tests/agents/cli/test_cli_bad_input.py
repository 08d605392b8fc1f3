"""Whatever a user gets wrong: an exit code, one line that names it, and no traceback."""

from __future__ import annotations

import pytest

from agents.interview.prompts import DEFAULT_FILE
from tests.agents.plugin_on_disk import Shell


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    folder = tmp_path_factory.mktemp("bad_input")
    shell = Shell(folder)
    shell.picture("red.png")
    shell.picture("red.jpg")
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("this is no picture", "utf-8")
    (folder / "bare").mkdir()
    (folder / "corrupt.sqlite").write_bytes(b"this is no database" * 100)
    (folder / "typo.toml").write_text(DEFAULT_FILE.read_text("utf-8").replace("opening =", "openning ="), "utf-8")
    shell.picture("kept.png")
    (folder / "kept.txt").write_text("mine", "utf-8")
    shell.picture("blocked.png")
    (folder / "blocked.txt").mkdir()
    return shell


TABLE: list[tuple[list[str], int, list[str], dict[str, str]]] = [
    # arguments, exit code, words of the line, environment
    (["caption"], 2, ["picture"], {}),
    (["caption", "nope.png"], 2, ["nope.png", "does not exist"], {}),
    (["caption", "empty.png"], 2, ["empty.png", "empty"], {}),
    (["caption", "text.png"], 2, ["text.png"], {}),
    (["caption", "bare"], 2, ["bare", "no pictures"], {}),
    (["caption", "https://example.org/cat.png"], 2, ["web address"], {}),
    (["caption", "-"], 2, ["standard input"], {}),
    (["caption", "bad\x1b[31mname\n.png"], 2, [r"\x1b[31mname\n.png"], {}),
    (["caption", "red.png", "--rounds", "0"], 2, ["rounds", "0"], {}),
    (["caption", "red.png", "--rounds", "many"], 2, ["--rounds", "many"], {}),
    (["caption", "red.png", "--history", "-2"], 2, ["history", "-2"], {}),
    (["caption", "red.png", "--seed", "-1"], 2, ["seed", "-1"], {}),
    (["caption", "red.png", "--vision", "block"], 3, ["'block'", "did you mean", "'blocks'"], {}),
    (["caption", "red.png", "--vision", "blocks:"], 2, ["blocks:"], {}),
    (["caption", "red.png", "--vision", ""], 3, ["vision", "blocks"], {}),
    (["caption", "red.png", "--vision", "blocks:bug"], 4, ["blocks:bug", "a bug with"], {}),
    (["caption", "red.png", "--questioner", "nobody"], 3, ["'nobody'", "provider:model"], {}),
    (["caption", "red.png", "--questioner", "openai:gpt-4o-mini"], 2, ["OPENAI_API_KEY"], {"OPENAI_API_KEY": ""}),
    (["caption", "red.png", "--questioner", "broken"], 5, ["broken", "cannot be reached", "kept as"], {}),
    (["caption", "red.png", "--prompts", "nope.toml"], 2, ["nope.toml"], {}),
    (["caption", "red.png", "--prompts", "typo.toml"], 2, ["typo.toml", "openning", "did you mean"], {}),
    (["caption", "red.png", "--language", ""], 2, ["language"], {}),
    (["caption", "red.png", "--json", "--quiet"], 2, ["--json", "--quiet"], {}),
    (["caption", "red.png", "--overwrite"], 2, ["--save-beside"], {}),
    (["caption", "-", "--save-beside"], 2, ["standard input"], {}),
    (["caption", "red.png", "red.jpg", "--save-beside"], 2, ["red.txt", "share"], {}),
    (["caption", "kept.png", "--save-beside"], 2, ["kept.txt", "--overwrite"], {}),
    (["caption", "blocked.png", "--save-beside"], 2, ["blocked.txt", "folder"], {}),
    (["caption", "--resume", "abc123"], 6, ["abc123", "inquisight history"], {}),
    (["caption", "--resume", "not-an-id"], 6, ["not-an-id"], {}),
    (["caption", "--no-such-option"], 2, ["--no-such-option"], {}),
    (["no-such-command"], 2, ["no-such-command"], {}),
    (["show"], 2, ["ID"], {}),
    (["show", "abc123"], 6, ["abc123"], {}),
    (["history", "--limit", "ten"], 2, ["--limit", "ten"], {}),
    (["history", "--limit", "0"], 2, ["limit", "0"], {}),
    (["history"], 6, ["corrupt.sqlite"], {"INQUISIGHT_DATABASE": "sqlite:///corrupt.sqlite"}),
    (["history"], 6, ["postgresql"], {"INQUISIGHT_DATABASE": "postgresql://me:secret@host/db"}),
    (["history"], 6, ["red.png"], {"INQUISIGHT_HOME": "red.png/home"}),
    (["caption", "red.png"], 2, ["INQUISIGHT_ROUNDS", "zero"], {"INQUISIGHT_ROUNDS": "zero"}),
    (["caption", "red.png"], 3, ["nowhere"], {"INQUISIGHT_VISION": "nowhere"}),
    (["plugins"], 3, ["nonesuch"], {"INQUISIGHT_LOAD_PLUGINS": "nonesuch", "INQUISIGHT_STRICT_PLUGINS": "1"}),
    (["blocks-crash"], 70, ["ZeroDivisionError", "INQUISIGHT_DEBUG=1"], {}),
]


@pytest.mark.parametrize(("arguments", "code", "words", "environment"), TABLE, ids=[" ".join(row[0]) for row in TABLE])
def test_one_line_and_an_exit_code(
    shell: Shell, arguments: list[str], code: int, words: list[str], environment: dict[str, str]
) -> None:
    done = shell.run(*arguments, environment=environment)
    assert done.returncode == code, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("inquisight: ")
    for word in words:
        assert word.casefold() in lines[0].casefold()
    assert "Traceback" not in done.stdout + done.stderr
    assert "secret" not in done.stdout + done.stderr
    if "broken" not in arguments:
        assert not done.stdout.strip(), "nothing that looks like a result"


def test_an_existing_file_beside_the_picture_is_left_alone(shell: Shell) -> None:
    shell.run("caption", "kept.png", "--save-beside")
    assert (shell.folder / "kept.txt").read_text("utf-8") == "mine"


def test_debug_shows_where_it_comes_from(shell: Shell) -> None:
    done = shell.run("blocks-crash", environment={"INQUISIGHT_DEBUG": "1"})
    assert done.returncode == 70
    assert "Traceback" in done.stderr and "blocks_plugin.py" in done.stderr


def test_the_module_command_says_its_errors_the_same_way(shell: Shell) -> None:
    done = shell.run("nope.png", module="agents.chatcaptioner")
    assert done.returncode == 2
    assert done.stderr == "inquisight: 'nope.png' does not exist; check the path.\n"
