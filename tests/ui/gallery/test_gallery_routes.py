"""What the gallery's page asks the server for, and that nobody gets what is another visitor's."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.ui.gallery.served import Browser, make_pictures
from ui.gallery.routes import PREFIX


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures")


@pytest.fixture
def browser(root: Path) -> Browser:
    return Browser().open(root)


def test_pictures_are_found_filtered_and_sorted(browser: Browser) -> None:
    names = [f"p{number}.png" for number in range(6)]
    assert browser.find() == names
    assert browser.find(down=1) == names[::-1]
    assert browser.find(show="none") == ["p0.png", "p2.png", "p4.png"]
    assert browser.find(show="captioned", text="NUMBER 3") == ["p3.png"]
    assert browser.find(show="captioned", text="number 3", without=1) == ["p1.png", "p5.png"]
    assert browser.find(text="p4") == ["p4.png"]
    assert browser.get("find").json()["counts"] == {
        "all": 6, "none": 3, "captioned": 3, "unsure": 0, "edited": 0, "failed": 0, "missed": 0,
    }  # fmt: skip
    wrong = browser.get("find", show="everything")
    assert wrong.status_code == 400 and "no such filter" in wrong.json()["error"]


def test_a_caption_is_saved_beside_its_picture(browser: Browser, root: Path) -> None:
    saved = browser.post("caption", number=0, text="A new one, with ü", before="")
    assert saved.status_code == 200 and saved.json()["row"]["marks"] == ["edited"]
    assert (root / "p0.txt").read_text("utf-8") == "A new one, with ü\n"
    assert browser.find(show="edited") == ["p0.png"]


def test_what_somebody_else_wrote_meanwhile_is_not_lost(browser: Browser, root: Path) -> None:
    (root / "p1.txt").write_text("Written by another program.\n")
    refused = browser.post("caption", number=1, text="Mine", before="A cat, number 1.")
    assert refused.status_code == 409 and refused.json()["now"] == "Written by another program."
    assert (root / "p1.txt").read_text() == "Written by another program.\n"
    assert browser.post("caption", number=1, text="Mine", before="Written by another program.").status_code == 200
    assert (root / "p1.txt").read_text() == "Mine\n"


def test_thumbnails_are_jpegs_for_this_browser_alone(browser: Browser, root: Path) -> None:
    answer = browser.get("thumbnail/2")
    assert Image.open(io.BytesIO(answer.content)).size == (42, 30)
    assert answer.headers["cache-control"].startswith("private")
    (root / "p2.png").write_bytes(b"broken")
    assert browser.get("picture/2").status_code == 422


def test_nobody_gets_what_is_anothers(browser: Browser, root: Path, tmp_path: Path) -> None:
    other = Browser().open(make_pictures(tmp_path / "others", 2))
    own = other.library
    for library in (browser.library, "0" * 32, "..", own.upper() + "x"):
        other.library = library
        for path in ("state", "find", "rows?numbers=0", "details/0", "thumbnail/0", "picture/0"):
            answer = other.get(path)
            assert answer.status_code == 404 and b"p0.png" not in answer.content
        assert other.post("caption", number=0, text="x", before="").status_code == 404
    stranger = Browser()
    stranger.library = browser.library
    stranger.client.cookies.clear()
    assert stranger.get("thumbnail/0").status_code == 404
    assert not (root / "p0.txt").exists()


def test_a_page_of_another_site_changes_nothing(browser: Browser, root: Path) -> None:
    sent = browser.client.post(f"{PREFIX}/{browser.library}/caption", json={"number": 0, "text": "x"})
    assert sent.status_code == 404 and not (root / "p0.txt").exists()


@pytest.mark.parametrize(("number", "text"), [(None, "x"), ("0", "x"), (0, 5), (99, "x"), (-1, "x")])
def test_wrong_requests_get_a_sentence(browser: Browser, number: object, text: object) -> None:
    answer = browser.post("caption", number=number, text=text)
    assert answer.status_code == 400 and answer.json()["error"].endswith(".")


def test_names_become_numbers(browser: Browser) -> None:
    assert browser.post("numbers", names=["p3.png", "../p3.png", "none"]).json() == {"numbers": {"p3.png": 3}}
