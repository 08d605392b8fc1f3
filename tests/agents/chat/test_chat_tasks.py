"""The ready prompts: the built-in file holds what is promised, and a file of one's own is checked in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.chat.presets import DEFAULT_FILE, Tasks
from core.errors import UsageError

PROMISED = ["describe", "funny", "webpage", "advert", "real", "film", "plant", "poem", "recipe"]
FORMS = '[forms]\nshort = "Be brief."\nlong = "Go on."\n'
TASK = '[task.mood]\ntitle = "the mood"\nprompt = "Which mood is this?"\n'


def test_the_promised_tasks_are_there_and_only_one_writes_a_file() -> None:
    tasks = Tasks.load()
    assert list(tasks.task) == PROMISED
    assert [name for name, task in tasks.task.items() if task.writes] == ["webpage"]
    for name, task in tasks.task.items():
        assert task.question, f"{name} needs a question for eyes that follow no instructions"
        assert "\n" not in task.title and "  " not in task.prompt


def test_a_file_of_ones_own_replaces_it(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(FORMS + TASK, "utf-8")
    tasks = Tasks.load(mine)
    assert tasks.titles == {"mood": "the mood"} and tasks.forms.sentence("short") == "Be brief."
    assert tasks.sha256 != Tasks.load().sha256
    with pytest.raises(UsageError, match=r"no task 'moon': did you mean 'mood'\?"):
        tasks.get("moon")
    with pytest.raises(UsageError, match="there is mood"):
        tasks.get("\x1bzzz")


def test_the_built_in_file_is_a_start_for_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(DEFAULT_FILE.read_text("utf-8").replace("[task.poem]", "[task.verse]"), "utf-8")
    assert "verse" in Tasks.load(mine).task


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'forms' is missing"),
        (FORMS, "'task' is missing"),
        (FORMS + "[task]\n", "'task'"),
        (FORMS + "[task.mood]\ntitle = 'x'\n", "'task.mood.prompt' is missing"),
        (FORMS + TASK + 'promt = "?"\n', "'task.mood.promt' is not known; did you mean 'prompt'?"),
        (FORMS + TASK.replace("Which mood is this?", " "), "'task.mood.prompt'"),
        (FORMS + TASK + "max_new_tokens = 0\n", "'task.mood.max_new_tokens'"),
        (FORMS + TASK + 'writes = "pdf"\n', "'task.mood.writes'"),
        (FORMS + TASK.replace("mood]", '"two words"]'), "two words"),
        (FORMS.replace("short =", "shrot ="), "forms"),
        (FORMS + TASK + "[tasks.x]\n", "'tasks' is not known; did you mean 'task'?"),
        ("[forms", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(UsageError) as caught:
        Tasks.load(file)
    assert says in str(caught.value) and "mine.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'[forms]\nshort = "caf\xe9"\n')
    cases = {
        tmp_path / "none.toml": "does not exist",
        tmp_path: "cannot be read",
        tmp_path / "latin.toml": "not UTF-8",
        Path("a\0b"): "cannot be read",
    }
    for path, says in cases.items():
        with pytest.raises(UsageError, match=says) as caught:
            Tasks.load(path)
        assert str(caught.value).isprintable()
