"""`inquisight video` as a user runs it: in a process of its own, with a plugin's eye that names main colours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("av", reason="videos are an optional part")

from core.records import Caption
from tests.agents.plugin_on_disk import Shell
from tests.agents.video.clips import film, tone

RED, BLUE = Image.new("RGB", (64, 48), (220, 20, 20)), Image.new("RGB", (64, 48), (20, 20, 220))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.environment["INQUISIGHT_QUESTIONER"] = "scripted"
    film(tmp_path / "clip.mp4", [RED] * 10 + [BLUE] * 10)
    return shell


def encodes(shell: Shell) -> int:
    log = Path(shell.environment["ENCODES"])
    return len(log.read_text("utf-8").splitlines()) if log.exists() else 0


def test_the_dialogue_the_story_and_the_files(shell: Shell) -> None:
    options = [
        "--timeline",
        "clip.vtt",
        "--timeline",
        "clip.srt",
        "--timeline",
        "clip.ffmetadata",
        "--sheet",
        "clip.png",
    ]
    done = shell.run("clip.mp4", "--rounds", "9", *options, module="agents.video")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "clip.mp4 (64 x 48, video of 0:02.0, 20 frames)" in done.stdout
    assert "Frame 8: Describe this picture in detail." in done.stdout and "a blue block" in done.stdout
    story = done.stdout.split("after the interview:")[1]
    assert "At first there is a red block. The block is red first and blue later." in " ".join(story.split())
    assert encodes(shell) == 8
    assert (shell.folder / "clip.vtt").read_text("utf-8").startswith("WEBVTT")
    assert "-->" in (shell.folder / "clip.srt").read_text("utf-8")
    assert "[CHAPTER]" in (shell.folder / "clip.ffmetadata").read_text("utf-8")
    with Image.open(shell.folder / "clip.png") as sheet:
        assert sheet.width > 200
    assert not list(shell.folder.glob(".*.part"))
    identity = done.stdout.strip().splitlines()[-1].split("inquisight show ")[1]
    assert "Frame 8: Describe" in shell.run("show", identity).stdout
    assert "clip.mp4" in shell.run("history", "blue").stdout

    again = shell.run("video", "clip.mp4", "--sheet", "clip.png")
    assert again.returncode == 2 and "exists already; add --overwrite" in again.stderr


def test_json_for_several_videos_of_which_one_is_none(shell: Shell) -> None:
    tone(shell.folder / "sound.m4a")
    done = shell.run("video", "clip.mp4", "sound.m4a", "--json", "--frames", "2", "--rounds", "2")
    assert done.returncode == 2
    [line] = done.stdout.splitlines()
    caption = Caption.from_json(line)
    assert [frame["number"] for frame in json.loads(line)["options"]["video"]["frames"]] == [0, 19]
    assert caption.picture.source == "clip.mp4"
    assert done.stderr == "inquisight: 'sound.m4a' has sound but no pictures; name a file with a video stream.\n"


def test_an_animation_scene_by_scene(shell: Shell) -> None:
    RED.save(shell.folder / "moving.gif", save_all=True, append_images=[BLUE], duration=2000)
    done = shell.run("video", "moving.gif", "--scenes", "2", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "From 0:00 to 0:02: In this video there is a red block. From 0:02 to 0:04: In this video there is a blue "
        "block.\n"
    )


def test_a_failed_interview_is_gone_on_with(shell: Shell) -> None:
    command = ["video", "clip.mp4", "--questioner", "broken", "--frames", "2"]
    failed = shell.run(*command)
    assert failed.returncode == 5 and failed.stderr.count("\n") == 1
    assert "3 answers kept as" in failed.stderr and "the same command goes on" in failed.stderr
    Path(shell.environment["MENDED"]).touch()
    mended = shell.run(*command, "--sheet", "clip.png")
    assert mended.returncode == 0 and "going on after 3 answers" in mended.stderr
    assert (shell.folder / "clip.png").exists()
    assert "failed" not in shell.run("history").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name at least one video"),
        (["nope.mp4"], "'nope.mp4' does not exist"),
        (["clip.mp4", "--frames", "0"], "--frames must be between 1 and 10000, not 0"),
        (["clip.mp4", "--frames", "few"], "'few' is not a whole number"),
        (["clip.mp4", "--sampling", "random"], "--sampling is 'random': take uniform, time, scene, key"),
        (["clip.mp4", "--sampling", "time"], "--sampling time needs --every SECONDS"),
        (["clip.mp4", "--sampling", "key", "--every", "1"], "--every is for --sampling time"),
        (["clip.mp4", "--every", "0.01"], "would be 200 frames, more than 120"),
        (["clip.mp4", "--from", "soon"], "'soon' is not a time"),
        (["clip.mp4", "--from", "0:30"], "leave nothing of this video, which is 2.0 seconds long"),
        (["clip.mp4", "--from", "2", "--to", "1"], "--to must be later than --from"),
        (["clip.mp4", "--timeline", "clip.txt"], "must end in .vtt"),
        (["clip.mp4", "--timeline", "none/clip.vtt"], "the folder of 'none/clip.vtt' does not exist"),
        (["clip.mp4", "--sheet", "clip.jpg"], "must end in .png"),
        (["clip.mp4", "b.mp4", "--sheet", "clip.png"], "are for one video"),
        (["clip.mp4", "--json", "--quiet"], "contradict each other"),
        (["clip.mp4", "--rounds", "0"], "rounds must be 1 or more"),
        (["clip.mp4", "--vision", "pokcet"], "did you mean 'pocket'?"),
        (["clip.mp4", "--language", "German"], "cannot write in 'German'"),
    ],
)
def test_one_clear_line_for_what_cannot_work(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from agents.cli.main import run
    from core.settings import get_settings

    film(tmp_path / "clip.mp4", [RED] * 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    try:
        code = run(["video", *arguments])
    finally:
        get_settings.cache_clear()
    out, err = capsys.readouterr()
    assert code in (2, 3) and out == ""
    assert said in err and err.count("\n") == 1 and err.startswith("inquisight: ")


def test_the_prompts_can_be_printed_and_used(shell: Shell) -> None:
    printed = shell.run("video", "--print-prompts")
    assert "[questioner]" in printed.stdout
    (shell.folder / "mine.toml").write_text(printed.stdout.replace("Describe this picture in detail.", "Describe all."))
    done = shell.run("video", "clip.mp4", "--prompts", "mine.toml", "--rounds", "1")
    assert "Frame 1: Describe all." in done.stdout


def test_help_imports_no_model_library(shell: Shell) -> None:
    code = (
        "import sys; from agents.cli.main import run; run(['video', '--help']); "
        "print(sorted({'torch', 'transformers', 'langchain_core', 'av', 'numpy'} & set(sys.modules)))"
    )
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code], env=shell.environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0 and "--timeline" in done.stdout and done.stdout.rstrip().endswith("[]")
