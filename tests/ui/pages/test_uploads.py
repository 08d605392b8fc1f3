"""What was not taken of an upload: one message for many files, on the page until it is dismissed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.app import LONG, assert_well, html_of, open_page, visitor_of
from ui.state.options import get_options
from ui.widgets.notices import MAX_NOTICES, Notices

pytestmark = pytest.mark.usefixtures("eye")
Png = Callable[..., bytes]
CASES = Path(__file__).resolve().parents[2] / "fixtures" / "cases" / "pictures"


def upload(app: AppTest, *files: tuple[str, bytes]) -> None:
    app.file_uploader[0].set_value([(name, data, "application/octet-stream") for name, data in files]).run()
    assert_well(app)


def seven(png: Png) -> list[tuple[str, bytes]]:
    psd = (CASES / "f.psd").read_bytes()
    whole = [(f"{number}.png", png(size=(20 + number, 20))) for number in range(4)]
    return [*whole, ("a.psd", psd), ("phone.jpg", psd), ("cut.jpg", (CASES / "cut.jpg").read_bytes())]


def test_many_files_are_one_message_that_counts_by_reason(png: Png) -> None:
    app = open_page("interview")
    upload(app, *seven(png))
    [error] = app.error
    said = error.value.replace("\\", "")
    assert said == "3 of 7 files were not added: 2 Photoshop (a.psd), 1 truncated (cut.jpg)."
    page = html_of(app)
    for name in ("a.psd", "phone.jpg", "cut.jpg"):
        assert f"<li>&#x27;{name}&#x27; is" in page, "each is told, with the way out"
    assert len(visitor_of(app).images) == 4


def test_it_stays_until_it_is_dismissed(png: Png) -> None:
    app = open_page("interview")
    upload(app, *seven(png))
    app.run()
    app.text_input(key="interview-seed").set_value("7").run()
    upload(app, ("fine.png", png(size=(9, 9))))
    assert len(app.error) == 1, "nothing but the visitor takes it away"
    script = "import importlib; importlib.import_module('ui.pages.interview').page()"
    again = AppTest.from_string(script, default_timeout=LONG)
    again.session_state["inquisight.visitor"] = app.session_state["inquisight.visitor"]  # a reload
    again.run()
    assert len(again.error) == 1
    next(one for one in again.button if one.label == "Dismiss").click().run()
    assert_well(again)
    assert not again.error


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("notes.txt", b"these are notes", "not an image"),
        ("page.jpg", b"<!doctype html><html></html>", "not an image"),
        ("nothing.png", b"", "empty"),
        ("film.mp4", b"\0\0\0\x18ftypisom" + b"\0" * 40, "video"),
        ("holiday.zip", b"PK\3\4" + b"\0" * 40, "archive"),
        ("large.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 1_100_000, "too large"),
    ],
)
def test_each_kind_has_its_reason(name: str, data: bytes, word: str, png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INQUISIGHT_UI_UPLOAD_MB", "1")
    monkeypatch.setenv("INQUISIGHT_UI_VIDEO_MB", "1")
    get_options.cache_clear()
    app = open_page("compare" if word == "empty" else "interview")
    if word == "empty":
        app.file_uploader[0].set_value([(name, data, "image/png")]).run()
        [error] = app.error
        assert "is empty" in error.value, "one file is told in its own sentence"
        return
    upload(app, (name, data), ("cut.jpg", (CASES / "cut.jpg").read_bytes()), ("a.png", png()))
    [error] = app.error
    said = error.value.replace("\\", "")
    assert said.startswith("2 of 3 files were not added: ") and f"1 {word} ({name})" in said


def test_what_a_page_does_not_take_is_told_too(png: Png) -> None:
    app = open_page("video")
    app.file_uploader[0].set_value([("notes.txt", b"notes", "text/plain")]).run()
    assert_well(app)
    assert "notes.txt" in app.error[0].value
    app.run()
    assert len(app.error) == 1


def test_messages_do_not_pile_up() -> None:
    notices = Notices()
    for number in range(MAX_NOTICES + 3):
        notices.add(f"message {number}")
    notices.add(f"message {MAX_NOTICES}")
    assert len(notices.all) == MAX_NOTICES and len({one.words for one in notices.all}) == MAX_NOTICES
