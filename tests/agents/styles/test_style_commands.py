"""Styles through the command line and batches: shown, stored, resumed, and never asked for twice."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from agents.interview.prompts import DEFAULT_FILE, Prompts
from agents.interview.restyle import restyle
from agents.llm.questioners import load_questioner
from agents.styles.options import StyleOptions
from core.errors import UsageError
from core.records import Caption
from tests.agents.batch.making import HashedEye, batch, lines, make_pictures, register
from tests.agents.plugin_on_disk import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def encodes(shell: Shell) -> int:
    log = Path(shell.environment["ENCODES"])
    return len(log.read_text("utf-8").splitlines()) if log.exists() else 0


def test_a_second_run_with_other_styles_asks_no_vision_model(shell: Shell) -> None:
    name = shell.picture()
    first = shell.run("caption", name, "--style", "alt,tags", "--seed", "1", "--questioner", "scripted")
    assert first.returncode == 0 and encodes(shell) == 1, first.stderr
    assert "alt:" in first.stdout and "tags:" in first.stdout
    second = shell.run("caption", name, "--style", "prompt", "--trigger", "ohwx", "--seed", "1", "--json",
                       "--questioner", "scripted")  # fmt: skip
    caption = Caption.from_json(second.stdout)
    assert encodes(shell) == 1 and "only its styles are written" in second.stderr
    assert [one.style for one in caption.styles] == ["prompt", "alt", "tags"], "earlier texts stay"
    assert caption.chosen.startswith("ohwx, ")
    history = shell.run("history", "--json").stdout.splitlines()
    assert len(history) == 1, "it is one interview"
    shown = shell.run("show", json.loads(history[0])["id"])
    assert "ohwx, " in shown.stdout and "alt:" in shown.stdout
    quiet = shell.run("caption", name, "--style", "alt", "--seed", "1", "--quiet", "--questioner", "scripted")
    assert quiet.stdout.splitlines() == [next(one.text for one in caption.styles if one.style == "alt")]


def test_the_first_style_is_written_beside_the_picture(shell: Shell) -> None:
    name = shell.picture()
    shell.run("caption", name, "--style", "tags,alt", "--save-beside", "--questioner", "scripted")
    caption = Caption.from_json(
        shell.run("caption", name, "--style", "tags", "--json", "--questioner", "scripted").stdout
    )
    assert Path(shell.folder, name).with_suffix(".txt").read_text("utf-8").strip() == caption.styles[0].text


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--style", "poem"], "there is no style 'poem'"),
        (["--style", "alt", "--max-chars", "3"], "max-chars must be between 20"),
        (["--style", "alt", "--vocabulary", "nope.txt"], "--vocabulary 'nope.txt' cannot be read"),
        (["--style", "alt", "--suffix", "x"], "--suffix only means something together with --style prompt"),
    ],
)
def test_bad_options_get_one_line(shell: Shell, options: list[str], line: str) -> None:
    done = shell.run("caption", shell.picture(), *options)
    assert done.returncode == 2 and line in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_batch_has_a_field_per_style_and_adds_styles_without_the_vision_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eye = HashedEye()
    register(monkeypatch, eye)
    pictures = make_pictures(tmp_path / "in", 5)
    (pictures / "p009.png").write_bytes((pictures / "p000.png").read_bytes())
    out, table = tmp_path / "out" / "c.jsonl", tmp_path / "out" / "c.parquet"
    assert batch(pictures, out=out, style=("alt",)) == 0
    first, asked = lines(out), sum(eye.asked)
    assert all(len(row["style_alt"]) <= 125 and row["caption"] == row["style_alt"] for row in first)
    assert batch(pictures, out=out, more=(table,), style=("tags", "alt"), save_beside=True) == 0
    second = lines(out)
    assert sum(eye.asked) == asked, "no question more"
    assert [row["style_alt"] for row in second] == [row["style_alt"] for row in first]
    assert all(isinstance(row["style_tags"], list) and row["caption"] == ", ".join(row["style_tags"]) for row in second)
    assert second[-1]["style_tags"] == second[0]["style_tags"] and second[-1]["same_as"] == second[0]["key"]
    rows = pyarrow.parquet.read_table(table).to_pylist()
    assert [row["style_tags"] for row in rows] == [row["style_tags"] for row in second]
    assert (pictures / "p009.txt").read_text("utf-8").strip() == second[0]["caption"]
    assert batch(pictures, out=out) == 0 and lines(out)[0]["caption"] == second[0]["summary"]
    assert "style_alt" not in lines(out)[0]


def test_own_styles_of_a_prompts_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    text = DEFAULT_FILE.read_text("utf-8")
    mine.write_text(f'{text}\n[style.catalogue]\nrequest = "{{notes}} In one line."\nmax_chars = 40\n', "utf-8")
    prompts = Prompts.load(mine)
    assert prompts.styles["catalogue"].max_chars == 40 and "alt" in prompts.styles
    assert prompts.sha256 == Prompts.load().sha256, "styles change nothing in an interview"
    mine.write_text(text.partition("[style.alt]")[0], "utf-8")
    assert Prompts.load(mine).styles == Prompts.load().styles, "the tables may be left out"
    for body, line in (
        ('[style.x]\nrequest = "no"', "must contain {notes}"),
        ('[style.x]\nrequest = "{notes} {mood}"', "not known there"),
        ('[style.X]\nrequest = "{notes}"', "small letters"),
        ('[style.description]\nrequest = "{notes}"', "table 'summary'"),
        ('[style.x]\nrequest = "{notes}"\nform = "poem"', "'text' or 'tags'"),
        ('[style.x]\nrequest = "{notes}"\nmax_chars = 3', "number from 20"),
    ):
        mine.write_text(f"{text}\n{body}\n", "utf-8")
        with pytest.raises(UsageError, match=line):
            Prompts.load(mine)


def test_a_stored_caption_gets_styles_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, HashedEye())
    from inquisight import caption

    eye = HashedEye()
    make_pictures(tmp_path / "in", 1)
    done = caption(tmp_path / "in" / "p000.png", vision=eye, questioner="scripted", rounds=3)
    asked = sum(eye.asked)
    again = restyle(done, StyleOptions(("alt", "short")), Prompts.load(), load_questioner("scripted"))
    assert [one.style for one in again.styles] == ["alt", "short"] and sum(eye.asked) == asked
    assert again.created == done.created and again.run_key == done.run_key


def test_the_styles_of_a_video_are_written_from_its_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inquisight import caption

    make_pictures(tmp_path / "in", 1)
    done = caption(tmp_path / "in" / "p000.png", vision=HashedEye(), questioner="scripted", rounds=2)
    story = "At first there is a black dog on the grass. Then there is a white car."
    video = done.model_copy(update={"summary": story, "options": {**done.options, "video": {}}})
    styles = StyleOptions(("alt", "tags", "description"), max_chars=60)
    alt, tags, description = restyle(video, styles, Prompts.load(), load_questioner("scripted")).styles
    assert "black dog" in alt.text and "car" in alt.text and "first" not in alt.text
    assert {"dog", "car"} <= set(tags.tags) and description.text == "At first there is a black dog on the grass."
