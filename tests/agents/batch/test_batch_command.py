"""The command as a user runs it, in a process of its own; and with the eye that is shipped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from agents.batch.pipeline import InterviewTask, Outcome, PipelineConfig, interview_many
from agents.interview.driver import caption_picture
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from core.images.picture import open_picture
from core.registry import get_registry
from plugins.scripted import ScriptedQuestioner
from tests.agents.batch.making import said
from tests.agents.plugin_on_disk import Shell

PHOTOS = Path(__file__).resolve().parents[3] / "examples" / "photos"
HAS_POCKET = (PHOTOS.parents[1] / "plugins" / "pocket" / "model" / "model.safetensors").is_file()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_batch_that_fails_in_part_and_is_mended(shell: Shell) -> None:
    shell.picture("a.png")
    shell.picture("b.png", "blue")
    shell.picture("c.png", "lime")
    (shell.folder / "list.txt").write_text("a.png\nnope.png\nb.png\nc.png\n")
    command = ("list.txt", "--out", "captions.jsonl", "--rounds", "6", "--questioner", "broken")
    first = shell.run(*command, module="agents.batch")
    assert first.returncode == 1, first.stderr
    assert "4 pictures: 0 captioned, 4 failed (see captions.failed.jsonl; --failed tries them again)" in first.stdout
    assert first.stderr == "" and "\x1b" not in first.stdout
    Path(shell.environment["MENDED"]).touch()
    second = shell.run(*command, "--failed", "--json", module="agents.batch")
    assert second.returncode == 1
    facts = json.loads(second.stdout)
    assert (facts["captioned"], facts["failed"]) == (3, 1)
    captions = [json.loads(line) for line in (shell.folder / "captions.jsonl").read_text().splitlines()]
    assert [line["summary"] for line in captions] == [
        f"The picture shows a {colour} block and {colour} and a {colour} block." for colour in ("red", "blue", "green")
    ]


def test_bad_input_is_one_line(shell: Shell) -> None:
    for arguments, words in (
        (["nowhere", "--out", "x.jsonl"], "'nowhere' does not exist"),
        (["."], "say where the captions go: --out"),
        ([".", "--out", "x.jsonl", "--limit", "many"], "'many' is not a whole number"),
        ([".", "--out", "x.jsonl", "--price-in", "much"], "'much' is not a number"),
    ):
        done = shell.run(*arguments, module="agents.batch")
        assert done.returncode == 2 and done.stdout == "", arguments
        assert words in done.stderr and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_help_loads_no_model_library(shell: Shell) -> None:
    code = (
        "import sys\nfrom agents.cli.main import run\ncode = run(['batch', '--help'])\n"
        "heavy = ('torch', 'transformers', 'langchain', 'langchain_core', 'sqlalchemy', 'PIL', 'pyarrow', 'sqlite3')\n"
        "print([code, [name for name in heavy if name in sys.modules]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=shell.environment,
        cwd=shell.folder,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[0, []]"
    for option in ("--out", "--dry-run", "--failed", "--shard", "--requests-per-second"):
        assert option in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not HAS_POCKET, reason="the embedded model has not been built")
@pytest.mark.parametrize("seed", [None, 4])
def test_the_shipped_eye_says_in_a_batch_what_it_says_alone(tmp_path: Path, seed: int | None) -> None:
    vision = get_registry().create_vision("pocket")
    options = InterviewOptions(rounds=4)
    some = [open_picture(path) for path in sorted(PHOTOS.glob("*.jpg"))]
    for path in sorted(PHOTOS.glob("*.jpg")):  # more pictures, of other sizes
        with Image.open(path) as photo:
            photo.resize((150, 90)).rotate(15).save(tmp_path / "other.png")
        some.append(open_picture(tmp_path / "other.png"))
    tasks = [InterviewTask(number, picture) for number, picture in enumerate(some)]
    how = PipelineConfig(options, Prompts.load(), seed, batch=3, concurrency=4)
    for outcome in interview_many(tasks, vision, ScriptedQuestioner(), how):
        assert isinstance(outcome, Outcome)
        alone = caption_picture(tasks[outcome.tag].picture, vision, ScriptedQuestioner(), options, seed=seed)
        assert said(outcome.caption) == said(alone) and outcome.caption.summary == alone.summary
        assert (outcome.caption.plain, outcome.caption.opening) == (alone.plain, alone.opening)
    vision.close()
