"""Pictures that visitors upload: hundreds, within limits, for themselves alone, and gone with the session."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest
from PIL import Image

import ui.gallery.uploads as module
from core.settings import get_settings
from tests.ui.gallery.served import Browser
from ui.gallery.library import folders, is_private, libraries_of
from ui.gallery.routes import HEADER, PREFIX
from ui.gallery.uploads import sweep, visitor_folder
from ui.state.session import IDLE_SECONDS, visitors


def png(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (number % 256, number // 256, 9)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def browser() -> Browser:
    return opened()


def opened() -> Browser:
    browser = Browser()
    own = visitor_folder(browser.visitor)
    libraries_of(browser.visitor).own = own.pictures
    return browser.open(own.pictures)


def send(browser: Browser, data: bytes, name: str) -> str:
    path = f"{PREFIX}/{browser.library}/upload"
    answer = browser.client.post(path, params={"name": name}, content=data, headers={HEADER: "1"})
    assert answer.status_code == 200, answer.json()
    return str(answer.json()["name"])


def refused(browser: Browser, data: bytes, name: str) -> str:
    path = f"{PREFIX}/{browser.library}/upload"
    answer = browser.client.post(path, params={"name": name}, content=data, headers={HEADER: "1"})
    assert answer.status_code == 400
    return str(answer.json()["error"])


def test_hundreds_are_added_and_captioned(browser: Browser) -> None:
    for number in range(200):
        send(browser, png(number), f"p{number:03}.png")
    browser.post("rescan")
    assert len(browser.find()) == 200
    assert browser.post("caption", number=7, text="Mine", before="").status_code == 200
    assert browser.find(show="captioned") == ["p007.png"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\pictures\\a b.PNG", "a b.PNG"),
        (".hidden.png", "hidden.png"),
        ("<script>.png", "script.png"),
        ("photo.jpg", "photo.png"),  # by its content
        ("", "image.png"),
    ],
)
def test_names_are_file_names(browser: Browser, name: str, kept: str) -> None:
    assert send(browser, png(1), name) == kept
    assert (visitor_folder(browser.visitor).pictures / kept).is_file()


def test_equal_names_stay_apart_also_their_captions(browser: Browser) -> None:
    assert [send(browser, png(number), "a.png") for number in range(3)] == ["a.png", "a-2.png", "a-3.png"]


def test_what_is_no_picture_or_too_much_is_refused(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a.jpg" in refused(browser, b"no picture", "a.jpg")
    monkeypatch.setattr(module, "MAX_FILES", 2)
    send(browser, png(1), "a.png")
    send(browser, png(2), "b.png")
    assert "maximum" in refused(browser, png(3), "c.png")
    monkeypatch.setattr(module, "MAX_FILES", 100)
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    assert "exceed" in refused(browser, png(3), "c.png")
    assert sorted(one.name for one in visitor_folder(browser.visitor).pictures.glob("[!.]*")) == ["a.png", "b.png"]


def test_nobody_adds_to_another_folder(browser: Browser, tmp_path: Path) -> None:
    root = tmp_path / "server"
    root.mkdir()
    Image.new("RGB", (9, 9)).save(root / "a.png")
    browser.open(root)
    assert "folder itself" in refused(browser, png(1), "b.png")
    assert browser.post("remove", numbers=[0]).status_code == 400 and (root / "a.png").exists()


def test_pictures_are_removed_with_their_captions(browser: Browser) -> None:
    for name in ("a.png", "b.png"):
        send(browser, png(1), name)
    browser.post("rescan")
    browser.post("caption", number=0, text="Mine", before="")
    assert browser.post("remove", numbers=[0]).json()["words"] == "1 picture removed."
    assert browser.find() == ["b.png"]
    assert sorted(one.name for one in visitor_folder(browser.visitor).pictures.glob("[!.]*")) == ["b.png"]


def test_each_has_its_own_and_all_is_gone_when_the_visitor_is_forgotten(browser: Browser) -> None:
    other = opened()
    send(browser, png(1), "mine.png")
    browser.post("rescan")
    assert other.find() == [] and browser.get("thumbnail/0").status_code == 200
    own = visitor_folder(browser.visitor).path
    assert is_private(own / "pictures") and own.stat().st_mode & 0o077 == 0
    assert list(own.rglob("thumbnails/*/*.jpg"))
    assert not list((get_settings().home / "thumbnails").rglob("*.jpg"))
    browser.visitor.seen = time.monotonic() - IDLE_SECONDS - 1
    known = visitors()._known
    next(one for one in known.values() if one.token == browser.visitor.token).seen = -2 * IDLE_SECONDS
    visitors().get(other.visitor.token)
    for _ in range(500):
        if not own.exists():
            break
        time.sleep(0.01)
    assert not own.exists() and folders().known(own / "pictures") is None


def test_what_a_killed_server_left_is_deleted_later(browser: Browser) -> None:
    send(browser, png(1), "mine.png")
    own = visitor_folder(browser.visitor)
    sweep(own.path.parent)
    assert own.path.exists()
    then = time.time() - IDLE_SECONDS - 1
    os.utime(own.path / "seen", (then, then))
    sweep(own.path.parent)
    assert not own.path.exists()
