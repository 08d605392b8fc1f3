"""Videos on the page Video: what is accepted, where it is stored, when it is deleted."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("av", reason="videos are an optional part")

from tests.agents.video.clips import film, grey, tone
from tests.ui.app import LONG, assert_well, html_of, open_page, visitor_of
from tests.ui.pages.video.helpers import files_there, item_of, start, strip_of, upload
from ui.state.videos import begin, page_state


@pytest.mark.parametrize(
    ("name", "make", "word"),
    [
        ("notes.mp4", lambda path: path.write_text("these are notes"), "not a video"),
        ("empty.mp4", lambda path: path.write_bytes(b""), "is empty"),
        ("song.mp4", lambda path: tone(path), "song.mp4"),
        ("still.webp", lambda path: Image.new("RGB", (9, 9)).save(path, "PNG"), "not a video"),
    ],
)
def test_what_cannot_be_used_is_a_sentence_and_is_not_kept(
    name: str, make: Callable[[Path], Any], word: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    app = open_page("video")
    upload(app, (tmp_path / name).read_bytes(), name)
    [error] = app.error
    assert word in error.value and "Traceback" not in error.value and "/" not in error.value
    assert page_state(visitor_of(app)).item is None and files_there() == []


@pytest.mark.slow
def test_it_lies_under_a_name_of_ours_and_goes_with_its_visitor(clip: bytes, scenes: bytes) -> None:
    app = open_page("video")
    upload(app, clip, "../../me & my dog.mp4")
    [file] = files_there()
    assert "dog" not in file.name and file.parent.stat().st_mode & 0o077 == 0
    assert item_of(app).info.source == "me & my dog.mp4"
    upload(app, clip, "the same.mp4")
    assert len(files_there()) == 1 and files_there() != [file]
    upload(app, scenes)
    assert len(files_there()) == 1, "another one took its place"
    app.button(key="video-remove").click().run()
    assert_well(app)
    assert files_there() == [] and page_state(visitor_of(app)).item is None
    upload(app, clip)
    visitor_of(app)._kept.clear()
    gc.collect()
    assert files_there() == []


def test_a_video_that_is_too_large_is_a_sentence(clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from ui.state.options import get_options

    monkeypatch.setenv("INQUISIGHT_UI_VIDEO_MB", "1")
    get_options.cache_clear()
    app = open_page("video")
    assert app.file_uploader[0].proto.max_upload_size_mb == 1
    upload(app, clip + bytes(1_000_000))
    assert any("larger than" in one.value for one in app.error)


def test_a_file_goes_when_its_talk_has_ended(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    me, item = visitor_of(app), item_of(app)
    begin(me, item, page_state(me).settings)
    page_state(me).remove()
    assert item.job is not None and item.job.wait(LONG)
    assert files_there() == []


@pytest.mark.slow
def test_two_visitors_never_meet(clip: bytes, scenes: bytes) -> None:
    one, other = open_page("video"), open_page("video")
    upload(one, clip, "mine.mp4")
    start(one, frames=2)
    other.run()
    assert visitor_of(one) is not visitor_of(other) and page_state(visitor_of(other)).item is None
    assert "mine.mp4" not in " ".join(caption.value for caption in other.caption) + html_of(other)


def test_a_file_that_browsers_do_not_play_says_so_and_shows_its_frames(tmp_path: Path) -> None:
    app = open_page("video")
    upload(
        app,
        film(tmp_path / "old.avi", [grey(level * 12) for level in range(20)], codec="mpeg4").read_bytes(),
        "old.avi",
    )
    assert any("do not play AVI" in one.value for one in app.info) and not app.get("video")
    start(app, frames=2)
    assert len(strip_of(app)["frames"]) == 2


def test_an_animated_picture_is_a_video_too(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=500)
    app = open_page("video")
    upload(app, (tmp_path / "a.gif").read_bytes(), "a.gif")
    assert start(app).view.state == "complete" and not app.get("video")


@pytest.mark.slow
def test_an_example_is_one_click_away() -> None:
    app = open_page("video")
    app.session_state["video-way"] = "Example"
    app.run()
    app.button(key="video-example").click().run()
    assert_well(app)
    item = item_of(app)
    assert item.info.source == "example.webm" and item.upload is not None and item.upload.path.stat().st_size < 400_000
    assert app.get("video"), "there is a player"
