"""Changes of many captions from the gallery, and Undo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.ui.gallery.served import Browser, make_pictures


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures")


@pytest.fixture
def browser(root: Path) -> Browser:
    return Browser().open(root)


ALL = [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"kind": "replace", "find": "cat", "replacement": "dog"}, "A dog, number 1."),
        ({"kind": "replace", "find": "CAT", "replacement": "dog"}, "A dog, number 1."),
        (
            {"kind": "replace", "find": r"(\w+), number", "replacement": r"number \1,", "regex": True},
            "A number cat, 1.",
        ),
        ({"kind": "prefix", "prefix": "ohwx cat, ", "suffix": " End."}, "ohwx cat, A cat, number 1. End."),
        ({"kind": "prefix", "prefix": "A ", "suffix": ".", "remove": True}, "cat, number 1"),
        ({"kind": "tags", "add": "new", "take": "a cat"}, "number 1., new"),
    ],
)
def test_a_change_is_shown_made_and_undone(browser: Browser, root: Path, form: dict[str, Any], text: str) -> None:
    shown = browser.post("change", numbers=ALL, preview=True, **form).json()
    assert shown["changed"] == 3
    assert shown["examples"][0] == {"name": "p1.png", "before": "A cat, number 1.", "after": text}
    assert (root / "p1.txt").read_text() == "A cat, number 1.\n"
    done = browser.post("change", numbers=ALL, **form).json()
    assert done["changed"] == 3 and (root / "p1.txt").read_text() == f"{text}\n"
    assert browser.get("rows", numbers="1").json()["rows"][0]["caption"] == text
    assert browser.post("undo").json()["changed"] == 3
    assert (root / "p1.txt").read_text() == "A cat, number 1.\n"
    refused = browser.post("undo")
    assert refused.status_code == 400 and "nothing to undo" in refused.json()["error"]


def test_redo_makes_a_change_again(browser: Browser, root: Path) -> None:
    browser.post("caption", number=1, text="First", before="A cat, number 1.")
    browser.post("change", numbers=ALL, kind="replace", find="cat", replacement="dog")
    browser.post("undo")
    browser.post("undo")
    assert browser.find(show="edited") == [] and (root / "p1.txt").read_text() == "A cat, number 1.\n"
    assert browser.post("redo").json() == {"changed": 1, "words": "Redo: edit: 1 caption."}
    assert browser.find(show="edited") == ["p1.png"] and (root / "p1.txt").read_text() == "First\n"
    assert browser.post("redo").json()["changed"] == 2 and (root / "p3.txt").read_text() == "A dog, number 3.\n"
    refused = browser.post("redo")
    assert refused.status_code == 400 and "nothing to redo" in refused.json()["error"]
    browser.post("undo")
    browser.post("caption", number=5, text="Newer", before="A cat, number 5.")
    assert browser.post("redo").status_code == 400  # what was undone is replaced by the newer change


def test_spaces_are_trimmed(browser: Browser, root: Path) -> None:
    (root / "p1.txt").write_text("  A  cat , \n")
    browser.post("rescan")
    shown = browser.post("change", numbers=ALL, preview=True, kind="trim").json()
    assert shown["changed"] == 1 and shown["examples"][0]["after"] == "A cat ,"
    browser.post("change", numbers=ALL, kind="trim")
    assert (root / "p1.txt").read_text() == "A cat ,\n"


def test_versions_are_listed_and_restored(browser: Browser, root: Path) -> None:
    assert browser.get("versions/1").json() == {"versions": []}
    browser.post("caption", number=1, text="First", before="A cat, number 1.")
    (root / "p1.txt").write_text("Of another program.\n")
    browser.post("rescan")
    browser.post("change", numbers=[1], kind="prefix", prefix="ohwx, ")
    versions = browser.get("versions/1").json()["versions"]
    texts = ["ohwx, Of another program.", "Of another program.", "First", "A cat, number 1."]
    assert [one["text"] for one in versions] == texts
    assert [one["what"] for one in versions][1:3] == ["changed by another program", "edit"]
    restored = browser.post("restore", number=1, version=versions[2]["version"]).json()
    assert restored["row"]["caption"] == "First" and (root / "p1.txt").read_text() == "First\n"
    assert browser.post("restore", number=1, version=0).json()["row"]["caption"] == "A cat, number 1."
    browser.post("undo")
    assert (root / "p1.txt").read_text() == "First\n"  # the undo of a restored version
    for body in (
        {"number": 1, "version": 999},
        {"number": 1},
        {"number": 99, "version": 0},
        {"number": 0, "version": 0},
    ):
        assert browser.post("restore", **body).status_code == 400
    assert not (root / "p0.txt").exists()


def test_only_the_chosen_pictures_change(browser: Browser, root: Path) -> None:
    browser.post("change", numbers=[1, 2], kind="replace", find="cat", replacement="dog")
    assert (root / "p1.txt").read_text() == "A dog, number 1.\n" and not (root / "p2.txt").exists()
    assert (root / "p3.txt").read_text() == "A cat, number 3.\n"


def test_undo_takes_edits_back_one_after_another(browser: Browser, root: Path) -> None:
    browser.post("caption", number=1, text="First", before="A cat, number 1.")
    browser.post("caption", number=1, text="Second", before="First")
    browser.post("caption", number=0, text="Other", before="")
    browser.post("undo")
    assert not (root / "p0.txt").exists() or not (root / "p0.txt").read_text().strip()
    assert browser.find(show="edited") == ["p1.png"]
    browser.post("undo")
    assert (root / "p1.txt").read_text() == "First\n" and browser.find(show="edited") == ["p1.png"]
    browser.post("undo")
    assert (root / "p1.txt").read_text() == "A cat, number 1.\n" and browser.find(show="edited") == []


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"kind": "replace", "find": ""}, "empty"),
        ({"kind": "replace", "find": "(", "regex": True}, "not valid"),
        ({"kind": "replace", "find": 5}, "not complete"),
        ({"kind": "prefix"}, "write a prefix"),
        ({"kind": "other"}, "no such change"),
    ],
)
def test_a_wrong_form_gets_a_sentence(browser: Browser, form: dict[str, Any], words: str) -> None:
    answer = browser.post("change", numbers=ALL, preview=True, **form)
    assert answer.status_code == 400 and words in answer.json()["error"].lower()
    assert browser.post("change", kind="trim").status_code == 400
