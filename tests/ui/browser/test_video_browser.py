"""The ways people go on the page Video, in a real browser: upload, watch, jump, stop, go on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av", reason="videos are an optional part")

from tests.agents.video.clips import film, scene

expect: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect
LONG = 240_000  # the first interview waits for the model to be loaded
Visit = Callable[..., Any]
# Where the player stands, once it has gone there.
AT = """(at) => {
    const video = document.querySelector("video");
    return video && !video.seeking && Math.abs(video.currentTime - at) < 0.05;
}"""


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of H.264 in MP4: what telephones make."""
    frames = scene(("apple", 0, 4), ("ball", 2, 9), size=(192, 128))
    return film(tmp_path_factory.mktemp("clips") / "clip.mp4", frames)


def upload(page: Any, file: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(str(file))
    expect(page.get_by_text(re.compile(rf"^{re.escape(file.name)} \("))).to_be_visible(timeout=LONG)
    expect(start(page)).to_be_enabled(timeout=LONG)


def start(page: Any) -> Any:
    return page.get_by_role("button", name=re.compile("^Start"))


def answers(page: Any) -> Any:
    return page.locator(".iq-turn .iq-a:not(.iq-dots)")


def strip(page: Any) -> Any:
    return page.get_by_role("list", name=re.compile("^Frames in order of time")).get_by_role("button")


def told(page: Any) -> None:
    """Wait for the end of the interview."""
    expect(page.get_by_role("button", name="Subtitles (WebVTT)")).to_be_visible(timeout=LONG)


def choose_eye(page: Any, name: str) -> None:
    page.locator("[data-test-script-state=notRunning]").wait_for()  # a page that is being drawn closes its lists
    box = page.get_by_role("combobox", name="Vision model")
    box.click()
    page.get_by_role("option", name=name, exact=True).click()
    expect(box).to_have_value(name)


def number(page: Any, name: str, value: int) -> None:
    box = page.get_by_role("spinbutton", name=name, exact=True)
    box.fill(str(value))
    box.press("Enter")


def test_upload_watch_jump_and_take_home(visit: Visit, clip: Path) -> None:
    page = visit("video")
    upload(page, clip)
    number(page, "Frames", 4)
    page.wait_for_function("document.querySelector('video') && document.querySelector('video').videoWidth === 192")
    start(page).click()
    expect(answers(page).first).to_be_visible(timeout=LONG)
    told(page)
    frames = strip(page)
    expect(frames).to_have_count(4)
    expect(frames.nth(0)).to_have_accessible_name(re.compile(r"^Frame 1 at 0:00\.0, \d+ question"))

    frames.nth(2).click()
    when = re.search(r"0:0(\d\.\d)", frames.nth(2).get_attribute("aria-label"))
    assert when is not None
    page.wait_for_function(AT, arg=float(when[1]))
    expect(frames.nth(2)).to_have_attribute("aria-pressed", "true", timeout=LONG)
    expect(page.get_by_text(re.compile(r"^Frame 3 at 0:0"))).to_be_visible(timeout=LONG)

    jump = page.get_by_role("button", name=re.compile("^Jump to 0:00.0")).first  # the first question is about frame 1
    jump.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(AT, arg=0.0)
    expect(frames.nth(0)).to_have_attribute("aria-pressed", "true", timeout=LONG)

    for name, begins in (
        ("Subtitles (WebVTT)", b"WEBVTT"),
        ("Subtitles (SRT)", b"1\n00:00"),
        ("Contact sheet", b"\x89PNG"),
        ("Transcript (JSON)", b"{"),
    ):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).click()
        assert download.value.suggested_filename.startswith("clip")
        assert Path(download.value.path()).read_bytes().startswith(begins)
    assert "Traceback" not in page.content()


def test_what_is_known_of_the_video_is_told(visit: Visit, clip: Path) -> None:
    page = visit("video")
    upload(page, clip)
    number(page, "Frames", 1)
    field = page.get_by_role("textbox", name="What you know of the video")
    field.fill("Our cat Luna, in Cairo")
    start(page).click()  # which ends the typing as well
    told(page)
    expect(page.locator("[class*=iq-]").filter(has_text="Luna").first).to_be_visible(timeout=LONG)
    expect(field).to_have_value("Our cat Luna, in Cairo")
    page.reload()
    expect(field).to_have_value("Our cat Luna, in Cairo", timeout=LONG)


def test_stop_reload_and_go_on(visit: Visit, clip: Path, allowed: Path) -> None:
    page = visit("video")
    choose_eye(page, "patient")
    upload(page, clip)
    number(page, "Frames", 3)
    allowed.write_text("2")
    start(page).click()
    expect(answers(page).nth(1)).to_be_visible(timeout=LONG)
    first = answers(page).first.inner_text()
    page.reload()
    expect(answers(page).first).to_have_text(first, timeout=LONG)
    expect(strip(page)).to_have_count(3, timeout=LONG)
    page.get_by_role("button", name="Stop", exact=True).click()
    allowed.unlink()
    expect(page.get_by_text(re.compile("^Stopped after"))).to_be_visible(timeout=LONG)
    before = page.get_by_role("button", name=re.compile("^Jump to")).count()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name=re.compile("^Jump to")).nth(before)).to_be_visible(timeout=LONG)
    told(page)


def test_what_the_browser_cannot_play_is_told_and_its_frames_are_shown(visit: Visit, tmp_path: Path) -> None:
    file = film(tmp_path / "old.mkv", scene(("apple", 0, 9), seconds=2), codec="mpeg4")
    page = visit("video")
    upload(page, file)
    number(page, "Frames", 2)
    start(page).click()
    told(page)
    expect(page.get_by_text(re.compile(r"^This browser cannot play this video \(Matroska\)"))).to_be_visible(
        timeout=LONG
    )
    strip(page).nth(1).click()
    large = page.locator("[class*=st-key-video-chosen] img")
    expect(large).to_be_visible(timeout=LONG)
    assert large.get_attribute("alt")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(scheme: str, visit: Visit) -> None:
    page = visit("video", viewport={"width": 400, "height": 800}, color_scheme=scheme)
    page.get_by_role("radio", name="Example").click()
    page.get_by_role("button", name="A cat and a cup of coffee").click()
    expect(page.get_by_text(re.compile(r"^example\.webm \("))).to_be_visible(timeout=LONG)
    number(page, "Frames", 3)
    start(page).click()
    told(page)
    assert page.evaluate("document.querySelector('.stMain').scrollWidth") <= 400


def test_ones_own_question_and_a_better_answer(visit: Visit, clip: Path) -> None:
    page = visit("video")
    upload(page, clip)
    number(page, "Frames", 3)
    page.get_by_text("Settings", exact=True).click()
    number(page, "Questions", 1)
    start(page).click()
    told(page)
    expect(answers(page)).to_have_count(1)

    strip(page).nth(1).click()
    box = page.get_by_role("textbox", name="Ask about frame 2")
    box.fill("What is in the picture?")
    box.press("Enter")
    expect(answers(page)).to_have_count(2, timeout=LONG)
    expect(page.get_by_text("your question")).to_be_visible()
    told(page)

    page.get_by_role("button", name="Correct answer 1").click()
    dialog = page.get_by_role("dialog", name="Correct answer 1")
    dialog.get_by_role("textbox", name="Correct answer").fill("there is a purple turnip.")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden(timeout=LONG)
    expect(page.get_by_text("corrected by you")).to_be_visible(timeout=LONG)
    expect(page.get_by_role("region", name="Caption")).to_contain_text("turnip", timeout=LONG)
    told(page)
